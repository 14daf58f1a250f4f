"""Hugging Face `datasets`, asked whether it reads a release as its users will.

It runs in a process of its own, offline, with a cache that is removed: what it imports, caches and sets stays there.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, TextIO

import pyarrow.parquet as pq

from s1mm_assets.release.records import line_of
from s1mm_assets.release.streamable import DATA

MAX_PROBLEMS = 10
PROGRESS_ROWS = 100_000
STDERR_CHARS = 2_000
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetLoader:
    """Reads a release with `load_dataset`: every row as a stream, and plain where it is small enough to convert."""

    max_plain_bytes: int = 10_000_000_000  # takes as much disk; past it, one file per config is loaded plain
    timeout_s: float = 86_400.0

    def differences(self, folder: Path, progress: Progress = lambda message: None) -> list[str]:
        """Return how the rows that `datasets` gives differ from the records, the first few of each way to load.

        Args:
            folder: A release. One without records is well: `datasets` refuses to load nothing.
            progress: Is told how far each way to load has come.
        """
        if not any(path for medium in ("jsonl", "data") for path in folder.glob(f"*/{medium}/**/*")):
            return []
        with tempfile.TemporaryDirectory(prefix="s1mm-datasets-") as cache:
            return self._ask(folder.absolute(), Path(cache), progress)

    def _ask(self, folder: Path, cache: Path, progress: Progress) -> list[str]:
        """Run this module and return what it found."""
        is_late = threading.Event()

        def stop() -> None:
            is_late.set()
            child.kill()

        with (
            (cache / "stderr").open("w+", errors="replace") as errors,
            subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", __name__, str(folder), str(cache), str(self.max_plain_bytes)],
                env=environment(cache),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            ) as child,
        ):
            timer = threading.Timer(self.timeout_s, stop)
            timer.start()
            try:
                found = listen(child.stdout or (), progress)
                code = child.wait()
            finally:
                timer.cancel()
                child.kill()
            if (
                found is not None
            ):  # then its end is of no account: threads of a stream left early may abort it
                return found
            if is_late.is_set():
                return [f"load_dataset takes more than {self.timeout_s:g} s"]
            errors.seek(0)
            return [f"load_dataset fails with exit code {code}: {tail(errors)}"]


def environment(cache: Path) -> dict[str, str]:
    """Return the child's environment: nobody's token, no cache but its own, no network."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    return {**own, **OFFLINE, "HF_HOME": str(cache)}


def listen(lines: Iterable[str], progress: Progress) -> list[str] | None:
    """Pass on the child's progress; return what it found, None where it ended before it said so."""
    for line in lines:
        message = json.loads(line)
        if "found" in message:
            return [str(each) for each in message["found"]]
        progress(str(message["progress"]))
    return None


def tail(errors: TextIO) -> str:
    """Return the end of what the child had to say, in bounded memory."""
    last = ""
    while data := errors.read(1 << 16):
        last = (last + data)[-STDERR_CHARS:]
    return last.strip()


@dataclass(frozen=True, slots=True)
class Row:
    """One record with its image, or its id alone."""

    figure_id: str
    line: bytes = b""  # of JSON: every column
    image_sha256: str = ""


def recorded_rows(folder: Path, source: str = "*") -> Iterator[Row]:
    """Yield the records of one source or of all, in the order of their files."""
    for path in sorted(folder.glob(f"{source}/jsonl/*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                record = json.loads(line)
                yield Row(record["figure_id"], line, record["image_sha256"])


def differences(loaded: Iterable[Row], recorded: Iterable[Row]) -> list[str]:
    """Return how the rows loaded differ from those recorded: the first few."""
    problems = []
    for i, (have, want) in enumerate(zip_longest(loaded, recorded)):
        if have != want:
            problems.append(f"row {i}: {difference(have, want)}")
        if len(problems) == MAX_PROBLEMS:
            break
    return problems


def difference(have: Row | None, want: Row | None) -> str:
    """Say which figures two rows are of, or which columns of one figure differ."""
    if have is None or want is None or have.figure_id != want.figure_id:
        loaded, recorded = (row.figure_id if row else "nothing" for row in (have, want))
        return f"{loaded} is loaded, {recorded} is recorded"
    left, right = json.loads(have.line), json.loads(want.line)
    names = [name for name in {**left, **right} if left.get(name) != right.get(name)]
    image = ["image"] if have.image_sha256 != want.image_sha256 else []
    return f"{have.figure_id} differs in {', '.join([*names, *image]) or 'how it is written'}"


def reported(rows: Iterable[Row], way: str, progress: Progress) -> Iterator[Row]:
    """Pass rows on and say how many they were, and the SHA-256 of them all."""
    digest = hashlib.sha256()
    n = 0
    for n, row in enumerate(rows, start=1):
        digest.update(row.line + f"{row.figure_id}\n{row.image_sha256}\n".encode())
        if n % PROGRESS_ROWS == 0:
            progress(f"{way}: {n} rows")
        yield row
    progress(f"{way}: {n} rows, all of them; SHA-256 {digest.hexdigest()}")


class Loading:
    """What the process of its own does: `datasets` is imported here."""

    def __init__(self, folder: Path, cache: Path, progress: Progress) -> None:
        self._folder, self._cache, self._progress = folder, cache, progress

    def found(self, max_plain_bytes: int) -> Iterator[str]:
        """Yield the differences of every way to load."""
        import datasets

        data = sorted(self._folder.glob("*/data/*/*.parquet"))
        first = {source_of(path): path for path in reversed(data) if pq.read_metadata(path).num_rows}
        records = [path for path in self._folder.glob("*/jsonl/*.jsonl") if path.stat().st_size]
        sources = sorted({*first, *map(source_of, records)})
        if not sources:
            return
        configs = datasets.get_dataset_config_names(str(self._folder))
        yield from (
            f"{name}: there is no such config" for name in ("default", *sources) if name not in configs
        )
        yield from self._every_row("default, streamed", is_streaming=True)
        if sum(path.stat().st_size for path in data) <= max_plain_bytes:
            yield from self._every_row("default, plain", is_streaming=False)
        else:
            for source in sources:
                yield from self._one_file(source, first.get(source))
        for name in configs:
            yield from self._config(name)
        yield from self._webdataset(sorted(self._folder.glob("*/webdataset/*/*.tar")))

    def _load(self, name: str | None, *, is_streaming: bool, **options: Any) -> Any:
        import datasets

        return datasets.load_dataset(
            str(self._folder),
            name,
            split="train",
            streaming=is_streaming,
            cache_dir=str(self._cache / "loaded"),
            **options,
        )

    def _compare(self, way: str, loaded: Iterable[Row], recorded: Iterable[Row]) -> Iterator[str]:
        found = differences(reported(loaded, way, self._progress), recorded)
        yield from (f"{way}: {each}" for each in found)

    def _every_row(self, way: str, *, is_streaming: bool) -> Iterator[str]:
        """Yield the differences of what a user gets who names no config."""
        self._progress(f"{way}: loading")
        loaded = self._load(None, is_streaming=is_streaming)
        if problems := feature_problems(way, loaded):
            yield from problems
            return
        yield from self._compare(way, rows_of(loaded), recorded_rows(self._folder))

    def _one_file(self, source: str, path: Path | None) -> Iterator[str]:
        """Yield the differences of a source's first file that has rows, loaded plain."""
        way = f"{source}, plain"
        if path is None:
            yield f"{way}: no file has rows"
            return
        relative = path.relative_to(self._folder).as_posix()
        self._progress(f"{way}: loading {relative}")
        loaded = self._load(source, is_streaming=False, data_files=relative)
        if problems := feature_problems(way, loaded):
            yield from problems
            return
        recorded = islice(recorded_rows(self._folder, source), pq.read_metadata(path).num_rows)
        yield from self._compare(way, rows_of(loaded), recorded)
        del loaded
        shutil.rmtree(self._cache / "loaded")  # before the next takes as much room

    def _config(self, name: str) -> Iterator[str]:
        """Yield the differences of a config's split, columns and rows: their ids, without the images."""
        import datasets

        way = f"config {name}"
        splits = datasets.get_dataset_split_names(str(self._folder), name)
        if splits != ["train"]:
            yield f"{way}: its splits are {', '.join(splits)}"
            return
        yield from feature_problems(way, self._load(name, is_streaming=True))
        ids = self._load(name, is_streaming=True, columns=["figure_id"])
        recorded = recorded_rows(self._folder, "*" if name == "default" else name)
        yield from self._compare(
            way, (Row(row["figure_id"]) for row in ids), (Row(row.figure_id) for row in recorded)
        )

    def _webdataset(self, archives: list[Path]) -> Iterator[str]:
        """Yield the differences of the samples, where there are any, streamed."""
        import datasets

        if not archives:
            return
        samples = datasets.load_dataset(
            "webdataset",
            data_files={"train": [str(path) for path in archives]},
            split="train",
            streaming=True,
            cache_dir=str(self._cache / "loaded"),
        ).cast_column("png", datasets.Image(decode=False))
        loaded = (row_of(sample["json"], sample["png"]) for sample in samples)
        yield from self._compare("webdataset, streamed", loaded, recorded_rows(self._folder))


def source_of(path: Path) -> str:
    """Return the source that a file belongs to: the release's folder that it is in."""
    return path.parents[2 if path.suffix == ".parquet" else 1].name


def feature_problems(way: str, loaded: Any) -> list[str]:
    """Say which columns are not those of a release, or of another type."""
    import datasets

    have, want = dict(loaded.features), dict(datasets.Features.from_arrow_schema(DATA))
    names = [name for name in {**want, **have} if have.get(name) != want.get(name)]
    return [f"{way}: the columns differ in {', '.join(names)}"] if names else []


def rows_of(loaded: Any) -> Iterator[Row]:
    """Yield the rows as `datasets` gives them, their images as they are stored."""
    import datasets

    for row in loaded.cast_column("image", datasets.Image(decode=False)):
        yield row_of(row, row["image"])


def row_of(record: dict[str, Any], image: dict[str, Any]) -> Row:
    """Return a row with all of its columns and the digest of its image."""
    return Row(record["figure_id"], line_of(record), hashlib.sha256(image["bytes"] or b"").hexdigest())


def main(folder: str, cache: str, max_plain_bytes: str) -> None:
    """Print progress and what was found, one JSON object per line; whatever else is printed goes to stderr."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)

        def say(**message: Any) -> None:
            print(json.dumps(message), file=answers, flush=True)

        loading = Loading(Path(folder), Path(cache), lambda message: say(progress=message))
        say(found=list(loading.found(int(max_plain_bytes))))


if __name__ == "__main__":
    main(*sys.argv[1:])
