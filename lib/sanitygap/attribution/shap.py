"""DeepSHAP: DeepLIFT averaged over several baselines (Lundberg & Lee 2017)."""

import torch

from sanitygap.attribution.deeplift import RescaleRule, _check_completeness
from sanitygap.attribution.gradient import input_gradient
from sanitygap.attribution.method import Request, method
from sanitygap.seeds import generator

#: noise images that stand for a missing input: clamp(N(0.5, 0.1), 0, 1), brought to the input space
BASELINES, GREY, NOISE = 10, 0.5, 0.1


def noise_baselines(request: Request) -> torch.Tensor:
    """The baselines in the model's input space, ``(BASELINES, 3, H, W)``; always the same."""
    shape = (BASELINES, *request.inputs.shape[1:])
    drawn = torch.randn(shape, generator=generator("deepshap baselines"))
    low, high = request.model.preprocessing.bounds()
    pixels = (GREY + NOISE * drawn).clamp(0, 1)
    return (low + (high - low) * pixels).to(request.inputs)


def deepshap_pass(request: Request) -> torch.Tensor:
    """Mean contribution of the pixels to the change of the target logit from the baselines.

    Raises:
        UsageError: for some baseline the contributions do not add up to that change.
    """
    total = torch.zeros_like(request.inputs)
    for baseline in noise_baselines(request):
        logits = torch.empty(0)

        def with_baseline(images: torch.Tensor, baseline: torch.Tensor = baseline) -> torch.Tensor:
            nonlocal logits
            rows: torch.Tensor = request.model.module(torch.cat([images, baseline[None]]))
            logits = rows.detach()
            return rows[:-1]

        with RescaleRule(len(request.inputs) + 1):
            multipliers = input_gradient(with_baseline, request.inputs, request.targets)
        contributions = multipliers * (request.inputs - baseline)
        _check_completeness(contributions, logits, request)
        total += contributions
    return total / BASELINES


@method("deepshap", deepshap_pass)
def deepshap(values: torch.Tensor, request: Request) -> torch.Tensor:
    """DeepSHAP (Lundberg & Lee 2017): DeepLIFT, mean over 10 baselines of grey noise."""
    return values
