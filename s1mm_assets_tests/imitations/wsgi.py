"""What an imitation of an HTTP API is: a WSGI application with its data in memory."""

from collections.abc import Iterable
from typing import Any, Protocol


class WsgiApp(Protocol):
    """Answers one request."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer."""
