"""Tests of the raster package."""
