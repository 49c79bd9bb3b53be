"""Made-up tables of both specifications, for tests of what is judged on them."""

import numpy as np
import pandas as pd

from sanitygap.chapters.gap import multiverse
from sanitygap.chapters.gap.multiverse import GRADIENTS, GUIDED, LRP_VARIANTS
from sanitygap.reductions import REDUCTIONS

IMAGES = 40
METHODS = (GUIDED, *GRADIENTS, *LRP_VARIANTS, *(f"{name}@biases" for name in LRP_VARIANTS))

#: as the paper says: guided backpropagation and LRP remain similar, gradients do not
SIMILAR = {method: 0.3 if method in GRADIENTS else 0.7 for method in METHODS} | {"noise": 0.3}


def occlusion_table(better: dict[tuple[str, str], float], seed: int = 0) -> pd.DataFrame:
    """``occlusion-specifications``: scores of 0.5 less ``better`` of (method, reduction).

    Noise is at 0.6, or less too.
    """
    parts = []
    for base, method, reduction, drawn in _maps(seed):
        level = (0.6 if method == "noise" else 0.5) - better.get((method, reduction), 0.0) + drawn
        parts += [
            base.assign(
                target="predicted",
                patch=patch,
                tiling="tiles",
                replaced=0.13,
                softmax=level,
                logit=10 * level,
            )
            for patch in (15, 8)
        ]
    return pd.concat(parts, ignore_index=True)


def randomization_table(similar: dict[str, float] | None = None, seed: int = 0) -> pd.DataFrame:
    """``randomization-specifications``: similarities as in ``SIMILAR``, or as given."""
    levels = SIMILAR | (similar or {})
    parts = []
    for base, method, _, drawn in _maps(seed):
        like = levels[method] + drawn
        same = dict.fromkeys(multiverse.SIMILARITIES[:-1], like) | {"mse": 2 - 2 * like}
        parts += [base.assign(norms="reset", step=step, steps=10, **same) for step in (1, 5, 10)]
    return pd.concat(parts, ignore_index=True)


def _maps(seed: int):
    """Rows of all images, method, reduction and what an image adds, for each start and method."""
    rng = np.random.default_rng(seed)
    drawn = {name: rng.normal(0, 0.02, IMAGES) for name in (*METHODS, "noise")}
    for method in (*METHODS, "noise"):
        for reduction in REDUCTIONS if method != "noise" else ("signed",):
            starts = ("one", "logit") if "lrp" in method and reduction == "signed" else ("one",)
            for start in starts:
                base = {
                    "image": [f"{i:02}" for i in range(IMAGES)],
                    "position": range(IMAGES),
                    "correct": pd.Series([i % 2 == 0 for i in range(IMAGES)], dtype="boolean"),
                    "method": method,
                    "start": start,
                    "reduction": reduction,
                    "seed": 0,
                }
                yield pd.DataFrame(base), method, reduction, drawn[method]


#: what ``better`` may be: guided backpropagation and LRP also win under occlusion, as the paper
#: says, or lose, or guided backpropagation wins unless its maps keep their signs
EVERYWHERE = {(m, r): 0.1 for m in METHODS if m not in GRADIENTS for r in REDUCTIONS}
NOWHERE = dict.fromkeys(EVERYWHERE, -0.05)
TIED = dict.fromkeys(EVERYWHERE, 0.0)
UNSIGNED = {key: v for key, v in EVERYWHERE.items() if key != (GUIDED, "signed")}
CANCELLED = UNSIGNED | {(GUIDED, "signed"): -0.05}
