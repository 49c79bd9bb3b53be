"""Criteria for what replaces a region (Binder et al. 2022, §2, §4.3, A.1)."""

from collections.abc import Mapping

import pandas as pd

from sanitygap import judge
from sanitygap.inference import Interval
from sanitygap.judge import Context, Tables, Value, Verdict, criterion
from sanitygap.rankings import pairwise_tests

LEVEL = 0.05

#: the replacements that the ledger names
NAMED = ("blur", "black", "mean colour", "random colours")


def outlier_gap(table: pd.DataFrame, first: str, second: str, value: str) -> Interval:
    """Mean difference of a statistic between two replacements, paired over images.

    Args:
        table: the table ``outlier-images``.
        first, second: replacements.
        value: a column of the table.
    """
    return judge.paired(judge.scores_by(table, value, "replacement"), first, second)


@criterion("binder-occlusion-rationale", tables=("outlier-images",))
def rationale(tables: Tables, context: Context) -> Verdict:
    """Blurred regions move the features less than random ones; the rest is shown beside it."""
    table = tables["outlier-images"]
    gap = outlier_gap(table, "blur", "random colours", "distance")
    beside = {
        f"blur − {other}, {words}": outlier_gap(table, "blur", other, column)
        for other, words, column in (
            ("mean colour", "the same distance", "distance"),
            ("random colours", "softmax entropy", "entropy"),
            ("random colours", "colour mean", "color_mean"),
            ("random colours", "colour variance", "color_variance"),
        )
    }
    others = "; ".join(f"{name} {judge.shown(interval)}" for name, interval in beside.items())
    return judge.reworded(
        judge.condition(gap, 0, "below", "distance, blur - random colours"),
        f"Mahalanobis distance of penultimate features, blur − random colours: {judge.shown(gap)} "
        f"(n = {gap.n} images). Likewise: {others}.",
        {name: interval.estimate for name, interval in beside.items()},
    )


def scores_by_replacement(
    table: pd.DataFrame, value: str = "softmax", ranked_by: str = "signed"
) -> dict[str, pd.DataFrame]:
    """Mean of the curve for each replacement: images x methods, controls left out.

    Args:
        table: the table ``occlusion-replacements``.
        value: ``softmax`` or ``logit``.
        ranked_by: ``signed`` or ``absolute`` maps.
    """
    rows = judge.rows_of(table, ranked_by=ranked_by)
    rows = rows[~rows["method"].isin(judge.CONTROLS)]
    scores = {}
    for name, part in rows.groupby("replacement", sort=False):
        means = part.groupby(["image", "method"], sort=False)[value].mean().unstack("method")
        scores[str(name)] = means[list(dict.fromkeys(part["method"]))].dropna()
    return scores


def comparisons(scores: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Every pair of methods under every replacement, with p-values corrected over all of them.

    Returns:
        Columns ``replacement``, ``first``, ``second``, ``difference`` (mean of first minus
        second) and ``p`` (two-sided permutation test over images, Holm).
    """
    frames = [pairwise_tests(table).assign(replacement=name) for name, table in scores.items()]
    joined = pd.concat(frames, ignore_index=True)
    return joined.assign(p=judge.adjusted(joined["p"]))


def swaps(tests: pd.DataFrame) -> pd.DataFrame:
    """Pairs of methods whose order two replacements turn round.

    Args:
        tests: of :func:`comparisons`.

    Returns:
        One row a pair of methods and pair of replacements (``one`` has ``first`` lower, ``other``
        has ``second`` lower), with both differences and ``p``, the larger of the two p-values.
    """
    rows = []
    for (first, second), part in tests.groupby(["first", "second"], sort=False):
        lower = part[part["difference"] < 0].to_dict("records")
        higher = part[part["difference"] > 0].to_dict("records")
        rows += [
            {
                "first": first,
                "second": second,
                "one": one["replacement"],
                "other": other["replacement"],
                "difference_one": one["difference"],
                "difference_other": other["difference"],
                "p": max(one["p"], other["p"]),
            }
            for one in lower
            for other in higher
        ]
    columns = ("first", "second", "one", "other", "difference_one", "difference_other", "p")
    return pd.DataFrame(rows, columns=columns).sort_values("p", ignore_index=True)


@criterion("binder-interpretation", tables=("occlusion-replacements",), rests_on=("binder-binary",))
def interpretation(tables: Tables, context: Context) -> Verdict:
    """At least one swap beyond chance among the replacements that the ledger names."""
    scores = scores_by_replacement(tables["occlusion-replacements"])
    words = "The table holds no replacement by {}; compute it with all."
    judge.need_all(scores, NAMED, words)
    scores = {name: table for name, table in scores.items() if name in NAMED}
    turned = swaps(comparisons(scores))
    beyond = turned[turned["p"] < LEVEL]
    images, methods = next(iter(scores.values())).shape
    evidence = (
        f"Among {methods} methods and {len(scores)} replacements (n = {images} images), "
        f"{len(turned)} orders of two methods are turned round by changing the replacement, "
        f"{len(beyond)} of them beyond chance (permutation tests, Holm, 5 %)."
    )
    binary = context.verdicts.get("binder-binary")
    outcome = binary.value if binary else "not judged in this run"
    reason = f"The binary test itself is judged by binder-binary: {outcome}."
    value: Value = "undecided"
    if len(beyond):
        value = "caveat" if outcome == "not-reproduced" else "holds"
        row = beyond.iloc[0]
        evidence += (
            f" For example {row['first']} − {row['second']} is {row['difference_one']:+.3f} under "
            f"{row['one']} and {row['difference_other']:+.3f} under {row['other']}."
        )
    elif turned.empty:
        value = "false"
        reason += " Without a swap the choice of a replacement has no practical effect here."
    return Verdict(
        value=value,
        evidence=evidence,
        reason=reason,
        numbers={"swaps": len(turned), "swaps beyond chance": len(beyond)},
    )
