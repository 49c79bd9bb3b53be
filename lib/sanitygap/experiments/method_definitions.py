"""The methods and similarities of Adebayo et al. (2018), checked against their definitions."""

from collections.abc import Callable, Iterator, Sequence

import pandas as pd
import torch
from torch import nn

from sanitygap import (
    adebayo_metrics,
    hog,
    method_definitions,
    similarity,
)
from sanitygap.attribution import cam, deeplift, gradient, lrp, lrp_rules
from sanitygap.attribution import method as method_room
from sanitygap.attribution.applicable import defined
from sanitygap.experiments.experiment import Chunk, Code, Context, experiment
from sanitygap.experiments.grey_networks import CODE as TRAINING
from sanitygap.experiments.grey_networks import Plan, grey_images, grey_network
from sanitygap.method_definitions import Row
from sanitygap.models import canonizers
from sanitygap.seeds import generator
from sanitygap.small_networks.mnist_networks import as_inputs, cnn

#: the networks on which guided backpropagation is compared with captum's; the criterion names the
#: first three, and the last two show what hooks miss
NETWORKS = ("resnet18", "resnet50", "vgg16", "mobilenet_v2", "inception_v3")

CODE: tuple[Code, ...] = (
    adebayo_metrics, cam, canonizers, cnn, deeplift, gradient, hog, lrp, lrp_rules,
    method_definitions, method_room, similarity,
)  # fmt: skip

COLUMNS = {
    "claim": "id in the ledger",
    "quantity": "what is measured",
    "subject": "on what: a method, a network, a function, a similarity",
    "value": "the number",
}


@experiment(
    "method-definitions",
    knobs={
        "smoke": {"networks": NETWORKS[:1], "repeats": 400},
        "quick": {"networks": NETWORKS[:3]},
        "full": {},
    },
    columns=COLUMNS,
)
def definitions(
    context: Context, networks: Sequence[str] = NETWORKS, repeats: int = 1000
) -> Iterator[Chunk]:
    """Measured quantities behind the definitions of Appendix A and the metrics of Appendix B.

    Args:
        context: model, images and seed; the model is used for the shapes of maps only.
        networks: of torchvision, with random weights.
        repeats: repetitions of sampling methods.

    Yields:
        One chunk a topic.
    """
    seed, made = context.seed, method_definitions
    topics: dict[str, Callable[[], list[Row]]] = {
        "gradient": lambda: made.gradient(seed),
        "gradient x input": lambda: made.gradient_x_input(seed),
        "guided backpropagation": lambda: made.guided_backpropagation(seed, networks),
        "Grad-CAM": lambda: made.grad_cam(seed),
        "integrated gradients": lambda: made.integrated_gradients(seed, *trained_network(context)),
        "SmoothGrad": lambda: made.smoothgrad(seed, repeats),
        "VarGrad": lambda: made.vargrad(seed, repeats),
        "similarities": lambda: similarities(seed),
    }
    for name, rows in topics.items():
        settings = {"topic": name, "seed": seed, "repeats": repeats, "networks": list(networks)}

        def compute(rows: Callable[[], list[Row]] = rows) -> pd.DataFrame:
            return pd.DataFrame(rows(), columns=list(COLUMNS))

        yield Chunk(settings, (*CODE, *TRAINING, similarities), compute, needs_model=False)

    def of_the_model() -> pd.DataFrame:
        batch, methods = context.batch((0,)), defined(context.model, made.APPENDIX)
        rows = made.shapes(context.model, batch.inputs, methods)
        return pd.DataFrame(rows, columns=list(COLUMNS))

    yield Chunk({"topic": "shapes", "seed": seed}, CODE, of_the_model, (0,))


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
        "SSIM": lambda a, b: similarity.ssim(
            a, b, adebayo_metrics.DATA_RANGE, adebayo_metrics.WINDOW
        ),
        "HOG": lambda a, b: similarity.pearson(hog.hog(a), hog.hog(b)),
    }
    return [
        method_definitions.row("adebayo-metrics", quantity, name, value)
        for name, metric in metrics.items()
        for quantity, other in (("identical maps", maps), ("flipped sign", -maps))
        for value in (metric(maps, other).tolist())
    ]
