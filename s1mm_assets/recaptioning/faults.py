"""What can be wrong with a model's answer, one rule per reason: refusals, loops, echoes, markup, other languages.

A rule returns what it saw, or None. Honest prose must pass however it is laden: with formulas, with gene names,
with ten panels described in the same words. Each rule is linear in the length of an answer of `MAX_CHARS`.
"""

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from unicodedata import name

import numpy as np

from s1mm_assets.recaptioning import sentences
from s1mm_assets.recaptioning.window import SemanticWindow
from s1mm_assets.tables import Rejection

MIN_CHARS = 40
MIN_LETTERS = 20
MAX_CHARS = 20_000  # of an answer; what is longer describes no figure
MAX_PROMPT_CHARS = 100_000
FINISHED = (None, "stop", "eos")

REFUSAL_CHARS = 300  # how far into an answer a refusal is looked for
MIN_RUN = 40  # equal characters in a row
MAX_PERIOD = 40  # words that a loop may have to be seen as one
MIN_PERIODS, MIN_LOOP_WORDS = 4, 12
MIN_COUNTED, MIN_COUNTED_WORDS = 27, 60  # a list that only counts on: more than there are letters for panels
MIN_COMPRESSED = 0.2  # of the bytes; English prose stays above 0.3
MIN_COMPRESSIBLE_CHARS = 200
MAX_REPEATED_SHARE = 0.4  # of the characters, in sentences that stood before
MIN_DISTINCT_SHARE = 0.5  # of the runs of six words

COPIED_WORDS = 8  # in a row make a copy
MIN_COPIED = 16  # words of the instructions in an answer make an echo
ECHO_WORDS = 4  # as above, for the caption
MAX_NEW_WORDS, MAX_NEW_SHARE = 3, 0.1

MAX_FOREIGN_SHARE = 0.1  # of the letters
MIN_ENGLISH_SHARE = 0.05  # of the words: usual are 0.3, and 0.1 in lists of names
MIN_NOT_ENGLISH_SHARE = 0.1
MIN_WORDS = 15  # below that the words say nothing of a language


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer as the rules see it."""

    text: str  # mended and folded
    lines: str  # mended, line breaks kept: they show lists and tables
    finish_reason: str | None
    is_whole: bool  # whether `text` is all that was answered
    window: SemanticWindow
    prompt: str


def texts_of(window: SemanticWindow) -> list[str]:
    """Return all that the paper says about a figure, and what stands in it; the nearest first."""
    own = [window.caption, window.sub_caption, window.parent_caption, window.figure_number]
    mentions = [part for mention in window.mentions for part in (mention.text, mention.section)]
    return [
        text for text in (*own, " ".join(window.image_text), *mentions, window.title, window.abstract) if text
    ]


def words_of(text: str) -> list[str]:
    """Return the words and numbers of a text in lower case, in order."""
    return _WORD.findall(text.lower())


_WORD = re.compile(r"[^\W_]+")


def runs(words: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    """Yield every n words that stand in a row."""
    return zip(*(words[start:] for start in range(n)), strict=False)


# Empty, cut off, refused -----------------------------------------------------------------------------------


def empty(answer: Answer) -> str | None:
    """Nothing, next to nothing, or nothing that could be words."""
    n_letters = sum(map(str.isalpha, answer.text))
    if len(answer.text) >= MIN_CHARS and n_letters >= MIN_LETTERS:
        return None
    return f"{len(answer.text)} characters, {n_letters} letters, finish reason {answer.finish_reason}"


def cut_off(answer: Answer) -> str | None:
    """The model did not come to an end; where it had begun to repeat itself the evidence says so."""
    if answer.finish_reason in FINISHED:
        return None
    repeated = loop(answer)
    return f"finish reason {answer.finish_reason[:40]}" + (f"; {repeated}" if repeated else "")


def overlong(answer: Answer) -> str | None:
    """It goes on for pages; the end was not even read."""
    return None if answer.is_whole else f"more than {MAX_CHARS:,} characters"


_I = r"(?:(?:\A|[.!?,;:—–]\s|\b(?:but|so|that|because|since|as|and|however|unfortunately)\s)I)"
_CANNOT = r"(?:cannot|can['’]t|can\snot|could\snot|couldn['’]t|do\snot|don['’]t|am\snot\sable\sto|won['’]t)"
_IMAGE = (
    r"(?:(?:the|this|that|any|an|your|actual|provided|attached)\s){0,3}"
    r"(?:image|figure|picture|photo|file|attachment)s?"
)
_REFUSAL = re.compile(
    rf"""
      {_I}(?:['’]m|\sam)\s(?:(?:really|very|so|terribly)\s)?(?:sorry|afraid|unable|not\sable)\b
    | {_I}\sapologi[sz]e\b | \bmy\sapologies\b | \A(?:sorry|apologies)\b
    | {_I}\s{_CANNOT}\s(?:actually\s|directly\s|currently\s)?(?:see|view|access|analy[sz]e|assist|help|fulfil|comply
        |describe|identify|provide|open|process|interpret|generate|create|write|have\s(?:access|the\sability|enough))
    | \bas\san?\s(?:AI|artificial\sintelligence|large\slanguage\smodel|language\smodel|text-based)
        (?:\s(?:assistant|language\smodel|model)\b|,|\sI\b)
    | \bunable\sto\s(?:view|see|access|open|load|display)\s{_IMAGE}\b
    | \bno\s(?:image|figure|picture)s?\s(?:(?:was|were|is|are|has\sbeen|have\sbeen)\s)?
        (?:actually\s)?(?:provided|attached|included|supplied|uploaded|shared|given)\b
    | \b(?:image|figure|picture)s?\s(?:itself\s)?(?:was|were|is|are|has|have)(?:\snot|n['’]t)\s(?:been\s)?
        (?:provided|attached|included|uploaded|supplied|accessible|visible\sto\sme)\b
    | \bnot\spossible\s(?:for\sme\s)?to\s(?:view|see|describe|analy[sz]e)\s{_IMAGE}\b
    | \bplease\s(?:provide|upload|share|attach|send|supply)\s(?:the|a|an|your|me|more)\b
    | \bwithout\s(?:seeing|access\sto|being\sable\sto\s(?:see|view))\s{_IMAGE}\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


def refusal(answer: Answer) -> str | None:
    """The model speaks of itself instead of the figure."""
    found = _REFUSAL.search(answer.text[:REFUSAL_CHARS])
    return quoted(answer.text[found.start() : found.start() + 100]) if found else None


def quoted(text: str) -> str:
    """Return a piece of an answer for the evidence."""
    return f"“{text if len(text) <= 100 else text[:99] + '…'}”"


# Loops -----------------------------------------------------------------------------------------------------

_RUN = re.compile(rf"(\S)\1{{{MIN_RUN - 1}}}")
_COUNTED = re.compile(r"\d+(?:[.,]\d+)*|\b[a-z]\b|\b[ivxl]+\b")


def loop(answer: Answer) -> str | None:
    """The model repeats itself: a character, a word, a sentence, or a list that only counts on."""
    run = _RUN.search(answer.text)
    if run:
        return f"{run[1]!r} {MIN_RUN} times in a row"
    tokens = answer.text.lower().split()
    return (
        _compressible([answer.text, *(token for token in tokens if len(token) >= MIN_COMPRESSIBLE_CHARS)])
        or _periodic(tokens, MIN_PERIODS, MIN_LOOP_WORDS)
        or _periodic(_COUNTED.sub("0", answer.text.lower()).split(), MIN_COUNTED, MIN_COUNTED_WORDS)
        or _repeated_sentences(answer.text)
        or _few_distinct(tokens)
    )


def _compressible(texts: Iterable[str]) -> str | None:
    for text in texts:
        n_bytes = len(data := text.encode("utf-8", "replace"))
        share = len(zlib.compress(data, 6)) / n_bytes
        if n_bytes >= MIN_COMPRESSIBLE_CHARS and share < MIN_COMPRESSED:
            return f"{n_bytes} bytes say what {share:.0%} of them could; {quoted(text[-60:])} at the end"
    return None


def _periodic(tokens: Sequence[str], n_periods: int, n_words: int) -> str | None:
    """Words that come again and again, side by side, at least so many times and so many in all."""
    numbers: dict[str, int] = {}
    ids = np.array([numbers.setdefault(token, len(numbers)) for token in tokens])
    for period in range(1, MAX_PERIOD + 1):
        needed = max((n_periods - 1) * period, n_words - period)
        is_same = ids[period:] == ids[:-period]
        if np.count_nonzero(is_same) < needed:
            continue
        breaks = np.flatnonzero(np.concatenate(([True], ~is_same, [True])))
        lengths = np.diff(breaks) - 1
        if lengths.max() >= needed:
            start = int(breaks[lengths.argmax()])
            return f"{quoted(' '.join(tokens[start : start + period]))} again and again"
    return None


def _repeated_sentences(text: str) -> str | None:
    """Sentences that stood before make up much of the text; short ones do not count."""
    counts: Counter[tuple[str, ...]] = Counter()
    written: dict[tuple[str, ...], str] = {}
    n_repeated = 0
    for sentence in sentences.split(text):
        words = tuple(words_of(sentence))
        if len(words) >= 5:
            n_repeated += len(sentence) if words in counts else 0
            counts[words] += 1
            written.setdefault(words, sentence)
    if not counts or n_repeated <= MAX_REPEATED_SHARE * len(text):
        return None
    words, n_times = counts.most_common(1)[0]
    return f"the sentence {quoted(written[words])} {n_times} times"


def _few_distinct(tokens: Sequence[str]) -> str | None:
    n_runs = max(0, len(tokens) - 5)
    n_distinct = len(set(runs(tokens, 6)))
    if n_runs < 30 or n_distinct >= MIN_DISTINCT_SHARE * n_runs:
        return None
    return f"only {n_distinct} of {n_runs} runs of six words are distinct"


# Echoes ----------------------------------------------------------------------------------------------------

_FRAMING = frozenset(
    """this the a an image figure fig plot panel diagram graph chart photograph illustration caption it shows show
    showing shown illustrates illustrating depicts depicting displays presents presenting is are of in with titled
    described as follows""".split()  # noqa: SIM905 - a list of words reads better so
)


def echo(answer: Answer) -> str | None:
    """The answer copies what was asked, or is the caption and nothing else."""
    words = words_of(answer.text)
    return _instructions_in(words, answer) or _nothing_but(words, answer.window)


def _instructions_in(words: Sequence[str], answer: Answer) -> str | None:
    """Words of the prompt that are not the paper's."""
    prompt = set(runs(words_of(answer.prompt[:MAX_PROMPT_CHARS]), COPIED_WORDS))
    suspects = prompt.intersection(runs(words, COPIED_WORDS))
    if not suspects:
        return None
    for text in texts_of(answer.window):
        suspects.difference_update(runs(words_of(text[:MAX_PROMPT_CHARS]), COPIED_WORDS))
    copied = covered(words, suspects, COPIED_WORDS)
    if sum(copied) < MIN_COPIED:
        return None
    start = copied.index(True)
    return f"{sum(copied)} words of the prompt: {quoted(' '.join(words[start : start + 16]))}"


def _nothing_but(words: Sequence[str], window: SemanticWindow) -> str | None:
    """The caption, or the abstract, in its order, and next to nothing new."""
    named = {
        "caption": window.caption,
        "sub-caption": window.sub_caption,
        "figure's caption": window.parent_caption,
        "abstract": window.abstract,
    }
    for which, text in named.items():
        source = words_of((text or "")[:MAX_CHARS])
        n = min(ECHO_WORDS, len(source))
        if n == 0:
            continue
        copied = covered(words, set(runs(source, n)), n)
        new = [
            word
            for word, is_copied in zip(words, copied, strict=True)
            if not is_copied and word not in _FRAMING
        ]
        if any(copied) and len(new) <= max(MAX_NEW_WORDS, MAX_NEW_SHARE * len(words)):
            return f"{sum(copied)} of {len(words)} words are the {which}'s, in its order"
    return None


def covered(words: Sequence[str], known: set[tuple[str, ...]], n: int) -> list[bool]:
    """Return for each word whether it stands in n known words in a row."""
    is_covered = [False] * len(words)
    for start, run in enumerate(runs(words, n)):
        if run in known:
            is_covered[start : start + n] = [True] * n
    return is_covered


# Markup ----------------------------------------------------------------------------------------------------

_TAGS = (
    "div|span|table|thead|tbody|tr|td|th|ul|ol|li|img|code|pre|html|body|head|style|script|center|font|hr|br"
    "|figcaption|h[1-6]"
)
_ANYWHERE = {
    "a special token": r"<\|(?:[a-z]{2,12}(?:_[a-z]{1,12}){1,3}|endoftext|user|assistant|system|end)\|>|<｜"
    r"|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|</?s>\s*\Z|</?tool_(?:call|response)>|</?think>",
    "a tag": rf"</?(?:{_TAGS})(?:\s[^<>]{{0,200}})?/?>|</(?:[a-z]|em|strong|sub|sup)>|<!--"
    r"|&(?:amp|lt|gt|nbsp|quot|#x?[0-9a-f]{2,5});",
    "a code fence": r"```|^~~~\w*$",
    "a heading": r"(?:^|\s)#{2,6} +[A-Z]",
    "a link": r"!?\[[^\[\]\n]{0,200}\]\((?:https?://|[\w./-]{1,200}\.(?:png|jpe?g|svg|pdf)\))",
    "a LaTeX environment": r"\\(?:begin|end)\{(?:figure|table|tabular|itemize|enumerate|document|tikzpicture)\*?\}"
    r"|\\(?:caption|section|includegraphics|documentclass|item)\b",
    "JSON": r"\A[\[{]\s*(?:\{\s*)?\"\w",
    "a chat role": r"\A(?:assistant|user|human)\s?:|^(?:assistant|user|human|system)\s*$",
}
_LINES = {
    "a heading": (1, r"^[ \t]*#{1,6} +\S"),
    "a list": (2, r"^[ \t]*(?:[-*+•‣▪◦–]|\d{1,2}[.)])[ \t]+\S"),
    "a table": (2, r"^[ \t]*\|[^\n]*\|[ \t]*$"),
    "a rule": (1, r"^[ \t]*(?:-{3,}|\*{3,}|={3,}|_{3,})[ \t]*$"),
    "code": (
        1,
        r"^(?:import [\w.]+(?: as \w+)?$|from [\w.]+ import |def \w+\(|class \w+[(:]|plt\.\w+\(|#include|print\()",
    ),
}
_MARKUP = tuple(
    (what, n_times, re.compile(pattern, re.MULTILINE))
    for what, n_times, pattern in (
        *((what, 1, pattern) for what, pattern in _ANYWHERE.items()),
        *((what, n_times, pattern) for what, (n_times, pattern) in _LINES.items()),
    )
)


def markup(answer: Answer) -> str | None:
    """Markdown, tags, code or tokens that are none of the paper's own; maths in LaTeX is welcome."""
    for what, n_times, pattern in _MARKUP:
        for text in dict.fromkeys((answer.lines, answer.text)):
            found = [match.group().strip() for match in pattern.finditer(text)]
            if len(found) >= n_times and not all(
                _is_the_papers(piece, answer.window) for piece in set(found)
            ):
                return f"{what}: {quoted(found[0])}"
    return None


def _is_the_papers(piece: str, window: SemanticWindow) -> bool:
    """Papers on language models describe tokens and tags; a piece without a letter or two is no such name."""
    return len(piece) > 2 and any(piece in text for text in texts_of(window))


# Language --------------------------------------------------------------------------------------------------

_MATHS = re.compile(r"\$[^$]{1,1000}\$|\\[A-Za-z]+")
_LATIN = re.compile(r"[A-Za-zªµºÀ-ÖØ-öø-ʯᴀ-ᶿḀ-ỿﬀ-ﬆ]+")
_NO_LETTERS = re.compile(  # nor Greek, nor the letters of formulas
    r"(?:[^\w]|[\d_ʰ-˿\u0370-\u03ff\u1f00-\u1fff\u2070-\u218f\u2460-\u24ff\U0001d400-\U0001d7ff])+"
)
_ENGLISH = frozenset(
    """the and of to is are for with by that from this which at as it its between each both were be has have not
    than while where their these shows into""".split()  # noqa: SIM905 - a list of words reads better so
)
_NOT_ENGLISH = frozenset(
    """der die und das ist von mit den für auf eine einer wird im le les des du une est dans pour sur avec aux el los
    las del que una por se il della dei di che gli os dos uma com het een van voor zijn met og det som av til med
    är och""".split()  # noqa: SIM905
)


def wrong_language(answer: Answer) -> str | None:
    """Letters of another script, or hardly a word that every English text has. Maths and Greek do not count."""
    prose = _MATHS.sub(" ", answer.text)
    if not prose.isascii():
        letters = _NO_LETTERS.sub("", prose)
        foreign = _LATIN.sub("", letters)
        if len(foreign) > MAX_FOREIGN_SHARE * len(letters):
            return f"{len(foreign) / len(letters):.0%} of the letters are not Latin, most of them {_script(foreign)}"
    words = words_of(prose)
    n_english = sum(word in _ENGLISH for word in words)
    n_foreign = sum(word in _NOT_ENGLISH for word in words)
    is_foreign = n_foreign > n_english and n_foreign >= MIN_NOT_ENGLISH_SHARE * len(words)
    if len(words) < MIN_WORDS or not (is_foreign or n_english < MIN_ENGLISH_SHARE * len(words)):
        return None
    return (
        f"{n_english} of {len(words)} words are common English ones, {n_foreign} those of other languages: "
        + quoted(answer.text)
    )


def _script(letters: str) -> str:
    """The script of most letters, by what Unicode calls them."""
    scripts = Counter(name(letter, "UNNAMED").split(" ")[0] for letter in letters)
    script = scripts.most_common(1)[0][0]
    return "Han" if script == "CJK" else script.title()


# Read each entry as "reject, for this reason, where this sees something". The first match is recorded.
# Markup comes before language: a table has no function words, whatever its language.
RULES: tuple[tuple[Rejection, Callable[[Answer], str | None]], ...] = (
    (Rejection.ANSWER_EMPTY, empty),
    (Rejection.ANSWER_CUT_OFF, cut_off),
    (Rejection.ANSWER_REFUSAL, refusal),
    (Rejection.ANSWER_LOOP, loop),
    (Rejection.ANSWER_ECHO, echo),
    (Rejection.ANSWER_MARKUP, markup),
    (Rejection.ANSWER_WRONG_LANGUAGE, wrong_language),
    (Rejection.ANSWER_CUT_OFF, overlong),
)
