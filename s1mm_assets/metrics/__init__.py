"""What can be measured of captions and recaptions: formulas on texts and arrays; no model is loaded here."""

from s1mm_assets.metrics.stage import SUMMARISED, VERSION, stage, summary

__all__ = ["SUMMARISED", "VERSION", "stage", "summary"]
