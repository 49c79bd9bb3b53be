"""Do explanations stay where the kept feature map is active? (Binder et al. 2022, §4.3.)

Write a network as g(phi(x)), with the weights of g redrawn. The paper concludes that maps remain
dominated by the regions in which phi, the last unrandomised feature map, has large activations.
The theorem behind it is about activations that are not negative.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import interpolate

from sanitygap.attribution import Sampling
from sanitygap.attribution.applicable import defined
from sanitygap.chapters.theorem_2 import activations
from sanitygap.errors import NotDefinedError
from sanitygap.models.explainable import Explainable, Stage
from sanitygap.models.hooks import hooked
from sanitygap.partition import energy
from sanitygap.randomization import RandomTwin, Step, steps
from sanitygap.seeds import stable_seed
from sanitygap.similarity import pearson, ranks
from sanitygap.table import Batch, table, whole_batches


@torch.no_grad()
def kept_features(model: Explainable, inputs: Tensor, lowest: Stage) -> Tensor:
    """What flows into a stage: the last feature map below it.

    Args:
        model: the network.
        inputs: ``(N, 3, H, W)``.
        lowest: the lowest stage that is redrawn.

    Returns:
        The first input of the stage's first module: ``(N, C, h, w)``, or without positions, as
        below a dense layer.
    """
    seen: list[Tensor] = []
    module = model.module.get_submodule(lowest.modules[0])
    # a copy: an operation in place may follow
    with module.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone())):
        model.module(inputs)
    return seen[0]


def has_positions(features: Tensor) -> bool:
    """Whether a feature map says where in the image something is."""
    return features.ndim == 4 and features.shape[2:].numel() > 1


@torch.no_grad()
def above_activations(model: Explainable, inputs: Tensor, lowest: Stage) -> Stage | None:
    """The part of a stage that begins with a convolution whose inputs are not negative.

    Theorem 2 assumes that of the kept features. What flows into a stage can have both signs: blocks
    with linear ends hand on such features, and only behind their first activation none is negative.

    Args:
        model: the network.
        inputs: ``(N, 3, H, W)``, the images by which signs are told.
        lowest: the stage.

    Returns:
        The modules of the stage from that convolution on; None if it has none whose inputs have
        positions and no negative value.
    """
    parts = {name: model.module.get_submodule(name) for name in lowest.modules}
    convolutions = {
        name: part for name, part in parts.items() if isinstance(part, nn.modules.conv._ConvNd)
    }
    fitting: set[str] = set()

    def examine(name: str, given: tuple[Tensor, ...]) -> None:
        if given[0].shape[2:].numel() > 1 and bool((given[0] >= 0).all()):
            fitting.add(name)

    with hooked(convolutions, before=examine):
        model.module(inputs)
    first = next((name for name in lowest.modules if name in fitting), None)
    if first is None:
        return None
    return Stage(lowest.name, lowest.modules[lowest.modules.index(first) :])


def spread(activity: Tensor, size: tuple[int, int]) -> Tensor:
    """Activity ``(N, h, w)`` brought to the size of the image by bilinear interpolation."""
    return interpolate(activity[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def mass_ratio(maps: Tensor, activity: Tensor, share: float = 0.1) -> Tensor:
    """How much more of a map lies in the most active regions than their area would hold.

    Args:
        maps: attribution maps ``(N, H, W)``; their absolute values count.
        activity: ``(N, H, W)``; the pixels with the largest ``share`` of its values are chosen,
            ties in reading order.
        share: share of the area, 0 to 1.

    Returns:
        Share of the map's absolute mass over share of the area, ``(N,)``: 1 for a map that does
        not care, ``1 / share`` for one that lies inside; NaN for an all-zero map.
    """
    mass = maps.abs().flatten(1).double()
    count = max(1, round(share * mass.shape[1]))
    order = activity.flatten(1).argsort(dim=1, descending=True, stable=True)[:, :count]
    inside = mass.gather(1, order).sum(1) / mass.sum(1)
    return inside / (count / mass.shape[1])


METHODS = (
    "gradient", "gradient-x-input", "guided-backprop", "lrp-epsilon-plus", "lrp-alpha2-beta1",
    "lrp-gamma-box", "noise",
)  # fmt: skip


@table(
    "activated-regions",
    cut=whole_batches,
    smoke={"n_steps": 3, "redraws": 1},
    quick={"n_steps": 4, "redraws": 1, "max_images": 4},
    full={"max_images": 100},
    everything=True,
)
def activated_regions(
    batch: Batch,
    methods: Sequence[str] = METHODS,
    n_steps: int | None = None,
    others: int = 5,
    redraws: PositiveInt = 5,
    path_steps: int = 50,
    noisy_copies: int = 50,
    max_images: int | None = None,
) -> Iterator[pd.DataFrame]:
    """Where maps lie after top-down randomisation, against the activity of the kept features.

    Of the lowest stage only the part above its first activation is redrawn, if it has one, so that
    the kept features are not negative. Steps are left out where nothing is kept, and where the kept
    features have no positions.

    Args:
        batch: images.
        methods: attribution methods and controls.
        n_steps: that many steps of the top-down order, evenly spread; all by default.
        others: the null comparison uses the next so many images of the set, cyclically.
        redraws: independent draws of the weights.
        path_steps: points of integrated gradients, if it is asked for.
        noisy_copies: copies in SmoothGrad, likewise.
        max_images: use at most that many images.

    Raises:
        NotDefinedError: fewer than two images, or no step with a kept feature map.
    """
    model, context, positions = batch.model, batch.context, batch.positions
    batches = context.positions(max_images)
    everything = [position for places in batches for position in places]
    if len(everything) < 2:
        raise NotDefinedError(
            "the comparison with other images needs at least two images; use more"
        )
    chosen = cuts(model, context.batch(batches[0]).inputs, n_steps)
    if not chosen:
        raise NotDefinedError("no step leaves a feature map with positions; use more steps")
    methods, sampling = defined(model, methods), Sampling(path_steps, noisy_copies)
    partners = _partners(positions, everything, others)
    around = [batch.inputs, *([context.batch(partners).inputs] if partners else [])]
    size = (batch.inputs.shape[2], batch.inputs.shape[3])
    count, total = len(positions), len(positions) + len(partners)
    twins = [RandomTwin(model, seed) for seed in range(batch.seed, batch.seed + redraws)]
    for cut in chosen:
        step = cut.step
        features = torch.cat([kept_features(model, part, cut.lowest) for part in around])
        activity = spread(energy(features), size)
        order = ranks(activity)
        for twin in twins:
            with twin.redrawn(step.stages):
                maps = batch.maps(methods, twin.seed, step.name, sampling=sampling)
            for name, values in maps.items():
                own = ranks(values.abs())
                shifted = [
                    pearson(own, order[(torch.arange(count) + offset) % total])
                    for offset in range(1, min(others, total - 1) + 1)
                ]
                measured = {
                    "mass_ratio": mass_ratio(values, activity[:count]),
                    "spearman": pearson(own, order[:count]),
                    "spearman_others": torch.stack(shifted).mean(0),
                }
                yield batch.rows(
                    measured, method=name, step=step.number, stage=step.name, layer=cut.layer,
                    non_negative=cut.non_negative, height=features.shape[2], seed=twin.seed,
                )  # fmt: skip


@dataclass(frozen=True)
class Cut:
    """Where a network is cut into kept features and a random rest.

    Attributes:
        step: of the top-down order, with the part of its lowest stage that is redrawn.
        non_negative: whether the kept features have no negative value.
    """

    step: Step
    non_negative: bool

    @property
    def lowest(self) -> Stage:
        """The redrawn part of the lowest random stage."""
        return self.step.stages[-1]

    @property
    def layer(self) -> str:
        """The first random layer; what flows into it is the last kept feature map."""
        return self.lowest.modules[0]


def cuts(model: Explainable, inputs: torch.Tensor, n_steps: int | None = None) -> list[Cut]:
    """The cuts of a network that leave a feature map with positions.

    Args:
        model: the network.
        inputs: ``(N, 3, H, W)``, by which signs are told.
        n_steps: that many steps of the top-down order, evenly spread; all by default.
    """
    found = []
    for step in steps(model.stages, "top-down", n_steps):
        lowest = step.stages[-1]
        part = above_activations(model, inputs, lowest)
        whole = step.number == len(model.stages)
        if part is None and (whole or not has_positions(kept_features(model, inputs[:1], lowest))):
            continue
        if whole and part is not None and part.modules == lowest.modules:
            continue  # the image itself is no feature map, even if its values are positive
        stages = (*step.stages[:-1], part or lowest)
        found.append(Cut(Step(step.number, step.name, stages), part is not None))
    return found


def _partners(positions: Sequence[int], everything: Sequence[int], others: int) -> tuple[int, ...]:
    """The images of the set that follow a batch, cyclically, and are not in it."""
    following = [
        everything[(positions[-1] + offset) % len(everything)] for offset in range(1, others + 1)
    ]
    return tuple(dict.fromkeys(p for p in following if p not in positions))


#: neurons drawn from pooled activations for each image, layer and pair of quantiles
SIMULATED = 200

CONSERVATIVE = ("gradient-x-input", "lrp-epsilon-plus", "lrp-alpha2-beta1", "lrp-gamma-box")


def _named(rows: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Positions in a batch replaced by file names."""
    return rows.assign(image=[names[position] for position in rows["image"]])


@table(
    "activation-overtaking",
    smoke={"neurons": 5},
    quick={"neurons": 20, "max_images": 6},
    full={"max_images": 100},
)
def activation_overtaking(batch: Batch, neurons: int = 100) -> pd.DataFrame:
    """Bound on overtaking and its simulated frequency, for every layer and pair of quantiles.

    Args:
        batch: images.
        neurons: random neurons drawn for each image, layer and pair.
    """
    module, seed = batch.model.module, stable_seed(batch.seed, *batch.keys)
    layers = layers_of(module, batch.inputs[:1])
    rows = activations.overtaking(module, batch.inputs, layers, neurons=neurons, seed=seed)
    return _named(rows, batch.names)


@table(
    "redrawn-overtaking",
    smoke={"redraws": 1},
    quick={"redraws": 4, "max_images": 6},
    full={"max_images": 100},
)
def redrawn_overtaking(batch: Batch, redraws: int = 20) -> Iterator[dict[str, Any]]:
    """How often small activations overtake large ones when the next layer is really redrawn.

    Args:
        batch: images.
        redraws: He-normal draws of every layer for each image; each image has its own.

    Yields:
        One row an image, layer and pair of quantiles; none if no layer qualifies.
    """
    model, seed = batch.model, batch.seed
    for place, key in enumerate(batch.keys):
        layers = activations.fed_layers(model.module, batch.inputs[place : place + 1])
        stage = Stage("fed layers", tuple(dict.fromkeys(layer.name for layer in layers)))
        counts = []
        for redraw in range(redraws):
            with RandomTwin(model, stable_seed(seed, key, "redraw", redraw)).redrawn((stage,)):
                counts.append([layer.count() for layer in layers])
        for number, layer in enumerate(layers):
            rng = np.random.default_rng(stable_seed(seed, key, "simulated", layer.index))
            named = {"image": batch.names[place], "position": batch.positions[place]}
            named |= {"layer": layer.name, "layer_index": layer.index, "fan_in": layer.fan_in}
            at = layer.quantiles
            for high, low in itertools.product(activations.HIGH_ENDS, activations.LOW_ENDS):
                positive, overtaken = np.sum([count[number][high, low] for count in counts], axis=0)
                simulated = activations.simulate_neurons(layer.pooled, high, low, SIMULATED, rng)
                yield {
                    **named,
                    **activations.quantile_bound(high, low, at[high], at[low]),
                    "simulated_positive": simulated[0],
                    "simulated_overtaken": simulated[1],
                    "positive": positive,
                    "overtaken": overtaken,
                }


#: modules whose outputs are activations, in the sense of App. I and J
NONLINEARITIES = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.LeakyReLU, nn.ELU)


def layers_of(module: nn.Module, example: Tensor) -> list[str]:
    """Names of the modules whose outputs are activations.

    These are the network's nonlinearities. Where all are calls of functions, it is the innermost
    modules that return what such a call returned, as the convolution blocks of Inception v3 do.

    Args:
        module: network in evaluation mode.
        example: inputs that it accepts, on its device.

    Raises:
        UsageError: no module returns activations.
    """
    names = [name for name, part in module.named_modules() if isinstance(part, NONLINEARITIES)]
    names = names or _returning_activations(module, example)
    if not names:
        raise NotDefinedError("the model has no activation modules; name the layers yourself")
    return names


#: nonlinear functions by their nodes in autograd's graph; that of ReLU6 is Hardtanh
FUNCTIONS = ("Relu", "Hardtanh", "Silu", "Gelu", "Hardswish", "LeakyRelu", "Elu")


def _returning_activations(module: nn.Module, example: Tensor) -> list[str]:
    """The innermost modules whose outputs come straight from a nonlinear function."""
    found: dict[int, tuple[str, Any]] = {}

    def note(name: str, _inputs: object, output: Any) -> None:
        node = type(getattr(output, "grad_fn", None)).__name__
        if node.removesuffix("Backward0") in FUNCTIONS:
            # the innermost module returns first; the output is kept, so that no id is used twice
            found.setdefault(id(output), (name, output))

    with torch.enable_grad(), hooked(dict(module.named_modules()), note):
        module(example.clone().requires_grad_())
    return list(dict.fromkeys(name for name, _ in found.values()))


@table("activation-sparsity")
def activation_sparsity(batch: Batch) -> pd.DataFrame:
    """Fraction of activations that are not positive, layer by layer.

    Args:
        batch: images.
    """
    module = batch.model.module
    layers = layers_of(module, batch.inputs[:1])
    return _named(activations.sparsity(module, batch.inputs, layers), batch.names)


@table("positive-evidence", quick={"max_images": 3}, full={"max_images": 100})
def positive_evidence(batch: Batch) -> Iterator[pd.DataFrame]:
    """Sums of maps beside the logit they explain, before and after randomisation.

    Args:
        batch: images.
    """
    model, inputs, targets = batch.model, batch.inputs, batch.targets
    half, whole = (steps(model.stages, "top-down", 3)[index] for index in (1, 2))
    twin = RandomTwin(model, batch.seed)
    states = {"trained": (), "upper half redrawn": half.stages, "all redrawn": whole.stages}
    for state, stages in states.items():
        with twin.redrawn(stages):
            maps = batch.maps(CONSERVATIVE, batch.seed, state)
            with torch.no_grad():
                score = model.scores(inputs).gather(1, targets[:, None])[:, 0]
        for name, values in maps.items():
            sums = {"logit": score, "relevance": values.double().sum((1, 2))}
            yield batch.rows(sums, method=name, state=state)
