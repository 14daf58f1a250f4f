"""Small papers and the rows they must give: golden/latex/*.tex with *.json beside them.

A first line ``% files: a.pdf b.png`` names the other members of the bundle.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from s1mm_assets.extraction.latex import read_paper

CASES = sorted((Path(__file__).parents[2] / "golden" / "latex").glob("*.tex"))


@pytest.mark.parametrize("tex", CASES, ids=lambda path: path.stem)
def test_papers_give_the_rows_that_tex_would_print(
    tex: Path, check_golden: Callable[[str, Path], None]
) -> None:
    """Each construct yields its figures, captions, numbers, labels, images and mentions as TeX reads them."""
    source = tex.read_bytes()
    first_line = source.split(b"\n", 1)[0].decode()
    others = first_line.removeprefix("% files:").split() if first_line.startswith("% files:") else []

    paper = read_paper({"paper.tex": source, **dict.fromkeys(others, b"image")})

    check_golden(json.dumps(asdict(paper), indent=2, ensure_ascii=False) + "\n", tex.with_suffix(".json"))
