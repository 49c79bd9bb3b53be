"""Attribution maps of a few photographs, to be looked at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sanitygap.attribution import Sampling, attribute
from sanitygap.attribution.applicable import defined
from sanitygap.images import ImageSet
from sanitygap.models.explainable import Explainable
from sanitygap.randomization import RandomTwin, steps
from sanitygap.seeds import stable_seed


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
    maps: dict[str, dict[str, torch.Tensor]]


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
    methods = defined(model, methods)
    inputs = model.prepare([images.open(position) for position in range(len(images))])
    targets = model.predict(inputs)

    def maps(step: str) -> dict[str, torch.Tensor]:
        keys = [stable_seed(key, seed, step) for key in images.keys]
        made = attribute(model, inputs, targets, methods, keys, sampling)
        return {name: values.cpu() for name, values in made.items()}

    found = {"trained": maps("trained")}
    twin = RandomTwin(model, seed)
    for step in steps(model.stages, "top-down", n_steps) if n_steps else []:
        with twin.redrawn(step.stages):
            found[f"down to {step.name}"] = maps(step.name)
    pixels = model.preprocessing.to_rgb(inputs).permute(0, 2, 3, 1).cpu().numpy()
    return ExampleMaps(
        pictures=list(pixels),
        names=list(images.names),
        classes=[model.class_name(int(target)) for target in targets],
        steps=list(found),
        maps=found,
    )
