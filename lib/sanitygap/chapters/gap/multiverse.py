"""The gap between both tests under every specification: a multiverse of one claim.

From the tables ``occlusion-specifications`` and ``randomization-specifications`` come, for each set
of choices, the differences that Binder et al. (2022) claim, paired over images, with Student's
95 % intervals, and Kendall's tau between both rankings with a bootstrap interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, cast

import numpy as np
import pandas as pd
from scipy import stats

from sanitygap.errors import UsageError
from sanitygap.inference import UndefinedStatisticError
from sanitygap.judge import GRADIENTS, GUIDED, rows_of

PARTS = ("guided backpropagation", "LRP")
LRP_VARIANTS = ("lrp-epsilon-plus", "lrp-adaptive-beta")
SIMILARITIES = ("ssim", "ssim_robust", "ssim_L1", "ssim_L2", "spearman", "mse")

#: choices that both tests share, and those of one
SHARED = ("reduction", "variant", "start", "biases", "images")
OCCLUSION = (*SHARED, "patch", "tiling", "output", "target")
RANDOMIZATION = (*SHARED, "similarity", "norms")

#: the specification nearest to the text of the paper, choice by choice; "the paper" in figures
READING = {
    "reduction": "signed",  # A.1 averages map scores, and section 4.3 asks for signed ones
    "variant": "lrp-adaptive-beta",  # the one variant that A.2 names for this test
    "start": "one",  # as in the authors' published code
    "biases": "out",  # Eq. (61)
    "images": "all",
    "patch": 15,  # Fig. 1
    "tiling": "tiles",
    "output": "softmax",
    "target": "predicted",
    "similarity": "ssim_L2",  # scikit-image's default range for such maps at that time
    "norms": "reset",  # A.1 resets layers as He et al. initialise them
}

#: of the bootstrap behind each interval of tau
RESAMPLES = 500

Choices = tuple[tuple[str, object], ...]

#: own choices of one test -> images x methods
Side = dict[Choices, pd.DataFrame]


@dataclass(frozen=True)
class Scores:
    """Scores of one test: images x (method, start, further choices of its table).

    Attributes:
        values: one row an image.
        correct: by image, whether the network predicts the label.
    """

    values: pd.DataFrame
    correct: pd.Series

    def of(self, key: Mapping[str, object], methods: Sequence[str]) -> pd.DataFrame:
        """Images x methods under one specification, complete rows only.

        Args:
            key: the specification.
            methods: names without what a specification adds to them.

        Returns:
            One column a method; empty if the table does not hold one of them.
        """
        # NumPy, since this is asked thousands of times
        columns = self.values.columns
        further = [key[str(name)] for name in columns.names[3:]]
        places: list[int] = []
        for method in methods:
            lrp = method.startswith("lrp-")
            name = f"{method}@biases" if lrp and key["biases"] == "in" else method
            # the start is a sign, which only a signed map of LRP shows
            start = key["start"] if lrp and key["reduction"] == "signed" else "one"
            reduction = key["reduction"] if method != "noise" else "signed"
            levels = (name, start, reduction, *further)
            if levels not in columns:
                return pd.DataFrame()
            places.append(cast(int, columns.get_loc(levels)))  # each is there once
        scores = self.values.to_numpy()[:, places]
        complete = ~np.isnan(scores).any(axis=1)
        if key["images"] == "correct":
            correct = self.correct.reindex(self.values.index)
            complete &= correct.fillna(False).to_numpy(bool)
        return pd.DataFrame(scores[complete], self.values.index[complete], list(methods))


def occlusion_scores(table: pd.DataFrame) -> Scores:
    """Scores of the table ``occlusion-specifications``.

    Where the predicted class is the label, the label's scores are those of the prediction.
    """
    by = ["method", "start", "reduction", "patch", "tiling", "target"]
    values = table.melt(
        ["image", "correct", *by], ["softmax", "logit"], var_name="output", value_name="score"
    )
    own = values[(values["target"] == "predicted") & (values["tiling"] == "tiles")]
    # labels were explained up to the last image that needed a map
    last = table.loc[table["target"] == "label", "position"].max()
    covered = own[own["image"].isin(table.loc[table["position"] <= last, "image"])]
    same = covered[covered["correct"].fillna(False)].assign(target="label")
    values = pd.concat([values, same], ignore_index=True)
    wide = values.pivot_table(index="image", columns=[*by, "output"], values="score")
    return Scores(wide, _correct(table))


def randomization_scores(table: pd.DataFrame) -> Scores:
    """Scores of ``randomization-specifications``: means over steps, then over seeds.

    The mean squared error is taken negatively, so that more means more similar under each of them.
    """
    by = ["method", "start", "reduction", "norms"]
    signs = {name: -1.0 if name == "mse" else 1.0 for name in SIMILARITIES}
    signed = table.assign(**{name: table[name] * sign for name, sign in signs.items()})
    steps = signed.groupby(["image", "seed", *by], sort=False)[list(SIMILARITIES)]
    means = steps.mean().where(steps.count() == steps.size().to_frame().to_numpy())
    means = means.groupby(["image", *by], sort=False).mean().reset_index()
    values = means.melt(["image", *by], list(SIMILARITIES), "similarity", "score")
    wide = values.pivot_table(index="image", columns=[*by, "similarity"], values="score")
    return Scores(wide, _correct(table))


def _correct(table: pd.DataFrame) -> pd.Series:
    return table.drop_duplicates("image").set_index("image")["correct"]


def specifications(names: Sequence[str], scores: Scores) -> Iterator[dict[str, object]]:
    """Every combination of choices that makes a difference and that a table holds.

    Args:
        names: :data:`OCCLUSION` or :data:`RANDOMIZATION`.
        scores: of the test.
    """
    columns = scores.values.columns
    known = map(str, columns.names)
    held = {name: list(columns.get_level_values(name).unique()) for name in known}
    own: dict[str, list[Any]] = {
        "variant": [name for name in LRP_VARIANTS if name in held["method"]],
        "start": ["one", "logit"],
        "biases": ["out", "in"],
        "images": ["all", "correct"],
    }
    levels = held | own
    for values in product(*(levels[name] for name in names)):
        key = dict(zip(names, values, strict=True))
        if key.get("target") == "label" and key["images"] == "correct":
            continue  # the prediction is the label there
        yield key


def tables_of(
    names: Sequence[str], scores: Scores, *more: str
) -> Iterator[tuple[dict[str, object], pd.DataFrame]]:
    """Each specification that has two images or more, with its scores of five methods.

    Args:
        names: :data:`OCCLUSION` or :data:`RANDOMIZATION`.
        scores: of the test.
        more: methods besides guided backpropagation, the variant of LRP and the gradient methods.
    """
    for key in specifications(names, scores):
        table = scores.of(key, (GUIDED, str(key["variant"]), *GRADIENTS, *more))
        if len(table) >= 2:
            yield key, table


def _outcome(claimed: Any, other: Any) -> Any:
    """``holds`` where what is claimed is met, ``contradicted`` where its opposite is."""
    return np.select([claimed, other], ["holds", "contradicted"], "open")


def _student(gaps: np.ndarray) -> tuple[Any, Any, Any]:
    """Mean over the first axis with Student's 95 % interval."""
    half = stats.t.ppf(0.975, len(gaps) - 1) * gaps.std(0, ddof=1) / len(gaps) ** 0.5
    return gaps.mean(0), gaps.mean(0) - half, gaps.mean(0) + half


def differences(names: Sequence[str], scores: Scores) -> pd.DataFrame:
    """The claimed differences of one test under every specification.

    Args:
        names: :data:`OCCLUSION` or :data:`RANDOMIZATION`.
        scores: of the test.

    Returns:
        A row for each specification, ``part`` (guided backpropagation or LRP) and gradient method
        ``against``: the choices, ``difference`` (first minus second), its 95 % interval ``low`` and
        ``high``, and ``n`` images.
    """
    rows = []
    for key, table in tables_of(names, scores):
        values = table.to_numpy(float)
        for place, part in enumerate(PARTS):
            for other, against in enumerate(GRADIENTS, start=2):
                mean, low, high = _student(values[:, place] - values[:, other])
                rows.append(
                    {**key, "part": part, "against": against, "difference": mean, "low": low,
                     "high": high, "n": len(values)}
                )  # fmt: skip
    if not rows:
        raise UndefinedStatisticError("no specification has two images with all its maps")
    return pd.DataFrame(rows)


def outcomes(found: pd.DataFrame, names: Sequence[str], claimed: int) -> pd.DataFrame:
    """Whether a part of the claim holds, specification by specification.

    It holds if all three differences have the claimed sign with intervals that exclude 0, it is
    contradicted if one has the other sign so, and open otherwise.

    Args:
        found: from :func:`differences`.
        names: the choices.
        claimed: the sign that is claimed, -1 for occlusion and 1 for randomisation.

    Returns:
        A row for each specification and part: ``outcome`` (``holds``, ``contradicted``, ``open``)
        and the ``margin``: the weakest of the three differences, in the claimed direction, with
        its interval.
    """
    signed = found.assign(
        margin=claimed * found["difference"],
        margin_low=np.where(claimed > 0, found["low"], -found["high"]),
        margin_high=np.where(claimed > 0, found["high"], -found["low"]),
    )
    groups = signed.groupby([*names, "part"], sort=False)
    weakest = signed.loc[groups["margin"].idxmin()].set_index([*names, "part"])
    held = groups["margin_low"].min() > 0
    outcome = _outcome(held, groups["margin_high"].min() < 0)
    table = pd.DataFrame({"outcome": outcome}, index=held.index)
    return table.join(weakest[["margin", "margin_low", "margin_high", "n"]]).reset_index()


def against_noise(names: Sequence[str], scores: Scores) -> pd.DataFrame:
    """Whether all five methods do better than a random order under occlusion.

    Returns:
        A row for each specification: the choices, ``noise`` with the outcome, and ``n`` images.
    """
    rows = []
    for key, table in tables_of(names, scores, "noise"):
        gaps = table.drop(columns="noise").to_numpy(float) - table[["noise"]].to_numpy(float)
        _, low, high = _student(gaps)
        outcome = str(_outcome((high < 0).all(), (low > 0).any()))
        rows.append(key | {"noise": outcome, "n": len(table)})
    return pd.DataFrame(rows)


def agreement_of_patches(names: Sequence[str], scores: Scores) -> pd.DataFrame:
    """Whether regions of 8 and of 15 pixels rank five methods alike: Kendall's tau above 0.

    Returns:
        A row for each specification with regions of 8 pixels: the choices, ``tau``, its bootstrap
        interval ``low`` and ``high``, and ``agreement`` with the outcome.
    """
    rows = []
    for key, table in tables_of(names, scores):
        if key["patch"] != 8:
            continue
        other = scores.of(key | {"patch": 15}, list(map(str, table)))
        common = sorted(set(table.index) & set(other.index))
        if len(other) < 2:
            continue
        tau, low, high = _tau(*(_pair_signs(side.loc[common]) for side in (table, other)))
        outcome = str(_outcome(low > 0, high < 0))
        rows.append(key | {"tau": tau, "low": low, "high": high, "agreement": outcome})
    return pd.DataFrame(rows)


def agreement(occluded: Scores, randomized: Scores) -> pd.DataFrame:
    """Kendall's tau between both rankings of five methods, under every joint specification.

    The methods are guided backpropagation, the variant of LRP and the three gradient methods; both
    scores are lower for the better method of their test, so agreement is above 0. The images are
    those that both tests hold under the specification, and are resampled together: a choice that
    was measured on few images does not take images from the others.

    Returns:
        A row for each joint specification: the choices, ``tau``, ``low``, ``high``, ``n`` and
        ``outcome`` of the claim that tau is below 0.
    """
    rows = []
    for shared, left, right in _joint(occluded, randomized):
        for (ours, one), (theirs, other) in product(_by_images(left), _by_images(right)):
            common = sorted(ours & theirs)
            if len(common) < 2:
                continue
            first, second = (
                {own: _pair_signs(table.loc[common]) for own, table in side.items()}
                for side in (one, other)
            )
            for (own, a), (others, b) in product(first.items(), second.items()):
                tau, low, high = _tau(a, b)
                found = {"tau": tau, "low": low, "high": high, "n": len(common)}
                outcome = str(_outcome(high < 0, low > 0))
                rows.append(dict((*shared, *own, *others)) | found | {"outcome": outcome})
    if not rows:
        raise UndefinedStatisticError("no specification has two images in both tests")
    return pd.DataFrame(rows)


def _joint(occluded: Scores, randomized: Scores) -> Iterator[tuple[Choices, Side, Side]]:
    """The two tests' tables of scores, grouped by the choices that they share."""
    sides: list[dict[Choices, Side]] = []
    for names, scores in ((OCCLUSION, occluded), (RANDOMIZATION, randomized)):
        groups: dict[Choices, Side] = {}
        for key, table in tables_of(names, scores):
            shared = tuple((name, key[name]) for name in SHARED)
            own = tuple((name, key[name]) for name in names if name not in SHARED)
            groups.setdefault(shared, {})[own] = table
        sides.append(groups)
    for shared, left in sides[0].items():
        if shared in sides[1]:
            yield shared, left, sides[1][shared]


def _by_images(side: Side) -> list[tuple[frozenset[str], Side]]:
    """The tables of one test, those of the same images together."""
    groups: dict[frozenset[str], Side] = {}
    for own, table in side.items():
        groups.setdefault(frozenset(table.index), {})[own] = table
    return list(groups.items())


@cache
def _resamples(n: int) -> np.ndarray:
    """Weights of images, ``(1 + RESAMPLES, n)``: first all alike, then a bootstrap."""
    rng = np.random.default_rng(0)
    counts = rng.multinomial(n, np.full(n, 1 / n), RESAMPLES)
    return np.vstack([np.ones(n), counts]) / n


def _pair_signs(table: pd.DataFrame) -> np.ndarray:
    """Signs of all pairs' differences, ``(1 + RESAMPLES, pairs)``."""
    first, second = np.triu_indices(table.shape[1], k=1)
    means = _resamples(len(table)) @ table.to_numpy(float)
    return np.sign(means[:, first] - means[:, second])


def _tau(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Kendall's tau of two rankings by the signs of their pairs, with its 95 % interval."""
    taus = (first * second).mean(1)
    return taus[0], *np.quantile(taus[1:], (0.025, 0.975))


@dataclass(frozen=True)
class Gap:
    """The paper's claim about both tests, under every specification that two tables allow.

    Attributes:
        occlusion, randomization: from :func:`outcomes`, one row a specification and part.
        tau: from :func:`agreement`, one row a joint specification.
    """

    occlusion: pd.DataFrame
    randomization: pd.DataFrame
    tau: pd.DataFrame

    @classmethod
    def of(cls, occluded: pd.DataFrame, randomized: pd.DataFrame) -> Gap:
        """The claim judged on the tables of both specifications.

        Raises:
            UndefinedStatisticError: no specification has two images with all its maps.
        """
        key = _content(occluded), _content(randomized)
        if key not in _GAPS:
            first, second = occlusion_scores(occluded), randomization_scores(randomized)
            made = cls(
                outcomes(differences(OCCLUSION, first), OCCLUSION, -1),
                outcomes(differences(RANDOMIZATION, second), RANDOMIZATION, 1),
                agreement(first, second),
            )
            _GAPS[key] = made  # a page asks for it many times, and it takes seconds
        return _GAPS[key]

    def joint(self) -> pd.DataFrame:
        """A row for each joint specification: its choices and the outcome of each part.

        Columns ``guided backpropagation`` and ``LRP`` (in both tests), ``tau`` and ``all``.
        """
        table = self.tau.rename(columns={"tau": "estimate", "outcome": "tau"})
        for part in PARTS:
            for names, found in ((OCCLUSION, self.occlusion), (RANDOMIZATION, self.randomization)):
                own = found.loc[found["part"] == part, [*names, "outcome"]]
                test = "occlusion" if names is OCCLUSION else "randomization"
                table = table.merge(own.rename(columns={"outcome": f"{part}, {test}"}), on=names)
            table[part] = all_of(table[[f"{part}, occlusion", f"{part}, randomization"]])
        table["all"] = all_of(table[[*PARTS, "tau"]])
        return table


CHOICES = tuple(dict.fromkeys((*OCCLUSION, *RANDOMIZATION)))

_GAPS: dict[tuple[int, int], Gap] = {}


def _content(table: pd.DataFrame) -> int:
    """A number that tells tables with other rows apart."""
    return hash((len(table), tuple(pd.util.hash_pandas_object(table))))


def all_of(outcomes: pd.DataFrame) -> pd.Series:
    """One outcome a row, of several that are all claimed."""
    held, against = (outcomes == "holds").all(axis=1), (outcomes == "contradicted").any(axis=1)
    return pd.Series(_outcome(held, against), outcomes.index)


def shares(values: pd.Series) -> dict[str, float]:
    """Share of the specifications with each outcome, 0 to 1."""
    counts = values.value_counts(normalize=True)
    return {name: float(counts.get(name, 0.0)) for name in ("holds", "contradicted", "open")}


def deciding(table: pd.DataFrame, names: Sequence[str], value: str) -> pd.Series:
    """How much of the variance of a value each choice explains by itself, the largest first.

    It is the variance of the means over a choice's levels, over the variance of all
    specifications (first-order sensitivity).

    Args:
        table: a row for each specification.
        names: the choices.
        value: a numeric column.

    Returns:
        Choice -> share, 0 to 1; choices with one level are left out.
    """
    total = float(table[value].var(ddof=0))
    parts = {}
    for name in names:
        if table[name].nunique() > 1:
            means = table.groupby(name)[value].transform("mean")
            parts[name] = float(means.var(ddof=0)) / total if total else 0.0
    return pd.Series(parts, dtype=float).sort_values(ascending=False)


def at(table: pd.DataFrame, names: Sequence[str], **choices: object) -> pd.DataFrame:
    """The rows of the reading nearest to the paper, with some choices made otherwise.

    Args:
        table: a row for each specification, and perhaps part.
        names: the choices.
        choices: those that differ from :data:`READING`.

    Raises:
        UsageError: the table has no such row.
    """
    wanted = {name: choices.get(name, READING[name]) for name in names}
    rows = rows_of(table, **wanted)
    if rows.empty:
        raise UsageError(f"no specification has {wanted}; compute more of them")
    return rows
