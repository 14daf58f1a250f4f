"""Tests of s1mm_assets.resources.dataset_loader: `datasets` itself reads small releases."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s1mm_assets.release.records import line_of
from s1mm_assets.resources import dataset_loader
from s1mm_assets.resources.dataset_loader import MAX_PROBLEMS, DatasetLoader, Row, differences
from s1mm_assets_tests.release.shards import picture
from s1mm_assets_tests.release.test_webdataset import row, write_release

ODD = "Ünï — “code”, \U0001f469\u200d\U0001f52c \u202eright to left \u2028 \x85 \x00 \\ ' \" \ufeff \ufffd e\u0301 \r\n"
FULL: dict[str, Any] = {
    "caption": ODD,
    "recaption": "A recaption.",
    "doi": "10.1000/a.b",
    "arxiv_id": "2301.01234",
    "title": "A title",
    "categories": ["cs.CV", "math.GT"],
    "labels": ["fig:1"],
    "mentions": [ODD, ""],
    "licence": "CC-BY-4.0",
    "width_px": 24,
    "height_px": 16,
    "grounding": 1 / 3,
    "caption_clip_score": 0.0,
    "recaption_pseudo_perplexity": 1e300,
}
ARXIV = [row(n, image_format="jpeg" if n % 2 else "png", **FULL) for n in range(1, 6)]
FILES = {
    "arxiv/2022/00000": [row(number) for number in range(10, 17)],  # null everywhere
    "arxiv/2023/00000": [],
    "arxiv/2023/00001": ARXIV[:3],
    "arxiv/2023/00002": ARXIV[3:],
    "local/2023/00000": [row(1, source="local", title="Another")],
    "pmc/2023/00000": [],  # a source whose figures were all turned away
}
N_ROWS = 13
WAYS = ["default, streamed", "default, plain", "config default", "config arxiv", "config local"]


def write_card(folder: Path, sources: Sequence[str]) -> None:
    configs = ['- config_name: default\n  default: true\n  data_files: "*/data/*/*.parquet"\n']
    configs += [f'- config_name: {name}\n  data_files: "{name}/data/*/*.parquet"\n' for name in sources]
    (folder / "README.md").write_text(f"---\nconfigs:\n{''.join(configs)}---\n# A dataset\n")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources with and without records; files with every value, with null everywhere, and without rows."""
    folder = write_release(tmp_path_factory.mktemp("release") / "re lease", FILES)
    write_card(folder, ["arxiv", "local"])
    return folder


@pytest.fixture
def copy(release: Path, tmp_path: Path) -> Path:
    """The release, to be changed."""
    return Path(shutil.copytree(release, tmp_path / "release"))


def test_datasets_gives_back_every_record(release: Path) -> None:
    """Streamed, plain, and by config; what each way read is told, and all of it is equal."""
    told: list[str] = []

    assert DatasetLoader().differences(release, told.append) == []

    ends = dict(message.split(": ", 1) for message in told if "all of them" in message)
    assert list(ends) == WAYS
    assert [end.split()[0] for end in ends.values()] == ["13", "13", "13", "12", "1"]
    assert ends["default, streamed"] == ends["default, plain"]


def test_past_a_size_one_file_of_each_source_is_loaded_plain(release: Path) -> None:
    """Its first that has rows; as a stream it is still every row."""
    told: list[str] = []

    assert DatasetLoader(max_plain_bytes=0).differences(release, told.append) == []

    assert [message for message in told if "loading" in message] == [
        "default, streamed: loading",
        "arxiv, plain: loading arxiv/data/2022/00000.parquet",
        "local, plain: loading local/data/2023/00000.parquet",
    ]
    ends = [message.partition(",")[0] for message in told if "all of them" in message and "plain" in message]
    assert ends == ["arxiv", "local"]
    assert "arxiv, plain: 7 rows" in " ".join(told)


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    table = change(pq.read_table(path))
    pq.write_table(table, path)


COLUMNS = ["image", "caption", "mentions", "grounding", "year", "licence_read", "image_sha256"]


def altered(table: pa.Table) -> pa.Table:
    """Every row with another value in another column."""
    rows = table.to_pylist()
    for changed, column in zip(rows, COLUMNS, strict=True):
        value = changed[column]
        if isinstance(value, dict):
            changed[column] = value | {"bytes": picture(999)}
        elif isinstance(value, list):
            changed[column] = ["x"]
        else:
            changed[column] = (value or 0.0) + 1 if column in {"grounding", "year"} else "x"
    return pa.Table.from_pylist(rows, schema=table.schema)


def test_a_value_that_differs_is_found(copy: Path) -> None:
    """In whatever column, in every way that reads all of them."""
    rewrite(copy / "arxiv/data/2022/00000.parquet", altered)

    found = DatasetLoader().differences(copy)

    assert found == [
        f"default, {way}: row {i}: arxiv:2301.01234#{10 + i}.1 differs in {column}"
        for way in ("streamed", "plain")
        for i, column in enumerate(COLUMNS)
    ]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([0, 2], "row 8: arxiv:2301.01234#3.1 is loaded, arxiv:2301.01234#2.1 is recorded"),
        ([0, 0, 1, 2], "row 8: arxiv:2301.01234#1.1 is loaded, arxiv:2301.01234#2.1 is recorded"),
        ([1, 0, 2], "row 7: arxiv:2301.01234#2.1 is loaded, arxiv:2301.01234#1.1 is recorded"),
    ],
    ids=["dropped", "doubled", "reordered"],
)
def test_rows_that_are_dropped_doubled_or_reordered_are_found(
    copy: Path, order: list[int], expected: str
) -> None:
    """In every config that they are rows of."""
    rewrite(copy / "arxiv/data/2023/00001.parquet", lambda table: table.take(order))

    found = DatasetLoader().differences(copy)

    first = {each.split(": ")[0]: each.split(": ", 1)[1] for each in reversed(found)}
    assert first == dict.fromkeys([way for way in WAYS if way != "config local"], expected)


def test_a_last_row_that_is_missing_is_found(copy: Path) -> None:
    """The rows before it are equal."""
    path = copy / "local/jsonl/2023.jsonl"
    path.write_bytes(path.read_bytes() + line_of(row(2, source="local")[0]))

    assert DatasetLoader().differences(copy) == [
        f"{way}: row {1 if way == 'config local' else N_ROWS}: nothing is loaded, "
        "local:2301.01234#2.1 is recorded"
        for way in WAYS
        if way != "config arxiv"
    ]


def test_a_source_without_a_config_is_found(copy: Path) -> None:
    """Its users could not load it alone."""
    write_card(copy, ["arxiv"])

    assert DatasetLoader().differences(copy) == ["local: there is no such config"]


def test_a_config_of_another_source_is_found(copy: Path) -> None:
    """It loads, but other rows."""
    card = copy / "README.md"
    card.write_text(card.read_text().replace('"local/', '"arxiv/'))

    found = DatasetLoader().differences(copy)

    assert len(found) == MAX_PROBLEMS
    assert (
        found[0] == "config local: row 0: arxiv:2301.01234#10.1 is loaded, local:2301.01234#1.1 is recorded"
    )


def test_a_config_without_rows_is_well(copy: Path) -> None:
    """It has the columns."""
    write_card(copy, ["arxiv", "local", "pmc"])

    assert DatasetLoader().differences(copy) == []


def test_another_split_is_found(copy: Path) -> None:
    """Whoever asks for "train" would get nothing."""
    card = copy / "README.md"
    test = '\n  - split: test\n    path: "local/data/*/*.parquet"\n'
    card.write_text(card.read_text().replace(' "local/data/*/*.parquet"\n', test))

    assert DatasetLoader().differences(copy) == ["config local: its splits are test"]


def test_columns_of_another_type_are_found(copy: Path) -> None:
    """The first file's schema is everyone's: here it has no labels, and an image that is no image."""
    for path in copy.glob("*/data/*/*.parquet"):
        if pq.read_metadata(path).num_rows:
            rewrite(path, lambda table: table.drop_columns(["labels"]).replace_schema_metadata(None))
        else:
            path.unlink()

    found = DatasetLoader().differences(copy)

    assert found[:2] == [
        f"default, {way}: the columns differ in image, labels" for way in ("streamed", "plain")
    ]


def test_webdataset_gives_back_every_record(tmp_path: Path) -> None:
    """Its samples are compared too, where there are any."""
    folder = write_release(tmp_path, FILES, has_webdataset=True)
    write_card(folder, ["arxiv", "local"])
    told: list[str] = []

    assert DatasetLoader().differences(folder, told.append) == []

    ends = dict(message.split(": ", 1) for message in told if "all of them" in message)
    assert ends["webdataset, streamed"] == ends["default, streamed"]


def test_a_sample_that_differs_is_found(tmp_path: Path) -> None:
    """Of another record here."""
    folder = write_release(tmp_path, FILES, has_webdataset=True)
    write_card(folder, ["arxiv", "local"])
    shutil.copy(folder / "arxiv/webdataset/2023/00002.tar", folder / "local/webdataset/2023/00000.tar")

    found = DatasetLoader().differences(folder)

    assert found[0] == (
        "webdataset, streamed: row 12: arxiv:2301.01234#4.1 is loaded, local:2301.01234#1.1 is recorded"
    )


def test_what_does_not_load_is_a_problem(copy: Path) -> None:
    """Not an exception: the message has the end of what the process said."""
    for path in copy.glob("*/data/*/*.parquet"):
        path.write_bytes(b"PAR1")

    problems = DatasetLoader().differences(copy)

    assert len(problems) == 1
    assert problems[0].startswith("load_dataset fails with exit code 1: ")
    assert problems[0].endswith(
        "Parquet file size is 4 bytes, smaller than the minimum file footer (8 bytes)"
    )


def test_what_takes_too_long_is_a_problem(copy: Path) -> None:
    """The process is ended: a pipe that nobody writes to would keep it for ever."""
    path = copy / "arxiv/jsonl/2022.jsonl"
    path.unlink()
    os.mkfifo(path)

    problems = DatasetLoader(timeout_s=3).differences(copy)

    assert problems == ["load_dataset takes more than 3 s"]


def test_a_reader_that_gives_up_ends_the_process(release: Path) -> None:
    """What the caller's progress raises comes through, and does not wait for the rest."""

    def refuse(message: str) -> None:
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="default, streamed: loading"):
        DatasetLoader().differences(release, refuse)


def test_nobodys_token_is_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor a cache of the user's."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_DATASETS_CACHE", "elsewhere")

    environment = dataset_loader.environment(tmp_path)

    assert "hf_secret" not in environment.values()
    assert "HF_DATASETS_CACHE" not in environment
    assert environment["HF_HOME"] == str(tmp_path)


def test_a_release_without_records_has_nothing_to_load(tmp_path: Path) -> None:
    """`datasets` would refuse it; it is still well."""
    assert DatasetLoader().differences(tmp_path) == []
    assert DatasetLoader().differences(write_release(tmp_path, {"arxiv/2023/00000": []})) == []


def test_differences_are_named_and_few() -> None:
    """Another text, another image, a row too few: the message has the figure."""
    one = Row("arxiv:1#1.1", b'{"caption": "a"}\n', "0" * 64)
    other = Row("arxiv:1#1.1", b'{"caption": "b"}\n', "1" * 64)

    assert differences([one], [one]) == []
    assert differences([], [one]) == ["row 0: nothing is loaded, arxiv:1#1.1 is recorded"]
    assert differences([one], [other]) == ["row 0: arxiv:1#1.1 differs in caption, image"]
    assert differences([one], [Row(one.figure_id, one.line + b" ", one.image_sha256)]) == [
        "row 0: arxiv:1#1.1 differs in how it is written"
    ]
    assert len(differences([one] * 100, [])) == MAX_PROBLEMS


def test_progress_is_told_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the digest of everything at the end, even of nothing."""
    monkeypatch.setattr(dataset_loader, "PROGRESS_ROWS", 2)
    told: list[str] = []

    rows = [Row("a")] * 4
    list(dataset_loader.reported([*rows, Row("a")], "a way", told.append))
    list(dataset_loader.reported([*rows, Row("b")], "a way", told.append))
    list(dataset_loader.reported([], "another", told.append))

    assert told[:2] == ["a way: 2 rows", "a way: 4 rows"]
    assert told[2].startswith("a way: 5 rows, all of them; SHA-256 ")
    assert told[2] != told[5]
    assert told[6].startswith("another: 0 rows, all of them; SHA-256 e3b0c442")


def test_the_odd_caption_is_in_the_release(release: Path) -> None:
    """As it is, on one line."""
    lines = (release / "arxiv/jsonl/2023.jsonl").read_text(encoding="utf-8").split("\n")

    assert [json.loads(line)["caption"] for line in lines[:-1]] == [ODD] * 5
