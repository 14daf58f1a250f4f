"""The release: records, images, streamable Parquet; manifest, dataset card, publication, verification."""

from s1mm_assets.release.card import attribution, dataset_card, not_evaluated_scores
from s1mm_assets.release.croissant import croissant
from s1mm_assets.release.facts import FACTS_READ, NOT_KNOWN, PartitionFacts, count_rejections, partition_facts
from s1mm_assets.release.layout import Piece, pieces_of
from s1mm_assets.release.publication import Publication, PublicationError, manifest_in, publish
from s1mm_assets.release.settings import ReleaseSettings
from s1mm_assets.release.stage import SUMMARISED, VERSION, stage, summary
from s1mm_assets.release.verify import Problem, verify

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
    "croissant",
    "dataset_card",
    "manifest_in",
    "not_evaluated_scores",
    "partition_facts",
    "pieces_of",
    "publish",
    "stage",
    "summary",
    "verify",
]
