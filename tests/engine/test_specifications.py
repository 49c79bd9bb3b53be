"""The tables of specifications against plain loops, one image and one choice at a time."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity

from sanitygap.attribution import Sampling, unpooled
from sanitygap.images import ImageSet
from sanitygap.models.explainable import Explainable
from sanitygap.randomization import RandomTwin, steps
from sanitygap.table import Context
from tests.tables import measure

METHODS = ("gradient", "guided-backprop", "lrp-epsilon-plus", "lrp-epsilon-plus@biases", "noise")
REDUCE = {
    "signed": lambda values: values.sum(0),
    "abs-sum": lambda values: np.abs(values.sum(0)),
    "sum-abs": lambda values: np.abs(values).sum(0),
    "l2": lambda values: np.sqrt((values**2).sum(0)),
}
SIZE = 24


@pytest.fixture
def context(small: Explainable) -> Context:
    draws = np.random.default_rng(3).integers(0, 255, (3, SIZE, SIZE, 3), dtype=np.uint8)
    images = ImageSet("test", ("a", "b", "c"), (0, 1, None), tuple(draws))
    return Context(lambda: small, lambda: images, 0)


def whole_table(name: str, context: Context, **parameters):
    return measure(name, context, methods=METHODS, path_steps=2, **parameters)


def channels(context: Context, targets: torch.Tensor, *key: object):
    batch = context.batch(range(3))
    keys = batch.seeds(*key)
    made = unpooled(context.model, batch.inputs, targets, METHODS, keys, Sampling(2))
    return {name: values.numpy() for name, values in made.items()}


def box_blur(image: np.ndarray, side: int) -> np.ndarray:
    margin = side // 2
    padded = np.pad(image, ((0, 0), (margin, margin), (margin, margin)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
    return windows.mean((-1, -2))


def curve(model: Explainable, image: np.ndarray, target: int, values: np.ndarray, side: int):
    """Softmax and logit after 0 to 30 tiles of a centred grid, highest mean first."""
    rows = SIZE // side
    start = (SIZE - rows * side) // 2
    tiles = [(start + r * side, start + c * side) for r in range(rows) for c in range(rows)]
    tiles.sort(key=lambda t: -values[t[0] : t[0] + side, t[1] : t[1] + side].mean())
    soft, current, out = box_blur(image, 3), image.copy(), []
    for step in range(31):
        if 0 < step <= len(tiles):
            y, x = tiles[step - 1]
            current[:, y : y + side, x : x + side] = soft[:, y : y + side, x : x + side]
        with torch.no_grad():
            logits = model.module(torch.from_numpy(current)[None].float())[0]
        out.append((float(logits.softmax(0)[target]), float(logits[target])))
    return np.array(out)


def test_every_ranking_is_occluded_as_by_a_plain_loop(context):
    table = whole_table("occlusion-specifications", context, patches=(15,), level_images=3)
    batch = context.batch(range(3))
    values = channels(context, batch.targets, 0, "base")
    chosen = table[(table.target == "predicted") & (table.tiling == "tiles")]
    assert len(chosen) == 3 * (4 * 4 + 2 + 1)  # LRP has a second start, noise one reduction
    for row in chosen[chosen.start == "one"].itertuples():
        image = batch.inputs[row.position].numpy()
        ranked = REDUCE[row.reduction](values[row.method][row.position])
        found = curve(context.model, image, int(batch.targets[row.position]), ranked, 2)
        expected = np.trapezoid(found, axis=0) / 30
        np.testing.assert_allclose([row.softmax, row.logit], expected, rtol=1e-4)
        assert row.replaced == pytest.approx(30 * 4 / SIZE**2)


def test_similarities_of_every_reduction_against_scipy_and_scikit_image(context):
    table = whole_table("randomization-specifications", context, n_steps=2, seeds=(0, 1))
    model, batch = context.model, context.batch(range(3))
    base = channels(context, batch.targets, 0, "base")
    assert set(table.norms) == {"reset", "kept"}
    for seed in (0, 1):
        twin = RandomTwin(model, seed)
        for step in steps(model.stages, "top-down", 2):
            with twin.redrawn(step.stages):
                changed = channels(context, batch.targets, seed, step.name)
            rows = table[(table.seed == seed) & (table.step == step.number)]
            for row in rows[(rows.norms == "reset") & (rows.start == "one")].itertuples():
                a, b = (
                    REDUCE[row.reduction](values[row.method][row.position]).astype(np.float64)
                    for values in (base, changed)
                )
                a, b = a / np.sqrt((a**2).mean()), b / np.sqrt((b**2).mean())
                assert row.mse == pytest.approx(((a - b) ** 2).mean(), rel=1e-3, abs=1e-6)
                assert row.spearman == pytest.approx(
                    spearmanr(a.ravel(), b.ravel()).statistic, abs=1e-3
                )
                for column, extent in (
                    ("ssim", max(a.max(), b.max()) - min(a.min(), b.min())),
                    ("ssim_L1", 1),
                    ("ssim_L2", 2),
                ):
                    expected = structural_similarity(a, b, data_range=extent)
                    assert getattr(row, column) == pytest.approx(expected, abs=1e-3)


def test_the_start_of_relevance_gives_the_map_the_sign_of_the_score(context):
    table = whole_table("randomization-specifications", context, n_steps=3, seeds=(0, 1, 2))
    model, batch = context.model, context.batch(range(3))
    flipped = 0
    lrp = table[(table.method == "lrp-epsilon-plus") & (table.norms == "reset")]
    lrp = lrp[lrp.reduction == "signed"]
    wide = lrp.pivot_table(index=["seed", "step", "position"], columns="start", values="spearman")
    before = model.scores(batch.inputs).gather(1, batch.targets[:, None])[:, 0]
    for seed in (0, 1, 2):
        for step in steps(model.stages, "top-down", 3):
            with RandomTwin(model, seed).redrawn(step.stages), torch.no_grad():
                after = model.scores(batch.inputs).gather(1, batch.targets[:, None])[:, 0]
            for place in range(3):
                one, logit = wide.loc[(seed, step.number, place), ["one", "logit"]]
                sign = -1 if before[place] * after[place] < 0 else 1
                flipped += sign < 0
                assert logit == pytest.approx(sign * one, abs=1e-5)
    assert flipped
