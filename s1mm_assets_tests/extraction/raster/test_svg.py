"""SVG: what reaches the renderer, and what does not."""

import gzip
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.extraction.raster import Picture, RasterSettings, Refused
from s1mm_assets.tables import Rejection
from s1mm_assets_tests.extraction.raster.drawings import ToldRenderers, draw, opened, refusal

SIZE = 'width="200" height="100"'
XLINK = 'xmlns:xlink="http://www.w3.org/1999/xlink"'


def svg(body: str = "", head: str = SIZE) -> bytes:
    return f'<svg xmlns="http://www.w3.org/2000/svg" {XLINK} {head}>{body}</svg>'.encode()


def given_to_renderer(data: bytes) -> ElementTree.Element:
    """What the renderer is asked to draw."""
    told = ToldRenderers()
    picture = draw(data, renderers=told)
    assert isinstance(picture, Picture), picture
    assert picture.renderer == "resvg"
    [(_, markup)] = told.asked
    assert b"<!" not in markup
    return ElementTree.fromstring(markup)  # noqa: S314 - ours


@pytest.mark.parametrize(
    ("head", "size_px"),
    [
        ('width="432pt" height="288pt"', (1800, 1200)),  # 300 dpi
        ('width="576" height="384px"', (1800, 1200)),
        ('width="6in" height="101.6mm"', (1800, 1200)),
        ('width="15.24cm" height="24pc"', (1800, 1200)),
        ('viewBox="-5 0 576 384"', (1800, 1200)),
        ('viewBox="0,0,4,2" width="576"', (1800, 900)),
        ('viewBox="0 0 4 2" height="288"', (1800, 900)),
        ('width="100%" height="100%" viewBox="0 0 576 384"', (1800, 1200)),
        ('width="14400pt" height="0.001"', (2048, 1)),
        ('width="1e2" height="+.5e2"', (625, 313)),  # 600 dpi
    ],
)
def test_the_size_is_what_the_file_says(head: str, size_px: tuple[int, int]) -> None:
    """In every unit, by the view box where there is no other; resolution as for other drawings."""
    root = given_to_renderer(svg(head=head))

    assert (root.get("width"), root.get("height")) == tuple(map(str, size_px))
    assert len(root.get("viewBox", "").replace(",", " ").split()) == 4
    assert opened(draw(svg(head=head))).size == size_px


@pytest.mark.parametrize(
    "head",
    [
        "",
        'width="0" height="5"',
        'width="-5" height="5"',
        'width="5"',
        'width="1e9" height="1e9"',
        'width="nan" height="inf"',
        'width="5em" height="5em"',
        'width="100%" height="50%"',
        'viewBox="0 0 0 0"',
        'viewBox="0 0 9"',
        'width="" height=""',
        'width="' + "9" * 400 + '" height="5"',
    ],
)
def test_without_a_size_there_is_no_picture(head: str) -> None:
    """Nor with an impossible one."""
    assert refusal(draw(svg(head=head))) is Rejection.IMAGE_UNSUPPORTED


@pytest.mark.parametrize(
    "body",
    [
        '<image href="/etc/passwd"/>',
        '<image xlink:href="file:///etc/passwd"/>',
        '<g><image xlink:href=" HTTP://169.254.169.254/latest/meta-data"/></g>',
        '<image href="../other.png"/>',
        '<image href="data:image/svg+xml;base64,PHN2Zy8+"/>',
        '<image href=" DATA:Image/SVG+xml,x"/>',
        '<filter id="f"><feImage href="other.png"/></filter>',
        '<image href="&#x2F;etc/passwd"/>',
        '<defs><svg><image href="a.png" width="1"/></svg></defs>',
    ],
)
def test_a_picture_that_is_elsewhere_is_not_fetched(body: str) -> None:
    """A drawing that lacks a part is not released; the evidence names the part."""
    told = ToldRenderers()
    picture = draw(svg(body), renderers=told)

    assert refusal(picture) is Rejection.IMAGE_UNSUPPORTED
    assert "another file" in str(picture)
    assert told.asked == []


def test_addresses_within_the_file_stay() -> None:
    """What is used twice, and pixels that the file holds."""
    body = '<use href="#a"/><use xlink:href="#b"/><image href="data:image/png;base64,AAAA"/>'

    hrefs = [value for element in given_to_renderer(svg(body)) for value in element.attrib.values()]

    assert hrefs == ["#a", "#b", "data:image/png;base64,AAAA"]


def test_other_addresses_and_what_is_not_drawn_are_taken_out() -> None:
    """Links, scripts, style sheets elsewhere, metadata, HTML."""
    body = (
        '<a href="https://example.org"><rect/></a><use href="other.svg#x"/><script href="x.js">1</script>'
        '<metadata><image href="thumb.png"/></metadata><foreignObject><p>x</p></foreignObject>'
    )
    data = b'<?xml-stylesheet href="/etc/passwd"?><!-- note -->' + svg(body)

    markup = ElementTree.tostring(given_to_renderer(data)).decode()

    assert not any(word in markup for word in ("example", "other", "script", "thumb", "passwd", "note", "<p"))
    assert "rect" in markup


@pytest.mark.parametrize(
    "declarations",
    [
        '<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">',
        '<!ENTITY a SYSTEM "file:///etc/passwd">',
        '<!ENTITY a PUBLIC "x" "http://example.org/x">',
        '<!ENTITY % a "aaaa">',
        '<!ENTITY a "' + "x" * 300 + '">',
        "".join(f'<!ENTITY a{number} "x">' for number in range(65)),
        '<!ENTITY a SYSTEM "x" NDATA png><!NOTATION png SYSTEM "y">',
    ],
)
def test_entities_do_not_unfold(declarations: str) -> None:
    """No nesting, no files, no long texts, not many: refused before anything is drawn."""
    told = ToldRenderers()
    data = f"<!DOCTYPE svg [{declarations}]>".encode() + svg("<text>&a;</text>")

    picture = draw(data, renderers=told)

    assert refusal(picture) is Rejection.IMAGE_TOO_LARGE
    assert told.asked == []


def test_many_uses_of_one_entity_are_refused() -> None:
    """Short texts may be many: their sum is bounded, in texts and in attributes."""
    head = b'<!DOCTYPE svg [<!ENTITY a "' + b"x" * 250 + b'">]>'

    for body in ("&a;" * 200_000, f'<g id="{"&a;" * 200_000}"/>'):
        assert refusal(draw(head + svg(body))) is Rejection.IMAGE_TOO_LARGE


def test_illustrator_files_are_read() -> None:
    """They have a document type, and name their namespaces by entities."""
    data = (
        b'<?xml version="1.0" encoding="iso-8859-1"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" '
        b'"http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd" [<!ENTITY ns_svg "http://www.w3.org/2000/svg">]>'
        b'<svg xmlns="&ns_svg;" width="9" height="9"><text>\xb5m</text></svg>'
    )

    assert given_to_renderer(data)[0].text == "µm"


def test_a_file_without_namespace_is_meant_to_be_svg() -> None:
    """Old programs left it out, and browsers draw it."""
    root = given_to_renderer(b'<svg width="9" height="9"><rect width="9"/></svg>')

    assert [each.tag for each in (root, *root)] == [
        f"{{http://www.w3.org/2000/svg}}{n}" for n in ("svg", "rect")
    ]


@pytest.mark.parametrize(
    ("families", "generic"),
    [
        ("Arial", "sans-serif"),
        ("'DejaVu Sans', sans-serif", "sans-serif"),
        ("Times New Roman", "serif"),
        ("CMR10", "serif"),
        ("Courier New", "monospace"),
        ("'DejaVu Sans Mono'", "monospace"),
    ],
)
def test_lists_of_fonts_end_in_one_that_is_there(families: str, generic: str) -> None:
    """In attributes, declarations and style sheets, short or long; sizes and inheritance stay as they are."""
    body = (
        f'<text font-family="{families}"/><text style="font-size:9px;font-family:{families};fill:red"/>'
        f'<text style="font: 9px {families}"/><style>text {{font-family:{families} !important}}</style>'
        '<text font-family="inherit"/>'
    )

    by_attribute, by_style, short, sheet, inherited = given_to_renderer(svg(body))

    assert by_attribute.get("font-family") == f"{families}, {generic}"
    assert by_style.get("style") == f"font-size:9px;font-family:{families}, {generic};fill:red"
    assert short.get("style") == f"font: 9px {families}, {generic}"
    assert sheet.text == f"text {{font-family:{families}, {generic} !important}}"
    assert inherited.get("font-family") == "inherit"


@pytest.mark.parametrize(
    "body",
    ["<g>" * 200 + "</g>" * 200, "<g/>" * 250_001],
    ids=["deep", "many"],
)
def test_trees_are_bounded(body: str) -> None:
    """Depth would end the renderer, breadth fill memory."""
    assert refusal(draw(svg(body))) is Rejection.IMAGE_TOO_LARGE


def test_bytes_are_bounded() -> None:
    """A file is not parsed that is larger than any drawing."""
    assert refusal(draw(svg("<!--" + "x" * 16 * 2**20 + "-->"))) is Rejection.IMAGE_TOO_LARGE


@pytest.mark.parametrize(
    "data",
    [
        b"<svg",
        b'<svg width="9" height="9">',
        svg("<g></svg>"),
        svg("&nbsp;"),
        svg('<g x:y="1"/>'),
        b'<?xml version="1.0" encoding="no-such"?><svg/>',
        svg("\x01"),
        b'<svg xmlns="http://www.w3.org/2000/svg">\xff</svg>',
    ],
)
def test_what_is_no_xml_is_unreadable(data: bytes) -> None:
    """And the evidence says why."""
    picture = draw(data)

    assert refusal(picture) is Rejection.IMAGE_UNREADABLE
    assert "SVG: " in str(picture)


@given(st.binary(max_size=60), st.integers(0, 200), st.integers(0, 20))
def test_damage_never_raises(put: bytes, where: int, cut: int) -> None:
    """Any damage gives a picture or a refusal."""
    source = svg('<text style="font:9px Arial" x="5">a</text><use href="#a"/>')

    assert isinstance(draw(source[:where] + put + source[where + cut :]), Picture | Refused)


@pytest.mark.parametrize("rejection", [Rejection.TIMED_OUT, Rejection.RENDERER_MISSING])
def test_a_refusal_passes_through(rejection: Rejection) -> None:
    """What the renderer says is what is recorded."""
    told = ToldRenderers(refusal=Refused(rejection, "resvg finds no fonts"))

    assert draw(svg(), renderers=told) == told.refusal


def test_a_picture_that_is_none_is_refused() -> None:
    """What a child process answers is not trusted either."""
    for drawing in (b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n" + b"x" * 50, b"GIF89a"):
        assert refusal(draw(svg(), renderers=ToldRenderers(drawing=drawing))) is Rejection.IMAGE_UNREADABLE


def test_compressed_files_are_drawn_as_plain_ones() -> None:
    """.svgz, and anything else under gzip."""
    assert draw(gzip.compress(svg())) == draw(svg())


def test_what_unfolds_too_far_is_refused() -> None:
    """Inflation ends at the limit; what ends too early or is damaged is unreadable."""
    small = RasterSettings(max_source_bytes=100_000)
    packed = gzip.compress(svg())

    assert refusal(draw(gzip.compress(bytes(100_001)), settings=small)) is Rejection.IMAGE_TOO_LARGE
    assert refusal(draw(gzip.compress(bytes(100_000)), settings=small)) is Rejection.IMAGE_UNSUPPORTED
    assert refusal(draw(packed[:-12])) is Rejection.IMAGE_UNREADABLE
    assert refusal(draw(packed[:20] + b"\xff" + packed[21:])) is Rejection.IMAGE_UNREADABLE
    assert refusal(draw(b"\x1f\x8b\x08")) is Rejection.IMAGE_UNREADABLE
