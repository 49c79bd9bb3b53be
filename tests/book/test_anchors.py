"""Names of figures and tables: made from the source, the same whatever stands before them."""

import nbformat
import pytest

from sanitygap.book.site import Names, shown_names
from sanitygap.errors import UsageError


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


def test_section_with_sections_of_its_own_names_what_it_holds() -> None:
    cells = [
        "(sec-page)=\n# A page",
        ">pages.one(study)",
        "(sec-noise)=\n## Noise",
        ">pages.one(study)",
        "### Copies",
        ">pages.two(study)",
        "## End",
        ">pages.two(study)",
    ]
    names = Names(chapter(*cells), "page")
    shown = [names.name(cell, 0) for cell in (1, 3, 5, 7)]
    assert shown == ["page-one", "noise-one", "noise-two", "page-two"]
