"""Criteria for the parameter randomisation test of Adebayo et al. (2018, Appendix B and C).

``last`` is the step of a cumulative order in which all layers are random. The ImageNet network is
that of the run; the CNN and the MLP are those of the appendix, trained on grey images.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from sanitygap.claims import CriterionContext, Verdict, combine, criterion
from sanitygap.claims.verdicts import Value
from sanitygap.criteria.gap import shown
from sanitygap.criteria.irrelevance import all_met, condition, enough, rows_of, too_few_images
from sanitygap.inference import Interval, bootstrap_mean, paired_difference
from sanitygap.scores import need_methods

Tables = Mapping[str, pd.DataFrame]

GREY = "parameter-test-grey"

#: seeds of the redrawn weights that the ledger asks for in every paired comparison
SEEDS = 5

#: the bound of the criterion on the difference of two initialisations, and on its interval
LARGEST, WIDEST = 0.05, 0.1

#: the order, weights and class of the appendix for the tests that vary none of these
TRUNCATED = {"weights": "truncated-normal", "explained": "original"}
TOP_DOWN = TRUNCATED | {"order": "top-down"}


def one_test(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    """The rows of one network and choice, on the data set that stands first in the table."""
    rows = table
    if "data" in table:
        rows = rows_of(table, data=table["data"].iloc[0])
    return rows_of(rows, **values)


def scores(rows: pd.DataFrame, value: str = "spearman") -> pd.DataFrame:
    """One score, images x (method, scaling); seeds averaged, NaN where a map has no score."""
    means = rows.groupby(["image", "method", "maps"], sort=False)[value].agg(
        lambda values: values.mean(skipna=False)
    )
    return means.unstack(["method", "maps"])


def last(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows in which the whole network is random."""
    return rows[rows["step"] == rows["steps"]]


def gap_of(
    wide: pd.DataFrame, first: tuple[str, str], second: tuple[str, str], what: str
) -> Verdict:
    """The verdict of "the first of two columns is higher", on images where both have a score."""
    words = f"{what}: {first[0]} ({first[1]}) − {second[0]} ({second[1]})"
    if first not in wide or second not in wide:
        return Verdict(value="no-data", evidence=f"{words}: 0 rows in this run.")
    both = wide[[first, second]].dropna()
    if len(both) < 2:
        return Verdict(value="no-data", evidence=f"{words}: {len(both)} images with both maps.")
    return condition(paired_difference(both[first], both[second]), 0, "above", words)


def from_house_table(table: pd.DataFrame) -> pd.DataFrame:
    """The table ``randomization`` of the run's model in the words of the others."""
    rows = rows_of(table, order="top-down")
    words = {"signed": "diverging", "absolute": "absolute"}
    return rows.assign(maps=rows["sign"].map(words))


def initialised_alike(rows: pd.DataFrame, first: str, second: str) -> list[Verdict]:
    """For each method, stage and scaling: are the rank correlations of two initialisations alike?

    The criterion is met if the difference is below 0.05 with an interval inside ±0.1, refuted if
    the interval lies beyond 0.05 on either side.
    """
    chosen = rows[rows["weights"].isin([first, second])]
    verdicts = []
    for (method, stage, maps), part in chosen.groupby(["method", "stage", "maps"], sort=False):
        if set(part["weights"]) != {first, second}:
            continue  # a slow method is tried with one of them only
        means = part.groupby(["image", "weights"])["spearman"].agg(
            lambda values: values.mean(skipna=False)
        )
        wide = means.unstack("weights").dropna()
        what = f"{method}, {stage}, {maps}: {first} − {second}"
        if len(wide) < 2:
            verdicts.append(
                Verdict(value="no-data", evidence=f"{what}: {len(wide)} images with both maps.")
            )
            continue
        gap = paired_difference(wide[first], wide[second])
        value: Value = "undecided"
        if abs(gap.estimate) < LARGEST and max(-gap.low, gap.high) < WIDEST:
            value = "direction"
        elif gap.low > LARGEST or gap.high < -LARGEST:
            value = "not-reproduced"
        verdicts.append(
            Verdict(value=value, evidence=f"{what}: {shown(gap)}.", numbers={what: gap.estimate})
        )
    return verdicts


@criterion("adebayo-paramtest-init", tables=(GREY,))
def initialisations(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables[GREY]
    if verdict := too_few_images(table):
        return verdict
    rows = rows_of(table, order="top-down", explained="original")
    judged, words = [], []
    for network, part in rows.groupby("network", sort=False):
        found = initialised_alike(one_test(part), "truncated-normal", "uniform")
        judged += [
            verdict.model_copy(
                update={
                    "evidence": f"{network}, {verdict.evidence}",
                    "numbers": {f"{network}, {k}": v for k, v in verdict.numbers.items()},
                }
            )
            for verdict in found
        ]
        for other in ("he-normal", "permuted"):
            if other in set(part["weights"]):
                beside = initialised_alike(one_test(part), "truncated-normal", other)
                met = sum(verdict.value == "direction" for verdict in beside)
                words.append(f"{network}, truncated normal beside {other}: {met} of {len(beside)}.")
    if not judged:
        return Verdict(value="not-run", reason="the run holds no two initialisations")
    verdict = some_of(judged, "method, stage and scaling")
    evidence = f"{verdict.evidence} {' '.join(words)}"
    seeds = table["seed"].nunique()
    return enough(verdict.model_copy(update={"evidence": evidence}), seeds, SEEDS, "redraws")


def some_of(verdicts: Sequence[Verdict], what: str) -> Verdict:
    """All conditions as one verdict, with how many are met and the first that are not."""
    joined = all_met(list(verdicts))
    unmet = [v for v in verdicts if v.value != "direction"]
    met = len(verdicts) - len(unmet)
    refuted = sum(v.value == "not-reproduced" for v in unmet)
    evidence = f"{met} of {len(verdicts)} conditions ({what}) are met, {refuted} refuted."
    if unmet:
        ordered = sorted(unmet, key=lambda v: v.value != "not-reproduced")
        evidence += " " + " ".join(v.evidence for v in ordered[:3])
        evidence += f" … and {len(unmet) - 3} more." if len(unmet) > 3 else ""
    numbers: dict[str, float] = {"met": met, "refuted": refuted, "conditions": len(verdicts)}
    return joined.model_copy(update={"evidence": evidence, "numbers": numbers})


@criterion("adebayo-param-cascade", tables=(GREY, "randomization"))
def cascade(tables: Tables, context: CriterionContext) -> Verdict:
    if verdict := too_few_images(tables["randomization"]):
        return verdict
    sources = {
        "CNN": scores(last(one_test(tables[GREY], network="CNN", **TOP_DOWN))),
        context.model: scores(last(from_house_table(tables["randomization"]))),
    }
    verdicts = []
    for name, wide in sources.items():
        guided, plain = ("guided-backprop", "absolute"), ("gradient", "absolute")
        verdicts.append(gap_of(wide, guided, plain, name))
        verdicts += [
            gap_of(wide, (method, "absolute"), (method, "diverging"), name)
            for method in ("gradient-x-input", "integrated-gradients")
        ]
    levels = "; ".join(f"{name}: {levels_of(wide)}" for name, wide in sources.items())
    verdict = some_of(verdicts, "Spearman correlations at the last stage")
    return verdict.model_copy(
        update={
            "evidence": f"{verdict.evidence} Absolute maps at the last stage: {levels}.",
            "numbers": combine(verdicts).numbers,
        }
    )


def levels_of(wide: pd.DataFrame) -> str:
    """Mean scores of absolute maps, in words."""
    means = {
        method: wide[method, "absolute"].mean()
        for method in dict.fromkeys(wide.columns.get_level_values(0))
        if (method, "absolute") in wide
    }
    kept = {name: value for name, value in means.items() if name in NAMED}
    return ", ".join(f"{name} {value:+.2f}" for name, value in kept.items())


#: the methods that the paper speaks of
NAMED = (
    "gradient", "smoothgrad", "grad-cam", "guided-backprop", "guided-grad-cam", "gradient-x-input",
    "integrated-gradients",
)  # fmt: skip


@criterion("adebayo-independent", tables=(GREY, "parameter-test"))
def independent(tables: Tables, context: CriterionContext) -> Verdict:
    if verdict := too_few_images(tables["parameter-test"]):
        return verdict
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
                guided, plain = ("guided-backprop", "absolute"), ("gradient", "absolute")
                verdicts.append(gap_of(wide, guided, plain, f"{name}, {stage}"))
    return some_of(verdicts, "one layer random at a time")


def _below(wide: pd.DataFrame, column: tuple[str, str], bound: float, what: str) -> Verdict:
    words = f"{what}: {column[0]} ({column[1]})"
    values = wide[column].dropna() if column in wide else pd.Series(dtype=float)
    if len(values) < 2:
        return Verdict(value="no-data", evidence=f"{words}: {len(values)} images with a map.")
    return condition(bootstrap_mean(values), bound, "below", words)


@criterion("adebayo-fig12", tables=(GREY, "randomization"))
def figure_12(tables: Tables, context: CriterionContext) -> Verdict:
    if verdict := too_few_images(tables["randomization"]):
        return verdict
    grey = rows_of(tables[GREY], **TOP_DOWN)
    sources = {
        f"{network}, {data}": rows
        for (network, data), rows in grey.groupby(["network", "data"], sort=False)
    } | {context.model: from_house_table(tables["randomization"])}
    verdicts = []
    for name, rows in sources.items():
        for method in ("integrated-gradients", "gradient-x-input"):
            stages = list(dict.fromkeys(rows["stage"]))
            intervals = [
                _paired(scores(rows_of(rows, stage=stage, method=method)), method)
                for stage in stages
            ]
            count = sum(one is not None and one.low >= 0 for one in intervals)
            open_ = sum(one is None or one.low < 0 <= one.high for one in intervals)
            half = len(stages) / 2
            value: Value = "direction" if count >= half else "not-reproduced"
            if count < half <= count + open_:
                value = "undecided"
            words = f"{name}, {method}: signed at most absolute at {count} of {len(stages)} stages."
            verdicts.append(
                Verdict(value=value, evidence=words,
                        numbers={f"{name}, {method}": count / len(stages)})
            )  # fmt: skip
    return combine(verdicts)


def _paired(wide: pd.DataFrame, method: str) -> Interval | None:
    both = wide.dropna()
    if len(both) < 2:
        return None
    return paired_difference(both[method, "absolute"], both[method, "diverging"])


@criterion("adebayo-fig28", tables=(GREY,))
def figure_28(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables[GREY]
    if verdict := too_few_images(table):
        return verdict
    rows = one_test(table, network="CNN", **TRUNCATED)
    end = scores(last(rows_of(rows, order="top-down")))
    verdicts = [
        gap_of(end, (method, "absolute"), (method, "diverging"), "last stage")
        for method in ("deeplift", "lrp-epsilon")
    ]
    need_methods(set(rows["method"]), "gradient")
    single = rows_of(rows, order="independent", method="gradient", maps="diverging")
    order = list(dict.fromkeys(single.sort_values("step")["stage"]))
    wide = single.groupby(["image", "stage"])["spearman"].mean().unstack("stage")
    only_last, only_first = wide[order[0]], wide[order[-1]]
    gap = paired_difference(only_last, only_first)
    words = f"gradient, only {order[0]} random minus only {order[-1]} random"
    verdicts.append(condition(gap, 0, "above", words))
    verdicts.append(_below(end, ("perturbation-mask", "diverging"), 0.5, "last stage"))
    return enough(all_met(verdicts), table["seed"].nunique(), SEEDS, "redraws")
