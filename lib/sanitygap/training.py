"""Training of a small classifier that can be interrupted at any moment and then goes on."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from tqdm import tqdm

from sanitygap.errors import UsageError
from sanitygap.files import replacing, write_atomically
from sanitygap.models.explainable import Explainable, Preprocessing, Stage
from sanitygap.models.stages import owns_parameters
from sanitygap.seeds import generator

Labels = Literal["true", "random"]

#: inputs in one pass without gradients
EVALUATED = 500


@dataclass(frozen=True)
class Recipe:
    """How a network is trained with Adam and cross-entropy.

    Attributes:
        labels: ``true``, or ``random``: the labels in a random order, fixed during training.
        seed: of the order of the images and, for random labels, of their permutation.
        epochs: passes through the images, at most.
        batch: images in one step.
        rate: learning rate. With true labels it rises from a tenth of this value over the first
            quarter of the steps and falls to zero after that; with random labels it is constant.
        decay: weight decay, as an L2 penalty.
        target: training stops after the first epoch in which the share of training images that the
            network gets right reaches this; None trains all epochs.
    """

    labels: Labels = "true"
    seed: int = 0
    epochs: int = 10
    batch: int = 100
    rate: float = 1e-3
    decay: float = 0.0
    target: float | None = None

    def rate_at(self, progress: float) -> float:
        """Learning rate after a share of all steps, 0 to 1."""
        if self.labels == "random":
            return self.rate
        rising = 0.1 + 0.9 * progress / 0.25
        return self.rate * min(rising, (1 - progress) / 0.75)

    def labels_from(self, labels: torch.Tensor) -> torch.Tensor:
        """The labels to train on, int64 ``(N,)``."""
        if self.labels == "true":
            return labels
        order = torch.randperm(len(labels), generator=generator(self.seed, "random labels"))
        return labels[order]


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes:
        module: the network, in evaluation mode.
        epochs: passes through the images that it took.
        right: training images whose label, true or random, it predicts.
        images: number of training images.
    """

    module: nn.Module
    epochs: int
    right: int
    images: int


def train(
    module: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, recipe: Recipe, folder: Path
) -> Trained:
    """Train a network, or take it from a folder where an earlier call has left it.

    The state is written after every epoch, under a temporary name that is then changed, so that an
    interrupted training goes on with the next epoch and gives the same network. A complete one is
    never trained again.

    Args:
        module: the network with its initial weights, on the device to train on; changed in place.
        inputs: float ``(N, C, H, W)``.
        labels: the true labels, int64 ``(N,)``.
        recipe: how.
        folder: of this one training: whoever calls makes sure that network, data and recipe of a
            folder never change.

    Returns:
        The network and how far it got.

    Raises:
        UsageError: what the folder holds cannot be read.
    """
    device = next(module.parameters()).device
    inputs, labels = inputs.to(device), recipe.labels_from(labels).to(device)
    done, state = folder / "network.json", folder / "state.pt"
    if done.is_file():
        module.load_state_dict(_loaded(folder / "network.pt", device))
        return Trained(module.eval(), **json.loads(done.read_text(encoding="utf-8")))
    optimizer = torch.optim.Adam(
        module.parameters(), recipe.rate, weight_decay=recipe.decay, fused=True
    )
    epoch, right = 0, 0
    if state.is_file():
        kept = _loaded(state, device)
        module.load_state_dict(kept["module"])
        optimizer.load_state_dict(kept["optimizer"])
        epoch, right = kept["epoch"], kept["right"]
    wanted = (recipe.target or 2.0) * len(inputs)
    with tqdm(
        total=recipe.epochs, initial=epoch, desc=f"training, {recipe.labels} labels", delay=5
    ) as bar:
        while epoch < recipe.epochs and right < wanted:
            _one_epoch(module, optimizer, inputs, labels, recipe, epoch)
            epoch, right = epoch + 1, correct(module, inputs, labels)
            weights, moments = module.state_dict(), optimizer.state_dict()
            kept = {"module": weights, "optimizer": moments, "epoch": epoch, "right": right}
            _save(kept, state)
            bar.set_postfix(accuracy=f"{right / len(inputs):.1%}", refresh=False)
            bar.update()
    _save(module.state_dict(), folder / "network.pt")
    outcome = {"epochs": epoch, "right": right, "images": len(inputs)}
    write_atomically(done, json.dumps(outcome))
    state.unlink(missing_ok=True)
    return Trained(module.eval(), **outcome)


def _one_epoch(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    recipe: Recipe,
    epoch: int,
) -> None:
    module.train()
    order = torch.randperm(len(inputs), generator=generator(recipe.seed, "order", epoch))
    batches = order.to(inputs.device).split(recipe.batch)
    for number, chosen in enumerate(batches):
        progress = (epoch + number / len(batches)) / recipe.epochs
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate_at(progress)
        descend(module, optimizer, inputs, labels, chosen)


def descend(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    chosen: torch.Tensor,
) -> None:
    """One step of the cross-entropy of some of the inputs, int64 ``(B,)``."""
    loss = nn.functional.cross_entropy(module(inputs[chosen]), labels[chosen])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def explained_by_layers(
    spec: str, module: nn.Module, preprocessing: Preprocessing, **options: Any
) -> Explainable:
    """A trained network in evaluation mode, one randomisation stage a layer, from the output."""
    module = module.eval().requires_grad_(False)
    layers = [name for name, part in module.named_modules() if owns_parameters(part)]
    stages = tuple(Stage(name, (name,)) for name in reversed(layers))
    return Explainable(spec, module, preprocessing, stages, **options)


@torch.no_grad()
def correct(module: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> int:
    """How many of the inputs ``(N, C, H, W)`` get their label ``(N,)``."""
    module.eval()
    pairs = zip(inputs.split(EVALUATED), labels.split(EVALUATED), strict=True)
    return sum(int((module(part).argmax(1) == truth).sum()) for part, truth in pairs)


def _loaded(path: Path, device: torch.device) -> Any:
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises all kinds of errors on damaged files
        raise UsageError(
            f"{path.parent.name}/{path.name} cannot be read; delete that folder of trained networks"
        ) from error


def _save(state: Any, path: Path) -> None:
    with replacing(path) as part:
        torch.save(state, part)
