"""Which member is the article, its manifest, its PDF."""

import pytest

from s1mm_assets.extraction.jats import read_jats
from s1mm_assets.tables import Rejection
from s1mm_assets_tests.extraction.jats.packing import image

FIGURE = b'<fig id="fig1"><label>Figure 1.</label><caption><p>%s</p></caption><graphic href="%s"/></fig>'


def article(caption: bytes = b"Cells.", href: bytes = b"1_fig1.tif") -> bytes:
    """An article with one figure."""
    return b"<article><front><article-meta/></front><body>" + FIGURE % (caption, href) + b"</body></article>"


HIGHWIRE = b"""<?xml version="1.0"?><!DOCTYPE manifest SYSTEM "http://x/Manifest.dtd">
<manifest xmlns="http://manuscriptexchange.org" version="1.0">
<item type="article"><title/><instance media-type="application/xml" href="content\\1.xml"/>
<instance media-type="application/pdf" href="content\\1.full.pdf"/></item>
<item id="transfer" type="transfer-details"><instance media-type="application/xml" href="transfer.xml"/></item>
<item id="fig1" type="figure"><instance media-type="image/tiff" href="content/other-name.tif"/></item>
<item id="tbl1" type="table"><instance media-type="image/tiff" href="content/tbl.tif"/></item></manifest>"""
NISO = b"""<manifest manifest-version="1" xmlns="https://manuscriptexchange.org/schema/manifest"
xmlns:xlink="http://www.w3.org/1999/xlink"><item item-type="review-metadata"><instance xlink:href="0-other.xml"
media-type="application/xml"/></item><item item-type="article-metadata"><item-description>It</item-description>
<instance xlink:href="content/1.xml" media-type="application/xml"/></item><item item-type="Manuscript">
<instance xlink:href="CONTENT/1.FULL.PDF" media-type="application/pdf"/></item><item id="fig1" item-type="Figure">
<instance xlink:href="content/other-name.tif"/></item></manifest>"""
ELIFE = b"""<manifest version="1" xmlns=""><item id="x" type="manuscript" submission-item-id="a"><instance
media-type="application/pdf" href="content/1.full.pdf"/></item><item id="x" type="article-metadata">
<instance media-type="application/xml" href="content/1.xml"/></item><item id="fig1" type="figure"><instance
href="content/other-name.tif"/></item></manifest>"""
DIALECTS = {"HighWire": HIGHWIRE, "NISO": NISO, "eLife": ELIFE}


def meca(manifest: bytes, folder: str = "") -> dict[str, bytes]:
    """A MECA package whose image has another name than the article gives it."""
    files = {
        "0-other.xml": article(b"A review's."),
        "content/1.full.pdf": image("1.full.pdf"),
        "content/1.xml": article(),
        "content/other-name.tif": image("other-name.tif"),
        "content/supp/2.pdf": image("2.pdf"),
        "directives.xml": b"<article><body/></article>",
        "manifest.xml": manifest,
        "transfer.xml": b"<transfer/>",
    }
    return {folder + path: content for path, content in files.items()}


@pytest.mark.parametrize("folder", ["", "f4db68bd-73d9/"])
@pytest.mark.parametrize("manifest", DIALECTS.values(), ids=DIALECTS)
def test_a_manifest_names_the_article_its_pdf_and_its_images(manifest: bytes, folder: str) -> None:
    """All three dialects are read, also where the whole package lies in a folder of its id."""
    paper = read_jats(meca(manifest, folder))

    assert paper.main_file == f"{folder}content/1.xml"
    assert paper.pdf_member == f"{folder}content/1.full.pdf"
    assert [row.image_member for row in paper.figures] == [f"{folder}content/other-name.tif"]
    assert paper.figures[0].ambiguous == "found by its id in the manifest"


def test_a_broken_manifest_is_done_without() -> None:
    """A manifest that cannot be read is told of; the article is found without it."""
    members = meca(b"\x00\x01 no XML")
    del members["0-other.xml"]
    paper = read_jats(members)

    assert paper.main_file == "content/1.xml"
    assert any(warning.startswith("manifest.xml") for warning in paper.warnings)


@pytest.mark.parametrize(
    ("members", "main"),
    [
        ({"PMC1.1/PMC1.1.xml": article()}, "PMC1.1/PMC1.1.xml"),
        ({"a.nxml": article(), "b.xml": b"<data/>"}, "a.nxml"),
        ({"a.xml": b"<article><front/></article>", "b.xml": article()}, "b.xml"),
        ({"a.xml": b"<article><body/></article>", "b.xml": article()}, "b.xml"),
        ({"a_reviews.xml": article(b"Long. " * 99), "b.xml": article()}, "b.xml"),
        ({"s/a.xml": article(), "b.xml": article()}, "b.xml"),
        ({"a.xml": article(), "b.xml": article(b"The longer one.")}, "b.xml"),
        ({"a": article()}, "a"),
        ({"a.xml": article().decode().encode("utf-16")}, "a.xml"),
        ({"a.xml": b"<pmc-articleset>" + article() + b"</pmc-articleset>"}, "a.xml"),
        ({"a.xml": article().replace(b"article>", b"j:article>")}, "a.xml"),
    ],
)
def test_without_a_manifest_the_likeliest_article_is_read(members: dict[str, bytes], main: str) -> None:
    """With a body and figures, not among reviews, shallow, long."""
    paper = read_jats(members)

    assert paper.main_file == main
    assert len(paper.figures) == 1
    assert any("2 articles" in warning for warning in paper.warnings) == (
        sum(b"<article" in content for content in members.values()) > 1
    )


@pytest.mark.parametrize(
    "members",
    [{}, {"a.xml": b""}, {"a.xml": b"<data/>"}, {"manifest.xml": article()}, {"a.tif": b"II*\0<article>"}],
)
def test_a_package_without_an_article_says_so(members: dict[str, bytes]) -> None:
    """No article is no figure, and a reason."""
    paper = read_jats(members, "x")

    assert (paper.rejection, paper.figures, paper.main_file) == (Rejection.UNDECODABLE, [], None)
    assert "is an article in JATS" in str(paper.evidence)


def test_an_article_inside_something_else_is_no_article() -> None:
    """A page that shows JATS is not JATS."""
    paper = read_jats({"a.xml": b"<html><pre><![CDATA[<article >]]></pre></html>"})

    assert paper.rejection is Rejection.UNDECODABLE
    assert "its root is 'html'" in str(paper.evidence)


@pytest.mark.parametrize(
    ("uri", "pdfs", "expected"),
    [
        ("", ["1.pdf"], "1.pdf"),
        ("", ["1.pdf", "other.pdf"], "1.pdf"),  # named as the XML
        ("main.pdf", ["1.pdf", "main.pdf"], "main.pdf"),  # named by it
        ("file:/content/vol0/main.pdf", ["1.pdf", "x/main.pdf"], "x/main.pdf"),
        ("", ["paper.pdf", "x_MOESM1_ESM.pdf", "supp/a.pdf", "media-1.pdf"], "paper.pdf"),
        ("", ["a.pdf", "b.pdf"], None),
        ("", ["1_fig1.pdf"], None),  # a figure
        ("", [], None),
    ],
)
def test_the_papers_pdf_is_known_among_others(uri: str, pdfs: list[str], expected: str | None) -> None:
    """By manifest, by the article's word, by name, or as the only one that is no supplement or figure."""
    xml = article(href=b"1_fig1.pdf").replace(
        b"<article-meta/>",
        b'<article-meta><self-uri content-type="pdf" href="' + uri.encode() + b'"/></article-meta>',
    )
    paper = read_jats({"1.xml": xml, **{path: image(path) for path in pdfs}})

    assert paper.pdf_member == expected
