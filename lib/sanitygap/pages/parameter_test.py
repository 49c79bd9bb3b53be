"""Pages about the parameter randomisation test of Adebayo et al. (2018)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from sanitygap.attribution import Sampling, attribute
from sanitygap.criteria.adebayo_networks import CNN_ACCURACY, MLP_ACCURACY
from sanitygap.criteria.adebayo_randomization import TOP_DOWN, last, one_test
from sanitygap.criteria.irrelevance import rows_of
from sanitygap.experiments.grey_networks import Plan, grey_images, grey_network
from sanitygap.figures import Plate, theme
from sanitygap.figures.dots import interval_dots
from sanitygap.figures.maps import stage_grid
from sanitygap.figures.methods import label
from sanitygap.figures.tests_of_maps import curves
from sanitygap.inference import proportion_interval
from sanitygap.pages.noise import holding, nothing_recorded
from sanitygap.pages.shared import about, display_table, with_intervals
from sanitygap.randomization import RandomTwin, Redraw, steps
from sanitygap.runs import Study
from sanitygap.similarity import Reference
from sanitygap.words import plural

#: test accuracy that the appendix states for MNIST, in percent
STATED = {"CNN": CNN_ACCURACY, "MLP": MLP_ACCURACY}

#: profile -> by what the widths of the network in pictures are divided, and its epochs
PICTURED = {"smoke": (8, 4), "quick": (4, 6), "full": (4, 6)}

PICTURED_METHODS = (
    "gradient",
    "gradient-x-input",
    "guided-backprop",
    "grad-cam",
    "integrated-gradients",
    "lrp-epsilon",
)

ORDERS = {
    "top-down": "top-down (cascading)",
    "bottom-up": "bottom-up (reverse)",
    "independent": "independent",
}

SCALES = {"absolute": "absolute maps", "diverging": "signed maps"}


def choice_label(order: str, weights: str, explained: str) -> str:
    """A choice in words, without what is as in the first one."""
    words = [weights.replace("-", " ")]
    if order != "top-down":
        words.append(ORDERS[order])
    if explained == "random":
        words.append("class of the random network")
    return ", ".join(words)


def pictured_network(study: Study, labels: str = "true", seed: int = 0) -> Plan:
    """The plan of the small CNN that pictures are about: trained on the embedded digits."""
    shrink, epochs = PICTURED[study.settings.profile]
    few = 400 if study.settings.profile == "smoke" else None
    count = 40 if labels == "random" else few
    return Plan("digits", "CNN", "true" if labels == "true" else "random", seed,
                epochs if labels == "true" else 200, count, shrink)  # fmt: skip


def network_table(study: Study, purpose: str = "accuracy") -> Styler | Markdown:
    """The networks of the appendix with their accuracy, beside what the appendix states.

    Args:
        study: the run.
        purpose: ``accuracy``, or ``labels`` for those that are compared by their labels.
    """
    if not holding(study, "trained-networks"):
        return nothing_recorded("trained-networks")
    rows = []
    for row in rows_of(study.table("trained-networks"), purpose=purpose).to_dict("records"):
        test = proportion_interval(int(row["test_right"]), int(row["test_images"]))
        stated = STATED[str(row["network"])]
        shown = {
            "network": row["network"],
            "data": row["data"],
            "labels": row["labels"],
            "width": "as stated" if row["shrink"] == 1 else f"1/{row['shrink']}",
            "training images": row["train_images"],
            "epochs": row["epochs"],
            "training accuracy": f"{row['train_right'] / row['train_images']:.1%}",
            "test accuracy": f"{test.estimate:.1%} [{test.low:.1%}, {test.high:.1%}]",
        }
        if purpose == "accuracy":
            shown["stated for MNIST"] = f"{stated} %"
        rows.append(shown)
    return display_table(
        pd.DataFrame(rows),
        f"Networks of Appendix B, trained with Adam; {about(study, 'trained-networks')}. Brackets: "
        "95 % Wilson intervals over test images.",
    )


def digit_stages(study: Study) -> Plate:
    """Maps of one digit as the small CNN is redrawn from the top."""
    theme()
    trained = grey_network(study.context, pictured_network(study))
    images = grey_images(study.context, "digits").test[:1]
    model = trained.model
    inputs = model.prepare([images.open(0)])
    targets, seed = model.predict(inputs), study.settings.seed
    sampling = Sampling(10, 10)

    def maps() -> Mapping[str, torch.Tensor]:
        return attribute(model, inputs, targets, PICTURED_METHODS, images.keys, sampling)

    twin = RandomTwin(model, seed, Redraw("truncated-normal"))
    found = {"trained": maps()}
    for step in steps(model.stages, "top-down"):
        with twin.redrawn(step.stages):
            found[step.name] = maps()
    rows = []
    for method in PICTURED_METHODS:
        reference = Reference(found["trained"][method])
        for step_name in list(found)[1:]:
            score = float(reference.compare(found[step_name][method])["ssim"])
            if np.isfinite(score):  # a Grad-CAM map may be zero everywhere
                rows.append({"method": method, "step": step_name, "ssim": score})
    return stage_grid(
        np.asarray(images.open(0).resize((28, 28))),
        {m: {step: values[m][0].cpu() for step, values in found.items()} for m in PICTURED_METHODS},
        "Signed maps of one digit as a small CNN, trained on the embedded digits, is redrawn from "
        "the logits downwards with a truncated normal (standard deviation 0.01). Under each map "
        "its SSIM with the trained network's, unless one of both is zero everywhere. Test accuracy "
        f"{trained.test_right} of {trained.test_images}. One image, one seed ({seed}): a picture, "
        "not a measurement.",
        pd.DataFrame(rows),
    )


def cascade_plate(study: Study, network: str = "CNN") -> Plate | Markdown:
    """Rank correlation over the cascade, absolute and signed (Fig. 12).

    Args:
        study: the run.
        network: ``CNN`` or ``MLP``.
    """
    theme()
    name = "parameter-test-grey"
    if not holding(study, name):
        return nothing_recorded(name)
    table = one_test(study.table(name), network=network, **TOP_DOWN)
    frames = [
        with_intervals(
            rows_of(table, maps=maps).dropna(subset=["spearman"]),
            ("method", "step", "stage"),
            "spearman",
        ).assign(panel=f"{network}, {words}")
        for maps, words in SCALES.items()
    ]
    numbers = pd.concat(frames, ignore_index=True)
    return curves(
        numbers,
        "step",
        xlabel="random layers, from the logits downwards",
        ylabel="Spearman correlation\n(down: the map changes)",
        ticks=dict(zip(numbers["step"].astype(float), numbers["stage"], strict=True)),
        caption="Rank correlation of maps before and after cascading randomisation with a truncated"
        f" normal, trained on {table['data'].iloc[0]}. {table['image'].nunique()} test images, "
        f"{plural(table['seed'].nunique(), 'redraw')}, averaged first. {about(study, name)}. "
        "Bands: 95 % bootstrap intervals over images.",
    )


def choice_plate(study: Study, table: str = "parameter-test") -> Plate | Markdown:
    """Each choice that the test leaves open, with the whole network random.

    Args:
        study: the run.
        table: ``parameter-test``, on the run's model, or ``parameter-test-grey``, on the CNN.
    """
    theme()
    if not holding(study, table):
        return nothing_recorded(table)
    rows = study.table(table)
    if "network" in rows:
        rows = one_test(rows_of(rows, network="CNN"))
    ends = last(rows[rows["order"] != "independent"])
    if ends.empty:
        ends = rows[rows["order"] != "independent"]
    numbers = []
    for maps, words in SCALES.items():
        part = with_intervals(
            rows_of(ends, maps=maps).dropna(subset=["spearman"]),
            ("method", "order", "weights", "explained"),
            "spearman",
        )
        numbers.append(part.assign(panel=words))
    joined = pd.concat(numbers, ignore_index=True)
    joined["series"] = [
        choice_label(row["order"], row["weights"], row["explained"])
        for row in joined.to_dict("records")
    ]
    zero = int(ends["spearman"].isna().sum())
    return interval_dots(
        joined.rename(columns={"method": "row"}),
        caption="Rank correlation with the whole network random, for each choice. "
        f"{zero} of {len(ends)} comparisons have no value, because a map is zero everywhere. "
        f"{about(study, table)}. Bars: 95 % bootstrap intervals over images.",
        xlabels=dict.fromkeys(SCALES.values(), "Spearman correlation\n(left: the map changes)"),
        lines=dict.fromkeys(SCALES.values(), 0.0),
        legend="choice",
    )


def independent_table(study: Study) -> Styler | Markdown:
    """One layer random at a time: rank correlation of each method, from the output to the input."""
    name = "parameter-test-grey"
    if not holding(study, name):
        return nothing_recorded(name)
    rows = one_test(rows_of(study.table(name), network="CNN", order="independent"))
    wide = rows.groupby(["method", "maps", "step", "stage"], sort=False)["spearman"].mean()
    shown = wide.reset_index().pivot_table(
        index=["method", "maps"], columns=["step", "stage"], values="spearman", sort=False
    )
    shown.columns = shown.columns.get_level_values("stage")
    shown = shown.reset_index()
    shown["method"] = [label(method) for method in shown["method"]]
    shown["maps"] = shown["maps"].map(SCALES)
    return display_table(
        shown,
        "Mean Spearman correlation with one layer of the CNN random, from the output to the input. "
        f"{about(study, name)}.",
    )


def metric_agreement(study: Study) -> Styler | Markdown:
    """The five similarities beside each other, with the whole network random."""
    name = "parameter-test"
    if not holding(study, name):
        return nothing_recorded(name)
    rows = rows_of(study.table(name), **TOP_DOWN)
    rows = rows[rows["step"] == rows["step"].max()]
    scores = ["ssim", "ssim_gaussian", "spearman", "hog_pearson", "hog_spearman"]
    means = rows.groupby(["method", "maps"], sort=False)[scores].mean().reset_index()
    means["method"] = [label(method) for method in means["method"]]
    means["maps"] = means["maps"].map(SCALES)
    return display_table(
        means,
        "Means of the similarities at the deepest step, truncated normal. ssim and hog_pearson are "
        "those of the appendix, ssim_gaussian and hog_spearman those of the authors' code. "
        f"{about(study, name)}.",
    )
