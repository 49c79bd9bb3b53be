"""Digits and their maps, computed as the page is executed."""

import numpy as np
import pandas as pd

from sanitygap.attribution import Sampling, attribute
from sanitygap.figures.maps import map_grid, stage_grid
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.grey_networks import Plan, grey_images, grey_network
from sanitygap.randomization import RandomTwin, Redraw, steps
from sanitygap.runs import Study
from sanitygap.show import shows
from sanitygap.similarity import Reference

#: profile -> by what the widths of the network in pictures are divided, and its epochs
PICTURED = {"smoke": (8, 4), "quick": (4, 6), "full": (4, 6)}


PICTURED_METHODS = (
    "gradient", "gradient-x-input", "guided-backprop", "grad-cam", "integrated-gradients",
    "lrp-epsilon",
)  # fmt: skip


def pictured_network(study: Study, labels: str = "true", seed: int = 0) -> Plan:
    """The plan of the small CNN that pictures are about: trained on the embedded digits."""
    shrink, epochs = PICTURED[study.settings.profile]
    if labels == "random":
        return Plan("digits", "CNN", "random", seed, 200, 40, shrink)
    few = 400 if study.settings.profile == "smoke" else None
    return Plan("digits", "CNN", "true", seed, epochs, few, shrink)


@shows()
def digit_stages(study: Study) -> Plate:
    """Maps of one digit as the small CNN is redrawn from the top."""
    trained = grey_network(study.context, pictured_network(study))
    images = grey_images(study.context, "digits").test[:1]
    model, seed = trained.model, study.settings.seed
    inputs = model.prepare([images.open(0)])
    targets, sampling = model.predict(inputs), Sampling(10, 10)
    twin = RandomTwin(model, seed, Redraw("truncated-normal"))
    cascade, maps = {step.name: step.stages for step in steps(model.stages, "top-down")}, {}
    for name, stages in {"trained": (), **cascade}.items():
        with twin.redrawn(stages):
            asked = (inputs, targets, PICTURED_METHODS, images.keys, sampling)
            maps[name] = attribute(model, *asked)
    rows = []
    for method in PICTURED_METHODS:
        trained_map = Reference(maps["trained"][method])
        rows += [(method, s, float(trained_map.compare(maps[s][method])["ssim"])) for s in cascade]
    numbers = pd.DataFrame(rows, columns=["method", "step", "ssim"])
    return stage_grid(
        np.asarray(images.open(0).resize((28, 28))),
        {m: {step: values[m][0].cpu() for step, values in maps.items()} for m in PICTURED_METHODS},
        "Signed maps of one digit as a small CNN, trained on the embedded digits, is redrawn from "
        "the logits downwards with a truncated normal (standard deviation 0.01). Under each map "
        "its SSIM with the trained network's, unless one of both is zero everywhere. Test accuracy "
        f"{trained.test_right} of {trained.test_images}. One image, one seed ({seed}): a picture, "
        "not a measurement.",
        numbers.dropna(ignore_index=True),  # a Grad-CAM map may be zero everywhere
    )


LABEL_METHODS = ("gradient", "gradient-x-input", "guided-backprop", "grad-cam")


#: pictured digits
DIGITS = {"smoke": 1, "quick": 3, "full": 3}


NETWORKS = {"true": ("true", 0), "again": ("true", 1000), "random": ("random", 0)}


@shows()
def label_pictures(study: Study) -> Plate:
    """Digits and their maps by networks with true, again true, and random labels."""
    images = grey_images(study.context, "digits").test[: DIGITS[study.settings.profile]]
    maps, targets, words = {}, None, []
    for name, (labels, seed) in NETWORKS.items():
        trained = grey_network(study.context, pictured_network(study, labels, seed))
        inputs = trained.model.prepare([images.open(place) for place in range(len(images))])
        if targets is None:
            targets = trained.model.predict(inputs)
        maps[name] = attribute(
            trained.model, inputs, targets, LABEL_METHODS, images.keys, Sampling(10, 10)
        )
        words.append(f"{name} {trained.test_right / trained.test_images:.0%}")
    pictures = [np.asarray(images.open(place).resize((28, 28))) for place in range(len(images))]
    return map_grid(
        pictures,
        {
            f"{name} {label(method)}": maps[name][method].cpu()
            for method in LABEL_METHODS
            for name in NETWORKS
        },
        [f"digit {kind}" for kind in images.labels],
        "Signed maps of digits by three small CNNs: trained on true labels, on true labels again "
        "from another seed (again), and on random labels. All maps explain the class that the "
        f"first one predicts. Test accuracy: {', '.join(words)}. A picture, not a measurement.",
    )
