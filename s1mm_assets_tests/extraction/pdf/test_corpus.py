"""Real papers, read without any detector: as many figures, with the captions, as a careful annotator found."""

import json
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from s1mm_assets_tests.extraction.pdf.reading import paired, read


def scorer(corpus: Path) -> Any:
    """The corpus's own scorer, as a module."""
    spec = util.spec_from_file_location("score_pdf", corpus / "gt" / "score_pdf.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.corpus
@pytest.mark.parametrize(
    "stem", ["gr_sample1", "pq_10.1038_s41467-024-44806-1", "pq_10.1101_2024.05.13.593936"]
)
def test_figures_are_those_that_a_reader_sees(corpus: Path, stem: str) -> None:
    """Each annotated figure is found with its place and its words, and no other."""
    score = scorer(corpus)
    rows = [json.loads(line) for line in (corpus / "gt" / "pdf_figures.jsonl").read_text().splitlines()]
    truth = [row for row in rows if row["pdf"] == stem and not row["uncaptioned"]]

    figures = list(paired(read((corpus / "pdf" / f"{stem}.pdf").read_bytes())).values())

    found = [{"pdf": stem, "page": each.page, "bbox": each.bbox, "caption": each.caption} for each in figures]
    matched = score.match(truth, found, 0.8)
    assert len(matched) == len(truth) == len(found)
    for true, guess, _ in matched:
        assert score.similarity(truth[true]["caption"], found[guess]["caption"]) >= score.CAPTION_MIN
