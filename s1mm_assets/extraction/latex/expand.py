"""One pass over a paper's live text, in the order in which TeX would read it.

Belongs here: the stack of texts being read, where what is read goes (body, float, preamble), and the state
that commands change. What each command does is in handlers*.py; what a float holds, in figures.py.

The reader looks at control sequences only. Those that steer (inputs, definitions, conditionals, floats,
counters) have a handler; a macro of the paper is expanded only where it matters, that is where its body
holds something that steers, or throws an argument away. Everything else is copied as it stands.
"""

# ruff: noqa: SIM905 - word lists read better as words

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from s1mm_assets.extraction.latex.lexing import CONTROL, Work, argument, group, optional, skip_space
from s1mm_assets.extraction.latex.macros import Macro, ends_in_control_word, macro, read_arguments, substitute
from s1mm_assets.extraction.latex.source import SourceTree

MAX_FRAMES = 120
MAX_EXPANSIONS = 30_000
MAX_FILES = 1_000
MAX_INPUT_CHARS = 40_000_000  # of all files, each time they are read
MAX_FILE_DEPTH = 24

_TYPES_A_NUMBER = re.compile(r"(?:FIG|[Ff]ig)[a-zA-Z]*\.?[\s~]*#")  # a macro that says "Figure #1"

Handler = Callable[["Reader", str], None]


@dataclass(slots=True)
class Frame:
    """A text being read: a file, or what a macro expanded to."""

    text: str
    pos: int = 0
    file: str | None = None
    folders: list[str] | None = None  # where this file's own inputs are looked for (\\import)
    absent: set[str] = field(default_factory=set)  # strings known not to follow

    def find(self, needle: str, pos: int) -> int:
        """Find text after `pos`, remembering what is not there, so that repeated failures cost nothing."""
        if needle in self.absent:
            return -1
        at = self.text.find(needle, pos)
        if at < 0:
            self.absent.add(needle)
        return at


@dataclass(slots=True)
class Mark:
    """Something met at a position of the text that is being put together."""

    pos: int
    kind: str  # ref, break, heading, float, graphic
    value: str = ""


@dataclass(slots=True)
class Collector:
    """Text that is being put together: the body, a float, or a group that may turn out to be a figure."""

    kind: str  # body, float, group
    environment: str = ""
    pieces: list[str] = field(default_factory=list)
    length: int = 0
    marks: list[Mark] = field(default_factory=list)
    graphics_piece: int = -1  # first piece since the last figure, heading or caption that holds graphics
    graphics_pos: int = 0
    holds_caption: bool = False
    holds_graphics: bool = False
    event: int = -1  # where in Reader.events its first caption stands

    def add(self, text: str) -> None:
        """Append text."""
        self.pieces.append(text)
        self.length += len(text)

    def mark(self, kind: str, value: str = "") -> None:
        """Note something at the current end."""
        self.marks.append(Mark(self.length, kind, value))


@dataclass(slots=True)
class Float:
    """The live text of one float environment, with the state it was read in."""

    environment: str
    text: str
    graphics_folders: tuple[str, ...]
    file: str
    event: int  # index into Reader.events: the place where its captions are numbered
    number: str | None = None  # where it is typed, or set by hand


@dataclass(slots=True)
class Environment:
    """An environment that the paper defines."""

    opening: Macro
    closing: str


class Reader:
    """Reads a paper from its main file on; `body`, `floats` and `events` are what it leaves."""

    def __init__(
        self,
        tree: SourceTree,
        handlers: Mapping[str, Handler],
        names: frozenset[str],
        steers: Callable[["Reader", str], bool],
    ) -> None:
        self.tree = tree
        self.steers = steers  # whether a text begins or ends an environment that steers
        self.builtin = handlers
        self.handlers: dict[str, Handler] = dict(handlers)
        self.steering = set(names)  # names that make a macro worth expanding
        self.macros: dict[str, Macro] = {}
        self.first: dict[str, Macro] = {}  # what macros meant before the text gave them another meaning
        self.waiting: dict[str, list[str]] = {}
        self.environments: dict[str, Environment] = {}
        self.flags: dict[str, bool] = {}
        self.open_conditionals = 0
        self.verbatims: set[str] = set()
        self.comments: set[str] = {"comment"}
        self.frames: list[Frame] = []
        self.body = Collector("body")
        self.collectors: list[Collector] = [self.body]
        self.floats: list[Float] = []
        self.events: list[tuple[str, ...]] = []
        self.graphics_folders: tuple[str, ...] = ()
        self.extensions: tuple[str, ...] = ()
        self.metadata: dict[str, list[str]] = {}
        self.warnings: list[str] = []
        self.work = Work()
        self.expansions = 0
        self.expanded_chars = 2_000_000
        self.files_read = 0
        self.input_chars_left = MAX_INPUT_CHARS
        self.main_folder = ""
        self.only: set[str] | None = None  # \includeonly
        self.in_document = False
        self.class_name = ""
        self.heading_piece = -1  # number of pieces of the body when the last heading ended
        self.hides_equations = False  # their numbers cannot be told
        self.display: tuple[str, Collector, int] | None = None  # open, with the first piece of its content
        self.lifted: Float | None = None  # a figure made of loose text, and where the body stood then
        self.lifted_piece = 0

    # Reading

    @property
    def frame(self) -> Frame:
        """The text being read now."""
        return self.frames[-1]

    @property
    def out(self) -> Collector:
        """Where text goes now."""
        return self.collectors[-1]

    def run(self) -> None:
        """Read until every text is used up."""
        while self.frames:
            frame = self.frames[-1]
            text, start = frame.text, frame.pos
            handlers = self.handlers
            for match in CONTROL.finditer(text, start):
                handler = handlers.get(match[1])
                if handler is not None:
                    at = match.start()
                    if at > start:
                        self.out.add(text[start:at])
                    frame.pos = match.end()
                    handler(self, match[1])
                    break
            else:
                if start < len(text):
                    self.out.add(text[start:])
                self.leave_frame()

    def enter(self, text: str, start: int, file: str, folders: list[str] | None = None) -> bool:
        """Read a file's text next; says no where the paper has had its share."""
        if self.files_read >= MAX_FILES or self.input_chars_left < len(text):
            return False
        self.files_read += 1
        self.input_chars_left -= len(text)
        self.work.grant(len(text))
        self.frames.append(Frame(text, start, file, folders))
        return True

    def leave_frame(self) -> None:
        """Go back to the text that read the current one."""
        if self.frames:
            self.frames.pop()

    def settle(self) -> Frame:
        """Skip blanks, leaving macro texts that are used up, to where the next argument stands."""
        while True:
            frame = self.frames[-1]
            frame.pos = skip_space(frame.text, frame.pos)
            if frame.pos < len(frame.text) or frame.file is not None or len(self.frames) == 1:
                return frame
            self.frames.pop()

    def star(self) -> bool:
        """Read a star if one follows."""
        frame = self.settle()
        if frame.text.startswith("*", frame.pos):
            frame.pos += 1
            return True
        return False

    def group(self) -> str | None:
        """Read a group in braces if one follows."""
        frame = self.settle()
        got = group(frame.text, frame.pos, self.work)
        if got is None:
            return None
        frame.pos = got[1]
        return got[0]

    def argument(self) -> str | None:
        """Read one mandatory argument if there is one."""
        frame = self.settle()
        got = argument(frame.text, frame.pos, self.work)
        if got is None:
            return None
        frame.pos = got[1]
        return got[0]

    def optional(self) -> str | None:
        """Read an optional argument if one follows."""
        frame = self.frames[-1]
        content, frame.pos = optional(frame.text, frame.pos, self.work)
        return content

    def push(self, text: str) -> None:
        """Read this text next."""
        if not text:
            return
        if len(self.frames) >= MAX_FRAMES or self.expanded_chars < len(text):
            self.out.add(text if len(text) < 10_000 and self.expanded_chars > 0 else "")
            return
        self.expanded_chars -= len(text)
        self.frames.append(Frame(text))

    def warn(self, message: str) -> None:
        """Note something for the paper's row, once."""
        if len(self.warnings) < 50 and message not in self.warnings:
            self.warnings.append(message)

    # The paper's own macros

    def define(self, name: str, defined: Macro) -> None:
        """Take a macro definition; names that steer by themselves keep their meaning."""
        if name in PROTECTED:
            return
        before = self.macros.get(name)
        self.macros[name] = defined
        if self._is_new_meaning(name, before, defined):
            self.first.setdefault(name, before or defined)
            self.handlers[name] = expand_macro
            self._wake(name)
        elif self.matters(defined):
            self.handlers[name] = expand_macro
            self._wake(name)
        else:
            if name in self.builtin:
                self.handlers.pop(name, None)
            elif self.handlers.get(name) is expand_macro:
                del self.handlers[name]
            for used in defined.names:
                if used not in self.builtin:
                    self.waiting.setdefault(used, []).append(name)

    def _is_new_meaning(self, name: str, before: Macro | None, defined: Macro) -> bool:
        """Whether the text changes what a macro says: calls are expanded from now on, while that holds."""
        return (
            before is not None
            and before != defined
            and (self.in_document or not self.class_name)
            and name not in self.builtin
            and (name in self.first or self.handlers.get(name) is not expand_macro)
        )

    def alias(self, name: str, target: str) -> None:
        r"""Take \\let: the name keeps what the target means now, whatever is done to the target later."""
        if target in self.macros:
            self.define(name, self.macros[target])
        elif target in self.builtin:
            handler = self.builtin[target]
            self.macros.pop(name, None)
            self.handlers[name] = lambda reader, _: handler(reader, target)
            if target in self.steering:
                self.steering.add(name)
                self._wake(name)
        elif target in self.steering:
            self.define(name, macro("\\" + target))
        else:
            self.macros[name] = macro("\\" + target)
            if self.handlers.get(name) is expand_macro:
                del self.handlers[name]

    def matters(self, defined: Macro) -> bool:
        """Whether a macro has to be expanded to read the paper's figures and references right."""
        if defined.drops_an_argument or ("#" in defined.body and _TYPES_A_NUMBER.search(defined.body)):
            return True
        handlers = self.handlers
        for name in defined.names:
            if name in self.steering or handlers.get(name) is expand_macro:
                return True
            if name in ("begin", "end") and self.steers(self, defined.body):
                return True
        return False

    def _wake(self, name: str) -> None:
        """Expand, from now on, the macros that were waiting for this one to matter."""
        pending = [name]
        while pending:
            for user in self.waiting.pop(pending.pop(), ()):
                if user in self.macros and self.handlers.get(user) is not expand_macro:
                    self.handlers[user] = expand_macro
                    pending.append(user)

    def plain(self, text: str, rounds: int = 8) -> str:
        """Expand every macro of the paper in a short text, such as a file name."""
        for _ in range(rounds):
            if "\\" not in text or len(text) > 2_000:
                break
            before = text
            text = self._expand_once(text)
            if text == before:
                break
        return text

    def _expand_once(self, text: str) -> str:
        pieces = []
        pos = 0
        for match in CONTROL.finditer(text):
            called = self.macros.get(match[1])
            if match.start() < pos or called is None:
                continue
            got = read_arguments(called, text, match.end(), self.work)
            if got is None or self.expansions > MAX_EXPANSIONS:
                continue
            self.expansions += 1
            pieces += [text[pos : match.start()], substitute(called.body, got[0])]
            pos = got[1]
            if not called.parameters and text.startswith(" ", pos):
                pos += 1
        pieces.append(text[pos:])
        return "".join(pieces)


def expand_macro(reader: Reader, name: str) -> None:
    """Replace a call of one of the paper's macros by what it stands for."""
    called = reader.macros[name]
    frame = reader.settle() if called.parameters else reader.frame
    reader.expansions += 1
    if reader.expansions > MAX_EXPANSIONS:
        reader.out.add("\\" + name)
        return
    got = read_arguments(called, frame.text, frame.pos, reader.work)
    if got is None:
        reader.out.add("\\" + name)
        return
    values, frame.pos = got
    text = substitute(called.body, values)
    if not called.parameters and frame.text.startswith((" ", "\n"), frame.pos):
        frame.pos = skip_space(frame.text, frame.pos)
    if ends_in_control_word(text):
        text += " "
    reader.push(text)


PROTECTED = frozenset(
    """begin end documentclass documentstyle document enddocument section subsection subsubsection chapter
    includegraphics caption label ref cite input include def newcommand renewcommand let newenvironment usepackage
    par item maketitle title author abstract ifthenelse subfigure subfloat subcaptionbox captionof epsfbox epsfig
    psfig autoref cref Cref subref graphicspath appendix setcounter addtocounter bibliography footnote thanks
    figure endfigure table endtable tabular verb thebibliography newif fi else or iffalse iftrue
    equation endequation icmltitle icmlauthor AtlasTitle""".split()
)
"""Names whose redefinition by a paper is not followed: what they do to figures stays what LaTeX does."""
