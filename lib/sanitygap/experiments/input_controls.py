"""Maps that owe their looks to the input: random gradients, and images reduced to their edges."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from skimage.feature import canny
from torch import Tensor
from torch.nn.functional import max_pool2d

from sanitygap.adebayo_metrics import Scaled, absolute_map, diverging_map
from sanitygap.attribution import Sampling, unpooled
from sanitygap.attribution.applicable import defined
from sanitygap.experiments.parameter_test import scaled
from sanitygap.models.explainable import Explainable
from sanitygap.seeds import normal
from sanitygap.table import Batch, table

#: standard deviation of the Gaussian filter in Canny's edge detector, in pixels
CANNY_SIGMA = 2.0

#: pixels on either side of an edge that are kept with it
MARGIN = 1


def edge_masks(model: Explainable, inputs: Tensor) -> Tensor:
    """Where the edges of inputs ``(N, 3, H, W)`` are, by Canny's detector: bool ``(N, H, W)``."""
    grey = model.preprocessing.to_rgb(inputs).mean(1).cpu().numpy()
    found = np.stack([canny(image, CANNY_SIGMA) for image in grey])
    return torch.from_numpy(found).to(inputs.device)


def thick(edges: Tensor) -> Tensor:
    """Edges with their neighbours, bool ``(N, H, W)``."""
    size = 2 * MARGIN + 1
    return max_pool2d(edges[:, None].float(), size, 1, MARGIN)[:, 0] > 0


def overlap(maps: Tensor, edges: Tensor) -> Tensor:
    """Share of the edges' pixels among the strongest of a map, as many as there are edges.

    A map without any relation to the edges has the share of the edges in the image.

    Args:
        maps: float ``(N, H, W)``, absolute.
        edges: bool ``(N, H, W)``.

    Returns:
        ``(N,)``; NaN for an image without edges.
    """
    shares = []
    for values, mask in zip(maps.flatten(1), edges.flatten(1), strict=True):
        count = int(mask.sum())
        top = values.topk(count).indices if count else torch.empty(0, dtype=torch.long)
        shares.append(float(mask[top].double().mean()) if count else float("nan"))
    return torch.tensor(shares, dtype=torch.float64)


@table(
    "random-gradient",
    smoke={"max_images": 2},
    quick={"seeds": (0, 1), "max_images": 12},
    full={"max_images": 50},
)
def random_gradient(batch: Batch, seeds: Sequence[int] = (0, 1, 2, 3, 4)) -> Iterator[pd.DataFrame]:
    """Input times random gradients, beside another one, the input, and gradient x input (Fig. 10).

    Args:
        batch: images.
        seeds: of the random gradients, which are independent standard normal values.
    """
    inputs, shape = batch.inputs, tuple(batch.inputs.shape[1:])
    edges = thick(edge_masks(batch.model, batch.inputs))
    own = unpooled(batch.model, inputs, batch.targets, ["gradient-x-input"], batch.keys)
    fixed = {"input": scaled(inputs), "gradient-x-input": scaled(own["gradient-x-input"])}
    for seed in seeds:
        one, other = (
            inputs * normal(shape, batch.seeds(batch.seed, seed, name), inputs)
            for name in ("first random gradient", "second random gradient")
        )
        first = scaled(one)
        share = overlap(one.abs().sum(1), edges)
        for name, second in {"another random gradient": scaled(other), **fixed}.items():
            for kind in ("absolute", "diverging"):
                values = {"overlap": share, "edges": edges.double().mean((1, 2))}
                values |= first[kind].compare(second[kind])
                yield batch.rows(
                    values, first="input x random gradient", second=name, maps=kind, seed=seed
                )


EDGE_METHODS = (
    "gradient", "gradient-x-input", "guided-backprop", "grad-cam", "guided-grad-cam", "smoothgrad",
    "integrated-gradients",
)  # fmt: skip


@table(
    "edge-input",
    smoke={"methods": EDGE_METHODS[:5], "max_images": 2},
    quick={"methods": EDGE_METHODS[:5], "max_images": 12},
    full={"max_images": 50},
)
def edge_input(
    batch: Batch,
    methods: Sequence[str] = EDGE_METHODS,
    path_steps: int = 50,
    noisy_copies: int = 50,
) -> Iterator[pd.DataFrame]:
    """Maps of images, beside those of the same images with all but their edges set to zero.

    Args:
        batch: images.
        methods: attribution methods.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad.
    """
    model, sampling = batch.model, Sampling(path_steps, noisy_copies)
    methods = defined(model, methods)
    kept = thick(edge_masks(model, batch.inputs))
    both = []
    for name, inputs in (("image", batch.inputs), ("edges", batch.inputs * kept[:, None])):
        keys = batch.seeds(batch.seed, name)
        both.append(unpooled(model, inputs, batch.targets, methods, keys, sampling, batch.size))
    edges = Scaled(kept.to(batch.inputs))
    for method in methods:
        whole, reduced = (values[method] for values in both)
        for kind, scale in (("absolute", absolute_map), ("diverging", diverging_map)):
            first = Scaled(scale(whole))
            others = {"map of the edges": Scaled(scale(reduced))}
            if kind == "absolute":
                others["edges"] = edges
            for name, second in others.items():
                values = {"edges": kept.double().mean((1, 2))} | first.compare(second)
                yield batch.rows(values, method=method, second=name, maps=kind)
