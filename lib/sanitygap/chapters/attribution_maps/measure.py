"""Where LRP's relevance goes in a network: what each module keeps, and what reaches the pixels."""

from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from torch import nn
from zennit.types import Convolution

from sanitygap.attribution import attribute
from sanitygap.attribution.lrp import PRESETS
from sanitygap.attribution.lrp_rules import recorded_flow
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
    quick={"max_images": 4},
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
