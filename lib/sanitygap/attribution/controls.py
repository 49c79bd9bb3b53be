"""Controls: maps that say nothing about the model, which a sound evaluation must tell apart."""

import hashlib

import torch
from torch import Tensor

from sanitygap.attribution.method import Request, one_pass
from sanitygap.seeds import normal, stable_seed


@one_pass("noise")
def noise_pass(request: Request) -> Tensor:
    """Control: Gaussian noise, drawn anew at every stage, blind to model and image."""
    seeds = [request.seed(image, "noise") for image in range(len(request.inputs))]
    return normal((1, *request.inputs.shape[2:]), seeds, request.inputs)


@one_pass("edges")
def edge_pass(request: Request) -> Tensor:
    """Control: Sobel edges of the image, blind to the model.

    Gradient magnitude of the grey image, ``(N, 1, H, W)``.
    """
    grey = request.model.preprocessing.to_rgb(request.inputs).mean(1, keepdim=True)
    row = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]).to(grey) / 4
    filters = torch.stack([row, row.T])[:, None]
    padded = torch.nn.functional.pad(grey, (1, 1, 1, 1), mode="replicate")
    slopes = torch.nn.functional.conv2d(padded, filters)
    return slopes.square().sum(1, keepdim=True).div(2).sqrt()


@one_pass("noise-fixed")
def fixed_noise_pass(request: Request) -> Tensor:
    """Control: Gaussian noise, the same for an image whatever the model: it never changes."""
    seeds = [
        stable_seed("fixed noise", hashlib.sha256(image.cpu().contiguous().numpy()).hexdigest())
        for image in request.inputs
    ]
    return normal((1, *request.inputs.shape[2:]), seeds, request.inputs)


@one_pass("noise-x-input")
def noise_times_input_pass(request: Request) -> Tensor:
    """Control: fresh Gaussian noise times input, as if the gradient were noise, channels summed."""
    seeds = [request.seed(image, "noise-x-input") for image in range(len(request.inputs))]
    drawn = normal(tuple(request.inputs.shape[1:]), seeds, request.inputs)
    return (request.inputs * drawn).sum(1, keepdim=True)


@one_pass("centre")
def centre_pass(request: Request) -> Tensor:
    """Control: the middle of the image, whatever it shows, blind to the model.

    A Gaussian hill, a quarter of the image's side wide, ``(N, 1, H, W)``.
    """
    height, width = request.inputs.shape[2:]
    rows = (torch.arange(height).to(request.inputs) + 0.5) / height - 0.5
    columns = (torch.arange(width).to(request.inputs) + 0.5) / width - 0.5
    hill = torch.exp(-(rows[:, None].square() + columns.square()) / (2 * 0.25**2))
    return hill.expand(len(request.inputs), 1, height, width).clone()
