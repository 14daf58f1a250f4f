"""The release: records, images, streamable Parquet; manifest, dataset card, publication, verification."""

from s1mm_assets.release.card import dataset_card
from s1mm_assets.release.facts import FACTS_READ, PartitionFacts, count_rejections, partition_facts
from s1mm_assets.release.layout import Piece, pieces_of
from s1mm_assets.release.publication import Publication, PublicationError, publish
from s1mm_assets.release.settings import ReleaseSettings
from s1mm_assets.release.stage import SUMMARISED, VERSION, stage, summary
from s1mm_assets.release.verify import Problem, verify

__all__ = [
    "FACTS_READ",
    "SUMMARISED",
    "VERSION",
    "PartitionFacts",
    "Piece",
    "Problem",
    "Publication",
    "PublicationError",
    "ReleaseSettings",
    "count_rejections",
    "dataset_card",
    "partition_facts",
    "pieces_of",
    "publish",
    "stage",
    "summary",
    "verify",
]
