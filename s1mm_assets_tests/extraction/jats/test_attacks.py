"""XML made to cost more than it is, or to make its reader look elsewhere."""

from pathlib import Path

import pytest
from lxml import etree

from s1mm_assets.extraction.jats import JatsPaper, mending, mentions, paper, read_jats, xml
from s1mm_assets.tables import Rejection

N = 8_000
FIGURE = b'<fig id="f1"><label>Figure 1</label><caption><p>Cells.</p></caption><graphic href="a.png"/></fig>'


def article(inside: bytes, before: bytes = b"") -> bytes:
    """An article with one figure, and something else."""
    return before + b"<article><front><article-meta/></front><body>" + FIGURE + inside + b"</body></article>"


def laughs(n: int) -> bytes:
    """Entities that name ten of the one before."""
    lines = [b'<!ENTITY l0 "lol">']
    lines += [b'<!ENTITY l%d "%s">' % (i, b"&l%d;" % (i - 1) * 10) for i in range(1, n)]
    return b"<!DOCTYPE article [" + b"".join(lines) + b"]>"


ATTACKS = {
    "billion laughs": article(b"<p>&l9;</p>", laughs(10)),
    "billion laughs in an attribute": article(b'<p id="&l9;"/>', laughs(10)),
    "quadratic blowup": article(
        b"<p>" + b"&a;" * N + b"</p>", b'<!DOCTYPE article [<!ENTITY a "' + b"a" * N + b'">]>'
    ),
    "parameter entities": article(b"", b"<!DOCTYPE article [<!ENTITY % a \"<!ENTITY b '%a;'>\">%a;]>"),
    "an unclosed DOCTYPE": article(b"", b"<!DOCTYPE article [ '"),
    "many DOCTYPEs": b"<!DOCTYPE [" * N + article(b""),
    "declarations": b"<?xml version='1.0'?>" * N + article(b""),
    "unclosed comments": article(b"<!--" * N),
    "unclosed CDATA": article(b"<![CDATA[" * N),
    "unclosed tags": article(b"<p" * N),
    "unclosed attributes": article(b'<p id="' * N),
    "attributes run together": article(b"<p " + b'a="1"b="2"' * N + b"/>"),
    "crossed tags": article(b"<p><italic></p></italic>" * N),
    "closing tags": article(b"</p>" * N),
    "controls": article(b"\x00\x01\x02" * N + b"&#0;&#1;&#xFFFE;" * N),
    "references": article(b"<p>&eacute;&#233;&amp;</p>" * N),
    "one long text": article(b"<p>" + b"a " * 2_000_000 + b"</p>"),
    "elements side by side": article(b"<p/>" * (2 * N)),
    "prefixes": article(b"".join(b"<x%d:p/>" % i for i in range(N))),
    "figures in figures": article(b'<fig id="f"><caption><p>' * 80 + b"</p></caption></fig>" * 80),
    "captions in captions": article(b"<fig><caption><title>a</title>" * 80 + b"</caption></fig>" * 80),
    "lists in lists": article(b"<p><list><list-item>" * 80 + b"a</list-item></list></p>" * 80),
    "xrefs in xrefs": article(b'<p><xref rid="f1">' + b'<xref rid="f1">' * 200 + b"</xref>" * 201 + b"</p>"),
    "rids": article(b'<p><xref ref-type="fig" rid="' + b"f1 " * (5 * N) + b'"/></p>'),
    "numbers": article(b"<p>" + b"Figs. 1-20, " * N + b"</p>" + b"<p>Fig. " + b" " * N + b"</p>"),
    "joints": article(b"<p>Figs. 1" + b", a" * N + b"</p>" + b"<p>Fig. 1" + b"-" * N + b"</p>"),
    "maths in maths": article(b"<p><math>" + b"<mfrac>" * 200 + b"</mfrac>" * 200 + b"</math></p>"),
    "dollars": article(b"<p><tex-math>" + b"$" * N + b"\\begin{document}" * N + b"</tex-math></p>"),
    "graphics": article(b"<fig>" + b'<graphic href="a.png"/><graphic href="b.png"/>' * N + b"</fig>"),
    "alternatives": article(
        b"<fig><alternatives>" + b'<graphic href="a.png"/>' * N + b"</alternatives></fig>"
    ),
    "a long href": article(b'<fig><graphic href="' + b"a/../" * N + b"_large" * N + b'"/></fig>'),
    "groups": article(b"<fig-group><label>A</label>" * 100 + FIGURE + b"</fig-group>" * 100),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_hostile_xml_costs_only_itself(attack: bytes) -> None:
    """Reading ends soon and gives a paper, whatever the XML does; what is given stays small."""
    read = read_jats({"a.xml": attack, "a.png": b"\x89PNG\r\n\x1a\n"})

    assert isinstance(read, JatsPaper)
    assert len(read.figures) <= paper.MAX_ROWS
    assert sum(len(figure.caption) for figure in read.figures) < 10_000_000


def test_no_entity_is_expanded() -> None:
    """An entity that a file declares stays as it is written, in text and attributes."""
    declared = b'<!DOCTYPE article [<!ENTITY x "SECRET"><!ENTITY y SYSTEM "file:///etc/passwd">]>'
    caption = b"<fig id='&x;'><label>Figure 2</label><caption><p>&x; &y; &eacute;</p></caption></fig>"
    read = read_jats({"a.xml": article(caption, declared)})

    assert read.figures[1].caption == "&x; &y; é"
    assert read.figures[1].labels == ["&x;"]


def test_nothing_is_fetched(tmp_path: Path) -> None:
    """External DTDs, external entities and inclusions are not read, not even from the disk."""
    secret = tmp_path / "secret.txt"
    secret.write_text("SECRET")
    dtd = tmp_path / "a.dtd"
    dtd.write_text("<!ENTITY z 'SECRET'>")
    doctype = f'<!DOCTYPE article SYSTEM "{dtd.as_uri()}" [<!ENTITY s SYSTEM "{secret.as_uri()}">]>'.encode()
    inclusion = (
        f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" parse="text" href="{secret.as_uri()}"/>'
    )
    caption = b"<fig><caption><p>a &s; &z; " + inclusion.encode() + b" b</p></caption></fig>"

    read = read_jats({"a.xml": article(caption, doctype)})

    assert read.figures[1].caption == "a &s; &z; b"


def test_the_parser_itself_is_closed() -> None:
    """Were a DOCTYPE to reach the parser, it would expand and fetch nothing either."""
    for recover in (False, True):
        parser = xml._parser(recover=recover)
        root = etree.fromstring(b'<!DOCTYPE a [<!ENTITY x "SECRET">]><a>&x;</a>', parser)
        assert b"SECRET" not in etree.tostring(root)


def test_the_doctype_is_gone_before_parsing() -> None:
    """Wherever it stands and whatever it holds, no DOCTYPE reaches the parser."""
    for doctype in (
        b"<!DOCTYPE article>",
        b'<!DOCTYPE article SYSTEM "a>b" [<!ENTITY x "]>"><!-- ]> --> <?pi ]> ?> ]>',
        b"\n<?xml version='1.0'?> <!DOCTYPE article PUBLIC 'a' 'b' [ [ ] ]>",
    ):
        tree = xml.parse(doctype + b"<article/>")
        assert tree.root.getroottree().docinfo.doctype == ""
        assert tree.warnings == ()


def test_depth_is_bounded() -> None:
    """XML nested deeper than any article is refused with the reason."""
    read = read_jats({"a.xml": article(b"<sec>" * 5_000 + b"</sec>" * 5_000)})

    assert read.rejection is Rejection.UNDECODABLE
    assert "depth" in str(read.evidence)


def test_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """XML larger than any article is refused before it is looked at."""
    monkeypatch.setattr(xml, "MAX_XML_BYTES", 100)
    read = read_jats({"a.xml": article(b"")})

    assert (read.rejection, read.figures) == (Rejection.UNDECODABLE, [])
    assert "limit 100" in str(read.evidence)


def test_defects_are_bounded() -> None:
    """What is full of bare signs is no XML."""
    for sign in (b"& ", b"< "):
        read = read_jats({"a.xml": article(b"<p>" + sign * (mending.MAX_DEFECTS + 10) + b"</p>")})
        assert read.rejection is Rejection.UNDECODABLE


def test_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More figures than any paper has are cut off, and a warning says so."""
    monkeypatch.setattr(paper, "MAX_ROWS", 50)
    read = read_jats({"a.xml": article(FIGURE * 60)})

    assert len(read.figures) == 50
    assert any("more than 50 rows" in warning for warning in read.warnings)


def test_mentions_of_one_figure_are_bounded() -> None:
    """A figure that every paragraph cites keeps the first of them."""
    read = read_jats({"a.xml": article(b'<p>See <xref rid="f1"/>.</p>' * (mentions.MAX_MENTIONS + 9))})

    assert len(read.figures[0].mentions) == mentions.MAX_MENTIONS


def test_mentions_are_bounded() -> None:
    """Rows repeat their mentions; what a paper can make of that is bounded."""
    figures = b"".join(b'<fig id="g%d"><caption><p>a</p></caption></fig>' % i for i in range(400))
    cited = b"".join(b'<xref rid="g%d"/>' % i for i in range(400))
    read = read_jats({"a.xml": article(figures + (b"<p>" + cited + b"a b " * 4_000 + b"</p>") * 60)})

    assert sum(len(str(m["text"])) for figure in read.figures for m in figure.mentions) < 25_000_000
    assert any("too many mentions" in warning for warning in read.warnings)
