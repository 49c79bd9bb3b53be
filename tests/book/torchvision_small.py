"""Torchvision networks with random weights for small photographs, as a user's own factories.

The networks are torchvision's own, layer by layer. Only the photographs are smaller than usual,
so that five networks can go through the whole book within minutes, and with them the first dense
layer of VGG-16: it takes the 2 x 2 cells that are left of them, not 7 x 7 copies of these cells.
"""

from collections.abc import Callable

from torch import nn
from torchvision import models

from sanitygap.models import Preprocessing

HALVES = (0.5, 0.5, 0.5)

SIZES = {
    "resnet50": 64,
    "densenet121": 64,
    "efficientnet_b0": 64,
    "vgg16": 64,
    "inception_v3": 107,  # the smallest with more than one cell in its last feature map
}
"""Network -> side of the photographs, in pixels."""


def _factory(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        options = {"init_weights": True, "aux_logits": True} if name == "inception_v3" else {}
        network = models.get_model(name, weights=None, **options)
        if name == "vgg16":
            network.avgpool = nn.AdaptiveAvgPool2d(2)
            network.classifier[0] = nn.Linear(512 * 2 * 2, 4096)
        network.pretrained = False
        network.preprocessing = Preprocessing(SIZES[name], SIZES[name], HALVES, HALVES)
        return network

    return make


resnet50 = _factory("resnet50")
densenet121 = _factory("densenet121")
efficientnet_b0 = _factory("efficientnet_b0")
vgg16 = _factory("vgg16")
inception_v3 = _factory("inception_v3")
