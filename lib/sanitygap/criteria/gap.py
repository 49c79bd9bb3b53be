"""Criteria for the experimental gap of Binder et al. (2022): Fig. 1, Fig. 2 and their appendices.

What the paper leaves open is not chosen here: the gap and the figures of occlusion are judged under
every specification of :mod:`sanitygap.multiverse`. A criterion that asks for several differences
asks for all of them, so its intervals need no correction for their number.

Where one variant of LRP stands for the family without being a choice of its own, in Fig. 2 and
App. 3, it is epsilon-plus, as was fixed before any number was seen.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import pandas as pd
from scipy.stats import kendalltau

from sanitygap import multiverse
from sanitygap.claims import (
    CriterionContext,
    Value,
    Verdict,
    combine,
    criterion,
    verdict_from_interval,
)
from sanitygap.inference import Interval, bootstrap_mean, paired_difference
from sanitygap.scores import complete, need_methods, occlusion_scores, randomization_scores

Tables = Mapping[str, pd.DataFrame]
Direction = Literal["above", "below"]

GUIDED = "guided-backprop"
LRP = "lrp-epsilon-plus"
GRADIENTS = ("gradient", "gradient-x-input", "integrated-gradients")
FIGURE_METHODS = (*GRADIENTS, GUIDED, LRP, "lrp-alpha2-beta1", "lrp-gamma-box")
CONTROLS = ("noise", "edges", "noise-fixed", "noise-x-input")

#: column with the SSIM -> the data range L under which it was taken
RANGES = {"ssim": "joint", "ssim_robust": "robust", "ssim_L1": "1", "ssim_L2": "2"}


def difference(
    scores: pd.DataFrame, first: str, second: str, direction: Direction, what: str
) -> Verdict:
    """The verdict of "first scores above (below) second", paired over images."""
    need_methods(scores, first, second)
    pair = scores[[first, second]].dropna()
    interval = paired_difference(pair[first], pair[second])
    return Verdict(
        value=verdict_from_interval(interval.low, interval.high, 0.0, direction),
        evidence=f"{what}: {first} − {second} = {shown(interval)}.",
        numbers={f"{what}, {first} - {second}": interval.estimate},
    )


def shown(interval: Interval) -> str:
    """An interval as text."""
    return f"{interval.estimate:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def summary(verdicts: list[Verdict], what: str) -> Verdict:
    """Many conditions as one verdict: how many hold, and the ones that do not."""
    joined = combine(verdicts)
    failed = [v for v in verdicts if v.value == "not-reproduced"]
    undecided = [v for v in verdicts if v.value in ("undecided", "no-data")]
    held = len(verdicts) - len(failed) - len(undecided)
    parts = [f"{held} of {len(verdicts)} differences ({what}) have the claimed sign beyond chance."]
    if failed:
        parts.append(f"Against the claim ({len(failed)}): {_some(failed)}")
    if undecided:
        parts.append(f"Not settled ({len(undecided)}): {_some(undecided)}")
    numbers: dict[str, float] = {
        "held": held,
        "against": len(failed),
        "open": len(undecided),
    }
    return Verdict(value=joined.value, evidence=" ".join(parts), numbers=numbers)


def _some(verdicts: list[Verdict]) -> str:
    shown_ = " ".join(verdict.evidence for verdict in verdicts[:3])
    more = len(verdicts) - 3
    return shown_ + (f" … and {more} more." if more > 0 else "")


def methods_of(scores: pd.DataFrame) -> list[str]:
    """The columns that are attribution methods, not controls."""
    return [str(name) for name in scores if name not in CONTROLS]


def at_step(table: pd.DataFrame, step: int, value: str) -> pd.DataFrame:
    """Scores of one step of the top-down order, signed maps: images x methods."""
    rows = table[
        (table["step"] == step) & (table["sign"] == "signed") & (table["order"] == "top-down")
    ]
    return rows.groupby(["image", "method"])[value].mean().unstack("method")


def last_step(table: pd.DataFrame) -> int:
    """The deepest step of the top-down order."""
    return int(table.loc[table["order"] == "top-down", "step"].max())


def orderings(table: pd.DataFrame) -> dict[str, float]:
    """Kendall's tau between the orderings of the methods by SSIM, for each choice of L."""
    means = {
        name: randomization_scores(table, name).drop(columns=list(CONTROLS), errors="ignore").mean()
        for name in RANGES
    }
    base = means["ssim"]
    return {
        name: float(kendalltau(base, values[base.index]).statistic)
        for name, values in means.items()
        if name != "ssim"
    }


def nearest(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``randomization-specifications`` as the paper describes its maps.

    Signed maps, relevance that starts with 1, biases in no denominator, normalisation layers reset
    with the others; all seeds.
    """
    chosen = {"start": "one", "reduction": "signed", "norms": "reset"}
    for name, value in chosen.items():
        table = table[table[name] == value]
    return table


def at_stage(table: pd.DataFrame, step: int, value: str) -> pd.DataFrame:
    """Scores of one step, images x methods, averaged over seeds."""
    rows = table[table["step"] == step]
    return rows.groupby(["image", "method"])[value].mean().unstack("method")


def _differences(table: pd.DataFrame, steps: Sequence[int], similarity: str) -> Verdict:
    """Guided backpropagation and LRP above every gradient method, at every one of these steps."""
    verdicts = [
        difference(at_stage(table, step, similarity), method, other, "above", f"step {step}")
        for step in steps
        for method in (GUIDED, LRP)
        for other in GRADIENTS
    ]
    return summary(verdicts, f"SSIM, {len(steps)} steps beyond the classifier")


def _higher_ssim(tables: Tables, context: CriterionContext) -> Verdict:
    """The claim's own differences under each data range; other methods have no part in it."""
    table = nearest(tables["randomization-specifications"])
    if missing := _missing(table):
        return missing
    steps = sorted(step for step in table["step"].unique() if step > 1)
    if not steps:
        return Verdict(value="not-run", reason="the table holds no step beyond the classifier")
    judged = {name: _differences(table, steps, column) for column, name in RANGES.items()}
    counts = [
        f"L = {name} {verdict.numbers['held']:.0f} of {sum(verdict.numbers.values()):.0f} "
        f"({verdict.value})"
        for name, verdict in judged.items()
    ]
    numbers = {
        key: sum(verdict.numbers[key] for verdict in judged.values())
        for key in ("held", "against", "open")
    } | {
        f"{key}, L = {name}": count
        for name, verdict in judged.items()
        for key, count in verdict.numbers.items()
    }
    evidence = " ".join(f"L = {name}: {verdict.evidence}" for name, verdict in judged.items())
    evidence += f" {_sample(table)}"
    values = {verdict.value for verdict in judged.values()}
    if len(values) == 1:
        return Verdict(value=values.pop(), evidence=evidence, numbers=numbers)
    return Verdict(
        value="under-specified",
        evidence=evidence,
        reason=(
            "The paper does not state the data range L of SSIM, and the verdict depends on it. "
            f"Differences of the claimed sign beyond chance: {', '.join(counts)}."
        ),
        numbers=numbers,
    )


def _missing(table: pd.DataFrame) -> Verdict | None:
    """What is said where a table lacks a method that the claim names."""
    absent = {GUIDED, LRP, *GRADIENTS} - set(table["method"])
    if not absent:
        return None
    return Verdict(value="not-run", reason=f"the table lacks {', '.join(sorted(absent))}")


def _sample(table: pd.DataFrame) -> str:
    """How many images and draws of the weights stand behind a table."""
    return f"(n = {table['image'].nunique()} images, {table['seed'].nunique()} draws of weights.)"


criterion("binder-fig2", tables=("randomization-specifications",))(_higher_ssim)


@criterion("binder-app2", tables=("randomization-specifications",))
def app2(tables: Tables, context: CriterionContext) -> Verdict:
    return _higher_ssim(tables, context)


@criterion("binder-app3", tables=("randomization-specifications", "randomization"))
def app3(tables: Tables, context: CriterionContext) -> Verdict:
    table = nearest(tables["randomization-specifications"])
    if missing := _missing(table):
        return missing
    deepest = at_stage(table, int(table["step"].max()), "mse")
    verdicts = []
    for method in ("gradient", "integrated-gradients"):
        interval = bootstrap_mean(deepest[method].dropna())
        inside = 1.8 <= interval.estimate <= 2.05 and interval.high >= 1.9
        verdicts.append(
            Verdict(
                value="direction" if inside else "not-reproduced",
                evidence=f"{method}: normalised MSE {interval.estimate:.3f} "
                f"[{interval.low:.3f}, {interval.high:.3f}] {_sample(table)}",
                numbers={f"mse {method}": interval.estimate},
            )
        )
    for method in (GUIDED, LRP):
        verdicts.append(difference(deepest, method, "gradient", "below", "deepest step"))
    products = tables["randomization"]
    gap = float((products["mse"] - (2 - 2 * products["product"])).abs().max())
    verdicts.append(
        Verdict(
            value="direction" if gap < 1e-5 else "not-reproduced",
            evidence=f"MSE and 2 − 2·mean(ÃB̃) differ by at most {gap:.1e} in single precision.",
            numbers={"identity": gap},
        )
    )
    return combine(verdicts)


@criterion("binder-thm4-two", tables=("randomization",))
def theorem_4_two(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["randomization"]
    step = last_step(table)
    product, means = at_step(table, step, "product"), at_step(table, step, "means")
    verdicts = []
    for method in ("gradient", "integrated-gradients"):
        need_methods(means, method)
        mean = bootstrap_mean(means[method].dropna())
        covariance = bootstrap_mean((product - means)[method].dropna())
        small_mean = max(abs(mean.low), abs(mean.high)) < 0.02
        small_covariance = max(abs(covariance.low), abs(covariance.high)) < 0.1
        verdicts.append(
            Verdict(
                value="direction" if small_mean and small_covariance else "not-reproduced",
                evidence=f"{method} at the deepest step: product of means {shown(mean)}, "
                f"covariance {shown(covariance)}.",
                numbers={f"means {method}": mean.estimate, f"cov {method}": covariance.estimate},
            )
        )
    return combine(verdicts)


def over_specifications(
    values: pd.Series, table: pd.DataFrame, names: Sequence[str], what: str
) -> Verdict:
    """The verdict of a claim that is judged under every specification.

    The outcome if all specifications agree; otherwise ``under-specified``, with the share in which
    the claim holds and the choice that explains most of whether it does.

    Args:
        values: ``holds``, ``contradicted`` or ``open``, one a specification.
        table: the specifications, in the same order.
        names: the choices.
        what: names them in the evidence.
    """
    found = multiverse.shares(values)
    counts = ", ".join(f"{name} in {share:.1%}" for name, share in found.items())
    evidence = f"Of {len(values)} {what} the claim is: {counts}."
    numbers = {f"share {name}": share for name, share in found.items()}
    numbers["share: all"] = found["holds"]
    numbers["specifications"] = len(values)
    agreed = {"holds": "direction", "contradicted": "not-reproduced", "open": "undecided"}
    for name, value in agreed.items():
        if found[name] == 1:
            return Verdict(value=cast(Value, value), evidence=evidence, numbers=numbers)
    holding = table.assign(holding=(values == "holds").astype(float).to_numpy())
    if holding["holding"].nunique() > 1:
        first = multiverse.deciding(holding, names, "holding").index[0]
        levels = holding.groupby(first, sort=False)["holding"].mean()
        split = ", ".join(f"{level} {share:.0%}" for level, share in levels.items())
        reason = f"The {first} decides most whether it holds: it does with {split}."
    else:
        reason = "No specification supports the claim, and not all contradict it."
    return Verdict(
        value="under-specified",
        evidence=evidence,
        reason=f"The paper leaves the choices open. {reason}",
        numbers=numbers,
    )


def _figure(table: pd.DataFrame, patch: int) -> pd.DataFrame:
    """Whether a figure of occlusion shows what it should, under each specification of its patch.

    Guided backpropagation and LRP below all gradient methods, and each of the five below noise,
    else the comparison means nothing.

    Returns:
        A row for each specification: the choices and the outcomes of these parts.
    """
    need_methods(set(table["method"]), "noise")
    names = multiverse.OCCLUSION
    scores = multiverse.occlusion_scores(table)
    found = multiverse.differences(names, scores)
    found = found[(found["patch"] == patch) & (found["output"] == "softmax")]
    parts = multiverse.outcomes(found, names, -1)
    wide = parts.pivot(index=list(names), columns="part", values="outcome").reset_index()
    return wide.merge(multiverse.against_noise(names, scores), on=list(names))


@criterion("binder-fig1", tables=("occlusion-specifications",))
def fig1(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["occlusion-specifications"]
    if missing := _missing(table):
        return missing
    found = _figure(table, 15)
    return over_specifications(
        multiverse.all_of(found[[*multiverse.PARTS, "noise"]]),
        found,
        multiverse.OCCLUSION,
        "specifications with regions of 15 pixels and softmax",
    )


@criterion("binder-app1", tables=("occlusion-specifications",))
def app1(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["occlusion-specifications"]
    if missing := _missing(table):
        return missing
    if 8 not in set(table["patch"]):
        return Verdict(
            value="not-run", reason="the run holds no occlusion by patches of 8; use profile full"
        )
    names = multiverse.OCCLUSION
    taus = multiverse.agreement_of_patches(names, multiverse.occlusion_scores(table))
    found = _figure(table, 8).merge(taus[[*names, "agreement"]], on=list(names))
    return over_specifications(
        multiverse.all_of(found[[*multiverse.PARTS, "noise", "agreement"]]),
        found,
        names,
        "specifications with regions of 8 pixels and softmax",
    )


def both_scores(
    tables: Tables, methods: Sequence[str] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Randomisation and occlusion scores of the same images and methods.

    Args:
        tables: ``randomization`` and ``occlusion``.
        methods: all that are no controls by default.
    """
    scores = (
        randomization_scores(tables["randomization"]),
        occlusion_scores(tables["occlusion"]),
    )
    random, occluded = complete(*(table[list(methods or methods_of(table))] for table in scores))
    return random, occluded


def counted(scores: pd.DataFrame, table: pd.DataFrame) -> str:
    """How many images a comparison is about, and how many were left out."""
    images = table["image"].nunique()
    if images == len(scores):
        return f"{images} images"
    return (
        f"{len(scores)} of {images} images; the others lack a score under some method, as a map "
        "that is zero everywhere does"
    )


@criterion("binder-gap", tables=("occlusion-specifications", "randomization-specifications"))
def gap(tables: Tables, context: CriterionContext) -> Verdict:
    occluded, randomized = (tables[name] for name in SPECIFICATIONS)
    for table in (occluded, randomized):
        if missing := _missing(table):
            return missing
    found = multiverse.Gap.of(occluded, randomized)
    joint = found.joint()
    verdict = over_specifications(
        joint["all"], joint, multiverse.CHOICES, "joint specifications of both tests"
    )
    parts = {name: multiverse.shares(joint[name])["holds"] for name in (*multiverse.PARTS, "tau")}
    in_words = (
        f"Its parts hold in: guided backpropagation {parts['guided backpropagation']:.1%}, LRP "
        f"{parts['LRP']:.1%}, Kendall's tau below 0 {parts['tau']:.1%} "
        f"(n = {occluded['image'].nunique()} images under occlusion, "
        f"{randomized['image'].nunique()} with {randomized['seed'].nunique()} draws of weights)."
    )
    return verdict.model_copy(
        update={
            "evidence": f"{verdict.evidence} {in_words}",
            "numbers": verdict.numbers | {f"share: {name}": value for name, value in parts.items()},
        }
    )


SPECIFICATIONS = ("occlusion-specifications", "randomization-specifications")
