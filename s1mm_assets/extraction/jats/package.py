"""Which member of a package is what: the article, its manifest, its PDF.

Packages come as MECA (a zip with a manifest, in three dialects) and as loose files. Manifests are read by local
names, since namespaces and prefixes differ from writer to writer.
"""

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from s1mm_assets.extraction.jats.xml import UnreadableXml, attribute, below, children, parse

HEAD_BYTES = 64 * 1024
MAX_ITEMS = 20_000

_ARTICLE = re.compile(rb"<(?:[\w.-]{1,40}:)?article[\s>]")
_OTHER_XML = frozenset(["manifest.xml", "transfer.xml", "directives.xml", "peer_review.xml"])
_XML_SUFFIXES = (".xml", ".nxml")
_PAPER_TYPES = re.compile(r"article|manuscript|fulltext|full-text", re.IGNORECASE)
_NOT_THE_PAPER = re.compile(
    r"supp|review|response|cover|disclos|agreement|proof|marked|_m?o?esm|media-?\d|mmc\d|appendix",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Instance:
    """One file of a manifest's item."""

    item_id: str
    item_type: str
    member: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a package says that it holds; empty where there is no manifest, or none that can be read."""

    instances: tuple[Instance, ...] = ()
    warnings: tuple[str, ...] = ()

    def images(self) -> dict[str, list[str]]:
        """Item id → its image members, figures only."""
        found: dict[str, list[str]] = {}
        for each in self.instances:
            if each.item_id and "figure" in each.item_type.lower():
                found.setdefault(each.item_id, []).append(each.member)
        return found


@dataclass(frozen=True, slots=True)
class Package:
    """A package with its article chosen."""

    article: str | None
    manifest: Manifest
    warnings: tuple[str, ...] = field(default=())


def read_package(members: Mapping[str, bytes]) -> Package:
    """Choose the article of a package: what the manifest says, else the best of what looks like one."""
    manifest = read_manifest(members)
    articles = [path for path in sorted(members) if _is_article(path, members[path])]
    listed = [path for path in _papers_of(manifest, _XML_SUFFIXES) if path in articles]
    candidates = listed or articles
    if not candidates:
        return Package(None, manifest)
    best = min(candidates, key=lambda path: _unlikeliness(path, members[path]))
    several = f"{len(candidates)} articles; {best!r} was read" if len(candidates) > 1 else None
    return Package(best, manifest, (several,) if several else ())


def _is_article(path: str, data: bytes) -> bool:
    name = posixpath.basename(path).lower()
    if name in _OTHER_XML or name.startswith("._"):
        return False
    head = data[:HEAD_BYTES].replace(b"\0", b"")  # of UTF-16
    is_markup = name.endswith(_XML_SUFFIXES) or head[:100].lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").startswith(
        b"<"
    )
    return is_markup and _ARTICLE.search(head) is not None


def _unlikeliness(path: str, data: bytes) -> tuple[bool, bool, bool, int, int, str]:
    """Sort articles: with a body, with figures, not in a folder of supplements, shallow, large."""
    is_aside = _NOT_THE_PAPER.search(path) is not None
    return (b"<body" not in data, b"<fig" not in data, is_aside, path.count("/"), -len(data), path)


def read_manifest(members: Mapping[str, bytes]) -> Manifest:
    """Read the manifest nearest to the root."""
    paths = [path for path in members if posixpath.basename(path).lower() == "manifest.xml"]
    if not paths:
        return Manifest()
    path = min(paths, key=lambda each: (each.count("/"), each))
    try:
        tree = parse(members[path])
    except UnreadableXml as error:
        return Manifest(warnings=(f"{path}: {error}",))
    folder = posixpath.dirname(path)
    by_name = {name.lower(): name for name in sorted(members, reverse=True)}
    found: list[Instance] = []
    for item in below(tree.root, "item"):
        kind = attribute(item, "item-type") or attribute(item, "type")
        for instance in children(item, "instance"):
            member = _listed(attribute(instance, "href"), folder, members, by_name)
            if member is not None and len(found) < MAX_ITEMS:
                found.append(Instance(attribute(item, "id"), kind, member))
    return Manifest(tuple(found), tuple(f"{path}: {warning}" for warning in tree.warnings))


def _listed(href: str, folder: str, members: Mapping[str, bytes], by_name: Mapping[str, str]) -> str | None:
    """The member that a manifest names: relative to itself, whatever the slashes and the case."""
    path = unquote(href).replace("\\", "/").strip()
    for candidate in (posixpath.join(folder, path), path):
        tidy = posixpath.normpath(candidate).lstrip("/")
        if tidy in members:
            return tidy
        if tidy.lower() in by_name:
            return by_name[tidy.lower()]
    return None


def _papers_of(manifest: Manifest, suffixes: Iterable[str]) -> list[str]:
    """Members with these suffixes that the manifest gives as the paper."""
    return [
        each.member
        for each in manifest.instances
        if _PAPER_TYPES.search(each.item_type)
        and not _NOT_THE_PAPER.search(each.item_type)
        and each.member.lower().endswith(tuple(suffixes))
    ]


def pdf_of(
    members: Mapping[str, bytes], package: Package, hrefs: Iterable[str], figures: Iterable[str]
) -> str | None:
    """Return the member that is the paper as PDF; None where nothing says which one it is.

    Args:
        members: Path → bytes.
        package: With its article chosen.
        hrefs: What the article gives as its own PDF, as written.
        figures: Members that are shown as figures: not the paper, though they may be PDF.
    """
    shown = set(figures)
    pdfs = [
        path for path in sorted(members) if path not in shown and members[path][:1024].find(b"%PDF-") >= 0
    ]
    listed = [path for path in _papers_of(package.manifest, (".pdf",)) if path in pdfs]
    if listed:
        return listed[0]
    named = {posixpath.basename(href.replace("\\", "/")).lower() for href in hrefs if href}
    stem = _stem(package.article or "")
    folder = posixpath.dirname(package.article or "")
    wanted = [
        [path for path in pdfs if posixpath.basename(path).lower() in named],
        [path for path in pdfs if _stem(path) == stem],
        [path for path in pdfs if posixpath.dirname(path) == folder and not _NOT_THE_PAPER.search(path)],
        [path for path in pdfs if not _NOT_THE_PAPER.search(path)],
    ]
    alone = [found[0] for found in wanted[2:] if len(found) == 1]
    return next((found[0] for found in wanted[:2] if found), alone[0] if alone else None)


def _stem(path: str) -> str:
    return posixpath.splitext(posixpath.basename(path))[0].lower()
