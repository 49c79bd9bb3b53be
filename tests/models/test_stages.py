"""Stages: every parameter belongs to one, in the order of computation, in blocks of some size."""

import pytest
import torch
from torch import nn

from sanitygap.models import Explainable, load_model
from sanitygap.models.stages import block_name, execution_order, sensible_stages


def share_of_parameters(model: Explainable) -> float:
    """How many of the parameters belong to a stage, counted from the parameters' names."""
    staged = {name for stage in model.stages for name in stage.modules}
    named = list(model.module.named_parameters())
    owned = [value.numel() for name, value in named if name.rpartition(".")[0] in staged]
    return sum(owned) / sum(value.numel() for _, value in named)


def assert_sound(model: Explainable) -> None:
    names = [name for stage in model.stages for name in stage.modules]
    assert len(names) == len(set(names)), "a module belongs to two stages"
    assert len({stage.name for stage in model.stages}) == len(model.stages)
    assert share_of_parameters(model) > 0.99


def test_embedded_networks(embedded):
    assert_sound(embedded)
    first, last = embedded.stages[-1], embedded.stages[0]
    assert first.name in ("stem", "features.0")
    assert last.name.startswith("classifier")
    assert len(embedded.stages) >= 10


@pytest.mark.parametrize(
    ("name", "first", "last", "count"),
    [
        ("resnet18", "conv1", "fc", 11),
        ("vgg16", "features.0", "classifier.6", 16),
        ("densenet121", "features.conv0", "classifier", 11),
        ("mobilenet_v2", "features.0", "classifier.1", 20),
        ("inception_v3", "Conv2d_1a_3x3", "fc", 17),
        ("efficientnet_b0", "features.0", "classifier.1", 10),
    ],
)
def test_torchvision_networks(name, first, last, count, monkeypatch):
    for initialiser in ("kaiming_normal_", "kaiming_uniform_", "normal_", "trunc_normal_"):
        monkeypatch.setattr(nn.init, initialiser, lambda tensor, *_, **__: tensor.detach().zero_())
    model = load_model(f"torchvision:{name}")
    assert_sound(model)
    assert (model.stages[-1].name, model.stages[0].name) == (first, last)
    assert len(model.stages) == count
    assert not model.pretrained


@pytest.mark.parametrize(
    ("name", "depth", "block"),
    [
        ("layer4.1.conv2", 1, "layer4.1"),
        ("Mixed_5b.branch1x1.conv", 1, "Mixed_5b"),
        ("inception4a.branch2.0.conv", 1, "inception4a"),
        ("features.denseblock1.denselayer2.conv1", 2, "features.denseblock1"),
        ("features.7.block.0", 3, "features.7"),
        ("fc", 1, "fc"),
    ],
)
def test_block_names(name, depth, block):
    assert block_name(name, depth) == block


class Backwards(nn.Module):
    """Registered in one order, called in another; one part is used without being called."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 3)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.first = nn.Conv2d(3, 4, 2)
        self.token = nn.Parameter(torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x).flatten(2).transpose(1, 2) + self.token
        return self.last(self.attention(x, x, x)[0].mean(1))


def test_order_of_calls_and_parts_that_are_never_called():
    module = Backwards().eval()
    example = torch.zeros(1, 3, 4, 4)
    order = execution_order(module, example)
    assert order == ["", "first", "attention", "attention.out_proj", "last"]
    stages = sensible_stages(module, example)
    assert [stage.name for stage in stages] == ["last", "attention", "first", "(network)"]
    assert stages[1].modules == ("attention", "attention.out_proj")


def test_a_nested_network_is_cut_until_no_block_dominates():
    inner = nn.Sequential(*(nn.Sequential(nn.Linear(3, 3), nn.ReLU()) for _ in range(6)))
    wrapped = nn.ModuleDict({"body": nn.ModuleDict({"layers": inner}), "head": nn.Linear(3, 2)})

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = wrapped

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net["head"](self.net["body"]["layers"](x.mean((2, 3))))

    stages = sensible_stages(Wrapped().eval(), torch.zeros(1, 3, 4, 4))
    expected = ["net.head", *(f"net.body.layers.{number}" for number in range(5, -1, -1))]
    assert [stage.name for stage in stages] == expected
