"""Maps of photographs as a network is redrawn, and where LRP's relevance goes in a network."""

import base64
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d
from zennit.types import Convolution

from sanitygap.attribution import attribute
from sanitygap.attribution.lrp import PRESETS
from sanitygap.attribution.lrp_rules import recorded_flow
from sanitygap.randomization import RandomTwin, steps
from sanitygap.similarity import Reference
from sanitygap.table import Batch, table

#: every set of rules under both readings of biases
METHODS = tuple(f"{preset}{reading}" for preset in PRESETS for reading in ("", "@biases"))

#: the module of the rows about what reaches the pixels
INPUT = "input"


def kind(module: nn.Module) -> str:
    """What kind of module it is."""
    if isinstance(module, Convolution):
        depthwise = module.groups > 1 and module.groups == module.in_channels
        return "depthwise" if depthwise else "convolution"
    return "dense" if isinstance(module, nn.Linear) else "pooling"


@table(
    "relevance-flow",
    own=False,
    by=["methods"],
    smoke={"max_images": 1},
    quick={"max_images": 2},
    full={"max_images": 50},
)
def relevance_flow(batch: Batch, methods: Sequence[str] = METHODS) -> Iterator[pd.DataFrame]:
    """What each module keeps of LRP's relevance, and what reaches the input.

    Explained is the predicted class, with the network's biases in place.

    Args:
        batch: images.
        methods: LRP methods.

    Yields:
        One row an image and module, and one for the input.
    """
    model = batch.model
    names = {module: name for name, module in model.module.named_modules()}
    for method in methods:
        with recorded_flow() as record:
            maps = attribute(model, batch.inputs, batch.targets, [method], batch.keys)[method]
        calls: dict[nn.Module, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        for flow in record:
            calls.setdefault(flow.module, []).append((flow.entered, flow.left))
        for depth, (module, flows) in enumerate(calls.items(), start=1):
            entered = torch.stack([above for above, _ in flows]).double().sum(0)
            left = torch.stack([below for _, below in flows]).double().sum(0)
            values = {
                "entered": entered,
                "kept": entered - left,
                "absolute": torch.full_like(entered, torch.nan),
            }
            # pooling that a network calls as a function has no name
            name = names.get(module, type(module).__name__)
            yield batch.rows(values, method=method, depth=depth, module=name, kind=kind(module))
        pixels = maps.double()
        values = {
            "entered": pixels.sum((1, 2)),
            "kept": torch.zeros(len(pixels), dtype=torch.float64),
            "absolute": pixels.abs().sum((1, 2)),
        }
        yield batch.rows(values, method=method, depth=len(calls) + 1, module=INPUT, kind=INPUT)


#: cut of the colours of a stored map: all but a few extreme pixels are below
QUANTILE = 0.995


def packed(values: Tensor, side: int) -> str:
    """A signed map ``(H, W)`` as text: ``side`` x ``side`` means; see :func:`unpacked`."""
    small = adaptive_avg_pool2d(values[None].double(), side)[0]
    limit = small.abs().quantile(QUANTILE).clamp_min(1e-30)
    steps = (small / limit).clamp(-1, 1).mul(127).round().to(torch.int8)
    return base64.b64encode(steps.cpu().numpy().tobytes()).decode()


def unpacked(text: str) -> np.ndarray:
    """A map ``(side, side)`` from -1 to 1 of :func:`packed`."""
    values = np.frombuffer(base64.b64decode(text), np.int8) / 127
    side = round(len(values) ** 0.5)
    return values.reshape(side, side)


@table(
    "stage-maps",
    own=False,
    smoke={"n_steps": 2, "max_images": 1},
    quick={"n_steps": 4, "max_images": 1},
    full={"max_images": 1},
)
def stage_maps(
    batch: Batch,
    methods: Sequence[str] = ("lrp-epsilon-plus", "gradient", "noise"),
    n_steps: int | None = None,
    side: int = 64,
) -> Iterator[pd.DataFrame]:
    """Small maps of photographs for the trained network and as it is redrawn from the top.

    Args:
        batch: images.
        methods: attribution methods and controls.
        n_steps: how many steps, evenly spread; None for all.
        side: of a stored map, in pixels.

    Yields:
        One row an image, step and method; step 0 is the trained network.
    """
    model, twin = batch.model, RandomTwin(batch.model, batch.seed)
    base = batch.maps(methods, batch.seed, "base")
    references = {name: Reference(maps) for name, maps in base.items()}

    def rows(step: int, stage: str, maps: dict[str, Tensor]) -> Iterator[pd.DataFrame]:
        with torch.no_grad():
            probabilities, classes = model.module(batch.inputs).softmax(1).max(1)
        for name, values in maps.items():
            yield batch.rows(
                {"ssim": references[name].compare(values)["ssim"], "probability": probabilities},
                method=name, step=step, stage=stage,
            ).assign(
                predicted=[model.class_name(int(one)) for one in classes],
                map=[packed(one, side) for one in values],
            )  # fmt: skip

    yield from rows(0, "trained", base)
    for step in steps(model.stages, "top-down", n_steps):
        with twin.redrawn(step.stages):
            yield from rows(step.number, step.name, batch.maps(methods, batch.seed, step.name))
