"""Maps beside activations for one photograph, computed as the page is executed."""

import pandas as pd

from sanitygap import show
from sanitygap.attribution import attribute
from sanitygap.attribution.applicable import defined
from sanitygap.chapters.theorem_2.measure import cuts, kept_features, mass_ratio, spread
from sanitygap.figures.maps import picture_row
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.partition import energy
from sanitygap.randomization import RandomTwin
from sanitygap.runs import Study

SHOWN = ("gradient", "guided-backprop", "lrp-epsilon-plus", "noise")


@show.shows()
def region_pictures(study: Study, photo: int = 0) -> Plate:
    """One photograph, where its kept features are active, and absolute maps above them."""
    model, seed = study.model, study.settings.seed
    images = show.pictured_images(study)
    inputs = model.prepare([images.open(photo)])
    targets = model.predict(inputs)
    several = cuts(model, inputs)
    if not several:
        raise show.NothingToShowError("No step leaves a feature map with positions.")
    middle = several[len(several) // 2].step
    features = kept_features(model, inputs, middle.stages[-1])
    size = (inputs.shape[2], inputs.shape[3])
    activity = spread(energy(features), size)
    with RandomTwin(model, seed).redrawn(middle.stages):
        maps = attribute(model, inputs, targets, defined(model, SHOWN), [images.keys[photo]])
    pictures = {
        "photograph": model.preprocessing.to_rgb(inputs)[0].cpu(),
        f"activity in\n{middle.name}": activity[0].sqrt().cpu(),
    }
    # square roots, because a few pixels would leave the rest dark
    pictures |= {label(name): values[0].abs().sqrt().cpu() for name, values in maps.items()}
    ratios = {name: float(mass_ratio(values, activity)[0]) for name, values in maps.items()}
    notes = [
        "the input",
        "root of the energy",
        *(f"mass ratio {ratio:.2f}" for ratio in ratios.values()),
    ]
    return picture_row(
        pictures,
        notes,
        f"“{images.names[photo]}”: where the last kept feature map of "
        f"{show.model_of(study)} is active, and absolute maps after all layers from "
        f"the classifier down to {middle.stages[-1].modules[0]} were redrawn. Mass ratio: the "
        f"map's share in the most active 10 % of the pixels, over 10 %. Seed {seed}; one image, a "
        "picture and not a measurement. Brightness is the square root of the value.",
        pd.DataFrame({"method": list(ratios), "mass_ratio": list(ratios.values())}),
    )
