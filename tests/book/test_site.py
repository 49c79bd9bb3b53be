"""The built site: generated pages against the ledger they are made from, and strictness."""

from collections import Counter
from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag

from sanitygap.book import Project, build, execute
from sanitygap.book.site import ledger_rows, stage
from sanitygap.claims import VERDICTS, read_verdicts, seal
from sanitygap.errors import UsageError
from tests.book.toy import ADDRESS, invented_claims, make_project

MODELS = ["efficientnet_lite0", "squeezenet1_1"]


def soup(site: Path, page: str) -> BeautifulSoup:
    return BeautifulSoup((site / page).read_bytes(), "html.parser")


def one(parent: Tag, selector: str) -> Tag:
    """The only element that fits a selector."""
    found = parent.select(selector)
    assert len(found) == 1, f"{len(found)} elements {selector!r}"
    return found[0]


def texts(parent: Tag, selector: str) -> list[str]:
    return [" ".join(element.get_text().split()) for element in parent.select(selector)]


def expected_counts() -> dict[tuple[str, str], int]:
    """How many claims have which verdict on which model, counted from the rows themselves."""
    rows = invented_claims()
    counts = Counter((row["verdict"], row["model"]) for row in rows if row["run"])
    unjudged = sum(1 for row in rows if row["model"] is None)
    for model in MODELS:
        counts["not-run", model] += unjudged
    return {key: count for key, count in counts.items() if count}


def test_counts_on_the_landing_page_are_those_of_the_ledger(site: Path) -> None:
    table = one(soup(site, "book/index.html"), "table.verdict-counts")
    assert [head.split()[0] for head in texts(table, "thead th")] == ["Verdict", *MODELS]
    found = {}
    for row in table.select("tbody tr")[:-1]:
        word = texts(row, ".verdict")[0].split()[-1]
        for model, count in zip(MODELS, texts(row, "td")[1:], strict=True):
            found[word, model] = int(count)
    assert {key: count for key, count in found.items() if count} == expected_counts()
    total = str(len({row["id"] for row in invented_claims()}))
    assert texts(table.select("tbody tr")[-1], "td")[1:] == [total, total]


def test_ledger_lists_every_claim_with_all_its_verdicts(site: Path) -> None:
    rows = invented_claims()
    page = soup(site, "book/ledger.html")
    lines = page.select("table.ledger tbody tr")
    assert len(lines) == len({row["id"] for row in rows})
    for line in lines:
        own = [row for row in rows if row["id"] == line["id"]]
        # those of runs first; the models that wait for one are folded below them
        ordered = sorted(own, key=lambda row: bool(row["model"]) and not row["run"])
        assert [words.split()[-1] for words in texts(line, ".finding > p > .verdict")] == [
            row["verdict"] for row in ordered
        ]
        networks = [own[0]["networks"]] if own[0]["networks"] else []
        judged = sum(bool(row["run"]) for row in own)
        assert (
            texts(line, ".finding > .networks") == [f"about {words}" for words in networks] * judged
        )
        waiting = [row["model"] for row in own if row["model"] and not row["run"]]
        assert texts(line, "details .finding .shown-on") == waiting
        assert f"kind-{own[0]['kind']}" in line["class"]
        assert {f"is-{row['verdict']}" for row in own} <= set(line["class"])
        assert own[0]["place"] in line.get_text()
        assert "Criterion" in texts(line, "summary")
        assert one(line, "a.claim-id")["href"] == f"#{line['id']}"


def test_moved_page_leads_on(site: Path) -> None:
    assert "gap.html" in (site / "notebooks" / "old.html").read_text()
    # it leads to a page that this book has not
    assert not (site / "book" / "part-decisions.html").exists()


def test_ledger_links_to_the_place_of_a_claim(site: Path) -> None:
    page = soup(site, "book/ledger.html")

    def target(claim: str) -> list[str]:
        links = one(page, f'tr[id="{claim}"]').select("td:first-child p:last-child a")
        return [str(link["href"]) for link in links if "claim-id" not in link["class"]]

    assert target("binder-thm1") == ["../notebooks/theorem-1.html#binder-thm1"]
    without_label = {row["notebook"]: row["id"] for row in invented_claims()}
    assert target(without_label["gap"]) == ["../notebooks/gap.html"]
    assert target(without_label[None]) == []


def test_verdict_is_a_word_with_a_sign_that_is_not_read_aloud(site: Path) -> None:
    for badge in soup(site, "book/read.html").select("table.verdict-meanings .verdict"):
        sign = one(badge, '[aria-hidden="true"]')
        word = badge.get_text().replace(sign.get_text(), "").strip()
        assert VERDICTS[word].sign == sign.get_text()


def test_claims_can_be_referred_to_from_other_books(site: Path) -> None:
    from sphinx.util.inventory import InventoryFile

    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda _, path: path)
    labels = inventory["std:label"]
    assert labels["claim-binder-thm1"][2] == "book/ledger.html#binder-thm1"
    assert labels["binder-thm1"][2] == "notebooks/theorem-1.html#binder-thm1"
    figure = "fig-theorem-1-theorem-1-a-page-for-tests"
    assert labels[figure][2] == f"notebooks/theorem-1.html#{figure}"
    assert labels["thm-toy"][2] == "notebooks/theorem-1.html#thm-toy"
    assert labels["eq-toy"][2] == "notebooks/theorem-1.html#equation-eq-toy"
    table = "table-gap-means-of-the-toy"
    assert labels[table][2:] == (f"notebooks/gap.html#{table}", "Means of a toy, by hand.")
    page = soup(site, "notebooks/gap.html")
    assert one(page, f"#{table} table caption").get_text() == "Means of a toy, by hand."


def test_page_shows_its_passport_and_citation(site: Path) -> None:
    page = soup(site, "notebooks/gap.html")
    passport = one(page, "table.passport-table")
    shown = dict(zip(texts(passport, "th"), texts(passport, "td"), strict=True))
    assert shown["Run"] == "toy"
    assert shown["Profile"] == "smoke"
    assert shown["Settings of this page"] == "divisor = 1, pause = 0"
    assert "@misc{sanitygap-gap," in page.get_text()
    assert "sanitygap execute gap --run toy" in page.get_text()


def test_figure_has_alternative_text_caption_and_numbers(site: Path) -> None:
    page = soup(site, "notebooks/theorem-1.html")
    figure = one(page, "figure")
    assert one(figure, "img")["alt"] == "One dot."
    caption = one(figure, "figcaption")
    assert "A dot, efficientnet_lite0, " in caption.get_text()
    assert figure["id"] == "fig-theorem-1-theorem-1-a-page-for-tests"
    download = one(caption, "a.download")
    numbers = (site / "notebooks" / str(download["href"])).read_text()
    assert numbers == "x,y\n1,2\n"
    assert soup(site, "notebooks/gap.html").select('img[alt="Another dot."]')
    assert "<a figure>" not in texts(page, ".cell_output"), "the text of a figure is not shown"


def test_warning_is_refused_and_the_old_site_stays(copied: Project, tmp_path: Path) -> None:
    old = tmp_path / "out" / "index.html"
    old.parent.mkdir()
    old.write_text("old")
    page = copied.root / "book" / "cite.md"
    page.write_text(page.read_text() + "\n{ref}`no-such-label`\n")
    with pytest.raises(UsageError, match=r"book/cite.md:\d+: WARNING: undefined label") as error:
        build(copied, "toy", invented_claims(), out=old.parent)
    assert "\n" not in str(error.value)
    assert str(tmp_path) not in str(error.value)
    assert old.read_text() == "old"


def test_published_site_has_a_map_and_tags_with_its_address(site: Path) -> None:
    assert f"<loc>{ADDRESS}book/ledger.html</loc>" in (site / "sitemap.xml").read_text()
    page = soup(site, "notebooks/gap.html")
    assert one(page, 'meta[property="og:url"]')["content"] == f"{ADDRESS}notebooks/gap.html"
    assert one(page, 'link[rel="canonical"]')["href"] == f"{ADDRESS}notebooks/gap.html"
    assert f"url = {{{ADDRESS}notebooks/gap.html}}" in page.get_text()


def test_ledger_rows_are_those_of_recorded_runs_and_of_this_one(tmp_path: Path) -> None:
    import json

    record = {"claim": "binder-thm1", "verdict": "caveat", "evidence": "1 of 2.", "reason": ""}
    record |= {"model": "efficientnet_lite0", "images": "photos", "n_images": 3}
    sentence = record | {"claim": "qa-compare", "verdict": "holds"}
    for run, recorded in (("reference-a", True), ("mine", False), ("another", False)):
        folder = tmp_path / "data" / "runs" / run
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({"settings": {}, "recorded": recorded}))
        path = folder / "verdicts.json"
        path.write_text(json.dumps([record, sentence]))
        seal(folder, read_verdicts(path))
    rows = ledger_rows(Project(tmp_path), "mine")
    shown = [row for row in rows if row["verdict"] not in ("not-run", "holds")]
    assert [row["run"] for row in shown] == ["mine", "reference-a"]
    (told,) = (row for row in rows if row["id"] == "qa-compare" and row["run"] == "mine")
    assert told["substance"] == [("binder-thm1", "caveat", ""), ("binder-thm2", "not-run", "")]
    assert all(row["place"] and row["check"] for row in rows)


def test_stage_leaves_the_executed_copies_alone(executed: Project) -> None:
    from sanitygap.book import gate

    before = executed.executed("toy", "gap").read_bytes()
    folder = stage(executed, gate(executed, "toy"), invented_claims())
    assert executed.executed("toy", "gap").read_bytes() == before
    assert not (folder / "book" / "_executed").exists()


def test_a_site_of_one_chapter_says_so_and_keeps_the_prose_of_the_others(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    execute(project, ["gap"], {"profile": "smoke"}, "toy")
    site = build(project, "toy", invented_claims()).parent
    other = soup(site, "notebooks/theorem-1.html")
    assert one(other, ".warning .admonition-title").get_text() == "Not executed"
    assert not other.select("div.cell")
    assert texts(soup(site, "book/index.html"), ".shown-run") == [
        "1 of 2 chapters were executed for it; the others have prose only."
    ]
    assert soup(site, "notebooks/gap.html").select("div.cell_output")
