"""Publication: pieces are joined to a release beside the one that stands, which is then replaced in one step.

A kill at any moment leaves no half release under its name, and a folder from which the next publication goes
on. What the release lives in is handed in as a `Target`.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from s1mm_assets.release.folders import Folder, ReadableFolder, Subfolder, Target
from s1mm_assets.release.layout import Piece, ReleasePart, layout, text
from s1mm_assets.release.manifest import (
    FORMAT,
    NAME,
    Manifest,
    ManifestError,
    ManifestFile,
    digest_of,
    load_manifest,
    sha256_of,
)
from s1mm_assets.release.settings import ReleaseSettings
from s1mm_assets.release.verify import verify

README = "README.md"
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
    n_files: int
    n_bytes: int
    n_records: int
    n_written: int  # files
    n_kept: int  # files that an interrupted publication had finished, or all where nothing had changed


def publish(
    pieces: Iterable[Piece],
    open_piece: OpenPiece,
    target: Target,
    *,
    settings: ReleaseSettings,
    readme: str,
    dataset: Mapping[str, Any],
    report: Callable[[str], None] = lambda line: None,
) -> Publication:
    """Make the release from the pieces, unless it stands already.

    Args:
        pieces: The pieces of every partition that goes into the release.
        open_piece: Opens one of them.
        target: Where the release is to stand.
        settings: How it is cut.
        readme: The dataset card.
        dataset: What the manifest says of how it was made; JSON values.
        report: Receives a line per file.

    Raises:
        PublicationError: A piece is not what its shard says it is, or what they join to does not hold together.
        ValueError: The pieces cannot be laid out.
    """
    parts = [*layout(pieces, settings), text(README, readme.encode())]
    made_from = digest_of(
        [
            str(FORMAT),
            json.dumps(dataset, sort_keys=True, ensure_ascii=False),
            *(f"{part.path}:{part.made_from()}" for part in parts),
        ]
    )
    with target.building() as folder:
        standing = standing_manifest(target.published())
        if standing is not None and standing.made_from == made_from:
            target.discard_building()
            return outcome(standing, n_written=0)
        written, files, present = 0, [], folder.files()
        for part in parts:
            file = finished(folder, present, part)
            report(f"{part.path}: {'kept' if file else 'written'}, {part.end - part.start:,} bytes")
            written += file is None
            files.append(file or write(folder, part, open_piece))
        manifest = Manifest(made_from=made_from, dataset=dataset, files=tuple(files))
        with folder.create(RELEASE + NAME) as stream:
            stream.write(manifest.render())
        planned = {NAME, *(part.path for part in parts)}
        for path in sorted(folder.files()):
            if path.startswith(RELEASE) and path.removeprefix(RELEASE) not in planned:
                folder.remove(path)
        problems = verify(Subfolder(folder, RELEASE))
        if problems:
            first = problems[0]
            raise PublicationError(
                f"the new release does not hold together, and the last one stays: {first.kind} {first.path}: "
                f"{first.detail} ({len(problems)} problems)"
            )
        target.replace_published()
        target.discard_building()
    return outcome(manifest, n_written=written)


def standing_manifest(published: ReadableFolder) -> Manifest | None:
    """Return the manifest of the release that stands, None where it has none or is not whole by length."""
    lengths = dict(published.files())
    if lengths.pop(NAME, None) is None:
        return None
    with published.open(NAME) as stream:
        try:
            manifest = load_manifest(stream.read())
        except ManifestError:
            return None
    return manifest if lengths == {file.path: file.n_bytes for file in manifest.files} else None


def outcome(manifest: Manifest, *, n_written: int) -> Publication:
    """Return what a publication came to."""
    return Publication(
        manifest_sha256=hashlib.sha256(manifest.render()).hexdigest(),
        n_files=len(manifest.files),
        n_bytes=sum(file.n_bytes for file in manifest.files),
        n_records=sum(file.n_rows or 0 for file in manifest.files if file.path.endswith(".jsonl")),
        n_written=n_written,
        n_kept=len(manifest.files) - n_written,
    )


def finished(folder: Folder, present: Mapping[str, int], part: ReleasePart) -> ManifestFile | None:
    """Return a file that an interrupted publication has finished, where it is still what its note says."""
    note_path, path = f"{NOTES}{part.path}.json", RELEASE + part.path
    if note_path not in present or present.get(path) != part.end - part.start:
        return None
    with folder.open(note_path) as stream:
        note = json.loads(stream.read())
    with folder.open(path) as stream:
        sha256 = sha256_of(stream)
    if note != {"made_from": part.made_from(), "sha256": sha256}:
        return None
    return describe(part, sha256)


def write(folder: Folder, part: ReleasePart, open_piece: OpenPiece) -> ManifestFile:
    """Write one file of the release, then the note that it is finished."""
    digest = hashlib.sha256()
    with folder.create(RELEASE + part.path) as stream:
        for data in content(part, open_piece):
            stream.write(data)
            digest.update(data)
    file = describe(part, digest.hexdigest())
    with folder.create(f"{NOTES}{part.path}.json") as stream:
        stream.write(json.dumps({"made_from": part.made_from(), "sha256": file.sha256}).encode())
    return file


def describe(part: ReleasePart, sha256: str) -> ManifestFile:
    """Return the manifest's entry for a file."""
    return ManifestFile(path=part.path, n_bytes=part.end - part.start, sha256=sha256, n_rows=part.n_rows)


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
