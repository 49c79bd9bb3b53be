"""ResNets for CIFAR-10: the published network, and where its weights come from."""

import hashlib
import socket
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from sanitygap import downloads
from sanitygap.errors import UsageError
from sanitygap.models import Explainable, load_model
from sanitygap.models.cifar_resnet import DEPTHS, CifarResNet
from sanitygap.models.preflight import check_model

#: the published files, by the number of layers
PUBLISHED = {
    20: "resnet20-12fca82f.th",
    32: "resnet32-d509ac18.th",
    44: "resnet44-014dd654.th",
    56: "resnet56-4bfd9763.th",
}


def published_state(depth: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights, statistics and scales in the layout of the published files."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (16, 3, 3, 3)}
    norms = {"bn1": 16}
    width = 16
    for group, channels in enumerate((16, 32, 64), 1):
        for block in range((depth - 2) // 6):
            for number in (1, 2):
                place = f"layer{group}.{block}"
                shapes[f"{place}.conv{number}.weight"] = (channels, width, 3, 3)
                norms[f"{place}.bn{number}"] = channels
                width = channels
    source = torch.Generator().manual_seed(seed)
    state = {
        name: torch.randn(shape, generator=source) * (2 / (9 * shape[1])) ** 0.5
        for name, shape in shapes.items()
    }
    for name, channels in norms.items():
        for key in ("weight", "bias", "running_mean", "running_var"):
            value = torch.rand(channels, generator=source)
            state[f"{name}.{key}"] = (
                value + 0.5 if key in ("weight", "running_var") else value - 0.5
            )
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)
    state["linear.weight"] = torch.randn(10, 64, generator=source)
    state["linear.bias"] = torch.randn(10, generator=source)
    return {f"module.{name}": value for name, value in state.items()}


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


def save(folder: Path, state: dict[str, torch.Tensor]) -> Path:
    """A checkpoint as published: a dictionary of several things."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": state, "best_prec1": 90.0}, folder / "checkpoint.th")
    return folder / "checkpoint.th"


@pytest.fixture
def small(tmp_path: Path) -> Explainable:
    """The smallest of the networks, with random weights."""
    return load_model(f"cifar_resnet20@{save(tmp_path, published_state(20))}")


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


@pytest.mark.parametrize("depth", [2, 18, 21, -4])
def test_other_depths_are_refused(depth):
    with pytest.raises(UsageError, match="6 n \\+ 2"):
        CifarResNet(depth)


def test_stages_are_the_blocks(small):
    blocks = [f"layer{group}.{block}" for group in (3, 2, 1) for block in (2, 1, 0)]
    assert [stage.name for stage in small.stages] == ["linear", *blocks, "stem"]
    parts = dict(small.module.named_modules())
    owned = [
        parameter
        for stage in small.stages
        for name in stage.modules
        for parameter in parts[name].parameters(recurse=False)
    ]
    assert {id(p) for p in owned} == {id(p) for p in small.module.parameters()}
    assert len(owned) == len(list(small.module.parameters()))


def test_a_network_is_ready(small):
    assert small.class_names[3] == "cat"
    assert small.preprocessing.size == small.preprocessing.resize == 32
    assert small.preprocessing.mean == (0.485, 0.456, 0.406)
    assert not small.module.training
    methods = ["gradient", "guided-backprop", "captum-guided-backprop", "lrp-epsilon-plus"]
    assert [f for f in check_model(small, methods) if not f.passed] == []


def test_every_rectifier_and_every_sum_is_a_module_called_once(small):
    calls: dict[str, int] = {}
    for name, part in small.module.named_modules():
        if type(part).__name__ in ("ReLU", "Sum"):
            calls[name] = 0
            part.register_forward_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
    logits = small.module(torch.zeros(1, 3, 32, 32).requires_grad_())
    assert set(calls.values()) == {1}
    nodes, found = [logits.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is not None and node not in found:
            found.add(node)
            nodes += [above for above, _ in node.next_functions]
    counts = [node.name() for node in found]
    assert counts.count("ReluBackward0") == 19
    assert counts.count("AddBackward0") == 0
    assert len(calls) == 19 + 9


def test_weights_of_ones_own_in_both_layouts(tmp_path, small):
    state = published_state(20)
    own = small.module.state_dict()
    assert len(own) == len(state)
    assert torch.equal(own["stem.conv1.weight"], state["module.conv1.weight"])
    assert torch.equal(own["layer3.2.bn2.running_var"], state["module.layer3.2.bn2.running_var"])
    torch.save(own, tmp_path / "own.pth")
    again = load_model(f"cifar_resnet20@{tmp_path / 'own.pth'}")
    assert again.weights_sha256 == small.weights_sha256
    assert again.spec == "cifar_resnet20"
    assert again.pretrained
    with pytest.raises(UsageError, match="do not fit this model"):
        load_model(f"cifar_resnet32@{tmp_path / 'own.pth'}")


def test_a_file_put_into_the_cache_needs_no_network(no_network, monkeypatch, small):
    content = save(no_network, published_state(20)).rename(no_network / PUBLISHED[20]).read_bytes()
    recorded = {PUBLISHED[20]: hashlib.sha256(content).hexdigest()}
    for room in ("downloads", "models.cifar_resnet"):
        monkeypatch.setattr(f"sanitygap.{room}.checksums", lambda name: recorded)
    model = load_model("cifar_resnet20")
    assert model.weights_sha256 == small.weights_sha256
    assert model.pretrained


@pytest.mark.parametrize("depth", DEPTHS)
def test_missing_weights_are_one_clear_line(no_network, depth):
    with pytest.raises(UsageError, match="no network") as caught:
        load_model(f"cifar_resnet{depth}")
    text = str(caught.value)
    assert f"put {PUBLISHED[depth]} there by hand" in text
    assert str(no_network) in text
    assert "cifar_resnet20@PATH" in text
    assert "\n" not in text


def test_a_file_with_another_checksum_is_not_used(no_network):
    save(no_network, published_state(56)).rename(no_network / PUBLISHED[56])
    with pytest.raises(UsageError, match=f"0 of 1 files are in .*put {PUBLISHED[56]} there"):
        load_model("cifar_resnet56")
