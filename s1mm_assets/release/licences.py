"""Licences as sources write them, read into SPDX ids: https://spdx.org/licenses/.

Sources give an address (arXiv, JATS), a code of their own ("cc_by_nc": bioRxiv's API; "CC BY": PMC), an SPDX id, or
a sentence. What is not surely one licence is none: then nothing allows to pass an image on.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

ARXIV = "LicenseRef-arXiv-nonexclusive-distrib-1.0"
ARXIV_ASSUMED = "LicenseRef-arXiv-assumed-1991-2003"
PUBLIC_DOMAIN = {
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-PDM-1.0": "https://creativecommons.org/publicdomain/mark/1.0/",
    "CC-PDDC": "https://creativecommons.org/licenses/publicdomain/",
}
ARXIV_ADDRESSES = {
    "nonexclusive-distrib/1.0": ARXIV,
    "assumed-1991-2003": ARXIV_ASSUMED,
}
PORTS_WITH_IDS = frozenset({"3.0-AT", "3.0-AU", "3.0-DE", "3.0-IGO", "3.0-NL", "3.0-US"})  # of CC BY in SPDX
CONDITIONS = r"by(?:-nc)?(?:-(?:sa|nd))?"

END = r"(?=/?(?:legalcode|deed)?(?:\.[a-z-]{2,5})?/?(?:[\s\"'<>)\],;.]|\Z))"
CC_ADDRESS = re.compile(
    rf"creativecommons\.org/licen[sc]es/({CONDITIONS}|by-nd-nc)(?:/(\d\.\d)(?:/([a-z]{{2,3}})(?![a-z.]))?)?{END}",
    re.I,
)
DOMAIN_ADDRESS = re.compile(
    r"creativecommons\.org/(publicdomain/(?:zero|mark)(?:/1\.0)?|licen[sc]es/publicdomain)(?![\w-])", re.I
)
ARXIV_ADDRESS = re.compile(
    r"arxiv\.org/licenses/(nonexclusive-distrib/1\.0|assumed-1991-2003)(?![\w.-])", re.I
)
CODE = re.compile(rf"({CONDITIONS})(?:-(\d\.\d)(?:-([a-z]{{2,3}}))?)?")
WORDING = re.compile(
    r"creative commons attribution"
    r"([ -]non-?commercial)?(?:[ -](share-?alike)|[ -](no-?deriv(?:ative)?s?(?: works)?))?"
    r"(?: (\d\.\d))?(?: international| unported| generic)?(?: public)? licen[sc]e",
    re.I,
)
AND = " | "
"""Between statements of one source, which must not contradict one another."""
DOUBT = re.compile(
    r"\b(?:no|not|cannot|unlike|except|excepting|excluded|excluding|without|unless|waiver|all rights reserved)\b|n't\b",
    re.I,
)
RESTRICTIONS = {
    "NC": re.compile(r"non-?commercial|\bnc\b", re.I),
    "ND": re.compile(r"no-?deriv|\bnd\b", re.I),
}
HYPHENS = dict.fromkeys((*range(0x2010, 0x2016), 0x2212, 0xFE63, 0xFF0D), "-")
INVISIBLE = dict.fromkeys((0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF))
ADDRESS = re.compile(r"https?://\S{1,500}")
MAX_CHARS = 20_000  # of a sentence; the rest is not looked at


@dataclass(frozen=True, slots=True)
class Licence:
    """What a paper may be used under."""

    spdx: str | None = None  # "CC-BY-4.0"; LicenseRef-… where SPDX has no id; None: not known
    url: str | None = None  # its text, or the address that the source gave

    @property
    def family(self) -> str | None:
        """The id without version and port: "CC-BY-NC"."""
        if self.spdx is None:
            return None
        match = CODE.fullmatch(self.spdx.removeprefix("LicenseRef-").removeprefix("CC-").lower())
        return f"CC-{match[1].upper()}" if match else self.spdx

    def is_among(self, allowed: Sequence[str]) -> bool:
        """Whether it is one of some licences, named by SPDX id or by family."""
        return self.spdx is not None and (self.spdx in allowed or self.family in allowed)


UNKNOWN = Licence()


def read_licence(text: str | None) -> Licence:
    """Return the licence that a source means; without an id where that is not sure.

    Args:
        text: An address, a code, an SPDX id, a sentence, or several of them between `AND`, which must agree.
    """
    return meant((text or "")[:MAX_CHARS])


@lru_cache(maxsize=1024)  # millions of figures are under a few licences
def meant(text: str) -> Licence:
    """Return the licence that a text of bounded length means."""
    whole = text.translate(HYPHENS | INVISIBLE).replace("%2D", "-").replace("%2d", "-")
    statements = [" ".join(each.split()) for each in whole.split(AND) if each.strip()]
    found = [stated(each) for each in statements]
    known = [each for each in found if each is not None and each.spdx is not None]
    is_sure = len({each.family for each in known}) == 1 and all(each is None or each.spdx for each in found)
    if is_sure:
        return min(known, key=lambda each: ((each.spdx or "").startswith("LicenseRef-"), each.spdx))
    return next((each for each in found if each is not None and each.spdx is None), UNKNOWN)


def stated(said: str) -> Licence | None:
    """Return what one statement names: a licence; one without an id where it is another's, or in doubt; or nothing."""
    found = set(addresses(said)) or {coded(said)} - {UNKNOWN} or set(worded(said))
    if not found:
        return Licence(None, said) if ADDRESS.fullmatch(said) else None
    is_sentence = " " in said and coded(said) == UNKNOWN
    if len({each.family for each in found}) > 1 or (is_sentence and DOUBT.search(said)):
        return UNKNOWN
    licence = min(found, key=lambda each: ((each.spdx or "").startswith("LicenseRef-"), each.spdx))
    is_hidden = any(
        pattern.search(said) and name not in (licence.family or "").split("-")
        for name, pattern in RESTRICTIONS.items()
    )
    return UNKNOWN if is_hidden else licence


def addresses(said: str) -> list[Licence]:
    """Return the licences whose addresses stand in a text."""
    found = [creative_commons(*match.groups()) for match in CC_ADDRESS.finditer(said)]
    for match in DOMAIN_ADDRESS.finditer(said):
        path = match[1].lower()
        kind = "CC0-1.0" if "zero" in path else "CC-PDM-1.0" if "mark" in path else "CC-PDDC"
        found.append(Licence(kind, PUBLIC_DOMAIN[kind]))
    own = [match[1].lower() for match in ARXIV_ADDRESS.finditer(said)]
    return found + [Licence(ARXIV_ADDRESSES[name], f"http://arxiv.org/licenses/{name}/") for name in own]


def coded(said: str) -> Licence:
    """Return the licence that a code or an SPDX id names: "cc_by_nc", "CC BY 4.0", "CC0"."""
    code = re.sub(r"[\s_/-]+", "-", said.lower().removesuffix(" license").removesuffix(" licence")).strip("-")
    if code in ("cc0", "cc0-1.0", "cc0-ng", "cc-zero"):
        return Licence("CC0-1.0", PUBLIC_DOMAIN["CC0-1.0"])
    by_id = {spdx.lower(): spdx for spdx in (*PUBLIC_DOMAIN, ARXIV, ARXIV_ASSUMED)}
    if code in by_id:
        return Licence(by_id[code], PUBLIC_DOMAIN.get(by_id[code]))
    match = CODE.fullmatch(code.removeprefix("cc-")) if code.startswith("cc-") else None
    return creative_commons(*match.groups()) if match else UNKNOWN


def worded(said: str) -> list[Licence]:
    """Return the licences that are spelled out in a text."""
    found = []
    for match in WORDING.finditer(said):
        non_commercial, share_alike, no_derivatives, version = match.groups()
        parts = [
            "by",
            "nc" if non_commercial else "",
            "sa" if share_alike else "",
            "nd" if no_derivatives else "",
        ]
        found.append(creative_commons("-".join(filter(None, parts)), version, None))
    return found


def creative_commons(conditions: str, version: str | None, port: str | None) -> Licence:
    """Return one of the attribution licences; without a version it has no SPDX id of its own."""
    conditions = "by-nc-nd" if conditions.lower() == "by-nd-nc" else conditions.lower()  # of version 1.0
    name = f"CC-{conditions.upper()}"
    base = f"https://creativecommons.org/licenses/{conditions}/"
    if version is None:
        return Licence(f"LicenseRef-{name}", None)
    if port is None:
        return Licence(f"{name}-{version}", f"{base}{version}/")
    ported = f"{version}-{port.upper()}"
    is_listed = conditions == "by" and ported in PORTS_WITH_IDS
    return Licence(f"{'' if is_listed else 'LicenseRef-'}{name}-{ported}", f"{base}{version}/{port.lower()}/")
