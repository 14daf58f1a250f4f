"""`s1mm batch`: recaptions by batches that run elsewhere, committed without any server."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from s1mm_assets.cli import batch, build
from s1mm_assets.cli.terminal import UsageError
from s1mm_assets.reports import status
from s1mm_assets.resources.settings import Settings
from s1mm_assets_tests.cli.conftest import PARTITION
from s1mm_assets_tests.imitations.vllm_server import completion
from s1mm_assets_tests.test_pipeline import Home

pytestmark = pytest.mark.xdist_group("filtered")
OPTION = ("--partition", PARTITION)


def s1mm(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command where no server is, and none can be started."""
    return home.run(*arguments, S1MM_VLLM_URLS="", S1MM_VLLM="no-such-vllm serve")


def run_batch(requests: Path, results: Path) -> None:
    """Answer every line of a file of requests, as `vllm run-batch` does."""
    with results.open("w") as sink:
        for line in requests.read_text().splitlines():
            request = json.loads(line)
            body = completion(request["body"], hashlib.sha256(line.encode()).hexdigest())
            response = {"status_code": 200, "request_id": "vllm-batch", "body": body}
            row = {
                "id": "vllm",
                "custom_id": request["custom_id"],
                "response": response,
                "error": None,
            }
            sink.write(json.dumps(row) + "\n")


def test_a_build_commits_what_batches_answered(home: Home, tmp_path: Path) -> None:
    """Written, answered elsewhere, read back: then a build needs no server, and every row is the model's."""
    written = s1mm(home, "batch", "write", *OPTION, str(tmp_path / "requests"), "--max-mib", "1")
    assert written.returncode == 0, written.stdout + written.stderr
    results = []
    for path in sorted((tmp_path / "requests").iterdir()):
        results.append(tmp_path / f"{path.stem}.results.jsonl")
        run_batch(path, results[-1])
    with results[-1].open("a") as sink:
        sink.write('{"custom_id": "cut o')

    read = s1mm(home, "batch", "read", *OPTION, *map(str, results))
    built = s1mm(home, "build", *OPTION)

    assert len(results) > 1
    assert read.returncode == 0, read.stdout + read.stderr
    assert "logged" in read.stdout
    assert "unreadable" in read.stdout
    assert "0 figures still have no answer" in read.stdout
    assert built.returncode == 0, built.stdout + built.stderr
    handle = home.store.pinned("recaptions", PARTITION)
    assert handle is not None
    table = home.store.read(handle, "recaptions", ["engine", "model", "rejection"])
    assert len(table) == status(home.store).filter(partition=PARTITION)["kept"][0] > 0
    assert table.select("engine", "model").unique().rows() == [("vllm", "m")]
    assert table["rejection"].null_count() == len(table)


def test_before_the_filters_nothing_is_written(home: Home, tmp_path: Path) -> None:
    """Exit code 2, and which command gives what is missing."""
    done = s1mm(home, "batch", "write", "--partition", "arxiv|1998", str(tmp_path))

    assert done.returncode == 2, done.stdout + done.stderr
    assert "s1mm build --until filtered_figures" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_build_stops_only_after_an_asset_that_there_is() -> None:
    """The message names them."""
    with pytest.raises(
        UsageError, match="bogus is no asset of a partition; there are: landed_papers, raw_archives"
    ):
        build.build_all(None, until="bogus")


def test_another_engine_has_no_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the settings."""
    monkeypatch.setattr(batch, "SETTINGS", Settings())

    with pytest.raises(UsageError, match=r"\[recaptioning\] engine, model and model_revision"):
        batch.write(PARTITION, tmp_path, 1)
