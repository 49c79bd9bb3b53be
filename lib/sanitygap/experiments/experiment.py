"""Experiments whose parts are still cut by hand; :mod:`sanitygap.table` takes them over."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import ModuleType
from typing import Any

import pandas as pd
import torch

from sanitygap.table import BATCH as CHUNK
from sanitygap.table import PROFILES, TABLES, Batch, Context, Part, Piece, Table

__all__ = ["CHUNK", "PROFILES", "Batch", "Chunk", "Code", "Context", "experiment", "image_rows"]

Code = ModuleType | Callable[..., Any]


@dataclass(frozen=True)
class Chunk:
    """A part of a table that is computed, stored and resumed as a whole."""

    settings: Mapping[str, Any]
    code: tuple[Code, ...]
    compute: Callable[[], pd.DataFrame]
    images: tuple[int, ...] = ()
    needs_model: bool = True


Chunks = Callable[..., Iterable[Chunk]]


class _HandCut(Table):
    """A table whose function yields its parts."""

    @cached_property
    def defaults(self) -> dict[str, Any]:
        parameters = inspect.signature(self.measure).parameters.items()
        return {n: p.default for n, p in parameters if n not in ("context", "seed")}

    def parts(self, context: Context, **given: Any) -> list[Part]:
        chunks: Iterable[Any] = self.measure(context, **self.defaults | self.checked(given))
        return [
            _Given(replace(self, modelled=c.needs_model), context, Piece(c.settings, c.images), c)
            for c in chunks
        ]


@dataclass(frozen=True)
class _Given(Part):
    chunk: Chunk

    def compute(self) -> pd.DataFrame:
        return self.chunk.compute()


def experiment(
    name: str, *, knobs: Mapping[str, Mapping[str, Any]], columns: Mapping[str, str]
) -> Callable[[Chunks], Chunks]:
    """Register a function that yields the chunks of a table."""

    def register(chunks: Chunks) -> Chunks:
        profiles = {profile: knobs.get(profile, {}) for profile in PROFILES}
        TABLES[name] = _HandCut(name, chunks, profiles, columns, _unused, False, True)  # type: ignore[arg-type]
        return chunks

    return register


def _unused(context: Context, arguments: Mapping[str, Any]) -> Iterable[Piece]:
    raise NotImplementedError


def image_rows(batch: Batch, values: Mapping[str, torch.Tensor], **constant: Any) -> pd.DataFrame:
    """One row an image, see :meth:`sanitygap.table.Batch.rows`."""
    return batch.rows(values, **constant)
