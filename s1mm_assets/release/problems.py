"""Defects of a release, as verification gathers them: of many alike, the first and their number."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_LISTED = 100  # problems of one kind in one file


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One defect of a release."""

    kind: str
    path: str  # the file of the release
    detail: str


class Problems:
    """The defects found so far."""

    def __init__(self) -> None:
        self._listed: list[Problem] = []
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, kind: str, path: str, detail: str) -> None:
        """Note one defect."""
        self.add_many(kind, path, [detail], 1)

    def add_many(self, kind: str, path: str, details: Sequence[str], n: int) -> None:
        """Note n defects of one kind in one file; at least the first `MAX_LISTED` have a detail."""
        room = max(0, MAX_LISTED - self._counts[kind, path])
        self._counts[kind, path] += n
        self._listed += [Problem(kind=kind, path=path, detail=detail) for detail in details[:room]]

    def take(self, listed: Iterable[Problem]) -> None:
        """Take over what another has listed, of which nothing more will be found here."""
        self._listed += listed

    def listed(self) -> list[Problem]:
        """Return the defects in the order found, then how many more there were."""
        more = [
            Problem(kind=kind, path=path, detail=f"and {count - MAX_LISTED:,} more")
            for (kind, path), count in self._counts.items()
            if count > MAX_LISTED
        ]
        return [*self._listed, *more]
