"""The figures of an article as they are tagged: which elements are figures, and what images each has.

Publishers disagree on what a `fig-group` is. One with a caption of its own and parts called "(a)" and "(b)" is
one figure with panels; one that only holds "Figure 2" and "Figure 2—figure supplement 1" is two figures.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from s1mm_assets.extraction.jats.images import Graphic
from s1mm_assets.extraction.jats.labels import is_table, names_figure
from s1mm_assets.extraction.jats.xml import Element, attribute, child, children, name_of

_GRAPHICS = frozenset(["graphic", "media"])
_NO_FIGURE_TYPES = frozenset(["table", "equation", "formula", "algorithm", "listing", "video"])
# What within a figure holds images that are not the figure's.
_CLOSED = frozenset(
    """fig fig-group caption label inline-formula disp-formula table-wrap permissions supplementary-material attrib
    sub-article response""".split()  # noqa: SIM905 - reads better as words
)
_DELIVERY_WORDS = (
    "html",
    "pdf",
    "print",
    "online",
    "web",
    "thumb",
    "mobile",
    "epub",
    "hires",
    "lowres",
    "large",
)


@dataclass(slots=True)
class Panel:
    """One part of a figure that has an image of its own; most figures have one."""

    element: Element  # the fig that it is tagged in
    graphics: list[Graphic] = field(default_factory=list)  # one image in all its forms; empty where none


@dataclass(slots=True)
class Figure:
    """One figure."""

    element: Element  # fig, or the fig-group whose caption the panels share
    panels: list[Panel]
    sub_article: Element | None  # the author response, report or translation that it stands in
    group: Element | None = None  # a fig-group with a caption around figures that have their own

    @property
    def ids(self) -> list[str]:
        """Its xml ids, the figure's first."""
        elements = [self.element, *(panel.element for panel in self.panels)]
        return [each for each in dict.fromkeys(attribute(element, "id") for element in elements) if each]


def figures_of(article: Element) -> Iterator[Figure]:
    """Yield the figures of an article, its sub-articles' included, in document order."""
    yield from _within(article, None, None)


def _within(element: Element, sub_article: Element | None, group: Element | None) -> Iterator[Figure]:
    for each in element:
        name = name_of(each)
        if name == "fig":
            if not _is_other(each):
                yield Figure(each, _panels(each), sub_article, group)
            yield from _within(each, sub_article, None)
        elif name == "fig-group" and _is_one_figure(each):
            parts = list(_parts(each))
            panels = [panel for part in parts for panel in _panels(part)] or _panels(each)
            yield Figure(each, panels, sub_article)
            for part in parts:
                yield from _within(part, sub_article, None)
        elif name == "fig-group":
            yield from _within(each, sub_article, each if child(each, "caption") is not None else None)
        elif name in ("sub-article", "response"):
            yield from _within(each, each, None)
        elif name:
            yield from _within(each, sub_article, group if name == "alternatives" else None)


def _is_other(fig: Element) -> bool:
    """Whether what is tagged as a figure is a table or a formula."""
    kind = attribute(fig, "fig-type").lower()
    return kind in _NO_FIGURE_TYPES or is_table(label_of(fig))


def label_of(element: Element) -> str:
    """A float's label as it stands, on one line."""
    label = child(element, "label")
    return " ".join("".join(label.itertext()).split())[:300] if label is not None else ""


def _is_one_figure(group: Element) -> bool:
    if not label_of(group) and child(group, "caption") is None:
        return False
    return not any(names_figure(label_of(part)) for part in _parts(group))


def _parts(group: Element) -> Iterator[Element]:
    for each in children(group, "fig", "alternatives", "p"):
        if name_of(each) == "fig":
            yield each
        else:
            yield from children(each, "fig")


def _panels(fig: Element) -> list[Panel]:
    """The images of one fig: several graphics are panels, unless they are forms of one image."""
    images: list[list[tuple[Element, Graphic]]] = []
    caption = child(fig, "caption")  # mended XML may have the image end up in there
    for found in list(_images(fig)) or (list(_images(caption)) if caption is not None else []):
        if images and _is_same(images[-1], found):
            images[-1] += found
        else:
            images.append(found)
    return [Panel(fig, [graphic for _, graphic in image]) for image in images] or [Panel(fig)]


def _images(element: Element) -> Iterator[list[tuple[Element, Graphic]]]:
    """The graphics within a figure; those that are tagged as alternatives together."""
    for each in element:
        name = name_of(each)
        if name == "alternatives":
            together = [pair for image in _images(each) for pair in image]
            if together:
                yield together
        elif name in _GRAPHICS:
            href = attribute(each, "href")
            is_image = name == "graphic" or attribute(each, "mimetype").lower().startswith("image")
            if is_image and href:
                uses = (attribute(each, "specific-use"), attribute(each, "content-type"))
                yield [(each, Graphic(href, " ".join(use for use in uses if use)))]
        elif name and name not in _CLOSED:
            yield from _images(each)


def _is_same(image: list[tuple[Element, Graphic]], found: list[tuple[Element, Graphic]]) -> bool:
    """Whether graphics show the image before them in another form: same name, or made for another medium."""
    before, now = image[-1][1], found[0][1]
    if before.key == now.key:
        return True
    uses = [each.use.lower() for each in (before, now)]
    is_told = all(any(word in use for word in _DELIVERY_WORDS) for use in uses)
    return is_told and now.use.lower() not in {graphic.use.lower() for _, graphic in image}
