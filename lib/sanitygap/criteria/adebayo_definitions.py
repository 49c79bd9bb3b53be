"""Criteria for the definitions of Adebayo et al. (2018, Appendix A) and their similarities."""

from collections.abc import Mapping, Sequence

import pandas as pd

from sanitygap.claims import CriterionContext, Verdict, criterion
from sanitygap.claims.verdicts import Value
from sanitygap.criteria.irrelevance import rows_of

Tables = Mapping[str, pd.DataFrame]

TABLE = ("method-definitions",)

#: what counts as exact in double precision
ROUNDING = 1e-12

#: from this rank correlation on, VarGrad and the gradient go together as functions of the input
CORRELATED = 0.1


def measured(tables: Tables, claim: str) -> pd.DataFrame:
    """The rows of one claim."""
    return rows_of(tables[TABLE[0]], claim=claim)


def values_of(rows: pd.DataFrame, quantity: str) -> dict[str, float]:
    """Subject -> value of one quantity."""
    found = rows_of(rows, quantity=quantity)
    return dict(zip(found["subject"], found["value"].astype(float), strict=True))


def listed(values: Mapping[str, float]) -> str:
    """Values as text."""
    return ", ".join(f"{name} {value:.2g}" for name, value in values.items())


def formal(met: bool, evidence: str, numbers: Mapping[str, float]) -> Verdict:
    """``holds`` if a formal criterion is met, else ``false``."""
    return Verdict(value="holds" if met else "false", evidence=evidence, numbers=dict(numbers))


def missing(names: Sequence[str], found: Mapping[str, float]) -> Verdict | None:
    """``not-run`` where a table lacks what the criterion names."""
    absent = [name for name in names if name not in found]
    if not absent:
        return None
    return Verdict(
        value="not-run",
        reason=f"The run's table lacks {', '.join(absent)}; use profile quick or full.",
    )


#: methods that give one value a pixel, whatever the number of channels
ONE_VALUE_A_PIXEL = ("grad-cam", "grad-cam-plus-plus", "noise", "noise-fixed", "edges")


@criterion("adebayo-def", tables=TABLE)
def definition(tables: Tables, context: CriterionContext) -> Verdict:
    """All shapes equal that of the input; one value a pixel is a condition, not the shape."""
    rows = measured(tables, "adebayo-def")
    same, spatial = values_of(rows, "same shape"), values_of(rows, "same height and width")
    other = [name for name, value in same.items() if not value]
    value: Value = "false"
    if not other:
        value = "holds"
    elif all(spatial.values()) and set(other) <= set(ONE_VALUE_A_PIXEL):
        value = "caveat"
    evidence = f"{len(same) - len(other)} of {len(same)} methods give one value for each of the "
    evidence += "input's values."
    if value == "caveat":
        evidence += f" {', '.join(other)}: one value a pixel, the same for all channels."
    return Verdict(
        value=value,
        evidence=evidence,
        reason="The network has several outputs, so each call names the class to be explained.",
        numbers={"same shape": len(same) - len(other), "methods": len(same)},
    )


@criterion("adebayo-a1-grad", tables=TABLE)
def a1_gradient(tables: Tables, context: CriterionContext) -> Verdict:
    found = values_of(measured(tables, "adebayo-a1-grad"), "relative error")
    worst = max(found.values())
    return formal(worst <= 1e-5, f"Relative error against central differences {worst:.1e}.",
                  {"relative error": worst})  # fmt: skip


@criterion("adebayo-a2-gxi", tables=TABLE)
def a2_gradient_x_input(tables: Tables, context: CriterionContext) -> Verdict:
    rows = measured(tables, "adebayo-a2-gxi")
    without = values_of(rows, "relative difference without biases")
    with_ = values_of(rows, "relative difference with biases")
    met = (
        max(without.values()) <= 1e-6
        and min(with_["deeplift"], with_["integrated-gradients"]) > 0.05
        and with_["lrp-zero"] <= 1e-6
    )
    numbers = {f"without, {k}": v for k, v in without.items()}
    return formal(
        met,
        "Relative difference to gradient x input, of LRP-0 times the logit, without biases: "
        f"{listed(without)}; with biases: {listed(with_)}.",
        numbers | {f"with, {k}": v for k, v in with_.items()},
    )


@criterion("adebayo-a3-gbp", tables=TABLE)
def a3_guided_backpropagation(tables: Tables, context: CriterionContext) -> Verdict:
    rows = measured(tables, "adebayo-a3-gbp")
    gaps = values_of(rows, "difference to captum")
    wanted = ("vgg16", "resnet18", "resnet50")
    if verdict := missing(wanted, gaps):
        return verdict
    named = {name: gaps[name] for name in wanted}
    guided, called = values_of(rows, "ReLUs guided"), values_of(rows, "ReLUs called")
    formula = values_of(rows, "difference to the formula")["CNN"]
    met = (
        max([*named.values(), formula]) <= 1e-10
        and all(guided[name] == called[name] for name in guided)
        and min(values_of(rows, "largest value").values()) > 0
    )
    plain = values_of(rows, "captum's difference to the gradient")
    missed = [name for name, gap in plain.items() if gap == 0]
    evidence = f"Largest difference to captum: {listed(named)}; to the formula: {formula:.1g}. "
    evidence += f"All {sum(guided.values()):.0f} calls of ReLUs were guided."
    if missed:
        evidence += f" On {', '.join(missed)} captum's map equals the gradient: it hooks nn.ReLU."
    return formal(met, evidence, {f"difference {k}": v for k, v in named.items()})


@criterion("adebayo-a4-gradcam", tables=TABLE)
def a4_grad_cam(tables: Tables, context: CriterionContext) -> Verdict:
    found = values_of(measured(tables, "adebayo-a4-gradcam"), "relative difference")
    return formal(
        max(found.values()) <= 1e-6,
        f"Relative difference to captum, both upsampled bilinearly: {listed(found)}.",
        found,
    )


@criterion("adebayo-a5-ig", tables=TABLE)
def a5_integrated_gradients(tables: Tables, context: CriterionContext) -> Verdict:
    rows = measured(tables, "adebayo-a5-ig")
    found = {
        network: values_of(rows, quantity)
        for network, quantity in (
            ("trained network", "relative error"),
            ("random weights", "relative error, random weights"),
        )
    }
    literal = values_of(rows, "literal derivative over S(x) - S(0)")["linear S"]
    missed = [name for name, errors in found.items() if errors["300 steps"] > 1e-3]
    met = len(missed) < len(found)
    shown = "; ".join(f"{name}: {listed(errors)}" for name, errors in found.items())
    verdict = formal(
        met,
        f"Error of completeness over S(x) - S(0), {shown}. For a linear S the printed "
        f"derivative, taken literally with respect to x, sums to {literal:.3f} of it.",
        {f"{name}, {k}": v for name, errors in found.items() for k, v in errors.items()}
        | {"literal": literal},
    )
    misprinted = abs(literal - 1) > ROUNDING
    if met and missed:
        reason = f"300 steps leave an error above one in a thousand with {' and '.join(missed)}."
        if misprinted:
            reason += " And the derivative has to be taken at the point on the path, not by x."
        return verdict.model_copy(update={"value": "caveat", "reason": reason})
    return verdict.model_copy(update={"value": "slip"}) if met and misprinted else verdict


@criterion("adebayo-a6-sg", tables=TABLE)
def a6_smoothgrad(tables: Tables, context: CriterionContext) -> Verdict:
    rows = measured(tables, "adebayo-a6-sg")
    subject = "ReLU of one variable"
    limit = values_of(rows, "limit")["Φ(x/σ)"]
    average = values_of(rows, "average")[subject]
    error = values_of(rows, "standard error")[subject]
    slope = values_of(rows, "slope of log deviation on log N")[subject]
    met = abs(average - limit) <= 3 * error and abs(slope + 0.5) <= 0.05
    return formal(
        met,
        f"Average {average:.4f} ± {error:.4f} against Φ(x/σ) = {limit:.4f}; the deviation falls "
        f"with N to the power {slope:.3f}.",
        {"average": average, "limit": limit, "standard error": error, "slope": slope},
    )


@criterion("adebayo-a7-vg", tables=TABLE)
def a7_vargrad(tables: Tables, context: CriterionContext) -> Verdict:
    rows = measured(tables, "adebayo-a7-vg")
    variance, limit = values_of(rows, "variance"), values_of(rows, "limit")
    error = values_of(rows, "standard error")
    distances = {name: abs(variance[name] - limit[name]) / error[name] for name in variance}
    distances |= values_of(rows, "distance in standard errors")
    change = values_of(rows, "change with x and b")["quadratic"]
    met = change <= 1e-9 and all(distance <= 3 for distance in distances.values())
    [rank] = values_of(rows, "Spearman with |gradient|").values()
    verdict = formal(
        met,
        f"Distance to the formulas in standard errors: {listed(distances)}; change of the "
        f"quadratic's variance with x and b: {change:.1g}. Spearman correlation of VarGrad with "
        f"the absolute gradient on a ReLU network: {rank:.2f}.",
        distances | {"change": change, "Spearman": rank},
    )
    if not met or abs(rank) < CORRELATED:
        return verdict
    return verdict.model_copy(
        update={
            "value": "caveat",
            "reason": "Independent means: it depends on derivatives of order two and higher. As a "
            "function of the input it goes together with the gradient.",
        }
    )


@criterion("adebayo-metrics", tables=TABLE)
def metrics(tables: Tables, context: CriterionContext) -> Verdict:
    rows = measured(tables, "adebayo-metrics")
    wanted = {("identical maps", name): 1.0 for name in set(rows["subject"])} | {
        ("flipped sign", "Spearman, signed"): -1.0,
        ("flipped sign", "Spearman, absolute"): 1.0,
        ("flipped sign", "HOG"): 1.0,
    }
    gaps = {
        f"{name}, {quantity}": float(
            (rows_of(rows, quantity=quantity, subject=name)["value"] - value).abs().max()
        )
        for (quantity, name), value in wanted.items()
    }
    worst = max(gaps.values())
    return formal(
        worst <= ROUNDING and len(set(rows["subject"])) == 4,
        f"{len(gaps)} exact values of 4 similarities on random maps are met to {worst:.0e}, the "
        "rounding of double precision.",
        {"largest gap": worst},
    )
