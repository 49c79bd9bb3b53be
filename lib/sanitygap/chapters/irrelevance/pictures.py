"""Maps through redrawn layers, computed as the page is executed."""

import torch

from sanitygap import show
from sanitygap.chapters.irrelevance.measure import KEPT, METHOD, explained, of_features
from sanitygap.figures.maps import map_grid
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.partition import cut_model
from sanitygap.pictures import pictured, row_names, seen
from sanitygap.randomization import RandomTwin
from sanitygap.runs import Study

#: profile -> photographs and redraws in the pictures
PICTURES = {"smoke": (1, 1), "quick": (2, 5), "full": (3, 5)}


@show.shows()
def preserved_maps(study: Study) -> Plate:
    """Fig. 4: maps of phi, of the trained network and of networks with g redrawn."""
    count, redraws = PICTURES[study.settings.profile]
    model, context, batch = pictured(study, count)
    cut = cut_model(model, KEPT[0])
    maps: dict[str, torch.Tensor] = {
        "sum of φ(x)": of_features(batch, METHOD, cut, context.seed).cpu(),
        "trained": explained(batch, METHOD, context.seed).cpu(),
    }
    for seed in range(context.seed, context.seed + redraws):
        with RandomTwin(model, seed).redrawn(cut.redrawn):
            maps[f"redraw {seed}"] = explained(batch, METHOD, seed).cpu()
    return map_grid(
        seen(model, batch),
        maps,
        row_names(model, batch),
        f"{label(METHOD)} of {show.model_of(study)} for the class it predicts. φ ends "
        f"with the stage {cut.name} ({len(cut.kept)} of {len(model.stages)} stages are kept); "
        "everything above it is redrawn, once a column, by seed. First map: explanation of the "
        "sum of φ's activations. Each map has its own scale, cut at its 99.5 % quantile. A "
        "picture, not a measurement.",
    )
