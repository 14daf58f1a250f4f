"""What is always so, whatever the bytes are."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from s1mm_assets.extraction.jats import JatsPaper, read_jats
from s1mm_assets.extraction.jats.labels import MAX_IN_A_ROW, MAX_RANGE, citations, key_of, number_of
from s1mm_assets_tests.extraction.jats.packing import package

SEEDS = [path.read_bytes() for path in sorted((Path(__file__).parents[2] / "golden" / "jats").glob("*.xml"))]
TAGS = [
    "<article>", "</article>", "<front>", "</front>", "<article-meta>", "</article-meta>", "<body>", "</body>", "<sec>",
    "</sec>", "<title>", "</title>", "<p>", "</p>", '<fig id="f1">', '<fig id="f2">', "<fig>", "</fig>", "<fig-group>",
    "</fig-group>", "<label>Figure 1</label>", "<label>(a)</label>", "<label>", "</label>", "<caption>", "</caption>",
    '<graphic href="a.png"/>', '<graphic href="b"/>', "<graphic/>", "<alternatives>", "</alternatives>",
    '<xref ref-type="fig" rid="f1">',
    '<xref rid="f1 f2"/>', "</xref>", "<sup>", "</sup>", "<list>", "<list-item>", "</list>", "<math>",
    "<msub>", "<mi>x</mi>", "</msub>", "</math>", "<tex-math>$x$", "</tex-math>", "<table-wrap>",
    "</table-wrap>", "Figs. 1-3 ", "Figure 2. ", "text ", "$", "&", "<", "&nbsp;", "\n", "<!--", "-->", "<![CDATA[",
    "]]>", "<sub-article>",
    "</sub-article>", "<floats-group>", "<boxed-text>", "<fn>", "</fn>", "<!DOCTYPE x>", "<?xml version='1.0'?>", "é",
]  # fmt: skip
MARKUP = st.lists(st.sampled_from(TAGS), max_size=60).map("".join)
IMAGES = {"a.png": b"\x89PNG\r\n\x1a\n", "c/b.tif": b"II*\0", "b_thumb.gif": b"GIF89a"}


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A sound article with bytes changed, cut, doubled or moved."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.sampled_from(["flip", "cut", "drop", "double", "insert"])):
            case "flip" if data:
                data[at] ^= draw(st.integers(1, 255))
            case "cut" if draw(st.booleans()):
                del data[at:]
            case "drop":
                del data[at : at + draw(st.integers(1, 200))]
            case "double":
                data[at:at] = data[at : at + 500]
            case _:
                data[at:at] = draw(st.sampled_from(TAGS)).encode()
    return bytes(data)


def holds_together(paper: JatsPaper, members: dict[str, bytes]) -> None:
    """What is so of every paper."""
    ids = [(row.figure_ordinal, row.panel_ordinal) for row in paper.figures]
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)
    assert (paper.rejection is None) == bool(paper.figures)
    assert (paper.rejection is None) == (paper.evidence is None)
    assert paper.pdf_member is None or paper.pdf_member in members
    for row in paper.figures:
        assert row.image_member is None or row.image_member in members
        assert row.sub_caption is None or row.sub_caption in row.caption
        assert row.caption == " ".join(row.caption.split())
        assert all(set(mention) == {"section", "text", "is_caption"} for mention in row.mentions)
    json.dumps(asdict(paper)).encode()


@settings(max_examples=150, deadline=None)
@given(MARKUP)
def test_any_markup_gives_a_paper(inside: str) -> None:
    """Nothing raises; images are members; ids are unique; what is given can be written as JSON."""
    members = {"a.xml": f"<article><body>{inside}</body></article>".encode(), **IMAGES}

    holds_together(read_jats(members), members)


@settings(max_examples=150, deadline=None)
@given(damaged())
def test_damaged_articles_give_a_paper(data: bytes) -> None:
    """What was a sound article once gives its figures, or says why not."""
    members = package(SEEDS[0]) | {"content/paper.xml": data, "manifest.xml": data[::-1]}

    holds_together(read_jats(members), members)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(SEEDS), st.randoms(use_true_random=False))
def test_an_unclosed_element_costs_no_figure(data: bytes, random: Random) -> None:
    """With any one end tag gone, but for those that tell label and caption apart, each figure is still there."""
    ends = list(re.finditer(rb"</(?!label|caption)[\w:-]+>", data))
    gone = random.choice(ends)

    damaged_paper = read_jats(package(data[: gone.start()] + data[gone.end() :]))

    assert len(damaged_paper.figures) == len(read_jats(package(data)).figures)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["a.xml", "manifest.xml", "a"]))
def test_any_bytes_give_a_paper(data: bytes, name: str) -> None:
    """Bytes that are no XML at all are answered too."""
    for content in (data, b"<article>" + data, b"\xff\xfe" + data):
        members = {name: content, "b.xml": data + b"<article "}
        holds_together(read_jats(members), members)


@settings(max_examples=60, deadline=None)
@given(damaged())
def test_the_same_package_gives_the_same_paper(data: bytes) -> None:
    """Reading twice gives equal rows, in whatever order the members come."""
    members = package(SEEDS[-1]) | {"content/paper.xml": data, **IMAGES}

    assert read_jats(members) == read_jats(dict(reversed(members.items())))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]), st.booleans())
def test_the_encoding_does_not_matter(encoding: str, is_declared: bool) -> None:
    """Whatever encoding an article comes in, its rows are the same."""
    text = "<article><body><fig><caption><p>α → β, é</p></caption></fig></body></article>"
    declaration = f'<?xml version="1.0" encoding="{encoding}"?>' if is_declared else ""

    read = read_jats({"a.xml": (declaration + text).encode(encoding)})

    assert [row.caption for row in read.figures] == ["α → β, é"]


NAMES = st.text(st.sampled_from("FfigureSs.123456789 —–-,&andtoABcsupplement()\u00a0"), max_size=60)


@settings(max_examples=300, deadline=None)
@given(NAMES)
def test_citations_stay_within_their_text(text: str) -> None:
    """Each citation's number stands where it says; a text names a bounded number of figures."""
    found = list(citations(text))

    assert all(0 <= each.position < len(text) and text[each.position].isalnum() for each in found)
    assert [each.position for each in found] == sorted(each.position for each in found)
    assert len(found) <= MAX_IN_A_ROW * MAX_RANGE * (1 + text.lower().count("fig"))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["Figure", "Fig.", "FIG", "Fig", "figure"]),
    st.sampled_from(["", "S", "A"]),
    st.integers(1, 99),
    st.sampled_from(["", ".", ":", " |", " "]),
)
def test_a_label_and_its_citations_have_one_key(word: str, prefix: str, number: int, end: str) -> None:
    """However a label is written and however it is cited, both mean the same figure."""
    label = f"{word} {prefix}{number}{end}"

    assert number_of(label) == f"{prefix}{number}"
    assert [each.key for each in citations(f"as seen ({word} {prefix}{number}b).")] == [key_of(label)]
