"""Where a term stands in a text: the texts themselves cannot be shipped, these counts can.

The documentary criteria ask whether a sentence about a paper can be anchored in it. A concordance
answers that: how often each term of ``data/documentary.yml`` stands in each section of the paper
and of its summary. Who has the texts, as Markdown, can make it again::

    python -m sanitygap.claims.concordance binder-2022=PAPER.md binder-2022-summary=SUMMARY.md
"""

import csv
import hashlib
import io
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from sanitygap.claims.ledger import default_ledger
from sanitygap.errors import UsageError
from sanitygap.files import file_sha256, write_atomically

COLUMNS = ("document", "section", "term", "count")

#: the section of what stands before the first numbered one
FRONT = "Abstract"

#: summary headings -> the places that the ledger calls them by
SUMMARY = {
    "what is the central research question": "Central research question",
    "what is the main contribution": "Main contribution",
    "what is the tl dr": "Summary in one sentence",
    "how does this paper compare": "Comparison with other research",
    "what future research directions": "Future research directions",
    "summarize the paper in one paragraph": "Summary in one paragraph",
    "summarize the paper in two paragraphs": "Summary in two paragraphs",
}


def plain(text: str) -> str:
    """Lower case words and numbers, single spaces between them."""
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def sections(markdown: str) -> dict[str, str]:
    """Name of a section -> its :func:`plain` text; parts of the same name are joined.

    Numbered headings are called ``§4.1`` or, in an appendix, ``A.1``; everything before them is
    the abstract; the headings of the summary get the ledger's names; others keep their own.
    """
    # a heading may be glued to the end of the line before it
    parts = re.split(r"(?:^|(?<=\S))#{1,6} +(?=\S)", markdown, flags=re.MULTILINE)
    found: dict[str, list[str]] = {}
    for number, part in enumerate(parts):
        # the first heading is the title, and may begin like an appendix: "A ..."
        name = _name(part.partition("\n")[0]) if number > 1 else FRONT
        if words := plain(part):
            found.setdefault(name, []).append(words)
    return {name: " ".join(texts) for name, texts in found.items()}


def _name(heading: str) -> str:
    if number := re.match(r"\d+(\.\d+)*(?=\s)", heading):
        return f"§{number.group()}"
    if letter := re.match(r"[A-Z](\.\d+)?(?=\s)", heading):
        return letter.group()
    title = plain(heading)
    for start, place in SUMMARY.items():
        if title.startswith(start):
            return place
    known = {"acknowledgements": "Acknowledgements", "references": "References"}
    return known.get(title, FRONT)


def occurrences(text: str, term: str) -> int:
    """How often a term begins at a word of a :func:`plain` text; endings do not matter."""
    return len(re.findall(rf"(?<!\S){re.escape(plain(term))}", text))


def counts(texts: Mapping[str, str], terms: Iterable[str]) -> Iterator[tuple[str, str, str, int]]:
    """Document, section, term and number of occurrences, where there are any.

    The empty term stands for all words, so that a section without a term can be told from one
    that was not read.

    Args:
        texts: document -> Markdown.
        terms: words or phrases.
    """
    wanted = sorted(set(terms))
    for document, markdown in texts.items():
        for section, text in sections(markdown).items():
            yield document, section, "", len(text.split())
            for term in wanted:
                if count := occurrences(text, term):
                    yield document, section, term, count


def terms_sha256(terms: Iterable[str]) -> str:
    """Tells whether a concordance was made for these terms: what it lacks may not be asked for."""
    return hashlib.sha256("\n".join(sorted(set(terms))).encode()).hexdigest()


def as_csv(rows: Iterable[tuple[str, str, str, int]], checksums: Mapping[str, str]) -> str:
    """The concordance as text, with the SHA-256 of what it was made from."""
    text = io.StringIO()
    for document, digest in checksums.items():
        text.write(f"# {document} sha256 {digest}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return text.getvalue()


def main(arguments: list[str]) -> None:
    """Write ``data/concordance.csv`` from ``DOCUMENT=FILE`` pairs.

    Raises:
        UsageError: something else, or a file that is not there.
    """
    from sanitygap.claims.documentary import load_entries

    paths = {name: Path(path) for name, _, path in (word.partition("=") for word in arguments)}
    if not paths or not all(path.is_file() for path in paths.values()):
        raise UsageError("write DOCUMENT=FILE for every document, with a Markdown file each")
    terms = {term for entry in load_entries() for term in entry.terms()}
    texts = {name: path.read_text(encoding="utf-8") for name, path in paths.items()}
    checksums = {name: file_sha256(path) for name, path in paths.items()}
    text = as_csv(counts(texts, terms), checksums | {"terms": terms_sha256(terms)})
    write_atomically(default_ledger().with_name("concordance.csv"), text)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UsageError as problem:
        sys.exit(f"sanitygap: {problem}")
