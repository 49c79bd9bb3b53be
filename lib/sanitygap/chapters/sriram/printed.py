"""Tables 2 and 3 of Sriram and Conati (2022): do the printed correlations and marks add up?"""

from functools import cache
from itertools import combinations, permutations
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from sanitygap.claims import default_ledger
from sanitygap.inference import holm

#: architectures behind every printed correlation
ARCHITECTURES = 5

#: largest p-value of each mark
MARKS = {"***": 0.001, "**": 0.01, "*": 0.05}

Matrix = NDArray[np.float64]


def read(claim: str, path: Path | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A printed correlation table and its marks of significance.

    Args:
        claim: ``sriram-table2`` or ``sriram-table3``.
        path: a file like ``data/reported.csv``, which is the default.

    Returns:
        Methods x methods: the values, and the marks (``ns``, ``*``, ...; empty where none is).
    """
    rows = pd.read_csv(path or default_ledger().with_name("reported.csv"), keep_default_na=False)
    rows = rows[(rows["id"] == claim) & (rows["method"] != "")]
    other = rows["condition"].str.removeprefix("with ")
    marks = rows["note"].str.removeprefix("mark: ")
    rows = rows.assign(other=other, mark=marks, value=rows["value"].astype(float))
    order = list(dict.fromkeys(rows["method"]))
    values = rows.pivot(index="method", columns="other", values="value").loc[order, order]
    marked = rows.pivot(index="method", columns="other", values="mark").loc[order, order]
    return values, marked


def t_pvalue(correlation: float, n: int = ARCHITECTURES) -> float:
    """Two-sided p-value of a correlation by the t approximation; 0 for a perfect one."""
    if abs(correlation) >= 1:
        return 0.0
    t = abs(correlation) * np.sqrt((n - 2) / (1 - correlation**2))
    return float(2 * stats.t.sf(t, n - 2))


@cache
def _null(n: int) -> Matrix:
    """Spearman's correlation of every ranking of n without ties with the first one."""
    orders = np.array(list(permutations(range(n))), dtype=np.float64)
    return 1 - 6 * np.square(orders - np.arange(n)).sum(1) / (n * (n * n - 1))


def exact_pvalue(correlation: float, n: int = ARCHITECTURES) -> float:
    """Two-sided exact p-value of Spearman's correlation without ties, over all rankings."""
    return float((np.abs(_null(n)) >= abs(correlation) - 1e-9).mean())


def mark(pvalue: float) -> str:
    """The mark of significance that a p-value deserves."""
    return next((sign for sign, limit in MARKS.items() if pvalue <= limit), "ns")


def realisations(values: pd.DataFrame, n: int = ARCHITECTURES) -> int:
    """How many sets of rankings of n without ties have exactly these Spearman correlations.

    The first ranking is fixed: relabelling the n things does not count.
    """
    wanted = values.to_numpy()
    orders = np.array(list(permutations(range(n))), dtype=np.float64)
    gaps = np.square(orders[:, None] - orders[None]).sum(-1)
    between = 1 - 6 * gaps / (n * (n * n - 1))

    def count(chosen: list[int]) -> int:
        place = len(chosen)
        if place == len(wanted):
            return 1
        fits = np.ones(len(orders), dtype=bool)
        for earlier, order in enumerate(chosen):
            fits &= np.abs(between[order] - wanted[place, earlier]) < 1e-6
        return sum(count([*chosen, int(order)]) for order in np.flatnonzero(fits))

    return count([0])


def pairs(claim: str, exact: bool) -> pd.DataFrame:
    """Every pair of methods of a printed table with p-values and the marks they deserve.

    Args:
        claim: ``sriram-table2`` or ``sriram-table3``.
        exact: whether the exact test of Spearman's correlation applies.

    Returns:
        One row a pair: ``claim``, ``first``, ``second``, ``printed``, ``mark``, ``p_t``,
        ``mark_t``, ``holm_t``, ``mark_holm`` and, where it applies, ``p_exact`` and
        ``mark_exact``.
    """
    values, marks = read(claim)
    rows = [
        {
            "claim": claim,
            "first": first,
            "second": second,
            "printed": float(values.loc[first, second]),
            "mark": str(marks.loc[first, second]),
            "p_t": t_pvalue(float(values.loc[first, second])),
        }
        for first, second in combinations(values.index, 2)
    ]
    table = pd.DataFrame(rows)
    corrected = holm({str(place): p for place, p in enumerate(table["p_t"])})
    table["mark_t"] = table["p_t"].map(mark)
    table["holm_t"] = list(corrected.values())
    table["mark_holm"] = table["holm_t"].map(mark)
    table["p_exact"] = table["printed"].map(exact_pvalue) if exact else np.nan
    table["mark_exact"] = table["p_exact"].map(mark) if exact else ""
    return table


def structure(claim: str) -> dict[str, float]:
    """Symmetry, eigenvalues and realisability of a printed table.

    Returns:
        ``asymmetry``: largest difference of two entries that should be equal. ``eigenvalue_1``
        and so on, ascending. ``realisations``: see :func:`realisations`, -1 for a table whose
        values are not multiples of what n allows.
    """
    values, _ = read(claim)
    matrix = values.to_numpy()
    attainable = np.unique(np.round(_null(ARCHITECTURES), 10))
    on_grid = np.abs(matrix[..., None] - attainable).min(-1).max() < 1e-6
    found = {"asymmetry": float(np.abs(matrix - matrix.T).max())}
    for place, value in enumerate(np.linalg.eigvalsh((matrix + matrix.T) / 2), start=1):
        found[f"eigenvalue_{place}"] = float(value)
    return found | {"realisations": float(realisations(values)) if on_grid else -1.0}


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
