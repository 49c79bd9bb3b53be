"""Is there an effect of randomisation at all? Similarity after it, beside that without it.

Binder et al. (2022, §5) keep the similarity score as a binary test only. A test needs a null
distribution: the similarity of two maps of the same, unchanged network.
"""

from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from torch.nn.functional import avg_pool2d

from sanitygap import randomization, similarity
from sanitygap.attribution import Method, Sampling, attribute, controls
from sanitygap.attribution import method as method_room
from sanitygap.attribution.applicable import families
from sanitygap.attribution.method import Request
from sanitygap.experiments.experiment import Chunk, Context, experiment, image_rows
from sanitygap.experiments.randomization_test import code_of, sampling_of
from sanitygap.randomization import RandomTwin, Step, steps
from sanitygap.seeds import normal
from sanitygap.similarity import Reference, joint_range, second_moment, ssim

METHODS = (
    "gradient",
    "gradient-x-input",
    "integrated-gradients",
    "smoothgrad",
    "vargrad",
    "guided-backprop",
    "lrp-epsilon-plus",
    "lrp-alpha2-beta1",
    "lrp-gamma-box",
    "noise",
    "edges",
)

COLUMNS = {
    "image": "file name of the image",
    "position": "place of the image in the set",
    "method": "attribution method or control",
    "step": "how many stages are random, from the top; 0 is the trained network asked again",
    "stage": "the lowest random stage; retest for the trained network",
    "seed": "seed of the redrawn weights and of all sampling",
    "ssim": "SSIM with the first map of the trained network, second-moment normalisation, L = "
    "joint range",
    "spearman": "rank correlation with the first map",
}


@experiment(
    "test-retest",
    knobs={
        "smoke": {
            "methods": ("gradient", "smoothgrad", "guided-backprop", "noise", "edges"),
            "n_steps": 1,
            "noisy_copies": 2,
        },
        "quick": {
            "methods": tuple(m for m in METHODS if m not in ("lrp-alpha2-beta1", "lrp-gamma-box")),
            "n_steps": 1,
            "path_steps": 2,
            "noisy_copies": 3,
        },
        "full": {},
    },
    columns=COLUMNS,
)
def retest(
    context: Context,
    methods: Sequence[str] = METHODS,
    n_steps: int | None = None,
    path_steps: int = 50,
    noisy_copies: int = 50,
    seeds: Sequence[int] | None = None,
    max_images: int | None = None,
) -> Iterator[Chunk]:
    """Similarity of each map to a second map of the same network, and of randomised ones.

    The second map of the trained network differs in nothing but the draws of sampling methods.

    Args:
        context: model, images and seed.
        methods: attribution methods and controls.
        n_steps: that many steps of the top-down order, evenly spread; all by default.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad and VarGrad.
        seeds: seeds of the redrawn weights; the run's seed by default.
        max_images: use at most that many images.

    Yields:
        One chunk a family of methods, a seed and a batch of images.
    """
    sampling = Sampling(path_steps, noisy_copies)
    chosen = steps(context.model.stages, "top-down", n_steps)
    for seed in seeds if seeds is not None else [context.seed]:
        twin = RandomTwin(context.model, seed)
        for family in families(methods, context.model):
            for positions in context.positions(max_images):
                settings = {
                    "methods": [member.name for member in family],
                    "sampling": sampling_of(family, sampling),
                    "steps": [(step.number, step.name) for step in chosen],
                    "seed": seed,
                }

                def compute(
                    family: list[Method] = family,
                    positions: tuple[int, ...] = positions,
                    twin: RandomTwin = twin,
                ) -> pd.DataFrame:
                    return ask_again(context, family, positions, twin, chosen, sampling)

                code = (randomization, similarity, ask_again, *code_of(family))
                yield Chunk(settings, code, compute, positions)


def ask_again(
    context: Context,
    family: Sequence[Method],
    positions: Sequence[int],
    twin: RandomTwin,
    chosen: Sequence[Step],
    sampling: Sampling,
) -> pd.DataFrame:
    """One row an image, method and state of the network."""
    model, batch = context.model, context.batch(positions)
    names = [member.name for member in family]

    def maps(state: str) -> dict[str, torch.Tensor]:
        keys = batch.seeds(twin.seed, state)
        return attribute(
            model, batch.inputs, batch.targets, names, keys, sampling, context.batch_size
        )

    first = {name: Reference(values) for name, values in maps("base").items()}
    rows = []
    for number, step in enumerate([None, *chosen]):
        with twin.redrawn(step.stages if step else ()):
            state = step.name if step else "retest"
            second = maps(state)
        for name, values in second.items():
            found = first[name].compare(values)
            measured = {score: found[score] for score in ("ssim", "spearman")}
            constant = {"step": step.number if step else number, "stage": state}
            rows.append(image_rows(batch, measured, method=name, **constant, seed=twin.seed))
    return pd.concat(rows, ignore_index=True)[list(COLUMNS)]


@experiment(
    "false-rejections",
    knobs={"smoke": {"simulations": 20}, "quick": {}, "full": {}},
    columns={
        "image": "file name of the image",
        "position": "place of the image in the set",
        "explainer": "noisy edges: edges of a noisy copy of the image; noise: nothing else",
        "simulation": "number of the simulated test",
        "randomized": "SSIM of a first map and one that stands for the randomised network",
        "retest": "SSIM of the first map and one that stands for the same network",
    },
)
def false_rejections(
    context: Context,
    simulations: int = 200,
    noise_level: float = 0.15,
    shrink: int = 4,
    max_images: int = 10,
) -> Iterator[Chunk]:
    """Simulated tests of explainers that know nothing of the model, for the rate of false alarms.

    Every map is drawn anew, so that test and retest have the same distribution.

    Args:
        context: model (for its preprocessing only), images and seed.
        simulations: how many tests.
        noise_level: standard deviation of the noise on an image over its value range.
        shrink: images are averaged over squares of so many pixels first, to save time.
        max_images: use at most that many images; at most 13 keep the tests exact.
    """
    for positions in context.positions(max_images):
        settings = {
            "simulations": simulations,
            "noise_level": noise_level,
            "shrink": shrink,
            "seed": context.seed,
        }

        def compute(positions: tuple[int, ...] = positions) -> pd.DataFrame:
            return simulated_tests(context, positions, simulations, noise_level, shrink)

        code = (controls, method_room, similarity, simulated_tests)
        yield Chunk(settings, code, compute, positions)


def simulated_tests(
    context: Context,
    positions: Sequence[int],
    simulations: int,
    noise_level: float,
    shrink: int,
) -> pd.DataFrame:
    """One row an image, explainer and simulated test."""
    batch = context.batch(positions)
    inputs = avg_pool2d(batch.inputs, shrink)
    deviation = noise_level * (inputs.amax((1, 2, 3)) - inputs.amin((1, 2, 3)))

    def edges(keys: list[int]) -> torch.Tensor:
        noisy = inputs + deviation.view(-1, 1, 1, 1) * normal(tuple(inputs.shape[1:]), keys, inputs)
        request = Request(context.model, noisy, batch.targets, tuple(keys))
        return controls.edges(controls.edge_pass(request), request)

    def noise(keys: list[int]) -> torch.Tensor:
        return normal(tuple(inputs.shape[2:]), keys, inputs)

    rows = []
    for explainer, draw in (("noisy edges", edges), ("noise", noise)):
        for simulation in range(simulations):
            first, randomized, retest = (
                second_moment(draw(batch.seeds(context.seed, explainer, simulation, state)))
                for state in ("base", "randomized", "retest")
            )
            measured = {
                name: ssim(first, other, joint_range(first, other))
                for name, other in (("randomized", randomized), ("retest", retest))
            }
            rows.append(image_rows(batch, measured, explainer=explainer, simulation=simulation))
    return pd.concat(rows, ignore_index=True)
