"""arXiv's source chunks, as they lie on a disk or in a bucket."""

import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import dagster as dg
from pydantic import PrivateAttr

from s1mm_assets.archives import Delivery
from s1mm_assets.archives.arxiv import (
    ChunkFile,
    ChunkMember,
    ManifestError,
    chunk_members,
    metadata_of,
    parse_id,
    read_manifest,
)
from s1mm_assets.archives.limits import MIB, Refused
from s1mm_assets.resources.sources import Chunk, ChunkDamaged
from s1mm_assets.resources.sources.reading import (
    RangeReader,
    SourceError,
    SourceFile,
    file_at,
    files_under,
    streamed,
)
from s1mm_assets.tables import Metadata

MANIFEST = "arXiv_src_manifest.xml"
ID_FIRST = re.compile(rb'\{\s*"id"\s*:\s*"([^"\\]+)"')  # the snapshot's rows begin so


class ArxivSource(dg.ConfigurableResource[Any]):
    """Chunk tars and their manifest under one root: a folder, or `s3://bucket/prefix`.

    The manifest and the chunks are sought in `src/`, as arXiv lays them out, and in the root itself. A chunk
    that the manifest lists and that is not there has not been fetched: it is no shard, and `absent` names it.
    One that is there is verified by size and MD5 before any of its papers is given out.

    Where chunks hold the same paper, the later (by chunk number, then by place in the tar) replaces the
    earlier, as in any tar. Which chunks may hold papers of another is read from the manifest's first and last
    items; they are among its inputs.
    """

    root: str
    metadata_snapshot: str | None = None  # a file in arXiv's JSON-lines form, by path or URI

    _indexes: dict[str, list[ChunkMember]] = PrivateAttr(default_factory=dict)  # MD5 → members
    _rows: dict[tuple[SourceFile, int], dict[str, tuple[int, int]]] = PrivateAttr(default_factory=dict)

    @property
    def name(self) -> str:
        """The source's name in partition keys."""
        return "arxiv"

    def years(self) -> list[int]:
        """Return the years of the chunks that are there."""
        return sorted({chunk.year for chunk, _ in self._landed()})

    def chunks(self, year: int) -> list[Chunk]:
        """Return the chunks of one year that are there, in the manifest's order."""
        landed = [chunk for chunk, _ in self._landed() if chunk.year == year]
        return [Chunk(chunk.name, self._inputs(chunk, landed)) for chunk in landed]

    def absent(self, year: int) -> list[str]:
        """Return the names of the chunks of one year that the manifest lists and that are not there."""
        landed = {chunk.name for chunk, _ in self._landed()}
        return [each.name for each in self.listed() if each.year == year and each.name not in landed]

    def deliveries(self, chunk_name: str, year: int) -> Iterator[Delivery]:
        """Yield the papers of one chunk, in the tar's order, after the whole chunk was verified.

        Raises:
            ChunkDamaged: Size or MD5 differ from the manifest's, or it is no sound tar.
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
        """Return the snapshot's rows of these papers; nothing where no snapshot is set.

        Raises:
            SourceError: The snapshot is not there, or a row of these papers cannot be read.
        """
        if self.metadata_snapshot is None:
            return {}
        folder, file = self._snapshot(self.metadata_snapshot)
        index, read = self._rows_of(folder, file, year), RangeReader(folder)
        return {
            paper_id: _row(read(file.uri, *index[paper_id]), file.uri)
            for paper_id in paper_ids
            if paper_id in index
        }

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

    def _inputs(self, chunk: ChunkFile, landed: Sequence[ChunkFile]) -> dict[str, str]:
        inputs = {"md5": chunk.md5sum, "size": str(chunk.size)}
        for later in landed:
            if _may_replace(chunk, later):
                inputs[f"replaced by {later.name}"] = later.md5sum
        if self.metadata_snapshot is not None:
            _, file = self._snapshot(self.metadata_snapshot)
            inputs["metadata"] = f"{file.uri} {file.size} {file.modified_ns}"
        return inputs

    def _members(self, chunk: ChunkFile, file: SourceFile) -> list[ChunkMember]:
        """Verify a chunk and list its papers, in one reading."""
        if file.size != chunk.size:
            raise _damaged(chunk, self.root, f"{chunk.size} bytes", f"{file.size}")
        if chunk.md5sum not in self._indexes:
            with streamed(self.root, file.uri) as stream:
                hashing = _Hashing(stream)
                members, fault = _listed(hashing)
                hashing.drain()
            if hashing.md5 != chunk.md5sum:
                raise _damaged(chunk, self.root, f"MD5 {chunk.md5sum}", hashing.md5)
            if fault:
                raise _damaged(chunk, self.root, "a sound tar", f"{fault} (its MD5 is the manifest's)")
            self._indexes[chunk.md5sum] = members
        return self._indexes[chunk.md5sum]

    # --- the metadata snapshot -----------------------------------------------------------------------------

    @staticmethod
    def _snapshot(address: str) -> tuple[str, SourceFile]:
        path, question_mark, options = address.partition("?")  # s3://bucket/prefix?region=…
        folder, _, name = path.rpartition("/")
        root = f"{folder or '.'}{question_mark}{options}"
        file = file_at(root, name)
        if file is None:
            raise SourceError(f"there is no file {address}: set metadata_snapshot to where the snapshot lies")
        return root, file

    def _rows_of(self, folder: str, file: SourceFile, year: int) -> dict[str, tuple[int, int]]:
        """Return where the rows of one year lie: paper_id → offset and length. Read once per year."""
        if (file, year) not in self._rows:
            index, at = {}, 0
            with streamed(folder, file.uri) as stream:
                for line in io.BufferedReader(stream, MIB):
                    arxiv_id = parse_id(_id_of(line, file.uri, at))
                    if arxiv_id and arxiv_id.year == year:
                        index[arxiv_id.paper_id] = (at, len(line))
                    at += len(line)
            self._rows = {(file, year): index}  # one year at a time: it is what a partition needs
        return self._rows[file, year]


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
