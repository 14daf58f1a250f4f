"""Landing: never twice, never half, whatever happens. Bytes and requests are counted where they are served."""

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from s1mm_assets.resources.publishers import Listing, Offer, PublisherError, acquire, reception
from s1mm_assets.resources.publishers import landing as landing_module
from s1mm_assets.resources.publishers.acquire import Acquisition
from s1mm_assets.resources.publishers.bucket import Bucket
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.ledger import Ledger, Spent
from s1mm_assets_tests.imitations.publishers import Fault, ImitationPublishers
from s1mm_assets_tests.resources.publishers.bucket_publisher import TERMS, YEAR, BucketPublisher, acquisition

MIB = 2**20
CHUNKS = {
    f"src/{name}.tar": random.Random(name).randbytes(n)
    for name, n in {"a": 3 * MIB, "b": MIB, "c": 7}.items()
}
ALL_BYTES = sum(map(len, CHUNKS.values()))


@pytest.fixture
def full(publishers: ImitationPublishers) -> ImitationPublishers:
    """Three chunks are published."""
    for key, data in CHUNKS.items():
        publishers.put("arxiv", key, data)
    return publishers


@pytest.fixture(params=["folder", "bucket"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where papers land: a folder, and a bucket of one's own on the S3 server."""
    if request.param == "folder":
        yield str(tmp_path / "arxiv")
        return
    publishers = request.getfixturevalue("publishers")
    host = publishers.base.removeprefix("http://")
    s3 = publishers._s3()
    s3.create_bucket(Bucket="sources")
    for each in s3.list_objects_v2(Bucket="sources").get("Contents", ()):
        s3.delete_object(Bucket="sources", Key=each["Key"])
    yield f"s3://sources/arxiv?endpoint_override={host}/backstage&scheme=http&region=us-east-1"


def md5_of(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def landed(root: str) -> dict[str, bytes]:
    """What lies in the folder under the names of chunks."""
    landing = Landing(root)
    return {f"src/{name}": landing.read(f"src/{name}") or b"" for name in landing.names("src")}


def chunk_requests(publishers: ImitationPublishers) -> list[int]:
    """Bytes of each answer about a chunk's content."""
    return [each.n_bytes for each in publishers.requests if each.path.endswith(".tar")]


def test_what_is_published_lands(full: ImitationPublishers, tmp_path: Path) -> None:
    """Every chunk once, whole; each call says who pays; the ledger says what landed, and what it cost."""
    done = acquisition(full, str(tmp_path)).run()

    assert landed(str(tmp_path)) == CHUNKS
    assert sorted(chunk_requests(full)) == sorted(map(len, CHUNKS.values()))
    assert all(each.says_it_pays for each in full.requests)
    assert (done.n_listed, done.n_landed, done.n_new, done.n_refused) == (3, 3, 3, 0)
    assert done.n_bytes == done.used.n_bytes == ALL_BYTES
    assert done.usd == pytest.approx(ALL_BYTES / 1e9 * 0.09 + 4 / 1000 * 0.0004)
    record = Ledger(Landing(str(tmp_path))).record(YEAR)
    assert {path: line.md5 for path, line in record.landed.items()} == {
        path: md5_of(data) for path, data in CHUNKS.items()
    }
    assert record.spent.usd == pytest.approx(done.usd)


def test_the_second_run_fetches_nothing(full: ImitationPublishers, tmp_path: Path) -> None:
    acquisition(full, str(tmp_path)).run()
    full.requests.clear()

    again = acquisition(full, str(tmp_path)).run()

    assert chunk_requests(full) == []
    assert (again.n_landed, again.n_new, again.used.n_bytes) == (3, 0, 0)
    assert again.spent.n_bytes == ALL_BYTES


def test_a_new_chunk_is_fetched_alone(full: ImitationPublishers, tmp_path: Path) -> None:
    acquisition(full, str(tmp_path)).run()
    full.requests.clear()
    full.put("arxiv", "src/d.tar", b"new")

    assert acquisition(full, str(tmp_path)).run().n_new == 1
    assert chunk_requests(full) == [3]


@pytest.mark.parametrize("cut", [0, 1, 65_536, 2 * MIB + 17])
def test_a_cut_connection_goes_on_where_it_broke(full: ImitationPublishers, tmp_path: Path, cut: int) -> None:
    """Two cuts in one file: no byte is asked for twice."""
    full.faults.append(Fault("src/a.tar", times=2, cut_after=cut))

    acquisition(full, str(tmp_path)).run()

    assert landed(str(tmp_path)) == CHUNKS
    assert sum(chunk_requests(full)) == ALL_BYTES


def test_progress_is_endless_patience(full: ImitationPublishers, tmp_path: Path) -> None:
    """More cuts than attempts, but each brings something."""
    full.faults.append(Fault("src/a.tar", times=20, cut_after=100_000))

    acquisition(full, str(tmp_path)).run()

    assert landed(str(tmp_path)) == CHUNKS
    assert sum(chunk_requests(full)) == ALL_BYTES


@pytest.mark.parametrize(
    "fault",
    [
        Fault("a.tar", times=2, status=503, body=b"<Error><Code>SlowDown</Code></Error>"),
        Fault("a.tar", times=2, status=500),
        Fault("a.tar", times=2, status=429, headers={"Retry-After": "0"}),
        Fault("prefix=|/arxiv$", times=2, status=503, body=b"<Error><Code>SlowDown</Code></Error>"),
    ],
)
def test_a_busy_publisher_is_asked_again(full: ImitationPublishers, tmp_path: Path, fault: Fault) -> None:
    full.faults.append(replace(fault))

    acquisition(full, str(tmp_path)).run()

    assert landed(str(tmp_path)) == CHUNKS


def test_an_outage_ends_the_run_and_the_next_goes_on(full: ImitationPublishers, root: str) -> None:
    """What arrived of the broken file is not asked for again."""
    full.faults.append(Fault("src/a.tar", times=1, cut_after=2 * MIB + 5))
    full.faults.append(Fault("src/a.tar", times=99, status=503))

    with pytest.raises(PublisherError, match="try again later, it goes on from there"):
        acquisition(full, root, terms=replace(TERMS, transfers=1)).run()
    assert "src/a.tar" not in landed(root)

    full.faults.clear()
    acquisition(full, root).run()

    assert {path: data for path, data in landed(root).items() if path in CHUNKS} == CHUNKS
    assert sum(chunk_requests(full)) == ALL_BYTES


def test_the_error_that_ended_the_run_is_told(full: ImitationPublishers, tmp_path: Path) -> None:
    """Others were in the middle of their files: that they were stopped is not what went wrong."""
    full.faults.append(
        Fault("src/c.tar", times=99, status=400, body=b"<Error><Code>ExpiredToken</Code></Error>")
    )
    full.faults.append(Fault("src/[ab].tar", times=9999, cut_after=70_000))

    for n in range(5):
        with pytest.raises(PublisherError, match="refuses the credentials"):
            acquisition(full, str(tmp_path / str(n)), terms=replace(TERMS, transfers=3)).run()


def test_expired_credentials_say_so(full: ImitationPublishers, tmp_path: Path) -> None:
    body = b"<Error><Code>ExpiredToken</Code></Error>"
    full.faults.append(Fault("a.tar", times=99, status=400, body=body))

    with pytest.raises(PublisherError, match=r"refuses the credentials.*ExpiredToken.*renew"):
        acquisition(full, str(tmp_path)).run()


def test_without_credentials_nothing_is_asked(
    full: ImitationPublishers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)

    with pytest.raises(PublisherError, match="AWS_ACCESS_KEY_ID"):
        acquisition(full, str(tmp_path)).run()


def test_wrong_bytes_are_refused_and_asked_for_again_next_time(full: ImitationPublishers, root: str) -> None:
    """The MD5 is not the listed one, twice: the chunk gets no name, and the others land."""
    wrong = b"x" * len(CHUNKS["src/a.tar"])
    full.faults.append(Fault("src/a.tar", times=2, status=200, body=wrong))

    done = acquisition(full, root).run()

    assert sorted(landed(root)) == ["src/b.tar", "src/c.tar"]
    assert done.n_refused == 1
    assert "MD5" in done.refused[0]
    again = acquisition(full, root, terms=replace(TERMS, ask_refused_again_after_days=0)).run()
    assert again.n_new == 1
    assert again.n_refused == 0


def test_one_wrong_reading_is_made_good(full: ImitationPublishers, root: str) -> None:
    full.faults.append(Fault("src/a.tar", status=200, body=b"y" * len(CHUNKS["src/a.tar"])))

    acquisition(full, root).run()

    assert landed(root) == CHUNKS


def test_a_refusal_is_on_record_and_not_asked_again_at_once(
    full: ImitationPublishers, tmp_path: Path
) -> None:
    full.faults.append(Fault("src/b.tar", status=403, body=b"<Error><Code>AccessDenied</Code></Error>"))

    done = acquisition(full, str(tmp_path)).run()
    full.requests.clear()
    again = acquisition(full, str(tmp_path)).run()

    assert done.n_refused == again.n_refused == 1
    assert "AccessDenied" in done.refused[0]
    assert chunk_requests(full) == []


def test_a_publisher_that_shuts_the_door_ends_the_run(
    publishers: ImitationPublishers, tmp_path: Path
) -> None:
    """Forty refusals are not forty bad files."""
    for n in range(40):
        publishers.put("arxiv", f"src/{n:02d}.tar", b"x")
    publishers.faults.append(
        Fault(r"\.tar", times=99, status=403, body=b"<Error><Code>AccessDenied</Code></Error>")
    )

    with pytest.raises(PublisherError, match="refused 25 files in a row"):
        acquisition(publishers, str(tmp_path)).run()
    assert len(chunk_requests(publishers)) < 30


def test_an_object_replaced_while_it_is_read_is_never_mixed(full: ImitationPublishers, root: str) -> None:
    """The connection breaks, and what goes on is another object: it is refused, and the next listing has it."""
    other = bytes(reversed(CHUNKS["src/a.tar"]))
    full.faults.append(Fault("src/a.tar", cut_after=MIB))
    full.faults.append(Fault("src/a.tar", meanwhile=lambda: full.put("arxiv", "src/a.tar", other)))

    first = acquisition(full, root).run()
    assert first.n_refused == 1
    acquisition(full, root, terms=replace(TERMS, ask_refused_again_after_days=0)).run()

    assert landed(root) == {**CHUNKS, "src/a.tar": other}


def test_a_chunk_packed_anew_replaces_the_old_one(full: ImitationPublishers, root: str) -> None:
    acquisition(full, root).run()
    full.put("arxiv", "src/b.tar", b"packed anew")

    again = acquisition(full, root).run()

    assert landed(root)["src/b.tar"] == b"packed anew"
    assert (again.n_new, again.n_landed) == (1, 3)
    assert again.replaced == ["b"]


def test_more_bytes_than_listed_are_not_taken(full: ImitationPublishers, tmp_path: Path) -> None:
    """A server that sends without end costs one file, not the disk."""
    full.faults.append(Fault("src/c.tar", times=9, status=200, body=b"z" * MIB))

    done = acquisition(full, str(tmp_path)).run()

    assert "more than 7 bytes" in done.refused[0]
    assert not list(tmp_path.rglob("c.tar*"))


# --- money and room ----------------------------------------------------------------------------------------


def test_what_costs_too_much_is_not_begun(full: ImitationPublishers, tmp_path: Path) -> None:
    """The error names the cost, what is allowed, and the setting."""
    terms = replace(TERMS, max_usd=0.0001)

    with pytest.raises(PublisherError, match=r"about 0\.00 USD, and \[acquisition\] max_usd allows"):
        acquisition(full, str(tmp_path), terms=terms).run()
    assert chunk_requests(full) == []


def test_a_dry_run_says_what_would_be_fetched(full: ImitationPublishers, tmp_path: Path) -> None:
    todo = acquisition(full, str(tmp_path), terms=replace(TERMS, usd_per_gb=90.0)).todo()

    assert (todo.n_listed, todo.n_there, len(todo.offers), todo.n_bytes) == (3, 0, 3, ALL_BYTES)
    assert todo.usd == pytest.approx(ALL_BYTES / 1e9 * 90 + 3 / 1000 * 0.0004)
    assert chunk_requests(full) == []


def test_room_is_asked_for_before_anything_is_fetched(full: ImitationPublishers, tmp_path: Path) -> None:
    with pytest.raises(PublisherError, match="min_free_gib"):
        acquisition(full, str(tmp_path), terms=replace(TERMS, min_free_gib=1e9)).run()
    assert chunk_requests(full) == []


def test_a_full_disk_ends_the_run_and_keeps_what_came(full: ImitationPublishers, tmp_path: Path) -> None:
    """A real full disk: a file may grow to two MiB and no further, as `ulimit -f` has it."""
    job = [
        sys.executable,
        "-m",
        "s1mm_assets_tests.resources.publishers.landing_job",
        full.base,
        str(tmp_path),
    ]
    limited = (
        "import resource, signal, sys, runpy; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({2 * MIB}, {2 * MIB})); sys.argv = sys.argv[1:]; "
        "runpy.run_module('s1mm_assets_tests.resources.publishers.landing_job', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, "job", *job[3:]],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode != 0
    assert "is full: make room" in done.stderr
    (part,) = tmp_path.glob("src/a.tar.*.part")
    assert part.stat().st_size == 2 * MIB
    acquisition(full, str(tmp_path)).run()
    assert landed(str(tmp_path)) == CHUNKS


# --- kills -------------------------------------------------------------------------------------------------


def test_killed_at_random_moments_it_lands_the_same(publishers: ImitationPublishers, tmp_path: Path) -> None:
    """SIGKILL while it lists, receives, names and records; then one run to the end: the published set, whole."""
    chance = random.Random(8)
    published = {f"src/{n:03d}.tar": chance.randbytes(chance.randrange(1, 4 * MIB)) for n in range(40)}
    for key, data in published.items():
        publishers.put("arxiv", key, data)
    command = [
        sys.executable,
        "-m",
        "s1mm_assets_tests.resources.publishers.landing_job",
        publishers.base,
        str(tmp_path),
    ]
    for _ in range(6):
        n_before = len(publishers.requests)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wanted = n_before + chance.randrange(1, 14)
        while len(publishers.requests) < wanted and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        process.wait()
        assert all(
            published[path] == data for path, data in landed(str(tmp_path)).items() if path.endswith("tar")
        )

    acquisition(publishers, str(tmp_path)).run()

    assert landed(str(tmp_path)) == published
    most_in_flight = 6 * TERMS.transfers * 4 * MIB  # what a kill finds between the socket and the file
    assert sum(chunk_requests(publishers)) <= sum(map(len, published.values())) + most_in_flight
    assert set(Ledger(Landing(str(tmp_path))).record(YEAR).landed) == set(published)


def test_a_file_whose_line_was_lost_is_not_fetched_again(full: ImitationPublishers, root: str) -> None:
    """A kill between the name and the line: the file is read, found right, and recorded with its MD5."""
    acquisition(full, root).run()
    landing = Landing(root)
    for name in landing.names(f"ledger/{YEAR}"):
        landing.remove(f"ledger/{YEAR}/{name}")
    full.requests.clear()

    acquisition(full, root).run()

    assert chunk_requests(full) == []
    assert {line.md5 for line in Ledger(landing).record(YEAR).landed.values()} == {
        md5_of(data) for data in CHUNKS.values()
    }


def test_a_file_that_somebody_put_there_is_verified(full: ImitationPublishers, tmp_path: Path) -> None:
    """Right size, wrong bytes: fetched."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src/b.tar").write_bytes(b"w" * MIB)

    acquisition(full, str(tmp_path)).run()

    assert landed(str(tmp_path)) == CHUNKS


def broken_off(full: ImitationPublishers, root: str, cut: int) -> None:
    """A run in which the first chunk breaks off, and the publisher is down then."""
    full.faults.append(Fault("src/a.tar", cut_after=cut))
    full.faults.append(Fault("src/a.tar", times=99, status=503))
    with pytest.raises(PublisherError):
        acquisition(full, root, terms=replace(TERMS, transfers=1)).run()
    full.faults.clear()


def test_a_part_that_was_damaged_meanwhile_is_fetched_anew(full: ImitationPublishers, tmp_path: Path) -> None:
    broken_off(full, str(tmp_path), MIB)
    (part,) = tmp_path.glob("src/a.tar.*.part")
    part.write_bytes(b"q" * MIB)

    acquisition(full, str(tmp_path)).run()

    assert landed(str(tmp_path)) == CHUNKS


def test_a_file_that_is_gone_is_fetched_again(full: ImitationPublishers, tmp_path: Path) -> None:
    acquisition(full, str(tmp_path)).run()
    (tmp_path / "src/b.tar").unlink()

    assert acquisition(full, str(tmp_path)).run().n_new == 1
    assert landed(str(tmp_path)) == CHUNKS


def test_in_a_bucket_too_a_file_is_landed_in_parts(
    full: ImitationPublishers, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of 64 KiB, and a cut; nothing is left of them afterwards."""
    monkeypatch.setattr(landing_module, "OBJECT_BYTES", 65_536)
    full.faults.append(Fault("src/a.tar", cut_after=MIB + 3))

    acquisition(full, root).run()

    assert landed(root) == CHUNKS
    assert sum(chunk_requests(full)) == ALL_BYTES
    landing = Landing(root)
    assert [name for folder in landing.folders("src") for name in landing.names(f"src/{folder}")] == []


def test_a_part_of_another_origin_is_never_gone_on_with(full: ImitationPublishers, root: str) -> None:
    """Without an MD5 nobody would notice: the second half of another object after the first half of this one."""
    other = bytes(reversed(CHUNKS["src/a.tar"]))
    with_size_alone = BucketPublisher.listing
    broken_off(full, root, MIB + MIB // 2)
    full.put("arxiv", "src/a.tar", other)

    again = acquisition(full, root)
    listed = with_size_alone(again.publisher, YEAR)  # type: ignore[arg-type]
    blind = Listing(offers=[replace(offer, md5=None) for offer in listed.offers])
    again.publisher.listing = lambda year: blind  # type: ignore[method-assign]
    again.run()

    assert landed(root)["src/a.tar"] == other


def test_two_runs_do_not_write_one_file(full: ImitationPublishers, tmp_path: Path) -> None:
    """The second says so, and the first goes on undisturbed."""
    part = Landing(str(tmp_path)).part("src/a.tar", origin="x", resumes=True)

    with pytest.raises(PublisherError, match="another run is landing"):
        Landing(str(tmp_path)).part("src/a.tar", origin="x", resumes=True)

    part.append(b"whole")
    assert part.finish(size=5, md5=None)[0] == 5


def test_the_same_bytes_from_elsewhere_are_not_paid_for_again(
    full: ImitationPublishers, tmp_path: Path
) -> None:
    """A publisher moves its files, or uploads them in other parts: the MD5 says that they are the same."""
    acquisition(full, str(tmp_path)).run()
    full.requests.clear()
    again = acquisition(full, str(tmp_path))
    moved = [replace(offer, origin="moved") for offer in again.publisher.listing(YEAR).offers]
    again.publisher.listing = lambda year: Listing(offers=moved)  # type: ignore[method-assign]

    assert again.run().n_new == 0
    assert chunk_requests(full) == []


def test_another_address_of_a_file_without_an_etag_is_no_other_file(
    full: ImitationPublishers, tmp_path: Path
) -> None:
    """Another route to the same PDF: it has landed, and stays."""

    def blind(address: str) -> Acquisition:
        run = acquisition(full, str(tmp_path))
        listed = run.publisher.listing(YEAR).offers
        offers = [replace(offer, md5=None, origin=address) for offer in listed]
        run.publisher.listing = lambda year: Listing(offers=offers)  # type: ignore[method-assign]
        run.publisher.open = lambda offer, offset: run.publisher.bucket.open(offer.path, offset)  # type: ignore[attr-defined,method-assign]
        return run

    blind("here").run()
    full.requests.clear()

    assert blind("there").run().n_new == 0
    assert chunk_requests(full) == []


def test_wrong_bytes_are_not_paid_for_beyond_what_may_be_spent(
    full: ImitationPublishers, tmp_path: Path
) -> None:
    """A second reading would go beyond: the file is refused after the first."""
    full.faults.append(Fault("src/a.tar", times=9, status=200, body=b"x" * len(CHUNKS["src/a.tar"])))
    for key in ("src/b.tar", "src/c.tar"):
        full.remove("arxiv", key)
    terms = replace(TERMS, max_usd=3 * MIB / 1e9 * 0.09 + 0.0000008)  # the chunk and two requests

    done = acquisition(full, str(tmp_path), terms=terms).run()

    assert done.n_refused == 1
    assert chunk_requests(full) == [3 * MIB]


def test_an_object_store_takes_a_join_of_odd_parts(publishers: ImitationPublishers, tmp_path: Path) -> None:
    """Parts of 16, 2 and 16 MiB, as an outage leaves them: S3 takes none below 5 MiB but the last."""
    data = random.Random(1).randbytes(40 * MIB)
    publishers.put("arxiv", "src/a.tar", data)
    host = publishers.base.removeprefix("http://")
    publishers._s3().create_bucket(Bucket="sources")
    root = f"s3://sources/odd?endpoint_override={host}/backstage&scheme=http&region=us-east-1"
    broken_off(publishers, root, 18 * MIB)

    acquisition(publishers, root).run()

    assert Landing(root).digest("src/a.tar") == (len(data), md5_of(data))
    assert sum(chunk_requests(publishers)) == len(data)


# --- what should not come ----------------------------------------------------------------------------------


def offering(full: ImitationPublishers, root: str, **changes: Any) -> Acquisition:
    """A run that offers the chunks with some fields otherwise."""
    run = acquisition(full, root)
    offers = [replace(offer, **changes) for offer in run.publisher.listing(YEAR).offers]
    run.publisher.listing = lambda year: Listing(offers=offers)  # type: ignore[method-assign]
    return run


def test_without_a_digest_or_an_etag_a_file_is_begun_anew(full: ImitationPublishers, tmp_path: Path) -> None:
    """The second half may be of another file: nothing would tell."""
    run = offering(full, str(tmp_path), md5=None, size=None)
    for offer in run.publisher.listing(YEAR).offers:
        object.__setattr__(offer, "origin", json.dumps({"key": offer.path}))
    run.publisher.open = lambda offer, offset: run.publisher.bucket.open(offer.path, offset)  # type: ignore[attr-defined,method-assign]
    full.faults.append(Fault("src/a.tar", cut_after=MIB))

    run.run()

    assert landed(str(tmp_path)) == CHUNKS
    assert sorted(each.range or "" for each in full.requests if each.path.endswith("a.tar")) == ["", ""]


def test_an_empty_answer_is_no_paper(full: ImitationPublishers, tmp_path: Path) -> None:
    full.faults.append(Fault("src/a.tar", status=200, body=b""))

    done = offering(full, str(tmp_path), md5=None, size=None).run()

    assert done.n_refused == 1
    assert not (tmp_path / "src/a.tar").exists()


def test_a_size_that_is_listed_wrong_costs_one_file(full: ImitationPublishers, tmp_path: Path) -> None:
    """The publisher says ten bytes more than there are: refused after two readings, and the others land."""
    size = len(CHUNKS["src/a.tar"]) + 10
    run = acquisition(full, str(tmp_path))
    offers = [
        replace(offer, size=size, md5=None) if offer.path == "src/a.tar" else offer
        for offer in run.publisher.listing(YEAR).offers
    ]
    run.publisher.listing = lambda year: Listing(offers=offers)  # type: ignore[method-assign]

    done = run.run()

    assert (done.n_new, done.n_refused) == (2, 1)


def test_one_path_is_offered_once(full: ImitationPublishers, tmp_path: Path) -> None:
    with pytest.raises(PublisherError, match="offered twice"):
        offering(full, str(tmp_path), path="src/same.tar").run()


@pytest.mark.parametrize("path", ["../outside.tar", f"src/{'x' * 300}.tar"])
def test_a_name_that_is_none_costs_one_file(full: ImitationPublishers, tmp_path: Path, path: str) -> None:
    run = acquisition(full, str(tmp_path / "arxiv"))
    offers = [
        replace(offer, path=path) if offer.path == "src/a.tar" else offer
        for offer in run.publisher.listing(YEAR).offers
    ]
    run.publisher.listing = lambda year: Listing(offers=offers)  # type: ignore[method-assign]

    done = run.run()

    assert (done.n_new, done.n_refused) == (2, 1)
    assert not (tmp_path / "outside.tar").exists()


def test_what_was_refused_before_is_no_sign_of_a_shut_door(
    publishers: ImitationPublishers, tmp_path: Path
) -> None:
    """Thirty files that the publisher never gives: the run that asks for them again ends well."""
    for n in range(60):
        publishers.put("arxiv", f"src/{n:02d}.tar", b"x")
    shut = Fault(r"[02468]\.tar$", times=999, status=403, body=b"<Error><Code>AccessDenied</Code></Error>")
    publishers.faults.append(shut)
    first = acquisition(publishers, str(tmp_path)).run()

    again = acquisition(publishers, str(tmp_path), terms=replace(TERMS, ask_refused_again_after_days=0)).run()

    assert first.n_refused == again.n_refused == 30
    assert again.n_new == 0


def test_files_of_another_size_are_paid_for_only_within_the_limit(
    full: ImitationPublishers, tmp_path: Path
) -> None:
    """Chunks that somebody put there and that were packed anew since are to be fetched: the bill says so."""
    (tmp_path / "src").mkdir()
    for path in CHUNKS:
        (tmp_path / path).write_bytes(b"older")

    with pytest.raises(PublisherError, match="max_usd"):
        acquisition(full, str(tmp_path), terms=replace(TERMS, max_usd=0.0001)).run()
    assert chunk_requests(full) == []


def test_more_than_foreseen_ends_the_run(full: ImitationPublishers, tmp_path: Path) -> None:
    """A server that lets every connection break early is asked, and paid, only within the limit."""
    full.faults.append(Fault("src/a.tar", times=9999, cut_after=100))
    terms = replace(TERMS, usd_per_gb=0.0, usd_per_1000_requests=1.0, max_usd=0.02, transfers=1)

    with pytest.raises(PublisherError, match=r"max_usd = 0\.02 is spent"):
        acquisition(full, str(tmp_path), terms=terms).run()
    assert len(full.requests) <= 22


def test_a_drip_is_an_outage(
    publishers: ImitationPublishers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that sends a byte now and then is noticed between them."""
    monkeypatch.setattr(reception, "SLOW_AFTER_S", 0.2)
    sent: list[int] = []

    def drip(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "1000000"), ("ETag", '"x"')])
        for n in range(1000):
            sent.append(n)
            yield b"x"
            time.sleep(0.02)  # a drip takes its time

    publishers.mount("drip", drip)
    run = acquisition(publishers, str(tmp_path))
    offer = Offer(path="src/d.tar", shard="all", origin='{"etag": "x"}', size=1_000_000)
    bucket = Bucket("files", endpoint=f"{publishers.base}/drip", is_unsigned=True)
    run.publisher.listing = lambda year: Listing(offers=[offer])  # type: ignore[method-assign]
    run.publisher.open = lambda offer, offset: bucket.open("d.tar", 0)  # type: ignore[method-assign]

    with pytest.raises(PublisherError, match="broke off"):
        run.run()
    assert len(sent) < 500


def test_room_is_looked_at_while_files_come(
    full: ImitationPublishers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else fills the disk meanwhile."""
    room = iter([10**12, *[0] * 99])
    monkeypatch.setattr(Landing, "free_bytes", lambda self: next(room))
    monkeypatch.setattr(acquire, "FLUSH_EVERY_S", 0.0)

    with pytest.raises(PublisherError, match="min_free_gib"):
        acquisition(full, str(tmp_path), terms=replace(TERMS, min_free_gib=1.0)).run()


# --- records -----------------------------------------------------------------------------------------------


def test_the_ledger_survives_damage_and_is_joined(full: ImitationPublishers, tmp_path: Path) -> None:
    """A line cut by a full disk counts as not written; after a run one segment is left."""
    acquisition(full, str(tmp_path)).run()
    (segment,) = (tmp_path / f"ledger/{YEAR}").iterdir()
    with segment.open("ab") as file:
        file.write(b'{"path": "src/x')

    record = Ledger(Landing(str(tmp_path))).record(YEAR)

    assert set(record.landed) == set(CHUNKS)
    full.put("arxiv", "src/d.tar", b"new")
    acquisition(full, str(tmp_path)).run()
    assert len(list((tmp_path / f"ledger/{YEAR}").iterdir())) == 1


def test_joining_segments_counts_nothing_twice_when_it_is_killed(
    full: ImitationPublishers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The joined segment is there, and the others not yet gone."""
    acquisition(full, str(tmp_path)).run()
    before = Ledger(Landing(str(tmp_path))).record(YEAR)
    full.put("arxiv", "src/d.tar", b"new")
    monkeypatch.setattr(Landing, "remove", lambda self, path: None)

    acquisition(full, str(tmp_path)).run()

    after = Ledger(Landing(str(tmp_path))).record(YEAR)
    assert len(list((tmp_path / f"ledger/{YEAR}").iterdir())) > 1
    assert after.spent.n_bytes == before.spent.n_bytes + 3


def test_what_another_run_writes_meanwhile_is_counted_once(
    full: ImitationPublishers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one joins its segments another flushes a bill: it is in no joined segment, and stays."""
    landing = Landing(str(tmp_path))
    mine, other = Ledger(landing), Ledger(landing)
    for usd in (1.0, 2.0):
        mine.note(YEAR, Spent(usd=usd))
        mine.flush()
    names = Landing.names

    def then(self: Landing, folder: str) -> list[str]:
        found = names(self, folder)
        monkeypatch.setattr(Landing, "names", names)
        other.note(YEAR, Spent(usd=4.0))
        other.flush()
        return found

    monkeypatch.setattr(Landing, "names", then)
    mine.tidy(YEAR)

    assert Ledger(landing).record(YEAR).spent.usd == 7.0


def test_a_kill_while_segments_are_joined_loses_none(full: ImitationPublishers, tmp_path: Path) -> None:
    """Half of the joined segment is there, under the name that it is written by, or under its own."""
    acquisition(full, str(tmp_path)).run()
    folder = tmp_path / f"ledger/{YEAR}"
    (whole,) = folder.iterdir()
    before = Ledger(Landing(str(tmp_path))).record(YEAR)
    lines = whole.read_bytes().splitlines(keepends=True)
    joined = [*lines, json.dumps({"takes_up": [whole.name]}).encode() + b"\n"]
    half = b"".join(joined)[: len(b"".join(joined)) // 2]

    (folder / f".{whole.name}.1.2").write_bytes(half)
    assert Ledger(Landing(str(tmp_path))).record(YEAR) == before
    (folder / "99999999999999999999-1-000000.jsonl").write_bytes(half)
    assert Ledger(Landing(str(tmp_path))).record(YEAR).lines == before.lines


def test_a_listing_forgets_no_paper(full: ImitationPublishers, tmp_path: Path) -> None:
    """What is not offered any more stays on the list, marked so, and stays landed."""
    acquisition(full, str(tmp_path)).run()
    full.remove("arxiv", "src/b.tar")

    done = acquisition(full, str(tmp_path)).run()

    listing = Ledger(Landing(str(tmp_path))).listing(YEAR)
    assert dict(listing.select("path", "is_offered").iter_rows()) == {
        "src/a.tar": True,
        "src/b.tar": False,
        "src/c.tar": True,
    }
    assert done.n_not_offered == 1
    assert landed(str(tmp_path)) == CHUNKS


def test_refusals_are_asked_about_again_after_a_while(full: ImitationPublishers, tmp_path: Path) -> None:
    full.faults.append(Fault("src/b.tar", status=404, body=b"<Error><Code>NoSuchKey</Code></Error>"))
    acquisition(full, str(tmp_path)).run()
    (segment,) = (tmp_path / f"ledger/{YEAR}").iterdir()
    old = (datetime.now(UTC) - timedelta(days=8)).isoformat()
    lines = [json.loads(line) for line in segment.read_text().splitlines()]
    aged = [{**line, "at": old} if "at" in line else line for line in lines]
    segment.write_text("".join(f"{json.dumps(line)}\n" for line in aged))

    done = acquisition(full, str(tmp_path)).run()

    assert (done.n_new, done.n_refused) == (1, 0)


def test_an_empty_file_lands(publishers: ImitationPublishers, root: str) -> None:
    publishers.put("arxiv", "src/empty.tar", b"")

    assert acquisition(publishers, root).run().n_new == 1
    assert landed(root) == {"src/empty.tar": b""}
    assert acquisition(publishers, root).run().n_new == 0


@pytest.mark.parametrize("path", ["/etc/passwd", "../out", "a/../../out", "a\\b", "a\0b"])
def test_no_file_lands_outside_the_folder(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="leaves the folder"):
        Landing(str(tmp_path)).part(path, origin="x", resumes=True)
    with pytest.raises(ValueError, match="leaves the folder"):
        Landing(str(tmp_path)).put(path, b"")
