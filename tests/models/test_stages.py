"""Stages: every parameter belongs to one, in the order of computation, as the papers have them."""

import json
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from sanitygap.models import Explainable
from sanitygap.models.stages import network_name, sensible_stages, stages_for, untrained
from sanitygap.randomization import steps
from tests.conftest import Net

RUNS = Path(__file__).resolve().parents[2] / "data" / "runs"


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
    recorded = json.loads((RUNS / f"reference-{embedded.spec}" / "run.json").read_text("utf-8"))
    assert [stage.name for stage in embedded.stages] == recorded["model"]["stages"]
    example = torch.zeros(1, 3, 64, 64)
    assert sensible_stages(embedded.module, example) == embedded.stages


# ---- Binder et al. (2022), App. A.1


def example_for(name: str) -> torch.Tensor:
    size = 299 if name == "inception_v3" else 224
    return torch.zeros(1, 3, size, size, device="meta")


def calls(module: nn.Module, example: torch.Tensor) -> list[str]:
    """Names of the parametrised modules as they finish, traced on their own."""
    order = []
    handles = [
        child.register_forward_hook(lambda *_, name=name: order.append(name))
        for name, child in module.named_modules()
        if list(child.parameters(recurse=False))
    ]
    module(example)
    for handle in handles:
        handle.remove()
    return order


BINDER = {
    "resnet50": (r"layer\d\.\d\.conv1", 1, 16),
    "densenet121": (r"features\.denseblock\d\.denselayer\d+\.conv1", 3, 58),
    "efficientnet_b0": (r"features\.1\.0\.block\.0\.0|features\.[2-7]\.\d\.block\.1\.0", 1, 16),
}


@pytest.mark.parametrize("name", BINDER)
def test_each_step_redraws_all_from_the_output_down_to_a_landmark(name):
    pattern, every, count = BINDER[name]
    module, example = untrained(name), example_for(name)
    order = calls(module, example)
    marks = [place for place, part in enumerate(order) if re.fullmatch(pattern, part)][::-1]
    assert len(marks) == count
    reached = [len(order) - 1, *marks[every - 1 :: every], 0]
    stages = stages_for(module, example)
    assert len(stages) == len(reached)
    for step, place in zip(steps(stages, "top-down"), reached, strict=True):
        redrawn = {part for stage in step.stages for part in stage.modules}
        assert redrawn == set(order[place:])
    assert [stage.name for stage in stages] == [order[place] for place in reached]


def melas(count: int) -> Net:
    """The names of L. Melas' EfficientNet, with so many blocks."""

    def gated(block: Net, x: torch.Tensor) -> torch.Tensor:
        x = block._depthwise_conv(x)
        return block._project_conv(block._se_expand(x.mean((2, 3), keepdim=True)).sigmoid() * x)

    blocks = nn.Sequential()
    for _ in range(count):
        depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        ends = {"_se_expand": nn.Conv2d(4, 4, 1), "_project_conv": nn.Conv2d(4, 4, 1)}
        blocks.append(Net(gated, _depthwise_conv=depthwise, **ends))
    return Net(
        lambda net, x: net._fc(net._blocks(net._conv_stem(x)).mean((2, 3))),
        _conv_stem=nn.Conv2d(3, 4, 3), _blocks=blocks, _fc=nn.Linear(4, 3),
    )  # fmt: skip


def test_the_paper_s_own_efficientnet_b0_is_recognised():
    module, example = melas(16), torch.zeros(1, 3, 12, 12)
    assert network_name(module) == "efficientnet_b0"
    stages = stages_for(module, example)
    blocks = [f"_blocks.{number}._depthwise_conv" for number in range(15, -1, -1)]
    assert [stage.name for stage in stages] == ["_fc", *blocks, "_conv_stem"]
    assert stages[1].modules == tuple(
        f"_blocks.15.{part}" for part in ("_depthwise_conv", "_se_expand", "_project_conv")
    )
    assert network_name(melas(23)) is None  # EfficientNet-B1
    assert stages_for(melas(5), example) == sensible_stages(melas(5), example)


# ---- Sriram & Conati (2022), Sect. 6


@pytest.mark.parametrize(
    ("name", "count", "left"),
    [
        ("inception_v3", 17, set()),
        ("vgg16", 13, {"classifier.0", "classifier.3", "classifier.6"}),
        ("mobilenet_v2", 19, {"classifier.1"}),
        ("resnet18", 8, {"conv1", "bn1", "fc"}),
        ("resnet50", 16, {"conv1", "bn1", "fc"}),
    ],
)
def test_layers_of_sriram_and_conati(name, count, left):
    module, example = untrained(name), example_for(name)
    stages = stages_for(module, example, "sriram-conati")
    assert len(stages) == count
    inside = [part for stage in stages for part in stage.modules]
    assert len(inside) == len(set(inside))
    order = calls(module, example)
    assert set(order) - set(inside) == left
    assert [order.index(stage.modules[0]) for stage in stages] == sorted(
        (order.index(stage.modules[0]) for stage in stages), reverse=True
    )
    for stage in stages:  # a layer is everything under its name
        assert set(stage.modules) == {
            part for part in order if part == stage.name or part.startswith(stage.name + ".")
        }


# ---- which network it is, and what can be asked for


# ---- blocks of any other network
