"""Real papers: the score against a careful reader does not fall."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from s1mm_assets.archives import open_bundle
from s1mm_assets.extraction.latex import LatexFigure, read_paper


def row_of(paper: str, figure: LatexFigure) -> dict[str, object]:
    """One row as `s1mm extract` prints it."""
    return {
        "paper_id": paper,
        "figure_id": f"{figure.figure_ordinal}.{figure.panel_ordinal}",
        "figure_number": figure.figure_number,
        "image": figure.image_member or figure.graphics_path,
        "caption": figure.caption,
        "labels": figure.labels,
        "mentions": figure.mentions,
        "rejection": None if figure.image_member else "graphics_missing",
    }


@pytest.mark.corpus
def test_real_papers_are_read_as_a_careful_reader_reads_them(corpus: Path, tmp_path: Path) -> None:
    """Recall and precision of pairs stay above 0.96, caption similarity, labels and numbers above 0.98."""
    rows: list[dict[str, object]] = []
    for path in sorted((corpus / "latex").glob("*.gz")):
        paper = path.name.removesuffix(".gz").removesuffix(".tar")
        figures = read_paper(open_bundle(path.read_bytes(), path.name).members).figures
        rows += [row_of(paper, figure) for figure in figures]
    predicted = tmp_path / "rows.jsonl"
    predicted.write_text("".join(json.dumps(row) + "\n" for row in rows))
    scorer = [
        sys.executable,
        corpus / "gt" / "score_latex.py",
        corpus / "gt" / "latex_pairs.jsonl",
        predicted,
    ]
    done = subprocess.run([str(part) for part in scorer], capture_output=True, text=True, check=True)
    score = json.loads(done.stdout.strip().split("\n")[-1])

    assert score["pair_recall"] >= 0.96
    assert score["pair_precision"] >= 0.96
    assert score["mean_caption_similarity"] >= 0.98
    assert score["label_recall"] >= 0.98
    assert score["figure_number_agreement"] >= 0.98
    assert score["mention_count_agreement"] >= 0.88  # the truth does not count typed citations: "Fig. 7"
    assert sum(row["image"] is None for row in rows) >= 46
