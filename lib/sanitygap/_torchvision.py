"""Make ``import torchvision`` work beside a CPU-only torch.

The published torchvision wheel is compiled for a CUDA build of torch. Beside a CPU-only torch its
compiled operators cannot be loaded, and importing it fails when it registers shape functions for
``torchvision::nms``, an operator that then does not exist. Models, transforms and data sets need
none of these operators, so declaring their schemas is enough.
"""

import torch

SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}

# Libraries that declare operators undo it when collected, so they live as long as the process.
_declared: list[torch.library.Library] = []


def declare_missing_operators() -> None:
    """Declare the schemas of torchvision's operators, only where they are really missing."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        for schema in SCHEMAS.values():
            library.define(schema)
        _declared.append(library)
        import torchvision  # noqa: F401
