"""The release: records, images, streamable Parquet; manifest, dataset card, publication, verification."""

from typing import TYPE_CHECKING

from s1mm_assets.on_demand import on_demand
from s1mm_assets.release.settings import ReleaseSettings
from s1mm_assets.release.stage import SUMMARISED, VERSION, stage, summary

if TYPE_CHECKING:
    from s1mm_assets.release.card import attribution, dataset_card, not_evaluated_scores
    from s1mm_assets.release.facts import (
        FACTS_READ,
        NOT_KNOWN,
        PartitionFacts,
        count_rejections,
        joined_facts,
        partition_facts,
    )
    from s1mm_assets.release.layout import Piece, pieces_of
    from s1mm_assets.release.publication import Publication, PublicationError, manifest_in, publish
    from s1mm_assets.release.verify import Problem
else:
    __getattr__ = on_demand(
        __name__,
        {
            "card": ["attribution", "dataset_card", "not_evaluated_scores"],
            "facts": [
                *("FACTS_READ", "NOT_KNOWN", "PartitionFacts"),
                *("count_rejections", "joined_facts", "partition_facts"),
            ],
            "layout": ["Piece", "pieces_of"],
            "publication": ["Publication", "PublicationError", "manifest_in", "publish"],
            "verify": ["Problem"],
        },
    )

__all__ = [
    "FACTS_READ",
    "NOT_KNOWN",
    "SUMMARISED",
    "VERSION",
    "PartitionFacts",
    "Piece",
    "Problem",
    "Publication",
    "PublicationError",
    "ReleaseSettings",
    "attribution",
    "count_rejections",
    "dataset_card",
    "joined_facts",
    "manifest_in",
    "not_evaluated_scores",
    "partition_facts",
    "pieces_of",
    "publish",
    "stage",
    "summary",
]
