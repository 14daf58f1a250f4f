"""Tests of figures read from LaTeX."""
