"""What can be measured of captions and recaptions: formulas on texts and arrays; no model is loaded here."""

from typing import TYPE_CHECKING

from s1mm_assets.metrics.quality import READ, Quality, numbers, quality
from s1mm_assets.metrics.settings import MetricSettings
from s1mm_assets.metrics.stage import VERSION, stage
from s1mm_assets.on_demand import on_demand

if TYPE_CHECKING:
    from s1mm_assets.metrics.scores import score_stages
else:
    __getattr__ = on_demand(__name__, {"scores": ["score_stages"]})

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
