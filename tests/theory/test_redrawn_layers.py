"""Neurons of redrawn layers against a loop over neurons and against the closed form."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.functional import unfold

from sanitygap.chapters.theorem_2.activations import HIGH_ENDS, LOW_ENDS, FedLayer, fed_layers
from sanitygap.images import load_images
from sanitygap.models import load_model
from sanitygap.table import Context
from sanitygap.tables import TABLES
from tests.models.tiny import TINY, photographs


class Mixed(nn.Module):
    """Inputs of `signed` can be negative; those of `spatial`, `depthwise` and `dense` cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.spatial = nn.Conv2d(4, 5, 3, stride=2, padding=1)
        self.signed = nn.Conv2d(5, 6, 1)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.dense = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.signed(self.spatial(torch.relu(self.stem(x))))
        x = torch.relu(self.depthwise(x.relu_()))
        return self.dense(x.mean((2, 3)))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Mixed().eval()


@pytest.fixture
def image():
    return torch.randn(1, 3, 11, 11, generator=torch.Generator().manual_seed(1))


def test_layers_with_negative_inputs_and_the_first_one_are_left_out(network, image):
    layers = fed_layers(network, image)
    assert [layer.name for layer in layers] == ["spatial", "depthwise", "dense"]
    assert [layer.index for layer in layers] == [0, 2, 3]
    assert [layer.fan_in for layer in layers] == [36, 9, 6]
    with torch.no_grad():
        fed = torch.relu(network.stem(image))
    torch.testing.assert_close(layers[0].inputs, fed[0])
    # a copy was kept: what follows works in place
    assert (layers[1].inputs >= 0).all()


def zero_bias(layer: nn.Module) -> nn.Module:
    with torch.no_grad():
        layer.bias.zero_()
    return layer


def neurons(layer: nn.Module, inputs: torch.Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights and inputs of every neuron, one after another."""
    if isinstance(layer, nn.Linear):
        return [(weights.detach().numpy(), inputs.numpy()) for weights in layer.weight]
    weights = layer.weight.detach().flatten(1).numpy()
    columns = unfold(inputs[None], layer.kernel_size, padding=layer.padding, stride=layer.stride)[
        0
    ].T.numpy()
    size = weights.shape[1]
    found = []
    for channel, row in enumerate(weights):
        start = channel * size if layer.groups > 1 else 0
        found += [(row, column[start : start + size]) for column in columns]
    return found


@pytest.mark.parametrize("name", ["spatial", "depthwise", "dense"])
def test_counts_are_those_of_a_loop_over_neurons(network, image, name):
    [layer] = [one for one in fed_layers(network, image) if one.name == name]
    zero_bias(layer.layer)
    pooled = layer.inputs.numpy().ravel()
    counts = layer.count()
    assert set(counts) == {(high, low) for high in HIGH_ENDS for low in LOW_ENDS}
    for (high, low), got in counts.items():
        threshold_high, threshold_low = np.quantile(pooled, [high, low])
        positive = overtaken = 0
        for weights, x in neurons(layer.layer, layer.inputs):
            large = (weights * x)[x >= threshold_high].sum()
            small = (weights * x)[x <= threshold_low].sum()
            positive += large > 1e-7
            overtaken += large > 1e-7 and small >= large
        assert got == (positive, overtaken)


def test_redrawn_weights_give_the_probability_of_the_closed_form():
    """arctan(gamma_1) / pi for each neuron, gamma_1 from its own two sets of inputs (Eq. 37)."""
    torch.manual_seed(3)
    convolution = zero_bias(nn.Conv2d(6, 4000, 3))
    layer = FedLayer("wide", 0, convolution, torch.rand(6, 3, 3) ** 2)
    x = layer.inputs.numpy().ravel()
    for (high, low), (positive, overtaken) in layer.count().items():
        large, small = x[x >= layer.quantiles[high]], x[x <= layer.quantiles[low]]
        want = np.arctan(np.sqrt((small**2).sum() / (large**2).sum())) / np.pi
        assert abs(overtaken / positive - want) < 4 * np.sqrt(want * (1 - want) / positive) + 1e-9


def test_small_activations_that_are_zero_overtake_nothing():
    inputs = torch.zeros(2, 4, 4)
    inputs[0, :2] = 1.0
    layer = FedLayer("sparse", 0, zero_bias(nn.Conv2d(2, 8, 3, padding=1)), inputs)
    assert layer.quantiles[0.5] == 0
    for positive, overtaken in layer.count().values():
        assert positive > 0
        assert overtaken == 0


# --- the experiment -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("images") / "folder")


def table(folder, spec: str = TINY, seed: int = 0, **parameters) -> pd.DataFrame:
    context = Context(lambda: load_model(spec), lambda: load_images(f"folder:{folder}", 3), seed)
    before = {name: value.clone() for name, value in context.model.module.state_dict().items()}
    chunks = TABLES["redrawn-overtaking"].parts(context, **parameters)
    found = pd.concat([chunk.compute() for chunk in chunks], ignore_index=True)
    after = context.model.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    return found
