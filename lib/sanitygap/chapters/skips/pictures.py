"""Figs. 5 and 7 for single photographs, computed as the page is executed."""

import torch

from sanitygap import show
from sanitygap.attribution import Sampling
from sanitygap.chapters.skips import BETAS
from sanitygap.chapters.skips.measure import maps_through
from sanitygap.chapters.skips.plots import logit_scatter, split_grid
from sanitygap.chapters.skips.show import PART_LABELS
from sanitygap.figures.plate import Plate
from sanitygap.pictures import pictured, row_names, seen
from sanitygap.randomization import RandomTwin
from sanitygap.residual_blocks import (
    PARTS,
    blocks_of,
    explicit_sums,
    layers_of,
    one_layer,
    redrawn_layer,
)
from sanitygap.runs import Study

#: profile -> photographs in the pictures
PICTURES = {"smoke": 1, "quick": 1, "full": 2}


#: photographs and layers in the scatter plots of logits
SCATTERED = {"smoke": (1, 2), "quick": (3, 6), "full": (3, 6)}


def spread_out(names: list[str], count: int) -> list[str]:
    """That many of some names, evenly spread, the first and the last among them."""
    chosen = torch.linspace(0, len(names) - 1, min(count, len(names))).round().long().unique()
    return [names[place] for place in chosen.tolist()]


@show.shows()
@torch.no_grad()
def logit_plate(study: Study) -> Plate:
    """Fig. 5: logits before and after redrawing one layer."""
    count, columns = SCATTERED[study.settings.profile]
    model, context, batch = pictured(study, count)
    residuals = blocks_of(model)
    beside = [name for residual in residuals for name in residual.branch]
    names = [name for name in layers_of(model) if name in beside] or layers_of(model)
    before = model.module(batch.inputs).cpu()
    twin = RandomTwin(model, context.seed)
    after = {}
    for layer in spread_out(names, columns):
        with twin.redrawn(one_layer(layer)):
            after[layer] = model.module(batch.inputs).cpu()
    where = (
        "layers beside a skip connection, evenly spread"
        if beside
        else "layers, evenly spread; this network has no skip connections"
    )
    return logit_scatter(
        before,
        after,
        list(batch.names),
        f"Logits of all {before.shape[1]} classes of {show.model_of(study)} before and after one "
        f"layer is redrawn (seed {context.seed}): {where}. The normalisation behind the layer "
        "keeps its trained statistics. r: Pearson correlation. A picture; the measurement follows.",
    )


@show.shows()
def split_plate(study: Study) -> Plate:
    """Fig. 7: maps split into what flows through the skip and through the branch."""
    blocks = blocks_of(study.model)
    if not blocks:
        raise show.NothingToShowError(
            f"{show.model_of(study)} has no skip connection that is added by a module. There is "
            "nothing to split, and this section says nothing about it. Run the page with `--model "
            "efficientnet_lite0` or a ResNet of torchvision."
        )
    model, context, batch = pictured(study, PICTURES[study.settings.profile])
    layer, residual = redrawn_layer(model, blocks[-1]), blocks[-1]
    with explicit_sums(model) as explicit:

        def parts() -> dict[str, torch.Tensor]:
            found = {}
            for part in PARTS:
                made = maps_through(
                    explicit, residual, part, batch, list(BETAS), Sampling(), context.seed
                )
                found[PART_LABELS[part]] = torch.cat([values.cpu() for values in made.values()])
            return {PART_LABELS["total"]: torch.stack([*found.values()]).sum(0), **found}

        maps = {"trained": parts()}
        with RandomTwin(explicit, context.seed).redrawn(one_layer(layer)):
            maps["redrawn"] = parts()
    return split_grid(
        seen(model, batch) * len(BETAS),
        maps,
        [f"{row}\nβ = {beta:g}" for beta in BETAS.values() for row in row_names(model, batch)],
        f"LRP-β maps of {show.model_of(study)} for the class it predicts, split at the "
        f"addition of {residual.block}, before and after {layer} is redrawn (seed "
        f"{context.seed}). The addition shares relevance out in proportion to its two addends. "
        "The three maps of one network share a scale. A picture, not a measurement.",
    )
