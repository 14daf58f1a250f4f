"""What is cut of a window that is too long, and how its tokens are estimated."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.recaptioning import Mention, SemanticWindow
from s1mm_assets.recaptioning.budget import (
    MIN_PART_TOKENS,
    PROTECTED_MENTIONS,
    around_reference,
    estimated_tokens,
    fitted,
    told_once,
    window_tokens,
)
from s1mm_assets.recaptioning.references import names_figure
from s1mm_assets.recaptioning.sentences import split
from s1mm_assets_tests.strategies import UNTIMED

SENTENCES = (
    "Figure 3 shows the loss over epochs.",
    "It falls.",
    "See Fig. 4 for LIMK1 and the other kinases that were measured at low temperature.",
    "Die Größe $\\alpha_{ij} = 0.25$ ist\u2003klein.",
    "We   thank\nnobody.",
    "As Figs. 2 and 3 show, ACGTACGTACGT binds.",
    "日本語の図です。",
)
SPACED = st.text(st.one_of(st.characters(), st.sampled_from(" \n\x85\u2003\u3000aB")))
PARTS = ("title", "abstract", "sub_caption", "parent_caption")


def prose(most: int) -> st.SearchStrategy[str]:
    """Paragraphs of known sentences and of any signs."""
    known = st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=most).map(" ".join)
    return st.one_of(known, known, st.text(max_size=80))


def mentions() -> st.SearchStrategy[Mention]:
    section = st.one_of(st.none(), st.sampled_from(["4.1 Results", "A rather long heading of a section"]))
    return st.builds(Mention, section, prose(12), st.booleans())


def windows() -> st.SearchStrategy[SemanticWindow]:
    """Windows that say nothing twice."""
    return st.builds(
        SemanticWindow,
        title=st.one_of(st.none(), prose(2)),
        abstract=st.one_of(st.none(), prose(12)),
        figure_number=st.sampled_from([None, "3", "3", "A1"]),
        caption=prose(6),
        sub_caption=st.one_of(st.none(), prose(3)),
        parent_caption=st.one_of(st.none(), prose(6)),
        mentions=st.lists(mentions(), max_size=6).map(tuple),
        image_text=st.lists(st.text(max_size=20), max_size=8).map(tuple),
    ).map(told_once)


def cuts() -> st.SearchStrategy[tuple[SemanticWindow, int]]:
    """Windows with budgets for any share of them."""
    return st.tuples(windows(), st.floats(0, 1.1)).map(
        lambda drawn: (drawn[0], int(window_tokens(drawn[0]) * drawn[1]) + 1)
    )


def is_shorter(window: SemanticWindow, cut: SemanticWindow, name: str) -> bool:
    return bool(getattr(window, name) != getattr(cut, name))


def lost_mentions(window: SemanticWindow, cut: SemanticWindow) -> list[tuple[bool, int, bool]]:
    """Of every mention that was shortened or dropped: is it a caption, its place, is it gone."""
    left = list(cut.mentions)
    lost = []
    for place, mention in enumerate(window.mentions):
        kept = left[0] if left and is_part(left[0], mention) else None
        if kept is not None:
            left.pop(0)
        if kept != mention:
            lost.append((mention.is_caption, place, kept is None))
    assert not left
    return lost


def is_part(part: Mention, whole: Mention) -> bool:
    sentences = iter(split(whole.text))
    is_kept = part == whole or all(sentence in sentences for sentence in split(part.text))
    return is_kept and (part.section, part.is_caption) == (whole.section, whole.is_caption)


@given(cuts())
@UNTIMED
def test_never_above_the_budget_unless_the_caption_alone_is(drawn: tuple[SemanticWindow, int]) -> None:
    """Everything else goes before the caption is too much; the caption and the number stay as they are."""
    window, budget = drawn
    cut, _ = fitted(window, budget)

    assert window_tokens(cut) <= max(budget, estimated_tokens(window.caption))
    assert (cut.caption, cut.figure_number) == (window.caption, window.figure_number)


@pytest.mark.parametrize(
    ("caption", "parent", "sub", "left"),
    [
        ("Training. (a) Loss.", "Training.", "Loss.", ("", "")),
        ("Training\n of  nets. (a) Loss.", "Training of nets.", " Loss. ", ("", "")),
        ("Cats and dogs.", "Cat", "dogs", ("Cat", "")),
        ("Cats and a cat.", "cat", "at", ("", "at")),
        ("(a) Loss.", "Training.", "Loss", ("Training.", "")),
        ("Loss.", None, "Loss. And more.", (None, "Loss. And more.")),
        ("", None, None, (None, None)),
        ("Loss.", " ", "", ("", "")),
    ],
)
def test_what_the_caption_holds_is_told_once(
    caption: str, parent: str | None, sub: str | None, left: tuple[str | None, str | None]
) -> None:
    """As whole words, white space aside; that there is a panel is still known, and no flag says that it was cut."""
    window = SemanticWindow(
        title=None, abstract=None, figure_number="3", caption=caption, parent_caption=parent, sub_caption=sub
    )

    cut, flags = fitted(window, 1_000)

    assert (cut.parent_caption, cut.sub_caption) == left
    assert replace(cut, parent_caption=parent, sub_caption=sub) == window
    assert flags == ()
    assert fitted(window, window_tokens(cut)) == (cut, ())  # what is not told costs nothing


@pytest.mark.parametrize(
    ("caption", "part"), [("a" * 10**6, "a" * 1_000), ("ab " * 300_000, "ab ab" * 1_000)]
)
def test_a_long_caption_is_looked_through_in_linear_time(caption: str, part: str) -> None:
    """Whatever nearly occurs in it again and again."""
    window = SemanticWindow(title=None, abstract=None, figure_number=None, caption=caption, sub_caption=part)

    assert told_once(window) == window


@given(windows(), st.integers(0, 300))
@UNTIMED
def test_what_fits_is_left_alone(window: SemanticWindow, room: int) -> None:
    """A window within the budget is the same window, without a flag; one token less, and something is cut."""
    n_tokens = window_tokens(window)

    assert fitted(window, n_tokens + room) == (window, ())
    if n_tokens > estimated_tokens(window.caption):
        assert fitted(window, n_tokens - 1)[1]


@given(cuts())
@UNTIMED
def test_flags_say_what_was_cut(drawn: tuple[SemanticWindow, int]) -> None:
    """One flag for each kind of text that lost something, in the order of cutting, and no other."""
    window, budget = drawn
    cut, flags = fitted(window, budget)

    names = ("image_text", "mentions", "abstract", "parent_caption", "sub_caption", "title")
    assert set(flags) == {f"cut_{name}" for name in names if is_shorter(window, cut, name)}
    assert len(flags) == len(set(flags))
    for name in PARTS:  # no flag for a text that there never was, or that says the same
        lost = split(getattr(window, name) or "") != split(getattr(cut, name) or "")
        assert lost == (f"cut_{name}" in flags)


@given(cuts())
@UNTIMED
def test_texts_keep_their_beginning_and_their_order(drawn: tuple[SemanticWindow, int]) -> None:
    """Abstract, captions and title lose sentences at their end, mentions whole sentences; words go last first."""
    window, budget = drawn
    cut, _ = fitted(window, budget)

    for name in PARTS:
        kept, whole = split(getattr(cut, name) or ""), split(getattr(window, name) or "")
        assert kept == whole[: len(kept)]
    assert cut.image_text == window.image_text[: len(cut.image_text)]
    lost_mentions(window, cut)  # asserts that each that is left is part of one that was there


def steps(window: SemanticWindow, cut: SemanticWindow) -> list[tuple[bool, bool]]:
    """Whether each text, in the order of cutting, was touched, and whether it is gone."""
    lost = {place: gone for _, place, gone in lost_mentions(window, cut)}
    texts = [place for place, each in enumerate(window.mentions) if not each.is_caption]
    captions = [place for place, each in enumerate(window.mentions) if each.is_caption]

    def at(places: list[int]) -> list[tuple[bool, bool]]:
        return [(place in lost, lost.get(place, False)) for place in reversed(places)]

    def of(name: str) -> list[tuple[bool, bool]]:
        return [(True, not getattr(cut, name))] if is_shorter(window, cut, name) else [(False, False)]

    words = [(place >= len(cut.image_text),) * 2 for place in reversed(range(len(window.image_text)))]
    return [
        *words,
        *at(captions),
        *at(texts[PROTECTED_MENTIONS:]),
        *of("abstract"),
        *at(texts[:PROTECTED_MENTIONS]),
        *of("parent_caption"),
        *of("sub_caption"),
        *of("title"),
    ]


def distinct_window(n_mentions: int, n_captions: int, n_sentences: int) -> SemanticWindow:
    """A window in which every sentence occurs once, so that it can be told what became of each."""
    counter = iter(range(10_000))

    def text(n: int) -> str:
        return " ".join(
            f"Sentence {next(counter)} on Figure {3 + i} speaks of energy, of momentum and of their products at "
            "length, so that it is no short one."
            for i in range(n)
        )

    def heading() -> str:
        return f"Section {next(counter)} with a title that is as long as a sentence, and so counts when it is cut"

    mentioned = [Mention(heading(), text(n_sentences)) for _ in range(n_mentions)]
    captions = [Mention(heading(), text(n_sentences), is_caption=True) for _ in range(n_captions)]
    return SemanticWindow(
        title=text(1),
        abstract=text(n_sentences),
        figure_number="3",
        caption=text(2),
        sub_caption=text(2),
        parent_caption=text(2),
        mentions=(*mentioned[:1], *captions[:1], *mentioned[1:], *captions[1:]),
        image_text=tuple(f"word {next(counter)}" for _ in range(4)),
    )


@given(st.integers(0, 5), st.integers(0, 3), st.integers(1, 5), st.floats(0, 1))
@UNTIMED
def test_order_of_cutting(n_mentions: int, n_captions: int, n_sentences: int, share: float) -> None:
    """A text is only touched once all before it are gone: words in the image, other figures' captions, …"""
    window = distinct_window(n_mentions, n_captions, n_sentences)
    cut, _ = fitted(window, int(window_tokens(window) * share) + 1)

    for (_, was_gone), (is_touched, _) in pairwise(steps(window, cut)):
        assert was_gone or not is_touched
    for name in PARTS:
        kept = split(getattr(cut, name) or "")
        assert kept == split(getattr(window, name))[: len(kept)]


@given(st.integers(1, 5), st.integers(1, 5), st.floats(0, 1))
@UNTIMED
def test_no_more_is_cut_than_must_be(n_mentions: int, n_sentences: int, share: float) -> None:
    """What is cut last is at most a sentence more than the excess, or a part too short to tell anything."""
    window = distinct_window(n_mentions, 1, n_sentences)
    budget = max(int(window_tokens(window) * share), estimated_tokens(window.caption))
    cut, flags = fitted(window, budget)

    sentence = max(estimated_tokens(each) for each in split(window.abstract or ""))
    heading = max(estimated_tokens(each.section or "") for each in window.mentions)
    if flags:
        assert budget - window_tokens(cut) <= sentence + heading + MIN_PART_TOKENS


@pytest.mark.parametrize("n_sentences_before", [0, 1, 5, 40])
def test_a_shortened_mention_keeps_the_sentence_that_names_the_figure(n_sentences_before: int) -> None:
    """With its neighbours where they fit; when it does not fit itself, the mention is dropped."""
    naming = (
        "Figure 3 shows that the loss falls over all of the epochs that were measured in the end, and that it falls "
        "for the model with the gate and for the model without."
    )
    text = " ".join([*["This came before, and is of no use."] * n_sentences_before, naming, "Then. " * 30])
    n_naming = estimated_tokens(naming)

    assert around_reference(text, "3", n_naming) == naming
    assert naming in around_reference(text, "3", n_naming + 10)
    assert around_reference(text, "3", n_naming - 1) == ""
    assert around_reference(text, "3", MIN_PART_TOKENS - 1) == ""


@given(mentions(), st.sampled_from(["3", "4", None]), st.integers(0, 200))
@UNTIMED
def test_of_a_mention_what_stands_around_the_reference(
    mention: Mention, number: str | None, most: int
) -> None:
    """Never more than there is room for, in the order of the text; the first sentence that names the figure stays."""
    kept = around_reference(mention.text, number, most)

    assert estimated_tokens(kept) <= most
    assert is_part(replace(mention, text=kept), mention)
    naming = [each for each in split(mention.text) if names_figure(each, number)]
    if kept and naming:
        assert naming[0] in split(kept)


@given(cuts())
@UNTIMED
def test_the_same_window_is_cut_alike(drawn: tuple[SemanticWindow, int]) -> None:
    """Cutting is repeatable, and what was cut fits: it is not cut again."""
    window, budget = drawn
    cut, flags = fitted(window, budget)

    assert fitted(replace(window), budget) == (cut, flags)
    if window_tokens(cut) <= budget:
        assert fitted(cut, budget) == (cut, ())


@pytest.mark.parametrize(
    ("part", "n"),
    [
        ("Figure 3 shows it. ", 50_000),
        ("x", 10**6),
        ("$ ", 300_000),
        ("A. B. ", 50_000),
        ("Fig. 3, ", 50_000),
    ],
)
def test_long_texts_take_linear_time(part: str, n: int) -> None:
    """Hundreds of kilobytes of anything are cut in one go."""
    text = part * n
    window = SemanticWindow(
        title=None, abstract=text, figure_number="3", caption="A loss.", mentions=(Mention(None, text),)
    )

    cut, _ = fitted(window, 500)

    assert window_tokens(cut) <= 500


@pytest.mark.parametrize(
    ("text", "n_tokens"),
    [
        ("", 0),
        ("  \n\u2003", 0),
        ("energy", 1),
        ("Energies", 2),
        ("a bc", 2),
        ("LIMK1", 3),  # LI MK 1
        ("CIFAR-10", 6),  # CI FA R - 1 0
        ("$x_1$", 5),
        ("α", 1),
        ("≤", 2),
        ("𝑥", 3),
        ("\ud800", 2),
    ],
)
def test_estimates(text: str, n_tokens: int) -> None:
    """Words by six letters, abbreviations by two, digits and signs one by one, beyond ASCII by bytes."""
    assert estimated_tokens(text) == n_tokens


@given(SPACED, SPACED)
@UNTIMED
def test_texts_side_by_side_have_as_many_tokens_as_both(one: str, other: str) -> None:
    """So a text that loses sentences loses exactly their tokens."""
    assert estimated_tokens(f"{one} {other}") == estimated_tokens(one) + estimated_tokens(other)
    assert estimated_tokens(one) <= len(one.encode("utf-8", "surrogatepass"))
