"""Residual networks for CIFAR-10 (He et al. 2016, Sect. 4.2), written so that hooks see all of it.

Every activation is a module of its own and every skip is added by an explicit sum module, as in
:mod:`sanitygap.models.efficientnet_lite`. Where shapes change the skip has no weights (option A):
it keeps every second pixel and adds channels of zeros. The weights are downloaded when they are
first used, see :func:`pretrained_cifar_resnet`.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from zennit.layer import Sum

from sanitygap.downloads import checksums, fetch
from sanitygap.errors import UsageError
from sanitygap.imagenet import CIFAR10_CLASSES
from sanitygap.models.explainable import Preprocessing

PREPROCESSING = Preprocessing(size=32, resize=32)

#: layers with weights, for which trained weights are published
DEPTHS = (20, 32, 44, 56)

#: channels of the three groups of blocks
WIDTHS = (16, 32, 64)


class PaddedShortcut(nn.Module):
    """A skip without weights into a narrower and deeper map (option A).

    Every second pixel of each row and column, between two equal numbers of channels of zeros. A
    zero contributes nothing to the sum, so rules that share relevance out give it none.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.margin = (channels_out - channels_in) // 2

    def forward(self, inputs: Tensor) -> Tensor:
        """Activations ``(N, C, H, W)`` to ``(N, C', H / 2, W / 2)``."""
        return nn.functional.pad(inputs[:, :, ::2, ::2], (0, 0, 0, 0, self.margin, self.margin))


class BasicBlock(nn.Module):
    """Two convolutions with batch normalisation and a skip around both."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        narrower = channels_in != channels_out
        stride = 2 if narrower else 1
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut = PaddedShortcut(channels_in, channels_out) if narrower else nn.Identity()
        self.sum = Sum()
        self.relu2 = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        """Activations ``(N, C, H, W)`` to ``(N, C', H', W')``."""
        outputs = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(inputs)))))
        return self.relu2(self.sum(torch.stack([self.shortcut(inputs), outputs], dim=-1)))


def _group(blocks: int, channels_in: int, channels_out: int) -> nn.Sequential:
    rest = (BasicBlock(channels_out, channels_out) for _ in range(blocks - 1))
    return nn.Sequential(BasicBlock(channels_in, channels_out), *rest)


class CifarResNet(nn.Module):
    """A ResNet of 6 n + 2 layers for ten classes: inputs ``(N, 3, 32, 32)`` to ``(N, 10)``.

    Modules are named as in the published weights, but for a stem around the first convolution and
    its normalisation, so that both are one stage.

    Args:
        depth: layers with weights, 6 n + 2 for n blocks in each of the three groups.

    Raises:
        UsageError: another number of layers.
    """

    class_names = CIFAR10_CLASSES

    def __init__(self, depth: int) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 2, 6)
        if blocks < 1 or rest:
            raise UsageError(f"a CIFAR ResNet has 6 n + 2 layers, such as 20 or 56, not {depth}")
        first, second, third = WIDTHS
        self.stem = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(3, first, 3, padding=1, bias=False),
                bn1=nn.BatchNorm2d(first),
                relu=nn.ReLU(),
            )
        )
        self.layer1 = _group(blocks, first, first)
        self.layer2 = _group(blocks, first, second)
        self.layer3 = _group(blocks, second, third)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(third, len(self.class_names))

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs ``(N, 3, H, W)`` to logits ``(N, C)``."""
        features = self.layer3(self.layer2(self.layer1(self.stem(inputs))))
        return self.linear(self.flatten(self.pool(features)))

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **options: Any) -> Any:
        """Load this network's state dictionary, or one that is laid out as the published ones.

        Those have no stem, and a prefix ``module.`` from training on several GPUs.
        """
        state = {_own_name(name): value for name, value in state_dict.items()}
        return super().load_state_dict(state, *args, **options)


def _own_name(name: str) -> str:
    """Our name for a published parameter or buffer; a name of ours stays as it is."""
    return re.sub(r"^(conv1|bn1)\.", r"stem.\1.", name.removeprefix("module."))


def pretrained_cifar_resnet(depth: int) -> CifarResNet:
    """The network with the published CIFAR-10 weights, in evaluation mode.

    They are looked for in ``cifar-resnet`` in :func:`sanitygap.downloads.cache_folder`, under the
    names in ``data/cifar-resnet.sha256``, and downloaded if they are not there: a file put there
    by hand needs no network. Their checksum is compared in any case.

    Args:
        depth: one of :data:`DEPTHS`.

    Raises:
        UsageError: no file of that checksum, and no network.
    """
    name = next(name for name in checksums("cifar-resnet") if name.startswith(f"resnet{depth}-"))
    path = fetch("cifar-resnet", only=[name], progress=False) / name
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    network = CifarResNet(depth)
    network.load_state_dict(checkpoint["state_dict"])
    return network.eval()
