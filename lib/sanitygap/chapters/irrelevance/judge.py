"""Criteria for Eq. (3)-(6) of Binder et al. (2022): what randomisation has to leave unchanged."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from sanitygap import judge
from sanitygap.formal import formal_criterion, proved, refuted
from sanitygap.inference import Interval, bootstrap, bootstrap_mean, paired_difference
from sanitygap.judge import (
    Context,
    Tables,
    Verdict,
    by_image,
    condition,
    criterion,
    formal,
    graded,
    rows_of,
)

PROOFS = "equations-3-6-proofs"
INVARIANT = ("Gradient", "Gradient x Input", "Integrated Gradients", "Shapley")
EXACT = 1e-9
FIRST = "unresponsive features stay unresponsive"


@formal_criterion(
    "binder-eq3-eq4", PROOFS, "equation-4", settled=(FIRST, "LRP-beta gives nothing to x_1")
)
def irrelevance(proofs: pd.DataFrame, table: pd.DataFrame) -> Verdict:
    zero = float(rows_of(table, case="zero weights")["largest"].max())
    cancellation = rows_of(table, case="cancellation")
    invariant = cancellation["method"].isin(INVARIANT)
    cancelled = float(cancellation.loc[invariant, "largest"].max())
    others = cancellation[~invariant].groupby("method")["share"].mean()
    dead = rows_of(table, case="locally dead").groupby("method")["share"].mean()
    listed, local = (
        [f"{name} {share:.2f}" for name, share in shares.items() if share > EXACT]
        for shares in (others, dead)
    )
    holds = proved(proofs, FIRST) and zero <= EXACT and cancelled <= EXACT
    return graded(
        holds,
        (
            f"The first implication is proved; with zero weights every method gives the ignored "
            f"inputs at most {zero:.0e} of the attribution, with exact cancellation gradients, "
            f"Integrated Gradients and Shapley values at most {cancelled:.0e}. "
            if holds
            else f"Shares of the ignored inputs: {zero:.1e} (zero weights), {cancelled:.1e} "
            f"(cancellation, implementation-invariant methods). "
        )
        + (f"Mean shares under cancellation: {', '.join(listed)}. " if listed else "")
        + (f"Where phi is unresponsive only locally: {', '.join(local)}." if local else ""),
        {"zero_weights": zero, "cancellation": cancelled}
        | {f"cancellation {name}": float(share) for name, share in others.items()}
        | {f"locally dead {name}": float(share) for name, share in dead.items()},
        caveat=bool(listed or local),
    )


RELU = "ReLU after the addition"
EXACT_SURROGATE, INEXACT = (f"additive surrogate, {top}" for top in ("affine top", RELU))


@criterion("binder-fig6", tables=(PROOFS, "equation-5"))
@formal_criterion("binder-eq5", PROOFS, "equation-5", settled=(EXACT_SURROGATE, INEXACT))
def surrogate(proofs: pd.DataFrame, table: pd.DataFrame) -> Verdict:
    affine, relu = (rows_of(table, top=top) for top in ("affine", "ReLU, affine"))
    error = float(affine["largest"].max())
    errors, correlations = relu["estimate"], relu["logit_correlation"]
    return graded(
        proved(proofs, EXACT_SURROGATE) and error <= 1e-12,
        f"With an affine top the additive form is exact (largest error {error:.0e}); with a "
        f"ReLU after the addition the surrogate misses {errors.min():.0%} to "
        f"{errors.max():.0%} of the change under a new draw, while the logits before "
        f"and after still correlate at {correlations.min():.2f} to {correlations.max():.2f}.",
        {
            "largest_error_affine": error,
            "smallest_relative_error_relu": float(errors.min()),
            "largest_relative_error_relu": float(errors.max()),
        },
        caveat=refuted(proofs, INEXACT) and bool((relu["low"] >= 0.2).any()),
    )


@formal_criterion("binder-eq6", "equation-6")
def equation_6(table: pd.DataFrame) -> Verdict:
    sums = rows_of(table, combination="A + B").set_index("method")["largest"]
    linear = float(sums[list(INVARIANT)].max())
    others = ", ".join(
        f"{row['method']} {row['largest']:.1e} ({row['combination']})"
        for _, row in table[table["method"].isin(["LRP-beta", "Guided Backpropagation"])].iterrows()
    )
    return formal(
        linear <= 1e-10,
        f"Gradient, Gradient x Input, Integrated Gradients and Shapley values of A + B differ "
        f"from the sum of the parts by at most {linear:.0e}; other methods: {others}.",
        {"largest_error_linear_methods": linear}
        | {f"largest_error {name}": float(sums[name]) for name in sums.index},
    )


MEASURES = ("pearson", "spearman", "ssim")
PERCENTILE = 0.95
LEAST_AUC = 0.6

Conditions = Callable[[pd.DataFrame], Iterator[Verdict]]


def readings(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each cut, named by what is kept."""
    return {
        f"kept up to {kept} ({share:.1%} of the stages)": rows
        for (share, kept), rows in table.groupby(["share", "kept"], sort=True)
    }


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


def too_few_answers(rows: pd.DataFrame) -> Verdict | None:
    """A verdict if random weights leave fewer than two images with maps in every draw.

    A random network can be dead: its output does not depend on the image, and its map is zero.
    """
    complete = by_image(rows, "spearman").notna()
    if complete.sum() > 1:
        return None
    return judge.not_run(
        f"In some draw the network is dead for {int((~complete).sum())} of {len(complete)} "
        "images: their maps are zero everywhere, and too few images are left. Give the run "
        "more of them."
    )


def over_readings(table: pd.DataFrame, conditions: Conditions, drawn: str | None = None) -> Verdict:
    """The verdict over the cuts, of the conditions that are asked for each.

    Args:
        table: rows of ``irrelevance`` that the conditions are about.
        conditions: from the rows of one cut.
        drawn: the network whose redraws count; all by default.
    """
    judge.need_images(table)
    judged = {}
    for name, rows in readings(table).items():
        if dead := too_few_answers(rows):
            judged[name] = dead
            continue
        draws = (rows_of(rows, second=drawn) if drawn else rows)["seed"].nunique()
        judged[name] = judge.enough(
            judge.all_met(conditions(rows)), draws, judge.REDRAWS, "redraws"
        )
    return judge.one_verdict(judged, "which layer the twelfth is")


@criterion("binder-fig4", tables=("irrelevance",))
def figure_4(tables: Tables, context: Context) -> Verdict:
    def conditions(rows: pd.DataFrame) -> Iterator[Verdict]:
        absolute, signed = (rows_of(rows, maps=kind) for kind in ("absolute", "signed"))
        for measure in MEASURES:
            sizes, signs = (
                by_image(rows_of(part, other=0), measure) for part in (absolute, signed)
            )
            both = pd.DataFrame({"absolute": sizes, "signed": signs}).dropna()
            what = f"{measure} of absolute maps minus the null's 95th percentile"
            yield condition(beyond_null(absolute, measure), 0, "above", what)
            gap = paired_difference(both["absolute"], both["signed"])
            yield condition(gap, 0, "above", f"{measure} of absolute minus signed maps")
            mean = bootstrap_mean(both["signed"])
            yield condition(mean, 0, "above", f"{measure} of signed maps")

    table = rows_of(tables["irrelevance"], first="trained", second="redrawn")
    return over_readings(table, conditions)


@criterion("binder-fig4-phi", tables=("irrelevance",))
def figure_4_phi(tables: Tables, context: Context) -> Verdict:
    def conditions(rows: pd.DataFrame) -> Iterator[Verdict]:
        for network in ("trained", "redrawn"):
            part = rows_of(rows, second=network)
            own, others = part[part["other"] == 0], part[part["other"] > 0]
            pairs = pd.DataFrame(
                {"own": by_image(own, "spearman"), "others": by_image(others, "spearman")}
            )
            what = f"Spearman with the {network} network's map minus other images'"
            yield condition(judge.paired(pairs, "own", "others"), 0, "above", what)
            auc = bootstrap_mean(by_image(own, "auc").dropna())
            yield condition(auc, LEAST_AUC, "above", f"area under the ROC curve, {network}")

    table = rows_of(tables["irrelevance"], first="phi", maps="smoothed")
    return over_readings(table, conditions, drawn="redrawn")


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
    columns = [grouped[score].agg(judge.strict_mean) for score in ("below", "distance", "error")]
    means: pd.DataFrame = pd.concat(columns, axis=1).unstack("method")  # type: ignore[assignment]
    return means.dropna()


@criterion("binder-limited-change", tables=("limited-change",))
def limited_change(tables: Tables, context: Context) -> Verdict:
    table = tables["limited-change"]
    judge.need_images(table)
    words = "the run lacks {} on planted networks"
    judge.need_all(set(table["method"]), sorted(judge.FIGURE_METHODS), words)
    scores = change_scores(table[table["method"].isin(judge.FIGURE_METHODS)])
    methods = list(scores["error"].columns)
    half = len(methods)
    values = scores[["distance", "error"]].to_numpy()

    def agreement(sample: np.ndarray) -> float:
        means = sample.mean(axis=0)
        return float(spearmanr(means[:half], means[half:]).statistic)

    what = f"Spearman correlation over {half} methods of |SSIM - attainable| with the error"
    verdicts = [condition(bootstrap(values, agreement), 0, "above", what)]
    nearest = methods[int(scores["distance"].to_numpy().mean(axis=0).argmin())]
    for name in methods:
        if name != nearest and bootstrap_mean(scores["below", name]).low > 0:
            gap = paired_difference(scores["error", name], scores["error", nearest])
            what = f"error of {name} (below the attainable SSIM) minus that of {nearest}"
            verdicts.append(condition(gap, 0, "above", what))
    if len(verdicts) == 1:
        words = f"None of {half} methods is below the attainable SSIM beyond chance."
        verdicts.append(Verdict(value="undecided", evidence=words))
    return judge.enough(judge.all_met(verdicts), table["seed"].nunique(), judge.REDRAWS, "redraws")
