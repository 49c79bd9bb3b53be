"""Criteria of Adebayo et al. (2018): networks, random labels, and the cascade of random weights."""

from itertools import product

import pandas as pd

from sanitygap import judge
from sanitygap.inference import Interval, bootstrap_mean, paired_difference, proportion_interval
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
    verdict = judge.measured(
        near,
        f"{network} on {chosen['data']}, {chosen['epochs']} passes through "
        f"{chosen['train_images']} images: test accuracy {_percent(accuracy)} "
        f"(n = {accuracy.n}); stated {stated} %.",
        {"accuracy": accuracy.estimate, "images": accuracy.n},
        value="reproduced",
    )
    if len(own):
        return verdict
    # the surrogate may speak for the claim, but its failure says nothing about MNIST
    width = f", 1/{chosen['shrink']} as wide" if chosen["shrink"] > 1 else ""
    reason = f"A surrogate: {chosen['data']} in place of MNIST{width}."
    value: Value = "direction" if near else "undecided"
    return verdict.model_copy(update={"value": value, "reason": reason})


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
        words = f"{name}: {learnt:.1%} of {row['train_images']} random labels learnt in "
        words += f"{row['epochs']} passes, test accuracy {test.estimate:.1%} "
        words += f"[{test.low:.1%}, {test.high:.1%}]."
        numbers = {f"{name}, learnt": learnt, f"{name}, test": test.estimate}
        met = learnt > MEMORIZED and not test.excludes(CHANCE)
        verdicts.append(judge.measured(met, words, numbers))
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


GREY = "parameter-test-grey"

#: seeds of the redrawn weights that the ledger asks for in every paired comparison
SEEDS = 5

#: the bound of the criterion on the difference of two initialisations, and on its interval
LARGEST, WIDEST = 0.05, 0.1

#: the order, weights and class of the appendix for the tests that vary none of these
TRUNCATED = {"weights": "truncated-normal", "explained": "original"}
Column = tuple[str, str]
"""Method and scaling."""

TOP_DOWN = TRUNCATED | {"order": "top-down"}


def one_test(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    """The rows of one network and choice, on the data set that stands first in the table."""
    if "data" in table:
        values |= {"data": table["data"].iloc[0]}
    return rows_of(table, **values)


def scores(rows: pd.DataFrame, value: str = "spearman") -> pd.DataFrame:
    """One score, images x (method, scaling); seeds averaged, NaN where a map has no score."""
    columns = ["method", "maps"]
    means = rows.groupby(["image", *columns], sort=False)[value].agg(judge.strict_mean)
    return means.unstack(columns)


def last(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows in which the whole network is random."""
    return rows[rows["step"] == rows["steps"]]


def gap_of(scores: pd.DataFrame, first: Column, second: Column, what: str) -> Verdict:
    """The verdict of "the first of two columns is higher", on images where both have a score."""
    words = f"{what}: {first[0]} ({first[1]}) − {second[0]} ({second[1]})"
    if first not in scores or second not in scores:
        return judge.no_data(f"{words}: 0 rows in this run.")
    return judge.paired_condition(scores, first, second, words)


def beyond_sign(scores: pd.DataFrame, method: str, what: str) -> Verdict:
    """Absolute maps of a method are more similar than signed ones."""
    return gap_of(scores, (method, "absolute"), (method, "diverging"), what)


def beyond_gradient(scores: pd.DataFrame, what: str) -> Verdict:
    """Absolute maps of guided backpropagation are more similar than those of the gradient."""
    return gap_of(scores, (GUIDED, "absolute"), ("gradient", "absolute"), what)


def from_house_table(table: pd.DataFrame) -> pd.DataFrame:
    """The table ``randomization`` of the run's model in the words of the others."""
    words = {"signed": "diverging", "absolute": "absolute"}
    return rows_of(table, order="top-down").assign(maps=table["sign"].map(words))


def initialised_alike(
    rows: pd.DataFrame, first: str, second: str, prefix: str = ""
) -> list[Verdict]:
    """For each method, stage and scaling: are the rank correlations of two initialisations alike?

    The criterion is met if the difference is below 0.05 with an interval inside ±0.1, refuted if
    the interval lies beyond 0.05 on either side.
    """
    verdicts, pair = [], [first, second]
    groups = rows[rows["weights"].isin(pair)].groupby(["method", "stage", "maps"], sort=False)
    for (method, stage, maps), part in groups:
        if part["weights"].nunique() < 2:
            continue  # a slow method is tried with one of them only
        means = judge.scores_by(part, "spearman", "weights", judge.strict_mean).dropna()
        what = f"{prefix}{method}, {stage}, {maps}: {first} − {second}"
        verdict = judge.paired_condition(means, first, second, what)
        if verdict.value != "no-data":
            gap = judge.paired(means, first, second)
            value: Value = "undecided"
            if abs(gap.estimate) < LARGEST and max(-gap.low, gap.high) < WIDEST:
                value = "direction"
            elif gap.low > LARGEST or gap.high < -LARGEST:
                value = "not-reproduced"
            verdict = verdict.model_copy(update={"value": value})
        verdicts.append(verdict)
    return verdicts


@criterion("adebayo-paramtest-init", tables=(GREY,))
def initialisations(tables: Tables, context: Context) -> Verdict:
    table = tables[GREY]
    judge.need_images(table)
    rows = rows_of(table, order="top-down", explained="original")
    judged, words = [], []
    for network, part in rows.groupby("network", sort=False):
        own = one_test(part)
        judged += initialised_alike(own, "truncated-normal", "uniform", f"{network}, ")
        for other in ("he-normal", "permuted"):
            if other in set(part["weights"]):
                beside = initialised_alike(own, "truncated-normal", other)
                met = sum(verdict.value == "direction" for verdict in beside)
                words.append(f"{network}, truncated normal beside {other}: {met} of {len(beside)}.")
    if not judged:
        return judge.not_run("the run holds no two initialisations")
    verdict = judge.some_of(judged, "method, stage and scaling")
    verdict = judge.reworded(verdict, f"{verdict.evidence} {' '.join(words)}")
    return judge.enough(verdict, table["seed"].nunique(), SEEDS, "redraws")


@criterion("adebayo-param-cascade", tables=(GREY, "randomization"))
def cascade(tables: Tables, context: Context) -> Verdict:
    judge.need_images(tables["randomization"])
    sources = {
        "CNN": scores(last(one_test(tables[GREY], network="CNN", **TOP_DOWN))),
        context.model: scores(last(from_house_table(tables["randomization"]))),
    }
    verdicts, products = [], ("gradient-x-input", "integrated-gradients")
    for name, wide in sources.items():
        verdicts += [beyond_gradient(wide, name), *(beyond_sign(wide, m, name) for m in products)]
    levels = "; ".join(f"{name}: {levels_of(wide)}" for name, wide in sources.items())
    words = judge.some_of(verdicts, "Spearman correlations at the last stage").evidence
    return judge.reworded(
        judge.combine(verdicts), f"{words} Absolute maps at the last stage: {levels}."
    )


def levels_of(wide: pd.DataFrame) -> str:
    """Mean scores of absolute maps, in words."""
    return ", ".join(
        f"{method} {wide[method, 'absolute'].mean():+.2f}"
        for method in dict.fromkeys(wide.columns.get_level_values(0))
        if method in NAMED and (method, "absolute") in wide
    )


#: the methods that the paper speaks of
NAMED = (
    "gradient", "smoothgrad", "grad-cam", "guided-backprop", "guided-grad-cam", "gradient-x-input",
    "integrated-gradients",
)  # fmt: skip


@criterion("adebayo-independent", tables=(GREY, "parameter-test"))
def independent(tables: Tables, context: Context) -> Verdict:
    judge.need_images(tables["parameter-test"])
    choice = TRUNCATED | {"order": "independent"}
    sources = {
        "CNN": one_test(tables[GREY], network="CNN", **choice),
        context.model: rows_of(tables["parameter-test"], **choice),
    }
    verdicts = []
    for name, rows in sources.items():
        order = list(dict.fromkeys(rows.sort_values("step")["stage"]))  # from the output downwards
        lower = order[len(order) // 2 :] if len(order) > 1 else order
        for stage in order:
            wide = scores(rows_of(rows, stage=stage))
            for method in ("gradient", "grad-cam"):
                verdicts.append(_below(wide, (method, "diverging"), 0.9, f"{name}, {stage}"))
            if stage in lower:
                verdicts.append(beyond_gradient(wide, f"{name}, {stage}"))
    return judge.some_of(verdicts, "one layer random at a time")


def _below(scores: pd.DataFrame, column: Column, bound: float, what: str) -> Verdict:
    words = f"{what}: {column[0]} ({column[1]})"
    values = scores[column].dropna() if column in scores else pd.Series(dtype=float)
    if len(values) < 2:
        return judge.no_data(f"{words}: {len(values)} images with a map.")
    return condition(bootstrap_mean(values), bound, "below", words)


@criterion("adebayo-fig12", tables=(GREY, "randomization"))
def figure_12(tables: Tables, context: Context) -> Verdict:
    judge.need_images(tables["randomization"])
    grey = rows_of(tables[GREY], **TOP_DOWN)
    sources = {
        f"{network}, {data}": rows
        for (network, data), rows in grey.groupby(["network", "data"], sort=False)
    } | {context.model: from_house_table(tables["randomization"])}
    verdicts, methods = [], ("integrated-gradients", "gradient-x-input")
    for (name, rows), method in product(sources.items(), methods):
        stages = [
            _at_most(scores(rows_of(rows, stage=stage, method=method)).dropna(), method)
            for stage in dict.fromkeys(rows["stage"])
        ]
        count, half = stages.count("direction"), len(stages) / 2
        value: Value = "direction" if count >= half else "not-reproduced"
        if count < half <= len(stages) - stages.count("not-reproduced"):
            value = "undecided"
        words = f"{name}, {method}: signed at most absolute at {count} of {len(stages)} stages."
        numbers = {f"{name}, {method}": count / len(stages)}
        verdicts.append(Verdict(value=value, evidence=words, numbers=numbers))
    return judge.combine(verdicts)


def _at_most(complete: pd.DataFrame, method: str) -> Value:
    """Whether signed maps are at most as similar as absolute ones."""
    if len(complete) < 2:
        return "no-data"
    gap = judge.paired(complete, (method, "absolute"), (method, "diverging"))
    return judge.at_least(gap, 0, "direction")


@criterion("adebayo-fig28", tables=(GREY,))
def figure_28(tables: Tables, context: Context) -> Verdict:
    table = tables[GREY]
    judge.need_images(table)
    rows = one_test(table, network="CNN", **TRUNCATED)
    end = scores(last(rows_of(rows, order="top-down")))
    verdicts = [beyond_sign(end, method, "last stage") for method in ("deeplift", "lrp-epsilon")]
    need_methods(set(rows["method"]), "gradient")
    single = rows_of(rows, order="independent", method="gradient", maps="diverging")
    order = list(dict.fromkeys(single.sort_values("step")["stage"]))
    wide = judge.scores_by(single, "spearman", "stage")
    gap = paired_difference(wide[order[0]], wide[order[-1]])
    words = f"gradient, only {order[0]} random minus only {order[-1]} random"
    verdicts.append(condition(gap, 0, "above", words))
    verdicts.append(_below(end, ("perturbation-mask", "diverging"), 0.5, "last stage"))
    return judge.enough(judge.all_met(verdicts), table["seed"].nunique(), SEEDS, "redraws")
