"""The gallery's page as people use it, in a real browser, from a file, without a network."""

import re
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from s1mm_assets.metrics.gallery import GalleryFigure, gallery_page
from s1mm_assets.metrics.verdicts import digest, read_verdicts

pytestmark = pytest.mark.needs("chromium")

RUN = "document.documentElement.dataset.run='1'"
HOSTILE = f'</script><img src="https://example.org/x" onerror="{RUN}"><svg onload="{RUN}"><a href="javascript:{RUN}">'


def picture(colour: str) -> bytes:
    """An image of one colour."""
    file = BytesIO()
    Image.new("RGB", (600, 400), colour).save(file, "PNG")
    return file.getvalue()


def kept(i: int, **values: object) -> GalleryFigure:
    """A kept figure, the later the better its score."""
    scores = {"caption_clip_score": 0.9 - i / 10, "recaption_clip_score": 0.5 + i / 10, "grounding": 0.5}
    sound = {
        "caption": f"Caption {i}.",
        "recaption": f"Recaption {i}.",
        "figure_number": str(i),
        "scores": scores,
    }
    return GalleryFigure(**{"figure_id": f"arxiv:p#{i}.1", "image": picture("teal"), **sound, **values})  # type: ignore[arg-type]


FIGURES = [
    kept(1, title="On Straße", flags=["too_short"], ungrounded_claims=["42"]),
    kept(2, mentions=[{"section": "Results", "text": "A hidden parrot.", "is_caption": False}]),
    kept(3, figure_id="=1+1", scores={}),
    kept(4, title=HOSTILE, caption=HOSTILE, recaption=HOSTILE, flags=[HOSTILE], image=b"no image"),
    GalleryFigure(figure_id=f"arxiv:{HOSTILE}", caption=HOSTILE, rejection=HOSTILE, evidence=HOSTILE),
    GalleryFigure(
        figure_id="arxiv:q#1.1",
        caption="A logo.",
        rejection="file_too_small",
        image=picture("red"),
        measured="image_size_bytes",
        measured_value=4000,
        threshold=5120,
        evidence="4,000 bytes",
    ),
]
ORDER = ["=1+1", "arxiv:p#1.1", "arxiv:p#2.1", "arxiv:p#4.1", f"arxiv:{HOSTILE}", "arxiv:q#1.1"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for all tests of this file."""
    with sync_playwright() as playwright:
        # a container's user has no right to a sandbox of its own, and the page is ours
        made = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        yield made
        made.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, as it lies in a folder."""
    path = tmp_path_factory.mktemp("gallery") / "page.html"
    path.write_bytes(gallery_page(FIGURES, partition="arxiv|2019", n_kept=1234, n_rejected=567))
    return path


@pytest.fixture
def page(browser: Browser, file: Path) -> Iterator[Page]:
    """The page, open; in the end it has asked no network for anything and reported no error."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    troubles: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.set_default_timeout(10_000)
    page.goto(file.as_uri())
    yield page
    assert not troubles
    assert {url for url in requests if not url.startswith(("data:", "blob:"))} == {file.as_uri()}
    assert page.evaluate("document.documentElement.dataset.run") is None
    context.close()


def shown(page: Page) -> list[str]:
    """The ids of the figures on the page, in order."""
    return page.locator(".card:visible .id").all_text_contents()


def current(page: Page) -> str:
    """The id of the figure that keys speak of."""
    return page.locator(".card.current .id").inner_text()


def verdicts(page: Page) -> dict[str, str]:
    """The verdicts that the page's buttons show."""
    cards = page.locator(".card:has(button[aria-pressed=true])").all()
    return {
        card.locator(".id").inner_text(): card.locator("button[aria-pressed=true]").inner_text()
        for card in cards
    }


def saved(page: Page) -> tuple[str, bytes]:
    """Name and content of the file that the page saves."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Save verdicts").click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_every_figure_is_shown_with_what_was_measured(page: Page) -> None:
    """Texts as texts, scores beside one another, the reason with its value."""
    assert shown(page) == ORDER
    expect(page.locator("#sample")).to_have_text("a sample: 4 of 1,234 kept figures, 2 of 567 rejected")
    first = page.locator(".card").nth(1)
    expect(first.locator(".scores tbody")).to_have_text("CLIP score0.8000.600")
    expect(first.locator(".claims")).to_contain_text("Grounding 50 %")
    expect(first.locator(".claims")).to_contain_text("42")
    logo = page.locator(".card").nth(5)
    expect(logo.locator(".reason")).to_contain_text("image_size_bytes = 4,000, threshold 5,120")
    assert (
        page.locator(".enlarge img").first.evaluate("image => image.decode().then(() => image.naturalWidth)")
        == 600
    )


def test_hostile_texts_are_shown_and_do_nothing(page: Page) -> None:
    """Titles, captions, flags, reasons and ids hold markup; the page has no element more."""
    card = page.locator(".card").nth(3)
    expect(card.locator(".caption .words")).to_have_text(HOSTILE)
    expect(card.locator(".title")).to_have_text(HOSTILE)
    expect(card.locator(".no-image")).to_have_text("image cannot be shown")
    expect(page.locator(".card").nth(4).locator(".no-image")).to_have_text("no image")
    assert page.locator("svg, a, iframe, img[onerror]").count() == 0
    assert page.locator("script").count() == 2
    page.wait_for_timeout(100)  # time for an event of an image that does not load


def test_code_that_is_not_the_pages_own_does_not_run(browser: Browser, file: Path, tmp_path: Path) -> None:
    """Were markup to slip in all the same, the page's policy would stop it."""
    slipped = tmp_path / "slipped.html"
    markup = f'<script>{RUN}</script><img src="https://example.org/x" onerror="{RUN}"></body>'
    slipped.write_text(file.read_text(encoding="utf-8").replace("</body>", markup), encoding="utf-8")
    page = browser.new_page()
    stopped: list[tuple[str, str | None]] = []
    page.on("requestfailed", lambda request: stopped.append((request.url, request.failure)))

    page.goto(slipped.as_uri())
    page.wait_for_timeout(200)

    assert page.locator(".card").count() == len(FIGURES)
    assert page.evaluate("document.documentElement.dataset.run") is None
    assert stopped == [("https://example.org/x", "csp")]  # by the policy, not for want of a network
    page.close()


def test_searching_looks_into_every_text(page: Page) -> None:
    """All words must occur, in a caption, a mention or a title, whatever their case."""
    page.keyboard.press("/")
    for words, found in {
        "PARROT": ["arxiv:p#2.1"],
        "strasse": [],
        "straße on": ["arxiv:p#1.1"],
        "recaption 3": ["=1+1"],
        "4,000": ["arxiv:q#1.1"],
    }.items():
        page.locator("#search").fill(words)
        assert shown(page) == found
        expect(page.locator("#shown")).to_have_text(f"{len(found)} of 6 shown")
    page.locator("#search").fill("nowhere")
    page.get_by_role("button", name="Show all").click()
    assert shown(page) == ORDER


def test_filters_go_together_and_count(page: Page) -> None:
    """Decision, reason, flag and verdict; each menu says how many each choice would leave."""
    options = page.locator("#decision option").all_text_contents()
    assert options == ["all", "kept (4)", "rejected (2)"]
    page.select_option("#decision", "rejected")
    assert shown(page) == ORDER[4:]
    page.select_option("#reason", "file_too_small")
    assert shown(page) == ["arxiv:q#1.1"]
    assert page.locator("#decision option").all_text_contents() == ["all", "kept (0)", "rejected (1)"]
    page.select_option("#reason", "")
    page.select_option("#decision", "")
    page.select_option("#flag", "too_short")
    assert shown(page) == ["arxiv:p#1.1"]


def test_sorting_puts_figures_without_a_score_last(page: Page) -> None:
    """Both ways; equal ones stay in their order."""
    page.select_option("#sort", "recaption:clip_score down")
    assert shown(page)[:3] == ["arxiv:p#4.1", "arxiv:p#2.1", "arxiv:p#1.1"]
    page.select_option("#sort", "uplift:clip_score up")
    assert shown(page) == ["arxiv:p#1.1", "arxiv:p#2.1", "arxiv:p#4.1", "=1+1", *ORDER[4:]]


def test_judging_by_keys_and_reading_the_file_back(page: Page) -> None:
    """Good and bad go on to the next figure, undo comes back; the file gives the pipeline what was judged."""
    for key in "ggbju":
        page.keyboard.press(key)
    assert current(page) == "arxiv:p#2.1"
    page.keyboard.press("b")
    page.keyboard.press("k")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("b")
    page.locator("#reviewer").fill("Ada; 'x'")
    note = page.locator(".card").first.locator(".note")
    note.fill('-1, "quoted"')

    name, content = saved(page)

    assert name == "verdicts-arxiv-2019-Ada-x-.csv"
    found = read_verdicts([(name, content)])
    assert found["judged_at"].str.contains(r"^20\d\d-\d\d-\d\dT").all()
    assert found.sort(found["figure_id"]).drop("file", "judged_at").rows(named=True) == [
        {
            "partition": "arxiv|2019",
            "figure_id": figure_id,
            "verdict": verdict,
            "was": "kept",
            "digest": digest(None, figure.caption, figure.recaption),
            "reviewer": "Ada; 'x'",
            "note": '-1, "quoted"' if figure is FIGURES[2] else "",
        }
        for figure_id, verdict, figure in zip(
            ORDER, ["good", "good", "bad", "bad"], [FIGURES[2], *FIGURES[:2], FIGURES[3]], strict=False
        )
    ]
    assert not re.search(rb'(^|,)"?[=+@-]', content)


def test_keys_are_letters_in_a_field(page: Page) -> None:
    """Writing a note judges nothing; Escape gives the keys back."""
    page.keyboard.press("n")
    page.keyboard.type("a big goof?")
    assert page.locator(".card.current .note").input_value() == "a big goof?"
    assert verdicts(page) == {}
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    assert verdicts(page) == {"=1+1": "Good"}


def test_judging_within_a_filter_goes_through_it(page: Page) -> None:
    """Figures leave the list of those without a verdict as they are judged, and none is skipped."""
    page.select_option("#verdict", "none")
    page.locator("#verdict").blur()
    for figure_id in ORDER:
        assert current(page) == figure_id
        page.keyboard.press("g")
    assert shown(page) == []
    page.get_by_role("button", name="Show all").click()
    assert set(verdicts(page)) == set(ORDER)
    expect(page.locator("#progress")).to_contain_text("kept: 4 judged, 100 % right (51 to 100 %)")
    expect(page.locator("#progress")).to_contain_text("rejected: 2 judged, 0 % right (0 to 66 %)")


def test_verdicts_outlast_the_page(page: Page) -> None:
    """Where the browser stores them; a verdict on other texts is not taken over."""
    page.keyboard.press("g")
    page.keyboard.press("b")
    page.reload()
    assert verdicts(page) == {"=1+1": "Good", "arxiv:p#1.1": "Bad"}
    key = "s1mm-verdicts:arxiv|2019"
    page.evaluate(f"localStorage['{key}'] = localStorage['{key}'].replace(/\"digest\":\"[0-9a-f]/, '$&0')")
    page.reload()
    assert verdicts(page) == {"arxiv:p#1.1": "Bad"}
    page.evaluate(f"localStorage['{key}'] = 'not JSON'")
    page.reload()
    assert verdicts(page) == {}


def test_a_browser_that_stores_nothing_is_no_obstacle(page: Page) -> None:
    """Verdicts last as long as the page then."""
    page.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('no') }})")
    page.reload()
    page.keyboard.press("g")
    assert verdicts(page) == {"=1+1": "Good"}


def test_a_file_of_verdicts_is_continued(page: Page) -> None:
    """Also one that a spreadsheet has saved anew; lines on other figures are left out and counted."""
    page.keyboard.press("g")
    page.keyboard.press("b")
    name, content = saved(page)
    assert name == "verdicts-arxiv-2019.csv"
    page.evaluate("localStorage.clear()")
    page.reload()
    assert verdicts(page) == {}
    text = content.decode("utf-8-sig").replace('","', '";"').replace("\r\n", "\n")
    more = '"arxiv|2019";"other";"good";"kept";"0";"";""\n'

    page.set_input_files("#file", {"name": "v.csv", "mimeType": "text/csv", "buffer": (text + more).encode()})

    expect(page.locator("#message")).to_have_text("loaded 2 verdicts; 1 of other or changed figures left out")
    assert verdicts(page) == {"=1+1": "Good", "arxiv:p#1.1": "Bad"}
    page.set_input_files("#file", {"name": "v.csv", "mimeType": "text/csv", "buffer": b"\x89PNG"})
    expect(page.locator("#message")).to_have_text("not a file of verdicts")
    assert len(verdicts(page)) == 2


def test_an_image_is_enlarged_and_the_help_opens(page: Page) -> None:
    """By key and by pointer; keys do not judge behind a window."""
    page.keyboard.press("e")
    expect(page.locator("#viewer")).to_be_visible()
    page.keyboard.press("g")
    assert verdicts(page) == {}
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    page.locator(".enlarge").nth(1).click()
    expect(page.locator("#viewer")).to_be_visible()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()


@pytest.mark.parametrize("width", [1400, 700, 360])
def test_nothing_sticks_out_of_the_page(page: Page, width: int) -> None:
    """However narrow the window, one scrolls down only; every control has a name."""
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, select, input')].filter(each =>"
        " !each.textContent.trim() && !each.ariaLabel && !each.labels?.length).map(each => each.outerHTML)"
    )
    assert nameless == []
