"""The gallery: its networks, its numbers, and the HTML that holds both."""

from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch
from skimage.metrics import structural_similarity

from sanitygap.attribution import Sampling, attribute
from sanitygap.experiments.example_maps import OrderMaps, order_maps
from sanitygap.figures.gallery import Gallery
from sanitygap.images import ImageSet, load_images
from sanitygap.models import Explainable
from sanitygap.pages.steppers import gallery_similarities
from sanitygap.randomization import RandomTwin
from sanitygap.seeds import stable_seed
from tests.test_steppers import decoded, plain

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


def test_networks_that_orders_share_are_there_once(shown: OrderMaps, small: Explainable) -> None:
    everything = {shown.orders[order][-1][1] for order in ("top-down", "bottom-up")}
    assert len(everything) == 1
    assert shown.orders["independent"][0] == shown.orders["top-down"][0]
    places = {place for steps in shown.orders.values() for _, place in steps}
    assert sorted(places) == list(range(1, len(shown.maps["noise"])))


def test_similarities_are_those_of_scikit_image() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = {"gradient": torch.randn(3, 2, 20, 20, generator=generator)}
    shown = OrderMaps([], ["a", "b"], [], {}, maps)
    found = gallery_similarities(shown, ["A", "B"]).set_index(["image", "place"])["score"]
    for image, name in enumerate("AB"):
        base, *others = (
            (m := one[image].double().numpy()) / np.sqrt((m**2).mean()) for one in maps["gradient"]
        )
        assert found[name, 0] == pytest.approx(1)
        for place, other in enumerate(others, 1):
            extent = max(base.max(), other.max()) - min(base.min(), other.min())
            expected = structural_similarity(base, other, data_range=extent)
            assert found[name, place] == pytest.approx(expected, abs=1e-4)


def test_html_holds_every_map_once_and_every_number() -> None:
    view = gallery()
    page = ElementTree.fromstring(view.html())
    strips = [i for i in page.findall(".//img") if i.attrib["data-method"]]
    assert [(i.attrib["data-image"], i.attrib["data-method"]) for i in strips] == [
        (image, method) for image in IMAGES for method in METHODS
    ]
    for strip in strips:
        height, width, _ = decoded(strip.attrib["src"]).shape
        assert width == 4 * 2 * height
        sheet = decoded(strip.attrib["src"])
        own = view.maps[strip.attrib["data-method"]][strip.attrib["data-image"]]
        for place, picture in enumerate(own):
            part = sheet[:, width * place // 4 + 2 : width * (place + 1) // 4 - 2]
            assert np.allclose(part, picture[0, 0, 0], atol=0.03)
    tables = page.findall(".//table")
    assert [(t.attrib["data-image"], t.attrib["data-order"]) for t in tables] == [
        (image, order) for image in IMAGES for order in ORDERS
    ]
    known = SCORES.set_index(["image", "method", "place"])["score"]
    for table in tables:
        image, order = table.attrib["data-image"], table.attrib["data-order"]
        rows = table.findall("tbody/tr")
        assert [(r.findtext("th"), int(r.attrib["data-place"])) for r in rows] == ORDERS[order]
        for row, (_, place) in zip(rows, ORDERS[order], strict=True):
            for cell, method in zip(row.findall("td"), METHODS, strict=True):
                value = known[image, method, place]
                text = "undefined" if np.isnan(value) else f"{value:.3f}".replace("-", "−")
                assert cell.text == text
    assert not [element for element in page.iter() if "id" in element.attrib]
