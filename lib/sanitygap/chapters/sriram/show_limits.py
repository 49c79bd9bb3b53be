"""Pages about what the tests can and cannot tell."""

import numpy as np
from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.chapters.sriram.judge import retest_sensitivity
from sanitygap.chapters.sriram.judge_limits import by_reference
from sanitygap.chapters.sriram.plots import change_lines
from sanitygap.chapters.sriram.scores import THRESHOLD, criteria, layer_table
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.runs import Study
from sanitygap.words import plural

CHANGES = "small-changes"


@show.shows(CHANGES)
def small_change_plate(study: Study) -> Plate:
    """S as weights or image are moved a little: what vanishes, and what does not."""
    table = study.table(CHANGES)
    numbers = show.with_intervals(table, ("moved", "method", "share"), "sensitivity")
    return change_lines(
        numbers,
        "S as the weights of one layer are moved a share of the way to redrawn ones (mean over "
        f"{table.loc[table['stage'] != '', 'stage'].nunique()} layers), and as Gaussian noise of "
        "that share of the image's norm is added to the image. Dotted: the threshold of 0.01. "
        f"{show.about(study, CHANGES)}. Bands: 95 % bootstrap intervals over images; S below 1e-7 "
        "is drawn at 1e-7.",
        THRESHOLD,
    )


@show.shows("threshold-sweep")
def threshold_table(study: Study) -> Styler:
    """How much noise on a map counts as a change, by kind of map and scaling."""
    table = study.table("threshold-sweep")
    wide = table.pivot(index=["map", "scaling"], columns="noise", values="sensitivity")
    wide.columns = [
        "a second map" if np.isinf(level) else f"noise {level:g}" for level in wide.columns
    ]
    return show.display_table(
        wide.reset_index(),
        "Mean S between a map in [0, 1] and the same map with Gaussian noise of a standard "
        f"deviation, or an unrelated map of its kind; {int(table['pairs'].iloc[0])} simulated "
        "pairs of 96 x 96 pixels.",
    )


@show.shows("ipr-references")
def choice_table(study: Study) -> Styler:
    """S^I under other references of integrated gradients and DeepLIFT, and surrogates of LIME."""
    table = study.table("ipr-references")
    rows = []
    for method in show.distinct(table["method"]):
        scores = by_reference(table, method)
        rows += [
            {"method": method, "reference or surrogate": choice}
            | show.bounds(show.shown_mean(scores[choice]), "$S^I$")
            | {"$S^I$": float(scores[choice].mean()), "images": len(scores)}
            for choice in scores
        ]
    return show.display_table(
        rows,
        f"$S^I$ over {plural(table['stage'].nunique(), 'layer')}. 95 % bootstrap intervals over "
        f"images. {show.about(study, 'ipr-references')}.",
    )


@show.shows("ipr-test", "ipr-retest", CHANGES)
def what_tests_tell(study: Study) -> Styler:
    """Explainers that are known inside out, and what each test says of them."""
    table = study.table("ipr-test")
    again = retest_sensitivity(study.table("ipr-retest"))
    changes = study.table(CHANGES)
    smallest = changes.loc[changes["moved"] == "weights", "share"].min()
    near = changes[(changes["share"] == smallest) & (changes["moved"] == "weights")]
    robust = near.groupby("method")["sensitivity"].mean()
    truths = {
        "noise": "nothing: it is drawn anew",
        "noise-fixed": "nothing: it is noise, the same for an image",
        "edges": "the image, not the network",
        "centre": "neither image nor network",
        "gradient": "the network's slope at the image",
        "guided-backprop": "positive paths through the network",
        "lime": "the network's answers to masked images",
    }
    rows = []
    for name, truth in truths.items():
        if name not in set(table["method"]):
            continue
        whole = layer_table(table, name).dropna()
        scores = criteria(whole) if len(whole) else {"S": np.nan, "meets": np.nan}
        rows.append(
            {
                "explainer": label(name),
                "what it depends on": truth,
                "$S^I$": scores["S"],
                "passes $S^I$ ≥ 0.01": "yes" if scores["S"] >= THRESHOLD else "no",
                "images that meet Definition 2": scores["meets"],
                "S, same network asked twice": again.get(name, np.nan),
                f"S, weights moved by {smallest:g}": float(robust.get(name, np.nan)),
            }
        )
    return show.display_table(
        rows,
        f"What the tests say of explainers. {show.about(study, 'ipr-test')}; second map: "
        f"{show.about(study, 'ipr-retest')}; moved weights: {show.about(study, CHANGES)}.",
    )


@show.shows("gated-layer")
def gated_table(study: Study) -> Styler:
    """A layer that does not matter, redrawn: a correct explanation has to stay."""
    table = study.table("gated-layer")
    rows = [
        {
            "gate": gate,
            "method": method,
            "lowest SSIM": float(part["ssim"].min()),
            "largest change of a logit": float(part["logits"].max()),
            "error of the explanation": float(part["error"].max()),
        }
        for (gate, method), part in table.groupby(["gate", "method"], sort=False)
    ]
    return show.display_table(
        rows,
        f"{table['network'].nunique()} small networks, linear in the pixels but for a branch with "
        "a gate. The layer in the branch is redrawn. With the gate at 0 the true contributions of "
        "the pixels are known.",
    )
