"""Criteria for the results of Sriram and Conati (2022): S^I of methods, images and networks.

An image for which a method gave a map that is zero everywhere has no similarity there. It is left
out for that method, and counted.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sanitygap.claims import CriterionContext, Verdict, combine, criterion, verdict_from_interval
from sanitygap.claims.verdicts import Value
from sanitygap.criteria.gap import shown
from sanitygap.inference import Interval, bootstrap, bootstrap_mean, paired_difference
from sanitygap.scores import need_methods
from sanitygap.sensitivity.scores import (
    LEVEL,
    METHODS,
    THRESHOLD,
    coverage,
    criteria,
    image_sensitivities,
    layer_table,
)

Tables = Mapping[str, pd.DataFrame]

#: the two groups of Sect. 7
GUIDED = ("guided-backprop", "guided-grad-cam")
PATHS = ("deeplift", "gradient-x-input", "integrated-gradients")

#: where the paper's claims about single architectures end and other networks begin
LIME_MAXIMUM, FRESH, HIDDEN = 0.995, 0.95, 0.10

#: simulated sets of images for the coverage of the interval, for each method
SIMULATIONS = 300

#: explainers that know nothing of the network and draw nothing
DETERMINISTIC = ("noise-fixed", "edges", "centre")


def of_methods(table: pd.DataFrame, methods: Sequence[str] = METHODS) -> pd.DataFrame:
    """S^i of the methods that the table holds, images x methods."""
    held = set(table["method"])
    return image_sensitivities(table, methods=[name for name in methods if name in held])


def dataset_sensitivity(values: pd.Series) -> Interval | None:
    """S^I with the paper's interval of 90 %, None if fewer than two images have one."""
    kept = values.dropna()
    return bootstrap_mean(kept, LEVEL) if len(kept) > 1 else None


def _too_few(what: str, count: int) -> Verdict:
    return Verdict(value="no-data", evidence=f"{what}: {count} images are too few.")


def _lacking(table: pd.DataFrame, methods: Sequence[str]) -> Verdict | None:
    absent = [name for name in methods if name not in set(table["method"])]
    if not absent:
        return None
    return Verdict(value="not-run", reason=f"the run lacks {', '.join(absent)}; compute them")


@criterion("sriram-fig3", tables=("ipr-test",))
def figure_3(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["ipr-test"]
    if verdict := _lacking(table, METHODS):
        return verdict
    scores, verdicts, levels, dropped = of_methods(table), [], {}, 0
    for name in scores:
        dropped += int(scores[name].isna().sum())
        interval = dataset_sensitivity(scores[name])
        if interval is None:
            return _too_few(str(name), int(scores[name].notna().sum()))
        value: Value = "undecided"
        if interval.low >= THRESHOLD:
            value = "reproduced"
        elif interval.high < THRESHOLD:
            value = "not-reproduced"
        levels[str(name)] = interval
        verdicts.append(
            Verdict(
                value=value,
                evidence=f"{name} {shown(interval)}.",
                numbers={f"S {name}": interval.estimate},
            )
        )
    lowest = min(levels, key=lambda name: levels[name].low)
    joined = combine(verdicts)
    passed = sum(verdict.value == "reproduced" for verdict in verdicts)
    return joined.model_copy(
        update={
            "evidence": f"{passed} of {len(verdicts)} methods have S^I ≥ 0.01 with their whole "
            f"interval; the lowest is {lowest}, {shown(levels[lowest])} "
            f"(n = {levels[lowest].n} images, {table['stage'].nunique()} layers, 90 % intervals; "
            f"{dropped} images left out for a map that is zero everywhere).",
            "reason": "The threshold is met almost by construction: one layer in a hundred does.",
        }
    )


@criterion("sriram-fig3-guided", tables=("ipr-captum", "silent-hooks"))
def guided_across_architectures(tables: Tables, context: CriterionContext) -> Verdict:
    hooks = tables["silent-hooks"]
    silent = list(map(str, hooks.loc[hooks["difference"] == 0, "network"]))
    scores = of_methods(
        tables["ipr-captum"], ("gradient", "captum-guided-backprop", "guided-backprop")
    ).mean()
    here = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
    return Verdict(
        value="not-run",
        evidence=f"captum's guided backpropagation equals the plain gradient to the last bit in "
        f"{len(silent)} of {len(hooks)} of the paper's architectures ({', '.join(silent)}), "
        f"whatever their weights. S^I on {context.model}: {here}.",
        reason="The claim compares five trained networks with each other; this run is about one. "
        "Run the page for each of them and compare the runs.",
        numbers={"silent": len(silent), "networks": len(hooks)}
        | {f"S {name}": float(value) for name, value in scores.dropna().items()},
    )


@criterion("sriram-groups", tables=("ipr-test", "ipr-retest"))
def groups(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["ipr-test"]
    if verdict := _lacking(table, METHODS):
        return verdict
    scores = of_methods(table)[[*GUIDED, *PATHS]].dropna()
    if len(scores) < 4:
        return _too_few("Correlation over images", len(scores))
    within = [(0, 1), (2, 3), (2, 4), (3, 4)]
    between = [(a, b) for a in (0, 1) for b in (2, 3, 4)]

    def gap(values: np.ndarray) -> float:
        with np.errstate(invalid="ignore"):
            found = np.corrcoef(values, rowvar=False)
        pairs = [np.array([found[pair] for pair in kind]) for kind in (within, between)]
        known = [kind[~np.isnan(kind)] for kind in pairs]
        if not all(map(len, known)):  # a resample of very few images can be constant
            return float("nan")
        return float(known[0].mean() - known[1].mean())

    try:
        interval = bootstrap(scores, gap)
    except ValueError:  # resamples of very few images can be constant
        return _too_few("Correlation over images", len(scores))
    means = scores.corr().to_numpy()
    numbers = {
        "within": float(np.mean([means[pair] for pair in within])),
        "between": float(np.mean([means[pair] for pair in between])),
    }
    first = Verdict(
        value=verdict_from_interval(interval.low, interval.high, 0.0, "above"),
        evidence=f"Pearson correlation of S^i over {len(scores)} images: mean "
        f"{numbers['within']:+.2f} within the two groups, {numbers['between']:+.2f} between them, "
        f"difference {shown(interval)}.",
        numbers=numbers,
    )
    lime = of_methods(table, ("lime",))["lime"].dropna()
    again = retest_sensitivity(tables["ipr-retest"]).get("lime", float("nan"))
    level = f"LIME has S^I = {lime.mean():.3f} here; asked a second time of the unchanged network, "
    level += f"its S is {again:.3f} already."
    if context.model.partition("@")[0] != "torchvision:resnet50":
        return first.model_copy(
            update={
                "evidence": f"{first.evidence} {level}",
                "reason": "That LIME has S^I = 1.0 is about ResNet50, which is not this network.",
            }
        )
    mean = dataset_sensitivity(lime)
    if mean is None:
        return _too_few("LIME", len(lime))
    value: Value = "direction" if mean.low >= LIME_MAXIMUM else "undecided"
    if mean.high < LIME_MAXIMUM:
        value = "not-reproduced"
    second = Verdict(value=value, evidence=level, numbers={"S lime": mean.estimate})
    return combine([first, second])


def retest_sensitivity(table: pd.DataFrame) -> dict[str, float]:
    """Mean S between two maps of the unchanged network: method -> value."""
    rows = table[table["stage"] == "retest"]
    names = rows["method"].str.partition("@")[0]
    return {
        str(name): float(1 - value) for name, value in rows.groupby(names)["ssim"].mean().items()
    }


@criterion("sriram-threshold", tables=("ipr-retest", "threshold-sweep"))
def threshold(tables: Tables, context: CriterionContext) -> Verdict:
    found = retest_sensitivity(tables["ipr-retest"])
    drawing = {"smoothgrad", "lime", "noise"}  # of masks, noisy copies or the map itself
    fixed = {name: value for name, value in found.items() if name not in drawing}
    repeatable = all(value <= 1e-4 for value in fixed.values())
    flagged = {name: value for name, value in found.items() if value > THRESHOLD}
    stochastic = {name: value for name, value in found.items() if name in drawing}
    sweep = tables["threshold-sweep"]
    rows = sweep[sweep["scaling"] == "[0, 1]"]
    reached = {
        str(kind): float(part.loc[part["sensitivity"] >= THRESHOLD, "noise"].min())
        for kind, part in rows.groupby("map", sort=False)
    }
    unrelated = rows[np.isinf(rows["noise"])].set_index("map")["sensitivity"]
    listed = ", ".join(f"{name} {value:.3f}" for name, value in stochastic.items())
    return Verdict(
        value="reproduced" if repeatable else "not-reproduced",
        evidence=f"Asked twice of the unchanged network, the {len(fixed)} deterministic methods "
        f"have S of at most {max(fixed.values()):.1e}. Those that draw random numbers: {listed}. "
        "On maps in [0, 1] the threshold is crossed by noise of standard deviation "
        + ", ".join(f"{value:g} ({kind})" for kind, value in reached.items())
        + "; two unrelated maps have S = "
        + ", ".join(f"{value:.2f} ({kind})" for kind, value in unrelated.items())
        + ".",
        reason=f"Flagged, as they pass without any change of the network: {', '.join(flagged)}."
        if flagged
        else "",
        numbers={f"retest {name}": value for name, value in found.items() if np.isfinite(value)},
    )


@criterion("sriram-alt-criteria", tables=("ipr-test",))
def hidden_insensitivity(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["ipr-test"]
    if verdict := _lacking(table, METHODS):
        return verdict
    found = {name: criteria(layer_table(table, name).dropna()) for name in METHODS}
    passing = [name for name, one in found.items() if one["S"] >= THRESHOLD]
    hiding = [name for name in passing if 1 - found[name]["meets"] > HIDDEN]
    worst = min(found, key=lambda name: found[name]["meets"])
    value: Value = "reproduced" if hiding else "not-reproduced"
    if len(passing) < len(found):
        value = "undecided"
    return Verdict(
        value=value,
        evidence=f"{len(passing)} of {len(found)} methods pass S^I ≥ 0.01; {len(hiding)} of them "
        f"fail Definition 2 on more than 10 % of the images"
        + (f" ({', '.join(hiding)})" if hiding else "")
        + f". Lowest share of images that meet it: {found[worst]['meets']:.0%} ({worst}), where "
        f"the least sensitive layer has mean S = {found[worst]['least_layer']:.4f} and "
        f"{found[worst]['insensitive']:.1%} of the pairs of image and layer are insensitive.",
        reason="" if hiding else "S^I and Definition 2 agree here: the hypothesis fails.",
        numbers={f"meets {name}": one["meets"] for name, one in found.items()}
        | {f"S {name}": one["S"] for name, one in found.items()},
    )


@criterion("sriram-noise-max", tables=("ipr-test",))
def noise_is_maximal(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["ipr-test"]
    if verdict := _lacking(table, ("noise", *DETERMINISTIC)):
        return verdict
    held = [name for name in METHODS if name in set(table["method"])]
    scores = image_sensitivities(table, methods=["noise", *DETERMINISTIC, *held])
    noise = bootstrap_mean(scores["noise"])
    still = {name: float(scores[name].abs().max()) for name in DETERMINISTIC}
    value: Value = "undecided"
    if noise.low >= FRESH:
        value = "reproduced"
    elif noise.high < FRESH:
        value = "not-reproduced"
    verdicts = [Verdict(value=value, evidence=f"Fresh noise has S^I = {shown(noise)}.")]
    for name in held:
        pair = scores[["noise", name]].dropna()
        if len(pair) < 2:
            verdicts.append(_too_few(name, len(pair)))
            continue
        gap = paired_difference(pair["noise"], pair[name])
        verdicts.append(
            Verdict(
                value="undecided" if gap.low <= 0 <= gap.high
                else "reproduced" if gap.low > 0 else "not-reproduced",
                evidence=f"noise − {name} = {shown(gap)}.",
                numbers={f"noise - {name}": gap.estimate},
            )
        )  # fmt: skip
    exact = max(still.values()) < 1e-6
    verdicts.append(
        Verdict(
            value="reproduced" if exact else "not-reproduced",
            evidence="Explainers that are blind to the network and draw nothing have S^I of at "
            f"most {max(still.values()):.0e} ({', '.join(still)}).",
            numbers={"blind": max(still.values())},
        )
    )
    joined = combine(verdicts)
    above = [v for v in verdicts[1:-1] if v.value == "reproduced"]
    against = " ".join(v.evidence for v in verdicts[1:-1] if v.value != "reproduced")
    return joined.model_copy(
        update={
            "evidence": f"{verdicts[0].evidence} It lies above {len(above)} of {len(held)} methods "
            f"beyond chance. {against} {verdicts[-1].evidence}".replace("  ", " ")
        }
    )


@criterion("sriram-dataset", tables=("ipr-test",))
def intervals(tables: Tables, context: CriterionContext) -> Verdict:
    scores = of_methods(tables["ipr-test"])
    kept = {name: scores[name].dropna() for name in scores if scores[name].notna().sum() > 1}
    if not kept or max(map(len, kept.values())) < 2:
        return _too_few("Intervals", len(scores))
    # methods whose S^i do not differ between images have no interval to speak of
    shares = {
        str(name): coverage(values, simulations=SIMULATIONS)
        for name, values in kept.items()
        if values.std() > 0
    }
    if not shares:
        return _too_few("Intervals of S^i that vary", 0)
    pooled = float(np.mean(list(shares.values())))
    half = {
        str(name): (found.high - found.low) / 2
        for name, values in kept.items()
        if (found := dataset_sensitivity(values)) is not None
    }
    widest = max(half, key=lambda name: half[name])
    count = len(next(iter(kept.values())))
    return Verdict(
        value="reproduced" if 0.86 <= pooled <= 0.94 else "not-reproduced",
        evidence=f"In {SIMULATIONS * len(shares)} simulated sets of 900 images, drawn from the "
        f"{count} measured S^i of {len(shares)} methods, the 90 % interval covers the true S^I in "
        f"{pooled:.1%} of the cases (a single method: {min(shares.values()):.1%} to "
        f"{max(shares.values()):.1%}). Half-width here at most {half[widest]:.4f} ({widest}, "
        f"n = {count}).",
        numbers={"coverage": pooled} | {f"half-width {name}": v for name, v in half.items()},
    )


@criterion("sriram-fig1", tables=("ipr-kinds",))
def figure_1(tables: Tables, context: CriterionContext) -> Verdict:
    rows = {row["method"]: row for row in tables["ipr-kinds"].to_dict("records")}
    constant = [name for name, row in rows.items() if not row["deviation"] > 0]
    need_methods(rows, "guided-backprop", "captum-guided-backprop")
    guided, theirs = rows["guided-backprop"], rows["captum-guided-backprop"]
    same = bool(guided["same_as_gradient"])
    silent = (
        "is the gradient's, to the last bit"
        if bool(theirs["same_as_gradient"])
        else f"correlates with the gradient's at {float(theirs['like_gradient']):+.3f}"
    )
    return Verdict(
        value="not-reproduced" if constant or same else "reproduced",
        evidence=f"{len(constant)} of {len(rows)} maps of the image are constant. The map of "
        f"guided backpropagation correlates with the gradient's at "
        f"{float(guided['like_gradient']):+.3f}; captum's {silent}.",
        numbers={
            "constant": len(constant),
            "guided and gradient": float(guided["like_gradient"]),
            "captum and gradient": float(theirs["like_gradient"]),
        },
    )
