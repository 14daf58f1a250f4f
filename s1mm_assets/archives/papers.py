"""How the file of a paper is named, whatever its publisher."""

import re

MAX_STEM = 120
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]")


def file_stem_of(paper_id: str) -> str:
    """Return a paper's identifier as a file is named: "10.1101/446694" gives "10.1101_446694".

    Raises:
        ValueError: Nothing but dots is left, or it is too long for a name.
    """
    stem = NOT_IN_NAMES.sub("_", paper_id)
    if not stem.strip(".") or len(stem) > MAX_STEM:
        raise ValueError(f"{paper_id[:80]!r} names no paper")
    return stem
