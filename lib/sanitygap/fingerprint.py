"""Fingerprints of code: what made a number, taken from the source itself and never from a list.

A fingerprint is a hash over syntax trees without docstrings and comments: wording may change,
numbers not. It covers a module and all modules of this package that it imports, however far.
"""

import ast
import hashlib
import sys
from collections.abc import Callable
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

PACKAGE = Path(__file__).parent

#: libraries whose versions may change numbers
NUMERIC = (
    "captum", "numpy", "pandas", "pillow", "scikit-image", "scikit-learn", "scipy", "statsmodels",
    "sympy", "timm", "torch", "torchvision", "z3-solver", "zennit",
)  # fmt: skip

#: packages of networks whose weights and version say all about their definitions
LIBRARIES = ("torch", "torchvision", "timm")


@cache
def versions() -> dict[str, str]:
    """Installed versions of the numeric libraries."""
    found = {}
    for name in NUMERIC:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def of_module(module: ModuleType | str) -> str:
    """SHA-256 of a module of this package and of all modules of the package that it rests on."""
    name = module if isinstance(module, str) else module.__name__
    return _joined(*((other, _syntax(_source(other))) for other in sorted(closure(name))))


def of_library() -> str:
    """SHA-256 of the whole package: its modules, and the templates and lists in its data."""
    data = (path for path in (PACKAGE / "data").rglob("*") if path.is_file())
    contents = {path: _syntax(path) for path in PACKAGE.rglob("*.py")}
    contents |= {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in data}
    return _joined(
        *((path.relative_to(PACKAGE).as_posix(), contents[path]) for path in sorted(contents))
    )


def of_function(function: Callable[..., Any]) -> str:
    """SHA-256 of the module that defines a function, as :func:`of_module`."""
    return of_module(function.__module__)


def of_network(network: "nn.Module") -> str:
    """SHA-256 of the modules that define a network, without those of the libraries it is from."""
    own = {type(part).__module__ for part in network.modules()}
    paths = {
        name: Path(path)
        for name in own
        if name.partition(".")[0] not in LIBRARIES
        and (path := getattr(sys.modules.get(name), "__file__", None))
    }
    return _joined(*((name, _syntax(path)) for name, path in sorted(paths.items())))


@cache
def closure(name: str) -> frozenset[str]:
    """Names of the modules of this package that a module rests on, itself included."""
    known: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in known:
            known.add(current)
            waiting += _imports(current)
    return frozenset(known)


@cache
def _imports(name: str) -> frozenset[str]:
    """Modules of this package that a module imports, inside of functions too."""
    path = _source(name)
    package = PACKAGE.name
    around = name if path.name == "__init__.py" else name.rpartition(".")[0]
    asked: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            asked |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = around.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [base])])
            # a name may be a module of the package or something that the package defines
            asked |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return frozenset(
        module for module in asked if module.startswith(f"{package}.") and _is_module(module)
    )


@cache
def _is_module(name: str) -> bool:
    parts = name.split(".")[1:]
    place = PACKAGE.joinpath(*parts)
    return place.with_suffix(".py").is_file() if parts and not place.is_dir() else place.is_dir()


@cache
def _source(name: str) -> Path:
    """The file of a module."""
    parts = name.split(".")
    if parts[0] == PACKAGE.name:
        place = PACKAGE.joinpath(*parts[1:])
        return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)


@cache
def _syntax(path: Path) -> str:
    """The syntax tree of a file without docstrings and comments."""
    # Python 3.12 gave definitions an empty list of type parameters, 3.13 stopped showing empty ones
    shown: dict[str, Any] = {"show_empty": True} if sys.version_info >= (3, 13) else {}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                body[0] = ast.Expr(ast.Constant("docstring"))
        if getattr(node, "type_params", None) == []:
            del node.type_params  # type: ignore[attr-defined]
    return ast.dump(tree, **shown)


def _joined(*pieces: tuple[str, str]) -> str:
    digest = hashlib.sha256()
    for name, text in pieces:
        digest.update(f"{name}\0{text}\0".encode())
    return digest.hexdigest()
