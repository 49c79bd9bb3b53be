"""Pages about what the outcome of the check depends on: the sign of maps, and the task."""

from itertools import product

import pandas as pd
from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.criteria.gap import CONTROLS, FIGURE_METHODS
from sanitygap.criteria.signed_maps import excess
from sanitygap.criteria.task_dependence import rank_changes, scores_by_task
from sanitygap.figures import Plate
from sanitygap.figures.rank_lines import rank_lines, ranked
from sanitygap.runs import Study
from sanitygap.scores import complete, occlusion_scores, randomization_scores

TASKS = "task-dependence"

SIMILARITIES = {
    "spearman": "rank correlation",
    "ssim": "SSIM, L = joint range",
    "ssim_L1": "SSIM, L = 1",
}


@show.shows("randomization")
def sign_plate(study: Study) -> Plate:
    """Similarity of absolute maps minus that of signed maps, as the network is redrawn."""
    table = study.table("randomization")
    table = table[(table["order"] == "top-down") & ~table["method"].isin(CONTROLS)]
    by_step = dict(list(table.groupby(["method", "step"])))
    methods, steps = dict.fromkeys(table["method"]), sorted(table["step"].unique())
    rows = [
        {"panel": words, "method": method, "step": step}
        | show.columns(show.or_nan(excess, by_step[method, step], method, step, value))
        for (value, words), method, step in product(SIMILARITIES.items(), methods, steps)
    ]
    return show.curves(
        pd.DataFrame(rows),
        "step",
        xlabel="stages redrawn from the top",
        ylabel="similarity of absolute − of signed maps",
        caption="Top-down randomisation: how much more similar absolute maps stay than signed "
        f"ones. {show.about(study, 'randomization')}. Bands: 95 % bootstrap intervals of the "
        "paired difference over images.",
    )


@show.shows("randomization", "occlusion")
def sign_agreement(study: Study) -> Styler:
    """Kendall's tau between the occlusion ranking and randomisation rankings, by sign."""
    occluded = occlusion_scores(study.table("occlusion"))
    rows = []
    for value, words in SIMILARITIES.items():
        for sign in ("signed", "absolute"):
            random = randomization_scores(study.table("randomization"), value, sign)
            first, second = complete(
                *(table[[m for m in FIGURE_METHODS if m in table]] for table in (random, occluded))
            )
            tau = show.columns(show.shown_agreement(first, second), "Kendall's τ")
            rows.append({"similarity": words, "maps": sign} | tau)
    return show.display_table(
        rows,
        "Agreement of the randomisation ranking with the occlusion ranking of the methods that "
        "the paper's figures name, 95 % bootstrap intervals over images; above 0 the tests agree. "
        f"{show.about(study, 'randomization')}.",
    )


@show.shows(TASKS)
def task_plate(study: Study) -> Plate:
    """The order of the methods under randomisation on each task."""
    table = study.table(TASKS)
    accuracy = table.groupby("task", sort=False)["accuracy"].mean()
    listed = ", ".join(f"{task} {share:.0%}" for task, share in accuracy.items())
    return rank_lines(
        ranked(scores_by_task(table)),
        ylabel="rank by mean SSIM\n(1 = passes best)",
        caption="Rank of each method by its mean SSIM over the four steps of top-down "
        f"randomisation of a small network, signed maps. {table['network'].nunique()} networks a "
        f"task, {table['image'].nunique() // table['task'].nunique()} test images each. Test "
        f"accuracy: {listed}. Seed {study.settings.seed}.",
    )


@show.shows(TASKS)
def task_changes(study: Study, most: int = 8) -> Styler:
    """The largest changes of rank between two tasks, and how many networks share them."""
    table = study.table(TASKS)
    changes = rank_changes(scores_by_task(table))
    sizes = changes["change"].map(lambda change: abs(change.estimate))
    ranks = _ranks_by_network(table)
    rows = []
    for index in sizes.sort_values(ascending=False, kind="stable").index[:most]:
        row = changes.loc[index]
        moves = ranks[row["other"], row["method"]] - ranks[row["one"], row["method"]]
        same = int((moves * row["change"].estimate > 0).sum())
        rows.append(
            {
                "method": row["method"],
                "from": f"{row['one']} ({row['rank_one']:.0f})",
                "to": f"{row['other']} ({row['rank_other']:.0f})",
                "change": f"{row['change'].estimate:+.0f}",
                "interval": f"[{row['change'].low:+.0f}, {row['change'].high:+.0f}]",
                "networks that move the same way": f"{same} of {len(moves)}",
            }
        )
    return show.display_table(
        rows,
        "Changes of rank between tasks, the largest first. Intervals: bootstrap over test images, "
        "95 % together for all methods and pairs of tasks.",
    )


def _ranks_by_network(table: pd.DataFrame) -> pd.DataFrame:
    """Networks x (task, method): rank by mean SSIM of signed maps, network by network."""
    means = (
        table[table["sign"] == "signed"]
        .groupby(["network", "task", "method"], sort=False)["ssim"]
        .mean()
    )
    ranks = means.groupby(["network", "task"], sort=False).rank()
    return ranks.unstack(["task", "method"])
