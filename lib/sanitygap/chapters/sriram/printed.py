"""What Sriram and Conati (2022) print: Tables 2 and 3, and what Sect. 3 says of Adebayo et al.

Do the printed correlations and marks add up? Is the sentence about Adebayo et al. (2018) anchored
in that paper's appendix? The appendix cannot be shipped; how often words stand in its sections
can. Who has it, as Markdown, can make the counts again::

    python -m sanitygap.chapters.sriram.printed APPENDIX.md
"""

import sys
from functools import cache
from itertools import combinations, permutations
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

from sanitygap.claims import default_ledger
from sanitygap.claims.documentary import as_csv, counts, terms_sha256
from sanitygap.errors import UsageError
from sanitygap.files import file_sha256, write_atomically

#: architectures behind every printed correlation
ARCHITECTURES = 5

#: largest p-value of each mark
MARKS = {"***": 0.001, "**": 0.01, "*": 0.05}

Matrix = NDArray[np.float64]


def read(claim: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A printed correlation table and its marks of significance.

    Args:
        claim: ``sriram-table2`` or ``sriram-table3``.

    Returns:
        Methods x methods: the values, and the marks (``ns``, ``*``, ...; empty where none is).
    """
    rows = pd.read_csv(default_ledger().with_name("reported.csv"), keep_default_na=False)
    rows = rows[(rows["id"] == claim) & (rows["method"] != "")]
    rows = rows.assign(
        other=rows["condition"].str.removeprefix("with "),
        mark=rows["note"].str.removeprefix("mark: "),
        value=rows["value"].astype(float),
    )
    order = list(dict.fromkeys(rows["method"]))
    values, marks = (
        rows.pivot(index="method", columns="other", values=name).loc[order, order]
        for name in ("value", "mark")
    )
    return values, marks


def t_pvalue(correlation: float, n: int = ARCHITECTURES) -> float:
    """Two-sided p-value of a correlation by the t approximation; 0 for a perfect one."""
    if abs(correlation) >= 1:
        return 0.0
    t = abs(correlation) * np.sqrt((n - 2) / (1 - correlation**2))
    return float(2 * stats.t.sf(t, n - 2))


@cache
def rank_correlations(n: int = ARCHITECTURES) -> Matrix:
    """Spearman's correlation of every ranking of n without ties with every other."""
    orders = np.array(list(permutations(range(n))), dtype=np.float64)
    gaps = np.square(orders[:, None] - orders).sum(-1)
    return np.asarray(1 - 6 * gaps / (n * (n * n - 1)))


def exact_pvalue(correlation: float) -> float:
    """Two-sided exact p-value of Spearman's correlation without ties, over all rankings."""
    return float((np.abs(rank_correlations()[0]) >= abs(correlation) - 1e-9).mean())


def mark(pvalue: float) -> str:
    """The mark of significance that a p-value deserves."""
    return next((sign for sign, limit in MARKS.items() if pvalue <= limit), "ns")


def realisations(values: pd.DataFrame) -> int:
    """How many sets of rankings without ties have exactly these Spearman correlations.

    The first ranking is fixed: relabelling the architectures does not count.
    """
    wanted, between = values.to_numpy(), rank_correlations()

    def count(chosen: list[int]) -> int:
        place = len(chosen)
        if place == len(wanted):
            return 1
        fits = np.ones(len(between), dtype=bool)
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
    table = pd.DataFrame(combinations(values.index, 2), columns=["first", "second"])
    places = list(table.itertuples(index=False, name=None))
    table["printed"] = [float(values.loc[place]) for place in places]
    table["mark"] = [str(marks.loc[place]) for place in places]
    table["p_t"] = table["printed"].map(t_pvalue)
    table["mark_t"] = table["p_t"].map(mark)
    table["holm_t"] = multipletests(table["p_t"], method="holm")[1]
    table["mark_holm"] = table["holm_t"].map(mark)
    table["p_exact"] = table["printed"].map(exact_pvalue) if exact else np.nan
    table["mark_exact"] = table["p_exact"].map(mark) if exact else ""
    table.insert(0, "claim", claim)
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
    attainable = np.unique(np.round(rank_correlations()[0], 10))
    on_grid = np.abs(matrix[..., None] - attainable).min(-1).max() < 1e-6
    eigenvalues = enumerate(np.linalg.eigvalsh((matrix + matrix.T) / 2), start=1)
    return {
        "asymmetry": float(np.abs(matrix - matrix.T).max()),
        **{f"eigenvalue_{place}": float(value) for place, value in eigenvalues},
        "realisations": float(realisations(values)) if on_grid else -1.0,
    }


def dunn(scores: pd.DataFrame) -> pd.DataFrame:
    """Dunn's pairwise comparisons after Kruskal and Wallis, corrected for ties and by Holm.

    Args:
        scores: images x methods, without any NaN; columns count as independent groups.

    Returns:
        One row a pair: ``first``, ``second``, ``z``, ``p`` (two-sided), ``p_holm``.
    """
    values = scores.to_numpy(dtype=np.float64)
    ranks = pd.DataFrame(stats.rankdata(values).reshape(values.shape), columns=scores.columns)
    total, size = values.size, len(values)
    ties = np.unique(values, return_counts=True)[1].astype(np.float64)
    variance = total * (total + 1) / 12 - (ties**3 - ties).sum() / (12 * (total - 1))
    means = ranks.mean()
    table = pd.DataFrame(combinations(map(str, means.index), 2), columns=["first", "second"])
    gaps = table["first"].map(means) - table["second"].map(means)
    table["z"] = gaps / np.sqrt(variance * 2 / size) if variance else 0.0
    table["p"] = 2 * stats.norm.sf(table["z"].abs())
    table["p_holm"] = multipletests(table["p"], method="holm")[1]
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
    pairs = list(combinations(map(str, scores.columns), 2))
    results = {
        pair: measure(scores[pair[0]], scores[pair[1]])
        for pair in pairs
        if (scores[list(pair)].nunique() > 1).all()
    }
    pvalues = [result.pvalue for result in results.values()]
    corrected = multipletests(pvalues, method="holm")[1] if pvalues else ()
    words = {
        pair: f"{float(result.statistic):.2f}{mark(p).replace('ns', '')}"
        for (pair, result), p in zip(results.items(), corrected, strict=True)
    }
    return dict.fromkeys(pairs, "–") | words


# what is said of Adebayo et al.

DOCUMENT = "adebayo-2018-appendix"
FILE = "concordance-adebayo.csv"

#: methods of each part of the sentence, in the words of the appendix, and what is said of them
PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Gradients and GradCAM pass": (
        ("gradient", "gradcam"),
        ("pass the", "passes the", "sensitive to"),
    ),
    "Guided BP and Guided GC fail": (
        ("guided backpropagation", "guided gradcam"),
        ("fail", "invariant", "insensitive"),
    ),
    "InputXGradient and IG are undecided": (
        ("gradient input", "integrated gradient"),
        ("undecided", "unclear", "inconclusive"),
    ),
}

#: who is said to have found the implementations flawed
OTHER_PAPER = "sixt"


def concordance() -> pd.DataFrame:
    """The counts: columns ``document``, ``section``, ``term``, ``count``.

    Raises:
        UsageError: there is no such file.
    """
    path = default_ledger().with_name(FILE)
    if not path.is_file():
        raise UsageError(f"there is no {FILE}; make it with python -m {__spec__.name}")
    return pd.read_csv(path, comment="#", keep_default_na=False)


def anchored(table: pd.DataFrame) -> pd.DataFrame:
    """Where each part of the sentence stands.

    Returns:
        One row a part: ``part``, ``methods`` and ``verdicts``, the occurrences of its methods and
        of the words for what is said of them, and ``together``, the sections that hold one of
        each.
    """
    rows = []
    for part, words in PARTS.items():
        both = [table[table["term"].isin(group)] for group in words]
        about, said = (set(rows["section"]) for rows in both)
        methods, verdicts = (int(rows["count"].sum()) for rows in both)
        rows.append((part, methods, verdicts, len(about & said)))
    return pd.DataFrame(rows, columns=["part", "methods", "verdicts", "together"])


def main(arguments: list[str]) -> None:
    """Write the counts from the appendix.

    Raises:
        UsageError: something else than one file.
    """
    if len(arguments) != 1 or not Path(arguments[0]).is_file():
        raise UsageError("name one Markdown file, the appendix of Adebayo et al. (2018)")
    path = Path(arguments[0])
    words = [word for groups in PARTS.values() for group in groups for word in group]
    terms = sorted({*words, OTHER_PAPER})
    rows = counts({DOCUMENT: path.read_text(encoding="utf-8")}, terms)
    text = as_csv(rows, {DOCUMENT: file_sha256(path), "terms": terms_sha256(terms)})
    write_atomically(default_ledger().with_name(FILE), text)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UsageError as problem:
        sys.exit(f"sanitygap: {problem}")
