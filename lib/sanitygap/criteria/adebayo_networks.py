"""Criteria for the networks of Adebayo et al. (2018, Appendix B) and for random labels."""

from collections.abc import Mapping

import pandas as pd

from sanitygap.claims import CriterionContext, Verdict, criterion
from sanitygap.claims.verdicts import Value
from sanitygap.criteria.adebayo_randomization import some_of
from sanitygap.criteria.irrelevance import all_met, condition, one_verdict, rows_of
from sanitygap.inference import paired_difference, proportion_interval
from sanitygap.scores import need_methods

Tables = Mapping[str, pd.DataFrame]

#: test accuracy that the appendix states, and the tolerance of the criterion, in percent
CNN_ACCURACY, CNN_TOLERANCE = 99.2, 0.3
MLP_ACCURACY, MLP_TOLERANCE = 98.7, 0.4

#: phases of the appendix, and the accuracy of its Inception v3 in percent
PHASES, TOP_5, TOP_5_TOLERANCE = 17, 93.9, 0.5

MEMORIZED, CHANCE = 0.95, 0.1

GRADIENTS = ("gradient", "gradient-x-input", "integrated-gradients", "smoothgrad")
GUIDED = "guided-backprop"

#: below this a difference supports that guided backpropagation does not see the labels
INSENSITIVE = 0.1

#: readings of "similarity": name -> column and scaling
MEASURES = {
    "Spearman, signed maps": ("spearman", "diverging"),
    "Spearman, absolute maps": ("spearman", "absolute"),
    "SSIM, absolute maps": ("ssim", "absolute"),
}


@criterion("adebayo-inception", tables=("step-counts", "top-5"))
def inception(tables: Tables, context: CriterionContext) -> Verdict:
    counts = rows_of(tables["step-counts"], network="inception_v3")
    if counts.empty:
        return Verdict(value="not-run", reason="the run's table 'step-counts' lacks inception_v3")
    counted = int(counts["counted"].iloc[0])
    phases = f"torchvision's Inception v3 has {counted} blocks in the order of the appendix, which "
    phases += f"states {PHASES} phases."
    known = tables["top-5"].dropna(subset=["top_5"])
    if not context.paper_model:
        right = ""
        if len(known):
            found = proportion_interval(int(known["top_5"].sum()), len(known))
            right = f" {context.model} has a top-5 accuracy of {found.estimate:.1%} here."
        return Verdict(
            value="not-run",
            reason=f"{phases} The accuracy is about the TF-slim weights of Inception v3, which "
            f"this run does not have.{right}",
        )
    if not len(known):
        return Verdict(value="not-run", reason=f"{phases} The run's images have no labels.")
    found = proportion_interval(int(known["top_5"].sum()), len(known))
    near = abs(100 * found.estimate - TOP_5) <= TOP_5_TOLERANCE
    return Verdict(
        value="reproduced" if near and counted == PHASES else "not-reproduced",
        evidence=f"{phases} Top-5 accuracy {100 * found.estimate:.2f} % "
        f"[{100 * found.low:.2f}, {100 * found.high:.2f}] on {found.n} images; stated {TOP_5} %.",
        numbers={"blocks": counted, "top-5": found.estimate},
    )


def _accuracy(tables: Tables, network: str, stated: float, tolerance: float) -> Verdict:
    rows = rows_of(tables["trained-networks"], network=network, purpose="accuracy")
    own = rows_of(rows, data="mnist", shrink=1)
    chosen = (own if len(own) else rows).iloc[0]
    right, images = int(chosen["test_right"]), int(chosen["test_images"])
    found = proportion_interval(right, images)
    accuracy = 100 * found.estimate
    near = abs(accuracy - stated) <= tolerance
    passes = f"{chosen['epochs']} passes through {chosen['train_images']} images"
    evidence = (
        f"{network} on {chosen['data']}, {passes}: test accuracy {accuracy:.2f} % "
        f"[{100 * found.low:.2f}, {100 * found.high:.2f}] (n = {images}); stated {stated} %."
    )
    value: Value = "reproduced" if near else "not-reproduced"
    reason = ""
    if own.empty:
        # the surrogate may speak for the claim, but its failure says nothing about MNIST
        value = "direction" if near else "undecided"
        width = f", 1/{chosen['shrink']} as wide" if chosen["shrink"] > 1 else ""
        reason = f"A surrogate: {chosen['data']} in place of MNIST{width}."
    numbers = {"accuracy": found.estimate, "images": images}
    return Verdict(value=value, evidence=evidence, reason=reason, numbers=numbers)


@criterion("adebayo-cnn", tables=("trained-networks",))
def convolutional(tables: Tables, context: CriterionContext) -> Verdict:
    return _accuracy(tables, "CNN", CNN_ACCURACY, CNN_TOLERANCE)


@criterion("adebayo-mlp", tables=("trained-networks",))
def dense(tables: Tables, context: CriterionContext) -> Verdict:
    return _accuracy(tables, "MLP", MLP_ACCURACY, MLP_TOLERANCE)


def memorised(table: pd.DataFrame) -> list[Verdict]:
    """For each network with random labels: are they learnt, and is its test accuracy chance?"""
    verdicts = []
    for row in rows_of(table, purpose="labels", labels="random").to_dict("records"):
        name = f"{row['network']} on {row['data']}, seed {row['seed']}"
        learnt = row["train_right"] / row["train_images"]
        test = proportion_interval(int(row["test_right"]), int(row["test_images"]))
        met = learnt > MEMORIZED and not test.excludes(CHANCE)
        verdicts.append(
            Verdict(
                value="direction" if met else "not-reproduced",
                evidence=f"{name}: {learnt:.1%} of {row['train_images']} random labels learnt in "
                f"{row['epochs']} passes, test accuracy {test.estimate:.1%} "
                f"[{test.low:.1%}, {test.high:.1%}].",
                numbers={f"{name}, learnt": learnt, f"{name}, test": test.estimate},
            )
        )
    return verdicts


def label_effect(rows: pd.DataFrame, method: str, value: str) -> pd.DataFrame:
    """Similarity of a method's maps, images x what the true network is compared with."""
    own = rows_of(rows, method=method)
    keys = ["network", "data", "image", "compared"]
    means = own.groupby(keys, sort=False)[value].agg(lambda values: values.mean(skipna=False))
    return means.unstack("compared").dropna()


@criterion("adebayo-randlabels", tables=("trained-networks", "data-randomization"))
def random_labels(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["data-randomization"]
    learnt = memorised(tables["trained-networks"])
    if not learnt or table["image"].nunique() < 2:
        return Verdict(value="not-run", reason="the run holds no network with random labels")
    readings, guided = {}, []
    for name, (column, maps) in MEASURES.items():
        verdicts: list[Verdict] = []
        for (network, data), rows in rows_of(table, maps=maps).groupby(
            ["network", "data"], sort=False
        ):
            for method in GRADIENTS:
                wide = label_effect(rows, method, column)
                words = f"{network} on {data}, {method}: true labels again minus random labels"
                if len(wide) < 2:
                    verdicts.append(
                        Verdict(value="no-data", evidence=f"{words}: {len(wide)} images.")
                    )
                    continue
                gap = paired_difference(wide["true labels again"], wide["random labels"])
                verdicts.append(condition(gap, 0, "above", words))
            wide = label_effect(rows, GUIDED, column)
            if len(wide) > 1:
                gap = paired_difference(wide["true labels again"], wide["random labels"])
                blind = gap.estimate < INSENSITIVE or not gap.excludes(0)
                words = "supports" if blind else "does not support"
                guided.append(f"{network} on {data}, {name}: {gap} {words} insensitivity")
        readings[name] = some_of(verdicts, "lower with random labels")
    verdict, memory = one_verdict(readings, "how maps are compared"), all_met(learnt)
    value = verdict.value if memory.value == "direction" else memory.value
    words = " ".join(one.evidence for one in learnt)
    shown = f"{words} {verdict.evidence} Guided backpropagation: {'; '.join(guided)}."
    numbers = verdict.numbers | memory.numbers
    return verdict.model_copy(update={"value": value, "evidence": shown, "numbers": numbers})


def _surrogate(tables: Tables) -> Verdict:
    rows = tables["regression-surrogate"]
    if rows["image"].nunique() < 2:
        return Verdict(value="not-run", reason="an interval needs at least two images")
    verdicts = []
    for column in ("spearman", "ssim"):
        own = rows_of(rows, maps="absolute", compared="random network")
        means = own.groupby(["image", "method"], sort=False)[column].mean().unstack("method")
        need_methods(means, GUIDED, "gradient")
        both = means[[GUIDED, "gradient"]].dropna()
        gap = paired_difference(both[GUIDED], both["gradient"])
        verdicts.append(condition(gap, 0, "above", f"{column}, {GUIDED} − gradient"))
        level = paired_difference(both[GUIDED], 0 * both[GUIDED])
        verdicts.append(condition(level, 0.5, "above", f"{column}, {GUIDED}"))
    verdict = all_met(verdicts)
    reason = "A surrogate: a small network that estimates a number from images of digits. The "
    reason += "paper's own network and radiographs are not public; that setting stays not run."
    return verdict.model_copy(update={"reason": reason})


@criterion("adebayo-bone", tables=("regression-surrogate",))
def bone_age(tables: Tables, context: CriterionContext) -> Verdict:
    return _surrogate(tables)


@criterion("adebayo-fig7", tables=("regression-surrogate",))
def figure_7(tables: Tables, context: CriterionContext) -> Verdict:
    return _surrogate(tables)
