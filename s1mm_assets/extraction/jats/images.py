"""Which member of a package a graphic is: from the href as the publisher wrote it to the best image there.

An href may lack its extension or have another one than the file, be a URL or a DOI, name a folder that is not
there, or name the copy made for the web. Of several files of one image the original is taken: TIFF, then the
file as written, then vectors, PNG, JPEG, GIF; a thumbnail only where there is nothing else.
"""

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from s1mm_assets.extraction.raster.formats import sniff

MAX_HREF_CHARS = 1_000
MAX_FORMS = 20  # of one image

_EXTENSIONS = frozenset(
    "tif tiff png jpg jpeg jpe gif bmp eps epsf ps pdf svg wmf emf webp jp2".split()  # noqa: SIM905
)
_FORM_RANK = {"tiff": 0, "postscript": 2, "pdf": 2, "svg": 2, "png": 3, "jpeg": 4, "bmp": 5, "gif": 6}
_AS_WRITTEN_RANK = 1
_UNKNOWN_RANK = 7
_SIZE = re.compile(
    r"[._-](?:large|lrg|medium|med|small|sml|thumb(?:nail)?|tn|html|print|online|web|original|full)\Z"
)
_THUMB = re.compile(r"thumb|[._-](?:small|sml|medium|med|tn|icon)(?:[._-]|\Z)")
_LARGE = re.compile(r"[._-](?:large|lrg|original|full)(?:[._-]|\Z)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}:(?://[^/]*)?")

Rank = tuple[bool, int, bool, bool, bool, int]


@dataclass(frozen=True, slots=True)
class Graphic:
    """One graphic as tagged."""

    href: str  # as written
    use: str = ""  # specific-use, content-type: "thumbnail", "print"

    @property
    def path(self) -> str:
        """The href as a path, without scheme, host and query; never one that climbs."""
        path = _SCHEME.sub("", unquote(self.href[:MAX_HREF_CHARS].strip()).replace("\\", "/"), count=1)
        path = path.partition("?")[0].partition("#")[0]
        return "/".join(part for part in path.split("/") if part not in ("", ".", ".."))

    @property
    def key(self) -> str:
        """What all files of this image have in common."""
        return key_of(self.path)


def key_of(path: str) -> str:
    """Return an image's base name in small letters, without extension and what says its size."""
    base = posixpath.basename(path).lower()
    stem, dot, extension = base.rpartition(".")
    key = stem if dot and extension in _EXTENSIONS else base
    key = key.removeprefix("journal.")  # PLOS: in its DOIs, not in its files
    while (size := _SIZE.search(key)) is not None and size.start() > 0:
        key = key[: size.start()]
    return key


@dataclass(slots=True)
class Finder:
    """Finds the image members of one package."""

    members: Mapping[str, bytes]
    folder: str  # of the article
    listed: Mapping[str, Sequence[str]]  # manifest's item id → its image members
    forms: dict[str, str] = field(default_factory=dict)  # image member → its format by content
    by_key: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Index what can be an image."""
        for path in sorted(self.members):
            form = sniff(self.members[path])
            extension = posixpath.splitext(path)[1].lower().lstrip(".")
            if form != "unknown" or extension in _EXTENSIONS:
                self.forms[path] = form
                self.by_key.setdefault(key_of(path), []).append(path)

    def find(
        self, graphics: Sequence[Graphic], xml_id: str = "", slugs: Iterable[str] = ()
    ) -> tuple[str | None, str | None]:
        """Return the member of one image, and what was doubtful about it.

        Args:
            graphics: The image in all its forms; one, unless they are alternatives.
            xml_id: Of the figure: packages list their images by it.
            slugs: What a platform calls the figure: HighWire has "F1" for `F1.large.jpg`.
        """
        forms = list(dict.fromkeys(graphics))[:MAX_FORMS]
        ranks: dict[str, Rank] = {}
        for graphic in forms:
            for path in self.by_key.get(graphic.key, []) if graphic.key else []:
                rank = self._rank(path, graphic)
                ranks[path] = min(rank, ranks.get(path, rank))
        ranked = sorted((rank, path) for path, rank in ranks.items())
        if ranked:
            return ranked[0][1], self._doubt(ranked)
        guesses = [(list(self.listed.get(xml_id, ())), "by its id in the manifest")]
        guesses += [(self.by_key.get(slug.lower(), []), f"by the name {slug!r}") for slug in slugs if slug]
        if not any(graphic.href for graphic in graphics) and xml_id:
            guesses.append((self.by_key.get(xml_id.lower(), []), "by the figure's id"))
        for paths, how in guesses:
            found = [path for path in paths if path in self.forms]
            if found:
                nothing = Graphic("")
                return min(found, key=lambda path: (self._rank(path, nothing), path)), f"found {how}"
        return None, None

    def _rank(self, path: str, graphic: Graphic) -> Rank:
        """How far a member is from the best file of an image; less is better."""
        base = posixpath.basename(path).lower()
        wanted = posixpath.basename(graphic.path).lower()
        form = self.forms[path]
        rank = _FORM_RANK.get(form, _UNKNOWN_RANK)
        if base == wanted and form != "gif":
            rank = min(rank, _AS_WRITTEN_RANK)
        return (
            _THUMB.search(base) is not None or "thumb" in graphic.use.lower(),
            self._distance(path, graphic.path),
            form != "tiff",
            _LARGE.search(base) is None,
            wanted not in (base, posixpath.splitext(base)[0]) or form == "gif",
            rank,
        )

    def _distance(self, path: str, href: str) -> int:
        """0: where the href says; 1: beside the article; 2: anywhere."""
        folder = posixpath.dirname(path)
        asked = posixpath.dirname(href)
        if asked and folder in (asked, posixpath.join(self.folder, asked)):
            return 0
        return 1 if folder == self.folder else 2

    def _doubt(self, ranked: Sequence[tuple[Rank, str]]) -> str | None:
        (rank, best), *others = ranked
        equal = [path for other, path in others if other == rank and self.members[path] != self.members[best]]
        if equal:
            return f"also {equal[0]!r}, which is another image"
        return f"{best!r} is a thumbnail; there is nothing better" if rank[0] else None
