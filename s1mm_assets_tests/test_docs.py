"""What the documentation says can be run, and gives what it says."""

import hashlib
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

from s1mm_assets.archives import Limits, inspect
from s1mm_assets.metrics import numbers, quality
from s1mm_assets.resources.publishers.acquire import Acquisition
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.terms import AcquisitionSettings
from s1mm_assets.resources.publishers.usage import Usage
from s1mm_assets.resources.publishers.web import Web
from s1mm_assets.resources.quality_report import TURN_ON
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.sources.landed import LandedSource
from s1mm_assets_tests.conftest import ROOT
from s1mm_assets_tests.imitations.publishers import ImitationPublishers
from s1mm_assets_tests.metrics.test_quality import metrics

QUALITY = (ROOT / "docs" / "quality.md").read_text(encoding="utf-8")
QUERIES = dict(re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|$", QUALITY, re.MULTILINE))
N = 60


def measured() -> pl.DataFrame:
    """Metrics with every score, of some figures only."""
    draw = np.random.default_rng(5)
    columns = {
        f"{text}_{name}": [
            None if i % 7 == 3 else value for i, value in enumerate(draw.random(N).round(2) + 0.1)
        ]
        for text in ("caption", "recaption")
        for name in ("clip_score", "whole_clip_score", "shuffled_clip_score", "pseudo_perplexity")
    }
    counts = {
        "caption_length_chars": draw.integers(20, 500, N),
        "recaption_length_chars": draw.integers(200, 900, N),
        "n_claims": draw.integers(1, 9, N),
        "n_grounded_claims": np.ones(N, dtype=int),
        "recaption_clip_tokens": draw.integers(20, 200, N),
    }
    lists = {name: values.tolist() for name, values in counts.items()}
    others: dict[str, Any] = {
        "n_claims_in_image": [None if i % 3 else 1 for i in range(N)],
        "flags": [["cut_off"] if i % 5 == 0 else [] for i in range(N)],
        "recaption_language": [None if i % 4 == 0 else "en" for i in range(N)],
    }
    return metrics(**{**lists, **columns, **others})


def test_every_number_has_its_query() -> None:
    """But for the ends of intervals, which are the bootstrap's."""
    found = numbers(quality(measured()))

    assert {name for name in found if not name.endswith(("/low", "/high"))} == set(QUERIES)


@pytest.mark.parametrize("name", QUERIES)
def test_a_number_recomputes_by_its_query(name: str) -> None:
    """From the table alone."""
    found = numbers(quality(measured()))[name]

    assert eval(QUERIES[name], {"pl": pl, "m": measured()}) == pytest.approx(found)  # noqa: S307 - our own document


def test_the_settings_that_are_named_exist() -> None:
    """In the document, and where a measure is not evaluated."""
    known = {f"{section}.{name}" for section, values in Settings().as_dict().items() for name in values}
    named = re.findall(r"`\[(\w+)\] (\w+)", QUALITY)
    named += [
        (section, name)
        for text in TURN_ON.values()
        for name, section in re.findall(r"set (\w+).* under \[(\w+)\]", text)
    ]

    assert len(named) >= 6
    assert {f"{section}.{name}" for section, name in named} <= known


def test_the_worked_example_of_a_publisher_lands_papers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two files of docs/sources.md, as they stand there, land a PDF that is inspected as one."""
    text = (ROOT / "docs" / "sources.md").read_text("utf-8")
    format_code, client_code = re.findall(r"```python\n(.*?)```", text, re.S)
    for name, code in (
        ("s1mm_assets.archives.openstacks", format_code),
        ("s1mm_assets.resources.publishers.openstacks", client_code),
    ):
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(code, name, "exec"), module.__dict__)  # noqa: S102 - our own documentation
    client = sys.modules["s1mm_assets.resources.publishers.openstacks"]
    pdf = b"%PDF-1.4\n" + bytes(5000)
    record = {"id": "7", "version": 2, "posted": "2024-03-01", "title": "T", "bytes": len(pdf)}
    listed = {
        "papers": [{**record, "md5": hashlib.md5(pdf, usedforsecurity=False).hexdigest()}, {"id": "../x"}]
    }

    def server(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = pdf if environ["PATH_INFO"] == "/papers/7v2.pdf" else json.dumps(listed).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    with ImitationPublishers(openstacks=server) as publishers:
        usage = Usage()
        web = Web(user_agent="x", hosts={publishers.base[7:]}, usage=usage)
        done = Acquisition(
            publisher=client.Openstacks(web, f"{publishers.base}/openstacks"),
            landing=Landing(str(tmp_path / "openstacks")),
            year=2024,
            terms=AcquisitionSettings(min_free_gib=0),
            usage=usage,
            report=lambda line: None,
        ).run()

    assert (done.n_listed, done.n_landed, done.n_refused) == (1, 1, 0)
    source = LandedSource(source="openstacks", root=str(tmp_path / "openstacks"))
    (paper,) = source.deliveries("2024-03-01", 2024)
    assert inspect(source.reader()(paper.uri, 0, paper.length), paper.paper_id, Limits()).kind == "pdf"
    assert source.metadata(2024, [paper.paper_id])[paper.paper_id].title == "T"
