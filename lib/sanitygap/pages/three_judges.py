"""Three ways of judging the same methods, side by side."""

import pandas as pd
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from sanitygap.criteria.gap import CONTROLS
from sanitygap.criteria.khakzar_methods import null_share, per_sample
from sanitygap.criteria.three_judges import rank_correlation
from sanitygap.experiments.axioms import REFERENCES
from sanitygap.figures import Plate, theme
from sanitygap.figures.rank_lines import rank_lines
from sanitygap.pages.axioms import about_samples
from sanitygap.pages.noise import holding, nothing_recorded
from sanitygap.pages.shared import about, display_table
from sanitygap.runs import Study
from sanitygap.scores import occlusion_scores, randomization_scores

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


def judges_plate(study: Study) -> Plate | Markdown:
    """Ranks of the methods by each of the three judges; rank 1 is best."""
    theme()
    if not holding(study, *NEEDED):
        return nothing_recorded("axioms-scores")
    found = judges(study)
    if not found:
        return Markdown("> No sample with a null feature was accepted, so one judge is silent.")
    numbers = pd.concat(
        [
            pd.DataFrame({"method": list(table), "score": table.mean().to_numpy()}).assign(
                condition=judge, rank=table.mean().rank(method="first").to_numpy()
            )
            for judge, table in found.items()
        ],
        ignore_index=True,
    )
    return rank_lines(
        numbers,
        ylabel="rank (1: best)",
        caption="Ranks by the share of a null feature in absolute maps, by mean SSIM after "
        "top-down randomisation, and by mean softmax under occlusion; low is good in all three. "
        f"{about_samples(study, 'axioms-scores', 'null')}; {about(study, 'randomization')}.",
    )


def judges_table(study: Study) -> Styler | Markdown:
    """Rank correlations between the three judges, with intervals."""
    if not holding(study, *NEEDED):
        return nothing_recorded("axioms-scores")
    found = judges(study)
    rows = []
    names = list(found)
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            if min(len(found[first]), len(found[second])) < 2 or found[first].shape[1] < 3:
                continue
            rho = rank_correlation(found[first], found[second])
            rows.append(
                {"judges": f"{first}, {second}", "methods": found[first].shape[1]}
                | {"Spearman": rho.estimate, "low": rho.low, "high": rho.high, "units": rho.n}
            )
    if not rows:
        return Markdown("> Too few samples with a null feature were accepted for a correlation.")
    return display_table(
        pd.DataFrame(rows),
        "Spearman correlation between the mean scores of the shared methods; 95 % bootstrap "
        "intervals, images and generated inputs resampled independently.",
    )
