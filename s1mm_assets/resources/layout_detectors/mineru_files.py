"""MinerU's output files as a layout detector: those of a paper are found by its name in a folder."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from s1mm_assets.extraction.pdf.layout import LayoutBox, LayoutError, PageView
from s1mm_assets.extraction.pdf.mineru import MAX_BYTES, boxes_of
from s1mm_assets.tables import Rejection

# The first that can be read is taken. The last is how version 4 names its middle.json.
_ENDINGS = ("_middle.json", "_content_list.json", "_model.json", ".json")


@dataclass(frozen=True, slots=True)
class MinerUFiles:
    """`LayoutDetector` that reads what MinerU wrote of each paper before.

    For the paper `ID` it looks for `ID_middle.json`, then `ID_content_list.json`, `ID_model.json` and
    `ID.json`, in the folder, in its subfolder `ID`, and in the subfolders of that (`ID/auto`, `ID/vlm` …).
    A slash in an id is looked for as nothing, as arXiv does in the names of its files, and as `_`.
    """

    component: ClassVar[str] = "mineru-files"

    folder: Path

    def __call__(self, name: str, data: bytes, pages: Sequence[PageView]) -> list[tuple[LayoutBox, ...]]:  # noqa: ARG002
        """Return the boxes that the paper's file states for each page."""
        return boxes_in(documents_of(name, self.folder), name, pages)


def documents_of(name: str, folder: Path) -> Iterator[bytes]:
    """Yield what the files of a paper hold, the one to be taken first."""
    for path in _files_of(name, folder):
        with path.open("rb") as file:
            yield file.read(MAX_BYTES + 1)


def boxes_in(documents: Iterable[bytes], name: str, pages: Sequence[PageView]) -> list[tuple[LayoutBox, ...]]:
    """Return the boxes that the first of a paper's files that can be read states for each page.

    Raises:
        LayoutError: There is no file, or none that can be read.
    """
    refused = None
    for document in documents:
        try:
            boxes = boxes_of(document, {page.number: _size_in_file(page) for page in pages})
        except LayoutError as error:
            refused = refused or error
            continue
        return [tuple(_turned(box, page) for box in boxes.get(page.number, ())) for page in pages]
    if refused is not None:
        raise refused
    expected = f"{name.replace('/', '')}{_ENDINGS[0]}"
    raise LayoutError(Rejection.RENDERER_MISSING, f"there is no MinerU output of this paper: {expected}")


def _size_in_file(page: PageView) -> tuple[float, float]:
    """Return a page's width and height in points as the PDF has it, before it was turned to be read."""
    sideways = page.turn in (90, 270)
    return (page.height_pt, page.width_pt) if sideways else (page.width_pt, page.height_pt)


def _turned(box: LayoutBox, page: PageView) -> LayoutBox:
    """Return a box on a page of the PDF as one on the page as it was turned to be read."""
    from s1mm_assets.extraction.pdf.document import as_displayed

    return replace(box, bbox=as_displayed(box.bbox, -page.turn % 360, _size_in_file(page)))


def digest_of(folder: Path) -> str:
    """Return what changes when a file of MinerU's in a folder comes, goes or gets another size."""
    listing = hashlib.sha256()
    for path in sorted(folder.rglob("*.json")):
        listing.update(
            f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode(errors="surrogateescape")
        )
    return listing.hexdigest()


def _files_of(name: str, folder: Path) -> Iterator[Path]:
    for stem in dict.fromkeys((name.replace("/", ""), name.replace("/", "_"))):
        if stem in {"", ".", ".."}:
            continue
        with suppress(OSError):  # no such folder, or a name that is too long for one
            own = folder / stem
            below = sorted(path for path in own.iterdir() if path.is_dir()) if own.is_dir() else []
            for place in (folder, own, *below):
                candidates = (place / f"{stem}{ending}" for ending in _ENDINGS)
                yield from (path for path in candidates if path.is_file())
