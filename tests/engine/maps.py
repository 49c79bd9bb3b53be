"""Attribution maps of small networks, and how close two are."""

import torch

from sanitygap.attribution import Sampling, attribute
from sanitygap.models import Explainable

TARGETS = torch.tensor([0, 3, 4, 1])
KEYS = [11, 22, 33, 44]


def maps_of(
    model: Explainable, inputs: torch.Tensor, *names: str, sampling: Sampling | None = None,
    keys: list[int] = KEYS, batch_size: int = 10,
) -> dict[str, torch.Tensor]:  # fmt: skip
    """Maps of at most four inputs by some methods."""
    count = len(inputs)
    return attribute(model, inputs, TARGETS[:count], names, keys[:count], sampling, batch_size)


def close(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float = 1e-5) -> bool:
    """Whether the largest difference is small relative to the largest value."""
    ours, theirs = ours.detach(), theirs.detach()
    assert theirs.abs().max() > 0
    return float((ours - theirs).abs().max() / theirs.abs().max()) < tolerance
