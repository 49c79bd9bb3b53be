"""Criteria for the methods of Sriram and Conati (2022) and for what sensitivity can tell."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import pearsonr, spearmanr

from sanitygap.claims import CriterionContext, Verdict, combine, criterion, verdict_from_interval
from sanitygap.claims.verdicts import Value
from sanitygap.criteria.gap import shown
from sanitygap.criteria.sriram_results import of_methods
from sanitygap.experiments.captum_comparison import VERSIONS
from sanitygap.inference import bootstrap, bootstrap_mean, paired_difference
from sanitygap.scores import need_methods
from sanitygap.sensitivity.scores import THRESHOLD

Tables = Mapping[str, pd.DataFrame]

#: largest relative difference between two versions of a method that count as one
SAME = 1e-5

#: a correlation over fewer shares of the way says nothing
FEWEST_SHARES = 4

#: methods that draw nothing, and so can be asked to change little under a small change
STEADY = ("gradient", "gradient-x-input", "guided-backprop")


@criterion("sriram-methods", tables=("captum-agreement",))
def methods_agree(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["captum-agreement"]
    rows = table[(table["other"] == "captum " + table["method"])]
    hooked = rows[rows["network"] == "ReLU modules"].groupby("method")["relative"].max()
    own = rows[rows["network"] == "run"]
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
def composition(tables: Tables, context: CriterionContext) -> Verdict:
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
    if len(scores) < 4 or scores.shape[1] < 2:
        return Verdict(
            value="undecided" if product else "false",
            evidence=f"{first} {len(scores)} images are too few for a correlation.",
        )
    try:
        interval = bootstrap(scores, _correlated)
    except ValueError:  # a resample of very few images can be constant
        return Verdict(
            value="undecided" if product else "false",
            evidence=f"{first} {len(scores)} images are too few for a correlation.",
        )
    value: Value = "undecided"
    if not product or interval.high <= 0:
        value = "false"
    elif interval.low > 0:
        value = "holds"
    shares = scores.var()
    return Verdict(
        value=value,
        evidence=f"{first} Over {len(scores)} images S^i of the two correlates at "
        f"{shown(interval)}; the variance of guided Grad-CAM's S^i is "
        f"{shares.iloc[1] / shares.iloc[0]:.2f} times that of guided backpropagation.",
        numbers={"correlation": interval.estimate, "n": len(scores)},
    )


@criterion("sriram-dl-ig", tables=("deeplift-path",))
def deeplift_and_path(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["deeplift-path"]
    rows = table[table["method"] == "deeplift"]
    biased, bare = rows[rows["biases"]], rows[~rows["biases"]]
    least, largest = float(biased["correlation"].min()), float(bare["relative"].max())
    product = table[(table["method"] == "gradient-x-input") & table["biases"]]
    good = float(biased["correlation"].mean()) > 0.9 and largest <= 1e-6
    return Verdict(
        value="holds" if good and least > 0.9 else "caveat" if good else "false",
        evidence=f"In {len(biased)} small networks with biases DeepLIFT and integrated gradients "
        f"correlate at {float(biased['correlation'].mean()):.3f} on average, {least:.3f} at least; "
        f"without biases they differ by at most {largest:.0e}. Gradient x input is off by "
        f"{float(product['relative'].mean()):.0%} on average with biases.",
        numbers={
            "correlation": float(biased["correlation"].mean()),
            "least correlation": least,
            "difference without biases": largest,
        },
    )


@criterion("sriram-necessary", tables=("gated-layer",))
def necessary(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["gated-layer"]
    shut, open_ = table[table["gate"] == 0], table[table["gate"] != 0]
    same = float(shut["ssim"].min()) >= 0.9999
    exact = float(shut["error"].max()) <= 1e-5 and float(shut["logits"].max()) == 0
    responds = float(open_["ssim"].max()) < 0.9999  # the layer is one that could matter
    stands = same and exact and responds
    return Verdict(
        value="false" if stands else "undecided",
        evidence=f"{shut['network'].nunique()} networks with a layer that a gate of 0 switches "
        f"off: redrawn, it changes no logit, SSIM is at least {float(shut['ssim'].min()):.4f} for "
        f"{shut['method'].nunique()} methods, and their maps are the true contributions to within "
        f"{float(shut['error'].max()):.0e}. With the gate open SSIM falls to "
        f"{float(open_['ssim'].min()):.3f}.",
        reason="Sensitivity to every layer is necessary only if every layer matters to the "
        "prediction; the paper says so and assumes it (L_c = L)."
        if stands
        else "The counterexample does not stand in this table.",
        numbers={
            "ssim, layer off": float(shut["ssim"].min()),
            "error": float(shut["error"].max()),
            "ssim, layer on": float(open_["ssim"].min()),
        },
    )


def by_share(table: pd.DataFrame, method: str, moved: str) -> pd.DataFrame:
    """S of one method, images x shares of the way, averaged over layers.

    Raises:
        LackingMethodError: the table does not hold the method.
    """
    need_methods(set(table["method"]), method)
    rows = table[(table["method"] == method) & (table["moved"] == moved)]
    wide = rows.groupby(["image", "share"])["sensitivity"].mean().unstack("share")
    return wide.sort_index(axis=1).dropna()


@criterion("sriram-faithfulness", tables=("small-changes", "ipr-test"))
def robustness(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["small-changes"]
    verdicts, levels = [], []
    for moved in ("weights", "image"):
        for name in (*STEADY, "noise"):
            scores = by_share(table, name, moved)
            if len(scores) < 2:
                return Verdict(value="no-data", evidence=f"{name}: {len(scores)} images.")
            smallest = scores.columns[0]
            interval = bootstrap_mean(scores[smallest])
            vanishes = name != "noise"
            verdicts.append(
                Verdict(
                    value=verdict_from_interval(
                        interval.low, interval.high, THRESHOLD, "below" if vanishes else "above"
                    ),
                    evidence=f"{name} {shown(interval)} ({moved}, {smallest:g}).",
                    numbers={f"{moved} {name}": interval.estimate},
                )
            )
            levels.append(f"{name} {interval.estimate:.4f}")
    need_methods(set(tables["ipr-test"]["method"]), "noise")
    noise = of_methods(tables["ipr-test"], ("noise",))["noise"].mean()
    passes = Verdict(
        value="direction" if noise >= THRESHOLD else "not-reproduced",
        evidence=f"S^I of fresh noise is {noise:.3f}.",
        numbers={"S noise": float(noise)},
    )
    joined = combine([*verdicts, passes])
    half = len(levels) // 2
    return joined.model_copy(
        update={
            "evidence": f"{passes.evidence} At the smallest change S is, with weights moved: "
            f"{', '.join(levels[:half])}; with noise on the image: {', '.join(levels[half:])}."
        }
    )


@criterion("sriram-future", tables=("small-changes", "ipr-references", "jensen-shannon"))
def suggestions(tables: Tables, context: CriterionContext) -> Verdict:
    verdicts = []
    for name in STEADY:
        means = by_share(tables["small-changes"], name, "weights").mean()
        rank = float(spearmanr(means.index, means).statistic)
        verdicts.append(
            Verdict(
                value="undecided"
                if len(means) < FEWEST_SHARES
                else "direction"
                if rank > 0.8
                else "not-reproduced",
                evidence=f"S of {name} against {len(means)} values of t: Spearman {rank:+.2f}.",
                numbers={f"monotone {name}": rank},
            )
        )
    table = tables["ipr-references"]
    scores = by_reference(table, "integrated-gradients")
    gaps = {
        str(name): paired_difference(scores[name], scores["zero"])
        for name in scores
        if name != "zero" and len(scores) > 1
    }
    moved = [name for name, gap in gaps.items() if gap.excludes(0)]
    if not gaps:
        return Verdict(value="no-data", evidence=f"{len(scores)} images are too few.")
    verdicts.append(
        Verdict(
            value="direction" if moved else "undecided",
            evidence="Another reference than zero changes S^I of integrated gradients by "
            + ", ".join(f"{shown(gap)} ({name})" for name, gap in gaps.items())
            + ".",
            numbers={f"reference {name}": gap.estimate for name, gap in gaps.items()},
        )
    )
    bad = tables["jensen-shannon"]
    broken = int(bad["violations"].sum())
    verdicts.append(
        Verdict(
            value="direction" if broken == 0 else "not-reproduced",
            evidence=f"The Jensen–Shannon divergence violates its bounds or the triangle "
            f"inequality of its root {broken} times in {int(bad['trials'].iloc[0])} triples.",
            numbers={"violations": broken},
        )
    )
    lime = by_reference(table, "lime")
    joined = combine(verdicts)
    surrogates = ", ".join(f"{name} {value:.3f}" for name, value in lime.mean().items())
    return joined.model_copy(
        update={
            "evidence": f"{joined.evidence} S^I of LIME by surrogate: {surrogates}.",
            "reason": "Attention maps are not tested: the networks here have no attention.",
        }
    )


def by_reference(table: pd.DataFrame, method: str) -> pd.DataFrame:
    """S^i of one method, images x references or surrogates."""
    rows = table[table["method"] == method]
    wide = rows.groupby(["image", "choice"], sort=False)["ssim"].agg(
        lambda part: part.mean(skipna=False)
    )
    return (1 - wide.unstack("choice")).dropna()
