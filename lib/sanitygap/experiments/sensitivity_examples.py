"""A layer that does not matter, and how each method makes its maps."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import torch
from torch import nn

from sanitygap.attribution import Sampling, attribute
from sanitygap.attribution.applicable import defined
from sanitygap.attribution.surrogate import SAMPLES
from sanitygap.experiments.ipr_test import METHODS, sized
from sanitygap.models.explainable import Explainable, Preprocessing, Stage
from sanitygap.randomization import RandomTwin
from sanitygap.seeds import generator, stable_seed
from sanitygap.similarity import Reference, pearson
from sanitygap.table import Batch, table


class GatedNetwork(nn.Module):
    """A linear model of the pixels plus a branch with weights that a gate of 0 switches off."""

    def __init__(self, seed: int, size: int = 24) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * size * size, 5)
        self.branch = nn.Conv2d(3, 8, 3)
        self.head = nn.Linear(8, 5)
        self.gate = 0.0
        source = generator(seed, "gated")
        for value in self.parameters():
            value.data = torch.randn(value.shape, generator=source) / value[0].numel() ** 0.5

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Inputs ``(N, 3, H, W)`` to logits ``(N, 5)``."""
        inner = torch.relu(self.branch(inputs)).mean((2, 3))
        logits: torch.Tensor = self.linear(inputs.flatten(1)) + self.gate * self.head(inner)
        return logits


@table("gated-layer", smoke={"networks": 3}, quick={"networks": 10}, full={"networks": 50})
def gated_layer(networks: int = 10, seed: int = 0) -> Iterator[dict[str, Any]]:
    """A layer that does not matter is redrawn: does a correct explanation change?

    Args:
        networks: small random networks.
        seed: of networks, images and redrawn weights.

    Yields:
        One row a network, gate and method.
    """
    size = 24
    names = ("gradient", "gradient-x-input", "integrated-gradients")
    for number in range(networks):
        for gate in (0.0, 1.0):
            module = GatedNetwork(stable_seed(seed, number), size).eval().requires_grad_(False)
            module.gate = gate
            layers = (Stage("branch", ("branch",)),)
            model = Explainable("gated", module, Preprocessing(size, size), layers)
            image = torch.randn(1, 3, size, size, generator=generator(seed, "image", number))
            target = model.predict(image)

            def maps(
                model: Explainable = model,
                image: torch.Tensor = image,
                target: torch.Tensor = target,
            ) -> dict[str, torch.Tensor]:
                return attribute(model, image, target, names, [0], Sampling(20), batch_size=20)

            before, logits = maps(), module(image)
            with RandomTwin(model, seed).redrawn(layers):
                after, changed = maps(), module(image)
            weights = module.linear.weight[target].view(1, 3, size, size)
            truth = {"gradient": weights.sum(1)}
            truth |= dict.fromkeys(names[1:], (weights * image).sum(1))
            for name in names:
                off = (before[name] - truth[name]).abs().max() / truth[name].abs().max()
                yield {
                    "network": number,
                    "gate": gate,
                    "method": name,
                    "ssim": float(Reference(before[name]).compare(after[name])["ssim"]),
                    "logits": float((changed - logits).abs().max()),
                    "error": float(off) if gate == 0 else float("nan"),
                }


@table(
    "ipr-kinds",
    smoke={"path_steps": 2, "lime_samples": 6, "max_images": 1},
    quick={"path_steps": 2, "lime_samples": 10, "max_images": 1},
    full={"max_images": 1},
)
def ipr_kinds(
    batch: Batch, path_steps: int = 50, lime_samples: int = SAMPLES
) -> Iterator[pd.DataFrame]:
    """How each method makes its map of one image: by gradients, or by perturbing the input.

    Args:
        batch: images.
        path_steps: points of integrated gradients.
        lime_samples: masked copies of an image in LIME.
    """
    model, sampling = batch.model, Sampling(path_steps)
    seen: list[tuple[int, bool]] = []

    def note(_module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        seen.append((len(arguments[0]), bool(arguments[0].requires_grad)))

    plain = None
    keys = batch.seeds(batch.seed, "base")
    for name in defined(model, [*sized(METHODS, lime_samples), "captum-guided-backprop"]):
        seen.clear()
        handle = model.module.register_forward_pre_hook(note)
        try:
            maps = attribute(
                model, batch.inputs, batch.targets, [name], keys, sampling, batch.size
            )[name]
        finally:
            handle.remove()
        plain = maps if plain is None else plain
        flat = maps.flatten(1)
        values = {
            "deviation": flat.std(1) / flat.abs().amax(1).clamp_min(1e-30),
            "like_gradient": pearson(plain, maps),
        }
        yield batch.rows(
            values,
            method=name.partition("@")[0],
            backward=any(needed for _, needed in seen),
            inputs=sum(count for count, _ in seen) / len(batch.names),
            same_as_gradient=bool(torch.equal(plain, maps)),
        )
