"""What each steering command does to the reader: inputs, definitions, counters, references, graphics.

Belongs here: one small function per family of commands, and the table of them at the end.
"""

# ruff: noqa: ARG001, SIM905 - handlers share one signature; word lists read better as words

import posixpath
import re

from s1mm_assets.extraction.latex import conditionals, environments, typed
from s1mm_assets.extraction.latex.conditionals import PRIMITIVES
from s1mm_assets.extraction.latex.expand import (
    MAX_FILE_DEPTH,
    PROTECTED,
    Environment,
    Float,
    Handler,
    Reader,
    expand_macro,
)
from s1mm_assets.extraction.latex.graphics import GRAPHICS_COMMANDS
from s1mm_assets.extraction.latex.lexing import CONTROL, argument, group, optional, options, skip_space
from s1mm_assets.extraction.latex.macros import (
    Macro,
    macro,
    read_def,
    read_document_command,
    read_environment,
    read_newcommand,
)

REFERENCES = frozenset(
    """ref autoref cref Cref eqref figref Figref figsref FigRef subref vref Vref fref Fref rfig hyperref labelcref
    crefrange Crefrange labelcrefrange autorefs prettyref vrefrange fullref zcref zref nameref refs figrefs Figrefs
    namecref lcref figureref Figureref newref reff cpageref""".split()
)
_DOCUMENT = re.compile(r"\\begin\s*\{document\}")
_FOREACH = re.compile(r"((?:\s*+\\[a-zA-Z]++\s*+/?)++)(?:\[[^\]]{0,200}\])?\s*+in\s*+")
_WORD = re.compile(r"\\([a-zA-Z]+)[ \t]?")
_FIGURE_SET = re.compile(r"\\figset(?:grp)?(num|title|plot|note)(?![a-zA-Z])")
MAX_LOOP = 200
MAX_FIGURE_SET = 2_000
_PLAIN_NAME = re.compile(r"[^\s{}\\%]{1,300}")
_FONT_FILES = frozenset(
    [".pdf_tex", ".eps_tex", ".pstex_t", ".pspdftex", ".pdf_t", ".eepic", ".pgf", ".tikz", ".ltx"]
)


# Inputs


def input_file(reader: Reader, command: str) -> None:
    r"""\input{file}, \include{file}, \subfile{file}, and plain TeX's \input file."""
    frame = reader.settle()
    name = reader.group()
    if name is None:
        match = _PLAIN_NAME.match(frame.text, frame.pos)
        if match is None:
            return
        name, frame.pos = match[0], match.end()
    name = reader.plain(name)
    if command == "include" and reader.only is not None and name.strip() not in reader.only:
        return
    enter_file(reader, name, None)


def import_file(reader: Reader, command: str) -> None:
    r"""\import{folder}{file} and \subimport{folder}{file}."""
    reader.star()
    folder, name = reader.group(), reader.group()
    if folder is None or name is None:
        return
    here = input_folders(reader)[0] if command.startswith("sub") else reader.main_folder
    enter_file(
        reader, reader.plain(name), posixpath.normpath(posixpath.join(here, reader.plain(folder).strip()))
    )


def input_folders(reader: Reader) -> list[str]:
    """Where inputs are looked for: the import folder, the main file's, this file's, the bundle's top."""
    folders = []
    for frame in reversed(reader.frames):
        if frame.folders is not None:
            folders += frame.folders
            break
    folders.append(reader.main_folder)
    current = next((frame.file for frame in reversed(reader.frames) if frame.file), "") or ""
    folders += [posixpath.dirname(current), ""]
    return list(dict.fromkeys(folders))


def enter_file(reader: Reader, name: str, folder: str | None) -> bool:
    """Read a file next; says in a warning where it is not there."""
    folders = ([folder] if folder is not None else []) + input_folders(reader)
    suffixes = (".tex", "") if posixpath.splitext(name.strip())[1] not in _FONT_FILES else ("", ".tex")
    path = reader.tree.find_input(name, folders, suffixes)
    if path is None:
        reader.warn(f"input not found: {name.strip()[:100]}")
        reader.out.add("\\input{" + name.strip()[:200] + "}")
        return False
    open_files = [frame.file for frame in reader.frames if frame.file is not None]
    text = reader.tree.text(path)
    body = _DOCUMENT.search(text) if reader.in_document else None
    is_allowed = path not in open_files and len(open_files) < MAX_FILE_DEPTH
    folders_inside = [folder] if folder is not None else None
    if is_allowed and reader.enter(text, body.end() if body else 0, path, folders_inside):
        return True
    reader.warn(f"input not followed: {path[:100]}")
    return False


def if_file_exists(reader: Reader, command: str) -> None:
    r"""\IfFileExists{file}{yes}{no} and \InputIfFileExists."""
    name, yes, no = reader.group(), reader.group(), reader.group()
    if name is None:
        return
    found = reader.tree.find_input(reader.plain(name), input_folders(reader))
    reader.push((yes if found else no) or "")
    if found and command.startswith("Input"):
        enter_file(reader, name, None)


def end_input(reader: Reader, command: str) -> None:
    r"""\endinput: the rest of this line is still read, nothing after it."""
    while reader.frames:
        frame = reader.frame
        if frame.file is not None:
            line_end = frame.text.find("\n", frame.pos)
            if line_end >= 0:
                rest = frame.text[frame.pos : line_end]
                reader.leave_frame()
                if rest.strip() and reader.frames:
                    reader.push(rest)
            return
        reader.leave_frame()


def include_only(reader: Reader, command: str) -> None:
    r"""\includeonly{a,b}."""
    names = reader.group()
    if names is not None:
        reader.only = {name.strip() for name in names.split(",")}


def use_package(reader: Reader, command: str) -> None:
    r"""\usepackage: what is in the bundle under that name may hold the paper's macros."""
    _, reader.frame.pos = options(reader.frame.text, reader.frame.pos, reader.work)
    for name in (reader.group() or "").split(",")[:40]:
        stem = name.strip()
        path = reader.tree.find_input(stem + ".sty", [reader.main_folder, ""], ("",))
        if (
            path
            and len(reader.tree.members[path]) < 60_000
            and not is_public_package(stem, reader.tree.text(path))
        ):
            enter_file(reader, path, "")


_PUBLIC = re.compile(
    r"graphic|subfig|caption|natbib|hyperref|amsmath|ams|algorithm|float|epsf|psfig|pst|tikz|pgf|cite|fancy|jcap|"
    r"jhep|nips|neurips|iclr|icml|cvpr|iccv|eccv|acl|emnlp|naacl|aaai|ijcai|apj|aas|mn2e|revtex|ieee|spconf|"
    r"interspeech|siam|elsart|wrapfig|sidecap|multirow|booktabs|authblk|lineno|setspace|geometry|titlesec|"
    r"enumitem|cleveref|xcolor|color|listings|minted|feyn|axodraw|slashed|rotating|lscape|units|siunitx",
    re.IGNORECASE,
)


def is_public_package(stem: str, text: str) -> bool:
    """Whether a style file in the bundle is a published package rather than the authors' own macros."""
    return bool(_PUBLIC.match(stem)) or (
        "\\ProvidesPackage" in text
        and ("\\RequirePackage" in text or "\\@startsection" in text)
        and "LaTeX Project Public License" in text
    )


def document_class(reader: Reader, command: str) -> None:
    r"""\documentclass[options]{class}."""
    frame = reader.frame
    given, frame.pos = options(frame.text, frame.pos, reader.work)
    name = reader.group()
    if name is not None and not reader.class_name:
        reader.class_name = name.strip()
        reader.metadata["class_options"] = [",".join(given)]


# Definitions


def new_command(reader: Reader, command: str) -> None:
    r"""\newcommand and its kin."""
    frame = reader.frame
    got = read_newcommand(frame.text, frame.pos, reader.work)
    if got is None:
        return
    name, defined, frame.pos = got
    if command.startswith("provide") and name in reader.macros:
        return
    take_definition(reader, name, defined)


def tex_def(reader: Reader, command: str) -> None:
    r"""\def and its kin."""
    frame = reader.frame
    got = read_def(frame.text, frame.pos, reader.work)
    if got is None:
        return
    name, defined, frame.pos = got
    if command in ("edef", "xdef"):
        defined = macro(reader.plain(defined.body), defined.parameters, defined.prefix)
    if name == "@captype" and reader.out.kind == "group" and "figure" in defined.body:
        reader.out.holds_caption = True
    if name == "@captype":
        reader.out.add("\\def\\@captype{" + defined.body + "}")
    take_definition(reader, name, defined)


def document_command(reader: Reader, command: str) -> None:
    r"""\NewDocumentCommand and its kin."""
    frame = reader.frame
    got = read_document_command(frame.text, frame.pos, reader.work)
    if got is not None:
        name, defined, frame.pos = got
        take_definition(reader, name, defined)


def take_definition(reader: Reader, name: str, defined: Macro) -> None:
    """Keep a definition; how a counter is printed is an event of its own."""
    if len(reader.macros) > 20_000 or len(name) > 60:
        return
    if name.startswith("the") and len(name) > 3:
        reader.events.append(("the", name[3:], defined.body))
    reader.define(name, defined)


def let(reader: Reader, command: str) -> None:
    r"""\let\a=\b: \a now does what \b does."""
    frame = reader.frame
    first = CONTROL.match(frame.text, skip_space(frame.text, frame.pos))
    if first is None:
        return
    pos = skip_space(frame.text, first.end())
    pos = skip_space(frame.text, pos + 1) if frame.text.startswith("=", pos) else pos
    second = CONTROL.match(frame.text, pos)
    frame.pos = second.end() if second else pos + 1
    if second is None or first[1] in PROTECTED:
        return
    reader.alias(first[1], second[1])


def new_environment(reader: Reader, command: str) -> None:
    r"""\newenvironment and its kin."""
    frame = reader.frame
    got = read_environment(frame.text, frame.pos, reader.work, xparse="Document" in command)
    if got is None:
        return
    name, opening, closing, frame.pos = got
    if len(reader.environments) < 5_000:
        reader.environments[name] = Environment(opening, closing)


def verbatim_environment(reader: Reader, command: str) -> None:
    r"""\lstnewenvironment, \DefineVerbatimEnvironment, \newtcblisting, \newminted."""
    name = reader.group()
    if name is None:
        _, reader.frame.pos = optional(reader.frame.text, reader.frame.pos, reader.work)
        name = reader.group()
    if name and len(reader.verbatims) < 1_000:
        reader.verbatims.add(name.strip() + ("code" if command == "newminted" else ""))


def exclude_comment(reader: Reader, command: str) -> None:
    r"""\excludecomment{x}, \includecomment{x} of the comment package."""
    name = (reader.group() or "").strip()
    if command == "excludecomment" and name and len(reader.comments) < 1_000:
        reader.comments.add(name)
    else:
        reader.comments.discard(name)


# Counters and headings


def counter(reader: Reader, command: str) -> None:
    r"""\setcounter, \addtocounter, \stepcounter, \numberwithin and their kin, kept as events in order."""
    frame = reader.frame
    _, frame.pos = optional(frame.text, frame.pos, reader.work)
    reader.star()
    names = [reader.group() or ""]
    if command not in ("stepcounter", "refstepcounter"):
        names.append(reader.plain(reader.group() or ""))
    reader.events.append((command, *(name.strip() for name in names)))


def counter_register(reader: Reader, command: str) -> None:
    r"""\c@figure=3, as plain TeX sets a register."""
    match = re.compile(r"\s*=?\s*(\d{1,6})").match(reader.frame.text, reader.frame.pos)
    if match:
        reader.events.append(("setcounter", command[2:], match[1]))
        reader.frame.pos = match.end()


def appendix(reader: Reader, command: str) -> None:
    r"""\appendix."""
    reader.events.append(("appendix",))
    reader.out.add("\n\n")


def heading(reader: Reader, command: str) -> None:
    r"""\section{…} and the like: a paragraph ends, and a number may be taken."""
    if reader.out.kind == "float":
        reader.out.add("\\" + command)
        return
    reader.display = None
    starred = reader.star()
    reader.optional()
    title = reader.group()
    if title is None:
        return
    if not starred:
        reader.events.append(("section", command))
    label = re.search(r"\\label\s*\{([^{}]{1,300})\}", title)
    if label:
        reader.events.append(("label", label[1]))
    while reader.out.kind == "group":
        environments.close_collector(reader)  # no figure is made of loose text and headings
    out = reader.out
    out.add("\n\n")
    out.mark("heading" if command not in ("paragraph", "subparagraph") else "break", title)
    reader.heading_piece = len(out.pieces)
    out.graphics_piece = -1


def paragraph_end(reader: Reader, command: str) -> None:
    r"""\par."""
    reader.out.add("\n\n")


# References, labels, graphics


def reference(reader: Reader, command: str) -> None:
    """Note where something is referred to; which label is read when the text is whole."""
    reader.out.mark("ref")
    reader.out.add("\\" + command)


def label(reader: Reader, command: str) -> None:
    r"""\label: kept in floats; in the body it names the heading just before it, or a figure just lifted."""
    out = reader.out
    key = reader.group()
    if key is None:
        return
    if out.kind in ("float", "group") or reader.display is not None:
        out.add("\\label{" + key + "}")
        return
    n_since = len(out.pieces) - reader.lifted_piece
    if (
        reader.lifted is not None
        and n_since <= 4
        and not "".join(out.pieces[-n_since or len(out.pieces) :]).strip()
    ):
        reader.lifted.text += "\\label{" + key + "}"
    elif (
        len(out.pieces) - reader.heading_piece <= 2
        and not "".join(out.pieces[reader.heading_piece :]).strip()
    ):
        reader.events.append(("label", key.strip()))
    out.add("{}")


def graphics(reader: Reader, command: str) -> None:
    """Copy a graphics command, with the paper's macros in its file name expanded now: they may change."""
    out = reader.out
    frame = reader.frame
    out.holds_graphics = True
    if out.kind != "float":
        out.mark("graphic")
        if out.graphics_piece < 0:
            out.graphics_piece, out.graphics_pos = len(out.pieces), out.length
    _, pos = options(frame.text, frame.pos, reader.work)
    name = group(frame.text, pos, reader.work)
    if name is None or "\\" not in name[0]:
        out.add("\\" + command)
        return
    out.add("\\" + command + frame.text[frame.pos : pos] + "{" + reader.plain(name[0]) + "}")
    frame.pos = name[1]


def fig(reader: Reader, command: str) -> None:
    r"""\fig: aastex's image, or harvmac's legend after a control sequence."""
    frame = reader.settle()
    if frame.text.startswith("\\", frame.pos):
        typed.list_figure(reader, command)
    else:
        graphics(reader, command)


def foreach(reader: Reader, command: str) -> None:
    r"""\foreach \x in {1,...,4}{…} of pgffor, where it shows images: its body, once per value."""
    frame = reader.frame
    match = _FOREACH.match(frame.text, frame.pos)
    given = argument(frame.text, match.end(), reader.work) if match else None
    body = argument(frame.text, given[1], reader.work) if given else None
    if match is None or given is None or body is None or not _shows_images(reader, body[0]):
        reader.out.add("\\foreach")
        return
    names = CONTROL.findall(match[1])
    frame.pos = body[1]
    rounds = []
    for value in _loop_values(reader.plain(given[0])):
        parts = dict(zip(names, value.split("/") + [value] * len(names), strict=False))
        rounds.append(_with_values(body[0], parts))
    reader.push("".join(rounds))


def _with_values(text: str, values: dict[str, str]) -> str:
    """Put a loop's values in the place of its variables."""
    return _WORD.sub(lambda word: values.get(word[1], word[0]), text)


def _shows_images(reader: Reader, text: str) -> bool:
    return any(
        name in GRAPHICS_COMMANDS or (name in reader.macros and reader.handlers.get(name) is expand_macro)
        for name in CONTROL.findall(text)
    )


def _loop_values(text: str) -> list[str]:
    """The values of a loop's list, with "1,...,4" and "a,...,d" written out."""
    values: list[str] = []
    parts = [part.strip() for part in environments.at_commas(text, MAX_LOOP)]
    for before, part, after in zip(["", *parts], parts, [*parts[1:], ""], strict=False):
        if part != "...":
            values.append(part)
        elif before.isdecimal() and after.isdecimal() and len(before + after) < 12:
            first = int(before) - int(values[-2]) if len(values) > 1 and values[-2].isdecimal() else 1
            values += [str(n) for n in range(int(before) + first, int(after), first)] if first > 0 else []
        elif len(before) == len(after) == 1 and before.isascii() and after.isascii():
            values += [chr(code) for code in range(ord(before) + 1, ord(after))]
        del values[MAX_LOOP:]
    return values


def figure_set(reader: Reader, command: str) -> None:
    r"""\figsetstart … \figsetend of aastex: figures of the electronic edition, each with its image and note."""
    frame = reader.frame
    end = frame.find("\\figsetend", frame.pos)
    if end < 0:
        return
    parts = frame.text[frame.pos : end].split("\\figsetgrpstart")[1 : MAX_FIGURE_SET + 1]
    frame.pos = end + len("\\figsetend")
    for part in parts:
        said: dict[str, list[str]] = {"num": [], "title": [], "plot": [], "note": []}
        for match in _FIGURE_SET.finditer(part):
            got = group(part, match.end(), reader.work)
            said[match[1]] += [got[0].strip()] if got else []
        images = "".join(f"\\figsetplot{{{name}}}" for name in said["plot"])
        caption = next((text for text in said["note"] + said["title"] if text), "")
        reader.events.append(("float",))
        reader.floats.append(
            Float(
                environment="figset",
                text=f"{images}\\caption*{{{caption}}}",
                graphics_folders=reader.graphics_folders,
                file="",
                event=len(reader.events) - 1,
                number="".join(said["num"][:1])[:20] or None,
            )
        )


def graphics_path(reader: Reader, command: str) -> None:
    r"""\graphicspath{{a/}{b/}}."""
    given = reader.group()
    if given is None:
        return
    given = reader.plain(given)
    folders = re.findall(r"\{\s*([^{}]*?)\s*\}", given) or [given.strip()]
    reader.graphics_folders = tuple(folders[:40])


def graphics_extensions(reader: Reader, command: str) -> None:
    r"""\DeclareGraphicsExtensions{.pdf,.png}."""
    reader.extensions = tuple(e.strip() for e in (reader.group() or "").split(",") if e.strip())[:40]


def code_file(reader: Reader, command: str) -> None:
    r"""\lstinputlisting{file} and the like: shown as it is, not read."""
    reader.out.add("\\begin{verbatim}\\end{verbatim}")


def verb(reader: Reader, command: str) -> None:
    r"""\verb|…|: nothing inside is a command."""
    frame = reader.frame
    pos = frame.pos + frame.text.startswith("*", frame.pos)
    if pos < len(frame.text) and not frame.text[pos].isspace():
        line_end = frame.text.find("\n", pos)
        closing = frame.text.find(frame.text[pos], pos + 1, line_end if line_end >= 0 else len(frame.text))
        if closing > 0:
            reader.out.add("\\verb" + frame.text[pos : closing + 1])
            frame.pos = closing + 1


def metadata(reader: Reader, command: str) -> None:
    r"""\title, \author and the like: kept for metadata.py."""
    frame = reader.frame
    pos = frame.pos
    _, after = options(frame.text, pos, reader.work)
    got = argument(frame.text, skip_space(frame.text, after), reader.work)
    kept = reader.metadata.setdefault(command, [])
    if got is not None and len(kept) < 3_000 and frame.text.startswith("{", skip_space(frame.text, after)):
        kept.append(got[0])
        frame.pos = got[1]
        if command == "abstract":
            for _ in range(4):  # A&A has five parts
                part = reader.group()
                if part is None:
                    break
                kept[-1] += " " + part
            reader.push("\n\n" + got[0] + "\n\n")


def make_title(reader: Reader, command: str) -> None:
    r"""\maketitle: papers put a teaser figure into \@maketitle."""
    if reader.handlers.get("@maketitle") is expand_macro:
        expand_macro(reader, "@maketitle")


def teaser(reader: Reader, command: str) -> None:
    r"""\teaser{…}: a figure above the text, in classes for graphics papers."""
    content = reader.group()
    if content is not None:
        reader.push("\\begin{teaserfigure}" + content + "\\end{teaserfigure}")


def plain_end(reader: Reader, command: str) -> None:
    r"""\bye."""
    environments.stop(reader)


def drop(reader: Reader, command: str) -> None:
    """A prefix that says nothing to a reader of figures."""


def discard_argument(reader: Reader, command: str) -> None:
    """A command whose argument is no running text."""
    reader.group()


_SINGLE: dict[str, Handler] = {
    "begin": environments.begin,
    "end": environments.end,
    "bye": plain_end,
    "maketitle": make_title,
    "teaser": teaser,
    "enddocument": plain_end,
    "@float": environments.at_float,
    "@dblfloat": environments.at_float,
    "end@float": environments.end_at_float,
    "end@dblfloat": environments.end_at_float,
    "let": let,
    "fig": fig,
    "foreach": foreach,
    "figsetstart": figure_set,
    "newif": conditionals.new_switch,
    "else": conditionals.other_branch,
    "or": conditionals.other_branch,
    "fi": conditionals.end_conditional,
    "IfFileExists": if_file_exists,
    "InputIfFileExists": if_file_exists,
    "endinput": end_input,
    "includeonly": include_only,
    "usepackage": use_package,
    "appendix": appendix,
    "par": paragraph_end,
    "label": label,
    "graphicspath": graphics_path,
    "DeclareGraphicsExtensions": graphics_extensions,
    "verb": verb,
    "c@figure": counter_register,
    "c@section": counter_register,
}

_FAMILIES: dict[Handler, str] = {
    input_file: "input include subfile subfileinclude",
    import_file: "import subimport includefrom inputfrom subincludefrom subinputfrom",
    document_class: "documentclass documentstyle",
    new_command: "newcommand renewcommand providecommand DeclareRobustCommand newrobustcmd renewrobustcmd",
    tex_def: "def gdef edef xdef",
    document_command: "NewDocumentCommand RenewDocumentCommand ProvideDocumentCommand DeclareDocumentCommand",
    new_environment: "newenvironment renewenvironment NewDocumentEnvironment RenewDocumentEnvironment",
    verbatim_environment: "lstnewenvironment DefineVerbatimEnvironment newtcblisting newminted",
    exclude_comment: "excludecomment includecomment",
    counter: "setcounter addtocounter stepcounter refstepcounter numberwithin counterwithin counterwithout "
    "@addtoreset @removefromreset",
    heading: "chapter section subsection subsubsection paragraph subparagraph",
    reference: " ".join(REFERENCES),
    graphics: " ".join(GRAPHICS_COMMANDS),
    environments.caption: "caption captionof figcaption subcaption ffigbox captionbox",
    typed.figure_word: "figure midinsert topinsert pageinsert beginfigure begfig begfigwid begfigside begdoublefig",
    typed.end_figure_word: "endfigure endinsert endfig",
    typed.list_figure: "nfig FIG FIGURE",
    typed.inserted_figure: "ifig",
    typed.listed_caption: "Figure",
    code_file: "lstinputlisting verbatiminput inputminted VerbatimInput",
    metadata: "title author authors affiliation abstract Title Author shorttitle icmltitle icmlauthor name "
    "address thanks keywords icmltitlerunning AtlasTitle",
    conditionals.conditional: " ".join(PRIMITIVES),
    conditionals.named_switch: "newtoggle newbool newboolean provideboolean providebool toggletrue togglefalse "
    "booltrue boolfalse setboolean setbool settoggle providetoggle",
    conditionals.two_branches: "ifthenelse iftoggle ifbool @ifundefined ifdef ifcsdef ifundef IfBooleanTF "
    "IfBooleanT IfBooleanF IfValueTF IfValueT IfNoValueTF IfNoValueT IfNoValueF ifblank ifstrequal "
    "@ifpackageloaded @ifclassloaded",
    drop: "long global protected outer makeatletter makeatother",
    discard_argument: "hypersetup captionsetup geometry pgfplotsset tikzset lstset lstdefinestyle newtheorem",
}

HANDLERS: dict[str, Handler] = {
    **{name: handler for handler, names in _FAMILIES.items() for name in names.split()},
    **_SINGLE,
}
"""What each steering command does."""

_NOT_A_REASON = frozenset(
    """par verb begin end drop long global protected outer makeatletter makeatother let def gdef edef xdef
    newcommand renewcommand providecommand thanks title author address name keywords paragraph subparagraph
    abstract affiliation or else fi foreach""".split()
)
STEERING = frozenset(
    name for name in HANDLERS if name not in _NOT_A_REASON and name not in PRIMITIVES
) | frozenset("subfigure subfloat subcaptionbox ContinuedFloat newcommand renewcommand".split())
"""Names that make a macro of the paper worth expanding where it is called."""
