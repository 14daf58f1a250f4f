"""The images of one paper: each file drawn once, however many figures show it, and not more than a worker holds."""

from collections.abc import Iterator, Mapping, Sequence

from s1mm_assets.extraction.raster import (
    FigureFile,
    Picture,
    RasterSettings,
    Refused,
    Renderers,
    rasterize_all,
)
from s1mm_assets.tables import Rejection

MAX_IMAGE_BYTES_PER_PAPER = 512 * 2**20  # results cross a pipe and wait in memory for their turn
TOO_MANY_IMAGES = Refused(
    Rejection.IMAGE_TOO_LARGE, f"the paper's images are more than {MAX_IMAGE_BYTES_PER_PAPER} bytes"
)
_FILES_AT_ONCE = 16  # share a Ghostscript; more save little
_BYTES_AT_ONCE = 64 * 2**20  # of source files, which renderers copy

Wanted = tuple[str, int | None]  # a bundle member, and the page of it


class Allowance:
    """How much a paper's pictures may still take."""

    def __init__(self) -> None:
        self._left_bytes = MAX_IMAGE_BYTES_PER_PAPER

    def take(self, image: Picture | Refused) -> Picture | Refused:
        """Return the image, or why it is one too many."""
        if isinstance(image, Picture):
            self._left_bytes -= len(image.image)
            return TOO_MANY_IMAGES if self.is_spent else image
        return image

    @property
    def is_spent(self) -> bool:
        """Whether the last picture was one too many, and so is each after it."""
        return self._left_bytes < 0


def paper_images(
    wanted: Sequence[Wanted | None],
    members: Mapping[str, bytes],
    *,
    renderers: Renderers,
    settings: RasterSettings,
) -> list[Picture | Refused | None]:
    """Return the image of each figure of a paper, in order; None for a figure that has no file.

    A picture that several figures show counts for each of them. From the one on that brings the paper over its limit,
    pictures are too large, and nothing more is drawn.
    """
    batches = _batches(list(dict.fromkeys(each for each in wanted if each is not None)), members)
    drawn: dict[Wanted, Picture | Refused] = {}
    images: list[Picture | Refused | None] = []
    allowance = Allowance()
    for each in wanted:
        if each is not None and each not in drawn and not allowance.is_spent:
            batch = next(batches)
            files = [FigureFile(members[member], member, page) for member, page in batch]
            drawn.update(
                zip(batch, rasterize_all(files, renderers=renderers, settings=settings), strict=True)
            )
        images.append(None if each is None else allowance.take(drawn.get(each, TOO_MANY_IMAGES)))
    return images


def _batches(order: Sequence[Wanted], members: Mapping[str, bytes]) -> Iterator[list[Wanted]]:
    """Yield what is drawn together, in order: few enough files, few enough bytes, at least one."""
    batch: list[Wanted] = []
    n_bytes = 0
    for each in order:
        size = len(members[each[0]])
        if batch and (len(batch) == _FILES_AT_ONCE or n_bytes + size > _BYTES_AT_ONCE):
            yield batch
            batch, n_bytes = [], 0
        batch.append(each)
        n_bytes += size
    if batch:
        yield batch
