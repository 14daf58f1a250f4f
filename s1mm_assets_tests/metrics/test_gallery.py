"""The sample that people judge, and the page it is shown on: bounded, equal each time, and only texts."""

import base64
import html
import json
import re
import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from s1mm_assets import decoding
from s1mm_assets.metrics import gallery
from s1mm_assets.metrics.gallery import GalleryFigure, choose, gallery_page, thumbnail
from s1mm_assets.sampling import is_sampled

HOSTILE = [
    "</script><img src=x onerror=\"document.title='run'\">",
    "<!--<script>",
    "\u2028\u2029\x00\x1b\u202e",
    "]]>&lt;b&gt;",
    '"}]}',
    "\ud800",
]


def png(width: int = 40, height: int = 30, mode: str = "RGB", colour: Any = None) -> bytes:
    """An image of one colour."""
    file = BytesIO()
    Image.new(mode, (width, height), colour or 0).save(file, "PNG")
    return file.getvalue()


def page_of(*figures: GalleryFigure) -> str:
    """The page that shows these figures."""
    return gallery_page(figures, partition="arxiv|2019", n_kept=10, n_rejected=5).decode()


def data_of(page: str) -> Any:
    """What a browser reads in the page's data element: up to the first end tag."""
    return json.loads(
        page.partition('<script type="application/json" id="data">')[2].partition("</script")[0]
    )


def shown(content: str) -> Image.Image:
    """The image that a card shows."""
    return Image.open(BytesIO(base64.b64decode(content)), formats=["WEBP"])


# --- the sample -------------------------------------------------------------------------------------------


def decisions(**counts: int) -> pl.DataFrame:
    """So many figures of each reason; `kept` is none."""
    rows = [
        (f"arxiv:{reason}#{i}.1", None if reason == "kept" else reason)
        for reason, n in counts.items()
        for i in range(n)
    ]
    return pl.DataFrame(rows, schema={"figure_id": pl.String, "rejection": pl.String}, orient="row")


def by_reason(ids: list[str]) -> dict[str, int]:
    """How many of each reason were chosen."""
    reasons = [each.partition(":")[2].partition("#")[0] for each in ids]
    return {reason: reasons.count(reason) for reason in sorted(set(reasons))}


def test_every_reason_is_in_the_sample() -> None:
    """A rare one with all it has, the others with as many each."""
    chosen = choose(decisions(kept=500, logo=2, blank=300, too_small=1000), n_kept=20, n_rejected=22, seed=1)

    assert by_reason(chosen) == {"kept": 20, "logo": 2, "blank": 10, "too_small": 10}
    assert len(set(chosen)) == len(chosen)


def test_a_small_partition_is_shown_whole() -> None:
    """There are no more figures than there are."""
    frame = decisions(kept=3, logo=2)

    assert sorted(choose(frame, n_kept=64, n_rejected=64, seed=1)) == sorted(frame["figure_id"])
    assert choose(decisions(), n_kept=64, n_rejected=64, seed=1) == []


@given(st.randoms(use_true_random=False), st.integers(0, 9))
def test_the_sample_knows_no_order(random: Any, seed: int) -> None:
    """Shards may come as they like."""
    frame = decisions(kept=30, logo=7, blank=4)
    order = list(range(len(frame)))
    random.shuffle(order)

    assert choose(frame[order], n_kept=9, n_rejected=6, seed=seed) == choose(
        frame, n_kept=9, n_rejected=6, seed=seed
    )


def test_the_sample_is_as_good_as_random() -> None:
    """Over many seeds each figure is drawn about as often: 20 of 100 in 200 draws, 40 times with deviation 5.7."""
    frame = decisions(kept=100)
    chosen = [each for seed in range(200) for each in choose(frame, n_kept=20, n_rejected=0, seed=seed)]

    counts = [chosen.count(each) for each in frame["figure_id"]]
    assert 12 < min(counts) <= max(counts) < 68


def test_the_figures_shown_are_not_those_that_were_looked_at_more_closely() -> None:
    """Of a tenth whose text was read, about a tenth is shown: else people would judge what passed other filters."""
    frame = decisions(kept=1000)
    is_read = is_sampled(frame["figure_id"], share=0.1, seed=3)

    chosen = choose(frame, n_kept=200, n_rejected=0, seed=3)

    assert 5 <= len(set(chosen) & set(frame.filter(is_read)["figure_id"])) <= 40


# --- the page ---------------------------------------------------------------------------------------------


def test_equal_figures_give_an_equal_page() -> None:
    """In any order; kept ones come first, then by number."""
    figures = [GalleryFigure(figure_id=f"p#{i}.1", caption="c", image=png()) for i in (10, 9, 1)]
    figures.append(GalleryFigure(figure_id="a#1.1", caption="c", rejection="logo"))

    page = page_of(*figures)

    assert page_of(*figures[::-1]) == page
    assert [card["figure_id"] for card in data_of(page)["figures"]] == ["p#1.1", "p#9.1", "p#10.1", "a#1.1"]


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_cannot_leave_the_data(text: str) -> None:
    """The page has the elements that its template has, and the texts come back as they were."""
    mention = {"section": text, "text": text, "is_caption": False}
    figure = GalleryFigure(
        figure_id=text,
        caption=text,
        rejection=text,
        figure_number=text,
        title=text,
        recaption=text,
        mentions=[mention],
        ungrounded_claims=[text],
        flags=[text],
        measured=text,
        evidence=text,
    )
    page = gallery_page([figure], partition=text, n_kept=1, n_rejected=1).decode()

    card = data_of(page)["figures"][0]
    written = text.replace("\ud800", "?")  # half a character, which UTF-8 cannot hold
    assert card["caption"] == card["title"] == card["figure_id"] == card["mentions"][0]["text"] == written
    tags = re.findall(r"<[a-z!/]", page)
    assert tags == re.findall(r"<[a-z!/]", page_of(GalleryFigure(figure_id="f", caption="c")))
    assert not set("<>&\u2028\u2029") & set(page.partition('id="data">')[2].partition("</script")[0])


def test_the_page_allows_its_own_code_only() -> None:
    """Scripts and styles by their digest, images within the page, and no address at all."""
    page = page_of(GalleryFigure(figure_id="f", caption="c", image=png()))

    policy = html.unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', page)[0])
    script = page.rpartition("<script>")[2].partition("</script>")[0]
    style = page.partition("<style>")[2].partition("</style>")[0]
    assert policy.split("; ") == [
        "default-src 'none'",
        "img-src data:",
        f"style-src {gallery.source(style)}",
        f"script-src {gallery.source(script)}",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert "://" not in page
    assert "innerHTML" not in page
    assert "insertAdjacentHTML" not in page


def test_texts_are_cut_with_a_note() -> None:
    """A page stays readable and small, whatever a paper holds."""
    mentions = [{"section": None, "text": "m" * 5000, "is_caption": False}] * 40
    figure = GalleryFigure(
        figure_id="f", caption="c" * 50_000, mentions=mentions, ungrounded_claims=["x" * 500] * 99
    )

    card = data_of(page_of(figure))["figures"][0]

    assert card["caption"] == "c" * 6000 + "… [44,000 more characters]"
    assert card["mentions"][0]["text"] == "m" * 1200 + "… [3,800 more characters]"
    assert (len(card["mentions"]), card["more_mentions"]) == (10, 30)
    assert (len(card["claims"]), card["more_claims"]) == (24, 75)
    assert len(page_of(figure)) < 100_000


def test_scores_that_were_not_measured_are_left_out() -> None:
    """Null and NaN are no numbers; a score that neither text has makes no row."""
    scores = {
        "caption_clip_score": None,
        "recaption_clip_score": 0.5,
        "caption_pseudo_perplexity": float("nan"),
    }

    card = data_of(page_of(GalleryFigure(figure_id="f", caption="c", scores=scores)))["figures"][0]

    assert card["scores"] == [
        {"name": "clip_score", "label": "CLIP score", "decimals": 3, "caption": None, "recaption": 0.5}
    ]
    assert card["grounding"] is None


# --- images -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "pixel"),
    [
        (png(mode="RGBA", colour=(0, 0, 0, 0)), (255, 255, 255)),
        (png(mode="LA", colour=(0, 255)), (0, 0, 0)),
        (png(mode="1", colour=1), (255, 255, 255)),
        (png(mode="P", colour=0), (0, 0, 0)),
    ],
    ids=["transparent", "grey with alpha", "two colours", "palette"],
)
def test_an_image_of_any_mode_is_shown_on_white(image: bytes, pixel: tuple[int, int, int]) -> None:
    """As on paper: what is transparent is white, also where the page is dark."""
    content = thumbnail(image)

    assert content is not None
    assert shown(content).convert("RGB").getpixel((20, 15)) == pytest.approx(pixel, abs=3)


def test_sixteen_bits_of_grey_are_shown_as_grey() -> None:
    """Not as white."""
    file = BytesIO()
    Image.fromarray(np.full((30, 40), 0x8000, dtype=np.uint16)).save(file, "PNG")

    content = thumbnail(file.getvalue())

    assert content is not None
    assert shown(content).convert("L").getpixel((20, 15)) == pytest.approx(128, abs=3)


@pytest.mark.parametrize("size", [(3000, 1000), (5, 4000), (1, 1)])
def test_an_image_is_shown_small(size: tuple[int, int]) -> None:
    """Within the side, with its shape; a small one is not enlarged."""
    content = thumbnail(png(*size))

    assert content is not None
    assert max(shown(content).size) == min(max(size), gallery.SIDE_PX)


def test_an_image_takes_a_bounded_place() -> None:
    """Noise, which compresses worst, is shown coarser."""
    noise = np.random.default_rng(1).integers(0, 255, (900, 900, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(noise).save(file, "PNG")

    content = thumbnail(file.getvalue())

    assert content is not None
    assert len(content) < 600_000


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that says it is huge."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def as_format(name: str) -> bytes:
    """An image in a format that is not released."""
    file = BytesIO()
    Image.new("RGB", (9, 9)).save(file, name)
    return file.getvalue()


@pytest.mark.parametrize(
    "image",
    [
        b"not an image",
        png()[:60],
        png()[:-20] + bytes(20),
        bomb(20_000, 20_000),
        bomb(2**31 - 1, 2**31 - 1),
        bomb(12_000, 9_000),
        as_format("GIF"),
        as_format("BMP"),
    ],
    ids=["words", "cut off", "damaged", "bomb", "largest bomb", "over the cap", "GIF", "BMP"],
)
def test_an_image_that_cannot_be_shown_is_said_to_be_so(image: bytes) -> None:
    """The page is made all the same."""
    card = data_of(page_of(GalleryFigure(figure_id="f", caption="c", image=image)))["figures"][0]

    assert (card["image"], card["has_image"]) == (None, True)


def test_an_image_of_too_many_pixels_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However well it is made: the cap holds before a pixel is read."""
    monkeypatch.setattr(decoding, "MAX_PIXELS", 40 * 30)
    assert thumbnail(png(40, 30)) is not None
    assert thumbnail(png(41, 30)) is None


@given(st.binary(max_size=300) | st.integers(0, 90).map(lambda at: png()[:at] + b"\xff" + png()[at + 1 :]))
def test_no_bytes_stop_the_page(image: bytes) -> None:
    """An image is shown, or not."""
    content = thumbnail(image)

    assert content is None or max(shown(content).size) <= gallery.SIDE_PX
