"""What the paper itself says of an image: its caption, and the name of its file.

Belongs here: patterns on words. They add to the looks of an image and hardly ever decide alone (rules.py).
"""

import polars as pl

_LOGO_FILE = (
    r"(?i)(?:^|[^a-z])(?:logos?|orcid|crossmark|wordmark|coat[_-]?of[_-]?arms)(?:[^a-z]|$)"
    r"|[a-z]logo(?:[_-]?\d+)?\.\w+$"
)
_SEQUENCE_LOGO_FILE = r"(?i)seq|motif|weblogo|pwm|binding"
_LICENCE_FILE = (
    r"(?i)(?:^|[^a-z])(?:cc[_-]?by(?:[_-](?:nc|nd|sa))*|cc[_-]?(?:zero|0)|by[_-]n[cd]|by[_-]sa"
    r"|creative[_-]?commons)(?:[^a-z]|$)"
)
_DEGREE = (
    r"\b[bm]\.? ?(?:sc|s|a|eng|tech)\.|\bph\.? ?d\b|\bd\.? ?phil\b|\bbachelor|\bmaster(?:'?s| of)\b|\bdoctora"
    r"|\bdegrees? (?:in|from)\b"
)
_RANK = r"full |associate |assistant |senior |junior |adjunct |emeritus |distinguished |visiting |research |principal "
_POST = (
    r"professor|lecturer|researcher|research (?:fellow|scientist)|ph\.? ?d\.? (?:student|candidate)|post-?doc\w*"
    r"|faculty member"
)
_LIFE = (
    rf"(?i)\b(?:received|obtained|earned|holds|completed) (?:the|an?|his|her|their|both)\b.{{0,60}}?(?:{_DEGREE})"
    rf"|\b(?:is|was) (?:currently |now )?(?:an? |the )?(?:{_RANK})*(?:{_POST})\b"
    r"|\bwas born (?:in|on)\b.{0,40}\b(?:1[89]|20)\d\d\b|\babout the authors?\b|\bphoto\w* of the authors?\b"
)


def file_says_logo() -> pl.Expr:
    """Whether the file's name calls it a logo; sequence logos of molecules are figures."""
    return _file(_LOGO_FILE) & ~_file(_SEQUENCE_LOGO_FILE)


def file_says_licence() -> pl.Expr:
    """Whether the file's name is that of a Creative Commons badge."""
    return _file(_LICENCE_FILE)


def caption_tells_a_life() -> pl.Expr:
    """Whether the caption reads like the biography of an author: degrees, posts, birth."""
    return pl.col("caption").str.contains(_LIFE).fill_null(value=False)


def _file(pattern: str) -> pl.Expr:
    """Whether the name under which the paper includes the image matches."""
    return pl.col("graphics_path").str.contains(pattern).fill_null(value=False)
