"""What is written in an image: read once, for the filters, for the semantic window and for grounding.

Who reads is handed in: resources/text_reader.py. Images are untrusted: any bytes give a row.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from s1mm_assets.decoding import ImageTooLargeError, open_rgb
from s1mm_assets.filtering.settings import TextSettings
from s1mm_assets.sampling import is_sampled, sample
from s1mm_assets.stages import Failed, MapItems, ShardReader, ShardWriter, Stage
from s1mm_assets.tables import FigureText, Rejection, frame_of

VERSION = "1"
MAX_LINES = 1_000
MAX_CHARS = 20_000  # of one image; a page of small print has 10,000
FIGURES = "figure_candidates"


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text: how sure the reader is, 0 to 1, and its upright box in pixels, origin top-left."""

    text: str
    confidence: float
    x0: float
    y0: float
    x1: float
    y1: float


class TextReader(Protocol):
    """Reads the text in an image. Picklable, and made ready in the worker."""

    component: ClassVar[str]  # its name in `environment`

    def __call__(self, pixels: NDArray[np.uint8]) -> list[TextLine]:
        """Return the lines of an RGB image, shape (height, width, 3).

        Raises:
            TextReaderError: It cannot read here.
        """


class TextReaderError(Exception):
    """The reader is missing or failed; not the image's fault."""

    def __init__(self, rejection: Rejection, evidence: str) -> None:
        super().__init__(evidence)
        self.rejection = rejection
        self.evidence = evidence

    def __reduce__(self) -> tuple[type["TextReaderError"], tuple[Rejection, str]]:
        return TextReaderError, (self.rejection, self.evidence)


def texts_stage(
    *, map_items: MapItems, reader: TextReader, settings: TextSettings, environment: Mapping[str, str]
) -> Stage:
    """Return the stage that reads the text in each sampled image that extraction did not reject.

    Args:
        map_items: Reads images apart from this process.
        reader: Who reads.
        settings: Of which images.
        environment: The reader's version, by its component's name.
    """

    def make(shard: ShardReader, writer: ShardWriter) -> None:
        names: deque[str] = deque()
        read = partial(read_text, reader=reader, settings=settings)
        results = map_items(read, _jobs(shard, settings, names), what="images to read")
        rows = [_row(names.popleft(), result) for result in results]
        writer.write("texts", frame_of(FigureText, rows))
        if rows:
            writer.used(reader.component)

    return Stage(
        asset="figure_texts",
        version=VERSION,
        tables={"texts": FigureText},
        make=make,
        reads={FIGURES: {"figures": ("figure_id", "image", "rejection")}} if settings.sample_share else {},
        settings=shaping(settings),
        environment=environment,
    )


def shaping(settings: TextSettings) -> dict[str, float]:
    """Return the settings that shape the data: of no sample its share alone, of all images no seed."""
    if not settings.sample_share:
        return {"sample_share": 0}
    closeness = {"max_side_px": settings.max_side_px, "min_confidence": settings.min_confidence}
    return {**sample(settings.sample_share, settings.seed), **closeness}


def _jobs(shard: ShardReader, settings: TextSettings, names: deque[str]) -> Iterator[tuple[str, bytes]]:
    """Yield id and image of each figure to read; note the id."""
    if not settings.sample_share:
        return
    for figures in shard.scan(FIGURES, "figures"):
        sampled = is_sampled(figures["figure_id"], share=settings.sample_share, seed=settings.seed)
        wanted = figures.filter(sampled & pl.col("rejection").is_null() & pl.col("image").is_not_null())
        for figure_id, image in wanted.select("figure_id", "image").iter_rows():
            names.append(figure_id)
            yield figure_id, image


def _row(figure_id: str, result: FigureText | Failed) -> FigureText:
    return unread(figure_id, result.rejection, result.evidence) if isinstance(result, Failed) else result


def read_text(job: tuple[str, bytes], *, reader: TextReader, settings: TextSettings) -> FigureText:
    """Return what is written in one image; whatever the bytes are, a row comes back."""
    figure_id, data = job
    try:
        image = open_rgb(data)
    except ImageTooLargeError as error:
        return unread(figure_id, Rejection.IMAGE_TOO_LARGE, str(error))
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
        return unread(figure_id, Rejection.IMAGE_UNREADABLE, type(error).__name__)
    scale = max(1.0, max(image.size) / settings.max_side_px)
    if scale > 1:
        size = (max(1, round(image.width / scale)), max(1, round(image.height / scale)))
        image = image.resize(size, Image.Resampling.BOX, reducing_gap=2)
    try:
        lines = reader(np.asarray(image))
    except TextReaderError as error:
        return unread(figure_id, error.rejection, error.evidence)
    kept = [line for line in lines if line.confidence >= settings.min_confidence and line.text.strip()]
    return FigureText(
        figure_id=figure_id, lines=_rows(in_reading_order(kept), scale), rejection=None, evidence=None
    )


def in_reading_order(lines: list[TextLine]) -> list[TextLine]:
    """Sort lines from top to bottom, and from left to right where they stand at one height."""
    rows: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda each: (each.y0 + each.y1, each.x0, each.text)):
        middle = (line.y0 + line.y1) / 2
        if rows and rows[-1][0].y0 <= middle <= rows[-1][0].y1:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda each: (each.x0, each.y0, each.text))]


def _rows(lines: list[TextLine], scale: float) -> list[dict[str, float | str]]:
    """The lines as the table holds them, in pixels of the whole image, up to `MAX_LINES` and `MAX_CHARS`."""
    rows: list[dict[str, float | str]] = []
    n_chars = 0
    for line in lines[:MAX_LINES]:
        n_chars += len(line.text)
        if n_chars > MAX_CHARS:
            break
        corners = (line.x0, line.y0, line.x1, line.y1)
        box = {
            name: round(value * scale, 1)
            for name, value in zip(("x0", "y0", "x1", "y1"), corners, strict=True)
        }
        rows.append({"text": " ".join(line.text.split()), "confidence": round(line.confidence, 3), **box})
    return rows


def unread(figure_id: str, rejection: str, evidence: str) -> FigureText:
    """Return the row of an image whose text could not be read."""
    return FigureText(figure_id=figure_id, lines=[], rejection=rejection, evidence=evidence)
