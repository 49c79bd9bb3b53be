"""Pages that show attribution maps."""

import numpy as np
import pandas as pd

from sanitygap.attribution import Sampling
from sanitygap.experiments.example_maps import ExampleMaps, example_maps
from sanitygap.experiments.randomization_test import CORE_METHODS
from sanitygap.figures import Plate, theme
from sanitygap.figures.maps import map_grid, stage_grid
from sanitygap.images import ImageSet, load_images
from sanitygap.runs import Study
from sanitygap.similarity import Reference

#: profile -> photographs, and points of sampling methods, of the trained network's maps
EXAMPLES = {"smoke": (2, 2), "quick": (3, 8), "full": (4, 16)}

#: profile -> redrawn stages (None: all of them), and points of sampling methods, of one photograph
STAGES: dict[str, tuple[int | None, int]] = {"smoke": (2, 1), "quick": (8, 4), "full": (None, 8)}

#: redrawn networks that are shown side by side
COLUMNS = 4


def pictured_images(study: Study) -> ImageSet:
    """The run's images; the embedded photographs where the run is recorded."""
    return load_images("photos") if study.recorded else study.images


def examples(study: Study) -> ExampleMaps:
    """The trained network's maps of a few images."""
    count, points = EXAMPLES[study.settings.profile]
    images = pictured_images(study)
    chosen = images[: min(count, len(images))]
    sampling = Sampling(points, points)
    return example_maps(study.model, chosen, CORE_METHODS, 0, study.settings.seed, sampling)


def stage_examples(study: Study, position: int = 0) -> ExampleMaps:
    """Maps of one photograph for the trained network and as its stages are redrawn."""
    count, points = STAGES[study.settings.profile]
    images = pictured_images(study)
    place = min(position, len(images) - 1)
    return example_maps(
        study.model,
        images[place : place + 1],
        CORE_METHODS,
        len(study.model.stages) if count is None else count,
        study.settings.seed,
        Sampling(points, points),
    )


def map_plate(study: Study, shown: ExampleMaps) -> Plate:
    """The trained model's maps: a row a photograph, a column a method."""
    theme()
    rows = [f"{name}\n“{kind}”" for name, kind in zip(shown.names, shown.classes, strict=True)]
    return map_grid(
        shown.pictures,
        shown.maps["trained"],
        rows,
        f"Signed attribution maps for the class that {study.settings.public()['model']} predicts "
        f"(written beside each photograph). Red speaks for the class, blue against it; each map "
        f"has its own scale, cut at its 99.5 % quantile. Seed {study.settings.seed}; "
        f"{EXAMPLES[study.settings.profile][1]} points in sampling methods.",
    )


def stage_similarities(shown: ExampleMaps) -> pd.DataFrame:
    """SSIM of each map of a photograph with the trained network's map of the same method.

    Returns:
        A row a step, from ``trained`` on, and a column a method.
    """
    columns = {}
    for method, base in shown.maps["trained"].items():
        reference = Reference(base[:1])
        columns[method] = [
            float(reference.compare(shown.maps[step][method][:1])["ssim"]) for step in shown.steps
        ]
    return pd.DataFrame(columns, index=pd.Index(shown.steps, name="step"))


def stage_plate(study: Study, shown: ExampleMaps) -> Plate:
    """One photograph's maps, from the trained network to the last of the redrawn ones."""
    theme()
    columns = np.linspace(0, len(shown.steps) - 1, min(len(shown.steps), COLUMNS + 1)).round()
    steps = [shown.steps[int(column)] for column in columns]
    similarity = stage_similarities(shown)
    return stage_grid(
        shown.pictures[0],
        {
            method: {step: shown.maps[step][method][0] for step in steps}
            for method in shown.maps["trained"]
        },
        f"Maps of “{shown.names[0]}” as {study.settings.public()['model']} is redrawn from "
        "the classifier downwards; under each map its SSIM with the trained model's map "
        "(second-moment normalisation, window 7, L = joint range). One image, one seed "
        f"({study.settings.seed}), {STAGES[study.settings.profile][1]} points in sampling "
        "methods: a picture, not a measurement.",
        similarity.loc[steps[1:]].reset_index().melt("step", var_name="method", value_name="ssim"),
    )
