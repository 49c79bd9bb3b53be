"""Model specs: what can be loaded, and what is refused in one clear line."""

import os
import pickle
import shutil
import sys
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from torchvision import models

from sanitygap.errors import UsageError
from sanitygap.files import file_sha256
from sanitygap.models import Preprocessing, load_model
from sanitygap.models.loading import weights_sha256
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
    (tmp_path / "random.py").write_text("raise RuntimeError('in the place of a library')\n")
    model = load_model("besides:make")
    assert model.pretrained
    assert model.class_name(2) == "class 2"
    assert sys.path[-1] == str(tmp_path), "behind the libraries"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("efficientnet_light0", "did you mean efficientnet_lite0"),
        ("nonsense", "unknown model 'nonsense'; known: efficientnet_lite0"),
        ("", "unknown model ''"),
        ("torchvision:resnet19", "did you mean resnet1"),
        ("torchvision:", "unknown torchvision model"),
        ("no_such_module:make", "cannot import 'no_such_module'"),
        (":make", "unknown model ':make'"),
        (".tiny:network", "unknown model '.tiny:network'"),
        ("resnet50", "did you mean torchvision:resnet50"),
        ("my_models.py:net", "write my_models:net"),
        ("tests.models.tiny:missing", "has no 'missing'"),
        ("tests.models.tiny:not_callable", "is no function"),
        ("tests.models.tiny:not_a_module", "returned str; return a torch.nn.Module"),
        ("tests.models.tiny:failing", "failed: ValueError: no weights at hand (tiny.py, line"),
        ("tests.models.tiny:Changed", "missing 1 required positional argument"),
        ("tests.models.tiny:wrong_preprocessing", "must be a sanitygap.models.Preprocessing"),
        ("tests.models.tiny:wrong_size", "does not accept a 3 x 224 x 224 input"),
        ("tests.models.tiny:assertive", "Wrong image height!"),
        ("tests.models.tiny:tuple_output", "returns a tuple; wrap it"),
        ("tests.models.tiny:nan_logits", "NaN or infinite logits"),
        ("tests.models.tiny:one_logit", "returns one number for one image"),
        ("tests.models.tiny:no_gradient", "computes its logits without gradients"),
        ("tests.models.tiny:map_output", "shape (1, 5, 1, 1) for one image"),
        ("tests.models.tiny:parameterless", "no parameters"),
        ("tests.models.tiny:drawn_anew", "draws new weights at each call, so it is untrained"),
        ("torchvision:resnet18@IMAGENET1K_V9", "did you mean IMAGENET1K_V1"),
        (f"{TINY}@", "names no weights; write a path"),
        (f"{TINY}@missing.pth", "no weights file at missing.pth"),
        (f"{TINY}@tests", "no weights file at tests"),
    ],
)
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


@pytest.mark.parametrize("value", [[1, 2], {"a": 3}, {"state_dict": 4}, {1: torch.zeros(1)}])
def test_files_without_a_state_dictionary(tmp_path, value):
    torch.save(value, tmp_path / "weights.pth")
    assert "holds no state dictionary" in refusal(f"{TINY}@{tmp_path / 'weights.pth'}")


def test_weights_of_another_network(weights):
    state = torch.load(weights, weights_only=True)
    state["fc.weight"] = torch.zeros(7, 32)
    torch.save(state, weights)
    assert "do not fit this model" in refusal(f"{TINY}@{weights}")
    torch.save({"other": torch.zeros(1)}, weights)
    assert "do not fit this model" in refusal(f"{TINY}@{weights}")
    torch.save({}, weights)
    assert "do not fit this model" in refusal(f"{TINY}@{weights}")


@pytest.mark.parametrize("wrap", ["state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model."])
def test_weights_as_training_scripts_save_them(weights, wrap, prefix):
    state = torch.load(weights, weights_only=True)
    torch.save({wrap: {f"{prefix}{name}": value for name, value in state.items()}}, weights)
    module = load_model(f"{TINY}@{weights}").module
    assert all(torch.equal(module.state_dict()[name], value) for name, value in state.items())


class TestPublishedWeights:
    """torchvision's weights: asked for by the bare name, never replaced by random ones."""

    SPEC = "torchvision:squeezenet1_1"

    @pytest.fixture
    def published(self, tmp_path, monkeypatch):
        """A file of weights whose name bears its checksum, as torchvision's do."""
        torch.manual_seed(4)
        torch.save(models.squeezenet1_1().state_dict(), tmp_path / "weights.pth")
        digest = file_sha256(tmp_path / "weights.pth")
        file = (tmp_path / "weights.pth").rename(tmp_path / f"squeezenet1_1-{digest[:8]}.pth")
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
        return file

    def name_as_published(self, monkeypatch, url):
        entry = models.SqueezeNet1_1_Weights.IMAGENET1K_V1
        monkeypatch.setattr(entry, "_value_", replace(entry.value, url=url))

    def test_from_the_cache(self, published, monkeypatch):
        cached = published.parent / "cache" / "hub" / "checkpoints" / published.name
        cached.parent.mkdir(parents=True)
        shutil.copy(published, cached)
        self.name_as_published(monkeypatch, f"https://example.invalid/{published.name}")
        model = load_model(self.SPEC)
        assert (model.pretrained, model.spec) == (True, self.SPEC)
        state = torch.load(published, weights_only=True)
        assert torch.equal(model.module.state_dict()["features.0.bias"], state["features.0.bias"])
        cached.write_bytes(published.read_bytes()[:-7])
        assert "is damaged; delete it" in refusal(self.SPEC)

    def test_from_a_server(self, published, monkeypatch):
        handler = partial(SimpleHTTPRequestHandler, directory=str(published.parent))
        handler.log_message = lambda *_: None
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            address = f"http://127.0.0.1:{server.server_port}/{published.name}"
            self.name_as_published(monkeypatch, address)
            assert load_model(f"{self.SPEC}@IMAGENET1K_V1").pretrained
            server.shutdown()
        assert (published.parent / "cache" / "hub" / "checkpoints" / published.name).is_file()

    def test_without_cache_and_network(self, published, monkeypatch):
        self.name_as_published(monkeypatch, f"http://127.0.0.1:9/{published.name}")
        text = refusal(self.SPEC)
        assert "not in the cache and cannot be downloaded" in text
        assert f"{self.SPEC}@random" in text

    def test_random_weights_are_asked_for_and_said(self):
        model = load_model(f"{self.SPEC}@random")
        assert (model.pretrained, model.spec) == (False, f"{self.SPEC}@random")
        embedded = load_model("squeezenet1_1@random")
        assert (embedded.pretrained, embedded.spec) == (False, "squeezenet1_1@random")


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
