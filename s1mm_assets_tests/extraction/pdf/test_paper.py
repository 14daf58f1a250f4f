"""Whole papers: what comes of them, the same each time, and what files made to do harm can do."""

import re
import subprocess
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from s1mm_assets.extraction import images
from s1mm_assets.extraction.pdf import PdfSettings, captions, paper
from s1mm_assets.extraction.pdf.layout import LayoutError
from s1mm_assets.extraction.raster import RasterSettings
from s1mm_assets.tables import Rejection
from s1mm_assets_tests.extraction.pdf.reading import (
    Told,
    extent,
    figure_box,
    only_figure,
    paired,
    read,
    stopwatches,
)
from s1mm_assets_tests.extraction.pdf.sheets import BOTH, LEFT, RIGHT, Sheet, bind, picture, prose

PLOT = (110.0, 130.0, 480.0, 300.0)
LOCKED = b"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>>/ID[<00><00>]" % (b"5a" * 32, b"a5" * 32)


def figure_sheet(number: int = 1) -> Sheet:
    """A page with a figure, its caption, and a paragraph that cites it."""
    sheet = Sheet().plot(*PLOT)
    sheet.flow(BOTH, 320, [("Helvetica-Bold", f"Figure {number}. "), ("Helvetica", prose(30, number))], 8)
    sheet.flow(LEFT, 450, f"{prose(40)} The current rose (Fig. {number}). {prose(30)}")
    sheet.flow(RIGHT, 450, prose(100, 3))
    return sheet


GOOD = bind(figure_sheet())


def pixels(image: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(BytesIO(image)).convert("RGB"))


def test_a_paper_is_read_whole() -> None:
    """Each figure is a row in reading order, with number, kind, caption, place, picture and mentions."""
    found = read(bind(figure_sheet(1), Sheet(), figure_sheet(2)))

    assert (found.rejection, found.n_pages, found.warnings) == (None, 3, [])
    assert [(each.figure_ordinal, each.figure_number, each.kind, each.page) for each in found.figures] == [
        (1, "1", "figure", 0),
        (2, "2", "figure", 2),
    ]
    for number, figure in enumerate(found.figures, 1):
        assert figure.caption == prose(30, number)
        assert figure.bbox == pytest.approx(PLOT, abs=2.5)
        assert (figure.rejection, figure.evidence) == (None, None)
        assert figure.picture is not None
        assert [page for page, _ in figure.caption_boxes] == [figure.page]
        assert [f"(Fig. {number})" in str(mention["text"]) for mention in figure.mentions] == [True]


def test_a_paper_is_the_same_each_time() -> None:
    """The same bytes in, the same rows and pictures out."""
    data = bind(figure_sheet(1), figure_sheet(2))

    assert read(data, raster=RasterSettings()) == read(data, raster=RasterSettings())


def test_a_crop_holds_the_figure_and_nothing_else() -> None:
    """Ink touches all four sides within a few pixels, and the caption is not in it."""
    figure = only_figure(read(GOOD, raster=RasterSettings()))

    assert figure.picture is not None
    assert figure.bbox is not None
    (_, caption), *_ = figure.caption_boxes
    assert figure.bbox[3] <= caption.y0
    image = pixels(figure.picture.image)
    height, width = image.shape[:2]
    top, bottom, left, right = extent(image.min(axis=2) < 128)
    assert max(top, left, height - 1 - bottom, width - 1 - right) < 12
    px_per_pt = width / (figure.bbox[2] - figure.bbox[0])
    assert bottom - top == pytest.approx((PLOT[3] - PLOT[1]) * px_per_pt, abs=4)
    assert (width, height) == (figure.picture.width_px, figure.picture.height_px)


def test_a_crop_is_drawn_from_the_page_s_vectors() -> None:
    """Its resolution is the one that the settings ask for, not the one at which the page was looked at."""
    small, large = (
        only_figure(read(GOOD, raster=RasterSettings(max_side_px=side))).picture for side in (300, 1500)
    )

    assert small is not None
    assert large is not None
    assert small.width_px == pytest.approx(300, abs=2)
    assert large.width_px == pytest.approx(1500, abs=2)
    assert (small.renderer, small.image_format) == ("pdfium", "png")


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_crop_of_a_turned_page_is_the_same_picture(rotation: int) -> None:
    """What is released is what a reader sees."""
    turned = figure_sheet()
    turned.rotation, turned.crop = rotation, (13, 29)

    one, other = (only_figure(read(data, raster=RasterSettings())).picture for data in (GOOD, bind(turned)))

    assert one is not None
    assert other is not None
    assert (one.width_px, one.height_px) == (other.width_px, other.height_px)
    differs = np.abs(pixels(one.image).astype(int) - pixels(other.image)).max(axis=2) > 100
    assert differs.mean() < 0.01


def test_what_is_not_sure_enough_has_no_picture() -> None:
    """The row says where it would have been, how sure that is, and why it is not taken."""
    figure = only_figure(read(GOOD, settings=PdfSettings(min_confidence=0.99)))

    assert figure.rejection is Rejection.ASSOCIATION_UNCERTAIN
    assert figure.picture is None
    assert figure.bbox == pytest.approx(PLOT, abs=2.5)
    assert figure.confidence is not None
    assert 0 < figure.confidence < 0.99
    assert figure.evidence is not None
    assert str(figure.confidence) in figure.evidence


def test_a_detector_that_agrees_makes_a_pair_surer() -> None:
    """From doubtful enough to be shown to sure enough to be trusted."""
    alone = only_figure(read(GOOD)).confidence
    agreed = only_figure(read(GOOD, Told({0: [figure_box(*PLOT)]}))).confidence

    assert alone is not None
    assert agreed is not None
    assert 0.3 < alone < 0.8 < agreed <= 1


def test_a_detector_is_shown_every_page_once() -> None:
    """In order, however many are shown at once."""
    detector = Told()

    read(bind(*[figure_sheet(number) for number in range(1, 11)]), detector)

    assert detector.shown == list(range(10))


def test_a_detector_that_cannot_say_rejects_the_paper() -> None:
    """Its reason is the paper's."""

    class Broken(Told):
        def __call__(self, *_: object) -> list[tuple[()]]:  # type: ignore[override]
            raise LayoutError(Rejection.RENDERER_MISSING, "no such engine")

    found = read(GOOD, Broken())

    assert (found.rejection, found.evidence, found.figures) == (
        Rejection.RENDERER_MISSING,
        "no such engine",
        [],
    )


@pytest.mark.parametrize(
    ("data", "rejections"),
    [
        (b"", {Rejection.CORRUPT}),
        (b"\0" * 1000, {Rejection.CORRUPT}),
        (b"%PDF-1.7\n", {Rejection.CORRUPT}),
        (GOOD[: len(GOOD) // 2], {Rejection.CORRUPT}),
        (GOOD.replace(b"/Kids[10 0 R]", b"/Kids[2 0 R]"), {Rejection.CORRUPT}),
        (bind(), {Rejection.EMPTY, Rejection.CORRUPT}),
        (bind(figure_sheet(), trailer=LOCKED), {Rejection.ENCRYPTED}),
        (bind(figure_sheet(), trailer=b"/Encrypt<</Filter/Own>>"), {Rejection.ENCRYPTED}),
        (bind(*[Sheet()] * 2001), {Rejection.TOO_LARGE}),
    ],
    ids=["empty", "zeros", "head", "half", "loop", "zero pages", "locked", "own lock", "2001 pages"],
)
def test_files_that_cannot_be_read_say_why(data: bytes, rejections: set[Rejection]) -> None:
    """One rejection with evidence for the whole paper, and no figure."""
    found = read(data)

    assert found.rejection in rejections
    assert found.evidence
    assert found.figures == []


@pytest.mark.needs("gs")  # which locks the file
@pytest.mark.parametrize(("password", "rejection"), [("secret", Rejection.ENCRYPTED), ("", None)])
def test_a_file_is_locked_by_a_password_only(
    tmp_path: Path, password: str, rejection: Rejection | None
) -> None:
    """One that forbids printing, but asks for no password, is read."""
    (tmp_path / "open.pdf").write_bytes(GOOD)
    options = ["-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", "-sDEVICE=pdfwrite", "-sOwnerPassword=own"]
    options += [f"-sUserPassword={password}", "-dEncryptionR=3", "-dKeyLength=128", "-dPermissions=-3904"]
    command = ["gs", *options, f"-sOutputFile={tmp_path / 'locked.pdf'}", str(tmp_path / "open.pdf")]
    subprocess.run(command, check=True, timeout=60, capture_output=True)

    found = read((tmp_path / "locked.pdf").read_bytes())

    assert found.rejection is rejection
    assert len(found.figures) == (rejection is None)


@pytest.mark.parametrize(
    "size",
    [(1e9, 1e9), (1e5, 1e5), (14_400.0, 14_400.0), (1.0, 1e6), (0.0, 0.0), (-5.0, 10.0), (0.001, 0.001)],
    ids=str,
)
def test_a_page_of_any_size_is_looked_at(size: tuple[float, float]) -> None:
    """Large pages are looked at coarsely, impossible ones not; those without a size do no harm."""
    found = read(bind(Sheet(*size).text(50, 350, "Figure 1. Cells at rest.").plot(50, 60, 300, 200)))

    assert found.rejection is (Rejection.TOO_LARGE if max(size) > 14_400 else None)
    assert all(side >= 0 for figure in found.figures for side in figure.bbox or [])


def slow_sheet() -> Sheet:
    """A page that takes many steps to draw, with a caption."""
    sheet = figure_sheet()
    for index in range(1_000):
        sheet.line(110, 130, 480, 130 + index / 6, 0.1)
    return sheet


def test_a_page_that_takes_too_long_costs_its_own_figures() -> None:
    """They are rows with a reason; those of other pages are found."""
    found = read(bind(slow_sheet(), Sheet(), figure_sheet(2)), stopwatch=stopwatches(True, False))

    slow, other = found.figures
    assert (slow.figure_number, slow.rejection, slow.picture) == ("1", Rejection.TIMED_OUT, None)
    assert slow.caption == prose(30, 1)
    assert (other.figure_number, other.rejection) == ("2", None)
    assert found.warnings == ["page 0: timed_out"]
    assert found.rejection is None


def test_a_figure_that_takes_too_long_is_a_row_without_a_picture() -> None:
    """The page was looked at in time; the picture at full resolution was not drawn in time."""
    figure = only_figure(read(bind(slow_sheet()), stopwatch=stopwatches(False, True)))

    assert (figure.rejection, figure.picture) == (Rejection.TIMED_OUT, None)
    assert figure.bbox is not None


def test_pictures_of_one_paper_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond it is rejected, and its row stays."""
    monkeypatch.setattr(images, "MAX_IMAGE_BYTES_PER_PAPER", 1)

    figure = only_figure(read(GOOD))

    assert figure.rejection is Rejection.IMAGE_TOO_LARGE
    assert figure.picture is None


def test_figures_of_one_paper_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of captions does not become any number of rows; the paper says that some were left out."""
    monkeypatch.setattr(paper, "MAX_FIGURES", 2)

    found = read(bind(*[figure_sheet(number) for number in range(1, 5)]))

    assert list(paired(found)) == ["1", "2"]
    assert found.warnings == ["4 figures; only the first 2 were kept"]


def test_captions_of_one_page_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those below are no rows; the paper says so, and other pages have theirs."""
    monkeypatch.setattr(captions, "MAX_CAPTIONS_PER_PAGE", 1)
    crowded = figure_sheet(2).plot(110, 580, 480, 650)
    crowded.flow(BOTH, 680, "Figure 3. " + prose(30, 3), 8)

    found = read(bind(figure_sheet(1), crowded))

    assert [figure.figure_number for figure in found.figures] == ["1", "2"]
    assert found.warnings == ["page 1: its last 1 captions were left out"]


def test_what_a_paper_says_of_its_pages_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first pages stand for the others; that figures were left out is said before."""
    monkeypatch.setattr(paper, "MAX_FIGURES", 1)
    monkeypatch.setattr(paper, "MAX_WARNINGS", 3)
    pages = bind(*[figure_sheet(number) for number in range(1, 5)], Sheet())

    found = read(pages, stopwatch=stopwatches(True, True, True, True, False))

    assert found.warnings == [
        "4 figures; only the first 1 were kept",
        "page 0: timed_out",
        "page 1: timed_out",
    ]


@pytest.mark.parametrize(
    "image",
    [
        picture(8_000, 8_000, zlib.compress(b"\x40" * 24_000 * 8_000, 1)),
        picture(60_000, 60_000, zlib.compress(b"\x40" * 1_000)),
        picture(2**31 - 1, 2**31 - 1, b""),
        picture(0, 0, b""),
        picture(-5, 5, b"x"),
        b"<</Type/XObject/Subtype/Form/BBox[0 0 1 1]/Resources<</XObject<</Im 9 0 R>>>>/Length 6>>"
        b"stream\n/Im Do\nendstream",
    ],
    ids=["bomb", "short bomb", "vast", "empty", "negative", "itself"],
)
def test_an_image_bomb_does_no_harm(image: bytes) -> None:
    """Images that are larger than they can be cost at most their own figure."""
    bomb = Sheet().photo(*PLOT)
    bomb.flow(BOTH, 320, "Figure 2. " + prose(30, 2), 8)

    found = read(bind(bomb, figure_sheet(1), image=image))

    assert found.rejection is None
    assert {each.figure_number for each in found.figures} == {"1", "2"}
    assert "1" in paired(found)


def test_a_million_characters_are_read_up_to_a_limit() -> None:
    """What a page hides in tiny type costs neither the other pages nor much time; the paper says what was left."""
    rows = (b"(" + b"abcd efg " * 100 + b") Tj 0 -1 Td ") * 1_200
    hidden = Sheet().raw(b"BT /F1 1 Tf 1 0 0 -1 10 10 Tm " + rows + b"ET")

    found = read(bind(hidden, figure_sheet(1)))

    assert list(paired(found)) == ["1"]
    (warning,) = found.warnings
    assert re.fullmatch(r"page 0: its last 88\d{4} characters were not read", warning)


@pytest.mark.parametrize("meaning", ["\x00", "\x07", "\ufffe", "F", "\n", " ", "-", "1"], ids=ascii)
def test_a_text_layer_of_garbage_does_no_harm(meaning: str) -> None:
    """A font that calls every letter the same gives no caption and no error, and costs no other page."""
    words = [("Mapped", "Figure 1. " + prose(60))]
    garbled = Sheet().plot(*PLOT)
    garbled.flow(BOTH, 320, words)
    letters = dict.fromkeys("abcdefghijklmnopqrstuvwxyzFT", meaning)

    found = read(bind(garbled, figure_sheet(1), meanings=letters))

    assert found.rejection is None
    assert "1" in paired(found)
    for figure in found.figures:
        figure.caption.encode()


@pytest.mark.parametrize(
    "code",
    [
        b"q " * 20_000,
        b"Q " * 20_000,
        b"[" * 20_000,
        b"<<" * 20_000,
        b"/Im Do " * 2_000,
        b"1e400 0 0 1e400 0 0 cm 0 0 1 1 re f",
        b"nan nan m inf inf l S",
        b"0 0 m " + b"1 1 2 2 3 3 c " * 20_000 + b"S",
        b"BT /F1 10 Tf " + b"(x) Tj " * 20_000 + b"ET",
        b"BI /W 99999 /H 99999 /BPC 8 /CS /RGB ID x EI",
        b"\xff\x00\x80" * 5_000,
    ],
    ids=lambda code: code[:12].decode("latin-1"),
)
def test_page_content_of_any_kind_does_no_harm(code: bytes) -> None:
    """Nesting, numbers and operators that no writer means: the other pages are read."""
    assert "2" in paired(read(bind(figure_sheet(1).raw(code), figure_sheet(2))))


@settings(max_examples=60)
@given(st.data())
def test_any_damage_gives_a_paper_or_a_reason(data: st.DataObject) -> None:
    """Bytes changed, cut out, doubled or cut off: never an error, and rows that hold together."""
    damaged = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        length = data.draw(st.integers(0, 40))
        damaged[at : at + length] = data.draw(
            st.one_of(
                st.binary(max_size=20),
                st.sampled_from([b"", b"0", b"9999999999", b"-1", b" 0 R", b"endobj", b"<<", b">>", b"null"]),
                st.just(bytes(damaged[at : at + length]) * 2),
            )
        )
        damaged = damaged or bytearray(b"%PDF")

    found = read(bytes(damaged))

    assert (found.rejection is None) is (found.evidence is None)
    for ordinal, figure in enumerate(found.figures, 1):
        assert figure.figure_ordinal == ordinal
        assert (figure.picture is None) is (figure.rejection is not None)
        assert 0 <= figure.page < found.n_pages
        assert figure.bbox is None or (figure.bbox[0] <= figure.bbox[2] and figure.bbox[1] <= figure.bbox[3])


def test_a_figure_on_its_side_is_read_by_turning_its_page() -> None:
    """A wide figure and its caption, set upwards on an upright page: its place is that of the page as shown."""
    sheet = replace(figure_sheet(), width=792.0, height=612.0)
    lying = Sheet(612, 792).raw(b"q 0 -1 1 0 0 792 cm").raw(b"\n".join(sheet.content)).raw(b"Q")

    detector = Told()

    figure = only_figure(read(bind(lying), detector))

    assert detector.turns == [90]
    assert figure.caption == prose(30, 1)
    assert figure.rejection is None
    x0, y0, x1, y1 = PLOT
    assert figure.bbox == pytest.approx((y0, 792 - x1, y1, 792 - x0), abs=2.5)
