"""Tables: measuring functions, cut into parts that are computed, kept and resumed one by one.

A measuring function takes a batch of images (its first parameter is ``batch``), the whole context
(``context``), or neither, and its own parameters; it returns a tidy table, or yields pieces of
one. :func:`table` registers it. How its table is cut, what a person may set, and under which
address a part is kept follow from its signature and from the code that it rests on.
"""

import hashlib
import inspect
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import pandas as pd
import torch
import yaml
from pydantic import Field, TypeAdapter, ValidationError

from sanitygap import fingerprint
from sanitygap.attribution import Sampling, attribute, unpooled
from sanitygap.attribution.applicable import families
from sanitygap.errors import UsageError, unknown_name
from sanitygap.images import ImageSet
from sanitygap.importing import is_own, source_sha256
from sanitygap.models.explainable import Explainable
from sanitygap.seeds import stable_seed

PROFILES = ("smoke", "quick", "full")

#: images in one part; also the batch of one pass on a CPU, where small batches are fastest
BATCH = 10

#: inputs in one pass on a GPU
GPU_BATCH = 200

#: a whole number among the parameters of a table counts something
COUNTS = (int, int | None)

Rows = pd.DataFrame | Iterable[pd.DataFrame] | Iterable[Mapping[str, Any]]
Measure = Callable[..., Rows]
Function = TypeVar("Function", bound=Measure)


class Context:
    """What a table is measured on: a model, images and a seed.

    Args:
        load_model: called once, when the model is first needed.
        load_images: likewise for the images.
        seed: the run's seed.
        load_maps: called once, when precomputed maps of all images are first needed.
    """

    def __init__(
        self,
        load_model: Callable[[], Explainable],
        load_images: Callable[[], ImageSet],
        seed: int,
        load_maps: Callable[[], Mapping[str, torch.Tensor]] = dict,
    ) -> None:
        self._load_model = load_model
        self._load_images = load_images
        self._load_maps = load_maps
        self.seed = seed

    @cached_property
    def model(self) -> Explainable:
        """The model, loaded on first use."""
        return self._load_model()

    @cached_property
    def images(self) -> ImageSet:
        """The images, loaded on first use."""
        return self._load_images()

    @cached_property
    def precomputed(self) -> Mapping[str, torch.Tensor]:
        """Name -> precomputed maps ``(N, C, H, W)``, one an image, loaded on first use."""
        return self._load_maps()

    @cached_property
    def precomputed_address(self) -> dict[str, str] | None:
        """What tells precomputed maps from others; None if there are none."""
        return {
            name: hashlib.sha256(maps.numpy().tobytes()).hexdigest()
            for name, maps in self.precomputed.items()
        } or None

    @cached_property
    def model_address(self) -> tuple[str, str, str]:
        """What tells one model from another: weights, preprocessing, and the code of its layers."""
        model = self.model
        definition = fingerprint.of_network(model.module)
        return model.weights_sha256, repr(model.preprocessing), definition

    @property
    def batch_size(self) -> int:
        """How many inputs go through the model in one pass."""
        return BATCH if self.model.device.type == "cpu" else GPU_BATCH

    def positions(self, limit: int | None = None) -> list[tuple[int, ...]]:
        """Places of the images (at most ``limit``), batch by batch."""
        count = len(self.images) if limit is None else min(limit, len(self.images))
        size = self.batch_size
        return [tuple(range(start, min(start + size, count))) for start in range(0, count, size)]

    def batch(self, positions: Sequence[int]) -> "Batch":
        """Inputs and targets for some places of the image set."""
        inputs = self.model.prepare([self.images.open(position) for position in positions])
        return Batch(
            positions=tuple(positions),
            inputs=inputs,
            targets=self.model.predict(inputs),
            names=tuple(self.images.names[position] for position in positions),
            keys=tuple(self.images.keys[position] for position in positions),
            context=self,
        )


@dataclass(frozen=True)
class Batch:
    """Images of one part, ready for the model.

    Attributes:
        positions: places in the image set.
        inputs: float, ``(N, 3, H, W)``.
        targets: the explained classes, int64, ``(N,)``: what the trained model predicts.
        names: file names.
        keys: one stable integer an image.
        context: the model, all images, and the seed.
    """

    positions: tuple[int, ...]
    inputs: torch.Tensor
    targets: torch.Tensor
    names: tuple[str, ...]
    keys: tuple[int, ...]
    context: Context

    @property
    def model(self) -> Explainable:
        """The model that all parts are about."""
        return self.context.model

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.context.seed

    @property
    def size(self) -> int:
        """How many inputs go through the model in one pass."""
        return self.context.batch_size

    @property
    def labels(self) -> list[int | None]:
        """Labels of the images; None where one is unknown."""
        return [self.context.images.labels[position] for position in self.positions]

    def seeds(self, *parts: object) -> list[int]:
        """One seed an image for a draw described by the parts."""
        return [stable_seed(key, *parts) for key in self.keys]

    def maps(
        self,
        methods: Sequence[str],
        *state: object,
        sampling: Sampling | None = None,
        inputs: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Signed maps ``(N, H, W)`` by some methods, of the model as it is now.

        Args:
            methods: names from the registry.
            state: seeds what the methods draw, see :meth:`seeds`.
            sampling: sizes of the sampling methods.
            inputs: to be explained in place of the images, of the same shape.
        """
        shown = self.inputs if inputs is None else inputs
        keys = self.seeds(*state)
        return attribute(self.model, shown, self.targets, methods, keys, sampling, self.size)

    def unpooled(
        self, methods: Sequence[str], *state: object, sampling: Sampling | None = None
    ) -> dict[str, torch.Tensor]:
        """As :meth:`maps`, a value for each colour channel: ``(N, C, H, W)``."""
        keys = self.seeds(*state)
        return unpooled(self.model, self.inputs, self.targets, methods, keys, sampling, self.size)

    @property
    def precomputed(self) -> dict[str, torch.Tensor]:
        """Name -> precomputed maps of these images, ``(N, C, H, W)``."""
        places = list(self.positions)
        return {n: m[places].to(self.inputs) for n, m in self.context.precomputed.items()}

    def select(self, places: Sequence[int], targets: torch.Tensor | None = None) -> "Batch":
        """Some of the images, perhaps with other targets for all."""
        chosen = self.targets if targets is None else targets
        return Batch(
            tuple(self.positions[place] for place in places),
            self.inputs[list(places)],
            chosen[list(places)],
            tuple(self.names[place] for place in places),
            tuple(self.keys[place] for place in places),
            self.context,
        )

    def rows(self, values: Mapping[str, torch.Tensor], **constant: Any) -> pd.DataFrame:
        """One row an image from tensors of shape ``(N,)``, with constant columns before them."""
        columns: dict[str, Any] = {"image": self.names, "position": self.positions} | constant
        columns |= {name: value.detach().cpu().numpy() for name, value in values.items()}
        return pd.DataFrame(columns)


@dataclass(frozen=True)
class Piece:
    """One part of a table before it is measured.

    Attributes:
        arguments: of the measuring function, what it shares with other parts included.
        positions: places of its images; empty if it is about none.
        also: what else its numbers depend on, such as the checksum of a file that it reads.
    """

    arguments: Mapping[str, Any]
    positions: tuple[int, ...] = ()
    also: Any = None


Cut = Callable[[Context, Mapping[str, Any]], Iterable[Piece]]


@dataclass(frozen=True)
class Table:
    """A measuring function with its profiles.

    Attributes:
        name: in a run, on pages, and on the command line.
        measure: the function.
        profiles: profile -> the parameters that differ from the function's defaults.
        cut: how its parameters are cut into those of its parts.
        everything: whether a part looks at images beyond its own.
        modelled: whether its numbers depend on the model.
        own: whether a person's own methods are measured with its methods.
    """

    name: str
    measure: Measure
    profiles: Mapping[str, Mapping[str, Any]]
    cut: Cut = field(repr=False)
    everything: bool
    modelled: bool
    own: bool = False

    @property
    def summary(self) -> str:
        """First line of the description of the measuring function."""
        return (self.measure.__doc__ or "").strip().splitlines()[0]

    @property
    def columns(self) -> Mapping[str, str]:
        """Column -> what it means, in their order; empty if the data dictionary is silent."""
        return columns_of(self.name)

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """Parameter -> its default; ``max_images`` is one of every table about batches."""
        parameters = {
            name: parameter.default
            for name, parameter in inspect.signature(self.measure).parameters.items()
            if name not in ("batch", "context", "seed")
        }
        return {**parameters, "max_images": None} if self.batched else parameters

    @cached_property
    def batched(self) -> bool:
        """Whether it is measured batch by batch of images."""
        return "batch" in inspect.signature(self.measure).parameters

    def checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Those parameters that are not None, read as the types that the function declares.

        Args:
            given: name -> value, as a notebook or a command line gives them.

        Raises:
            UsageError: an unknown name, or a value of another type; counts are at least 1.
        """
        kinds = {"max_images": int | None, **get_type_hints(self.measure, include_extras=True)}
        checked = {}
        for name, value in given.items():
            if value is None:
                continue
            if name not in self.defaults:
                raise unknown_name(
                    f"setting of the table {self.name!r}:", name, list(self.defaults)
                )
            kind = kinds[name]
            if kind in COUNTS:
                kind = Annotated[kind, Field(ge=1)]
            try:
                checked[name] = TypeAdapter(kind).validate_python(value)
            except ValidationError as error:
                reason = error.errors()[0]["msg"]
                raise UsageError(
                    f"setting {name!r} of the table {self.name!r}: {reason}, not {value!r}"
                ) from None
        return checked

    def arguments(self, profile: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters: given, else the profile's, else the defaults."""
        return self.defaults | dict(self.profiles[profile]) | self.checked(given)

    def parts(self, context: Context, **given: Any) -> list["Part"]:
        """The parts of the table for some parameters; the others have their defaults.

        Raises:
            UsageError: an unknown or unusable parameter.
        """
        arguments = self.defaults | self.checked(given)
        return [Part(self, context, piece) for piece in self.cut(context, arguments)]


@dataclass(frozen=True)
class Part:
    """A part of a table that is measured, kept and resumed as a whole.

    Attributes:
        table: that it belongs to.
        context: model, images and seed.
        piece: its parameters and images.
    """

    table: Table
    context: Context
    piece: Piece

    @property
    def images(self) -> tuple[int, ...]:
        """Places of its images."""
        return self.piece.positions

    @property
    def methods(self) -> tuple[str, ...]:
        """Its attribution methods."""
        return tuple(self.piece.arguments.get("methods") or ())

    @cached_property
    def id(self) -> str:
        """Its address: a hash over all that determines its numbers."""
        table, context, piece = self.table, self.context, self.piece
        seen = [*piece.positions, *(range(len(context.images)) if table.everything else ())]
        identity = {
            "table": table.name,
            "arguments": piece.arguments,
            "also": piece.also,
            "seed": context.seed,
            "code": fingerprint.of_function(table.measure),
            "versions": fingerprint.versions(),
            "model": context.model_address if table.modelled else None,
            "images": [context.images.digests[position] for position in seen],
        }
        own = {name: source_sha256(name) for name in self.methods if is_own(name)}
        text = json.dumps(identity | ({"own": own} if own else {}), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def compute(self) -> pd.DataFrame:
        """Measure it."""
        measure, arguments = self.table.measure, dict(self.piece.arguments)
        first = next(iter(inspect.signature(measure).parameters), None)
        if first == "batch":
            rows = measure(self.context.batch(self.images), **arguments)
        elif first == "context":
            rows = measure(self.context, **arguments)
        elif "seed" in inspect.signature(measure).parameters:
            rows = measure(**arguments, seed=self.context.seed)
        else:
            rows = measure(**arguments)
        joined = rows if isinstance(rows, pd.DataFrame) else _joined(list(rows))
        if not self.table.columns:
            return joined
        if joined.empty:
            return joined.reindex(columns=list(self.table.columns))  # which keeps types
        return joined[list(self.table.columns)]


def _joined(pieces: Sequence[Any]) -> pd.DataFrame:
    """One table of tables, or of rows."""
    if not pieces:
        return pd.DataFrame()
    if isinstance(pieces[0], pd.DataFrame):
        return pd.concat(pieces, ignore_index=True)
    return pd.DataFrame(pieces)


def cut_by(batched: bool, names: Sequence[str]) -> Cut:
    """Cut a table by the items of some of its parameters and, if it has any, by batches of images.

    A part gets one item of each, as a tuple of length 1, so that a measuring function is the same
    for a part and for all of them. ``methods`` stay together where they share a pass; a method
    that is not defined for the model is left out. ``seeds`` that are None are the run's.

    Args:
        batched: whether the function takes batches.
        names: of the parameters, the outermost first; ``images`` says where batches stand among
            them, innermost by default.
    """
    order = [*names, "images"] if batched and "images" not in names else list(names)

    def items(context: Context, name: str, value: Any, most: int | None) -> list[Any]:
        if name == "images":
            return context.positions(most)
        if name == "methods":
            groups = families(value, context.model)
            return [tuple(method.name for method in group) for group in groups]
        if name == "seeds" and value is None:
            return [(context.seed,)]
        return [(item,) for item in value]

    def cut(context: Context, arguments: Mapping[str, Any]) -> Iterator[Piece]:
        shared = dict(arguments)
        most = shared.pop("max_images", None) if batched else None
        cuts = [items(context, name, shared.get(name), most) for name in order]
        for chosen in itertools.product(*cuts):
            own = dict(zip(order, chosen, strict=True))
            positions = own.pop("images", ())
            yield Piece({**shared, **own}, positions)

    return cut


TABLES: dict[str, Table] = {}


@cache
def data_dictionary() -> Mapping[str, Mapping[str, str]]:
    """Table -> column -> what it means, from ``data/columns.yml`` of this package."""
    text = (Path(__file__).parent / "data" / "columns.yml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    shared = content["shared"]
    return {
        name: {column: meaning or shared[column] for column, meaning in columns.items()}
        for name, columns in content["tables"].items()
    }


def columns_of(name: str) -> Mapping[str, str]:
    """The columns of a table with their meanings, in their order."""
    return data_dictionary().get(name, {})


def table(
    name: str,
    *,
    by: Sequence[str] = (),
    cut: Cut | None = None,
    smoke: Mapping[str, Any] | None = None,
    quick: Mapping[str, Any] | None = None,
    full: Mapping[str, Any] | None = None,
    everything: bool = False,
    modelled: bool | None = None,
    own: bool | None = None,
) -> Callable[[Function], Function]:
    """Register a measuring function.

    Args:
        name: of its table.
        by: parameters whose items are measured in parts of their own, see :func:`cut_by`.
        cut: how the table is cut instead.
        smoke, quick, full: parameters of each profile that differ from the defaults.
        everything: whether a part looks at images beyond its own.
        modelled: whether its numbers depend on the model; by default if it takes a batch or the
            context.
        own: whether a person's own methods are measured with its methods; by default if it has
            methods and takes a batch.
    """

    def register(measure: Function) -> Function:
        takes = inspect.signature(measure).parameters
        first = next(iter(takes), None)
        TABLES[name] = Table(
            name,
            measure,
            {"smoke": smoke or {}, "quick": quick or {}, "full": full or {}},
            cut or cut_by(first == "batch", by),
            everything,
            first in ("batch", "context") if modelled is None else modelled,
            first == "batch" and "methods" in takes if own is None else own,
        )
        return measure

    return register


def find_table(name: str) -> Table:
    """The table of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in TABLES:
        raise unknown_name("table", name, list(TABLES))
    return TABLES[name]


def whole_batches(context: Context, arguments: Mapping[str, Any]) -> Iterator[Piece]:
    """Parts by batches of images, which are told how many images the table is about."""
    for positions in context.positions(arguments["max_images"]):
        yield Piece(arguments, positions)
