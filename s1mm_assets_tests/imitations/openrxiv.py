"""The details API of bioRxiv and medRxiv in small, and MECA packages as openRxiv lays them in its buckets.

As the real one it gives 30 versions a page whatever its documents say, counts as text for bioRxiv and as numbers for
medRxiv, and answers 200 with "no posts found" where there is nothing (any more).
"""

import importlib
import io
import json
import re
import sys
import uuid
import zipfile
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from werkzeug.wrappers import Request, Response

EXAMPLES = Path(__file__).parents[2] / "examples"
PAGE_SIZE = 30
WINDOW = re.compile(
    r"/(biorxiv|medrxiv)/(\d{4}-\d\d-\d\d)/(\d{4}-\d\d-\d\d)(?:/(\d{1,9}))?(?:/json)?/?", re.ASCII
)
BEGAN = {"biorxiv": (2013, 11), "medrxiv": (2019, 6)}
LAST_YEAR = 2030
MONTHLY = "10.1101/000001"  # a paper without a package, and of no year: its first version is lacking

MEDIA_TYPES = {
    "xml": "application/xml",
    "pdf": "application/pdf",
    "tif": "image/tiff",
    "gif": "image/gif",
    "jpg": "image/jpeg",
}

Json = dict[str, Any]


class Puts(Protocol):
    """Where buckets are: `ImitationPublishers`."""

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Put an object."""


class OpenRxivDetails:
    """`/{server}/{from}/{to}/{cursor}` over rows in memory.

    No month since a server began is without rows, as on the real ones: one paper is revised on the first of each.
    """

    def __init__(self) -> None:
        self.rows: dict[str, list[Json]] = {"biorxiv": [], "medrxiv": []}
        self.n_withheld = 0  # rows that the total counts and no page gives
        self.heeds_cursors = True
        for server, began in BEGAN.items():
            months = [(year, month) for year in range(began[0], LAST_YEAR + 1) for month in range(1, 13)]
            for number, (year, month) in enumerate([each for each in months if each >= began], start=2):
                self.post(server, MONTHLY, number, f"{year}-{month:02}-01")

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        match = WINDOW.fullmatch(Request(environ).path)
        if match is None:
            return Response("<html><body>Not Found</body></html>", 404, mimetype="text/html")(
                environ, start_response
            )
        answer = self._answer(match[1], match[2], match[3], int(match[4] or 0))
        return Response(json.dumps(answer), mimetype="application/json")(environ, start_response)

    def _answer(self, server: str, since: str, until: str, cursor: int) -> Json:
        found = [row for row in self.rows[server] if since <= row["date"] <= until]
        found.sort(key=lambda row: (row["date"], row["doi"], int(row["version"])))
        page = found[cursor : cursor + PAGE_SIZE] if self.heeds_cursors else found[:PAGE_SIZE]
        if not page:
            return {"messages": [{"status": "no posts found"}], "collection": []}
        counts: Json = {
            "count_new_papers": sum(row["version"] == "1" for row in found),
            "total": len(found) + self.n_withheld,
        }
        if server == "biorxiv":
            counts = {name: str(number) for name, number in counts.items()}
        message = {"status": "ok", "interval": f"{since}:{until}", "cursor": cursor, "count": len(page)}
        return {"messages": [{**message, **counts}], "collection": page}

    def post(self, server: str, doi: str, version: int, date: str, **fields: Any) -> Json:
        """Add a version of a paper, as its server would; return its row."""
        base = {"biorxiv": "bioRxiv", "medrxiv": "medrxiv"}[server]
        slug = doi.partition("/")[2]
        row = {
            "title": f"On {slug}",
            "authors": "Okafor, C.; Lind, P. M.",
            "author_corresponding": "Chidi Okafor",
            "author_corresponding_institution": "University of Examples",
            "doi": doi,
            "date": date,
            "version": str(version),
            "type": "new results" if server == "biorxiv" else "PUBLISHAHEADOFPRINT",
            "license": "cc_by",
            "category": "neuroscience",
            "jatsxml": f"https://www.{server}.org/content/early/{date.replace('-', '/')}//{slug}.source.xml",
            "abstract": "What was done, and what was found.",
            "funder": "NA",
            "published": "NA",
            "server": base,
            **fields,
        }
        self.rows[server].append(row)
        return row


# --- packages ----------------------------------------------------------------------------------------------


def article(doi: str, version: int | None = 1, title: str = "A paper", body: str = "") -> bytes:
    """Return an article in the JATS of MECA packages."""
    said = f"<article-version>1.{version}</article-version>\n" if version else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE article PUBLIC "-//NLM//DTD JATS (Z39.96) Journal Archiving and Interchange DTD v1.2d1 20170631//EN" \
"JATS-archivearticle1.dtd">
<article xmlns:mml="http://www.w3.org/1998/Math/MathML" xmlns:xlink="http://www.w3.org/1999/xlink" \
article-type="article" dtd-version="1.2d1" specific-use="production" xml:lang="en">
<front>
<journal-meta>
<journal-id journal-id-type="publisher-id">BIORXIV</journal-id>
</journal-meta>
<article-meta>
<article-id pub-id-type="doi">{doi}</article-id>
{said}<title-group>
<article-title>{escape(title)}</article-title>
</title-group>
</article-meta>
</front>
<body>{body}</body>
</article>
""".encode()


def meca(files: Mapping[str, bytes], folder: str = "", manifest: bytes | None = None) -> bytes:
    """Pack files of `content/` into a package: the manifest lists them in HighWire's dialect.

    Args:
        files: Name in `content/` → bytes.
        folder: Under which all of it lies, wrongly; ends in a slash.
        manifest: Instead of the one that is made.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as container:
        members = {f"content/{name}": data for name, data in files.items()}
        members["transfer.xml"] = b'<transfer xmlns="http://www.manuscriptexchange.org" version="1.0"/>'
        members["manifest.xml"] = manifest_of(list(files)) if manifest is None else manifest
        for name, data in members.items():
            info = zipfile.ZipInfo(f"{folder}{name}", (2024, 1, 26, 4, 0, 0))
            info.create_system = 3
            container.writestr(info, data, zipfile.ZIP_DEFLATED, 6)
    return packed.getvalue()


def manifest_of(names: Iterable[str]) -> bytes:
    """Return a manifest of files in `content/`."""
    paper: list[str] = []
    items: list[str] = []
    for name in names:
        media_type = MEDIA_TYPES.get(name.rpartition(".")[2], "application/octet-stream")
        instance = f'<instance media-type="{media_type}" href="content/{name}"/>'
        if name.endswith((".xml", ".pdf")) and "/" not in name:
            paper.append(instance)
        else:
            kind = "supplementary" if "/" in name else "table" if "tbl" in name else "figure"
            stem = name.rpartition(".")[0].rpartition("_")[2]
            items.append(f'  <item id="{stem}" type="{kind}">\n    <title/>\n    {instance}\n  </item>\n')
    listed = "".join(f"    {instance}\n" for instance in paper)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE manifest SYSTEM "http://schema.highwire.org/public/MECA/v0.9/Manifest/Manifest.dtd">
<manifest xmlns="http://manuscriptexchange.org" version="1.0">
  <item type="article">
    <title/>
{listed}  </item>
{"".join(items)}  <item id="transfer" type="transfer-details">
    <title>MECA Transfer Info</title>
    <instance media-type="application/meca-xfer+xml" href="transfer.xml"/>
  </item>
</manifest>
""".encode()


def key_of(folder: str, name: str) -> str:
    """Return a key as packages have: a number that says nothing; the same for the same name."""
    return f"{folder}{uuid.uuid5(uuid.NAMESPACE_URL, name)}.meca"


# --- the example corpus ------------------------------------------------------------------------------------


def fill(publishers: Puts, details: OpenRxivDetails) -> None:
    """Post four papers of the example corpus: of 2019 and 2023, two on each server, with figures in JATS and in PDF."""
    examples = _examples()
    listed = {paper["name"]: paper["metadata"] for paper in examples.papers() if paper["source"] == "local"}
    waking = {
        name.removeprefix("content/"): data
        for name, data in examples.files_of("tun-waking").items()
        if name.startswith("content/")
    }
    revised = {
        **waking,
        "999934.xml": waking["999934.xml"].replace(b"<article-version>1.1<", b"<article-version>1.2<"),
    }
    doi = _post(details, "biorxiv", listed["tun-waking"], date="2023-05-09", version=1)
    _post(details, "biorxiv", listed["tun-waking"], date="2023-06-21", version=2)
    bucket = "biorxiv-src-monthly"
    publishers.put(bucket, key_of("Current_Content/May_2023/", f"{doi}v1"), meca(waking))
    publishers.put(bucket, key_of("Current_Content/June_2023/", f"{doi}v2"), meca(revised))
    clicks = _reef_clicks(examples)
    title = "Snapping shrimp keep time with the moon: clicks on a reef"
    record = {**listed["reef-clicks"], "doi": "10.5555/2019.08.14.999917", "title": title}
    doi = _post(details, "biorxiv", record, date="2019-08-14", version=1, license="cc0")
    publishers.put(bucket, key_of("Back_Content/Batch_01/", f"{doi}v1"), meca(clicks))
    bucket = "medrxiv-src-monthly"
    for name, folder, version, day in (
        ("zebrafish-heart", "Back_Content/medRxiv_Batch_01/", 1, "2019-07-31"),
        ("soil-microbes", "Current_Content/February_2023/", 1, "2023-02-14"),
        ("soil-microbes", "Current_Content/March_2023/", 2, "2023-03-03"),
    ):
        record = listed[name]
        doi = _post(details, "medrxiv", record, date=day, version=version)
        number = doi.rpartition(".")[2]
        files = {
            f"{number}.xml": article(doi, version, record["title"]),
            f"{number}.pdf": examples.files_of(name)["paper.pdf"],
        }
        publishers.put(bucket, key_of(folder, f"{doi}v{version}"), meca(files))


def _post(details: OpenRxivDetails, server: str, record: Json, **said: Any) -> str:
    """Post a paper of the example corpus; return its DOI."""
    names = [name.rpartition(" ") for name in record.get("authors") or ["Leilani Tavita", "Erik Brandvold"]]
    row = details.post(
        server,
        record["doi"],
        **said,
        title=record["title"],
        authors="; ".join(f"{family}, {given[0]}." for given, _, family in names),
        abstract=record.get("abstract") or "NA",
        category=record["categories"][0],
    )
    return str(row["doi"])


def _reef_clicks(examples: ModuleType) -> dict[str, bytes]:
    """The files of a paper of PMC as a package of bioRxiv has them."""
    files: dict[str, bytes] = examples.files_of("reef-clicks")
    nxml = files.pop("oceans-07-112.nxml")
    nxml = nxml.replace(b"10.5555/oceans.2019.07.112", b"10.5555/2019.08.14.999917")
    return {"999917.xml": nxml, **files}


def _examples() -> ModuleType:
    sys.path.insert(0, str(EXAMPLES))
    try:
        return importlib.import_module("pack")
    finally:
        sys.path.remove(str(EXAMPLES))
