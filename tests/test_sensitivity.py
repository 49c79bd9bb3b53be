"""The sensitivity S: definitions, printed tables, counted networks, group tests."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn

from sanitygap.chapters.sriram import definitions, measure_methods, printed
from tests.cases import cases
from tests.conftest import Net

# ---- definitions


@pytest.mark.parametrize(("ssim", "name"), cases("bands"))  # fmt: skip
def test_bands_at_their_edges(ssim, name):
    assert definitions.perceived(ssim) == name


# ---- printed tables


def test_p_values_are_scipys():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 5))
    found = stats.pearsonr(x, y)
    assert printed.t_pvalue(float(found.statistic)) == pytest.approx(float(found.pvalue))
    base, order = np.arange(5), (1, 0, 2, 3, 4)
    exact = stats.permutation_test(
        (base,), lambda x: stats.spearmanr(x, order).statistic, permutation_type="pairings",
        alternative="two-sided", n_resamples=np.inf,
    ).pvalue  # fmt: skip
    rho = float(stats.spearmanr(base, order).statistic)
    assert printed.exact_pvalue(rho) == pytest.approx(float(exact))
    assert printed.exact_pvalue(0.9) == pytest.approx(10 / 120)
    assert printed.exact_pvalue(1.0) == pytest.approx(2 / 120)


def test_realisations_are_counted():
    rng = np.random.default_rng(3)
    orders = np.array([rng.permutation(5) for _ in range(4)])
    names = list("abcd")
    true = pd.DataFrame(stats.spearmanr(orders, axis=1).statistic, names, names)
    assert printed.realisations(true) >= 1
    impossible = true.copy()
    impossible.iloc[0, 1] = impossible.iloc[1, 0] = 0.95  # no multiple of 0.1
    assert printed.realisations(impossible) == 0
    assert printed.structure("sriram-table2")["realisations"] == 2


# ---- networks


def test_relu_calls_count_functions_methods_and_relu6_once():
    net = Net(
        lambda net, x: net.six(net.relu(net.relu(torch.nn.functional.relu(x).relu()))),
        relu=nn.ReLU(), six=nn.ReLU6(),
    )  # fmt: skip
    assert measure_methods.relu_calls(net, torch.zeros(1, 3)) == 5


def test_hooks_are_silent_without_relu_modules_only():
    torch.manual_seed(0)
    inputs, targets = torch.randn(2, 3, 8, 8), torch.tensor([0, 1])
    for activation, silent in ((nn.ReLU, False), (nn.ReLU6, True), (nn.SiLU, True)):
        net = nn.Sequential(
            nn.Conv2d(3, 6, 3), activation(), nn.Conv2d(6, 6, 3), activation(), nn.Flatten(),
            nn.Linear(96, 3),
        )  # fmt: skip
        assert (measure_methods.unguided(net, inputs, targets) == 0) is silent


# ---- group tests


def test_dunn_against_its_formula_written_out():
    table = pd.DataFrame(
        {"a": [1.0, 2.0, 2.0, 4.0], "b": [3.0, 5.0, 6.0, 4.0], "c": [7.0, 8, 9, 9]}
    )
    found = printed.dunn(table)
    pooled = np.concatenate([table[name] for name in table])
    ranks = stats.rankdata(pooled)
    count = len(pooled)
    ties = sum(t**3 - t for t in (np.sum(pooled == value) for value in np.unique(pooled)))
    spread = (count * (count + 1) / 12 - ties / (12 * (count - 1))) * (1 / 4 + 1 / 4)
    z = (ranks[:4].mean() - ranks[4:8].mean()) / spread**0.5
    row = found[(found["first"] == "a") & (found["second"] == "b")].iloc[0]
    assert row["z"] == pytest.approx(z)
    assert row["p"] == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert (found["p_holm"] >= found["p"] - 1e-12).all()
    assert printed.overall(table)["kruskal"] == pytest.approx(
        stats.kruskal(table["a"], table["b"], table["c"]).pvalue
    )


# ---- anchors


def test_parts_are_anchored_where_methods_and_words_meet():
    rows = [
        ("A", "guided backpropagation", 2), ("A", "fail", 1), ("B", "gradient", 3),
        ("B", "undecided", 1), ("C", "integrated gradient", 1),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["section", "term", "count"]).assign(document="x")
    found = printed.anchored(table).set_index("part")["together"]
    assert found["Guided BP and Guided GC fail"] == 1
    assert found["InputXGradient and IG are undecided"] == 0
    assert found["Gradients and GradCAM pass"] == 0
