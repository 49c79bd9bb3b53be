"""The methods and similarities of Adebayo et al. (2018), checked against their definitions."""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import nn

from sanitygap import method_definitions, similarity
from sanitygap.adebayo_metrics import DATA_RANGE, UNIFORM, hog
from sanitygap.attribution.applicable import defined
from sanitygap.experiments.grey_networks import Plan, grey_images, grey_network
from sanitygap.method_definitions import Row
from sanitygap.seeds import generator
from sanitygap.small_networks.mnist_networks import as_inputs
from sanitygap.table import Context, table

#: the networks on which guided backpropagation is compared with captum's; the criterion names the
#: first three, and the last two show what hooks miss
NETWORKS = ("resnet18", "resnet50", "vgg16", "mobilenet_v2", "inception_v3")

Topic = Literal[
    "gradient", "gradient x input", "guided backpropagation", "Grad-CAM", "integrated gradients",
    "SmoothGrad", "VarGrad", "similarities", "shapes",
]  # fmt: skip
TOPICS: tuple[Topic, ...] = get_args(Topic)


@table(
    "method-definitions",
    by=["topics"],
    smoke={"networks": NETWORKS[:1], "repeats": 400},
    quick={"networks": NETWORKS[:3]},
    everything=True,
)
def definitions(
    context: Context,
    networks: Sequence[str] = NETWORKS,
    repeats: int = 1000,
    topics: Sequence[Topic] = TOPICS,
) -> list[Row]:
    """Measured quantities behind the definitions of Appendix A and the metrics of Appendix B.

    Args:
        context: model, images and seed; the model is used for the shapes of maps only.
        networks: of torchvision, with random weights.
        repeats: repetitions of sampling methods.
        topics: what is measured, in parts of their own.
    """
    seed, made = context.seed, method_definitions

    def shapes() -> list[Row]:
        model = context.model
        return made.shapes(model, context.batch((0,)).inputs, defined(model, made.APPENDIX))

    measures: tuple[Callable[[], list[Row]], ...] = (
        lambda: made.gradient(seed),
        lambda: made.gradient_x_input(seed),
        lambda: made.guided_backpropagation(seed, networks),
        lambda: made.grad_cam(seed),
        lambda: made.integrated_gradients(seed, *trained_network(context)),
        lambda: made.smoothgrad(seed, repeats),
        lambda: made.vargrad(seed, repeats),
        lambda: similarities(seed),
        shapes,
    )
    known = dict(zip(TOPICS, measures, strict=True))
    return [row for topic in topics for row in known[topic]()]


#: the trained network in which completeness is checked, and how many digits
TRAINED, DIGITS = Plan("digits", "CNN", epochs=6, shrink=4), 6


def trained_network(context: Context) -> tuple[nn.Module, torch.Tensor]:
    """A small CNN trained on the embedded digits, and some of them, float64 ``(N, 3, 28, 28)``."""
    module = grey_network(context, TRAINED).model.module
    shown = grey_images(context, TRAINED.data).test[:DIGITS]
    return module.cpu(), as_inputs(shown).double().repeat(1, 3, 1, 1)


def similarities(seed: int, side: int = 96, count: int = 4) -> list[Row]:
    """Each similarity of a map with itself and with its negative, on random maps."""
    source = generator(seed, "similarities")
    maps = torch.randn(count, side, side, generator=source, dtype=torch.float64)
    metrics = {
        "Spearman, signed": similarity.spearman,
        "Spearman, absolute": lambda a, b: similarity.spearman(a.abs(), b.abs()),
        "SSIM": lambda a, b: similarity.ssim(a, b, DATA_RANGE, UNIFORM),
        "HOG": lambda a, b: similarity.pearson(hog(a), hog(b)),
    }
    return [
        method_definitions.row("adebayo-metrics", quantity, name, value)
        for name, metric in metrics.items()
        for quantity, other in (("identical maps", maps), ("flipped sign", -maps))
        for value in (metric(maps, other).tolist())
    ]
