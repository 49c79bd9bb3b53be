"""Criterion for the dependence of the check on the task (Binder et al. 2022, §1.1)."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from sanitygap import judge
from sanitygap.inference import Interval
from sanitygap.judge import Context, Tables, Value, Verdict, criterion

PLACES = 2
FEWEST_TASKS = 3
RESAMPLES = 10_000


def scores_by_task(table: pd.DataFrame, sign: str = "signed") -> dict[str, pd.DataFrame]:
    """Mean SSIM of each method for each task: images x methods, averaged over networks.

    Args:
        table: the table ``task-dependence``.
        sign: ``signed`` or ``absolute`` maps.
    """
    scores = {}
    for task, part in judge.rows_of(table, sign=sign).groupby("task", sort=False):
        wide = judge.scores_by(part, "ssim", mean=judge.strict_mean, sort=False)
        scores[str(task)] = wide.dropna()[list(dict.fromkeys(part["method"]))]
    return scores


def rank_changes(
    scores: Mapping[str, pd.DataFrame], resamples: int = RESAMPLES, seed: int = 0
) -> pd.DataFrame:
    """By how many places each method moves between each two tasks, with intervals.

    Images are resampled within tasks. The intervals hold together for all methods and pairs of
    tasks (Bonferroni over 95 %).

    Args:
        scores: task -> images x methods, the same methods in any order.
        resamples: bootstrap samples.
        seed: of the resampling.

    Returns:
        One row a method and pair of tasks: ``method``, ``one``, ``other``, ``rank_one``,
        ``rank_other`` and ``change`` (an :class:`Interval` of other minus one).
    """
    rng = np.random.default_rng(seed)
    observed: dict[str, NDArray[np.float64]] = {}
    drawn: dict[str, NDArray[np.float64]] = {}
    methods = list(next(iter(scores.values())))
    for task, table in scores.items():
        values = table[methods].to_numpy(dtype=np.float64)
        weights = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), resamples)
        observed[task] = rankdata(values.mean(axis=0))
        drawn[task] = rankdata(weights @ values / len(values), axis=1)
    pairs = list(combinations(scores, 2))
    level = 1 - 0.05 / (len(pairs) * len(methods))
    rows = []
    for one, other in pairs:
        moves = drawn[other] - drawn[one]
        low, high = np.quantile(moves, [(1 - level) / 2, (1 + level) / 2], axis=0)
        images = min(len(scores[one]), len(scores[other]))
        for number, method in enumerate(methods):
            before, after = observed[one][number], observed[other][number]
            bounds = float(after - before), float(low[number]), float(high[number])
            rows.append(
                {"method": str(method), "one": one, "other": other, "rank_one": before,
                 "rank_other": after, "change": Interval(*bounds, images, level)}
            )  # fmt: skip
    return pd.DataFrame(rows)


def moved(change: Interval) -> bool:
    """Whether a whole interval lies at two places or more, in one direction."""
    return change.low >= PLACES or change.high <= -PLACES


@criterion("binder-task-dependence", tables=("task-dependence",))
def task_dependence(tables: Tables, context: Context) -> Verdict:
    """The rank of at least one method changes by two places or more."""
    table = tables["task-dependence"]
    scores = scores_by_task(table)
    if len(scores) < FEWEST_TASKS:
        reason = f"The table holds {len(scores)} tasks; the claim needs {FEWEST_TASKS}."
        return judge.not_run(reason)
    changes = rank_changes(scores)
    far = changes[[moved(change) for change in changes["change"]]]
    sizes = changes["change"].map(lambda change: abs(change.estimate))
    candidates = far if len(far) else changes
    best = candidates.iloc[int(sizes[candidates.index].to_numpy().argmax())]
    value: Value = "undecided" if (sizes >= PLACES).any() else "not-reproduced"
    accuracy = table.groupby("task", sort=False)["accuracy"].mean()
    listed = ", ".join(f"{task} {share:.0%}" for task, share in accuracy.items())
    change = best["change"]
    return Verdict(
        value="direction" if len(far) else value,
        evidence=f"{len(far)} of {len(changes)} changes of rank between {len(scores)} tasks are "
        f"{PLACES} places or more beyond chance; the largest: {best['method']} from "
        f"{best['rank_one']:.0f} ({best['one']}) to {best['rank_other']:.0f} "
        f"({best['other']}), change {change.estimate:+.0f} "
        f"[{change.low:+.0f}, {change.high:+.0f}]. "
        f"{table['network'].nunique()} networks a task; test accuracy {listed}.",
        numbers={"changes beyond chance": len(far), "largest change": change.estimate},
    )
