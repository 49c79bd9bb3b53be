"""A tiny network, networks that a run must refuse, a folder of photographs and an empty project.

The factories are named in model specs such as ``tests.models.tiny:network``.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from sanitygap.models import Preprocessing

SIZE = 32
TINY = "tests.models.tiny:network"


class Tiny(nn.Module):
    """Two convolutions with batch normalisation and ReLU, then a dense layer; five classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, stride=2)
        self.norm1 = nn.BatchNorm2d(6)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(6, 8, 3)
        self.relu2 = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(32, 5)
        self.preprocessing = Preprocessing(size=SIZE, resize=SIZE)
        self.class_names = ("ant", "bee", "cat", "dog", "elk")
        self.pretrained = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu1(self.norm1(self.conv1(x)))
        x = self.relu2(self.conv2(x))
        return self.fc(self.flatten(self.pool(x)))


def network() -> nn.Module:
    """The tiny network; its weights are drawn from the seed that ``load_model`` sets."""
    return Tiny()


def drawn_anew() -> nn.Module:
    """The tiny network, which does not say that it is untrained."""
    net = Tiny()
    del net.pretrained
    return net


class Changed(Tiny):
    """The tiny network with something done to its logits."""

    def __init__(self, change) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.change(super().forward(x))


def changed(change: Callable[[torch.Tensor], object]) -> Callable[[], nn.Module]:
    """A factory of the tiny network with something done to its logits."""
    return lambda: Changed(change)


tuple_output = changed(lambda logits: (logits, logits))
nan_logits = changed(lambda logits: logits / 0 * 0)
one_logit = changed(lambda logits: logits[:, :1])
map_output = changed(lambda logits: logits[:, :, None, None])
active_dropout = changed(lambda logits: nn.functional.dropout(logits, 0.5))
batch_dependent = changed(lambda logits: logits - logits.mean(0, keepdim=True) + logits.mean())
no_gradient = changed(lambda logits: logits.detach())


def only_single_images() -> nn.Module:
    def change(logits: torch.Tensor) -> torch.Tensor:
        if len(logits) > 1:
            raise ValueError("one image at a time")
        return logits

    return Changed(change)


def wrong_size() -> nn.Module:
    """Made for 32 pixels, but says nothing of it, so it gets 224."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 30 * 30, 5))
    net.pretrained = False
    return net


class Assertive(nn.Module):
    """Complains about the size of its input with an assertion, as vision transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 5)
        self.pretrained = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch._assert(x.shape[-1] == 48, "Wrong image height!")
        return self.fc(x.mean((2, 3)))


def assertive() -> nn.Module:
    return Assertive()


def parameterless() -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def not_a_module() -> object:
    return "a network"


def failing() -> nn.Module:
    raise ValueError("no weights\nat hand")


def wrong_preprocessing() -> nn.Module:
    module = Tiny()
    module.preprocessing = 224
    return module


not_callable = 3


def photographs(folder: Path, count: int = 21) -> Path:
    """A folder of smooth coloured images, each different, 40 x 36 pixels."""
    folder.mkdir()
    rows, columns = np.mgrid[:36, :40] / 40
    for number in range(count):
        rng = np.random.default_rng(number)
        waves = rng.normal(size=(3, 3))
        pixels = [127 + 60 * np.sin(9 * (a * rows + b * columns + c)) for a, b, c in waves]
        noise = rng.normal(scale=20, size=(36, 40, 3))
        image = (np.stack(pixels, axis=-1) + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / f"photo-{number:02}.png")
    return folder


def project(folder: Path) -> Path:
    """An empty book: what :func:`sanitygap.files.find_root` looks for."""
    (folder / "notebooks").mkdir(parents=True)
    (folder / "_toc.yml").write_text("format: jb-book\nroot: book/index\n", encoding="utf-8")
    return folder
