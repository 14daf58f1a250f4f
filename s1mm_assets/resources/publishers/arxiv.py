"""arXiv as a publisher: chunks and their manifest in a bucket, metadata by OAI-PMH, lone papers by their ids."""

import gzip
import hashlib
import json
import logging
import re
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import date, timedelta

from s1mm_assets.archives.arxiv import ChunkFile, ManifestError, file_stem, parse_id, read_manifest
from s1mm_assets.archives.limits import GIB, MIB
from s1mm_assets.archives.oai import EARLIEST, OaiError, Page, read_page, windows
from s1mm_assets.archives.sniff import HEAD_BYTES, Form, form_of
from s1mm_assets.archives.tar import is_tar
from s1mm_assets.resources.publishers import (
    METADATA_SHARD,
    ChangedError,
    Listing,
    NotOfferedError,
    Offer,
    PublisherError,
)
from s1mm_assets.resources.publishers.bucket import Bucket, BucketFile
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.web import Web
from s1mm_assets.resources.sources.arxiv import INDEX, MANIFEST, UPDATED, WINDOWS, landed_md5
from s1mm_assets.resources.sources.reading import RangeReader
from s1mm_assets.resources.sources.registry import SNAPSHOTS

MANIFEST_KEY = f"src/{MANIFEST}"
OLDER = f"{INDEX}/packed_anew.json"  # names of chunks that arXiv has packed anew since they landed
LANDED_WINDOW = re.compile(r"(\d{4}-\d\d-\d\d)_(\d{4}-\d\d-\d\d)\.jsonl", re.ASCII)
MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)
METADATA_PREFIX = "arXivRaw"  # the format that tells of every version
MAX_RESTARTS = 3  # of a window that broke off within its pages
MAX_WALKS = 3  # over the pages of a window
MAX_PAGES = 5_000  # of a window; a week has about fifteen
SAMPLES, SAMPLE_BYTES = 20, MIB // 2
E_PRINT_BYTES = GIB

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arxiv:
    """arXiv's bucket (requester pays) and its OAI-PMH service."""

    bucket: Bucket
    web: Web
    oai: str  # address of the service
    landing: Landing
    today: Callable[[], date]

    @property
    def name(self) -> str:
        """The source's name in partition keys."""
        return "arxiv"

    @property
    def is_paid(self) -> bool:
        """Whoever downloads pays Amazon."""
        return True

    def listing(self, year: int) -> Listing:
        """Ask for the manifest, land it, and offer the chunks of a year and all windows of metadata.

        Windows hold the metadata of papers of all years: they are the same on every year's listing where a snapshot
        lies in the folder, and begin with the year where none does.

        Raises:
            PublisherError: The manifest or the bucket cannot be read.
        """
        xml, chunks = self._manifest()
        notes: list[str] = []
        of_year = [chunk for chunk in chunks if chunk.year == year]
        offers = [*self._chunks(of_year, year, notes), *self._windows(year, notes)]
        self._land_manifest(xml, chunks)
        return Listing(offers=offers, notes=notes)

    def open(self, offer: Offer, offset: int) -> AbstractContextManager[Iterator[bytes]]:
        """Open a chunk from an offset on, or a window of metadata from its beginning; one attempt.

        A window of more than one page is asked for twice, three times where the second brings what the first had not.

        Raises:
            NotOfferedError: The bucket does not give the chunk, or the window's answers cannot be read.
            ChangedError: It is another than when it was listed; or a window is to be gone on with, which cannot be.
            PublisherError: The OAI-PMH service is down, after retries.
        """
        origin = json.loads(offer.origin)
        if "key" in origin:
            return self.bucket.open(origin["key"], offset, origin["etag"])
        if offset:
            raise ChangedError(f"{offer.path} is made as it is asked for: begin anew")
        return nullcontext(self._harvest(origin["from"], origin["until"]))

    def touched(self, since: date, until: date) -> set[int]:  # noqa: ARG002 - the manifest's times are of packing
        """Return the years with chunks that are not there, or that were packed anew since they landed.

        What was listed and has not landed counts as new until it has. One request.
        """
        _, chunks = self._manifest()
        there = {name for name, _ in self.landing.sizes("src")}
        older = self._older(chunks)
        return {chunk.year for chunk in chunks if f"{chunk.name}.tar" not in there or chunk.name in older}

    # --- chunks --------------------------------------------------------------------------------------------

    def _manifest(self) -> tuple[bytes, list[ChunkFile]]:
        """Ask for the manifest, whole, and read it."""
        try:
            xml = self.bucket.get(MANIFEST_KEY)
            chunks = read_manifest(xml)
        except NotOfferedError as error:
            raise PublisherError(
                f"arXiv's manifest cannot be read ({error}): its bucket asks for credentials of whoever pays; "
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from error
        except ManifestError as error:
            raise PublisherError(f"{MANIFEST_KEY} in arXiv's bucket: {error}. Try again later") from error
        if not chunks:
            raise PublisherError(f"{MANIFEST_KEY} in arXiv's bucket lists no chunk: try again later")
        return xml, chunks

    def _chunks(self, chunks: Iterable[ChunkFile], year: int, notes: list[str]) -> Iterator[Offer]:
        """Offer chunks, of the size that the bucket tells: the manifest's is that of the papers, without the tar."""
        objects = {each.key: each for each in self.bucket.list(f"src/arXiv_src_{year % 100:02d}")}
        for chunk in chunks:
            found = objects.get(chunk.filename)
            if found is None:
                notes.append(f"{chunk.filename} is in the manifest and not in the bucket")
            elif _is_another(chunk, found):
                notes.append(
                    f"{chunk.filename} is not offered: bucket and manifest disagree (MD5 {found.etag} and "
                    f"{chunk.md5sum}), and it would be paid for in vain; it is looked at again at the next listing"
                )
                continue
            yield Offer(
                path=f"src/{chunk.name}.tar",
                shard=chunk.name,
                origin=json.dumps({"key": chunk.filename, "etag": (found and found.etag) or None}),
                size=found.size if found else None,
                md5=chunk.md5sum,
            )

    def _land_manifest(self, xml: bytes, chunks: Iterable[ChunkFile]) -> None:
        """Replace the manifest; which chunks are older than it is written down before, as it tells that no more."""
        older = self._older(chunks)
        if older != self._known_older():
            self.landing.put(OLDER, json.dumps(sorted(older)).encode())
        if self.landing.read(MANIFEST_KEY) != xml:
            self.landing.put(MANIFEST_KEY, xml)

    def _older(self, chunks: Iterable[ChunkFile]) -> set[str]:
        """Return the names of the chunks that are there as they were packed before.

        There may be thousands of indexes: only those are read whose chunks have another entry than in the manifest
        that has landed, or had when that one came. A chunk without an index is taken for what the manifest lists.
        """
        landed = self._landed_chunks()  # before what is known: that is written before the manifest is
        known = self._known_older()
        sizes = dict(self.landing.sizes("src"))
        older = set()
        for chunk in chunks:
            size = sizes.get(f"{chunk.name}.tar")
            is_suspect = chunk.name in known or landed.get(chunk.name) != chunk.md5sum
            if is_suspect and size is not None:
                md5 = landed_md5(self.landing.root, chunk.name, size)
                if md5 not in (None, chunk.md5sum):
                    older.add(chunk.name)
        return older

    def _landed_chunks(self) -> dict[str, str]:
        """Return the MD5 of each chunk in the manifest that has landed, by name."""
        try:
            landed = read_manifest(self.landing.read(MANIFEST_KEY) or b"")
        except ManifestError:
            return {}
        return {chunk.name: chunk.md5sum for chunk in landed}

    def _known_older(self) -> set[str]:
        """Return what was written down of `_older`."""
        try:
            names = json.loads(self.landing.read(OLDER) or b"[]")
        except ValueError:
            return set()
        return {each for each in names if isinstance(each, str)} if isinstance(names, list) else set()

    # --- metadata ------------------------------------------------------------------------------------------

    def _windows(self, year: int, notes: list[str]) -> Iterator[Offer]:
        yesterday = self.today() - timedelta(days=1)
        first = self._newest_row(yesterday)
        if first is None:
            first = max(date(year, 1, 1), EARLIEST)
            notes.append(
                f"there is no metadata snapshot: metadata are harvested from {first} on, a week at a time; put arXiv's "
                f"own snapshot beside the chunks as {SNAPSHOTS[0]} to begin where it ends"
            )
        for begin, end in windows(first, yesterday, self._landed_windows()):
            yield Offer(
                path=f"{WINDOWS}/{begin}_{end}.jsonl",
                shard=METADATA_SHARD,
                origin=json.dumps({"from": begin.isoformat(), "until": end.isoformat()}),
            )

    def _landed_windows(self) -> Iterator[tuple[date, date]]:
        for name in self.landing.names(WINDOWS):
            if match := LANDED_WINDOW.fullmatch(name):
                begin, end = _day(match[1]), _day(match[2])
                if begin and end:
                    yield begin, end

    def _newest_row(self, yesterday: date) -> date | None:
        """Return the newest date of the metadata snapshot, or one somewhat before; None where there is no snapshot.

        All of it takes minutes to read: samples of it are, 10 MB together. What is missed by that is asked for once
        more, and so is the newest day itself, which may not have been over.
        """
        for name in SNAPSHOTS:
            size = self.landing.size(name) or 0
            starts = {max(0, size * (n + 1) // SAMPLES - SAMPLE_BYTES) for n in range(SAMPLES)}
            read = RangeReader(self.landing.root)
            samples = (read(name, start, min(SAMPLE_BYTES, size - start)) for start in starts if size)
            dates = {text.decode() for sample in samples for text in UPDATED.findall(sample)}
            days = [day for day in map(_day, dates) if day and EARLIEST <= day <= yesterday]
            if days:
                return max(days)
        return None

    def _harvest(self, first: str, last: str) -> Iterator[bytes]:
        """Yield the rows of a window as JSON lines, page by page, each once.

        Pages are counted from the first record on: one that is updated meanwhile leaves the window, and another slides
        over the edge of a page unseen. So a window of several pages is walked again until that brings no paper that was
        not seen before, three times at most: its requests double at least. A walk that breaks off within its pages,
        as tokens live until midnight only, is begun anew. A window without records is a blank line: its file is not an
        empty one.
        """
        seen = _Seen()
        n_walks = n_restarts = 0
        while n_walks < MAX_WALKS:
            n_before = len(seen.ids)
            n_pages, broke_off = yield from self._walk(first, last, seen)
            is_complete = len(seen.ids) == n_before and broke_off != "badResumptionToken"
            if is_complete or (n_pages == 1 and not broke_off):
                break
            n_restarts += bool(broke_off)
            n_walks += not broke_off
            if n_restarts > MAX_RESTARTS:
                raise NotOfferedError(
                    f"{self.oai} let {first} to {last} break off within its pages {n_restarts} times: its tokens expire"
                )
        else:
            _log.warning("%s, %s to %s: papers still come that were not seen before", self.oai, first, last)
        if not seen.ids:
            yield b"\n"

    def _walk(self, first: str, last: str, seen: "_Seen") -> Generator[bytes, None, tuple[int, str]]:
        """Yield the rows of a window that were not seen before; return how many pages came, and what broke it off.

        That is the code of the protocol's error, noRecordsMatch of a page after the first among them: records left the
        window. It is "" where the walk came to its end, or nothing matches at all.
        """
        n_pages = 0
        try:
            for page in self._pages(first, last):
                n_pages += 1
                yield seen.fresh(page)
        except OaiError as error:
            if error.code == "noRecordsMatch" or (n_pages and error.code == "badResumptionToken"):
                return n_pages, error.code if n_pages else ""
            raise NotOfferedError(
                f"{self.oai} answers to a request for {first} to {last}: {error}"
            ) from error
        return n_pages, ""

    def _pages(self, first: str, last: str) -> Iterator[Page]:
        params = {
            "verb": "ListRecords",
            "metadataPrefix": METADATA_PREFIX,
            "from": first,
            "until": last,
        }
        tokens: set[str] = set()
        for _ in range(MAX_PAGES):
            page = read_page(self.web.get(self.oai, params=params, expects="xml"))
            for note in page.notes:
                _log.warning("%s, %s to %s: %s", self.oai, first, last, note)
            yield page
            if page.token is None:
                return
            if page.token in tokens:
                break
            tokens.add(page.token)
            params = {"verb": "ListRecords", "resumptionToken": page.token}
        raise OaiError("", f"its pages have no end: the token {page.token} again, or too many of them")


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:  # the 31st of June
        return None


@dataclass
class _Seen:
    """What a window has brought so far."""

    ids: set[str] = field(default_factory=set)
    _lines: set[bytes] = field(default_factory=set)  # their digests

    def fresh(self, page: Page) -> bytes:
        """Return a page's rows as lines, without those that came before."""
        lines = [json.dumps(row).encode() + b"\n" for row in page.rows]
        fresh = {hashlib.sha256(line).digest(): line for line in lines}
        found = b"".join(line for digest, line in fresh.items() if digest not in self._lines)
        self._lines |= fresh.keys()
        self.ids.update(row["id"] for row in page.rows)
        return found


def _is_another(chunk: ChunkFile, found: BucketFile) -> bool:
    """Whether the bucket says that its object is not the one in the manifest; of uploads in parts it says nothing."""
    return bool(MD5.fullmatch(found.etag)) and found.etag != chunk.md5sum


# --- one paper ---------------------------------------------------------------------------------------------


def e_print(web: Web, base: str, paper_id: str) -> tuple[str, bytes]:
    """Download the source of one paper, as arXiv has it.

    Args:
        web: What asks.
        base: arXiv's address, without a slash at the end.
        paper_id: Of any era, with a version or without.

    Returns:
        A file name that tells paper and form (.tar.gz, .gz, .pdf), and the bytes, at most 1 GiB.

    Raises:
        NotOfferedError: It is no identifier, or arXiv has no source of it.
        PublisherError: arXiv does not answer as it should, after retries.
    """
    arxiv_id = parse_id(paper_id)
    if arxiv_id is None:
        raise NotOfferedError(
            f"{paper_id[:80]!r} is no arXiv identifier: write 2301.01234v2 or hep-th/9711200"
        )
    version = arxiv_id.version or ""
    try:
        data = web.get(f"{base}/e-print/{arxiv_id.paper_id}{version}", max_bytes=E_PRINT_BYTES)
    except NotOfferedError as error:
        raise NotOfferedError(
            f"arXiv gives no source of {arxiv_id.paper_id}{version} ({error}): it is withdrawn, or was never posted"
        ) from error
    suffix, packed = _packed(data, arxiv_id.paper_id)
    return f"{file_stem(arxiv_id.paper_id)}{version}{suffix}", packed


def _packed(data: bytes, paper_id: str) -> tuple[str, bytes]:
    """Return suffix and bytes by content; what was unpacked on its way here is packed again."""
    form = form_of(data)
    if form is Form.PDF:
        return ".pdf", data
    if form is Form.GZIP:
        return (".tar.gz" if is_tar(_inflated_head(data)) else ".gz"), data
    if form is Form.TAR:
        return ".tar.gz", gzip.compress(data, mtime=0)
    if form in (Form.TEXT, Form.POSTSCRIPT):
        return ".gz", gzip.compress(data, mtime=0)
    raise NotOfferedError(
        f"arXiv answers to a request for the source of {paper_id} with {form.value}, no source"
    )


def _inflated_head(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data[: 64 * 1024], HEAD_BYTES)
    except zlib.error:
        return b""
