"""Pages about hooks: methods with and without the activations that captum guides."""

from pandas.io.formats.style import Styler

from sanitygap.figures.methods import label
from sanitygap.runs import Study
from sanitygap.show import about, display_table, model_of


def hook_table(study: Study) -> Styler:
    """What captum can hook in the paper's networks, and what that leaves of the method."""
    counts = study.table("ipr-architectures")[["network", "relu_calls", "relu_modules"]]
    silent = study.table("silent-hooks").set_index("network")["difference"]
    words = {
        "relu_calls": "ReLU or ReLU6 called",
        "relu_modules": "modules captum can hook",
        "difference": "captum's guided backpropagation minus gradient, relative",
    }
    return display_table(
        counts.assign(difference=counts["network"].map(silent)).rename(columns=words),
        "torchvision's networks with random weights, on which the answer does not depend. 0: the "
        "two maps are equal to the last bit.",
    )


def agreement_table(study: Study) -> Styler:
    """Versions of methods beside each other: ours, captum's, and what they are confused with."""
    pairs = study.table("captum-agreement").groupby(["network", "method", "other"], sort=False)
    rows = [
        {
            "network": model_of(study) if network == "run" else network,
            "map": _named(str(first)),
            "beside": _named(str(second)),
            "relative difference": float(part["relative"].max()),
            "correlation": float(part["correlation"].mean()),
            "completeness error": float(part["completeness"].abs().max()),
            "refused": next((why for why in part["refused"] if why), ""),
        }
        for (network, first, second), part in pairs
    ]
    return display_table(
        rows,
        "Largest relative difference and mean correlation of two versions over images; for "
        "DeepLIFT how far the first one's sum is from the change of the logit. "
        f"{about(study, 'captum-agreement')}.",
    )


def _named(method: str) -> str:
    own = method.removeprefix("captum ")
    return label(own) if own == method else f"{label(own)}, captum"


def path_table(study: Study) -> Styler:
    """DeepLIFT and gradient x input beside integrated gradients, with and without biases."""
    groups = study.table("deeplift-path").groupby(["biases", "method"], sort=False)
    rows = [
        {
            "networks": "with biases" if biases else "without biases",
            "method": method,
            "mean correlation": float(part["correlation"].mean()),
            "lowest correlation": float(part["correlation"].min()),
            "largest relative difference": float(part["relative"].max()),
            "count": len(part),
        }
        for (biases, method), part in groups
    ]
    return display_table(
        rows,
        "Maps beside integrated gradients (400 points, zero baseline) in small random networks "
        "with two convolutions and ReLU, double precision.",
    )
