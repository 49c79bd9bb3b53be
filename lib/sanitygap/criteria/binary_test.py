"""Criterion for the binary use of the check (Binder et al. 2022, §5)."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sanitygap import judge
from sanitygap.inference import holm, paired_permutation_test, proportion_interval
from sanitygap.judge import CONTROLS, Context, Tables, Value, Verdict, criterion

LEVEL = 0.05
RESAMPLES = 9999

#: false rejections: how many simulations, and between which rates
SIMULATIONS = 200
LOWEST, HIGHEST = 0.02, 0.08

#: the explainer of the table ``false-rejections`` that the ledger asks for
EXPLAINER = "noisy edges"


def smallest_p(images: int) -> float:
    """The smallest p-value that the one-sided test can give."""
    return max(0.5**images, 1 / (RESAMPLES + 1))


def effects(table: pd.DataFrame, value: str = "ssim") -> pd.DataFrame:
    """The test of each method at each step: is its map less similar than when asked again?

    Args:
        table: the table ``test-retest``.
        value: ``ssim`` or ``spearman``.

    Returns:
        One row a method and step: ``retest`` and ``randomized`` (means over images), ``n`` and
        ``p``, one-sided and not corrected. An image whose map is zero everywhere is left out.
    """
    rows = []
    for method, part in table.groupby("method", sort=False):
        means = judge.scores_by(part, value, "step")
        for step in means.columns.drop([0]):
            pair = means[[step, 0]].dropna()
            rows.append(
                {"method": method, "step": step, "retest": pair[0].mean(),
                 "randomized": pair[step].mean(), "n": len(pair),
                 "p": paired_permutation_test(pair[step], pair[0], "less", RESAMPLES)}
            )  # fmt: skip
    return pd.DataFrame(rows)


def false_alarms(table: pd.DataFrame, explainer: str) -> tuple[int, int, int]:
    """Rejections, simulated tests and images a test, of one explainer that ignores the model.

    Args:
        table: the table ``false-rejections``.
        explainer: a value of its column of that name.
    """
    rows = judge.rows_of(table, explainer=explainer)
    gaps = rows.assign(gap=rows["randomized"] - rows["retest"]).pivot(
        index="simulation", columns="image", values="gap"
    )
    pvalues = _flipped(gaps.to_numpy(dtype=np.float64))
    return int((pvalues <= LEVEL).sum()), len(gaps), gaps.shape[1]


def _flipped(gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    """One-sided p-values of many sets of paired differences ``(tests, images)`` at once.

    The same test as :func:`sanitygap.inference.paired_permutation_test`, for all sets together:
    exchanging the two scores of an image flips the sign of its difference.
    """
    images = gaps.shape[1]
    exact = 2**images <= RESAMPLES
    if exact:
        signs = 1.0 - 2.0 * ((np.arange(2**images)[:, None] >> np.arange(images)) & 1)
    else:
        rng = np.random.default_rng(0)
        signs = 1.0 - 2.0 * rng.integers(2, size=(RESAMPLES, images))
    observed = gaps.mean(axis=1)
    # equal up to rounding counts as equal: the identity has to count itself
    slack = 1e-12 * np.abs(gaps).max(axis=1, initial=0.0)
    extreme = (signs @ gaps.T / images <= observed + slack).sum(axis=0)
    return (extreme + (not exact)) / (len(signs) + (not exact))


@criterion("binder-binary", tables=("test-retest", "false-rejections"))
def binary(tables: Tables, context: Context) -> Verdict:
    """Rejects for all methods that depend on parameters, at its nominal rate for edges."""
    tests = effects(tables["test-retest"])
    dependent = tests[~tests["method"].isin(CONTROLS)]
    keys = [f"{method} {step}" for method, step in dependent[["method", "step"]].to_numpy()]
    adjusted = holm(dict(zip(keys, dependent["p"], strict=True)))
    missed = [name for name in keys if adjusted[name] >= LEVEL]
    powerful = smallest_p(int(dependent["n"].min())) * len(dependent) < LEVEL

    edges = judge.rows_of(tests, method="edges")
    alarms = int((edges["p"] <= LEVEL).sum())
    rejected, simulations, images = false_alarms(tables["false-rejections"], EXPLAINER)
    noise, noise_simulations, _ = false_alarms(tables["false-rejections"], "noise")
    rate = proportion_interval(rejected, simulations)
    enough = simulations >= SIMULATIONS and smallest_p(images) <= LEVEL

    reason = (
        "The edge detector without noise gives the same map every time, so its rate is 0 by "
        "construction; the rate is that of edges of noisy copies, drawn anew each time."
    )
    value: Value = "direction"
    if alarms or (missed and powerful) or (enough and not LOWEST <= rate.estimate <= HIGHEST):
        value = "not-reproduced"
    elif missed or not enough or edges.empty:
        value = "undecided"
        reason += (
            f" Too few images ({int(dependent['n'].min())}, {images} in a simulated test) or "
            f"simulations ({simulations}) to decide."
        )
    told_apart = len(keys) - len(missed)
    return Verdict(
        value=value,
        evidence=f"The test rejects for {told_apart} of {len(keys)} methods and steps "
        f"(permutation tests over images, Holm, 5 %)"
        + (f"; not for {', '.join(missed[:3])}" if missed else "")
        + f". For edges it rejects at {alarms} of {len(edges)} steps. False rejections of "
        f"noisy edges: {rate.estimate:.1%} [{rate.low:.1%}, {rate.high:.1%}] of "
        f"{simulations} simulations; of pure noise: {noise / noise_simulations:.1%}.",
        reason=reason,
        numbers={"rejected": told_apart, "tests": len(keys), "false rejection rate": rate.estimate,
                 "simulations": simulations},
    )  # fmt: skip
