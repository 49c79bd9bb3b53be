"""What the rest of the library knows of a model."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from sanitygap.errors import UsageError

#: no longer side counts for more than so many times the shorter one
LONGEST = 20


@dataclass(frozen=True)
class Preprocessing:
    """From a photograph to the model's input space.

    The shorter side is resized to ``resize`` with bicubic interpolation, a central square of
    ``size`` pixels is cut, values are scaled to ``[0, scale]``, and mean and standard deviation
    (in the model's channel order) are applied.

    Attributes:
        size: side of the square input in pixels.
        resize: length of the shorter side before cropping, in pixels.
        mean, std: one value a channel, in units of the scaled values.
        scale: the largest pixel value, 1 or 255.
        channels: ``"RGB"`` or ``"BGR"``, the order in which the model expects them.

    Raises:
        UsageError: a size that is no integer, or not three means and deviations.
    """

    size: int = 224
    resize: int = 256
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    scale: float = 1.0
    channels: str = "RGB"

    def __post_init__(self) -> None:
        for name in ("size", "resize"):
            side = getattr(self, name)
            if isinstance(side, bool) or not isinstance(side, int) or side < 1:
                raise UsageError(
                    f"a preprocessing has one {name}, a number of pixels as an integer, for its "
                    f"square input; not {side!r}"
                )
        for name in ("mean", "std"):
            if len(values := tuple(getattr(self, name))) != 3:
                raise UsageError(
                    f"a preprocessing has one {name} for each of three channels, not {values}; a "
                    "network of one channel is wrapped so that it takes three"
                )
        if self.channels not in ("RGB", "BGR"):
            raise UsageError(
                f"the channels of a preprocessing are RGB or BGR, not {self.channels!r}"
            )

    def crop(self, image: Image.Image) -> Image.Image:
        """The square of ``size`` pixels that the model sees, as an RGB image."""
        image = _without_ends(image.convert("RGB"))
        factor = self.resize / min(image.size)
        width, height = (max(self.size, round(side * factor)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - self.size) // 2, (height - self.size) // 2
        return image.crop((left, top, left + self.size, top + self.size))

    def __call__(self, image: Image.Image) -> Tensor:
        """The model's input for one photograph: float32, shape ``(3, size, size)``."""
        pixels = torch.from_numpy(np.array(self.crop(image))).permute(2, 0, 1).float()
        pixels = pixels * (self.scale / 255)
        if self.channels == "BGR":
            pixels = pixels.flip(0)
        return (pixels - self._column(self.mean)) / self._column(self.std)

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest value an input can take, each of shape ``(1, 3, 1, 1)``."""
        low = (0.0 - self._column(self.mean)) / self._column(self.std)
        high = (self.scale - self._column(self.mean)) / self._column(self.std)
        return low[None], high[None]

    def to_rgb(self, inputs: Tensor) -> Tensor:
        """Model inputs ``(N, 3, H, W)`` back to RGB values in ``[0, 1]``, for display."""
        mean, std = self._column(self.mean).to(inputs), self._column(self.std).to(inputs)
        pixels = (inputs * std + mean) / self.scale
        if self.channels == "BGR":
            pixels = pixels.flip(1)
        return pixels.clamp(0, 1)

    @staticmethod
    def _column(values: tuple[float, float, float]) -> Tensor:
        return torch.tensor(values).view(3, 1, 1)


def _without_ends(image: Image.Image) -> Image.Image:
    """The middle of a strip: enlarged whole, one of 4000 x 3 pixels would be as large as a film."""
    short = min(image.size)
    width, height = (min(side, LONGEST * short) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


@dataclass(frozen=True)
class Stage:
    """One step of a randomisation order: a named group of parametrised modules.

    Attributes:
        name: the block that is redrawn, such as ``"blocks.7"``.
        modules: names of the modules in it that own parameters.
    """

    name: str
    modules: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Explainable:
    """A network in evaluation mode with all that is needed to explain and to randomise it.

    Attributes:
        spec: the text it was loaded from, without the path of a weights file.
        module: maps inputs ``(N, 3, H, W)`` to logits ``(N, C)``; parameters need no gradient.
        preprocessing: from a photograph to an input.
        stages: from the output to the input; together they own every parameter.
        class_names: one a class; empty if unknown.
        canonizers: makes fresh zennit canonizers for LRP.
        final_activation: name of a ReLU behind which the module only pools; empty if there is none.
        weights_sha256: over names and values of all parameters and buffers.
        pretrained: False for a network with random weights.
    """

    spec: str
    module: nn.Module
    preprocessing: Preprocessing
    stages: tuple[Stage, ...]
    class_names: tuple[str, ...] = ()
    canonizers: Callable[[], Sequence[Any]] = field(default=list)
    final_activation: str = ""
    weights_sha256: str = ""
    pretrained: bool = True

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return next(self.module.parameters()).device

    @property
    def example(self) -> Tensor:
        """One input that the network accepts, ``(1, 3, H, W)``: zeros."""
        size = self.preprocessing.size
        return torch.zeros(1, 3, size, size, device=self.device)

    def class_name(self, index: int) -> str:
        """The name of a class, or ``class 7`` where names are unknown."""
        return self.class_names[index] if index < len(self.class_names) else f"class {index}"

    @contextmanager
    def explained(self) -> Iterator[nn.Module]:
        """The network whose outputs attribution maps explain: the scores of the classes.

        They are the logits. Where a network takes a ReLU's outputs for logits, after pooling, the
        score of a class is what is pooled *without* that ReLU: where all of them are 0, as in a
        network with random weights they may well be, a logit depends on no pixel. What the network
        predicts is told by its logits all the same.

        Yields:
            The module, with an identity in the place of that ReLU until the end of the context.
        """
        if not self.final_activation:
            yield self.module
            return
        parent, _, name = self.final_activation.rpartition(".")
        owner, activation = (
            self.module.get_submodule(path) for path in (parent, self.final_activation)
        )
        setattr(owner, name, nn.Identity())
        try:
            yield self.module
        finally:
            setattr(owner, name, activation)

    def scores(self, inputs: Tensor) -> Tensor:
        """What attribution maps explain, ``(N, C)``; see :meth:`explained`."""
        with self.explained() as module:
            scores: Tensor = module(inputs)
        return scores

    def prepare(self, images: Sequence[Image.Image]) -> Tensor:
        """Inputs ``(N, 3, H, W)`` for photographs, float32, channels-last, on the device."""
        inputs = torch.stack([self.preprocessing(image) for image in images])
        return inputs.to(self.device).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        """Predicted classes, int64, shape ``(N,)``."""
        return self.module(inputs).argmax(1)
