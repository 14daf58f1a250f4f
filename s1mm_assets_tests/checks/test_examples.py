"""What strangers wrote is shown as they wrote it: it becomes no markup, link, image or further cell."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import dagster as dg
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image

from s1mm_assets.checks.examples import PICTURE_BYTES, SIDE_PX, TEXT_CHARS, WORD_JOINER, examples, picture
from s1mm_assets_tests.release.shards import picture as small_picture

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
OURS = {"table", "thead", "tbody", "tr", "th", "td"}
LINKED = re.compile(  # as the Dagster UI finds addresses in text: mdast-util-gfm-autolink-literal
    r"(https?://|www(?=\.))([-.\w]+)|([-.\w+]+)@([-\w]+(?:\.[-\w]+)+)", re.IGNORECASE
)
ATTACKS = (
    '<img src="https://evil.example/x.png">',
    "![x](https://evil.example/x.png)",
    "[click](javascript:alert(1))",
    "<script>alert(1)</script>",
    "a | b | ![x](http://evil.example)",
    "norm \\| \\\\| end",
    "\\[x\\](y)",
    "first\n\n# second\n\n| new | table |\n|---|---|",
    "`code` ``more``` **bold** _it_ ~~gone~~ $x_1$",
    "https://evil.example/a?b and www.evil.example and me@evil.example",
    "&lt;img src=x&gt; &#60;b&#62; &amp;",
    "<!-- comment --> <![CDATA[x]]> <?php ?>",
    "[ref]: https://evil.example\n[ref]",
    "<https://evil.example> <me@evil.example>",
    "\u202egnp.x \x00\x1b[31m \ud800",
    "$E = mc^2$ & \\alpha_{i}^{2} \\\\ 50\\%",
)


class Rendered(HTMLParser):
    """The elements and the cells of a page."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self.feed(PARSER.render(markdown))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "td":
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data.rstrip("\n") if self.cells[-1] else data

    def handle_comment(self, data: str) -> None:
        self.elements.append(("comment", {"data": data}))

    def handle_decl(self, decl: str) -> None:
        self.elements.append(("declaration", {"data": decl}))


def markdown(*texts: str) -> str:
    found = examples(pl.DataFrame({"figure_id": ["a"] * len(texts), "caption": texts}))["examples"]
    assert isinstance(found, dg.MarkdownMetadataValue)
    return str(found.value)


def plain(text: str) -> str:
    """The text on one line, with what cannot be printed marked."""
    line = " ".join(text.split())
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in line)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_caption_is_shown_as_it_is(attack: str) -> None:
    """Whatever TeX, HTML or Markdown it holds: two cells, no element of its own, the same characters."""
    if "\ud800" in attack:  # a table cannot hold it
        attack = attack.replace("\ud800", "")
    page = Rendered(markdown(attack))

    assert {tag for tag, _ in page.elements} <= OURS
    assert len(page.cells) == 2
    assert page.cells[1].replace(WORD_JOINER, "").strip() == plain(attack)
    assert not LINKED.search(page.cells[1])


@given(
    st.text(st.characters(codec="utf-8"), max_size=80) | st.text("[]()!<>&|`*_~\\#\n :/@w.ab-", max_size=60)
)
def test_no_text_becomes_markup(text: str) -> None:
    """Nor does what nobody thought of."""
    page = Rendered(markdown(text))

    assert {tag for tag, _ in page.elements} <= OURS
    assert len(page.cells) == 2
    assert page.cells[1].replace(WORD_JOINER, "").strip() == plain(text.replace(WORD_JOINER, "")).strip()
    assert not LINKED.search(page.cells[1])


def test_long_texts_are_cut() -> None:
    """A caption of a megabyte does not end up in the event log."""
    (_, shown) = Rendered(markdown("x" * 10**6)).cells

    assert len(shown) == TEXT_CHARS
    assert shown.endswith("…")


def test_a_picture_is_drawn_anew() -> None:
    """Small, as JPEG, and in the page itself: what else the file held is gone."""
    sink = io.BytesIO()
    Image.effect_noise((3000, 1500), 200).save(sink, "PNG")
    drawn = picture(sink.getvalue() + b"<script>")
    ((_, attributes),) = [each for each in Rendered(drawn).elements if each[0] == "img"]

    kind, data = str(attributes["src"]).split(",", 1)
    assert kind == "data:image/jpeg;base64"
    content = base64.b64decode(data)
    assert len(content) <= PICTURE_BYTES
    assert Image.open(io.BytesIO(content)).size == (SIDE_PX, SIDE_PX // 2)
    assert b"script" not in content


@pytest.mark.parametrize("image", [None, b"", b"\x89PNG", b"<svg onload='x'/>", small_picture(1)[:-40]])
def test_bytes_that_are_no_picture_are_said(image: bytes | None) -> None:
    """They cost their own cell."""
    assert picture(image) == "cannot be shown"


def test_what_one_check_shows_is_bounded() -> None:
    """Five rows of the longest texts and the largest pictures stay below 200 KB in the event log."""
    sink = io.BytesIO()
    Image.effect_noise((SIDE_PX, SIDE_PX), 255).save(sink, "PNG")
    texts = {name: ["|" * 10_000] * 9 for name in ("caption", "recaption", "ungrounded_claims", "more")}
    rows = pl.DataFrame({"figure_id": [str(i) for i in range(9)], **texts})
    emoji = rows.with_columns(caption=pl.lit("\N{GRINNING FACE}" * 10_000))

    found = examples(emoji, {str(i): picture(sink.getvalue()) for i in range(3)})["examples"]

    assert len(json.dumps(found.value)) < 200_000
