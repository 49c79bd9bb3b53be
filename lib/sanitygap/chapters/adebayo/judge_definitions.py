"""Criteria for the definitions of Adebayo et al. (2018, Appendix A) and their similarities."""

from collections import defaultdict
from collections.abc import Mapping

from sanitygap import judge
from sanitygap.judge import Context, Tables, Value, Verdict, criterion, formal, rows_of

TABLE = ("method-definitions",)

#: what counts as exact in double precision
ROUNDING = 1e-12

#: from this rank correlation on, VarGrad and the gradient go together as functions of the input
CORRELATED = 0.1


def quantities(tables: Tables, claim: str) -> dict[str, dict[str, float]]:
    """What was measured for a claim: quantity -> subject -> value."""
    rows = rows_of(tables[TABLE[0]], claim=claim)
    values: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows.to_dict("records"):
        values[row["quantity"]][row["subject"]] = float(row["value"])
    return values


def listed(values: Mapping[str, float]) -> str:
    """Values as text."""
    return ", ".join(f"{name} {value:.2g}" for name, value in values.items())


#: methods that give one value a pixel, whatever the number of channels
ONE_VALUE_A_PIXEL = ("grad-cam", "grad-cam-plus-plus", "noise", "noise-fixed", "edges")


@criterion("adebayo-def", tables=TABLE)
def definition(tables: Tables, context: Context) -> Verdict:
    """All shapes equal that of the input; one value a pixel is a condition, not the shape."""
    shapes = quantities(tables, "adebayo-def")
    same = shapes["same shape"]
    other = [name for name, value in same.items() if not value]
    value: Value = "false" if other else "holds"
    evidence = f"{len(same) - len(other)} of {len(same)} methods give one value for each of the "
    evidence += "input's values."
    spatial = all(shapes["same height and width"].values())
    if other and spatial and set(other) <= set(ONE_VALUE_A_PIXEL):
        value = "caveat"
        evidence += f" {', '.join(other)}: one value a pixel, the same for all channels."
    return Verdict(
        value=value,
        evidence=evidence,
        reason="The network has several outputs, so each call names the class to be explained.",
        numbers={"same shape": len(same) - len(other), "methods": len(same)},
    )


@criterion("adebayo-a1-grad", tables=TABLE)
def a1_gradient(tables: Tables, context: Context) -> Verdict:
    worst = max(quantities(tables, "adebayo-a1-grad")["relative error"].values())
    words = f"Relative error against central differences {worst:.1e}."
    return formal(worst <= 1e-5, words, {"relative error": worst})


@criterion("adebayo-a2-gxi", tables=TABLE)
def a2_gradient_x_input(tables: Tables, context: Context) -> Verdict:
    measured = quantities(tables, "adebayo-a2-gxi")
    without, with_ = (
        measured[f"relative difference {words} biases"] for words in ("without", "with")
    )
    met = (
        max(without.values()) <= 1e-6
        and min(with_["deeplift"], with_["integrated-gradients"]) > 0.05
        and with_["lrp-zero"] <= 1e-6
    )
    return formal(
        met,
        "Relative difference to gradient x input, of LRP-0 times the logit, without biases: "
        f"{listed(without)}; with biases: {listed(with_)}.",
        {f"without, {k}": v for k, v in without.items()}
        | {f"with, {k}": v for k, v in with_.items()},
    )


@criterion("adebayo-a3-gbp", tables=TABLE)
def a3_guided_backpropagation(tables: Tables, context: Context) -> Verdict:
    measured = quantities(tables, "adebayo-a3-gbp")
    gaps, wanted = measured["difference to captum"], ("vgg16", "resnet18", "resnet50")
    judge.need_all(gaps, wanted, "The run's table lacks {}; use profile quick or full.")
    named = {name: gaps[name] for name in wanted}
    guided, called = measured["ReLUs guided"], measured["ReLUs called"]
    formula = measured["difference to the formula"]["CNN"]
    met = (
        max([*named.values(), formula]) <= 1e-10
        and all(guided[name] == called[name] for name in guided)
        and min(measured["largest value"].values()) > 0
    )
    plain = measured["captum's difference to the gradient"]
    missed = [name for name, gap in plain.items() if gap == 0]
    evidence = f"Largest difference to captum: {listed(named)}; to the formula: {formula:.1g}. "
    evidence += f"All {sum(guided.values()):.0f} calls of ReLUs were guided."
    if missed:
        evidence += f" On {', '.join(missed)} captum's map equals the gradient: it hooks nn.ReLU."
    return formal(met, evidence, {f"difference {k}": v for k, v in named.items()})


@criterion("adebayo-a4-gradcam", tables=TABLE)
def a4_grad_cam(tables: Tables, context: Context) -> Verdict:
    gaps = quantities(tables, "adebayo-a4-gradcam")["relative difference"]
    words = f"Relative difference to captum, both upsampled bilinearly: {listed(gaps)}."
    return formal(max(gaps.values()) <= 1e-6, words, gaps)


@criterion("adebayo-a5-ig", tables=TABLE)
def a5_integrated_gradients(tables: Tables, context: Context) -> Verdict:
    measured = quantities(tables, "adebayo-a5-ig")
    errors = {
        "trained network": measured["relative error"],
        "random weights": measured["relative error, random weights"],
    }
    literal = measured["literal derivative over S(x) - S(0)"]["linear S"]
    missed = [name for name, values in errors.items() if values["300 steps"] > 1e-3]
    words = "; ".join(f"{name}: {listed(values)}" for name, values in errors.items())
    misprinted = abs(literal - 1) > ROUNDING
    value: Value = "slip" if misprinted else "holds"
    reason = ""
    if len(missed) == len(errors):
        value = "false"
    elif missed:
        value = "caveat"
        reason = f"300 steps leave an error above one in a thousand with {' and '.join(missed)}."
        if misprinted:
            reason += " And the derivative has to be taken at the point on the path, not by x."
    return Verdict(
        value=value,
        evidence=f"Error of completeness over S(x) - S(0), {words}. For a linear S the printed "
        f"derivative, taken literally with respect to x, sums to {literal:.3f} of it.",
        reason=reason,
        numbers={f"{name}, {k}": v for name, values in errors.items() for k, v in values.items()}
        | {"literal": literal},
    )


@criterion("adebayo-a6-sg", tables=TABLE)
def a6_smoothgrad(tables: Tables, context: Context) -> Verdict:
    measured = quantities(tables, "adebayo-a6-sg")
    limit = measured["limit"]["Φ(x/σ)"]
    average, error, slope = (
        measured[name]["ReLU of one variable"]
        for name in ("average", "standard error", "slope of log deviation on log N")
    )
    return formal(
        abs(average - limit) <= 3 * error and abs(slope + 0.5) <= 0.05,
        f"Average {average:.4f} ± {error:.4f} against Φ(x/σ) = {limit:.4f}; the deviation falls "
        f"with N to the power {slope:.3f}.",
        {"average": average, "limit": limit, "standard error": error, "slope": slope},
    )


@criterion("adebayo-a7-vg", tables=TABLE)
def a7_vargrad(tables: Tables, context: Context) -> Verdict:
    measured = quantities(tables, "adebayo-a7-vg")
    error, limit = measured["standard error"], measured["limit"]
    distances = {
        name: abs(value - limit[name]) / error[name] for name, value in measured["variance"].items()
    } | measured["distance in standard errors"]
    change = measured["change with x and b"]["quadratic"]
    [rank] = measured["Spearman with |gradient|"].values()
    verdict = formal(
        change <= 1e-9 and all(distance <= 3 for distance in distances.values()),
        f"Distance to the formulas in standard errors: {listed(distances)}; change of the "
        f"quadratic's variance with x and b: {change:.1g}. Spearman correlation of VarGrad with "
        f"the absolute gradient on a ReLU network: {rank:.2f}.",
        distances | {"change": change, "Spearman": rank},
    )
    if verdict.value == "false" or abs(rank) < CORRELATED:
        return verdict
    reason = "Independent means: it depends on derivatives of order two and higher. As a function "
    reason += "of the input it goes together with the gradient."
    return verdict.model_copy(update={"value": "caveat", "reason": reason})


@criterion("adebayo-metrics", tables=TABLE)
def metrics(tables: Tables, context: Context) -> Verdict:
    rows = rows_of(tables[TABLE[0]], claim="adebayo-metrics")
    subjects = set(rows["subject"])
    wanted = {("identical maps", name): 1.0 for name in subjects} | {
        ("flipped sign", "Spearman, signed"): -1.0,
        ("flipped sign", "Spearman, absolute"): 1.0,
        ("flipped sign", "HOG"): 1.0,
    }
    worst = max(
        float((rows_of(rows, quantity=quantity, subject=name)["value"] - value).abs().max())
        for (quantity, name), value in wanted.items()
    )
    return formal(
        worst <= ROUNDING and len(subjects) == 4,
        f"{len(wanted)} exact values of 4 similarities on random maps are met to {worst:.0e}, the "
        "rounding of double precision.",
        {"largest gap": worst},
    )
