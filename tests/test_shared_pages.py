"""Words and numbers that every page writes in the same way."""

import pandas as pd

from sanitygap.pages import marked
from sanitygap.show import display_table


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
