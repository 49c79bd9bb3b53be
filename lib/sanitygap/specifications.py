"""Both tests under every choice that Binder et al. (2022) leave open: scores, image by image.

A *specification* is one full set of choices: reduction, similarity, size and place of the regions,
the class that is explained, the variant of LRP, where its relevance starts, what becomes of biases
and of normalisation layers. Maps are computed once an image and shared by all of them; rankings of
regions that come out the same are occluded once.
"""

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import PositiveInt
from torch import Tensor

from sanitygap import faithfulness
from sanitygap.attribution import Sampling
from sanitygap.attribution.applicable import defined
from sanitygap.faithfulness import REGIONS, Tiling, blurred
from sanitygap.randomization import NORM_LAYERS, Norms, RandomTwin, Redraw, steps
from sanitygap.reductions import REDUCTIONS, Reduction, reduce
from sanitygap.similarity import Reference
from sanitygap.table import Batch, Context, Piece, columns_of

#: the variant of LRP of most figures, and the one that the paper names for the occlusion test
LRP_VARIANTS = ("lrp-epsilon-plus", "lrp-adaptive-beta")

METHODS = (
    "gradient",
    "gradient-x-input",
    "integrated-gradients",
    "guided-backprop",
    *LRP_VARIANTS,
    *(f"{name}@biases" for name in LRP_VARIANTS),
    "noise",
)

SIMILARITIES = ("ssim", "ssim_robust", "ssim_L1", "ssim_L2", "spearman", "mse")


Maps = Mapping[tuple[str, str, Reduction], Tensor]
"""(method, start, reduction) -> maps ``(N, H, W)``."""


def all_maps(
    batch: Batch,
    methods: Sequence[str],
    sampling: Sampling,
    *state: object,
    precomputed: Mapping[str, Tensor] | None = None,
) -> Maps:
    """The maps of one batch under every reduction and every start of LRP."""
    model = batch.model
    values = batch.unpooled(methods, *state, sampling=sampling) | dict(precomputed or {})
    with torch.no_grad():
        score = model.scores(batch.inputs).gather(1, batch.targets[:, None])[:, 0]
    sign = torch.where(score < 0, -1.0, 1.0).view(-1, 1, 1, 1)
    maps: dict[tuple[str, str, Reduction], Tensor] = {}
    for name, channels in values.items():
        for reduction in REDUCTIONS:
            if name != "noise" or reduction == "signed":
                maps[name, "one", reduction] = reduce(channels, reduction)
        if name.startswith("lrp-"):  # a sign moves no other reduction
            maps[name, "logit", "signed"] = reduce(sign * channels, "signed")
    return maps


def correctness(batch: Batch) -> pd.Series:
    """Whether each label is what the network predicts, as nullable booleans."""
    pairs = zip(batch.labels, batch.targets.tolist(), strict=True)
    return pd.Series([None if a is None else a == b for a, b in pairs], dtype="boolean")


def cut_occlusion(context: Context, arguments: Mapping[str, Any]) -> Iterator[Piece]:
    """A part a target and a batch; labels and sliding windows on the first images only."""
    shared = dict(arguments) | {"level_images": None}
    shared["methods"] = defined(context.model, shared["methods"])
    most, level = shared.pop("max_images"), arguments["level_images"] or len(context.images)
    for target in arguments["explain"]:
        for positions in context.positions(most):
            labels = [context.images.labels[position] for position in positions]
            beyond = positions[0] >= level
            if target == "label" and (beyond or not any(one is not None for one in labels)):
                continue
            tilings = arguments["tilings"]
            if target == "label" or beyond:
                tilings = [tiling for tiling in tilings if tiling == "tiles"]
            yield Piece(
                {**shared, "explain": [target], "tilings": tilings},
                positions,
                context.precomputed_address,
            )


def occlusion_specifications(
    batch: Batch,
    methods: Sequence[str] = METHODS,
    patches: Sequence[PositiveInt] = (15, 8),
    tilings: Sequence[Tiling] = ("tiles", "sliding"),
    explain: Sequence[Literal["predicted", "label"]] = ("predicted", "label"),
    every: PositiveInt = 1,
    path_steps: PositiveInt = 50,
    level_images: PositiveInt | None = None,
) -> Iterator[pd.DataFrame]:
    """Mean softmax and logit under occlusion, for every way to rank and to place the regions.

    Precomputed maps of the run are ranked beside those of the methods; they are taken to explain
    the predicted class.

    Args:
        batch: images.
        methods: attribution methods and controls.
        patches: sides of the regions, in pixels of a 224-pixel input.
        tilings: ways to place the regions.
        explain: classes that are explained; labels only where the prediction is another class.
        every: the prediction is taken after every that many of the 30 regions, and the mean over
            the curve by the trapezoidal rule.
        path_steps: points of integrated gradients.
        level_images: sliding windows, and labels as targets, on at most that many of the images.
    """
    whole, correct = batch, correctness(batch)
    for target in explain:
        places = list(range(len(whole.names)))
        if target == "label":
            places = np.flatnonzero(~correct.fillna(True)).tolist()
            labels = [-1 if label is None else label for label in whole.labels]
            batch = whole.select(places, torch.tensor(labels, device=whole.targets.device))
        if not places:
            yield _no_rows()
            continue
        maps = all_maps(
            batch, methods, Sampling(path_steps), batch.seed, "base",
            precomputed=batch.precomputed if target == "predicted" else None,
        )  # fmt: skip
        soft = blurred(batch.inputs)
        for patch in patches:
            for tiling in tilings:
                scores = _scores_of_rankings(batch, soft, maps, patch, tiling, every)
                scores["correct"] = correct.iloc[places].array.take(scores.pop("place"))
                yield scores.assign(target=target, patch=patch, tiling=tiling, seed=batch.seed)


def _no_rows() -> pd.DataFrame:
    """No row of the table of occlusion, with the types of its columns."""
    kinds = {"position": "int64", "patch": "int64", "seed": "int64", "correct": "boolean"}
    kinds |= dict.fromkeys(("replaced", "softmax", "logit"), "float32")
    return pd.DataFrame(
        {
            name: pd.Series(dtype=kinds.get(name, "str"))
            for name in columns_of("occlusion-specifications")
        }
    )


def _scores_of_rankings(
    batch: Batch, soft: Tensor, maps: Maps, patch: int, tiling: Tiling, every: int
) -> pd.DataFrame:
    """Mean softmax and logit of every image under every map; equal rankings are occluded once."""
    model = batch.model
    side = faithfulness.scaled(patch, batch.inputs.shape[-1])
    orders = torch.stack(
        [faithfulness.occlusion_steps(values, side, REGIONS, tiling) for values in maps.values()]
    )
    counts = faithfulness.counts_of(REGIONS, every)
    rows = []
    for place in range(len(batch.names)):
        distinct, which = orders[:, place].flatten(1).unique(dim=0, return_inverse=True)
        rankings = distinct.view(-1, *orders.shape[2:])
        image, target = batch.inputs[place][None], batch.targets[place][None]
        many = (len(rankings), -1, -1, -1)
        start = faithfulness.replacement_curves(
            model, image, target, soft[place][None], rankings[:1], [0]
        )
        later = faithfulness.replacement_curves(
            model,
            image.expand(many),
            target.expand(len(rankings)),
            soft[place][None].expand(many),
            rankings,
            counts[1:],
            batch.size,
        )
        replaced = (rankings <= REGIONS).float().mean((1, 2))
        means = {
            name: np.trapezoid(
                torch.cat([first.expand(len(rankings), 1), rest], 1).cpu().numpy(), counts, axis=1
            )
            / REGIONS
            for name, first, rest in (
                ("softmax", start.softmax, later.softmax),
                ("logit", start.logit, later.logit),
            )
        }
        for (method, begun, reduction), ranking in zip(maps, which.tolist(), strict=True):
            rows.append(
                {
                    "image": batch.names[place],
                    "position": batch.positions[place],
                    "place": place,
                    "method": method,
                    "start": begun,
                    "reduction": reduction,
                    "replaced": float(replaced[ranking]),
                    **{name: float(values[ranking]) for name, values in means.items()},
                }
            )
    return pd.DataFrame(rows).astype(dict.fromkeys(("replaced", "softmax", "logit"), "float32"))


def cut_randomization(context: Context, arguments: Mapping[str, Any]) -> Iterator[Piece]:
    """A part a batch, a seed and a treatment of normalisation layers; one batch after the other.

    Normalisation layers are kept with the first seed only, and where there are any.
    """
    shared = dict(arguments) | {"seed_images": None, "level_images": None}
    shared["methods"] = tuple(defined(context.model, shared["methods"]))
    most = shared.pop("max_images")
    first, *others = arguments["seeds"] or [context.seed]
    levels = [(first, "reset", None)] + [(s, "reset", arguments["seed_images"]) for s in others]
    if any(isinstance(module, NORM_LAYERS) for module in context.model.module.modules()):
        levels.append((first, "kept", arguments["level_images"]))
    for positions in context.positions(most):
        for seed, norms, limit in levels:
            if norms in arguments["norms"] and (limit is None or positions[0] < limit):
                yield Piece({**shared, "seeds": [seed], "norms": [norms]}, positions)


def randomization_specifications(
    batch: Batch,
    methods: Sequence[str] = METHODS,
    n_steps: PositiveInt | None = None,
    path_steps: PositiveInt = 50,
    seeds: Sequence[int] | None = None,
    norms: Sequence[Norms] = ("reset", "kept"),
    seed_images: PositiveInt | None = None,
    level_images: PositiveInt | None = None,
) -> Iterator[pd.DataFrame]:
    """Similarity after top-down randomisation, for every way to reduce and to compare maps.

    Args:
        batch: images.
        methods: attribution methods and controls.
        n_steps: that many steps, evenly spread; all by default.
        path_steps: points of integrated gradients.
        seeds: seeds of the redrawn weights; the run's seed by default.
        norms: what becomes of normalisation layers.
        seed_images: at most that many images with seeds other than the first.
        level_images: at most that many with kept normalisation layers.
    """
    model, sampling = batch.model, Sampling(path_steps)
    base = _references(batch.context, batch.positions, tuple(methods), path_steps)
    correct = correctness(batch)
    for seed, treatment in itertools.product(seeds or [batch.seed], norms):
        twin = RandomTwin(model, seed, Redraw(norms=treatment))
        for step in steps(model.stages, "top-down", n_steps):
            with twin.redrawn(step.stages):
                changed = all_maps(batch, methods, sampling, seed, step.name)
            for (method, start, reduction), values in changed.items():
                compared = base[method, start, reduction].compare(values)
                yield batch.rows(
                    {name: compared[name].float() for name in SIMILARITIES},
                    method=method, start=start, reduction=reduction, seed=seed, norms=treatment,
                    step=step.number, steps=len(model.stages),
                ).assign(correct=correct.array)  # fmt: skip


@functools.lru_cache(maxsize=1)
def _references(
    context: Context, positions: tuple[int, ...], methods: tuple[str, ...], path_steps: int
) -> dict[tuple[str, str, Reduction], Reference]:
    """Maps of the trained network, ready to be compared: parts about one batch share them."""
    batch = context.batch(positions)
    maps = all_maps(batch, methods, Sampling(path_steps), context.seed, "base")
    return {key: Reference(values) for key, values in maps.items()}
