"""What the set-up of Binder et al. (2022, App. A.1) says, and what it leaves open."""

import pandas as pd
from pandas.io.formats.style import Styler

from sanitygap.pages.statements import side_by_side
from sanitygap.runs import Study
from sanitygap.show import about, display_table, distinct, with_intervals


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
    means["way"] = means["weights"] + ", normalisation " + means["norms"]
    means["ssim"] = [
        f"{row.mean:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in means.itertuples()
    ]
    return display_table(
        side_by_side(means, "method", "way", "ssim"),
        f"Mean SSIM over {rows['stage'].nunique()} steps of top-down randomisation, 95 % bootstrap "
        f"intervals over images. {about(study, 'initializations')}.",
    )


def configuration(study: Study) -> Styler:
    """What the paper leaves open about its set-up, as measured in this run."""
    rows = study.table("configurations")
    first = rows.iloc[0]
    open_fields = {
        "fan": "fan",
        "biases, largest magnitude": "biases",
        "normalisation, scale and shift": "norm_affine",
        "normalisation, running statistics": "norm_statistics",
    }
    weights, images = first["weights_sha256"][:12], first["images_sha256"][:12]
    fields = [
        ("trained weights", "published, without a version", f"SHA-256 {weights}"),
        ("images", "the first 1000 of ImageNet's validation set",
         f"{first['n_images']}, SHA-256 {images}"),
        ("distribution", "He et al. (2015)", _all(rows["distribution"])),
        *((field, "not stated", _all(rows[column])) for field, column in open_fields.items()),
    ]  # fmt: skip
    return display_table(
        pd.DataFrame(fields, columns=["field", "paper", "this run"]),
        "The set-up by the paper's App. A.1 and in this run, measured on the redrawn weights; "
        f"several entries are the ways that are compared. {about(study, 'configurations')}.",
    )


def _all(values: pd.Series) -> str:
    return " / ".join(distinct(f"{v:g}" if isinstance(v, float) else str(v) for v in values))
