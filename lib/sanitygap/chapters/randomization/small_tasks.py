"""Small classification tasks, made from data inside installed packages, and a network for them.

The outcome of the randomisation test is said to depend on the task (Yona and Greenfeld 2021;
Kokhlikyan et al. 2021; both as Binder et al. 2022, §1.1, report them). The four tasks have ten
classes and images of 32 pixels. They differ in what surrounds the object, or have no object.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.transform import resize
from sklearn.datasets import load_digits
from torch import nn

from sanitygap.errors import unknown_name
from sanitygap.images import ImageSet, load_images
from sanitygap.models.explainable import Explainable, Preprocessing
from sanitygap.seeds import stable_seed
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
    "digits on texture": _digit_on(
        lambda rng, train: _crop(int(rng.integers(CLASSES)), rng, train)
    ),
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


def trained_network(
    task: str, seed: int, epochs: int, count: int = 2000, batch_size: int = 50
) -> Explainable:
    """The small network trained on a task with Adam (learning rate 0.002), on the CPU.

    Args:
        task: from :data:`TASKS`.
        seed: of initial weights, examples and their order.
        epochs: passes through the examples.
        count: number of examples.
        batch_size: examples in one step.

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
        for chosen in torch.randperm(count, generator=source).split(batch_size):
            descend(network, optimizer, inputs, labels, chosen)
    return explained_by_layers(f"small network, {task}", network, PREPROCESSING)


@torch.no_grad()
def accuracy(model: Explainable, data: Examples) -> float:
    """Share of examples whose class is predicted."""
    predicted = model.predict(as_inputs(data.images))
    return float((predicted == torch.from_numpy(data.labels)).double().mean())
