"""Controls: maps that say nothing about the model, which a sound evaluation must tell apart."""

import torch

from sanitygap.attribution.method import Request, method
from sanitygap.seeds import normal


def noise_pass(request: Request) -> torch.Tensor:
    """Independent standard normal values for every pixel."""
    seeds = [request.seed(image, "noise") for image in range(len(request.inputs))]
    return normal((1, *request.inputs.shape[2:]), seeds, request.inputs)


@method("noise", noise_pass)
def noise(values: torch.Tensor, request: Request) -> torch.Tensor:
    """Control: Gaussian noise, drawn anew at every stage, blind to model and image."""
    return values.sum(1)


def edge_pass(request: Request) -> torch.Tensor:
    """Gradient magnitude of the grey image by Sobel filters."""
    grey = request.model.preprocessing.to_rgb(request.inputs).mean(1, keepdim=True)
    row = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]).to(grey) / 4
    filters = torch.stack([row, row.T])[:, None]
    padded = torch.nn.functional.pad(grey, (1, 1, 1, 1), mode="replicate")
    slopes = torch.nn.functional.conv2d(padded, filters)
    return slopes.square().sum(1, keepdim=True).div(2).sqrt()


@method("edges", edge_pass)
def edges(values: torch.Tensor, request: Request) -> torch.Tensor:
    """Control: Sobel edges of the image, blind to the model."""
    return values.sum(1)
