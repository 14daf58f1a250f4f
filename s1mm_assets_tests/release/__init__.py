"""Tests of s1mm_assets.release."""
