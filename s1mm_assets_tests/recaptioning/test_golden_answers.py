"""What answers, windows and requests come to is pinned: what no example of the pipeline shows without a model."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest

from s1mm_assets.recaptioning import VERSION, Mention, SemanticWindow, answer
from s1mm_assets.recaptioning.answer import Verdict, read_answer
from s1mm_assets.recaptioning.budget import fitted
from s1mm_assets.recaptioning.faults import RULES
from s1mm_assets.recaptioning.prompt import Prompt
from s1mm_assets.recaptioning.request import ModelImage, Sampling, model_size, request_key
from s1mm_assets_tests import pinned
from s1mm_assets_tests.conftest import ROOT

ANSWERS = ROOT / "s1mm_assets_tests" / "golden" / "recaptioning" / "answers.jsonl"
CASES: list[dict[str, Any]] = [json.loads(line) for line in ANSWERS.read_text("utf-8").splitlines()]
BUDGETS = (2_500, 200, 120, 60, 20)  # tokens: all fits, then less and less
SAMPLING = Sampling(temperature=0.2, top_p=0.9, repetition_penalty=1.05, max_tokens=640, seed=0)
IMAGE = ModelImage(min_tokens=256, max_tokens=1_280)
SIZES_PX = ((40, 30), (640, 480), (1_000, 1_000), (4_000, 250), (9_000, 9_000))
PROMPT = Prompt.load("describe-1")


def window_of(case: dict[str, Any]) -> SemanticWindow:
    """The window of a case, all that it does not name left out."""
    fields = dict(case["window"])
    mentions = tuple(Mention(**each) for each in fields.pop("mentions", ()))
    return SemanticWindow(**fields | {"image_text": tuple(fields.get("image_text", ()))}, mentions=mentions)


def verdict(case: dict[str, Any]) -> Verdict:
    """What becomes of an answer, read as the engine reads it."""
    window, _ = fitted(window_of(case), BUDGETS[0])
    return read_answer(case["text"], case["finish_reason"], window, str(PROMPT.fill(window)))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_golden_answers_are_judged_as_their_author_did(case: dict[str, Any]) -> None:
    """Accepted with these flags, or rejected for this reason."""
    found = verdict(case)

    assert (found.rejection, list(found.flags)) == (case["rejection"], case["flags"]), found.evidence


def test_golden_answers_show_every_reason_and_every_flag() -> None:
    """A rule that none of them meets could change unseen."""
    assert {case["rejection"] for case in CASES} == {None, *(reason.value for reason, _ in RULES)}
    assert {flag for case in CASES for flag in case["flags"]} == {"cleaned", "ungrounded", "short", "long"}
    cut = {flag for case in CASES for tokens in BUDGETS for flag in fitted(window_of(case), tokens)[1]}
    assert cut == {
        *("cut_image_text", "cut_mentions", "cut_abstract", "cut_parent_caption", "cut_sub_caption"),
        "cut_title",
    }


def test_golden_answers_change_only_with_a_version() -> None:
    """Verdicts, windows, keys of requests and sizes of images are pinned beside the stage's VERSION.

    After a change, raise VERSION in recaptioning/stage.py and run `make golden`. Other answers in the file give
    other outputs too: change them in a commit of their own, and run `make golden`.
    """
    found = {
        "cases": hashlib.sha256(ANSWERS.read_bytes()).hexdigest(),
        "version": VERSION,
        "verdicts": digest(asdict(verdict(case)) for case in CASES),
        "windows": digest(window for case in CASES for window in windows(case)),
        "requests": digest(key for case in CASES for key in requests(case)),
        "sizes_px": digest(model_size(size, IMAGE) for size in SIZES_PX),
    }
    was = pinned.recorded().get("golden_answers", {})
    if found != was and was.get("cases") == found["cases"]:
        pinned.require_another_version("recaptions", found, was)
    pinned.require_recorded({"golden_answers": found})


def test_golden_answers_of_another_rule_need_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed rule is seen; once VERSION is raised, what it gives is to be pinned."""
    monkeypatch.delenv("S1MM_UPDATE_GOLDEN", raising=False)
    monkeypatch.setattr(answer, "SHORT_CHARS", 300)

    with pytest.raises(AssertionError, match=f"other rows than version {VERSION} did: raise its VERSION"):
        test_golden_answers_change_only_with_a_version()
    monkeypatch.setitem(globals(), "VERSION", f"{VERSION}+1")
    with pytest.raises(AssertionError, match="make golden"):
        test_golden_answers_change_only_with_a_version()


def digest(values: Iterator[Any]) -> str:
    """SHA-256 of values as JSON."""
    return hashlib.sha256(json.dumps(list(values), sort_keys=True).encode()).hexdigest()


def windows(case: dict[str, Any]) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """Yield a window within each budget, with its flags."""
    for tokens in BUDGETS:
        window, flags = fitted(window_of(case), tokens)
        yield asdict(window), flags


def requests(case: dict[str, Any]) -> Iterator[str]:
    """Yield the keys of two attempts."""
    text = PROMPT.fill(window_of(case))
    for attempt in range(2):
        sampling = SAMPLING.at_attempt(attempt)
        yield request_key(
            "m", text, sampling, revision="abc123", variant={}, image_sha256="0" * 64, image=IMAGE
        )
