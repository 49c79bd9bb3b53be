"""Do methods differ in S? The tests of the paper's reference list, and one for paired scores."""

from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from sanitygap.inference import holm
from sanitygap.sensitivity.printed import mark


def dunn(scores: pd.DataFrame) -> pd.DataFrame:
    """Dunn's pairwise comparisons after Kruskal and Wallis, corrected for ties and by Holm.

    Args:
        scores: images x methods, without any NaN; columns count as independent groups.

    Returns:
        One row a pair: ``first``, ``second``, ``z``, ``p`` (two-sided), ``p_holm``.
    """
    values = scores.to_numpy(dtype=np.float64)
    ranks = stats.rankdata(values).reshape(values.shape)
    total, size = values.size, len(values)
    ties = np.unique(values, return_counts=True)[1].astype(np.float64)
    variance = total * (total + 1) / 12 - (ties**3 - ties).sum() / (12 * (total - 1))
    means = dict(zip(scores.columns, ranks.mean(0), strict=True))
    rows = []
    for first, second in combinations(scores.columns, 2):
        z = (means[first] - means[second]) / np.sqrt(variance * 2 / size) if variance else 0.0
        p = float(2 * stats.norm.sf(abs(z)))
        rows.append({"first": str(first), "second": str(second), "z": float(z), "p": p})
    table = pd.DataFrame(rows)
    corrected = holm({str(place): p for place, p in enumerate(table["p"])})
    table["p_holm"] = list(corrected.values())
    return table


def overall(scores: pd.DataFrame) -> dict[str, float]:
    """P-values of "all methods are alike".

    Args:
        scores: images x methods, without any NaN.

    Returns:
        ``kruskal``: Kruskal and Wallis, which takes the methods' images for different ones.
        ``friedman``: the same question for scores of the same images.
    """
    columns = [scores[name].to_numpy() for name in scores]
    return {
        "kruskal": float(stats.kruskal(*columns).pvalue),
        "friedman": float(stats.friedmanchisquare(*columns).pvalue),
    }


def correlations(
    scores: pd.DataFrame, kind: Literal["spearman", "pearson"]
) -> dict[tuple[str, str], str]:
    """Correlation of every pair of columns with the mark of its corrected p-value.

    Args:
        scores: images x methods, without any NaN.
        kind: of correlation.

    Returns:
        (first, second) -> such as ``0.98**``; no mark above 0.05 after Holm's correction, ``–``
        where a column is constant.
    """
    measure = {"spearman": stats.spearmanr, "pearson": stats.pearsonr}[kind]
    found = {
        (str(first), str(second)): measure(scores[first], scores[second])
        for first, second in combinations(scores.columns, 2)
        if scores[first].nunique() > 1 and scores[second].nunique() > 1
    }
    corrected = (
        holm({" ".join(pair): float(r.pvalue) for pair, r in found.items()}) if found else {}
    )
    shown = {}
    for first, second in combinations(map(str, scores.columns), 2):
        result = found.get((first, second))
        if result is None:
            shown[first, second] = "–"
            continue
        stars = mark(corrected[f"{first} {second}"]).replace("ns", "")
        shown[first, second] = f"{float(result.statistic):.2f}{stars}"
    return shown
