"""Sensitivity S per layer, image and set, and its criteria (Sriram and Conati 2022, Eq. 1-7)."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sanitygap.errors import UsageError

#: the paper's threshold of the SSIM, and the one of S that follows from it (Eq. 3)
SIMILAR = 0.99
THRESHOLD = 1 - SIMILAR

#: level of the paper's bootstrap interval
LEVEL = 0.90

#: seven methods of the paper, by their names here, and what it calls them
PRINTED = {
    "gradient": "Gradients",
    "gradient-x-input": "InputXGradient",
    "guided-backprop": "Guided BP",
    "guided-grad-cam": "Guided GC",
    "deeplift": "DeepLIFT",
    "integrated-gradients": "IG",
    "lime": "LIME",
}
METHODS = tuple(PRINTED)

#: lowest SSIM of each class of perceived similarity (Table 1), from the best to the worst
BANDS = {"excellent": 0.99, "good": 0.95, "fair": 0.88, "poor": 0.5, "bad": -np.inf}

Number = TypeVar("Number", float, NDArray[np.float64], pd.Series, pd.DataFrame)


def layer_sensitivity(ssim: Number) -> Number:
    """S of one layer and image: one minus the SSIM (Eq. 2)."""
    return 1 - ssim


def sensitive_to_layer(ssim: ArrayLike, threshold: float = SIMILAR) -> NDArray[np.bool_]:
    """Definition 1: the SSIM is *below* the threshold."""
    return np.asarray(np.asarray(ssim, dtype=np.float64) < threshold)


def sensitive_for_image(ssim: ArrayLike, threshold: float = SIMILAR) -> NDArray[np.bool_]:
    """Eq. (1): the SSIM is *at most* the threshold for every layer, the last axis."""
    return np.asarray((np.asarray(ssim, dtype=np.float64) <= threshold).all(axis=-1))


def perceived(ssim: float) -> str:
    """The class of perceived similarity (Table 1): excellent, good, fair, poor or bad."""
    return next(name for name, low in BANDS.items() if ssim >= low)


def layer_table(
    table: pd.DataFrame, method: str, value: str = "ssim", sign: str = "signed"
) -> pd.DataFrame:
    """SSIM of one method, images x layers, averaged over seeds.

    Args:
        table: the table ``ipr-test``, or another of the independent order.
        method: its name.
        value: one of the table's similarity columns.
        sign: ``signed`` or ``absolute`` maps.

    Returns:
        NaN where a map is zero everywhere; such images are to be counted and dropped.

    Raises:
        UsageError: the table holds none of that.
    """
    rows = table[(table["method"] == method) & (table["sign"] == sign)]
    if rows.empty:
        raise UsageError(f"the table holds no {sign} maps of {method!r}; compute them")
    means = rows.groupby(["image", "stage"], sort=False)[value].agg(
        lambda part: part.mean(skipna=False)
    )
    return means.unstack("stage")


def image_sensitivities(
    table: pd.DataFrame,
    value: str = "ssim",
    sign: str = "signed",
    methods: Sequence[str] | None = None,
) -> pd.DataFrame:
    """S^i (Eq. 4), images x methods: one minus the mean SSIM over layers.

    Args:
        table: the table ``ipr-test``.
        value: one of its similarity columns.
        sign: ``signed`` or ``absolute`` maps.
        methods: all of the table by default.

    Returns:
        NaN for an image with a layer whose map is zero everywhere.
    """
    chosen = methods if methods is not None else list(dict.fromkeys(table["method"]))
    return pd.DataFrame(
        {
            name: layer_sensitivity(layer_table(table, name, value, sign)).mean(
                axis="columns", skipna=False
            )
            for name in chosen
        }
    )


def criteria(ssim: pd.DataFrame, threshold: float = SIMILAR) -> dict[str, float]:
    """What S^I says, and what it hides (ledger: sriram-alt-criteria).

    Args:
        ssim: images x layers, without any NaN.
        threshold: of the SSIM.

    Returns:
        ``S``: mean over layers and images (Eq. 6). ``meets``: share of the images that are
        sensitive to every layer (Definition 2). ``least_layer``: lowest mean sensitivity of a
        layer. ``insensitive``: share of the pairs of image and layer that are not sensitive.
    """
    sensitivity = layer_sensitivity(ssim)
    return {
        "S": float(sensitivity.mean(axis="columns").mean()),
        "meets": float(sensitive_for_image(ssim, threshold).mean()),
        "least_layer": float(sensitivity.mean().min()),
        "insensitive": float((ssim > threshold).to_numpy().mean()),
    }


def coverage(
    values: ArrayLike,
    n: int = 900,
    level: float = LEVEL,
    simulations: int = 1000,
    resamples: int = 300,
    seed: int = 0,
) -> float:
    """How often the bootstrap interval of S^I contains the true mean, in simulated sets.

    The measured S^i are taken for the population. Sets of ``n`` are drawn from it; each gets its
    percentile bootstrap interval. A set drawn from few distinct values is described by how often
    each was drawn, and so is a resample.

    Args:
        values: S^i, one an image.
        n: images in a set; 900 in the paper.
        level: nominal coverage.
        simulations: sets.
        resamples: bootstrap samples of each.
        seed: of all draws.
    """
    population = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    shares = np.full(len(population), 1 / len(population))
    truth = population.mean()
    within = 0
    for drawn in rng.multinomial(n, shares, size=simulations):
        again = rng.multinomial(n, drawn / n, size=resamples)
        low, high = np.quantile(again @ population / n, [(1 - level) / 2, (1 + level) / 2])
        within += int(low <= truth <= high)
    return within / simulations


#: methods that captum has as well; its versions are called captum and the same
VERSIONS = (
    "gradient", "gradient-x-input", "integrated-gradients", "guided-backprop", "guided-grad-cam",
    "deeplift",
)  # fmt: skip
