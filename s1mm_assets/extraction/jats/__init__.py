"""Figures of articles in JATS: every captioned image with what the paper says about it.

`read_jats` takes a package's members and gives a `JatsPaper`; it never raises. External entities are never read,
internal ones never expanded.
"""

from s1mm_assets.extraction.jats.paper import JatsFigure, JatsPaper, read_jats

__all__ = ["JatsFigure", "JatsPaper", "read_jats"]
