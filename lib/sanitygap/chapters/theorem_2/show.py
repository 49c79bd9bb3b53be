"""Pages about maps that stay where the kept feature map is active."""

import pandas as pd

from sanitygap import show
from sanitygap.attribution import attribute
from sanitygap.attribution.applicable import defined
from sanitygap.chapters.theorem_2.judge import concentration, own_activity
from sanitygap.chapters.theorem_2.measure import cuts, kept_features, mass_ratio, spread
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.figures.rank_lines import picture_row
from sanitygap.partition import energy
from sanitygap.randomization import RandomTwin
from sanitygap.runs import Study

TABLE = "activated-regions"

SHOWN = ("gradient", "guided-backprop", "lrp-epsilon-plus", "noise")

#: names of the panels with what their axes say
RATIO = "mass in the most active 10 %"
CORRELATION = "rank correlation with the own activity"


@show.shows()
def region_pictures(study: Study, photo: int = 0) -> Plate:
    """One photograph, where its kept features are active, and absolute maps above them."""
    model, seed = study.model, study.settings.seed
    images = show.pictured_images(study)
    inputs = model.prepare([images.open(photo)])
    targets = model.predict(inputs)
    several = cuts(model, inputs)
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


@show.shows(TABLE)
def region_plate(study: Study) -> Plate:
    """Mass in the active regions and correlation with activity, method by method and depth."""
    table = study.table(TABLE)
    rows = []
    for method in show.distinct(table["method"]):
        for step, stage in sorted(set(zip(table["step"], table["stage"], strict=True))):
            rows += [
                {"row": method, "series": f"below {stage}", "panel": title}
                | show.columns(show.or_nan(measure, table, method, step))
                for title, measure in ((RATIO, concentration), (CORRELATION, own_activity))
            ]
    return show.dots(
        pd.DataFrame(rows),
        caption="Absolute maps after top-down randomisation, against the sum of squared "
        "activations of the last feature map below the redrawn layers. Left: share of "
        "the map in the most active 10 % of the pixels, over 10 %. Right: rank correlation over "
        "pixels with the activity of the same image, minus that with the activity of other "
        f"images. {show.about(study, TABLE, 'Bars')}",
        xlabels={
            RATIO: "mass share / area share\n(right of 1: dominated by active regions)",
            CORRELATION: "minus correlation with other images\n(right of 0: follows the own)",
        },
        lines={RATIO: 1.0, CORRELATION: 0.0},
        legend="feature map",
    )
