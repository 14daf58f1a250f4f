"""Which figures are kept: rules on one figure at a time, then duplicates among those that pass."""

from typing import TYPE_CHECKING

from s1mm_assets.filtering.rules import (
    DECIDED_COLUMNS,
    MEASURE_COLUMNS,
    RULE_COLUMNS,
    TEXT_COLUMNS,
    decide,
    survivors,
)
from s1mm_assets.filtering.settings import FilterSettings, TextSettings
from s1mm_assets.filtering.stage import ACROSS_VERSION, VERSION, decide_stage, measure_stage, summary
from s1mm_assets.on_demand import on_demand

if TYPE_CHECKING:
    from s1mm_assets.filtering.across import DecidedPartition, duplicates_stage, find_across
    from s1mm_assets.filtering.duplicates import DUPLICATES, find_duplicates
    from s1mm_assets.filtering.measures import MeasureJob, measure
    from s1mm_assets.filtering.texts import texts_stage
else:
    __getattr__ = on_demand(
        __name__,
        {
            "across": ["DecidedPartition", "duplicates_stage", "find_across"],
            "duplicates": ["DUPLICATES", "find_duplicates"],
            "measures": ["MeasureJob", "measure"],
            "texts": ["texts_stage"],
        },
    )

__all__ = [
    "ACROSS_VERSION",
    "DECIDED_COLUMNS",
    "DUPLICATES",
    "MEASURE_COLUMNS",
    "RULE_COLUMNS",
    "TEXT_COLUMNS",
    "VERSION",
    "DecidedPartition",
    "FilterSettings",
    "MeasureJob",
    "TextSettings",
    "decide",
    "decide_stage",
    "duplicates_stage",
    "find_across",
    "find_duplicates",
    "measure",
    "measure_stage",
    "summary",
    "survivors",
    "texts_stage",
]
