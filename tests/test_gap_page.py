"""The page about the gap, on tables with known effects."""

import re
from itertools import product

import numpy as np
import pandas as pd
import pytest

from sanitygap import pages
from sanitygap.multiverse import SIMILARITIES
from sanitygap.pages import gap as page
from sanitygap.reductions import REDUCTIONS
from sanitygap.runs import Study
from tests.fake_study import FakeStudy

GRADIENTS = ("gradient", "gradient-x-input", "integrated-gradients")
LRP = ("lrp-epsilon-plus", "lrp-adaptive-beta")
METHODS = (*GRADIENTS, "guided-backprop", *LRP, *(f"{name}@biases" for name in LRP), "noise")
KNOBS = {"path_steps": 20, "every": 5, "patches": [15], "level_images": 0}


def maps():
    """Method, start and reduction of each map that the experiments make."""
    for method, reduction in product(METHODS, REDUCTIONS):
        if method != "noise" or reduction == "signed":
            yield method, "one", reduction
        if method.startswith("lrp-") and reduction == "signed":
            yield method, "logit", reduction


def table_of(n, columns):
    """A row for each image and map."""
    rows = [
        {"image": f"i{image}", "position": image, "method": method, "start": start}
        | {"reduction": reduction, "seed": 0, "correct": image % 2 == 0}
        | more
        for image, (method, start, reduction) in product(range(n), maps())
        for more in columns(method, reduction)
    ]
    return pd.DataFrame(rows).astype({"correct": "boolean"})


def occluded(n=12, seed=0):
    """Guided backpropagation below the gradients by 0.2 if unsigned, above by 0.1 if signed.

    LRP is always below, by 0.3.
    """
    rng = np.random.default_rng(seed)

    def columns(method, reduction):
        level = 0.6 + 0.005 * rng.standard_normal()
        if method == "guided-backprop":
            level += 0.1 if reduction == "signed" else -0.2
        if method.startswith("lrp-"):
            level -= 0.3
        choices = {"target": "predicted", "patch": 15, "tiling": "tiles", "replaced": 0.1}
        return [choices | {"softmax": level, "logit": 10 * level}]

    table = table_of(n, columns)
    table.attrs["parameters"] = KNOBS
    return table


def randomized(n=12, seed=1):
    """Guided backpropagation and LRP more similar than the gradients, by 0.4, in any way."""
    rng = np.random.default_rng(seed)

    def columns(method, reduction):
        for step in (1, 3):
            level = (0.2 if method in GRADIENTS else 0.6) + 0.005 * rng.standard_normal()
            similar = dict.fromkeys(SIMILARITIES, level) | {"mse": 1 - level}
            yield {"norms": "reset", "step": step, "steps": 5} | similar

    table = table_of(n, columns)
    table.attrs["parameters"] = {"path_steps": 20, "n_steps": 2}
    return table


class Run(FakeStudy, Study):
    """A study that pages take for one run, not for several."""


@pytest.fixture(scope="module")
def study():
    return Run(occlusion_specifications=occluded(), randomization_specifications=randomized())


def test_table_has_the_paired_differences_of_every_reduction(study):
    shown = page.gap_table(study)
    table, caption = shown.data, shown.caption
    assert len(table) == 4 * 3  # reductions x (guided backpropagation and two variants of LRP)
    text = table.map(lambda cell: re.sub(r"<span.*</span>", "", str(cell)))
    raw = occluded().pivot_table(
        index="image", columns=["method", "start", "reduction"], values="softmax"
    )
    for row in text.to_dict("records"):
        if row["method"] != "guided backpropagation":
            continue
        key = {"signed sum": "signed", "|sum|": "abs-sum", "sum of |·|": "sum-abs"}.get(
            row["reduction"], "l2"
        )
        mean = (raw["guided-backprop", "one", key] - raw["gradient", "one", key]).mean()
        assert row["− gradient"].startswith(f"{mean:+.3f} [".replace("-", "−"))
        assert (mean > 0) == (key == "signed")
        assert row["n"] == "12"
    taus = text.loc[text["method"] != "guided backpropagation", "Kendall's τ, with this LRP"]
    assert all(re.match(r"[+−]\d\.\d{3} \[.*\] \(n = 12\)$", cell) for cell in taus)
    for words in ("occlusion 12 images", "2 of 5 steps", "every 5 regions", "with 20 points"):
        assert words in caption


def test_shares_follow_the_made_up_effects(study):
    table = page.shares_table(study).data.set_index(["test", "part"])
    guided = table.loc[("occlusion", "guided backpropagation")]
    assert (guided["holds"], guided["contradicted"], guided["open"]) == ("75.0%", "25.0%", "0.0%")
    assert table.loc[("occlusion", "LRP"), "holds"] == "100.0%"
    assert table.loc[("randomisation", "guided backpropagation"), "holds"] == "100.0%"
    assert table.loc[("both", "guided backpropagation"), "holds"] == "75.0%"
    # reductions x LRP x start x biases x images, times softmax or logit
    assert guided["specifications"] == 4 * 2 * 2 * 2 * 2 * 2


def test_words_name_the_choice_that_decides(study):
    words = page.gap_in_words(study).data
    assert (
        "Guided backpropagation beats all three gradient methods under occlusion in 75% of 128 "
        "specifications, is beaten by one of them in 25%." in words
    )
    assert "The choice that decides most is the reduction of maps (100% of the variance" in words
    assert (
        "0% with signed sum, 100% with |sum|, 100% with sum of |·| and 100% with l2 norm" in words
    )
    nearest = re.search(r"nearest to the paper it is contradicted: margin (\S+) ", words)
    assert float(nearest[1].replace("−", "-")) == pytest.approx(-0.1, abs=0.01)


@pytest.mark.parametrize(("test", "specifications"), [("occlusion", 64), ("randomization", 256)])
def test_curve_has_a_point_for_each_specification_of_one_unit(study, test, specifications):
    plate = page.specification_curve(study, test)
    assert plate.alt
    curves = plate.figure.axes[:2]
    for axis in curves:
        marks = [m for m in axis.collections if hasattr(m, "get_sizes") and m.get_sizes()[0] == 11]
        assert sum(len(mark.get_offsets()) for mark in marks) == specifications
    assert len(plate.numbers) == 2 * specifications
    assert plate.numbers.groupby("panel")["margin"].apply(lambda m: m.is_monotonic_increasing).all()
    assert plate.numbers["nearest"].sum() == 2


def test_share_of_the_reduction_is_largest(study):
    numbers = page.deciding_choices(study).numbers
    guided = numbers[(numbers["test"] == "occlusion") & (numbers["part"] == page.PARTS[0])]
    assert guided.iloc[0]["choice"] == "reduction of maps"
    assert guided.iloc[0]["share"] > 0.98


def test_runs_without_the_tables_are_said_not_to_be_recorded():
    bare = Run()
    bare.recorded = True
    assert "not recorded" in page.gap_in_words(bare).data
    for shown in (
        pages.gap_table([bare]),
        pages.shares_table(bare),
        pages.deciding_choices(bare),
        pages.gap_plate(bare),
        pages.pair_plate(bare),
    ):
        assert "No recorded run" in shown.data


def test_one_image_is_said_to_be_too_few():
    few = Run(occlusion_specifications=occluded(1), randomization_specifications=randomized(1))
    for show in (page.gap_table, page.shares_table, page.specification_curve, page.gap_in_words):
        assert "cannot be shown" in show(few).data


def test_runs_without_labels_have_no_specification_of_correct_images():
    tables = occluded(6), randomized(6)
    for table in tables:
        table["correct"] = pd.Series(pd.NA, table.index, dtype="boolean")
    bare = Run(occlusion_specifications=tables[0], randomization_specifications=tables[1])
    assert set(page.findings(bare).gap.occlusion["images"]) == {"all"}
    assert len(page.specification_curve(bare).numbers) == 2 * 32
