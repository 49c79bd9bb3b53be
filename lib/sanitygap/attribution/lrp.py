"""Layer-wise relevance propagation: which rule goes to which layer.

Contributions of skips and of average pooling are shared out by the epsilon rule, activations and
what normalisation is left hand relevance on, and a maximum gives all of it to the winner. How
bare functions and products are treated is told in :mod:`sanitygap.models.canonizers`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from zennit.composites import NameLayerMapComposite, layer_map_base
from zennit.core import Composite, Hook, Stabilizer
from zennit.rules import ZBox
from zennit.types import AvgPool, Convolution

from sanitygap.attribution import lrp_rules
from sanitygap.attribution.lrp_rules import (
    Beta,
    Epsilon,
    Gamma,
    Modifier,
    SquaredPooling,
    adaptive_beta,
    nonzero,
    printed_adaptive_beta,
)
from sanitygap.attribution.method import Pass, Request, method
from sanitygap.models import canonizers
from sanitygap.models.canonizers import FunctionRules
from sanitygap.models.explainable import Explainable

#: what these maps depend on besides this module; part of the address of every result
RELIES_ON = (canonizers, lrp_rules)

#: zennit's stabiliser: added to denominators, with their sign
TINY = 1e-6

#: epsilon of LRP-epsilon in units of the root mean square of a layer's outputs (Montavon 2019)
RELATIVE_EPSILON = 0.25

#: gamma of the first and of the last convolution that has one (Binder et al. 2022, Fig. 4)
GAMMA_DECAY = (1.0, 0.01)


def composite(
    model: Explainable,
    convolution: Hook | Callable[[int], Sequence[Hook]],
    dense: Hook,
    *,
    first: Hook | None = None,
    pooling: Hook | None = None,
    stabilizer: float | Modifier = TINY,
) -> Composite:
    """Rules for all layers of a model.

    Args:
        model: the network.
        convolution: the rule of convolutions, or a function from their number to their rules in
            the order in which the network lists them; the first is left out if it has its own.
        dense: the rule of linear layers.
        first: the rule of the first convolution, if it is another.
        pooling: the rule of average and max pooling, if it is another.
        stabilizer: added to the denominators of sums and average pooling.
    """
    names = [n for n, m in model.module.named_modules() if isinstance(m, Convolution)]
    special = [((names.pop(0),), first)] if first is not None and names else []
    rules = (
        convolution(len(names)) if not isinstance(convolution, Hook) else [convolution] * len(names)
    )
    pools = [((nn.MaxPool2d, AvgPool), pooling)] if pooling is not None else []
    return NameLayerMapComposite(
        name_map=[*special, *(((name,), rule) for name, rule in zip(names, rules, strict=True))],
        layer_map=[*pools, *layer_map_base(stabilizer), (nn.Linear, dense)],
        canonizers=list(model.canonizers()),
    )


def relevance(model: Explainable, composite: Composite, request: Request) -> torch.Tensor:
    """Relevance of the pixels for each image's target logit.

    The composite is registered for this pass only: zennit puts the weights it found back on exit,
    so a model has to be randomised before.

    Returns:
        Tensor of the shape of the inputs; its sum over an image is the target logit wherever the
        rules conserve relevance.
    """
    leaf = request.inputs.detach().requires_grad_()
    functions = FunctionRules(lambda module: composite.module_map({}, "", module))
    with composite.context(model.module) as module:
        with functions:
            logits = module(leaf)
        chosen = torch.zeros_like(logits).scatter_(1, request.targets[:, None], 1.0)
        return torch.autograd.grad(logits, leaf, grad_outputs=chosen * logits.detach())[0]


def box(model: Explainable) -> Hook:
    """The z-B rule between the lowest and the highest value a pixel can take."""
    low, high = (bound.to(model.device) for bound in model.preprocessing.bounds())
    return ZBox(low=low, high=high)


def decaying_gamma(layers: int) -> list[Hook]:
    """Gamma rules whose gamma falls exponentially from layer to layer, 1 to 0.01."""
    start, end = GAMMA_DECAY
    steps = max(1, layers - 1)
    return [Gamma(start * (end / start) ** (layer / steps)) for layer in range(layers)]


def _pass(make: Callable[[Explainable], Composite]) -> Pass:
    def compute(request: Request) -> torch.Tensor:
        return relevance(request.model, make(request.model), request)

    return compute


@method("lrp-epsilon-plus", _pass(lambda model: composite(model, Beta(0.0), Epsilon(TINY))))
def lrp_epsilon_plus(values: torch.Tensor, request: Request) -> torch.Tensor:
    """LRP: z-plus rule (beta 0) in convolutions, epsilon in dense layers (Bach et al. 2015)."""
    return values.sum(1)


@method("lrp-alpha2-beta1", _pass(lambda model: composite(model, Beta(1.0), Epsilon(TINY))))
def lrp_alpha2_beta1(values: torch.Tensor, request: Request) -> torch.Tensor:
    """LRP: alpha 2, beta 1 in convolutions, epsilon rule in dense layers (Bach et al. 2015)."""
    return values.sum(1)


@method(
    "lrp-gamma-box",
    _pass(lambda model: composite(model, Gamma(0.25), Epsilon(TINY), first=box(model))),
)
def lrp_gamma_box(values: torch.Tensor, request: Request) -> torch.Tensor:
    """LRP: z-B rule first, gamma rule in convolutions, epsilon in dense layers."""
    return values.sum(1)


@method(
    "lrp-zero",
    _pass(lambda model: composite(model, Epsilon(nonzero), Epsilon(nonzero), stabilizer=nonzero)),
)
def lrp_zero(values: torch.Tensor, request: Request) -> torch.Tensor:
    """LRP-0 in all layers; gradient x input on a ReLU network (Bach et al. 2015)."""
    return values.sum(1)


def _epsilon(model: Explainable) -> Composite:
    rule = Epsilon(Stabilizer(RELATIVE_EPSILON, norm_scale=True))
    return composite(model, rule, rule)


@method("lrp-epsilon", _pass(_epsilon))
def lrp_epsilon(values: torch.Tensor, request: Request) -> torch.Tensor:
    """LRP-epsilon in all layers, epsilon 0.25 of their outputs' root mean square (Montavon 2019).

    Each layer keeps the share of relevance that epsilon takes, so the sum is below the logit.
    """
    return values.sum(1)


@method(
    "lrp-gamma",
    _pass(
        lambda model: composite(
            model,
            decaying_gamma,
            Epsilon(nonzero),
            first=box(model),
            pooling=SquaredPooling(),
        )
    ),
)
def lrp_gamma(values: torch.Tensor, request: Request) -> torch.Tensor:
    """LRP-gamma, gamma from 1 to 0.01 with depth, z-B rule first (Binder et al. 2022, Fig. 4).

    Pooling shares relevance out by squared activations; dense layers have LRP-0.
    """
    return values.sum(1)


@method("lrp-z-plus", _pass(lambda model: composite(model, Beta(0.0), Beta(0.0))))
def lrp_z_plus(values: torch.Tensor, request: Request) -> torch.Tensor:
    """LRP: z-plus rule in all layers, dense ones included (Montavon et al. 2017)."""
    return values.sum(1)


@method(
    "lrp-adaptive-beta",
    _pass(lambda model: composite(model, Beta(adaptive_beta), Epsilon(TINY))),
)
def lrp_adaptive_beta(values: torch.Tensor, request: Request) -> torch.Tensor:
    """LRP: beta from each neuron's contributions, solved from Eq. (10), at most 3 (Binder 2022)."""
    return values.sum(1)


@method(
    "lrp-adaptive-beta-printed",
    _pass(lambda model: composite(model, Beta(printed_adaptive_beta), Epsilon(TINY))),
)
def lrp_adaptive_beta_printed(values: torch.Tensor, request: Request) -> torch.Tensor:
    """LRP: beta from each neuron's contributions by Eq. (11) as printed (Binder et al. 2022)."""
    return values.sum(1)
