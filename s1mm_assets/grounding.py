r"""Grounding: do the numbers and names of a recaption stand in what the paper says about the figure?

A claim is a number, with its unit where it has one, or a name: an acronym, a word with inner capitals, or words
with capitals side by side. A claim is grounded where a source holds it, however it is written there:
"5 %" and "5\\\\%", "1.2e-3" and "1.2 \\\\times 10^{-3}", "1,200" and "1200".
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

MAX_CHARS = 200_000  # of the sources together

_SPACING = re.compile(
    r"\\[,;:! ]|\\(?:mathrm|text|textrm|rm|mathbf|bf|left|right|hspace|quad|SI|unit)\b|[{}~$]"
)
_NUMBER = re.compile(
    r"(?<![\w.])(?<!\w[-–])(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d{1,30})?|\d{1,30}(?:\.\d{1,30})?|\.\d{1,30})"
    r"(?:[eE](?P<e>[-+]?\d{1,3})\b|\s?(?:×|\\times|\\cdot|x|·)\s?10\s?(?:\^\s?)?(?P<power>[-+−–]?\s?\d{1,3}))?"
    r"(?:\s?(?P<percent>\\?%|percent\b|per cent\b)|(?:\s|-)?(?P<unit>[A-Za-zµμΩÅ°][A-Za-z°]{0,5})(?![\w]))?"
)
_UNITS = frozenset(
    """m cm mm µm μm nm pm fm km Å s ms µs μs ns ps fs min h yr Myr Gyr kyr K mK µK °C C g kg mg µg ng t J mJ kJ MJ
    eV meV keV MeV GeV TeV PeV W mW kW MW GW V mV kV A mA µA nA Hz kHz MHz GHz THz T mT G Pa kPa MPa GPa bar mbar N mN L
    mL µL M mM µM nM mol mmol Da kDa bp kb kbp Mb Mbp Gb GB MB TB kB dB dBm px dpi ppm ppb pc kpc Mpc Gpc AU Jy mJy
    arcsec arcmin deg rad mrad fb pb nb mb sr Bq rpm""".split()  # noqa: SIM905 - a list of units reads better as words
)
_NAME = re.compile(  # bounded: text without blanks is not searched again and again
    r"\b(?:[A-Z][a-z]{1,60}(?:[ -][A-Z][A-Za-z]{1,60})+"
    r"|[A-Z][A-Za-z]{0,60}[A-Z][A-Za-z0-9]{0,60}(?:-\d{1,4})?"
    r"|[a-z]{1,3}[A-Z][A-Za-z]{1,60}|[A-Z][A-Za-z]{0,60}\d{1,4})\b"
)
_OPENING = frozenset(
    "The A An In On At For From With This These Those That Each Both All As By To Of And Or But".split()  # noqa: SIM905
)
_WORD = re.compile(r"[^\W_]+")
_SCRIPT = re.compile(r"\\(?:mathrm|text|textrm|rm|mathbf|ce)\b|[$^_{}]")


@dataclass(frozen=True, slots=True)
class Grounding:
    """How much of a text its sources hold."""

    n_claims: int
    ungrounded: tuple[str, ...]  # in order of appearance

    @property
    def share(self) -> float | None:
        """Grounded claims over claims, from 0 to 1; None without claims."""
        return 1 - len(self.ungrounded) / self.n_claims if self.n_claims else None


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and its unit as they are compared."""

    value: Decimal
    unit: str  # "%", "GeV", or empty


def grounding(text: str, sources: Sequence[str]) -> Grounding:
    """Count the distinct numbers and names of a text, and list those that no source holds.

    A number with a unit is grounded where a source has it with that unit, or without any; a number alone where a
    source has it with whatever unit. Signs are not compared: a minus is written in too many ways. Names are equal by
    letters, whatever their case; the words of a name must stand side by side in a source.
    """
    whole = "\n".join(sources)[:MAX_CHARS]
    known = {quantity for _, quantity in quantities(whole)}
    values, bare = {each.value for each in known}, {each.value for each in known if not each.unit}
    letters = as_letters(whole) + as_letters(_SCRIPT.sub("", whole))  # "CO$_2$" is CO2, "$T_1$" is T1
    claims: dict[str, bool] = {}
    for written, quantity in quantities(text):
        is_known = quantity in known or quantity.value in (bare if quantity.unit else values)
        claims.setdefault(written, is_known)
    for name in names(text):
        claims.setdefault(name, as_letters(name) in letters)
    return Grounding(len(claims), tuple(claim for claim, is_grounded in claims.items() if not is_grounded))


def quantities(text: str) -> Iterator[tuple[str, Quantity]]:
    """Yield every number of a text as written (TeX spacing removed), and as compared."""
    for match in _NUMBER.finditer(_SPACING.sub(" ", text).replace("  ", " ")):
        value = Decimal(match["digits"].replace(",", ""))
        power = (match["e"] or match["power"] or "0").replace("−", "-").replace("–", "-").replace(" ", "")
        unit = "%" if match["percent"] else match["unit"] if match["unit"] in _UNITS else ""
        end = (
            match.end() if match["percent"] or unit else match.start("unit") if match["unit"] else match.end()
        )
        yield (
            text_between(match.string, match.start(), end),
            Quantity(value.scaleb(int(power)).normalize(), unit or ""),
        )


def text_between(text: str, start: int, end: int) -> str:
    """Return part of a text without the blank or hyphen that parted it from what follows."""
    return text[start:end].rstrip(" -")


def names(text: str) -> Iterator[str]:
    """Yield acronyms, words with inner capitals or digits, and words with capitals side by side.

    A word that opens a sentence has a capital anyway: the usual ones do not make a name with what follows.
    """
    for match in _NAME.finditer(text):
        words = re.split(r"(?<=[a-z])[ ](?=[A-Z])", match.group())
        while words and words[0] in _OPENING:
            words = words[1:]
        name = " ".join(words)
        if name not in _UNITS and (len(words) > 1 or _NAME.fullmatch(name)):
            yield name


def as_letters(text: str) -> str:
    """Return the words of a text in lower case, each between blanks."""
    return f" {' '.join(_WORD.findall(text.lower()))} "
