"""Machine proofs for Definitions 1-3 and Eq. (1)-(7) of Sriram and Conati (2022).

The SSIM of a layer is a real number; nothing but its range is assumed. Wrong variants (mutants)
guard against an encoding that would prove anything.
"""

from functools import reduce
from operator import add

import pandas as pd
import z3

from sanitygap.theory.prover import Implication, decide

#: layers of the paper's networks: InceptionV3, VGG16, MobileNetV2, ResNet18, ResNet50
LAYERS = (17, 13, 19, 8, 16)

LIMIT, THRESHOLD = z3.Q(99, 100), z3.Q(1, 100)


def _ssims(count: int) -> list[z3.ArithRef]:
    return [z3.Real(f"ssim_{number}") for number in range(1, count + 1)]


def _attainable(values: list[z3.ArithRef]) -> list[z3.BoolRef]:
    return [z3.And(value >= -1, value <= 1) for value in values]


def _mean(values: list[z3.ArithRef]) -> z3.ArithRef:
    return reduce(add, values) / len(values)


def _both_ways(
    names: tuple[str, str],
    words: tuple[str, str],
    possible: list[z3.BoolRef],
    every: list[z3.BoolRef],
    mean: z3.ArithRef,
    suffix: str = "",
) -> list[Implication]:
    """What holds everywhere holds on average; the converse, which is false."""
    (each, average), (all_meet, mean_meets) = names, words
    return [
        Implication(
            f"{each} implies {average}{suffix}",
            f"if {all_meet} then {mean_meets}",
            [*possible, *every],
            mean >= THRESHOLD,
        ),
        Implication(
            f"{average} implies {each}{suffix}",
            f"if {mean_meets} then {all_meet}",
            [*possible, mean >= THRESHOLD],
            z3.And(every),
            expected="counterexample",
        ),
    ]


def _definitions() -> list[Implication]:
    """Definition 1 says "below", Eq. (1) "at most"."""
    (ssim,) = values = _ssims(1)
    three = _ssims(3)
    every = z3.And([part <= LIMIT for part in three])
    strictly = z3.And([part < LIMIT for part in three])
    free = z3.And([part != LIMIT for part in three])
    return [
        Implication(
            "definition 1 and equation 1 agree off 0.99",
            "if no SSIM equals 0.99, all < 0.99 and all <= 0.99 are the same",
            [*_attainable(three), free],
            every == strictly,
        ),
        Implication(
            "definition 1 and equation 1 agree",
            "all SSIM < 0.99 and all SSIM <= 0.99 are the same",
            _attainable(three),
            every == strictly,
            expected="counterexample",
        ),
        Implication(
            "definition 1 implies equation 1",
            "if all SSIM < 0.99 then all SSIM <= 0.99",
            [*_attainable(three), strictly],
            every,
        ),
        Implication(
            "threshold of S",
            "SSIM <= 0.99 exactly if S = 1 - SSIM >= 0.01, Eq. (3)",
            _attainable(values),
            (ssim <= LIMIT) == (1 - ssim >= THRESHOLD),
        ),
        Implication(
            "threshold of S, 0.02",
            "SSIM <= 0.99 exactly if S >= 0.02",
            _attainable(values),
            (ssim <= LIMIT) == (1 - ssim >= z3.Q(2, 100)),
            expected="counterexample",
            kind="mutant",
        ),
        Implication(
            "S in [0, 1]",
            "0 <= 1 - SSIM <= 1 for every attainable SSIM, Definition 3",
            _attainable(values),
            z3.And(1 - ssim >= 0, 1 - ssim <= 1),
            expected="counterexample",
        ),
        Implication(
            "S in [0, 2]",
            "0 <= 1 - SSIM <= 2 for every attainable SSIM",
            _attainable(values),
            z3.And(1 - ssim >= 0, 1 - ssim <= 2),
        ),
    ]


def _image(count: int) -> list[Implication]:
    """Eq. (4) and (5) for a network of so many layers."""
    ssims, suffix = _ssims(count), f", {count} layers"
    possible, every = _attainable(ssims), [ssim <= LIMIT for ssim in ssims]
    mean = _mean([1 - ssim for ssim in ssims])
    words = f"all {count} SSIM <= 0.99", "S^i >= 0.01"
    return [
        *_both_ways(("definition 2", "S^i"), words, possible, every, mean, suffix),
        Implication(
            f"one layer suffices{suffix}",
            f"one layer with S = {count}/100 and all others at 0 give S^i = 0.01",
            [ssims[0] == 1 - z3.Q(count, 100), *(ssim == 1 for ssim in ssims[1:])],
            mean == THRESHOLD,
        ),
        Implication(
            f"definition 2 implies S^i > 0.01{suffix}",
            f"if {words[0]} then S^i > 0.01",
            [*possible, *every],
            mean > THRESHOLD,
            expected="counterexample",
            kind="mutant",
        ),
    ]


def _dataset(images: int = 100) -> list[Implication]:
    """Eq. (6) and (7) for a set of so many images."""
    values = [z3.Real(f"S_{number}") for number in range(1, images + 1)]
    possible = [z3.And(value >= 0, value <= 2) for value in values]
    every, mean = [value >= THRESHOLD for value in values], _mean(values)
    words = f"all {images} S^i >= 0.01", "S^I >= 0.01"
    return [
        *_both_ways(("every S^i", "S^I"), words, possible, every, mean),
        Implication(
            "one image suffices",
            f"one of {images} images with S^i = 1 and all others at 0 give S^I = 0.01",
            [values[0] == 1, *(value == 0 for value in values[1:])],
            mean == THRESHOLD,
        ),
    ]


def _both(layers: int = 3, images: int = 3) -> list[Implication]:
    """Definition 2 for every image, and S^I."""
    grid = [
        [z3.Real(f"ssim_{image}_{layer}") for layer in range(1, layers + 1)]
        for image in range(1, images + 1)
    ]
    flat = [ssim for row in grid for ssim in row]
    mean = _mean([_mean([1 - ssim for ssim in row]) for row in grid])
    words = f"{images} images meet Definition 2 in {layers} layers", "S^I >= 0.01"
    names = "definition 2 for every image", "S^I"
    return _both_ways(names, words, _attainable(flat), [ssim <= LIMIT for ssim in flat], mean)


def statements() -> list[Implication]:
    """All statements, each with what we expect of it."""
    images = [item for count in LAYERS for item in _image(count)]
    return [*_definitions(), *images, *_dataset(), *_both()]


def proofs(*, seed: int, timeout_ms: int = 10_000) -> pd.DataFrame:
    """Decide the statements."""
    return decide(statements(), seed=seed, timeout_ms=timeout_ms)
