"""How far a changed image is from ordinary ones: colour statistics, entropy, feature distance.

Binder et al. (2022, §2 and A.1) say that blurred regions keep the colours and remove the texture,
and so make less of an outlier than random ones. They measure neither; these are the measures.
"""

from dataclasses import dataclass

import torch
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import nn

from sanitygap.errors import UsageError
from sanitygap.faithfulness import region_means
from sanitygap.models.explainable import Explainable


@dataclass(frozen=True)
class Response:
    """What a network makes of images.

    Attributes:
        features: input of its last layer with parameters, averaged over positions, ``(N, D)``.
        entropy: of the softmax distribution over classes in nats, ``(N,)``.
    """

    features: torch.Tensor
    entropy: torch.Tensor


@torch.no_grad()
def respond(model: Explainable, inputs: torch.Tensor) -> Response:
    """Penultimate features and softmax entropy.

    Args:
        model: the network; the last module of its top stage is taken for the classifier.
        inputs: ``(N, 3, H, W)``.
    """
    seen: list[torch.Tensor] = []

    def keep(_module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        seen.append(arguments[0])

    classifier = model.module.get_submodule(model.stages[0].modules[-1])
    handle = classifier.register_forward_pre_hook(keep)
    try:
        logits = model.module(inputs)
    finally:
        handle.remove()
    features = seen[-1].flatten(2).mean(2) if seen[-1].ndim > 2 else seen[-1]
    probabilities = logits.double().softmax(1)
    entropy = torch.special.entr(probabilities).sum(1)
    return Response(features.double().cpu(), entropy.cpu())


class FeatureCloud:
    """The features of ordinary images as one normal distribution.

    The covariance is shrunk towards a multiple of the identity (Ledoit and Wolf 2004), because
    there may be fewer images than features. It varies in the span of the images and is constant
    outside, so its eigenvectors are those of a matrix of N x N.

    Args:
        features: of unchanged images, ``(N, D)``.

    Raises:
        UsageError: fewer than two images.
    """

    def __init__(self, features: torch.Tensor) -> None:
        count, size = features.shape
        if count < 2:
            raise UsageError("distances between features need at least two images; use more")
        values = features.double()
        self._centre = values.mean(0)
        spread = values - self._centre
        shrinkage = float(ledoit_wolf_shrinkage(values.numpy(force=True)))
        sizes, vectors = torch.linalg.eigh(spread @ spread.T)
        spanned = sizes > size * torch.finfo(sizes.dtype).eps * sizes[-1]
        self._axes = (vectors[:, spanned] / sizes[spanned].sqrt()).T @ spread
        self._outside = shrinkage * float(spread.square().mean())
        self._along = (1 - shrinkage) / count * sizes[spanned] + self._outside
        # what is zero up to rounding counts for nothing, as in a pseudoinverse
        largest = max(self._along.tolist(), default=0.0)
        self._bounded = self._outside > size * torch.finfo(sizes.dtype).eps * largest

    def distance(self, features: torch.Tensor) -> torch.Tensor:
        """Mahalanobis distance of features ``(N, D)`` to the centre of the cloud, ``(N,)``.

        Where nothing is shrunk, as with two images, only differences within their span count.
        """
        off = features.double() - self._centre
        along = (off @ self._axes.T).square()
        squared = (along / self._along).sum(1)
        if self._bounded:
            squared += (off.square().sum(1) - along.sum(1)).clamp_min(0) / self._outside
        return squared.sqrt().cpu()


def color_change(
    original: torch.Tensor, changed: torch.Tensor, hidden: torch.Tensor, patch: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """How far colour mean and colour variance of the hidden regions move.

    Args:
        original, changed: RGB values in ``[0, 1]``, ``(N, 3, H, W)``.
        hidden: which pixels were replaced, bool ``(N, H, W)``; whole regions.
        patch: side of a region in pixels.

    Returns:
        Euclidean distance over channels between the two mean colours, and between the two
        variances, each averaged over the hidden regions, ``(N,)``.
    """
    chosen = region_means(hidden.float(), patch) > 0.5

    def moments(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        channels = pixels.double().unbind(1)
        means = torch.stack([region_means(values, patch) for values in channels])
        squares = torch.stack([region_means(values.square(), patch) for values in channels])
        return means, squares - means.square()

    distances = [
        (ours - theirs).square().sum(0).sqrt()
        for ours, theirs in zip(moments(original), moments(changed), strict=True)
    ]
    count = chosen.sum(1)
    mean, variance = ((distance * chosen).sum(1) / count for distance in distances)
    return mean, variance
