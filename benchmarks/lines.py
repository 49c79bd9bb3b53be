"""Count lines of code, without blanks, comments and docstrings: python benchmarks/lines.py"""

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]

#: tokens that are no code
SILENT = {
    tokenize.COMMENT, tokenize.DEDENT, tokenize.ENDMARKER, tokenize.INDENT, tokenize.NEWLINE,
    tokenize.NL,
}  # fmt: skip


def lines_of_code(source: str) -> int:
    """How many lines of a source hold code."""
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in SILENT:
            code |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):  # a docstring, or a string beneath a constant
            code -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(code)


def main() -> None:
    """Print a row for each room of the library, and for the tests and the benchmarks."""
    lines: Counter[str] = Counter()
    modules: Counter[str] = Counter()
    for folder in ("lib/sanitygap", "tests", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            inside = path.relative_to(ROOT / folder).parts[:-1]
            room = "/".join([folder, *inside[:1]]) if folder == "lib/sanitygap" else folder
            lines[room] += lines_of_code(path.read_text(encoding="utf-8"))
            modules[room] += 1
    table = Table("room", "lines of code", "modules")
    for room, count in lines.most_common():
        table.add_row(room, str(count), str(modules[room]))
    library = [room for room in lines if room.startswith("lib/")]
    table.add_section()
    table.add_row(
        "library", str(sum(lines[r] for r in library)), str(sum(modules[r] for r in library))
    )
    Console(file=sys.stdout).print(table)


if __name__ == "__main__":
    main()
