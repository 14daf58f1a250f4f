"""What the model reads of a figure."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.recaptioning import Mention, SemanticWindow
from s1mm_assets.recaptioning.budget import fitted
from s1mm_assets.recaptioning.prompt import BUILT_IN, FOLDER, Prompt, PromptError, PromptText, one_line
from s1mm_assets.recaptioning.request import Sampling, body_bytes
from s1mm_assets_tests.conftest import ROOT
from s1mm_assets_tests.strategies import UNTIMED

GOLDEN = ROOT / "s1mm_assets_tests" / "golden" / "recaptioning"
BARE = SemanticWindow(title=None, abstract=None, figure_number=None, caption="")
FULL = SemanticWindow(
    title="Gated nets for whale song",
    abstract="We study whales at sea. Their song drifts by $0.2$ Hz a year.",
    figure_number="3",
    caption="Loss.",
    sub_caption="Loss over epochs.",
    parent_caption="Training and validation of the gated net.",
    mentions=(
        Mention("4.1 Results", "Figure 3 shows that the loss falls."),
        Mention(None, "Without the gate (Fig. 3a) it does not."),
        Mention("5 Ablation", "As Fig. 3, on the second data set.", is_caption=True),
    ),
    image_text=("epoch", "loss [nats]", "train"),
)
PANEL = replace(
    FULL, caption="Training and validation of the gated net. (a) Loss over epochs."
)  # as extracted
BLOCKS = "{% block system %}S{% endblock %}{% block paper %}P{% endblock %}{% block figure %}F{% endblock %}"
SAMPLING = Sampling(temperature=0.2, top_p=0.9, repetition_penalty=1.05, max_tokens=640, seed=0)
SPECIAL = (
    *(
        "<|im_end|>",
        "<|im_start|>system",
        "<|image_pad|>",
        "<|vision_start|>",
        "<\u200b|im_end|>",
        "<|im\u2060_end|>",
    ),
    *(
        "<｜end▁of▁sentence｜>",
        "[INST]",
        "[/INST]",
        "<<SYS>>",
        "<</SYS>>",
        "<start_of_turn>",
        "<end_of_turn>",
    ),
    *(
        "</s>",
        "<s>",
        "<image>",
        "<img>",
        "<think>",
        "</think>",
        "<tool_call>",
        "<IMG_CONTEXT>",
        "<bos>",
        "[IMG]",
    ),
)
LINE_ENDS = ("\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")


def filled_with(text: str) -> SemanticWindow:
    """A window with a text in every field."""
    return SemanticWindow(
        title=text,
        abstract=text,
        figure_number=text,
        caption=text,
        sub_caption=text,
        parent_caption=text,
        mentions=(Mention(text, text), Mention(text, text, is_caption=True)),
        image_text=(text, text),
    )


def prompt_at(path: Path, source: str) -> Prompt:
    path.write_text(source, encoding="utf-8")
    return Prompt.load(str(path))


@pytest.mark.parametrize(("name", "window"), [("bare", BARE), ("full", FULL), ("panel", PANEL)])
def test_golden_what_the_model_reads(
    name: str, window: SemanticWindow, check_golden: Callable[[str, Path], None]
) -> None:
    """The built-in prompt, with little and with all that a paper can say; the image stands at its mark."""
    text = Prompt.load("describe-1").fill(fitted(window, 2_500)[0])

    check_golden(
        f"{text.system}\n----\n{text.paper}\n---- image\n{text.figure}\n", GOLDEN / f"describe-1_{name}.txt"
    )


def test_figures_of_a_paper_begin_alike() -> None:
    """System and paper are the same for another figure, so that servers cache them; the figure comes last."""
    prompt = Prompt.load("describe-1")
    one, other = prompt.fill(FULL), prompt.fill(replace(BARE, title=FULL.title, abstract=FULL.abstract))

    assert (one.system, one.paper) == (other.system, other.paper)
    assert one.figure != other.figure
    assert str(one) == f"{one.system}\n{one.paper}\n{one.figure}"


@pytest.mark.parametrize("special", SPECIAL)
def test_no_text_holds_a_special_token(special: str) -> None:
    """What a tokenizer would take for the end of a turn, or for an image, is broken up in every field."""
    text = str(Prompt.load("describe-1").fill(filled_with(f"before {special} after")))

    plain = special.replace("\u200b", "").replace("\u2060", "")
    opening = plain[: 2 if plain.startswith("<<") else 1]
    assert plain not in text
    assert text.count(f"before {opening} {plain[len(opening) :]} after") >= 10  # still there to be read


@pytest.mark.parametrize(
    "text",
    [
        "$a<s$",
        "p < 0.01 > q",
        "x <",
        "<T> at <x|y>",
        "[INSTANCE]",
        "a<b_c",
        "|<v>|",
        "<sub>2</sub>",
    ],
)
def test_formulas_and_tags_are_left_alone(text: str) -> None:
    """What no tokenizer takes for a token stays as the paper writes it."""
    assert one_line(text) == text


@pytest.mark.parametrize("sign", ["\u200b", "\u202e", "\u2066", "\ufeff", "\xad", "\U000e0041", "\u200f"])
def test_what_nobody_sees_is_not_sent(sign: str) -> None:
    """Invisible signs could hide what a text says from those who check it, or turn it round."""
    text = str(Prompt.load("describe-1").fill(filled_with(f"in{sign}visible")))

    assert sign not in text
    assert text.count("invisible") >= 10


@pytest.mark.parametrize("line_end", LINE_ENDS)
def test_no_text_looks_like_a_field(line_end: str) -> None:
    """A text stays on the line of its field, whatever ends its lines."""
    text = str(Prompt.load("describe-1").fill(filled_with(f"x{line_end}Caption: a cat")))

    assert [line for line in text.splitlines() if line.startswith("Caption:")] == [
        "Caption: x Caption: a cat"
    ]
    assert len(text.splitlines()) == len(str(Prompt.load("describe-1").fill(filled_with("x"))).splitlines())


@given(st.text(st.one_of(st.characters(), st.characters(categories=["Cs", "Cc"]), st.sampled_from("<| \n"))))
@UNTIMED
def test_every_text_can_be_sent(text: str) -> None:
    """Control characters and halves of surrogate pairs are gone; the rest encodes, and is on one line."""
    folded = one_line(text)

    assert one_line(folded) == folded
    assert len(folded.splitlines()) <= 1
    assert "<|" not in folded
    assert not any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in folded)
    sent = json.loads(body_bytes("m", Prompt.load("describe-1").fill(filled_with(text)), SAMPLING, b"data:,"))
    assert sent["messages"][1]["content"][0]["text"].startswith(f"Title: {folded or '(not known)'}\n")


@pytest.mark.parametrize(
    "code", ["{{ 7*7 }}", "{% for a in b %}x{% endfor %}", "{# gone #}", "{{ caption }}"]
)
def test_code_in_a_paper_is_not_run(code: str) -> None:
    """The texts of a paper are values: what looks like a template in them is text."""
    text = Prompt.load("describe-1").fill(filled_with(code))

    assert f"Caption: {code}\n" in text.figure
    assert text.paper == f"Title: {code}\nAbstract: {code}"


def test_version_and_digest(tmp_path: Path) -> None:
    """The version is the file's name; the digest is of the file, comments included."""
    source = (FOLDER / "describe-1.jinja").read_bytes()
    copy = prompt_at(tmp_path / "mine-2.jinja", source.decode())
    commented = prompt_at(tmp_path / "mine-3.jinja", f"{source.decode()}{{# mine #}}")

    assert Prompt.load("describe-1").version == "describe-1"
    assert "describe-1" in BUILT_IN
    assert Prompt.load("describe-1").sha256 == hashlib.sha256(source).hexdigest() == copy.sha256
    assert (copy.version, commented.version) == ("mine-2", "mine-3")
    assert commented.sha256 != copy.sha256


def test_ones_own_template(tmp_path: Path) -> None:
    """A template by its path may name every field, loop over mentions, and use jinja's own functions."""
    source = (
        "{% block system %}Be brief.{% endblock %}{% block paper %}{{ title }}{% endblock %}"
        "{% block figure %}{% for m in mentions %}{{ m.section }}: {{ m.text | upper }};{% endfor %}"
        "{{ range(2) | list }}{% endblock %}"
    )
    window = replace(BARE, title="T", mentions=(Mention("1", "a"), Mention(None, "b")))

    assert prompt_at(tmp_path / "own.jinja", source).fill(window) == PromptText(
        "Be brief.", "T", "1: A;: B;[0, 1]"
    )


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "lacks the block system"),
        (BLOCKS.replace("block figure", "block figures"), "lacks the block figure"),
        (BLOCKS.replace("{% endblock %}", "", 1), "is no template"),
        (BLOCKS.replace("F", "{{ title | nonsense }}"), "is no template.*nonsense"),
        (BLOCKS.replace("F", "{{ titel }}"), "names titel, which no window has; it has: title, abstract"),
        (BLOCKS.replace("F", "{% if sub_caption and title %}{{ titel }}{% endif %}"), "names titel"),
        (BLOCKS.replace("F", "{% for m in mentions %}{{ m.txt }}{% endfor %}"), "cannot be filled in.*txt"),
        (BLOCKS.replace("F", "{{ title + 1 }}"), "cannot be filled in"),
        (BLOCKS.replace("F", "{% include 'other' %}"), "cannot be filled in"),
        (BLOCKS.replace("F", "{{ lipsum() }}"), "names lipsum, which no window has"),
        (BLOCKS.replace("F", "{{ cycler(1, 2).next() }}"), "names cycler"),
        (BLOCKS.replace("F", "{{ mentions | random }}"), "is no template.*random"),
        (BLOCKS.replace("F", "{{ title.upper }}"), "an object's place in memory"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_when_it_is_read(
    source: str, says: str, tmp_path: Path
) -> None:
    """At once and with the reason, not at the first figure that has the field."""
    with pytest.raises(PromptError, match=says):
        prompt_at(tmp_path / "own.jinja", source)


@pytest.mark.parametrize("name", ["describe-0", "", ".", "a\0b", "../prompts/none.jinja"])
def test_a_template_that_is_not_there(name: str) -> None:
    """The message names those that there are."""
    with pytest.raises(PromptError, match=r"neither a prompt of this version .*describe-1.* nor a readable"):
        Prompt.load(name)


def test_a_template_that_is_no_text(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are no template."""
    (tmp_path / "own.jinja").write_bytes(b"\xff\xfe")

    with pytest.raises(PromptError, match="nor a readable file"):
        Prompt.load(str(tmp_path / "own.jinja"))
