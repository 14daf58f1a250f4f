"""Croissant metadata: croissant.json of a release, JSON-LD that dataset search engines and ML libraries read.

Source: the Croissant format 1.1, https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from s1mm_assets.release.columns import COLUMN_DESCRIPTIONS
from s1mm_assets.release.records import RECORD

NAME = "croissant.json"
ALL = "default"  # the record set of all sources, named like the card's config
REPOSITORY = "repo"
HUB = "https://huggingface.co/datasets"
SPDX = "https://spdx.org/licenses"
NOT_HASHED = (
    "https://github.com/mlcommons/croissant/issues/80"  # a repository's sha256, as the Hub too gives it
)
KEYWORDS = ("science", "figures", "captions", "multimodal")
REPO_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
SOURCE = re.compile(r"[a-z_]+")
FILES = {
    "parquet": ("application/x-parquet", "data/*/*.parquet", "Records and images together."),
    "jsonl": ("application/jsonlines", "jsonl/*.jsonl", "The records alone, one per line."),
}
"""Kind of files → media type, pattern within a source, description."""
DATA_TYPES = {
    pa.string(): "sc:Text",
    pa.int32(): "cr:Int32",
    pa.int64(): "cr:Int64",
    pa.float64(): "cr:Float64",
}
TERMS = (
    *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field"),
    *("fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset"),
    *("jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated"),
    *("replace", "samplingRate", "separator", "source", "subField", "transform"),
)
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{term: f"cr:{term}" for term in TERMS},
}
"""The format's own, with all of its words: readers warn of any other."""


def croissant(
    *,
    title: str,
    description: str,
    version: int,
    sources: Sequence[str],
    licences: Sequence[str],
    repo_id: str | None = None,
    cite_as: str | None = None,
    date_published: str | None = None,
    creators: Sequence[str] = (),
) -> bytes:
    """Return croissant.json; equal facts give equal bytes.

    Args:
        title: Name of the dataset.
        description: What it is, in a paragraph or two.
        version: Number of the release, from 1.
        sources: Those that have records; their order does not matter.
        licences: SPDX ids or addresses of all licences that records have; their order does not matter.
        repo_id: The dataset's name on the Hub. Without, its files are those beside croissant.json.
        cite_as: BibTeX, or a sentence.
        date_published: ISO date.
        creators: Names of the organisations that made it.

    Raises:
        ValueError: A source, a licence or the repository's name is none.
    """
    if repo_id is not None and not REPO_ID.fullmatch(repo_id):
        raise ValueError(f"{repo_id!r} is no name of a repository on the Hub")
    for source in sources:
        if not SOURCE.fullmatch(source) or source == ALL:
            raise ValueError(f"a source cannot be named {source!r}")
    groups = {source: [source] for source in sorted(set(sources))}
    if groups:
        groups = {ALL: sorted(groups), **groups}
    record = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": title,
        "description": description,
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "version": f"{version}.0.0",
        "license": sorted({licence_url(licence) for licence in licences}),
        "keywords": list(KEYWORDS),
        "inLanguage": "en",
        "url": repo_id and f"{HUB}/{repo_id}",
        "citeAs": cite_as,
        "datePublished": date_published,
        "creator": [{"@type": "sc:Organization", "name": name} for name in creators],
        "distribution": distribution(groups, repo_id),
        "recordSet": [record_set(name, members) for name, members in groups.items()],
    }
    known = {key: value for key, value in record.items() if value}
    return (json.dumps(known, indent=1, ensure_ascii=False) + "\n").encode()


def licence_url(licence: str) -> str:
    """Return the address of a licence; of one that SPDX has no page for, its id.

    Raises:
        ValueError: It is neither an address nor an SPDX id.
    """
    if re.fullmatch(r"https?://\S+|LicenseRef-[A-Za-z0-9.-]+", licence):
        return licence
    if re.fullmatch(r"[A-Za-z0-9.+-]+", licence):
        return f"{SPDX}/{licence}"
    raise ValueError(f"{licence!r} is neither an SPDX id nor the address of a licence")


def distribution(groups: dict[str, list[str]], repo_id: str | None) -> list[dict[str, Any]]:
    """Return the repository, where there is one, and sets of files: of each group, and of each kind."""
    sets: list[dict[str, Any]] = [
        {
            "@type": "cr:FileSet",
            "@id": f"{name}-{kind}",
            "name": f"{name}-{kind}",
            "description": description,
            "encodingFormat": media_type,
            "includes": [f"{member}/{pattern}" for member in members],
            **({} if repo_id is None else {"containedIn": {"@id": REPOSITORY}}),
        }
        for name, members in groups.items()
        for kind, (media_type, pattern, description) in FILES.items()
    ]
    if repo_id is None:
        return sets
    repository = {
        "@type": "cr:FileObject",
        "@id": REPOSITORY,
        "name": REPOSITORY,
        "description": "The repository on the Hub.",
        "contentUrl": f"{HUB}/{repo_id}",
        "encodingFormat": "git+https",
        "sha256": NOT_HASHED,
    }
    return [repository, *sets]


def record_set(name: str, members: list[str]) -> dict[str, Any]:
    """Return the records of some sources with their images, read from Parquet."""
    images = field(name, "image", "sc:ImageObject")
    images["source"]["transform"] = {"jsonPath": "bytes"}
    columns = [column_of(name, column) for column in RECORD]
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"One figure per record, of {', '.join(members)}.",
        "key": {"@id": f"{name}/figure_id"},
        "field": [images, *columns],
    }


def column_of(name: str, column: pa.Field) -> dict[str, Any]:
    """Return a column as a field of a record set, its type as the Arrow schema has it."""
    if pa.types.is_list(column.type):
        made = field(name, column.name, DATA_TYPES[column.type.value_type])
        return {**made, "isArray": True, "arrayShape": "-1"}
    return field(name, column.name, DATA_TYPES[column.type])


def field(name: str, column: str, data_type: str) -> dict[str, Any]:
    """Return a field that is read from the Parquet column of its name."""
    return {
        "@type": "cr:Field",
        "@id": f"{name}/{column}",
        "name": column,
        "description": COLUMN_DESCRIPTIONS[column],
        "dataType": data_type,
        "source": {"fileSet": {"@id": f"{name}-parquet"}, "extract": {"column": column}},
    }
