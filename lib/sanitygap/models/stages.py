"""Which modules a randomisation stage redraws: schedules, and what the papers say of theirs."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from sanitygap.errors import UsageError, unknown_name
from sanitygap.models.explainable import Explainable, Stage
from sanitygap.models.hooks import hooked

FEWEST_STAGES = 3

#: the stage of parameters that the network owns itself, outside any named part
WHOLE = "(network)"

#: classifiers on the way that only training uses
AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")


def owns_parameters(module: nn.Module) -> bool:
    """Whether the module itself, not a child, holds a parameter."""
    return any(parameter is not None for parameter in module._parameters.values())


def execution_order(module: nn.Module, example: Tensor) -> list[str]:
    """Names of the modules that own parameters, in the order of their first call.

    A module that is never called, because another one uses its parameters directly (as attention
    uses its output projection), stands behind the last module of the innermost one around it that
    is called.

    Args:
        module: the network.
        example: an input ``(N, 3, H, W)`` that it accepts.
    """
    modules, called = dict(module.named_modules()), dict[str, None]()
    with hooked(modules, before=lambda name, _: called.setdefault(name)), torch.no_grad():
        module(example)
    order = list(called)
    owners = [name for name, child in modules.items() if owns_parameters(child)]
    for name in owners:
        if name not in called:
            order.insert(_behind(name, order), name)
    return [name for name in order if name in owners]


def _behind(name: str, called: list[str]) -> int:
    """The place after everything inside the innermost called module around ``name``."""
    around = name
    while around and around not in called:
        around = around.rpartition(".")[0]
    inside = [
        place
        for place, other in enumerate(called)
        if other == around or other.startswith(f"{around}." if around else "")
    ]
    return max(inside, default=-1) + 1


def block_name(name: str, depth: int) -> str:
    """The block a module belongs to: ``depth`` components of its path, and a number behind them.

    ``layer4.1.conv2`` belongs to ``layer4.1`` and ``Mixed_5b.branch1x1.conv`` to ``Mixed_5b`` at
    depth 1, ``features.denseblock1.denselayer2.conv1`` to ``features.denseblock1`` at depth 2.
    A number before that ends the path: it counts the blocks of a sequence.
    """
    parts = name.split(".")
    for position, part in enumerate(parts[: depth + 1]):
        if part.isdigit():
            return ".".join(parts[: position + 1])
    return ".".join(parts[:depth])


def _blocks_with_attention(module: nn.Module) -> list[str]:
    """Names of the modules that hold a part whose class is called attention, the outermost ones."""
    found: dict[str, str] = {}
    for name, part in module.named_modules():
        block = name.rpartition(".")[0]
        inside = any(name.startswith(f"{other}.") for other in found)
        if "attention" in type(part).__name__.lower() and block and not inside:
            found[name] = block
    return list(dict.fromkeys(found.values()))


def sensible_stages(module: nn.Module, example: Tensor) -> tuple[Stage, ...]:
    """One stage a block, from the output to the input; every parameter belongs to one.

    Classifiers that only training uses are left out: redrawing them changes nothing.

    A block with attention in it is a stage. Other blocks are found from the module names. While
    they are too coarse (fewer than three, or one with more than half of the modules), names are cut
    one level deeper, down to single modules.
    """
    order = [name for name in execution_order(module, example) if not name.startswith(AUXILIARY)]
    attending = _blocks_with_attention(module)
    deepest = max((name.count(".") + 1 for name in order), default=1)
    blocks: dict[str, list[str]] = {}
    for depth in range(1, deepest + 1):
        blocks = {}
        for name in order:
            own = (block for block in attending if name.startswith(f"{block}."))
            blocks.setdefault(next(own, block_name(name, depth)), []).append(name)
        largest = max(map(len, blocks.values()), default=0)
        if len(blocks) >= FEWEST_STAGES and largest <= len(order) / 2:
            break
    else:
        blocks = {name: [name] for name in order}
    return tuple(Stage(name or WHOLE, tuple(members)) for name, members in reversed(blocks.items()))


@dataclass(frozen=True)
class Cascade:
    """How Binder et al. (2022, App. A.1) go down one network.

    Attributes:
        landmark: how the names of the modules end that a step goes down to.
        what: the same in words.
        every: a step passes this many of them.
        stated: how many the paper says there are.
    """

    landmark: str
    what: str
    every: int
    stated: int


#: network -> how Binder et al. (2022, App. A.1) go down it
CASCADES = {
    "resnet50": Cascade(".conv1", "modules named .conv1", 1, 16),
    "densenet121": Cascade(".conv1", "modules named .conv1, three to a step", 3, 63),
    "efficientnet_b0": Cascade(
        "._depthwise_conv", "depthwise convolutions, ._depthwise_conv by L. Melas", 1, 17
    ),
}


@dataclass(frozen=True)
class Layers:
    """What Sriram & Conati (2022, Sect. 6) count as the layers of one network.

    The paper gives numbers only. These are the blocks of torchvision that make them come out; no
    single rule does for all five networks.

    Attributes:
        pattern: regular expression that the start of a module's name matches.
        what: the same in words.
        stated: how many randomised models the paper says there are.
    """

    pattern: str
    what: str
    stated: int


#: network -> its layers in Sriram & Conati (2022, Sect. 6)
LAYERS = {
    "inception_v3": Layers(
        r"Conv2d_\w+|Mixed_\w+|fc", "convolution blocks, mixed blocks and the classifier", 17
    ),
    "vgg16": Layers(r"features\.\d+", "convolutions, without the three dense layers", 13),
    "mobilenet_v2": Layers(
        r"features\.\d+", "stem, blocks and last convolution, without the classifier", 19
    ),
    "resnet18": Layers(r"layer\d\.\d+", "residual blocks, without stem and classifier", 8),
    "resnet50": Layers(r"layer\d\.\d+", "residual blocks, without stem and classifier", 16),
}


def binder_stages(module: nn.Module, example: Tensor) -> tuple[Stage, ...]:
    """The cascade of Binder et al. (2022, App. A.1), from the output to the input.

    The first stage is the classifier. Each further one holds everything from there down to and
    including the next landmark (in DenseNet-121 the third next): ``.conv1`` of the blocks of
    ResNet-50 and DenseNet-121, the depthwise convolutions of EfficientNet-B0. Stages are named by
    their lowest module. What lies below the last landmark, at least the stem, which the paper
    leaves trained, is a last stage, so that every parameter belongs to one.

    The paper counts 63 landmarks in DenseNet-121 and 17 in EfficientNet-B0. torchvision's have 58
    and 16, so there are 19 steps of three and 16 steps after the classifier, not 21 and 17; the
    58th ``.conv1`` of DenseNet-121 is left to the last stage.

    Raises:
        UsageError: another network.
    """
    name = network_name(module)
    if name not in CASCADES:
        raise _undefined("binder", CASCADES)
    order = execution_order(module, example)
    *below, classifier = order
    stages, marks = [Stage(classifier, (classifier,))], landmarks(module, name)
    members: list[str] = []
    passed = 0
    for part in reversed(below):
        members.insert(0, part)
        passed += part in marks
        if part in marks and passed % CASCADES[name].every == 0:
            stages.append(Stage(part, tuple(members)))
            members = []
    if members:
        stages.append(Stage(members[0], tuple(members)))
    return tuple(stages)


def sriram_conati_stages(module: nn.Module, example: Tensor) -> tuple[Stage, ...]:
    """The layers that Sriram & Conati (2022, Sect. 6) randomise, from the output to the input.

    Their test randomises one layer at a time (order ``independent``). What they do not count as a
    layer belongs to no stage and stays trained.

    Raises:
        UsageError: none of the paper's five networks.
    """
    name = network_name(module)
    if name not in LAYERS:
        raise _undefined("sriram-conati", LAYERS)
    pattern = re.compile(rf"({LAYERS[name].pattern})(?:\.|$)")
    blocks: dict[str, list[str]] = {}
    for part in execution_order(module, example):
        if found := pattern.match(part):
            blocks.setdefault(found.group(1), []).append(part)
    return tuple(Stage(block, tuple(members)) for block, members in reversed(blocks.items()))


Schedule = Callable[[nn.Module, Tensor], tuple[Stage, ...]]

#: what a schedule can be called
SCHEDULES: dict[str, Schedule] = {
    "blocks": sensible_stages,
    "binder": binder_stages,
    "sriram-conati": sriram_conati_stages,
}


def stages_for(
    module: nn.Module, example: Tensor, schedule: str | None = None
) -> tuple[Stage, ...]:
    """The randomisation stages of a network.

    Args:
        module: the network.
        example: an input ``(N, 3, H, W)`` that it accepts.
        schedule: ``blocks``, ``binder`` or ``sriram-conati``; by default ``binder`` for the three
            networks of Binder et al. (2022) and ``blocks`` for any other.

    Raises:
        UsageError: unknown schedule, or one that is not defined for this network.
    """
    if schedule is None:
        schedule = "binder" if network_name(module) in CASCADES else "blocks"
    if schedule not in SCHEDULES:
        raise unknown_name("schedule", schedule, list(SCHEDULES))
    return SCHEDULES[schedule](module, example)


def with_schedule(model: Explainable, schedule: str) -> Explainable:
    """The same model with the stages of another schedule.

    Args:
        model: a loaded model; it shares its network with the result.
        schedule: as in :func:`stages_for`.

    Raises:
        UsageError: as in :func:`stages_for`.
    """
    return replace(model, stages=stages_for(model.module, model.example, schedule))


def network_name(module: nn.Module) -> str | None:
    """Which of the papers' networks this is, by the names and shapes of its convolutions.

    The number of classes does not matter. L. Melas' EfficientNet-B0 (``efficientnet_pytorch``) is
    recognised too, by its sixteen blocks.

    Returns:
        torchvision's name of the network, or None for any other.
    """
    from torchvision import models

    classes: dict[type[nn.Module], tuple[str, ...]] = {
        models.ResNet: ("resnet18", "resnet50"),
        models.DenseNet: ("densenet121",),
        models.EfficientNet: ("efficientnet_b0",),
        models.Inception3: ("inception_v3",),
        models.VGG: ("vgg16",),
        models.MobileNetV2: ("mobilenet_v2",),
    }
    for kind, names in classes.items():
        if isinstance(module, kind):
            own = _convolutions(module)
            return next((name for name in names if own == _convolutions(untrained(name))), None)
    endings = [name.rpartition(".")[2] for name, _ in module.named_modules()]
    melas = all(endings.count(part) == 16 for part in ("_depthwise_conv", "_se_expand"))
    return "efficientnet_b0" if melas else None


@cache
def untrained(name: str) -> nn.Module:
    """torchvision's network without storage for weights (on the meta device); not to be changed."""
    from torchvision import models

    options = {"aux_logits": False, "init_weights": True} if name == "inception_v3" else {}
    with torch.device("meta"):
        return models.get_model(name, weights=None, **options).eval()


def _convolutions(module: nn.Module) -> dict[str, torch.Size]:
    return {
        name: value.shape
        for name, value in module.named_parameters()
        if value.ndim == 4 and not name.startswith(AUXILIARY)
    }


def landmarks(module: nn.Module, name: str) -> list[str]:
    """Names of the modules that the cascade of Binder et al. (2022) counts, in no fixed order.

    torchvision calls the depthwise convolutions of EfficientNet-B0 by numbers, so they are found
    by what they are: one filter a channel.

    Args:
        module: the network.
        name: which one it is, a key of :data:`CASCADES`.
    """
    parts = dict(module.named_modules())
    if name == "efficientnet_b0":
        return [part for part, made in parts.items() if _is_depthwise(made)]
    return [part for part in parts if part.endswith(CASCADES[name].landmark)]


def _is_depthwise(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1


def _undefined(schedule: str, known: Iterable[str]) -> UsageError:
    return UsageError(
        f"the schedule {schedule!r} is defined for {', '.join(known)} only; use the schedule "
        "'blocks' for this network"
    )


def step_counts() -> list[dict[str, Any]]:
    """What the papers say of the steps of their networks, beside what torchvision's networks have.

    Returns:
        One row a paper and network: ``paper``, ``network``, ``what`` is counted, the number
        ``stated`` by the paper, the number ``counted``, the ``steps`` of the schedule (with the
        classifier where the paper redraws it, without a last stage that the paper does not have)
        and ``left_trained``, the share of the parameters that none of these steps redraws, 0 to 1.
    """
    rows = []
    for name, cascade in CASCADES.items():
        network = untrained(name)
        marks = landmarks(network, name)
        *paper, _stem = stages_for(network, _example(name), "binder")
        rows.append(_row("binder-2022", name, cascade.what, cascade.stated, len(marks), paper))
    for name, layers in LAYERS.items():
        stages = stages_for(untrained(name), _example(name), "sriram-conati")
        row = _row("sriram-conati-2022", name, layers.what, layers.stated, len(stages), stages)
        rows.append(row)
    return rows


def _row(
    paper: str, name: str, what: str, stated: int, counted: int, stages: Sequence[Stage]
) -> dict[str, Any]:
    parts = dict(untrained(name).named_modules())
    total = sum(value.numel() for value in untrained(name).parameters())
    drawn = sum(
        value.numel()
        for stage in stages
        for part in stage.modules
        for value in parts[part].parameters(recurse=False)
    )
    return {
        "paper": paper,
        "network": name,
        "what": what,
        "stated": stated,
        "counted": counted,
        "steps": len(stages),
        "left_trained": 1 - drawn / total,
    }


def _example(name: str) -> Tensor:
    size = 299 if name == "inception_v3" else 224
    return torch.zeros(1, 3, size, size, device="meta")
