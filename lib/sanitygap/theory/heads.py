"""Theorem 2 beyond one neuron: groups of inputs under random ReLU heads (Sec. 4.3).

A head is everything that is randomised on top of a feature map. Gradient x Input of its output is
summed over the two groups of Theorem 2; the question is how often the group of small activations
reaches the group of large ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from sanitygap.seeds import stable_seed
from sanitygap.theory.montecarlo import proportion
from sanitygap.theory.overtaking import Activations, claimed_probabilities

WIDTH = 32
Draw = Callable[[tuple[int, ...], int, torch.Generator], torch.Tensor]


def _he_normal(shape: tuple[int, ...], fan_in: int, rng: torch.Generator) -> torch.Tensor:
    return torch.randn(shape, generator=rng) * (2 / fan_in) ** 0.5


def _he_uniform(shape: tuple[int, ...], fan_in: int, rng: torch.Generator) -> torch.Tensor:
    return (torch.rand(shape, generator=rng) * 2 - 1) * (6 / fan_in) ** 0.5


def _truncated_normal(shape: tuple[int, ...], fan_in: int, rng: torch.Generator) -> torch.Tensor:
    empty = torch.empty(shape)
    return torch.nn.init.trunc_normal_(empty, std=0.01, a=-0.02, b=0.02, generator=rng)


def _laplace(shape: tuple[int, ...], fan_in: int, rng: torch.Generator) -> torch.Tensor:
    u = torch.rand(shape, generator=rng) - 0.5
    return -torch.sign(u) * torch.log1p(-2 * u.abs()) * fan_in**-0.5


def _cauchy(shape: tuple[int, ...], fan_in: int, rng: torch.Generator) -> torch.Tensor:
    return torch.empty(shape).cauchy_(generator=rng) / fan_in


WEIGHTS: dict[str, Draw] = {
    "He normal": _he_normal,
    "He uniform": _he_uniform,
    "truncated normal 0.01": _truncated_normal,
    "Laplace": _laplace,
    "Student t1": _cauchy,
}


@dataclass(frozen=True)
class Head:
    """A random ReLU head.

    Attributes:
        depth: number of ReLU layers below the linear output.
        weights: key of `WEIGHTS`.
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
        extras = [
            name
            for name, on in (("biases", self.bias), ("batch normalisation", self.batch_norm))
            if on
        ]
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

# channels, height, width of the map under a convolutional head, and its block of large activations
GRID = (4, 6, 6)
BLOCK = (slice(None), slice(2, 4), slice(1, 4))


def random_heads(*, n: int, seed: int) -> pd.DataFrame:
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
    rows = []
    for head in HEADS:
        block = int(np.prod([len(range(*s.indices(d))) for s, d in zip(BLOCK, GRID, strict=True)]))
        sizes = (
            ((int(np.prod(GRID)) - block, block),) if head.convolutional else ((10, 10), (50, 5))
        )
        for n_small, n_large in sizes:
            at = Activations.constant(n_small, n_large, 3.0)
            products, is_large = _gradient_x_input(head, at, n, stable_seed(seed, head, n_small))
            alive = products.abs().sum(1) > 0
            small, large = products[alive][:, ~is_large], products[alive][:, is_large]
            events = {
                "two-sided": small.sum(1).abs() >= large.sum(1).abs(),
                "absolute sums": small.abs().sum(1) >= large.abs().sum(1),
            }
            for event, happened in events.items():
                rows.append(
                    {
                        "kind": head.kind,
                        "weights": head.weights,
                        "depth": head.depth,
                        "n_small": n_small,
                        "n_large": n_large,
                        "ratio": 3.0,
                        "event": event,
                        **proportion(int(happened.sum()), int(alive.sum())),
                        "claimed": claimed_probabilities(at)[event],
                        "dead": float((~alive).double().mean()),
                    }
                )
    return pd.DataFrame(rows)


def _gradient_x_input(
    head: Head, at: Activations, n: int, seed: int, chunk: int = 1000
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient x Input of n random heads, (n, inputs), and which inputs are large, (inputs,)."""
    generator = torch.Generator().manual_seed(seed)
    if head.convolutional:
        large = _block()
        features = torch.where(large, at.ratio, 1.0)
    else:
        features = torch.from_numpy(np.concatenate([at.small, at.large])).float()
        large = features > 1
    parts = []
    for start in range(0, n, chunk):
        count = min(chunk, n - start)
        inputs = features.expand(count, *features.shape).clone().requires_grad_(True)
        forward = _convolutional if head.convolutional else _dense
        (gradient,) = torch.autograd.grad(forward(head, inputs, generator).sum(), inputs)
        parts.append((gradient * inputs.detach()).flatten(1))
    return torch.cat(parts), large.flatten()


def _block() -> torch.Tensor:
    """Which entries of the map under a convolutional head are large, of shape `GRID`."""
    large = torch.zeros(GRID, dtype=torch.bool)
    large[BLOCK] = True
    return large


def _dense(head: Head, inputs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Outputs (heads,): each row of the inputs (heads, inputs) goes through its own network."""
    count = len(inputs)
    draw = WEIGHTS[head.weights]
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
    draw = WEIGHTS[head.weights]
    hidden = inputs.reshape(1, -1, *inputs.shape[2:])
    channels = inputs.shape[1]
    for _ in range(head.depth):
        kernels = draw((count * WIDTH, channels, 3, 3), 9 * channels, generator)
        hidden = torch.relu(torch.conv2d(hidden, kernels, padding=1, groups=count))
        channels = WIDTH
    pooled = hidden.mean((2, 3)).reshape(count, WIDTH)
    return (pooled * draw((count, WIDTH), WIDTH, generator)).sum(1)
