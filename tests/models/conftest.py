"""The two embedded networks, loaded once."""

import copy
from dataclasses import replace

import pytest
import torch

from sanitygap.images import load_images
from sanitygap.models import EMBEDDED, Explainable, load_model

LOADED: dict[str, Explainable] = {}


def embedded_model(name: str) -> Explainable:
    """An embedded network; not to be changed."""
    if name not in LOADED:
        LOADED[name] = load_model(name)
    return LOADED[name]


@pytest.fixture(params=list(EMBEDDED))
def embedded(request: pytest.FixtureRequest) -> Explainable:
    """Each of the two embedded networks."""
    return embedded_model(request.param)


@pytest.fixture
def shrunk(embedded: Explainable) -> Explainable:
    """A copy of an embedded network that sees 64 pixels; both pool adaptively. It may change."""
    smaller = replace(embedded.preprocessing, size=64, resize=72)
    return replace(embedded, module=copy.deepcopy(embedded.module), preprocessing=smaller)


@pytest.fixture
def cat_and_coffee(shrunk: Explainable) -> torch.Tensor:
    """Two photographs as inputs ``(2, 3, 64, 64)``."""
    photos = load_images("photos")
    return shrunk.prepare([photos.open(0), photos.open(1)])
