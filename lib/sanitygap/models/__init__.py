"""Models: a spec string becomes an :class:`Explainable`."""

from sanitygap.models.explainable import Explainable, Preprocessing, Stage
from sanitygap.models.loading import EMBEDDED, load_model, model_specs

__all__ = ["EMBEDDED", "Explainable", "Preprocessing", "Stage", "load_model", "model_specs"]
