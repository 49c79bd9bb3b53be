"""Stages: every parameter belongs to one, in the order of computation, as the papers have them."""

import json
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from sanitygap.errors import UsageError
from sanitygap.models import Explainable, load_model
from sanitygap.models.stages import (
    block_name,
    execution_order,
    network_name,
    sensible_stages,
    stages_for,
    step_counts,
    untrained,
    with_schedule,
)
from sanitygap.randomization import RandomTwin, steps
from tests.conftest import make_explainable

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


@pytest.mark.parametrize(
    ("name", "first", "last", "count"),
    [
        ("resnet18", "conv1", "fc", 11),
        ("vgg16", "features.0", "classifier.6", 16),
        ("densenet121", "features.conv0", "classifier", 21),
        ("mobilenet_v2", "features.0", "classifier.1", 20),
        ("inception_v3", "Conv2d_1a_3x3", "fc", 17),
        ("efficientnet_b0", "features.0.0", "classifier.1", 18),
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


def test_stem_of_resnet_50_is_a_stage_of_its_own():
    stages = stages_for(untrained("resnet50"), example_for("resnet50"))
    assert stages[-1].modules == ("conv1", "bn1")
    downsampling = next(stage for stage in stages if stage.name == "layer3.0.conv1")
    assert {"layer3.0.downsample.0", "layer3.0.bn3"} <= set(downsampling.modules)


class MelasBlock(nn.Module):
    """A block with the names of L. Melas' EfficientNet."""

    def __init__(self) -> None:
        super().__init__()
        self._depthwise_conv = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self._se_expand = nn.Conv2d(4, 4, 1)
        self._project_conv = nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self._depthwise_conv(x)
        gate = self._se_expand(x.mean((2, 3), keepdim=True))
        return self._project_conv(gate.sigmoid() * x)


class Melas(nn.Module):
    def __init__(self, blocks: int) -> None:
        super().__init__()
        self._conv_stem = nn.Conv2d(3, 4, 3)
        self._blocks = nn.ModuleList(MelasBlock() for _ in range(blocks))
        self._fc = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self._conv_stem(x)
        for block in self._blocks:
            x = block(x)
        return self._fc(x.mean((2, 3)))


def test_the_paper_s_own_efficientnet_b0_is_recognised():
    module, example = Melas(16), torch.zeros(1, 3, 12, 12)
    assert network_name(module) == "efficientnet_b0"
    stages = stages_for(module, example)
    blocks = [f"_blocks.{number}._depthwise_conv" for number in range(15, -1, -1)]
    assert [stage.name for stage in stages] == ["_fc", *blocks, "_conv_stem"]
    assert stages[1].modules == tuple(
        f"_blocks.15.{part}" for part in ("_depthwise_conv", "_se_expand", "_project_conv")
    )
    assert network_name(Melas(23)) is None  # EfficientNet-B1
    assert stages_for(Melas(5), example) == sensible_stages(Melas(5), example)


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


def test_a_layer_is_randomised_alone_and_the_rest_stays_trained():
    from torchvision.models import resnet18

    torch.manual_seed(0)
    model = make_explainable(resnet18(weights=None), size=64)
    layers = with_schedule(model, "sriram-conati")
    assert layers.module is model.module
    assert len(layers.stages) == 8
    assert len(model.stages) == 41  # as it was
    before = {name: value.clone() for name, value in model.module.named_parameters()}
    [third] = [step for step in steps(layers.stages, "independent") if step.name == "layer3.0"]
    with RandomTwin(layers, 1).redrawn(third.stages):
        changed = {
            name
            for name, value in model.module.named_parameters()
            if value.ndim > 1 and not torch.equal(value, before[name])
        }
    assert changed == {
        name for name in before if name.startswith("layer3.0.") and before[name].ndim > 1
    }


# ---- which network it is, and what can be asked for


@pytest.mark.parametrize(
    ("name", "recognised"),
    [
        ("resnet50", "resnet50"),
        ("resnext50_32x4d", None),
        ("wide_resnet50_2", None),
        ("densenet169", None),
        ("efficientnet_b1", None),
        ("vgg16_bn", None),
    ],
)
def test_a_network_is_recognised_by_its_convolutions(name, recognised):
    assert network_name(untrained(name)) == recognised


def test_the_number_of_classes_and_auxiliary_heads_do_not_matter():
    from torchvision import models

    with torch.device("meta"):
        assert network_name(models.resnet18(weights=None, num_classes=10)) == "resnet18"
        assert network_name(models.inception_v3(init_weights=True)) == "inception_v3"


def test_schedules_are_asked_for_by_name(embedded):
    example = torch.zeros(1, 3, 64, 64)
    assert with_schedule(embedded, "blocks").stages == embedded.stages
    with pytest.raises(UsageError, match="unknown schedule 'bindr'; did you mean binder"):
        stages_for(embedded.module, example, "bindr")
    with pytest.raises(UsageError, match="resnet50, densenet121, efficientnet_b0 only"):
        stages_for(embedded.module, example, "binder")
    with pytest.raises(UsageError, match="'sriram-conati' is defined for inception_v3, vgg16"):
        with_schedule(embedded, "sriram-conati")


def test_counts_beside_the_papers():
    rows = {(row["paper"], row["network"]): row for row in step_counts()}
    binder = [rows["binder-2022", name] for name in BINDER]
    assert [row["stated"] for row in binder] == [16, 63, 17]
    assert [row["counted"] for row in binder] == [count for _, _, count in BINDER.values()]
    assert [row["steps"] for row in binder] == [1 + 16, 1 + 58 // 3, 1 + 16]
    sizes = {name: value.numel() for name, value in untrained("resnet50").named_parameters()}
    stem = sizes["conv1.weight"] + sizes["bn1.weight"] + sizes["bn1.bias"]
    assert binder[0]["left_trained"] == pytest.approx(stem / sum(sizes.values()))
    others = [row for (paper, _), row in rows.items() if paper == "sriram-conati-2022"]
    assert {row["network"]: row["counted"] for row in others} == {
        "inception_v3": 17, "vgg16": 13, "mobilenet_v2": 19, "resnet18": 8, "resnet50": 16,
    }  # fmt: skip
    assert all(row["counted"] == row["stated"] == row["steps"] for row in others)
    dense = [row["left_trained"] for row in others if row["network"] == "vgg16"]
    assert dense == [pytest.approx(123642856 / 138357544)]


# ---- blocks of any other network


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
