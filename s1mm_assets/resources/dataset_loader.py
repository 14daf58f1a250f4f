"""Hugging Face `datasets`, asked whether it reads a release as its users will.

It runs in a process of its own, offline, with a cache that is removed: what it imports, caches and sets stays there.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

MAX_PROBLEMS = 10
Row = tuple[str, str, str, str]
"""figure_id, caption, recaption, SHA-256 of the image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetLoader:
    """Reads a release with `load_dataset`: as a stream, and plain where it is small enough to be converted."""

    max_plain_bytes: int = 10_000_000_000  # plain loading takes the release's size on disk for the time

    def differences(self, folder: Path) -> list[str]:
        """Return how the rows that `datasets` gives differ from the records; none is well."""
        if not any(folder.glob("*/jsonl/*.jsonl")):
            return []  # `datasets` refuses to load nothing
        n_bytes = sum(path.stat().st_size for path in folder.glob("*/data/*.parquet"))
        modes = ["streaming", "plain"] if n_bytes <= self.max_plain_bytes else ["streaming"]
        with tempfile.TemporaryDirectory(prefix="s1mm-datasets-") as cache:
            offline = {"HF_HOME": cache, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
            child = subprocess.run(  # noqa: S603
                [sys.executable, "-m", __name__, str(folder.absolute()), cache, *modes],
                env={**os.environ, **offline},
                capture_output=True,
                text=True,
                check=False,
            )
        if child.returncode != 0:
            last = (child.stderr.strip() or f"exit code {child.returncode}").splitlines()[-1]
            return [f"load_dataset fails: {last}"]
        found: list[str] = json.loads(child.stdout.splitlines()[-1])
        return found


def loaded_rows(folder: Path, *, is_streaming: bool, cache: Path) -> Iterator[Row]:
    """Yield the rows as `datasets` gives them."""
    import datasets

    rows = datasets.load_dataset(str(folder), split="train", streaming=is_streaming, cache_dir=str(cache))
    if not isinstance(rows.features["image"], datasets.Image):
        raise TypeError("the column image is not an image")
    for row in rows.cast_column("image", datasets.Image(decode=False)):
        image = row["image"]["bytes"] or b""
        yield row["figure_id"], row["caption"], row["recaption"], hashlib.sha256(image).hexdigest()


def recorded_rows(folder: Path) -> Iterator[Row]:
    """Yield the same of the records, in the order of their files."""
    for path in sorted(folder.glob("*/jsonl/*.jsonl")):
        with path.open(encoding="utf-8", newline="\n") as lines:
            for record in map(json.loads, lines):
                yield record["figure_id"], record["caption"], record["recaption"], record["image_sha256"]


def differences(loaded: Iterable[Row], recorded: Iterable[Row]) -> list[str]:
    """Return how the rows loaded differ from those recorded: the first few."""
    problems = []
    for i, (have, want) in enumerate(zip_longest(loaded, recorded)):
        if have != want:
            problems.append(f"row {i}: {describe(have)} is loaded, {describe(want)} is recorded")
        if len(problems) == MAX_PROBLEMS:
            break
    return problems


def describe(row: Row | None) -> str:
    """Return a row's figure and digest, for a message."""
    return "nothing" if row is None else f"{row[0]} (image {row[3][:12]})"


def main(folder: str, cache: str, *modes: str) -> None:
    """Print the differences of every mode as one line of JSON: what the process of its own does."""
    found = []
    for mode in modes:
        loaded = loaded_rows(Path(folder), is_streaming=mode == "streaming", cache=Path(cache))
        found += [f"{mode}: {each}" for each in differences(loaded, recorded_rows(Path(folder)))]
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
