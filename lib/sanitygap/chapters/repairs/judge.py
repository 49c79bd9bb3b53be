"""Criteria about what Binder et al. (2022) propose instead: Sec. 4.3 at its end, and Sec. 5.

Both repairs are judged by how much Kendall's tau between the randomisation and the occlusion
ranking grows, over the methods of the paper's figures that the tables hold. Occlusion ranks regions
by absolute values: the mean of a signed map over a region cancels for methods whose maps alternate
in sign. A repair with several thresholds has to work at every one that is above 0: a threshold of 0
usually keeps all pixels.
"""

import pandas as pd
from scipy.stats import permutation_test

from sanitygap import judge
from sanitygap.inference import (
    Interval,
    paired_difference,
    paired_permutation_test,
    proportion_interval,
)
from sanitygap.judge import Context, Tables, Value, Verdict, criterion
from sanitygap.rankings import agreement_gain
from sanitygap.scores import (
    UNSIGNED,
    complete,
    need_methods,
    occlusion_scores,
    over_seeds,
    randomization_scores,
    scores_at_equal_shares,
    seeds_in_words,
)


def equal_shares(
    top_down: pd.DataFrame, bottom_up: pd.DataFrame, value: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of two orders at equal numbers of random parameters, same images and methods.

    Shares below the first step of the top-down order cannot be compared: a network cannot have
    fewer random parameters than its classifier in that order.
    """
    start = float(top_down["random_parameters"].min())
    down, up = complete(
        scores_at_equal_shares(top_down, value, start),
        scores_at_equal_shares(bottom_up, value, start),
    )
    return down, up


def signed(table: pd.DataFrame) -> pd.DataFrame:
    """The rows about signed maps."""
    return judge.rows_of(table, sign="signed")


def _lower(new: pd.DataFrame, old: pd.DataFrame, name: str, what: str) -> Verdict:
    """New scores in one column lie below the old ones, paired over images."""
    return judge.condition(paired_difference(new[name], old[name]), 0, "below", what)


def same_draws(first: pd.DataFrame, other: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of two tables for the images and seeds that both hold."""
    draws = [pd.MultiIndex.from_frame(table[["image", "seed"]]) for table in (first, other)]
    return first[draws[0].isin(draws[1])], other[draws[1].isin(draws[0])]


@criterion(
    "binder-bottomup",
    tables=("randomization", "randomization-seeds", "randomization-bottom-up", "feature-map"),
)
def bottom_up(tables: Tables, context: Context) -> Verdict:
    rows, _ = over_seeds(
        tables["randomization"], tables["randomization-seeds"], [judge.GUIDED, judge.LRP]
    )
    top_down, from_input = same_draws(signed(rows), signed(tables["randomization-bottom-up"]))
    counts = top_down.groupby("image")["seed"].nunique()
    if counts.empty:
        return judge.not_run(
            "The run holds no image under both orders with the same draw of the weights; "
            "compute the table randomization-bottom-up with the seeds of the table randomization."
        )
    down, up = equal_shares(top_down, from_input, "ssim")
    need_methods(up, judge.GUIDED, judge.LRP)
    maps = tables["feature-map"]
    before, after = (judge.rows_of(maps, order=order) for order in ("top-down", "bottom-up"))
    kept, lost = equal_shares(before, after, "correlation")
    verdicts = [
        _lower(lost, kept, "correlation", "correlation of the feature map"),
        *(_lower(up, down, name, f"SSIM of {name}") for name in (judge.GUIDED, judge.LRP)),
    ]
    return judge.reworded(
        judge.summary(verdicts, "bottom-up below top-down at equal numbers of random parameters"),
        f"Bottom-up minus top-down. {judge.evidence_of(verdicts)} {len(down)} images, "
        f"{seeds_in_words(counts)}.",
        judge.combine(verdicts).numbers,
    )


def gain(new: pd.DataFrame, old: pd.DataFrame, reference: pd.DataFrame) -> tuple[Interval, int]:
    """Growth of Kendall's tau with a reference, and the number of methods that it is about."""
    new, old, reference = judge.figure_methods(new, old, reference)
    return agreement_gain(new, old, reference), new.shape[1]


#: fewer methods make a ranking with too few values of tau to say what changed it
LEAST_METHODS = 5


def faithful_scores(occlusion: pd.DataFrame) -> pd.DataFrame:
    """Occlusion scores by the order of absolute values, images x methods.

    A table that was measured before regions could be ranked so has the order of signed maps only.
    """
    return occlusion_scores(occlusion, reduction=UNSIGNED if unsigned(occlusion) else "signed")


def unsigned(occlusion: pd.DataFrame) -> bool:
    """Whether a table ``occlusion`` holds the order of absolute values."""
    return "reduction" in occlusion and UNSIGNED in set(occlusion["reduction"])


def _need_order(occlusion: pd.DataFrame) -> None:
    """Let pass a table ``occlusion`` with the order of absolute values."""
    words = "The run ranked regions by signed maps only, whose means cancel; compute the table "
    words += "occlusion with the reduction {}."
    judge.need_all([UNSIGNED] if unsigned(occlusion) else [], [UNSIGNED], words)


def restricted_scores(table: pd.DataFrame, threshold: float, value: str) -> pd.DataFrame:
    """Mean over the steps, images x methods; NaN where a step has no window left."""
    rows = judge.rows_of(table, threshold=threshold)
    return judge.scores_by(rows, value, mean=judge.strict_mean)


def _better(interval: Interval, what: str, methods: int) -> Verdict:
    words = f"{what}: Kendall's tau of {methods} methods with the occlusion ranking changes by "
    words += f"{judge.shown(interval)} (n = {interval.n})."
    verdict = judge.condition(interval, 0, "above", what, words)
    if methods >= LEAST_METHODS:
        return verdict
    reason = f"At least {LEAST_METHODS} methods are needed for a ranking."
    return verdict.model_copy(update={"value": "undecided", "reason": reason})


@criterion("binder-outlook-restrict", tables=("outlook-restrict", "occlusion"))
def restrict(tables: Tables, context: Context) -> Verdict:
    _need_order(tables["occlusion"])
    table, faithful = tables["outlook-restrict"], faithful_scores(tables["occlusion"])
    verdicts = []
    for threshold in sorted(set(table["threshold"]) - {0.0}):
        new, old = (restricted_scores(table, threshold, name) for name in ("restricted", "ssim"))
        interval, methods = gain(new, old, faithful)
        verdicts.append(_better(interval, f"without {threshold:.0%} of the mass", methods))
    return judge.reworded(
        judge.summary(verdicts, "tau higher with the restriction"),
        f"{judge.evidence_of(verdicts)} {_draws(table)}",
        reason=" ".join(dict.fromkeys(verdict.reason for verdict in verdicts)).strip(),
    )


def _draws(table: pd.DataFrame) -> str:
    """How many draws of the weights a table holds, as a sentence."""
    return f"Weights redrawn with {seeds_in_words(table.groupby('image')['seed'].nunique())}."


def component_scores(table: pd.DataFrame, component: str) -> pd.DataFrame:
    """Mean SSIM over the redrawn branches of signed maps or of one part of them."""
    rows = judge.rows_of(table, component=component).assign(order="independent")
    return randomization_scores(rows, order="independent")


@criterion("binder-outlook-baseline", tables=("outlook-baseline", "occlusion"))
def baseline(tables: Tables, context: Context) -> Verdict:
    table = tables["outlook-baseline"]
    if table.empty:
        return judge.not_run(
            f"{context.model} has no skip connection, so its explanations have no part "
            "that skips carry, and there is nothing to subtract."
        )
    _need_order(tables["occlusion"])
    residual, total = (component_scores(table, name) for name in ("residual", "total"))
    interval, methods = gain(residual, total, faithful_scores(tables["occlusion"]))
    better = _better(interval, "without what the skip carries", methods)
    own, whole = complete(residual, total)
    lower = [
        _lower(own, whole, name, f"SSIM of {name}, residual minus total")
        for name in judge.FIGURE_METHODS
        if name in own
    ]
    joined = judge.summary([better, *lower], "tau higher, residual less similar than the whole map")
    evidence = f"{better.evidence} {joined.evidence} {_draws(table)}"
    return judge.reworded(joined, evidence, reason=better.reason)


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


def effects(table: pd.DataFrame) -> pd.DataFrame:
    """The test of each method at each step: is its map less similar than when asked again?

    Args:
        table: the table ``test-retest``.

    Returns:
        One row a method and step: ``retest`` and ``randomized`` (means over images), ``n`` and
        ``p``, one-sided and not corrected. An image whose map is zero everywhere is left out.
    """
    rows = []
    for method, part in table.groupby("method", sort=False):
        means = judge.scores_by(part, "ssim", "step")
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
    again, randomized = (
        rows.pivot(index="simulation", columns="image", values=name).to_numpy(float)
        for name in ("retest", "randomized")
    )
    pvalues = permutation_test(
        (randomized, again), lambda a, b, axis: (a - b).mean(axis), permutation_type="samples",
        alternative="less", n_resamples=RESAMPLES, vectorized=True, axis=1, rng=0,
    ).pvalue  # fmt: skip
    return int((pvalues <= LEVEL).sum()), *again.shape


@criterion("binder-binary", tables=("test-retest", "false-rejections"))
def binary(tables: Tables, context: Context) -> Verdict:
    """Rejects for all methods that depend on parameters, at its nominal rate for edges."""
    tests = effects(tables["test-retest"])
    dependent = tests[~tests["method"].isin(judge.CONTROLS)]
    keys = [f"{method} {step}" for method, step in dependent[["method", "step"]].to_numpy()]
    pvalues = dict(zip(keys, judge.adjusted(dependent["p"]), strict=True))
    missed = [name for name in keys if pvalues[name] >= LEVEL]
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
