"""Links, names and citations: text in, text out."""

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup
from pybtex.database import parse_string

from sanitygap.book import check_links
from sanitygap.book.citation import WORKS, Citation, as_script, entries, parts, read_works
from sanitygap.book.site import Names, shown_names
from sanitygap.book.sphinx import PAPERS
from sanitygap.claims import load_claims
from sanitygap.errors import UsageError
from tests.book.toy import ADDRESS, CHECKOUT, PAGES
from tests.cases import cases

GOOD = """\
<link rel="canonical" href="https://example.org/"><script src="_static/a.js"></script>
<h1 id="top-1">A</h1><a href="#top-1">here</a><a href="#">top</a><a href="sub/b.html#x%20y">b</a>
<a href="sub/">folder</a><a href="https://example.org/far">far</a><a href="mailto:a@b.c">mail</a>
<img src="i.png" alt="A dot."><img src="data:image/gif;base64,AA" alt="A dot.">
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Two pages, a script and an image, with nothing wrong."""
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "a.js").touch()
    (tmp_path / "i.png").touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.html").write_text('<p id="x y"><a href="../index.html">up</a></p>')
    (tmp_path / "sub" / "index.html").write_text("<p>index</p>")
    (tmp_path / "index.html").write_text(GOOD)
    return tmp_path


def test_sound_site_has_no_problem(site: Path) -> None:
    assert check_links(site) == []


@pytest.mark.parametrize(("html", "problem"), cases("links"))
def test_each_problem_is_found(site: Path, html: str, problem: str) -> None:
    with (site / "index.html").open("a") as file:
        file.write(html)
    assert check_links(site) == [f"index.html: {problem}"]


def chapter(*cells: str) -> nbformat.NotebookNode:
    """A chapter; cells that begin with a parenthesis, a sign of a heading or a word are text."""
    code, text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    made = [code(cell[1:]) if cell.startswith(">") else text(cell) for cell in cells]
    return nbformat.v4.new_notebook(cells=made)


@pytest.mark.parametrize(("source", "names"), cases("names of figures"))
def test_names_are_read_from_the_source(source: str, names: list[str]) -> None:
    assert list(shown_names(source, "here")) == names


def test_name_stays_when_something_is_put_before_it() -> None:
    cells = ["# A page", ">pages.two(study)", "(sec-x)=\n## Title", ">pages.verdicts(study, 'a')"]
    before, after = Names(chapter(*cells)), Names(chapter("text", ">pages.one(study)", *cells))
    assert [before.name(1, 0), before.name(3, 0)] == ["two", "verdicts-x"]
    assert [after.name(3, 0), after.name(5, 0)] == ["two", "verdicts-x"]


def test_section_is_called_by_its_own_label_or_its_heading() -> None:
    labels = "(thm-1)=\n(sec-thm-idea)=\n(binder-thm1)=\n## The idea"
    names = Names(chapter(labels, ">shown", "## Another idea: $x$", ">shown", "text", ">other"))
    assert names.name(1, 0) == "thm-idea"
    assert names.name(3, 0) == "another-idea-x"
    with pytest.raises(UsageError, match="two cells show 'another-idea-x'; give one of them"):
        names.name(5, 0)


BODY = (PAGES / "page.html").read_text(encoding="utf-8")

LEDGER = (PAGES / "ledger.html").read_text(encoding="utf-8")

CLAIMS: dict[str, dict[str, Any]] = {
    "binder-thm1": {"paper": "binder-2022", "notebook": "elsewhere"},
    "adebayo-a": {"paper": "adebayo-2018", "notebook": "page"},
    "khakzar-null": {"paper": "khakzar-2022", "notebook": None},
}
STAMP = {
    "run": "mine_1",
    "commit": "0123456789abcdef",
    "parameters": {"model": "my_models:network"},
    "run_record": {},
}
CITATION = Citation(("A Group",), "A Book", "1.2", 2026, ADDRESS, "f" * 40)


@pytest.fixture(scope="module")
def works() -> dict[str, str]:
    return read_works((CHECKOUT / "book" / "references.bib").read_text(encoding="utf-8"))


def listed(body: str, page: str, works: dict[str, str], stamp: Any = None) -> dict[str, Any]:
    return entries(body, page, "A page", CITATION, works, CLAIMS, stamp)


def test_parts_are_found_with_anchors_that_stay() -> None:
    assert [(part.at, part.anchor, part.title) for part in parts(BODY)] == [
        ("a-page", "", "1. A page"),
        ("theorem-1", "theorem-1", "Theorem 1.1 (Noise, 100 %)"),
        ("equation-eq-bound", "equation-eq-bound", "Equation (1.2)"),
        ("the-idea", "sec-idea", "1.1. The idea & \\(\\sigma_{AB}\\)"),
        ("fig-page-1", "fig-page-1", "Fig. 1.1: SSIM at 0.5 of it"),
        ("table-page-1", "table-page-1", "Table: Means"),
        ("equation-eq-mean", "equation-eq-mean", "Equation (1.1)"),
        ("no-label", "no-label", "1.2. Without a label"),
    ]


def test_every_part_has_an_entry_that_bibtex_reads(works: dict[str, str]) -> None:
    data = listed(BODY, "notebooks/page", works, STAMP)
    read = parse_string("\n".join(part["bibtex"] for part in data["parts"]), "bibtex").entries
    assert len(read) == len(data["parts"]) == 8
    for part in data["parts"]:
        (entry,) = parse_string(part["bibtex"], "bibtex").entries.values()
        anchor = f"#{part['anchor']}" if part["anchor"] else ""
        assert entry.fields["url"] == f"{ADDRESS}notebooks/page.html{anchor}"
        note = "Version 1.2, run mine\\_1, model my\\_models:network, commit 0123456789ab"
        assert entry.fields["note"] == note
        assert [str(person) for person in entry.persons["author"]] == ["{A Group}"]
    titles = [entry.fields["title"] for entry in read.values()]
    assert titles[0] == "{A page}. In: A Book"
    assert titles[1] == "{Theorem 1.1 (Noise, 100 \\%), in: A page}. In: A Book"
    assert titles[3] == "{1.1. The idea \\& $\\sigma_{AB}$, in: A page}. In: A Book"


def test_original_work_stands_beside_a_part(works: dict[str, str]) -> None:
    shown = {part["at"]: part["works"] for part in listed(BODY, "notebooks/page", works)["parts"]}
    assert shown["the-idea"] == shown["fig-page-1"] == ["binder2022"], "the claim of the section"
    assert shown["theorem-1"] == shown["no-label"] == ["adebayo2018"], "the claims of the page"
    (_, claim) = listed(LEDGER, "book/ledger", works)["parts"]
    assert (claim["title"], claim["works"]) == ("Claim khakzar-null", ["khakzar2022"])
    assert "commit ffffffffffff" in claim["bibtex"], "a page without a run has the site's commit"
    other = [
        part["works"]
        for part in listed("<section id=a><h1>A</h1></section>", "b/a", works)["parts"]
    ]
    assert other == [["binder2022"]]


def test_every_paper_of_the_ledger_has_a_work(works: dict[str, str]) -> None:
    assert {claim.paper for claim in load_claims()} <= set(WORKS)
    assert set(WORKS) == set(PAPERS)
    assert set(works) == {key for keys in WORKS.values() for key in keys}
    for key, entry in works.items():
        assert list(parse_string(entry, "bibtex").entries) == [key]


def test_data_for_the_script_cannot_end_its_element() -> None:
    data = {"title": "</script><!-- x"}
    script = BeautifulSoup(as_script(data), "html.parser").find("script")
    assert json.loads(script.string) == data
    assert not re.search("</script>.", as_script(data))
