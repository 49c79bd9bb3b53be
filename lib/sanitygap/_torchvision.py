"""Make ``import torchvision`` work beside a CPU-only torch.

The published torchvision wheel is compiled for a CUDA build of torch. Beside a CPU-only torch its
compiled operators cannot be loaded, and importing it fails when it registers shape functions for
``torchvision::nms``, an operator that then does not exist. Models, transforms and data sets need
none of these operators, so declaring their schemas is enough. It is done when torchvision is first
imported, by whomever, so that importing this package alone costs nothing.
"""

import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}

# Libraries that declare operators undo it when collected, so they live as long as the process.
_declared: list[Any] = []


class Loader(SourceFileLoader):
    """Loads torchvision, a second time with the schemas if its operators are really missing."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code."""
        try:
            super().exec_module(module)
        except RuntimeError as error:
            if "torchvision::" not in str(error):
                raise
            import torch

            library = torch.library.Library("torchvision", "DEF")
            for schema in SCHEMAS.values():
                library.define(schema)
            _declared.append(library)
            super().exec_module(module)


class Finder:
    """Gives torchvision the :class:`Loader` above."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """The specification of torchvision; None for everything else."""
        if name != "torchvision":
            return None
        spec = PathFinder.find_spec(name, path)
        if spec and spec.origin:
            spec.loader = Loader(name, spec.origin)
        return spec


sys.meta_path.insert(0, Finder)
