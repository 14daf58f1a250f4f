"""Each publisher's papers, from its imitation through all assets to a release; killed on the way, and renewed."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from s1mm_assets.reports import status
from s1mm_assets.resources.sources.registry import Sources
from s1mm_assets_tests.imitations import playground
from s1mm_assets_tests.imitations.publishers import ImitationPublishers
from s1mm_assets_tests.test_pipeline import S1MM, Home, only

PARTITIONS = (
    "arxiv|2023",
    "biorxiv|2023",
    "medrxiv|2019",
    "chemrxiv|2023",
    "nature_communications|2019",  # those of 2023 are bioRxiv's too, which counts
)


class Playground(Home):
    """An installation that asks the imitations for its papers."""

    def __init__(self, folder: Path, publishers: ImitationPublishers) -> None:
        super().__init__(folder, folder / "sources")
        self.sources.mkdir()
        self.publishers = publishers

    def environment(self, **changes: str) -> dict[str, str]:
        return {**super().environment(**changes), **playground.environment(self.publishers)}


@pytest.fixture(scope="module")
def publishers() -> Iterator[ImitationPublishers]:
    with ImitationPublishers() as running:
        playground.fill(running)
        yield running


@pytest.fixture(scope="module")
def built(publishers: ImitationPublishers, tmp_path_factory: pytest.TempPathFactory) -> Playground:
    """One partition of each publisher, built by one command."""
    home = Playground(tmp_path_factory.mktemp("playground"), publishers)
    home.build(*only(*PARTITIONS))
    return home


def records(home: Home, source: str) -> list[dict[str, object]]:
    """What the release says of a source's figures, with their images and as recipes."""
    lines = []
    for folder in ("jsonl", "recipes"):
        for path in sorted((home.release / source / folder).glob("*.jsonl")):
            lines += [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return lines


@pytest.mark.parametrize("partition", PARTITIONS)
def test_a_partition_goes_from_its_publisher_to_a_release(built: Playground, partition: str) -> None:
    """Figures of every source are in the release, with what the publisher says of their papers."""
    source = partition.partition("|")[0]
    found = records(built, source)

    assert found
    assert all(record["caption"] and record["recaption"] for record in found if "recipe" not in record)
    assert all(record["doi"] or record["arxiv_id"] for record in found)
    assert all(record["title"] for record in found)


def test_the_release_verifies(built: Playground) -> None:
    done = built.run("verify", str(built.release))

    assert done.returncode == 0, done.stdout


def test_the_status_says_what_was_acquired(built: Playground) -> None:
    """Listed and landed agree, nothing was refused, and buckets that are paid for cost something."""
    rows = {row["partition"]: row for row in status(built.store, Sources(root=str(built.sources))).to_dicts()}

    assert set(rows) == set(PARTITIONS)
    for partition, row in rows.items():
        assert row["listed"] == row["landed"] > 0
        assert row["refused"] == 0
        assert row["landed_bytes"] > 0
        assert (row["usd"] > 0) == partition.startswith(("arxiv", "biorxiv", "medrxiv"))
        assert row["papers"] > 0


def test_nothing_is_fetched_or_made_twice(built: Playground) -> None:
    """A second build asks for listings alone, and commits nothing."""
    before, n = built.commits(), len(built.publishers.requests)

    built.build(*only(*PARTITIONS))

    assert built.commits() == before
    again = built.publishers.requests[n:]
    assert not [
        each.path for each in again if each.path.endswith((".tar", ".meca", ".pdf", ".jpg", ".png", ".tif"))
    ]


def test_a_plan_knows_what_is_not_landed(publishers: ImitationPublishers, tmp_path: Path) -> None:
    """A dry run lists; the plan then says what fetching will take and cost."""
    home = Playground(tmp_path, publishers)
    done = home.run("acquire", "--dry-run", "-p", "biorxiv|2023", "-p", "arxiv|2023")
    assert done.returncode == 0, done.stderr
    assert "biorxiv|2023 1 files listed, 0 are there; 1 to fetch" in done.stdout
    assert (
        "arxiv|2023 1 files listed, 0 are there; 1 and " in done.stdout
    )  # weeks of metadata are counted apart
    assert not list(home.sources.rglob("*.meca"))

    plan = home.run("plan", "--source", "biorxiv", "--year", "2023", "--json")
    quantities = {row["quantity"]: row["value"] for row in json.loads(plan.stdout)}

    assert quantities["papers"] == 1
    assert quantities["to fetch"] > 0
    assert quantities["cost of fetching"] == pytest.approx(quantities["to fetch"] * 0.09)


def test_what_costs_too_much_is_not_begun(publishers: ImitationPublishers, tmp_path: Path) -> None:
    home = Playground(tmp_path, publishers)

    done = home.run("acquire", "-p", "arxiv|2023", "--max-usd", "0")

    assert done.returncode == 1
    assert "max_usd allows 0.00" in done.stderr
    assert not list(home.sources.rglob("*.tar"))


def test_a_disk_that_is_not_mounted_is_not_replaced(publishers: ImitationPublishers, tmp_path: Path) -> None:
    """Where S1MM_SOURCES is not there nothing is fetched."""
    home = Playground(tmp_path, publishers)
    home.sources.rmdir()

    done = home.run("acquire", "-p", "biorxiv|2023")

    assert done.returncode == 1
    assert "set S1MM_SOURCES" in done.stderr
    assert not home.sources.exists()


def test_papers_that_lie_there_are_not_hidden(publishers: ImitationPublishers, tmp_path: Path) -> None:
    """What somebody put into the folder would not be read any more: a dry run says so, and changes nothing."""
    home = Playground(tmp_path, publishers)
    (home.sources / "biorxiv").mkdir()
    (home.sources / "biorxiv" / "mine.pdf").write_bytes(b"%PDF")

    done = home.run("acquire", "--dry-run", "-p", "biorxiv|2023")

    assert done.returncode == 1
    assert "mine.pdf" in done.stderr
    assert [path.name for path in (home.sources / "biorxiv").iterdir()] == ["mine.pdf"]


def test_nobody_is_asked_unless_the_settings_say_so(publishers: ImitationPublishers, tmp_path: Path) -> None:
    """Without settings nothing leaves the machine, and the error says what to set."""
    home = Playground(tmp_path, publishers)
    n = len(publishers.requests)

    environment = {**home.environment(), "S1MM_SETTINGS": ""}
    done = subprocess.run(
        [S1MM, "acquire", "-p", "arxiv|2023"], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert '[acquisition] publishers = ["arxiv"]' in done.stderr
    assert len(publishers.requests) == n


def test_a_killed_acquisition_goes_on(publishers: ImitationPublishers, tmp_path: Path) -> None:
    """SIGKILL in the middle of arXiv's metadata: what was landed is not asked for again."""
    home = Playground(tmp_path, publishers)
    n = len(publishers.requests)
    process = subprocess.Popen(
        [S1MM, "acquire", "-p", "arxiv|2023"],
        env=home.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while len(publishers.requests) < n + 40 and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    landed = {path.name for path in home.sources.rglob("oai/*.jsonl")}
    at = len(publishers.requests)

    done = home.run("acquire", "-p", "arxiv|2023")

    assert done.returncode == 0, done.stderr
    assert landed
    asked = {
        f"{each.query['from'][0]}_{each.query['until'][0]}.jsonl"
        for each in publishers.requests[at:]
        if each.path == "/oai" and "from" in each.query
    }
    assert asked.isdisjoint(landed)
    assert {path.name for path in home.sources.rglob("oai/*.jsonl")} == landed | asked


def test_one_paper_is_fetched_by_its_id(publishers: ImitationPublishers, tmp_path: Path) -> None:
    """What arrives can be read by `s1mm extract`."""
    home = Playground(tmp_path, publishers)
    done = home.run("fetch", "hep-ph/9811987", "--out", str(tmp_path / "papers"))
    assert done.returncode == 0, done.stderr
    (paper,) = (tmp_path / "papers").iterdir()

    figures = home.run("extract", str(paper))

    assert len(figures.stdout.splitlines()) == 2
    assert home.run("fetch", "hep-ph/9811987", "--out", str(tmp_path / "papers")).returncode == 2
    assert "9999.99999" in home.run("fetch", "9999.99999").stderr
