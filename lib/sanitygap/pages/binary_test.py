"""Pages about the binary use of the check."""

from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.criteria.binary_test import LEVEL, RESAMPLES, effects, false_alarms
from sanitygap.figures import Plate
from sanitygap.inference import holm, proportion_interval
from sanitygap.runs import Study

RETEST, ALARMS = "test-retest", "false-rejections"

PANELS = {"ssim": "SSIM", "spearman": "rank correlation"}


@show.shows(RETEST)
def retest_plate(study: Study) -> Plate:
    """Similarity of two maps of the same network, beside that with randomised ones."""
    table = study.table(RETEST)
    numbers = show.with_intervals(table, ("method", "step", "stage"), PANELS)
    numbers = numbers.rename(columns={"method": "row"})
    last = numbers["step"].max()
    numbers["series"] = [
        "the same network" if step == 0 else "all stages" if step == last else f"down to {stage}"
        for step, stage in zip(numbers["step"], numbers["stage"], strict=True)
    ]
    return show.dots(
        numbers,
        caption="Similarity of a first map of the trained network to a second one of the same "
        "network, with new draws of sampling methods, and to maps of randomised networks. "
        f"{show.about(study, RETEST, 'Bars')}",
        xlabels={words: f"{words} with the first map" for words in PANELS.values()},
        legend="second map",
    )


@show.shows(RETEST)
def effect_table(study: Study) -> Styler:
    """The binary test of every method: is there an effect of randomisation?"""
    tests = effects(study.table(RETEST))
    keys = [str(index) for index in tests.index]
    adjusted = holm(dict(zip(keys, tests["p"], strict=True)))
    tests["p"] = [adjusted[key] for key in keys]
    tests["effect"] = ["yes" if p < LEVEL else "not shown" for p in tests["p"]]
    shown = tests[["method", "step", "retest", "randomized", "n", "p", "effect"]]
    return show.display_table(
        shown.rename(columns={"randomized": "after randomisation", "p": "p (Holm)"}),
        "SSIM of a second map of the same network (retest) and of the randomised one (step: how "
        f"many stages are random), and the one-sided permutation test over images "
        f"({RESAMPLES} exchanges, or all). {show.about(study, RETEST)}.",
    )


@show.shows(ALARMS)
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
            }
            | show.bounds(rate, "rate")
        )
    return show.display_table(
        rows,
        f"Rejections at the nominal level of {LEVEL:.0%}, 95 % Wilson intervals. "
        f"{show.about(study, ALARMS)}.",
    )
