"""Tests of s1mm_assets.release.croissant: mlcroissant, the format's own library, validates and reads."""

import json
from pathlib import Path
from typing import Any

import mlcroissant
import numpy as np
import pytest
from mlcroissant._src.core.context import Context, CroissantVersion
from mlcroissant._src.core.rdf import make_context
from PIL import Image

from s1mm_assets.release.columns import COLUMN_DESCRIPTIONS
from s1mm_assets.release.croissant import CONTEXT, NAME, croissant, licence_url
from s1mm_assets.release.records import RECORD
from s1mm_assets.release.streamable import DATA
from s1mm_assets_tests.release.test_webdataset import Row, row, write_release

# mlcroissant uses what rdflib and pandas are about to drop.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:rdflib"),
    pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning"),
]

FACTS: dict[str, Any] = {
    "title": "Figures “with” captions",
    "description": "Scientific figures — α.",
    "version": 3,
    "sources": ["local", "arxiv"],
    "licences": ["CC-BY-4.0", "LicenseRef-arXiv-nonexclusive-distrib-1.0", "CC0-1.0", "CC-BY-4.0"],
    "cite_as": "@misc{figures}",
    "date_published": "2026-11-22",
}
ARXIV = [
    row(1, caption="Ünï — “code”\u2028", labels=["a", "b"], grounding=0.5, width_px=24, doi="10.1000/a.b"),
    row(2, image_format="jpeg", mentions=["Figure 1 shows α."], categories=["cs.CV"]),
    row(3),
]
LOCAL = [row(1, source="local", title="A title")]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources, three Parquet files; most columns are null in one or the other."""
    files = {"arxiv/2022/00000": ARXIV[:2], "arxiv/2023/00000": ARXIV[2:], "local/2023/00000": LOCAL}
    folder = write_release(tmp_path_factory.mktemp("release"), files)
    (folder / NAME).write_bytes(croissant(**FACTS))
    return folder


def issues(metadata: mlcroissant.Metadata) -> str:
    return str(metadata.ctx.issues.report())


@pytest.mark.parametrize("repo_id", [None, "organisation/figures"])
@pytest.mark.parametrize("sources", [[], ["arxiv"], ["local", "arxiv"]])
def test_mlcroissant_has_no_objection(repo_id: str | None, sources: list[str]) -> None:
    """No error and no warning, not even of something recommended that is missing."""
    facts = {**FACTS, "repo_id": repo_id, "sources": sources, "creators": ["A group"]}

    metadata = mlcroissant.Dataset(jsonld=json.loads(croissant(**facts))).metadata

    assert issues(metadata) == ""
    assert metadata.name == FACTS["title"]
    assert metadata.description == FACTS["description"]
    assert metadata.version == "3.0.0"
    assert metadata.cite_as == "@misc{figures}"
    assert metadata.url == (repo_id and f"https://huggingface.co/datasets/{repo_id}")
    assert [creator.name for creator in metadata.creators] == ["A group"]
    assert sorted(metadata.license) == [
        "LicenseRef-arXiv-nonexclusive-distrib-1.0",
        "https://spdx.org/licenses/CC-BY-4.0",
        "https://spdx.org/licenses/CC0-1.0",
    ]
    assert [records.id for records in metadata.record_sets] == (
        ["default", *sorted(sources)] if sources else []
    )


def test_the_least_is_valid() -> None:
    """What is not known is left out; mlcroissant recommends it and finds no error."""
    least = croissant(title="A", description="B", version=1, sources=[], licences=[])

    metadata = mlcroissant.Dataset(jsonld=json.loads(least)).metadata

    assert not metadata.ctx.issues.errors
    assert {"url", "citeAs", "creator", "license"}.isdisjoint(json.loads(least))


@pytest.mark.parametrize("name", ["default", "arxiv", "local"])
def test_every_column_is_described_in_every_record_set(name: str) -> None:
    """With the type that Arrow has, lists as arrays."""
    types = {"string": "sc:Text", "int32": "cr:Int32", "int64": "cr:Int64", "double": "cr:Float64"}

    sets = {each["@id"]: each for each in json.loads(croissant(**FACTS))["recordSet"]}
    fields = {field["name"]: field for field in sets[name]["field"]}

    assert list(fields) == DATA.names
    assert {field["description"] for field in fields.values()} == set(COLUMN_DESCRIPTIONS.values())
    assert fields["image"]["dataType"] == "sc:ImageObject"
    for column in RECORD:
        field = fields[column.name]
        is_list = str(column.type).startswith("list")
        assert field["dataType"] == types[str(column.type.value_type if is_list else column.type)]
        assert field.get("isArray", False) == is_list
        assert field["source"]["extract"]["column"] == column.name


def test_the_context_is_the_formats_own() -> None:
    """Readers warn of any other."""
    assert make_context(Context(conforms_to=CroissantVersion.V_1_1)) == CONTEXT


@pytest.mark.parametrize(
    ("name", "rows"), [("default", [*ARXIV, *LOCAL]), ("arxiv", ARXIV), ("local", LOCAL)]
)
@pytest.mark.parametrize("is_on_the_hub", [False, True], ids=["local", "Hub"])
def test_mlcroissant_reads_the_records(
    release: Path, name: str, rows: list[Row], is_on_the_hub: bool
) -> None:
    """Every value of every column and every pixel, from the folder itself and from a copy of a repository."""
    if is_on_the_hub:
        jsonld = json.loads(croissant(**FACTS, repo_id="organisation/figures"))
        dataset = mlcroissant.Dataset(jsonld=jsonld, mapping={"repo": release})
    else:
        dataset = mlcroissant.Dataset(jsonld=release / NAME)

    read = list(dataset.records(name))

    assert [values(record, name) for record in read] == [record for record, _ in rows]
    for record, (_, image) in zip(read, rows, strict=True):
        (release / "image").write_bytes(image)
        with Image.open(release / "image") as expected:
            assert np.array_equal(np.asarray(record[f"{name}/image"]), np.asarray(expected))


def values(record: dict[str, Any], name: str) -> dict[str, Any]:
    """What mlcroissant gives, but for the image: its texts are UTF-8."""
    return {column: text(record[f"{name}/{column}"]) for column in RECORD.names}


def text(value: Any) -> Any:
    if isinstance(value, list):
        return [text(each) for each in value]
    return value.decode() if isinstance(value, bytes) else value


def test_equal_facts_give_equal_bytes() -> None:
    """Whatever the order of sources and licences."""
    turned = {**FACTS, "sources": FACTS["sources"][::-1], "licences": FACTS["licences"][::-1]}

    assert croissant(**turned) == croissant(**FACTS)


@pytest.mark.parametrize(
    "facts",
    [
        {"sources": ["default"]},
        {"sources": ["a/../b"]},
        {"sources": ["a*"]},
        {"licences": ["a sentence"]},
        {"repo_id": "https://huggingface.co/datasets/a/b"},
        {"repo_id": "figures"},
    ],
    ids=str,
)
def test_what_would_be_something_else_is_refused(facts: dict[str, Any]) -> None:
    """A pattern for files, an address."""
    with pytest.raises(ValueError, match=r"cannot be named|is neither|is no name"):
        croissant(**{**FACTS, **facts})


def test_an_address_of_a_licence_stays() -> None:
    """As the source gives it."""
    assert licence_url("http://arxiv.org/licenses/a/1.0/") == "http://arxiv.org/licenses/a/1.0/"
