"""One paper as a worker reads it: which of its files count, and what its rows depend on."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from s1mm_assets.extraction.papers import PaperRead, PaperReader, pdf_among
from s1mm_assets.extraction.pdf import PdfSettings
from s1mm_assets.extraction.rows import PaperJob
from s1mm_assets.tables import Rejection
from s1mm_assets_tests.extraction.pdf.reading import SMALL, Told
from s1mm_assets_tests.extraction.pdf.sheets import BOTH, Sheet, bind, prose
from s1mm_assets_tests.extraction.raster.drawings import ToldRenderers

ARTICLE = b"""<?xml version="1.0"?><article xmlns:xlink="http://www.w3.org/1999/xlink"><front><article-meta>
<title-group><article-title>A paper</article-title></title-group></article-meta></front><body>%s</body></article>"""
FIGURE = b"""<fig id="f1"><label>Figure 1</label><caption><p>%s</p></caption>
<graphic xlink:href="lost.tif"/></fig>"""


def with_figure(number: int, *before: Sheet) -> bytes:
    """A PDF whose last page has a figure."""
    sheet = Sheet().plot(110, 130, 480, 300)
    sheet.flow(BOTH, 320, f"Figure {number}. {prose(30, number)}", 8)
    return bind(*before, sheet)


PAPER, SUPPLEMENT = with_figure(1), with_figure(7, Sheet())


@dataclass(frozen=True)
class Delivered:
    """An opened bundle."""

    kind: str
    members: Mapping[str, bytes]
    rejection: Rejection | None = None
    evidence: str | None = None


def reader_of(kind: str, members: Mapping[str, bytes]) -> PaperReader:
    """A reader to which every paper is delivered as this."""
    return PaperReader(
        read_bundle=lambda *_: Delivered(kind, members),
        renderers=ToldRenderers(),
        raster=SMALL,
        detector=Told(),
        pdf=PdfSettings(),
    )


JOB = PaperJob(source="local", paper_id="p", uri="p", offset=0, length=1)


def read(kind: str, members: Mapping[str, bytes]) -> PaperRead:
    found = reader_of(kind, members)(JOB)
    assert isinstance(found, PaperRead)
    return found


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, b""),
        ({"a.xml": ARTICLE}, b""),
        ({"a.xml": ARTICLE, "b": PAPER}, PAPER),
        ({"anc/a.pdf": SUPPLEMENT, "b.pdf": PAPER}, PAPER),
        ({"a.pdf": SUPPLEMENT, "b.pdf": PAPER}, b""),
    ],
    ids=["nothing", "no PDF", "one", "one, and an ancillary", "two"],
)
def test_a_pdf_counts_where_there_is_no_other(members: dict[str, bytes], expected: bytes) -> None:
    """The first of several may be a supplement."""
    assert pdf_among(members) == expected


@pytest.mark.parametrize("kind", ["jats", "meca"])
def test_the_overlay_is_drawn_on_the_paper(kind: str) -> None:
    """On the PDF that figures are cut out of, not on the supplement that comes before it."""
    members = {"a.pdf": SUPPLEMENT, "paper.pdf": PAPER, "paper.xml": ARTICLE % b""}

    pages = reader_of(kind, members).overlays(JOB)

    assert [figure.figure_number for figure in read(kind, members).figures] == ["1"]
    assert [number for number, _ in pages] == [0]


def test_pdfs_of_which_none_is_known_to_be_the_paper_are_not_read() -> None:
    """No figure of a supplement becomes one of the paper."""
    members = {"a.pdf": SUPPLEMENT, "b.pdf": PAPER, "paper.xml": ARTICLE % b""}

    found = read("jats", members)

    assert (found.paper.method, found.paper.rejection, found.figures) == ("jats", Rejection.NO_FIGURES, [])
    assert reader_of("jats", members).overlays(JOB) == []


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("pdf", {"paper.pdf": PAPER}),
        ("jats", {"paper.pdf": PAPER, "paper.xml": ARTICLE % b""}),
        ("jats", {"paper.pdf": PAPER, "paper.xml": ARTICLE % (FIGURE % prose(30, 1).encode())}),
    ],
    ids=["pdf", "jats without figures", "jats without files"],
)
def test_what_a_figure_of_a_pdf_depends_on(kind: str, members: dict[str, bytes]) -> None:
    """pdfium draws its page, a detector looks at it, and Pillow encodes what is cut out."""
    found = read(kind, members)

    assert [figure.renderer for figure in found.figures] == ["pdfium"]
    assert found.renderers == {"pdfium", "pillow", "told"}
