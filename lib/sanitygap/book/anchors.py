"""Names of figures and tables that stay when another one is put before them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from sanitygap.errors import UsageError

BY_SECTION = ("verdicts", "definition_table")
"""Functions that are given a list of claims: what they show is called after its section."""

PLACES = {0: "first", -1: "last"}
"""What the ends of a list are called."""

_LABEL = re.compile(r"^\(([\w.-]+)\)=\s*$", re.MULTILINE)
_HEADING = re.compile(r"^(#+)\s+(.+?)\s*$", re.MULTILINE)


class Names:
    """Names for what the cells of one chapter show.

    A name is made from what the source says: the function that a cell calls and the constants it
    is given, or the label of its section. Nothing is counted but the outputs of one call. A name
    in the metadata of a cell (``mystnb: {figure: {name: …}}``) wins over this one.

    A name begins with the chapter's, or with that of the section around it which has sections of
    its own: such a section was a chapter once, or could be one.

    Args:
        notebook: the chapter, with its Markdown cells.
        chapter: its name.
    """

    def __init__(self, notebook: Any, chapter: str = "") -> None:
        self._of_cell: dict[int, list[str]] = {}
        self._given: dict[str, int] = {}
        section, part = "page", chapter
        divided = _divided(notebook)
        for number, cell in enumerate(notebook.cells):
            if cell.cell_type == "markdown":
                for depth, name in _sections(cell.source):
                    section = name
                    if depth <= 2:
                        part = name if name in divided else chapter
            elif cell.cell_type == "code":
                self._of_cell[number] = [
                    f"{part}-{name}" if part else name for name in shown_names(cell.source, section)
                ]

    def name(self, cell: int, output: int) -> str:
        """The name of one output.

        Args:
            cell: place of the cell in the notebook.
            output: how many figures or tables the cell showed before it.

        Raises:
            UsageError: another cell of the chapter shows something of the same name.
        """
        names = self._of_cell[cell]
        last = len(names) - 1
        name = names[min(output, last)]
        if output > last:
            name += f"-{output - last + 1}"
        if self._given.setdefault(name, cell) != cell:
            raise UsageError(
                f"two cells show {name!r}; give one of them a name of its own in its metadata "
                "(mystnb: {figure: {name: …}})"
            )
        return name


def shown_names(source: str, section: str) -> Iterator[str]:
    """Names of what the last line of a cell shows, such as ``gap-plate-references-last``.

    Args:
        source: Python code.
        section: name of the section that the cell stands in.
    """
    try:
        body = ast.parse(source).body
    except SyntaxError:  # a magic of IPython
        body = []
    last = body[-1] if body else None
    calls: list[ast.expr] = [last.value] if isinstance(last, ast.Expr) else []
    if calls and isinstance(calls[0], ast.Call) and _called(calls[0]) == "display":
        calls = calls[0].args
    for call in calls:
        words = _words(call) if isinstance(call, ast.Call) else []
        by_section = not words or words[0] in BY_SECTION
        name = "-".join([*words[:1], section] if by_section else words)
        yield slug(name)
    if not calls:
        yield slug(section)


def _words(node: ast.expr) -> list[str]:
    """The function that is called and what tells this call from others: constants and calls."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.Starred):
        return _words(node.value)
    if isinstance(node, ast.List | ast.Tuple):
        return [word for element in node.elts for word in _words(element)]
    if isinstance(node, ast.Subscript):
        place = ast.unparse(node.slice)
        number = int(place) if re.fullmatch(r"-?\d+", place) else None
        return [*_words(node.value), PLACES.get(number, place) if number is not None else place]
    if not isinstance(node, ast.Call):
        return []
    words = [_called(node)]
    for argument in node.args:
        words += _words(argument)
    for keyword in node.keywords:
        words += [keyword.arg or "", *_words(keyword.value)]
    return words


def _called(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _sections(source: str) -> Iterator[tuple[int, str]]:
    """Depth of each section that a Markdown cell begins, and its label, or else its heading."""
    end = 0
    for heading in _HEADING.finditer(source):
        labels = _LABEL.findall(source, end, heading.start() + 1)
        own = [label for label in labels if label.startswith("sec-")]
        yield len(heading[1]), (own or labels or [heading[2]])[-1].removeprefix("sec-")
        end = heading.end()


def _divided(notebook: Any) -> set[str]:
    """Names of the sections of the second depth that have sections of their own."""
    divided, around = set(), None
    for cell in notebook.cells:
        for depth, name in _sections(cell.source) if cell.cell_type == "markdown" else ():
            if depth <= 2:
                around = name if depth == 2 else None
            elif around:
                divided.add(around)
    return divided


def slug(text: str) -> str:
    """A text as it stands in an address: small letters, digits and single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
