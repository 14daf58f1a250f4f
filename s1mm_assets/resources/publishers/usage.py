"""What asking a publisher took: requests, bytes, and what they cost where whoever downloads pays."""

import threading
from dataclasses import dataclass, field

GB = 1e9


@dataclass(frozen=True, slots=True)
class Used:
    """Requests and bytes received, whatever became of them; of them those of buckets that the requester pays for."""

    n_requests: int = 0
    n_bytes: int = 0
    n_paid_requests: int = 0
    n_paid_bytes: int = 0

    def less(self, other: "Used") -> "Used":
        """Return what came since."""
        return Used(
            self.n_requests - other.n_requests,
            self.n_bytes - other.n_bytes,
            self.n_paid_requests - other.n_paid_requests,
            self.n_paid_bytes - other.n_paid_bytes,
        )

    def usd(self, usd_per_gb: float, usd_per_1000_requests: float) -> float:
        """Return what a requester pays for it."""
        return self.n_paid_bytes / GB * usd_per_gb + self.n_paid_requests / 1000 * usd_per_1000_requests


@dataclass
class Usage:
    """A counter that threads share."""

    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _used: Used = Used()

    def asked(self, *, is_paid: bool = False) -> None:
        """Count a request."""
        with self._lock:
            used = self._used
            self._used = Used(
                used.n_requests + 1, used.n_bytes, used.n_paid_requests + is_paid, used.n_paid_bytes
            )

    def received(self, n_bytes: int, *, is_paid: bool = False) -> None:
        """Count bytes of an answer."""
        with self._lock:
            used, paid = self._used, n_bytes if is_paid else 0
            self._used = Used(
                used.n_requests, used.n_bytes + n_bytes, used.n_paid_requests, used.n_paid_bytes + paid
            )

    def so_far(self) -> Used:
        """Return what was counted."""
        return self._used
