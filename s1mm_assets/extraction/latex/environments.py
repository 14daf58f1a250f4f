r"""\begin and \end: floats are lifted out of the body, dead and verbatim text is passed over.

Belongs here: which environments are figures, which other floats, which hold no TeX. What a float contains is
read in figures.py.
"""

# ruff: noqa: ARG001, SIM905 - handlers share one signature; word lists read better as words

import re

from s1mm_assets.extraction.latex.expand import (
    MAX_EXPANSIONS,
    Collector,
    Environment,
    Float,
    Reader,
    expand_macro,
)
from s1mm_assets.extraction.latex.lexing import group, optional, skip_space
from s1mm_assets.extraction.latex.macros import read_arguments, substitute

_NAME = re.compile(r"[ \t]*\n?[ \t]*\{\s*([^{}\\]{1,60}?)\s*\}")
_OPENS = re.compile(r"\\(?:begin|end)\s*\{([^{}]{1,60})\}")
_ROW_END = re.compile(r"\\\\")
_LABEL = re.compile(r"\\label\s*\{([^{}]{1,300})\}")

_FIGURES = frozenset(
    """figure wrapfigure SCfigure sidewaysfigure floatingfigure teaserfigure figwindow marginfigure cutoutfigure
    rotfigure lrfigure scfigure textfigure suppfigure extfigure landfigure floatfigure figurehere figurehalf
    wrapfloat teaser EFigure""".split()
)
_NOT_FIGURES = frozenset(["subfigure", "subfigures", "subcaptionfigure", "figures", "listoffigures"])
OTHER_FLOATS = frozenset(
    """table wraptable longtable sidewaystable SCtable algorithm algorithm2e listing deluxetable supertabular
    floatingtable margintable xltabular longtabu program codefloat""".split()
)
_VERBATIM = frozenset(
    """verbatim Verbatim lstlisting minted alltt BVerbatim LVerbatim pyverbatim filecontents listingsbox tcblisting
    codeblock pycode jllisting spverbatim semiverbatim verbbox asy asydef luacode sagesilent""".split()
)
_GROUPS = frozenset(
    """center minipage flushleft flushright strip centering mdframed tcolorbox adjustwidth landscape
    changemargin figureblock column block""".split()
)
_EQUATIONS = frozenset("equation eqnarray align gather multline alignat flalign dmath IEEEeqnarray".split())
MAX_DISPLAY_CHARS = 20_000
_ONE_NUMBER = frozenset(["equation", "multline", "dmath"])


def is_figure(environment: str) -> bool:
    """Whether an environment is a float numbered as a figure."""
    base = environment.rstrip("*!")
    return base in _FIGURES or ("figure" in base.lower() and base not in _NOT_FIGURES)


def is_other_float(environment: str) -> bool:
    """Whether an environment is a float that is no figure."""
    return environment.rstrip("*!") in OTHER_FLOATS


def steers(reader: Reader, body: str, depth: int = 0) -> bool:
    """Whether a macro body begins or ends an environment that has to be seen."""
    for name in _OPENS.findall(body):
        base = name.rstrip("*")
        if is_figure(name) or base in OTHER_FLOATS or base in _VERBATIM or name in reader.comments:
            return True
        if base in _EQUATIONS:
            return True
        if name in ("document", "abstract"):
            return True
        own = reader.environments.get(name)
        if own and depth < 4 and _matters(reader, own, depth + 1):
            return True
    return False


def _matters(reader: Reader, own: Environment, depth: int = 0) -> bool:
    names = own.opening.names
    if own.opening.drops_an_argument or any(
        name in reader.steering or reader.handlers.get(name) is expand_macro for name in names
    ):
        return True
    text = own.opening.body + own.closing
    return any(name in text for name in ("\\figure", "\\comment", "@float", "captype", "\\caption")) or (
        "\\begin" in text and steers(reader, text, depth)
    )


def begin(reader: Reader, command: str) -> None:
    """Open an environment."""
    frame = reader.settle()
    match = _NAME.match(frame.text, frame.pos)
    if match is None:
        reader.out.add("\\begin")
        return
    name, frame.pos = match[1], match.end()
    base = name.rstrip("*")
    own = name in reader.environments and base not in _FIGURES and name not in ("abstract", "document")
    if base == "figwindow":
        _figure_window(reader)
    elif not own and ((is_figure(name) and name not in reader.verbatims) or base in OTHER_FLOATS):
        open_float(reader, name)
    elif own:
        _begin_own(reader, name)
    elif name in reader.comments:
        _pass_over(reader, name, "")
    elif base in _VERBATIM or name in reader.verbatims:
        _pass_over(reader, name, "\\begin{verbatim}\\end{verbatim}")
    elif base in _EQUATIONS and reader.out.kind != "float":
        _equation(reader, name)
    elif name == "thebibliography":
        _pass_over(reader, name, "\n\n")
    elif name == "document":
        begin_document(reader)
    elif name == "abstract":
        _abstract(reader)
    elif name in ("appendix", "appendices", "subappendices"):
        reader.events.append(("appendix",))
        reader.out.add("{}")
    else:
        if base in _GROUPS and reader.out.kind != "float" and len(reader.collectors) < 40:
            reader.collectors.append(Collector("group", name))
        elif name == "subequations":
            reader.hides_equations = True
        reader.out.add("\\begin{" + name + "}")


def end(reader: Reader, command: str) -> None:
    """Close an environment."""
    frame = reader.frame
    match = _NAME.match(frame.text, frame.pos)
    if match is None:
        if frame.text.startswith("{", frame.pos) or reader.class_name:
            reader.out.add("\\end")
        else:
            stop(reader)  # plain TeX's \end
        return
    name, frame.pos = match[1], match.end()
    if name == "document":
        end_document(reader)
    elif reader.display is not None and name == reader.display[0]:
        _end_equation(reader, name)
    elif any(c.environment == name and c.kind != "body" for c in reader.collectors):
        if reader.out.kind == "group" and reader.out.environment == name:
            reader.out.add("\\end{" + name + "}")
        close_through(reader, name)
    elif name in reader.environments and _matters(reader, reader.environments[name]):
        reader.push(reader.environments[name].closing + " ")
    else:
        reader.out.add("\\end{" + name + "}")


def _begin_own(reader: Reader, name: str) -> None:
    own = reader.environments[name]
    frame = reader.frame
    if not _matters(reader, own):
        reader.out.add("\\begin{" + name + "}")
        return
    got = read_arguments(own.opening, frame.text, frame.pos, reader.work)
    if got is None:
        reader.out.add("\\begin{" + name + "}")
        return
    frame.pos = got[1]
    reader.expansions += 1
    text = substitute(own.opening.body, got[0]) if reader.expansions <= MAX_EXPANSIONS else ""
    if text.rstrip().endswith("\\comment"):
        _pass_over(reader, name, "")
        return
    reader.push(text + " ")


def _figure_window(reader: Reader) -> None:
    r"""\begin{figwindow}[lines,side,{content},{caption}] of picinpar, and then the text around the window."""
    frame = reader.frame
    given, pos = optional(frame.text, frame.pos, reader.work)
    parts = at_commas(given or "", 3)
    if len(parts) < 4:
        open_float(reader, "figwindow")
        return
    frame.pos = pos
    open_float(reader, "figwindow")
    reader.push(f"{parts[2]}\\caption{{{parts[3]}}}\\end{{figwindow}}")


def at_commas(text: str, n_cuts: int) -> list[str]:
    """Cut text at its first commas outside braces."""
    parts: list[str] = []
    depth = start = 0
    for match in re.finditer(r"\\.|[{},]", text, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if match[0] == "," and depth == 0 and len(parts) < n_cuts:
            parts.append(text[start : match.start()])
            start = match.end()
    return [*parts, text[start:]]


def _pass_over(reader: Reader, name: str, instead: str) -> None:
    """Skip to the end of an environment whose content is not TeX, or not typeset."""
    frame = reader.frame
    closing = "\\end{" + name + "}"
    at = frame.find(closing, frame.pos)
    reader.out.add(instead)
    if at >= 0:
        frame.pos = at + len(closing)


def _equation(reader: Reader, name: str) -> None:
    """Copy a display without looking inside, counting its numbers."""
    frame = reader.frame
    closing = "\\end{" + name + "}"
    at = frame.find(closing, frame.pos)
    reader.out.add("\\begin{" + name + "}")
    if at < 0 or at - frame.pos > MAX_DISPLAY_CHARS:
        reader.display = (
            name,
            reader.out,
            len(reader.out.pieces),
        )  # begun by a macro, which another one ends
        return
    content = frame.text[frame.pos : at]
    _count_equations(reader, name, content)
    reader.out.add(content + closing)
    frame.pos = at + len(closing)


def _end_equation(reader: Reader, name: str) -> None:
    """Count the numbers of a display whose text was read as it came."""
    begun, out, first = reader.display or ("", reader.out, 0)
    if begun == name and out is reader.out:
        _count_equations(reader, name, "".join(out.pieces[first:])[:MAX_DISPLAY_CHARS])
    reader.display = None
    reader.out.add("\\end{" + name + "}")


def _count_equations(reader: Reader, name: str, content: str) -> None:
    if name.endswith("*") and "\\tag" not in content:
        return
    rows = [content] if name.rstrip("*") in _ONE_NUMBER else _ROW_END.split(content)
    for row in rows:
        if "\\nonumber" not in row and "\\notag" not in row:
            label = _LABEL.search(row)
            reader.events.append(("equation", label[1] if label else ""))


def _abstract(reader: Reader) -> None:
    frame = reader.frame
    at = frame.find("\\end{abstract}", frame.pos)
    if at >= 0:
        reader.metadata.setdefault("abstract", []).append(frame.text[frame.pos : at])
    reader.out.add("\n\n")


def begin_document(reader: Reader) -> None:
    """Everything before the body was preamble."""
    if not reader.in_document:
        reader.in_document = True
        reader.body.pieces.clear()
        reader.body.marks.clear()
        reader.body.length = 0
        reader.body.graphics_piece = -1
        del reader.collectors[1:]


def end_document(reader: Reader) -> None:
    """End the paper, or the sub-document that is being read in."""
    files = [i for i, frame in enumerate(reader.frames) if frame.file is not None]
    if len(files) > 1:
        del reader.frames[files[-1] :]
    else:
        stop(reader)


def stop(reader: Reader) -> None:
    """Read no further."""
    reader.frames.clear()


def open_float(reader: Reader, name: str) -> None:
    """Begin to collect a float's text apart from the body."""
    current = next((c for c in reversed(reader.collectors) if c.kind == "float"), None)
    if current is not None:
        if not is_figure(name) or not (current.holds_caption or not is_figure(current.environment)):
            reader.out.add("\\begin{" + name + "}")
            return
        close_through(reader, current.environment)  # it was never ended: floats do not nest
    reader.collectors.append(Collector("float", name))
    if name.startswith("wrapfloat"):
        reader.group()


def close_through(reader: Reader, name: str) -> None:
    """Close collectors up to and including the innermost one of this environment."""
    while len(reader.collectors) > 1:
        done = reader.out.environment == name
        close_collector(reader)
        if done:
            return


def close_collector(reader: Reader) -> None:
    """Turn the innermost float or group into a figure, or give its text back to what surrounds it."""
    closed = reader.collectors.pop()
    outer = reader.out
    if closed.kind == "float":
        finish_float(reader, closed)
        return
    if closed.holds_caption and (closed.holds_graphics or outer.kind != "group"):
        closed.environment = "captionof"
        finish_float(reader, closed)
        return
    offset, pieces = outer.length, len(outer.pieces)
    outer.pieces += closed.pieces
    outer.length += closed.length
    for mark in closed.marks:
        mark.pos += offset
        outer.marks.append(mark)
    if closed.holds_graphics and outer.graphics_piece < 0:
        outer.graphics_piece, outer.graphics_pos = pieces, offset
    outer.holds_caption |= closed.holds_caption
    outer.holds_graphics |= closed.holds_graphics
    outer.event = outer.event if outer.event >= 0 else closed.event


def finish_float(reader: Reader, closed: Collector) -> Float:
    """Set a float's text aside and leave an invisible trace in the body."""
    if closed.event < 0:
        closed.event = len(reader.events)
        reader.events.append(("float",))
    finished = Float(
        environment=closed.environment,
        text="".join(closed.pieces),
        graphics_folders=reader.graphics_folders,
        file=next((frame.file for frame in reversed(reader.frames) if frame.file), "") or "",
        event=closed.event,
    )
    reader.floats.append(finished)
    reader.out.mark("float", str(closed.event))
    reader.out.add("{}")
    reader.out.graphics_piece = -1
    return finished


def at_float(reader: Reader, command: str) -> None:
    r"""\@float{figure}: how environments are defined inside LaTeX."""
    frame = reader.frame
    got = group(frame.text, frame.pos, reader.work)
    if got is None:
        return
    frame.pos = got[1]
    _, frame.pos = optional(frame.text, frame.pos, reader.work)
    open_float(reader, got[0])


def end_at_float(reader: Reader, command: str) -> None:
    r"""\end@float."""
    current = next((c for c in reversed(reader.collectors) if c.kind == "float"), None)
    if current is not None:
        close_through(reader, current.environment)


def caption(reader: Reader, command: str) -> None:
    """Note where the first caption of a float stands, for counting; the text is read in figures.py."""
    out = reader.out
    frame = reader.frame
    if out.kind == "float":
        if out.event < 0:
            out.event = len(reader.events)
            reader.events.append(("float",))
        out.holds_caption = True
        reader.out.add("\\" + command)
        return
    pos = skip_space(frame.text, frame.pos)
    pos += frame.text.startswith("*", pos)
    is_captionof = command == "captionof"
    if is_captionof:
        kind = group(frame.text, pos, reader.work)
        if kind is None or "figure" not in kind[0]:
            reader.out.add("\\" + command)
            return
    if command == "caption" and out.kind != "group":
        reader.out.add("\\" + command)
        return
    if out.event < 0:
        out.event = len(reader.events)
        reader.events.append(("float",))
    if out.kind == "group" and (command != "caption"):
        out.holds_caption = True
        reader.out.add("\\" + command)
        return
    if out.kind == "body":
        loose_caption(reader, command, pos)
    else:
        reader.out.add("\\" + command)


def loose_caption(reader: Reader, command: str, pos: int) -> None:
    """A caption in the running text: it and the graphics shortly before it are a figure."""
    frame = reader.frame
    out = reader.out
    begin_at = frame.pos
    if command == "captionof":
        kind = group(frame.text, pos, reader.work)
        pos = kind[1] if kind else pos
    _, pos = optional(frame.text, pos, reader.work)
    text = group(frame.text, pos, reader.work)
    if text is None:
        out.add("\\" + command)
        return
    frame.pos = text[1]
    collected = Collector("group", "captionof" if command == "captionof" else command, event=out.event)
    out.event = -1
    if out.graphics_piece >= 0 and out.length - out.graphics_pos < 4_000:
        collected.pieces = out.pieces[out.graphics_piece :]
        del out.pieces[out.graphics_piece :]
        out.length = out.graphics_pos
        while out.marks and out.marks[-1].pos >= out.length:
            out.marks.pop()
    collected.pieces.append("\\" + command + frame.text[begin_at : text[1]])
    reader.lifted = finish_float(reader, collected)
    reader.lifted_piece = len(out.pieces)
