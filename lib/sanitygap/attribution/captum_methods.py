"""Three methods as captum computes them, beside this library's own.

captum guides and rescales the modules that it can hook: ``nn.ReLU`` for guided backpropagation. On
a network whose activations are functions, ReLU6 or SiLU it changes nothing, and says nothing.
Sriram and Conati (2022) used captum; these rows show what that does to their test.
"""

import warnings
from typing import Any

from captum.attr import DeepLift, GuidedBackprop, GuidedGradCam
from torch import Tensor

from sanitygap.attribution.cam import last_spatial_layer
from sanitygap.attribution.method import Request, one_pass
from sanitygap.errors import NotDefinedError


def _quietly(explainer: Any, request: Request, **options: Any) -> Tensor:
    """captum's values for a request, without the warning that it sets hooks.

    Raises:
        NotDefinedError: captum refuses the network; the message repeats its reason.
    """
    inputs = request.inputs.detach().clone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            values = explainer.attribute(inputs, target=request.targets, **options)
        except (AssertionError, RuntimeError) as error:
            reason = str(error).splitlines()[0][:160]
            name = type(explainer).__name__
            raise NotDefinedError(
                f"captum's {name} refuses {request.model.spec}: {reason}; leave it out"
            ) from None
    found: Tensor = values.detach()
    return found


@one_pass("captum-guided-backprop")
def guided_pass(request: Request) -> Tensor:
    """Guided backpropagation as captum does it: only modules of the class nn.ReLU are guided."""
    return _quietly(GuidedBackprop(request.model.module), request)


@one_pass("captum-guided-grad-cam")
def guided_grad_cam_pass(request: Request) -> Tensor:
    """Guided Grad-CAM as captum does it: only modules of the class nn.ReLU are guided.

    It looks at this library's layer, with its interpolation.
    """
    layer = last_spatial_layer(request.model, request.inputs[:1])
    explainer = GuidedGradCam(request.model.module, request.model.module.get_submodule(layer))
    return _quietly(explainer, request, interpolate_mode="bilinear")


@one_pass("captum-deeplift")
def deeplift_pass(request: Request) -> Tensor:
    """DeepLIFT as captum does it: only modules of classes that it knows are rescaled.

    The baseline is zero.
    """
    return _quietly(DeepLift(request.model.module), request)
