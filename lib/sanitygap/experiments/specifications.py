"""Both tests under every choice that Binder et al. (2022) leave open: two tables of scores.

A *specification* is one full set of choices: reduction, similarity, size and place of the regions,
the class that is explained, the variant of LRP, where its relevance starts, what becomes of biases
and of normalisation layers. Maps are computed once an image and shared by all of them; rankings of
regions that come out the same are occluded once.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import PositiveInt

from sanitygap import faithfulness, randomization, reductions, replacements, similarity
from sanitygap.attribution import Sampling, controls, gradient, lrp, lrp_rules, unpooled
from sanitygap.attribution import method as method_room
from sanitygap.attribution.applicable import defined
from sanitygap.experiments.experiment import Batch, Chunk, Context, experiment, image_rows
from sanitygap.faithfulness import REGIONS, Tiling, blurred, occlusion_steps, scaled
from sanitygap.models import canonizers
from sanitygap.models.explainable import Explainable
from sanitygap.randomization import NORM_LAYERS, Norms, RandomTwin, Redraw, Step, steps
from sanitygap.reductions import REDUCTIONS, Reduction, reduce
from sanitygap.replacements import replacement_curves
from sanitygap.similarity import Reference

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

CODE = (
    canonizers, controls, faithfulness, gradient, lrp, lrp_rules, method_room, randomization,
    reductions, replacements, similarity,
)  # fmt: skip

SHARED_COLUMNS = {
    "image": "file name of the image",
    "position": "place of the image in the set",
    "method": "attribution method or control; @biases: LRP with biases in its denominators",
    "start": "what LRP's relevance starts with: one, or the target's logit",
    "reduction": "how colour channels become one number a pixel",
    "seed": "seed of the redrawn weights and of all sampling",
}

OCCLUSION_COLUMNS = SHARED_COLUMNS | {
    "target": "the class that is explained: the predicted one, or the label",
    "correct": "whether the label is the class that the network predicts; missing without a label",
    "patch": "side of a region in pixels of a 224-pixel input",
    "tiling": "tiles of a fixed grid, or sliding windows",
    "replaced": "share of the pixels that are replaced at the end, 0 to 1",
    "softmax": "mean probability of the target while the regions are replaced, 0 to 1",
    "logit": "mean logit of the target while the regions are replaced",
}

RANDOMIZATION_COLUMNS = SHARED_COLUMNS | {
    "correct": "whether the label is the class that the network predicts; missing without a label",
    "norms": "whether redrawn normalisation layers are reset or kept",
    "step": "number of the step: how many stages are random",
    "steps": "number of steps that would randomise the whole network",
    "ssim": "SSIM of second-moment-normalised maps, window 7, L = joint range of the pair",
    "ssim_robust": "the same with L = joint range of the central 99.9 % of their pixels",
    "ssim_L1": "the same with L = 1",
    "ssim_L2": "the same with L = 2",
    "spearman": "Spearman's rank correlation over pixels",
    "mse": "mean squared difference of second-moment-normalised maps",
}

Maps = Mapping[tuple[str, str, Reduction], torch.Tensor]
"""(method, start, reduction) -> maps ``(N, H, W)``."""


def all_maps(
    context: Context,
    batch: Batch,
    targets: torch.Tensor,
    methods: Sequence[str],
    keys: Sequence[int],
    sampling: Sampling,
) -> Maps:
    """The maps of one batch under every reduction and every start of LRP."""
    model = context.model
    values = unpooled(model, batch.inputs, targets, methods, keys, sampling, context.batch_size)
    with torch.no_grad():
        score = model.scores(batch.inputs).gather(1, targets[:, None])[:, 0]
    sign = torch.where(score < 0, -1.0, 1.0).view(-1, 1, 1, 1)
    maps: dict[tuple[str, str, Reduction], torch.Tensor] = {}
    for name, channels in values.items():
        for reduction in REDUCTIONS:
            if name != "noise" or reduction == "signed":
                maps[name, "one", reduction] = reduce(channels, reduction)
        if name.startswith("lrp-"):  # a sign moves no other reduction
            maps[name, "logit", "signed"] = reduce(sign * channels, "signed")
    return maps


def labels_of(context: Context, positions: Sequence[int]) -> list[int | None]:
    """Labels of images; None where one is unknown."""
    return [context.images.labels[position] for position in positions]


def correctness(batch: Batch, labels: Sequence[int | None]) -> pd.Series:
    """Whether each label is what the network predicts, as nullable booleans."""
    predicted = batch.targets.tolist()
    return pd.Series(
        [None if a is None else a == b for a, b in zip(labels, predicted, strict=True)],
        dtype="boolean",
    )


@experiment(
    "occlusion-specifications",
    knobs={
        "smoke": {"path_steps": 2, "every": 15, "patches": (15,), "level_images": 1},
        "quick": {"path_steps": 8, "every": 10, "patches": (15,), "level_images": 4},
        "full": {},
    },
    columns=OCCLUSION_COLUMNS,
)
def occlusion_specifications(
    context: Context,
    methods: Sequence[str] = METHODS,
    patches: Sequence[PositiveInt] = (15, 8),
    every: PositiveInt = 1,
    path_steps: PositiveInt = 50,
    max_images: PositiveInt | None = None,
    level_images: PositiveInt | None = None,
) -> Iterator[Chunk]:
    """Mean softmax and logit under occlusion, for every way to rank and to place the regions.

    Args:
        context: model, images and seed.
        methods: attribution methods and controls.
        patches: sides of the regions, in pixels of a 224-pixel input.
        every: the prediction is taken after every that many of the 30 regions, and the mean over
            the curve by the trapezoidal rule.
        path_steps: points of integrated gradients.
        max_images: use at most that many images.
        level_images: sliding windows, and labels as targets, on at most that many of them.

    Yields:
        One chunk a target and a batch of images.
    """
    names = defined(context.model, methods)
    level = len(context.images) if level_images is None else level_images
    for target in ("predicted", "label"):
        for positions in context.positions(max_images):
            known = [label for label in labels_of(context, positions) if label is not None]
            if target == "label" and (positions[0] >= level or not known):
                continue
            tilings: tuple[Tiling, ...] = ("tiles",)
            if target == "predicted" and positions[0] < level:
                tilings = ("tiles", "sliding")
            settings = {
                "methods": names,
                "patches": list(patches),
                "every": every,
                "path_steps": path_steps,
                "target": target,
                "tilings": tilings,
                "seed": context.seed,
            }

            def compute(
                target: str = target,
                tilings: tuple[Tiling, ...] = tilings,
                positions: tuple[int, ...] = positions,
            ) -> pd.DataFrame:
                sampling = Sampling(path_steps)
                return occlude(context, names, positions, target, patches, tilings, every, sampling)

            yield Chunk(settings, (*CODE, occlude, all_maps), compute, positions)


def occlude(
    context: Context,
    methods: Sequence[str],
    positions: Sequence[int],
    target: str,
    patches: Sequence[int],
    tilings: Sequence[Tiling],
    every: int,
    sampling: Sampling,
) -> pd.DataFrame:
    """All rankings of one batch; with labels as targets only images with another prediction."""
    batch, labels = context.batch(positions), labels_of(context, positions)
    correct = correctness(batch, labels)
    chosen = list(range(len(positions)))
    targets = batch.targets
    if target == "label":
        chosen = np.flatnonzero(~correct.fillna(True)).tolist()
        targets = torch.tensor(
            [-1 if label is None else label for label in labels], device=batch.targets.device
        )
    frames = [_no_rows()]
    if chosen:
        some = batch.select(chosen, targets)
        keys = some.seeds(context.seed, "base")
        maps = all_maps(context, some, some.targets, methods, keys, sampling)
        soft = blurred(some.inputs)
        for patch in patches:
            for tiling in tilings:
                scores = _scores_of_rankings(
                    context.model, some, soft, maps, patch, tiling, every, context.batch_size
                )
                scores["correct"] = correct.iloc[chosen].array.take(scores.pop("place"))
                frames.append(
                    scores.assign(target=target, patch=patch, tiling=tiling, seed=context.seed)
                )
    table = pd.concat(frames[1:] or frames, ignore_index=True)
    return table[list(OCCLUSION_COLUMNS)]


def _no_rows() -> pd.DataFrame:
    """No row of the table of occlusion, with the types of its columns."""
    kinds = {"position": "int64", "patch": "int64", "seed": "int64", "correct": "boolean"}
    kinds |= dict.fromkeys(("replaced", "softmax", "logit"), "float32")
    return pd.DataFrame(
        {name: pd.Series(dtype=kinds.get(name, "str")) for name in OCCLUSION_COLUMNS}
    )


def _scores_of_rankings(
    model: Explainable,
    batch: Batch,
    soft: torch.Tensor,
    maps: Maps,
    patch: int,
    tiling: Tiling,
    every: int,
    batch_size: int,
) -> pd.DataFrame:
    """Mean softmax and logit of every image under every map; equal rankings are occluded once."""
    side = scaled(patch, batch.inputs.shape[-1])
    orders = torch.stack(
        [occlusion_steps(values, side, REGIONS, tiling) for values in maps.values()]
    )
    counts = list(range(0, REGIONS + 1, every))
    if counts[-1] != REGIONS:
        counts.append(REGIONS)
    rows = []
    for place in range(len(batch.names)):
        distinct, which = orders[:, place].flatten(1).unique(dim=0, return_inverse=True)
        rankings = distinct.view(-1, *orders.shape[2:])
        image, target = batch.inputs[place][None], batch.targets[place][None]
        many = (len(rankings), -1, -1, -1)
        start = replacement_curves(model, image, target, soft[place][None], rankings[:1], [0])
        later = replacement_curves(
            model,
            image.expand(many),
            target.expand(len(rankings)),
            soft[place][None].expand(many),
            rankings,
            counts[1:],
            batch_size,
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


@experiment(
    "randomization-specifications",
    knobs={
        "smoke": {"path_steps": 2, "n_steps": 2, "level_images": 1},
        "quick": {"path_steps": 8, "n_steps": 3, "level_images": 4},
        "full": {"seeds": (0, 1, 2, 3, 4)},
    },
    columns=RANDOMIZATION_COLUMNS,
)
def randomization_specifications(
    context: Context,
    methods: Sequence[str] = METHODS,
    n_steps: PositiveInt | None = None,
    path_steps: PositiveInt = 50,
    seeds: Sequence[int] | None = None,
    max_images: PositiveInt | None = None,
    seed_images: PositiveInt | None = None,
    level_images: PositiveInt | None = None,
) -> Iterator[Chunk]:
    """Similarity after top-down randomisation, for every way to reduce and to compare maps.

    Args:
        context: model, images and seed.
        methods: attribution methods and controls.
        n_steps: that many steps, evenly spread; all by default.
        path_steps: points of integrated gradients.
        seeds: seeds of the redrawn weights; the run's seed by default.
        max_images: use at most that many images with the first seed.
        seed_images: at most that many with the other seeds.
        level_images: at most that many with kept normalisation layers, with the first seed.

    Yields:
        One chunk a seed, a treatment of normalisation layers and a batch of images.
    """
    model = context.model
    names = defined(model, methods)
    chosen_steps = steps(model.stages, "top-down", n_steps)
    drawn = list(seeds) if seeds is not None else [context.seed]
    levels: list[tuple[int, Norms, int | None]] = [(drawn[0], "reset", max_images)]
    levels += [(seed, "reset", seed_images) for seed in drawn[1:]]
    if any(isinstance(module, NORM_LAYERS) for module in model.module.modules()):
        levels.append((drawn[0], "kept", level_images))
    twins = {
        (seed, norms): RandomTwin(model, seed, Redraw(norms=norms)) for seed, norms, _ in levels
    }
    bases = _Bases(context, names, Sampling(path_steps))
    for positions in context.positions(max_images):  # seeds inside: they share the base maps
        for seed, norms, most in levels:
            if most is not None and positions[0] >= most:
                continue
            settings = {
                "methods": names,
                "path_steps": path_steps,
                "steps": [(step.number, step.name) for step in chosen_steps],
                "norms": norms,
                "seed": seed,
            }

            def compute(
                positions: tuple[int, ...] = positions,
                twin: RandomTwin = twins[seed, norms],
            ) -> pd.DataFrame:
                return compare(bases, positions, twin, chosen_steps)

            yield Chunk(settings, (*CODE, _Bases, compare, all_maps), compute, positions)


class _Bases:
    """Maps of the trained network, kept for the batch that was asked for last.

    Args:
        context: model, images and seed.
        methods: attribution methods and controls.
        sampling: sizes of the sampling methods.
    """

    def __init__(self, context: Context, methods: Sequence[str], sampling: Sampling) -> None:
        self.context = context
        self._methods = methods
        self._sampling = sampling
        self._kept: tuple[tuple[int, ...], Batch, Mapping[Any, Reference]] | None = None

    def maps(self, batch: Batch, *key: object) -> Maps:
        """Maps of the network as it is now, its random draws seeded by the key."""
        keys = batch.seeds(*key)
        return all_maps(self.context, batch, batch.targets, self._methods, keys, self._sampling)

    def of(self, positions: tuple[int, ...]) -> tuple[Batch, Mapping[Any, Reference]]:
        """A batch with its maps, ready to be compared with others."""
        if self._kept is None or self._kept[0] != positions:
            batch = self.context.batch(positions)
            maps = self.maps(batch, self.context.seed, "base")
            self._kept = positions, batch, {k: Reference(values) for k, values in maps.items()}
        return self._kept[1:]


def compare(
    bases: _Bases, positions: tuple[int, ...], twin: RandomTwin, chosen_steps: Sequence[Step]
) -> pd.DataFrame:
    """All similarities of one batch after each step."""
    batch, base = bases.of(positions)
    correct = correctness(batch, labels_of(bases.context, positions))
    frames = []
    for step in chosen_steps:
        with twin.redrawn(step.stages):
            changed = bases.maps(batch, twin.seed, step.name)
        for (method, start, reduction), values in changed.items():
            compared = base[method, start, reduction].compare(values)
            rows = image_rows(
                batch,
                {name: compared[name].float() for name in SIMILARITIES},
                method=method,
                start=start,
                reduction=reduction,
                seed=twin.seed,
                norms=twin.redraw.norms,
                step=step.number,
                steps=len(twin.model.stages),
            )
            frames.append(rows.assign(correct=correct.array))
    return pd.concat(frames, ignore_index=True)[list(RANDOMIZATION_COLUMNS)]
