"""MinerU's files of every generation, and what a file from elsewhere cannot do."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.extraction.pdf import mineru
from s1mm_assets.extraction.pdf.layout import LayoutBox, LayoutError
from s1mm_assets.extraction.pdf.mineru import boxes_of

WIDTH, HEIGHT = 600.0, 800.0
SIZES = dict.fromkeys(range(3), (WIDTH, HEIGHT))
BODY, CAPTION, TEXT, HEAD = [60, 80, 540, 400], [60, 420, 540, 480], [60, 500, 540, 700], [60, 16, 540, 32]
EXPECTED = [
    ("figure", tuple(BODY)),
    ("figure_caption", tuple(CAPTION)),
    ("text", tuple(TEXT)),
    ("furniture", tuple(HEAD)),
]
GARBAGE: list[Any] = [
    None,
    True,
    "x",
    [],
    {},
    [1, 2, 3],
    ["a"] * 4,
    [None] * 4,
    [True] * 4,
    [[1], 2, 3, 4],
    10**400,
]


def before_4(
    *, corners: Any = BODY, number: Any = 1, size: Any = (WIDTH, HEIGHT), **page: Any
) -> dict[str, Any]:
    """A middle.json of version 0.x to 3.x."""
    span = {"type": "image", "bbox": corners, "score": 0.75}
    parts = [
        {"type": "image_body", "bbox": corners, "lines": [{"bbox": corners, "spans": [span]}]},
        {"type": "image_caption", "bbox": CAPTION, "lines": [{"bbox": CAPTION, "spans": []}]},
    ]
    blocks = [{"type": "image", "bbox": [60, 80, 540, 480], "blocks": parts}, {"type": "text", "bbox": TEXT}]
    head = [{"type": "discarded", "bbox": HEAD}]
    stated = {"page_idx": number, "page_size": size, "para_blocks": blocks, "discarded_blocks": head}
    return {"pdf_info": [stated | page], "_version_name": "2.7.6"}


def since_4(*, corners: Any = BODY, number: Any = 1) -> dict[str, Any]:
    """A middle.json of version 4."""
    body = {"type": "image_body", "bbox": parts_of_one(corners), "image_base64": "data:,"}
    caption = {
        "type": "image_caption",
        "bbox": parts_of_one(CAPTION),
        "content": [{"type": "text", "content": "Fig"}],
    }
    blocks = [
        {"type": "image", "bbox": parts_of_one(BODY), "content": [body, caption]},
        {"type": "text", "bbox": parts_of_one(TEXT), "content": [{"type": "text", "content": "in a _body"}]},
        {"type": "header", "bbox": parts_of_one(HEAD), "content": []},
    ]
    return {"schema": "docvortex.middle", "pages": [{"page_idx": number, "blocks": blocks}]}


def content_list(*, corners: Any = BODY, number: Any = 1) -> list[dict[str, Any]]:
    kinds = [("image", corners), ("text", TEXT), ("header", HEAD)]
    return [{"type": kind, "bbox": parts_of_one(at, 1000), "page_idx": number} for kind, at in kinds]


def model(*, corners: Any = BODY, number: Any = 1) -> list[dict[str, Any]]:
    """A model.json, at 144 dots per inch."""
    detected = [
        {"category_id": category, "poly": polygon(at), "score": 0.75}
        for category, at in ((3, corners), (4, CAPTION), (1, TEXT), (2, HEAD), (15, TEXT), (13, TEXT))
    ]
    return [{"layout_dets": detected, "page_info": {"page_no": number, "width": 1200, "height": 1600}}]


def parts_of_one(corners: Any, whole: float = 1) -> Any:
    """Corners in points as parts of the page; what are no corners, as they are."""
    if corners not in (BODY, CAPTION, TEXT, HEAD):
        return corners
    return [at / of * whole for at, of in zip(corners, (WIDTH, HEIGHT) * 2, strict=True)]


def polygon(corners: Any) -> Any:
    if corners not in (BODY, CAPTION, TEXT, HEAD):
        return corners * 2 if isinstance(corners, list) else corners
    x0, y0, x1, y1 = (2 * at for at in corners)
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def read(document: Any) -> dict[int, tuple[LayoutBox, ...]]:
    return boxes_of(json.dumps(document).encode(), SIZES)


def seen(boxes: tuple[LayoutBox, ...]) -> list[tuple[str, tuple[float, ...]]]:
    return [(box.kind, tuple(box.bbox)) for box in boxes]


@pytest.mark.parametrize("write", [before_4, since_4, model])
def test_the_same_page_reads_the_same_in_every_schema(write: Any) -> None:
    """Points, fractions and pixels, parts and flat lists: the same boxes of the same kinds."""
    assert {number: seen(boxes) for number, boxes in read(write()).items()} == {1: EXPECTED}


def test_a_content_list_has_no_captions() -> None:
    """Its entries are whole figures with the caption as text, so that only the figure has a box."""
    assert seen(read(content_list())[1]) == [EXPECTED[0], *EXPECTED[2:]]


@pytest.mark.parametrize(
    ("write", "score"), [(before_4, 0.75), (model, 0.75), (since_4, 1.0), (content_list, 1.0)]
)
def test_a_score_is_handed_on_where_there_is_one(write: Any, score: float) -> None:
    """Schemas without scores say 1."""
    assert read(write())[1][0].score == score


@pytest.mark.parametrize("score", [*GARBAGE, 1.5, -0.5, float("nan")], ids=repr)
def test_a_score_that_is_none_counts_as_one(score: Any) -> None:
    """As from the schemas without scores."""
    document = model()
    document[0]["layout_dets"][0]["score"] = score

    assert read(document)[1][0].score == 1.0


def test_headings_are_titles_in_a_flat_list() -> None:
    """Text with a level is a heading."""
    entry = {"type": "text", "text_level": 1, "bbox": [0, 0, 500, 100], "page_idx": 0}

    assert seen(read([entry])[0]) == [("title", (0, 0, 300, 80))]


def test_a_figure_without_a_body_is_a_figure_all_the_same() -> None:
    """Its own box counts, beside its caption's."""
    block = {"type": "chart", "bbox": BODY, "blocks": [{"type": "chart_caption", "bbox": CAPTION}]}

    assert seen(read(before_4(para_blocks=[block], discarded_blocks=[]))[1]) == EXPECTED[:2]


def test_kinds_that_are_new_are_other() -> None:
    """A type that no version has yet is a box of unknown content, not an error."""
    blocks = [{"type": kind, "bbox": TEXT} for kind in ("hologram", None, 3, ["image"])]

    assert {kind for kind, _ in seen(read(before_4(para_blocks=blocks, discarded_blocks=[]))[1])} == {"other"}


def test_boxes_follow_the_size_of_the_page() -> None:
    """A page stated in other units than points is stretched to the page that there is."""
    document = json.dumps(before_4(size=(300, 400), corners=[30, 40, 270, 200])).encode()

    assert boxes_of(document, SIZES)[1][0].bbox == (60, 80, 540, 400)


def test_boxes_end_where_the_page_ends() -> None:
    """A box that hangs over is cut; one that is elsewhere is none."""
    over, outside = [-50, -50, 900, 100], [700, 100, 900, 300]
    blocks = [{"type": "text", "bbox": over}, {"type": "text", "bbox": outside}]

    assert seen(read(before_4(para_blocks=blocks, discarded_blocks=[]))[1]) == [("text", (0, 0, 600, 100))]


@pytest.mark.parametrize("write", [before_4, since_4, content_list, model])
@pytest.mark.parametrize(
    "corners",
    [
        *GARBAGE,
        [float("nan")] * 4,
        [False, False, True, True],
        [float("inf"), 0, 1, 1],
        [0, 0, float("-inf"), 1],
        [540, 400, 60, 80],
        [60, 80, 60, 400],
        [10**400, 0, 10**400, 1],
        [1e300, 1e300, 1e308, 1e308],
        [-9, -9, -5, -5],
    ],
    ids=repr,
)
def test_what_is_no_box_is_passed_over(write: Any, corners: Any) -> None:
    """The other boxes of the page are still read."""
    kinds = [kind for kind, _ in seen(read(write(corners=corners))[1])]

    assert "figure" not in kinds
    assert "text" in kinds


@pytest.mark.parametrize("write", [before_4, since_4, content_list, model])
@pytest.mark.parametrize("number", [*GARBAGE, -1, 3, 10**30, 1.0, "1", float("nan")], ids=repr)
def test_a_page_that_is_not_there_has_no_boxes(write: Any, number: Any) -> None:
    """A file about other pages than are asked for says nothing of these."""
    assert not any(read(write(number=number)).values())


@pytest.mark.parametrize("size", [*GARBAGE, [0, 0], [-600, -800], [800, 600], [float("nan"), 800]], ids=repr)
def test_a_page_of_another_shape_is_another_page(size: Any) -> None:
    """Boxes are not stretched over a page that they were not drawn on."""
    fitting, other = before_4(number=0)["pdf_info"], before_4(size=size)["pdf_info"]

    assert set(read({"pdf_info": fitting + other})) == {0}


def test_a_content_list_without_boxes_says_so() -> None:
    """Versions before 2 wrote none into it."""
    with pytest.raises(LayoutError, match="too old to say where"):
        read([{"type": "image", "img_path": "images/a.jpg", "page_idx": 0}])


@pytest.mark.parametrize("document", [[], {"pdf_info": []}, {"pages": []}, {"pdf_info": [{"page_idx": 0}]}])
def test_a_paper_without_anything_has_no_boxes(document: Any) -> None:
    """An empty document is no error."""
    assert not any(read(document).values())


def spoilt(node: Any, key: str, value: Any) -> Any:
    """A document with another value wherever it has this key."""
    if isinstance(node, list):
        return [spoilt(each, key, value) for each in node]
    if isinstance(node, dict):
        return {name: value if name == key else spoilt(each, key, value) for name, each in node.items()}
    return node


@pytest.mark.parametrize("value", GARBAGE, ids=repr)
@pytest.mark.parametrize(
    ("write", "key"),
    [
        *((before_4, key) for key in ("para_blocks", "discarded_blocks", "blocks", "lines", "spans", "type")),
        *((since_4, key) for key in ("blocks", "content", "type")),
        *((model, key) for key in ("layout_dets", "page_info", "category_id")),
    ],
)
def test_what_is_no_block_is_passed_over(write: Any, key: str, value: Any) -> None:
    """Wherever a page holds something else than it should, the page beside it is still read."""
    sound, bad = write(number=1), spoilt(write(number=2), key, value)
    if isinstance(sound, dict):
        [pages] = (name for name in ("pdf_info", "pages") if name in sound)
        sound[pages] += bad[pages]
    else:
        sound += bad

    assert seen(read(sound)[1]) == EXPECTED


@pytest.mark.parametrize(
    "document",
    [
        *(
            b"",
            b"\0",
            b"\xff\xfe",
            b"{",
            b'"pages"',
            b"3",
            b"null",
            b"{}",
            b'{"pages": 3}',
            b'{"pdf_info": {}}',
        ),
        *(b"[" * 100_000, b'{"pages":' * 100_000, b"1" * 10_000, b'{"pages": [' + b"9" * 10_000 + b"]}"),
        b'{"\\ud800": 1}',
    ],
    ids=lambda document: repr(document[:12]),
)
def test_what_is_none_of_these_files_is_refused(document: bytes) -> None:
    """Any bytes at all: one error, with a reason, and no other."""
    with pytest.raises(LayoutError, match="MinerU's file"):
        boxes_of(document, SIZES)


def test_a_file_is_read_only_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither more bytes than are fair nor more values, which take far more memory than their bytes."""
    monkeypatch.setattr(mineru, "MAX_BYTES", 2**20)
    with pytest.raises(LayoutError, match="larger than 1 MiB"):
        boxes_of(b" " * (2**20 + 1), SIZES)

    monkeypatch.undo()
    with pytest.raises(LayoutError, match="4000000 values"):
        boxes_of(b"[" + b"{}," * 2_500_000 + b"{}]", SIZES)


def test_a_page_has_at_most_so_many_boxes() -> None:
    """The rest is left out, page by page, however it is spread over the file."""
    entry = {"type": "image", "bbox": [0, 0, 500, 500], "page_idx": 0}

    boxes = read([entry] * (mineru.MAX_BOXES_PER_PAGE + 9) + [entry | {"page_idx": 2}])

    assert {number: len(found) for number, found in boxes.items()} == {0: mineru.MAX_BOXES_PER_PAGE, 2: 1}


KEYS = st.sampled_from(
    [
        *("pdf_info", "pages", "blocks", "content", "para_blocks", "preproc_blocks", "discarded_blocks"),
        *("layout_dets", "page_info", "page_no", "page_idx", "page_size", "lines", "spans"),
        *("type", "bbox", "poly", "score"),
    ]
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["image", "image_body", "text"])
)
NUMBERS = st.lists(st.floats(-2, 2) | st.integers(-900, 900), min_size=4, max_size=4)
VALUES = st.recursive(
    SCALARS | NUMBERS,
    lambda some: st.lists(some, max_size=3) | st.dictionaries(KEYS, some, max_size=4),
    max_leaves=12,
)
BLOCKS = st.lists(st.dictionaries(KEYS, VALUES, max_size=5), max_size=3)


@given(
    BLOCKS.map(lambda blocks: {"pdf_info": [{"page_idx": 0, "page_size": [6, 8], "para_blocks": blocks}]})
    | BLOCKS.map(lambda blocks: {"pages": [{"page_idx": 0, "blocks": blocks}]})
    | st.dictionaries(KEYS, VALUES)
    | st.lists(st.dictionaries(KEYS, VALUES))
    | VALUES
)
def test_whatever_a_file_holds_gives_boxes_on_the_page_or_a_reason(document: Any) -> None:
    """No other error, and no box outside its page, empty, or with a score that is none."""
    try:
        found = read(document)
    except LayoutError:
        return
    for box in (box for boxes in found.values() for box in boxes):
        assert 0 <= box.bbox.x0 < box.bbox.x1 <= WIDTH
        assert 0 <= box.bbox.y0 < box.bbox.y1 <= HEIGHT
        assert 0 <= box.score <= 1


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("stem", "size", "n_pages", "figures", "captions"),
    [
        ("demo1_middle", (544, 743), 13, 5, 5),  # version 0.10
        ("demo1_model", (544, 743), 13, 5, 5),
        ("AAAI-26_camera_ready_version_22735_middle", (612, 792), 9, 4, 5),  # 2.7
        ("AAAI-26_camera_ready_version_22735_model", (612, 792), 9, 4, 7),
        ("AAAI-26_camera_ready_version_22735_content_list", (612, 792), 9, 4, 0),
        ("v4_flash_mineru_demo1_middle", (544, 743), 13, 8, 5),  # 4.0: three logos on the first page
        ("v4_flash_mineru_demo1_content_list", (544, 743), 13, 8, 0),
        ("v4_flash_pq_10.1038_s41467-024-46676-z_middle", (595.276, 790.866), 13, 7, 12),
    ],
)
def test_real_files_of_three_generations(
    corpus: Path, *, stem: str, size: tuple[float, float], n_pages: int, figures: int, captions: int
) -> None:
    """What MinerU itself wrote of three papers is read whole."""
    document = (corpus / "mineru" / f"{stem}.json").read_bytes()

    boxes = boxes_of(document, dict.fromkeys(range(n_pages), size))

    kinds = [box.kind for found in boxes.values() for box in found]
    assert (kinds.count("figure"), kinds.count("figure_caption")) == (figures, captions)
    assert len(boxes) == n_pages
    assert "other" not in kinds


@pytest.mark.corpus
def test_generations_agree_on_one_paper(corpus: Path) -> None:
    """The fifth figure of a paper, as versions 0.10 and 4.0 wrote it, in points and in fractions."""
    sizes = dict.fromkeys(range(13), (544.0, 743.0))
    old, new = (
        boxes_of((corpus / "mineru" / f"{stem}_middle.json").read_bytes(), sizes)[9]
        for stem in ("demo1", "v4_flash_mineru_demo1")
    )

    old_figure, new_figure = (next(box.bbox for box in page if box.kind == "figure") for page in (old, new))

    assert max(abs(one - other) for one, other in zip(old_figure, new_figure, strict=True)) < 15
