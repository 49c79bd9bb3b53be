"""Maps that owe their looks to the input: random gradients, and images reduced to their edges."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from skimage.feature import canny
from torch.nn.functional import max_pool2d

from sanitygap.adebayo_metrics import Scaled, absolute_map, diverging_map
from sanitygap.attribution import Sampling, unpooled
from sanitygap.attribution.applicable import defined
from sanitygap.experiments.experiment import Chunk, Context, experiment, image_rows
from sanitygap.experiments.parameter_test import SCORES, code_for, scaled
from sanitygap.models.explainable import Explainable
from sanitygap.seeds import normal

#: standard deviation of the Gaussian filter in Canny's edge detector, in pixels
CANNY_SIGMA = 2.0

#: pixels on either side of an edge that are kept with it
MARGIN = 1


def edge_masks(model: Explainable, inputs: torch.Tensor) -> torch.Tensor:
    """Where the edges of inputs ``(N, 3, H, W)`` are, by Canny's detector: bool ``(N, H, W)``."""
    grey = model.preprocessing.to_rgb(inputs).mean(1).cpu().numpy()
    found = np.stack([canny(image, CANNY_SIGMA) for image in grey])
    return torch.from_numpy(found).to(inputs.device)


def thick(edges: torch.Tensor) -> torch.Tensor:
    """Edges with their neighbours, bool ``(N, H, W)``."""
    size = 2 * MARGIN + 1
    return max_pool2d(edges[:, None].float(), size, 1, MARGIN)[:, 0] > 0


def overlap(maps: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
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


@experiment(
    "random-gradient",
    knobs={
        "smoke": {"max_images": 2},
        "quick": {"seeds": (0, 1), "max_images": 12},
        "full": {},
    },
    columns={
        "image": "file name of the image",
        "position": "place of the image in the set",
        "first": "a map: input times a random gradient",
        "second": "the map that it is compared with",
        "maps": "absolute or diverging scaling",
        "seed": "seed of the random gradients",
        "overlap": "share of edge pixels among the strongest pixels of the first map",
        "edges": "share of edge pixels in the image, which is the overlap by chance",
    }
    | SCORES,
)
def random_gradient(
    context: Context, seeds: Sequence[int] = (0, 1, 2, 3, 4), max_images: int | None = 50
) -> Iterator[Chunk]:
    """Input times random gradients, beside another one, the input, and gradient x input (Fig. 10).

    Args:
        context: model, images and seed.
        seeds: of the random gradients, which are independent standard normal values.
        max_images: use at most that many images.

    Yields:
        One chunk a batch of images.
    """
    for positions in context.positions(max_images):

        def compute(positions: tuple[int, ...] = positions) -> pd.DataFrame:
            return compare_random_gradients(context, positions, seeds)

        settings = {"seeds": [context.seed, *seeds]}
        code = (*code_for(["gradient-x-input"]), compare_random_gradients, edge_masks, overlap)
        yield Chunk(settings, code, compute, positions)


def compare_random_gradients(
    context: Context, positions: Sequence[int], seeds: Sequence[int]
) -> pd.DataFrame:
    """One row an image, seed, other map and scaling."""
    batch = context.batch(positions)
    inputs, shape = batch.inputs, tuple(batch.inputs.shape[1:])
    edges = thick(edge_masks(context.model, batch.inputs))
    own = unpooled(context.model, inputs, batch.targets, ["gradient-x-input"], batch.keys)
    fixed = {
        "input": scaled(inputs),
        "gradient-x-input": scaled(own["gradient-x-input"]),
    }
    rows = []
    for seed in seeds:
        one, other = (
            inputs * normal(shape, batch.seeds(context.seed, seed, name), inputs)
            for name in ("first random gradient", "second random gradient")
        )
        first = scaled(one)
        share = overlap(one.abs().sum(1), edges)
        for name, second in {"another random gradient": scaled(other), **fixed}.items():
            for kind in ("absolute", "diverging"):
                values = {"overlap": share, "edges": edges.double().mean((1, 2))}
                values |= first[kind].compare(second[kind])
                rows.append(
                    image_rows(
                        batch, values, first="input x random gradient", second=name, maps=kind,
                        seed=seed,
                    )
                )  # fmt: skip
    return pd.concat(rows, ignore_index=True)


EDGE_METHODS = (
    "gradient",
    "gradient-x-input",
    "guided-backprop",
    "grad-cam",
    "guided-grad-cam",
    "smoothgrad",
    "integrated-gradients",
)


@experiment(
    "edge-input",
    knobs={
        "smoke": {"methods": EDGE_METHODS[:5], "max_images": 2},
        "quick": {"methods": EDGE_METHODS[:5], "max_images": 12},
        "full": {},
    },
    columns={
        "image": "file name of the image",
        "position": "place of the image in the set",
        "method": "attribution method",
        "second": "what the map of the image is compared with: the map of its edges only, or the "
        "edges themselves",
        "maps": "absolute or diverging scaling",
        "edges": "share of the image's pixels that are kept",
    }
    | SCORES,
)
def edge_input(
    context: Context,
    methods: Sequence[str] = EDGE_METHODS,
    path_steps: int = 50,
    noisy_copies: int = 50,
    max_images: int | None = 50,
) -> Iterator[Chunk]:
    """Maps of images, beside those of the same images with all but their edges set to zero.

    Args:
        context: model, images and seed.
        methods: attribution methods.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad.
        max_images: use at most that many images.

    Yields:
        One chunk a batch of images.
    """
    sampling = Sampling(path_steps, noisy_copies)
    methods = defined(context.model, methods)
    for positions in context.positions(max_images):

        def compute(positions: tuple[int, ...] = positions) -> pd.DataFrame:
            return compare_edge_input(context, positions, methods, sampling)

        settings = {"methods": list(methods), "sampling": str(sampling), "seed": context.seed}
        code = (*code_for(methods), compare_edge_input, edge_masks, thick)
        yield Chunk(settings, code, compute, positions)


def compare_edge_input(
    context: Context, positions: Sequence[int], methods: Sequence[str], sampling: Sampling
) -> pd.DataFrame:
    """One row an image, method, other map and scaling."""
    batch = context.batch(positions)
    kept = thick(edge_masks(context.model, batch.inputs))
    both = []
    for name, inputs in (("image", batch.inputs), ("edges", batch.inputs * kept[:, None])):
        keys = batch.seeds(context.seed, name)
        both.append(
            unpooled(
                context.model, inputs, batch.targets, methods, keys, sampling, context.batch_size
            )
        )
    edges = Scaled(kept.to(batch.inputs))
    rows = []
    for method in methods:
        whole, reduced = (values[method] for values in both)
        for kind, scale in (("absolute", absolute_map), ("diverging", diverging_map)):
            first = Scaled(scale(whole))
            others = {"map of the edges": Scaled(scale(reduced))}
            if kind == "absolute":
                others["edges"] = edges
            for name, second in others.items():
                values = {"edges": kept.double().mean((1, 2))} | first.compare(second)
                rows.append(image_rows(batch, values, method=method, second=name, maps=kind))
    return pd.concat(rows, ignore_index=True)
