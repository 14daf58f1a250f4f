"""What a thumbnail shows: letters, a badge, tones."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from s1mm_assets.filtering import DUPLICATES, FilterSettings, MeasureJob, decide, measure
from s1mm_assets.filtering.measures import thumbnail_of
from s1mm_assets.filtering.picture_look import badge_score, logo_score, tone_bits
from s1mm_assets.tables import FigureCandidate, Measure, frame_of
from s1mm_assets_tests.filtering import drawings
from s1mm_assets_tests.strategies import figure

SETTINGS = FilterSettings()


def badge() -> Image.Image:
    """The Creative Commons button, four times its size."""
    image = Image.new("RGB", (352, 124), "black")
    pen = ImageDraw.Draw(image)
    pen.rectangle((4, 4, 347, 88), fill="#aab2ab")
    pen.ellipse((10, 12, 106, 108), fill="white", outline="black", width=8)
    pen.ellipse((140, 16, 196, 72), fill="white", outline="black", width=4)
    return image


def stimulus() -> Image.Image:
    """The name of a colour in another."""
    return drawings.text("YELLOW", ink="red")


def peptide() -> Image.Image:
    """A string of residues."""
    return drawings.text("MKVLSEGEWQLVLHVWAKVE")


def one_box() -> Image.Image:
    """A box of a diagram with its word."""
    image = Image.new("RGB", (400, 200), "white")
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle((10, 10, 390, 190), 20, outline="black", width=4)
    pen.text((200, 100), "Encoder", fill="black", font=ImageFont.load_default(size=70), anchor="mm")
    return image


def photograph() -> Image.Image:
    """Tones without end."""
    noise = np.random.default_rng(0).integers(0, 256, (6, 5), dtype=np.uint8)
    return Image.fromarray(noise).resize((300, 360), Image.Resampling.BICUBIC).convert("RGB")


@pytest.mark.parametrize("words", ["NORDIC PRESS", "eScience", "Journal of Things", "SciNet"])
def test_a_line_of_large_letters_is_a_logo(words: str) -> None:
    """A name that fills the picture."""
    assert logo_score(thumbnail_of(drawings.text(words))) > SETTINGS.max_logo_score


def test_letters_left_blank_in_a_disc_are_a_logo() -> None:
    """A name in white on a solid ground."""
    image = Image.new("RGB", (600, 400), "white")
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle((20, 20, 580, 380), 40, fill="#b31b1b")
    for x, letter in zip((90, 230, 280, 400), "MILW", strict=True):
        pen.text((x, 120), letter, fill="white", font=ImageFont.load_default(size=130), stroke_width=2)

    assert logo_score(thumbnail_of(image)) > SETTINGS.max_logo_score


@pytest.mark.parametrize(
    "draw",
    [
        drawings.plot,
        drawings.scatter,
        drawings.bars,
        drawings.dot_matrix,
        drawings.empty_panels,
        drawings.small_multiples,
        drawings.table,
        drawings.prose,
        drawings.blank,
        drawings.gradient,
        photograph,
    ],
)
def test_figures_are_no_logos_and_no_badges(draw: drawings.Drawing) -> None:
    """Small letters, equal shapes and photographs score low."""
    thumbnail = thumbnail_of(draw())

    assert logo_score(thumbnail) <= SETTINGS.max_logo_score
    assert badge_score(thumbnail) <= SETTINGS.max_badge_score


@pytest.mark.parametrize("draw", [stimulus, peptide, one_box])
def test_large_letters_under_a_caption_are_kept(draw: drawings.Drawing) -> None:
    """The looks of stimuli, sequences and boxes are those of logos: without a second witness they are figures."""
    seen = measure(MeasureJob("arxiv:2001.00001#1.1", drawings.png(draw())))
    tables = [
        frame_of(FigureCandidate, [figure(seen.figure_id, caption=words)]) for words in ("A stimulus.", "")
    ]
    kept, mute = (
        decide(table, frame_of(Measure, [seen]), DUPLICATES.to_frame(), SETTINGS) for table in tables
    )

    assert kept["rejection"].to_list() == [None]
    assert mute["rejection"].to_list() == ["logo"]


def test_letters_far_apart_are_no_logo() -> None:
    """Stimuli and glyphs stand apart."""
    image = Image.new("RGB", (1000, 200), "white")
    for i, letter in enumerate("MILWE"):
        image.paste(drawings.text(letter), (200 * i, 10))

    assert logo_score(thumbnail_of(image)) <= SETTINGS.max_logo_score


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("margin", [0, 25])
def test_the_button_of_a_licence_is_a_badge(scale: float, margin: int) -> None:
    """At any size, with a margin or without."""
    button = badge()
    image = Image.new("RGB", (352 + 2 * margin, 124 + 2 * margin), "white")
    image.paste(button, (margin, margin))
    size = (round(image.width * scale), round(image.height * scale))

    assert badge_score(thumbnail_of(image.resize(size))) > SETTINGS.max_badge_score


def test_tones_tell_photographs_from_drawings() -> None:
    """One tone has no entropy, drawings have little, photographs much."""
    assert tone_bits(Image.new("RGB", (50, 50), "navy")) == 0.0
    assert tone_bits(thumbnail_of(drawings.plot())) < SETTINGS.max_tone_bits < tone_bits(photograph())


@pytest.mark.parametrize("size", [(1, 1), (1, 256), (256, 1), (2, 2), (88, 31)])
@pytest.mark.parametrize("colour", ["black", "white", "#808080"])
def test_images_of_hardly_any_pixels(size: tuple[int, int], colour: str) -> None:
    """The smallest images have scores too, and low ones."""
    image = Image.new("RGB", size, colour)

    assert (logo_score(image), badge_score(image), tone_bits(image)) == (0.0, 0.0, 0.0)
