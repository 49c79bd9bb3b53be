"""Criteria for the parameter randomisation test of Adebayo et al. (2018, Appendix B and C).

``last`` is the step of a cumulative order in which all layers are random. The ImageNet network is
that of the run; the CNN and the MLP are those of the appendix, trained on grey images.
"""

import pandas as pd

from sanitygap import judge
from sanitygap.inference import bootstrap_mean, paired_difference
from sanitygap.judge import GUIDED, Context, Tables, Value, Verdict, condition, criterion, rows_of
from sanitygap.scores import need_methods

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
    rows = table
    if "data" in table:
        rows = rows_of(table, data=table["data"].iloc[0])
    return rows_of(rows, **values)


def scores(rows: pd.DataFrame, value: str = "spearman") -> pd.DataFrame:
    """One score, images x (method, scaling); seeds averaged, NaN where a map has no score."""
    means = rows.groupby(["image", "method", "maps"], sort=False)[value].agg(judge.strict_mean)
    return means.unstack(["method", "maps"])


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
    rows = rows_of(table, order="top-down")
    words = {"signed": "diverging", "absolute": "absolute"}
    return rows.assign(maps=rows["sign"].map(words))


def initialised_alike(
    rows: pd.DataFrame, first: str, second: str, prefix: str = ""
) -> list[Verdict]:
    """For each method, stage and scaling: are the rank correlations of two initialisations alike?

    The criterion is met if the difference is below 0.05 with an interval inside ±0.1, refuted if
    the interval lies beyond 0.05 on either side.
    """
    verdicts = []
    for (method, stage, maps), part in rows[rows["weights"].isin([first, second])].groupby(
        ["method", "stage", "maps"], sort=False
    ):
        if set(part["weights"]) != {first, second}:
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
    verdicts = []
    for name, wide in sources.items():
        verdicts.append(beyond_gradient(wide, name))
        for method in ("gradient-x-input", "integrated-gradients"):
            verdicts.append(beyond_sign(wide, method, name))
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
    verdicts = []
    for name, rows in sources.items():
        for method in ("integrated-gradients", "gradient-x-input"):
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
