"""App. I and J on small networks; the criteria for trained ones on made tables."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sanitygap import activations
from sanitygap.claims import CriterionContext
from sanitygap.criteria.theory import activations as criteria
from sanitygap.errors import UsageError
from sanitygap.inference import UndefinedStatisticError
from sanitygap.theory.overtaking import cauchy_tail


class Reused(nn.Module):
    """One ReLU module that is called twice, followed by an in-place operation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Conv2d(4, 5, 3)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.first(x)) + 0
        return self.relu(self.second(x)).mul_(0)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Reused().eval()


@pytest.fixture
def inputs():
    return torch.randn(3, 3, 9, 9, generator=torch.Generator().manual_seed(1))


def test_quantiles_and_sparsity_equal_numpy(network, inputs):
    table = activations.overtaking(network, inputs, ["relu"], neurons=0)
    rows = activations.sparsity(network, inputs, ["relu"])
    with torch.no_grad():
        first = network.first(inputs).clamp(min=0)
        second = network.second(first).clamp(min=0)
    for index, values in enumerate((first, second)):
        for image in range(3):
            pooled = values[image].numpy().ravel()
            at = table[(table["layer_index"] == index) & (table["image"] == image)]
            for _, row in at.iterrows():
                for name in ("high", "low"):
                    want = np.quantile(pooled, row[f"q_{name}"])
                    assert row[f"value_{name}"] == pytest.approx(want, rel=1e-5, abs=1e-7)
            one = rows[(rows["layer_index"] == index) & (rows["image"] == image)].iloc[0]
            assert one["non_positive"] == pytest.approx((pooled <= 0).mean())
            assert one["elements"] == pooled.size
    assert len(table) == 2 * 3 * 27


def test_the_model_is_left_without_hooks(network, inputs):
    activations.sparsity(network, inputs, ["relu"])
    assert not any(part._forward_hooks for part in network.modules())
    with pytest.raises(UsageError, match="rel"):
        activations.sparsity(network, inputs, ["rel"])
    assert not any(part._forward_hooks for part in network.modules())


def test_layers_that_cannot_be_used(network, inputs):
    assert activations.activation_layers(network) == ["relu"]
    with pytest.raises(UsageError, match="no activation modules"):
        activations.activation_layers(nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(UsageError, match="training mode"):
        activations.sparsity(network.train(), inputs, ["relu"])
    mixing = nn.Sequential(nn.Flatten(0)).eval()
    with pytest.raises(UsageError, match="row an image"):
        activations.sparsity(mixing, inputs, ["0"])


@pytest.mark.parametrize(
    ("low", "high", "sign", "ratio"),
    [
        (1.0, 3.0, "positive", 3.0),
        (0.0, 3.0, "zero", math.inf),
        (-3.0, -1.0, "negative", 3.0),
        (-1.0, 2.0, "mixed", math.nan),
        (0.0, 0.0, "mixed", math.nan),
    ],
)
def test_signs_of_quantiles(low, high, sign, ratio):
    got = activations.quantile_ratio(low, high)
    assert got[0] == sign
    assert got[1] == pytest.approx(ratio, nan_ok=True)


def test_bound_at_mean_quantiles_is_no_upper_limit():
    """The audit's two images: (V(q_l), V(q_h)) = (0, 10) and (1, 1), gamma = 1."""
    table = pd.DataFrame(
        {
            "image": [0, 1], "layer": "relu", "layer_index": 0, "q_high": 0.5, "q_low": 0.5,
            "value_high": [10.0, 1.0], "value_low": [0.0, 1.0], "gamma": 1.0,
            "bound": cauchy_tail([np.inf, 1.0], 1.0),
        }
    )  # fmt: skip
    row = activations.at_mean_quantiles(table).iloc[0]
    assert row["bound"] == pytest.approx(0.029, abs=5e-4)
    assert row["mean_bound"] == pytest.approx(0.125)


def test_simulated_neurons_stay_below_the_bound():
    generator = torch.Generator().manual_seed(2)
    positive = nn.Sequential(nn.Flatten(), nn.Softplus()).eval()
    x = torch.randn(2, 4000, generator=generator)
    table = activations.overtaking(positive, x, ["1"], neurons=400, seed=3)
    rate = table["overtaken"].sum() / table["positive"].sum()
    bound = (table["bound"] * table["positive"]).sum() / table["positive"].sum()
    assert table["sign"].eq("positive").all()
    assert 0.5 * bound < rate < bound


# --- criteria ---------------------------------------------------------------------------------

CONTEXT = CriterionContext("torchvision:resnet50", "imagenet-val:x", 1000)


def overtaking_table(bound: float, frequency: float, spread: float = 0.01):
    """Three layers with a bound, and four whose small activations are zeros."""
    rng = np.random.default_rng(4)
    rows = []
    for image in range(5):
        for layer in range(7):
            for high, low in criteria.PAIRS:
                gamma = math.sqrt(low / (1 - high))
                zero = layer > 2
                rows.append(
                    {
                        "image": image, "layer": f"l{layer}", "layer_index": layer,
                        "q_high": high, "q_low": low, "value_low": 0.0 if zero else 1.0,
                        "gamma": gamma, "value_high": gamma / math.tan(math.pi * bound),
                        "bound": 0.0 if zero else bound * rng.uniform(1 - spread, 1 + spread),
                        "positive": 500, "overtaken": int(500 * frequency),
                    }
                )  # fmt: skip
    return {"activation-overtaking": pd.DataFrame(rows), "redrawn-overtaking": redrawn(bound, 0.0)}


def redrawn(bound: float, frequency: float, images: int = 5) -> pd.DataFrame:
    """Three layers with the same bound; in the last one neurons are overtaken that often."""
    rows = [
        {
            "image": image, "layer": f"c{layer}", "layer_index": layer, "q_high": high,
            "q_low": low, "value_low": 1.0, "bound": bound, "simulated_positive": 100,
            "simulated_overtaken": 1, "positive": 1000,
            "overtaken": int(1000 * frequency) + image if layer == 2 and frequency else 0,
        }
        for image in range(images) for layer in range(3) for high, low in criteria.PAIRS
    ]  # fmt: skip
    return pd.DataFrame(rows)


OWN = {
    criteria.appendix_i: "anything",
    criteria.figure_app4: "torchvision:resnet50",
    criteria.figure_app5: "torchvision:densenet121",
    criteria.figure_app6: "your_module:efficientnet_b0",
}


@pytest.mark.parametrize("judge", OWN)
def test_overtaking_criteria(judge):
    own = CriterionContext(OWN[judge], "imagenet-val:x", 1000)
    assert judge(overtaking_table(0.02, 0.01), own).value == "reproduced"
    assert judge(overtaking_table(0.20, 0.01), own).value == "not-reproduced"
    # 0.05 is the limit of the other pair, and the images disagree about it
    assert judge(overtaking_table(0.05, 0.01, spread=0.2), own).value == "undecided"
    uncovered = overtaking_table(0.02, 0.01)
    uncovered["activation-overtaking"]["bound"] = np.nan
    assert judge(uncovered, own).value == "undecided"


@pytest.mark.parametrize("judge", list(OWN)[1:])
@pytest.mark.parametrize(
    "model", ["efficientnet_lite0", "torchvision:wide_resnet50_2", "cifar_resnet20"]
)
def test_a_figure_about_one_network_is_not_judged_from_another(judge, model):
    verdict = judge(overtaking_table(0.02, 0.01), CriterionContext(model, "photos", 12))
    assert verdict.value == "not-run"
    assert model in verdict.reason
    assert f"sanitygap execute activations --profile full --model {OWN[judge]}" in verdict.reason
    assert (
        criteria.appendix_i(
            overtaking_table(0.02, 0.01), CriterionContext(model, "photos", 12)
        ).value
        == "reproduced"
    )


def test_layers_whose_small_activations_are_zeros_do_not_lower_the_median():
    """Four of seven layers have a bound of 0 for nothing; the median over all would be 0."""
    verdict = criteria.appendix_i(overtaking_table(0.2, 0.01), CONTEXT)
    assert verdict.value == "not-reproduced"
    assert verdict.numbers["median bound (0.95, 0.5)"] == pytest.approx(0.2, rel=0.01)
    assert verdict.numbers["layers with V = 0 (0.95, 0.5)"] == 4


def test_a_pair_without_any_bound_is_reported_and_the_other_one_decides():
    for bound, value in ((0.02, "reproduced"), (0.2, "not-reproduced")):
        tables = overtaking_table(bound, 0.01)
        table = tables["activation-overtaking"]
        table.loc[table["q_low"] == 0.1, ["value_low", "bound"]] = 0.0
        verdict = criteria.appendix_i(tables, CONTEXT)
        assert verdict.value == value
        assert "0 layers have a bound for V(0.1) > 0" in verdict.evidence
    table[["value_low", "bound"]] = 0.0
    assert criteria.appendix_i(tables, CONTEXT).value == "undecided"


def test_a_layer_with_zeros_in_some_images_counts_by_the_others():
    tables = overtaking_table(0.2, 0.01)
    table = tables["activation-overtaking"]
    table.loc[(table["image"] < 4) & (table["layer_index"] == 1), ["value_low", "bound"]] = 0.0
    verdict = criteria.appendix_i(tables, CONTEXT)
    assert verdict.numbers["median bound (0.95, 0.5)"] == pytest.approx(0.2, rel=0.01)


def test_measured_frequencies_are_reported_and_decide_nothing():
    tables = overtaking_table(0.02, 0.2)
    tables["redrawn-overtaking"] = redrawn(0.02, 0.03)
    verdict = criteria.appendix_i(tables, CONTEXT)
    assert verdict.value == "reproduced"
    assert verdict.numbers["layers above the bound (0.95, 0.5)"] == 1
    assert verdict.numbers["frequency (0.95, 0.5)"] == pytest.approx(0.2)
    tables["redrawn-overtaking"] = redrawn(0.02, 0.01, images=1)
    assert "0 redrawn layers have a bound" in criteria.appendix_i(tables, CONTEXT).evidence
    tables["redrawn-overtaking"] = tables["redrawn-overtaking"].iloc[:0]
    assert "0 layers were redrawn" in criteria.appendix_i(tables, CONTEXT).evidence


def test_zeros_are_counted_and_layers_without_a_bound_do_not_count():
    tables = overtaking_table(0.02, 0.01)
    table = redrawn(0.0, 0.0).assign(value_low=0.0)
    table.loc[table["layer_index"] == 1, "bound"] = np.nan
    tables["redrawn-overtaking"] = table
    verdict = criteria.appendix_i(tables, CONTEXT)
    assert verdict.numbers["layers with zeros only (0.85, 0.1)"] == 2


#: the paper's numbers for EfficientNet-B0
SWISH = [1.0, 1.0, 0.5, 1.0, 0.5, 1.0, *[0.1] * 5, *[0.25] * 4]


def shares(layers: list[float], negative: float = 0.0, spread: float = 0.0):
    rng = np.random.default_rng(5)
    rows = [
        {"image": image, "layer_index": layer, "negative": negative,
         "non_positive": share + spread * rng.normal()}
        for image in range(8) for layer, share in enumerate(layers)
    ]  # fmt: skip
    return {"activation-sparsity": pd.DataFrame(rows)}


@pytest.mark.parametrize("judge", [criteria.sparsity])
def test_sparsity_criteria(judge):
    assert judge(shares([0.4, 0.5, 0.1]), CONTEXT).value == "reproduced"
    assert judge(shares([0.4, 0.1, 0.1]), CONTEXT).value == "not-reproduced"
    assert judge(shares([0.5, 0.3, 0.1], spread=0.02), CONTEXT).value == "undecided"


@pytest.mark.parametrize("judge", [criteria.sparsity])
def test_sparsity_of_the_swish_network(judge):
    own = CriterionContext("your_module:efficientnet_b0", "imagenet-val:x", 1000)
    assert judge(shares(SWISH, negative=0.2), own).value == "reproduced"
    assert judge(shares([0.5, *SWISH[1:]], negative=0.2), own).value == "not-reproduced"
    assert judge(shares([*SWISH[:-1], 0.1], negative=0.2), own).value == "not-reproduced"
    close = [*SWISH[:-1], 0.2]
    assert judge(shares(close, negative=0.2, spread=0.01), own).value == "undecided"
    with pytest.raises(UndefinedStatisticError, match="layer 11"):
        judge(shares(SWISH[:8], negative=0.2), own)


@pytest.mark.parametrize("model", ["efficientnet_lite0", "your_module:efficientnet_b0"])
def test_layer_numbers_of_the_swish_network_say_nothing_about_relu6(model):
    """Without negative activations no layer is fully non-positive, whatever the network's name."""
    context = CriterionContext(model, "photos", 8)
    dense = [0.27, 0.25, 0.4, 0.39, 0.4, 0.52, *[0.5] * 20]
    assert criteria.sparsity(shares(dense), context).value == "reproduced"


def evidence_table(negative: int = 0, images: int = 200, leak: float = 1.0):
    """Sums of maps; so many images have a negative one under a conservative rule."""
    sums = {"lrp-gamma-box": 1.0, "lrp-epsilon-plus": leak, "lrp-epsilon": 0.3, "gradient": -3.0}
    rows = [
        {"image": image, "method": method, "state": state, "logit": 3.0,
         "relevance": -total if image < negative and method == "lrp-gamma-box" else total}
        for image in range(images)
        for method, total in sums.items()
        for state in ("trained", "random")
    ]  # fmt: skip
    rows.append({**rows[0], "image": 999, "logit": -1.0, "relevance": -5.0})
    return {"positive-evidence": pd.DataFrame(rows)}


def test_positive_evidence_criterion():
    judge = criteria.positive_evidence
    assert judge(evidence_table(0), CONTEXT).value == "reproduced"
    assert judge(evidence_table(10), CONTEXT).value == "undecided"
    assert judge(evidence_table(50), CONTEXT).value == "not-reproduced"
    assert judge(evidence_table(0, images=72), CONTEXT).value == "undecided"  # 72 of 72
    assert judge(evidence_table(0, images=74), CONTEXT).value == "reproduced"


def test_rules_that_lose_relevance_are_reported_and_do_not_decide():
    """LRP-epsilon keeps 30 %, and 6 % reach the pixels under epsilon-plus, with negative sums."""
    tables = evidence_table(leak=-0.06)
    verdict = criteria.positive_evidence(tables, CONTEXT)
    assert verdict.value == "reproduced"
    assert "lrp-epsilon-plus, trained (-0.06)" in verdict.evidence
    assert set(verdict.numbers) == {"lrp-gamma-box trained", "lrp-gamma-box random"}
    table = tables["positive-evidence"]
    tables["positive-evidence"] = table[table["method"] != "lrp-gamma-box"]
    verdict = criteria.positive_evidence(tables, CONTEXT)
    assert verdict.value == "not-run"
    assert "lrp-epsilon, trained (0.3)" in verdict.reason
