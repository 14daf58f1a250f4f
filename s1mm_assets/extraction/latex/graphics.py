"""Which file a graphics command shows: reading its arguments, and finding the bundle member.

Belongs here: the signatures of the graphics commands, and the search that pdfTeX and dvips make.
"""

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from s1mm_assets.extraction.latex.lexing import Work, argument, group, options
from s1mm_assets.extraction.latex.source import normal_path

PDFTEX_EXTENSIONS: tuple[str, ...] = (
    ".pdf",
    ".png",
    ".jpg",
    ".mps",
    ".jpeg",
    ".jbig2",
    ".jb2",
    ".PDF",
    ".PNG",
    ".JPG",
    ".JPEG",
)
DVIPS_EXTENSIONS: tuple[str, ...] = (
    ".eps",
    ".ps",
    ".eps.gz",
    ".ps.gz",
    ".eps.Z",
    ".EPS",
    ".PS",
    ".epsi",
    ".epsf",
)
OTHER_EXTENSIONS = (".gif", ".GIF", ".svg", ".tif", ".tiff", ".bmp", ".TIF", ".TIFF")
IMAGE_SUFFIXES = frozenset(e.lower() for e in PDFTEX_EXTENSIONS + DVIPS_EXTENSIONS + OTHER_EXTENSIONS)

# command → which of its arguments in braces name files
GRAPHICS_COMMANDS: dict[str, tuple[int, ...]] = {
    "includegraphics": (0,),
    "adjincludegraphics": (0,),
    "includesvg": (0,),
    "includesvg*": (0,),
    "epsfig": (0,),
    "psfig": (0,),
    "epsfbox": (0,),
    "epsffile": (0,),
    "epsfxbox": (0,),
    "epsbox": (0,),
    "plotone": (0,),
    "plottwo": (0, 1),
    "plotfiddle": (0,),
    "plotthree": (0, 1, 2),
    "adjustimage": (1,),
    "pgfimage": (0,),
    "BoxedEPSF": (0,),
    "FigureFile": (0,),
    "leftfig": (0,),
    "rightfig": (0,),
    "boxedfig": (0,),
    "rotatefig": (1,),
    "animategraphics": (1,),
    "includestandalone": (0,),
    "psfragfig": (0,),
    "postscript": (0,),
    "epsfigure": (0,),
    "insertgraphics": (0,),
    "convertMPtoPDF": (0,),
    "figsetplot": (0,),
    "fig": (0,),
    "epsffig": (0,),
    "epsfimage": (0,),
    "special": (0,),
}
_FILE_KEY = re.compile(
    r"(?:^|,)\s*(?:figure|file|psfile)\s*=\s*(\{[^{}]*\}|\"[^\"]*\"|[^,\s]+)", re.IGNORECASE
)
_SPECIAL_FILE = re.compile(r"(?:psfile|epsfile|pdf:image)\s*=?\s*\(?\"?([^\s\"()]+)", re.IGNORECASE)
_PAGE = re.compile(r"(?:^|,)\s*page\s*=\s*(\d{1,6})")
_MP_SUFFIX = re.compile(r"\.\d+\Z")


@dataclass(frozen=True, slots=True)
class Graphic:
    """A file named by a graphics command."""

    path: str  # as written
    page: int | None = None  # 0-based


@dataclass(slots=True)
class Finder:
    """Finds the member that a graphics path means, as TeX would from the main file's folder."""

    members: Mapping[str, bytes]
    main_folder: str
    declared: tuple[str, ...] = ()
    folded: dict[str, list[str]] = field(default_factory=dict)
    is_dvi: bool = False
    bases: set[str] = field(default_factory=set)  # base names of members, with and without extensions
    lookups_left: int = 1_000_000

    def __post_init__(self) -> None:
        for path in self.members:
            base = posixpath.basename(path).lower()
            while base and base not in self.bases:
                self.bases.add(base)
                base = posixpath.splitext(base)[0]
        for path in sorted(self.members):
            self.folded.setdefault(path.lower(), []).append(path)

    def find(self, written: str, folders: Iterable[str], file: str) -> tuple[str | None, str | None]:
        """Return (member, note): the member found or None, and what was doubtful about it."""
        name = clean_path(written)
        if not name:
            return None, None
        if not self._has_a_chance(name):
            return None, None
        places = self._places(folders, file)
        self.lookups_left -= 40 * len(places)
        if self.lookups_left < 0:
            places = places[:2]
        found: list[str] = []
        for place in places:
            for extension in self._extensions(name):
                path = normal_path(place, name + extension)
                if path is not None and path in self.members and path not in found and self.is_image(path):
                    found.append(path)
        if not found:
            return self._converted(name, places)
        if len(found) > 1:
            return found[0], "also: " + ", ".join(found[1:5])
        return found[0], None

    def _has_a_chance(self, name: str) -> bool:
        """Whether any member, in any folder, has this base name: most names of missing files have none."""
        base = posixpath.basename(name).lower()
        stem = posixpath.splitext(base)[0]
        tries = (base, stem, stem + "-eps-converted-to", base + "-eps-converted-to")
        return any(each in self.bases for each in tries)

    def is_image(self, path: str) -> bool:
        """Whether a member can be an image: TeX sources are not, even where their name fits."""
        return not path.lower().endswith((".tex", ".sty", ".cls", ".bbl", ".bib", ".ltx", ".txt"))

    def _places(self, folders: Iterable[str], file: str) -> list[str]:
        main = self.main_folder
        places = [main]
        places += [posixpath.join(main, folder.strip().strip('"')) for folder in folders]
        places += [posixpath.dirname(file), ""]
        places += [folder.strip().strip('"') for folder in folders]
        return list(dict.fromkeys(posixpath.normpath(place) if place else "" for place in places))

    def _extensions(self, name: str) -> tuple[str, ...]:
        ordered = (
            DVIPS_EXTENSIONS + PDFTEX_EXTENSIONS if self.is_dvi else PDFTEX_EXTENSIONS + DVIPS_EXTENSIONS
        )
        ordered = self.declared + tuple(e for e in ordered + OTHER_EXTENSIONS if e not in self.declared)
        suffix = posixpath.splitext(name)[1].lower()
        if suffix in IMAGE_SUFFIXES or name.lower().endswith((".eps.gz", ".ps.gz")):
            return ("",)
        return (*ordered, "") if not _MP_SUFFIX.search(name) else ("", *ordered)

    def _converted(self, name: str, places: list[str]) -> tuple[str | None, str | None]:
        """What is there instead: epstopdf's product, another case, a compressed or converted file."""
        stem, suffix = posixpath.splitext(name)
        known = suffix.lower() in IMAGE_SUFFIXES
        tries = [name + e for e in self._extensions(name)]
        if known:
            tries += [stem + "-eps-converted-to.pdf", name + ".gz", name + ".Z"]
            if suffix.lower() in (".eps", ".ps"):
                tries += [stem + ".pdf"]
        else:
            tries += [name + "-eps-converted-to.pdf"]
        for place in places:
            for attempt in tries:
                path = normal_path(place, attempt)
                matches = self.folded.get(path.lower(), []) if path is not None else []
                if matches and self.is_image(matches[0]):
                    return matches[0], f"not as written: {matches[0]}"
        return None, None


def clean_path(written: str) -> str:
    """Return a file name without what TeX ignores in it: quotes, blanks around it, braces."""
    name = written.strip().strip("\"'").replace('"', "").strip()
    name = (
        name.replace("\\string", "").replace("\\detokenize", "").replace("\\_", "_").replace("\\space ", " ")
    )
    name = re.sub(r"\\(?:unskip|ignorespaces|relax|expandafter|protect)\b\s*", "", name)
    name = name.replace("{", "").replace("}", "").replace("\n", " ").replace("\\%", "%").replace("\\#", "#")
    name = re.sub(r"^(?:\./)+", "", name.strip())
    return name.replace("//", "/")


def read_graphics(command: str, text: str, pos: int, work: Work) -> tuple[list[Graphic], int]:
    """Read the arguments of a graphics command at `pos`: (files it shows, position after)."""
    given, pos = options(text, pos, work)
    if command == "FigureFile" and text.startswith("(", pos):
        pos = max(text.find(")", pos, pos + 100) + 1, pos)
    page_match = _PAGE.search(",".join(given)) if given else None
    page = max(int(page_match[1]) - 1, 0) if page_match else None
    wanted = GRAPHICS_COMMANDS[command]
    found = []
    for index in range(max(wanted) + 1):
        got = _file_argument(command, text, pos, work)
        if got is None:
            break
        name, pos = got
        if index in wanted:
            path = _file_in(command, name)
            if path:
                found.append(Graphic(path, page))
    return found, pos


def _file_argument(command: str, text: str, pos: int, work: Work) -> tuple[str, int] | None:
    got = group(text, pos, work)
    if got is None and command in ("epsfbox", "epsffile", "includegraphics"):
        match = re.compile(r"\s*([^\s{}\\\[]{1,200})").match(text, pos)
        return (match[1], match.end()) if match else None
    return got if got is not None or command in ("fig", "special") else argument(text, pos, work)


def _file_in(command: str, name: str) -> str | None:
    if command in ("psfig", "epsfig"):
        match = _FILE_KEY.search(name)
        if match is None:
            return None if "=" in name else name.strip() or None
        return match[1].strip('{}" ')
    if command == "special":
        match = _SPECIAL_FILE.search(name)
        return match[1] if match else None
    return name.strip() or None
