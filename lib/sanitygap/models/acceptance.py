"""What a network has to do before it is used, and what is said to whoever brings one that does not.

A network that returns its logits as an attribute, as Hugging Face's do, is taken as it is.
"""

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sanitygap.errors import UsageError
from sanitygap.models.explainable import Preprocessing


def check_kind(network: nn.Module, source: str) -> None:
    """Refuse what cannot be looked into, redrawn or followed by gradients.

    Args:
        network: what a factory returned.
        source: the spec that named it.

    Raises:
        UsageError: a module without parameters, of TorchScript, with quantised or lazy layers.
    """
    if isinstance(network, torch.jit.ScriptModule):
        raise UsageError(
            f"{source} is a TorchScript module, whose layers no method can look into; give the "
            "Python module that it was made from"
        )
    quantised = [n for n, m in network.named_modules() if "quantized" in type(m).__module__]
    if quantised:
        raise UsageError(
            f"{source} has quantised layers such as {quantised[0]!r}, which have no gradients; "
            "give the network with its floating-point weights"
        )
    tensors = [*network.named_parameters(), *network.named_buffers()]
    if lazy := [name for name, value in tensors if is_lazy(value)]:
        raise UsageError(
            f"{source} has lazy layers without a size, such as {lazy[0]!r}; call the network once "
            "on an input in your factory"
        )
    if not any(True for _ in network.parameters()):
        raise UsageError(f"{source} has no parameters, so there is nothing to randomise")
    if any(value.is_complex() for _, value in tensors):
        raise UsageError(f"{source} has complex weights; give a network of real ones")


def checked_example(
    network: nn.Module, preprocessing: Preprocessing, source: str, device: str
) -> tuple[Tensor, int]:
    """One input that the network accepts, and how many classes it tells apart.

    Raises:
        UsageError: the network gives no logits for it, or none that depend on it by a graph.
    """
    size = preprocessing.size
    example = torch.zeros(1, 3, size, size, device=device)
    try:
        with torch.enable_grad():  # whatever the caller does
            logits = network(example)
            if isinstance(getattr(logits, "logits", None), Tensor):
                network.register_forward_hook(_only_logits)
            logits = network(example.clone().requires_grad_())
    except Exception as error:  # networks complain about a wrong size in all kinds of ways
        said = " ".join(str(error).split())[:120] or type(error).__name__
        raise UsageError(
            f"{source} does not accept a 3 x {size} x {size} input ({said}); "
            f"{_advice(network, example, error)}"
        ) from error
    if not isinstance(logits, Tensor):
        raise UsageError(
            f"{source} returns a {type(logits).__name__}; wrap it so that it returns one tensor "
            "of logits"
        )
    if logits.numel() == 1:
        raise UsageError(
            f"{source} returns one number for one image; wrap it so that it returns two logits, "
            "torch.cat([torch.zeros_like(x), x], 1) for an x of shape (N, 1)"
        )
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise UsageError(
            f"{source} returns a tensor of shape {tuple(logits.shape)} for one image; it must "
            "return logits of shape (1, classes)"
        )
    if not torch.isfinite(logits).all():
        raise UsageError(f"{source} returns NaN or infinite logits; check its weights")
    if not logits.requires_grad:
        raise UsageError(
            f"{source} computes its logits without gradients; take torch.no_grad, detach or "
            "numpy out of its forward"
        )
    return example, logits.shape[1]


def _only_logits(_network: nn.Module, _inputs: Any, output: Any) -> Any:
    return output.logits


@torch.no_grad()
def _advice(network: nn.Module, example: Tensor, error: Exception) -> str:
    """What to do about a network that failed on an input."""
    if isinstance(error, TypeError) and "argument" in str(error):
        return "wrap it so that its forward takes a batch of images and nothing else"
    with suppress(Exception):
        network(example[:, :1])
        return "it takes one channel: wrap it so that it calls the network on x.mean(1, True)"
    if any(word in str(error) for word in ("dtype", "scalar type", "type (")):
        return "let its forward compute in float32, as its weights are here"
    return "set its `preprocessing` attribute to the size it was made for"
