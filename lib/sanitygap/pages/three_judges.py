"""Three ways of judging the same methods, side by side."""

import itertools

import pandas as pd
from pandas.io.formats.style import Styler

from sanitygap.criteria.gap import CONTROLS
from sanitygap.criteria.khakzar_methods import null_share, per_sample
from sanitygap.criteria.three_judges import rank_correlation
from sanitygap.experiments.axioms import REFERENCES
from sanitygap.figures.plate import Plate
from sanitygap.figures.rank_lines import rank_lines
from sanitygap.pages.axiom_examples import about_samples
from sanitygap.runs import Study
from sanitygap.scores import occlusion_scores, randomization_scores
from sanitygap.show import NothingToShowError, about, bounds, display_table, shows

NEEDED = ("axioms-scores", "randomization", "occlusion")


def judges(study: Study) -> dict[str, pd.DataFrame]:
    """Scores of the shared methods by each judge, units x methods; empty if one has none."""
    scores = {
        "null feature": per_sample(study.table("axioms-scores"), "null", "absolute", null_share),
        "randomisation": randomization_scores(study.table("randomization")),
        "occlusion": occlusion_scores(study.table("occlusion")),
    }
    left_out = (*CONTROLS, *REFERENCES)
    shared = [
        name
        for name in scores["randomisation"]
        if name not in left_out and all(name in table for table in scores.values())
    ]
    return {judge: table[shared].dropna() for judge, table in scores.items()} if shared else {}


@shows(*NEEDED)
def judges_plate(study: Study) -> Plate:
    """Ranks of the methods by each of the three judges; rank 1 is best."""
    scores = {judge: table.mean() for judge, table in judges(study).items()}
    if not scores:
        words = "No sample with a null feature was accepted, so one judge is silent."
        raise NothingToShowError(words)
    parts = [
        means.rename_axis("method").reset_index(name="score").assign(
            condition=judge, rank=means.rank(method="first").to_numpy()
        )
        for judge, means in scores.items()
    ]  # fmt: skip
    return rank_lines(
        pd.concat(parts, ignore_index=True),
        ylabel="rank (1: best)",
        caption="Ranks by the share of a null feature in absolute maps, by mean SSIM after "
        "top-down randomisation, and by mean softmax under occlusion; low is good in all three. "
        f"{about_samples(study, 'axioms-scores', 'null')}; {about(study, 'randomization')}.",
    )


@shows(*NEEDED)
def judges_table(study: Study) -> Styler:
    """Rank correlations between the three judges, with intervals."""
    rows = [
        {"judges": f"{first}, {second}", "methods": one.shape[1]}
        | bounds(rho, "Spearman")
        | {"units": rho.n}
        for (first, one), (second, other) in itertools.combinations(judges(study).items(), 2)
        if min(len(one), len(other)) > 1 and one.shape[1] > 2
        for rho in [rank_correlation(one, other)]
    ]
    if not rows:
        words = "Too few samples with a null feature were accepted for a correlation."
        raise NothingToShowError(words)
    return display_table(
        rows,
        "Spearman correlation between the mean scores of the shared methods; 95 % bootstrap "
        "intervals, images and generated inputs resampled independently.",
    )
