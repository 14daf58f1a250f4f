"""Rehydration: the images that licences keep out of a release, rebuilt from the user's own copy of the papers.

A paper is read again as figure_candidates reads it, and a figure counts as rebuilt only where its image is the same
to the byte. What comes out is a release of its own, which verifies and loads; it is not for passing on.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from s1mm_assets.archives.arxiv import parse_id
from s1mm_assets.archives.local import papers_in, unique_ids
from s1mm_assets.extraction import PaperJob, PaperRead, PaperReader
from s1mm_assets.release import Piece, Publication, ReleaseSettings, publish
from s1mm_assets.release.contents import parse
from s1mm_assets.release.layout import RECIPES, pieces_of
from s1mm_assets.release.papers import link_of
from s1mm_assets.release.pieces import Pieces
from s1mm_assets.release.records import RECORD, caption_sha256
from s1mm_assets.release.settings import ALL
from s1mm_assets.resources.file_digests import digesting
from s1mm_assets.resources.release_folder import LocalFolder, ReleaseFolder
from s1mm_assets.resources.sources.reading import RangeReader, delivery_at, files_under
from s1mm_assets.resources.sources.registry import BundleReader, Sources
from s1mm_assets.stages import MapItems
from s1mm_assets.tables import FigureCandidate, ReleaseFile, frame_of

MAX_LINE_BYTES = 64 * 2**20
REBUILT = "rebuilt"
PUBLISHED = "published"  # the kind of what was imported from a release of others
IMPORTED = "imported from a published dataset, not made from a paper"
NO_PAPER, NO_FIGURE, OTHER_IMAGE, OTHER_CAPTION, NOT_READ = (
    *("paper not among your papers", "no such figure in your copy"),
    *("the image is not the same", "the caption is not the same", "the paper could not be read"),
)
README = """# {title}: images rebuilt

{n:,} figures whose licences keep their images out of the dataset, rebuilt from a copy of their papers. Every image is
the same to the byte as the one that the dataset was made with. Their licences do not allow to pass them on.
"""


class RehydrationError(Exception):
    """Nothing can be rebuilt from what is there; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A paper in the user's copy."""

    root: str
    uri: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Reader:
    """The picklable function that a worker applies: reads a paper wherever its copy lies."""

    read: PaperReader

    def __call__(self, job: tuple[str, PaperJob]) -> Any:
        """Read one paper."""
        root, paper = job
        return replace(self.read, read_bundle=BundleReader(RangeReader(root)))(paper)


@dataclass(slots=True)
class Rehydration:
    """What came of it."""

    counts: Counter[str] = field(default_factory=Counter)  # outcome → records
    failed: list[dict[str, Any]] = field(default_factory=list)  # figure_id, outcome and evidence of the rest
    publication: Publication | None = None


def rehydrate(
    release: LocalFolder,
    papers: Path,
    target: ReleaseFolder,
    *,
    reader: PaperReader,
    map_papers: MapItems,
) -> Rehydration:
    """Rebuild the images of a release's recipes.

    Args:
        release: The release, of which recipes are needed and nothing else.
        papers: The user's copy: a folder as S1MM_SOURCES is, or one of bundles and PDFs named by paper.
        target: Where what was rebuilt goes.
        reader: Reads a paper as the pipeline does.
        map_papers: Applies it, each paper apart from this process.

    Raises:
        RehydrationError: The release has no recipes.
    """
    found = {path: match for path in release.files() if (match := RECIPES.fullmatch(path))}
    if not found:
        raise RehydrationError(f"{release.root} has no recipes: there is nothing whose image was kept back")
    outcome = Rehydration()
    with tempfile.TemporaryDirectory(prefix=".s1mm-rehydrate-", dir=target.root.parent) as work:
        pieces = PieceFolder(Path(work))
        for path, match in sorted(found.items()):
            year = Year(match["source"], int(match["year"]), Recipes(release, path))
            read = year.read(papers, Reader(reader), map_papers)
            pieces.write(year.source, year.number, year.rebuilt(read, outcome))
        outcome.publication = publish(
            pieces.pieces,
            pieces.open,
            target,
            settings=ReleaseSettings(licence_policy=ALL),
            texts=lambda _: {
                "README.md": README.format(title=release.root.name, n=outcome.counts[REBUILT]).encode()
            },
            dataset={"licence_policy": ALL, "rebuilt_from": "recipes"},
            digesting=digesting,
        )
    return outcome


class Recipes:
    """The recipes of one source and year: of each paper, where its lines are."""

    def __init__(self, release: LocalFolder, path: str) -> None:
        self._open = partial(release.open, path)
        self._places: dict[str, list[int]] = {}
        at = 0
        with self._open() as stream:
            while line := stream.readline(MAX_LINE_BYTES):
                self._places.setdefault(paper_in(line, path), []).append(at)
                at += len(line)

    def __iter__(self) -> Iterator[str]:
        """Yield the papers."""
        return iter(self._places)

    def __contains__(self, paper_id: object) -> bool:
        """Whether there is a recipe of a paper."""
        return paper_id in self._places

    def of(self, paper_id: str) -> Iterator[dict[str, Any]]:
        """Yield the recipes of a paper."""
        with self._open() as stream:
            for at in self._places[paper_id]:
                stream.seek(at)
                yield json.loads(stream.readline(MAX_LINE_BYTES))


def paper_in(line: bytes, path: str) -> str:
    """Return the paper of a recipe.

    Raises:
        RehydrationError: The line is none.
    """
    recipe = parse(line)
    needed = {*RECORD.names, "recipe"}
    if recipe is None or needed - recipe.keys() or not isinstance(recipe["recipe"], dict):
        raise RehydrationError(
            f"{path} holds a line that is no recipe: verify the release, and download it again"
        )
    return str(recipe["paper_id"])


@dataclass(frozen=True, slots=True)
class Year:
    """The recipes of one source and year."""

    source: str
    number: int
    papers: Recipes

    def read(
        self, folder: Path, reader: Reader, map_papers: MapItems
    ) -> Iterator[tuple[str, PaperRead | str | None]]:
        """Yield each paper with what was read of it; None where there is no copy, a text where it failed."""
        copies = dict(self._copies(folder))
        jobs = [(copies[paper_id].root, self._job(paper_id, copies[paper_id])) for paper_id in copies]
        for (_, job), read in zip(
            jobs, map_papers(reader, jobs, what="papers", total=len(jobs)), strict=True
        ):
            yield job.paper_id, read if isinstance(read, PaperRead) else str(read.evidence)
        yield from ((paper_id, None) for paper_id in self.papers if paper_id not in copies)

    def _job(self, paper_id: str, copy: Copy) -> PaperJob:
        return PaperJob(
            source=self.source, paper_id=paper_id, uri=copy.uri, offset=copy.offset, length=copy.length
        )

    def _copies(self, folder: Path) -> Iterator[tuple[str, Copy]]:
        """Yield the papers that the user has, loose files first, so that a source's own chunks count more."""
        root = str(folder.absolute())
        for uri, name in unique_ids(papers_in([file.uri for file in files_under(root)])).items():
            arxiv_id = parse_id(name)
            paper_id = arxiv_id.paper_id if arxiv_id and self.source == "arxiv" else name
            delivered = delivery_at(root, uri)
            if paper_id in self.papers and delivered:
                yield paper_id, Copy(root, uri, 0, delivered.size)
        if (folder / self.source).is_dir():
            sources = Sources(root=root)
            source = sources.of(self.source)
            for chunk in source.chunks(self.number):
                for each in source.deliveries(chunk.name, self.number):
                    if each.paper_id in self.papers:
                        yield (
                            each.paper_id,
                            Copy(sources.folder(self.source), each.uri, each.offset, each.length),
                        )

    def rebuilt(
        self, read: Iterable[tuple[str, PaperRead | str | None]], outcome: Rehydration
    ) -> Iterator[tuple[dict[str, Any], bytes, PaperRead]]:
        """Yield every record with its image, and count what became of all."""
        for paper_id, paper in read:
            for recipe in self.papers.of(paper_id):
                figure, failure, evidence = match_of(recipe, paper)
                outcome.counts[failure or REBUILT] += 1
                if figure is not None and isinstance(paper, PaperRead):
                    yield record_of(recipe, figure), figure.image or b"", paper
                else:
                    outcome.failed.append(
                        {"figure_id": recipe["figure_id"], "outcome": failure, "evidence": evidence}
                    )


def match_of(
    recipe: Mapping[str, Any], paper: PaperRead | str | None
) -> tuple[FigureCandidate | None, str | None, str | None]:
    """Return the figure that is the recipe's, or why there is none, and the evidence."""
    if recipe["recipe"].get("kind") == PUBLISHED:
        return None, IMPORTED, recipe["recipe"].get("uri")
    if paper is None:
        return None, NO_PAPER, None
    if isinstance(paper, str):
        return None, NOT_READ, paper
    same = [figure for figure in paper.figures if figure.sha256 == recipe["image_sha256"]]
    named = [figure for figure in paper.figures if figure.figure_id == recipe["figure_id"]]
    told = [
        figure for figure in same if caption_sha256(figure.caption) == recipe["recipe"].get("caption_sha256")
    ]
    if told:
        return next((figure for figure in told if figure in named), told[0]), None, None
    if same:
        return (
            None,
            OTHER_CAPTION,
            f"{same[0].figure_id} of your copy has the image, and says something else of it",
        )
    if not named:
        return None, NO_FIGURE, paper.paper.rejection
    rendered = (
        named[0].evidence
        or f"made by {named[0].renderer}, the recipe's by {recipe['recipe'].get('renderer')}"
    )
    return None, OTHER_IMAGE, rendered


def record_of(recipe: Mapping[str, Any], figure: FigureCandidate) -> dict[str, Any]:
    """Return a recipe's record with the authors' words again."""
    own = {
        "caption": figure.caption,
        "sub_caption": figure.sub_caption,
        "parent_caption": figure.parent_caption,
        "mentions": [mention["text"] for mention in figure.mentions],
    }
    return {name: recipe[name] for name in RECORD.names} | own


class PieceFolder:
    """Pieces in a local folder, one shard per source and year."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.pieces: list[Piece] = []

    def write(self, source: str, year: int, rows: Iterable[tuple[dict[str, Any], bytes, PaperRead]]) -> None:
        """Write the records of one year with their images."""
        folder = self._root / source / str(year)
        folder.mkdir(parents=True)
        attributions: dict[str, dict[str, Any]] = {}
        with ExitStack() as opened:
            pieces = Pieces(FolderWriter(folder), ReleaseSettings(), opened)
            for record, image, paper in rows:
                pieces.add(record, image)
                row = attributions.setdefault(record["paper_id"], attribution_of(record, paper))
                row["n_figures"] += 1
            for row in attributions.values():
                pieces.add_row("attribution", row)
            files = pieces.close(source, str(year))
        self.pieces += pieces_of(source, year, "rebuilt", frame_of(ReleaseFile, files))

    def open(self, source: str, year: int, shard: str, name: str) -> BinaryIO:  # noqa: ARG002
        """Open a piece."""
        return (self._root / source / str(year) / name).open("rb")


@dataclass(frozen=True, slots=True)
class FolderWriter:
    """Puts the files of a shard into a local folder."""

    folder: Path

    @contextmanager
    def file(self, name: str) -> Iterator[BinaryIO]:
        """Open a file for writing."""
        with (self.folder / name).open("wb") as stream:
            yield stream


def attribution_of(record: Mapping[str, Any], paper: PaperRead) -> dict[str, Any]:
    """Return the attribution of a rebuilt record's paper, with no figures counted yet."""
    return {
        **{name: record[name] for name in ("paper_id", "arxiv_id", "doi", "title")},
        "authors": list(paper.paper.authors),
        "link": link_of(record),
        **{name: record[name] for name in ("licence", "licence_url")},
        "n_figures": 0,
    }
