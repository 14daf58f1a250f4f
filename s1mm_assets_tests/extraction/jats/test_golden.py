"""Small articles in each publisher's dialect and what they must give: golden/jats/*.xml with *.json beside them.

A comment `<!-- files: a.tif b.jpg -->` names the other members of the package.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from s1mm_assets.extraction.jats import read_jats
from s1mm_assets_tests.extraction.jats.packing import package

CASES = sorted((Path(__file__).parents[2] / "golden" / "jats").glob("*.xml"))


@pytest.mark.parametrize("xml", CASES, ids=lambda path: path.stem)
def test_articles_give_the_figures_that_a_reader_sees(
    xml: Path, check_golden: Callable[[str, Path], None]
) -> None:
    """Each dialect yields its figures, captions, numbers, ids, images, mentions and metadata."""
    paper = read_jats(package(xml.read_bytes()), xml.stem)

    check_golden(json.dumps(asdict(paper), indent=2, ensure_ascii=False) + "\n", xml.with_suffix(".json"))
