"""Criteria for Sec. 4.2 of Binder et al. (2022): what goes around a layer survives its redraw."""

from collections.abc import Mapping
from statistics import median

import pandas as pd

from sanitygap.claims import CriterionContext, Verdict, criterion
from sanitygap.criteria.gap import summary
from sanitygap.criteria.irrelevance import (
    REDRAWS,
    all_met,
    by_image,
    condition,
    enough,
    one_verdict,
    rows_of,
    too_few_images,
)
from sanitygap.experiments.skips import BETAS
from sanitygap.inference import Interval, bootstrap, bootstrap_mean, paired_difference

Tables = Mapping[str, pd.DataFrame]

#: redraws of a layer that the ledger asks for under Fig. 5, and trainings for what skips predict
LOGIT_REDRAWS, TRAININGS = 10, 5

#: images that the ledger asks for under Fig. 7
PART_IMAGES = 50
LEAST_SKIP_CORRELATION = 0.9
LARGEST_GAP = 1e-4


def without_skips(context: CriterionContext) -> Verdict:
    """The verdict where a network has nothing to be tested."""
    return Verdict(
        value="not-run",
        reason=f"{context.model} has no skip connection that is added by a module, so no layer "
        "lies beside one; run the page with efficientnet_lite0 or a ResNet of torchvision.",
    )


def median_correlation(rows: pd.DataFrame, value: str) -> Interval:
    """Median over images and redraws, with its interval over images."""
    wide = rows.pivot_table(index="image", columns="seed", values=value).dropna()
    # for a few numbers, many times: NumPy's median is several times slower
    return bootstrap(wide.to_numpy(), lambda scores: float(median(scores.ravel().tolist())))


@criterion("binder-fig5", tables=("layer-logits",))
def figure_5(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["layer-logits"]
    beside = rows_of(table, path="residual branch")
    if beside.empty:
        return without_skips(context)
    if verdict := too_few_images(table):
        return verdict
    verdicts = [
        condition(median_correlation(rows, measure), 0, "above", f"{layer}, {measure}")
        for layer, rows in beside.groupby("layer", sort=False)
        for measure in ("pearson", "spearman")
    ]
    layers = beside["layer"].nunique()
    joined = summary(verdicts, f"medians of both correlations, {layers} layers beside a skip")
    alone = rows_of(table, path="neither")
    medians = {
        name: float(rows.groupby("layer")["pearson"].median().median())
        for name, rows in (("beside a skip", beside), ("without one", alone))
        if len(rows)
    }
    words = ", ".join(f"{value:.2f} {name}" for name, value in medians.items())
    verdict = joined.model_copy(
        update={
            "evidence": f"Median over layers of the median Pearson correlation: {words}. "
            f"{joined.evidence} Running statistics of the normalisation behind a layer are kept.",
            "numbers": joined.numbers | {f"median {name}": v for name, v in medians.items()},
        }
    )
    return enough(verdict, beside["seed"].nunique(), LOGIT_REDRAWS, "redraws")


def part_scores(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    """One measure, images x parts, redraws averaged, complete."""
    wide = {part: by_image(rows_of(rows, part=part), value) for part in ("total", "skip", "branch")}
    return pd.DataFrame(wide).dropna()


@criterion("binder-fig7", tables=("skip-relevance",))
def figure_7(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["skip-relevance"]
    if table.empty:
        return without_skips(context)
    if verdict := too_few_images(table):
        return verdict
    judged = {}
    for method, beta in BETAS.items():
        rows = rows_of(table, method=method)
        if rows.empty:
            judged[f"beta = {beta:g}"] = Verdict(
                value="not-run", reason=f"The run holds no {method} map split at a skip."
            )
            continue
        correlation = part_scores(rows, "pearson")
        verdicts = [
            condition(
                paired_difference(correlation["total"], correlation["branch"]), 0, "above",
                "correlation of the whole minus that of the branch's part",
            ),
            condition(
                bootstrap_mean(correlation["skip"]), LEAST_SKIP_CORRELATION, "above",
                "correlation of the skip's part",
            ),
        ]  # fmt: skip
        for column, network in (("mass", "trained"), ("mass_after", "redrawn")):
            mass = part_scores(rows, column)
            gap = paired_difference(mass["skip"], mass["branch"])
            what = f"mass of the skip's part minus the branch's, {network} network"
            verdicts.append(condition(gap, 0, "above", what))
        largest = float(rows["gap"].max())
        verdicts.append(
            Verdict(
                value="direction" if largest <= LARGEST_GAP else "not-reproduced",
                evidence=f"The parts add up to the whole to {largest:.0e} of it.",
                numbers={"gap": largest},
            )
        )
        verdict = enough(all_met(verdicts), rows["seed"].nunique(), REDRAWS, "redraws")
        judged[f"beta = {beta:g}"] = enough(verdict, len(correlation), PART_IMAGES, "images")
    return one_verdict(judged, "which beta LRP-beta has")


@criterion("binder-skip-predicts", tables=("skip-networks",))
def skip_predicts(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["skip-networks"]
    verdicts = []
    for method, rows in table.groupby("method", sort=False):
        with_, without = (
            by_image(rows_of(rows, network=name, part="total"), "ssim")
            for name in ("with skips", "without skips")
        )
        branch = by_image(rows_of(rows, network="with skips", part="branch"), "ssim")
        scores = pd.DataFrame({"with": with_, "without": without, "branch": branch}).dropna()
        verdicts += [
            condition(
                paired_difference(scores["with"], scores["without"]), 0, "above",
                f"SSIM of {method} with skips minus without",
            ),
            condition(
                paired_difference(scores["with"], scores["branch"]), 0, "above",
                f"SSIM of {method} minus SSIM without E{{B}}",
            ),
        ]  # fmt: skip
    accuracy = table.groupby("network")["accuracy"].mean()
    verdict = all_met(verdicts)
    listed = ", ".join(f"{value:.1%} {name}" for name, value in accuracy.items())
    verdict = verdict.model_copy(
        update={"evidence": f"{verdict.evidence} Accuracy of the networks: {listed}."}
    )
    return enough(verdict, table["training"].nunique(), TRAININGS, "trainings")
