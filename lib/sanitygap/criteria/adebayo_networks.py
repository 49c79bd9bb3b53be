"""Criteria for the networks of Adebayo et al. (2018, Appendix B) and for random labels."""

import pandas as pd

from sanitygap import judge
from sanitygap.inference import Interval, bootstrap_mean, proportion_interval
from sanitygap.judge import GUIDED, Context, Tables, Value, Verdict, condition, criterion, rows_of
from sanitygap.scores import need_methods

#: test accuracy that the appendix states, and the tolerance of the criterion, in percent
CNN_ACCURACY, CNN_TOLERANCE = 99.2, 0.3
MLP_ACCURACY, MLP_TOLERANCE = 98.7, 0.4

#: phases of the appendix, and the accuracy of its Inception v3 in percent
PHASES, TOP_5, TOP_5_TOLERANCE = 17, 93.9, 0.5

MEMORIZED, CHANCE = 0.95, 0.1

GRADIENTS = ("gradient", "gradient-x-input", "integrated-gradients", "smoothgrad")

#: below this a difference supports that guided backpropagation does not see the labels
INSENSITIVE = 0.1

#: what the network with true labels is compared with
LABELS = ("true labels again", "random labels")

#: readings of "similarity": name -> column and scaling
MEASURES = {
    "Spearman, signed maps": ("spearman", "diverging"),
    "Spearman, absolute maps": ("spearman", "absolute"),
    "SSIM, absolute maps": ("ssim", "absolute"),
}


@criterion("adebayo-inception", tables=("step-counts", "top-5"))
def inception(tables: Tables, context: Context) -> Verdict:
    counts = rows_of(tables["step-counts"], network="inception_v3")
    if counts.empty:
        return judge.not_run("the run's table 'step-counts' lacks inception_v3")
    counted = int(counts["counted"].iloc[0])
    phases = f"torchvision's Inception v3 has {counted} blocks in the order of the appendix, which "
    phases += f"states {PHASES} phases."
    known = tables["top-5"].dropna(subset=["top_5"])
    top_5 = proportion_interval(int(known["top_5"].sum()), len(known)) if len(known) else None
    if not context.paper_model:
        reason = f"{phases} The accuracy is about the TF-slim weights of Inception v3, which this "
        reason += "run does not have."
        if top_5:
            reason += f" {context.model} has a top-5 accuracy of {top_5.estimate:.1%} here."
        return judge.not_run(reason)
    if top_5 is None:
        return judge.not_run(f"{phases} The run's images have no labels.")
    near = abs(100 * top_5.estimate - TOP_5) <= TOP_5_TOLERANCE
    return judge.measured(
        near and counted == PHASES,
        f"{phases} Top-5 accuracy {_percent(top_5)} on {top_5.n} images; stated {TOP_5} %.",
        {"blocks": counted, "top-5": top_5.estimate},
        value="reproduced",
    )


def _percent(share: Interval) -> str:
    """A proportion and its interval in percent."""
    return f"{100 * share.estimate:.2f} % [{100 * share.low:.2f}, {100 * share.high:.2f}]"


def _accuracy(tables: Tables, network: str, stated: float, tolerance: float) -> Verdict:
    rows = rows_of(tables["trained-networks"], network=network, purpose="accuracy")
    own = rows_of(rows, data="mnist", shrink=1)
    chosen = (own if len(own) else rows).iloc[0]
    accuracy = proportion_interval(int(chosen["test_right"]), int(chosen["test_images"]))
    near = abs(100 * accuracy.estimate - stated) <= tolerance
    value: Value = "reproduced" if near else "not-reproduced"
    reason = ""
    if own.empty:
        # the surrogate may speak for the claim, but its failure says nothing about MNIST
        value = "direction" if near else "undecided"
        width = f", 1/{chosen['shrink']} as wide" if chosen["shrink"] > 1 else ""
        reason = f"A surrogate: {chosen['data']} in place of MNIST{width}."
    return Verdict(
        value=value,
        evidence=f"{network} on {chosen['data']}, {chosen['epochs']} passes through "
        f"{chosen['train_images']} images: test accuracy {_percent(accuracy)} "
        f"(n = {accuracy.n}); stated {stated} %.",
        reason=reason,
        numbers={"accuracy": accuracy.estimate, "images": accuracy.n},
    )


@criterion("adebayo-cnn", tables=("trained-networks",))
def convolutional(tables: Tables, context: Context) -> Verdict:
    return _accuracy(tables, "CNN", CNN_ACCURACY, CNN_TOLERANCE)


@criterion("adebayo-mlp", tables=("trained-networks",))
def dense(tables: Tables, context: Context) -> Verdict:
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
            judge.measured(
                met,
                f"{name}: {learnt:.1%} of {row['train_images']} random labels learnt in "
                f"{row['epochs']} passes, test accuracy {test.estimate:.1%} "
                f"[{test.low:.1%}, {test.high:.1%}].",
                {f"{name}, learnt": learnt, f"{name}, test": test.estimate},
            )
        )
    return verdicts


def label_effect(rows: pd.DataFrame, method: str, value: str) -> pd.DataFrame:
    """Similarity of a method's maps, images x what the true network is compared with."""
    own = rows_of(rows, method=method)
    keys = ["network", "data", "image", "compared"]
    means = own.groupby(keys, sort=False)[value].agg(judge.strict_mean)
    return means.unstack("compared").dropna()


@criterion("adebayo-randlabels", tables=("trained-networks", "data-randomization"))
def random_labels(tables: Tables, context: Context) -> Verdict:
    table = tables["data-randomization"]
    learnt = memorised(tables["trained-networks"])
    if not learnt or table["image"].nunique() < 2:
        return judge.not_run("the run holds no network with random labels")
    readings, guided = {}, []
    for name, (column, maps) in MEASURES.items():
        verdicts = []
        groups = rows_of(table, maps=maps).groupby(["network", "data"], sort=False)
        for (network, data), rows in groups:
            for method in GRADIENTS:
                words = f"{network} on {data}, {method}: true labels again minus random labels"
                effect = label_effect(rows, method, column)
                verdicts.append(judge.paired_condition(effect, *LABELS, words, lacking="images"))
            effect = label_effect(rows, GUIDED, column)
            if len(effect) > 1:
                gap = judge.paired(effect, *LABELS)
                blind = gap.estimate < INSENSITIVE or not gap.excludes(0)
                words = "supports" if blind else "does not support"
                guided.append(f"{network} on {data}, {name}: {gap} {words} insensitivity")
        readings[name] = judge.some_of(verdicts, "lower with random labels")
    verdict, memory = judge.one_verdict(readings, "how maps are compared"), judge.all_met(learnt)
    words = f"{judge.evidence_of(learnt)} {verdict.evidence} Guided backpropagation: "
    verdict = judge.reworded(verdict, f"{words}{'; '.join(guided)}.", memory.numbers)
    if memory.value == "direction":
        return verdict
    return verdict.model_copy(update={"value": memory.value})


@criterion("adebayo-fig7", tables=("regression-surrogate",))
@criterion("adebayo-bone", tables=("regression-surrogate",))
def surrogate(tables: Tables, context: Context) -> Verdict:
    table = tables["regression-surrogate"]
    judge.need_images(table, "an interval needs at least two images")
    rows = rows_of(table, maps="absolute", compared="random network")
    verdicts = []
    for column in ("spearman", "ssim"):
        scores = judge.scores_by(rows, column, sort=False)
        need_methods(scores, GUIDED, "gradient")
        both = scores[[GUIDED, "gradient"]].dropna()
        gap = judge.paired(both, GUIDED, "gradient")
        verdicts.append(condition(gap, 0, "above", f"{column}, {GUIDED} − gradient"))
        level = bootstrap_mean(both[GUIDED])
        verdicts.append(condition(level, 0.5, "above", f"{column}, {GUIDED}"))
    reason = "A surrogate: a small network that estimates a number from images of digits. The "
    reason += "paper's own network and radiographs are not public; that setting stays not run."
    return judge.reworded(judge.all_met(verdicts), reason=reason)
