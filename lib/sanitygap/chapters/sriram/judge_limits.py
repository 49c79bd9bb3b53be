"""Criteria for the definitions of Sriram and Conati (2022; Eq. 1-7) and for what tests can tell."""

import numpy as np
import pandas as pd
from scipy.stats import pearsonr, spearmanr

from sanitygap import judge
from sanitygap.chapters.sriram.definitions import (
    BANDS,
    LAYERS,
    SIMILAR,
    THRESHOLD,
    VERSIONS,
    image_sensitivities,
    layer_sensitivity,
    perceived,
    sensitive_for_image,
)
from sanitygap.chapters.sriram.judge import GUIDED, correlation
from sanitygap.formal import encoding_is_sound, formal_criterion, proved, refuted, witness
from sanitygap.inference import bootstrap_mean
from sanitygap.judge import Context, Tables, Value, Verdict, criterion, rows_of, shown
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
    values = "; ".join(
        f"{row.statistic} of x and exp(x) is {row.monotone:.2f}" for row in words.itertuples()
    )
    exchanged = "The paper's descriptions of the two correlations are exchanged: Spearman's sees "
    exchanged += "monotonic relations, Pearson's linear ones."
    return judge.graded(
        exact,
        f"{len(rows)} layers make {len(rows)} networks; in {changed} of them exactly one "
        f"layer differs from the trained network. {values[0].upper()}{values[1:]}.",
        {"networks": len(rows), "exact": changed},
        slip=not right,
        reason="" if right else exchanged,
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


AGREE = (
    "definition 1 and equation 1 agree off 0.99",
    "definition 1 and equation 1 agree",
    "definition 1 implies equation 1",
)


def _definitions(proofs: pd.DataFrame, statement: str) -> Verdict:
    """Definition 1, Definition 2 and Eq. (1) differ only where an SSIM equals 0.99."""
    rng = np.random.default_rng(0)
    values = np.round(rng.uniform(0.97, 1, size=(2000, 3)), 2)  # 0.99 occurs often
    apart = (values < SIMILAR).all(1) != sensitive_for_image(values)  # Definition 1, Eq. (1)
    only_there = bool((values[apart] == SIMILAR).any(1).all())
    differ = refuted(proofs, AGREE[1])
    return judge.graded(
        proved(proofs, AGREE[0], AGREE[2]) and only_there and encoding_is_sound(proofs),
        f"z3 proves that {statement} agree wherever no SSIM equals 0.99, and finds the "
        f"exception {witness(proofs, AGREE[1])}; of 2000 triples of SSIM with two decimals the "
        f"two readings differ in {int(apart.sum())}, all with a 0.99 in them.",
        {"differ": int(apart.sum()), "triples": 2000},
        slip=differ,
        reason="Definition 1 says “<”, Eq. (1) says “≤”." if differ else "",
    )


@formal_criterion("sriram-def1", PROOFS, settled=AGREE)
def definition_1(proofs: pd.DataFrame) -> Verdict:
    return _definitions(proofs, "Definition 1 for every layer and Eq. (1)")


@formal_criterion("sriram-def2", PROOFS, settled=AGREE)
def definition_2(proofs: pd.DataFrame) -> Verdict:
    return _definitions(proofs, "Definition 2 and Eq. (1)")


@formal_criterion("sriram-eq1", PROOFS, settled=AGREE)
def equation_1(proofs: pd.DataFrame) -> Verdict:
    return _definitions(proofs, "Eq. (1) and Definition 1 for every layer")


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


@formal_criterion("sriram-eq3", PROOFS, settled=("threshold of S", "threshold of S, 0.02"))
def equation_3(proofs: pd.DataFrame) -> Verdict:
    good = proved(proofs, "threshold of S") and refuted(proofs, "threshold of S, 0.02")
    same = "that SSIM ≤ 0.99 and S ≥ 0.01 are the same condition"
    refutes = f"z3 proves {same}, and refutes the variant with 0.02."
    return judge.formal(good, refutes if good else f"z3 does not prove {same}.")


FORWARD, BACK, ALONE = (
    [f"{statement}, {count} layers" for count in LAYERS]
    for statement in ("definition 2 implies S^i", "S^i implies definition 2", "one layer suffices")
)


def _layers(proofs: pd.DataFrame, about: str) -> Verdict:
    """Definition 2 implies the threshold of S^i for every number of layers, not conversely."""
    evidence = (
        f"Definition 2 implies S^i ≥ 0.01 for {sum(proved(proofs, n) for n in FORWARD)} "
        f"of {len(LAYERS)} numbers of layers; the converse is refuted for "
        f"{sum(refuted(proofs, n) for n in BACK)}."
    )
    if proved(proofs, *ALONE):
        shares = ", ".join(f"{count / 100:.2f} of {count}" for count in LAYERS)
        evidence += f" One layer alone suffices, with S = {shares} layers."
    good = proved(proofs, *FORWARD) and refuted(proofs, *BACK) and encoding_is_sound(proofs)
    return judge.formal(good, evidence, {"numbers of layers": len(LAYERS)}, about)


@formal_criterion("sriram-eq4", PROOFS, settled=(*FORWARD, *BACK, *ALONE))
def equation_4(proofs: pd.DataFrame) -> Verdict:
    return _layers(proofs, "The text says that Eq. (1) is used for Eq. (4), which does not use it.")


@formal_criterion("sriram-eq5", PROOFS, settled=(*FORWARD, *BACK, *ALONE))
def equation_5(proofs: pd.DataFrame) -> Verdict:
    return _layers(proofs, "The threshold is far weaker than Definition 2, from which it is made.")


ONE_IMAGE = "one image suffices"


def _sets(proofs: pd.DataFrame, forward: str, back: str) -> Verdict:
    """What holds for every image holds on average, not conversely."""
    implied, distinct = proved(proofs, forward), refuted(proofs, back)
    evidence = f"z3: {forward}: {'proved' if implied else 'not proved'}; "
    evidence += f"{back}: {'refuted' if distinct else 'not refuted'}."
    if proved(proofs, ONE_IMAGE):
        evidence += " To reach 0.01, one image in 100 with S^i = 1 and all others at 0 suffice."
    reason = "As a criterion S^I ≥ 0.01 is far weaker than Definition 2 for every image."
    good = implied and distinct and encoding_is_sound(proofs)
    return judge.formal(good, evidence, reason=reason if distinct else "")


EVERY_S = ("every S^i implies S^I", "S^I implies every S^i")
EVERY_IMAGE = (
    "definition 2 for every image implies S^I", "S^I implies definition 2 for every image",
)  # fmt: skip


@formal_criterion("sriram-eq6", PROOFS, settled=(*EVERY_S, ONE_IMAGE))
def equation_6(proofs: pd.DataFrame) -> Verdict:
    return _sets(proofs, *EVERY_S)


@formal_criterion("sriram-eq7", PROOFS, settled=(*EVERY_IMAGE, ONE_IMAGE))
def equation_7(proofs: pd.DataFrame) -> Verdict:
    return _sets(proofs, *EVERY_IMAGE)


RANGES = ("S in [0, 1]", "S in [0, 2]")


@formal_criterion("sriram-def3", PROOFS, "sensitivity-extremes", "ipr-test", settled=RANGES)
def definition_3(proofs: pd.DataFrame, pairs: pd.DataFrame, test: pd.DataFrame) -> Verdict:
    measured = layer_sensitivity(test["ssim"].dropna())
    above = int((measured > 1).sum())
    largest = pairs.sort_values("sensitivity").iloc[-1]
    within = bool(pairs["sensitivity"].between(0, 1).all() and measured.between(0, 1).all())
    unrelated = rows_of(pairs, pair="two maps of uniform noise")["sensitivity"].iloc[0]
    return judge.formal(
        within and proved(proofs, RANGES[0]),
        f"{largest['pair'][0].upper()}{largest['pair'][1:]} have S = "
        f"{largest['sensitivity']:.3f}; of {len(measured)} measured values {above} lie above 1. "
        f"Two unrelated maps have S = {unrelated:.3f}: "
        "the 1 that the paper calls maximal sensitivity is what noise gets.",
        {"largest": largest["sensitivity"], "measured above 1": above, "unrelated": unrelated},
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
    hooked = rows_of(rows, network="ReLU modules").groupby("method")["relative"].max()
    own = rows_of(rows, network="run")
    worst = own.groupby("method", sort=False)["relative"].max()
    refused = sorted(set(own.loc[own["refused"] != "", "method"]))
    apart = [str(name) for name, value in worst.items() if value > SAME]
    agree = len(hooked) == len(VERSIONS) and bool((hooked <= SAME).all())
    listed = ", ".join(f"{name} {float(value):.2g}" for name, value in worst[apart].items())
    open_ = "captum leaves activations alone that are functions, ReLU6 or SiLU, and its max "
    open_ += "pooling does not add up. Which image is blank, how maps are pooled over channels and "
    open_ += "scaled, and whether signs are kept is not said: exact numbers are under-specified."
    caveat = bool(apart or refused)
    return judge.graded(
        agree,
        f"Where every activation is an nn.ReLU module, {int((hooked <= SAME).sum())} of "
        f"{len(VERSIONS)} methods agree with captum's; the largest relative difference is "
        f"{hooked.max():.0e}. On {context.model} {len(apart)} differ by more than 1e-5"
        + (f" ({listed})" if listed else "")
        + f" and captum refuses {len(refused)}. LIME is captum's own, with superpixels.",
        {f"differs {name}": float(value) for name, value in worst.dropna().items()}
        | {"largest where hooked": float(hooked.max())},
        caveat=caveat,
        reason=open_ if agree and caveat else "",
    )


def _correlated(scores: np.ndarray) -> float:
    """Pearson correlation of two columns; NaN if one of them is constant."""
    if (scores == scores[0]).all(axis=0).any():
        return float("nan")
    return float(pearsonr(scores[:, 0], scores[:, 1]).statistic)


@criterion("sriram-compose", tables=("ipr-composition", "ipr-test"))
def composition(tables: Tables, context: Context) -> Verdict:
    scores = image_sensitivities(tables["ipr-test"], GUIDED).dropna()
    parts = tables["ipr-composition"]
    outside, error = (float(parts[name].max()) for name in ("outside", "error"))
    product = outside == 0 and error <= SAME
    first = (
        f"Guided Grad-CAM is 0 wherever Grad-CAM is, and differs from the product of its parts by "
        f"at most {error:.0e} of its largest value "
        f"({len(parts)} images, {float(parts['zero'].mean()):.0%} of the pixels 0)."
        if product
        else f"Guided Grad-CAM reaches {outside:.1e} of its largest value where Grad-CAM is 0."
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
    rows = rows_of(table, method="deeplift")
    biased, bare = (rows_of(rows, biases=biases) for biases in (True, False))
    least, mean = float(biased["correlation"].min()), float(biased["correlation"].mean())
    largest = float(bare["relative"].max())
    product = rows_of(table, method="gradient-x-input", biases=True)
    return judge.graded(
        mean > 0.9 and largest <= 1e-6,
        f"In {len(biased)} small networks with biases DeepLIFT and integrated gradients "
        f"correlate at {mean:.3f} on average, {least:.3f} at least; "
        f"without biases they differ by at most {largest:.0e}. Gradient x input is off by "
        f"{float(product['relative'].mean()):.0%} on average with biases.",
        {"correlation": mean, "least correlation": least, "difference without biases": largest},
        caveat=not least > 0.9,
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
    rows = rows_of(table, method=method, moved=moved)
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
    noise = float(image_sensitivities(tables["ipr-test"], ("noise",))["noise"].mean())
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
    if min(scores.shape) < 2:
        return judge.no_data(f"{len(scores)} images are too few.")
    gaps = {str(name): judge.paired(scores, name, "zero") for name in scores.drop(columns="zero")}
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
    rows = rows_of(table, method=method)
    return (1 - judge.scores_by(rows, "ssim", "choice", judge.strict_mean, sort=False)).dropna()
