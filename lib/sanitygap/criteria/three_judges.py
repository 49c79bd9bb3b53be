"""Do three ways of judging methods agree: the null feature, randomisation, occlusion?"""

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from sanitygap import judge
from sanitygap.criteria.khakzar_features import LEAST
from sanitygap.criteria.khakzar_methods import null_share, per_sample
from sanitygap.inference import RESAMPLES, Interval
from sanitygap.judge import Context, Tables, Verdict, criterion
from sanitygap.scores import over_seeds, randomization_scores, seeds_in_words
from sanitygap.words import plural

#: the methods that both papers have
SHARED = ("gradient", "integrated-gradients", "guided-backprop", "grad-cam")


def rank_correlation(
    first: pd.DataFrame, second: pd.DataFrame, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Spearman correlation of the mean scores of methods, from different samples.

    Args:
        first, second: scores, units x methods, with the same methods; the units of the two are
            resampled independently, because they are not the same.
        resamples: bootstrap samples.
        seed: of the resampling.

    Raises:
        ValueError: other methods, or fewer than three of them.
    """
    if list(first) != list(second) or first.shape[1] < 3:
        raise ValueError("both need the same methods, at least three")
    rng = np.random.default_rng(seed)
    one, other = first.to_numpy(), second.to_numpy()

    def rho(a: np.ndarray, b: np.ndarray) -> float:
        return float(spearmanr(a.mean(axis=0), b.mean(axis=0)).statistic)

    def draw(scores: np.ndarray) -> np.ndarray:
        return scores[rng.integers(len(scores), size=len(scores))]

    drawn = [rho(draw(one), draw(other)) for _ in range(resamples)]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Interval(rho(one, other), float(low), float(high), min(len(one), len(other)))


@criterion("x-khakzar-binder", tables=("axioms-scores", "randomization", "randomization-seeds"))
def null_feature_and_randomization(tables: Tables, context: Context) -> Verdict:
    table, others = tables["randomization"], tables["randomization-seeds"]
    rows, counts = over_seeds(table, others, [m for m in SHARED if m in set(table["method"])])
    random = randomization_scores(rows)
    null = per_sample(tables["axioms-scores"], "null", "absolute", null_share)
    methods = [name for name in SHARED if name in random and name in null]
    if len(null) < LEAST or len(methods) < 3:
        return judge.no_data(
            f"{plural(len(null), 'accepted sample')} and {plural(len(methods), 'shared method')}.",
            f"At least {LEAST} samples and 3 methods are needed.",
        )
    rho = rank_correlation(null[methods], random[methods].dropna())
    words = (
        f"Spearman correlation of null share and mean SSIM over {len(methods)} methods: "
        f"{judge.shown(rho)}; weights redrawn with {seeds_in_words(counts)}."
    )
    return judge.condition(rho, 0, "below", "rho", words)
