"""Every figure of a formal statement is drawn from its table, and shows its numbers."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sanitygap import activations
from sanitygap.experiments import TABLES
from sanitygap.figures import theme, theory, theory_networks, theory_normalizers

DRAWN = {
    theory.ssim_against_covariance: "theorem-1-covariance",
    theory.expected_ssim: "theorem-1",
    theory.normalized_ssim: "theorem-1-normalization",
    theory.data_range_sensitivity: "theorem-1-data-range",
    theory.entanglement: "noise-entanglement",
    theory.expected_spearman: "theorem-3",
    theory.rank_covariance: "theorem-3-pairs",
    theory.sign_disagreement: "theorem-3-equivalence",
    theory.normalized_mse: "theorem-4",
    theory.scale_dependence: "equations-25-28",
    theory_normalizers.quantile_variance: "quantile-variance",
    theory_normalizers.tail_variance: "quantile-tail",
    theory_normalizers.maximum_dispersion: "maximum-dispersion",
    theory_normalizers.normalizer_ranking: "normalizer-ranking",
    theory_networks.ignored_features: "equation-4",
    theory_networks.additive_surrogate: "equation-5",
    theory_networks.linearity: "equation-6",
    theory_networks.random_neurons: "theorem-2-neurons",
    theory_networks.overtaking: "theorem-2",
    theory_networks.weight_distributions: "theorem-2-weights",
    theory_networks.random_heads: "theorem-2-heads",
    theory_networks.example_neuron: "appendix-f-neuron",
    theory_networks.adaptive_beta: "adaptive-beta-curve",
    theory_networks.monotonicity: "appendix-f",
    theory_networks.layer_sums: "appendix-g",
}


@pytest.fixture(autouse=True)
def _themed():
    theme()
    yield
    plt.close("all")


@pytest.mark.parametrize("draw", DRAWN, ids=lambda draw: draw.__name__)
def test_figures_show_data_in_every_panel(draw, table):
    figure = draw(table(DRAWN[draw]).copy())
    figure.set_layout_engine("none")  # only its speed
    figure.canvas.draw()
    assert figure.axes
    assert all(axis.has_data() for axis in figure.axes)
    assert len(draw.__doc__.split()) > 15


def test_captions_are_sentences_for_readers():
    assert set(DRAWN.values()) <= set(TABLES)
    for draw in DRAWN:
        assert "`" not in draw.__doc__
        assert draw.__doc__.rstrip().endswith(".")


def plotted(axis) -> np.ndarray:
    """All heights in a panel."""
    return np.concatenate([np.ravel(line.get_ydata()) for line in axis.lines])


def test_expected_ssim_shows_the_estimates(table):
    rows = table("theorem-1")
    axis = theory.expected_ssim(rows).axes[0]
    uniform = rows[(rows["process"] == "uniform") & (rows["functional"] == "E[|SSIM|]")]
    assert np.isin(uniform["estimate"].to_numpy(), plotted(axis)).all()
    assert uniform["bound"].iloc[0] in plotted(axis)


def test_two_sided_frequencies_are_shown_against_the_tail(table):
    rows = table("theorem-2")
    axis = theory_networks.overtaking(rows).axes[0]
    two_sided = rows[rows["event"] == "two-sided"]
    (line,) = [line for line in axis.lines if set(two_sided["estimate"]) <= set(line.get_ydata())]
    shown = dict(zip(line.get_ydata(), line.get_xdata(), strict=True))
    for _, row in two_sided.iterrows():
        assert shown[row["estimate"]] == pytest.approx(row["claimed"] / 2)


def test_activation_figures():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.SiLU()).eval()
    inputs = torch.randn(3, 3, 8, 8)
    layers = activations.activation_layers(network)
    bounds = theory_networks.overtaking_bounds(
        activations.overtaking(network, inputs, layers, neurons=0)
    )
    assert sum(axis.get_visible() for axis in bounds.axes) == 2
    rows = activations.sparsity(network, inputs, layers)
    bars = theory_networks.sparsity(rows).axes[0].patches
    heights = [bar.get_height() for bar in bars]
    want: pd.Series = rows.groupby("layer_index")["non_positive"].mean()
    np.testing.assert_allclose(heights, want)


def intervals(*values: str) -> pd.DataFrame:
    """Estimates of two methods for each value."""
    return pd.DataFrame(
        {"method": method, "value": value, "estimate": at, "low": 0.9 * at, "high": 1.1 * at}
        for place, value in enumerate(values)
        for at, method in ((0.02 + place, "gradient"), (0.4 + place, "sensitivity-l2"))
    )


@pytest.mark.parametrize(
    ("draw", "values"),
    [
        (theory_normalizers.map_dispersion, ("maximum_spread", "rms_spread")),
        (theory_normalizers.mean_shares, ("squeezenet1_1, n = 2", "random networks")),
    ],
)
def test_normaliser_figures_show_every_method_and_value(draw, values):
    table = intervals(*values)
    axis = draw(table).axes[0]
    shown = np.concatenate([np.ravel(line.get_xdata()) for line in axis.lines])
    assert np.isin(table["estimate"], shown).all()
    assert [text.get_text() for text in axis.get_yticklabels()] == ["gradient", "sensitivity-l2"]


def test_redrawn_layers_show_bound_and_both_frequencies():
    numbers = pd.DataFrame(
        {
            "q_high": high, "q_low": low, "layer_index": index, "layer": f"conv{index}",
            "bound": 0.3 - 0.1 * index, "simulated": 0.07, "mean": 0.05, "low": 0.04, "high": 0.06,
        }
        for high, low in ((0.95, 0.5), (0.85, 0.1)) for index in (0, 2)
    )  # fmt: skip
    figure = theory_networks.redrawn_layers(numbers)
    assert len(figure.axes) == 2
    for axis in figure.axes:
        assert [bar.get_height() for bar in axis.patches] == pytest.approx([0.3, 0.1])
        assert {0.05, 0.07} <= set(plotted(axis))
    labels = [text.get_text() for text in figure.axes[-1].get_xticklabels()]
    assert labels == ["conv0", "conv2"]
    assert "0.95" in figure.axes[0].get_title()

    zeros = numbers["q_high"] == 0.85
    numbers.loc[zeros, ["bound", "simulated", "mean", "low", "high"]] = 0.0
    assert len(theory_networks.redrawn_layers(numbers).axes) == 1
    numbers[["bound", "simulated", "mean", "low", "high"]] = 0.0
    assert len(theory_networks.redrawn_layers(numbers).axes) == 2


def test_layer_names_are_cut_where_they_say_least():
    assert theory_networks.short_name("blocks.3.expand.activation") == "blocks.3.expand"
    assert theory_networks.short_name("features.3.squeeze_activation") == "features.3.squeeze"
    assert theory_networks.short_name("a" * 30) == "…" + "a" * 20
