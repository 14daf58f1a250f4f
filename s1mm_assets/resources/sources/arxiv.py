"""arXiv's source chunks and metadata, as they lie on a disk or in a bucket."""

import hashlib
import io
import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import dagster as dg
import pyarrow as pa
from pydantic import PrivateAttr

from s1mm_assets.archives import Delivery
from s1mm_assets.archives.arxiv import (
    ChunkFile,
    ChunkMember,
    ManifestError,
    bare_metadata,
    chunk_members,
    metadata_of,
    parse_id,
    read_manifest,
)
from s1mm_assets.archives.limits import MIB, Refused
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.sources import Chunk, ChunkDamaged
from s1mm_assets.resources.sources.reading import (
    RangeReader,
    SourceError,
    SourceFile,
    file_at,
    files_under,
    open_root,
    streamed,
)
from s1mm_assets.tables import Metadata

MANIFEST = "arXiv_src_manifest.xml"
INDEX = "index"  # the folder of what is known of chunks without reading them
WINDOWS = "oai"  # the folder of harvested metadata
WINDOW = re.compile(rf"{WINDOWS}/\d{{4}}-\d\d-\d\d_\d{{4}}-\d\d-\d\d\.jsonl", re.ASCII)
ID_FIRST = re.compile(rb'\{\s*"id"\s*:\s*"([^"\\]+)"')  # the snapshot's rows begin so
UPDATED = re.compile(
    rb'"update_date"\s*:\s*"(\d{4}-\d\d-\d\d)"'
)  # no text holds it: its quotes are escaped there
DELETED = re.compile(rb'"deleted"\s*:\s*true\b')

_log = logging.getLogger(__name__)


class _MetadataFile(NamedTuple):
    """A file of rows."""

    root: str
    file: SourceFile


@dataclass(frozen=True, slots=True)
class _Known:
    """The newest row of a paper."""

    updated: str  # ISO date; "" where the row has none
    digest: bytes  # of the row as it is written
    place: tuple[int, int, int] | None  # which file, offset, length; None: nothing but its deletion is known
    deleted: str | None  # ISO date


class ArxivSource(dg.ConfigurableResource[Any]):
    """Chunk tars and their manifest under one root: a folder, or `s3://bucket/prefix`.

    The manifest and the chunks are sought in `src/`, as arXiv lays them out, and in the root itself. A chunk
    that the manifest lists and that is not there has not been fetched: it is no shard, and `absent` names it.
    One that is there is verified by MD5 before any of its papers is given out. The manifest's size is no measure:
    arXiv gives there what the papers take, mostly, and the tar around them takes more.

    Where chunks hold the same paper, the later (by chunk number, then by place in the tar) replaces the
    earlier, as in any tar. Which chunks may hold papers of another is read from the manifest's first and last
    items; they are among its inputs.

    Metadata are the rows of the snapshot and of the harvested windows in `oai/`: of a paper's rows, the one of the
    newest date. The rows of a chunk's own papers are among its inputs, so that a new window touches the chunks of the
    papers in it and no others. For that, what papers a chunk holds is kept in `index/`.
    """

    root: str
    metadata_snapshot: str | None = None  # a file in arXiv's JSON-lines form, by path or URI

    _verified: dict[tuple[str, SourceFile], list[ChunkMember]] = PrivateAttr(default_factory=dict)  # by MD5
    _indexed: dict[tuple[str, SourceFile], list[ChunkMember]] = PrivateAttr(default_factory=dict)
    _rows: dict[tuple[tuple[_MetadataFile, ...], int], dict[str, _Known]] = PrivateAttr(default_factory=dict)

    @property
    def name(self) -> str:
        """The source's name in partition keys."""
        return "arxiv"

    def years(self) -> list[int]:
        """Return the years of the chunks that are there."""
        return sorted({chunk.year for chunk, _ in self._landed()})

    def chunks(self, year: int) -> list[Chunk]:
        """Return the chunks of one year that are there, in the manifest's order."""
        landed = [(chunk, file) for chunk, file in self._landed() if chunk.year == year]
        inputs = {chunk.name: _inputs(chunk, [each for each, _ in landed]) for chunk, _ in landed}
        if files := self._metadata_files():
            known = self._rows_of(files, year)
            for chunk, file in landed:
                inputs[chunk.name]["metadata"] = self._rows_digest(chunk, file, known)
        return [Chunk(chunk.name, inputs[chunk.name]) for chunk, _ in landed]

    def absent(self, year: int) -> list[str]:
        """Return the names of the chunks of one year that the manifest lists and that are not there."""
        landed = {chunk.name for chunk, _ in self._landed()}
        return [each.name for each in self.listed() if each.year == year and each.name not in landed]

    def deliveries(self, chunk_name: str, year: int) -> Iterator[Delivery]:
        """Yield the papers of one chunk, in the tar's order, after the whole chunk was verified.

        Raises:
            ChunkDamaged: Its MD5 differs from the manifest's, or it is no sound tar.
            SourceError: There is no such chunk.
        """
        landed = [(chunk, file) for chunk, file in self._landed() if chunk.year == year]
        found = [(chunk, file) for chunk, file in landed if chunk.name == chunk_name]
        if not found:
            raise SourceError(f"arXiv chunk {chunk_name} of {year} is not under {self.root}: fetch it again")
        chunk, file = found[0]
        replaced: set[str] = set()
        for later, later_file in landed:
            if _may_replace(chunk, later):
                replaced.update(member.paper_id for member in self._members(later, later_file))
        last = {member.paper_id: member for member in self._members(chunk, file)}
        for member in sorted(last.values(), key=lambda member: member.offset):
            if member.paper_id not in replaced:
                yield Delivery(member.paper_id, file.uri, member.offset, member.length)

    def metadata(self, year: int, paper_ids: Sequence[str]) -> Mapping[str, Metadata]:
        """Return the newest rows of these papers; nothing where neither a snapshot nor a window is there.

        A paper that arXiv has deleted since is withdrawn.

        Raises:
            SourceError: The snapshot is not there, or a row of these papers cannot be read.
        """
        files = self._metadata_files()
        known = self._rows_of(files, year) if files else {}
        return {each: _metadata(each, known[each], files) for each in paper_ids if each in known}

    def reader(self) -> RangeReader:
        """Return what reads the chunks."""
        return RangeReader(self.root)

    # --- chunks --------------------------------------------------------------------------------------------

    def listed(self) -> list[ChunkFile]:
        """Return every chunk that the manifest lists, there or not.

        Raises:
            SourceError: There is no manifest, or it cannot be read.
        """
        return self._read_manifest({file.uri: file for file in files_under(self.root)})

    def _read_manifest(self, files: Mapping[str, SourceFile]) -> list[ChunkFile]:
        for uri in (f"src/{MANIFEST}", MANIFEST):
            if uri in files:
                try:
                    return read_manifest(self.reader()(uri, 0, files[uri].size))
                except ManifestError as error:
                    raise SourceError(f"{uri} under {self.root}: {error}. Fetch it again") from None
        raise SourceError(f"there is no {MANIFEST} under {self.root}, nor in its src/: fetch it from arXiv")

    def _landed(self) -> list[tuple[ChunkFile, SourceFile]]:
        """Return the manifest's chunks that are there, of whatever size, in its order."""
        files = {file.uri: file for file in files_under(self.root)}
        landed = []
        for chunk in self._read_manifest(files):
            file = files.get(f"src/{chunk.name}.tar") or files.get(f"{chunk.name}.tar")
            if file:
                landed.append((chunk, file))
        return landed

    def _members(self, chunk: ChunkFile, file: SourceFile) -> list[ChunkMember]:
        """Verify a chunk and list its papers, in one reading."""
        key = chunk.md5sum, file
        if key not in self._verified:
            with streamed(self.root, file.uri) as stream:
                hashing = _Hashing(stream)
                members, fault = _listed(hashing)
                hashing.drain()
            if hashing.md5 != chunk.md5sum:
                raise _damaged(chunk, self.root, f"MD5 {chunk.md5sum}", _found(chunk, file, hashing.md5))
            if fault:
                raise _damaged(chunk, self.root, "a sound tar", f"{fault} (its MD5 is the manifest's)")
            self._verified[key] = members
            if self._members_by_index(chunk, file) is None:
                _write_index(self.root, chunk.name, _index_text(chunk.md5sum, file.size, members))
        return self._verified[key]

    def _members_by_index(self, chunk: ChunkFile, file: SourceFile) -> list[ChunkMember] | None:
        """List a chunk's papers without reading it; None where it was not indexed, or is another file now."""
        key = chunk.md5sum, file
        if key not in self._indexed:
            try:
                text = Landing(self.root).read(f"{INDEX}/{chunk.name}.jsonl") or b""
                self._indexed[key] = _read_index(text, chunk.md5sum, file.size)
            except (OSError, ValueError, TypeError, LookupError):
                return None
        return self._indexed[key]

    # --- metadata ------------------------------------------------------------------------------------------

    def _metadata_files(self) -> tuple[_MetadataFile, ...]:
        """Return the snapshot, if one is set, and the harvested windows in order of their days."""
        found = [_snapshot(self.metadata_snapshot)] if self.metadata_snapshot is not None else []
        windows = [file for file in files_under(self.root, WINDOWS) if WINDOW.fullmatch(file.uri)]
        return (*found, *(_MetadataFile(self.root, file) for file in windows))

    def _rows_of(self, files: tuple[_MetadataFile, ...], year: int) -> dict[str, _Known]:
        """Return what the newest rows of one year's papers are, and where they lie. All is read once per year."""
        if (files, year) not in self._rows:
            known: dict[str, _Known] = {}
            for n, (root, file) in enumerate(files):
                at = 0
                with streamed(root, file.uri) as stream:
                    for line in io.BufferedReader(stream, MIB):
                        arxiv_id = parse_id(_id_of(line, file.uri, at))
                        if arxiv_id and arxiv_id.year == year:
                            _take(known, arxiv_id.paper_id, line, (n, at, len(line)))
                        at += len(line)
            self._rows = {(files, year): known}  # one year at a time: it is what a partition needs
        return self._rows[files, year]

    def _rows_digest(self, chunk: ChunkFile, file: SourceFile, known: Mapping[str, _Known]) -> str:
        """Return the digest of the rows of a chunk's papers; one that was never indexed is read for that."""
        members = self._members_by_index(chunk, file)
        if members is None:
            try:
                members = self._members(chunk, file)
            except ChunkDamaged:
                return "of a damaged chunk"  # `deliveries` says more
        digest = hashlib.sha256()
        for paper_id in sorted({member.paper_id for member in members} & known.keys()):
            row = known[paper_id]
            digest.update(f"{paper_id} {row.digest.hex()} {row.deleted or ''}\n".encode())
        return digest.hexdigest()


def index_chunk(root: str, uri: str, md5: str) -> None:
    """Write down what papers a chunk holds, by its headers alone, beside it; no error where that cannot be.

    Args:
        root: Of the source.
        uri: The chunk's file below it, "src/arXiv_src_2301_001.tar".
        md5: Of the file, as it was verified.
    """
    try:
        file = file_at(root, uri)
        file_system, path = open_root(root)
        with file_system.open_input_file(f"{path}/{uri}") as stream:
            members = list(chunk_members(stream))
    except (OSError, Refused) as error:
        _log.warning("%s under %s cannot be indexed: %s", uri, root, error)
        return
    if file is not None:
        name = uri.rpartition("/")[2].removesuffix(".tar")
        _write_index(root, name, _index_text(md5, file.size, members))


def _index_text(md5: str, size: int, members: Sequence[ChunkMember]) -> bytes:
    """Return an index: a line that says of which file, then one for each member."""
    head = {"md5": md5, "size": size, "n_members": len(members)}
    rows = ([each.paper_id, each.offset, each.length, each.extension] for each in members)
    return "".join(json.dumps(line) + "\n" for line in (head, *rows)).encode()


def _read_index(text: bytes, md5: str, size: int) -> list[ChunkMember]:
    """Return the members of an index; ValueError, TypeError or LookupError where it is none, or another file's."""
    head, *rows = [json.loads(line) for line in text.splitlines()]
    if head != {"md5": md5, "size": size, "n_members": len(rows)}:
        raise ValueError(f"it is the index of {head}")
    return [ChunkMember(str(row[0]), int(row[1]), int(row[2]), str(row[3])) for row in rows]


def _write_index(root: str, name: str, text: bytes) -> None:
    try:
        Landing(root).put(f"{INDEX}/{name}.jsonl", text)
    except (OSError, pa.ArrowException) as error:  # a folder of which one may only read
        _log.info("the index of %s is not kept: %s", name, error)


def _inputs(chunk: ChunkFile, landed: Sequence[ChunkFile]) -> dict[str, str]:
    inputs = {"md5": chunk.md5sum, "size": str(chunk.size)}
    for later in landed:
        if _may_replace(chunk, later):
            inputs[f"replaced by {later.name}"] = later.md5sum
    return inputs


def _may_replace(chunk: ChunkFile, later: ChunkFile) -> bool:
    """Whether a later chunk of the same month can hold a paper of this one, by the manifest's items."""
    if later.yymm != chunk.yymm or later.seq_num <= chunk.seq_num:
        return False
    is_told = all((chunk.first_item, chunk.last_item, later.first_item, later.last_item))
    return not is_told or (later.first_item <= chunk.last_item and chunk.first_item <= later.last_item)


def _damaged(chunk: ChunkFile, root: str, expected: str, found: str) -> ChunkDamaged:
    return ChunkDamaged(
        f"arXiv chunk {chunk.name} under {root} is damaged: expected {expected}, found {found}. None of its "
        f"papers was taken. Fetch {chunk.filename} again, and {MANIFEST} if arXiv has packed the chunk anew."
    )


def _found(chunk: ChunkFile, file: SourceFile, md5: str) -> str:
    is_cut = file.size < chunk.size  # a tar is never smaller than its papers
    return f"{md5} of {file.size} bytes" + (f", fewer than its papers' {chunk.size}" if is_cut else "")


class _Readable(Protocol):
    def read(self, n_bytes: int, /) -> bytes: ...


class _Hashing:
    """A forward stream that takes the MD5 of what passes."""

    def __init__(self, stream: _Readable) -> None:
        self._stream = stream
        self._digest = hashlib.md5(usedforsecurity=False)
        self._position = 0

    def read(self, n_bytes: int, /) -> bytes:
        data = self._stream.read(n_bytes)
        self._digest.update(data)
        self._position += len(data)
        return data

    def tell(self) -> int:
        return self._position

    def drain(self) -> None:
        while self.read(MIB):
            pass

    @property
    def md5(self) -> str:
        return self._digest.hexdigest()


def _listed(stream: _Hashing) -> tuple[list[ChunkMember], str | None]:
    """Return the members up to where the tar breaks, and how it breaks."""
    members: list[ChunkMember] = []
    try:
        members.extend(chunk_members(stream))
    except Refused as refused:
        return members, refused.evidence
    return members, None


# --- rows --------------------------------------------------------------------------------------------------


def _snapshot(address: str) -> _MetadataFile:
    path, question_mark, options = address.partition("?")  # s3://bucket/prefix?region=…
    folder, _, name = path.rpartition("/")
    root = f"{folder or '.'}{question_mark}{options}"
    file = file_at(root, name)
    if file is None:
        raise SourceError(f"there is no file {address}: set metadata_snapshot to where the snapshot lies")
    return _MetadataFile(root, file)


def _take(known: dict[str, _Known], paper_id: str, line: bytes, place: tuple[int, int, int]) -> None:
    """Let a row replace what was known of its paper, unless that is newer; of one date, the later row counts."""
    match = UPDATED.search(line)
    updated = sys.intern(match.group(1).decode()) if match else ""
    before = known.get(paper_id)
    if before and updated < before.updated:
        return
    if DELETED.search(line):
        before = before or _Known(updated, b"", None, None)
        known[paper_id] = replace(before, updated=updated, deleted=updated)
    else:
        known[paper_id] = _Known(updated, hashlib.sha256(line.strip()).digest(), place, None)


def _metadata(paper_id: str, known: _Known, files: Sequence[_MetadataFile]) -> Metadata:
    row = bare_metadata(paper_id)
    if known.place:
        n, offset, length = known.place
        root, file = files[n]
        row = _row(RangeReader(root)(file.uri, offset, length), file.uri)
    if known.deleted is None:
        return row
    return replace(row, is_withdrawn=True, updated=known.deleted or row.updated)


def _id_of(line: bytes, uri: str, at: int) -> str:
    """Return a row's id without parsing the row, where it stands first as in arXiv's own files."""
    match = ID_FIRST.match(line)
    if match:
        return match.group(1).decode("utf-8", "replace")
    if not line.strip():
        return ""
    try:
        return str(json.loads(line)["id"])
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{uri}, row at byte {at}: no JSON object with an id ({error!r})") from None


def _row(line: bytes, uri: str) -> Metadata:
    try:
        return metadata_of(json.loads(line))
    except (ValueError, TypeError, AttributeError) as error:
        raise SourceError(f"{uri}: the row {line[:60]!r}… cannot be read: {error!r}") from None
