"""The tables and criteria of the pages on Adebayo et al. (2018)."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from sanitygap.chapters.adebayo.measure_definitions import TOPICS
from sanitygap.chapters.randomization.judge import calibrated, printed
from sanitygap.chapters.randomization.measure_calibration import simulated_nulls
from sanitygap.claims import CriterionContext, find_claim, judge
from sanitygap.grey_networks import explainable, network
from sanitygap.images import load_images
from sanitygap.models import load_model
from sanitygap.randomization import RandomTwin, Redraw
from sanitygap.table import Context
from sanitygap.tables import TABLES
from tests import synthetic
from tests.models.tiny import TINY, photographs


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SANITYGAP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Context:
    folder = photographs(tmp_path_factory.mktemp("adebayo") / "folder")
    return Context(lambda: load_model(TINY), lambda: load_images(f"folder:{folder}"), 0)


def test_rank_correlations_against_scipy(tiny):
    parts = TABLES["parameter-test"].parts(tiny, methods=("gradient",), n_steps=1, max_images=2)
    table = pd.concat([part.compute() for part in parts], ignore_index=True)
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


def test_a_factor_on_all_weights_changes_no_rank():
    """Why the scale of an initialisation is no choice: redrawn biases are zero."""
    model = explainable("CNN", network("CNN", 0, 16), "test")
    inputs = torch.rand(2, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    slopes = []
    for weights in ("uniform", "he-uniform"):
        with RandomTwin(model, 0, Redraw(weights)).redrawn(model.stages):
            leaf = inputs.clone().requires_grad_()
            slopes.append(torch.autograd.grad(model.module(leaf)[:, 0].sum(), leaf)[0].flatten())
    assert spearmanr(*slopes).statistic > 1 - 1e-6


def test_correlation_length_and_nulls_of_filtered_noise():
    """A Gaussian filter of s pixels gives exp(-d^2 / (4 s^2)), which is 1/e at d = 2 s."""
    table = pd.DataFrame(simulated_nulls(0, [0.0, 3.0], 48, 300))
    assert table["length"].tolist() == pytest.approx([1.0, 6.0], rel=0.1)
    plain, smooth = table["deviation"] / table["independent"]
    assert plain == pytest.approx(1, abs=0.15)
    # sum of squared autocorrelations of the wide limit: 2 pi s^2
    assert smooth == pytest.approx((2 * np.pi) ** 0.5 * 3, rel=0.25)


def context_of(claim: str) -> CriterionContext:
    return CriterionContext.of(find_claim(claim), "efficientnet_lite0", "photos", 20)


def verdict(claim: str, **tables: pd.DataFrame) -> str:
    named = {name.replace("_", "-"): table for name, table in tables.items()}
    return judge(claim, named, context_of(claim)).value


def definitions(**values: dict[str, float]) -> pd.DataFrame:
    rows = [
        {"claim": claim, "quantity": quantity, "subject": subject, "value": value}
        for claim, found in values.items()
        for (quantity, subject), value in found.items()
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def measured(tiny) -> pd.DataFrame:
    quick = [topic for topic in TOPICS if topic != "integrated gradients"]  # it trains a network
    parameters = {"networks": ("resnet18",), "repeats": 400, "topics": quick}
    parts = TABLES["method-definitions"].parts(tiny, **parameters)
    return pd.concat([part.compute() for part in parts], ignore_index=True)


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ("adebayo-def", "caveat"),
        ("adebayo-a1-grad", "holds"),
        ("adebayo-a2-gxi", "holds"),
        ("adebayo-a3-gbp", "not-run"),  # the table lacks two networks
        ("adebayo-a4-gradcam", "holds"),
        ("adebayo-a6-sg", "holds"),
        ("adebayo-metrics", "holds"),
    ],
)
def test_definitions_are_judged_from_what_is_measured(measured, claim, expected):
    assert verdict(claim, method_definitions=measured) == expected


@pytest.mark.parametrize(
    ("claim", "quantity", "wrong", "expected"),
    [
        ("adebayo-def", "same height and width", 0.0, "false"),
        ("adebayo-a1-grad", "relative error", 1e-4, "false"),
        ("adebayo-a2-gxi", "relative difference without biases", 1e-3, "false"),
        ("adebayo-a2-gxi", "relative difference with biases", 0.01, "false"),
        ("adebayo-a4-gradcam", "relative difference", 1e-3, "false"),
        ("adebayo-a6-sg", "average", 0.5, "false"),
        ("adebayo-a6-sg", "slope of log deviation on log N", -0.3, "false"),
        ("adebayo-a7-vg", "variance", 0.5, "false"),
        ("adebayo-metrics", "flipped sign", 0.9, "false"),
    ],
)
def test_wrong_definitions_are_refused(measured, claim, quantity, wrong, expected):
    changed = measured.copy()
    here = (changed["claim"] == claim) & (changed["quantity"] == quantity)
    assert here.any()
    changed.loc[here, "value"] = wrong
    assert verdict(claim, method_definitions=changed) == expected


def test_guided_backpropagation_is_refused_where_calls_are_missed():
    names = ("vgg16", "resnet18", "resnet50")
    rows = {("difference to captum", name): 0.0 for name in names}
    rows |= {("ReLUs guided", name): 9.0 for name in names}
    rows |= {("ReLUs called", name): 9.0 for name in names}
    rows |= {("largest value", name): 1.0 for name in names}
    rows |= {("captum's difference to the gradient", name): 1.0 for name in names}
    rows |= {("difference to the formula", "CNN"): 0.0}
    table = definitions(**{"adebayo-a3-gbp": rows})
    assert verdict("adebayo-a3-gbp", method_definitions=table) == "holds"
    missed = definitions(**{"adebayo-a3-gbp": rows | {("ReLUs guided", "vgg16"): 8.0}})
    assert verdict("adebayo-a3-gbp", method_definitions=missed) == "false"


@pytest.mark.parametrize(
    ("trained", "random", "literal", "value"),
    [
        (1e-4, 1e-4, 0.5, "slip"),
        (1e-4, 1e-4, 1.0, "holds"),
        (1e-4, 0.01, 0.5, "caveat"),
        (0.01, 1e-4, 1.0, "caveat"),
        (0.01, 0.01, 0.5, "false"),
    ],
)
def test_integrated_gradients_are_judged_on_both_networks(trained, random, literal, value):
    rows = {
        ("relative error", "300 steps"): trained,
        ("relative error, random weights", "300 steps"): random,
        ("literal derivative over S(x) - S(0)", "linear S"): literal,
    }
    table = definitions(**{"adebayo-a5-ig": rows})
    assert verdict("adebayo-a5-ig", method_definitions=table) == value


def networks(accuracy: float, learnt: float, test: float, data: str = "mnist") -> pd.DataFrame:
    shared = {"data": data, "seed": 0, "shrink": 1, "epochs": 3, "parameters": 1}
    sizes = {"train_images": 60000, "test_images": 10000}
    rows = [
        shared | sizes
        | {"network": name, "purpose": purpose, "labels": labels}
        | {"train_right": int(60000 * right), "test_right": int(10000 * shown)}
        for name in ("MLP", "CNN")
        for purpose, labels, right, shown in (
            ("accuracy", "true", 0.999, accuracy), ("labels", "random", learnt, test),
        )
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("claim", "accuracy", "data", "expected"),
    [
        ("adebayo-cnn", 0.991, "mnist", "direction"),
        ("adebayo-cnn", 0.985, "mnist", "not-reproduced"),
        ("adebayo-cnn", 0.985, "digits", "undecided"),
        ("adebayo-mlp", 0.985, "mnist", "direction"),
        ("adebayo-mlp", 0.96, "mnist", "not-reproduced"),
    ],
)
def test_accuracies(claim, accuracy, data, expected):
    table = networks(accuracy, 0.98, 0.1, data)
    assert verdict(claim, trained_networks=table) == expected


def label_table(again: float, random: float) -> pd.DataFrame:
    methods = ("gradient", "gradient-x-input", "integrated-gradients", "smoothgrad",
               "guided-backprop")  # fmt: skip
    return synthetic.table(
        {"true labels again": again, "random labels": random}, "compared", ("ssim", "spearman"), 20,
        data="mnist", network=("MLP", "CNN"), seed=0, method=methods,
        maps=("absolute", "diverging"), same_class=True,
    )  # fmt: skip


def test_random_labels():
    good, table = networks(0.99, 0.97, 0.1), label_table(0.5, 0.2)
    assert verdict("adebayo-randlabels", trained_networks=good, data_randomization=table) == (
        "direction"
    )
    for other in (networks(0.99, 0.9, 0.1), networks(0.99, 0.97, 0.2)):
        assert verdict("adebayo-randlabels", trained_networks=other, data_randomization=table) == (
            "not-reproduced"
        )
    reverse = label_table(0.2, 0.5)
    assert verdict("adebayo-randlabels", trained_networks=good, data_randomization=reverse) == (
        "not-reproduced"
    )


def surrogate(guided: float, gradient: float) -> pd.DataFrame:
    levels = {"guided-backprop": guided, "gradient": gradient}
    return synthetic.table(
        levels, column=("ssim", "spearman"), images=20, compared="random network", maps="absolute",
        seed=0,
    )  # fmt: skip


@pytest.mark.parametrize("claim", ["adebayo-bone", "adebayo-fig7"])
def test_the_surrogate_of_the_radiographs(claim):
    assert verdict(claim, regression_surrogate=surrogate(0.8, 0.2)) == "direction"
    assert verdict(claim, regression_surrogate=surrogate(0.4, 0.2)) == "not-reproduced"
    assert verdict(claim, regression_surrogate=surrogate(0.8, 0.9)) == "not-reproduced"


def grey_table(levels: dict[tuple[str, str], float], other: float = 0.0) -> pd.DataFrame:
    """A parameter test in which each method and scaling has one level, whatever is random."""
    choices = [
        ("top-down", "truncated-normal"), ("top-down", "uniform"),
        ("independent", "truncated-normal"),
    ]  # fmt: skip
    means = {
        (method, maps, order, weights, step): level
        + (other if weights == "uniform" else 0)
        + (0.1 * (2 - step) if order == "independent" and method == "gradient" else 0)
        for (method, maps), level in levels.items()
        for order, weights in choices
        for step in range(1, 5)
    }
    made = synthetic.table(
        means, ("method", "maps", "order", "weights", "step"), "spearman", 8, 0.01, data="mnist",
        network=("MLP", "CNN"), explained="original", steps=4, seed=tuple(range(5)),
    )  # fmt: skip
    return made.assign(stage="layer" + (5 - made["step"]).astype(str))


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


def house_table(grey: pd.DataFrame) -> pd.DataFrame:
    rows = grey[(grey["network"] == "CNN") & (grey["weights"] == "truncated-normal")]
    words = {"diverging": "signed", "absolute": "absolute"}
    return rows.assign(sign=rows["maps"].map(words)).drop(columns=["maps", "data", "network"])


def judged(claim: str, levels: dict[tuple[str, str], float], other: float = 0.0) -> str:
    grey = grey_table(levels, other)
    own = grey[grey["network"] == "CNN"].drop(columns=["data", "network"])
    tables = {"parameter_test_grey": grey, "parameter_test": own}
    return verdict(claim, randomization=house_table(grey), **tables)


@pytest.mark.parametrize(
    ("claim", "wrong"),
    [
        ("adebayo-param-cascade", {("guided-backprop", "absolute"): 0.1}),
        ("adebayo-param-cascade", {("integrated-gradients", "absolute"): -0.1}),
        ("adebayo-independent", {("grad-cam", "diverging"): 0.95}),
        ("adebayo-independent", {("guided-backprop", "absolute"): -0.1}),
        ("adebayo-fig12", {("gradient-x-input", "diverging"): 0.9}),
        ("adebayo-fig28", {("deeplift", "absolute"): -0.1}),
        ("adebayo-fig28", {("perturbation-mask", "diverging"): 0.6}),
    ],
)
def test_the_parameter_test_is_met_and_refuted(claim, wrong):
    assert judged(claim, LEVELS) == "direction"
    assert judged(claim, LEVELS | wrong) == "not-reproduced"


def test_initialisations_alike_and_different():
    assert judged("adebayo-paramtest-init", LEVELS) == "direction"
    assert judged("adebayo-paramtest-init", LEVELS, other=0.2) == "not-reproduced"


def pairs(second: str, absolute: float, signed: float) -> pd.DataFrame:
    return synthetic.table(
        {"absolute": absolute, "diverging": signed}, "maps", "spearman", 20, 0.005, first="x",
        second=second, seed=0, overlap=0.3, edges=0.1, hog_pearson=0.5,
    )  # fmt: skip


def test_input_times_random_gradients():
    name = "another random gradient"
    assert verdict("adebayo-fig10", random_gradient=pairs(name, 0.5, 0.0)) == "direction"
    assert verdict("adebayo-fig10", random_gradient=pairs(name, 0.2, 0.0)) == "not-reproduced"
    assert verdict("adebayo-fig10", random_gradient=pairs(name, 0.5, 0.1)) == "not-reproduced"


def edge_table(guided: float, gradient: float) -> pd.DataFrame:
    levels = {"gradient": gradient, "guided-backprop": guided, "guided-grad-cam": guided}
    return synthetic.table(
        levels, column=("spearman", "ssim"), images=20, second="map of the edges", maps="absolute",
        edges=0.2,
    )  # fmt: skip


def test_images_of_edges():
    assert verdict("adebayo-fig27", edge_input=edge_table(0.6, 0.2)) == "direction"
    assert verdict("adebayo-fig27", edge_input=edge_table(0.2, 0.6)) == "not-reproduced"


def calibration_table(shift: float) -> pd.DataFrame:
    """A simulation whose means are the printed values but for a shift in standard deviations."""
    unit = np.tile([-1.0, 1.0], 50)
    rows = []
    for (first, second), part in printed().groupby(["first", "second"]):
        values = {
            row["column"]: row["value"] + 0.01 * (unit + shift) for row in part.to_dict("records")
        }
        rows.append(pd.DataFrame(values | {"first": first, "second": second, "side": 299}))
    return pd.concat(rows, ignore_index=True)


def test_calibration_is_met_and_refuted():
    assert verdict("adebayo-calibration", metric_calibration=calibration_table(0.1)) == "direction"
    assert verdict("adebayo-calibration", metric_calibration=calibration_table(1.0)) == (
        "not-reproduced"
    )
    found = calibrated(calibration_table(1.0))
    assert found["deviations"].max() == pytest.approx(1, rel=0.02)
    assert found["errors"].min() == pytest.approx(50**0.5, rel=0.02)


def null_table(ratio: float) -> pd.DataFrame:
    rows = [
        {"source": "simulated", "smoothing": s, "image": "", "pixels": 4096, "length": length,
         "pairs": 1000, "mean": 0.0, "independent": 4095**-0.5,
         "deviation": (ratio if s else 1.0) * length / 64}
        for s, length in ((0.0, 1.0), (2.0, 4.0))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_meaning_of_the_calibration():
    claim = "adebayo-calibration-meaning"
    assert verdict(claim, smooth_nulls=null_table(1.2)) == "caveat"
    assert verdict(claim, smooth_nulls=null_table(0.3)) == "false"


def test_inception_is_not_run_on_another_model():
    counts = pd.DataFrame([{"network": "inception_v3", "stated": 17, "counted": 17}])
    known = pd.DataFrame({"image": ["a", "b"], "top_5": [1.0, 0.0]})
    tables = {"step-counts": counts, "top-5": known}
    found = judge("adebayo-inception", tables, context_of("adebayo-inception"))
    assert found.value == "not-run"
    assert "17 blocks" in found.reason
    claim = find_claim("adebayo-inception")
    own = CriterionContext.of(claim, "torchvision:inception_v3@weights", "imagenet-val:x", 50_000)
    many = pd.DataFrame({"image": range(1000), "top_5": [1.0] * 939 + [0.0] * 61})
    assert judge("adebayo-inception", tables | {"top-5": many}, own).value == "reproduced"
    many["top_5"] = [1.0] * 900 + [0.0] * 100
    assert judge("adebayo-inception", tables | {"top-5": many}, own).value == "not-reproduced"
