"""Views that readers step through, and the networks of the gallery."""

import numpy as np
import pandas as pd
import pytest
import torch

from sanitygap.chapters.occlusion.measure import example_occlusion
from sanitygap.faithfulness import blurred, occlusion_curves, occlusion_steps
from sanitygap.figures.stepper import EVERY_METHOD, Panel, Regions, Stepper
from sanitygap.images import ImageSet, load_images
from sanitygap.models import Explainable

METHODS = ["gradient", "noise"]
FRAMES = ["trained", 'redrawn <b>"down" & out</b>', "random"]
SCORES = pd.DataFrame({"gradient": [1.0, 0.25, -0.125], "noise": [1.0, np.nan, 0.0625]})


def plain(value: float) -> np.ndarray:
    """A grey picture of 30 x 60 pixels."""
    return np.full((30, 60, 3), value)


def stepper(**changes: object) -> Stepper:
    """A view with a still panel, one that changes, and regions over both."""
    arguments: dict[str, object] = {
        "step": "network",
        "frames": FRAMES,
        "panels": [
            Panel("photograph", {EVERY_METHOD: [plain(0.5)]}, beneath=plain(1.0), marks=True),
            Panel("map", {name: [plain(0.1), plain(0.5), plain(0.9)] for name in METHODS}),
        ],
        "values": {"SSIM": SCORES, "MSE": SCORES + 7},
        "alt": "Two maps.",
        "caption": "What was measured.",
        "regions": Regions(
            {"gradient": [(0, 0, 10, 5), (50, 25, 10, 5)], "noise": [(5, 5, 5, 5), (0, 0, 5, 5)]},
            (0, 1, 2),
            (30, 60),
        ),
    }
    return Stepper(**(arguments | changes))  # type: ignore[arg-type]


def test_regions_uncover_the_picture_beneath() -> None:
    view = stepper()
    photograph, moving = view.panels
    assert np.array_equal(view.picture(photograph, "gradient", 0), plain(0.5))
    expected = plain(0.5)
    expected[:5, :10] = 1
    assert np.array_equal(view.picture(photograph, "gradient", 1), expected)
    expected[25:, 50:] = 1
    assert np.array_equal(view.picture(photograph, "gradient", 2), expected)
    assert np.array_equal(view.picture(moving, "noise", 1), plain(0.5))


@pytest.fixture
def photographs() -> ImageSet:
    return load_images("photos")[:2]


def test_occlusion_is_that_of_the_occlusion_test(small: Explainable, photographs: ImageSet) -> None:
    counts = (1, 3, 7)
    shown = example_occlusion(small, photographs, 1, METHODS, counts, patch=65, batch_size=4)
    assert shown.counts == (0, *counts)
    assert shown.name == photographs.names[1]
    inputs = small.prepare([photographs.open(1)])
    target = small.predict(inputs)
    soft = blurred(inputs)
    view = Stepper(
        "blurred", ["0", "1", "3", "7"],
        [Panel("photograph", {EVERY_METHOD: [shown.picture]}, beneath=shown.soft)],
        {"softmax": shown.scores.pivot(index="regions", columns="method", values="softmax")},
        "", "", Regions(shown.boxes, shown.counts, (24, 24)),
    )  # fmt: skip
    for name, values in shown.maps.items():
        curves = occlusion_curves(small, inputs, target, values[None], patch=7, regions=7)
        rows = shown.scores[shown.scores["method"] == name]
        assert list(rows["regions"]) == [0, 1, 3, 7]
        for column, curve in (("softmax", curves.softmax), ("logit", curves.logit)):
            assert np.allclose(rows[column], curve[0][[0, 1, 3, 7]].numpy(), atol=1e-6)
        steps = occlusion_steps(values[None], 7, 7)
        for frame, count in enumerate(shown.counts):
            state = torch.where((steps <= count)[:, None], soft, inputs)
            seen = small.preprocessing.to_rgb(state)[0].permute(1, 2, 0).numpy()
            assert np.allclose(view.picture(view.panels[0], name, frame), seen, atol=1e-6)
