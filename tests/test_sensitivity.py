"""The sensitivity S: definitions, machine proofs, printed tables, counted networks, group tests."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from sanitygap.errors import UsageError
from sanitygap.sensitivity import anchors, architectures, group_tests, printed, proofs, scores
from sanitygap.theory.proofs.prover import decide
from tests.book.toy import CHECKOUT


def ipr_rows(ssim: dict[str, np.ndarray], sign: str = "signed") -> pd.DataFrame:
    """A table ``ipr-test`` from method -> SSIM, images x layers."""
    return pd.DataFrame(
        [
            {"image": f"{image}.png", "stage": f"layer {layer}", "method": method,
             "sign": sign, "seed": 0, "ssim": value}
            for method, values in ssim.items()
            for image, row in enumerate(values)
            for layer, value in enumerate(row)
        ]
    )  # fmt: skip


# ---- definitions


@pytest.mark.parametrize(
    ("ssim", "name"),
    [(1.0, "excellent"), (0.99, "excellent"), (0.9899, "good"), (0.95, "good"), (0.949, "fair"),
     (0.88, "fair"), (0.879, "poor"), (0.5, "poor"), (0.499, "bad"), (-1.0, "bad")],
)  # fmt: skip
def test_bands_at_their_edges(ssim, name):
    assert scores.perceived(ssim) == name


def test_bands_are_those_that_the_paper_prints():
    rows = pd.read_csv(CHECKOUT / "data" / "reported.csv", keep_default_na=False)
    rows = rows[(rows["id"] == "sriram-table1") & rows["quantity"].str.startswith("lowest")]
    stated = dict(zip(rows["condition"], rows["value"].astype(float), strict=True))
    assert stated == {name: low for name, low in scores.BANDS.items() if np.isfinite(low)}


def test_the_two_readings_differ_at_the_threshold_only():
    assert not scores.sensitive_to_layer(0.99)
    assert scores.sensitive_for_image([0.99, 0.5])
    assert scores.sensitive_to_layer(np.nextafter(0.99, 0))
    assert not scores.sensitive_for_image([0.5, 0.991])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=6, max_size=6))
def test_sensitivities_are_means_of_means(values):
    ssim = np.array(values).reshape(2, 3)
    table = ipr_rows({"gradient": ssim})
    found = scores.image_sensitivities(table)["gradient"]
    np.testing.assert_allclose(found, 1 - ssim.mean(1), atol=1e-12)
    assert scores.criteria(pd.DataFrame(ssim))["S"] == pytest.approx(float(1 - ssim.mean()))


def test_a_missing_similarity_is_not_averaged_away():
    table = ipr_rows({"lime": np.array([[0.1, np.nan], [0.2, 0.4]])})
    found = scores.image_sensitivities(table)["lime"]
    assert np.isnan(found.iloc[0])
    assert found.iloc[1] == pytest.approx(0.7)
    with pytest.raises(UsageError, match="holds no absolute maps"):
        scores.layer_table(table, "lime", sign="absolute")


def test_one_layer_can_carry_the_mean():
    ssim = np.ones((10, 8))
    ssim[:, 0] = 1 - 0.08
    found = scores.criteria(pd.DataFrame(ssim))
    assert found["S"] == pytest.approx(0.01)
    assert found["meets"] == 0
    assert found["least_layer"] == 0
    assert found["insensitive"] == pytest.approx(7 / 8)


def test_coverage_is_near_its_level_and_falls_for_tiny_sets():
    values = np.random.default_rng(0).beta(5, 2, 60)
    assert 0.86 <= scores.coverage(values, simulations=400) <= 0.94
    assert scores.coverage(values, n=3, simulations=150) < 0.86


# ---- proofs


def test_every_statement_comes_out_as_expected_and_every_mutant_is_refuted():
    table = proofs.proofs(seed=0)
    assert (table["outcome"] == table["expected"]).all()
    assert (table.loc[table["kind"] == "mutant", "outcome"] == "counterexample").all()
    assert (table["kind"] == "mutant").sum() >= 6


def test_a_wrong_threshold_is_refuted():
    import z3

    from sanitygap.theory.proofs.prover import Implication

    ssims = [z3.Real(f"s{number}") for number in range(8)]
    mean = sum(1 - ssim for ssim in ssims) / 8
    wrong = Implication("", "", [ssim <= z3.Q(99, 100) for ssim in ssims], mean >= z3.Q(2, 100))
    assert decide([wrong], seed=0, timeout_ms=5000)["outcome"].item() == "counterexample"


# ---- printed tables


def test_p_values_are_scipys():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 5))
    found = stats.pearsonr(x, y)
    assert printed.t_pvalue(float(found.statistic)) == pytest.approx(float(found.pvalue))
    base = np.arange(5)
    for order in list(permutations(range(5)))[::17]:
        rho = float(stats.spearmanr(base, order).statistic)
        exact = stats.permutation_test(
            (base,), lambda x, order=order: stats.spearmanr(x, order).statistic,
            permutation_type="pairings", alternative="two-sided", n_resamples=np.inf,
        ).pvalue if order == (1, 0, 2, 3, 4) else None  # fmt: skip
        if exact is not None:
            assert printed.exact_pvalue(rho) == pytest.approx(float(exact))
    assert printed.exact_pvalue(0.9) == pytest.approx(10 / 120)
    assert printed.exact_pvalue(1.0) == pytest.approx(2 / 120)


@pytest.mark.parametrize(
    ("p", "sign"), [(0.0005, "***"), (0.001, "***"), (0.01, "**"), (0.05, "*"), (0.051, "ns")]
)
def test_marks(p, sign):
    assert printed.mark(p) == sign


def test_tables_are_read_as_printed():
    values, marks = printed.read("sriram-table2")
    assert values.shape == (7, 7)
    assert values.loc["Guided BP", "Guided GC"] == 0.9
    assert marks.loc["Guided BP", "Guided GC"] == "*"
    assert (np.diag(values) == 1).all()
    assert printed.read("sriram-table3")[0].loc["DeepLIFT", "IG"] == 0.9847


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
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu, self.six = nn.ReLU(), nn.ReLU6()

        def forward(self, x):
            return self.six(self.relu(self.relu(torch.nn.functional.relu(x).relu())))

    assert architectures.relu_calls(Net(), torch.zeros(1, 3)) == 5


def test_counts_of_vgg16_are_those_of_its_paper():
    found = architectures.counts("vgg16")
    assert (found["convolutions"], found["convolution_biases"], found["dense_biases"]) == (
        13,
        13,
        3,
    )
    assert found["relu_calls"] == found["relu_modules"] == 15
    assert architectures.counts("mobilenet_v2")["relu_modules"] == 0


def test_hooks_are_silent_without_relu_modules_only():
    torch.manual_seed(0)
    inputs, targets = torch.randn(2, 3, 8, 8), torch.tensor([0, 1])
    for activation, silent in ((nn.ReLU, False), (nn.ReLU6, True), (nn.SiLU, True)):
        net = nn.Sequential(
            nn.Conv2d(3, 6, 3), activation(), nn.Conv2d(6, 6, 3), activation(), nn.Flatten(),
            nn.Linear(96, 3),
        )  # fmt: skip
        assert (architectures.silent_hooks(net, inputs, targets) == 0) is silent


def test_no_uniform_rule_gives_the_papers_layers():
    rows = pd.DataFrame(architectures.rule_rows())
    agrees = (rows["stated"] == rows["counted"]).groupby(rows["rule"]).sum()
    assert agrees["mixed"] == 5
    assert agrees.drop("mixed").max() < 5


# ---- group tests


def test_dunn_against_its_formula_written_out():
    table = pd.DataFrame(
        {"a": [1.0, 2.0, 2.0, 4.0], "b": [3.0, 5.0, 6.0, 4.0], "c": [7.0, 8, 9, 9]}
    )
    found = group_tests.dunn(table)
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
    assert group_tests.overall(table)["kruskal"] == pytest.approx(
        stats.kruskal(table["a"], table["b"], table["c"]).pvalue
    )


def test_correlations_carry_the_marks_of_corrected_p_values():
    rng = np.random.default_rng(0)
    base = rng.normal(size=12)
    table = pd.DataFrame(
        {"a": base, "b": base + 0.01 * rng.normal(size=12), "c": rng.normal(size=12), "d": 1.0}
    )
    found = group_tests.correlations(table, "pearson")
    assert found["a", "b"] == f"{np.corrcoef(table['a'], table['b'])[0, 1]:.2f}***"
    assert found["a", "c"] == f"{np.corrcoef(table['a'], table['c'])[0, 1]:.2f}"
    assert found["c", "d"] == "–"
    assert len(found) == 6


# ---- anchors


def test_parts_are_anchored_where_methods_and_words_meet():
    rows = [
        ("A", "guided backpropagation", 2), ("A", "fail", 1), ("B", "gradient", 3),
        ("B", "undecided", 1), ("C", "integrated gradient", 1),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["section", "term", "count"]).assign(document="x")
    found = anchors.anchored(table).set_index("part")["together"]
    assert found["Guided BP and Guided GC fail"] == 1
    assert found["InputXGradient and IG are undecided"] == 0
    assert found["Gradients and GradCAM pass"] == 0


def test_counts_were_made_for_the_terms_in_use():
    from sanitygap.claims.documentary import terms_sha256
    from sanitygap.claims.ledger import default_ledger

    text = default_ledger().with_name(anchors.FILE).read_text(encoding="utf-8")
    assert terms_sha256(anchors.terms()) in text
    assert set(anchors.read()["document"]) == {anchors.DOCUMENT}


def test_counts_are_made_from_a_text(tmp_path, monkeypatch):
    path = tmp_path / "appendix.md"
    path.write_text("# Title\n\n# A Guided\nGuided backpropagation fails. It fails.\n")
    target = tmp_path / "data"
    target.mkdir()
    monkeypatch.setattr(anchors, "default_ledger", lambda: target / "claims.yml")
    anchors.main([str(path)])
    table = anchors.read()
    assert table.set_index("term").loc["fail", "count"] == 2
    with pytest.raises(UsageError, match="name one Markdown file"):
        anchors.main([])
