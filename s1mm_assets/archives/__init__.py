"""What the sources publish: bundles and their integrity, identifiers, manifests, metadata records.

Pure functions over bytes and rows. Where the bytes lie and how they get here is `resources.sources`.
"""

from s1mm_assets.archives.bundle import Bundle, Inspection, Kind, inspect, newest_date, open_bundle
from s1mm_assets.archives.limits import Limits
from s1mm_assets.archives.stage import (
    INSPECTIONS,
    VERSION,
    Delivery,
    ReadRange,
    inspection_stage,
    rejection_rate,
    stage,
    summary,
)

__all__ = [
    "INSPECTIONS",
    "VERSION",
    "Bundle",
    "Delivery",
    "Inspection",
    "Kind",
    "Limits",
    "ReadRange",
    "inspect",
    "inspection_stage",
    "newest_date",
    "open_bundle",
    "rejection_rate",
    "stage",
    "summary",
]
