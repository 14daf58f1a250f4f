"""What is sent to a server for one figure."""

import contextlib
import json
import struct
import zlib
from base64 import b64decode
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from s1mm_assets.recaptioning import request
from s1mm_assets.recaptioning.prompt import PromptText
from s1mm_assets.recaptioning.request import (
    IMAGE_VERSION,
    MAX_ASPECT,
    PATCH_PX,
    ImageRefused,
    ModelImage,
    Sampling,
    body,
    body_bytes,
    model_image_url,
    model_size,
    request_key,
)
from s1mm_assets_tests.strategies import UNTIMED

SAMPLING = Sampling(temperature=0.2, top_p=0.9, repetition_penalty=1.05, max_tokens=640, seed=0)
TEXT = PromptText("Describe.", "Title: Größe", 'Caption: the "loss"')
WINDOW = ModelImage(min_tokens=256, max_tokens=1_280)
TINY = ModelImage(min_tokens=1, max_tokens=4)  # so that small images are large ones
MARKS = ["data:,", '{"url": "data:,"}', '"}, "url": "data:,"', "\\", '"', "\u2028", "é", "\x00"]
RED, WHITE = (255, 0, 0), (255, 255, 255)


def png(image: Image.Image, **options: Any) -> bytes:
    return saved(image, "PNG", **options)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def sent(image: bytes, window: ModelImage = WINDOW) -> tuple[str, bytes]:
    """The media type and the bytes of an image as it is sent."""
    head, _, coded = model_image_url(image, window).partition(b";base64,")
    return head.decode().removeprefix("data:"), b64decode(coded, validate=True)


def seen(image: bytes, window: ModelImage = TINY) -> Image.Image:
    with Image.open(BytesIO(sent(image, window)[1])) as opened:
        opened.load()
    return opened


# --- the request ---------------------------------------------------------------------------------------------


@given(
    st.lists(st.one_of(st.sampled_from(MARKS), st.text(st.characters(exclude_categories=["Cs"]))), max_size=8)
)
@UNTIMED
def test_bytes_of_a_request_are_its_json(parts: list[str]) -> None:
    """Whatever the texts hold, the mark of the image included: nothing but the image is put in."""
    text = PromptText("".join(parts), "".join(reversed(parts)), "\n".join(parts))
    url = "data:image/png;base64,AAAA"

    whole = body_bytes("".join(parts), text, SAMPLING, url.encode())

    assert json.loads(whole) == body("".join(parts), text, SAMPLING, url)
    assert whole == json.dumps(body("".join(parts), text, SAMPLING, url), ensure_ascii=False).encode()


def test_the_order_of_a_request() -> None:
    """System, paper, image, figure: what figures of a paper have in common comes first."""
    asked = body("m", TEXT, SAMPLING, "data:x")

    assert [message["role"] for message in asked["messages"]] == ["system", "user"]
    assert asked["messages"][0]["content"] == TEXT.system
    assert asked["messages"][1]["content"] == [
        {"type": "text", "text": TEXT.paper},
        {"type": "image_url", "image_url": {"url": "data:x"}},
        {"type": "text", "text": TEXT.figure},
    ]
    assert {name: value for name, value in asked.items() if name != "messages"} == {
        "model": "m",
        "temperature": 0.2,
        "top_p": 0.9,
        "repetition_penalty": 1.05,
        "max_tokens": 640,
        "seed": 0,
    }


def key(**changes: Any) -> str:
    asked: dict[str, Any] = {
        "model": "m",
        "text": TEXT,
        "sampling": SAMPLING,
        "revision": "r",
        "variant": {},
        "image_sha256": "a" * 64,
        "image": WINDOW,
    }
    asked.update(changes)
    return request_key(asked.pop("model"), asked.pop("text"), asked.pop("sampling"), **asked)


CHANGES: list[dict[str, Any]] = [
    {"model": "n"},
    {"revision": "s"},
    {"variant": {"dtype": "float32"}},
    {"variant": {"dtype": "auto"}},
    {"variant": {"server_arguments": ["--quantization", "fp8"]}},
    {"image_sha256": "b" * 64},
    {"text": replace(TEXT, system="Say.")},
    {"text": replace(TEXT, paper="Title: other")},
    {"text": replace(TEXT, figure="Caption: other")},
    {"text": PromptText(TEXT.system, TEXT.figure, TEXT.paper)},
    {"sampling": replace(SAMPLING, temperature=0.3)},
    {"sampling": replace(SAMPLING, top_p=0.8)},
    {"sampling": replace(SAMPLING, repetition_penalty=1.0)},
    {"sampling": replace(SAMPLING, max_tokens=641)},
    {"sampling": replace(SAMPLING, seed=1)},
    {"image": ModelImage(min_tokens=255, max_tokens=1_280)},
    {"image": ModelImage(min_tokens=256, max_tokens=1_281)},
]


def test_the_key_follows_all_that_shapes_an_answer() -> None:
    """Each change gives another key; the same request has the same key."""
    keys = [key(), *(key(**change) for change in CHANGES)]

    assert len(set(keys)) == len(keys)
    assert key() == key()


def test_the_key_follows_how_images_are_made_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers about images that were resized in another way are not those to this request."""
    before = key()
    monkeypatch.setattr(request, "IMAGE_VERSION", "2")

    assert key() != before


def test_images_are_made_ready_as_before() -> None:
    """Other pixels than these need another IMAGE_VERSION."""
    values = np.add.outer(np.arange(90) * 2, np.arange(70)).astype(np.uint8)
    shown = np.asarray(seen(png(Image.fromarray(values))))
    known = [[1, 22, 44, 66], [60, 81, 103, 125], [120, 141, 163, 185], [179, 200, 222, 244]]

    assert IMAGE_VERSION == "1"
    assert shown.shape == (64, 32)
    assert np.abs(shown[::21, ::10].astype(int) - known).max() <= 1


def test_the_key_is_stable() -> None:
    """A changed key would ask every model again: let that be on purpose."""
    assert key() == "65c8d62a5ffbe9534f934abdf96f51a5044ed85c2041c251c15dc365260d945e"


def test_what_is_said_of_sampling() -> None:
    """All but the seed, which has a column of its own."""
    assert json.loads(SAMPLING.as_json()) == {
        "temperature": 0.2,
        "top_p": 0.9,
        "repetition_penalty": 1.05,
        "max_tokens": 640,
    }


# --- the image -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(512, 512), (513, 701), (1_280, 1_024), (5_000, 60)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_image_within_the_window_is_sent_as_it_is_stored(size: tuple[int, int], kind: str) -> None:
    """Byte for byte, with its media type."""
    image = saved(Image.new("RGB", size, RED), kind)

    assert sent(image) == (f"image/{kind.lower()}", image)


def sizes() -> st.SearchStrategy[tuple[int, int]]:
    """Sizes of 1 to 6000 pixels, and strips on both sides of the thinnest."""
    side = st.one_of(st.integers(1, 6_000), st.sampled_from([1, 2, 30, 31, 32, 33, 511, 512, 6_000]))
    thin = st.integers(1, 30).flatmap(
        lambda short: st.tuples(st.just(short), st.integers(short, short * 200))
    )
    return st.one_of(st.tuples(side, side), thin, thin.map(lambda size: (size[1], size[0])))


@example((20_000, 100), WINDOW)
@example((101, 20_190), WINDOW)
@given(sizes(), st.sampled_from([WINDOW, ModelImage(min_tokens=64, max_tokens=400)]))
@UNTIMED
def test_model_sizes(size: tuple[int, int], window: ModelImage) -> None:
    """Within the window, in whole patches where it must be resized, and no thinner than the model takes."""
    if max(size) > MAX_ASPECT * min(size):
        with pytest.raises(ImageRefused, match=f"{size[0]} x {size[1]} pixels"):
            model_size(size, window)
        return
    width, height = model_size(size, window)

    assert window.min_tokens <= width * height / PATCH_PX**2 <= window.max_tokens
    assert max(width, height) <= MAX_ASPECT * min(width, height)
    n_tokens = size[0] * size[1] / PATCH_PX**2
    if window.min_tokens <= n_tokens <= window.max_tokens:
        assert (width, height) == size
    else:
        assert (width % PATCH_PX, height % PATCH_PX) == (0, 0)
        nearest = window.max_tokens if n_tokens > window.max_tokens else window.min_tokens
        scale = (nearest / n_tokens) ** 0.5
        is_thinnest = max(width, height) == MAX_ASPECT * min(width, height)
        assert is_thinnest or max(abs(width - size[0] * scale), abs(height - size[1] * scale)) <= PATCH_PX
    assert model_size((width, height), window) == (width, height)


@pytest.mark.parametrize(("size", "target"), [((1_000, 1_000), (64, 64)), ((20, 30), (32, 64))])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_other_images_are_resized(size: tuple[int, int], target: tuple[int, int], kind: str) -> None:
    """In their own format; the same image gives the same bytes."""
    image = saved(Image.new("RGB", size, RED), kind)
    window = ModelImage(min_tokens=1, max_tokens=4)

    mime, small = sent(image, window)

    assert mime == f"image/{kind.lower()}"
    assert (seen(image, window).size, seen(image, window).format) == (target, kind)
    assert sent(image, window) == (mime, small)
    assert np.abs(np.asarray(seen(image, window).convert("RGB")).astype(int) - RED).max() <= 2


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGBA", (200, 200), (0, 0, 0, 0)),
        Image.new("LA", (200, 200), (0, 0)),
        Image.new("P", (200, 200), 0),
        Image.new("RGB", (200, 200), (0, 0, 0)),
        Image.new("L", (200, 200), 0),
    ],
    ids=lambda image: image.mode,
)
def test_what_shines_through_is_white(image: Image.Image) -> None:
    """As on paper: black that nobody sees is not shown to the model."""
    transparent = {"P": 0, "RGB": (0, 0, 0), "L": 0}.get(image.mode)
    options = {} if transparent is None else {"transparency": transparent}

    assert seen(png(image, **options)).convert("RGB").getcolors() == [(64 * 64, WHITE)]


def test_half_transparent_red_is_pink() -> None:
    """Transparency is mixed with white, not cut."""
    image = Image.new("RGBA", (200, 200), (*RED, 128))

    red, green, blue = seen(png(image)).getpixel((9, 9))  # type: ignore[misc]
    assert (red, green, blue) == (255, 127, 127)


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16"])
def test_grey_stays_grey(mode: str) -> None:
    """A black and a white half, in every mode of PNG."""
    values = np.zeros((200, 200), np.uint16 if mode == "I;16" else np.uint8)
    values[:, 100:] = 65_535 if mode == "I;16" else 255
    image = Image.fromarray(values) if mode == "I;16" else Image.fromarray(values).convert(mode)

    shown = seen(png(image)).convert("L")
    assert (shown.getpixel((5, 32)), shown.getpixel((58, 32))) == (0, 255)


def test_sixteen_bits_keep_their_middle() -> None:
    """The high byte counts; nothing is clipped."""
    image = Image.fromarray(np.full((200, 200), 128 << 8, np.uint16))

    assert seen(png(image)).getcolors() == [(64 * 64, 128)]


def test_a_jpeg_for_print() -> None:
    """CMYK is shown in the colours of a screen."""
    image = saved(Image.new("CMYK", (200, 200), (0, 255, 255, 0)), "JPEG")

    red, green, blue = seen(image).convert("RGB").getpixel((9, 9))  # type: ignore[misc]
    assert red > 240
    assert max(green, blue) < 15


def test_turns_in_exif_are_not_heeded() -> None:
    """Released images stand upright: a resized one is as stored, and loses its EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    picture = Image.new("RGB", (400, 200), RED)
    picture.paste(WHITE, (200, 0, 400, 200))  # red is on the left

    shown = seen(saved(picture, "JPEG", exif=exif))
    assert shown.size[0] > shown.size[1]
    assert [shown.getpixel((shown.width // 4 * n, 9))[1] > 200 for n in (1, 3)] == [False, True]  # type: ignore[index]
    assert not shown.getexif()


def chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def stated(width: int, height: int) -> bytes:
    """A PNG that says how large it is, and holds next to nothing."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


FRAMES = [Image.new("RGB", (200, 200), colour) for colour in ("red", "blue")]
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8))
REFUSED = {
    "nothing": b"",
    "text": b"no image",
    "GIF": saved(FRAMES[0], "GIF"),
    "TIFF": saved(FRAMES[0], "TIFF"),
    "WEBP": saved(FRAMES[0], "WEBP"),
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "animated PNG": png(FRAMES[0], save_all=True, append_images=FRAMES[1:]),
    "several JPEGs": saved(FRAMES[0], "MPO", save_all=True, append_images=FRAMES[1:]),
    "PNG cut off": png(NOISE)[:-300],
    "JPEG cut off": saved(NOISE, "JPEG")[:-300],
    "PNG cut off in its middle": png(NOISE)[:-300] + chunk(b"IEND", b""),
    "too many pixels": stated(20_000, 20_000),
    "many pixels": stated(10_001, 10_000),
    "no pixels": stated(0, 10),
    "far too many": stated(2**31 - 1, 2**31 - 1),
    "too thin": png(Image.new("L", (2_010, 10))),
    "too narrow": png(Image.new("L", (1, 201))),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("window", [WINDOW, TINY], ids=["enlarged", "reduced"])
def test_what_cannot_be_sent_is_refused(name: str, window: ModelImage) -> None:
    """With the reason, once, and the same reason each time: it is evidence in a row."""
    with pytest.raises(ImageRefused, match=r"^the image cannot be sent: .") as first:
        model_image_url(REFUSED[name], window)
    with pytest.raises(ImageRefused) as second:
        model_image_url(REFUSED[name], window)

    assert str(first.value) == str(second.value)
    assert str(first.value).count("cannot be sent") == 1
    assert len(str(first.value)) <= 300


SOUND = [
    png(NOISE.resize((80, 80))),
    saved(NOISE.resize((80, 80)), "JPEG"),
    saved(NOISE.resize((80, 80)), "JPEG", progressive=True),
    png(NOISE.resize((80, 80)).convert("P")),
]


@given(
    st.sampled_from(SOUND),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    st.floats(0, 1),
)
@UNTIMED
def test_broken_bytes_raise_nothing_else(
    image: bytes, changes: list[tuple[float, int]], share_kept: float
) -> None:
    """A data URL, or ImageRefused."""
    broken = bytearray(image)
    for where, value in changes:
        broken[int(where * len(broken))] = value
    end = image[-12:]
    with contextlib.suppress(ImageRefused):
        assert model_image_url(bytes(broken[: int(len(broken) * max(share_kept, 0.3))]) + end, TINY)
