"""Two more controls that are nothing but noise, for what the plain one leaves open."""

import hashlib

import torch

from sanitygap.attribution.method import Request, method
from sanitygap.seeds import normal, stable_seed


def fixed_noise_pass(request: Request) -> torch.Tensor:
    """Standard normal values for every pixel, drawn from a seed that is the image itself."""
    seeds = [
        stable_seed("fixed noise", hashlib.sha256(image.cpu().contiguous().numpy()).hexdigest())
        for image in request.inputs
    ]
    return normal((1, *request.inputs.shape[2:]), seeds, request.inputs)


@method("noise-fixed", fixed_noise_pass)
def noise_fixed(values: torch.Tensor, request: Request) -> torch.Tensor:
    """Control: Gaussian noise, the same for an image whatever the model: it never changes."""
    return values.sum(1)


def noise_times_input_pass(request: Request) -> torch.Tensor:
    """Input times independent standard normal values, as if the gradient were noise."""
    seeds = [request.seed(image, "noise-x-input") for image in range(len(request.inputs))]
    return request.inputs * normal(tuple(request.inputs.shape[1:]), seeds, request.inputs)


@method("noise-x-input", noise_times_input_pass)
def noise_x_input(values: torch.Tensor, request: Request) -> torch.Tensor:
    """Control: fresh Gaussian noise times input, summed over colour channels."""
    return values.sum(1)
