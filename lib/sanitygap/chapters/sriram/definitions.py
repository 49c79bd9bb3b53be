"""Sensitivity S per layer, image and set (Sriram and Conati 2022, Definitions 1-3 and Eq. 1-7).

What follows from the definitions is proved by machine: the SSIM of a layer is a real number, and
nothing but its range is assumed. Wrong variants (mutants) guard against an encoding that would
prove anything.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd
import z3
from numpy.typing import ArrayLike, NDArray

from sanitygap.errors import UsageError
from sanitygap.judge import rows_of, scores_by, strict_mean
from sanitygap.theory.prover import Formula, Statement, proof_table

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


def sensitive_for_image(ssim: ArrayLike) -> NDArray[np.bool_]:
    """Eq. (1): the SSIM is *at most* the threshold for every layer, the last axis."""
    return np.asarray((np.asarray(ssim, dtype=np.float64) <= SIMILAR).all(axis=-1))


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
    rows = rows_of(table, method=method, sign=sign)
    if rows.empty:
        raise UsageError(f"the table holds no {sign} maps of {method!r}; compute them")
    return scores_by(rows, value, "stage", strict_mean, sort=False)


def image_sensitivities(
    table: pd.DataFrame,
    methods: Sequence[str] | None = None,
    value: str = "ssim",
    sign: str = "signed",
) -> pd.DataFrame:
    """S^i (Eq. 4), images x methods: one minus the mean SSIM over layers.

    Args:
        table: the table ``ipr-test``.
        methods: those of them that the table holds; all of the table by default.
        value: one of its similarity columns.
        sign: ``signed`` or ``absolute`` maps.

    Returns:
        NaN for an image with a layer whose map is zero everywhere.
    """
    held, means = list(dict.fromkeys(table["method"])), {}
    for name in held if methods is None else [name for name in methods if name in held]:
        sensitivity = layer_sensitivity(layer_table(table, name, value, sign))
        means[name] = sensitivity.mean(axis="columns", skipna=False)
    return pd.DataFrame(means)


def criteria(ssim: pd.DataFrame) -> dict[str, float]:
    """What S^I says, and what it hides (ledger: sriram-alt-criteria).

    Args:
        ssim: images x layers, without any NaN.

    Returns:
        ``S``: mean over layers and images (Eq. 6). ``meets``: share of the images that are
        sensitive to every layer (Definition 2). ``least_layer``: lowest mean sensitivity of a
        layer. ``insensitive``: share of the pairs of image and layer that are not sensitive.
    """
    sensitivity = layer_sensitivity(ssim)
    return {
        "S": float(sensitivity.mean(axis="columns").mean()),
        "meets": float(sensitive_for_image(ssim).mean()),
        "least_layer": float(sensitivity.mean().min()),
        "insensitive": float((ssim > SIMILAR).to_numpy().mean()),
    }


def coverage(values: ArrayLike, simulations: int, n: int = 900, resamples: int = 300) -> float:
    """How often the bootstrap interval of S^I contains the true mean, in simulated sets.

    The measured S^i are taken for the population. Sets of ``n`` are drawn from it; each gets its
    percentile bootstrap interval. A set drawn from few distinct values is described by how often
    each was drawn, and so is a resample.

    Args:
        values: S^i, one an image.
        simulations: sets.
        n: images in a set; 900 in the paper.
        resamples: bootstrap samples of each.
    """
    population = np.asarray(values, dtype=np.float64)
    rng, shares = np.random.default_rng(0), np.full(len(population), 1 / len(population))
    within, bounds = 0, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    for drawn in rng.multinomial(n, shares, size=simulations):
        again = rng.multinomial(n, drawn / n, size=resamples)
        low, high = np.quantile(again @ population / n, bounds)
        within += int(low <= population.mean() <= high)
    return within / simulations


#: methods that captum has as well; its versions are called captum and the same
VERSIONS = (
    "gradient", "gradient-x-input", "integrated-gradients", "guided-backprop", "guided-grad-cam",
    "deeplift",
)  # fmt: skip


# proofs

#: layers of the paper's networks: InceptionV3, VGG16, MobileNetV2, ResNet18, ResNet50
LAYERS = (17, 13, 19, 8, 16)

LIMIT, LEAST = z3.Q(99, 100), z3.Q(1, 100)


def reals(name: str, count: int) -> list[z3.ArithRef]:
    """Variables ``name_1`` and so on."""
    return [z3.Real(f"{name}_{number}") for number in range(1, count + 1)]


def attainable(values: list[z3.ArithRef]) -> list[z3.BoolRef]:
    """The range of the SSIM."""
    return [z3.And(value >= -1, value <= 1) for value in values]


def mean_of(values: list[z3.ArithRef]) -> z3.ArithRef:
    """The mean of some variables."""
    return sum(values[1:], values[0]) / len(values)


def both_ways(
    names: tuple[str, str],
    words: tuple[str, str],
    possible: list[z3.BoolRef],
    every: list[z3.BoolRef],
    mean: z3.ArithRef,
    suffix: str = "",
) -> Iterator[Formula]:
    """What holds everywhere holds on average; the converse, which is false."""
    (each, average), (all_meet, mean_meets) = names, words
    forward = Statement(f"{each} implies {average}{suffix}", f"if {all_meet} then {mean_meets}")
    yield forward.holds(*every, *possible, mean >= LEAST)
    back = Statement(f"{average} implies {each}{suffix}", f"if {mean_meets} then {all_meet}")
    yield back.fails(*possible, mean >= LEAST, z3.And(every))


def about_layers() -> Iterator[Formula]:
    """Definition 1 says "below", Eq. (1) "at most"; S lies in [0, 2)."""
    (ssim,), three = reals("ssim", 1), reals("ssim", 3)
    every = z3.And([part <= LIMIT for part in three])
    strictly = z3.And([part < LIMIT for part in three])
    free = z3.And([part != LIMIT for part in three])
    one, several, first = attainable([ssim]), attainable(three), "definition 1"
    yield Statement(
        f"{first} and equation 1 agree off 0.99",
        "if no SSIM equals 0.99, all < 0.99 and all <= 0.99 are the same",
    ).holds(*several, free, every == strictly)
    words = "all SSIM < 0.99 and all SSIM <= 0.99 are the same"
    yield Statement(f"{first} and equation 1 agree", words).fails(*several, every == strictly)
    words = "if all SSIM < 0.99 then all SSIM <= 0.99"
    yield Statement(f"{first} implies equation 1", words).holds(*several, strictly, every)
    words = "SSIM <= 0.99 exactly if S = 1 - SSIM >= 0.01, Eq. (3)"
    same = (ssim <= LIMIT) == (1 - ssim >= LEAST)
    yield Statement("threshold of S", words).holds(same)
    other = (ssim <= LIMIT) == (1 - ssim >= z3.Q(2, 100))
    words = "SSIM <= 0.99 exactly if S >= 0.02"
    yield Statement("threshold of S, 0.02", words).mutant(*one, other)
    words = "0 <= 1 - SSIM <= 1 for every attainable SSIM, Definition 3"
    yield Statement("S in [0, 1]", words).fails(*one, z3.And(1 - ssim >= 0, 1 - ssim <= 1))
    words = "0 <= 1 - SSIM <= 2 for every attainable SSIM"
    yield Statement("S in [0, 2]", words).holds(*one, z3.And(1 - ssim >= 0, 1 - ssim <= 2))


def about_images(count: int) -> Iterator[Formula]:
    """Eq. (4) and (5) for a network of so many layers."""
    ssims, suffix = reals("ssim", count), f", {count} layers"
    possible, every = attainable(ssims), [ssim <= LIMIT for ssim in ssims]
    mean = mean_of([1 - ssim for ssim in ssims])
    words = f"all {count} SSIM <= 0.99", "S^i >= 0.01"
    yield from both_ways(("definition 2", "S^i"), words, possible, every, mean, suffix)
    alone = f"one layer with S = {count}/100 and all others at 0 give S^i = 0.01"
    others = [ssim == 1 for ssim in ssims[1:]]
    yield Statement(f"one layer suffices{suffix}", alone).holds(
        ssims[0] == 1 - z3.Q(count, 100), *others, mean == LEAST
    )
    yield Statement(
        f"definition 2 implies S^i > 0.01{suffix}", f"if {words[0]} then S^i > 0.01"
    ).mutant(*possible, *every, mean > LEAST)


def about_sets(images: int = 100, layers: int = 3, few: int = 3) -> Iterator[Formula]:
    """Eq. (6) and (7) for a set of so many images; Definition 2 for every image of a few."""
    values = reals("S", images)
    possible = [z3.And(value >= 0, value <= 2) for value in values]
    every, mean = [value >= LEAST for value in values], mean_of(values)
    words = f"all {images} S^i >= 0.01", "S^I >= 0.01"
    yield from both_ways(("every S^i", "S^I"), words, possible, every, mean)
    alone = f"one of {images} images with S^i = 1 and all others at 0 give S^I = 0.01"
    others = [value == 0 for value in values[1:]]
    yield Statement("one image suffices", alone).holds(values[0] == 1, *others, mean == LEAST)
    grid = [reals(f"ssim_{image}", layers) for image in range(1, few + 1)]
    flat = [ssim for row in grid for ssim in row]
    mean = mean_of([mean_of([1 - ssim for ssim in row]) for row in grid])
    words = f"{few} images meet Definition 2 in {layers} layers", "S^I >= 0.01"
    names = "definition 2 for every image", "S^I"
    yield from both_ways(names, words, attainable(flat), [ssim <= LIMIT for ssim in flat], mean)


@proof_table("sensitivity-proofs")
def statements() -> Iterator[Formula]:
    """What Definitions 1-3 and Eq. (1)-(7) of Sriram and Conati (2022) imply, and what not."""
    yield from about_layers()
    for count in LAYERS:
        yield from about_images(count)
    yield from about_sets()
