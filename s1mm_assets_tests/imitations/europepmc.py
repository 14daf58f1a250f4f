"""Europe PMC's search service in small, and packages as PMC lays them in its open-data bucket.

The search knows the fields that are asked for, AND, OR, NOT and brackets; pages by `cursorMark`, at most 1000 records
each, and answers XML unless JSON is asked for. As the real one it names a next cursor on every page that has records,
the last one too, and none on an empty page.
"""

import base64
import hashlib
import importlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from werkzeug.wrappers import Request, Response

EXAMPLES = Path(__file__).parents[2] / "examples"
BUCKET = "pmc-oa-opendata"
MAX_PAGE_SIZE, PAGE_SIZE = 1000, 25
TOKEN = re.compile(r'\s*(\(|\)|\bAND\b|\bOR\b|\bNOT\b|(\w+):(\[[^\]]*\]|"[^"]*"|[^\s()]+))')
DATES = {
    "FIRST_PDATE": "firstPublicationDate",
    "FIRST_IDATE": "firstIndexDate",
    "FT_CDATE": "fullTextReceivedDate",
    "UPDATE_DATE": "dateOfRevision",
}
LITE_KEYS = (
    *("id", "source", "pmid", "pmcid", "fullTextIdList", "doi", "title", "authorString"),
    *(
        "journalTitle",
        "journalVolume",
        "pubYear",
        "journalIssn",
        "pubType",
        "isOpenAccess",
        "inEPMC",
        "inPMC",
    ),
    *("firstIndexDate", "firstPublicationDate"),
)

Json = dict[str, Any]
Test = Callable[[Json], bool]


class Puts(Protocol):
    """Where buckets are: `ImitationPublishers`."""

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Put an object."""


class EuropePmcImitation:
    """`/search` over records in memory; each has the keys of lite and core answers together."""

    def __init__(self, records: Iterable[Json] = ()) -> None:
        self.records = list(records)
        self.strays: list[Any] = []  # given with every search
        self.repeats_last_cursor = False  # as Solr does: the last page names its own cursor
        self.max_page_size = MAX_PAGE_SIZE

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        request = Request(environ)
        if request.path != "/search":
            return Response("no such service", 404)(environ, start_response)
        if request.args.get("format", "xml").lower() != "json":
            return Response("<responseWrapper/>", mimetype="application/xml")(environ, start_response)
        if not request.args.get("query"):
            return Response("query is required", 400)(environ, start_response)
        try:
            answer = self._answer(request.args)
        except ValueError as error:
            return Response(str(error), 400)(environ, start_response)
        return Response(json.dumps(answer), mimetype="application/json")(environ, start_response)

    def _answer(self, asked: Mapping[str, str]) -> Json:
        test = parsed(asked["query"])
        kind = asked.get("resultType", "lite")
        size = min(int(asked.get("pageSize", PAGE_SIZE)), self.max_page_size)
        mark = asked.get("cursorMark", "*")
        start = 0 if mark == "*" else int(base64.b64decode(mark).decode().removeprefix("at "))
        hits: list[Any] = [record for record in self.records if test(record)] + self.strays
        page = hits[start : start + size]
        following = base64.b64encode(f"at {start + len(page)}".encode()).decode()
        is_last = start + len(page) == len(hits)
        answer: Json = {"version": "6.9", "hitCount": len(hits)}
        if page:
            answer["nextCursorMark"] = mark if is_last and self.repeats_last_cursor else following
        return answer | {
            "request": {
                "queryString": asked["query"],
                "resultType": kind,
                "cursorMark": "%2A" if mark == "*" else mark,
                "pageSize": size,
                "sort": "",
                "synonym": False,
            },
            "resultList": {"result": [lite(each) if kind == "lite" else core(each) for each in page]},
        }


def lite(record: Any) -> Any:
    """The keys that a short answer has."""
    return {key: record[key] for key in LITE_KEYS if key in record} if isinstance(record, dict) else record


def core(record: Any) -> Any:
    """The keys that a long answer has."""
    without = ("journalTitle", "journalIssn", "pubType")
    is_record = isinstance(record, dict)
    return {key: value for key, value in record.items() if key not in without} if is_record else record


def parsed(query: str) -> Test:
    """Read a query into what tests a record; a field that is not known finds nothing."""
    tokens = [(match[1], match[2], match[3]) for match in TOKEN.finditer(query)]
    if "".join(token for token, *_ in tokens).replace(" ", "") != query.replace(" ", ""):
        raise ValueError(f"cannot read {query!r}")
    return _alternatives(tokens)


Tokens = list[tuple[str, str, str]]  # as written, field, value; what is read is taken away


def _alternatives(tokens: Tokens) -> Test:
    tests = [_conjunction(tokens)]
    while tokens and tokens[0][0] == "OR":
        tokens.pop(0)
        tests.append(_conjunction(tokens))
    return lambda record: any(test(record) for test in tests)


def _conjunction(tokens: Tokens) -> Test:
    tests = [_single(tokens)]
    while tokens and tokens[0][0] not in ("OR", ")"):
        if tokens[0][0] == "AND":
            tokens.pop(0)
        tests.append(_single(tokens))
    return lambda record: all(test(record) for test in tests)


def _single(tokens: Tokens) -> Test:
    if not tokens:
        raise ValueError("the query ends too early")
    word, field, value = tokens.pop(0)
    if word == "NOT":
        negated = _single(tokens)
        return lambda record: not negated(record)
    if word == "(":
        inner = _alternatives(tokens)
        if not tokens or tokens.pop(0)[0] != ")":
            raise ValueError("a bracket is not closed")
        return inner
    return lambda record: has(record, field, value)


def has(record: Json, field: str, value: str) -> bool:
    """Whether a record has a value in a field of the search."""
    value = value.strip('"')
    if field in DATES and (days := re.fullmatch(r"\[(\S+) TO (\S+)\]", value)):
        return days[1] <= str(record.get(DATES[field]) or "") <= days[2]
    if field == "ISSN":
        return value.lower() in str(record.get("journalIssn")).lower()
    if field == "OPEN_ACCESS":
        return str(record.get("isOpenAccess")).lower() == value.lower()
    if field == "PUB_TYPE":
        return value.lower() in str(record.get("pubType")).lower()
    return False


def record(pmcid: str | None, published: str, **others: Any) -> Json:
    """A record of Nature Communications; keys that are None are left out."""
    whole: Json = {
        "id": "30000001",
        "source": "MED",
        "pmid": "30000001",
        "pmcid": pmcid,
        "fullTextIdList": {"fullTextId": [pmcid]},
        "title": "A paper.",
        "authorString": "Doe JB, van der Berg A.",
        "journalTitle": "Nat Commun",
        "journalVolume": "10",
        "pubYear": published[:4],
        "journalIssn": "2041-1723; ",
        "pubType": "research support, non-u.s. gov't; journal article",
        "isOpenAccess": "Y",
        "inEPMC": "Y",
        "inPMC": "Y",
        "firstIndexDate": published,
        "firstPublicationDate": published,
        "journalInfo": {
            "journal": {
                "title": "Nature communications",
                "medlineAbbreviation": "Nat Commun",
                "essn": "2041-1723",
            }
        },
        "fullTextReceivedDate": published,
        "dateOfRevision": published,
    } | others
    return {key: value for key, value in whole.items() if value is not None}


def put_package(
    publishers: Puts, pmcid: str, version: int, files: Mapping[str, bytes], /, **others: Any
) -> Json:
    """Lay a version of a paper in the bucket: its files, its text, and its metadata; returns the metadata.

    Keys of `others` replace or add keys of the metadata; those that are `...` are left out.
    """
    stem = f"{pmcid}.{version}"
    files = {**files, f"{stem}.txt": b"The text alone."}
    for name, data in files.items():
        publishers.put(BUCKET, f"{stem}/{name}", data)
    urls = {
        name: f"s3://{BUCKET}/{stem}/{name}?md5={hashlib.md5(data, usedforsecurity=False).hexdigest()}"
        for name, data in files.items()
    }
    own = {form: urls.pop(f"{stem}.{form}", None) for form in ("xml", "txt", "pdf")}
    metadata = {
        "pmcid": pmcid,
        "version": version,
        "pmid": 30000001,
        "doi": "10.1038/s41467-000-00000-0",
        "title": "A paper",
        "citation": "Nat Commun. 2019 Aug 14;10:112.",
        "is_pmc_openaccess": True,
        "is_manuscript": False,
        "is_historical_ocr": False,
        "is_retracted": False,
        "license_code": "CC BY",
        **({"xml_url": own["xml"]} if own["xml"] else {}),
        "text_url": own["txt"],
        **({"pdf_url": own["pdf"]} if own["pdf"] else {}),
        "media_urls": list(urls.values()),
    } | others
    metadata = {key: value for key, value in metadata.items() if value is not ...}
    publishers.put(BUCKET, f"metadata/{stem}.json", json.dumps(metadata).encode())
    return metadata


def fill(publishers: Puts, europepmc: EuropePmcImitation) -> None:
    """Offer three of the example papers: one of 2019; two of 2023, of which one has two versions, the other no XML."""
    pack = _pack()
    reef = pack.files_of("reef-clicks")
    article = reef.pop("oceans-07-112.nxml")
    put_package(
        publishers,
        "PMC99990017",
        1,
        {"PMC99990017.1.xml": article, **reef, "oceans-07-112-s001.mp4": bytes(4096)},
        doi="10.5555/oceans.2019.07.112",
        title="Snapping shrimp keep time with the moon: clicks on a reef",
        license_code="CC0",
    )
    tun = {path.rpartition("/")[2]: data for path, data in pack.files_of("tun-waking").items()}
    article, pdf = tun.pop("999934.xml"), tun.pop("999934.pdf")
    media = {name: data for name, data in tun.items() if not name.endswith(".xml")}
    of_tun = {
        "doi": "10.5555/2023.05.09.999934",
        "title": "Waking from the tun: the longer a tardigrade was dry, the later it walks",
    }
    put_package(publishers, "PMC99990034", 1, {"PMC99990034.1.pdf": pdf}, **of_tun)
    put_package(
        publishers,
        "PMC99990034",
        2,
        {"PMC99990034.2.xml": article, "PMC99990034.2.pdf": pdf, **media},
        **of_tun,
    )
    of_soil = {
        "doi": "10.5555/2023.02.14.999912",
        "title": "Who lives with whom: networks of soil microbes and the breath of the soil",
    }
    soil = pack.files_of("soil-microbes")["paper.pdf"]
    put_package(publishers, "PMC99990042", 1, {"PMC99990042.1.pdf": soil}, **of_soil)
    europepmc.records += [
        record(
            "PMC99990017",
            "2019-08-14",
            authorString="Tavita L, Brandvold E.",
            doi="10.5555/oceans.2019.07.112",
        ),
        record("PMC99990034", "2023-05-09", authorString="Castellan I, Oduya T.", **of_tun),
        record("PMC99990042", "2023-02-14", authorString="Beltran A, Mwangi J.", **of_soil),
    ]


def _pack() -> ModuleType:
    """The script that draws the example papers."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        return importlib.import_module("pack")
    finally:
        sys.path.remove(str(EXAMPLES))
