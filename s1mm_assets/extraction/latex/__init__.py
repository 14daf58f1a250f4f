"""Figures of LaTeX sources: every captioned image with what the paper says about it.

TeX is never executed. `read_paper` takes a bundle's members and gives a `LatexPaper`; it never raises.
"""

from s1mm_assets.extraction.latex.paper import LatexFigure, LatexPaper, read_paper

__all__ = ["LatexFigure", "LatexPaper", "read_paper"]
