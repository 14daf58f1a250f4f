"""One paper as delivered: what kind of thing it is, what it holds, and whether it can be believed.

Bundles are untrusted. They are read in memory, once, within `Limits`; nothing is written to a disk. What can
be read of a damaged bundle is not guessed at: it is rejected, and has no members.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from s1mm_assets.archives.containers import Entry, entries
from s1mm_assets.archives.limits import Budget, Limits, Refused
from s1mm_assets.archives.sniff import (
    Form,
    extension_of,
    form_of,
    is_image,
    is_tex,
    is_withdrawal_stub,
)
from s1mm_assets.tables import Rejection

EARLIEST, LATEST = date(1985, 1, 1), date(2037, 12, 31)  # outside lie clocks that were not set
DELIVERY_SUFFIXES = (".tar.gz", ".tgz", ".gz", ".tar", ".zip", ".meca", ".pdf", ".nxml", ".xml")
NESTED_SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip")
ANCILLARY = "anc/"  # arXiv: files beside the paper, not of it
MAC_NAMES = frozenset({"__MACOSX", ".DS_Store"})
MAX_WARNINGS = 50
JATS_MARK = re.compile(rb"<(?:\w+:)?article[\s>]")
LONE_EXTENSIONS = {
    Form.PDF: "pdf",
    Form.POSTSCRIPT: "ps",
    Form.HTML: "html",
    Form.DVI: "dvi",
    Form.JATS: "xml",
}
FORM_REJECTION = {Form.HTML: Rejection.HTML, Form.POSTSCRIPT: Rejection.POSTSCRIPT}


class Kind(StrEnum):
    """What a delivery is, and so which extractor can read it."""

    LATEX = "latex"
    PDF = "pdf"
    POSTSCRIPT = "postscript"
    HTML = "html"
    MECA = "meca"
    JATS = "jats"  # an article in XML, alone or with its images and its PDF, without a manifest
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A delivery, opened. Where it could not be read (corrupt, truncated …) it has no members."""

    kind: Kind
    members: dict[str, bytes] = field(repr=False)  # path without a leading "./" → content, in archive order
    unpacked_bytes: int  # of the members together
    n_images: int  # members that can be shown as a figure
    rejection: Rejection | None
    evidence: str | None
    warnings: tuple[str, ...] = ()
    newest_date: str | None = None  # ISO date of the newest member, where its clock was set


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What raw_archives records of a delivery."""

    kind: Kind
    sha256: str  # of the delivery as it came
    unpacked_bytes: int | None  # null, as the counts, where it could not be read
    n_members: int | None
    n_images: int | None
    rejection: Rejection | None
    evidence: str | None
    newest_date: str | None


def open_bundle(data: bytes, name: str = "", limits: Limits = Limits()) -> Bundle:  # noqa: B008 - frozen
    """Open a paper as delivered.

    Never raises, whatever the bytes are.

    - Names are decoded as UTF-8 and else Latin-1, and tidied ("./", doubled and backward slashes). Of two
      members with one name the later counts, as for tar. Links and devices are not followed.
    - A member whose path is absolute, climbs or is too long is refused. The whole bundle is rejected for it
      (unsafe_paths) only where no TeX is left: one stray file makes no paper unreadable.
    - Zip and tar files among the members are kept, and what they hold is laid beside them, as arXiv does with
      an upload; of those that are damaged nothing is taken.

    `warnings` tells of each case.

    Args:
        data: The delivery: tar.gz, tar, one gzipped file, PDF, JATS, PostScript, HTML, zip, or anything else.
        name: File name or id, after which the member is named where there is but one file without a name:
            "2301.00001.gz" → "2301.00001.tex".
        limits: What it may be, packed and unpacked.

    Returns:
        The bundle. `rejection` is null where figures can be sought in it by some extractor, and no_images
        where it is TeX without a single image file; members are there in both cases.
    """
    collection = _Collection(name, limits)
    try:
        budget = Budget(len(data), limits)
        collection.take(entries(data, budget, collection.warn))
        collection.open_nested(budget)
    except Refused as refused:
        return collection.refused(refused.rejection, refused.evidence)
    return collection.bundle()


def inspect(data: bytes, name: str = "", limits: Limits = Limits()) -> Inspection:  # noqa: B008
    """Return what raw_archives records of a delivery; never raises, whatever the bytes are."""
    bundle = open_bundle(data, name, limits)
    is_read = bool(bundle.members)
    return Inspection(
        kind=bundle.kind,
        sha256=hashlib.sha256(data).hexdigest(),
        unpacked_bytes=bundle.unpacked_bytes if is_read else None,
        n_members=len(bundle.members) if is_read else None,
        n_images=bundle.n_images if is_read else None,
        rejection=bundle.rejection,
        evidence=bundle.evidence,
        newest_date=bundle.newest_date,
    )


def newest_date(data: bytes, limits: Limits = Limits()) -> str | None:  # noqa: B008
    """Return the ISO date of the newest member, keeping none; of a damaged bundle as far as it reads."""
    dates: list[date] = []
    try:
        for entry in entries(data, Budget(len(data), limits), lambda _: None):
            dates.extend(_set_clock(entry))
    except Refused:
        pass  # the bundle itself says so, when it is opened
    return _newest(dates)


def _set_clock(entry: Entry) -> list[date]:
    """Return when an entry was changed, where its clock was set."""
    return [entry.modified] if entry.modified and EARLIEST <= entry.modified <= LATEST else []


def _newest(dates: list[date]) -> str | None:
    return max(dates).isoformat() if dates else None


class _Collection:
    """The members as they come, and then what they amount to."""

    def __init__(self, name: str, limits: Limits) -> None:
        self.name = name
        self.limits = limits
        self.members: dict[str, bytes] = {}
        self.dates: list[date] = []
        self.warnings: list[str] = []
        self.unsafe: list[str] = []

    def warn(self, warning: str) -> None:
        if len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(warning)

    def take(self, source: Iterator[Entry]) -> None:
        """Keep what is a file with a safe name."""
        for entry in source:
            self.dates.extend(_set_clock(entry))
            content = None if entry.oddity else entry.read()
            path = _lone_name(self.name, content or b"") if entry.name is None else self._path(entry.name)
            if path is None:
                continue
            if content is None:
                self.warn(f"{path!r} is a {entry.oddity}: passed over")
                continue
            if path in self.members:
                self.warn(f"{path!r} comes twice: the later counts")
                del self.members[path]
            self.members[path] = content

    def _path(self, raw: bytes) -> str | None:
        """Tidy a member's name; None where the member is to be passed over."""
        path = _decode(raw).replace("\\", "/")
        parts = [part for part in path.split("/") if part not in ("", ".")]
        is_unsafe = path.startswith("/") or ".." in parts or "\0" in path or re.match(r"[A-Za-z]:/", path)
        is_long = len(raw) > self.limits.max_path_bytes
        if is_unsafe or is_long:
            self.unsafe.append(path[:200])
            self.warn(f"{path[:200]!r} {'is too long a path' if is_long else 'leaves the folder'}: refused")
            return None
        if not parts or MAC_NAMES & set(parts) or parts[-1].startswith("._"):
            return None
        return "/".join(parts)

    def open_nested(self, budget: Budget) -> None:
        """Lay the content of archives among the members beside them; a damaged one stays closed.

        Raises:
            Refused: too_large, when the nested ones exceed the limits of the whole.
        """
        nested = [path for path in self.members if path.lower().endswith(NESTED_SUFFIXES)]
        for path in nested:
            content = self.members[path]
            if form_of(content) not in (Form.GZIP, Form.TAR, Form.ZIP):
                continue
            inner = _Collection(path, self.limits)
            try:
                inner.take(entries(content, budget, inner.warn))
            except Refused as refused:
                if refused.rejection is Rejection.TOO_LARGE:
                    raise
                self.warn(f"{path!r} inside is {refused.rejection.value}, left closed: {refused.evidence}")
                continue
            self._lay_beside(path, inner)

    def _lay_beside(self, path: str, inner: "_Collection") -> None:
        folder = path.rpartition("/")[0]
        for member, content in inner.members.items():
            self.members.setdefault(f"{folder}/{member}" if folder else member, content)
        for warning in inner.warnings:
            self.warn(f"in {path!r}: {warning}")

    def refused(self, rejection: Rejection, evidence: str) -> Bundle:
        """The bundle of a delivery that could not be read."""
        return Bundle(
            kind=Kind.UNKNOWN,
            members={},
            unpacked_bytes=0,
            n_images=0,
            rejection=rejection,
            evidence=evidence,
            warnings=tuple(self.warnings),
            newest_date=_newest(self.dates),
        )

    def bundle(self) -> Bundle:
        """The bundle of a delivery that was read to its end."""
        forms = {path: form_of(content) for path, content in self.members.items()}
        if all(form is Form.EMPTY for form in forms.values()):
            if self.unsafe:
                return self.refused(
                    Rejection.UNSAFE_PATHS, f"every member leaves the folder: {self.unsafe[0]!r}"
                )
            what = f"{len(forms)} members, all empty" if forms else "no members"
            return self.refused(Rejection.EMPTY, what)
        kind, rejection, evidence = _classify(self.members, forms)
        if self.unsafe and rejection is Rejection.NO_TEX:
            rejection, evidence = Rejection.UNSAFE_PATHS, f"no TeX beside refused {self.unsafe[0]!r}"
        n_images = sum(is_image(path, form) for path, form in forms.items())
        if kind is Kind.LATEX and rejection is None and not n_images:
            rejection, evidence = Rejection.NO_IMAGES, f"{len(forms)} members, none of them an image"
        return Bundle(
            kind=kind,
            members=self.members,
            unpacked_bytes=sum(len(content) for content in self.members.values()),
            n_images=n_images,
            rejection=rejection,
            evidence=evidence,
            warnings=tuple(self.warnings),
            newest_date=_newest(self.dates),
        )


Verdict = tuple[Kind, Rejection | None, str | None]


def _classify(members: dict[str, bytes], forms: dict[str, Form]) -> Verdict:
    """Say what the members are together: a withdrawal, a MECA or JATS package, TeX, or a single document."""
    paper = {path: form for path, form in forms.items() if not path.startswith(ANCILLARY)}
    tex = [path for path, form in paper.items() if is_tex(path, members[path], form)]
    texts = tex or [path for path, form in paper.items() if form is Form.TEXT]
    others = [path for path, form in paper.items() if form not in (Form.TEXT, Form.EMPTY)]
    if texts and all(is_withdrawal_stub(members[path]) for path in texts) and not others:
        words = members[texts[0]][:200].decode("utf-8", "replace").split()
        return Kind.UNKNOWN, Rejection.WITHDRAWN, " ".join(words)
    if _is_meca(members):  # before TeX, which may be among its supplements
        return Kind.MECA, None, None
    articles = [path for path, form in paper.items() if form is Form.JATS]
    if any(b"<body" in members[path] for path in articles):  # before TeX too: it is a supplement there
        return Kind.JATS, None, None
    if tex:
        return Kind.LATEX, None, None
    if articles:
        return Kind.JATS, None, None
    for form, kind in ((Form.HTML, Kind.HTML), (Form.POSTSCRIPT, Kind.POSTSCRIPT)):
        found = [path for path, each in paper.items() if each is form]
        if found:
            return kind, FORM_REJECTION[form], f"no TeX; {found[0]!r} is {form.value}"
    pdfs = [path for path, form in paper.items() if form is Form.PDF]
    if len(pdfs) == 1:
        return Kind.PDF, None, None
    listed = ", ".join(repr(path) for path in list(forms)[:5])
    several = f" ({len(pdfs)} PDFs, and nothing says which is the paper)" if pdfs else ""
    return Kind.UNKNOWN, Rejection.NO_TEX, f"no TeX among {listed}{several}"


def _is_meca(members: dict[str, bytes]) -> bool:
    """Whether there is a manifest and an article in JATS."""
    xml = [path for path in members if extension_of(path) == "xml"]
    has_manifest = any(path.rpartition("/")[2].lower() == "manifest.xml" for path in xml)
    return has_manifest and any(JATS_MARK.search(members[path][:65536]) for path in xml)


def _decode(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("latin-1")


def without_suffix(name: str) -> str:
    """Return the base name of a delivery without the suffix that says how it is packed."""
    base = name.replace("\\", "/").rpartition("/")[2]
    for suffix in DELIVERY_SUFFIXES:
        if base.lower().endswith(suffix) and len(base) > len(suffix):
            return base[: -len(suffix)]
    return base


def _lone_name(name: str, content: bytes) -> str:
    """Name the one file of a delivery after the delivery, with the extension that its content asks for."""
    stem = without_suffix(name).replace("\0", "").strip(".") or "main"
    form = form_of(content)
    extension = LONE_EXTENSIONS.get(form, "tex" if form is Form.TEXT else "")
    has_it = not extension or extension_of(stem) == extension
    return stem if has_it else f"{stem}.{extension}"
