"""What a delivery is, what it holds, and that no bytes whatever break its opening."""

import gzip
import json
import struct
import tarfile
import tracemalloc
import zipfile
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s1mm_assets.archives import Bundle, Kind, Limits, inspect, newest_date, open_bundle
from s1mm_assets.tables import Rejection
from s1mm_assets_tests.archives.packing import (
    PAPER,
    PDF,
    PNG,
    TEX,
    gz,
    gzip_bomb,
    header,
    link,
    tar,
    tar_gz,
    zipped,
)

SMALL = Limits(max_unpacked_bytes=4 << 20, max_members=50)
MECA = {
    "manifest.xml": b"<manifest xmlns='http://manuscriptexchange.org'/>",
    "content/1.xml": b"<?xml version='1.0'?><article article-type='research-article'></article>",
    "content/1.pdf": PDF,
    "content/F1.tif": b"II*\0" + b"\0" * 40,
}
JATS = (
    b"<?xml version='1.0'?>\n<!-- a <p> --><!DOCTYPE article PUBLIC '-//NLM//DTD JATS' 'a.dtd'>\n"
    b"<article xmlns:xlink='x'><front><article-meta><title>T</title></article-meta></front>"
    b"<body><p>a</p></body></article>"
)
BARE_JATS = JATS[JATS.index(b"<article") :]  # as HighWire has it
NLM_META = b"<article><front><journal-meta/></front></article>"
PACKAGE = {
    "P.1/P.1.xml": JATS,
    "P.1/f1.jpg": b"\xff\xd8\xff",
    "P.1/f1.gif": b"GIF89a",
    "P.1/f2.tif": b"MM\0*\0",
}
STUB = b"%auto-ignore\nThis paper has been withdrawn by the author due to an error in \\S 3.\n"
JATS_DEFECT = b"<?xml version='1.0'?><collaborationauthorlist/>"


def brief(value: object) -> str | None:
    """Name a case by the size of its bytes; pytest names the rest."""
    return f"{len(value)}B" if isinstance(value, bytes) else None


# --- kinds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "name", "kind", "rejection", "members"),
    [
        (tar_gz(PAPER), "p.tar.gz", Kind.LATEX, None, ["main.tex", "a.png"]),
        (tar(PAPER), "p.tar.gz", Kind.LATEX, None, ["main.tex", "a.png"]),
        (gz(gz(tar(PAPER))), "p.tar.gz", Kind.LATEX, None, ["main.tex", "a.png"]),
        (zipped(PAPER), "p.gz", Kind.LATEX, None, ["main.tex", "a.png"]),
        (gz(TEX), "2001/2001.00001.gz", Kind.LATEX, Rejection.NO_IMAGES, ["2001.00001.tex"]),
        (gz(TEX), "hep-ph/0001001", Kind.LATEX, Rejection.NO_IMAGES, ["0001001.tex"]),
        (TEX, "", Kind.LATEX, Rejection.NO_IMAGES, ["main.tex"]),
        (PDF, "x.pdf", Kind.PDF, None, ["x.pdf"]),
        (b"\n\n" + PDF, "x.gz", Kind.PDF, None, ["x.pdf"]),
        (gz(PDF), "x.gz", Kind.PDF, None, ["x.pdf"]),
        (
            tar_gz({"x.pdf": PDF, "00README.XXX": b"nohypertex\n"}),
            "x",
            Kind.PDF,
            None,
            ["x.pdf", "00README.XXX"],
        ),
        (tar_gz({"x.pdf": PDF, "anc/code.tex": TEX}), "x", Kind.PDF, None, ["x.pdf", "anc/code.tex"]),
        (tar_gz({"x.pdf": PDF, "y.pdf": PDF}), "x", Kind.UNKNOWN, Rejection.NO_TEX, ["x.pdf", "y.pdf"]),
        (gz(b"%!PS-Adobe-2.0\n"), "x.ps.gz", Kind.POSTSCRIPT, Rejection.POSTSCRIPT, ["x.ps"]),
        (gz(b"%!\n/a 1 def\n"), "x.gz", Kind.POSTSCRIPT, Rejection.POSTSCRIPT, ["x.ps"]),
        (gz(b"\x1b%-12345X@PJL\n%!PS-Adobe\n"), "x", Kind.POSTSCRIPT, Rejection.POSTSCRIPT, ["x.ps"]),
        (b"<!DOCTYPE html><html></html>", "x.gz", Kind.HTML, Rejection.HTML, ["x.html"]),
        (gz(b"<!-- a --> <h1>T</h1>"), "x.html.gz", Kind.HTML, Rejection.HTML, ["x.html"]),
        (tar_gz({"i.htm": b"<html>", "a.png": PNG}), "x", Kind.HTML, Rejection.HTML, ["i.htm", "a.png"]),
        (zipped(MECA | {"content/s.tex": TEX}), "x.meca", Kind.MECA, None, [*MECA, "content/s.tex"]),
        (JATS, "x.xml", Kind.JATS, None, ["x.xml"]),
        (BARE_JATS, "x.nxml", Kind.JATS, None, ["x.xml"]),
        (gz(b" " + JATS), "PMC1.1.xml.gz", Kind.JATS, None, ["PMC1.1.xml"]),
        (b"\xef\xbb\xbf" + JATS, "x", Kind.JATS, None, ["x.xml"]),
        (JATS.decode().encode("utf-16"), "x", Kind.JATS, None, ["x.xml"]),
        (
            BARE_JATS.replace(b"article", b"j:article").replace(b"<front", b"<j:front"),
            "x",
            Kind.JATS,
            None,
            ["x.xml"],
        ),
        (b"<pmc-articleset>" + BARE_JATS, "x", Kind.JATS, None, ["x.xml"]),
        (zipped(PACKAGE), "P.1.zip", Kind.JATS, None, [*PACKAGE]),
        (
            tar(PACKAGE | {"P.1/P.1.pdf": PDF, "P.1/s.pdf": PDF}),
            "P",
            Kind.JATS,
            None,
            [*PACKAGE, "P.1/P.1.pdf", "P.1/s.pdf"],
        ),
        (tar_gz(PACKAGE | {"P.1/s.tex": TEX}), "P", Kind.JATS, None, [*PACKAGE, "P.1/s.tex"]),
        (tar_gz(PAPER | {"meta.xml": NLM_META}), "x", Kind.LATEX, None, [*PAPER, "meta.xml"]),
        (tar_gz({"meta.xml": NLM_META}), "x", Kind.JATS, None, ["meta.xml"]),
        (tar_gz({"x.pdf": PDF, "anc/x.xml": JATS}), "x", Kind.PDF, None, ["x.pdf", "anc/x.xml"]),
        (
            b"<article><info><title>DocBook</title></info></article>",
            "x.xml",
            Kind.HTML,
            Rejection.HTML,
            ["x.html"],
        ),
        (
            tar_gz({"l.xml": b"<?xml version='1.0'?><book><front/></book>"}),
            "x",
            Kind.UNKNOWN,
            Rejection.NO_TEX,
            ["l.xml"],
        ),
        (tar_gz({"l.xml": JATS_DEFECT}), "x", Kind.UNKNOWN, Rejection.NO_TEX, ["l.xml"]),
        (gz(b"\xf7\x02" + b"\0" * 20), "x.gz", Kind.UNKNOWN, Rejection.NO_TEX, ["x.dvi"]),
        (gz(STUB), "x.gz", Kind.UNKNOWN, Rejection.WITHDRAWN, ["x.tex"]),
        (gz(b"%auto-ignore"), "x.gz", Kind.UNKNOWN, Rejection.WITHDRAWN, ["x.tex"]),
        (gz(b"This paper was withdrawn."), "x.gz", Kind.UNKNOWN, Rejection.WITHDRAWN, ["x.tex"]),
    ],
    ids=brief,
)
def test_each_kind_is_known_by_its_content(
    data: bytes, name: str, kind: Kind, rejection: Rejection | None, members: list[str]
) -> None:
    """Neither the name nor the packing decides what a delivery is, but its bytes."""
    bundle = open_bundle(data, name)

    assert (bundle.kind, bundle.rejection, list(bundle.members)) == (kind, rejection, members)
    assert (bundle.evidence is None) == (rejection is None)


@pytest.mark.parametrize(
    ("data", "rejection"),
    [
        (b"", Rejection.EMPTY),
        (gz(b""), Rejection.EMPTY),
        (bytes(10240), Rejection.EMPTY),
        (tar_gz({}), Rejection.EMPTY),
        (tar_gz({"a.tex": b"", "b.eps": b""}), Rejection.EMPTY),
        (zipped({}), Rejection.EMPTY),
        (gz(b" \n\n"), Rejection.EMPTY),
        (b"BZh91AY&SY" + b"\x11" * 50, Rejection.UNSUPPORTED_ARCHIVE),
        (b"\xfd7zXZ\0" + b"\x11" * 50, Rejection.UNSUPPORTED_ARCHIVE),
        (b"\x1f\x9d\x90" + b"\x11" * 50, Rejection.UNSUPPORTED_ARCHIVE),
        (b"\0\x01\x02\x03" * 20, Rejection.CORRUPT),
        (tar_gz(PAPER)[:-5], Rejection.TRUNCATED),
        (tar_gz(PAPER)[:40], Rejection.TRUNCATED),
        (b"\x1f\x8b", Rejection.TRUNCATED),
        (tar(PAPER)[:1100], Rejection.TRUNCATED),  # in a header
        (tar(PAPER)[:600], Rejection.TRUNCATED),  # in a member
        (gz(tar(PAPER)[:600]), Rejection.TRUNCATED),
        (zipped(PAPER)[:-30], Rejection.TRUNCATED),
    ],
    ids=brief,
)
def test_what_cannot_be_read_has_no_members(data: bytes, rejection: Rejection) -> None:
    """Of a damaged or empty delivery nothing is guessed: it has a rejection, evidence and no members."""
    bundle = open_bundle(data, "x.tar.gz")

    assert (bundle.rejection, bundle.members, bundle.n_images) == (rejection, {}, 0)
    assert bundle.evidence


def test_a_wrong_checksum_is_corrupt() -> None:
    """All bytes inflate, the tar is whole, and still the CRC says that they are not what was sent."""
    packed = bytearray(tar_gz(PAPER))
    packed[-6] ^= 1

    assert open_bundle(bytes(packed)).rejection is Rejection.CORRUPT


def test_a_zip_with_a_wrong_checksum_is_corrupt() -> None:
    packed = bytearray(zipped({"main.tex": TEX}))
    packed[packed.index(b"PK\x01\x02") + 16] ^= 1

    assert open_bundle(bytes(packed)).rejection is Rejection.CORRUPT


def test_an_encrypted_zip_is_not_supported() -> None:
    packed = bytearray(zipped({"main.tex": TEX}))
    packed[packed.index(b"PK\x01\x02") + 8] |= 1

    bundle = open_bundle(bytes(packed))

    assert bundle.rejection is Rejection.UNSUPPORTED_ARCHIVE
    assert "encrypted" in (bundle.evidence or "")


def test_gzip_members_are_joined_and_what_follows_is_told() -> None:
    """Concatenated gzip is one file, zeros after it are padding, other bytes are passed over and told of."""
    whole = tar(PAPER)

    joined = open_bundle(gz(whole[:700]) + gz(whole[700:]) + bytes(100))
    littered = open_bundle(gz(whole) + b"litter")

    assert joined.members == PAPER
    assert joined.warnings == ()
    assert littered.members == PAPER
    assert "6 bytes after the end" in littered.warnings[0]


# --- names and what is no file -----------------------------------------------------------------------------


def test_names_are_tidied_and_decoded() -> None:
    """ "./" goes, doubled slashes too, UTF-8 is read as such and anything else as Latin-1."""
    odd = tarfile.TarInfo("tmp-\udce6\udcbf/b.png")  # the bytes e6 bf, which are no UTF-8
    bundle = open_bundle(tar_gz([("./main.tex", TEX), ("figs//ä.png", PNG), ("w\\c.png", PNG), (odd, PNG)]))

    assert list(bundle.members) == ["main.tex", "figs/ä.png", "w/c.png", "tmp-æ¿/b.png"]


@pytest.mark.parametrize("name", ["../a.png", "/etc/a.png", "figs/../../a.png", "C:\\a.png", "..\\a.png"])
def test_members_that_leave_the_folder_are_refused(name: str) -> None:
    """The paper is read without them; where no TeX is left, unsafe_paths says why."""
    pack = [("main.tex", TEX), ("b.png", PNG), (name, PNG)]

    beside_tex = open_bundle(tar_gz(pack))
    alone = open_bundle(tar_gz(pack[2:]))
    without_tex = open_bundle(tar_gz(pack[1:]))

    assert beside_tex.rejection is None
    assert list(beside_tex.members) == ["main.tex", "b.png"]
    assert "leaves the folder" in beside_tex.warnings[0]
    assert (alone.rejection, alone.members) == (Rejection.UNSAFE_PATHS, {})
    assert without_tex.rejection is Rejection.UNSAFE_PATHS


def test_zip_members_that_leave_the_folder_are_refused() -> None:
    bundle = open_bundle(zipped({"../a.png": PNG, **PAPER}))

    assert list(bundle.members) == list(PAPER)
    assert bundle.warnings


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "character device"),
        (tarfile.FIFOTYPE, "named pipe"),
    ],
)
def test_links_and_devices_are_not_followed(kind: bytes, what: str) -> None:
    bundle = open_bundle(
        tar_gz([("main.tex", TEX), (link("a.png", "/etc/passwd", kind), b""), ("b.png", PNG)])
    )

    assert list(bundle.members) == ["main.tex", "b.png"]
    assert bundle.warnings == (f"'a.png' is a {what}: passed over",)


def test_symbolic_links_in_a_zip_are_not_followed(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("a.png", (2011, 2, 3, 4, 5, 6))
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as container:
        container.writestr("main.tex", TEX)
        container.writestr(info, "/etc/passwd")

    bundle = open_bundle((tmp_path / "z.zip").read_bytes())

    assert list(bundle.members) == ["main.tex"]
    assert "symbolic link" in bundle.warnings[0]


def test_of_two_members_with_one_name_the_later_counts() -> None:
    bundle = open_bundle(tar_gz([("main.tex", b"old"), ("a.png", PNG), ("./main.tex", TEX)]))

    assert bundle.members["main.tex"] == TEX
    assert "twice" in bundle.warnings[0]


def test_what_a_mac_adds_is_no_part_of_the_paper() -> None:
    bundle = open_bundle(
        tar_gz({"__MACOSX/main.tex": TEX, "._main.tex": b"\0\5\x16\7", "a/.DS_Store": b"\0", **PAPER})
    )

    assert bundle.members == PAPER


def test_long_names_of_both_dialects_are_read() -> None:
    """GNU and PAX put a path of more than 100 bytes in an entry of its own."""
    name = "figures/" + "x" * 200 + "ä.png"
    for dialect in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        bundle = open_bundle(gz(tar({"main.tex": TEX, name: PNG}, format=dialect)))

        assert list(bundle.members) == ["main.tex", name]


def test_a_path_too_long_is_refused() -> None:
    bundle = open_bundle(tar_gz({**PAPER, "x" * 2000 + ".png": PNG}))

    assert list(bundle.members) == list(PAPER)
    assert "too long" in bundle.warnings[0]


# --- what is TeX, what is an image -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "is_paper"),
    [
        ("paper", TEX, True),
        ("paper.v2", b"\\documentstyle[12pt]{article}\r\\begin{document}", True),
        ("paper.txt", b"\\magnification=1200\n\\hsize=6in\nText \\bye", True),
        ("paper.tex", b"Text without a mark", True),
        ("paper.tex", b"%!\n" + TEX, True),
        ("paper.TEX", b"%!TeX root = x.tex\n" + TEX, True),
        ("paper.tex", "\ufeff\\documentclass{a}".encode("utf-16-le"), True),
        ("README", b"Run \\def once. No TeX.", False),
        ("article.cls", TEX, False),
        ("paper.bbl", b"\\begin{thebibliography}", False),
        ("paper.tex", PDF, False),
    ],
    ids=brief,
)
def test_tex_is_known_with_and_without_its_extension(name: str, content: bytes, is_paper: bool) -> None:
    assert (open_bundle(tar_gz({name: content, "a.png": PNG})).kind is Kind.LATEX) == is_paper


def test_images_are_counted_by_content_and_names_fill_in() -> None:
    """Six can be shown: an EPS without its first line by its name, a JPEG called .dat by its content."""
    members = {
        "main.tex": TEX,
        "a.pdf": PDF,
        "b": b"%!PS-Adobe-3.0 EPSF-3.0\n",
        "c.eps": b"%%BoundingBox: 0 0 1 1\n",
        "d.eps": b"\xc5\xd0\xd3\xc6" + b"\0" * 30,
        "e.svg": b"<?xml version='1.0'?>\n<svg xmlns='s'/>",
        "f.dat": b"\xff\xd8\xff\xe0" + b"\0" * 30,
        "g.dat": b"1 2\n3 4\n",
        "h.png": b"",
    }

    assert open_bundle(tar_gz(members)).n_images == 6


def test_images_of_every_kind_that_publishers_send_are_counted() -> None:
    """TIFF in both byte orders, BigTIFF, JPEG without an extension, GIF; not the XML or a spreadsheet."""
    images = {
        "a.tif": b"II*\0",
        "b.tif": b"MM\0*",
        "c.tif": b"II+\0",
        "d_fig1": b"\xff\xd8\xff",
        "e.gif": b"GIF89a",
    }

    assert open_bundle(zipped(MECA | images)).n_images == 7  # with its own TIFF and its PDF
    assert open_bundle(tar(images | {"p.xml": JATS, "t.xlsx": b"\0\1"})).n_images == 5


def test_auto_ignore_inside_a_living_paper_withdraws_nothing() -> None:
    """arXiv marks files that are not to be run on their own in the same way."""
    beside = open_bundle(tar_gz({**PAPER, "sec.tex": b"%auto-ignore\n\\section{One}"}))
    alone = open_bundle(gz(b"%auto-ignore\n" + TEX + b"% consent was withdrawn"))

    assert (beside.kind, beside.rejection) == (Kind.LATEX, None)
    assert (alone.kind, alone.rejection) == (Kind.LATEX, Rejection.NO_IMAGES)


def test_nested_archives_are_laid_beside_themselves() -> None:
    """As arXiv unpacks an upload: kept, opened, nothing replaced; a damaged one stays closed."""
    damaged = tar_gz({"c.png": PNG})[:-4]
    members = {"f/main.tex": TEX, "f/i.tar.gz": tar_gz({"b.png": PNG, "main.tex": b"no"}), "j.zip": damaged}

    bundle = open_bundle(zipped(members))

    assert list(bundle.members) == ["f/main.tex", "f/i.tar.gz", "j.zip", "f/b.png"]
    assert bundle.members["f/main.tex"] == TEX
    assert "'j.zip' inside is truncated" in bundle.warnings[0]


# --- limits ------------------------------------------------------------------------------------------------

DEEP = tar_gz({**PAPER, "x.tar.gz": gzip_bomb(8, header(b"z", b"%011o\0" % (8 << 20)))})


@pytest.mark.parametrize(
    ("data", "limits"),
    [
        (gzip_bomb(64), SMALL),
        (gzip_bomb(64, tar(PAPER)), SMALL),  # hidden behind the end of a sound tar
        (gzip_bomb(64, header(b"a", b"%011o\0" % (64 << 20))), SMALL),
        (gz(gzip_bomb(64)), SMALL),
        (zipped({"main.tex": TEX, "a.eps": bytes(64 << 20)}), SMALL),
        (zipped({"main.tex": TEX, "z.zip": zipped({"a.eps": bytes(64 << 20)})}), SMALL),
        (DEEP, SMALL),
        (header(b"a", b"\x80" + b"\0" * 4 + b"\x0f" * 7), SMALL),  # declares an exabyte
        (header(b"a", b"77777777777\0"), SMALL),
        (gzip_bomb(3), Limits(ratio_free_bytes=1 << 20)),
        (tar_gz({f"{i}.tex": b"" for i in range(60)}), SMALL),
        (zipped({f"{i}.tex": b"" for i in range(60)}), SMALL),
        (gz(b"") * 60 + gz(TEX), SMALL),
        (tar_gz(PAPER), Limits(max_packed_bytes=100)),
    ],
    ids=brief,
)
def test_what_exceeds_a_limit_is_too_large_and_takes_no_memory(data: bytes, limits: Limits) -> None:
    """Bombs are met while they inflate: what was allocated stays near the limit."""
    tracemalloc.start()
    bundle = open_bundle(data, "x.tar.gz", limits)
    newest_date(data, limits)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (bundle.rejection, bundle.members) == (Rejection.TOO_LARGE, {})
    assert peak < 12 << 20


def test_a_zip_that_understates_its_sizes_is_counted_as_it_inflates() -> None:
    packed = bytearray(zipped({"a.eps": bytes(64 << 20)}))
    for magic, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = packed.index(magic) + at
        packed[start : start + 4] = struct.pack("<I", 100)

    assert open_bundle(bytes(packed), limits=SMALL).rejection in (Rejection.TOO_LARGE, Rejection.CORRUPT)


def test_a_zip_of_too_many_members_is_not_listed() -> None:
    """Its directory would take a hundred times its bytes as objects."""
    packed = zipped({"a": b""})
    start, end = packed.index(b"PK\x01\x02"), packed.index(b"PK\x05\x06")
    directory = packed[start:end] * 50_000
    closing = packed[end : end + 12] + struct.pack("<II", len(directory), start) + packed[end + 20 :]
    tracemalloc.start()
    bundle = open_bundle(packed[:start] + directory + closing)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert bundle.rejection is Rejection.TOO_LARGE
    assert peak < 4 * len(directory)


def test_gzip_that_holds_itself_ends() -> None:
    data = TEX
    for _ in range(10):
        data = gz(data)

    assert open_bundle(data).rejection is Rejection.UNSUPPORTED_ARCHIVE


def test_an_extended_header_of_any_size_is_not_kept() -> None:
    data = header(b"a", b"%011o\0" % (3 << 20), b"x") + bytes(3 << 20)

    assert open_bundle(data).rejection is Rejection.CORRUPT


@pytest.mark.parametrize("records", [b" ", b"x", b"0 ", b"2 ", b"5", b"99 a=b\n", b"-1 a=b\n", b"\xb2 a=b\n"])
def test_pax_records_that_lead_nowhere_end_the_reading_of_them(records: bytes) -> None:
    """Lengths of nothing, of less than themselves and beyond the end: read no further, and never in a circle."""
    extended = header(b"p", b"%011o\0" % len(records), b"x") + records.ljust(512, b"\0")

    assert open_bundle(extended + tar(PAPER)).members == PAPER


# --- inspection --------------------------------------------------------------------------------------------


def test_an_inspection_counts_what_was_read() -> None:
    inspection = inspect(tar_gz(PAPER), "2001.00001")

    assert (inspection.n_members, inspection.n_images) == (2, 1)
    assert inspection.unpacked_bytes == len(TEX) + len(PNG)
    assert inspection.newest_date == "2010-01-01"
    assert len(inspection.sha256) == 64


def test_an_inspection_of_damage_counts_nothing() -> None:
    inspection = inspect(tar_gz(PAPER)[:-1], "2001.00001")

    assert inspection.rejection is Rejection.TRUNCATED
    assert (inspection.n_members, inspection.n_images, inspection.unpacked_bytes) == (None, None, None)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (tar_gz(PAPER), "2010-01-01"),
        (zipped(PAPER), "2011-02-03"),
        (PDF, "2012-03-04"),
        (gzip.compress(TEX, mtime=1_600_000_000), "2020-09-13"),
        (gz(TEX), None),
        (gzip.compress(TEX, mtime=4_000_000_000), None),  # a clock of 2096
        (b"", None),
        (tar(PAPER)[:600], "2010-01-01"),
    ],
    ids=brief,
)
def test_the_newest_date_is_that_of_a_clock_that_was_set(data: bytes, expected: str | None) -> None:
    assert newest_date(data) == expected
    assert open_bundle(data).newest_date == expected
    assert expected is None or date.fromisoformat(expected)


# --- any bytes ---------------------------------------------------------------------------------------------

SEEDS = [tar_gz(PAPER), tar(PAPER), zipped(PAPER), zipped(MECA), gz(TEX), PDF, DEEP, gz(zipped(PAPER))]
SEEDS += [JATS, zipped(PACKAGE)]
SEEDS.append(tar({"x" * 150 + ".tex": TEX, "b.png": PNG}, format=tarfile.PAX_FORMAT))


@st.composite
def damaged_bundles(draw: st.DrawFn) -> bytes:
    """A sound bundle with bytes changed, cut, doubled; gzipped anew or not."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.sampled_from(["flip", "cut", "double", "insert"])):
            case "flip" if data:
                data[at] ^= draw(st.integers(1, 255))
            case "cut":
                del data[at:]
            case "double":
                data += data[at : at + 3000]
            case _:
                data[at:at] = draw(st.binary(max_size=40))
    return gz(bytes(data)) if draw(st.booleans()) else bytes(data)


@st.composite
def forged_tars(draw: st.DrawFn) -> bytes:
    """Headers with sound checksums that declare what they like, with data that need not follow."""
    parts = []
    for _ in range(draw(st.integers(1, 5))):
        n_bytes = draw(st.integers(0, 1500))
        size = draw(st.one_of(st.just(b"%011o\0" % n_bytes), st.binary(min_size=12, max_size=12)))
        kind = draw(st.sampled_from([bytes([each]) for each in b"01256LKxXgS\0Z"]))
        name = draw(
            st.one_of(st.sampled_from([b"m.tex", b"../x", b"/x", b"a/", b""]), st.binary(max_size=99))
        )
        content = draw(
            st.sampled_from([b"30 path=../../x\n", b"99999999999 a=b\n", b"12 size=9\n", TEX, b"\xff" * 9])
        )
        data = (content * 100)[:n_bytes]
        parts += [header(name, size, kind), data, bytes(draw(st.sampled_from([0, -n_bytes % 512])))]
    return b"".join(parts)


def holds_together(bundle: Bundle, limits: Limits) -> bool:
    """What is so of every bundle."""
    return (
        bundle.unpacked_bytes == sum(map(len, bundle.members.values()))
        and bundle.unpacked_bytes <= 2 * limits.max_unpacked_bytes
        and (bundle.rejection is None) == (bundle.evidence is None)
        and (bool(bundle.members) or bundle.rejection is not None)
        and not any(path.startswith("/") or ".." in path.split("/") for path in bundle.members)
    )


@settings(max_examples=200, deadline=None)
@given(st.one_of(damaged_bundles(), forged_tars(), st.binary(max_size=2000)))
def test_any_bytes_give_a_bundle(data: bytes) -> None:
    """Nothing raises, names stay inside, and a bundle without members says why."""
    bundle = open_bundle(data, "x.gz", SMALL)

    assert holds_together(bundle, SMALL)
    newest_date(data, SMALL)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0/\\"), min_size=1, max_size=120),
        st.binary(max_size=2000),
        max_size=8,
    ),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_what_was_packed_comes_out(members: dict[str, bytes], dialect: int) -> None:
    """Every member of a sound tar is there with its bytes, in order, but for what a Mac adds."""
    bundle = open_bundle(gz(tar({"m.tex": TEX} | members, format=dialect)))

    kept = {
        name: content
        for name, content in ({"m.tex": TEX} | members).items()
        if name not in (".", "..", "__MACOSX", ".DS_Store") and not name.startswith("._")
    }
    assert bundle.members == kept
    assert list(bundle.members) == list(kept)


# --- real papers -------------------------------------------------------------------------------------------


@pytest.mark.corpus
def test_odd_deliveries_get_the_answers_of_careful_readers(corpus: Path) -> None:
    """Every odd bundle gets the expected answer; `ok` and `pdf_only` are bundles without a rejection."""
    wrong = {}
    cases = (corpus / "gt" / "latex_odd.jsonl").read_text().splitlines()
    for case in map(json.loads, cases):
        file = case["file"]
        bundle = open_bundle((corpus / "latex" / "odd" / file).read_bytes(), file)
        accepted = "pdf_only" if bundle.kind is Kind.PDF else "ok"
        answer = bundle.rejection.value if bundle.rejection else accepted
        if answer != case["expected"]:
            wrong[file] = (answer, case["expected"])

    assert wrong == {}


@pytest.mark.corpus
def test_real_papers_are_accepted_as_latex(corpus: Path) -> None:
    """No real paper is turned away; those without an image file are known as such, and still have members."""
    without_images = set()
    for path in sorted((corpus / "latex").glob("*.gz")):
        bundle = open_bundle(path.read_bytes(), path.name)
        assert bundle.kind is Kind.LATEX, path.name
        assert bundle.members
        if bundle.rejection:
            assert bundle.rejection is Rejection.NO_IMAGES, path.name
            without_images.add(path.name.split(".tar")[0])

    assert {"afm-polch_tex", "afm-upload3", "afm-upload4.gz"} <= without_images
    assert len(without_images) == 6
