"""Where LRP's relevance goes, and maps of single photographs as a network is redrawn."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from zennit.types import Convolution

from sanitygap.attribution import Sampling, attribute
from sanitygap.attribution.applicable import defined
from sanitygap.attribution.lrp import PRESETS
from sanitygap.attribution.lrp_rules import recorded_flow
from sanitygap.images import ImageSet
from sanitygap.models.explainable import Explainable
from sanitygap.randomization import ORDERS, RandomTwin, steps
from sanitygap.seeds import stable_seed
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


@dataclass(frozen=True)
class ExampleMaps:
    """Maps of a few photographs, for the trained model and as stages are redrawn.

    Attributes:
        pictures: what the model sees, RGB ``(H, W, 3)`` in ``[0, 1]``.
        names: of the photographs.
        classes: names of the explained classes.
        steps: names of the steps; the first is ``trained``.
        maps: step -> method -> signed maps ``(N, H, W)``.
    """

    pictures: list[np.ndarray]
    names: list[str]
    classes: list[str]
    steps: list[str]
    maps: dict[str, dict[str, Tensor]]


@dataclass(frozen=True)
class OrderMaps:
    """Maps of a few photographs for the networks of all three orders of randomisation.

    Networks that two orders share, such as the one that is redrawn completely, are there once.

    Attributes:
        pictures, names, classes: as in :class:`ExampleMaps`.
        orders: order -> the stage that each step adds, and the place of its network.
        maps: method -> signed maps ``(K, N, H, W)`` of all networks; the first is the trained one.
    """

    pictures: list[np.ndarray]
    names: list[str]
    classes: list[str]
    orders: dict[str, list[tuple[str, int]]]
    maps: dict[str, Tensor]


class _Photographs:
    """A few images with the classes that the trained model predicts.

    Args:
        model, images, methods, seed, sampling: as in :func:`example_maps`.
    """

    def __init__(
        self,
        model: Explainable,
        images: ImageSet,
        methods: Sequence[str],
        seed: int,
        sampling: Sampling | None,
    ) -> None:
        inputs = model.prepare([images.open(position) for position in range(len(images))])
        targets = model.predict(inputs)
        known = defined(model, methods)
        pixels = model.preprocessing.to_rgb(inputs).permute(0, 2, 3, 1).cpu().numpy()
        self.pictures = list(pixels)
        self.names = list(images.names)
        self.classes = [model.class_name(int(target)) for target in targets]

        def maps(network: str) -> dict[str, Tensor]:
            keys = [stable_seed(key, seed, network) for key in images.keys]
            made = attribute(model, inputs, targets, known, keys, sampling)
            return {name: values.cpu() for name, values in made.items()}

        #: method -> maps ``(N, H, W)`` of the model as it is now; its name seeds all sampling
        self.maps: Callable[[str], dict[str, Tensor]] = maps


def example_maps(
    model: Explainable,
    images: ImageSet,
    methods: Sequence[str],
    n_steps: int = 4,
    seed: int = 0,
    sampling: Sampling | None = None,
) -> ExampleMaps:
    """Maps of all images for the trained model and after each of a few top-down steps.

    Args:
        model: the network.
        images: the photographs, a handful.
        methods: attribution methods and controls; those that the network has no use for are
            left out.
        n_steps: how many steps, evenly spread; 0 for the trained model only.
        seed: of the redrawn weights and all sampling.
        sampling: sizes of the sampling methods.
    """
    shown = _Photographs(model, images, methods, seed, sampling)
    found = {"trained": shown.maps("trained")}
    twin = RandomTwin(model, seed)
    for step in steps(model.stages, "top-down", n_steps) if n_steps else []:
        with twin.redrawn(step.stages):
            found[f"down to {step.name}"] = shown.maps(step.name)
    return ExampleMaps(
        pictures=shown.pictures,
        names=shown.names,
        classes=shown.classes,
        steps=list(found),
        maps=found,
    )


def order_maps(
    model: Explainable,
    images: ImageSet,
    methods: Sequence[str],
    n_steps: int = 4,
    seed: int = 0,
    sampling: Sampling | None = None,
) -> OrderMaps:
    """Maps of all images for the trained model and after a few steps of each order.

    Args:
        model, images, methods, seed, sampling: as in :func:`example_maps`.
        n_steps: how many steps of each order, evenly spread.
    """
    shown = _Photographs(model, images, methods, seed, sampling)
    twin = RandomTwin(model, seed)
    networks = [shown.maps("trained")]
    places: dict[frozenset[str], int] = {}
    orders: dict[str, list[tuple[str, int]]] = {}
    for order in ORDERS:
        orders[order] = []
        for step in steps(model.stages, order, n_steps):
            redrawn = frozenset(stage.name for stage in step.stages)
            if redrawn not in places:
                places[redrawn] = len(networks)
                with twin.redrawn(step.stages):
                    networks.append(shown.maps(" ".join(sorted(redrawn))))
            orders[order].append((step.name, places[redrawn]))
    return OrderMaps(
        pictures=shown.pictures,
        names=shown.names,
        classes=shown.classes,
        orders=orders,
        maps={name: torch.stack([maps[name] for maps in networks]) for name in networks[0]},
    )
