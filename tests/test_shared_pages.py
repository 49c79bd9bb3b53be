"""Words and numbers that every page writes in the same way."""

import pandas as pd
import pytest

from sanitygap.pages.shared import display_table, marked, text_table
from sanitygap.words import listed, plural


@pytest.mark.parametrize(("number", "words"), [(0, "0 images"), (1, "1 image"), (2, "2 images")])
def test_one_is_no_plural(number, words):
    assert plural(number, "image") == words


def test_lists_end_with_and():
    assert [listed(range(n)) for n in (1, 2, 3)] == ["0", "0 and 1", "0, 1 and 2"]


def test_marks_of_the_ledger_become_html():
    assert marked("`layer4` has S^I ≥ 0.01") == "<code>layer4</code> has S<sup>I</sup> ≥ 0.01"
    assert marked("of $S^I$, c^2") == "of $S^I$, c<sup>2</sup>"
    assert marked("a<b") == "a&lt;b"
    assert marked("at most 0.0e+00, 0e+00, 10e+00") == "at most 0, 0, 10e+00"


def test_rounded_zero_has_no_sign():
    html = display_table(pd.DataFrame({"x": [-0.0001, -0.25]}), "Numbers.").to_html()
    assert ">0.000<" in html
    assert "-0.000" not in html
    assert ">-0.250<" in html


def test_each_cell_of_a_card_but_the_first_says_its_column():
    html = text_table(pd.DataFrame({"claim": ["a"], "verdict": ["holds"]}), "Verdicts.").to_html()
    assert '<span class="narrow-label">verdict: </span>holds' in html
    assert html.count("narrow-label") == 1
    assert "text-cards" in html
