"""Criteria for the methods of Sriram and Conati (2022) and for what sensitivity can tell."""

import numpy as np
import pandas as pd
from scipy.stats import pearsonr, spearmanr

from sanitygap import judge
from sanitygap.criteria.sriram_results import correlation, of_methods
from sanitygap.experiments.captum_comparison import VERSIONS
from sanitygap.inference import bootstrap_mean, paired_difference
from sanitygap.judge import Context, Tables, Value, Verdict, criterion, shown
from sanitygap.scores import need_methods
from sanitygap.sensitivity.scores import THRESHOLD

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
