"""Tests of what the assets ask for."""
