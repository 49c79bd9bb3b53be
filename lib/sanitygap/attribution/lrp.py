"""Layer-wise relevance propagation, by zennit's composites with canonizers that fit the model."""

from collections.abc import Callable
from typing import Any

import torch
from zennit.composites import EpsilonAlpha2Beta1, EpsilonGammaBox, EpsilonPlus
from zennit.core import Composite

from sanitygap.attribution.method import Pass, Request, method
from sanitygap.models import canonizers
from sanitygap.models.explainable import Explainable

#: what these maps depend on besides this module; part of the address of every result
RELIES_ON = (canonizers,)


def relevance(model: Explainable, composite: Composite, request: Request) -> torch.Tensor:
    """Relevance of the pixels for each image's target logit.

    The composite is registered for this pass only: zennit puts the weights it found back on exit,
    so a model has to be randomised before.

    Returns:
        Tensor of the shape of the inputs; its sum over an image is the target logit wherever the
        rules conserve relevance.
    """
    leaf = request.inputs.detach().requires_grad_()
    with composite.context(model.module) as module:
        logits = module(leaf)
        chosen = torch.zeros_like(logits).scatter_(1, request.targets[:, None], 1.0)
        return torch.autograd.grad(logits, leaf, grad_outputs=chosen * logits.detach())[0]


def _rule(make: Callable[[Explainable, dict[str, Any]], Composite]) -> Pass:
    def compute(request: Request) -> torch.Tensor:
        composite = make(request.model, {"canonizers": list(request.model.canonizers())})
        return relevance(request.model, composite, request)

    return compute


def _gamma_box(model: Explainable, options: dict[str, Any]) -> Composite:
    low, high = (bound.to(model.device) for bound in model.preprocessing.bounds())
    return EpsilonGammaBox(low=low, high=high, **options)


@method("lrp-epsilon-plus", _rule(lambda model, options: EpsilonPlus(**options)))
def lrp_epsilon_plus(values: torch.Tensor, request: Request) -> torch.Tensor:
    """LRP: z-plus rule in convolutions, epsilon rule in dense layers (Bach et al. 2015)."""
    return values.sum(1)


@method("lrp-alpha2-beta1", _rule(lambda model, options: EpsilonAlpha2Beta1(**options)))
def lrp_alpha2_beta1(values: torch.Tensor, request: Request) -> torch.Tensor:
    """LRP: alpha 2, beta 1 in convolutions, epsilon rule in dense layers (Bach et al. 2015)."""
    return values.sum(1)


@method("lrp-gamma-box", _rule(_gamma_box))
def lrp_gamma_box(values: torch.Tensor, request: Request) -> torch.Tensor:
    """LRP: z-B rule first, gamma rule in convolutions, epsilon in dense layers."""
    return values.sum(1)
