"""Models' answers: good ones of many fields pass, bad ones are rejected for what is wrong with them."""

# ruff: noqa: E501 - answers are long lines

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from s1mm_assets.archives import open_bundle
from s1mm_assets.extraction.jats import JatsPaper, read_jats
from s1mm_assets.extraction.latex import LatexPaper, read_paper
from s1mm_assets.recaptioning import Mention, SemanticWindow, context
from s1mm_assets.recaptioning.answer import MAX_EVIDENCE_CHARS, Verdict, read_answer
from s1mm_assets.recaptioning.faults import texts_of
from s1mm_assets.tables import Rejection
from s1mm_assets_tests.strategies import UNTIMED

INSTRUCTIONS = """You describe figures of scientific papers for readers who have only the image and your text.
Say what is seen: the type of the figure, its axes with their units, the trends, and each panel by its letter.
Say why it matters in this paper. Do not mention anything that neither the image nor the context shows.
Write one paragraph of about 600 to 900 characters in plain English, without lists, headings or markdown."""

CAPTION = "Ablation of the gating layer on CIFAR-10: accuracy (%) against depth for N = 4, 8 and 16 experts."
ABSTRACT = (
    "We study gated mixtures of experts for image classification. Gating by a learned router raises accuracy "
    "at a constant number of operations, and we show by ablation which of its parts matter."
)
WINDOW = SemanticWindow(
    title="Gated nets for image classification",
    abstract=ABSTRACT,
    figure_number="3",
    caption=CAPTION,
    mentions=(
        Mention(
            "Results", "Without the gating layer, accuracy drops from 93.1% to 88.4% at depth 20 (Figure 3)."
        ),
    ),
)
GOOD = (
    "The line chart compares the test accuracy of gated networks on CIFAR-10 as their depth grows, with one curve "
    "for each number of experts (N = 4, 8 and 16). Accuracy rises steeply at first and then levels off, and the "
    "curve of the largest model lies above the others throughout. Where the gating layer is taken away, accuracy "
    "drops from 93.1% to 88.4%, which supports the paper's claim that the router is what matters."
)
EMPTY_WINDOW = SemanticWindow(title=None, abstract=None, figure_number=None, caption="")

HONEST = {
    "prose": GOOD,
    "LaTeX": (
        r"The plot shows the differential cross section $\frac{\mathrm{d}\sigma}{\mathrm{d}p_T}$ (pb/GeV) as a function "
        r"of the transverse momentum $p_{T}$ of the $\rho^0$ meson for $|\eta| < 2.5$ and $10^{-3} < x < 10^{-1}$. The "
        r"points with error bars are data; the line is a fit of the form $A\,e^{-b|t|}$ with $b = 7.2 \pm 0.3$ "
        r"$\mathrm{GeV}^{-2}$. Below $p_T \sim 1$ GeV the ratio stays within $\pm 5\,\%$, so that $a * b * c$ and $a<b>c$ hold."
    ),
    "inequalities": (
        "Scatter plot of the mean <x> against the variance for all runs with p < 0.05 (**) or p < 0.001 (***). Where "
        "x > 3 and y < 5, the points a < b > c lie on the line y = x**2 + z**2, and 10^{-3} is the smallest of the values."
    ),
    "genes": (
        "Western blots of LIMK1, LIMK2, PARP1, TP53, BRCA1, H2AX and β-actin in wild-type and ΔPDZ HeLa cells (a) and the "
        "quantified phosphorylation of cofilin at Ser3 (b). Levels of p-cofilin rise in the L165A and R166K mutants, as "
        "do mRNA levels of CDKN1A, MDM2, GADD45A, and BAX; the bars are means ± SD of n = 3 experiments, µg of protein."
    ),
    "ablation": (
        "The table-like chart lists the ablations of ResNet-50 on ImageNet: baseline 76.1, w/o SE 75.4, w/o aug 74.8, w/o "
        "mixup 75.0, w/o EMA 75.7, with all 77.2. Each bar is the top-1 accuracy of one variant, and the red line "
        "is the baseline. The variable names batch_size, learning_rate and weight_decay are those of the config file."
    ),
    "panels": " ".join(
        f"({panel}) The temperature field at t = {time} s, with contours of the vorticity from {-time} to {time}."
        for panel, time in zip("abcdef", range(1, 7), strict=True)
    )
    + " Together the panels show how the plume rises, breaks up and mixes with the stratified layer above.",
    "sixteen panels": "Spectra of the sixteen samples, each in a panel of its own: "
    + ", ".join(f"({panel}) x = 0.{number:02}" for number, panel in enumerate("abcdefghijklmnop"))
    + ". The band at 530 nm shifts to the red with x and splits in two above half doping.",
    "chemistry": (
        "Reaction scheme of the Pd(OAc)2-catalysed coupling of 4-bromoanisole with PhB(OH)2 in DMF/H2O (4:1) at 80 °C, "
        "followed by CH2Cl2 extraction. The 1H NMR (CDCl3, 400 MHz) of the product in (b) shows δ 7.52 (d, J = 8.7 Hz, 2H) "
        "and 3.85 (s, 3H), and the IR bands at 1,250 and 830 cm^{-1} confirm that the methoxy group is kept; yield 92%."
    ),
    "inability": (
        "The curves show that the excess cannot be explained by the background alone: models I and II are unable to "
        "describe the figure of merit above 2 keV, and in phase I cannot be told from II. The image is not to scale. "
        "Sorry states aside, no image charges were included in the simulation, and the fit does not converge."
    ),
    "Russian label": (
        "Street map of the old town of Kazan, with the survey points as red dots and the river in blue. The sign in the "
        "lower left reads Казань and marks where the transect begins; the points lie closer together in the "
        "centre than at its borders, and the legend gives the year of each of the three campaigns from 2003 to 2011."
    ),
    "tokens": (
        "Diagram of the encoder: the input sequence [CLS] the cat sat [SEP] <pad> <pad> is embedded, <mask> tokens are drawn "
        "at random, and the attention weights from <s> to the others are shown in shades of blue for each of the heads."
    ),
    "quotations": (
        'Bar chart of answers to the question "How often do you commit?" by 412 developers. The largest group says '
        "``daily'' and the smallest `never', while those who work alone answer “rarely” more often than those in teams."
    ),
    "sequence": (
        "Alignment of the promoter with its orthologues: the box GGGCGG stands 60 bp before the start of transcription "
        "in all of them, while the repeat (CAG)n, here CAGCAGCAGCAGCAGCAGCAG, is longer in the patients than in the controls."
    ),
    "zeros": (
        "The matrices show how the rank falls with training: at first each row is full, and at the end only the first two "
        "columns are left, as in (1, 2, 0, 0, 0, 0, 0, 0, 0, 0), so that 0 0 0 0 0 0 stands for what is not used at all."
    ),
}


def read(text: str | None, finish_reason: str | None = "stop", window: SemanticWindow = WINDOW) -> Verdict:
    """Read an answer to the prompt of a window."""
    return read_answer(text, finish_reason, window, "\n".join([INSTRUCTIONS, *texts_of(window)]))


@pytest.mark.parametrize("text", HONEST.values(), ids=HONEST)
@pytest.mark.parametrize("window", [WINDOW, EMPTY_WINDOW], ids=["window", "no window"])
def test_honest_answers_pass_as_they_are(text: str, window: SemanticWindow) -> None:
    """Whatever the field: formulas, names, tables and many panels are no faults, and nothing of them is changed."""
    found = read(text, window=window)

    assert (found.recaption, found.rejection) == (text, None), found.evidence
    assert "cleaned" not in found.flags


def test_a_grounded_answer_has_no_flag() -> None:
    """Its numbers and names stand in the window, and it is neither short nor long."""
    assert read(GOOD) == Verdict(GOOD, None, None, ())


@pytest.mark.parametrize(
    "wrapped",
    [
        f'"{GOOD}"',
        f"“{GOOD}”",
        f"```\n{GOOD}\n```",
        f"```markdown\n{GOOD}\n```",
        f"Recaption: {GOOD}",
        f"**Description:** {GOOD}",
        f"## Figure description\n\n{GOOD}",
        f'Sure! Here is the description of Figure 3:\n\n"{GOOD}"',
        f"Here’s a self-contained caption for the image: {GOOD}",
        f"<think>\nIt has three curves. </think>\n\n{GOOD}",
        f"The user wants a caption.\n</think>\n\n{GOOD}",
        f"<caption>{GOOD}</caption>",
        f"{GOOD}\n\nLet me know if you would like me to shorten it!",
        f"{GOOD} (Word count: 71)",
        f'Description: "```\n{GOOD}\n```"',
        f"Here is the\ncaption: {GOOD}",
        GOOD.replace("gating layer", "**gating\nlayer**"),
        GOOD.replace("gating layer", "**gating layer**").replace("CIFAR-10", "*CIFAR-10*"),
        GOOD.replace("accuracy", "`accuracy`"),
        GOOD.replace("accuracy", "<b>accuracy</b>"),
        GOOD.replace("gated", "ga\u200bted\x00").replace("router", "rou\ud800ter"),
    ],
)
def test_wrapping_is_mended(wrapped: str) -> None:
    """What stands around a good description, or marks its words, is taken off; a flag says so."""
    assert read(wrapped) == Verdict(GOOD, None, None, ("cleaned",))


def test_white_space_is_folded_without_a_flag() -> None:
    """Paragraphs become one line; that is no mend worth a flag."""
    assert read("\n " + GOOD.replace(". ", ".\n\n\t") + "\u2028 ") == Verdict(GOOD, None, None, ())


def test_indices_in_tags_become_maths() -> None:
    """Sub- and superscripts keep their meaning."""
    found = read("The concentration of CO<sub>2</sub> falls from 10<sup>-3</sup> M to a tenth of that value.")

    assert found.recaption == "The concentration of CO_{2} falls from 10^{-3} M to a tenth of that value."
    assert "cleaned" in found.flags


@pytest.mark.parametrize("text", [
    '"Left" is the mask that the network gives and what lies on the other side of the image is the "right"',
    "The averages *p < 0.05, **p < 0.01 and ***p < 0.001 stand above the bars of each of the three groups.",
    "The 5`-end and the 3`-end of the strand are marked by arrows, and so is the codon from which it is read.",
    "The dual C* of the algebra C*(G) and the product f * g * h are drawn as boxes, x**2 + y**2 as a circle.",
])  # fmt: skip
def test_what_only_looks_wrapped_stays(text: str) -> None:
    """Quotation marks around the first and last words, stars of significance, strands and algebras."""
    assert read(text).recaption == text


BAD: dict[Rejection, list[str | None]] = {
    Rejection.ANSWER_EMPTY: [
        None,
        "",
        " \n\t\u3000\u200b ",
        "A figure.",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22",
        "<think>The image has three curves, and I have not come to an end",
        '""',
        "Description:",
        "(" * 100_000,
        "\n" * 100_000,
    ],
    Rejection.ANSWER_REFUSAL: [
        "I'm sorry, but I cannot assist with describing this image. Please consult the paper itself.",
        "I’m unable to view the image, so this description rests on the context: the chart compares accuracies.",
        "As an AI language model, I do not see images, but the caption says that accuracy is shown by depth.",
        "I cannot see the figure. Based on the context it seems to show the accuracy of gated networks.",
        "I can't provide a description of this figure since the context does not say enough about it.",
        "Unfortunately, no image was provided. Please upload the figure so that it can be described in detail.",
        "The image was not provided, but from the caption one may take that it shows accuracy against depth.",
        "I apologize for the confusion. The figure seems to be missing from the message that was sent.",
        "It is not possible to view the image here; what follows is taken from the caption of the figure alone.",
        "Without seeing the image, one can only say that it is likely to compare several numbers of experts.",
    ],
    Rejection.ANSWER_LOOP: [
        f"{GOOD} " + "The accuracy rises with the depth of the network. " * 12,
        GOOD + " and the accuracy" * 30,
        f"{GOOD} {GOOD}",
        " ".join([GOOD.replace(". ", ", ").rstrip(".")] * 3),
        GOOD + " the" * 20,
        GOOD + " " + "=" * 60,
        "The curves are red, green, " + "blue, red, green, " * 40,
        "The panels show " + ", ".join(f"x = {number}" for number in range(80)) + " and so on and on.",
        " ".join(f"Panel {number} shows the accuracy of the network at depth {number}." for number in range(40)),
        GOOD + " " + "ha" * 300,
        "a" * 100_000,
        "a b " * 25_000,
    ],
    Rejection.ANSWER_ECHO: [
        CAPTION,
        f"The figure shows: {CAPTION}",
        f"Figure 3. {CAPTION}",
        CAPTION.upper(),
        f"{CAPTION} This is from the paper.",
        f"{CAPTION} Higher means better.",
        ABSTRACT,
        "Say what is seen: the type of the figure, its axes with their units, the trends, and each panel by its letter.",
        "The model gates its experts. Do not mention anything that neither the image nor the context shows. Write one "
        "paragraph of about 600 to 900 characters in plain English. The chart shows accuracy.",
        INSTRUCTIONS,
        INSTRUCTIONS.replace("\n", "\n\n") + "\n\n" + GOOD,
    ],
    Rejection.ANSWER_MARKUP: [
        f"# Figure 3\n\n{GOOD}",
        f"{GOOD}\n\n### Panels\n\nThere is one panel.",
        f"The chart shows:\n- {GOOD}\n- The legend names the three models.\n- The grid is grey.",
        f"1. {GOOD}\n2. The legend names the three models.",
        "| model | accuracy |\n|---|---|\n| gated network | 93.1 |\n| without the gating layer | 88.4 |",
        f"{GOOD}<|im_end|>",
        f"<|vision_start|><|image_pad|><|vision_end|>{GOOD}",
        f"assistant\n{GOOD}",
        f"{GOOD}\nuser\nNow describe the next figure, please.",
        json.dumps({"description": GOOD}),
        f"```json\n{json.dumps({'description': GOOD})}\n```",
        f"<div class='caption'><p>{GOOD}</p></div>",
        f"{GOOD} <br/><ul><li>red: N = 4</li></ul>",
        f"{GOOD}\n```python\nplt.plot(depth, accuracy)\n```",
        f"import matplotlib.pyplot as plt\n{GOOD}",
        "\\begin{figure}\\includegraphics{a}\\caption{" + GOOD + "}\\end{figure}",
        f"![The accuracy]({'figure.png'}) {GOOD}",
        f"{GOOD} It is A&amp;B that is meant here.",
        f"{GOOD}\n\n---\n\nNote that the colours are a guess.",
    ],
    Rejection.ANSWER_WRONG_LANGUAGE: [
        "该图展示了门控网络在CIFAR-10数据集上的测试精度随网络深度的变化情况。横轴为网络深度,纵轴为精度。去掉门控层之后精度从93.1%下降到88.4%。",
        f"{GOOD[:220]} 此外,图中还显示了去掉门控层之后精度的下降情况,这支持了论文的主要观点,即路由器是最重要的部分。",
        "На графике показана точность сетей в зависимости от глубины. Без слоя вентилей точность падает до 88.4%.",
        "この図は、ゲート付きネットワークの精度を深さの関数として示している。ゲート層を除くと精度は大きく低下する。",
        "يوضح الشكل دقة الشبكات كدالة للعمق، وتنخفض الدقة عند إزالة طبقة البوابات من النموذج المقترح في هذه الورقة",
        "Das Diagramm zeigt die Genauigkeit der Netze über der Tiefe. Ohne die Schicht fällt sie von 93,1 auf 88,4 Prozent, "
        "was die Aussage der Arbeit stützt, dass es auf den Router ankommt.",
        "Das Diagramm zeigt die Ergebnisse der Studie „Gating of the Experts for Vision“ mit der Tiefe auf der x-Achse "
        "und der Genauigkeit auf der y-Achse, die mit jeder Schicht steigt und mit dem Router am höchsten ist.",
        "La figure montre la précision des réseaux en fonction de leur profondeur. Sans la couche de portes, elle tombe de "
        "93,1 à 88,4 %, ce qui confirme le rôle du routeur dans les résultats.",
        "El gráfico muestra la exactitud de las redes según su profundidad. Sin la capa de compuertas, la exactitud baja "
        "del 93,1 al 88,4 por ciento, lo que apoya la tesis del artículo.",
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit. Suspendisse posuere non enim vel tempor. Fusce quis sem "
        "sed nulla tincidunt faucibus. Vivamus dictum magna in ante porttitor faucibus.",
        "zerbrick QLabel ntohs widełk umption geographic_Parse ilmington Stuff rowser quential Keyword Tümü orthand "
        "swagger alette ueblo quin ViewChild yyval _Equals lobber Maker ustralian",
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("rejection", "text"),
    [(rejection, text) for rejection, texts in BAD.items() for text in texts],
    ids=lambda value: value.value if isinstance(value, Rejection) else (value or "")[:30],
)
def test_bad_answers_are_rejected_for_what_is_wrong_with_them(rejection: Rejection, text: str | None) -> None:
    """The reason is the right one, and the evidence says what was seen."""
    found = read(text)

    assert (found.recaption, found.rejection) == (None, rejection), found.evidence
    assert found.evidence is not None
    assert 0 < len(found.evidence) <= MAX_EVIDENCE_CHARS


@pytest.mark.parametrize("finish_reason", ["length", "abort", "content_filter", "tool_calls", ""])
def test_what_was_cut_off_is_rejected(finish_reason: str) -> None:
    """Only a model that stopped by itself has said all."""
    assert read(GOOD, finish_reason).rejection == Rejection.ANSWER_CUT_OFF


@pytest.mark.parametrize("finish_reason", ["stop", "eos", None])
def test_an_end_is_an_end(finish_reason: str | None) -> None:
    """Servers name it differently, or not at all."""
    assert read(GOOD, finish_reason).recaption == GOOD


def test_the_evidence_of_an_endless_answer_names_the_loop() -> None:
    """It was cut off because it went round in circles."""
    found = read(GOOD + " and the accuracy" * 30, "length")

    assert found.rejection == Rejection.ANSWER_CUT_OFF
    assert "again and again" in (found.evidence or "")


@pytest.mark.parametrize("n_words", [4_000, 40_000])
def test_an_answer_of_many_pages_is_no_description(n_words: int) -> None:
    """It is rejected even where nothing in it is wrong: its end was not read."""
    drawn = random.Random(0)
    words = ["".join(drawn.choices("aeilmnorst", k=6)) for _ in range(n_words)]
    text = " ".join(f"{word} of the" if n % 3 == 0 else word for n, word in enumerate(words))

    assert read(text).rejection == Rejection.ANSWER_CUT_OFF


def test_what_the_paper_says_of_tokens_is_no_markup() -> None:
    """A paper about chat templates has answers that name them."""
    text = "The diagram shows where the tokens <|im_start|> and </s> stand in the prompt of the model and what follows."
    window = SemanticWindow(
        title=None, abstract=None, figure_number=None, caption="The tokens <|im_start|> and </s>."
    )

    assert read(text, window=window).recaption == text
    assert read(text.replace("</s>", "<|im_end|>"), window=window).rejection == Rejection.ANSWER_MARKUP


def test_what_no_source_holds_is_flagged_and_named() -> None:
    """A number and a name that stand neither in the window nor in the image's text."""
    found = read(GOOD.replace("88.4%", "71.9%").replace("CIFAR-10", "ImageNet"))

    assert found.flags == ("ungrounded",)
    assert found.evidence == "ungrounded: 71.9%, ImageNet"


def test_what_was_read_in_the_image_grounds() -> None:
    """Words of the image are a source like the caption."""
    window = SemanticWindow(
        title=None, abstract=None, figure_number=None, caption="Results.", image_text=("ImageNet", "71.9%")
    )
    text = "The bar chart shows that the accuracy on ImageNet is 71.9% for the larger of the two models."

    assert read(text, window=window).flags == ("short",)


def test_long_answers_are_flagged() -> None:
    """Above 2,000 characters."""
    assert "long" in read(" ".join([*HONEST.values()][:6])).flags


ADVERSARIES = [
    *(
        "a",
        "(((",
        "a b a b ",
        "\n",
        " ",
        '"',
        "`",
        "*",
        "**a",
        "<",
        "<b>",
        "$",
        "\\",
        "|",
        "# ",
        "- \n",
        "</think>\n",
    ),
    *(
        "<think>",
        "I am sorry. ",
        "Description: ",
        "1. a\n",
        "字",
        "\ud800",
        "\x00",
        "&amp;",
        "a.b.",
        "[a](",
        "_{",
        "9",
    ),
]


@pytest.mark.parametrize("piece", ADVERSARIES, ids=repr)
def test_endless_repetition_is_rejected(piece: str) -> None:
    """100 kB of anything are read without harm, and never accepted."""
    assert read(piece * (100_000 // len(piece))).recaption is None
    assert read(GOOD + " " + piece * (100_000 // len(piece))).recaption is None


PIECES = [
    *(
        GOOD,
        GOOD[:150],
        CAPTION,
        "The ",
        "of ",
        " and the ",
        '"',
        "“",
        "”",
        "'",
        "`",
        "```",
        "\n",
        "\n\n",
        " ",
        "**",
        "*",
    ),
    *(
        "Description:",
        "Here is the caption:",
        "<think>",
        "</think>\n",
        "<caption>",
        "</caption>",
        "<b>",
        "</b>",
        "- ",
        "|",
    ),
    *(
        "# ",
        "$",
        "x^2",
        "字",
        "Let me know if it helps.",
        "\u200b",
        "\ud800",
        "assistant\n",
        "(Word count: 5)",
        "1. ",
    ),
]


def answers() -> st.SearchStrategy[str]:
    """A good answer among pieces of wrapping, of which many are accepted, and arbitrary text."""
    pieces = st.lists(st.sampled_from(PIECES), max_size=5).map("".join)
    return st.one_of(
        st.tuples(pieces, st.sampled_from([GOOD, GOOD[:150]]), pieces).map("".join), pieces, st.text()
    )


@settings(UNTIMED, max_examples=300)
@given(answers(), st.sampled_from(["stop", None, "length"]), st.sampled_from([WINDOW, EMPTY_WINDOW]))
@example(f"``` ``` {GOOD}", "stop", WINDOW)
@example(f"Description:\n# {GOOD}", "stop", WINDOW)
@example('"' * 40 + GOOD + '"' * 40, "stop", WINDOW)
@example(f"``{GOOD}``", None, EMPTY_WINDOW)
def test_what_is_accepted_is_clean_and_stays(
    text: str, finish_reason: str | None, window: SemanticWindow
) -> None:
    """Never an error; one line without space around it; read again it is the same, and needs no mending."""
    found = read(text, finish_reason, window)

    assert (found.recaption is None) == (found.rejection is not None)
    if found.recaption is not None:
        assert found.recaption
        assert found.recaption == " ".join(found.recaption.split())
        assert found.recaption.encode()
        others = tuple(flag for flag in found.flags if flag != "cleaned")
        assert read(found.recaption, finish_reason, window) == Verdict(
            found.recaption, None, found.evidence, others
        )


def papers(corpus: Path) -> Iterator[LatexPaper | JatsPaper]:
    """The real papers whose text can be read quickly."""
    for path in sorted((corpus / "latex").glob("*.gz")):
        yield read_paper(open_bundle(path.read_bytes(), path.name).members)
    for path in sorted((corpus / "samples" / "jats").glob("*.*ml")):
        yield read_jats({path.name: path.read_bytes()})


def windows(corpus: Path) -> Iterator[SemanticWindow]:
    """What the real papers say about their figures."""
    for paper in papers(corpus):
        for figure in paper.figures:
            mentions: list[dict[str, Any]] = [dict(mention) for mention in figure.mentions]
            yield SemanticWindow(
                title=paper.title,
                abstract=paper.abstract,
                figure_number=figure.figure_number,
                caption=figure.caption,
                sub_caption=figure.sub_caption,
                parent_caption=figure.parent_caption,
                mentions=tuple(Mention(**mention) for mention in mentions),
            )


@pytest.mark.corpus
def test_real_english_prose_passes(corpus: Path) -> None:
    """Captions with citing sentences, and these alone: rejected are echoes, and what is too short or not English."""
    texts: dict[str | None, SemanticWindow] = {}
    for window in windows(corpus):
        alone = [mention.text for mention in window.mentions] + [window.caption, window.abstract]
        texts |= dict.fromkeys(alone, EMPTY_WINDOW) | {context.answer(window).recaption: window}
    verdicts = [read(text, window=window) for text, window in texts.items()]
    wrong = [
        one for one in verdicts if one.rejection not in {None, Rejection.ANSWER_EMPTY, Rejection.ANSWER_ECHO}
    ]
    is_other = re.compile(r"adipiscing|compilador|siguiente")  # filler, and a paper in Spanish
    false = [found for found in wrong if not is_other.search(found.evidence or "")]

    assert len(texts) > 1_500
    assert len(false) <= 0.005 * len(texts), false[:5]
