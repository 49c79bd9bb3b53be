"""What Sriram and Conati (2022, Sect. 3) say of Adebayo et al. (2018), beside that appendix.

The appendix cannot be shipped; how often words stand in its sections can. Who has it, as Markdown,
can make the counts again::

    python -m sanitygap.chapters.sriram.anchors APPENDIX.md
"""

import sys
from pathlib import Path

import pandas as pd

from sanitygap.claims import default_ledger
from sanitygap.claims.documentary import as_csv, counts, terms_sha256
from sanitygap.errors import UsageError
from sanitygap.files import file_sha256, write_atomically

DOCUMENT = "adebayo-2018-appendix"
FILE = "concordance-adebayo.csv"

#: methods of each part of the sentence, in the words of the appendix, and what is said of them
PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Gradients and GradCAM pass": (
        ("gradient", "gradcam"),
        ("pass the", "passes the", "sensitive to"),
    ),
    "Guided BP and Guided GC fail": (
        ("guided backpropagation", "guided gradcam"),
        ("fail", "invariant", "insensitive"),
    ),
    "InputXGradient and IG are undecided": (
        ("gradient input", "integrated gradient"),
        ("undecided", "unclear", "inconclusive"),
    ),
}

#: who is said to have found the implementations flawed
OTHER_PAPER = "sixt"


def terms() -> list[str]:
    """Every term that is counted."""
    found = [word for methods, words in PARTS.values() for word in (*methods, *words)]
    return sorted({*found, OTHER_PAPER})


def read(path: Path | None = None) -> pd.DataFrame:
    """The counts: columns ``document``, ``section``, ``term``, ``count``.

    Raises:
        UsageError: there is no such file.
    """
    path = path or default_ledger().with_name(FILE)
    if not path.is_file():
        raise UsageError(f"there is no {path.name}; make it with python -m {__spec__.name}")
    return pd.read_csv(path, comment="#", keep_default_na=False)


def anchored(table: pd.DataFrame) -> pd.DataFrame:
    """Where each part of the sentence stands.

    Returns:
        One row a part: ``part``, ``methods`` and ``verdicts``, the occurrences of its methods and
        of the words for what is said of them, and ``together``, the sections that hold one of
        each.
    """
    by_term = {
        term: set(rows["section"]) for term, rows in table[table["term"] != ""].groupby("term")
    }
    totals = table.groupby("term")["count"].sum()
    rows = []
    for part, (methods, words) in PARTS.items():
        about = set().union(*(by_term.get(name, set()) for name in methods))
        said = set().union(*(by_term.get(word, set()) for word in words))
        rows.append(
            {
                "part": part,
                "methods": int(sum(totals.get(name, 0) for name in methods)),
                "verdicts": int(sum(totals.get(word, 0) for word in words)),
                "together": len(about & said),
            }
        )
    return pd.DataFrame(rows)


def main(arguments: list[str]) -> None:
    """Write the counts from the appendix.

    Raises:
        UsageError: something else than one file.
    """
    if len(arguments) != 1 or not Path(arguments[0]).is_file():
        raise UsageError("name one Markdown file, the appendix of Adebayo et al. (2018)")
    path = Path(arguments[0])
    rows = counts({DOCUMENT: path.read_text(encoding="utf-8")}, terms())
    text = as_csv(rows, {DOCUMENT: file_sha256(path), "terms": terms_sha256(terms())})
    write_atomically(default_ledger().with_name(FILE), text)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UsageError as problem:
        sys.exit(f"sanitygap: {problem}")
