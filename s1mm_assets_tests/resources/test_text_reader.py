"""rapidocr's own weights read what is drawn, offline and in one thread."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from s1mm_assets.filtering.settings import TextSettings
from s1mm_assets.filtering.texts import TextReaderError
from s1mm_assets.resources import text_reader
from s1mm_assets.resources.text_reader import RapidOcrReader, missing, versions


def written(*lines: str, size: int = 28) -> Image.Image:
    """Lines of text, 60 pixels apart."""
    image = Image.new("RGB", (640, 60 * len(lines) + 40), "white")
    pen = ImageDraw.Draw(image)
    for i, line in enumerate(lines):
        pen.text((40, 30 + 60 * i), line, "black", ImageFont.load_default(size))
    return image


def test_words_and_numbers_are_read_where_they_stand() -> None:
    """Each line with its box; the reader is taken along by workers."""
    reader = pickle.loads(pickle.dumps(RapidOcrReader()))  # noqa: S301 - our own

    lines = reader(np.asarray(written("Temperature (K)", "0.25  1.75")))

    top, bottom = sorted(lines, key=lambda line: line.y0)
    assert top.text.replace(" ", "") == "Temperature(K)"
    assert bottom.text.replace(" ", "") in ("0.251.75", "0.25")
    assert 0 <= top.x0 < 60
    assert 15 <= top.y0 < 45 < top.y1 < 80
    assert top.confidence > 0.8


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (8, 8), (2_000, 9), (640, 480)])
def test_images_without_text_of_any_shape(size: tuple[int, int]) -> None:
    """Nothing is read, and nothing raises."""
    assert RapidOcrReader()(np.asarray(Image.new("RGB", size, "white"))) == []


def test_noise_is_no_reason_to_fail() -> None:
    """Whatever it reads there, it comes back."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)

    assert all(0 <= line.confidence <= 1 for line in RapidOcrReader()(noise))


def test_the_version_names_the_weights() -> None:
    """Other weights would read other words."""
    version = versions(TextSettings(sample_share=1))["rapidocr"]

    assert version.startswith("3.10")
    assert "sha256:" in version


def test_without_the_package_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where text is wanted; elsewhere it says nothing."""
    monkeypatch.setattr(text_reader, "_weights", lambda: None)
    text_reader._version.cache_clear()
    text_reader._engine.cache_clear()
    try:
        [line] = missing(TextSettings(sample_share=0.1))
        assert "pip install" in line
        assert missing(TextSettings()) == []
        with pytest.raises(TextReaderError, match="pip install"):
            RapidOcrReader()(np.zeros((50, 50, 3), dtype=np.uint8))
    finally:
        text_reader._version.cache_clear()
        text_reader._engine.cache_clear()


def test_no_network_no_telemetry_and_no_output() -> None:
    """A process of its own, in which sockets are forbidden, reads a line and prints nothing else."""
    code = """
import os, socket, sys
def refused(*args, **kwargs): raise AssertionError("network")
socket.socket.connect = refused
socket.getaddrinfo = refused
import numpy as np
from s1mm_assets.resources.text_reader import RapidOcrReader
assert RapidOcrReader()(np.full((80, 200, 3), 255, dtype=np.uint8)) == []
assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
