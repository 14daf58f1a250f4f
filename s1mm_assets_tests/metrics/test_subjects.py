"""The discipline of a paper by its categories."""

import pytest

from s1mm_assets.metrics.subjects import PAPER_SHARES, Subject, subject_of


@pytest.mark.parametrize(
    ("categories", "source", "subject"),
    [
        (["hep-ph"], "arxiv", Subject.PHYSICS),
        (["cond-mat.mtrl-sci", "cs.LG"], "arxiv", Subject.PHYSICS),
        (["cs.CV", "astro-ph.IM"], "arxiv", Subject.COMPUTER_SCIENCE),
        (["astro-ph.GA"], "arxiv", Subject.ASTRONOMY),
        (["q-bio.NC"], "arxiv", Subject.BIOLOGY),
        (["math.AG"], "arxiv", Subject.MATHEMATICS),
        (["math-ph"], "arxiv", Subject.PHYSICS),
        (["alg-geom"], "arxiv", Subject.MATHEMATICS),
        (["cmp-lg"], "arxiv", Subject.COMPUTER_SCIENCE),
        (["stat.ML"], "arxiv", Subject.OTHERS),
        (["eess.SP"], "local", Subject.OTHERS),
        (["no such category", "gr-qc"], "arxiv", Subject.PHYSICS),
        (["Neuroscience"], "biorxiv", Subject.BIOLOGY),
        (["Biophysics"], "biorxiv", Subject.BIOLOGY),
        ([], "biorxiv", Subject.BIOLOGY),
        (["Oncology"], "medrxiv", Subject.OTHERS),
        (["Physical Chemistry"], "chemrxiv", Subject.OTHERS),
        (["Astronomy and planetary science"], "nature_communications", Subject.ASTRONOMY),
        (["Biological sciences"], "nature_communications", Subject.BIOLOGY),
        (["Physical sciences"], "nature_communications", Subject.PHYSICS),
        (["Social science"], "nature_communications", Subject.OTHERS),
        ([], "arxiv", None),
        ([], "local", None),
    ],
)
def test_subjects(categories: list[str], source: str, subject: Subject | None) -> None:
    """The first category that is known counts, then the source; what neither tells is not guessed."""
    assert subject_of(categories, source) == subject


def test_the_papers_shares_are_whole() -> None:
    """All of its Figure 1."""
    assert sum(PAPER_SHARES.values()) == pytest.approx(1)
    assert set(PAPER_SHARES) == set(Subject)
