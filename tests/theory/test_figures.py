"""Every figure of a formal statement is drawn from its table, and shows its numbers."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sanitygap import activations
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
