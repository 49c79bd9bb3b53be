"""Layer-wise relevance propagation: which rule goes to which layer.

Sums of skips and average pooling share relevance out in proportion to what they add, activations
and what normalisation is left hand it on, and a maximum gives all of it to the winner. How
bare functions and products are treated is told in :mod:`sanitygap.models.canonizers`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor, nn
from zennit.composites import NameLayerMapComposite, layer_map_base
from zennit.core import Composite, Hook, Stabilizer
from zennit.rules import ZBox
from zennit.types import AvgPool, Convolution

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
from sanitygap.attribution.method import METHODS, Method, Pass, Request, register
from sanitygap.errors import NotDefinedError, UsageError
from sanitygap.models.canonizers import FunctionRules
from sanitygap.models.explainable import Explainable

#: zennit's stabiliser of dense layers: added to their denominators, with their sign
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
) -> Composite:
    """Rules for all layers of a model.

    Args:
        model: the network.
        convolution: the rule of convolutions, or a function from their number to their rules in
            the order in which the network lists them; the first is left out if it has its own.
        dense: the rule of linear layers.
        first: the rule of the first convolution, if it is another.
        pooling: the rule of average and max pooling, if it is another.

    Raises:
        NotDefinedError: the first convolution has a rule for images and takes none.
    """
    names = [n for n, m in model.module.named_modules() if isinstance(m, Convolution)]
    special = [((names.pop(0),), first)] if first is not None and names else []
    if special and model.module.get_parameter(f"{special[0][0][0]}.weight").shape[1] != 3:
        raise NotDefinedError(
            f"the first convolution of {model.spec} takes no image of three channels, as the z-B "
            "rule does; leave out LRP with it"
        )
    rules = (
        convolution(len(names)) if not isinstance(convolution, Hook) else [convolution] * len(names)
    )
    pools = [((nn.MaxPool2d, AvgPool), pooling)] if pooling is not None else []
    return NameLayerMapComposite(
        name_map=[*special, *(((name,), rule) for name, rule in zip(names, rules, strict=True))],
        layer_map=[*pools, *layer_map_base(nonzero), (nn.Linear, dense)],
        canonizers=list(model.canonizers()),
    )


def relevance(model: Explainable, composite: Composite, request: Request) -> Tensor:
    """Relevance of the pixels for each image's target, starting with 1 whatever its logit.

    Started with the logit instead, the whole map would change its sign with it, and a network with
    redrawn weights gives half of its logits the other sign.

    The composite is registered for this pass only: zennit puts the weights it found back on exit,
    so a model has to be randomised before.

    Returns:
        Tensor of the shape of the inputs; its sum over an image is 1, less what neurons keep.
    """
    leaf = request.inputs.detach().requires_grad_()
    functions = FunctionRules(lambda module: composite.module_map({}, "", module))
    with composite.context(model.module) as module:
        with functions:
            logits = module(leaf)
        start = torch.zeros_like(logits).scatter_(1, request.targets[:, None], 1.0)
        return torch.autograd.grad(logits, leaf, grad_outputs=start)[0]


def box(model: Explainable) -> Hook:
    """The z-B rule between the lowest and the highest value a pixel can take."""
    low, high = (bound.to(model.device) for bound in model.preprocessing.bounds())
    return ZBox(low=low, high=high)


def decaying_gamma(layers: int, biases: bool = False) -> list[Hook]:
    """Gamma rules whose gamma falls exponentially from layer to layer, 1 to 0.01."""
    start, end = GAMMA_DECAY
    steps = max(1, layers - 1)
    return [Gamma(start * (end / start) ** (layer / steps), biases) for layer in range(layers)]


Preset = Callable[[Explainable, bool], Composite]
"""From a network, and whether biases count as contributions, to the rules of its layers."""


def _beta(beta: float | Callable[[Tensor, Tensor], Tensor]) -> Preset:
    """The beta rule in convolutions, epsilon in dense layers."""
    return lambda model, biases: composite(model, Beta(beta, biases), Epsilon(TINY, biases))


PRESETS: dict[str, Preset] = {
    "lrp-epsilon-plus": _beta(0.0),
    "lrp-alpha2-beta1": _beta(1.0),
    "lrp-gamma-box": lambda model, biases: composite(
        model, Gamma(0.25, biases), Epsilon(TINY, biases), first=box(model)
    ),
    "lrp-gamma": lambda model, biases: composite(
        model,
        lambda layers: decaying_gamma(layers, biases),
        Epsilon(nonzero, biases),
        first=box(model),
        pooling=SquaredPooling(),
    ),
    "lrp-z-plus": lambda model, biases: composite(model, Beta(0.0, biases), Beta(0.0, biases)),
    "lrp-adaptive-beta": _beta(adaptive_beta),
    "lrp-adaptive-beta-printed": _beta(printed_adaptive_beta),
}
"""The methods that leave biases out of their denominators; ``NAME@biases`` takes them in."""

#: the methods whose first convolution has a rule for pixels
BOXED = ("lrp-gamma-box", "lrp-gamma")

#: of the methods with one rule in all layers; their denominators are outputs, biases included
EVERYWHERE: dict[str, Modifier] = {
    "lrp-zero": nonzero,
    "lrp-epsilon": Stabilizer(RELATIVE_EPSILON, norm_scale=True),
}


@cache
def _pass(name: str, biases: bool = False) -> Pass:
    def compute(request: Request) -> Tensor:
        model = request.model
        if name in PRESETS:
            return relevance(model, PRESETS[name](model, biases), request)
        rule = Epsilon(EVERYWHERE[name], biases=True)
        return relevance(model, composite(model, rule, rule), request)

    return compute


def with_choice(name: str, choice: str) -> Method:
    """A method of :data:`PRESETS` whose denominators include the biases: ``NAME@biases``.

    Raises:
        UsageError: another choice.
    """
    if choice != "biases":
        raise UsageError(f"{name}@{choice} is no method; write {name} or {name}@biases")
    return replace(METHODS[name], name=f"{name}@biases", compute=_pass(name, True))


SUMMARIES = {
    "lrp-epsilon-plus":
        "LRP: z-plus rule (beta 0) in convolutions, epsilon in dense layers (Bach et al. 2015).",
    "lrp-alpha2-beta1":
        "LRP: alpha 2, beta 1 in convolutions, epsilon rule in dense layers (Bach et al. 2015).",
    "lrp-gamma-box": "LRP: z-B rule first, gamma rule in convolutions, epsilon in dense layers.",
    "lrp-zero":
        "LRP-0 in all layers; gradient x input over the logit on a ReLU network (Bach et al. "
        "2015).",
    # each layer keeps the shares that epsilon and its biases take, so the sum is below 1
    "lrp-epsilon":
        "LRP-epsilon in all layers, epsilon 0.25 of their outputs' root mean square (Montavon "
        "2019).",
    # pooling shares relevance out by squared activations; dense layers have LRP-0
    "lrp-gamma":
        "LRP-gamma, gamma from 1 to 0.01 with depth, z-B rule first (Binder et al. 2022, Fig. 4).",
    "lrp-z-plus": "LRP: z-plus rule in all layers, dense ones included (Montavon et al. 2017).",
    "lrp-adaptive-beta":
        "LRP: beta from each neuron's contributions, solved from Eq. (10), at most 3 (Binder "
        "2022).",
    "lrp-adaptive-beta-printed":
        "LRP: beta from each neuron's contributions by Eq. (11) as printed (Binder et al. 2022).",
}  # fmt: skip

for _name, _summary in SUMMARIES.items():
    register(_name, _pass(_name), _summary)
