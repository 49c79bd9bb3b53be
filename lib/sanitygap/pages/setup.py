"""What the set-up of Binder et al. (2022, App. A.1) says, and what it leaves open."""

import pandas as pd
from pandas.io.formats.style import Styler

from sanitygap.figures.tests_of_maps import label
from sanitygap.pages.shared import about, display_table, with_intervals
from sanitygap.runs import Study


def step_counts(study: Study) -> Styler:
    """Steps of the papers' networks: stated, and counted in torchvision's networks."""
    rows = study.table("step-counts")
    papers = {"binder-2022": "Binder et al.", "sriram-conati-2022": "Sriram & Conati"}
    shown = rows.assign(
        left_trained=100 * rows["left_trained"], paper=rows["paper"].replace(papers)
    ).rename(columns={"left_trained": "left trained, % of parameters"})
    return display_table(
        shown,
        "What a step of the papers goes by, how many there are by the paper and in torchvision's "
        "networks, how many randomised models that makes, and what none of them redraws.",
    )


def initializations(study: Study) -> Styler:
    """Mean SSIM of each method under each way to redraw that the paper's words allow."""
    rows = study.table("initializations")
    rows = rows[rows["sign"] == "signed"]
    means = with_intervals(rows, ("method", "weights", "norms"), "ssim")
    ways = means["weights"] + ", normalisation " + means["norms"]
    numbers = [f"{row.mean:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in means.itertuples()]
    shown = pd.DataFrame(
        {"method": [label(name) for name in means["method"]], "way": ways, "ssim": numbers}
    )
    wide = shown.pivot(index="method", columns="way", values="ssim")[list(dict.fromkeys(ways))]
    order = list(dict.fromkeys(shown["method"]))
    return display_table(
        wide.loc[order].reset_index().rename_axis(columns=None),
        f"Mean SSIM over {rows['stage'].nunique()} steps of top-down randomisation, 95 % bootstrap "
        f"intervals over images. {about(study, 'initializations')}.",
    )


def configuration(study: Study) -> Styler:
    """What the paper leaves open about its set-up, as measured in this run."""
    rows = study.table("configurations")
    first = rows.iloc[0]
    stated = {
        "trained weights": (
            "published, without a version",
            f"SHA-256 {first['weights_sha256'][:12]}",
        ),
        "images": (
            "the first 1000 of ImageNet's validation set",
            f"{first['n_images']}, SHA-256 {first['images_sha256'][:12]}",
        ),
        "distribution": ("He et al. (2015)", _all(rows, "distribution")),
        "fan": ("not stated", _all(rows, "fan")),
        "biases, largest magnitude": ("not stated", _all(rows, "biases")),
        "normalisation, scale and shift": ("not stated", _all(rows, "norm_affine")),
        "normalisation, running statistics": ("not stated", _all(rows, "norm_statistics")),
    }
    table = pd.DataFrame(
        [{"field": name, "paper": said, "this run": own} for name, (said, own) in stated.items()]
    )
    return display_table(
        table,
        "The set-up by the paper's App. A.1 and in this run, measured on the redrawn weights; "
        f"several entries are the ways that are compared. {about(study, 'configurations')}.",
    )


def _all(rows: pd.DataFrame, column: str) -> str:
    return " / ".join(
        dict.fromkeys(
            f"{value:g}" if isinstance(value, float) else str(value) for value in rows[column]
        )
    )
