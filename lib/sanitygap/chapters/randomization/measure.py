"""Ways to redraw weights, Quantus' variants of the test, and dependence on the task."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from sanitygap.attribution import Sampling
from sanitygap.chapters.randomization.small_tasks import TASKS, accuracy, examples, trained_network
from sanitygap.errors import unknown_name
from sanitygap.models.explainable import Explainable, Stage
from sanitygap.models.stages import step_counts
from sanitygap.randomization import NORM_LAYERS, Norms, RandomTwin, Redraw, Weights, steps
from sanitygap.randomization_test import compare_with_random, randomization_test
from sanitygap.seeds import normal
from sanitygap.similarity import Reference, Window, joint_range, spearman, ssim
from sanitygap.table import BATCH, Batch, Context, Piece, table

#: methods of Fig. 2 of the paper, one of each family, and those of a single pass each
FIGURE_2 = (
    "gradient", "gradient-x-input", "integrated-gradients", "guided-backprop", "lrp-epsilon-plus",
    "lrp-alpha2-beta1", "lrp-gamma-box",
)  # fmt: skip
FAMILIES = FIGURE_2[:5]
ONE_PASS = ("gradient", "gradient-x-input", "guided-backprop")

#: the library's own way to redraw, and the two that the paper's words allow as well
VARIANTS: tuple[tuple[Weights, Norms], ...] = (
    ("he-normal", "reset"),
    ("he-uniform", "reset"),
    ("he-normal", "kept"),
)


def variants(model: Explainable) -> list[tuple[Weights, Norms]]:
    """The ways to redraw that differ for a network: without normalisation nothing is kept."""
    normalised = any(isinstance(module, NORM_LAYERS) for module in model.module.modules())
    return [
        (weights, norms) for weights, norms in VARIANTS if normalised or norms == VARIANTS[0][1]
    ]


table("step-counts")(step_counts)


@table(
    "configurations", cut=lambda context, given: [Piece(given, tuple(range(len(context.images))))]
)
def configurations(context: Context) -> Iterator[dict[str, Any]]:
    """What the paper leaves open about its set-up, as it is in this run; measured, not stated.

    Args:
        context: model, images and seed.
    """
    model, images = context.model, context.images
    for weights, norms in variants(model):
        yield {
            "weights_sha256": model.weights_sha256,
            "images_sha256": images.sha256,
            "n_images": len(images),
            "weights": weights,
            "norms": norms,
            **measured(model, Redraw(weights, norms), context.seed),
        }


def measured(model: Explainable, redraw: Redraw, seed: int) -> dict[str, object]:
    """How a whole redraw looks, from the redrawn tensors themselves.

    Args:
        model: the network.
        redraw: how it is redrawn.
        seed: of the draw.
    """
    norms = [module for module in model.module.modules() if isinstance(module, NORM_LAYERS)]
    trained = [dict(_tensors(module)) for module in norms]
    sums, biases = torch.zeros(4, dtype=torch.float64), [0.0]
    with RandomTwin(model, seed, redraw).redrawn(model.stages):
        for module in model.module.modules():
            for _, value in [] if isinstance(module, NORM_LAYERS) else _tensors(module):
                if value.ndim < 2:
                    biases.append(float(value.abs().max()))
                    continue
                # a dense or convolutional weight is (out, in, ...); groups see their part of "in"
                by_in, by_out = value[0].numel() / 2, value[:, 0].numel() / 2
                second, fourth = _powers(value)
                terms = [value.numel(), by_in * second, by_out * second, by_in**2 * fourth]
                sums += torch.tensor(terms, dtype=torch.float64)
        redrawn = [dict(_tensors(module)) for module in norms]
    squared, from_out, fourth = (sums[1:] / sums[0]).tolist()
    kurtosis = fourth / squared**2
    deviation, from_out = squared**0.5, from_out**0.5
    return {
        "distribution": "normal" if abs(kurtosis - 3) < abs(kurtosis - 1.8) else "uniform",
        "kurtosis": kurtosis,
        "fan": "fan-in" if abs(deviation - 1) < abs(from_out - 1) else "fan-out",
        "deviation": deviation,
        "biases": max(biases),
        "norm_affine": _state(trained, redrawn, ("weight", "bias")),
        "norm_statistics": _state(trained, redrawn, ("running_mean", "running_var")),
    }


def _powers(value: Tensor, part: int = 2**22) -> tuple[float, float]:
    """Sums of the squares and of the fourth powers, in parts that fit into memory."""
    second = fourth = 0.0
    for values in value.flatten().split(part):
        squares = values.double().square()
        second, fourth = second + float(squares.sum()), fourth + float(squares.square().sum())
    return second, fourth


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    """A module's own parameters and running statistics, copied."""
    found = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    return [(name, value.detach().clone()) for name, value in found if value.is_floating_point()]


def _state(
    before: list[dict[str, Tensor]], after: list[dict[str, Tensor]], names: Sequence[str]
) -> str:
    """``none``, ``kept``, ``reset`` or ``mixed``: what became of some tensors of each module."""
    pairs = [(a[name], b[name]) for a, b in zip(before, after, strict=True) for name in names]
    if not pairs:
        return "none"
    if all(torch.equal(a, b) for a, b in pairs):
        return "kept"
    constant = all(b.eq(0).all() or b.eq(1).all() for _, b in pairs)
    return "reset" if constant else "mixed"


@table(
    "initializations",
    by=["methods"],
    smoke={"methods": ONE_PASS, "n_steps": 1, "max_images": 2},
    quick={"methods": FAMILIES, "n_steps": 2, "path_steps": 4, "max_images": 4},
    full={"methods": FIGURE_2},
)
def initializations(
    batch: Batch,
    methods: Sequence[str] = FIGURE_2,
    n_steps: int | None = None,
    path_steps: int = 50,
) -> Iterator[pd.DataFrame]:
    """The top-down randomisation under each way to redraw that the paper's words allow.

    Args:
        batch: images.
        methods: attribution methods.
        n_steps: that many steps, evenly spread; all by default.
        path_steps: points of integrated gradients.
    """
    for weights, norms in variants(batch.model):
        for rows in randomization_test(
            batch, methods, "top-down", n_steps, path_steps, weights=weights, norms=norms
        ):
            yield rows.assign(weights=weights, norms=norms)


#: bins of the histogram behind efficient MPRT's complexity
BINS = 100

#: noise of smooth MPRT, as a share of an image's value range
NOISE = 0.1


def normalised(maps: Tensor) -> Tensor:
    """Absolute maps over their largest magnitude, as the peer prepares them, ``(N, H, W)``."""
    return maps.abs() / maps.abs().amax((1, 2), keepdim=True)


def flat_ssim(first: Tensor, second: Tensor) -> Tensor:
    """SSIM of maps written as one long row of pixels, with windows of 7 along it, ``(N,)``.

    A window then sees neighbours in one direction only, and the end of a row beside the start of
    the next. The range L is that of the pair.

    Args:
        first, second: ``(N, H, W)``.
    """
    a, b = (maps.flatten(1)[:, None] for maps in (first, second))
    return ssim(a, b, joint_range(a, b), Window(1, 7))


def histogram_entropy(maps: Tensor, bins: int = BINS) -> Tensor:
    """Complexity of efficient MPRT: entropy of a map's histogram, in nats, ``(N,)``.

    A map with a value that is not finite has none: NaN.

    Args:
        maps: ``(N, H, W)``.
        bins: of equal width between a map's smallest and largest value.
    """
    found = []
    for values in maps.flatten(1).float().cpu():
        if not values.isfinite().all():
            found.append(torch.tensor(torch.nan))
            continue
        counts = torch.histc(values, bins, float(values.min()), float(values.max()))
        shares = counts[counts > 0] / counts.sum()
        found.append(-(shares * shares.log()).sum())
    return torch.stack(found).to(maps)


def complexity_rise(before: Tensor, after: Tensor) -> Tensor:
    """Efficient MPRT: relative rise of the complexity once the network is random, ``(N,)``."""
    first, second = histogram_entropy(before), histogram_entropy(after)
    return (second - first) / first


def noisy(inputs: Tensor, seeds: list[int]) -> Tensor:
    """Inputs with the noise of smooth MPRT, one draw an image."""
    extent = inputs.amax((1, 2, 3)) - inputs.amin((1, 2, 3))
    draws = normal(tuple(inputs.shape[1:]), seeds, inputs)
    return inputs + NOISE * extent.view(-1, 1, 1, 1) * draws


@contextmanager
def reset_modules(model: Explainable, names: list[str], seed: int) -> Iterator[None]:
    """The model with modules reset by their own initialisers, each from the *same* seed.

    Layers of one shape get the same weights. The model is bit-identical afterwards.

    Args:
        model: the network.
        names: of modules that have ``reset_parameters``.
        seed: restarted before every module.
    """
    modules = dict(model.module.named_modules())
    held = [
        (tensor, tensor.data.clone())
        for name in names
        for tensor in (*modules[name].parameters(False), *modules[name].buffers(False))
    ]
    state = torch.random.get_rng_state()
    try:
        for name in names:
            torch.manual_seed(seed)
            reset: nn.Module = modules[name]
            reset.reset_parameters()  # type: ignore[operator]
        yield
    finally:
        torch.random.set_rng_state(state)
        for tensor, data in held:
            tensor.data = data


def resettable(module: nn.Module) -> list[str]:
    """Names of the modules with an initialiser of their own, from the last to the first."""
    return [name for name, part in module.named_modules() if hasattr(part, "reset_parameters")][
        ::-1
    ]


def twins_of_shape(module: nn.Module) -> float:
    """Share of the weights with two or more dimensions whose shape some earlier one has too."""
    shapes = [tuple(value.shape) for value in module.parameters() if value.ndim > 1]
    return 1 - len(set(shapes)) / len(shapes)


METHODS = ("gradient", "gradient-x-input", "guided-backprop", "edges", "noise")

#: what a smoke test looks at
SHORT = ("gradient", "edges", "noise")

#: two ways to draw the random weights
DRAWS = ("a seed for each layer", "one seed for all layers")


@table(
    "mprt-variants",
    smoke={"methods": SHORT, "n_steps": 1, "copies": 1, "max_images": 2},
    quick={"n_steps": 4, "copies": 2, "max_images": 3},
    full={"max_images": 100},
)
def mprt_variants(
    batch: Batch, methods: Sequence[str] = METHODS, n_steps: int | None = 10, copies: int = 10
) -> Iterator[pd.DataFrame]:
    """Scores of the neighbours and of this book for the same maps, layer by layer from the top.

    Args:
        batch: images.
        methods: attribution methods and controls.
        n_steps: so many numbers of random layers, evenly spread; all by default if None.
        copies: noisy copies of an image in smooth MPRT.
    """
    model = batch.model
    names = resettable(model.module)
    count = min(n_steps or len(names), len(names))
    spread = torch.linspace(1, len(names), count).round().long().unique().tolist()
    numbers = spread if count > 1 else [len(names)]
    twin, doubles = RandomTwin(model, batch.seed), twins_of_shape(model.module)

    def plain(state: str) -> dict[str, Tensor]:
        return batch.maps(methods, batch.seed, state)

    def smooth(state: str) -> dict[str, Tensor]:
        total: dict[str, Tensor] = {}
        for copy in range(copies):
            inputs = noisy(batch.inputs, batch.seeds(batch.seed, "smooth", copy))
            found = batch.maps(methods, batch.seed, state, copy, inputs=inputs)
            for name, values in found.items():
                total[name] = total.get(name, 0) + values / copies
        return total

    ways: list[tuple[str, Callable[[str], dict[str, Tensor]]]] = [
        (DRAWS[0], plain), (DRAWS[1], plain), ("smooth", smooth),
    ]  # fmt: skip
    for draw, maps in ways:
        base = maps("base")
        references = {name: Reference(values) for name, values in base.items()}
        for number in (0, *numbers):
            if draw == DRAWS[0]:
                stages = [Stage(name, (name,)) for name in names[:number]]
                random = twin.redrawn(stages)
            else:
                random = reset_modules(model, names[:number], batch.seed + 1)
            with random:
                changed = maps("again" if number == 0 else f"{number}")
            for name, values in changed.items():
                first, second = normalised(base[name]), normalised(values)
                compared = references[name].compare(values)
                measured = {
                    "book": compared["ssim"],
                    "image_ssim": ssim(first, second, joint_range(first, second)),
                    "flat_ssim": flat_ssim(first, second),
                    "spearman_signed": compared["spearman"],
                    "spearman": spearman(first, second),  # flattening changes nothing here
                    "rise": complexity_rise(first, second),
                }
                yield batch.rows(
                    measured, method=name, draw=draw, layers=number, share=number / len(names),
                    doubles=doubles,
                )  # fmt: skip


TASK_METHODS = (
    "gradient", "gradient-x-input", "integrated-gradients", "smoothgrad", "vargrad",
    "guided-backprop", "lrp-epsilon-plus", "lrp-alpha2-beta1", "lrp-gamma-box",
)  # fmt: skip


@table(
    "task-dependence",
    by=["trained_on"],
    smoke={
        "networks": 1,
        "epochs": 1,
        "examples_to_train": 200,
        "examples_to_test": 10,
        "path_steps": 2,
        "noisy_copies": 2,
    },
    quick={
        "networks": 2,
        "epochs": 4,
        "examples_to_train": 1000,
        "examples_to_test": 40,
        "path_steps": 5,
        "noisy_copies": 5,
    },
)
def task_dependence(
    seed: int,
    trained_on: Sequence[str] = tuple(TASKS),
    methods: Sequence[str] = TASK_METHODS,
    networks: int = 5,
    epochs: int = 12,
    examples_to_train: int = 2000,
    examples_to_test: int = 100,
    path_steps: int = 20,
    noisy_copies: int = 20,
) -> Iterator[pd.DataFrame]:
    """Similarity after randomisation of small networks trained on several tasks.

    It needs neither the run's model nor its images.

    Args:
        seed: of the first network and of the examples.
        trained_on: names from :data:`sanitygap.chapters.randomization.small_tasks.TASKS`.
        methods: attribution methods.
        networks: how many are trained on each task.
        epochs: passes through the training examples.
        examples_to_train, examples_to_test: how many.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad and VarGrad.

    Raises:
        UsageError: an unknown task.
    """
    for task in trained_on:
        if task not in TASKS:
            raise unknown_name("task", task, list(TASKS))
    sampling, size = Sampling(path_steps, noisy_copies), 5 * BATCH
    for task, number in itertools.product(trained_on, range(networks)):
        model = trained_network(task, seed + number, epochs, examples_to_train)
        # the same test images for every network of a task
        shown = examples(task, examples_to_test, seed, train=False)
        inner = Context(lambda: model, lambda: shown.as_set(task), seed)  # noqa: B023
        twin, order = RandomTwin(model, seed + number), steps(model.stages, "top-down")
        frames = [
            rows
            for start in range(0, examples_to_test, size)
            for rows in compare_with_random(
                inner.batch(range(start, min(start + size, examples_to_test))),
                methods,
                twin,
                order,
                "top-down",
                sampling,
            )
        ]
        found = pd.concat(frames, ignore_index=True)
        means = found.groupby(["image", "method", "sign"], sort=False)[["ssim", "spearman"]]
        rows = means.mean(skipna=False).reset_index()
        yield rows.assign(task=task, network=number, accuracy=accuracy(model, shown))
