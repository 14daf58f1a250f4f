"""arXiv as a publisher: chunks and their manifest in a bucket, metadata by OAI-PMH, lone papers by their ids."""

import gzip
import hashlib
import json
import logging
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import date, timedelta

from s1mm_assets.archives.arxiv import ChunkFile, ManifestError, file_stem, parse_id, read_manifest
from s1mm_assets.archives.limits import GIB, MIB
from s1mm_assets.archives.oai import EARLIEST, OaiError, Page, read_page, windows
from s1mm_assets.archives.sniff import HEAD_BYTES, Form, form_of
from s1mm_assets.archives.tar import is_tar
from s1mm_assets.resources.publishers import ChangedError, Listing, NotOfferedError, Offer, PublisherError
from s1mm_assets.resources.publishers.bucket import Bucket, BucketFile
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.web import Web
from s1mm_assets.resources.sources.arxiv import INDEX, MANIFEST, UPDATED, WINDOWS
from s1mm_assets.resources.sources.reading import RangeReader
from s1mm_assets.resources.sources.registry import SNAPSHOTS

MANIFEST_KEY = f"src/{MANIFEST}"
LANDED_WINDOW = re.compile(r"(\d{4}-\d\d-\d\d)_(\d{4}-\d\d-\d\d)\.jsonl", re.ASCII)
METADATA_PREFIX = "arXivRaw"  # the format that tells of every version
MAX_RESTARTS = 3  # of a window whose token has expired
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
        of_year = _by_year(chunks).get(year, [])
        offers = [*self._windows(year, notes), *self._chunks(of_year, year, notes)]
        if self.landing.read(MANIFEST_KEY) != xml:
            self.landing.put(MANIFEST_KEY, xml)
        digest = _digest(of_year)
        if self._listed(year) != digest:
            self.landing.put(_listed_path(year), digest.encode())
        return Listing(offers=offers, notes=notes)

    def open(self, offer: Offer, offset: int) -> AbstractContextManager[Iterator[bytes]]:
        """Open a chunk from an offset on, or a window of metadata from its beginning; one attempt.

        Raises:
            NotOfferedError: The bucket does not give the chunk.
            ChangedError: It is another than when it was listed; or a window is to be gone on with, which cannot be.
            PublisherError: The OAI-PMH service does not answer as it should, after retries.
        """
        origin = json.loads(offer.origin)
        if "key" in origin:
            return self.bucket.open(origin["key"], offset, origin["etag"])
        if offset:
            raise ChangedError(f"{offer.path} is made as it is asked for: begin anew")
        return nullcontext(self._harvest(origin["from"], origin["until"]))

    def touched(self, since: date) -> set[int]:  # noqa: ARG002 - times in the manifest are those of packing
        """Return the years with chunks that were not there, or were others, when their year was last listed.

        A year that never was is compared with the manifest that has landed. Where none has, all years are new. One
        request.
        """
        _, chunks = self._manifest()
        known = self._landed_chunks()
        touched = set()
        for year, of_year in _by_year(chunks).items():
            listed = self._listed(year)
            is_new = {(each.name, each.md5sum) for each in of_year} - known
            if (listed != _digest(of_year)) if listed else is_new:
                touched.add(year)
        return touched

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
            notes.extend(_doubts(chunk, found))
            yield Offer(
                path=f"src/{chunk.name}.tar",
                shard=chunk.name,
                origin=json.dumps({"key": chunk.filename, "etag": (found and found.etag) or None}),
                size=found.size if found else None,
                md5=chunk.md5sum,
            )

    def _landed_chunks(self) -> set[tuple[str, str]]:
        try:
            landed = read_manifest(self.landing.read(MANIFEST_KEY) or b"")
        except ManifestError:
            return set()
        return {(chunk.name, chunk.md5sum) for chunk in landed}

    def _listed(self, year: int) -> str | None:
        """Return the digest of a year's chunks when it was last listed; None where it never was."""
        return (self.landing.read(_listed_path(year)) or b"").decode("ascii", "replace") or None

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
                shard="metadata",
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

        A token lives until midnight: where one has expired, the window is asked for from its first page again, and
        what was given before is passed over. A window without records is a blank line: its file is not an empty one.
        """
        given: set[bytes] = set()
        for _ in range(1 + MAX_RESTARTS):
            try:
                for page in self._pages(first, last):
                    lines = [json.dumps(row).encode() + b"\n" for row in page.rows]
                    fresh = {hashlib.sha256(line).digest(): line for line in lines}
                    yield b"".join(line for digest, line in fresh.items() if digest not in given)
                    given |= fresh.keys()
            except OaiError as error:
                if error.code == "noRecordsMatch":
                    yield b"" if given else b"\n"
                    return
                if error.code != "badResumptionToken":
                    raise PublisherError(
                        f"{self.oai} answers to a request for {first} to {last}: {error}"
                    ) from error
            else:
                return
        raise PublisherError(
            f"{self.oai} let its tokens expire {1 + MAX_RESTARTS} times while {first} to {last} was harvested: "
            "try again later"
        )

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


def _by_year(chunks: Iterable[ChunkFile]) -> dict[int, list[ChunkFile]]:
    """Return the chunks of each year; of two entries for one chunk, the later counts."""
    by_year: dict[int, list[ChunkFile]] = {}
    for chunk in {chunk.name: chunk for chunk in chunks}.values():
        by_year.setdefault(chunk.year, []).append(chunk)
    return by_year


def _listed_path(year: int) -> str:
    return f"{INDEX}/chunks_{year}.sha256"


def _digest(chunks: Iterable[ChunkFile]) -> str:
    listed = sorted((chunk.name, chunk.md5sum) for chunk in chunks)
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def _doubts(chunk: ChunkFile, found: BucketFile | None) -> Sequence[str]:
    if found is None:
        return [f"{chunk.filename} is in the manifest and not in the bucket"]
    if re.fullmatch(r"[0-9a-f]{32}", found.etag) and found.etag != chunk.md5sum:
        return [f"{chunk.filename} in the bucket seems to be another than the manifest's: MD5 {found.etag}"]
    return []


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
