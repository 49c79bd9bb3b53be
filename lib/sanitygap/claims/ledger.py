"""The ledger: what is claimed, where, and when it passes; read from ``data/claims.yml``."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from sanitygap.errors import UsageError, unknown_name

Paper = Literal[
    "binder-2022",
    "binder-2022-summary",
    "adebayo-2018",
    "sriram-conati-2022",
    "khakzar-2022",
    "cross",
]
Kind = Literal["formal", "empirical", "documentary"]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


#: stands in the ledger for a module of the person who runs the book
YOURS = "your_module"


def _of_library(name: str) -> bool:
    return name.partition(":")[0] in ("torchvision", "timm")


def is_architecture(name: str, own: str) -> bool:
    """Whether a model spec names an architecture of the ledger.

    Args:
        name: spec without weights.
        own: as the ledger writes it; ``your_module:NAME`` is the factory NAME of any module.
    """
    module, _, factory = own.partition(":")
    if module != YOURS:
        return name == own
    return ":" in name and name.rpartition(":")[2] == factory and not _of_library(name)


class Strict(BaseModel):
    """Unchangeable records without unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Audit(Strict):
    """What an earlier audit of a statement found, and the statement as it corrected it."""

    finding: Text | None = None
    corrected: Text | None = None


class Faithful(Strict):
    """The paper's own setting, in the words of the command line.

    Attributes:
        models: model specs; empty if the page trains its own, or needs none.
        images: image spec; None if the claim needs no images.
        n_images: how many images the paper used; None if it does not say.
    """

    models: tuple[Text, ...] = ()
    images: Text | None = None
    n_images: int | None = Field(default=None, ge=1)

    def has_model(self, spec: str) -> bool:
        """Whether a spec names one of these architectures, with trained weights.

        That the weights are the paper's cannot be seen from the spec; the run records their
        checksum.
        """
        name, _, weights = spec.partition("@")
        own = any(is_architecture(name, model) for model in self.models)
        return not self.models or (own and weights != "random")

    def has_images(self, spec: str, n_images: int) -> bool:
        """Whether a spec names the paper's kind of images, and at least as many of them."""
        if self.images is None:
            return True
        same = spec.partition(":")[0] == self.images.partition(":")[0]
        return same and n_images >= (self.n_images or 1)


class Claim(Strict):
    """One claim of a paper. The head of ``data/claims.yml`` explains the fields."""

    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$")]
    paper: Paper
    place: Text
    tier: Annotated[tuple[Literal["M", "S", "P", "D"], ...], Field(min_length=1)]
    kind: Kind
    statement: Text
    check: Text
    criterion: Text
    caveat: Text | None = None
    audit: Audit | None = None
    requires: Text | None = None
    faithful: Faithful | None = None
    networks: Text | None = None
    notebook: Text | None = None


def default_ledger() -> Path:
    """``data/claims.yml`` of this checkout, else of the working directory or a folder above it.

    Raises:
        UsageError: there is none.
    """
    here = Path.cwd()
    for folder in (Path(__file__).resolve().parents[3], here, *here.parents):
        if (folder / "data" / "claims.yml").is_file():
            return folder / "data" / "claims.yml"
    raise UsageError("there is no data/claims.yml here; run this inside the book's folder")


def load_claims(path: Path | None = None) -> list[Claim]:
    """The claims, in the order of the ledger.

    Args:
        path: a file like ``data/claims.yml``, which is the default.

    Raises:
        UsageError: no such file, not YAML, an entry with a missing, unknown or wrong field, or
            two entries with the same id.
    """
    path = path or default_ledger()
    try:
        return list(_read_claims(path, path.stat().st_mtime_ns))
    except FileNotFoundError:
        raise UsageError(f"there is no ledger {str(path)!r}; name a claims.yml") from None


@cache
def _read_claims(path: Path, _changed: int) -> tuple[Claim, ...]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        entries = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name} is not valid YAML: {one_line(error)}") from None
    claims = validated(tuple[Claim, ...], entries, path.name)
    ids = [claim.id for claim in claims]
    if repeated := sorted({name for name in ids if ids.count(name) > 1}):
        raise UsageError(f"{path.name} has several entries {repeated[0]!r}; give each its own id")
    return claims


def find_claim(claim_id: str, path: Path | None = None) -> Claim:
    """The claim with an id.

    Raises:
        UsageError: there is no such claim; the message names similar ones.
    """
    claims = {claim.id: claim for claim in load_claims(path)}
    if claim_id not in claims:
        raise unknown_name("claim", claim_id, list(claims))
    return claims[claim_id]


def why_not_run(claim: Claim, model: str | None = None) -> str:
    """Why a claim has no verdict, with the command that would compute it, in Markdown.

    Args:
        claim: the claim.
        model: one of the paper's own models; all of them by default.
    """
    needs = f" The paper's own setting needs: {claim.requires}" if claim.requires else ""
    if claim.notebook is None:
        return f"No page computes this claim yet.{needs}"
    commands = " && ".join(commands_for(claim, model=model))
    return f"Not computed in the chosen runs.{needs} Run `{commands}`."


def commands_for(claim: Claim, run: str = "mine", model: str | None = None) -> list[str]:
    """The shell commands that compute a claim in the paper's own setting, one for each model.

    ``WEIGHTS`` and ``PATH`` in them stand for files of the person who runs them. Empty if no
    notebook computes the claim.

    Args:
        claim: the claim.
        run: name of the run, followed by the model's where the paper has several.
        model: only the command for this one of the paper's own models.
    """
    if claim.notebook is None:
        return []
    own = claim.faithful or Faithful()
    commands = []
    for spec in (model,) if model else own.models or (None,):
        words = ["sanitygap", "execute", claim.notebook, "--profile", "full"]
        if spec:
            words += ["--model", f"{spec}@WEIGHTS"]
        if own.images:
            words += ["--images", own.images]
        if own.n_images:
            words += ["--n-images", str(own.n_images)]
        several = spec and len(own.models) > 1
        words += ["--run", f"{run}-{spec.rpartition(':')[2]}" if spec and several else run]
        commands.append(shlex.join(words))
    return commands


def models_not_run(claim: Claim, models: Collection[str]) -> list[str]:
    """The paper's own models on which an empirical claim was not judged.

    Args:
        claim: the claim; one that is not empirical has no model of its own.
        models: the models on which it was judged, without weights.
    """
    if claim.kind != "empirical" or claim.faithful is None:
        return []
    return [
        model
        for model in claim.faithful.models
        if not any(is_architecture(name, model) for name in models)
    ]


def validated(kind: Any, entries: Any, place: str) -> Any:
    """Entries of a file as records of a kind.

    Args:
        kind: a type that pydantic understands, such as ``tuple[Claim, ...]``.
        entries: what the file holds.
        place: the file, for the message.

    Raises:
        UsageError: an entry does not fit; the message names the first one and its field.
    """
    try:
        return TypeAdapter(kind).validate_python(entries)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        index = first["loc"][0] if first["loc"] else None
        entry = entries[index] if isinstance(index, int) and isinstance(entries, list) else None
        name = (entry.get("id") or entry.get("claim") if isinstance(entry, dict) else None) or index
        about = f"entry {name!r}: " if index is not None else ""
        field = f"{where}: " if where else ""
        raise UsageError(f"{place}, {about}{field}{first['msg']}; correct the file") from None


def one_line(error: Exception) -> str:
    """The message of an error without line breaks."""
    return " ".join(str(error).split())
