"""Sanity Checks, Checked: the helper library behind the executable companion book.

Data goes one way: a spec becomes a model and images, these become attribution maps, maps become
scores in tidy tables, tables are kept in a run, and figures and verdicts are made from a run.

What a script needs is imported from here, and loaded when it is first asked for.
"""

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from sanitygap import _torchvision  # noqa: F401  (mends the import of torchvision)

if TYPE_CHECKING:
    from sanitygap import similarity
    from sanitygap.attribution import Sampling, attribute
    from sanitygap.errors import UsageError
    from sanitygap.library import occlusion_test, randomization_test, read_maps
    from sanitygap.models.explainable import Explainable, Preprocessing
    from sanitygap.models.loading import explainable, load_model
    from sanitygap.theory import theorem_1, theorem_2

__version__ = "0.1.0"

__all__ = [
    "Explainable", "Preprocessing", "Sampling", "UsageError", "attribute", "explainable",
    "load_model", "occlusion_test", "randomization_test", "read_maps", "similarity", "theorem_1",
    "theorem_2",
]  # fmt: skip

_HOMES = {
    "Explainable": "models.explainable", "Preprocessing": "models.explainable",
    "Sampling": "attribution", "UsageError": "errors", "attribute": "attribution",
    "explainable": "models.loading", "load_model": "models.loading", "occlusion_test": "library",
    "randomization_test": "library", "read_maps": "library", "theorem_1": "theory",
    "theorem_2": "theory",
}  # fmt: skip
"""The modules of this package that define them; a name that is missing is a module itself."""


def __getattr__(name: str) -> Any:
    """A public name, loaded when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'sanitygap' has no attribute {name!r}")
    return resolve_name(".".join(filter(None, [__name__, _HOMES.get(name), name])))
