"""Tests of the `s1mm` command."""
