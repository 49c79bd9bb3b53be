"""Criteria for the definitions of Sriram and Conati (2022; Eq. 1-7) and for what tests can tell."""

import numpy as np
import pandas as pd
from scipy.stats import pearsonr, spearmanr

from sanitygap import judge
from sanitygap.chapters.sriram.judge import correlation, of_methods
from sanitygap.chapters.sriram.proofs import LAYERS
from sanitygap.chapters.sriram.scores import (
    BANDS,
    SIMILAR,
    THRESHOLD,
    VERSIONS,
    layer_sensitivity,
    perceived,
    sensitive_for_image,
    sensitive_to_layer,
)
from sanitygap.formal import encoding_is_sound, proved, refuted, unsettled, witness
from sanitygap.inference import bootstrap_mean, paired_difference
from sanitygap.judge import Context, Tables, Value, Verdict, criterion, shown
from sanitygap.scores import need_methods

PROOFS = "sensitivity-proofs"


@criterion("sriram-ipr", tables=("ipr-models", "similarity-words"))
def independent_randomisation(tables: Tables, context: Context) -> Verdict:
    rows = tables["ipr-models"]
    exact = bool(((rows["changed"] == 1) & rows["itself"] & (rows["outside"] == 0)).all())
    changed = int((rows["changed"] == 1).sum())
    words = tables["similarity-words"]
    right = all(
        np.isclose(row[row["described"]], 1)
        and not np.isclose(row["monotone"] if row["described"] == "linear" else 0, 1)
        for row in words.to_dict("records")
    )
    value: Value = "false" if not exact else "holds" if right else "slip"
    values = "; ".join(
        f"{row.statistic} of x and exp(x) is {row.monotone:.2f}" for row in words.itertuples()
    )
    return Verdict(
        value=value,
        evidence=f"{len(rows)} layers make {len(rows)} networks; in {changed} of them exactly one "
        f"layer differs from the trained network. {values[0].upper()}{values[1:]}.",
        reason=""
        if right
        else "The paper's descriptions of the two correlations are "
        "exchanged: Spearman's sees monotonic relations, Pearson's linear ones.",
        numbers={"networks": len(rows), "exact": changed},
    )


@criterion("sriram-table1")
def bands(tables: Tables, context: Context) -> Verdict:
    lows = list(BANDS.values())
    edges = [low for low in lows if np.isfinite(low)]
    points = np.unique([*np.linspace(-1, 1, 4001), *edges, *(np.nextafter(e, -1) for e in edges)])
    uppers = [np.inf, *lows[:-1]]
    within = [(points >= low) & (points < up) for low, up in zip(lows, uppers, strict=True)]
    classes = np.array(within).sum(0)
    named = all(
        within[list(BANDS).index(perceived(float(point)))][place]
        for place, point in enumerate(points)
        if perceived(float(point)) in BANDS
    )
    once = int((classes == 1).sum())
    return judge.formal(
        once == len(points) and named,
        f"{len(BANDS)} classes; {once} of {len(points)} values of the SSIM from -1 to 1, "
        "the edges among them, belong to exactly one.",
        {"classes": len(BANDS), "values": len(points), "in one class": once},
        "That the mapping is by Wang et al. (2004) could not be confirmed from the documents, and "
        "it was made for photographs: for attribution maps its words are an assumption.",
    )


def _settled(proofs: pd.DataFrame, *names: str) -> None:
    """Let pass what was proved or refuted."""
    if verdict := unsettled(proofs, *names):
        judge.stop(verdict)


def _definitions(tables: Tables, statement: str) -> Verdict:
    """Definition 1, Definition 2 and Eq. (1) differ only where an SSIM equals 0.99."""
    proofs = tables[PROOFS]
    names = (
        "definition 1 and equation 1 agree off 0.99",
        "definition 1 and equation 1 agree",
        "definition 1 implies equation 1",
    )
    _settled(proofs, *names)
    rng = np.random.default_rng(0)
    values = np.round(rng.uniform(0.97, 1, size=(2000, 3)), 2)  # 0.99 occurs often
    strict, loose = sensitive_to_layer(values).all(1), sensitive_for_image(values)
    apart = strict != loose
    only_there = bool((values[apart] == SIMILAR).any(1).all())
    same_off = proved(proofs, names[0], names[2]) and only_there and encoding_is_sound(proofs)
    differ = refuted(proofs, names[1])
    value: Value = "false" if not same_off else "slip" if differ else "holds"
    return Verdict(
        value=value,
        evidence=f"z3 proves that {statement} agree wherever no SSIM equals 0.99, and finds the "
        f"exception {witness(proofs, names[1])}; of 2000 triples of SSIM with two decimals the "
        f"two readings differ in {int(apart.sum())}, all with a 0.99 in them.",
        reason="Definition 1 says “<”, Eq. (1) says “≤”." if differ else "",
        numbers={"differ": int(apart.sum()), "triples": 2000},
    )


@criterion("sriram-def1", tables=(PROOFS,))
def definition_1(tables: Tables, context: Context) -> Verdict:
    return _definitions(tables, "Definition 1 for every layer and Eq. (1)")


@criterion("sriram-def2", tables=(PROOFS,))
def definition_2(tables: Tables, context: Context) -> Verdict:
    return _definitions(tables, "Definition 2 and Eq. (1)")


@criterion("sriram-eq1", tables=(PROOFS,))
def equation_1(tables: Tables, context: Context) -> Verdict:
    return _definitions(tables, "Eq. (1) and Definition 1 for every layer")


@criterion("sriram-eq2", tables=("ipr-test", "sensitivity-extremes"))
def equation_2(tables: Tables, context: Context) -> Verdict:
    extremes = tables["sensitivity-extremes"]
    ssim = pd.concat([tables["ipr-test"]["ssim"], extremes["ssim"]]).dropna().astype(float)
    computed = layer_sensitivity(ssim)
    exact = (computed == 1 - ssim).all() and (extremes["sensitivity"] == 1 - extremes["ssim"]).all()
    low, high, above = float(computed.min()), float(computed.max()), int((computed > 1).sum())
    return judge.formal(
        bool(exact),
        f"Met by all {len(computed)} values; S lies between {low:.3f} and {high:.3f}, above 1 for "
        f"{above} of them.",
        {"lowest": low, "highest": high, "above 1": above},
        "The SSIM lies in (-1, 1], so S lies in [0, 2), not in [0, 1]." if above else "",
    )


@criterion("sriram-eq3", tables=(PROOFS,))
def equation_3(tables: Tables, context: Context) -> Verdict:
    proofs = tables[PROOFS]
    _settled(proofs, "threshold of S", "threshold of S, 0.02")
    good = proved(proofs, "threshold of S") and refuted(proofs, "threshold of S, 0.02")
    same = "that SSIM ≤ 0.99 and S ≥ 0.01 are the same condition"
    refutes = f"z3 proves {same}, and refutes the variant with 0.02."
    return judge.formal(good, refutes if good else f"z3 does not prove {same}.")


def _layers(tables: Tables, about: str) -> Verdict:
    """Definition 2 implies the threshold of S^i for every number of layers, not conversely."""
    proofs = tables[PROOFS]
    forward = [f"definition 2 implies S^i, {count} layers" for count in LAYERS]
    back = [f"S^i implies definition 2, {count} layers" for count in LAYERS]
    alone = [f"one layer suffices, {count} layers" for count in LAYERS]
    _settled(proofs, *forward, *back, *alone)
    evidence = (
        f"Definition 2 implies S^i ≥ 0.01 for {sum(proved(proofs, n) for n in forward)} "
        f"of {len(LAYERS)} numbers of layers; the converse is refuted for "
        f"{sum(refuted(proofs, n) for n in back)}."
    )
    if proved(proofs, *alone):
        shares = ", ".join(f"{count / 100:.2f} of {count}" for count in LAYERS)
        evidence += f" One layer alone suffices, with S = {shares} layers."
    good = proved(proofs, *forward) and refuted(proofs, *back) and encoding_is_sound(proofs)
    return judge.formal(good, evidence, {"numbers of layers": len(LAYERS)}, about)


@criterion("sriram-eq4", tables=(PROOFS,))
def equation_4(tables: Tables, context: Context) -> Verdict:
    return _layers(tables, "The text says that Eq. (1) is used for Eq. (4), which does not use it.")


@criterion("sriram-eq5", tables=(PROOFS,))
def equation_5(tables: Tables, context: Context) -> Verdict:
    return _layers(tables, "The threshold is far weaker than Definition 2, from which it is made.")


@criterion("sriram-eq6", tables=(PROOFS,))
def equation_6(tables: Tables, context: Context) -> Verdict:
    return _implication(tables[PROOFS], "every S^i implies S^I", "S^I implies every S^i")


@criterion("sriram-eq7", tables=(PROOFS,))
def equation_7(tables: Tables, context: Context) -> Verdict:
    every = "definition 2 for every image"
    return _implication(tables[PROOFS], f"{every} implies S^I", f"S^I implies {every}")


def _implication(proofs: pd.DataFrame, forward: str, back: str) -> Verdict:
    alone = "one image suffices"
    _settled(proofs, forward, back, alone)
    implied, distinct = proved(proofs, forward), refuted(proofs, back)
    evidence = f"z3: {forward}: {'proved' if implied else 'not proved'}; "
    evidence += f"{back}: {'refuted' if distinct else 'not refuted'}."
    if proved(proofs, alone):
        evidence += " To reach 0.01, one image in 100 with S^i = 1 and all others at 0 suffice."
    reason = "As a criterion S^I ≥ 0.01 is far weaker than Definition 2 for every image."
    good = implied and distinct and encoding_is_sound(proofs)
    return judge.formal(good, evidence, reason=reason if distinct else "")


@criterion("sriram-def3", tables=(PROOFS, "sensitivity-extremes", "ipr-test"))
def definition_3(tables: Tables, context: Context) -> Verdict:
    proofs, pairs = tables[PROOFS], tables["sensitivity-extremes"]
    _settled(proofs, "S in [0, 1]", "S in [0, 2]")
    measured = layer_sensitivity(tables["ipr-test"]["ssim"].dropna())
    above = int((measured > 1).sum())
    largest = pairs.sort_values("sensitivity").iloc[-1]
    within = bool(pairs["sensitivity"].between(0, 1).all() and measured.between(0, 1).all())
    independent = pairs.loc[pairs["pair"] == "two maps of uniform noise", "sensitivity"].iloc[0]
    return judge.formal(
        within and proved(proofs, "S in [0, 1]"),
        f"{largest['pair'][0].upper()}{largest['pair'][1:]} have S = "
        f"{largest['sensitivity']:.3f}; of {len(measured)} measured values {above} lie above 1. "
        f"Two unrelated maps have S = {independent:.3f}: "
        "the 1 that the paper calls maximal sensitivity is what noise gets.",
        {
            "largest": float(largest["sensitivity"]),
            "measured above 1": above,
            "unrelated": float(independent),
        },
        "" if within else "The SSIM lies in (-1, 1], so S lies in [0, 2).",
    )


#: largest relative difference between two versions of a method that count as one
SAME = 1e-5

#: a correlation over fewer shares of the way says nothing
FEWEST_SHARES = 4

#: methods that draw nothing, and so can be asked to change little under a small change
STEADY = ("gradient", "gradient-x-input", "guided-backprop")


@criterion("sriram-methods", tables=("captum-agreement",))
def methods_agree(tables: Tables, context: Context) -> Verdict:
    table = tables["captum-agreement"]
    rows = table[table["other"] == "captum " + table["method"]]
    hooked = judge.rows_of(rows, network="ReLU modules").groupby("method")["relative"].max()
    own = judge.rows_of(rows, network="run")
    worst = own.groupby("method", sort=False)["relative"].max()
    refused = sorted(set(own.loc[own["refused"] != "", "method"]))
    apart = [str(name) for name, value in worst.items() if value > SAME]
    agree = len(hooked) == len(VERSIONS) and bool((hooked <= SAME).all())
    value: Value = "false" if not agree else "caveat" if apart or refused else "holds"
    listed = ", ".join(f"{name} {float(value):.2g}" for name, value in worst[apart].items())
    return Verdict(
        value=value,
        evidence=f"Where every activation is an nn.ReLU module, {int((hooked <= SAME).sum())} of "
        f"{len(VERSIONS)} methods agree with captum's; the largest relative difference is "
        f"{hooked.max():.0e}. On {context.model} {len(apart)} differ by more than 1e-5"
        + (f" ({listed})" if listed else "")
        + f" and captum refuses {len(refused)}. LIME is captum's own, with superpixels.",
        reason="captum leaves activations alone that are functions, ReLU6 or SiLU, and its max "
        "pooling does not add up. Which image is blank, how maps are pooled over channels and "
        "scaled, and whether signs are kept is not said: exact numbers are under-specified."
        if value == "caveat"
        else "",
        numbers={f"differs {name}": float(value) for name, value in worst.dropna().items()}
        | {"largest where hooked": float(hooked.max())},
    )


def _correlated(scores: np.ndarray) -> float:
    """Pearson correlation of two columns; NaN if one of them is constant."""
    if (scores == scores[0]).all(axis=0).any():
        return float("nan")
    return float(pearsonr(scores[:, 0], scores[:, 1]).statistic)


@criterion("sriram-compose", tables=("ipr-composition", "ipr-test"))
def composition(tables: Tables, context: Context) -> Verdict:
    scores = of_methods(tables["ipr-test"], ("guided-backprop", "guided-grad-cam")).dropna()
    parts = tables["ipr-composition"]
    product = float(parts["outside"].max()) == 0 and float(parts["error"].max()) <= SAME
    first = (
        f"Guided Grad-CAM is 0 wherever Grad-CAM is, and differs from the product of its parts by "
        f"at most {float(parts['error'].max()):.0e} of its largest value "
        f"({len(parts)} images, {float(parts['zero'].mean()):.0%} of the pixels 0)."
        if product
        else f"Guided Grad-CAM reaches {float(parts['outside'].max()):.1e} of its largest value "
        "where Grad-CAM is 0."
    )
    interval = correlation(scores, _correlated)
    if interval is None:
        return Verdict(
            value="undecided" if product else "false",
            evidence=f"{first} {len(scores)} images are too few for a correlation.",
        )
    value: Value = "holds" if interval.low > 0 else "undecided"
    shares = scores.var()
    return Verdict(
        value="false" if not product or interval.high <= 0 else value,
        evidence=f"{first} Over {len(scores)} images S^i of the two correlates at "
        f"{shown(interval)}; the variance of guided Grad-CAM's S^i is "
        f"{shares.iloc[1] / shares.iloc[0]:.2f} times that of guided backpropagation.",
        numbers={"correlation": interval.estimate, "n": len(scores)},
    )


@criterion("sriram-dl-ig", tables=("deeplift-path",))
def deeplift_and_path(tables: Tables, context: Context) -> Verdict:
    table = tables["deeplift-path"]
    rows = judge.rows_of(table, method="deeplift")
    biased, bare = (judge.rows_of(rows, biases=biases) for biases in (True, False))
    least, mean = float(biased["correlation"].min()), float(biased["correlation"].mean())
    largest = float(bare["relative"].max())
    product = judge.rows_of(table, method="gradient-x-input", biases=True)
    good = mean > 0.9 and largest <= 1e-6
    return Verdict(
        value="holds" if good and least > 0.9 else "caveat" if good else "false",
        evidence=f"In {len(biased)} small networks with biases DeepLIFT and integrated gradients "
        f"correlate at {mean:.3f} on average, {least:.3f} at least; "
        f"without biases they differ by at most {largest:.0e}. Gradient x input is off by "
        f"{float(product['relative'].mean()):.0%} on average with biases.",
        numbers={
            "correlation": mean,
            "least correlation": least,
            "difference without biases": largest,
        },
    )


@criterion("sriram-necessary", tables=("gated-layer",))
def necessary(tables: Tables, context: Context) -> Verdict:
    table = tables["gated-layer"]
    shut, open_ = table[table["gate"] == 0], table[table["gate"] != 0]
    off, on = float(shut["ssim"].min()), float(open_["ssim"].min())
    error = float(shut["error"].max())
    exact = off >= 0.9999 and error <= 1e-5 and float(shut["logits"].max()) == 0
    stands = exact and float(open_["ssim"].max()) < 0.9999  # the layer is one that could matter
    return Verdict(
        value="false" if stands else "undecided",
        evidence=f"{shut['network'].nunique()} networks with a layer that a gate of 0 switches "
        f"off: redrawn, it changes no logit, SSIM is at least {off:.4f} for "
        f"{shut['method'].nunique()} methods, and their maps are the true contributions to within "
        f"{error:.0e}. With the gate open SSIM falls to {on:.3f}.",
        reason="Sensitivity to every layer is necessary only if every layer matters to the "
        "prediction; the paper says so and assumes it (L_c = L)."
        if stands
        else "The counterexample does not stand in this table.",
        numbers={"ssim, layer off": off, "error": error, "ssim, layer on": on},
    )


def by_share(table: pd.DataFrame, method: str, moved: str) -> pd.DataFrame:
    """S of one method, images x shares of the way, averaged over layers.

    Raises:
        LackingMethodError: the table does not hold the method.
    """
    need_methods(set(table["method"]), method)
    rows = judge.rows_of(table, method=method, moved=moved)
    return judge.scores_by(rows, "sensitivity", "share").sort_index(axis=1).dropna()


@criterion("sriram-faithfulness", tables=("small-changes", "ipr-test"))
def robustness(tables: Tables, context: Context) -> Verdict:
    verdicts, levels = [], []
    for moved in ("weights", "image"):
        for name in (*STEADY, "noise"):
            scores = by_share(tables["small-changes"], name, moved)
            if len(scores) < 2:
                return judge.no_data(f"{name}: {len(scores)} images.")
            interval = bootstrap_mean(scores.iloc[:, 0])  # the smallest change
            direction: judge.Direction = "above" if name == "noise" else "below"
            words = f"{name} {shown(interval)} ({moved}, {scores.columns[0]:g})."
            verdicts.append(
                judge.condition(interval, THRESHOLD, direction, f"{moved} {name}", words)
            )
            levels.append(f"{name} {interval.estimate:.4f}")
    need_methods(set(tables["ipr-test"]["method"]), "noise")
    noise = float(of_methods(tables["ipr-test"], ("noise",))["noise"].mean())
    words = f"S^I of fresh noise is {noise:.3f}."
    passes = judge.measured(noise >= THRESHOLD, words, {"S noise": noise})
    half = len(levels) // 2
    return judge.reworded(
        judge.combine([*verdicts, passes]),
        f"{words} At the smallest change S is, with weights moved: {', '.join(levels[:half])}; "
        f"with noise on the image: {', '.join(levels[half:])}.",
    )


@criterion("sriram-future", tables=("small-changes", "ipr-references", "jensen-shannon"))
def suggestions(tables: Tables, context: Context) -> Verdict:
    verdicts = []
    for name in STEADY:
        means = by_share(tables["small-changes"], name, "weights").mean()
        rank = float(spearmanr(means.index, means).statistic)
        words = f"S of {name} against {len(means)} values of t: Spearman {rank:+.2f}."
        verdict = judge.measured(rank > 0.8, words, {f"monotone {name}": rank})
        if len(means) < FEWEST_SHARES:
            verdict = verdict.model_copy(update={"value": "undecided"})
        verdicts.append(verdict)
    scores = by_reference(tables["ipr-references"], "integrated-gradients")
    gaps = {
        str(name): paired_difference(scores[name], scores["zero"])
        for name in scores
        if name != "zero" and len(scores) > 1
    }
    if not gaps:
        return judge.no_data(f"{len(scores)} images are too few.")
    listed = ", ".join(f"{shown(gap)} ({name})" for name, gap in gaps.items())
    verdicts.append(
        Verdict(
            value="direction" if any(gap.excludes(0) for gap in gaps.values()) else "undecided",
            evidence="Another reference than zero changes S^I of integrated gradients by "
            f"{listed}.",
            numbers={f"reference {name}": gap.estimate for name, gap in gaps.items()},
        )
    )
    divergence = tables["jensen-shannon"]
    broken = int(divergence["violations"].sum())
    words = "The Jensen–Shannon divergence violates its bounds or the triangle inequality of its "
    words += f"root {broken} times in {int(divergence['trials'].iloc[0])} triples."
    verdicts.append(judge.measured(broken == 0, words, {"violations": broken}))
    lime = by_reference(tables["ipr-references"], "lime").mean()
    surrogates = ", ".join(f"{name} {value:.3f}" for name, value in lime.items())
    joined = judge.combine(verdicts)
    return judge.reworded(
        joined,
        f"{joined.evidence} S^I of LIME by surrogate: {surrogates}.",
        reason="Attention maps are not tested: the networks here have no attention.",
    )


def by_reference(table: pd.DataFrame, method: str) -> pd.DataFrame:
    """S^i of one method, images x references or surrogates."""
    rows = judge.rows_of(table, method=method)
    return (1 - judge.scores_by(rows, "ssim", "choice", judge.strict_mean, sort=False)).dropna()
