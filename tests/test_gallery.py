"""The networks of the gallery."""

import numpy as np
import pandas as pd
import pytest
import torch

from sanitygap.attribution import Sampling, attribute
from sanitygap.chapters.attribution_maps.pictures import Gallery, OrderMaps, order_maps
from sanitygap.images import ImageSet, load_images
from sanitygap.models import Explainable
from sanitygap.randomization import RandomTwin
from sanitygap.seeds import stable_seed
from tests.test_steppers import plain

METHODS = ["gradient", "noise"]
IMAGES = ['cat <b>"tabby"</b>', "dog & bone"]
ORDERS = {
    "top-down": [("trained", 0), ("down to b", 1), ("down to a", 2)],
    "bottom-up": [("trained", 0), ("up to a", 3), ("up to b", 2)],
}
SCORES = pd.DataFrame(
    [
        {"image": image, "method": method, "place": place, "score": score}
        for number, image in enumerate(IMAGES)
        for shift, method in enumerate(METHODS)
        for place, score in enumerate((1.0, 0.5 - number, 0.25 - shift, np.nan))
    ]
)


def gallery() -> Gallery:
    """Two images, two methods, four networks; each map has a grey of its own."""
    greys = iter(np.linspace(0.1, 0.9, 16))
    return Gallery(
        images=IMAGES,
        photographs=[plain(0.2), plain(0.8)],
        orders=ORDERS,
        maps={
            method: {image: [plain(float(next(greys))) for _ in range(4)] for image in IMAGES}
            for method in METHODS
        },
        scores=SCORES,
        score="SSIM",
        alt="Maps.",
        caption="What was measured.",
    )


@pytest.fixture
def photographs() -> ImageSet:
    return load_images("photos")[:2]


@pytest.fixture
def shown(small: Explainable, photographs: ImageSet) -> OrderMaps:
    return order_maps(small, photographs, METHODS, 2, 3, Sampling(1, 1))


def test_networks_of_the_orders_are_those_that_the_stages_say(
    small: Explainable, photographs: ImageSet, shown: OrderMaps
) -> None:
    stages = {stage.name: stage for stage in small.stages}
    names = list(stages)
    inputs = small.prepare([photographs.open(position) for position in range(2)])
    targets = small.predict(inputs)
    twin = RandomTwin(small, 3)
    assert list(shown.orders) == ["top-down", "bottom-up", "independent"]
    for order, steps in shown.orders.items():
        assert len(steps) == min(2, len(names))
        for name, place in steps:
            place_of = names.index(name)
            redrawn = {
                "top-down": names[: place_of + 1],
                "bottom-up": names[place_of:],
                "independent": [name],
            }[order]
            with twin.redrawn([stages[one] for one in redrawn]):
                keys = [stable_seed(key, 3, "any") for key in photographs.keys]
                expected = attribute(small, inputs, targets, ["gradient"], keys, Sampling(1, 1))
            assert torch.equal(shown.maps["gradient"][place], expected["gradient"].cpu())
