"""Pages about the randomisation test, the occlusion test and the gap between them."""

import math
from collections.abc import Iterable, Mapping

import pandas as pd
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from sanitygap.criteria.gap import FIGURE_METHODS, both_scores, counted, orderings
from sanitygap.figures import Plate, theme
from sanitygap.figures.methods import label
from sanitygap.figures.pairs import LEVEL, pair_matrix
from sanitygap.figures.tests_of_maps import curves, gap_scatter
from sanitygap.inference import UndefinedStatisticError, holm
from sanitygap.pages.shared import (
    about,
    display_table,
    panel,
    shown_agreement,
    shown_mean,
    where_defined,
    with_intervals,
)
from sanitygap.rankings import PATTERNS, pairwise_tests
from sanitygap.runs import Study
from sanitygap.scores import complete, occlusion_scores, randomization_scores

SIMILARITY_LABELS = {
    "ssim": "SSIM (low: passes the sanity check)",
    "spearman": "Spearman correlation (low: passes)",
    "mse": "normalised MSE (high: passes)",
}


def randomization_curves(
    studies: Study | Iterable[Study], similarity: str = "ssim", sign: str = "signed"
) -> Plate:
    """Similarity against the depth of top-down randomisation (Binder et al., Fig. 2)."""
    theme()
    several = [studies] if isinstance(studies, Study) else list(studies)
    frames, ticks = [], {}
    for study in several:
        table = study.table("randomization")
        rows = table[(table["sign"] == sign) & (table["order"] == "top-down")]
        numbers = with_intervals(rows, ("method", "step", "steps", "stage"), similarity)
        numbers["depth"] = 100 * numbers["step"] / numbers["steps"]
        frames.append(numbers.assign(panel=panel(study, "randomization")))
        ticks = dict(zip(numbers["depth"], numbers["stage"], strict=True))
    joined = pd.concat(frames, ignore_index=True)
    one = len(several) == 1
    where = "; ".join(about(study, "randomization") for study in several)
    return curves(
        joined,
        "depth",
        xlabel="stage reached from the top" if one else "stages redrawn, % of all",
        ylabel=SIMILARITY_LABELS[similarity],
        ticks=ticks if one else None,
        caption=f"Top-down randomisation, {sign} maps: {SIMILARITY_LABELS[similarity]} against "
        f"depth. {where}. Bands: 95 % bootstrap intervals over images.",
    )


def occlusion_curves(
    studies: Study | Iterable[Study], patch: int = 15, value: str = "softmax"
) -> Plate:
    """Prediction against the number of blurred regions (Binder et al., Fig. 1, App. 1)."""
    theme()
    several = [studies] if isinstance(studies, Study) else list(studies)
    frames = []
    for study in several:
        table = study.table("occlusion")
        rows = table[table["patch"] == patch]
        numbers = with_intervals(rows, ("method", "regions"), value)
        frames.append(numbers.assign(panel=panel(study, "occlusion")))
    where = "; ".join(about(study, "occlusion") for study in several)
    return curves(
        pd.concat(frames, ignore_index=True),
        "regions",
        xlabel=f"regions of {patch} × {patch} pixels replaced by their blurred copy",
        ylabel=f"{value} of the target (low: faithful)",
        caption=f"Occlusion curves, patch {patch}: {value} of the target class as the regions "
        f"ranked highest by a map are blurred. {where}. Bands: 95 % bootstrap intervals over "
        "images.",
    )


def tables_of(study: Study) -> dict[str, pd.DataFrame]:
    """The tables of both tests."""
    return {name: study.table(name) for name in ("randomization", "occlusion")}


def held(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """The methods of Figs. 1 and 2 that the tables hold; some networks have no use for one."""
    present = set.intersection(*(set(table["method"]) for table in tables.values()))
    return [name for name in FIGURE_METHODS if name in present]


@where_defined
def gap_plate(study: Study) -> Plate:
    """Methods by both scores and both ranks."""
    theme()
    scores = complete(
        randomization_scores(study.table("randomization")),
        occlusion_scores(study.table("occlusion")),
    )
    columns = {}
    for name, table in zip(("randomization", "occlusion"), scores, strict=True):
        intervals = {method: shown_mean(table[method]) for method in table}
        columns[name] = pd.Series({m: i.estimate for m, i in intervals.items()})
        columns[f"{name}_low"] = pd.Series({m: i.low for m, i in intervals.items()})
        columns[f"{name}_high"] = pd.Series({m: i.high for m, i in intervals.items()})
        columns[f"{name}_rank"] = columns[name].rank()
    numbers = pd.DataFrame(columns).rename_axis("method").reset_index()
    if numbers.isna().any(axis=None):
        raise UndefinedStatisticError(f"fewer than 2 images have a score for all {len(numbers)}")
    return gap_scatter(
        numbers,
        f"Each method by its mean SSIM over all steps of top-down randomisation and by its mean "
        f"softmax over 0 to 30 blurred patches of 15, and its rank in each test. "
        f"{about(study, 'randomization')}. Bars: 95 % bootstrap intervals over images.",
    )


def agreement(study: Study) -> Markdown:
    """The statement about both rankings, with its interval."""
    tables = tables_of(study)
    random, occluded = both_scores(tables, held(tables))
    tau = shown_agreement(random, occluded)
    if math.isnan(tau.estimate):
        return Markdown(
            "> Whether both tests tend to the same order of these methods **cannot be asked** "
            f"here: in one of the two rankings all methods tie, or fewer than two images are left. "
            f"{about(study, 'randomization')}."
        )
    if tau.high < 0:
        says = "Randomisation and occlusion **tend to opposite orders** of these methods"
    elif tau.low > 0:
        says = "Randomisation and occlusion **tend to the same order** of these methods"
    else:
        says = "Whether both tests tend to the same order of these methods is **undecided** here"
    return Markdown(
        f"> {says}: Kendall's $\\tau$ between the two rankings of the {random.shape[1]} methods "
        f"of the paper's Figs. 1 and 2 is {tau.estimate:+.2f}, 95 % interval [{tau.low:+.2f}, "
        f"{tau.high:+.2f}] (bootstrap over n = {counted(random, study.table('randomization'))}; "
        f"{about(study, 'randomization')}). Both scores are lower-is-better, so agreement would "
        "be $\\tau > 0$."
    )


def agreements(studies: Study | Iterable[Study]) -> Styler:
    """Kendall's tau between both rankings: each run, the paper's methods and all methods."""
    rows = []
    several = [studies] if isinstance(studies, Study) else studies
    for study in {study.settings.run: study for study in several}.values():
        for methods, words in (
            (held(tables_of(study)), "of Figs. 1 and 2, for the verdict"),
            (None, "all of the run, for comparison"),
        ):
            random, occluded = both_scores(tables_of(study), methods)
            tau = shown_agreement(random, occluded)
            rows.append(
                {
                    "run": study.settings.run,
                    "model": study.settings.public()["model"],
                    "methods": words,
                    "number": random.shape[1],
                    "Kendall's τ": tau.estimate,
                    "low": tau.low,
                    "high": tau.high,
                    "images": tau.n,
                }
            )
    return display_table(
        pd.DataFrame(rows),
        "Kendall's τ between the randomisation and the occlusion ranking; 95 % bootstrap intervals "
        "over images. Controls are left out.",
    )


@where_defined
def pair_plate(study: Study) -> Plate:
    """Every pair of methods under both tests, corrected for their number."""
    theme()
    frames = []
    for test, scores in zip(
        ("mean SSIM after randomisation", "mean softmax under occlusion"),
        both_scores(tables_of(study)),
        strict=True,
    ):
        frames.append(pairwise_tests(scores).assign(test=test))
    numbers = pd.concat(frames, ignore_index=True)
    names = [f"{row.test}: {row.first}, {row.second}" for row in numbers.itertuples()]
    numbers["p"] = list(holm(dict(zip(names, numbers["p"], strict=True))).values())
    images = len(scores)
    smallest = min(1.0, len(numbers) * max(2.0 ** (1 - images), 1 / (PATTERNS + 1)))
    return pair_matrix(
        numbers,
        "Every pair of methods in both tests: the row's method against the column's. Area of a "
        "triangle: size of the mean difference, relative to the largest in that test. Filled: "
        f"paired permutation test, Holm's correction over all {len(numbers)} comparisons, p < "
        f"{LEVEL}; with {images} images the smallest corrected p that can occur is "
        f"{smallest:.2g}. {about(study, 'randomization')}.",
    )


def range_sensitivity(study: Study) -> Styler:
    """Mean SSIM of each method for every choice of the range L."""
    table = study.table("randomization")
    names = {
        "ssim": "joint range",
        "ssim_robust": "99.9 % range",
        "ssim_L1": "L = 1",
        "ssim_L2": "L = 2",
    }
    means = pd.DataFrame(
        {shown: randomization_scores(table, name).mean() for name, shown in names.items()}
    )
    taus = orderings(table)
    means.loc["Kendall's τ with the joint range's order"] = [
        1.0,
        *(taus[name] for name in names if name != "ssim"),
    ]
    means.index = pd.Index([label(name) for name in means.index], name="method")
    return display_table(
        means.reset_index(),
        f"Mean SSIM over the steps, for four ranges L. {about(study, 'randomization')}.",
    )


def noise_against_methods(study: Study) -> Styler:
    """The noise control beside every method, on real attribution maps."""
    scores = randomization_scores(study.table("randomization"))
    rows = []
    for method in map(str, scores):
        pair = scores[list(dict.fromkeys((method, "noise")))].dropna()
        mean = shown_mean(pair[method])
        row = {
            "method": label(method),
            "mean SSIM": mean.estimate,
            "low": mean.low,
            "high": mean.high,
        }
        if method != "noise":
            gap = shown_mean(pair[method] - pair["noise"])
            row |= {"minus noise": gap.estimate, "gap low": gap.low, "gap high": gap.high}
        rows.append(row)
    table = pd.DataFrame(rows).sort_values("mean SSIM")
    return display_table(
        table,
        "Mean SSIM over the steps of top-down randomisation, lowest (best in that test) first. "
        f"{about(study, 'randomization')}; 95 % bootstrap intervals over images.",
    )
