"""The manifest: every file of a release with its length, digest and rows, and what it was made with."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

FORMAT = 2
NAME = "manifest.json"
CHUNK = 1 << 20


class ManifestError(Exception):
    """The manifest is not one; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFile:
    """One file of a release."""

    path: str
    n_bytes: int
    sha256: str
    xet: str  # hex Xet hash: what the Hub stores content under
    n_rows: int | None  # records, images, data rows; null of a part of an archive and of texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """One version of a dataset, against the version before."""

    version: int  # from 1
    n_records: int  # with their image
    n_added: int = 0
    n_removed: int = 0
    n_changed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a release holds, but for the manifest itself."""

    made_from: str  # digest of the pieces and settings: equal where nothing has changed
    dataset: Mapping[str, Any]  # thresholds, engines, versions, as they were handed in
    files: tuple[ManifestFile, ...]
    history: tuple[Edition, ...]  # every version, the first one first; the last is this release

    @property
    def version(self) -> int:
        """Of this release, from 1."""
        return self.history[-1].version

    def render(self) -> bytes:
        """Return manifest.json; equal releases have equal manifests."""
        record = {
            "format": FORMAT,
            "made_from": self.made_from,
            "version": self.version,
            "dataset": self.dataset,
            "history": [edition_as_json(each) for each in self.history],
            "files": [as_json(file) for file in sorted(self.files, key=lambda file: file.path)],
        }
        return (json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def as_json(file: ManifestFile) -> dict[str, Any]:
    """Return one entry as the manifest has it."""
    return {
        "path": file.path,
        "bytes": file.n_bytes,
        "sha256": file.sha256,
        "xet": file.xet,
        "rows": file.n_rows,
    }


def edition_as_json(edition: Edition) -> dict[str, int]:
    """Return one version as the manifest has it."""
    return {
        "version": edition.version,
        "records": edition.n_records,
        "added": edition.n_added,
        "removed": edition.n_removed,
        "changed": edition.n_changed,
    }


def load_manifest(data: bytes) -> Manifest:
    """Read manifest.json back.

    Raises:
        ManifestError: It is no JSON, lacks something, or has another format.
    """
    try:
        record = json.loads(data)
        if record["format"] != FORMAT:
            raise ManifestError(f"{NAME} has format {record['format']!r}, this code reads {FORMAT}")
        files = [
            ManifestFile(
                path=str(entry["path"]),
                n_bytes=int(entry["bytes"]),
                sha256=str(entry["sha256"]),
                xet=str(entry["xet"]),
                n_rows=None if entry["rows"] is None else int(entry["rows"]),
            )
            for entry in record["files"]
        ]
        history = [
            Edition(
                version=int(entry["version"]),
                n_records=int(entry["records"]),
                n_added=int(entry["added"]),
                n_removed=int(entry["removed"]),
                n_changed=int(entry["changed"]),
            )
            for entry in record["history"]
        ]
        if not history:
            raise ManifestError(f"{NAME} names no version")
        return Manifest(
            made_from=str(record["made_from"]),
            dataset=dict(record["dataset"]),
            files=tuple(files),
            history=tuple(history),
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ManifestError(f"{NAME} cannot be read: {type(error).__name__}: {error}") from error


def digest_of(parts: Iterable[str]) -> str:
    """Return the SHA-256 of some texts in their order."""
    return hashlib.sha256(json.dumps(list(parts), ensure_ascii=False).encode()).hexdigest()


def sha256_of(stream: BinaryIO) -> str:
    """Return the SHA-256 of what is left of a stream."""
    digest = hashlib.sha256()
    while data := stream.read(CHUNK):
        digest.update(data)
    return digest.hexdigest()
