"""Theorem 2: the probability that small activations overtake large ones (Sec. 4.3, App. E).

A neuron sums w x over two disjoint sets of activations, X_S and X_L, where every activation of X_L
is at least K times as large as every one of X_S. The weights are random. Equation numbers are those
of Binder et al. (2022).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import erf

from sanitygap.seeds import stable_seed
from sanitygap.table import table
from sanitygap.theory.montecarlo import Row, chunks, proportion
from sanitygap.theory.theorem_2 import Activations, claimed_probabilities, exact_probabilities


@table("theorem-2-neurons", smoke={"n": 100}, quick={"n": 400}, full={"n": 400})
def random_neurons(*, n: int, seed: int, size: int = 20) -> Iterator[pd.DataFrame]:
    """Single neurons with random weights: their two sums, for three ratios K.

    Args:
        n: number of neurons for each ratio.
        seed: seed of the weights, which all ratios share.
        size: activations in each of X_S and X_L; small ones are 1, large ones K.

    Returns:
        One row a (ratio, neuron): small_sum and large_sum, the two sums in units of the standard
        deviation of the small one, whether small ones overtake a positive large_sum (overtaken),
        and the tail claimed for that ratio.
    """
    rng = np.random.default_rng(stable_seed(seed, "random-neurons", size))
    weights = rng.standard_normal((n, 2 * size))
    for ratio in (1.0, 3.0, 10.0):
        at = Activations.constant(size, size, ratio)
        small = weights[:, :size] @ at.small / np.sqrt(size)
        large = weights[:, size:] @ at.large / np.sqrt(size)
        sums: Row = {"ratio": ratio, "small_sum": small, "large_sum": large}
        overtaken, claimed = (large > 0) & (small >= large), claimed_probabilities(at)
        yield pd.DataFrame({**sums, "overtaken": overtaken, "claimed": claimed["conditional"]})


SETTINGS = (
    (1, 1, 1.0), (1, 1, 2.0), (5, 5, 2.0), (10, 2, 2.0), (2, 10, 3.0), (5, 50, 2.0),
    (50, 5, 3.0), (200, 20, 2.0), (10, 1, 2.0), (100, 1, 2.0), (500, 1, 2.0), (1000, 100, 2.0),
)  # fmt: skip


@table(
    "theorem-2",
    smoke={"n": 20_000, "budget": 1_000_000},
    quick={"n": 1_000_000, "budget": 40_000_000},
    full={"n": 4_000_000, "budget": 2_000_000_000},
)
def overtaking(*, n: int, seed: int, budget: int) -> Iterator[Row]:
    """Monte Carlo of Theorem 2 and of its variants, with normal weights.

    Events, with S and L the two sums: `joint` 0 < L <= S (Eq. 8); `conditional` S >= L given
    L > 0; `unconditional` S >= L; `two-sided` |S| >= |L|; `conditional, averages` the averages
    instead of the sums (Eq. 46); `absolute sums` and `absolute averages`: the sums or averages of
    |w x| (Sec. 4.3 and footnote 9).

    Args:
        n: number of draws of the weights for each setting.
        seed: seed of the draws.
        budget: largest number of weights drawn for one setting; larger sets get fewer draws.

    Returns:
        One row a (setting, event): n_small, n_large, ratio, activations, the frequency with its
        interval, `exact` and `claimed` probability, and for |X_L| = 1 the `limit` of the absolute
        averages as |X_S| grows.
    """
    cases = [Activations.constant(*setting) for setting in SETTINGS]
    cases += [
        Activations.random(*sizes, seed=stable_seed(seed, "activations", *sizes))
        for sizes in ((10, 5), (40, 10))
    ]
    for at in cases:
        sizes = len(at.small), len(at.large)
        key = stable_seed(seed, "theorem-2", *sizes, at.ratio)
        draws = max(1, min(n, budget // sum(sizes)))
        exact, claimed = exact_probabilities(at), claimed_probabilities(at)
        limits = {"absolute averages": float(erf(1 / (at.ratio * np.sqrt(np.pi))))}
        known = {"exact": exact, "claimed": claimed, "limit": limits if sizes[1] == 1 else {}}
        for event, estimate in simulate(at, np.random.default_rng(key), draws).items():
            named: Row = {**_setting(at), "activations": at.kind, "event": event, **estimate}
            yield named | {name: values.get(event, np.nan) for name, values in known.items()}


def _setting(at: Activations) -> Row:
    return {"n_small": len(at.small), "n_large": len(at.large), "ratio": at.ratio}


Weights = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float32]]


def _normal(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    return rng.standard_normal(shape, dtype=np.float32)


def simulate(
    at: Activations, rng: np.random.Generator, draws: int, weights: Weights = _normal
) -> dict[str, Row]:
    """Frequencies of the events of :func:`overtaking`; conditional ones among draws with L > 0."""
    counts: Counter[str] = Counter()
    n_small, n_large = len(at.small), len(at.large)
    for size in chunks(draws, n_small + n_large):
        w = weights(rng, (size, n_small + n_large))
        parts = w[:, :n_small], w[:, n_small:]
        values = at.small.astype(np.float32), at.large.astype(np.float32)
        s, l = (part @ x for part, x in zip(parts, values, strict=True))  # noqa: E741
        abs_s, abs_l = (np.abs(part) @ x for part, x in zip(parts, values, strict=True))
        for event, happened in {
            "joint": (l > 0) & (l <= s),
            "conditional, averages": (l > 0) & (l / n_large <= s / n_small),
            "unconditional": s >= l,
            "two-sided": np.abs(s) >= np.abs(l),
            "absolute sums": abs_s >= abs_l,
            "absolute averages": abs_s / n_small >= abs_l / n_large,
            "positive": l > 0,
        }.items():
            counts[event] += int(happened.sum())
    positive, averages = counts.pop("positive"), counts.pop("conditional, averages")
    among_positive = {"conditional": counts["joint"], "conditional, averages": averages}
    return {event: proportion(count, draws) for event, count in counts.items()} | {
        event: proportion(count, positive) for event, count in among_positive.items()
    }


WEIGHTS: dict[str, Weights] = {
    "normal": _normal,
    "uniform": lambda rng, shape: rng.random(shape, dtype=np.float32) * 2 - 1,
    "Laplace": lambda rng, shape: rng.laplace(size=shape).astype(np.float32),
    "Student t1": lambda rng, shape: rng.standard_cauchy(shape).astype(np.float32),
}


@table("theorem-2-weights", smoke={"n": 20_000}, quick={"n": 500_000}, full={"n": 4_000_000})
def weight_distributions(*, n: int, seed: int) -> Iterator[Row]:
    """Theorem 2 for weights that are not normal: K = 2, sets of one and of ten activations.

    Args:
        n: number of draws of the weights for each setting.
        seed: seed of the draws.

    Returns:
        One row a (weights, size): the conditional frequency with its interval and the Cauchy tail
        `claimed` for normal weights.
    """
    for name, weights in WEIGHTS.items():
        for size in (1, 10):
            at = Activations.constant(size, size, 2.0)
            rng = np.random.default_rng(stable_seed(seed, "weights", name, size))
            claimed = claimed_probabilities(at)["conditional"]
            estimate = simulate(at, rng, n, weights)["conditional"]
            yield {"weights": name, **_setting(at), **estimate, "claimed": claimed}


# --- beyond one neuron: groups of inputs under random ReLU heads (Sec. 4.3). A head is everything
# that is randomised on top of a feature map; Gradient x Input of its output is summed over the two
# groups of Theorem 2.

WIDTH = 32
Draw = Callable[[tuple[int, ...], int, torch.Generator], torch.Tensor]


def _laplace(shape: tuple[int, ...], fan_in: int, rng: torch.Generator) -> torch.Tensor:
    u = torch.rand(shape, generator=rng) - 0.5
    return -torch.sign(u) * torch.log1p(-2 * u.abs()) * fan_in**-0.5


HEAD_WEIGHTS: dict[str, Draw] = {
    "He normal": lambda shape, fan_in, rng: torch.randn(shape, generator=rng) * (2 / fan_in) ** 0.5,
    "He uniform": lambda shape, fan_in, rng: (
        (torch.rand(shape, generator=rng) * 2 - 1) * (6 / fan_in) ** 0.5
    ),
    "truncated normal 0.01": lambda shape, fan_in, rng: torch.nn.init.trunc_normal_(
        torch.empty(shape), std=0.01, a=-0.02, b=0.02, generator=rng
    ),
    "Laplace": _laplace,
    "Student t1": lambda shape, fan_in, rng: torch.empty(shape).cauchy_(generator=rng) / fan_in,
}


@dataclass(frozen=True)
class Head:
    """A random ReLU head.

    Attributes:
        depth: number of ReLU layers below the linear output.
        weights: key of `HEAD_WEIGHTS`.
        bias: uniform biases as PyTorch draws them, else none.
        batch_norm: evaluation-mode batch normalisation with statistics of 16 random inputs.
        convolutional: 3 x 3 convolutions and global average pooling instead of dense layers.
    """

    depth: int
    weights: str = "He normal"
    bias: bool = False
    batch_norm: bool = False
    convolutional: bool = False

    @property
    def kind(self) -> str:
        """dense or convolutional, with what is added to it."""
        extras = ["biases"] * self.bias + ["batch normalisation"] * self.batch_norm
        return " with ".join(["convolutional" if self.convolutional else "dense", *extras])


HEADS = (
    *(Head(depth) for depth in (1, 2, 4)),
    *(Head(depth, "He uniform") for depth in (1, 2, 4)),
    Head(2, bias=True),
    Head(2, batch_norm=True),
    *(Head(2, name) for name in ("truncated normal 0.01", "Laplace", "Student t1")),
    Head(2, convolutional=True),
    Head(2, "He uniform", convolutional=True),
)

#: which activations of the map under a convolutional head are large, (channels, height, width)
LARGE = torch.zeros(4, 6, 6, dtype=torch.bool)
LARGE[:, 2:4, 1:4] = True


@table("theorem-2-heads", smoke={"n": 200}, quick={"n": 5_000}, full={"n": 100_000})
def random_heads(*, n: int, seed: int) -> Iterator[Row]:
    """How often the small activations reach the large ones in Gradient x Input of random heads.

    Dense heads see 10 + 10 and 50 + 5 activations of ratio 3; a convolutional head sees a map with
    a block of 24 large activations, at the same positions in all channels, among 120 small ones.

    Args:
        n: number of random heads for each setting.
        seed: seed of the weights.

    Returns:
        One row a (head, sizes, event) with event `two-sided` (|sum| over X_S at least |sum| over
        X_L) or `absolute sums` (sum of absolute values): kind, weights, depth, sizes, the frequency
        with its interval, the `claimed` value (twice the Cauchy tail, or the tail) and `dead`, the
        share of heads without any gradient, which do not count.
    """
    block = int(LARGE.sum())
    for head in HEADS:
        around = LARGE.numel() - block
        for n_small, n_large in [(around, block)] if head.convolutional else [(10, 10), (50, 5)]:
            at = Activations.constant(n_small, n_large, 3.0)
            products, is_large = _gradient_x_input(head, at, n, stable_seed(seed, head, n_small))
            alive = products.abs().sum(1) > 0
            small, large = products[alive][:, ~is_large], products[alive][:, is_large]
            events = {
                "two-sided": small.sum(1).abs() >= large.sum(1).abs(),
                "absolute sums": small.abs().sum(1) >= large.abs().sum(1),
            }
            for event, happened in events.items():
                named: Row = {"kind": head.kind, "weights": head.weights, "depth": head.depth}
                named |= {**_setting(at), "event": event, "dead": float((~alive).double().mean())}
                share = proportion(int(happened.sum()), int(alive.sum()))
                yield named | share | {"claimed": claimed_probabilities(at)[event]}


def _gradient_x_input(
    head: Head, at: Activations, n: int, seed: int, chunk: int = 1000
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient x Input of n random heads, (n, inputs), and which inputs are large, (inputs,)."""
    generator = torch.Generator().manual_seed(seed)
    if head.convolutional:
        features = torch.where(LARGE, at.ratio, 1.0)
    else:
        features = torch.from_numpy(np.concatenate([at.small, at.large])).float()
    parts = []
    for start in range(0, n, chunk):
        count = min(chunk, n - start)
        inputs = features.expand(count, *features.shape).clone().requires_grad_(True)
        forward = _convolutional if head.convolutional else _dense
        (gradient,) = torch.autograd.grad(forward(head, inputs, generator).sum(), inputs)
        parts.append((gradient * inputs.detach()).flatten(1))
    return torch.cat(parts), (features > 1).flatten()


def _dense(head: Head, inputs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Outputs (heads,): each row of the inputs (heads, inputs) goes through its own network."""
    count = len(inputs)
    draw = HEAD_WEIGHTS[head.weights]
    hidden = inputs[:, None]  # one input a head, followed by the references of batch norm
    if head.batch_norm:
        shuffles = [torch.randperm(inputs.shape[1], generator=generator) for _ in range(16)]
        references = torch.stack([inputs.detach()[:, order] for order in shuffles], 1)
        hidden = torch.cat([hidden, references], 1)
    for _ in range(head.depth):
        fan_in = hidden.shape[2]
        hidden = hidden @ draw((count, fan_in, WIDTH), fan_in, generator)
        if head.bias:
            shift = torch.rand((count, 1, WIDTH), generator=generator) * 2 - 1
            hidden = hidden + shift * fan_in**-0.5
        if head.batch_norm:
            deviation, mean = torch.std_mean(hidden[:, 1:].detach(), 1, keepdim=True)
            hidden = (hidden - mean) / (deviation + 1e-5)
        hidden = torch.relu(hidden)
    last = draw((count, WIDTH), WIDTH, generator)
    return (hidden[:, 0] * last).sum(1)


def _convolutional(head: Head, inputs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Outputs (heads,) for inputs (heads, channels, height, width); one group a head."""
    count = len(inputs)
    draw = HEAD_WEIGHTS[head.weights]
    hidden = inputs.reshape(1, -1, *inputs.shape[2:])
    channels = inputs.shape[1]
    for _ in range(head.depth):
        kernels = draw((count * WIDTH, channels, 3, 3), 9 * channels, generator)
        hidden = torch.relu(torch.conv2d(hidden, kernels, padding=1, groups=count))
        channels = WIDTH
    pooled = hidden.mean((2, 3)).reshape(count, WIDTH)
    return (pooled * draw((count, WIDTH), WIDTH, generator)).sum(1)
