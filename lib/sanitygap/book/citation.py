"""How to cite the companion and what its pages hold, and the passport at the end of each page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from sanitygap.book.execution import command
from sanitygap.provenance import commits_of


@dataclass(frozen=True)
class Citation:
    """What a citation of the companion says; the source is ``CITATION.cff``.

    Args:
        authors: full names or names of groups.
        title: title of the companion.
        version: version of the companion.
        year: year of its release.
        address: address of the published site, or None.
        commit: commit that the site was built from, or None.
    """

    authors: tuple[str, ...]
    title: str
    version: str
    year: int
    address: str | None = None
    commit: str | None = None

    @classmethod
    def read(cls, path: Path, address: str | None = None, commit: str | None = None) -> Citation:
        """Read a ``CITATION.cff``; ``address`` is where the site is published, if known."""
        entry = yaml.safe_load(path.read_text(encoding="utf-8"))
        return cls(
            authors=tuple(_name(author) for author in entry["authors"]),
            title=entry["title"],
            version=str(entry["version"]),
            year=int(str(entry["date-released"])[:4]),
            address=address,
            commit=commit,
        )

    def sentence(self, page: str | None = None) -> str:
        """One sentence for a list of references; with the title of a page, about that page."""
        start = f"{', '.join(self.authors)} ({self.year})."
        part = f" {page}. In:" if page else ""
        return f"{start}{part} *{self.title}*, version {self.version}."

    def bibtex(
        self,
        key: str,
        page: str | None = None,
        path: str = "",
        stamp: Mapping[str, Any] | None = None,
    ) -> str:
        """A BibTeX entry for the companion, or for a page of a run or a part of one.

        Args:
            key: the citation key.
            page: title of the page or part, None for the companion as a whole.
            path: address of the page or part below that of the site.
            stamp: what ``execute`` wrote into the metadata of the page's notebook.
        """
        note = [f"Version {self.version}"]
        commit = self.commit
        if stamp:
            note += [f"run {stamp['run']}", f"model {_model(stamp)}"]
            commit = stamp.get("commit")
        if commit:
            note.append(f"commit {commit[:12]}")
        title = latex(self.title)
        fields = {
            "author": " and ".join(f"{{{latex(author)}}}" for author in self.authors),
            "title": f"{{{latex(page)}}}. In: {title}" if page else title,
            "year": str(self.year),
            "note": latex(", ".join(note)),
        }
        if self.address:
            fields["url"] = self.address.rstrip("/") + f"/{path}"
        body = "\n".join(f"  {name} = {{{value}}}," for name, value in fields.items())
        return f"@misc{{{key},\n{body}\n}}"


def latex(text: str) -> str:
    """Plain text as LaTeX reads it; formulas between ``\\(`` and ``\\)`` are kept as formulas."""
    pieces = re.split(r"\\\((.*?)\\\)", text)
    return "".join(
        f"${piece}$" if number % 2 else _SPECIAL.sub(lambda m: _ESCAPED[m.group()], piece)
        for number, piece in enumerate(pieces)
    )


_ESCAPED = {
    **{character: f"\\{character}" for character in "&%$#_"},
    "\\": r"\textbackslash ",
    "{": r"\textbraceleft ",
    "}": r"\textbraceright ",
    "~": r"\textasciitilde ",
    "^": r"\textasciicircum ",
}
_SPECIAL = re.compile("[" + re.escape("".join(_ESCAPED)) + "]")


def _model(stamp: Mapping[str, Any]) -> str:
    """The model that a page is about: a recorded run knows its own."""
    record = stamp.get("run_record") or {}
    settings = record.get("settings") if record.get("recorded") else None
    return str((settings or stamp["parameters"]).get("model"))


def _name(author: Mapping[str, str]) -> str:
    if "name" in author:
        return author["name"]
    return f"{author['given-names']} {author['family-names']}"


WORKS = {
    "binder-2022": ("binder2022",),
    "binder-2022-summary": ("binder2022",),
    "adebayo-2018": ("adebayo2018",),
    "sriram-conati-2022": ("sriram2022",),
    "khakzar-2022": ("khakzar2022",),
    "cross": ("binder2022", "adebayo2018", "sriram2022", "khakzar2022"),
}
"""Paper of a claim -> keys in ``book/references.bib``."""


@dataclass(frozen=True)
class Part:
    """A part of a page that can be cited.

    Args:
        at: id of the element that it is.
        anchor: id to link to; the page as a whole has none.
        title: what it is called, as plain text; formulas stand between ``\\(`` and ``\\)``.
        names: ids that stand at it, among them those of the claims that it treats.
    """

    at: str
    anchor: str
    title: str
    names: tuple[str, ...] = ()


def parts(body: str) -> list[Part]:
    """The sections, theorems, equations, figures, tables and claims of a page, in their order.

    Args:
        body: HTML of the page's article.
    """
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(body, "html.parser")
    found = []
    selector = (
        "section[id]:has(> :is(h1, h2, h3, h4)), div.proof[id], div.math[id^=equation-], "
        "figure[id]:has(figcaption), div.citable-table, table.citable[id], "
        "table.ledger tbody tr[id]"
    )
    for element in soup.select(selector):
        if element.name == "section":
            found.append(_section(element))
        elif element.name == "figure":
            found.append(_of_caption(element, element.find("figcaption")))
        elif element.name == "tr":
            found.append(_plain(element, f"Claim {element['id']}", str(element["id"])))
        elif element.name == "table":
            found.append(_plain(element, f"Table: {_heading(element)}"))
        elif "math" in element["class"]:
            number = element.find(class_="eqno")
            found.append(_plain(element, f"Equation {_text(number) if number else ''}".strip()))
        elif "citable-table" in element["class"]:
            found.append(_of_caption(element, element.find("caption"), "Table: "))
        elif not re.fullmatch(r"proof-\d+", str(element["id"])):  # counted ids are not kept
            title = element.find("p", class_="admonition-title")
            found.append(_plain(element, _text(title)))
    return found


def _section(section: Any) -> Part:
    """A section; its own label is kept when its title changes, unlike the id made from it."""
    labels = tuple(span["id"] for span in section.find_all("span", id=True, recursive=False))
    own = next((name for name in labels if name.startswith("sec-")), None)
    heading = section.find(["h1", "h2", "h3", "h4"], recursive=False)
    anchor = "" if heading.name == "h1" else own or (labels or (section["id"],))[0]
    return Part(section["id"], anchor, _text(heading), labels)


def _of_caption(element: Any, caption: Any, before: str = "") -> Part:
    number = caption.find(class_="caption-number") if caption else None
    text = _text(caption) if caption else ""
    shown = _text(number) if number else ""
    words = _first_sentence(text.removeprefix(shown).strip())
    return _plain(element, f"{shown}: {words}" if shown else f"{before}{words}".rstrip(": "))


def _plain(element: Any, title: str, *names: str) -> Part:
    section = _around(element)
    around = () if section is None or names else _section(section).names
    return Part(element["id"], element["id"], title, (*names, element["id"], *around))


def _heading(element: Any) -> str:
    section = _around(element)
    return "" if section is None else _section(section).title


def _around(element: Any) -> Any:
    """The section that an element stands in; the body of a theorem is none."""
    return next(
        (
            section
            for section in element.find_parents("section", id=True)
            if section.find(["h1", "h2", "h3", "h4"], recursive=False)
        ),
        None,
    )


def _text(element: Any) -> str:
    """The text of an element, without the sign that links to it."""
    words = "".join(
        text
        for text in element.find_all(string=True)
        if not text.find_parent("a", class_="headerlink")
    )
    return " ".join(words.split())


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[^\d\s.])\.(?=\s|$)", text, maxsplit=1)[0]


def entries(
    body: str,
    page: str,
    title: str,
    citation: Citation,
    works: Mapping[str, str],
    claims: Mapping[str, Mapping[str, Any]],
    stamp: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Every part of a page with its BibTeX entry and the original works beside it.

    Args:
        body: HTML of the page's article.
        page: name of the document, such as ``notebooks/gap``.
        title: title of the page.
        citation: whom to cite.
        works: key of a work -> its BibTeX entry.
        claims: id in lower case -> claim, with its ``paper`` and ``notebook``.
        stamp: what ``execute`` wrote into the metadata of the page's notebook.

    Returns:
        ``parts``: mappings with ``at``, ``title``, ``bibtex`` and ``works``; ``works``: key ->
        BibTeX entry of those that are named; ``address``: of the site, or None.
    """
    name = page.rpartition("/")[2]
    judged_here = [claim["paper"] for claim in claims.values() if claim["notebook"] == name]
    shown = []
    named: dict[str, str] = {}
    for part in parts(body):
        own = [claims[key.lower()]["paper"] for key in part.names if key.lower() in claims]
        keys = _works(own or judged_here or ["binder-2022"])
        named |= {key: works[key] for key in keys if key in works}
        key = f"sanitygap-{name}{f'-{part.anchor}' if part.anchor else ''}"
        path = f"{page}.html{f'#{part.anchor}' if part.anchor else ''}"
        what = f"{part.title}, in: {title}" if part.anchor else title
        shown.append(
            {
                "at": part.at,
                "anchor": part.anchor,
                "title": _as_read(part.title),
                "bibtex": citation.bibtex(key, what, path, stamp),
                "works": [key for key in keys if key in works],
            }
        )
    return {"address": citation.address, "parts": shown, "works": named}


def _works(papers: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(key for paper in papers for key in WORKS[paper]))


def _as_read(title: str) -> str:
    """A title without the marks of formulas."""
    return re.sub(r"\\[()]", "", title)


def as_script(data: Mapping[str, Any]) -> str:
    """Data for a script of the page, as an element that is never executed."""
    text = json.dumps(data, ensure_ascii=False).replace("</", "<\\/").replace("<!--", "<\\u0021--")
    return f'<script type="application/json" id="citations">{text}</script>'


def read_works(text: str) -> dict[str, str]:
    """Key -> BibTeX entry, of the works that claims come from.

    Args:
        text: content of a BibTeX file.
    """
    from pybtex.database import BibliographyData, parse_string

    wanted = {key for keys in WORKS.values() for key in keys}
    held = parse_string(text, "bibtex").entries
    return {
        key: BibliographyData({key: entry}).to_string("bibtex").strip()
        for key, entry in held.items()
        if key in wanted
    }


_LABELS = {
    "run": "Run",
    "profile": "Profile",
    "model": "Model",
    "images": "Images",
    "n_images": "Number of images, n",
    "seed": "Seed",
    "device": "Device",
}

NO_COMMIT = "not known: the run does not say which version of the code made it"
"""What a passport says about a run without a commit."""


def passport(
    name: str, title: str, stamp: Mapping[str, Any], citation: Citation, works: Sequence[str] = ()
) -> str:
    """The passport of an executed notebook, in MyST Markdown, to stand at the end of its page.

    Args:
        name: name of the notebook.
        title: title of its page.
        stamp: what ``execute`` wrote into the metadata of the notebook.
        citation: whom to cite.
        works: BibTeX entries of the papers that the page is about.
    """
    original = ""
    if works:
        entries = "\n\n".join(works)
        original = f"\nThe work that the page is about:\n\n```bibtex\n{entries}\n```\n"
    rows = "\n".join(f"* - {label}\n  - {value}" for label, value in rows_of(stamp))
    return f"""\
(passport-{name})=

::::{{dropdown}} Passport of this page
:class-container: passport

:::{{list-table}}
:class: passport-table
:stub-columns: 1
:widths: 30 70

{rows}
:::

{_commands(name, stamp)}
::::

::::{{dropdown}} Cite this page
:class-container: passport

{citation.sentence(title)}

```bibtex
{citation.bibtex(f"sanitygap-{name}", title, f"notebooks/{name}.html", stamp)}
```
{original}::::
"""


def rows_of(stamp: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Label and Markdown value of every line of a passport."""
    parameters = stamp["parameters"]
    settings = settings_of(stamp)
    rows = [
        (label, code(settings[key]))
        for key, label in _LABELS.items()
        if settings.get(key) is not None
    ]
    own = [
        code(f"{key} = {value}")
        for key, value in parameters.items()
        if key not in _LABELS and value is not None
    ]
    if own:
        rows.append(("Settings of this page", ", ".join(own)))
    if record := stamp.get("run_record"):
        rows += _record_rows(record)
    return [
        *rows,
        ("Page executed", f"{when(stamp['started'])}, in {duration(stamp['duration_s'])}"),
        ("Page executed at commit", _commit(stamp.get("commit"), stamp.get("dirty"))),
        ("Source", f"{code(stamp['source'])}, SHA-256 {code(stamp['source_sha256'][:16])}"),
        ("Versions", ", ".join(f"{name} {code(v)}" for name, v in stamp["versions"].items())),
    ]


def settings_of(stamp: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a page, with what its run really used in place of defaults.

    A recorded run has settings of its own, whatever the page was executed with, and only the run
    knows how many images a profile meant.
    """
    settings = dict(stamp["parameters"])
    if record := stamp.get("run_record"):
        if record["recorded"]:
            settings |= record["settings"]
        settings["n_images"] = record["images"]["n"]
    return settings


def _record_rows(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the run itself says: checksums of weights and images, and where it was computed."""
    made = record["provenance"]
    parted = [commit.partition("+") for commit in commits_of(record)]
    commits = ", ".join(_commit(commit, changes) for commit, _, changes in parted)
    return [
        ("Weights", f"SHA-256 {code(record['model']['weights_sha256'][:16])}"),
        ("Image files", f"SHA-256 {code(record['images']['sha256'][:16])}"),
        ("Results computed", f"{when(made['started'])}, on {made['device']}"),
        ("Results computed at commit", commits or NO_COMMIT),
    ]


def _commands(name: str, stamp: Mapping[str, Any]) -> str:
    """The commands that make the page and, where they are recorded, its numbers again."""
    again = f"To make this page again:\n\n```bash\n{stamp['command']}\n```\n"
    if not (stamp.get("run_record") or {}).get("recorded"):
        return again
    anew = command(name, {**settings_of(stamp), "run": "mine"})
    return f"{again}\nTo compute its numbers anew:\n\n```bash\n{anew}\n```\n"


def _commit(commit: str | None, dirty: Any) -> str:
    if not commit:
        return "not under version control"
    return code(commit[:12]) + (", with uncommitted changes" if dirty else "")


def when(moment: str) -> str:
    """A moment in ISO 8601 as a person reads it: to the minute, in UTC."""
    return f"{datetime.fromisoformat(moment).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def code(value: Any) -> str:
    """A value as inline code in MyST Markdown, whatever characters it holds."""
    text = " ".join(str(value).split())
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if "`" in (text[:1], text[-1:]) else ""
    return f"{fence}{pad}{text}{pad}{fence}"
