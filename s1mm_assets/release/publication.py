"""Publication: pieces are joined to a release beside the one that stands, which is then replaced in one step.

A kill at any moment leaves no half release under its name, and a folder from which the next publication goes
on. What the release lives in is handed in as a `Target`.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from s1mm_assets.release.changes import Counts, Side, changes_between
from s1mm_assets.release.folders import Digesting, Folder, ReadableFolder, Subfolder, Target
from s1mm_assets.release.layout import CHANGES, RECIPES, RECORDS, Piece, ReleasePart, layout, text
from s1mm_assets.release.manifest import (
    FORMAT,
    NAME,
    Edition,
    Manifest,
    ManifestError,
    ManifestFile,
    digest_of,
    load_manifest,
)
from s1mm_assets.release.settings import ReleaseSettings

RELEASE = "release/"  # in the folder under construction: what will be the release
NOTES = "notes/"  # and of each of its finished files, what it was made from
CHUNK = 1 << 20

OpenPiece = Callable[[str, int, str, str], BinaryIO]
"""(source, year, shard, file name) → the piece's bytes."""


class PublicationError(Exception):
    """The release cannot be made from what is there; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What a publication came to."""

    manifest_sha256: str
    version: int
    history: tuple[Edition, ...]
    n_files: int
    n_bytes: int
    n_records: int
    n_written: int  # files
    n_kept: int  # files that an interrupted publication had finished, or all where nothing had changed


Texts = Callable[[Sequence[Edition]], Mapping[str, bytes]]
"""(the versions so far, the first one first) → the release's texts by path: card, attribution, metadata."""


def publish(
    pieces: Iterable[Piece],
    open_piece: OpenPiece,
    target: Target,
    *,
    settings: ReleaseSettings,
    texts: Texts,
    dataset: Mapping[str, Any],
    digesting: Digesting,
    report: Callable[[str], None] = lambda line: None,
) -> Publication:
    """Make the release from the pieces, unless it stands already.

    Args:
        pieces: The pieces of every partition that goes into the release.
        open_piece: Opens one of them.
        target: Where the release is to stand.
        settings: How it is cut.
        texts: What is written about it.
        dataset: What the manifest says of how it was made; JSON values.
        digesting: Digests a file while it is written.
        report: Receives a line per file.

    Raises:
        PublicationError: A piece is not what its shard says it is, or what they join to does not hold together.
        ValueError: The pieces cannot be laid out.
    """
    parts = layout(pieces, settings)
    made_from = digest_of(
        [
            str(FORMAT),
            json.dumps([dataset, settings.version], sort_keys=True, ensure_ascii=False),
            *(f"{part.path}:{part.made_from()}" for part in (*parts, *text_parts(texts(())))),
        ]
    )
    with target.building() as folder:
        last = Standing.in_folder(target.published())
        if last is not None and last.is_whole and last.manifest.made_from == made_from:
            target.discard_building()
            return outcome(last.manifest, n_written=0)
        builder = Builder(folder, open_piece, digesting, report)
        files = [builder.build(part) for part in parts]
        history = builder.history(last, files, made_from, settings.version)
        files += [builder.build(part) for part in text_parts(texts(history))]
        manifest = Manifest(
            made_from=made_from, dataset=dataset, files=(*files, *builder.changes), history=history
        )
        with folder.create(RELEASE + NAME) as stream:
            stream.write(manifest.render())
        remove_all_but(folder, {NAME, *(file.path for file in manifest.files)})
        require_sound(folder)
        target.replace_published()
        target.discard_building()
    return outcome(manifest, n_written=builder.n_written)


def text_parts(texts: Mapping[str, bytes]) -> list[ReleasePart]:
    """Return the files of texts, in order of path."""
    return [text(path, content) for path, content in sorted(texts.items())]


def remove_all_but(folder: Folder, planned: Collection[str]) -> None:
    """Remove what an interrupted publication of something else left."""
    for path in sorted(folder.files()):
        if path.startswith(RELEASE) and path.removeprefix(RELEASE) not in planned:
            folder.remove(path)


def require_sound(folder: Folder) -> None:
    """Refuse a release that does not verify.

    Raises:
        PublicationError: It does not.
    """
    from s1mm_assets.release.verify import verify

    problems = verify(Subfolder(folder, RELEASE))
    if problems:
        first = problems[0]
        raise PublicationError(
            f"the new release does not hold together, and the last one stays: {first.kind} {first.path}: "
            f"{first.detail} ({len(problems)} problems)"
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """The release that stands, as far as its manifest can be read."""

    folder: ReadableFolder
    manifest: Manifest
    lengths: Mapping[str, int]  # of the files that are there

    @classmethod
    def in_folder(cls, published: ReadableFolder) -> "Standing | None":
        """Return the release in a folder; None where there is nothing.

        Raises:
            PublicationError: There are files, and no manifest that can be read: versions would begin anew.
        """
        lengths = dict(published.files())
        if not lengths:
            return None
        try:
            manifest = manifest_in(published)
        except ManifestError as error:
            raise PublicationError(
                f"what stands where the release goes is none that can be followed: {error}. Bring its manifest "
                "back, or move it away to begin with version 1"
            ) from error
        del lengths[NAME]
        return cls(published, manifest, lengths)

    @property
    def is_whole(self) -> bool:
        """Whether every file is there, by length, and no other."""
        return self.lengths == {file.path: file.n_bytes for file in self.manifest.files}

    def side(self) -> Side:
        """Return its files, to compare another version with.

        Raises:
            PublicationError: Records are missing, or not as long as they were: what is new could not be told.
        """
        files = {file.path: file for file in self.manifest.files}
        for path, file in files.items():
            is_compared = RECORDS.fullmatch(path) or RECIPES.fullmatch(path)
            if is_compared and self.lengths.get(path) != file.n_bytes:
                raise PublicationError(
                    f"{path} of the release that stands is missing or cut short, so that what is new cannot be told: "
                    "bring it back, or move the release away to begin with version 1"
                )
        return Side(self.folder, files)


def manifest_in(published: ReadableFolder) -> Manifest:
    """Return the manifest of a release.

    Raises:
        ManifestError: There is none, or it cannot be read.
    """
    if NAME not in published.files():
        raise ManifestError(f"there is no {NAME}: nothing has been published here")
    with published.open(NAME) as stream:
        return load_manifest(stream.read())


def outcome(manifest: Manifest, *, n_written: int) -> Publication:
    """Return what a publication came to."""
    return Publication(
        manifest_sha256=hashlib.sha256(manifest.render()).hexdigest(),
        n_files=len(manifest.files),
        n_bytes=sum(file.n_bytes for file in manifest.files),
        version=manifest.version,
        history=manifest.history,
        n_records=manifest.history[-1].n_records,
        n_written=n_written,
        n_kept=len(manifest.files) - n_written,
    )


class Builder:
    """Writes the files of a release into the folder under construction."""

    def __init__(
        self, folder: Folder, open_piece: OpenPiece, digesting: Digesting, report: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._open_piece = open_piece
        self._digesting = digesting
        self._report = report
        self._present = dict(folder.files())
        self.n_written = 0
        self.changes: list[ManifestFile] = []  # the list of what is new, if there is anything before it

    def build(self, part: ReleasePart) -> ManifestFile:
        """Write a file, unless an interrupted publication has."""
        file = self._finished(part)
        self._report(f"{part.path}: {'kept' if file else 'written'}, {part.end - part.start:,} bytes")
        if file is None:
            file = self._write(part)
            self.n_written += 1
        return file

    def history(
        self, last: Standing | None, files: Sequence[ManifestFile], made_from: str, version: int
    ) -> tuple[Edition, ...]:
        """Return every version with this one, and list what is new in it.

        Args:
            last: The release that stands.
            files: Those of the new one.
            made_from: What the new one is made from: a damaged release is made again under its own version.
            version: Its number, where it is chosen; 0 counts on.

        Raises:
            PublicationError: A higher version stands, or the one that stands is damaged.
        """
        n_records = sum(file.n_rows or 0 for file in files if RECORDS.fullmatch(file.path))
        if last is None:
            return (Edition(version=version or 1, n_records=n_records, n_added=n_records),)
        history = last.manifest.history
        if last.manifest.made_from == made_from:
            self._keep_changes(last)
            return history
        number = version or last.manifest.version + 1
        if number <= last.manifest.version:
            raise PublicationError(
                f"[release] version is {version}, and version {last.manifest.version} stands: set a higher one, or 0"
            )
        counts = Counts()
        new = Side(Subfolder(self._folder, RELEASE), {file.path: file for file in files})
        try:
            lines = counts.listed(changes_between(last.side(), new))
            described = self._stream(f"changes/{number}.jsonl", lines)
        except (ValueError, KeyError) as error:
            raise PublicationError(
                f"the release that stands cannot be compared with: {error}. Verify it; move it away to begin anew"
            ) from error
        self.changes.append(replace(described, n_rows=counts.added + counts.removed + counts.changed))
        edition = Edition(
            version=number,
            n_records=n_records,
            n_added=counts.added,
            n_removed=counts.removed,
            n_changed=counts.changed,
        )
        return (*history, edition)

    def _keep_changes(self, last: Standing) -> None:
        """Take over the list of a version that is made again."""
        for file in last.manifest.files:
            path = file.path
            if CHANGES.fullmatch(path) and last.lengths.get(path) == file.n_bytes:
                with last.folder.open(path) as stream:
                    self.changes.append(replace(self._stream(path, stream), n_rows=file.n_rows))

    def _finished(self, part: ReleasePart) -> ManifestFile | None:
        """Return a file that an interrupted publication has finished, where it is still what its note says."""
        note_path, path = f"{NOTES}{part.path}.json", RELEASE + part.path
        if note_path not in self._present or self._present.get(path) != part.end - part.start:
            return None
        with self._folder.open(note_path) as stream:
            note = note_in(stream.read())
        if note.get("made_from") != part.made_from():
            return None
        with self._folder.open(path) as stream, self._digesting() as digests:
            while data := stream.read(CHUNK):
                digests.update(data)
            sha256, xet = digests.finish()
        return describe(part, sha256, xet) if note.get("sha256") == sha256 else None

    def _write(self, part: ReleasePart) -> ManifestFile:
        """Write one file of the release, then the note that it is finished."""
        written = self._stream(part.path, content(part, self._open_piece))
        with self._folder.create(f"{NOTES}{part.path}.json") as stream:
            stream.write(json.dumps({"made_from": part.made_from(), "sha256": written.sha256}).encode())
        return replace(written, n_rows=part.n_rows)

    def _stream(self, path: str, chunks: Iterable[bytes]) -> ManifestFile:
        """Write a file of the release."""
        n_bytes = 0
        with self._folder.create(RELEASE + path) as stream, self._digesting() as digests:
            for data in chunks:
                stream.write(data)
                digests.update(data)
                n_bytes += len(data)
            sha256, xet = digests.finish()
        return ManifestFile(path=path, n_bytes=n_bytes, sha256=sha256, xet=xet, n_rows=None)


def note_in(content: bytes) -> dict[str, Any]:
    """Return what a note says; nothing where it was cut short, as in an object store."""
    try:
        return dict(json.loads(content))
    except (ValueError, TypeError):
        return {}


def describe(part: ReleasePart, sha256: str, xet: str) -> ManifestFile:
    """Return the manifest's entry for a file."""
    return ManifestFile(
        path=part.path, n_bytes=part.end - part.start, sha256=sha256, xet=xet, n_rows=part.n_rows
    )


def content(part: ReleasePart, open_piece: OpenPiece) -> Iterator[bytes]:
    """Yield the bytes of a file of the release, a chunk in memory at a time."""
    yield part.head[part.start : part.end]
    offset = len(part.head)
    for each in part.slices:
        after = offset + each.end - each.start
        if offset < part.end and after > part.start:
            first = each.start + max(part.start - offset, 0)
            last = each.end - max(after - part.end, 0)
            position = 0
            for data in checked(each.piece, open_piece):
                yield data[max(first - position, 0) : max(last - position, 0)]
                position += len(data)
        offset = after
    yield part.tail[max(part.start - offset, 0) : max(part.end - offset, 0)]


def checked(piece: Piece, open_piece: OpenPiece) -> Iterator[bytes]:
    """Yield the bytes of a piece, whole even where a part ends in it, so that its digest can be compared."""
    digest, n_bytes = hashlib.sha256(), 0
    with open_piece(piece.source, piece.year, piece.shard, piece.name) as stream:
        while data := stream.read(CHUNK):
            digest.update(data)
            n_bytes += len(data)
            yield data
    if n_bytes != piece.n_bytes or digest.hexdigest() != piece.sha256:
        raise PublicationError(
            f"{piece.name} of shard {piece.shard} is damaged: materialize hf_release for "
            f"{piece.source}|{piece.year} again"
        )
