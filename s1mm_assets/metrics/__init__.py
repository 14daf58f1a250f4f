"""What can be measured of captions and recaptions: formulas on texts and arrays; no model is loaded here."""

from s1mm_assets.metrics.quality import READ, Quality, numbers, quality
from s1mm_assets.metrics.scores import score_stages
from s1mm_assets.metrics.settings import MetricSettings
from s1mm_assets.metrics.stage import VERSION, stage

__all__ = [
    "READ",
    "VERSION",
    "MetricSettings",
    "Quality",
    "numbers",
    "quality",
    "score_stages",
    "stage",
]
