"""Criteria for Sec. 4.2 of Binder et al. (2022): what goes around a layer survives its redraw."""

from collections.abc import Iterator
from statistics import median

import pandas as pd

from sanitygap import judge
from sanitygap.chapters.skips import BETAS
from sanitygap.inference import Interval, bootstrap, bootstrap_mean
from sanitygap.judge import Context, Tables, Verdict, by_image, condition, criterion, rows_of

#: redraws of a layer that the ledger asks for under Fig. 5, and trainings for what skips predict
LOGIT_REDRAWS, TRAININGS = 10, 5

#: images that the ledger asks for under Fig. 7
PART_IMAGES = 50
LEAST_SKIP_CORRELATION = 0.9
LARGEST_GAP = 1e-4


def without_skips(context: Context) -> Verdict:
    """The verdict where a network has nothing to be tested."""
    return judge.not_run(
        f"{context.model} has no skip connection that is added by a module, so no layer "
        "lies beside one; run the page with efficientnet_lite0 or a ResNet of torchvision."
    )


def median_correlation(rows: pd.DataFrame, value: str) -> Interval:
    """Median over images and redraws, with its interval over images."""
    wide = rows.pivot_table(index="image", columns="seed", values=value).dropna()
    # for a few numbers, many times: NumPy's median is several times slower
    return bootstrap(wide.to_numpy(), lambda scores: float(median(scores.ravel().tolist())))


@criterion("binder-fig5", tables=("layer-logits",))
def figure_5(tables: Tables, context: Context) -> Verdict:
    table = tables["layer-logits"]
    beside = rows_of(table, path="residual branch")
    if beside.empty:
        return without_skips(context)
    judge.need_images(table)
    verdicts = [
        condition(median_correlation(rows, measure), 0, "above", f"{layer}, {measure}")
        for layer, rows in beside.groupby("layer", sort=False)
        for measure in ("pearson", "spearman")
    ]
    layers = beside["layer"].nunique()
    joined = judge.summary(verdicts, f"medians of both correlations, {layers} layers beside a skip")
    medians = {
        name: float(rows.groupby("layer")["pearson"].median().median())
        for name, rows in (
            ("beside a skip", beside), ("without one", rows_of(table, path="neither")),
        )
        if len(rows)
    }  # fmt: skip
    words = ", ".join(f"{value:.2f} {name}" for name, value in medians.items())
    verdict = judge.reworded(
        joined,
        f"Median over layers of the median Pearson correlation: {words}. {joined.evidence} "
        "Running statistics of the normalisation behind a layer are kept.",
        {f"median {name}": value for name, value in medians.items()},
    )
    return judge.enough(verdict, beside["seed"].nunique(), LOGIT_REDRAWS, "redraws")


def part_scores(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    """One measure, images x parts, redraws averaged, complete."""
    wide = {part: by_image(rows_of(rows, part=part), value) for part in ("total", "skip", "branch")}
    return pd.DataFrame(wide).dropna()


def _split(rows: pd.DataFrame) -> Iterator[Verdict]:
    """What is asked of the maps of one method, split at a skip."""
    correlation = part_scores(rows, "pearson")
    words = "correlation of the whole minus that of the branch's part"
    yield condition(judge.paired(correlation, "total", "branch"), 0, "above", words)
    words = "correlation of the skip's part"
    yield condition(bootstrap_mean(correlation["skip"]), LEAST_SKIP_CORRELATION, "above", words)
    for column, network in (("mass", "trained"), ("mass_after", "redrawn")):
        words = f"mass of the skip's part minus the branch's, {network} network"
        gap = judge.paired(part_scores(rows, column), "skip", "branch")
        yield condition(gap, 0, "above", words)
    largest = float(rows["gap"].max())
    words = f"The parts add up to the whole to {largest:.0e} of it."
    yield judge.measured(largest <= LARGEST_GAP, words, {"gap": largest})


@criterion("binder-fig7", tables=("skip-relevance",))
def figure_7(tables: Tables, context: Context) -> Verdict:
    table = tables["skip-relevance"]
    if table.empty:
        return without_skips(context)
    judge.need_images(table)
    judged = {}
    for method, beta in BETAS.items():
        rows = rows_of(table, method=method)
        if rows.empty:
            verdict = judge.not_run(f"The run holds no {method} map split at a skip.")
        else:
            images, redraws = len(part_scores(rows, "pearson")), rows["seed"].nunique()
            verdict = judge.enough(judge.all_met(_split(rows)), redraws, judge.REDRAWS, "redraws")
            verdict = judge.enough(verdict, images, PART_IMAGES, "images")
        judged[f"beta = {beta:g}"] = verdict
    return judge.one_verdict(judged, "which beta LRP-beta has")


@criterion("binder-skip-predicts", tables=("skip-networks",))
def skip_predicts(tables: Tables, context: Context) -> Verdict:
    table = tables["skip-networks"]
    verdicts = []
    for method, rows in table.groupby("method", sort=False):
        scores = pd.DataFrame(
            {
                name: by_image(rows_of(rows, network=network, part=part), "ssim")
                for name, network, part in (
                    ("with", "with skips", "total"),
                    ("without", "without skips", "total"),
                    ("branch", "with skips", "branch"),
                )
            }
        ).dropna()
        for other, words in (
            ("without", "with skips minus without"), ("branch", "minus SSIM without E{B}"),
        ):  # fmt: skip
            gap = judge.paired(scores, "with", other)
            verdicts.append(condition(gap, 0, "above", f"SSIM of {method} {words}"))
    verdict = judge.all_met(verdicts)
    accuracy = table.groupby("network")["accuracy"].mean()
    words = ", ".join(f"{value:.1%} {name}" for name, value in accuracy.items())
    verdict = judge.reworded(verdict, f"{verdict.evidence} Accuracy of the networks: {words}.")
    return judge.enough(verdict, table["training"].nunique(), TRAININGS, "trainings")
