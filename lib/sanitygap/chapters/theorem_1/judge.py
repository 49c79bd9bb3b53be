"""Criteria for Eq. (1), (2) and Theorem 1 of Binder et al. (2022), and for noise in real maps."""

import math
from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from sanitygap import judge
from sanitygap.claims import Value
from sanitygap.formal import formal_criterion, proved, refuted
from sanitygap.inference import (
    Interval,
    UndefinedStatisticError,
    bootstrap_mean,
    holm,
    paired_difference,
    paired_permutation_test,
)
from sanitygap.judge import Context, Tables, Verdict, criterion, formal, graded, measured, rows_of
from sanitygap.scores import (
    complete,
    need_methods,
    over_seeds,
    randomization_scores,
    seeds_in_words,
)
from sanitygap.theory.montecarlo import NORMAL_95
from sanitygap.words import plural

SMALL = 0.05


@formal_criterion("binder-eq1", "equation-1")
def equation_1(table: pd.DataFrame) -> Verdict:
    printed = table["formula"] == "equation 1"
    own = float(table.loc[printed, "max_difference"].max())
    wrong = float(table.loc[~printed, "max_difference"].min())
    return formal(
        own <= 1e-9,
        f"Eq. (1) and scikit-image differ by at most {own:.1e} over "
        f"{int(table.loc[printed, 'windows'].sum())} windows of "
        f"every tested shape and range; with C3 = C2 instead of C2 / 2 by at least {wrong:.1e}.",
        {"max_difference": own, "max_difference_wrong_constant": wrong},
    )


NEEDED = ("minimum at zero covariance", "luminance at most one", "bound (2)")
FREE = "minimum with free variances"


@formal_criterion(
    "binder-thm1",
    "theorem-1-proofs",
    "theorem-1-covariance",
    "theorem-1",
    settled=(*NEEDED, FREE),
)
def theorem_1(proofs: pd.DataFrame, grid: pd.DataFrame, sampled: pd.DataFrame) -> Verdict:
    margin, excess = _margin_over_zero(grid), _excess_over_bound(grid)
    signed, absolute = (
        rows_of(sampled, independent=True, functional=name) for name in ("E[SSIM]", "E[|SSIM|]")
    )
    over = signed["estimate"].abs() - signed["bound"] - 3 * signed["standard_error"]
    beyond = int((absolute["low"] > absolute["bound"]).sum())
    conditional, main = refuted(proofs, FREE), proved(proofs, *NEEDED)
    top = absolute.sort_values("estimate").iloc[-1]
    holds = main and margin > 0 and excess <= 1e-12 and bool((over <= 0).all())
    return graded(
        holds,
        (
            "With means and variances fixed, z3 proves that |SSIM| is smallest at zero covariance "
            "and at most Eq. (2) there"
            + ("; with free variances it has a counterexample" if conditional else "")
            + f". The expectation of |SSIM| over independent patches exceeds Eq. (2) in "
            f"{beyond} of {len(absolute)} settings, such as {top['estimate']:.3f} against "
            f"{top['bound']:.4f} ({top['process']}, {top['pixels']} pixels)."
        )
        if holds
        else f"A step fails: proofs complete {main}, smallest margin of |SSIM| "
        f"over zero covariance {margin:.3g}, largest excess over Eq. (2) {excess:.3g}, "
        f"{int((over > 0).sum())} sampled means beyond Eq. (2) and three standard errors.",
        {
            "min_margin": margin,
            "max_excess_over_bound": excess,
            "settings_beyond_bound": beyond,
            "settings": len(absolute),
            "largest_expected_absolute": float(absolute["estimate"].max()),
        },
        caveat=conditional or beyond > 0,
    )


@formal_criterion("binder-thm1-negative", "theorem-1-covariance", "theorem-1")
def negative_covariance(grid: pd.DataFrame, sampled: pd.DataFrame) -> Verdict:
    limit = float(sampled.loc[sampled["independent"], "bound"].max())
    excess = _excess_over_bound(grid)
    proper = grid[~grid["degenerate"]]
    inner = proper[(proper["covariance"] < 0) & (proper["correlation"] > -1)]
    smallest, lowest = float(inner["ssim"].abs().min()), float(grid["ssim"].min())
    at_zero = float(proper.loc[proper["covariance"] == 0, "ssim"].min())
    return graded(
        excess <= 1e-12 and limit <= SMALL,
        f"At zero covariance |SSIM| exceeds Eq. (2) by at most {max(excess, 0):.0e}, and "
        f"Eq. (2) is at most {limit:.4f} for the sampled maps; with negative covariances the "
        f"smallest |SSIM| is {smallest:.0e} and the lowest signed SSIM {lowest:.4f}, against "
        f"{at_zero:.4f} at zero covariance.",
        {"bound": limit, "smallest_absolute_ssim": smallest, "lowest_ssim": lowest},
        caveat=lowest < at_zero,
    )


@formal_criterion("binder-thm1-scale", "theorem-1-normalization")
def scale(table: pd.DataFrame) -> Verdict:
    ladder, spread, factor = (
        rows_of(table, experiment=name) for name in ("correlation", "spread", "scale")
    )
    steps = ladder["step"].dropna()
    highest, lowest = float(spread["estimate"].max()), float(factor["estimate"].min())
    value: Value = "caveat" if highest > SMALL or lowest < SMALL else "holds"
    if (ladder["step_high"] < 0).any():
        value = "false"
    elif not (steps > 0).all():
        value = "undecided"
    return Verdict(
        value=value,
        evidence=(
            f"After second-moment normalisation the mean SSIM rises with the correlation in "
            f"{int((steps > 0).sum())} of {len(steps)} steps of 0.05; the level still depends on "
            f"the scale: unrelated maps of small spread reach {highest:.2f}, and a perfectly "
            f"correlated but rescaled map falls to {lowest:.3f}."
        ),
        numbers={
            "increasing_steps": int((steps > 0).sum()),
            "steps": len(steps),
            "smallest_step": float(steps.min()),
            "largest_ssim_of_unrelated_maps": highest,
            "smallest_ssim_of_rescaled_maps": lowest,
        },
    )


@criterion("binder-ssim-L", tables=("theorem-1-data-range", "randomization", "randomization-seeds"))
def data_range(tables: Tables, context: Context) -> Verdict:
    table, real = tables["theorem-1-data-range"], tables["randomization"]
    held = [name for name in judge.FIGURE_METHODS if name in set(real["method"])]
    real, counts = over_seeds(real, tables["randomization-seeds"], held)
    wide = table.pivot(index="method", columns="data_range", values="estimate")
    taus = {label: float(kendalltau(wide["1"], wide[label])[0]) for label in wide}
    label, lowest = min(taus.items(), key=lambda item: item[1])
    reversals = _reversals(table)
    real_label, real_lowest = min(judge.orderings(real).items(), key=lambda item: item[1])
    real_reversals, pairs = _real_reversals(real)
    if math.isnan(real_lowest):
        raise UndefinedStatisticError(f"no tau: {len(wide)} methods, and some tie on all images")
    same = min(lowest, real_lowest) > 1 - 1e-9
    changed = bool(reversals or real_reversals)
    return Verdict(
        value="direction" if same else "under-specified" if changed else "undecided",
        evidence=(
            f"Top-down randomisation of {context.model} ({seeds_in_words(counts)}): the lowest "
            f"Kendall tau between the order of the methods of Fig. 2 for L = joint range and for "
            f"another L is {real_lowest:.2f} ({real_label}); {len(real_reversals)} of {pairs} "
            f"pairs of a method pair and an L are reversed beyond chance (paired permutation "
            f"tests, Holm)"
            + (f", such as {real_reversals[0]}. " if real_reversals else ". ")
            + f"Simulated maps: among {len(wide)} methods the lowest Kendall tau with the order "
            f"for L = 1 is {lowest:.2f} ({label}); {len(reversals)} reversals exceed three "
            f"standard errors on both sides" + (f", such as {reversals[0]}." if reversals else ".")
        ),
        reason="" if same else "The paper states no data range for normalised maps.",
        numbers={
            "lowest_tau": real_lowest,
            "reversals": len(real_reversals),
            "lowest_tau_simulated": lowest,
            "reversals_simulated": len(reversals),
        },
    )


def _real_reversals(table: pd.DataFrame) -> tuple[list[str], int]:
    """Which pairs of methods change places between L = joint range and another L, of how many.

    A pair is reversed if its paired differences have opposite signs for the two L, and both are
    beyond chance. The p-value of that is the larger of the two; where the means do not change
    places it is 1, so no test is needed, but the pair counts in Holm's family.
    """
    frames = complete(*(randomization_scores(table, name) for name in judge.RANGES))
    scores = dict(zip(judge.RANGES, frames, strict=True))
    base = scores["ssim"]
    pvalues = {}
    for name in list(judge.RANGES)[1:]:
        for first, second in combinations(base, 2):
            differences = [frame[first] - frame[second] for frame in (base, scores[name])]
            reversed_ = differences[0].mean() * differences[1].mean() < 0
            pvalues[f"{first} against {second} for {name}"] = (
                max(paired_permutation_test(d, 0 * d) for d in differences) if reversed_ else 1.0
            )
    return [pair for pair, p in holm(pvalues).items() if p < 0.05], len(pvalues)


def _reversals(table: pd.DataFrame) -> list[str]:
    """Pairs of methods whose order for L = 1 is reversed for another range beyond noise."""
    names = list(table["method"].unique())
    at = table.set_index(["data_range", "method"])
    found = []
    for label in table["data_range"].unique():
        for first, second in combinations(names, 2):
            scores = []
            for chosen in ("1", label):
                one, two = at.loc[(chosen, first)], at.loc[(chosen, second)]
                error = np.hypot(one["standard_error"], two["standard_error"])
                scores.append((one["estimate"] - two["estimate"]) / error)
            if min(map(abs, scores)) > 3 and scores[0] * scores[1] < 0:
                found.append(f"'{first}' against '{second}' at {label}")
    return found


def _margin_over_zero(grid: pd.DataFrame) -> float:
    """Smallest |SSIM(cov)| - |SSIM(0)| over grid points with cov > 0."""
    keys = ["mean_a", "mean_b", "sd_a", "sd_b"]
    usable = grid[~grid["degenerate"]]
    zero = usable[usable["covariance"] == 0].set_index(keys)["ssim"].abs()
    rest = usable[usable["covariance"] > 0].set_index(keys)["ssim"].abs()
    return float(np.min(rest - zero.reindex(rest.index)))


def _excess_over_bound(grid: pd.DataFrame) -> float:
    """Largest |SSIM(0)| - Eq. (2) over the grid; not positive if the bound holds."""
    zero = grid[grid["covariance"] == 0]
    return float((zero["ssim"].abs() - zero["bound"]).max())


@criterion("binder-thm1-entangle", tables=("noise-entanglement",))
def entanglement(tables: Tables, context: Context) -> Verdict:
    """Of Sec. 3: change and noise cannot be separated. Equality is a Monte Carlo statement."""
    table = tables["noise-entanglement"]
    ssim, mse = (_difference(table, "randomised", name, 3.0) for name in ("SSIM", "MSE"))
    control = _difference(table, "retest", "SSIM", NORMAL_95)
    noiseless = _difference(table, "noiseless part", "Pearson", NORMAL_95)
    equal = not (ssim.excludes(0) or mse.excludes(0))
    return measured(
        equal and control.excludes(0) and noiseless.excludes(0),
        f"Change without noise minus noise without change: SSIM {_shown(ssim)}, MSE "
        f"{_shown(mse)}, although the noiseless parts differ in correlation by "
        f"{_shown(noiseless)}; the test-retest SSIM differs by {_shown(control)}.",
        {"ssim_difference": ssim.estimate, "mse_difference": mse.estimate}
        | {"retest_difference": control.estimate},
    )


def _difference(table: pd.DataFrame, comparison: str, similarity: str, width: float) -> Interval:
    """Difference of the two explainers (independent maps), plus or minus `width` errors."""
    rows = rows_of(table, comparison=comparison, similarity=similarity)
    first, second = (
        rows_of(rows, explainer=explainer).iloc[0]
        for explainer in ("change, no noise", "noise, no change")
    )
    estimate = float(first["estimate"] - second["estimate"])
    error = width * float(np.hypot(first["standard_error"], second["standard_error"]))
    return Interval(estimate, estimate - error, estimate + error, int(first["draws"]))


def _shown(interval: Interval) -> str:
    return f"{interval.estimate:.4f} [{interval.low:.4f}, {interval.high:.4f}]"


SMOOTHED = ("integrated-gradients", "smoothgrad")

#: disturbance by which nearby inputs are judged, over the image's value range: the one that the
#: robustness of maps is measured with
LEVEL = 0.01


def sweep(table: pd.DataFrame, method: str, by: str, value: str) -> pd.DataFrame:
    """Scores of one method, images x levels of a sweep in ascending order, without any NaN.

    Raises:
        LackingMethodError: the table does not hold the method.
    """
    need_methods(set(table["method"]), method)
    scores = judge.scores_by(judge.rows_of(table, method=method), value, by)
    return scores.sort_index(axis=1).dropna()


def successive(scores: pd.DataFrame, direction: judge.Direction, what: str) -> list[Verdict]:
    """One verdict for each step of a sweep: the score goes up (``above``) or down (``below``)."""
    levels = list(scores)
    return [
        judge.condition(
            paired_difference(scores[after], scores[before]), 0, direction,
            f"{what}, {before:g} to {after:g}",
        )
        for before, after in zip(levels[:-1], levels[1:], strict=True)
    ]  # fmt: skip


def not_improved(scores: pd.DataFrame, what: str) -> list[Verdict]:
    """Verdicts of "a score that is lower when better does not improve over a sweep"."""
    steps = successive(scores, "above", what)
    first, *_, last = scores
    interval = paired_difference(scores[last], scores[first])
    words = f"{what}, {first:g} to {last:g}: {judge.shown(interval)}."
    whole = judge.condition(interval, 0, "above", f"{what}, whole sweep", words)
    return [*(verdict for verdict in steps if verdict.value == "not-reproduced"), whole]


@criterion("binder-noise-optimal", tables=("randomization", "randomization-seeds", "noise-curve"))
def noise_optimal(tables: Tables, context: Context) -> Verdict:
    table, others = tables["randomization"], tables["randomization-seeds"]
    real = judge.methods_of(randomization_scores(table))
    verdicts: list[Verdict] = []
    seeds: dict[str, list[str]] = {}
    for name in real:
        rows, counts = over_seeds(table, others, ["noise", name])
        scores = randomization_scores(rows)
        verdicts.append(judge.difference(scores, "noise", name, "below", "mean SSIM"))
        seeds.setdefault(seeds_in_words(counts), []).append(name)
    for method in (judge.GUIDED, judge.LRP):
        similarity = sweep(tables["noise-curve"], method, "amount", "ssim")
        faithful = sweep(tables["noise-curve"], method, "amount", "softmax")
        verdicts += successive(similarity, "below", f"SSIM of {method} + noise")
        verdicts += not_improved(faithful, f"softmax of {method} + noise")
    alone, _ = over_seeds(table, others, ["noise"])
    level = bootstrap_mean(randomization_scores(alone)["noise"].dropna())
    draws = "; ".join(f"{words} ({plural(len(names), 'method')})" for words, names in seeds.items())
    joined = judge.summary(
        verdicts, f"noise below {len(real)} methods; SSIM falls and softmax does not with lambda"
    )
    return judge.reworded(
        joined,
        f"Fresh noise has a mean SSIM of {level.estimate:.3f}. {joined.evidence} Noise is compared "
        f"over {draws}.",
        {"ssim noise": level.estimate},
    )


def at_lag(table: pd.DataFrame, lag: int = 1) -> pd.DataFrame:
    """Autocorrelation of maps at one lag, images x methods."""
    return judge.scores_by(judge.rows_of(table, lag=lag), "autocorrelation")


def nearby(table: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Correlation of the maps of an image and of a close neighbour, images x methods."""
    return judge.scores_by(judge.rows_of(table, level=level), "correlation")


def _ordered(scores: pd.DataFrame, what: str) -> list[Verdict]:
    """Gradient below the smoothed methods, these below guided backpropagation and LRP."""
    pairs = [*product(("gradient",), SMOOTHED), *product(SMOOTHED, (judge.GUIDED, judge.LRP))]
    return [judge.difference(scores, one, other, "below", what) for one, other in pairs]


def _levels(scores: pd.DataFrame) -> str:
    """Mean scores of the methods in ascending order, as text."""
    means = scores.drop(columns=list(judge.CONTROLS), errors="ignore").mean().sort_values()
    return ", ".join(f"{name} {value:.2f}" for name, value in means.items())


@criterion("binder-gradnoise", tables=("autocorrelation", "nearby-inputs", "smoothgrad-copies"))
def gradient_noise(tables: Tables, context: Context) -> Verdict:
    """Two readings of "behaves like noise": inside one map, and between maps of nearby inputs."""
    table = tables["smoothgrad-copies"]
    similar = sweep(judge.rows_of(table, sign="signed"), "smoothgrad", "copies", "ssim")
    copies = successive(similar, "above", "SSIM of SmoothGrad by copies")
    measured = {
        "autocorrelation at lag 1 inside a map": at_lag(tables["autocorrelation"]),
        f"correlation of maps of nearby inputs (noise of {LEVEL:.0%} of the range)": nearby(
            tables["nearby-inputs"]
        ),
    }
    readings = {}
    for what, scores in measured.items():
        verdict = judge.summary([*_ordered(scores, what), *copies], "less noise-like, more SSIM")
        readings[what] = judge.reworded(
            verdict,
            f"{_levels(scores)}. {verdict.evidence}",
            {f"mean {name}": float(scores[name].mean()) for name in judge.methods_of(scores)},
        )
    verdict = judge.one_verdict(readings, "what makes a map noisy")
    seeds = seeds_in_words(table.groupby("image")["seed"].nunique())
    words = f"{verdict.evidence} SmoothGrad: weights redrawn with {seeds}."
    return judge.reworded(verdict, words)
