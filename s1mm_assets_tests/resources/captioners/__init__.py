"""Tests of the recaption engines."""
