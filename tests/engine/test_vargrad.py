"""VarGrad and SmoothGrad, which share a pass, against a plain loop and captum's noise tunnel."""

import captum.attr
import pytest
import torch

from sanitygap.attribution import Sampling, attribute
from sanitygap.seeds import stable_seed

TARGETS = torch.tensor([0, 3, 4, 1])
KEYS = [11, 22, 33, 44]
SAMPLING = Sampling(noisy_copies=6, noise_level=0.2)


def maps_of(model, inputs, *names, sampling=SAMPLING, keys=KEYS, batch_size=10):
    targets = TARGETS[: len(inputs)]
    return attribute(model, inputs, targets, names, keys, sampling, batch_size)


def close(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float = 1e-4) -> bool:
    """Largest difference relative to the largest value."""
    assert theirs.abs().max() > 0
    return float((ours - theirs).abs().max() / theirs.abs().max()) < tolerance


def noise_of(inputs: torch.Tensor, image: int, copy: int) -> torch.Tensor:
    """Standard normal noise of one copy, as the library seeds it: key, "smoothgrad", copy."""
    source = torch.Generator().manual_seed(stable_seed(KEYS[image], "smoothgrad", copy))
    return torch.randn(inputs.shape[1:], generator=source)


def gradients_one_by_one(model, inputs: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Gradients of all noisy copies, double, ``(N, copies, 3, H, W)``."""
    found = torch.zeros(len(inputs), sampling.noisy_copies, *inputs.shape[1:], dtype=torch.double)
    for image in range(len(inputs)):
        x = inputs[image]
        deviation = sampling.noise_level * (x.max() - x.min())
        for copy in range(sampling.noisy_copies):
            leaf = (x + deviation * noise_of(inputs, image, copy))[None].requires_grad_()
            model.module(leaf)[0, TARGETS[image]].backward()
            found[image, copy] = leaf.grad[0]
    return found


@pytest.mark.parametrize("batch_size", [3, 10, 1000])
def test_variance_and_mean_of_a_plain_loop(small, inputs, batch_size):
    gradients = gradients_one_by_one(small, inputs, SAMPLING)
    maps = maps_of(small, inputs, "vargrad", "smoothgrad", batch_size=batch_size)
    # the variance over the copies (divided by their number), channel by channel, then summed
    assert close(maps["vargrad"], gradients.var(1, correction=0).sum(1))
    assert close(maps["smoothgrad"], gradients.mean(1).sum(1))
    assert not close(maps["vargrad"], gradients.sum(2).var(1, correction=0), 0.05)


def test_equal_captum_with_the_same_noise(small, inputs, monkeypatch):
    copies = SAMPLING.noisy_copies
    deviation = SAMPLING.noise_level * (inputs.amax((1, 2, 3)) - inputs.amin((1, 2, 3)))
    noise = torch.stack([noise_of(inputs, i, copy) for i in range(4) for copy in range(copies)])
    noise = noise * deviation.repeat_interleave(copies).view(-1, 1, 1, 1)
    monkeypatch.setattr(torch, "normal", lambda _mean, scale: noise.view_as(scale))
    tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(small.module))
    maps = maps_of(small, inputs, "vargrad", "smoothgrad")
    for name in ("vargrad", "smoothgrad"):
        theirs = tunnel.attribute(
            inputs, nt_type=name, nt_samples=copies, stdevs=1.0, target=TARGETS, abs=False
        )
        assert close(maps[name], theirs.sum(1)), name
