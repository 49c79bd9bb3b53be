"""Photographs of a run, for the pictures that are computed as a page is executed."""

import numpy as np

from sanitygap import show
from sanitygap.models import Explainable
from sanitygap.runs import Study
from sanitygap.table import Batch, Context


def pictured(study: Study, count: int) -> tuple[Explainable, Context, Batch]:
    """A few images to be looked at: the run's; the embedded photographs where it is recorded."""
    model = study.model
    images = show.pictured_images(study)
    shown = images[: min(count, len(images))]
    context = Context(lambda: model, lambda: shown, study.settings.seed)
    return model, context, context.batch(range(len(shown)))


def seen(model: Explainable, batch: Batch) -> list[np.ndarray]:
    """What the model sees, RGB ``(H, W, 3)`` in ``[0, 1]``."""
    return list(model.preprocessing.to_rgb(batch.inputs).permute(0, 2, 3, 1).cpu().numpy())


def row_names(model: Explainable, batch: Batch) -> list[str]:
    """File name and explained class of each image."""
    return [
        f"{name}\n“{model.class_name(int(target))}”"
        for name, target in zip(batch.names, batch.targets, strict=True)
    ]
