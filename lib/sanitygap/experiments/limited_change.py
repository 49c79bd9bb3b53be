"""How far randomisation can change a faithful map (Binder et al. 2022, end of Sec. 4.1)."""

from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from pydantic import PositiveInt

from sanitygap import randomization, similarity
from sanitygap.attribution import Sampling, attribute
from sanitygap.attribution.applicable import families
from sanitygap.experiments.experiment import Batch, Chunk, Context, experiment, image_rows
from sanitygap.experiments.irrelevance import redraw_seeds
from sanitygap.experiments.randomization_test import ALL_METHODS, code_of, sampling_of
from sanitygap.models.explainable import Explainable
from sanitygap.randomization import RandomTwin
from sanitygap.similarity import joint_range, normalized_mse, second_moment, ssim
from sanitygap.small_networks import planted
from sanitygap.small_networks.planted import PixelNetwork, planted_model


@experiment(
    "limited-change",
    knobs={
        "smoke": {"redraws": 2, "path_steps": 2, "noisy_copies": 2},
        "quick": {"redraws": 5, "path_steps": 8, "noisy_copies": 8, "max_images": 6},
        "full": {},
    },
    columns={
        "image": "file name of the image",
        "position": "place of the image in the set",
        "seed": "seed of the planted network, of its redrawn g and of all sampling",
        "method": "attribution method or control",
        "ssim": "SSIM of the method's maps before and after redrawing g, those of LRP times the "
        "score whose shares they are",
        "attainable": "the same for the true contributions",
        "error": "normalised MSE between map and true contributions, mean of before and after",
    },
)
def limited_change(
    context: Context,
    methods: Sequence[str] = ALL_METHODS,
    redraws: PositiveInt = 10,
    path_steps: int = 50,
    noisy_copies: int = 50,
    max_images: int | None = None,
) -> Iterator[Chunk]:
    """A network with known contributions: how much change is attainable, and who reaches it.

    The network is :class:`sanitygap.small_networks.planted.PixelNetwork`, not the run's model.

    Args:
        context: images and seed.
        methods: attribution methods and controls.
        redraws: networks, each with one redraw of its g.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad.
        max_images: use at most that many images.

    Yields:
        One chunk a family of methods and a batch of images.
    """
    sampling, seeds = Sampling(path_steps, noisy_copies), redraw_seeds(context, redraws)
    for family in families(methods):
        names = [member.name for member in family]
        for positions in context.positions(max_images):

            def compute(
                names: list[str] = names, positions: tuple[int, ...] = positions
            ) -> pd.DataFrame:
                return against_truth(context, names, positions, seeds, sampling)

            settings = {
                "methods": names, "sampling": sampling_of(family, sampling), "seeds": seeds,
            }  # fmt: skip
            code = (planted, randomization, similarity, against_truth, _alike, *code_of(family))
            yield Chunk(settings, code, compute, positions, needs_model=False)


def against_truth(
    context: Context,
    names: Sequence[str],
    positions: Sequence[int],
    seeds: Sequence[int],
    sampling: Sampling,
) -> pd.DataFrame:
    """Change and error of some methods on planted networks, for one batch of images."""
    pictures = [context.images.open(position) for position in positions]
    frames = []
    for seed in seeds:
        model = planted_model(seed)
        module = model.module
        assert isinstance(module, PixelNetwork)
        inputs = model.prepare(pictures)
        batch = Batch(
            tuple(positions), inputs, model.predict(inputs),
            tuple(context.images.names[position] for position in positions),
            tuple(context.images.keys[position] for position in positions), context,
        )  # fmt: skip

        def state(
            name: str, model: Explainable = model, module: PixelNetwork = module,
            batch: Batch = batch, seed: int = seed,
        ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:  # fmt: skip
            truth = module.contributions(batch.inputs, batch.targets)
            keys = batch.seeds(seed, name)
            maps = attribute(model, batch.inputs, batch.targets, names, keys, sampling)
            scores = model.scores(batch.inputs).gather(1, batch.targets[:, None])[..., None]
            # the truth is what pixels add to a score; LRP tells which share of it each one has
            return truth, {
                method: values * scores if method.startswith("lrp-") else values
                for method, values in maps.items()
            }

        before, maps = state("before")
        with RandomTwin(model, seed).redrawn(model.stages[:-1]):
            after, changed = state("after")
        attainable = _alike(before, after)
        for name in names:
            error = normalized_mse(maps[name], before) + normalized_mse(changed[name], after)
            values = {
                "ssim": _alike(maps[name], changed[name]),
                "attainable": attainable,
                "error": error / 2,
            }
            frames.append(image_rows(batch, values, seed=seed, method=name))
    return pd.concat(frames, ignore_index=True)


def _alike(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """SSIM of second-moment-normalised maps, L = joint range."""
    a, b = second_moment(first), second_moment(second)
    return ssim(a, b, joint_range(a, b))
