"""The checks of formal statements as tables of a run; they need neither model nor images."""

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from sanitygap import inference, similarity, theory
from sanitygap.experiments.experiment import EXPERIMENTS, Chunk, Chunks, Context, Experiment
from sanitygap.theory import TABLES

#: checks share helpers, so the whole room counts as the code that made a table
CODE = (
    *(module for name, module in sorted(sys.modules.items()) if name.startswith(theory.__name__)),
    similarity,
    inference,
)


def _chunks(check: Callable[..., pd.DataFrame]) -> Chunks:
    @functools.wraps(check)  # its parameters are the settings that a person may give
    def chunks(context: Context, **knobs: Any) -> Iterator[Chunk]:
        seeded = "seed" in inspect.signature(check).parameters
        settings = {**knobs, "seed": context.seed} if seeded else knobs
        yield Chunk(settings, CODE, lambda: check(**settings), needs_model=False)

    return chunks


for _name, (_check, _knobs) in TABLES.items():
    EXPERIMENTS[_name] = Experiment(_name, _chunks(_check), _knobs)
