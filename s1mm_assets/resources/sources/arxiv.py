"""arXiv's source chunks and metadata, as they lie on a disk or in a bucket."""

import hashlib
import io
import json
import logging
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple, Protocol

import dagster as dg
from pydantic import PrivateAttr

from s1mm_assets.archives import Delivery
from s1mm_assets.archives.arxiv import (
    ChunkFile,
    ChunkMember,
    ManifestError,
    bare_metadata,
    chunk_members,
    file_stem,
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
MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)

_Place = tuple[int, int, int]  # of a row: which file, offset, length

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
    place: _Place | None  # None: nothing but its deletion is known
    deleted: str | None  # ISO date


class _Index(NamedTuple):
    """What was found in a chunk when it was verified."""

    md5: str
    members: list[ChunkMember]


class _Landed(NamedTuple):
    """A chunk that is there."""

    chunk: ChunkFile  # as its bytes are, by its index: it may be older than the manifest
    file: SourceFile
    listed: ChunkFile  # as the manifest describes it
    indexed: _Index | None


class ArxivSource(dg.ConfigurableResource[Any]):
    """Chunk tars and their manifest under one root: a folder, or `s3://bucket/prefix`.

    The manifest and the chunks are sought in `src/`, as arXiv lays them out, and in the root itself. A chunk
    that the manifest lists and that is not there has not been fetched: it is no shard, and `absent` names it.
    One that is there is verified by MD5 before any of its papers is given out. The manifest's size is no measure:
    arXiv gives there what the papers take, mostly, and the tar around them takes more. A chunk that arXiv has packed
    anew since it landed is sound as long as its MD5 is the one that it was verified by then, which its index in
    `index/` tells: it is older, and its inputs say which it is.

    Where chunks hold the same paper, the later (by chunk number, then by place in the tar) replaces the
    earlier, as in any tar. Which chunks may hold papers of another is read from the manifest's first and last
    items; they are among its inputs.

    Metadata are the rows of the snapshot and of the harvested windows in `oai/`: of a paper's rows, the one of the
    newest date. The rows of a chunk's own papers are among its inputs, so that a new window touches the chunks of the
    papers in it and no others. For that, what papers a chunk holds is kept in `index/`.
    """

    root: str
    metadata_snapshot: str | None = None  # a file in arXiv's JSON-lines form, by path or URI

    _verified: dict[tuple[str, SourceFile], list[ChunkMember]] = PrivateAttr(
        default_factory=dict
    )  # by the manifest's MD5
    _indexes: dict[tuple[SourceFile, SourceFile], _Index] = PrivateAttr(default_factory=dict)
    _rows: dict[tuple[tuple[_MetadataFile, ...], int], dict[str, _Known]] = PrivateAttr(default_factory=dict)

    @property
    def name(self) -> str:
        """The source's name in partition keys."""
        return "arxiv"

    def years(self) -> list[int]:
        """Return the years of the chunks that are there."""
        return sorted({chunk.year for chunk, _ in self._there()})

    def chunks(self, year: int) -> list[Chunk]:
        """Return the chunks of one year that are there, in the manifest's order."""
        landed = self._landed(year)
        inputs = [_inputs(each, landed) for each in landed]
        if files := self._metadata_files():
            known = self._rows_of(files, year)
            for each, of_chunk in zip(landed, inputs, strict=True):
                of_chunk["metadata"] = self._rows_digest(each, known)
        return [Chunk(each.chunk.name, of_chunk) for each, of_chunk in zip(landed, inputs, strict=True)]

    def absent(self, year: int) -> list[str]:
        """Return the names of the chunks of one year that the manifest lists and that are not there.

        One that is there as it was packed before is not among them.
        """
        landed = {chunk.name for chunk, _ in self._there()}
        return [each.name for each in self.listed() if each.year == year and each.name not in landed]

    def deliveries(self, chunk_name: str, year: int) -> Iterator[Delivery]:
        """Yield the papers of one chunk, in the tar's order, after the whole chunk was verified.

        Raises:
            ChunkDamaged: Its MD5 is neither the manifest's nor the one that it landed with, or it is no sound tar.
            SourceError: There is no such chunk.
        """
        landed = self._landed(year, beside=chunk_name)
        found = next((each for each in landed if each.chunk.name == chunk_name), None)
        if found is None:
            raise SourceError(f"arXiv chunk {chunk_name} of {year} is not under {self.root}: fetch it again")
        replaced: set[str] = set()
        for later in landed:
            if _may_replace(found.chunk, later.chunk):
                replaced.update(member.paper_id for member in self._members(later))
        last = {member.paper_id: member for member in self._members(found)}
        for member in sorted(last.values(), key=lambda member: member.offset):
            if member.paper_id not in replaced:
                yield Delivery(member.paper_id, found.file.uri, member.offset, member.length)

    def metadata(self, year: int, paper_ids: Sequence[str]) -> Mapping[str, Metadata]:
        """Return the newest rows of these papers; nothing where neither a snapshot nor a window is there.

        A paper that arXiv has deleted since is withdrawn.

        Raises:
            SourceError: The snapshot is not there, or a row of these papers cannot be read.
        """
        files = self._metadata_files()
        known = self._rows_of(files, year) if files else {}
        wanted = {each: known[each] for each in paper_ids if each in known}
        rows = _rows_at({row.place for row in wanted.values() if row.place}, files)
        return {each: _metadata(each, row, rows) for each, row in wanted.items()}

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

    def _there(self) -> list[tuple[ChunkFile, SourceFile]]:
        """Return the manifest's chunks that are there, of whatever size, in its order."""
        return self._there_of({file.uri: file for file in files_under(self.root)})

    def _there_of(self, files: Mapping[str, SourceFile]) -> list[tuple[ChunkFile, SourceFile]]:
        there = []
        for chunk in self._read_manifest(files):
            file = files.get(f"src/{chunk.name}.tar") or files.get(f"{chunk.name}.tar")
            if file:
                there.append((chunk, file))
        return there

    def _landed(self, year: int, beside: str | None = None) -> list[_Landed]:
        """Return the chunks of a year as they are there, in the manifest's order; or those of one chunk's month."""
        files = {file.uri: file for file in files_under(self.root)}
        there = [(chunk, file) for chunk, file in self._there_of(files) if chunk.year == year]
        months = {chunk.yymm for chunk, _ in there if beside in (None, chunk.name)}
        landed = []
        for listed, file in there:
            if listed.yymm in months:
                index = self._index(listed.name, file, files.get(_index_path(listed.name)))
                landed.append(_Landed(_as_landed(listed, index), file, listed, index))
        return landed

    def _index(self, name: str, file: SourceFile, index_file: SourceFile | None) -> _Index | None:
        """Read a chunk's index; None where there is none, or it is of another file."""
        if index_file is None:
            return None
        key = file, index_file
        if key not in self._indexes:
            found = _indexed(self.root, name, file.size)
            if found is None:
                return None
            self._indexes[key] = found
        return self._indexes[key]

    def _members(self, landed: _Landed) -> list[ChunkMember]:
        """Verify a chunk and list its papers, in one reading."""
        chunk, file, listed, indexed = landed
        key = listed.md5sum, file
        if key not in self._verified:
            with streamed(self.root, file.uri) as stream:
                hashing = _Hashing(stream)
                members, fault = _listed(hashing)
                hashing.drain()
            if hashing.md5 not in (listed.md5sum, chunk.md5sum):
                raise _damaged(landed, self.root, _expected(landed), _found(listed, file, hashing.md5))
            if fault:
                raise _damaged(landed, self.root, "a sound tar", f"{fault} (its MD5 is as it should be)")
            self._verified[key] = members
            if indexed is None or indexed.md5 != hashing.md5:
                _write_index(self.root, listed.name, _index_text(hashing.md5, file.size, members))
        return self._verified[key]

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

    def _rows_digest(self, landed: _Landed, known: Mapping[str, _Known]) -> str:
        """Return the digest of the rows of a chunk's papers; one that was never indexed is read for that."""
        try:
            members = landed.indexed.members if landed.indexed else self._members(landed)
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


def landed_md5(root: str, name: str, size: int) -> str | None:
    """Return the MD5 that a chunk was verified by; None where no index tells of a file of this size.

    Args:
        root: Of the source.
        name: The chunk's.
        size: Of the file that is there, in bytes.
    """
    index = _indexed(root, name, size)
    return index.md5 if index else None


def _index_path(name: str) -> str:
    return f"{INDEX}/{name}.jsonl"


def _index_text(md5: str, size: int, members: Sequence[ChunkMember]) -> bytes:
    """Return an index: a line that says of which file, then one for each member."""
    head = {"md5": md5, "size": size, "n_members": len(members)}
    rows = ([each.paper_id, each.offset, each.length, each.extension] for each in members)
    return "".join(json.dumps(line) + "\n" for line in (head, *rows)).encode()


def _indexed(root: str, name: str, size: int) -> _Index | None:
    """Read a chunk's index; None where there is none, it is damaged, or the file had another size then."""
    try:
        return _read_index(Landing(root).read(_index_path(name)) or b"", size)
    except (OSError, ValueError, TypeError, LookupError):
        return None


def _read_index(text: bytes, size: int) -> _Index:
    """Return what an index says; ValueError, TypeError or LookupError where it is none, or another file's."""
    head, *rows = [json.loads(line) for line in text.splitlines()]
    md5 = head["md5"]
    if head != {"md5": md5, "size": size, "n_members": len(rows)} or not MD5.fullmatch(md5):
        raise ValueError(f"it is the index of {head}")
    return _Index(md5, [ChunkMember(str(row[0]), int(row[1]), int(row[2]), str(row[3])) for row in rows])


def _write_index(root: str, name: str, text: bytes) -> None:
    from pyarrow import ArrowException

    try:
        Landing(root).put(_index_path(name), text)
    except (OSError, ArrowException) as error:  # a folder of which one may only read
        _log.info("the index of %s is not kept: %s", name, error)


def _as_landed(listed: ChunkFile, index: _Index | None) -> ChunkFile:
    """Return a chunk as its bytes are: of an older one than the manifest's, by what was found in it."""
    if index is None or index.md5 == listed.md5sum:
        return listed
    items = sorted(file_stem(member.paper_id) for member in index.members) or [""]
    return replace(listed, md5sum=index.md5, first_item=items[0], last_item=items[-1])


def _inputs(landed: _Landed, others: Sequence[_Landed]) -> dict[str, str]:
    inputs = {"md5": landed.chunk.md5sum, "size": str(landed.file.size)}
    for each in others:
        if _may_replace(landed.chunk, each.chunk):
            inputs[f"replaced by {each.chunk.name}"] = each.chunk.md5sum
    return inputs


def _may_replace(chunk: ChunkFile, later: ChunkFile) -> bool:
    """Whether a later chunk of the same month can hold a paper of this one, by the manifest's items."""
    if later.yymm != chunk.yymm or later.seq_num <= chunk.seq_num:
        return False
    is_told = all((chunk.first_item, chunk.last_item, later.first_item, later.last_item))
    return not is_told or (later.first_item <= chunk.last_item and chunk.first_item <= later.last_item)


def _damaged(landed: _Landed, root: str, expected: str, found: str) -> ChunkDamaged:
    listed = landed.listed
    return ChunkDamaged(
        f"arXiv chunk {listed.name} under {root} is damaged: expected {expected}, found {found}. None of its "
        f"papers was taken. Fetch {listed.filename} again, and {MANIFEST} if arXiv has packed the chunk anew."
    )


def _expected(landed: _Landed) -> str:
    is_older = landed.chunk.md5sum != landed.listed.md5sum
    then = f" or {landed.chunk.md5sum}, which it landed with" if is_older else ""
    return f"MD5 {landed.listed.md5sum}{then}"


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


def _take(known: dict[str, _Known], paper_id: str, line: bytes, place: _Place) -> None:
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


def _rows_at(places: Collection[_Place], files: Sequence[_MetadataFile]) -> dict[_Place, Metadata]:
    """Read rows in the order in which they lie; each file is opened once."""
    rows = {}
    for n, of_file in groupby(sorted(places), key=lambda place: place[0]):
        root, file = files[n]
        file_system, path = open_root(root)
        with file_system.open_input_file(f"{path}/{file.uri}") as stream:
            for place in of_file:
                _, offset, length = place
                line = stream.read_at(length, offset)
                if len(line) < length:
                    raise SourceError(f"{file.uri} under {root} has become shorter: start again")
                rows[place] = _row(line, file.uri)
    return rows


def _metadata(paper_id: str, known: _Known, rows: Mapping[_Place, Metadata]) -> Metadata:
    row = rows[known.place] if known.place else bare_metadata(paper_id)
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
