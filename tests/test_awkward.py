"""Awkward networks, weights files and images: each works, or is refused in one line that helps."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import models as zoo

from sanitygap import show
from sanitygap.chapters.randomization.show import randomization_curves
from sanitygap.errors import UsageError
from sanitygap.images import load_images
from sanitygap.importing import CALLED_FROM
from sanitygap.models import Explainable, Preprocessing, load_model
from sanitygap.models.preflight import check_model
from sanitygap.runs import Study
from tests.models import tiny
from tests.models.tiny import Changed, Tiny, photographs, project

WORKS = ""

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch, about its own odd modules

METHODS = (
    "gradient", "guided-backprop", "lrp-epsilon-plus", "lrp-gamma", "grad-cam", "fullgrad",
    "deeplift", "iba",
)  # fmt: skip


def sized(network: nn.Module, size: int = 32) -> nn.Module:
    """A network that says which inputs it takes, and that it is untrained."""
    network.preprocessing = Preprocessing(size, size, (0.5,) * 3, (0.5,) * 3)
    network.pretrained = False
    return network


def layers(*middle: nn.Module, inputs: int = 3, classes: int = 5, size: int = 32) -> nn.Module:
    first, last = nn.Conv2d(inputs, 8, 3, 2), nn.Linear(8, classes)
    return sized(nn.Sequential(first, *middle, nn.AdaptiveAvgPool2d(1), nn.Flatten(), last), size)


class Called(nn.Module):
    """A network that is called in another way."""

    def __init__(self, network: nn.Module, forward: Callable[..., object]) -> None:
        super().__init__()
        self.network, self.way = network, forward
        sized(self)

    def forward(self, x: torch.Tensor) -> object:
        return self.way(self.network, x)


class TwoArguments(Tiny):
    def forward(self, x, text):
        return super().forward(x)


@dataclass
class Output:
    """What networks of Hugging Face return."""

    logits: torch.Tensor


def transformer() -> nn.Module:
    network = zoo.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5)
    network.heads.head.reset_parameters()  # torchvision makes it of zeros
    return sized(network)


def swin() -> nn.Module:
    kind = zoo.swin_transformer.SwinTransformer
    return sized(kind([4, 4], 12, [1, 1], [2, 2], [4, 4], num_classes=5))


def convnext() -> nn.Module:
    blocks = [(8, 16, 1), (16, None, 1)]
    return sized(zoo.ConvNeXt([zoo.convnext.CNBlockConfig(*b) for b in blocks], num_classes=5))


def dense() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 8), nn.ReLU(), nn.Linear(8, 5))


def called(way: Callable[..., object], **options: int) -> nn.Module:
    return Called(layers(nn.ReLU(), **options), way)


#: factories, each named ``tests.test_awkward:NETWORKS.name``
NETWORKS = SimpleNamespace(
    vit=transformer,
    swin=swin,
    convnext=convnext,
    logits_inside=lambda: called(lambda net, x: Output(net(x))),
    grey_wrapped=lambda: called(lambda net, x: net(x.mean(1, keepdim=True)), inputs=1),
    two_classes=lambda: layers(nn.ReLU(), classes=2),
    pixels_512=lambda: layers(nn.MaxPool2d(8), nn.ReLU(), size=512),
    one_stage=lambda: sized(nn.Sequential(nn.Flatten(), nn.Linear(3072, 5))),
    group_norm=lambda: layers(nn.GroupNorm(2, 8), nn.ReLU()),
    layer_norm=lambda: layers(nn.LayerNorm([15, 15]), nn.ReLU()),
    instance_norm=lambda: layers(nn.ReLU(), nn.InstanceNorm2d(8)),
    double=lambda: layers(nn.ReLU()).double(),
    bfloat16=lambda: layers(nn.ReLU()).bfloat16(),
    parallel=lambda: sized(nn.DataParallel(layers(nn.ReLU()))),
    no_relu=lambda: layers(nn.Tanh()),
    dense=lambda: sized(dense()),
    frozen=lambda: layers(nn.ReLU()).requires_grad_(False),
    training=lambda: layers(nn.BatchNorm2d(8), nn.Dropout(), nn.ReLU()).train(),
    # those that are refused
    grey=lambda: layers(nn.ReLU(), inputs=1),
    one_logit=lambda: layers(nn.ReLU(), classes=1),
    flat_logit=lambda: called(lambda net, x: net(x)[:, 0], classes=1),
    scripted=lambda: torch.jit.trace(layers(nn.ReLU()), torch.zeros(1, 3, 32, 32)),
    lazy=lambda: sized(nn.Sequential(nn.Flatten(), nn.LazyLinear(5))),
    quantised=lambda: sized(torch.ao.quantization.quantize_dynamic(dense(), {nn.Linear})),
    without_gradient=lambda: called(torch.no_grad()(lambda net, x: net(x))),
    softmax=lambda: Changed(lambda logits: logits.softmax(1)),
    monte_carlo=tiny.active_dropout,
    by_batch=lambda: layers(nn.BatchNorm2d(8, track_running_stats=False), nn.ReLU()),
    drawn_anew=tiny.drawn_anew,
    two_arguments=TwoArguments,
    double_inside=lambda: called(lambda net, x: net(x.double())),
    two_sides=lambda: Preprocessing(size=(224, 224)),
    one_mean=lambda: Preprocessing(mean=(0.5,)),
    in_place=lambda: called(lambda net, x: net(x.sub_(0.5))),
    constant=lambda: Changed(lambda logits: logits * 0 + 1),
    complex_weights=lambda: sized(dense().to(torch.cfloat)),
    nothing=lambda: None,
    a_dictionary=lambda: Changed(lambda logits: {"out": logits}),
)


def loaded(name: str) -> Explainable:
    return load_model(f"tests.test_awkward:NETWORKS.{name}")


@pytest.mark.parametrize(
    "name",
    [
        "vit", "swin", "convnext", "logits_inside", "grey_wrapped", "two_classes", "pixels_512",
        "one_stage", "group_norm", "layer_norm", "instance_norm", "double", "bfloat16", "parallel",
        "no_relu", "dense", "frozen", "training",
    ],
)  # fmt: skip
def test_network_works(name: str) -> None:
    """Every check passes; a method that is not defined for the network says so."""
    model = loaded(name)
    findings = check_model(model, METHODS)
    assert not [f for f in findings if not f.passed and not f.check.startswith("LRP")]
    left_out = {f.check for f in findings if "not defined for this network" in f.detail}
    if name in ("vit", "swin"):
        assert {"method lrp-epsilon-plus", "method lrp-gamma", "method fullgrad"} <= left_out
        blocks = [stage.name for stage in model.stages if any("att" in m for m in stage.modules)]
        assert len(blocks) == 2
        assert not any(a.startswith(f"{b}.") for a in blocks for b in blocks)


REFUSED = {
    "grey": "it takes one channel: wrap it",
    "one_logit": "one number for one image; wrap it so that it returns two logits",
    "flat_logit": "one number for one image; wrap it so that it returns two logits",
    "scripted": "TorchScript module, .*give the Python module",
    "lazy": "lazy layers .*call the network once",
    "quantised": "quantised layers .*floating-point weights",
    "without_gradient": "without gradients; take torch.no_grad",
    "softmax": "its outputs are probabilities: return what the softmax is taken of",
    "monte_carlo": "differs between calls: dropout or noise is active",
    "by_batch": "do not depend on its batch",
    "drawn_anew": "draws new weights at each call, .*load weights in it",
    "two_arguments": "wrap it so that its forward takes a batch of images and nothing else",
    "double_inside": "let its forward compute in float32",
    "two_sides": "one size, a number of pixels as an integer",
    "one_mean": "one mean for each of three channels",
    "in_place": "in-place",
    "constant": "no logit depends on the input",
    "complex_weights": "complex weights",
    "nothing": "returned NoneType; return a torch.nn.Module",
    "a_dictionary": "returns a dict; wrap it",
}


@pytest.mark.parametrize(("name", "words"), REFUSED.items())
def test_network_is_refused(name: str, words: str, tmp_path: Path) -> None:
    """Before anything is computed: at loading, or by the checks before a run."""
    study = Study(
        root=project(tmp_path / "book"), model=f"tests.test_awkward:NETWORKS.{name}",
        images=f"folder:{photographs(tmp_path / 'photographs', 2)}",
    )  # fmt: skip
    with pytest.raises(UsageError, match=words) as error:
        study.check()
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("resnet50", "did you mean torchvision:resnet50"),
        ("torchvision:resnet5", "did you mean"),
        ("hf:someone/network", "hf: models need transformers; pip install transformers"),
        ("my_models.py:network", "write my_models:network"),
        ("no_such_module:network", "cannot import 'no_such_module'"),
        ("tests.models.tiny:no_such", "has no 'no_such'"),
        ("tests.models.tiny:failing", "no weights at hand"),
        ("tests.models.tiny:network@", "names no weights"),
    ],
)
def test_spec_is_refused(spec: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=words) as error:
        load_model(spec)
    assert "\n" not in str(error.value)


def test_a_network_of_hugging_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for transformers: what it is asked, and what becomes of its answers."""
    config = SimpleNamespace(id2label=dict(enumerate(tiny.Tiny().class_names)))
    processor = SimpleNamespace(
        size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32}, do_center_crop=True,
        image_mean=[0.5] * 3, image_std=[0.25] * 3,
    )  # fmt: skip
    asked = {}

    def trained(name: str, **options: object) -> nn.Module:
        asked[name] = options
        return NETWORKS.logits_inside()

    transformers = SimpleNamespace(
        AutoConfig=SimpleNamespace(from_pretrained=lambda name: config),
        AutoImageProcessor=SimpleNamespace(from_pretrained=lambda name: processor),
        AutoModelForImageClassification=SimpleNamespace(
            from_pretrained=trained, from_config=lambda config: NETWORKS.logits_inside()
        ),
    )
    monkeypatch.setitem(sys.modules, "transformers", transformers)
    model = load_model("hf:someone/network")
    assert asked == {"someone/network": {"use_safetensors": True}}
    assert model.preprocessing == Preprocessing(32, 36, (0.5,) * 3, (0.25,) * 3)
    assert (model.class_name(0), model.pretrained) == ("ant", True)
    assert model.scores(model.example).shape == (1, 5)
    assert not load_model("hf:someone/network@random").pretrained
    assert len(asked) == 1
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv(CALLED_FROM, str(tmp_path))  # as kernels know it, which work elsewhere
    load_model("hf:mine")
    assert list(asked) == ["someone/network", str(tmp_path / "mine")]


def renamed(prefix: str) -> Callable[[dict[str, torch.Tensor]], object]:
    return lambda state: {f"{prefix}{name}": value for name, value in state.items()}


WEIGHTS: dict[str, tuple[Callable[[dict[str, torch.Tensor]], object], str]] = {
    "plain": (lambda state: state, WORKS),
    "module.": (renamed("module."), WORKS),
    "_orig_mod.": (renamed("_orig_mod."), WORKS),
    "model.": (renamed("model."), WORKS),
    "state_dict": (lambda state: {"state_dict": state, "epoch": 3}, WORKS),
    "model": (lambda state: {"model": state}, WORKS),
    "model_state_dict": (lambda state: {"model_state_dict": state}, WORKS),
    "half": (lambda state: {name: value.half() for name, value in state.items()}, WORKS),
    "list": (lambda state: list(state.values()), "holds no state dictionary"),
    "complex": (lambda state: renamed("")(state) | {"fc.bias": torch.zeros(5).cfloat()}, "of real"),
    "missing": (lambda state: {"fc.bias": state["fc.bias"]}, "are missing, such as"),
    "extra": (lambda state: {**state, "other": torch.zeros(1)}, "are none of the model's"),
    "shape": (lambda state: {**state, "fc.bias": torch.zeros(7)}, "have another shape"),
    "whole module": (lambda state: nn.Linear(2, 2), "cannot be loaded|can be loaded safely"),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_file(name: str, tmp_path: Path) -> None:
    change, words = WEIGHTS[name]
    path = tmp_path / "weights.pth"
    torch.save(change(Tiny().state_dict()), path)
    spec = f"{tiny.TINY}@{path}"
    if words == WORKS:
        assert load_model(spec).pretrained
        return
    with pytest.raises(UsageError, match=words):
        load_model(spec)


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04"])
def test_file_that_holds_no_weights(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(UsageError, match="can be loaded safely"):
        load_model(f"{tiny.TINY}@{tmp_path / 'weights.pth'}")


def picture(wide: int = 40, high: int = 36, flat: bool = False) -> Image.Image:
    values = (
        np.full((high, wide, 3), 128)
        if flat
        else np.random.default_rng(0).integers(0, 256, (high, wide, 3))
    )
    return Image.fromarray(values.astype(np.uint8))


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("a.gif", picture()), ("a.tif", picture()), ("a.TIFF", picture()), ("a.jfif", picture()),
        ("a.webp", picture()), ("a.bmp", picture()), ("a.jpg", picture().convert("CMYK")),
        ("b.png", picture().convert("P")), ("c.png", picture().convert("LA")),
        ("d.png", picture().convert("1")), ("strip.png", picture(4000, 3)),
        ("high.png", picture(1, 900)), ("point.png", picture(1, 1)), ("e.png", picture(flat=True)),
    ],
)  # fmt: skip
def test_image_is_read(name: str, made: Image.Image, tmp_path: Path) -> None:
    kind = {"jfif": "JPEG", "TIFF": "TIFF"}.get(name.rpartition(".")[2])
    made.save(tmp_path / name, format=kind)
    images = load_images(f"folder:{tmp_path}")
    inputs = Preprocessing(32, 36)(images.open(0))
    assert inputs.shape == (3, 32, 32)
    assert torch.isfinite(inputs).all()


def test_images_that_no_library_reads_are_named(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    (tmp_path / "b.HEIC").write_bytes(b"x")
    with pytest.warns(UserWarning, match="1 image of .* left out, such as b.HEIC: save them as"):
        assert load_images(f"folder:{tmp_path}").names == ("a.png",)


def link_in_a_loop(path: Path) -> None:
    path.symlink_to(path.with_name("other"))
    path.with_name("other").symlink_to(path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (link_in_a_loop, "is a loop of links"),
        (lambda path: None, "there is no folder"),
        (lambda path: path.write_text("x"), "is a file; name the folder"),
        (lambda path: path.mkdir(), "has no images"),
        (lambda path: (path.mkdir(), (path / "a.jpg").write_text("x")), "a.jpg cannot be read"),
        (lambda path: (path.mkdir(), (path / "a.jpg").write_bytes(b"")), "a.jpg cannot be read"),
    ],
)
def test_folder_is_refused(make: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    make(tmp_path / "images")
    with pytest.raises(UsageError, match=words) as error:
        load_images(f"folder:{tmp_path / 'images'}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["$x^2$", "<b>bird</b>", "<img src=x onerror=alert(1)>", "a`b`", "{ref}`x`", "*x*"]
)
def test_names_are_words_and_no_markup(name: str, tmp_path: Path) -> None:
    picture().save(tmp_path / f"{name.replace('/', '')}.png")
    network = Tiny()
    network.class_names = (name, *network.class_names[1:])
    tiny.named = lambda: network
    try:
        model = load_model("tests.models.tiny:named")
    finally:
        del tiny.named
    for shown in (load_images(f"folder:{tmp_path}").names[0], model.class_name(0)):
        assert not set("<>$`*{}^&\\") & set(shown)


@pytest.mark.parametrize("field", ["model", "images", "device"])
def test_markup_in_a_setting_is_refused(field: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"setting '{field}'"):
        Study(root=project(tmp_path / "book"), **{field: "<svg onload=alert(1)>"})


@pytest.mark.parametrize(
    ("model", "count", "flat"), [("vit", 3, False), ("one_stage", 2, False), ("training", 2, True)]
)
def test_chapter_with_too_little_data_says_so(
    model: str, count: int, flat: bool, tmp_path: Path
) -> None:
    """A figure without any value, a criterion without a method: sentences, not errors."""
    folder = photographs(tmp_path / "images", count)
    if flat:
        for path in folder.iterdir():
            picture(flat=True).save(path)
    study = Study(
        root=project(tmp_path / "book"), model=f"tests.test_awkward:NETWORKS.{model}",
        images=f"folder:{folder}", profile="smoke",
    )  # fmt: skip
    table = study.table("randomization")
    regions = study.table("activated-regions")
    randomization_curves(study)._repr_mimebundle_()
    judged = study.judge("binder-fig2", "binder-preservation").set_index("claim")
    assert len(table)
    if model == "vit":
        assert not set(table["method"]) & {"lrp-epsilon-plus", "lrp-gamma"}
        assert regions.empty
        assert "feature map" in judged.loc["binder-preservation", "reason"]
        assert "This is left out" in str(show.shows("activated-regions")(lambda s: s)(study).data)
