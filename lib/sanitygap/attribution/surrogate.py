"""LIME: a linear model of the network in the image's own superpixels (Ribeiro et al. 2016)."""

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from captum.attr import Lime
from captum.attr._core.lime import get_exp_kernel_similarity_function
from numpy.typing import NDArray
from skimage.segmentation import slic
from sklearn.linear_model import Lasso, Ridge
from torch import Tensor

from sanitygap.attribution.method import Pass, Request, register
from sanitygap.seeds import generator

#: superpixels asked for; the algorithm may find fewer
SEGMENTS = 50

#: masked copies of an image that the surrogate is fitted to; ``lime@200`` takes 200
SAMPLES = 100

#: captum's default penalty, here in units of the standard deviation of the sampled logits: in
#: units of the logit itself, a network of small logits would get an empty map
PENALTY = 0.01

#: penalised linear models, by the name of the method that fits them
SURROGATES: dict[str, Callable[[], Any]] = {
    "lime": lambda: Lasso(alpha=PENALTY, max_iter=10_000),
    "lime-ridge": lambda: Ridge(alpha=1.0),
}


class Surrogate:
    """A linear model of scikit-learn in the form in which captum asks for one."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.model = make()
        self.scale = 1.0

    def fit(self, loader: Any, **_: Any) -> None:
        """Fit to captum's batches of interpretable inputs, outputs and weights."""
        inputs, outputs, weights = (
            torch.cat(list(parts)).double().cpu().numpy() for parts in zip(*loader, strict=True)
        )
        self.scale = float(outputs.std()) or 1.0
        self.model.fit(inputs, outputs.ravel() / self.scale, sample_weight=weights.ravel())

    def representation(self) -> Tensor:
        """The coefficients, ``(1, superpixels)``."""
        return torch.from_numpy(self.scale * np.atleast_2d(self.model.coef_)).float()

    def __call__(self, inputs: Tensor) -> Tensor:
        """What the surrogate says of interpretable inputs ``(N, superpixels)``."""
        found = self.model.predict(inputs.double().cpu().numpy())
        return torch.from_numpy(self.scale * np.asarray(found))


def superpixels(picture: NDArray[np.float32], segments: int = SEGMENTS) -> NDArray[np.int64]:
    """Superpixels of a picture, numbered from 0 without gaps (SLIC, Achanta et al. 2012).

    Args:
        picture: RGB ``(H, W, 3)`` in ``[0, 1]``.
        segments: how many are asked for.

    Returns:
        int64 ``(H, W)``.
    """
    # without some smoothing single noisy pixels tear superpixels apart, and they are merged to one
    found = slic(picture, n_segments=segments, sigma=1, start_label=0, channel_axis=-1)
    return np.unique(found, return_inverse=True)[1].reshape(found.shape).astype(np.int64)


@lru_cache(maxsize=64)  # the same image is explained again for every randomised network
def _superpixels(pixels: bytes, shape: tuple[int, ...]) -> NDArray[np.int64]:
    return superpixels(np.frombuffer(pixels, dtype=np.float32).reshape(shape))


@cache
def surrogate_pass(name: str, samples: int = SAMPLES) -> Pass:
    """A pass that fits one surrogate an image; its coefficients as a map ``(N, 1, H, W)``.

    Half of the superpixels of each sample, chosen at random, are zero in the model's input space.
    Samples count by captum's default kernel: the cosine distance of their pixels, width 1.

    Args:
        name: of the surrogate, ``lime`` or ``lime-ridge``.
        samples: masked copies of an image.
    """

    def compute(request: Request) -> Tensor:
        pictures = request.model.preprocessing.to_rgb(request.inputs).permute(0, 2, 3, 1)
        maps = []
        for image, picture in enumerate(pictures.float().cpu().contiguous().numpy()):
            segments = _superpixels(picture.tobytes(), picture.shape)
            maps.append(_explain(request, image, torch.from_numpy(segments), name, samples))
        return torch.stack(maps)[:, None]

    return compute


def _explain(request: Request, image: int, segments: Tensor, name: str, samples: int) -> Tensor:
    source = generator(request.seed(image, "lime"))

    def masked(_: Tensor, num_interp_features: int, **__: Any) -> Tensor:
        chosen = torch.rand(1, num_interp_features, generator=source) < 0.5
        return chosen.long().to(request.inputs.device)

    def logits(inputs: Tensor) -> Tensor:
        found: Tensor = request.model.module(inputs.contiguous(memory_format=torch.channels_last))
        return found

    explainer = Lime(
        logits,
        interpretable_model=Surrogate(SURROGATES[name]),
        similarity_func=get_exp_kernel_similarity_function(),
        perturb_func=masked,
    )
    with torch.random.fork_rng(devices=[]):  # captum's loader of samples draws from it
        values = explainer.attribute(
            request.inputs[image : image + 1],
            target=int(request.targets[image]),
            feature_mask=segments.to(request.inputs.device)[None, None],
            n_samples=samples,
            perturbations_per_eval=request.batch_size,
        )
    return values[0, 0].to(request.inputs)


register(
    "lime",
    surrogate_pass("lime"),
    "LIME (Ribeiro et al. 2016): coefficients of a Lasso in superpixels; ``lime@N`` samples.",
)
register(
    "lime-ridge",
    surrogate_pass("lime-ridge"),
    "LIME with ridge regression instead of the Lasso; ``lime-ridge@N`` takes N samples.",
)
