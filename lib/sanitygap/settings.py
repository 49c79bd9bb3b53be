"""Settings: what a person asks of a run, read and checked before anything is computed."""

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from sanitygap.errors import UsageError
from sanitygap.importing import is_own


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
        methods: attribution methods of a person's own, ``package.module:object``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str = Field(default="live", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    profile: Literal["smoke", "quick", "full"] = "quick"
    model: str = "efficientnet_lite0"
    images: str = "photos"
    n_images: int | None = Field(default=None, ge=1)
    device: str = "cpu"
    seed: int = Field(default=0, ge=0)
    methods: tuple[str, ...] = ()

    @field_validator("methods", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        """None and a single name are lists too, as notebooks and people write them."""
        return () if given is None else (given,) if isinstance(given, str) else given

    @field_validator("methods")
    @classmethod
    def _own(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for name in given:
            if not is_own(name):
                raise ValueError("write a method of your own as package.module:object")
        return tuple(dict.fromkeys(given))

    @field_validator("model", "images", "device")
    @classmethod
    def _plain(cls, given: str, info: ValidationInfo) -> str:
        """What pages show of it is no markup; paths are not shown."""
        shown = {"model": public_model(given), "images": given.partition(":")[0]}
        if not re.fullmatch(r"[\w.:/@-]+", shown.get(str(info.field_name), given), re.ASCII):
            raise ValueError("write letters, digits and . : / @ - only")
        return given

    def public(self) -> dict[str, Any]:
        """The settings as they are stored: a person's folders and files are left out."""
        settings = self.model_dump(mode="json")
        settings["model"] = public_model(self.model)
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


def public_model(spec: str) -> str:
    """A model spec without the path of a weights file; names of weights and ``@random`` stay."""
    name, _, weights = spec.partition("@")
    return spec if re.fullmatch(r"random|[A-Z][A-Z0-9_]*", weights) else name
