"""Figs. 5 and 7 for single photographs, computed as the page is executed."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from sanitygap import show
from sanitygap.chapters.skips import BETAS
from sanitygap.chapters.skips.measure import maps_through
from sanitygap.chapters.skips.show import PART_LABELS
from sanitygap.figures.maps import QUANTILE, map_colors
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
from sanitygap.show import picture_grid

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
                own = maps_through(explicit, residual, part, batch, list(BETAS))
                found[PART_LABELS[part]] = torch.cat([values.cpu() for values in own.values()])
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


def logit_scatter(
    before: torch.Tensor,
    after: Mapping[str, torch.Tensor],
    rows: Sequence[str],
    caption: str,
) -> Plate:
    """Logits before and after redrawing a layer: a row an image, a column a layer (Fig. 5).

    Args:
        before: logits of the trained network, ``(N, classes)``.
        after: layer -> logits with it redrawn, ``(N, classes)``.
        rows: one name an image.
        caption: the figure's caption.
    """
    figure, axes = plt.subplots(
        len(rows), len(after), figsize=(1.26 * len(after) + 0.6, 1.4 * len(rows) + 0.4),
        sharex="row", squeeze=False,
    )  # fmt: skip
    records = []
    for index, (line, old, name) in enumerate(zip(axes, before, rows, strict=True)):
        for axis, (layer, values) in zip(line, after.items(), strict=True):
            new = values[index]
            correlation = float(np.corrcoef(old.numpy(), new.numpy())[0, 1])
            axis.plot(old, new, ".", ms=1.5, color="#00639c", alpha=0.5, rasterized=True)
            heading = f"{layer}\n" if index == 0 else ""
            axis.set_title(f"{heading}r = {correlation:.2f}", fontsize=7.5)
            axis.tick_params(labelsize=7)
            axis.locator_params(nbins=3)
            records += [
                {"image": name, "layer": layer, "before": a, "after": b}
                for a, b in zip(old.tolist(), new.tolist(), strict=True)
            ]
        line[0].set_ylabel(name, fontsize=8)
    figure.supxlabel("logit before", fontsize=9)
    figure.supylabel("logit after", fontsize=9)
    numbers = pd.DataFrame(records)
    listed = "; ".join(
        f"{layer}, {name}: {part['before'].corr(part['after']):.2f}"
        for (layer, name), part in numbers.groupby(["layer", "image"], sort=False)
    )
    alt = f"Scatter plots of logits before and after redrawing one layer. Correlations: {listed}."
    return Plate(figure, alt, caption, numbers, pixels=True)


def split_grid(
    pictures: Sequence[np.ndarray],
    maps: Mapping[str, Mapping[str, torch.Tensor]],
    rows: Sequence[str],
    caption: str,
) -> Plate:
    """Maps split at a skip, before and after redrawing the layer beside it (Fig. 7).

    All maps of one row and network share one scale, so that a weak part looks weak.

    Args:
        pictures: RGB images ``(H, W, 3)`` in ``[0, 1]``.
        maps: network -> part -> signed maps ``(N, H, W)``; the first part is the whole.
        rows: one name a picture.
        caption: the figure's caption.
    """
    columns = [(network, part) for network, parts in maps.items() for part in parts]
    whole = {network: np.abs(next(iter(parts.values())).numpy()) for network, parts in maps.items()}
    shown, records = [], []
    for index, name in enumerate(rows):
        line = [pictures[index]]
        for network, part in columns:
            values, total = maps[network][part][index].numpy(), whole[network][index]
            line.append(map_colors(values, limit=float(np.quantile(total, QUANTILE))))
            mass = float(np.abs(values).sum() / total.sum())
            records.append({"image": name, "network": network, "part": part, "mass": mass})
        shown.append(line)
    notes = [[""] for _ in rows]
    for number, record in enumerate(records):
        notes[number // len(columns)].append(f"{record['mass']:.0%} of the mass")
    figure = picture_grid(
        shown, labels=rows, titles=["", *("\n".join(names) for names in columns)], notes=notes,
        size=(1.5, 1.75),
    )  # fmt: skip
    numbers = pd.DataFrame(records)
    listed = "; ".join(
        f"{network}, {part}: {rows_['mass'].mean():.0%}"
        for (network, part), rows_ in numbers.groupby(["network", "part"], sort=False)
    )
    alt = f"Maps split at a skip connection. Share of the whole map's absolute values: {listed}."
    return Plate(figure, alt, caption, numbers, pixels=True)
