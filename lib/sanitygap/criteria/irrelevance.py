"""Criteria for Sec. 4.1 of Binder et al. (2022): what the kept layers ignore stays irrelevant.

"Layer 12" of VGG-16 can be read in two ways. Both are judged, as cuts at the same share of the
stages; where they lead to different verdicts the claim is under-specified.

The planted networks are judged over the fixed set of methods that ``binder-gap`` uses, so that the
verdict does not depend on how many variants of LRP a run holds.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from sanitygap.claims import CriterionContext, Verdict, combine, criterion, verdict_from_interval
from sanitygap.criteria.gap import FIGURE_METHODS, Direction, shown
from sanitygap.inference import Interval, bootstrap, bootstrap_mean, paired_difference

Tables = Mapping[str, pd.DataFrame]

MEASURES = ("pearson", "spearman", "ssim")
PERCENTILE = 0.95
LEAST_AUC = 0.6

#: redraws of the weights that the ledger asks for where it names no other number
REDRAWS = 5

#: conditions whose numbers stand in a verdict's evidence if all are met
SHOWN = 3


def condition(interval: Interval, threshold: float, direction: Direction, what: str) -> Verdict:
    """One condition of a criterion: a quantity lies above or below a threshold."""
    return Verdict(
        value=verdict_from_interval(interval.low, interval.high, threshold, direction),
        evidence=f"{what}: {shown(interval)}.",
        numbers={what: interval.estimate},
    )


def enough(verdict: Verdict, count: int, wanted: int, what: str) -> Verdict:
    """The verdict, open if the run holds fewer draws than the ledger's check asks for."""
    if count >= wanted or verdict.value in ("not-run", "no-data", "under-specified"):
        return verdict
    reason = f"The check asks for at least {wanted} {what}, and this run has {count}."
    return verdict.model_copy(
        update={"value": "undecided", "reason": f"{verdict.reason} {reason}".strip()}
    )


def one_verdict(readings: Mapping[str, Verdict], what: str) -> Verdict:
    """The verdict on a claim that can be read in several ways.

    Args:
        readings: the reading in words -> its verdict.
        what: what the paper leaves open.
    """
    evidence = " ".join(f"{name}: {verdict.evidence}" for name, verdict in readings.items())
    numbers = {
        f"{name}, {key}": value
        for name, verdict in readings.items()
        for key, value in verdict.numbers.items()
    }
    values = {name: verdict.value for name, verdict in readings.items()}
    first = next(iter(readings.values()))
    if len(set(values.values())) == 1:
        reasons = dict.fromkeys(verdict.reason for verdict in readings.values())
        return Verdict(
            value=first.value, evidence=evidence, reason=" ".join(reasons).strip(), numbers=numbers
        )
    listed = ", ".join(f"{name} {value!r}" for name, value in values.items())
    if {"undecided", "no-data", "not-run"} & set(values.values()):
        reason = f"The paper does not say {what}, and not every reading is settled: {listed}."
        return Verdict(value="undecided", evidence=evidence, reason=reason, numbers=numbers)
    return Verdict(
        value="under-specified",
        evidence=evidence,
        reason=f"The paper does not say {what}, and the verdict depends on it: {listed}.",
        numbers=numbers,
    )


def all_met(verdicts: Sequence[Verdict]) -> Verdict:
    """All conditions as one verdict; its evidence lists those that are not met, else the first."""
    joined = combine(verdicts)
    unmet = [verdict for verdict in verdicts if verdict.value != "direction"]
    listed = unmet or list(verdicts[:SHOWN])
    more = len(verdicts) - len(listed)
    rest = f" … and {more} more." if more and not unmet else ""
    words = "Not met: " if unmet else ""
    evidence = " ".join(verdict.evidence for verdict in listed)
    count = f"{len(verdicts) - len(unmet)} of {len(verdicts)} conditions are met."
    return joined.model_copy(update={"evidence": f"{count} {words}{evidence}{rest}"})


def rows_of(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    """The rows in which columns have these values."""
    for column, value in values.items():
        table = table[table[column] == value]
    return table


def by_image(rows: pd.DataFrame, value: str) -> pd.Series:
    """Mean over draws and partners for each image; NaN if any value is."""
    return rows.groupby("image", sort=False)[value].agg(strict_mean)


def strict_mean(values: pd.Series) -> float:
    """The mean, NaN if any value is NaN: a map that is zero everywhere must not be skipped."""
    return float(values.mean(skipna=False))


def readings(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each cut, named by what is kept."""
    return {
        f"kept up to {kept} ({share:.1%} of the stages)": rows
        for (share, kept), rows in table.groupby(["share", "kept"], sort=True)
    }


CUT = "which layer the twelfth is"


def beyond_null(rows: pd.DataFrame, value: str) -> Interval:
    """Mean similarity minus the 95th percentile over pairs of maps of different images.

    Args:
        rows: pairs of one kind; ``other`` is 0 for the same image.
        value: the measure.
    """
    keys = ["seed", "other"]
    wide = rows.pivot_table(index="image", columns=keys, values=value, aggfunc="mean").dropna()
    same = wide.columns.get_level_values("other") == 0
    values = np.column_stack([wide.loc[:, same].mean(axis=1), wide.loc[:, ~same]])

    def exceeds(scores: np.ndarray) -> float:
        return float(scores[:, 0].mean() - np.quantile(scores[:, 1:], PERCENTILE))

    return bootstrap(values, exceeds)


def too_few_images(table: pd.DataFrame) -> Verdict | None:
    """A verdict if there is no interval, or no pair of maps of different images."""
    if table["image"].nunique() > 1:
        return None
    return Verdict(
        value="not-run", reason="an interval needs at least two images; give the run more of them"
    )


def too_few_answers(rows: pd.DataFrame) -> Verdict | None:
    """A verdict if random weights leave fewer than two images with maps in every draw.

    A random network can be dead: its output does not depend on the image, and its map is zero.
    """
    complete = by_image(rows, "spearman").notna()
    if complete.sum() > 1:
        return None
    return Verdict(
        value="not-run",
        reason=(
            f"In some draw the network is dead for {int((~complete).sum())} of {len(complete)} "
            "images: their maps are zero everywhere, and too few images are left. Give the run "
            "more of them."
        ),
    )


@criterion("binder-fig4", tables=("irrelevance",))
def figure_4(tables: Tables, context: CriterionContext) -> Verdict:
    table = rows_of(tables["irrelevance"], first="trained", second="redrawn")
    if verdict := too_few_images(table):
        return verdict
    judged = {}
    for name, rows in readings(table).items():
        if dead := too_few_answers(rows):
            judged[name] = dead
            continue
        verdicts = []
        for measure in MEASURES:
            absolute, signed = (rows_of(rows, maps=kind) for kind in ("absolute", "signed"))
            sizes, signs = (
                by_image(rows_of(part, other=0), measure) for part in (absolute, signed)
            )
            both = pd.DataFrame({"absolute": sizes, "signed": signs}).dropna()
            gap = paired_difference(both["absolute"], both["signed"])
            verdicts += [
                condition(
                    beyond_null(absolute, measure), 0, "above",
                    f"{measure} of absolute maps minus the null's 95th percentile",
                ),
                condition(gap, 0, "above", f"{measure} of absolute minus signed maps"),
                condition(
                    bootstrap_mean(both["signed"]), 0, "above", f"{measure} of signed maps"
                ),
            ]  # fmt: skip
        judged[name] = enough(all_met(verdicts), rows["seed"].nunique(), REDRAWS, "redraws")
    return one_verdict(judged, CUT)


@criterion("binder-fig4-phi", tables=("irrelevance",))
def figure_4_phi(tables: Tables, context: CriterionContext) -> Verdict:
    table = rows_of(tables["irrelevance"], first="phi", maps="smoothed")
    if verdict := too_few_images(table):
        return verdict
    judged = {}
    for name, rows in readings(table).items():
        if dead := too_few_answers(rows):
            judged[name] = dead
            continue
        verdicts = []
        for network in ("trained", "redrawn"):
            part = rows_of(rows, second=network)
            own, others = part[part["other"] == 0], part[part["other"] > 0]
            pairs = pd.DataFrame(
                {"own": by_image(own, "spearman"), "others": by_image(others, "spearman")}
            ).dropna()
            auc = bootstrap_mean(by_image(own, "auc").dropna())
            verdicts += [
                condition(
                    paired_difference(pairs["own"], pairs["others"]), 0, "above",
                    f"Spearman with the {network} network's map minus other images'",
                ),
                condition(auc, LEAST_AUC, "above", f"area under the ROC curve, {network}"),
            ]  # fmt: skip
        draws = rows_of(rows, second="redrawn")["seed"].nunique()
        judged[name] = enough(all_met(verdicts), draws, REDRAWS, "redraws")
    return one_verdict(judged, CUT)


def change_scores(table: pd.DataFrame) -> pd.DataFrame:
    """Scores of methods on planted networks, draws averaged.

    Args:
        table: the table ``limited-change``.

    Returns:
        Images x (score, method), complete; the scores are ``below`` (attainable minus own SSIM),
        ``distance`` (its absolute value, averaged after it is taken) and ``error``.
    """
    below = table["attainable"] - table["ssim"]
    rows = table.assign(below=below, distance=below.abs())
    grouped = rows.groupby(["image", "method"], sort=False)
    columns = [grouped[score].agg(strict_mean) for score in ("below", "distance", "error")]
    means: pd.DataFrame = pd.concat(columns, axis=1).unstack("method")  # type: ignore[assignment]
    return means.dropna()


@criterion("binder-limited-change", tables=("limited-change",))
def limited_change(tables: Tables, context: CriterionContext) -> Verdict:
    if verdict := too_few_images(tables["limited-change"]):
        return verdict
    table = tables["limited-change"]
    if absent := sorted(set(FIGURE_METHODS) - set(table["method"])):
        return Verdict(
            value="not-run", reason=f"the run lacks {', '.join(absent)} on planted networks"
        )
    scores = change_scores(table[table["method"].isin(FIGURE_METHODS)])
    methods = list(scores["error"].columns)
    half = len(methods)
    values = scores[["distance", "error"]].to_numpy()

    def agreement(sample: np.ndarray) -> float:
        means = sample.mean(axis=0)
        return float(spearmanr(means[:half], means[half:]).statistic)

    verdicts = [
        condition(
            bootstrap(values, agreement), 0, "above",
            f"Spearman correlation over {half} methods of |SSIM - attainable| with the error",
        )
    ]  # fmt: skip
    distances = scores["distance"].to_numpy().mean(axis=0)
    nearest = methods[int(distances.argmin())]
    lower = [
        name
        for name in methods
        if name != nearest and bootstrap_mean(scores["below", name]).low > 0
    ]
    for name in lower:
        gap = paired_difference(scores["error", name], scores["error", nearest])
        what = f"error of {name} (below the attainable SSIM) minus that of {nearest}"
        verdicts.append(condition(gap, 0, "above", what))
    if not lower:
        verdicts.append(
            Verdict(
                value="undecided",
                evidence=f"None of {half} methods is below the attainable SSIM beyond chance.",
            )
        )
    draws = table["seed"].nunique()
    return enough(all_met(verdicts), draws, REDRAWS, "redraws")
