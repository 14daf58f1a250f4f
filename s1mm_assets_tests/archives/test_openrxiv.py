"""What bioRxiv and medRxiv publish: folders, packages with the defects that were met in them, rows of the API."""

import io
import json
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.archives.openrxiv import (
    MAX_NAMES,
    DetailsError,
    KeptRows,
    Package,
    articles_among,
    authors_in,
    folder_age,
    folders_of_year,
    front_matter,
    index_path,
    inspect_package,
    month_of_folder,
    read_index,
    read_page,
    read_row,
    read_rows,
    tidy_doi,
    tidy_text,
    write_index,
    write_rows,
    year_of_doi,
)
from s1mm_assets.archives.zip_directory import TAIL_BYTES
from s1mm_assets.release.licences import read_licence
from s1mm_assets_tests.archives.packing import zipped
from s1mm_assets_tests.imitations.openrxiv import article, meca

DOI = "10.1101/2024.01.25.577295"
IMAGE = bytes(range(256)) * 400


def inspected(data: bytes, reads: list[tuple[int, int]] | None = None) -> Package:
    """What is told of a package, and what was read of it beside its end."""

    def read(start: int, end: int) -> bytes:
        assert 0 <= start < end <= len(data)
        if reads is not None:
            reads.append((start, end))
        return data[start:end]

    return inspect_package("Current_Content/x.meca", len(data), "e", data[-TAIL_BYTES:], read)


# --- folders -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "month"),
    [
        ("Current_Content/January_2024/", (2024, 1)),
        ("Current_Content/December_2019/", (2019, 12)),
        ("Current_Content/Sept_2020/", (2020, 9)),
        ("Current_Content/Ma_2020/", None),
        ("Back_Content/Batch_01/", None),
        ("Current_Content/Smarch_2020/", None),
    ],
)
def test_months_of_folders(folder: str, month: tuple[int, int] | None) -> None:
    assert month_of_folder(folder) == month


def test_a_year_needs_the_folders_from_the_december_before_on() -> None:
    """Revisions of a paper come in any later month, its first days' in the one before; in back batches may be all."""
    folders = [
        "Back_Content/Batch_02/",
        "Back_Content/Batch_01/",
        "Back_Content/May_2018/",
        "Current_Content/May_2019/",
        "Current_Content/January_2020/",
        "Current_Content/December_2019/",
        "Current_Content/December_2018/",
        "Current_Content/April_2020/",
        "Current_Content/Oddments/",
    ]
    ordered = sorted(folders, key=folder_age)
    whatever = [folder for folder in ordered if folder.startswith("Back") or "Odd" in folder]

    assert len(whatever) == 4
    assert folders_of_year(folders, 2019) == ordered
    assert folders_of_year(folders, 2022) == whatever
    assert folders_of_year(folders, 2020) == [
        *whatever,
        "Current_Content/December_2019/",
        "Current_Content/January_2020/",
        "Current_Content/April_2020/",
    ]


@given(st.lists(st.text(max_size=12), min_size=2, max_size=2, unique_by=lambda name: name.strip("/")))
def test_no_two_folders_share_an_index(names: list[str]) -> None:
    """Whatever they are called, it is one file below `index/`."""
    one, other = (index_path(name) for name in names)

    assert one != other
    for path in (one, other):
        assert path.startswith("index/")
        assert path.isascii()
        assert path.count("/") == 1
        assert ".." not in path


def test_a_folder_of_too_long_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        index_path("Current_Content/" + "x" * 300)


# --- packages ----------------------------------------------------------------------------------------------


def test_a_package_is_known_by_its_end_and_the_beginning_of_its_article() -> None:
    """DOI, version, and what kinds of files there are, from one more read of a few thousand bytes."""
    noise = "".join(f"{n * 7919 % 104729:x}" for n in range(400_000))
    files = {
        "577295.xml": article(DOI, 2, body=f"<p>{noise}</p>"),
        "577295.pdf": b"%PDF-1.4",
        "577295v2_fig1.tif": IMAGE,
        "577295v2_fig2.GIF": IMAGE,
        "supplements/577295_file02.docx": b"words",
    }
    reads: list[tuple[int, int]] = []

    package = inspected(meca(files), reads)

    assert (package.doi, package.version, package.fault) == (DOI, 2, None)
    assert package.kinds["image"] == [2, 2 * len(IMAGE)]
    assert package.kinds["pdf"] == [1, 8]
    assert package.kinds["xml"][0] == 3
    assert package.kinds["other"] == [1, 5]
    assert len(reads) == 1
    assert sum(end - start for start, end in reads) < 20_000


BROKEN = {
    "blank before the declaration": b" \n" + article(DOI, 3),
    "declaration on the second line": b"<!DOCTYPE article>\n" + article(DOI, 3),
    "bare ampersands": article(DOI, 3).replace(b"<title-group>", b"<p>Bill & Melinda &</p><title-group>"),
    "entities of HTML": article(DOI, 3).replace(b"A paper", b"A&nbsp;paper of 5 &deg;C"),
    "no blank between attributes": article(DOI, 3).replace(
        b'<article-id pub-id-type="doi">', b'<article-id id="n1"pub-id-type="doi">'
    ),
    "comment": article(DOI, 3).replace(
        b"<article-meta>",
        b'<article-meta><!-- <article-id pub-id-type="doi">10.1101/1</article-id> -->',
    ),
    "another DOI": article(DOI, 3).replace(
        b"</article-meta>",
        b'</article-meta><sub-article><article-id pub-id-type="doi">10.1101/2</article-id></sub-article>',
    ),
    "resolver": article(f"https://doi.org/{DOI}v3", 3),
    "UTF-16": article(DOI, 3).decode().encode("utf-16"),
    "Latin-1": article(DOI, 3).replace(b"A paper", b"\xe9tude"),
    "bomb": article(DOI, 3).replace(
        b'"JATS-archivearticle1.dtd">', b'"x" [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
    ),
    "identifier": article(DOI, None).replace(
        b"<title-group>", b'<article-id pub-id-type="other">biorxiv;2024.01.25.577295v3</article-id>'
    ),
    "alternatives": article(DOI, None).replace(
        b"<title-group>",
        b'<article-version article-version-type="status">preprint</article-version>'
        b'<article-version article-version-type="number">1.3</article-version>',
    ),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_front_matter_that_no_parser_takes_is_read(text: bytes) -> None:
    package = inspected(meca({"577295.xml": text}))

    assert (package.doi, package.version, package.fault) == (DOI, 3, None)


def test_the_version_may_stand_in_the_names_alone() -> None:
    """Where all agree; where nothing says it, the package is the first version."""
    files = {"577295.xml": article(DOI, None), "577295v4_fig1.tif": IMAGE, "577295v4_fig2.tif": IMAGE}

    assert inspected(meca(files)).number == 4
    unsaid = inspected(meca({**files, "577295v5_fig3.tif": IMAGE}))
    assert (unsaid.version, unsaid.number, unsaid.fault) == (None, 1, None)


def test_names_are_read_within_bounds() -> None:
    """Of some hundred files; and a row of a thousand digits is no identifier, wherever in it one begins to read."""
    paper = {"577295.xml": article(DOI, None)}
    images = {f"577295v4_fig{n}.tif": b"" for n in range(MAX_NAMES)}

    assert inspected(meca({**paper, **images, "577295v5_fig.tif": b""})).version == 4
    assert inspected(meca({**paper, "0" * 900 + "577295v4_fig1.tif": b""})).version is None


def test_a_package_under_a_folder_of_its_own_is_read() -> None:
    assert inspected(meca({"577295.xml": article(DOI)}, folder="577295/")).doi == DOI


@pytest.mark.parametrize(
    "instance",
    [
        '<item type="article"><instance media-type="application/xml" href="content\\two.xml"/></item>',
        '<item item-type="article-metadata"><instance xlink:href="content/two.xml" media-type="text/xml"/></item>',
        '<m:item id="a"type="manuscript"><m:instance href=\'CONTENT/TWO.XML\'/></m:item>',
        '& <item type="article"><instance href="content/three.pdf"/><instance href="content%2Ftwo.xml"/></item>',
        '<!-- <item type="article"><instance href="content/one.xml"/></item> -->'
        '<item type="article"><instance href="content/two.xml"/></item>',
    ],
    ids=["backslashes", "NISO", "prefix and case", "quoted", "comment"],
)
def test_the_manifest_says_which_xml_is_the_article(instance: str) -> None:
    """In any dialect, and though it is no sound XML."""
    manifest = (
        f'  <?xml version="1.0"?><manifest>{instance}<item type="transfer-details"/></manifest>'.encode()
    )
    files = {"one.xml": article("10.1101/1"), "two.xml": article("10.1101/2")}

    assert inspected(meca(files, manifest=manifest)).doi == "10.1101/2"
    assert inspected(meca(files, folder="446694/", manifest=manifest)).doi == "10.1101/2"


def test_without_a_manifest_the_article_is_found() -> None:
    data = zipped(
        {"directives.xml": b"<d/>", "content/1.xml": article(DOI), "a/b/2.xml": article("10.1101/3")}
    )

    assert inspected(data).doi == DOI
    assert articles_among(["transfer.xml", "a/b.xml", "content/c.xml", "d.xml"], "", "") == [
        "content/c.xml",
        "d.xml",
        "a/b.xml",
    ]


@pytest.mark.parametrize(
    ("data", "evidence"),
    [
        (b"", "no directory"),
        (meca({"1.xml": article(DOI)})[:-40], "no directory"),
        (meca({"1.pdf": b"%PDF-1.4"}), "no article in XML among 3 files"),
        (meca({"1.xml": b"<article>"}), "no DOI"),
        (meca({"1.xml": article("see the website")}), "no DOI"),
        (meca({"1.xml": article("", body='<article-id pub-id-type="doi">10.1101/2</article-id>')}), "no DOI"),
    ],
    ids=["empty", "cut", "no article", "no front matter", "no DOI", "another's DOI"],
)
def test_what_cannot_be_told_is_kept_with_the_evidence(data: bytes, evidence: str) -> None:
    package = inspected(data)

    assert package.doi is None
    assert evidence in (package.fault or "")


def test_an_encrypted_article_is_a_fault() -> None:
    packed = bytearray(meca({"1.xml": article(DOI)}))
    packed[packed.find(b"PK\x01\x02") + 8] |= 1

    assert "encrypted" in (inspected(bytes(packed)).fault or "")


def test_what_reading_raises_passes_through() -> None:
    """An outage is no fault of the package."""
    data = meca({"1.xml": article(DOI, body=f"<p>{IMAGE.hex()}</p>"), "2.tif": bytes(range(251)) * 700})
    with zipfile.ZipFile(io.BytesIO(data)) as container:
        assert container.testzip() is None

    def read(start: int, end: int) -> bytes:
        raise ConnectionError("cut")

    with pytest.raises(ConnectionError):
        inspect_package("k", len(data), "e", data[-400:], read)


@given(st.binary(max_size=300), st.integers(0, 2000))
def test_nothing_raises(noise: bytes, at: int) -> None:
    """Whatever stands in manifest, article, or anywhere in the package."""
    inspected(meca({"1.xml": noise, "2.xml": article(DOI)[:at] + noise}, manifest=noise))
    data = meca({"1.xml": article(DOI)})
    inspected(data[:at] + noise + data[at + len(noise) :])


@pytest.mark.parametrize(
    ("text", "doi"),
    [
        ("10.1101/2024.01.25.577295", DOI),
        (" https://doi.org/10.1101/2024.01.25.577295v2 ", DOI),
        ("10.64898/2025.12.19.695336", "10.64898/2025.12.19.695336"),
        ("10.1101/446694", "10.1101/446694"),
        ("10.1101/../../etc", None),
        ("10.1101/a b", None),
        ("10.١٢٣٤/5", None),
        ("10.1101/" + "x" * 200, None),
        ("", None),
    ],
)
def test_dois(text: str, doi: str | None) -> None:
    assert tidy_doi(text) == doi


def test_the_year_of_a_doi() -> None:
    assert year_of_doi("10.64898/2025.12.19.695336") == 2025
    assert year_of_doi("10.1101/446694") is None
    assert year_of_doi("10.1101/2024.13.01.5") is None


def test_the_age_of_a_package_is_that_of_its_folder() -> None:
    """By months, though it may lie deeper."""
    keys = [
        "Back_Content/Batch_12/z.meca",
        "Current_Content/May_2021/z.meca",
        "Current_Content/June_2021/02_Jun_21_Batch_909/a.meca",
        "Current_Content/April_2022/a.meca",
    ]
    packages = [Package(key=key, size=1, etag="0" * 32) for key in keys]

    assert [each.key for each in sorted(packages, key=lambda package: package.age)] == keys


def test_an_index_survives_a_round_trip_and_damage() -> None:
    packages = [
        inspected(meca({"1.xml": article(DOI)})),
        Package(key="é", size=0, etag="", fault="no directory"),
    ]
    data = write_index(packages)

    assert read_index(data) == {package.key: package for package in packages}
    broken = data.replace(b'"size": 0', b'"size": ') + b'[]\n{"key": "a"}\n'
    assert list(read_index(broken)) == [packages[0].key]


@pytest.mark.corpus
def test_real_articles_give_doi_and_version(corpus: Path) -> None:
    """bioRxiv's own files, in the dialects of its site and of its packages."""
    jats = corpus / "samples" / "jats"
    found = {path.name: front_matter(path.read_text("utf-8")) for path in sorted(jats.glob("biorxiv-2*.xml"))}

    assert found == {
        "biorxiv-2020.04.07.030213.xml": ("10.1101/2020.04.07.030213", 1),
        "biorxiv-2022.03.15.484463.xml": ("10.1101/2022.03.15.484463", 1),
        "biorxiv-2022.04.13.488149.xml": ("10.1101/2022.04.13.488149", 1),
    }
    assert front_matter((jats / "biorxiv-kitchen-sink.xml").read_text("utf-8")) == ("10.1101/kitchen-sink", 2)


@pytest.mark.corpus
def test_real_packages_are_read(corpus: Path) -> None:
    """A package of HighWire's dialect, packed from its files; and whole ones of NISO's."""
    meca_samples = corpus / "samples" / "meca"
    folder = meca_samples / "epp-dummy-1"
    manifest, text = (folder / "manifest.xml").read_bytes(), (folder / "2212.00741.xml").read_bytes()
    package = inspected(
        zipped({"manifest.xml": manifest, "2212.00741/2212.00741.xml": text, "other.xml": b"<a/>"})
    )
    assert (package.doi, package.version) == ("10.48550/arxiv.2212.00741", 3)
    for path in sorted((meca_samples / "curvenote").glob("*.[mz]*")):
        if path.suffix in (".meca", ".zip"):
            assert inspected(path.read_bytes()).doi, path.name


# --- the details API ---------------------------------------------------------------------------------------


def answer(rows: Any, **message: Any) -> bytes:
    return json.dumps({"messages": [{"status": "ok", **message}], "collection": rows}).encode()


def test_counts_may_be_text_or_numbers() -> None:
    assert read_page(answer([{"doi": DOI}], total="522")).total == 522
    assert read_page(answer([{"doi": DOI}], total=522)).total == 522
    assert read_page(answer([{"doi": DOI}], total=None)).total == 0
    assert read_page(answer([], status="no posts found")).rows == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b'{"messages": [], "collection": []}',
        b'{"messages": [{"status": "ok"}], "collection": {}}',
        b'{"messages": {"status": "ok"}, "collection": []}',
        answer([], status="Error : database"),
        b"[" * 100_000,
    ],
)
def test_an_answer_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(DetailsError):
        read_page(data)


ROW = {
    "doi": DOI,
    "version": "2",
    "date": "2024-01-26",
    "title": " A  title ",
    "authors": "Okafor, C.; Lind, P. M.; The Consortium",
    "abstract": "O_ST_ABSAimC_ST_ABSTo find.",
    "category": "neuroscience",
    "license": "cc_by_nc",
    "type": "new results",
}


def test_a_row_is_a_version() -> None:
    version = read_row(ROW)

    assert version is not None
    assert (version.doi, version.number, version.posted) == (DOI, 2, "2024-01-26")
    assert version.title == "A title"
    assert version.authors == ("C. Okafor", "P. M. Lind", "The Consortium")
    assert version.abstract == "Aim To find."
    assert (version.category, version.licence, version.is_withdrawn) == ("neuroscience", "cc_by_nc", False)


@pytest.mark.parametrize(
    "fields",
    [
        {"doi": None},
        {"doi": 5},
        {"doi": "NA"},
        {"version": "0"},
        {"version": []},
        {"date": "soon"},
        {"date": None},
    ],
)
def test_a_row_without_what_it_is_known_by_is_none(fields: dict[str, Any]) -> None:
    assert read_row({**ROW, **fields}) is None


def test_other_fields_may_be_missing_or_of_another_type() -> None:
    version = read_row(
        {"doi": DOI, "version": 1, "date": "2024-01-26", "title": 7, "authors": None, "license": {}}
    )

    assert version is not None
    assert (version.title, version.authors, version.abstract, version.licence) == (None, (), None, None)


@pytest.mark.parametrize(
    "fields",
    [{"type": "withdrawn"}, {"title": "WITHDRAWN: A title"}, {"title": "[Withdrawn] A title"}],
)
def test_withdrawals_are_known(fields: dict[str, str]) -> None:
    version = read_row({**ROW, **fields})

    assert version is not None
    assert version.is_withdrawn


@pytest.mark.parametrize(
    ("word", "family"),
    [
        ("cc_by", "CC-BY"),
        ("cc_by_nc", "CC-BY-NC"),
        ("cc_by_nd", "CC-BY-ND"),
        ("cc_by_nc_nd", "CC-BY-NC-ND"),
        ("cc0", "CC0-1.0"),
        ("cc_no", None),
    ],
)
def test_licences_are_given_in_words_that_are_read(word: str, family: str | None) -> None:
    """The release knows the API's own words; one that grants nothing is none."""
    version = read_row({**ROW, "license": word})

    assert version is not None
    assert read_licence(version.licence).family == family


def test_marks_of_the_site_are_taken_out() -> None:
    text = "Cohens O_SCPLOWKC_SCPLOWO_SCPCAP.C_SCPCAP HighlightsO_LIOne.\nC_LIO_LITwo.\nC_LI"
    figure = 'Words. O_FIG O_LINKSMALLFIG WIDTH=200 SRC="FIGDIR/1.gif">\n(27K): C_FIG More.'

    assert tidy_text(text) == "Cohens K. Highlights One. Two."
    assert tidy_text(figure) == "Words. More."


def test_half_characters_are_replaced() -> None:
    """JSON can say them; no table can hold them."""
    version = read_row(
        json.loads('{"doi": "10.1101/1", "version": 1, "date": "2024-01-26", "title": "a \\ud800"}')
    )

    assert version is not None
    assert version.title == "a ?"


def test_authors_without_a_comma_stay_as_written() -> None:
    assert authors_in("The Consortium;; van der Berg, A. ;") == ("The Consortium", "A. van der Berg")


def test_kept_rows_are_whole_or_none() -> None:
    """They bear the day on which they were asked for; what says none is not used."""
    kept = KeptRows([{"doi": DOI, "title": "é\u2028"}, {}], date(2024, 6, 15))
    data = write_rows(kept)

    assert read_rows(data) == kept
    assert read_rows(write_rows(KeptRows([], kept.asked))) == KeptRows([], kept.asked)
    for damaged in (
        data[: data.rindex(b"{")],
        data[:-4],
        data.replace(b"2024-06-15", b"2024-06-31"),
        data.replace(b"asked", b"said"),
        data.replace(b"{}", b"[]"),
        data.replace(b'{"n_rows": 2, "asked": "2024-06-15"}', b"2"),
        b"",
    ):
        assert read_rows(damaged) is None


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda each: (
            st.lists(each)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "messages",
                        "collection",
                        "status",
                        "total",
                        "doi",
                        "version",
                        "date",
                        "title",
                        "authors",
                    ]
                ),
                each,
            )
        ),
    )
)
def test_no_json_raises_anything_else(value: Any) -> None:
    for data in (json.dumps(value).encode(), answer(value)):
        try:
            page = read_page(data)
        except DetailsError:
            continue
        for row in page.rows:
            read_row(row)
    if isinstance(value, dict):
        read_row({**ROW, **value})


@pytest.mark.corpus
def test_real_answers_are_read(corpus: Path) -> None:
    folder = corpus / "samples" / "biorxiv"
    pages = [read_page(path.read_bytes()) for path in sorted(folder.glob("details_*rxiv_*.json"))]
    versions = [read_row(row) for page in pages for row in page.rows]
    last = read_row(json.loads((folder / "details_record_funder_2026-04.transcribed.json").read_bytes()))

    assert [page.total for page in pages] == [3, 72]
    assert all(versions)
    assert [version.number for version in versions if version] == [1, 1, 3, 1, 1]
    assert all(version.authors and version.title and version.licence for version in versions if version)
    assert last is not None
    assert (last.number, year_of_doi(last.doi)) == (5, 2021)
