"""Alerts of failed runs, to a real server on loopback; their address is a secret."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dagster as dg
import pytest

from s1mm_assets import automation
from s1mm_assets.resources import alerts
from s1mm_assets.resources.alerts import MAX_CHARS, AlertError, Alerts

PARTITION = "arxiv|2019"
TOKEN = "T0KEN-that-nobody-may-see"  # noqa: S105


class Webhook:
    """What answers at the address."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.status = 200
        self.n_busy = 0  # how many requests are refused before that status is given
        self.wait_s = 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                time.sleep(outer.wait_s)
                self.send_response(outer.status if len(outer.taken) > outer.n_busy else 503)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the library
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/services/{TOKEN}"


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    monkeypatch.setattr(alerts, "WAIT_S", 0.01)
    hook = Webhook()
    thread = threading.Thread(target=hook.server.serve_forever, daemon=True)
    thread.start()
    yield hook
    hook.server.shutdown()
    hook.server.server_close()
    thread.join()


@dg.op
def read_papers() -> None:
    """Fail, for a reason that people must read."""
    raise ValueError("chunk_003 has no archive 2301.01234")


@dg.job(partitions_def=dg.StaticPartitionsDefinition([PARTITION]))
def one_partition() -> None:
    read_papers()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def alert(instance: dg.DagsterInstance, to: Alerts) -> dg.ExecuteInProcessResult:
    """Let a run fail, and the sensor see it."""
    failed = one_partition.execute_in_process(
        partition_key=PARTITION, instance=instance, raise_on_error=False
    )
    context = dg.build_run_status_sensor_context(
        sensor_name="alert_on_failure",
        dagster_event=failed.get_run_failure_event(),
        dagster_instance=instance,
        dagster_run=failed.dagster_run,
        resources={"alerts": to},
    ).for_run_failure()
    automation.alert_on_failure(context)
    return failed


def test_an_alert_names_partition_step_and_the_errors_own_words(
    webhook: Webhook, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For people as text, for programs as fields, with the page where one goes on."""
    monkeypatch.setenv("S1MM_UI_URL", "https://dagster.example.org/")

    failed = alert(instance, Alerts(webhook=webhook.address + "\n"))  # as a mounted secret ends

    (sent,) = webhook.taken
    for words in (PARTITION, "one_partition", "read_papers: ", "chunk_003 has no archive 2301.01234"):
        assert words in sent["text"]
    assert f"https://dagster.example.org/runs/{failed.run_id}" in sent["text"]
    assert sent["run_id"] == failed.run_id
    assert (sent["job"], sent["partition"]) == ("one_partition", PARTITION)
    assert list(sent["steps"]) == ["read_papers"]


def test_a_text_is_cut_to_what_chats_take(webhook: Webhook) -> None:
    """They refuse longer ones."""
    Alerts(webhook=webhook.address).send("x" * 10_000, {})

    assert len(webhook.taken[0]["text"]) == MAX_CHARS


def refused(hook: Alerts, caplog: pytest.LogCaptureFixture) -> str:
    """The words of the error; the address is in no line of its traceback, and in no log."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(AlertError) as raised:
        hook.send("a", {})
    told = "".join(traceback.format_exception(raised.value)) + caplog.text
    assert TOKEN not in told
    return str(raised.value)


@pytest.mark.parametrize(("status", "asked"), [(302, 1), (404, 1), (429, 3), (500, 3)])
def test_a_server_that_refuses_is_an_error(
    webhook: Webhook, status: int, asked: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Also one that sends us elsewhere. Who is busy or out of order is asked three times."""
    webhook.status = status

    assert refused(Alerts(webhook=webhook.address), caplog) == f"the webhook answered {status}"
    assert len(webhook.taken) == asked


def test_an_alert_outlasts_a_busy_server(webhook: Webhook) -> None:
    """What it did not take at first it is given again, the same."""
    webhook.n_busy = 2

    Alerts(webhook=webhook.address).send("a", {"b": 1})

    assert webhook.taken == [{"text": "a", "b": 1}] * 3


def test_a_slow_server_is_not_waited_for(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A sensor's tick ends after a minute."""
    assert alerts.TIMEOUT_S <= 30
    monkeypatch.setattr(alerts, "TIMEOUT_S", 0.2)
    webhook.wait_s = 2

    assert "Timeout" in refused(Alerts(webhook=webhook.address), caplog)
    assert len(webhook.taken) == 1


def test_nobody_there_is_an_error(webhook: Webhook, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing listens at port 9."""
    hook = Alerts(webhook=f"http://127.0.0.1:9/{TOKEN}")

    assert refused(hook, caplog) == "the webhook could not be reached: ConnectError"


@pytest.mark.parametrize(
    "address",
    [
        "",
        TOKEN,
        f"ftp://x/{TOKEN}",
        f"https:///{TOKEN}",
        f"http://[{TOKEN}",
        f"http://x y/{TOKEN}",
        f"http://x:p/{TOKEN}",
    ],
)
def test_what_is_no_address_is_an_error(address: str, caplog: pytest.LogCaptureFixture) -> None:
    """And is not repeated: it may be the secret with a slip of the pen."""
    assert refused(Alerts(webhook=address), caplog)


def test_the_address_is_in_no_log_and_in_no_event(
    webhook: Webhook, instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    """Not where an alert went well, and not where it failed: HTTP clients like to log what they ask."""
    caplog.set_level(logging.DEBUG)
    failed = alert(instance, Alerts(webhook=webhook.address))
    webhook.status = 500
    with pytest.raises(AlertError):
        alert(instance, Alerts(webhook=webhook.address))

    events = "".join(str(entry) for entry in instance.all_logs(failed.run_id))
    assert TOKEN not in caplog.text + events


SNAPSHOT = """
import dagster as dg
from dagster._core.remote_representation.external_data import RepositorySnap
from s1mm_assets.definitions import defs
snapshot = RepositorySnap.from_def(defs.get_repository_def())
print(*[each.default_status.value for each in snapshot.sensors if each.name == "alert_on_failure"])
print(dg.serialize_value(snapshot))
"""


def test_the_address_is_in_no_snapshot_of_the_definitions() -> None:
    """What a code server tells the webserver has the variable's name alone; the sensor is on by itself."""
    environment = {**os.environ, "S1MM_ALERT_WEBHOOK": f"https://hooks.example.org/{TOKEN}"}

    done = subprocess.run(
        [sys.executable, "-c", SNAPSHOT], env=environment, check=True, capture_output=True, text=True
    )

    assert TOKEN not in done.stdout + done.stderr
    assert "S1MM_ALERT_WEBHOOK" in done.stdout
    assert done.stdout.startswith("RUNNING\n")
