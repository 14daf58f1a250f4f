"""Tells people of what failed: a POST of JSON to a webhook, as Slack, Mattermost, Teams and most pagers take it."""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

TIMEOUT_S = 10.0
ATTEMPTS, WAIT_S = 3, 1.0  # a sensor's tick ends after a minute
MAX_CHARS = 1_500  # of a text: chats cut or refuse longer ones


class AlertError(Exception):
    """The webhook did not take an alert. The message never holds its address, which is a secret."""


class BusyWebhookError(AlertError):
    """It did not take the alert now; it may take the same one in a moment."""


class Alerts(dg.ConfigurableResource[Any]):
    """Where alerts go."""

    webhook: str

    def send(self, text: str, facts: Mapping[str, Any]) -> None:
        """Post an alert.

        Args:
            text: What people read; cut to 1,500 characters.
            facts: The same for programs.

        Raises:
            AlertError: The address is none, nobody answers, or what answers refuses.
        """
        import stamina

        address = self.webhook.strip()
        if not address.startswith(("http://", "https://")):
            raise AlertError("S1MM_ALERT_WEBHOOK is no address: write https://…")
        message = {"text": text[:MAX_CHARS], **facts}
        for attempt in stamina.retry_context(on=BusyWebhookError, attempts=ATTEMPTS, wait_initial=WAIT_S):
            with attempt:
                post(address, message)


def post(address: str, message: Mapping[str, Any]) -> None:
    """Post once.

    Raises:
        BusyWebhookError: Nobody listens, or what does is busy or out of order.
        AlertError: The address is none, the answer did not come in time (it may have been taken), or is a refusal.
    """
    import httpx2

    try:
        with unlogged("httpx2"):  # it logs the address of each request
            answer = httpx2.post(address, json=message, timeout=TIMEOUT_S)
    except httpx2.ConnectError as error:
        raise BusyWebhookError(f"the webhook could not be reached: {type(error).__name__}") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise AlertError(f"the webhook could not be reached: {type(error).__name__}") from None
    if answer.is_server_error or answer.status_code == httpx2.codes.TOO_MANY_REQUESTS:
        raise BusyWebhookError(f"the webhook answered {answer.status_code}")
    if answer.status_code >= 300:
        raise AlertError(f"the webhook answered {answer.status_code}")


@contextmanager
def unlogged(logger: str) -> Iterator[None]:
    """Drop what a library's logger would say in this thread."""
    thread = threading.get_ident()

    def is_of_another(record: logging.LogRecord) -> bool:
        return record.thread != thread

    log = logging.getLogger(logger)
    log.addFilter(is_of_another)
    try:
        yield
    finally:
        log.removeFilter(is_of_another)
