"""The extractive engine."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.grounding import grounding
from s1mm_assets.recaptioning import CaptionJob, CaptionRequest, ContextCaptioner, Mention, SemanticWindow
from s1mm_assets.recaptioning.context import MAX_CAPTION_CHARS, MOST_CHARS, answer
from s1mm_assets.recaptioning.sentences import words
from s1mm_assets_tests.strategies import UNTIMED

JOB = CaptionJob(partition="arxiv|2019", shard="chunk_001", n_figures=3)
TEMPLATE = words("from the paper this figure figures and panel panels of")


def window(**values: Any) -> SemanticWindow:
    """The window of a figure 3, with these values."""
    empty = {"title": None, "abstract": None, "figure_number": "3", "caption": ""}
    return SemanticWindow(**{**empty, **values})


def test_a_sparse_caption_is_read_with_its_context() -> None:
    """Caption, the sentences about the figure in the paper's order, and the title."""
    text = (
        "We fit the spectra. Figure 3 shows the ablation of the gating layer on CIFAR-10. "
        "Without it, accuracy drops from 93.1% to 88.4% (see Table 2). Figure 4 shows the width of the network."
    )
    found = answer(
        window(caption="Ablation study results", title="Gated nets", mentions=(Mention("Results", text),))
    )

    assert found.recaption == (
        "Ablation study results. This figure shows the ablation of the gating layer on CIFAR-10. Without it, "
        'accuracy drops from 93.1% to 88.4%. From the paper "Gated nets".'
    )
    assert found.flags == ()


def test_the_abstract_helps_where_little_is_said() -> None:
    """Of the abstract, what has words in common with the caption is added; the rest is not."""
    abstract = (
        "We study whales at sea. Whale song spectra drift in frequency over the years. Funding came late."
    )
    found = answer(window(caption="Spectra of whale song.", abstract=abstract))

    assert found.recaption == ("Spectra of whale song. Whale song spectra drift in frequency over the years.")
    assert found.flags == ("caption_only",)


def test_the_abstract_stays_away_where_enough_is_said() -> None:
    """A long caption needs no background."""
    caption = "Spectra of whale song are drawn over the years. " * 13
    found = answer(
        window(caption=caption, abstract="Whale song spectra drift in frequency with temperature.")
    )

    assert "temperature" not in (found.recaption or "")


def test_a_panel_is_told_with_its_figure() -> None:
    """The figure's own caption is added where the panel's says less."""
    found = answer(window(caption="Training.", parent_caption="Loss of the model over epochs."))

    assert found.recaption == "Training. Loss of the model over epochs."


def test_captions_of_other_figures_come_last() -> None:
    """What a sentence of the text says is preferred to another figure's caption."""
    other = "Residuals of the fit that Figure 3 shows, with more words to fill the room that there is. " * 7
    text = "Figure 3 shows the fit to the data of the first run at low energy. " + "It has a long tail. " * 2
    mentions = (Mention("A", other, is_caption=True), Mention("B", text))

    found = answer(window(caption="A fit.", mentions=mentions))

    assert "first run" in (found.recaption or "")


def test_nothing_known_is_a_row_with_a_reason() -> None:
    """Neither caption nor mentions: no_context, whatever the abstract says."""
    found = answer(window(title="A title", abstract="A long abstract of the paper, with a figure."))

    assert found.recaption is None
    assert found.rejection == "no_context"


PHRASES = [
    *(
        "Figure 3 shows the mass of 12.5 GeV.",
        "It falls.",
        "As in Fig. 3(b), MC agrees (see Eq. 4).",
        "$x. Y$",
    ),
    *(
        "Figures 3 and 4 compare Monte Carlo with data for all 12 bins.",
        "We measure 3.1 et al. here.",
        "\\$5",
        ".",
    ),
    *(
        "The mass drops by 5% at low energies in every bin of the spectrum.",
        "Figure 4 shows what we found there.",
    ),
]
texts = st.lists(st.sampled_from(PHRASES), max_size=30).map(" ".join)
windows = st.builds(
    SemanticWindow,
    title=st.one_of(st.none(), texts),
    abstract=st.one_of(st.none(), texts),
    figure_number=st.sampled_from([None, "3", "4"]),
    caption=st.one_of(texts, st.text(max_size=60)),
    sub_caption=st.one_of(st.none(), texts),
    parent_caption=st.one_of(st.none(), texts),
    mentions=st.lists(st.builds(Mention, st.none(), texts, st.booleans()), max_size=4).map(tuple),
)


@UNTIMED
@given(windows)
def test_nothing_is_invented(known: SemanticWindow) -> None:
    """Every word and number stands in the window, or in the few words that tie it together."""
    recaption = answer(known).recaption or ""

    sources = [known.title, known.abstract, known.caption, known.sub_caption, known.parent_caption]
    sources += [mention.text for mention in known.mentions]
    given_texts = [text for text in sources if text]
    assert words(recaption) <= frozenset().union(*map(words, given_texts)) | TEMPLATE
    assert grounding(recaption, given_texts).ungrounded == ()


@UNTIMED
@given(windows)
def test_sentences_are_added_up_to_a_limit(known: SemanticWindow) -> None:
    """Only a caption or a title that is longer by itself goes beyond 900 characters."""
    found = answer(known)

    alone = len(known.caption) + len(known.title or "") + 40
    assert len(found.recaption or "") <= max(MOST_CHARS, alone)
    assert (found.recaption is None) == (found.rejection is not None)
    assert found == answer(known)


def test_a_wealth_of_sentences_is_cut_to_length() -> None:
    """Where the paper says much, the recaption has 600 to 900 characters."""
    letters = "abcdefghijklmnopqrst"
    many = " ".join(
        f"Figure 3 shows {a}{b} against {b}{a}{a} in the {a}{a}{b} of run {b}{b}{a}."
        for a in letters
        for b in letters[:3]
    )
    found = answer(window(caption="A fit of the data.", title="On fits", mentions=(Mention(None, many),)))

    assert 600 <= len(found.recaption or "") <= MOST_CHARS


def test_what_is_said_of_another_figure_stays_with_it() -> None:
    """A sentence that names other figures only, and those that follow it, are not about this one."""
    text = "Figure 3 shows the mass of the star. Figure 4 shows how the width grows. It doubles within a single year."
    found = answer(window(caption="A star.", mentions=(Mention(None, text),)))

    assert found.recaption == "A star. This figure shows the mass of the star."


def test_endless_texts_are_cut() -> None:
    """Megabytes of caption and mention give a recaption of bounded length."""
    huge = "Figure 3 shows the mass again. " * 100_000
    found = answer(window(caption=huge, title=huge, mentions=(Mention(None, huge),) * 500))

    assert len(found.recaption or "") <= MAX_CAPTION_CHARS + MOST_CHARS + 100


def test_one_answer_per_request_in_order() -> None:
    """The engine answers in the order in which it is asked."""
    requests = [
        CaptionRequest(figure_id=str(i), paper_id="p", window=window(caption=f"Caption {i}."))
        for i in range(3)
    ]

    answers = ContextCaptioner().caption(requests, JOB)

    assert [each.recaption for each in answers] == ["Caption 0.", "Caption 1.", "Caption 2."]
