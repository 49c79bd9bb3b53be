"""A control that is the same map for every image and every network."""

import torch

from sanitygap.attribution.method import Request, method


def centre_pass(request: Request) -> torch.Tensor:
    """A Gaussian hill in the middle, a quarter of the image's side wide, ``(N, 1, H, W)``."""
    height, width = request.inputs.shape[2:]
    rows = (torch.arange(height).to(request.inputs) + 0.5) / height - 0.5
    columns = (torch.arange(width).to(request.inputs) + 0.5) / width - 0.5
    hill = torch.exp(-(rows[:, None].square() + columns.square()) / (2 * 0.25**2))
    return hill.expand(len(request.inputs), 1, height, width).clone()


@method("centre", centre_pass)
def centre(values: torch.Tensor, request: Request) -> torch.Tensor:
    """Control: the middle of the image, whatever it shows, blind to the model."""
    return values.sum(1)
