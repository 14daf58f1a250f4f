"""The Dagster UI as people use it, in a real browser: graph, partitions, a backfill, a check that stopped a year."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from s1mm_assets_tests.operations.conftest import Operated
from s1mm_assets_tests.operations.papers import POISONED, SOUND

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.xdist_group("operations")]

PATIENCE_MS = 120_000  # the UI draws a page in seconds; on a busy machine in many
CHECK = "few_recaptions_are_degenerate"
ASSETS = "{ assetNodes { assetKey { path } groupName } }"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for all tests of this file."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        # a container's user has no right to a sandbox of its own, and the page is ours
        made = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        yield made
        made.close()
    expect.set_options(timeout=None)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of screenshots: for people to look at, S1MM_SCREENSHOTS names one that stays."""
    folder = Path(os.environ.get("S1MM_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def page(
    browser: Browser, operated: Operated, pictures: Path, request: pytest.FixtureRequest
) -> Iterator[Page]:
    """A page of the webserver; how it looked in the end is kept as a picture."""
    context = browser.new_context(base_url=operated.services.url, viewport={"width": 1600, "height": 1100})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    yield page
    page.screenshot(path=pictures / f"{request.node.name.removeprefix('test_')}.png")
    context.close()


def groups(operated: Operated) -> dict[str, set[str]]:
    """The groups of the graph, each with its assets."""
    found: dict[str, set[str]] = {}
    for node in operated.services.ask(ASSETS)["assetNodes"]:
        found.setdefault(node["groupName"], set()).add(node["assetKey"]["path"][-1])
    return found


def test_the_graph_shows_every_group(operated: Operated, page: Page) -> None:
    """The whole graph opens folded, by group."""
    page.goto("/asset-groups")
    for group in groups(operated):
        expect(page.get_by_text(group, exact=True).first).to_be_visible()


def test_a_group_shows_its_assets(operated: Operated, page: Page, pictures: Path) -> None:
    """Each with its name, in the order of the data."""
    for group, assets in groups(operated).items():
        page.goto(f"/locations/s1mm_assets/asset-groups/{group}")
        for asset in assets:
            expect(page.get_by_text(asset, exact=True).first).to_be_visible()
        page.screenshot(path=pictures / f"group_{group}.png")


def test_an_asset_shows_which_partitions_it_has(page: Page) -> None:
    """Of the release four years are there and one failed, among all that there may be."""
    page.goto(f"/assets/hf_release?view=partitions&partition={quote(SOUND[0])}")
    expect(page.get_by_text(f"Materialized ({len(SOUND)})")).to_be_visible()
    expect(page.get_by_text("Failed (1)")).to_be_visible()
    expect(page.get_by_text("dagster/row_count").first).to_be_visible()


def test_a_backfill_is_launched(operated: Operated, page: Page, pictures: Path) -> None:
    """Choosing partitions in the dialog and clicking the button makes a run of each."""
    page.goto("/assets/landed_papers")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog").filter(has_text="Launch runs to materialize")
    for values in (["local"], ["2019", "2020"]):
        dialog.get_by_text("Select a partition or create one").first.click()
        for value in values:
            page.get_by_placeholder("Filter partitions").fill(value)
            page.get_by_role("menuitem").filter(has_text=re.compile(rf"^({value})+$")).click()
        page.keyboard.press("Escape")
    page.screenshot(path=pictures / "launching_a_backfill.png")
    dialog.get_by_role("button", name="Launch backfill").click()

    def launched() -> bool:
        runs = operated.services.runs(pipelineName="__ASSET_JOB")  # what a run of chosen assets is called
        return {run["partition"] for run in runs} == {"local|2019", "local|2020"}

    assert operated.services.wait(launched, "the runs of the backfill to be created")


def test_a_check_shows_which_year_it_stopped_and_why(page: Page) -> None:
    """One of five failed; its numbers say by how much."""
    page.goto(f"/assets/quality_metrics?view=checks&checkDetail={CHECK}")
    expect(page.get_by_text("Execution history")).to_be_visible()  # until then the asset's tab is the last
    page.get_by_role("tab", name="Partitions").last.click()
    expect(page.get_by_text(f"Passed ({len(SOUND)})")).to_be_visible()
    expect(page.get_by_text("Failed (1)", exact=True)).to_be_visible()
    source, year = POISONED.split("|")
    page.get_by_text(source, exact=True).first.click()
    page.get_by_placeholder("Filter by year").fill(year)
    page.get_by_text(year, exact=True).first.click()
    expect(page.get_by_text("share_low").first).to_be_visible()


def test_a_stopped_run_names_its_check(operated: Operated, page: Page) -> None:
    """Whoever opens the failed run reads which check it was, and of which partition."""
    runs = operated.services.runs(pipelineName="to_quality_metrics", statuses=["FAILURE"])
    last, *_ = [run for run in runs if run["partition"] == POISONED]
    page.goto(f"/runs/{last['runId']}")
    expect(page.get_by_text(f"quality_metrics: {CHECK}").first).to_be_visible()
    expect(page.get_by_text(POISONED).first).to_be_visible()


def test_a_report_shows_pictures(page: Page) -> None:
    """The pictures of a partition's quality open beside its numbers."""
    page.goto(f"/assets/quality_metrics?view=partitions&partition={quote(POISONED)}")
    expect(page.get_by_text("Partitions Selected")).to_be_visible()  # until then it shows another partition
    page.get_by_text("[Show Markdown]").first.click()
    picture = page.get_by_role("dialog").locator("img").first
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
