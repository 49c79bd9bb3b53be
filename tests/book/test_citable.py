"""What can be cited on a page, and its BibTeX as another program reads it."""

import json
import re
from typing import Any

import pytest
from bs4 import BeautifulSoup
from pybtex.database import parse_string

from sanitygap.book.citation import WORKS, Citation, as_script, entries, latex, parts, read_works
from sanitygap.book.sphinx import PAPERS
from sanitygap.claims import load_claims
from tests.book.toy import ADDRESS, CHECKOUT

BODY = """
<section id="a-page"><span id="sec-page"></span>
<h1>1. A page<a class="headerlink" href="#">#</a></h1>
<div class="proof theorem admonition" id="theorem-1">
  <p class="admonition-title"><span class="caption-number">Theorem 1.1 </span>
  (Noise, 100 %)</p><section class="theorem-content" id="statement-1">
  <div class="math" id="equation-eq-bound"><span class="eqno">(1.2)</span></div>
  </section></div>
<div class="proof admonition" id="proof-1"><p class="admonition-title">Proof</p></div>
<section id="the-idea"><span id="sec-idea"></span><span id="binder-thm1"></span>
<h2>1.1. The idea &amp; \\(\\sigma_{AB}\\)<a class="headerlink" href="#the-idea">#</a></h2>
<figure id="fig-page-1"><figcaption><p><span class="caption-number">Fig. 1.1 </span>
  <span class="caption-text">SSIM at 0.5 of it. More words.</span></p></figcaption></figure>
<div class="citable-table" id="table-page-1">
  <table id="T_1"><caption>Means. n = 3.</caption></table></div>
</section>
<div class="math notranslate" id="equation-eq-mean"><span class="eqno">(1.1)<a class="headerlink"
  href="#equation-eq-mean">#</a></span>\\[\\mu\\]</div>
<div class="math notranslate">\\[\\nu\\]</div>
<section id="no-label"><h2>1.2. Without a label</h2></section>
</section>
"""

LEDGER = """
<section id="ledger"><h1>Ledger</h1><table class="ledger" id="table-ledger"><tbody>
<tr id="khakzar-null"><td>Many</td></tr></tbody></table></section>
"""

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


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a_b & 5 %", "a\\_b \\& 5 \\%"),
        ("\\(x_1\\) and _", "$x_1$ and \\_"),
        ("{", "\\textbraceleft "),
    ],
)
def test_text_is_written_for_latex(text: str, written: str) -> None:
    assert latex(text) == written
    entry = f"@misc{{a,\n  title = {{{written}}},\n}}"
    assert parse_string(entry, "bibtex").entries["a"].fields["title"] == written.strip()


def test_data_for_the_script_cannot_end_its_element() -> None:
    data = {"title": "</script><!-- x"}
    script = BeautifulSoup(as_script(data), "html.parser").find("script")
    assert json.loads(script.string) == data
    assert not re.search("</script>.", as_script(data))
