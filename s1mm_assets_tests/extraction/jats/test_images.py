"""From the href as a publisher wrote it to the file that is there."""

import pytest

from s1mm_assets.extraction.jats import read_jats
from s1mm_assets.extraction.jats.images import Finder, Graphic
from s1mm_assets_tests.extraction.jats.packing import image


def find(href: str, *paths: str, folder: str = "content") -> tuple[str | None, str | None]:
    """Look for one graphic among these files."""
    return Finder({path: image(path) for path in paths}, folder, {}).find([Graphic(href)])


@pytest.mark.parametrize(
    ("href", "path"),
    [
        ("223354v2_fig1.tif", "content/223354v2_fig1.tif"),
        ("030213v1_fig1", "content/030213v1_fig1"),  # JPEG without a name for it
        ("pone.0234687.g001", "PMC1.1/pone.0234687.g001.jpg"),
        ("8147421.sch.001", "8147421.sch.001.jpg"),
        ("1471-2180-11-174-1", "1471-2180-11-174-1.jpg"),
        ("elife-56337-fig1.tif", "elife-56337-fig1.jpg"),
        ("FIG1.TIF", "fig1.tif"),
        ("https://peerj.com/articles/3360/fig-1.png", "fig-1.png"),
        ("https://host.net/12/asr-12-f01.pdf?v=2#page", "asr-12-f01.pdf"),
        ("info:doi/10.1371/journal.pclm.0000068.g001", "pclm.0000068.g001.tif"),
        ("info:doi/10.1371/journal.pone.1.g001", "journal.pone.1.g001.PNG"),
        ("MediaObjects/41467_2023_40272_Fig1_HTML.png", "x/MediaObjects/41467_2023_40272_Fig1_HTML.png"),
        ("MediaObjects/41467_Fig1_HTML.png", "41467_Fig1.jpg"),
        ("content\\figures\\fig1.tif", "id/content/figures/fig1.tif"),
        ("file:/content/vol0/fig1.gif", "fig1.gif"),
        ("my%20figure.tif", "content/my figure.tif"),
        ("../fig1.tif", "fig1.tif"),
        ("./fig1", "content/fig1.png"),
        ("gr1", "gr1_lrg.jpg"),
        ("F1", "F1.large.jpg"),
    ],
)
def test_an_image_is_found_however_it_is_written(href: str, path: str) -> None:
    """The file is found among others that are no figure of this name."""
    others = ["content/paper.pdf", "content/fig10.tif", "fig11.png", "F11.large.jpg", "g001.xml", "tbl1.jpg"]

    assert find(href, path, *others) == (path, None)


@pytest.mark.parametrize(
    ("href", "paths"),
    [
        ("fig1.gif", ["fig1.tif", "fig1.gif"]),
        ("fig1.jpg", ["fig1.tif", "fig1.jpg"]),
        ("fig1", ["fig1.tif", "fig1.eps", "fig1.png", "fig1.jpg", "fig1.gif"]),
        ("fig1", ["fig1.eps", "fig1.jpg"]),
        ("fig1.jpg", ["fig1.jpg", "fig1.png"]),  # as written, where neither is the original
        ("fig1.gif", ["fig1.jpg", "fig1.gif"]),  # PMC: the GIF is a thumbnail
        ("F1", ["F1.large.jpg", "F1.medium.gif", "F1.small.gif"]),
        ("gr1", ["gr1_lrg.jpg", "gr1.jpg", "gr1.sml"]),
        ("fig1_thumb.jpg", ["fig1.jpg", "fig1_thumb.jpg"]),
        ("a/fig1.jpg", ["content/a/fig1.jpg", "content/fig1.jpg", "supplement/fig1.jpg"]),
        ("fig1.jpg", ["content/fig1.jpg", "supplement/fig1.jpg"]),
        ("fig1.jpg", ["content/fig1.jpg", "supplement/fig1.tif"]),
        ("fig1", ["z/fig1.jpg", "content/fig1.thumb.gif"]),
    ],
)
def test_the_best_file_of_an_image_is_taken(href: str, paths: list[str]) -> None:
    """Of several files of one image the first named here is taken, in whatever order they come."""
    assert find(href, *paths) == (paths[0], None)
    assert find(href, *reversed(paths)) == (paths[0], None)


def test_two_images_of_one_name_are_a_doubt() -> None:
    """The first in order is taken, and the row says that there is another."""
    member, doubt = find("fig1.jpg", "b/fig1.jpg", "a/fig1.jpg")

    assert member == "a/fig1.jpg"
    assert doubt == "also 'b/fig1.jpg', which is another image"


def test_copies_of_one_image_are_no_doubt() -> None:
    """Equal bytes in two folders are one image."""
    finder = Finder({"b/f.jpg": image("f.jpg"), "a/f.jpg": image("f.jpg")}, "", {})

    assert finder.find([Graphic("f")]) == ("a/f.jpg", None)


def test_a_lone_thumbnail_is_told() -> None:
    """Where there is nothing but a thumbnail, it is taken and said to be one."""
    member, doubt = find("fig1.tif", "fig1.thumb.gif")

    assert member == "fig1.thumb.gif"
    assert "thumbnail" in str(doubt)


def test_alternatives_give_the_best_of_all() -> None:
    """A graphic that is tagged as the thumbnail counts only where the others are not there."""
    graphics = [Graphic("t1", "thumbnail"), Graphic("p1", "print")]
    members = {path: image(path) for path in ("t1.tif", "p1.jpg")}

    assert Finder(members, "", {}).find(graphics)[0] == "p1.jpg"
    assert Finder({"t1.tif": members["t1.tif"]}, "", {}).find(graphics)[0] == "t1.tif"


@pytest.mark.parametrize("href", ["", "fig2", "data.xml", "/", "..", "%", "?fig1"])
def test_what_is_not_there_is_not_found(href: str) -> None:
    """Nothing is guessed from a name that fits nothing; XML is no image."""
    members = {"fig1.jpg": image("fig1.jpg"), "data.xml": b"<data/>", "fig22.jpg": image("fig22.jpg")}

    assert Finder(members, "", {}).find([Graphic(href)]) == (None, None)


def test_formulae_and_tables_are_no_figures() -> None:
    """Graphics of tables, formulae, logos in the text and source data give no row, in a figure or out of it."""
    inside = (
        b'<fig id="f1"><label>Figure 1</label><caption><p>A <inline-formula><inline-graphic href="q.gif"/>'
        b'</inline-formula></p></caption><graphic href="f1.tif"/><table-wrap><graphic href="t.gif"/></table-wrap>'
        b'<p><supplementary-material><graphic href="s.tif"/></supplementary-material></p></fig>'
        b'<table-wrap><label>Table 1</label><graphic href="t.gif"/></table-wrap><p><graphic href="logo.png"/></p>'
        b'<disp-formula><graphic href="e.gif"/></disp-formula><fig><label>Supplementary Table 2.</label>'
        b'<graphic href="t2.gif"/></fig><chem-struct><graphic href="c.gif"/></chem-struct>'
    )
    members = {path: image(path) for path in ("f1.tif", "q.gif", "t.gif", "s.tif", "logo.png", "e.gif")}
    paper = read_jats({"a.xml": b"<article><body>" + inside + b"</body></article>", **members})

    assert [row.image_member for row in paper.figures] == ["f1.tif"]
