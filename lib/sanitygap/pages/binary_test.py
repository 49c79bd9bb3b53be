"""Pages about the binary use of the check."""

import pandas as pd
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from sanitygap.criteria.binary_test import LEVEL, RESAMPLES, effects, false_alarms
from sanitygap.figures import Plate, theme
from sanitygap.figures.dots import interval_dots
from sanitygap.figures.methods import label
from sanitygap.inference import holm, proportion_interval
from sanitygap.pages.noise import nothing_recorded
from sanitygap.pages.shared import about, display_table, with_intervals
from sanitygap.runs import Study

RETEST, ALARMS = "test-retest", "false-rejections"

PANELS = {"ssim": "SSIM", "spearman": "rank correlation"}


def retest_plate(study: Study) -> Plate | Markdown:
    """Similarity of two maps of the same network, beside that with randomised ones."""
    theme()
    if study.recorded and not study.made(RETEST):
        return nothing_recorded(RETEST)
    table = study.table(RETEST)
    parts = [
        with_intervals(table, ("method", "step", "stage"), value).assign(panel=panel)
        for value, panel in PANELS.items()
    ]
    numbers = pd.concat(parts, ignore_index=True).rename(columns={"method": "row"})
    last = numbers["step"].max()
    numbers["series"] = [
        "the same network" if step == 0 else "all stages" if step == last else f"down to {stage}"
        for step, stage in zip(numbers["step"], numbers["stage"], strict=True)
    ]
    return interval_dots(
        numbers,
        caption="Similarity of a first map of the trained network to a second one of the same "
        "network, with new draws of sampling methods, and to maps of randomised networks. "
        f"{about(study, RETEST)}. Bars: 95 % bootstrap intervals over images.",
        xlabels={
            "SSIM": "SSIM with the first map",
            "rank correlation": "rank correlation with the first map",
        },
        legend="second map",
    )


def effect_table(study: Study) -> Styler:
    """The binary test of every method: is there an effect of randomisation?"""
    tests = effects(study.table(RETEST))
    keys = [str(index) for index in tests.index]
    adjusted = holm(dict(zip(keys, tests["p"], strict=True)))
    tests["p"] = [adjusted[key] for key in keys]
    tests["effect"] = ["yes" if p < LEVEL else "not shown" for p in tests["p"]]
    tests["method"] = [label(method) for method in tests["method"]]
    shown = tests[["method", "step", "retest", "randomized", "n", "p", "effect"]]
    return display_table(
        shown.rename(columns={"randomized": "after randomisation", "p": "p (Holm)"}),
        "SSIM of a second map of the same network (retest) and of the randomised one (step: how "
        f"many stages are random), and the one-sided permutation test over images "
        f"({RESAMPLES} exchanges, or all). {about(study, RETEST)}.",
    )


def alarm_table(study: Study) -> Styler:
    """How often the test rejects for explainers that know nothing of the model."""
    table = study.table(ALARMS)
    rows = []
    for explainer in dict.fromkeys(table["explainer"]):
        rejected, simulations, images = false_alarms(table, explainer)
        rate = proportion_interval(rejected, simulations)
        rows.append(
            {
                "explainer": explainer,
                "simulated tests": simulations,
                "images in a test": images,
                "rejections": rejected,
                "rate": rate.estimate,
                "low": rate.low,
                "high": rate.high,
            }
        )
    return display_table(
        pd.DataFrame(rows),
        f"Rejections at the nominal level of {LEVEL:.0%}, 95 % Wilson intervals. "
        f"{about(study, ALARMS)}.",
    )
