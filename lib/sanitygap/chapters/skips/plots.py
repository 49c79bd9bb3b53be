"""Figures about skips that preserve a baseline (Binder et al. 2022, Sec. 4.2)."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from sanitygap.figures.maps import QUANTILE, map_colors
from sanitygap.figures.plate import Plate
from sanitygap.show import picture_grid


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
