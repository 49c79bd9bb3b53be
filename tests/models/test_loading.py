"""Model specs and the preflight check: what can be loaded, and what is wrong, in one clear line."""

import os
import pickle
import sys

import pytest
import torch
from torch import nn

from sanitygap.attribution import METHODS
from sanitygap.errors import UsageError
from sanitygap.models import Preprocessing, load_model
from sanitygap.models.loading import weights_sha256
from sanitygap.models.preflight import Finding, check_model
from tests.cases import cases
from tests.models.tiny import TINY, Tiny


@pytest.fixture
def weights(tmp_path):
    """A state dictionary of the tiny network."""
    torch.manual_seed(11)
    path = tmp_path / "weights.pth"
    torch.save(Tiny().state_dict(), path)
    return path


def refusal(spec: str, device: str = "cpu") -> str:
    with pytest.raises(UsageError) as caught:
        load_model(spec, device)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_factory_gives_a_ready_network():
    model = load_model(TINY)
    assert model.spec == TINY
    assert model.preprocessing == Preprocessing(size=32, resize=32)
    assert model.class_names == ("ant", "bee", "cat", "dog", "elk")
    assert [stage.name for stage in model.stages] == ["fc", "conv2", "norm1", "conv1"]
    assert not model.pretrained
    assert not model.module.training
    assert not any(parameter.requires_grad for parameter in model.module.parameters())
    assert len(model.weights_sha256) == 64


def test_a_factory_with_weights(weights):
    model = load_model(f"{TINY}@{weights}")
    state = torch.load(weights, weights_only=True)
    assert model.pretrained
    assert model.spec == TINY, "the spec names no file of this machine"
    assert all(torch.equal(model.module.state_dict()[name], state[name]) for name in state)


def test_a_module_beside_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "besides.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1),\n"
        "                        nn.Flatten(), nn.Linear(4, 3))\n"
        "    net.pretrained = True\n"
        "    return net\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    model = load_model("besides:make")
    assert model.pretrained
    assert model.class_name(2) == "class 2"
    assert sys.path == before


@pytest.mark.parametrize(("spec", "words"), cases("models"))
def test_refused_models(spec, words):
    assert words in refusal(spec)


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "meta", "banana"])
def test_refused_devices(device):
    if device.startswith("cuda") and torch.cuda.is_available():
        device = "cuda:99"
    assert f"the device {device!r} cannot be used" in refusal(TINY, device)


class Command:
    def __init__(self, marker) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_a_weights_file_with_code_is_refused_and_not_run(tmp_path):
    ran, path = tmp_path / "ran", tmp_path / "weights.pth"
    command = Command(ran)
    for save in (torch.save, lambda value, place: place.write_bytes(pickle.dumps(value))):
        save({"conv1.weight": command}, path)
        assert "is not a weights file that can be loaded safely" in refusal(f"{TINY}@{path}")
        assert not ran.exists()


@pytest.mark.parametrize("content", [b"", b"not weights\n", b"PK\x03\x04broken", b"\x80\x04N."])
def test_files_that_are_no_weights(tmp_path, content, recwarn):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    text = refusal(f"{TINY}@{path}")
    assert not recwarn.list, "a warning would make it more than one line"
    assert "is not a weights file" in text or "holds no state dictionary" in text


def test_weights_of_another_network(weights):
    state = torch.load(weights, weights_only=True)
    state["fc.weight"] = torch.zeros(7, 32)
    torch.save(state, weights)
    assert "do not fit this model" in refusal(f"{TINY}@{weights}")
    torch.save({"other": torch.zeros(1)}, weights)
    assert "do not fit this model" in refusal(f"{TINY}@{weights}")
    torch.save({}, weights)
    assert "do not fit this model" in refusal(f"{TINY}@{weights}")


def test_the_hash_of_weights_sees_names_shapes_and_values():
    def digest(change) -> str:
        torch.manual_seed(0)
        module = Tiny()
        with torch.no_grad():
            change(module)
        return weights_sha256(module)

    plain = digest(lambda module: None)
    assert digest(lambda module: None) == plain
    assert digest(lambda module: module.to(memory_format=torch.channels_last)) == plain
    changes = [
        lambda module: module.fc.bias[0].add_(1e-6),
        lambda module: module.norm1.running_mean[0].add_(1),
        lambda module: setattr(module.norm1, "num_batches_tracked", torch.tensor(1)),
        lambda module: module.register_buffer("extra", torch.zeros(1)),
        lambda module: module.half(),
    ]
    digests = [plain, *(digest(change) for change in changes)]
    assert len(set(digests)) == len(digests)


def failed(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.detail for finding in findings if not finding.passed}


def test_a_sound_network_passes_every_check():
    findings = check_model(load_model(TINY))
    assert failed(findings) == {}
    names = [finding.check for finding in findings]
    assert len(names) == len(set(names)) == len(METHODS) + 7
    assert sum(name.startswith("method ") for name in names) == len(METHODS)
    assert all(finding.detail for finding in findings)


@pytest.mark.parametrize(("factory", "check", "detail"), cases("networks with a fault"))
def test_what_is_wrong_is_named(factory, check, detail):
    found = failed(check_model(load_model(f"tests.models.tiny:{factory}"), ["gradient", "noise"]))
    assert detail in found[check]
    assert "\n" not in found[check]


LRP_CHECK = "LRP relevance reaches the input or is kept by neurons"


@pytest.mark.parametrize(
    ("join", "lost"),
    [
        (lambda x, change: x + change, False),
        (lambda x, change: x - change, True),
        (lambda x, change: torch.stack([x, change]).sum(0), True),  # doubles it
    ],
    ids=["sum", "difference", "hidden sum"],
)
def test_operators_without_a_rule_are_found_out(join, lost):
    """A bare addition has a rule; relevance goes astray at a bare subtraction."""
    import tests.models.tiny as tiny

    class Skip(tiny.Tiny):
        def forward(self, x):
            x = self.relu1(self.norm1(self.conv1(x)))
            return self.fc(self.flatten(self.pool(join(x, self.relu2(self.conv2(x))))))

    def skipping() -> nn.Module:
        module = Skip()
        module.conv2, module.fc = nn.Conv2d(6, 6, 3, padding=1), nn.Linear(24, 5)
        return module

    tiny.skipping = skipping
    try:
        findings = check_model(load_model("tests.models.tiny:skipping"), ["lrp-epsilon-plus"])
    finally:
        del tiny.skipping
    assert list(failed(findings)) == ([LRP_CHECK] if lost else [])
    [detail] = [finding.detail for finding in findings if finding.check == LRP_CHECK]
    assert ("together" in detail) == lost
