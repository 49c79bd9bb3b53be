"""What an experiment is: a named way to a tidy table, cut into chunks that can be resumed."""

import ast
import hashlib
import inspect
import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from types import ModuleType
from typing import Any

import pandas as pd
import torch
from torch import nn

from sanitygap.images import ImageSet
from sanitygap.models.explainable import Explainable
from sanitygap.seeds import stable_seed

PROFILES = ("smoke", "quick", "full")

#: images in one chunk; also the batch of one pass on a CPU, where small batches are fastest
CHUNK = 10

#: inputs in one pass on a GPU
GPU_BATCH = 200


#: packages of networks whose weights and version say all about their definitions
LIBRARIES = ("torch", "torchvision", "timm")

#: a module or a function
Code = ModuleType | Callable[..., Any]


@dataclass(frozen=True)
class Chunk:
    """A part of a table that is computed, stored and resumed as a whole.

    Attributes:
        settings: everything that changes its numbers, apart from model, images and code.
        images: positions of the images it is about; empty if it needs none.
        code: the modules and functions whose code makes its numbers.
        compute: makes its rows.
        needs_model: whether its numbers depend on the model.
    """

    settings: Mapping[str, Any]
    code: tuple[Code, ...]
    compute: Callable[[], pd.DataFrame]
    images: tuple[int, ...] = ()
    needs_model: bool = True


@dataclass(frozen=True)
class Batch:
    """Images of one chunk, ready for the model.

    Attributes:
        positions: places in the image set.
        inputs: float, ``(N, 3, H, W)``.
        targets: the explained classes, int64, ``(N,)``: what the trained model predicts.
        names: file names.
        keys: one stable integer an image.
    """

    positions: tuple[int, ...]
    inputs: torch.Tensor
    targets: torch.Tensor
    names: tuple[str, ...]
    keys: tuple[int, ...]

    def seeds(self, *parts: object) -> list[int]:
        """One seed an image for a draw described by the parts."""
        return [stable_seed(key, *parts) for key in self.keys]


class Context:
    """What an experiment computes on: a model, images and a seed.

    Args:
        load_model: called once, when the model is first needed.
        load_images: likewise for the images.
        seed: the run's seed.
    """

    def __init__(
        self,
        load_model: Callable[[], Explainable],
        load_images: Callable[[], ImageSet],
        seed: int,
    ) -> None:
        self._load_model = load_model
        self._load_images = load_images
        self.seed = seed

    @cached_property
    def model(self) -> Explainable:
        """The model, loaded on first use."""
        return self._load_model()

    @cached_property
    def definition(self) -> str:
        """Hash of the code that defines the model, see :func:`definition_sha256`."""
        return definition_sha256(self.model.module)

    @cached_property
    def images(self) -> ImageSet:
        """The images, loaded on first use."""
        return self._load_images()

    @property
    def batch_size(self) -> int:
        """How many inputs go through the model in one pass."""
        return CHUNK if self.model.device.type == "cpu" else GPU_BATCH

    def image_chunks(self, limit: int | None = None) -> list[tuple[int, ...]]:
        """Positions of the images (at most ``limit``), chunk by chunk."""
        count = len(self.images) if limit is None else min(limit, len(self.images))
        size = self.batch_size
        starts = range(0, count, size)
        return [tuple(range(start, min(start + size, count))) for start in starts]

    def batch(self, positions: Sequence[int]) -> Batch:
        """Inputs and targets for some positions of the image set."""
        inputs = self.model.prepare([self.images.open(position) for position in positions])
        return Batch(
            positions=tuple(positions),
            inputs=inputs,
            targets=self.model.predict(inputs),
            names=tuple(self.images.names[position] for position in positions),
            keys=tuple(self.images.keys[position] for position in positions),
        )


Chunks = Callable[..., Iterable[Chunk]]


@dataclass(frozen=True)
class Experiment:
    """A named way from settings to a tidy table.

    Attributes:
        name: of its table.
        chunks: ``(context, **knobs)`` to the chunks of the table.
        knobs: profile -> the experiment's own settings.
        columns: column -> what it means.
    """

    name: str
    chunks: Chunks
    knobs: Mapping[str, Mapping[str, Any]]
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """First line of the experiment's description."""
        return (self.chunks.__doc__ or "").strip().splitlines()[0]


EXPERIMENTS: dict[str, Experiment] = {}


def experiment(
    name: str, *, knobs: Mapping[str, Mapping[str, Any]], columns: Mapping[str, str]
) -> Callable[[Chunks], Chunks]:
    """Register a function that yields the chunks of a table."""

    def register(chunks: Chunks) -> Chunks:
        EXPERIMENTS[name] = Experiment(name, chunks, knobs, columns)
        return chunks

    return register


@cache
def code_sha256(code: tuple[Code, ...]) -> str:
    """SHA-256 of what modules and functions do: syntax trees without docstrings and comments.

    A table is made by *this* code if this hash is the same; wording may change, numbers not.
    """
    digest = hashlib.sha256()
    for piece in sorted(code, key=lambda piece: piece.__name__):
        digest.update(piece.__name__.encode() + _syntax(piece).encode())
    return digest.hexdigest()


@cache
def _syntax(piece: Code) -> str:
    """The syntax tree of a module or function without docstrings and comments."""
    # Python 3.12 gave definitions an empty list of type parameters, 3.13 stopped showing empty ones
    shown: dict[str, Any] = {"show_empty": True} if sys.version_info >= (3, 13) else {}
    tree = ast.parse(textwrap.dedent(inspect.getsource(piece)))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                body[0] = ast.Expr(ast.Constant("docstring"))
        if getattr(node, "type_params", None) == []:
            del node.type_params  # type: ignore[attr-defined]
    return ast.dump(tree, **shown)


def definition_sha256(module: nn.Module) -> str:
    """SHA-256 of the code that defines a network, without that of the libraries it comes from."""
    own = {
        room
        for part in module.modules()
        if type(part).__module__.partition(".")[0] not in LIBRARIES
        and (room := inspect.getmodule(type(part))) is not None
        and getattr(room, "__file__", None)
    }
    return code_sha256(tuple(sorted(own, key=lambda room: room.__name__)))


def chunk_id(table: str, chunk: Chunk, context: Context) -> str:
    """The address of a chunk: a hash over all that determines its numbers."""
    identity = {
        "table": table,
        "settings": chunk.settings,
        "code": code_sha256(chunk.code),
        "model": context.model.weights_sha256 if chunk.needs_model else None,
        "preprocessing": repr(context.model.preprocessing) if chunk.needs_model else None,
        "definition": context.definition if chunk.needs_model else None,
        "images": [context.images.digests[position] for position in chunk.images],
    }
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def image_rows(batch: Batch, values: Mapping[str, torch.Tensor], **constant: Any) -> pd.DataFrame:
    """One row an image from tensors of shape ``(N,)``, with constant columns before them."""
    columns: dict[str, Any] = {"image": batch.names, "position": batch.positions} | constant
    columns |= {name: value.detach().cpu().numpy() for name, value in values.items()}
    return pd.DataFrame(columns)
