"""Ways to redraw weights, Quantus' variants of the test, and dependence on the task.

The outcome of the randomisation test is said to depend on the task (Yona and Greenfeld 2021;
Kokhlikyan et al. 2021; both as Binder et al. 2022, §1.1, report them). Four small tasks are made
from data inside installed packages. They have ten classes and images of 32 pixels, and differ in
what surrounds the object, or have no object.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from skimage.transform import resize
from sklearn.datasets import load_digits
from torch import Tensor, nn

from sanitygap.attribution import Sampling
from sanitygap.errors import unknown_name
from sanitygap.images import ImageSet, load_images
from sanitygap.models.explainable import Explainable, Preprocessing, Stage
from sanitygap.models.stages import step_counts
from sanitygap.randomization import NORM_LAYERS, Norms, RandomTwin, Redraw, Weights, steps
from sanitygap.sanity_check import compare_with_random, randomization_test
from sanitygap.seeds import normal, stable_seed
from sanitygap.similarity import Reference, Window, joint_range, spearman, ssim
from sanitygap.table import BATCH, Batch, Context, Piece, table
from sanitygap.training import descend, explained_by_layers

SIZE = 32
CLASSES = 10

#: side of a digit, and of a crop of a photograph before it is brought to SIZE
DIGIT = 24
CROP = 96

#: the last digits of scikit-learn's set are for testing
TEST_DIGITS = 500

PREPROCESSING = Preprocessing(size=SIZE, resize=SIZE, mean=(0.5,) * 3, std=(0.25,) * 3)

Pixels = NDArray[np.float64]

#: (random generator, whether to train) to a background, or to an image with its class
Background = Callable[[np.random.Generator, bool], Pixels]
Draw = Callable[[np.random.Generator, bool], tuple[Pixels, int]]


@dataclass(frozen=True)
class Examples:
    """Labelled images of a task: uint8 ``(N, 32, 32, 3)`` and int64 ``(N,)`` from 0 to 9."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def as_set(self, spec: str) -> ImageSet:
        """The same as an image set, named by number."""
        names = tuple(f"{spec} {number}" for number in range(len(self.images)))
        return ImageSet(spec, names, tuple(map(int, self.labels)), tuple(self.images))


def _crop(photo: int, rng: np.random.Generator, train: bool) -> Pixels:
    """A random square of a photograph's left half to train, of its right half to test."""
    pixels = _photos()[photo]
    width = pixels.shape[1] // 2
    half = pixels[:, :width] if train else pixels[:, -width:]
    top, left = (int(rng.integers(side - CROP + 1)) for side in half.shape[:2])
    square = half[top : top + CROP, left : left + CROP]
    return np.asarray(resize(square, (SIZE, SIZE), anti_aliasing=True))


@cache
def _photos() -> list[Pixels]:
    photos = load_images("photos")
    return [np.asarray(photos[number]) / 255 for number in range(CLASSES)]


@cache
def _digits() -> tuple[Pixels, NDArray[np.int64]]:
    """Opacity of scikit-learn's digits at full size ``(1797, 24, 24)``, and their classes."""
    found = load_digits()
    sized = resize(found.images / 16, (len(found.images), DIGIT, DIGIT), order=1)
    return np.asarray(sized), found.target.astype(np.int64)


def _digit_on(background: Background) -> Draw:
    def draw(rng: np.random.Generator, train: bool) -> tuple[Pixels, int]:
        opacity, classes = _digits()
        count = len(classes)
        bounds = (0, count - TEST_DIGITS) if train else (count - TEST_DIGITS, count)
        number = int(rng.integers(*bounds))
        top, left = (int(offset) for offset in rng.integers(SIZE - DIGIT + 1, size=2))
        veil = np.zeros((SIZE, SIZE, 1))
        veil[top : top + DIGIT, left : left + DIGIT, 0] = opacity[number]
        return background(rng, train) * (1 - veil) + veil, int(classes[number])

    return draw


def _photograph(rng: np.random.Generator, train: bool) -> tuple[Pixels, int]:
    photo = int(rng.integers(CLASSES))
    return _crop(photo, rng, train), photo


#: task -> what draws an image ``(32, 32, 3)`` with values in 0 to 1, and its class
TASKS: dict[str, Draw] = {
    "digits": _digit_on(lambda rng, train: np.zeros((SIZE, SIZE, 3))),
    "digits on noise": _digit_on(lambda rng, train: rng.random((SIZE, SIZE, 3))),
    "digits on texture": _digit_on(lambda rng, train: _photograph(rng, train)[0]),
    "photographs": _photograph,
}


def examples(task: str, count: int, seed: int, train: bool) -> Examples:
    """Random examples of a task; those to train and those to test share no digit and no pixel.

    Args:
        task: from :data:`TASKS`: a digit on black, on noise, on a crop of a photograph; or a crop
            whose class is the photograph that it comes from.
        count: how many.
        seed: of the drawing.
        train: whether they are to train on.

    Raises:
        UsageError: unknown task.
    """
    if task not in TASKS:
        raise unknown_name("task", task, list(TASKS))
    rng = np.random.default_rng(stable_seed(seed, "examples", task, train))
    drawn = [TASKS[task](rng, train) for _ in range(count)]
    images = np.stack([np.round(pixels * 255).astype(np.uint8) for pixels, _ in drawn])
    return Examples(images, np.array([label for _, label in drawn], dtype=np.int64))


def small_network(seed: int) -> nn.Sequential:
    """Three convolutions with ReLU and pooling, one dense layer; 32-pixel inputs, ten classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stable_seed(seed, "small network"))
        return nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 4 * 4, CLASSES),
        )  # fmt: skip


def as_inputs(images: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 images ``(N, 32, 32, 3)`` as the network's inputs, float32 ``(N, 3, 32, 32)``."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean, std = (
        torch.tensor(values).view(3, 1, 1) for values in (PREPROCESSING.mean, PREPROCESSING.std)
    )
    return (pixels - mean) / std


def trained_network(task: str, seed: int, epochs: int, count: int = 2000) -> Explainable:
    """The small network trained on a task with Adam (learning rate 0.002), on the CPU.

    Args:
        task: from :data:`TASKS`.
        seed: of initial weights, examples and their order.
        epochs: passes through the examples.
        count: number of examples.

    Returns:
        The network with one randomisation stage for each of its four layers.

    Raises:
        UsageError: unknown task.
    """
    data = examples(task, count, seed, train=True)
    inputs, labels = as_inputs(data.images), torch.from_numpy(data.labels)
    network = small_network(seed)
    source = torch.Generator().manual_seed(stable_seed(seed, "order"))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.002)
    for _ in range(epochs):
        for chosen in torch.randperm(count, generator=source).split(50):
            descend(network, optimizer, inputs, labels, chosen)
    return explained_by_layers(f"small network, {task}", network, PREPROCESSING)


@torch.no_grad()
def accuracy(model: Explainable, data: Examples) -> float:
    """Share of examples whose class is predicted."""
    predicted = model.predict(as_inputs(data.images))
    return float((predicted == torch.from_numpy(data.labels)).double().mean())


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
    sums, biases = torch.zeros(4, dtype=torch.float64), [0.0]
    # those of an untrained network are new already: reset and kept would look alike
    with _marked(norms), RandomTwin(model, seed, redraw).redrawn(model.stages):
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
        after = [dict(_tensors(module)) for module in norms]
    squared, from_out, fourth = (sums[1:] / sums[0]).tolist()
    kurtosis = fourth / squared**2
    deviation, from_out = squared**0.5, from_out**0.5
    return {
        "distribution": "normal" if abs(kurtosis - 3) < abs(kurtosis - 1.8) else "uniform",
        "kurtosis": kurtosis,
        "fan": "fan-in" if abs(deviation - 1) < abs(from_out - 1) else "fan-out",
        "deviation": deviation,
        "biases": max(biases),
        "norm_affine": _state(after, ("weight", "bias")),
        "norm_statistics": _state(after, ("running_mean", "running_var")),
    }


def _powers(value: Tensor) -> tuple[float, float]:
    """Sums of the squares and of the fourth powers, in parts that fit into memory."""
    second = fourth = 0.0
    for values in value.flatten().split(2**22):
        squares = values.double().square()
        second, fourth = second + float(squares.sum()), fourth + float(squares.square().sum())
    return second, fourth


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    """A module's own parameters and running statistics, copied."""
    found = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    return [(name, value.detach().clone()) for name, value in found if value.is_floating_point()]


#: what normalisation layers hold while it is seen what becomes of it
MARK = 0.5


@contextmanager
def _marked(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Modules whose parameters and running statistics are all :data:`MARK` for a while."""
    tensors = [t for m in modules for t in (*m.parameters(False), *m.buffers(False))]
    held = [(t, t.data) for t in tensors if t.is_floating_point()]
    try:
        for tensor, values in held:
            tensor.data = torch.full_like(values, MARK)
        yield
    finally:
        for tensor, values in held:
            tensor.data = values


def _state(after: list[dict[str, Tensor]], names: Sequence[str]) -> str:
    """``none``, ``kept``, ``reset`` or ``mixed``: what became of some tensors of each module."""
    values = [held[name] for held in after for name in names if name in held]
    if not values:
        return "none"  # some layers keep no running statistics
    if all(value.eq(MARK).all() for value in values):
        return "kept"
    return "reset" if all(v.eq(0).all() or v.eq(1).all() for v in values) else "mixed"


@table(
    "initializations",
    by=["methods"],
    smoke={"methods": ONE_PASS, "n_steps": 1, "max_images": 2},
    quick={"methods": FAMILIES, "n_steps": 2, "path_steps": 4, "max_images": 2},
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
    quick={"n_steps": 3, "copies": 2, "max_images": 2},
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
        "networks": 1, "epochs": 1, "examples_to_train": 200, "examples_to_test": 10,
        "path_steps": 2, "noisy_copies": 2,
    },
    quick={
        "networks": 2, "epochs": 4, "examples_to_train": 1000, "examples_to_test": 20,
        "path_steps": 3, "noisy_copies": 3,
    },
)  # fmt: skip
def task_dependence(
    seed: int,
    trained_on: Sequence[str] = tuple(TASKS),
    methods: Sequence[str] = TASK_METHODS,  # fmt: skip
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
        trained_on: names from :data:`TASKS`.
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
