"""This library's methods beside captum's, on the run's network and on one that captum can hook."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
import torch
from captum.attr import InputXGradient, IntegratedGradients, Saliency
from torch import Tensor, nn

from sanitygap.attribution import Sampling, attribute
from sanitygap.errors import UsageError
from sanitygap.models.explainable import Explainable, Preprocessing, Stage
from sanitygap.seeds import generator
from sanitygap.similarity import pearson, relative_change
from sanitygap.table import Batch, table

#: methods that captum has as well; its versions are called captum and the same
VERSIONS = (
    "gradient", "gradient-x-input", "integrated-gradients", "guided-backprop", "guided-grad-cam",
    "deeplift",
)  # fmt: skip

#: pairs that are equal where hooks miss the activations, and should not be
SILENT = (
    ("captum guided-backprop", "gradient"),
    ("guided-backprop", "gradient"),
    ("captum deeplift", "gradient-x-input"),
    ("deeplift", "gradient-x-input"),
)

SIZE = 32


def hooked_network(seed: int) -> Explainable:
    """A small network in which every activation is an ``nn.ReLU`` of its own, double precision.

    Args:
        seed: of all weights.
    """
    module = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(108, 10),
    ).double()  # fmt: skip
    source = generator(seed, "hooked")
    for value in module.parameters():
        fan = value[0].numel() if value.ndim > 1 else 20
        value.data = torch.randn(value.shape, generator=source).double() * (2 / fan) ** 0.5
    stages = tuple(Stage(name, (name,)) for name in ("6", "2", "0"))
    module.eval().requires_grad_(False)
    return Explainable("ReLU modules", module, Preprocessing(SIZE, SIZE), stages)


@table(
    "captum-agreement",
    smoke={"path_steps": 2, "max_images": 1},
    quick={"path_steps": 4, "max_images": 2},
    full={"max_images": 100},
)
def captum_agreement(batch: Batch, path_steps: int = 50) -> Iterator[pd.DataFrame]:
    """Differences between this library's maps and captum's, and between maps that hooks confuse.

    Args:
        batch: images.
        path_steps: points of integrated gradients.
    """
    yield from compare_versions(batch.model, batch, path_steps, "run")
    small = hooked_network(batch.seed)
    inputs = nn.functional.interpolate(batch.inputs, (SIZE, SIZE), mode="area")
    inputs = inputs.double().cpu() / inputs.double().cpu().std()
    reduced = replace(batch, inputs=inputs, targets=small.predict(inputs))
    yield from compare_versions(small, reduced, path_steps, "ReLU modules")


def compare_versions(
    model: Explainable, batch: Batch, path_steps: int, network: str
) -> Iterator[pd.DataFrame]:
    """One row an image and pair of versions."""
    made: dict[str, Tensor] = {}
    refused: dict[str, str] = {}

    def keep(name: str, compute: Callable[[], Tensor]) -> None:
        try:
            made[name] = compute()
        except UsageError as error:
            refused[name] = str(error)

    def own(name: str) -> Tensor:
        sampling = Sampling(path_steps)
        return attribute(model, batch.inputs, batch.targets, [name], batch.keys, sampling)[name]

    def theirs(name: str) -> Tensor:
        explainers: dict[str, tuple[Any, dict[str, Any]]] = {
            "gradient": (Saliency, {"abs": False}),
            "gradient-x-input": (InputXGradient, {}),
            "integrated-gradients": (
                IntegratedGradients,
                {"n_steps": path_steps, "method": "riemann_middle", "internal_batch_size": 20},
            ),
        }
        if name not in explainers:
            return own(f"captum-{name}")
        kind, options = explainers[name]
        inputs = batch.inputs.detach().clone()
        with warnings.catch_warnings(), model.explained() as module:
            warnings.simplefilter("ignore")  # it says that it makes the inputs need gradients
            values = kind(module).attribute(inputs, target=batch.targets, **options)
        found: Tensor = values.detach().sum(1)
        return found

    for name in VERSIONS:
        keep(name, partial(own, name))
        keep(f"captum {name}", partial(theirs, name))
    with torch.no_grad():
        scores, baseline = (
            model.scores(values).gather(1, batch.targets[:, None])[:, 0]
            for values in (batch.inputs, torch.zeros_like(batch.inputs))
        )
    pairs = [*((name, f"captum {name}") for name in VERSIONS), *SILENT]
    for first, second in pairs:
        why = refused.get(first, "") or refused.get(second, "")
        unknown = torch.full((len(batch.names),), torch.nan)
        values = {"relative": unknown, "correlation": unknown, "completeness": unknown}
        if not why:
            values["relative"] = relative_change(made[second], made[first])
            values["correlation"] = pearson(made[second], made[first])
        if first in made and first.endswith("deeplift"):
            total = made[first].sum((1, 2), dtype=torch.float64)
            values["completeness"] = (total - (scores - baseline)) / (scores - baseline)
        yield batch.rows(values, network=network, method=first, other=second, refused=why)


@table("deeplift-path", smoke={"networks": 4}, quick={"networks": 20}, full={"networks": 100})
def deeplift_path(networks: int = 20, seed: int = 0) -> Iterator[dict[str, Any]]:
    """DeepLIFT and gradient x input beside integrated gradients, with and without biases.

    Args:
        networks: small random networks of each kind.
        seed: of networks and images.

    Yields:
        One row a network, kind and method.
    """
    for number in range(networks):
        for biases in (True, False):
            model = hooked_network(seed + number)
            if not biases:
                for part in model.module.children():
                    if isinstance(bias := getattr(part, "bias", None), Tensor):
                        bias.data.zero_()
            source = generator(seed, "image", number)
            image = torch.randn(1, 3, SIZE, SIZE, generator=source).double()
            names = ["integrated-gradients", "deeplift", "gradient-x-input"]
            target = model.predict(image)
            maps = attribute(model, image, target, names, [0], Sampling(400), 200)
            path = maps["integrated-gradients"]
            for name in names[1:]:
                yield {
                    "network": number,
                    "biases": biases,
                    "method": name,
                    "correlation": float(pearson(path, maps[name])),
                    "relative": float(relative_change(path, maps[name])),
                }
