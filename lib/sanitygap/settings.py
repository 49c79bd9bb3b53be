"""Settings: what a person asks of a run, read and checked before anything is computed."""

import inspect
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sanitygap.errors import UsageError, unknown_name
from sanitygap.experiments import Experiment

#: a whole number among an experiment's settings counts something
COUNTS = (int, int | None)


class Settings(BaseModel):
    """What a run is about.

    Attributes:
        run: its name, a folder in ``data/runs``.
        profile: ``smoke``, ``quick`` or ``full``.
        model: model spec.
        images: image spec.
        n_images: how many images; the profile decides if None.
        device: torch device.
        seed: of every random draw.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str = Field(default="live", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    profile: Literal["smoke", "quick", "full"] = "quick"
    model: str = "efficientnet_lite0"
    images: str = "photos"
    n_images: int | None = Field(default=None, ge=1)
    device: str = "cpu"
    seed: int = Field(default=0, ge=0)

    def public(self) -> dict[str, Any]:
        """The settings as they are stored: a person's folders and files are left out."""
        settings = self.model_dump()
        settings["model"] = self.model.partition("@")[0]
        kind, separator, _ = self.images.partition(":")
        settings["images"] = kind if separator else self.images
        return settings

    @classmethod
    def checked(cls, **values: Any) -> "Settings":
        """Settings from values that a person gave.

        Raises:
            UsageError: an unknown or unusable one; the message names the first.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            if place == "run":
                raise UsageError(
                    f"{first['input']!r} cannot name a run: use letters, digits, dots, hyphens "
                    "and underscores"
                ) from None
            raise UsageError(f"setting {place!r}: {first['msg']}, not {first['input']!r}") from None


def parse_shard(text: str | None) -> tuple[int, int]:
    """``"2/4"`` as ``(1, 4)``: the index, from 0, and the number of shards; None is all of one.

    Raises:
        UsageError: the text is not written like that.
    """
    if text is None:
        return 0, 1
    match = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    index, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= index <= count:
        raise UsageError(f"a shard is written like 2/4, not {text!r}")
    return index - 1, count


def checked_knobs(entry: Experiment, knobs: Mapping[str, Any]) -> dict[str, Any]:
    """The knobs that are not None, read as the types that the experiment declares for them.

    Args:
        entry: the experiment.
        knobs: name -> value, as a notebook or a command line gives them.

    Raises:
        UsageError: an unknown name, or a value of another type; counts are at least 1.
    """
    hints = get_type_hints(entry.chunks, include_extras=True)
    names = [
        name
        for name in inspect.signature(entry.chunks).parameters
        if name not in ("context", "seed")
    ]
    checked = {}
    for name, value in knobs.items():
        if value is None:
            continue
        if name not in names:
            raise unknown_name(f"setting of the table {entry.name!r}:", name, names)
        kind = hints[name]
        if kind in COUNTS:
            kind = Annotated[kind, Field(ge=1)]
        try:
            checked[name] = TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise UsageError(
                f"setting {name!r} of the table {entry.name!r}: {reason}, not {value!r}"
            ) from None
    return checked
