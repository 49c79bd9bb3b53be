"""Criteria for the set-up of Binder et al. (2022, App. A.1): what is stated, what is left open."""

from collections.abc import Mapping

import pandas as pd

from sanitygap import judge
from sanitygap.errors import UsageError
from sanitygap.inference import rank_agreement
from sanitygap.judge import Context, Tables, Verdict, criterion
from sanitygap.scores import complete, randomization_scores

#: what a record of the configuration has to say
FIELDS = (
    "weights_sha256", "images_sha256", "n_images", "distribution", "fan", "biases", "norm_affine",
    "norm_statistics",
)  # fmt: skip

#: Kendall's tau from which on the ordering of the methods counts as unchanged
UNCHANGED = 0.8


@criterion("binder-a1-counts", tables=("step-counts",))
def counts(tables: Tables, context: Context) -> Verdict:
    rows = judge.rows_of(tables["step-counts"], paper="binder-2022")
    if rows.empty:
        raise UsageError("the table 'step-counts' holds no row of binder-2022; compute it again")
    entries = rows.to_dict("records")
    agree = sum(row["stated"] == row["counted"] for row in entries)
    each = "; ".join(
        f"{row['network']}: {row['what']}, stated {row['stated']}, counted {row['counted']}"
        for row in entries
    )
    left = ", ".join(f"{row['left_trained']:.2%} ({row['network']})" for row in entries)
    return judge.formal(
        agree == len(entries),
        f"{agree} of {len(entries)} counts agree. {each}. Of the parameters, {left} lie "
        "below the last of these steps, in the stem at least, and stay trained.",
        {f"counted {row['network']}": row["counted"] for row in entries},
    )


@criterion("binder-a1-setup", tables=("configurations", "initializations"))
def setup(tables: Tables, context: Context) -> Verdict:
    filled = _filled(tables["configurations"])
    table = tables["initializations"]
    ways = list(table[["weights", "norms"]].drop_duplicates().itertuples(index=False, name=None))
    if len(ways) < 2:
        raise UsageError("the table 'initializations' holds one way to redraw; compute it again")
    scores = {
        (weights, norms): randomization_scores(judge.rows_of(table, weights=weights, norms=norms))
        for weights, norms in ways
    }
    others = [_unchanged(scores, ways[0], way) for way in ways[1:]]
    return judge.combine([filled, *others])


def _filled(table: pd.DataFrame) -> Verdict:
    empty = [
        name
        for name in FIELDS
        if name not in table or table[name].isna().any() or (table[name].astype(str) == "").any()
    ]
    filled = len(FIELDS) - len(empty)
    words = f"{filled} of {len(FIELDS)} fields of the configuration are filled"
    words += f"; not {', '.join(empty)}." if empty else "."
    return judge.measured(not empty, words, {"fields": filled}, value="reproduced")


def _unchanged(
    scores: Mapping[tuple[str, str], pd.DataFrame], first: tuple[str, str], other: tuple[str, str]
) -> Verdict:
    """Whether the ordering of the methods is the same under two ways to redraw."""
    before, after = complete(scores[first], scores[other])
    what = f"{' and '.join(other)} beside {' and '.join(first)}"
    if len(before) < 2:
        return judge.no_data(f"{what}: {len(before)} images with all maps, 2 needed.")
    tau = rank_agreement(before, after)
    return Verdict(
        value=judge.at_least(tau, UNCHANGED),
        evidence=f"{what}: Kendall's tau of the orderings of {before.shape[1]} methods is "
        f"{tau.estimate:+.2f} [{tau.low:+.2f}, {tau.high:+.2f}] (n = {tau.n} images).",
        numbers={f"tau {' '.join(other)}": tau.estimate},
    )
