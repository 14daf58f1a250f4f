"""Which figures are kept: rules on one figure at a time, then duplicates among those that pass."""

from s1mm_assets.filtering.duplicates import DUPLICATES, find_duplicates
from s1mm_assets.filtering.measures import MeasureJob, measure
from s1mm_assets.filtering.rules import DECIDED_COLUMNS, MEASURE_COLUMNS, RULE_COLUMNS, decide, survivors
from s1mm_assets.filtering.settings import FilterSettings
from s1mm_assets.filtering.stage import VERSION, decide_stage, measure_stage, summary

__all__ = [
    "DECIDED_COLUMNS",
    "DUPLICATES",
    "MEASURE_COLUMNS",
    "RULE_COLUMNS",
    "VERSION",
    "FilterSettings",
    "MeasureJob",
    "decide",
    "decide_stage",
    "find_duplicates",
    "measure",
    "measure_stage",
    "summary",
    "survivors",
]
