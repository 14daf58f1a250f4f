"""Mirrors s1mm_assets.resources.layout_detectors."""
