"""Checks of the sensitivity S that need no network, and counts of the papers' networks."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import jensenshannon
from scipy.stats import pearsonr, spearmanr

from sanitygap.models.stages import LAYERS
from sanitygap.sensitivity import architectures, printed, proofs
from sanitygap.similarity import joint_range, second_moment, ssim
from sanitygap.table import table

table("sensitivity-proofs", smoke={"timeout_ms": 5_000}, full={"timeout_ms": 60_000})(proofs.proofs)


@table("sensitivity-extremes")
def extremes(seed: int) -> Iterator[dict[str, Any]]:
    """Sensitivities of pairs of maps at the ends of the SSIM's range.

    Args:
        seed: of the maps.
    """
    size = 64
    rng = np.random.default_rng(seed)
    uniform = rng.random((size, size))
    checks = (np.indices((size, size)).sum(0) % 2).astype(float)
    pairs = {
        "a map and itself": (uniform, uniform),
        "uniform noise and 1 minus it": (uniform, 1 - uniform),
        "chequers and 1 minus them": (checks, 1 - checks),
        "centred noise and its negative": (uniform - 0.5, 0.5 - uniform),
        "two maps of uniform noise": (uniform, rng.random((size, size))),
    }
    for name, pair in pairs.items():
        first, second = (torch.from_numpy(values)[None] for values in pair)
        found = float(ssim(first, second, 1.0))
        yield {"pair": name, "ssim": found, "sensitivity": 1 - found}


@table("threshold-sweep", smoke={"pairs": 4}, quick={"pairs": 20}, full={"pairs": 200})
def threshold_sweep(pairs: int = 200, seed: int = 0) -> Iterator[dict[str, Any]]:
    """How much noise makes a map count as changed, by the kind of map and its scaling.

    Args:
        pairs: pairs of maps for each mean.
        seed: of the maps and the noise.
    """
    rng, size = np.random.default_rng(seed), 96
    shape = (2, pairs, size, size)
    made = {
        "absolute Gaussian": np.abs(rng.normal(size=shape)),
        "smooth": np.stack(
            [[gaussian_filter(one, 4) for one in part] for part in rng.normal(size=shape)]
        ),
        "sparse (t, 2 degrees)": rng.standard_t(2, size=shape),
    }
    for kind, values in made.items():
        low, high = (edge(values, axis=(2, 3), keepdims=True) for edge in (np.min, np.max))
        first, second = (torch.from_numpy(part) for part in (values - low) / (high - low))
        for level in (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, np.inf):
            noise = torch.from_numpy(rng.normal(size=first.shape))
            changed = second if level == np.inf else first + level * noise
            a, b = second_moment(first), second_moment(changed)
            for scaling, found in (
                ("[0, 1]", ssim(first, changed, 1.0)),
                ("second moment", ssim(a, b, joint_range(a, b))),
            ):
                yield {
                    "map": kind, "scaling": scaling, "noise": level,
                    "sensitivity": 1 - float(found.mean()), "pairs": pairs,
                }  # fmt: skip


@table("similarity-words")
def similarity_words() -> Iterator[dict[str, Any]]:
    """Which correlation sees linear and which monotonic relations."""
    x = np.linspace(-3, 3, 101)
    for name, find, described in (
        ("spearman", spearmanr, "linear"), ("pearson", pearsonr, "monotone"),
    ):  # fmt: skip
        yield {
            "statistic": name, "monotone": float(find(x, np.exp(x)).statistic),
            "linear": float(find(x, 2 * x + 1).statistic), "described": described,
        }  # fmt: skip


@table("printed-correlations")
def printed_correlations() -> Iterator[pd.DataFrame]:
    """Tables 2 and 3 of the paper: printed marks beside those that the numbers deserve."""
    yield printed.pairs("sriram-table2", True)
    yield printed.pairs("sriram-table3", False)


@table("printed-structure")
def printed_structure() -> Iterator[dict[str, Any]]:
    """Whether Tables 2 and 3 of the paper can be correlations of five numbers each."""
    for claim in ("sriram-table2", "sriram-table3"):
        for name, value in printed.structure(claim).items():
            yield {"claim": claim, "property": name, "value": value}


@table("ipr-architectures")
def ipr_architectures() -> Iterator[dict[str, Any]]:
    """What the five networks of the paper are made of, counted without their weights."""
    yield from map(architectures.counts, LAYERS)


table("ipr-layers")(architectures.rule_rows)


@table("silent-hooks", by=["networks"], smoke={"networks": ("mobilenet_v2", "resnet18")})
def silent_hooks(
    networks: Sequence[str] = tuple(LAYERS), seed: int = 0
) -> Iterator[dict[str, Any]]:
    """How far captum's guided backpropagation is from the gradient in the paper's networks.

    Args:
        networks: some of the five.
        seed: of the weights and the input.
    """
    for name in networks:
        size = 128 if name == "inception_v3" else 64
        source = torch.Generator().manual_seed(seed)
        inputs = torch.randn(1, 3, size, size, generator=source)
        network = architectures.random_copy(name, seed)
        found = architectures.silent_hooks(network, inputs, torch.tensor([0]))
        yield {"network": name, "difference": found}


@table("jensen-shannon", smoke={"n": 200}, quick={"n": 5_000}, full={"n": 50_000})
def jensen_shannon(n: int = 5_000, seed: int = 0) -> pd.DataFrame:
    """The Jensen-Shannon divergence lies in [0, ln 2], and its root is a metric: random triples.

    Args:
        n: triples.
        seed: of the triples.
    """
    rng = np.random.default_rng(seed)
    concentration = rng.choice([0.05, 1.0, 20.0], size=(n, 1))
    p, q, r = (rng.gamma(concentration, size=(n, 8)) + 1e-12 for _ in range(3))
    pq, qr, pr = (np.nan_to_num(jensenshannon(a, b, axis=1)) for a, b in ((p, q), (q, r), (p, r)))
    excess = pr - pq - qr
    return pd.DataFrame(
        [
            {"property": "divergence at most ln 2", "trials": n,
             "violations": int((pq**2 > np.log(2) + 1e-12).sum()),
             "extreme": float((pq**2).max())},
            {"property": "divergence at least 0", "trials": n,
             "violations": int((pq**2 < 0).sum()), "extreme": float((pq**2).min())},
            {"property": "root meets the triangle inequality", "trials": n,
             "violations": int((excess > 1e-9).sum()), "extreme": float(excess.max())},
        ]
    )  # fmt: skip
