"""Names of figures and tables: made from the source, the same whatever stands before them."""

import jupytext
import nbformat
import pytest

from sanitygap.book import Project
from sanitygap.book.stage import Names, shown_names, slug
from sanitygap.errors import UsageError
from tests.book.toy import CHECKOUT

PROJECT = Project(CHECKOUT)


def chapter(*cells: str) -> nbformat.NotebookNode:
    """A chapter; cells that begin with a parenthesis, a sign of a heading or a word are text."""
    code, text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    made = [code(cell[1:]) if cell.startswith(">") else text(cell) for cell in cells]
    return nbformat.v4.new_notebook(cells=made)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("pages.gap_plate(study)", ["gap-plate"]),
        ("pages.gap_plate(pages.references(study)[-1])", ["gap-plate-references-last"]),
        ("pages.gap_plate(pages.references(study)[0])", ["gap-plate-references-first"]),
        ("pages.curves(study, 'mse', sign='absolute')", ["curves-mse-sign-absolute"]),
        ("pages.curves([study, *pages.references(study)], patch=8)", ["curves-references-patch-8"]),
        ("x = 1\npages.plate(study, 'theorem-1', theory.ssim)", ["plate-theorem-1"]),
        ("display(pages.one(study), pages.two(study))", ["one", "two"]),
        ("pages.verdicts(study, 'binder-gap', 'binder-thm1')", ["verdicts-here"]),
        ("shown", ["here"]),
        ("x = 1", ["here"]),
        ("%time pages.gap_plate(study)", ["here"]),
    ],
)
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


def test_outputs_of_one_call_are_counted() -> None:
    names = Names(chapter(">display(pages.one(study), pages.two(study))"))
    assert [names.name(0, output) for output in range(4)] == ["one", "two", "two-2", "two-3"]


@pytest.mark.parametrize("name", PROJECT.chapters)
def test_no_two_cells_of_a_chapter_show_the_same(name: str) -> None:
    notebook = jupytext.read(PROJECT.source(name), fmt="md:myst")
    names = Names(notebook)
    found = [
        names.name(place, 0)
        for place, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and "pages." in cell.source.splitlines()[-1]
    ]
    assert len(found) == len(set(found))
    assert all(found)


def test_slug_has_only_letters_digits_and_hyphens() -> None:
    assert slug(" SSIM: $L = 2$, Ångström! ") == "ssim-l-2-ngstr-m"
