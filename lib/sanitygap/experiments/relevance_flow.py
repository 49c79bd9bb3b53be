"""Where the relevance of LRP goes: layer by layer, and what of it reaches the pixels."""

from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from torch import nn
from zennit.types import Convolution

from sanitygap.attribution import Method, attribute
from sanitygap.attribution.applicable import families
from sanitygap.attribution.lrp import PRESETS
from sanitygap.attribution.lrp_rules import recorded_flow
from sanitygap.experiments.experiment import Chunk, Context, experiment, image_rows
from sanitygap.experiments.randomization_test import code_of

#: every set of rules under both readings of biases
METHODS = tuple(f"{preset}{reading}" for preset in PRESETS for reading in ("", "@biases"))

#: the module of the rows about what reaches the pixels
INPUT = "input"

COLUMNS = {
    "image": "file name of the image",
    "position": "place of the image in the set",
    "method": "LRP method; with @biases the denominators include the biases",
    "depth": "order in which relevance meets the module, 1 is nearest to the output",
    "module": "name of the module, or input",
    "kind": "convolution, depthwise (one filter a channel), dense, pooling, or input",
    "entered": "relevance that enters the module from above; LRP starts with 1",
    "kept": "what of it leaves the module to none of its inputs",
    "absolute": "sum of absolute relevance over the pixels; rows of the input only",
}


def kind(module: nn.Module) -> str:
    """What kind of module it is."""
    if isinstance(module, Convolution):
        depthwise = module.groups > 1 and module.groups == module.in_channels
        return "depthwise" if depthwise else "convolution"
    return "dense" if isinstance(module, nn.Linear) else "pooling"


@experiment(
    "relevance-flow",
    knobs={"smoke": {"max_images": 1}, "quick": {"max_images": 4}, "full": {"max_images": 50}},
    columns=COLUMNS,
)
def relevance_flow(
    context: Context, methods: Sequence[str] = METHODS, max_images: int | None = None
) -> Iterator[Chunk]:
    """What each module keeps of LRP's relevance, and what reaches the input.

    Explained is the predicted class, with the network's biases in place.

    Args:
        context: model and images.
        methods: LRP methods.
        max_images: use at most that many images.

    Yields:
        One chunk a method and a batch of images.
    """
    for family in families(methods, context.model):
        for positions in context.positions(max_images):

            def compute(
                family: list[Method] = family, positions: tuple[int, ...] = positions
            ) -> pd.DataFrame:
                frames = [flow_of(context, member.name, positions) for member in family]
                return pd.concat(frames, ignore_index=True)

            names = [member.name for member in family]
            code = (flow_of, kind, *code_of(family))
            yield Chunk({"methods": names}, code, compute, positions)


def flow_of(context: Context, method: str, positions: Sequence[int]) -> pd.DataFrame:
    """One row an image and module, and one for the input."""
    model, batch = context.model, context.batch(positions)
    names = {module: name for name, module in model.module.named_modules()}
    with recorded_flow() as record:
        maps = attribute(model, batch.inputs, batch.targets, [method], batch.keys)[method]
    calls: dict[nn.Module, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    for flow in record:
        calls.setdefault(flow.module, []).append((flow.entered, flow.left))
    frames = []
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
        frames.append(
            image_rows(batch, values, method=method, depth=depth, module=name, kind=kind(module))
        )
    pixels = maps.double()
    values = {
        "entered": pixels.sum((1, 2)),
        "kept": torch.zeros(len(pixels), dtype=torch.float64),
        "absolute": pixels.abs().sum((1, 2)),
    }
    depth = len(calls) + 1
    frames.append(image_rows(batch, values, method=method, depth=depth, module=INPUT, kind=INPUT))
    return pd.concat(frames, ignore_index=True)[list(COLUMNS)]
