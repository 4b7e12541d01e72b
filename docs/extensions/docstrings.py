"""Docstrings as this library writes them, for Sphinx.

They are Markdown where Sphinx expects reStructuredText: a single backtick is
code, tables are Markdown's, and what is indented is code.
"""

import inspect
import re

import sphinx.util.inspect

_TABLE = re.compile(r"^\s*\|.*\|\s*$")
_CODE = re.compile(r"(?<![`:\w])`([^`\n]+)`(?![`_])")
_SECTION = re.compile(r"^\w[\w ]*:$")
# A word that would be a link, a star that would be emphasis.
_LINK = re.compile(r"(?<=\w)_(?=[\"'\s.,;:)])")
_STAR = re.compile(r"(?<=[\w\[(, ])\*(?=\w)")


def _cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _list_table(rows):
    """A Markdown table as Sphinx's list-table."""
    indent = re.match(r"\s*", rows[0])[0]
    header, _, *body = (_cells(row) for row in rows)
    lines = ["", ".. list-table::", "   :header-rows: 1", ""]
    for row in (header, *body):
        for number, cell in enumerate(row):
            mark = "* -" if number == 0 else "  -"
            lines.append(f"   {mark} {cell}")
    return [indent + line if line else line for line in [*lines, ""]]


def _with_tables(lines):
    converted, table = [], []
    for line in [*lines, ""]:
        if _TABLE.match(line):
            table.append(line)
            continue
        converted += _list_table(table) if table else []
        table = []
        converted.append(line)
    return converted


def _is_example(line, example):
    """Whether a line is of an example, and whether one begins there."""
    starts = line.lstrip().startswith(">>>")
    return starts or (example and bool(line.strip())), starts


def _joined_code(lines):
    """Code in backticks that goes over the end of a line, on one line."""
    joined, example = [], False
    for line in lines:
        example, _ = _is_example(line, example)
        if joined and not example and joined[-1].count("`") % 2:
            joined[-1] += " " + line.strip()
        else:
            joined.append(line)
    return joined


def _with_code_blocks(lines):
    """What is indented before the first section is code."""
    converted, inside, before = [], False, True
    for number, line in enumerate(lines):
        before = before and not _SECTION.match(line)
        indented = before and line.startswith("    ")
        if indented and not inside and not lines[number - 1].strip():
            converted += ["::", ""]
            inside = True
        inside = inside and (indented or not line.strip())
        converted.append(line)
    return converted


def _text(line):
    """A line outside of examples."""
    parts = _CODE.split(line)
    for number, part in enumerate(parts):
        if number % 2:
            parts[number] = f"``{part}``"
        else:
            part = _STAR.sub(r"\\*", _LINK.sub(r"\\_", part))
            # A letter after code would be part of it.
            glue = "\\ " if number and re.match(r"\w", part) else ""
            parts[number] = glue + part
    return "".join(parts).replace("Example:", ".. rubric:: Example")


def convert(lines):
    """A docstring's lines as reStructuredText with Google's sections."""
    texts, example = [], False
    lines = _with_tables(_with_code_blocks(_joined_code(lines)))
    code = False
    for line in lines:
        was = example
        example, starts = _is_example(line, example)
        if starts and not was:
            texts.append("")  # so that it is a block of its own
        code = line == "::" or (code and (line[:1] in (" ", "")))
        texts.append(line if example or code else _text(line))
    return texts


def _process(app, what, name, value, options, lines):
    lines[:] = convert(lines)
    if what in ("property", "attribute", "data"):
        # What stands before a colon in the first line would be its type.
        lines.insert(0, "")


def _sign(app, what, name, value, options, signature, returned):
    """The arguments of a Keras class, which `__new__` hides."""
    if what != "class" or signature != "(*args, **kwargs)":
        return None
    found = inspect.signature(value.__init__)
    _, *parameters = found.parameters.values()
    found = found.replace(parameters=parameters)
    return sphinx.util.inspect.stringify_signature(
        found, show_annotation=False
    ), None


def _skip(app, what, name, value, skip, options):
    """Fields of named tuples, which the class's own docstring describes."""
    text = getattr(value, "__doc__", None) or ""
    return True if text.startswith("Alias for field number") else None


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-signature", _sign)
    # Before napoleon (500), which makes fields of the sections.
    app.connect("autodoc-process-docstring", _process, priority=400)
    return {"parallel_read_safe": True}
