"""The discipline of a paper, in the six groups of the paper's Figure 1."""

import re
from collections.abc import Sequence
from enum import StrEnum


class Subject(StrEnum):
    """A discipline as the paper groups them; engineering, chemistry, medicine, statistics … are others."""

    PHYSICS = "Physics"
    COMPUTER_SCIENCE = "Computer Science"
    ASTRONOMY = "Astronomy"
    BIOLOGY = "Biology"
    MATHEMATICS = "Mathematics"
    OTHERS = "Others"


PAPER_SHARES = {
    Subject.PHYSICS: 0.33,
    Subject.COMPUTER_SCIENCE: 0.25,
    Subject.ASTRONOMY: 0.13,
    Subject.BIOLOGY: 0.10,
    Subject.MATHEMATICS: 0.09,
    Subject.OTHERS: 0.10,
}
"""What the paper's Figure 1 shows."""

# arXiv's archives, today's and those of before 2007, before the dot of a category.
_ARCHIVES = {
    Subject.PHYSICS: """physics hep-ph hep-th hep-ex hep-lat nucl-ex nucl-th cond-mat quant-ph gr-qc nlin math-ph
        acc-phys
        ao-sci atom-ph chao-dyn chem-ph comp-gas mtrl-th patt-sol plasm-ph solv-int supr-con adap-org""",
    Subject.COMPUTER_SCIENCE: "cs cmp-lg",
    Subject.ASTRONOMY: "astro-ph",
    Subject.BIOLOGY: "q-bio",
    Subject.MATHEMATICS: "math alg-geom dg-ga funct-an q-alg",
    Subject.OTHERS: "stat eess econ q-fin bayes-an",
}
_BY_ARCHIVE = {archive: subject for subject, names in _ARCHIVES.items() for archive in names.split()}
_BY_SOURCE = {"biorxiv": Subject.BIOLOGY, "medrxiv": Subject.OTHERS, "chemrxiv": Subject.OTHERS}
# Other publishers name disciplines in words. The first that holds counts.
_BY_WORD = (
    (Subject.ASTRONOMY, re.compile(r"astro|planetary|cosmolog")),
    (
        Subject.BIOLOGY,
        re.compile(r"biolog|neuroscience|genetic|genom|ecolog|zoolog|immunolog|biochem|bioinform"),
    ),
    (Subject.COMPUTER_SCIENCE, re.compile(r"computer science|computing|machine learning|artificial intell")),
    (Subject.MATHEMATICS, re.compile(r"mathemat")),
    (Subject.PHYSICS, re.compile(r"physic|optic|photonic|quantum")),
)


def subject_of(categories: Sequence[str], source: str) -> Subject | None:
    """Return the discipline of a paper by its first category that is known, else by its source; None if by neither."""
    for category in categories:
        folded = category.strip().lower()
        if subject := _BY_ARCHIVE.get(folded.partition(".")[0]):
            return subject
        if source in _BY_SOURCE:
            return _BY_SOURCE[source]
        for subject, words in _BY_WORD:
            if words.search(folded):
                return subject
    return _BY_SOURCE.get(source) or (Subject.OTHERS if categories else None)
