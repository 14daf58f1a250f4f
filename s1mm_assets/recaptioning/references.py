"""References to figures, tables and equations in prose, and sentences that read without them.

A description stands beside its image, not in its paper: "Fig. 3(b)" becomes "panel (b) of this figure", and an
aside such as "(see Table 2)" goes.
"""

import re

_NUMBER = r"[A-Z]{0,2}\.?\d{1,4}(?:\.\d{1,3})?"
_LETTERS = r"(?:[a-h]{1,3}|[A-H]{1,3}|[a-zA-Z])(?:[-–,][a-zA-Z]){0,8}(?!\w)"  # without brackets: no blanks
_PANEL = rf"(?:\s?\([a-zA-Z](?:[-–,\s]{{1,2}}[a-zA-Z])?\)|{_LETTERS})?"
_MORE = rf"(?:\s?(?:,\s?and|and|or|to|,|&|--?|–)\s?(?:{_NUMBER}|\({_NUMBER}\)){_PANEL}){{0,8}}"
FIGURES = re.compile(rf"\b[Ff]ig(?:ure|\.)?s?\.?[\s~]{{0,2}}({_NUMBER}|\({_NUMBER}\))({_PANEL})({_MORE})")
_FLOATS = r"(?:[Ff]ig(?:ure)?s?|[Tt]ab(?:le)?s?|[Ee]q(?:uation|n)?s?|[Ss]ec(?:tion|t)?s?|[Aa]ppendi(?:x|ces)|[Rr]efs?)"
ASIDE = re.compile(
    rf"\s?[(\[](?:(?:see|cf\.|e\.g\.,?|also|compare|in)\s){{0,3}}(?:the\s)?{_FLOATS}\.?[\s~]{{0,2}}"
    rf"\(?(?:{_NUMBER}|[A-Z]|\?\?)\)?{_PANEL}{_MORE}[)\]]"
)
ELSEWHERE = re.compile(rf"\b{_FLOATS}\.?[\s~]{{0,2}}\(?(?:\d|[A-Z]\b|\?\?)|\?\?")


def names_figure(sentence: str, number: str | None) -> bool:
    """Whether a sentence refers to the figure of this number; without a number, to any."""
    return any(
        number is None or number in re.findall(_NUMBER, match.group(0))
        for match in FIGURES.finditer(sentence)
    )


def standing_alone(sentence: str, number: str | None) -> str:
    """Return a sentence whose references to this figure read without the paper beside them.

    References to other figures, tables and so on are dropped where they are asides, and kept where the sentence
    needs them. Without a number nobody can say which figure is meant: then the first one is.
    """
    without = ASIDE.sub("", sentence)
    alone = FIGURES.sub(lambda match: _this(match, number), without)
    return (
        alone[:1].upper() + alone[1:] if alone.startswith(("this figure", "panel (", "panels (")) else alone
    )


def _this(match: re.Match[str], number: str | None) -> str:
    first, panel, more = match[1].strip("()"), match[2], match[3]
    others = re.findall(_NUMBER, more)
    if number is not None and first != number and number not in others:
        return match.group(0)
    letters = panel.strip().strip("()")
    word = "panels" if len(letters) > 1 else "panel"
    this = f"{word} ({letters}) of this figure" if letters else "this figure"
    if not more:
        return this
    if re.search(r"to|-|–", more) or (number is not None and first != number):
        return match.group(0)
    return (
        f"{this} and {'Figures' if len(others) > 1 else 'Figure'} {more.lstrip(' ,&').removeprefix('and ')}"
    )
