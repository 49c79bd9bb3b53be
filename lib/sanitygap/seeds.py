"""Seeds that do not depend on batching, sharding or the order of computation."""

import hashlib

import torch


def stable_seed(*parts: object) -> int:
    """A 63-bit seed that depends only on the textual form of its parts.

    Every random draw of the book is keyed by what it is for (run seed, image, stage ...), so the
    same draw comes out whichever batch or shard it is computed in, on the CPU or for a GPU.
    """
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*parts: object) -> torch.Generator:
    """A CPU generator seeded by :func:`stable_seed` of the parts."""
    return torch.Generator().manual_seed(stable_seed(*parts))


def normal(shape: tuple[int, ...], seeds: list[int], like: torch.Tensor) -> torch.Tensor:
    """Standard normal noise, drawn image by image.

    Args:
        shape: shape of the noise for one image.
        seeds: one seed an image.
        like: gives device and dtype of the result.

    Returns:
        Tensor of shape ``(len(seeds), *shape)``.
    """
    draws = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(draws).to(like)
