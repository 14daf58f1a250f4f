"""What one version of a release changed against the version before: records added, removed, changed.

Records of two versions are the same where paper and image are (DESIGN, section 3): an ordinal may move when a paper
is read anew. Memory is bounded by what differs in one source and year, not by what the release holds.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from s1mm_assets.release.folders import ReadableFolder
from s1mm_assets.release.layout import RECIPES, RECORDS
from s1mm_assets.release.manifest import ManifestFile
from s1mm_assets.release.records import RECORD, json_line

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
KEYS = ("figure_id", "paper_id", "source", "year", "image_sha256")
COLUMNS = (*(name for name in RECORD.names if name not in KEYS[1:]), "recipe", "image")
"""What may differ in a record; "image": whether it is released with it."""
LINE_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two versions: its folder, and its files by path."""

    folder: ReadableFolder
    files: Mapping[str, ManifestFile]

    def lines(self, paths: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield every line of those of these files that are there, with the file's path."""
        for path in paths:
            if path in self.files:
                with self.folder.open(path) as stream:
                    for line in stream:
                        yield path, line


@dataclass(slots=True)
class Counts:
    """How many records differ, by kind; counted while they are listed."""

    added: int = 0
    removed: int = 0
    changed: int = 0

    def listed(self, changes: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
        """Yield each change as a line of JSON, and count it."""
        for each in changes:
            setattr(self, each["change"], getattr(self, each["change"]) + 1)
            yield json_line(each)


def changes_between(old: Side, new: Side) -> Iterator[dict[str, Any]]:
    """Yield every record in which two versions differ, one source and year after the other."""
    for paths in changed_years(old.files, new.files):
        same = set(line_digests(old, paths)) & set(line_digests(new, paths))
        before: dict[tuple[str, str], list[Differing]] = {}
        for each in different(old, paths, same):
            before.setdefault(each.key, []).append(each)
        for each in different(new, paths, same):
            earlier = before.get(each.key)
            if earlier:
                yield row(CHANGED, each, each.differs_from(earlier.pop(0)))
            else:
                yield row(ADDED, each, [])
        for left in before.values():
            yield from (row(REMOVED, each, []) for each in left)


def changed_years(old: Mapping[str, ManifestFile], new: Mapping[str, ManifestFile]) -> list[tuple[str, ...]]:
    """Return the files of each source and year in which the versions differ."""
    years: dict[tuple[str, str], set[str]] = {}
    for path in {*old, *new}:
        match = RECORDS.fullmatch(path) or RECIPES.fullmatch(path)
        if match:
            years.setdefault((match["source"], match["year"]), set()).add(path)
    return [
        tuple(sorted(paths))
        for _, paths in sorted(years.items())
        if any(digest(old, path) != digest(new, path) for path in paths)
    ]


def digest(files: Mapping[str, ManifestFile], path: str) -> str | None:
    """Return a file's digest; None where it is not there."""
    return files[path].sha256 if path in files else None


@dataclass(frozen=True, slots=True)
class Differing:
    """A record that is not the same in both versions."""

    ids: tuple[Any, ...]  # the values of KEYS
    digests: bytes  # 8 bytes for each of COLUMNS

    @property
    def key(self) -> tuple[str, str]:
        """Paper and image."""
        return self.ids[KEYS.index("paper_id")], self.ids[KEYS.index("image_sha256")]

    def differs_from(self, other: "Differing") -> list[str]:
        """Return the columns whose values differ."""
        return [
            name
            for i, name in enumerate(COLUMNS)
            if self.digests[8 * i : 8 * i + 8] != other.digests[8 * i : 8 * i + 8]
        ]


def line_digests(side: Side, paths: Sequence[str]) -> Iterator[bytes]:
    """Yield a digest of each line and the file that it stands in."""
    for path, line in side.lines(paths):
        yield line_digest(path, line)


def line_digest(path: str, line: bytes) -> bytes:
    """Return a digest of a line and the file that it stands in."""
    return hashlib.blake2b(line, digest_size=LINE_DIGEST_BYTES, key=path.encode()[:64]).digest()


def different(side: Side, paths: Sequence[str], same: set[bytes]) -> Iterator[Differing]:
    """Yield the records that are not the same in both versions."""
    for path, line in side.lines(paths):
        if line_digest(path, line) not in same:
            record = json.loads(line) | {"image": bool(RECORDS.fullmatch(path))}
            digests = b"".join(value_digest(record.get(name)) for name in COLUMNS)
            yield Differing(tuple(record[name] for name in KEYS), digests)


def value_digest(value: Any) -> bytes:
    """Return a digest of a JSON value."""
    return hashlib.blake2b(
        json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"), digest_size=8
    ).digest()


def row(change: str, record: Differing, columns: list[str]) -> dict[str, Any]:
    """Return one line of the list."""
    return {"change": change, **dict(zip(KEYS, record.ids, strict=True)), "columns": columns}
