"""Which methods are defined for a network: guided backpropagation needs rectifiers, for example."""

import warnings
import weakref
from collections.abc import Sequence

import torch

from sanitygap.attribution import select
from sanitygap.attribution.lrp import BOXED, SUMMARIES
from sanitygap.attribution.method import METHODS, Method, Request, Sampling
from sanitygap.errors import NotDefinedError, UsageError
from sanitygap.importing import is_own, place_of_failure
from sanitygap.models.explainable import Explainable

LRP = tuple(SUMMARIES)
"""The variants of LRP, which has no rule for attention."""

CONDITIONAL = (
    *LRP,
    "guided-backprop", "guided-grad-cam", "grad-cam", "grad-cam-plus-plus", "deeplift", "deepshap",
    "fullgrad", "iba", "captum-guided-backprop", "captum-guided-grad-cam", "captum-deeplift",
)  # fmt: skip
"""Methods that some networks have no use for, and that say so when they are asked."""

_FOUND: weakref.WeakKeyDictionary[torch.nn.Module, dict[str, str]] = weakref.WeakKeyDictionary()


def undefined(model: Explainable, methods: Sequence[str]) -> dict[str, str]:
    """The methods among these that are not defined for a network, each with the reason.

    A method of :data:`CONDITIONAL` or of a person's own is tried on one random input; the answers
    are kept.

    Args:
        model: the network.
        methods: names from the registry.

    Raises:
        UsageError: a name that is not in the registry.
    """
    known = _FOUND.setdefault(model.module, {})
    for method in select(methods):
        name = method.name.partition("@")[0]
        if name in LRP:
            tried = BOXED[0] if name in BOXED else LRP[0]  # the others have the same rules missing
            if tried not in known:
                known[tried] = _refusal(model, METHODS[tried])
            known[method.name] = known[tried]
        elif (name in CONDITIONAL or is_own(method.name)) and method.name not in known:
            known[method.name] = _refusal(model, method)
    return {name: known[name] for name in methods if known.get(name)}


def defined(model: Explainable, methods: Sequence[str]) -> list[str]:
    """The methods among these that are defined for a network; a warning names the others.

    Raises:
        UsageError: a name that is not in the registry.
        NotDefinedError: no method is left.
    """
    missing = undefined(model, methods)
    for name, reason in missing.items():
        warnings.warn(f"{name} is left out: {reason}", stacklevel=2)
    if missing and len(missing) == len(methods):
        raise NotDefinedError(f"no method is left for {model.spec}: {'; '.join(missing.values())}")
    return [name for name in methods if name not in missing]


def _refusal(model: Explainable, method: Method) -> str:
    """Why a method refuses the network; empty if it does not."""
    size = model.preprocessing.size
    source = torch.Generator().manual_seed(0)
    inputs = torch.randn(1, 3, size, size, generator=source).to(model.device)
    targets = torch.zeros(1, dtype=torch.int64, device=model.device)
    try:
        method.values(Request(model, inputs, targets, (0,), Sampling(1, 1)))
    except UsageError as error:
        return str(error)
    except torch.OutOfMemoryError:
        raise  # which tells nothing of the method
    except Exception as error:  # networks of other people make methods fail in any way
        return f"{method.name} fails on {model.spec} ({place_of_failure(error)}); leave it out"
    return ""


def families(methods: Sequence[str], model: Explainable | None = None) -> list[list[Method]]:
    """Methods grouped by the pass they share, in the order given.

    Args:
        methods: names from the registry.
        model: leave out the methods that are not defined for it, with a warning.
    """
    groups: dict[object, list[Method]] = {}
    for chosen in select(methods if model is None else defined(model, methods)):
        groups.setdefault(chosen.compute, []).append(chosen)
    return list(groups.values())
