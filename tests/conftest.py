"""Shared by all tests: small networks, fixed seeds, one thread a process."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sanitygap.models import Explainable, Preprocessing, Stage
from tests.models.tiny import photographs

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


class Net(nn.Module):
    """Parts, and what a forward pass makes of them: ``Net(lambda net, x: net.fc(x), fc=…)``."""

    def __init__(self, function: Callable[[Any, torch.Tensor], torch.Tensor], **parts: Any) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, x)


def small_net() -> Net:
    """Convolution, batch normalisation, ReLU, another convolution, pooling, dense layer."""

    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        x = net.act2(net.conv2(net.act(net.norm(net.conv1(x)))))
        return net.fc(net.flatten(net.pool(x)))

    return Net(
        forward, conv1=nn.Conv2d(3, 6, 3, padding=1), norm=nn.BatchNorm2d(6), act=nn.ReLU(),
        conv2=nn.Conv2d(6, 8, 3, padding=1), act2=nn.ReLU(), pool=nn.AdaptiveAvgPool2d(2),
        flatten=nn.Flatten(), fc=nn.Linear(32, 5),
    )  # fmt: skip


def make_explainable(module: nn.Module, size: int = 24) -> Explainable:
    """A module as an Explainable with one stage for each module that owns parameters."""
    from zennit.canonizers import SequentialMergeBatchNorm

    module = module.eval().requires_grad_(False)
    owners = [
        n for n, m in module.named_modules() if any(p is not None for p in m._parameters.values())
    ]
    stages = tuple(Stage(name, (name,)) for name in reversed(owners))
    return Explainable(
        "test", module, Preprocessing(size=size, resize=size), stages,
        canonizers=lambda: (SequentialMergeBatchNorm(),),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def same_folder() -> Iterator[None]:
    """No test leaves the working directory that it found: others read files from there."""
    before = Path.cwd()
    yield
    assert Path.cwd() == before


@pytest.fixture
def small() -> Explainable:
    """A small random network with non-trivial batch statistics."""
    torch.manual_seed(0)
    net = small_net()
    net.norm.running_mean.normal_()
    net.norm.running_var.uniform_(0.5, 2)
    net.norm.weight.data.uniform_(0.5, 2)
    net.norm.bias.data.normal_()
    return make_explainable(net)


@pytest.fixture
def inputs() -> torch.Tensor:
    """Four inputs for the small network."""
    return torch.randn(4, 3, 24, 24, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 21 photographs; not to be changed."""
    return photographs(tmp_path_factory.mktemp("photographs") / "folder")
