"""Real articles: as many figures, references and images as a careful reader counts in them."""

import re
from pathlib import Path

import pytest

from s1mm_assets.archives import Kind, open_bundle
from s1mm_assets.extraction.jats import JatsPaper, read_jats

# Counted by hand: rows, those in a sub-article, those that a paragraph or caption cites.
COUNTS = {
    "biorxiv-2020.04.07.030213.xml": (29, 0, 28),
    "biorxiv-2022.03.15.484463.xml": (4, 0, 3),
    "biorxiv-2022.04.13.488149.xml": (8, 0, 8),
    "biorxiv-kitchen-sink.xml": (16, 0, 15),
    "broken-biorxiv-derived.xml": (0, 0, 0),
    "copernicus.xml": (6, 0, 6),
    "elife-00240-small.xml": (1, 0, 1),
    "elife-00666.xml": (11, 1, 11),
    "elife-56337-pmc.nxml": (11, 0, 11),
    "elife-kitchen-sink.xml": (25, 1, 14),
    "epp-minimal-example.xml": (1, 0, 0),
    "f1000research-2.xml": (3, 0, 3),
    "hindawi.xml": (6, 0, 6),
    "ijm-00202.xml": (6, 0, 6),
    "oup-ptag100.xml": (0, 0, 0),
    "peerj.xml": (6, 0, 6),
    "plos-pone.0234687-pmc.nxml": (4, 0, 4),
    "plos-publisher.xml": (4, 0, 4),
    "pmc-bmc-1471-2180-11-174.nxml": (4, 0, 4),
    "pmc-ehp-116-1694.nxml": (3, 0, 3),
    "springer-natcomms-meta-only.xml": (0, 0, 0),
    "springer-natcomms-s41467-023-40272-3.xml": (6, 0, 6),
    "springer-scirep-s41598-023-38673-x.xml": (2, 0, 2),
}


def read(corpus: Path, path: str, **others: bytes) -> JatsPaper:
    """Read one sample, with other members where they are given."""
    return read_jats({path.rpartition("/")[2]: (corpus / "samples" / path).read_bytes(), **others})


@pytest.mark.corpus
@pytest.mark.parametrize(("name", "counts"), COUNTS.items(), ids=COUNTS)
def test_as_many_figures_as_a_reader_counts(corpus: Path, name: str, counts: tuple[int, int, int]) -> None:
    """Rows, those of sub-articles and those that are cited are as counted; each has a caption or a label."""
    paper = read(corpus, f"jats/{name}")

    n_aside = sum(row.environment.startswith("sub-article/") for row in paper.figures)
    n_cited = sum(bool(row.mentions) for row in paper.figures)
    assert (len(paper.figures), n_aside, n_cited) == counts
    assert all(row.caption or row.figure_number for row in paper.figures)
    assert not any(re.match(r"(?:Fig|Scheme)\w*\.?\s*\d", row.caption) for row in paper.figures)
    assert all(row.figure_number or row.labels == ["figa1"] for row in paper.figures)


@pytest.mark.corpus
@pytest.mark.parametrize("name", [name for name in COUNTS if name.startswith("biorxiv-2022.0")])
def test_figures_are_cited_where_highwire_says(corpus: Path, name: str) -> None:
    """A figure has mentions if and only if HighWire lists references to it."""
    source = (corpus / "samples" / "jats" / name).read_text()
    listed = {
        match[1]: bool(re.search(r'hwp:rev-id="\s*xref', match[0]))
        for match in re.finditer(r'<fig id="([^"]+)"[^>]*>', source)
    }
    paper = read(corpus, f"jats/{name}")

    assert {row.labels[0]: bool(row.mentions) for row in paper.figures} == listed


@pytest.mark.corpus
def test_images_are_found_in_real_deliveries(corpus: Path) -> None:
    """Names without extension, HighWire's names for the web, TIFF: each image that is there is found."""
    folder = corpus / "samples" / "jats" / "img"
    found = {}
    for name, images in (
        ("biorxiv-2020.04.07.030213.xml", "030213"),
        ("biorxiv-2022.03.15.484463.xml", "484463"),
        ("ijm-00202.xml", "ijm00202"),
    ):
        members = {path.name: path.read_bytes() for path in (folder / images).iterdir()}
        paper = read(corpus, f"jats/{name}", **members)
        found[images] = {row.figure_number: row.image_member for row in paper.figures if row.image_member}

    assert found == {
        "030213": {number: f"F{number}.large.jpg" for number in ("1", "12", "15", "16")},
        "484463": {number: f"484463v1_fig{number}" for number in "1234"},
        "ijm00202": {number: f"ijm-00202-fig00{number}.tif" for number in "23"},
    }


@pytest.mark.corpus
def test_a_real_meca_package_is_read(corpus: Path) -> None:
    """A whole package is opened as MECA, and its article found by the manifest."""
    data = (corpus / "samples" / "meca" / "curvenote" / "example.meca").read_bytes()
    bundle = open_bundle(data, "example.meca")

    paper = read_jats(bundle.members, "example")

    assert bundle.kind is Kind.MECA
    assert paper.main_file == "elifeExample.xml"
    assert len(paper.figures) > 0


@pytest.mark.corpus
def test_a_real_manifest_leads_to_its_images(corpus: Path) -> None:
    """HighWire's manifest, article and file list go together: six figures, not the images of tables."""
    folder = corpus / "samples" / "meca" / "epp-dummy-1"
    listing = [line.split()[-1] for line in (folder / "LISTING.txt").read_text().splitlines()]
    members = {path: b"\xff\xd8\xff" + path.encode() for path in listing if path.endswith(".jpg")}
    members["2212.00741/2212.00741.xml"] = (folder / "2212.00741.xml").read_bytes()
    members["manifest.xml"] = (folder / "manifest.xml").read_bytes()

    paper = read_jats(members)

    assert [row.image_member for row in paper.figures] == [
        f"2212.00741/2212.00741v1_fig{i}.jpg" for i in range(1, 7)
    ]
    assert [row.figure_number for row in paper.figures] == ["1", "2", "3", "4", "5", "S1"]


@pytest.mark.corpus
def test_metadata_is_read(corpus: Path) -> None:
    """Title, authors, DOI and licence of a paper that has them all; a structured abstract with its headings."""
    paper = read(corpus, "jats/pmc-bmc-1471-2180-11-174.nxml")

    assert paper.title == "Factors influencing lysis time stochasticity in bacteriophage λ"
    assert paper.authors == ["John J Dennehy", "Ing-Nang Wang"]
    assert paper.doi == "10.1186/1471-2180-11-174"
    assert paper.licence == "http://creativecommons.org/licenses/by/2.0 | open-access"
    headings = re.findall(r"\b(Background|Results|Conclusions?):", paper.abstract or "")
    assert [heading.rstrip("s") for heading in headings] == ["Background", "Result", "Conclusion"]
