"""MinerU's output in a folder: where it is looked for, and what is said when it is not there."""

import json
from pathlib import Path

import numpy as np
import pytest

from s1mm_assets.extraction.pdf.layout import LayoutBox, LayoutError, PageView
from s1mm_assets.resources.layout_detectors.mineru_files import MinerUFiles, digest_of
from s1mm_assets.tables import Rejection

PAGES = [PageView(number, 600, 800, lambda dpi: np.zeros((1, 1, 3), dtype=np.uint8)) for number in (0, 2, 1)]


def write(path: Path, *, right: int = 500, number: int = 1) -> None:
    """Write a file with one figure, which can be told from others by its right side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = {"type": "image", "bbox": [0, 0, right, 500], "page_idx": number}
    path.write_text(json.dumps([entry]))


def rights(boxes: list[tuple[LayoutBox, ...]]) -> list[list[float]]:
    return [[box.bbox.x1 for box in page] for page in boxes]


@pytest.mark.parametrize(
    ("turn", "size", "expected"),
    [
        (0, (600, 800), (60, 80, 300, 160)),
        (90, (800, 600), (640, 60, 720, 300)),
        (270, (800, 600), (80, 300, 160, 540)),
    ],
)
def test_boxes_are_turned_with_their_page(
    turn: int, size: tuple[float, float], expected: tuple[float, ...], tmp_path: Path
) -> None:
    """A page on its side is turned to be read; MinerU saw it as the file has it, 600 points wide."""
    boxes = [{"type": "image", "bbox": [60, 80, 300, 160]}]
    page = {"page_idx": 0, "page_size": [600, 800], "para_blocks": boxes}
    (tmp_path / "p_middle.json").write_text(json.dumps({"pdf_info": [page]}))

    [[box]] = MinerUFiles(tmp_path)("p", b"", [PageView(0, *size, PAGES[0].draw, turn)])

    assert box.bbox == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("2301.00001", "2301.00001_middle.json"),
        ("2301.00001", "2301.00001_content_list.json"),
        ("2301.00001", "2301.00001_model.json"),
        ("2301.00001", "2301.00001.json"),
        ("2301.00001", "2301.00001/2301.00001_middle.json"),
        ("2301.00001", "2301.00001/auto/2301.00001_middle.json"),
        ("2301.00001", "2301.00001/vlm/2301.00001_content_list.json"),
        ("hep-ph/0001001", "hep-ph0001001_middle.json"),
        ("hep-ph/0001001", "hep-ph_0001001/auto/hep-ph_0001001_middle.json"),
        ("a paper [1] *", "a paper [1] *_middle.json"),
    ],
)
def test_a_file_is_found_where_mineru_writes_it(name: str, path: str, tmp_path: Path) -> None:
    """Its boxes come in the order of the pages that are asked for."""
    write(tmp_path / path)
    write(tmp_path / "other_middle.json", right=900)

    assert rights(MinerUFiles(tmp_path)(name, b"", PAGES)) == [[], [], [300.0]]


def test_the_first_file_that_can_be_read_is_taken(tmp_path: Path) -> None:
    """The order does not depend on the folder's: middle.json first, unreadable ones passed over."""
    for method, right in (("vlm", 100), ("auto", 200), ("ocr", 300)):
        write(tmp_path / "p" / method / "p_middle.json", right=right)
    assert rights(MinerUFiles(tmp_path)("p", b"", PAGES))[2] == [120.0]

    write(tmp_path / "p_content_list.json", right=400)
    assert rights(MinerUFiles(tmp_path)("p", b"", PAGES))[2] == [240.0]

    write(tmp_path / "p_middle.json", right=500)
    assert rights(MinerUFiles(tmp_path)("p", b"", PAGES))[2] == [300.0]

    (tmp_path / "p_middle.json").write_bytes(b"{}")
    assert rights(MinerUFiles(tmp_path)("p", b"", PAGES))[2] == [240.0]


@pytest.mark.parametrize("name", ["absent", "", ".", "..", "../secret", "a" * 5000, "nul\0", "/etc/passwd"])
def test_a_paper_without_files_is_told_apart_from_one_without_figures(name: str, tmp_path: Path) -> None:
    """It says what is missing, which can be mended, and never looks outside the folder."""
    for stem in ("secret", "..", "here/", "here/."):
        write(tmp_path / f"{stem}_middle.json")
    write(tmp_path / "here" / "other_middle.json")

    with pytest.raises(LayoutError, match="no MinerU output of this paper") as missing:
        MinerUFiles(tmp_path / "here")(name, b"", PAGES)

    assert missing.value.rejection is Rejection.RENDERER_MISSING
    assert str(tmp_path) not in missing.value.evidence


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    """Also where other files of the paper cannot be read either: the first reason counts."""
    (tmp_path / "p_middle.json").write_bytes(b"garbage")
    (tmp_path / "p_content_list.json").write_bytes(b"3")

    with pytest.raises(LayoutError, match="not JSON") as unreadable:
        MinerUFiles(tmp_path)("p", b"", PAGES)

    assert unreadable.value.rejection is Rejection.UNDECODABLE


def test_the_digest_follows_the_files(tmp_path: Path) -> None:
    """Another file, or another size, is another digest; pictures do not count."""
    write(tmp_path / "a" / "a_middle.json", right=100)
    before = digest_of(tmp_path)

    (tmp_path / "a" / "images.jpg").write_bytes(b"")
    assert digest_of(tmp_path) == before
    write(tmp_path / "a" / "a_middle.json", right=99)
    smaller = digest_of(tmp_path)
    write(tmp_path / "b_middle.json")

    assert len({before, smaller, digest_of(tmp_path)}) == 3


@pytest.mark.corpus
def test_real_output_is_found_by_the_name_of_its_paper(corpus: Path) -> None:
    """A folder as version 2.7 filled it."""
    pages = [PageView(number, 612, 792, PAGES[0].draw) for number in range(9)]

    boxes = MinerUFiles(corpus / "mineru")("AAAI-26_camera_ready_version_22735", b"", pages)

    assert [sum(box.kind == "figure" for box in page) for page in boxes] == [0, 0, 1, 1, 0, 1, 1, 0, 0]
