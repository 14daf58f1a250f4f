"""What the paper itself says of an image: its caption, and the name of its file.

Belongs here: patterns on words. They add to the looks of an image and never decide alone (rules.py).
"""

import polars as pl

_STEM = r"([^/\\]*?)(?:\.[A-Za-z]{2,4})?$"
_QUALIFIER = r"(?:[a-z]{1,24}\d{0,4}|\d{1,4}x\d{1,4}|\d{2,4})"
_LOGO_WORD = r"(?:logos?|logotype|wordmark|orcid|crossmark|coat[ _-]?of[ _-]?arms)\d{0,2}"
_LOGO_FILE = (
    rf"^(?i:{_LOGO_WORD}|{_QUALIFIER}[ _-]{_LOGO_WORD}|{_LOGO_WORD}[ _-]{_QUALIFIER})$|^[A-Za-z]+Logo$"
)
_VERSION = r"(?:[ _-]?[1-4]\.[05])?"
_LICENCE_WORD = (
    rf"(?:cc[ _-]?by(?:[ _-]?(?:nc|nd|sa)){{0,2}}{_VERSION}|cc[ _-]?(?:zero|0)|creative[ _-]?commons)"
)
_LICENCE_FILE = (
    rf"(?i)^(?:{_LICENCE_WORD}|{_QUALIFIER}[ _-]{_LICENCE_WORD}|{_LICENCE_WORD}[ _-]{_QUALIFIER}"
    rf"|by(?:[ _-](?:nc|nd|sa)){{1,2}}{_VERSION})$"  # bare, an axis may be "by" something: nothing beside it
)
_PLOT_FILE = (  # LOGO is also leave-one-group-out, and a sequence logo is a plot of molecules
    r"(?i)acc|auc|roc|loss|err|fold|curve|plot|fig|hist|bar|scatter|heat|map|matrix|result|perform|compar|score"
    r"|rate|growth|trend|usage|adoption|count|share|detect|ablation|valid|test|train|cost|seq|motif|weblogo|pwm"
    r"|binding|stimul|(?:^|[^a-z])(?:vs|cv|loso|time|val)(?:[^a-z]|$)"
)

_NAME_PART = r"\p{Lu}[\p{L}.'’-]*"
_NAME = (
    rf"(?:(?:Dr|Prof|Mr|Ms|Mrs)\.? )?{_NAME_PART}(?: (?:(?:de|del|la|le|da|van|von|der|den|bin|al|el) ){{0,2}}"
    rf"{_NAME_PART}){{1,4}}(?:,? ?\([^()]{{1,60}}\)|, [^.;:]{{1,40}},)?"
)
_SUBJECT = rf"(?:^\W*{_NAME}|\b(?:[Hh]e|[Ss]he|[Tt]hey))"
_NO_NAME = (
    r"^\W*(?:The|An?|This|These|Our|Each|All|Left|Right|Top|Bottom|Fig\w*|Panel|Example|Input|Output)\b"
)
_DEGREE = (
    r"\b[BM]\. ?(?:Sc|S|A|E|Eng|Tech|Phil)\.|\b[BM](?:Sc|Eng|Tech|Phil)\b|\b[BM][SAE] degree|\bPh\. ?D\b|\bPhD\b"
    r"|\bD\. ?Phil\b|\bDPhil\b|\b(?:[Bb]achelor|[Mm]aster)(?:['’]?s['’]? degree| of \p{Lu})"
    r"|\b[Dd]octora(?:l degree|te)\b|\bdegrees? in \p{Lu}"
)
_RANK = r"full |associate |assistant |senior |junior |adjunct |emeritus |distinguished |visiting |research |principal "
_POST = (
    r"professor|lecturer|researcher|research (?:fellow|scientist)|ph\.? ?d\.? (?:student|candidate)|post-?doc\w*"
    r"|faculty member"
)
_LIFE = (
    rf"{_SUBJECT} (?:has |also )?(?:received|obtained|earned|holds|completed)\b[^0-9]{{0,60}}?(?:{_DEGREE})"
    rf"|{_SUBJECT} (?:is|was) (?:currently |now )?(?:an? |the )?(?i:(?:{_RANK})*(?:{_POST}))\b"
    rf"|{_SUBJECT} was born (?:in|on)\b.{{0,40}}\b(?:19[4-9]|200)\d\b"
)
_AUTHOR = r"(?i)^\W*(?:about the authors?|photo(?:graph)?s? of the authors?)\W*$"
_NOTHING_SAID = r"(?i)^\W*(?:fig(?:ure)?\W*\d*)?\W*$"


def file_says_logo() -> pl.Expr:
    """Whether the file's own name is that of a logo: the word, with at most one name before or after it."""
    return _file(_LOGO_FILE)


def folder_says_logo() -> pl.Expr:
    """Whether the file lies in a folder of logos and is not named as plots are."""
    stem = pl.col("graphics_path").str.extract(_STEM)
    in_folder = pl.col("graphics_path").str.contains(r"(?i)(?:^|[/\\])logos?[/\\][^/\\]+$")
    return (in_folder & ~stem.str.contains(_PLOT_FILE)).fill_null(value=False)


def file_says_licence() -> pl.Expr:
    """Whether the file's own name is that of a Creative Commons badge, with at most one name beside it."""
    return _file(_LICENCE_FILE)


def caption_tells_a_life() -> pl.Expr:
    """Whether the caption reads like an author's biography: somebody, or a pronoun, with degrees, a post or birth."""
    caption = pl.col("caption")
    of_someone = caption.str.contains(_LIFE) & ~caption.str.contains(_NO_NAME)
    return (of_someone | caption.str.contains(_AUTHOR)).fill_null(value=False)


def caption_says_nothing() -> pl.Expr:
    """Whether there is no caption, or no more of it than a figure's number."""
    return pl.col("caption").str.contains(_NOTHING_SAID).fill_null(value=True)


def _file(pattern: str) -> pl.Expr:
    """Whether the name under which the paper includes the image matches, and is not a plot's; folders do not count."""
    stem = pl.col("graphics_path").str.extract(_STEM)
    return (stem.str.contains(pattern) & ~stem.str.contains(_PLOT_FILE)).fill_null(value=False)
