"""Five years of small papers, one of which nobody could recaption: what the services are given to build."""

import io
import json
import random
from pathlib import Path

from PIL import Image, ImageDraw

from s1mm_assets_tests.archives.packing import tar_gz

YEARS = range(2019, 2024)
PARTITIONS = tuple(f"local|{year}" for year in YEARS)
POISONED = "local|2021"
SOUND = tuple(key for key in PARTITIONS if key != POISONED)
N_FIGURES = 6
SUBJECTS = ("tides", "glaciers", "zeolites", "mosquitoes", "pulsars", "dialects")


def write_papers(folder: Path) -> None:
    """Write a folder of sources: for each year a paper in TeX, with its record.

    That of the poisoned year says next to nothing about its figures, so that their recaptions are degenerate: a
    blocking check of quality_metrics stops it.
    """
    local = folder / "local"
    local.mkdir(parents=True)
    records = []
    for year in YEARS:
        key = f"local|{year}"
        name = f"survey-{year}.tar.gz"
        figures = {f"figure{i}.png": drawing(seed=100 * year + i) for i in range(N_FIGURES)}
        text = mute_paper() if key == POISONED else telling_paper(year)
        (local / name).write_bytes(tar_gz({"main.tex": text.encode(), **figures}))
        records.append(
            {
                "file": name,
                "year": year,
                "title": f"A survey of {year}",
                "doi": f"10.5555/survey.{year}",
                "licence": "CC-BY-4.0",
            }
        )
    (local / "metadata.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), "ascii")


def telling_paper(year: int) -> str:
    """TeX whose captions and citing paragraphs say what each figure shows."""
    parts = []
    for i, subject in enumerate(SUBJECTS):
        parts.append(
            rf"Figure~\ref{{f{i}}} shows how the counts of {subject} changed from {year - 9} to {year}."
            "\n\n"
            rf"\begin{{figure}}\includegraphics{{figure{i}}}"
            rf"\caption{{Counts of {subject} at station {i + 1}, in boxes by region, in {year}.}}"
            rf"\label{{f{i}}}\end{{figure}}"
        )
    return document("\n\n".join(parts))


def mute_paper() -> str:
    """TeX that cites none of its figures, and calls each the same."""
    figure = r"\begin{{figure}}\includegraphics{{figure{}}}\caption{{Results}}\end{{figure}}"
    return document("\n\n".join(figure.format(i) for i in range(N_FIGURES)))


def document(body: str) -> str:
    return "\\documentclass{article}\n\\begin{document}\n" + body + "\n\\end{document}\n"


def drawing(seed: int) -> bytes:
    """A PNG of some boxes, like no other; larger than the smallest image that is kept."""
    draw_from = random.Random(seed)
    image = Image.new("RGB", (320, 240), "white")
    pen = ImageDraw.Draw(image)
    for _ in range(60):
        x, y = draw_from.randrange(300), draw_from.randrange(220)
        colour = tuple(draw_from.randrange(256) for _ in range(3))
        pen.rectangle((x, y, x + draw_from.randrange(8, 60), y + draw_from.randrange(8, 60)), fill=colour)
    noise = Image.frombytes("RGB", (64, 64), draw_from.randbytes(64 * 64 * 3))
    image.paste(noise, (draw_from.randrange(256), draw_from.randrange(176)))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
