"""Small shards to make releases of, in memory: honest about declared columns, and about files that fail."""

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
from PIL import Image

from s1mm_assets.release import ReleaseSettings, stage
from s1mm_assets.release.image_archives import END, members
from s1mm_assets.release.layout import Piece, pieces_of
from s1mm_assets.release.publication import Publication, publish
from s1mm_assets.resources.file_digests import digesting
from s1mm_assets.resources.release_folder import ReleaseFolder
from s1mm_assets.stages import Stage
from s1mm_assets.tables import (
    TABLES,
    Archive,
    Duplicate,
    FigureCandidate,
    Metadata,
    Metric,
    Paper,
    Recaption,
    frame_of,
)

ROW_GROUP_ROWS = 3


@dataclass
class MemoryShard:
    """A `ShardReader` and a `ShardWriter` over tables in memory."""

    stage: Stage
    partition: str
    shard: str
    inputs: Mapping[tuple[str, str], pl.DataFrame]
    tables: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    def scan(self, asset: str, table: str) -> Iterator[pl.DataFrame]:
        rows = self.inputs[asset, table].select(self.stage.reads[asset][table])
        yield from rows.iter_slices(ROW_GROUP_ROWS)

    def read(self, asset: str, table: str) -> pl.DataFrame:
        return self.inputs[asset, table].select(self.stage.reads[asset][table])

    def write(self, table: str, rows: pl.DataFrame) -> None:
        self.tables.setdefault(table, []).append(rows)

    @contextmanager
    def file(self, name: str) -> Iterator[BinaryIO]:
        stream = io.BytesIO()
        yield stream
        self.files[name] = stream.getvalue()

    def used(self, component: str) -> None:
        raise AssertionError(component)

    def table(self, name: str) -> pl.DataFrame:
        """What was written to a table."""
        return pl.concat(self.tables[name])


def picture(i: int, image_format: str = "png") -> bytes:
    """A small picture, different for every number."""
    stream = io.BytesIO()
    image = Image.new("RGB", (24, 16), (i % 256, i // 256 % 256, 77))
    image.save(stream, image_format)
    return stream.getvalue()


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure as four stages have seen it."""

    paper_id: str = "2301.01234"
    number: int = 1
    panel: int = 1
    source: str = "arxiv"
    image: bytes | None = b""
    image_format: str = "png"
    caption: str = "A caption."
    recaption: str | None = "A recaption."
    rejection: str | None = None  # of the recaption and so of the metric
    is_filtered: bool = False  # then only a candidate
    mentions: Sequence[str] = ()
    licence: str | None = "http://creativecommons.org/licenses/by/4.0/"
    doi: str | None = None
    arxiv_id: str | None = None
    categories: Sequence[str] = ()
    title: str | None = "A title"
    grounding: float | None = 0.5
    clip_score: float | None = None
    duplicate_of: str | None = None  # in another partition
    is_withdrawn: bool = False
    is_retracted: bool | None = None
    engine: str = "context"

    @property
    def figure_id(self) -> str:
        return f"{self.source}:{self.paper_id}#{self.number}.{self.panel}"

    @property
    def content(self) -> bytes | None:
        """The image: a picture of its own where none was given."""
        if self.image == b"":
            return picture(
                int(hashlib.sha256(self.figure_id.encode()).hexdigest()[:4], 16), self.image_format
            )
        return self.image


def candidate(figure: Figure) -> FigureCandidate:
    image = figure.content
    return FigureCandidate(
        figure_id=figure.figure_id,
        paper_id=figure.paper_id,
        figure_number=str(figure.number),
        method="latex",
        environment="figure",
        labels=[f"fig:{figure.number}"],
        caption=figure.caption,
        sub_caption=None,
        parent_caption=None,
        caption_raw=figure.caption,
        mentions=[{"section": None, "text": text, "is_caption": False} for text in figure.mentions],
        graphics_path="a",
        image_member="a.png",
        page=None,
        bbox=None,
        confidence=None,
        image=image,
        image_format=figure.image_format if image else None,
        image_size_bytes=len(image) if image else None,
        source_size_bytes=None,
        width_px=24 if image else None,
        height_px=16 if image else None,
        sha256=hashlib.sha256(image).hexdigest() if image else None,
        renderer="none",
        rejection=None,
        evidence=None,
    )


def recaption(figure: Figure) -> Recaption:
    return Recaption(
        figure_id=figure.figure_id,
        paper_id=figure.paper_id,
        recaption=None if figure.rejection else figure.recaption,
        engine=figure.engine,
        model=None,
        model_revision=None,
        prompt_version="1",
        prompt_sha256="0" * 64,
        n_prompt_tokens=None,
        n_completion_tokens=None,
        finish_reason=None,
        flags=[],
        rejection=figure.rejection,
        evidence=None,
    )


def metric(figure: Figure) -> Metric:
    return Metric(
        figure_id=figure.figure_id,
        paper_id=figure.paper_id,
        caption_length_chars=len(figure.caption),
        recaption_length_chars=len(figure.recaption or ""),
        caption_pseudo_perplexity=None,
        recaption_pseudo_perplexity=None,
        caption_clip_score=None,
        recaption_clip_score=figure.clip_score,
        n_claims=2,
        n_grounded_claims=1,
        grounding=figure.grounding,
        ungrounded_claims=[],
        flags=[],
        rejection=figure.rejection,
    )


def paper(figure: Figure) -> Paper:
    return Paper(
        paper_id=figure.paper_id,
        method="latex",
        main_file="main.tex",
        encoding="utf-8",
        title=figure.title,
        abstract=None,
        authors=[],
        n_figures=1,
        n_rows=1,
        n_images=1,
        warnings=[],
        rejection=None,
        evidence=None,
    )


def metadata(figure: Figure) -> Metadata:
    return Metadata(
        paper_id=figure.paper_id,
        arxiv_id=figure.arxiv_id,
        doi=figure.doi,
        title=None,
        abstract=None,
        authors=[],
        categories=list(figure.categories),
        licence=figure.licence,
        first_posted=None,
        updated=None,
        version=None,
        is_withdrawn=figure.is_withdrawn,
        is_retracted=figure.is_retracted,
        licence_read="2026-11-01",
    )


def archive(figure: Figure) -> Archive:
    return Archive(
        paper_id=figure.paper_id,
        source=figure.source,
        year=2023,
        kind="latex",
        uri="src/arXiv_src_2301_001.tar",
        offset=512,
        length=1000,
        sha256="a" * 64,
        unpacked_bytes=None,
        n_members=None,
        n_images=None,
        rejection=None,
        evidence=None,
    )


def duplicate(figure: Figure) -> Duplicate:
    return Duplicate(
        figure_id=figure.figure_id,
        duplicate_of=figure.duplicate_of or "",
        rejection="near_duplicate",
        distance=4,
    )


def tables_of(figures: Sequence[Figure]) -> dict[tuple[str, str], pl.DataFrame]:
    """The tables that the stage reads, as the stages before it would have written them."""
    kept = [figure for figure in figures if not figure.is_filtered]
    papers = list({figure.paper_id: figure for figure in reversed(figures)}.values())
    return {
        ("raw_archives", "archives"): frame_of(Archive, [archive(figure) for figure in papers]),
        ("raw_archives", "metadata"): frame_of(Metadata, [metadata(figure) for figure in papers]),
        ("figure_candidates", "papers"): frame_of(Paper, [paper(figure) for figure in papers]),
        ("figure_candidates", "figures"): frame_of(
            FigureCandidate, [candidate(figure) for figure in figures]
        ),
        ("recaptions", "recaptions"): frame_of(Recaption, [recaption(figure) for figure in kept]),
        ("quality_metrics", "metrics"): frame_of(Metric, [metric(figure) for figure in kept]),
        ("duplicates", "duplicates"): frame_of(
            Duplicate, [duplicate(figure) for figure in kept if figure.duplicate_of]
        ),
    }


def make(
    figures: Sequence[Figure],
    *,
    partition: str = "arxiv|2023",
    shard: str = "chunk_001",
    settings: ReleaseSettings | None = None,
    inputs: Mapping[tuple[str, str], pl.DataFrame] | None = None,
) -> MemoryShard:
    """Make hf_release of one shard."""
    of_release = stage(settings or ReleaseSettings())
    made = MemoryShard(of_release, partition, shard, inputs or tables_of(figures))
    of_release.make(made, made)
    assert set(made.tables) == set(TABLES["hf_release"])
    return made


def archived_names(shard: MemoryShard) -> list[str]:
    """The names of the images in a shard's archive."""
    return [member.name for member in members(io.BytesIO(shard.files["images.tar.gz"] + END))]


class Pieces:
    """The pieces of several shards, as a store would give them."""

    def __init__(self, shards: Sequence[MemoryShard]) -> None:
        self._files: dict[tuple[str, int, str, str], bytes] = {}
        self.pieces: list[Piece] = []
        for shard in shards:
            source, year = shard.partition.split("|")
            self.pieces += pieces_of(source, int(year), shard.shard, shard.table("files"))
            for name, content in shard.files.items():
                self._files[source, int(year), shard.shard, name] = content

    def open(self, source: str, year: int, shard: str, name: str) -> BinaryIO:
        """Open one of them."""
        return io.BytesIO(self._files[source, year, shard, name])

    def publish(
        self, folder: Path, *, settings: ReleaseSettings | None = None, target: Any = None
    ) -> Publication:
        """Publish them all in a folder."""
        return publish(
            self.pieces,
            self.open,
            target or ReleaseFolder(path=str(folder)),
            settings=settings or ReleaseSettings(),
            texts=lambda history: {"README.md": f"# A dataset\n{len(history)} versions\n".encode()},
            dataset={"thresholds": {"min_bytes": 5120}},
            digesting=digesting,
        )


def example(**settings: Any) -> Pieces:
    """Two sources and years, three shards with rows, one without."""
    cut = ReleaseSettings(**settings)
    figure = Figure(doi="10.1000/a.b", categories=["cs.CV"], mentions=["Figure 1 shows α."])
    first = [replace(figure, number=n, panel=p) for n in (1, 2) for p in (1, 2)]
    old = [replace(figure, paper_id="math.GT/0309136", number=n, image_format="jpeg") for n in (1, 2, 3)]
    return Pieces(
        [
            make(first, shard="chunk_001", settings=cut),
            make([], shard="chunk_002", settings=cut),
            make(
                [replace(figure, paper_id="2301.09999", caption="Ünï — “code”")],
                shard="chunk_003",
                settings=cut,
            ),
            make(old, partition="arxiv|2003", settings=cut),
            make(
                [replace(figure, source="local", paper_id="Äpfel.v2 (neu)")],
                partition="local|2023",
                settings=cut,
            ),
        ]
    )


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
