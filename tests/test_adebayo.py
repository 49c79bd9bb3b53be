"""The tables and criteria of the pages on Adebayo et al. (2018)."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from sanitygap.chapters.adebayo.measure_definitions import TOPICS
from sanitygap.chapters.randomization.judge import calibrated, printed
from sanitygap.chapters.randomization.measure_calibration import simulated_nulls
from sanitygap.randomization import RandomTwin, Redraw
from sanitygap.table import Context
from tests import synthetic
from tests.synthetic import verdict
from tests.tables import measure, tiny_context


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SANITYGAP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def tiny(folder) -> Context:
    return tiny_context(folder)


def test_rank_correlations_against_scipy(tiny):
    table = measure("parameter-test", tiny, methods=("gradient",), n_steps=1, max_images=2)
    batch = tiny.batch((0, 1))
    model = tiny.model

    def absolute() -> np.ndarray:
        leaf = batch.inputs.clone().requires_grad_()
        chosen = model.module(leaf).gather(1, batch.targets[:, None]).sum()
        summed = torch.autograd.grad(chosen, leaf)[0].abs().sum(1).flatten(1).numpy()
        return np.minimum(summed, np.percentile(summed, 99, axis=1, keepdims=True))

    before = absolute()
    with RandomTwin(model, 0, Redraw("truncated-normal")).redrawn(model.stages):
        after = absolute()
    expected = [spearmanr(a, b).statistic for a, b in zip(before, after, strict=True)]
    rows = table[
        (table["method"] == "gradient") & (table["maps"] == "absolute")
        & (table["weights"] == "truncated-normal") & (table["order"] == "top-down")
        & (table["explained"] == "original")
    ]  # fmt: skip
    np.testing.assert_allclose(rows["spearman"], expected, atol=1e-4)


def test_correlation_length_and_nulls_of_filtered_noise():
    """A Gaussian filter of s pixels gives exp(-d^2 / (4 s^2)), which is 1/e at d = 2 s."""
    table = pd.DataFrame(simulated_nulls(0, [0.0, 3.0], 48, 300))
    assert table["length"].tolist() == pytest.approx([1.0, 6.0], rel=0.1)
    plain, smooth = table["deviation"] / table["independent"]
    assert plain == pytest.approx(1, abs=0.15)
    # sum of squared autocorrelations of the wide limit: 2 pi s^2
    assert smooth == pytest.approx((2 * np.pi) ** 0.5 * 3, rel=0.25)


@pytest.fixture(scope="module")
def measured(tiny) -> pd.DataFrame:
    quick = [topic for topic in TOPICS if topic != "integrated gradients"]  # it trains a network
    return measure("method-definitions", tiny, networks=("resnet18",), repeats=400, topics=quick)


#: claim -> its verdict on what is measured, and quantities with a value that refutes it
DEFINITIONS = {
    "adebayo-def": ("caveat", {"same height and width": 0.0}),
    "adebayo-a1-grad": ("holds", {"relative error": 1e-4}),
    "adebayo-a2-gxi": ("holds", {"relative difference without biases": 1e-3,
                                 "relative difference with biases": 0.01}),
    "adebayo-a3-gbp": ("not-run", {}),  # the table lacks two networks
    "adebayo-a4-gradcam": ("holds", {"relative difference": 1e-3}),
    "adebayo-a6-sg": ("holds", {"average": 0.5, "slope of log deviation on log N": -0.3}),
    "adebayo-a7-vg": (None, {"variance": 0.5}),
    "adebayo-metrics": ("holds", {"flipped sign": 0.9}),
}  # fmt: skip


@pytest.mark.parametrize("claim", DEFINITIONS)
def test_definitions_are_judged_from_what_is_measured(measured, claim):
    expected, wrong = DEFINITIONS[claim]
    assert expected in (None, verdict(claim, {"method-definitions": measured}).value)
    for quantity, value in wrong.items():
        changed = measured.copy()
        here = (changed["claim"] == claim) & (changed["quantity"] == quantity)
        assert here.any()
        changed.loc[here, "value"] = value
        assert verdict(claim, {"method-definitions": changed}).value == "false"


# ---- made-up tables


def definitions(claim: str, values: dict[tuple[str, str], float]) -> dict[str, pd.DataFrame]:
    rows = [
        {"claim": claim, "quantity": quantity, "subject": subject, "value": value}
        for (quantity, subject), value in values.items()
    ]
    return {"method-definitions": pd.DataFrame(rows)}


def guided(missed: float = 0) -> dict[str, pd.DataFrame]:
    """Differences to captum's guided backpropagation, and how many ReLUs were guided."""
    rows = {("difference to the formula", "CNN"): 0.0}
    for name in ("vgg16", "resnet18", "resnet50"):
        rows |= {
            ("difference to captum", name): 0.0, ("ReLUs called", name): 9.0,
            ("ReLUs guided", name): 9.0 - missed, ("largest value", name): 1.0,
            ("captum's difference to the gradient", name): 1.0,
        }  # fmt: skip
    return definitions("adebayo-a3-gbp", rows)


def path(trained: float, random: float, literal: float) -> dict[str, pd.DataFrame]:
    """Errors of integrated gradients, and the literal derivative."""
    rows = {
        ("relative error", "300 steps"): trained,
        ("relative error, random weights", "300 steps"): random,
        ("literal derivative over S(x) - S(0)", "linear S"): literal,
    }
    return definitions("adebayo-a5-ig", rows)


def trained(
    accuracy: float = 0.99, learnt: float = 0.97, test: float = 0.1, data: str = "mnist",
    again: float = 0.5, random: float = 0.2,
) -> dict[str, pd.DataFrame]:  # fmt: skip
    """Trained networks, and similarities of maps after training again and on random labels."""
    rows = [
        {"data": data, "seed": 0, "shrink": 1, "epochs": 3, "parameters": 1, "network": name,
         "train_images": 60000, "test_images": 10000, "purpose": purpose, "labels": labels,
         "train_right": int(60000 * right), "test_right": int(10000 * shown)}
        for name in ("MLP", "CNN")
        for purpose, labels, right, shown in (
            ("accuracy", "true", 0.999, accuracy), ("labels", "random", learnt, test),
        )
    ]  # fmt: skip
    methods = ("gradient", "gradient-x-input", "integrated-gradients", "smoothgrad",
               "guided-backprop")  # fmt: skip
    similar = synthetic.table(
        {"true labels again": again, "random labels": random}, "compared", ("ssim", "spearman"), 20,
        data="mnist", network=("MLP", "CNN"), seed=0, method=methods,
        maps=("absolute", "diverging"), same_class=True,
    )  # fmt: skip
    return {"trained-networks": pd.DataFrame(rows), "data-randomization": similar}


def similarities(
    name: str, levels: dict[str, float], key: str = "method", **axes: object
) -> dict[str, pd.DataFrame]:
    """One table of similarities on twenty images."""
    columns = ("ssim", "spearman")
    return {name: synthetic.table(levels, key, columns, 20, 0.005, maps="absolute", seed=0, **axes)}


def surrogate(guided: float, gradient: float) -> dict[str, pd.DataFrame]:
    levels = {"guided-backprop": guided, "gradient": gradient}
    return similarities("regression-surrogate", levels, compared="random network")


def edges(guided: float, gradient: float) -> dict[str, pd.DataFrame]:
    levels = {"gradient": gradient, "guided-backprop": guided, "guided-grad-cam": guided}
    return similarities("edge-input", levels, second="map of the edges", edges=0.2)


def random_gradients(absolute: float, signed: float) -> dict[str, pd.DataFrame]:
    made = synthetic.table(
        {"absolute": absolute, "diverging": signed}, "maps", "spearman", 20, 0.005, first="x",
        second="another random gradient", seed=0, overlap=0.3, edges=0.1, hog_pearson=0.5,
    )  # fmt: skip
    return {"random-gradient": made}


def calibration(shift: float) -> dict[str, pd.DataFrame]:
    """A simulation whose means are the printed values but for a shift in standard deviations."""
    unit = np.tile([-1.0, 1.0], 50)
    rows = []
    for (first, second), part in printed().groupby(["first", "second"]):
        values = {
            row["column"]: row["value"] + 0.01 * (unit + shift) for row in part.to_dict("records")
        }
        rows.append(pd.DataFrame(values | {"first": first, "second": second, "side": 299}))
    return {"metric-calibration": pd.concat(rows, ignore_index=True)}


def nulls(ratio: float) -> dict[str, pd.DataFrame]:
    rows = [
        {"source": "simulated", "smoothing": s, "image": "", "pixels": 4096, "length": length,
         "pairs": 1000, "mean": 0.0, "independent": 4095**-0.5,
         "deviation": (ratio if s else 1.0) * length / 64}
        for s, length in ((0.0, 1.0), (2.0, 4.0))
    ]  # fmt: skip
    return {"smooth-nulls": pd.DataFrame(rows)}


LEVELS = {
    ("gradient", "absolute"): 0.2, ("gradient", "diverging"): 0.0,
    ("gradient-x-input", "absolute"): 0.8, ("gradient-x-input", "diverging"): 0.0,
    ("integrated-gradients", "absolute"): 0.8, ("integrated-gradients", "diverging"): 0.0,
    ("guided-backprop", "absolute"): 0.6, ("guided-backprop", "diverging"): 0.4,
    ("grad-cam", "absolute"): 0.3, ("grad-cam", "diverging"): 0.3,
    ("deeplift", "absolute"): 0.8, ("deeplift", "diverging"): 0.0,
    ("lrp-epsilon", "absolute"): 0.8, ("lrp-epsilon", "diverging"): 0.0,
    ("perturbation-mask", "absolute"): 0.2, ("perturbation-mask", "diverging"): 0.2,
}  # fmt: skip


def grey(wrong: dict[tuple[str, str], float] | None = None, other: float = 0.0):
    """A parameter test in which each method and scaling has one level, whatever is random.

    Args:
        wrong: levels unlike the paper's.
        other: how much higher the levels are where weights are drawn in another way.
    """
    choices = [
        ("top-down", "truncated-normal"), ("top-down", "uniform"),
        ("independent", "truncated-normal"),
    ]  # fmt: skip
    means = {
        (method, maps, order, weights, step): level
        + (other if weights == "uniform" else 0)
        + (0.1 * (2 - step) if order == "independent" and method == "gradient" else 0)
        for (method, maps), level in (LEVELS | (wrong or {})).items()
        for order, weights in choices
        for step in range(1, 5)
    }
    made = synthetic.table(
        means, ("method", "maps", "order", "weights", "step"), "spearman", 8, 0.01, data="mnist",
        network=("MLP", "CNN"), explained="original", steps=4, seed=tuple(range(5)),
    )  # fmt: skip
    made["stage"] = "layer" + (5 - made["step"]).astype(str)
    own = made[made["network"] == "CNN"].drop(columns=["data", "network"])
    house = own[own["weights"] == "truncated-normal"].rename(columns={"maps": "sign"})
    house = house.replace({"sign": {"diverging": "signed"}})
    return {"parameter-test-grey": made, "parameter-test": own, "randomization": house}


CASES = [
    ("adebayo-a3-gbp", "holds", guided, 0),
    ("adebayo-a3-gbp", "false", guided, 1),
    ("adebayo-a5-ig", "slip", path, 1e-4, 1e-4, 0.5),
    ("adebayo-a5-ig", "holds", path, 1e-4, 1e-4, 1.0),
    ("adebayo-a5-ig", "caveat", path, 1e-4, 0.01, 0.5),
    ("adebayo-a5-ig", "caveat", path, 0.01, 1e-4, 1.0),
    ("adebayo-a5-ig", "false", path, 0.01, 0.01, 0.5),
    ("adebayo-cnn", "direction", trained, 0.991),
    ("adebayo-cnn", "not-reproduced", trained, 0.985),
    ("adebayo-cnn", "undecided", trained, 0.985, 0.98, 0.1, "digits"),
    ("adebayo-mlp", "direction", trained, 0.985),
    ("adebayo-mlp", "not-reproduced", trained, 0.96),
    ("adebayo-randlabels", "direction", trained, 0.99),
    ("adebayo-randlabels", "not-reproduced", trained, 0.99, 0.9),
    ("adebayo-randlabels", "not-reproduced", trained, 0.99, 0.97, 0.2),
    ("adebayo-randlabels", "not-reproduced", trained, 0.99, 0.97, 0.1, "mnist", 0.2, 0.5),
    *((claim, *case) for claim in ("adebayo-bone", "adebayo-fig7") for case in (
        ("direction", surrogate, 0.8, 0.2),
        ("not-reproduced", surrogate, 0.4, 0.2),
        ("not-reproduced", surrogate, 0.8, 0.9),
    )),
    ("adebayo-param-cascade", "direction", grey),
    ("adebayo-param-cascade", "not-reproduced", grey, {("guided-backprop", "absolute"): 0.1}),
    ("adebayo-param-cascade", "not-reproduced", grey, {("integrated-gradients", "absolute"): -0.1}),
    ("adebayo-independent", "direction", grey),
    ("adebayo-independent", "not-reproduced", grey, {("grad-cam", "diverging"): 0.95}),
    ("adebayo-independent", "not-reproduced", grey, {("guided-backprop", "absolute"): -0.1}),
    ("adebayo-fig12", "direction", grey),
    ("adebayo-fig12", "not-reproduced", grey, {("gradient-x-input", "diverging"): 0.9}),
    ("adebayo-fig28", "direction", grey),
    ("adebayo-fig28", "not-reproduced", grey, {("deeplift", "absolute"): -0.1}),
    ("adebayo-fig28", "not-reproduced", grey, {("perturbation-mask", "diverging"): 0.6}),
    ("adebayo-paramtest-init", "direction", grey),
    ("adebayo-paramtest-init", "not-reproduced", grey, {}, 0.2),
    ("adebayo-fig10", "direction", random_gradients, 0.5, 0.0),
    ("adebayo-fig10", "not-reproduced", random_gradients, 0.2, 0.0),
    ("adebayo-fig10", "not-reproduced", random_gradients, 0.5, 0.1),
    ("adebayo-fig27", "direction", edges, 0.6, 0.2),
    ("adebayo-fig27", "not-reproduced", edges, 0.2, 0.6),
    ("adebayo-calibration", "direction", calibration, 0.1),
    ("adebayo-calibration", "not-reproduced", calibration, 1.0),
    ("adebayo-calibration-meaning", "caveat", nulls, 1.2),
    ("adebayo-calibration-meaning", "false", nulls, 0.3),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[1]}")
def test_verdicts_follow_the_tables(case):
    claim, value, tables, *arguments = case
    assert verdict(claim, tables(*arguments)).value == value


def test_deviations_of_the_calibration_are_in_units_of_the_simulation():
    found = calibrated(calibration(1.0)["metric-calibration"])
    assert found["deviations"].max() == pytest.approx(1, rel=0.02)
    assert found["errors"].min() == pytest.approx(50**0.5, rel=0.02)


def test_inception_is_not_run_on_another_model():
    counts = pd.DataFrame([{"network": "inception_v3", "stated": 17, "counted": 17}])
    own = ("torchvision:inception_v3@weights", "imagenet-val:x", 50_000)

    def judged(right: int, *setting: object):
        known = pd.DataFrame(
            {"image": range(1000), "top_5": [1.0] * right + [0.0] * (1000 - right)}
        )
        return verdict("adebayo-inception", {"step-counts": counts, "top-5": known}, *setting)

    elsewhere = judged(500)
    assert elsewhere.value == "not-run"
    assert "17 blocks" in elsewhere.reason
    assert judged(939, *own).value == "reproduced"
    assert judged(900, *own).value == "not-reproduced"
