"""Recaptions: what is known of a figure (window), who writes (the engines), and the stage that asks them."""

from typing import TYPE_CHECKING

from s1mm_assets.on_demand import on_demand
from s1mm_assets.recaptioning.settings import RecaptionSettings
from s1mm_assets.recaptioning.stage import SUMMARISED, VERSION, stage, summary
from s1mm_assets.recaptioning.window import (
    CaptionAnswer,
    Captioner,
    CaptionJob,
    CaptionRequest,
    Mention,
    SemanticWindow,
)

if TYPE_CHECKING:
    from s1mm_assets.recaptioning.context import ContextCaptioner
else:
    __getattr__ = on_demand(__name__, {"context": ["ContextCaptioner"]})

__all__ = [
    "SUMMARISED",
    "VERSION",
    "CaptionAnswer",
    "CaptionJob",
    "CaptionRequest",
    "Captioner",
    "ContextCaptioner",
    "Mention",
    "RecaptionSettings",
    "SemanticWindow",
    "stage",
    "summary",
]
