"""Checks of the sensitivity S that need no network, and counts of the papers' networks."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import jensenshannon
from scipy.stats import pearsonr, spearmanr

from sanitygap import inference, similarity
from sanitygap.experiments.experiment import Chunk, Context, experiment
from sanitygap.models import stages
from sanitygap.sensitivity import architectures, printed, proofs
from sanitygap.similarity import joint_range, second_moment, ssim
from sanitygap.theory.proofs import prover

HERE = sys.modules[__name__]
ANY: dict[str, dict[str, Any]] = {"smoke": {}, "quick": {}, "full": {}}


@experiment(
    "sensitivity-proofs",
    knobs={"smoke": {"timeout_ms": 5_000}, "quick": {}, "full": {"timeout_ms": 60_000}},
    columns={name: name for name in prover.COLUMNS},
)
def sensitivity_proofs(context: Context, timeout_ms: int = 10_000) -> Iterator[Chunk]:
    """Definitions 1 to 3 and Eq. (1) to (7), decided by z3, each with wrong variants.

    Args:
        context: its seed only.
        timeout_ms: z3's limit for a statement in milliseconds.
    """
    settings = {"seed": context.seed, "timeout_ms": timeout_ms}
    yield Chunk(settings, (proofs, prover), lambda: proofs.proofs(**settings), needs_model=False)


@experiment(
    "sensitivity-extremes",
    knobs=ANY,
    columns={
        "pair": "the two maps that are compared",
        "ssim": "their SSIM, data range 1",
        "sensitivity": "S = 1 - SSIM",
    },
)
def extremes(context: Context) -> Iterator[Chunk]:
    """Sensitivities of pairs of maps at the ends of the SSIM's range.

    Args:
        context: its seed only.
    """
    settings = {"seed": context.seed}
    code = (similarity, extreme_pairs)
    yield Chunk(settings, code, lambda: extreme_pairs(context.seed), needs_model=False)


def extreme_pairs(seed: int, size: int = 64) -> pd.DataFrame:
    """One row a pair."""
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
    rows = []
    for name, pair in pairs.items():
        first, second = (torch.from_numpy(values)[None] for values in pair)
        found = float(ssim(first, second, 1.0))
        rows.append({"pair": name, "ssim": found, "sensitivity": 1 - found})
    return pd.DataFrame(rows)


@experiment(
    "threshold-sweep",
    knobs={"smoke": {"pairs": 4}, "quick": {"pairs": 20}, "full": {"pairs": 200}},
    columns={
        "map": "what the map is made of",
        "scaling": "how maps are scaled: to [0, 1], or by their second moment",
        "noise": "standard deviation of the added noise on maps in [0, 1]; inf for a second map",
        "sensitivity": "mean S over pairs",
        "pairs": "pairs of maps",
    },
)
def threshold_sweep(context: Context, pairs: int = 200) -> Iterator[Chunk]:
    """How much noise makes a map count as changed, by the kind of map and its scaling.

    Args:
        context: its seed only.
        pairs: pairs of maps for each mean.
    """
    settings = {"pairs": pairs, "seed": context.seed}
    yield Chunk(
        settings,
        (similarity, noise_levels),
        lambda: noise_levels(pairs, context.seed),
        needs_model=False,
    )


def noise_levels(pairs: int, seed: int, size: int = 96) -> pd.DataFrame:
    """One row a kind of map, scaling and noise level."""
    rng = np.random.default_rng(seed)
    shape = (2, pairs, size, size)
    made = {
        "absolute Gaussian": np.abs(rng.normal(size=shape)),
        "smooth": np.stack(
            [[gaussian_filter(one, 4) for one in part] for part in rng.normal(size=shape)]
        ),
        "sparse (t, 2 degrees)": rng.standard_t(2, size=shape),
    }
    rows = []
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
                rows.append(
                    {"map": kind, "scaling": scaling, "noise": level,
                     "sensitivity": 1 - float(found.mean()), "pairs": pairs}
                )  # fmt: skip
    return pd.DataFrame(rows)


@experiment(
    "similarity-words",
    knobs=ANY,
    columns={
        "statistic": "the correlation",
        "monotone": "its value for x and exp(x), related monotonically but not linearly",
        "linear": "its value for x and 2 x + 1",
        "described": "how Sect. 3 of the paper describes it",
    },
)
def similarity_words(context: Context) -> Iterator[Chunk]:
    """Which correlation sees linear and which monotonic relations.

    Args:
        context: not used.
    """

    def compute() -> pd.DataFrame:
        x = np.linspace(-3, 3, 101)
        return pd.DataFrame(
            [
                {"statistic": name, "monotone": float(find(x, np.exp(x)).statistic),
                 "linear": float(find(x, 2 * x + 1).statistic), "described": described}
                for name, find, described in (
                    ("spearman", spearmanr, "linear"), ("pearson", pearsonr, "monotone"),
                )
            ]
        )  # fmt: skip

    yield Chunk({}, (HERE,), compute, needs_model=False)


@experiment(
    "printed-correlations",
    knobs=ANY,
    columns={
        "claim": "Table 2 (Spearman) or Table 3 (Pearson) of the paper",
        "first": "a method, as the paper calls it",
        "second": "another",
        "printed": "the printed correlation over five architectures",
        "mark": "the printed mark of significance; ns if not significant",
        "p_t": "two-sided p-value of the t approximation, n = 5",
        "mark_t": "the mark that it deserves",
        "holm_t": "the p-value after Holm's correction over the 21 pairs",
        "mark_holm": "the mark that this deserves",
        "p_exact": "exact two-sided p-value of Spearman's correlation",
        "mark_exact": "the mark that it deserves",
    },
)
def printed_correlations(context: Context) -> Iterator[Chunk]:
    """Tables 2 and 3 of the paper: printed marks beside those that the numbers deserve.

    Args:
        context: not used.
    """

    def compute() -> pd.DataFrame:
        found = [printed.pairs("sriram-table2", True), printed.pairs("sriram-table3", False)]
        return pd.concat(found, ignore_index=True)

    yield Chunk({}, (printed, inference), compute, needs_model=False)


@experiment(
    "printed-structure",
    knobs=ANY,
    columns={
        "claim": "Table 2 (Spearman) or Table 3 (Pearson) of the paper",
        "property": "asymmetry, an eigenvalue, or the number of sets of rankings that realise it",
        "value": "its value; -1 realisations where rankings cannot have such values",
    },
)
def printed_structure(context: Context) -> Iterator[Chunk]:
    """Whether Tables 2 and 3 of the paper can be correlations of five numbers each.

    Args:
        context: not used.
    """

    def compute() -> pd.DataFrame:
        return pd.DataFrame(
            [
                {"claim": claim, "property": name, "value": value}
                for claim in ("sriram-table2", "sriram-table3")
                for name, value in printed.structure(claim).items()
            ]
        )

    yield Chunk({}, (printed,), compute, needs_model=False)


@experiment(
    "ipr-architectures",
    knobs=ANY,
    columns={
        "network": "torchvision's name",
        "relu_calls": "ReLU and ReLU6 called in a forward pass",
        "relu_modules": "distinct modules of the class nn.ReLU, which captum can hook",
        "convolutions": "convolutions, without an auxiliary classifier",
        "convolution_biases": "convolutions with a bias",
        "dense_biases": "dense layers with a bias",
        "norm_shifts": "normalisation layers with a shift",
    },
)
def ipr_architectures(context: Context) -> Iterator[Chunk]:
    """What the five networks of the paper are made of, counted without their weights.

    Args:
        context: not used.
    """

    def compute() -> pd.DataFrame:
        return pd.DataFrame([architectures.counts(name) for name in stages.LAYERS])

    yield Chunk({}, (architectures, stages), compute, needs_model=False)


@experiment(
    "ipr-layers",
    knobs=ANY,
    columns={
        "network": "torchvision's name",
        "stated": "randomised networks by the paper",
        "rule": "what counts as a layer; mixed is a rule of its own for each network",
        "counted": "how many there are by that rule",
    },
)
def ipr_layers(context: Context) -> Iterator[Chunk]:
    """Layers of the five networks under uniform rules, beside the paper's numbers.

    Args:
        context: not used.
    """

    def compute() -> pd.DataFrame:
        return pd.DataFrame(architectures.rule_rows())

    yield Chunk({}, (architectures, stages), compute, needs_model=False)


@experiment(
    "silent-hooks",
    knobs={
        "smoke": {"networks": ("mobilenet_v2", "resnet18")}, "quick": {}, "full": {},
    },
    columns={
        "network": "torchvision's name; weights are random, which does not matter here",
        "difference": "norm of captum's guided backpropagation minus the gradient, over the "
        "latter's",
    },
)  # fmt: skip
def silent_hooks(
    context: Context, networks: Sequence[str] = tuple(stages.LAYERS)
) -> Iterator[Chunk]:
    """How far captum's guided backpropagation is from the gradient in the paper's networks.

    Args:
        context: its seed only.
        networks: some of the five.
    """
    for name in networks:

        def compute(name: str = name) -> pd.DataFrame:
            size = 128 if name == "inception_v3" else 64
            source = torch.Generator().manual_seed(context.seed)
            inputs = torch.randn(1, 3, size, size, generator=source)
            network = architectures.random_copy(name, context.seed)
            found = architectures.silent_hooks(network, inputs, torch.tensor([0]))
            return pd.DataFrame([{"network": name, "difference": found}])

        settings = {"network": name, "seed": context.seed}
        yield Chunk(settings, (architectures, HERE), compute, needs_model=False)


@experiment(
    "jensen-shannon",
    knobs={"smoke": {"n": 200}, "quick": {"n": 5_000}, "full": {"n": 50_000}},
    columns={
        "property": "what was checked",
        "trials": "random triples of distributions",
        "violations": "how often it failed",
        "extreme": "largest value of what may not exceed its bound",
    },
)
def jensen_shannon(context: Context, n: int = 5_000) -> Iterator[Chunk]:
    """The Jensen-Shannon divergence lies in [0, ln 2], and its root is a metric: random triples.

    Args:
        context: its seed only.
        n: triples.
    """
    settings = {"n": n, "seed": context.seed}
    code = (divergence_properties,)
    yield Chunk(settings, code, lambda: divergence_properties(n, context.seed), needs_model=False)


def divergence_properties(n: int, seed: int) -> pd.DataFrame:
    """One row a property."""
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
