"""ResNets for CIFAR-10: the published network, and where its weights come from."""

import socket
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from sanitygap import downloads
from sanitygap.errors import UsageError
from sanitygap.models import load_model
from sanitygap.models.cifar_resnet import DEPTHS, CifarResNet

#: the published files, by the number of layers
PUBLISHED = {
    20: "resnet20-12fca82f.th",
    32: "resnet32-d509ac18.th",
    44: "resnet44-014dd654.th",
    56: "resnet56-4bfd9763.th",
}


def published_state(depth: int) -> dict[str, torch.Tensor]:
    """Random weights, statistics and scales with the names of the published files."""
    source = torch.Generator().manual_seed(0)

    def draw(name: str, like: torch.Tensor) -> torch.Tensor:
        if like.ndim > 1:
            return torch.randn(like.shape, generator=source) * (2 / like[0].numel()) ** 0.5
        if name.endswith("tracked"):
            return torch.tensor(7)
        value = torch.rand(like.shape, generator=source)
        return value + 0.5 if name.endswith(("weight", "running_var")) else value - 0.5

    state = CifarResNet(depth).state_dict()
    return {f"module.{n.removeprefix('stem.')}": draw(n, value) for n, value in state.items()}


def plainly(state: dict[str, torch.Tensor], inputs: torch.Tensor, depth: int) -> torch.Tensor:
    """The network of He et al. (2016, Sect. 4.2), option A, in functions only."""

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        weight, bias, mean, variance = (
            state[f"module.{name}.{key}"].view(1, -1, 1, 1)
            for key in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias

    def conv(name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        return functional.conv2d(x, state[f"module.{name}.weight"], None, stride, 1)

    x = norm("bn1", conv("conv1", inputs)).relu()
    for group in (1, 2, 3):
        for block in range((depth - 2) // 6):
            place, stride = f"layer{group}.{block}", 2 if group > 1 and block == 0 else 1
            inner = norm(f"{place}.bn1", conv(f"{place}.conv1", x, stride)).relu()
            outputs = norm(f"{place}.bn2", conv(f"{place}.conv2", inner))
            skip = torch.zeros_like(outputs)
            first = (outputs.shape[1] - x.shape[1]) // 2
            skip[:, first : first + x.shape[1]] = x[:, :, ::stride, ::stride]
            x = (outputs + skip).relu()
    return functional.linear(
        x.mean((2, 3)), state["module.linear.weight"], state["module.linear.bias"]
    )


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without network; its folder of downloads."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(downloads, "BACKOFF", 0.01)
    monkeypatch.setenv("SANITYGAP_CACHE", str(tmp_path))
    return tmp_path / "cifar-resnet"


@pytest.mark.parametrize("depth", DEPTHS)
def test_forward_is_that_of_the_paper(depth):
    state = published_state(depth)
    network = CifarResNet(depth).eval()
    network.load_state_dict(state)
    inputs = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    expected = plainly(state, inputs, depth)
    assert torch.allclose(network(inputs), expected, rtol=1e-4, atol=1e-4 * expected.abs().max())
    layers = [p for p in network.parameters() if p.ndim > 1]
    assert len(layers) == depth, "the skips have no weights"


@pytest.mark.parametrize("depth", DEPTHS)
def test_missing_weights_are_one_clear_line(no_network, depth):
    with pytest.raises(UsageError, match="no network") as caught:
        load_model(f"cifar_resnet{depth}")
    text = str(caught.value)
    assert f"put {PUBLISHED[depth]} there by hand" in text
    assert str(no_network) in text
    assert "cifar_resnet20@PATH" in text
    assert "\n" not in text
