"""Hooks that know the name of their module, and are removed in any case."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import nn

Before = Callable[[str, tuple[Any, ...]], Any]
After = Callable[[str, tuple[Any, ...], Any], Any]


@contextmanager
def hooked(
    modules: Mapping[str, nn.Module], after: After | None = None, before: Before | None = None
) -> Iterator[None]:
    """Functions that are called with every call of some modules, while the context is open.

    A hook for one module needs none of this: torch's handles are contexts that remove it.

    Args:
        modules: name -> module.
        after: takes name, inputs and output; what it returns, if anything, is the new output.
        before: takes name and inputs.
    """
    with ExitStack() as stack:
        for name, module in modules.items():
            if before is not None:
                own = partial(_without_module, before, name)
                stack.enter_context(module.register_forward_pre_hook(own))
            if after is not None:
                own = partial(_without_module, after, name)
                stack.enter_context(module.register_forward_hook(own))
        yield


def _without_module(function: Callable[..., Any], name: str, _: nn.Module, *values: Any) -> Any:
    return function(name, *values)
