"""A surrogate for the bone-age network of Adebayo et al. (2018, Fig. 7), and top-5 accuracy.

The network and the radiographs of the paper are not public. The surrogate estimates a number, too,
with the paper's mixed L1 and L2 loss, from images with strong edges: the value of a digit.
"""

from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from torch import nn

from sanitygap.adebayo_metrics import Scaled
from sanitygap.attribution import unpooled
from sanitygap.experiments.grey_networks import inside
from sanitygap.experiments.parameter_test import scaled
from sanitygap.models.explainable import Explainable
from sanitygap.randomization import RandomTwin, Redraw
from sanitygap.seeds import generator
from sanitygap.small_networks import mnist_networks
from sanitygap.small_networks.mnist_networks import GreyImages, as_inputs, explainable, network
from sanitygap.table import Batch, Context, table

METHODS = ("gradient", "guided-backprop")
BATCH, RATE = 50, 1e-3


@table(
    "regression-surrogate",
    smoke={"epochs": 2, "test_images": 4, "seeds": (0,), "shrink": 16},
    quick={"epochs": 8, "test_images": 50, "seeds": (0, 1)},
    modelled=False,
)
def regression_surrogate(
    context: Context,
    epochs: int = 20,
    shrink: int = 4,
    test_images: int = 200,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
) -> Iterator[pd.DataFrame]:
    """Maps of a trained regression network, beside those of networks with random weights.

    Args:
        context: seed.
        epochs: passes through the embedded digits.
        shrink: divides the widths of the CNN.
        test_images: number of digits to explain.
        seeds: of the random weights, a truncated normal; each is also compared with the next.

    Yields:
        One row a test image, method, comparison, seed and scaling.
    """
    data = GreyImages.load("digits")
    model = regression_network(data, context.seed, epochs, shrink)
    truth = mnist_networks.labels_of(data.test).float()
    with torch.no_grad():
        error = float((model.module(as_inputs(data.test))[:, 0] - truth).abs().mean())
    guess = float(mnist_networks.labels_of(data.train).float().mean())
    shown = data.test.take(test_images, context.seed)
    own = inside(context, model, shown)
    batch = own.batch(range(len(shown)))

    def maps() -> dict[str, dict[str, Scaled]]:
        values = unpooled(model, batch.inputs, batch.targets, METHODS, batch.keys)
        return {name: scaled(found, False) for name, found in values.items()}

    def random(seed: int) -> dict[str, dict[str, Scaled]]:
        with RandomTwin(model, seed, Redraw("truncated-normal")).redrawn(model.stages):
            return maps()

    trained = maps()
    for seed in seeds:
        one, other = random(seed), random(seed + 1000)
        for compared, first in (("random network", trained), ("two random networks", other)):
            for method in METHODS:
                for kind, values in first[method].items():
                    found = values.compare(one[method][kind])
                    kept = {name: v for name, v in found.items() if not name.startswith("hog")}
                    yield batch.rows(
                        kept, method=method, compared=compared, maps=kind, seed=seed,
                        error=error, error_of_mean=float((guess - truth).abs().mean()),
                    )  # fmt: skip


def regression_network(data: GreyImages, seed: int, epochs: int, shrink: int) -> Explainable:
    """The CNN with one output, trained to estimate a digit with an L1 and an L2 loss in sum."""
    module = network("CNN", seed, shrink)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        last = module.get_submodule("logits")
        assert isinstance(last, nn.Linear)
        module.logits = nn.Linear(last.in_features, 1)
    inputs, truth = as_inputs(data.train), mnist_networks.labels_of(data.train).float()
    optimizer = torch.optim.Adam(module.parameters(), RATE)
    source = generator(seed, "regression")
    for _ in range(epochs):
        for chosen in torch.randperm(len(inputs), generator=source).split(BATCH):
            error = module(inputs[chosen])[:, 0] - truth[chosen]
            loss = (error.abs() + error.square()).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return explainable("CNN", module, "value of a digit")


@table("top-5")
def top_5(batch: Batch) -> pd.DataFrame:
    """Whether the run's model finds the label of each image, first and among the first five.

    Args:
        batch: images.
    """
    with torch.no_grad():
        logits = batch.model.module(batch.inputs)
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices.tolist()

    def found(first: int) -> torch.Tensor:
        return torch.tensor(
            [
                float("nan") if label is None else float(label in classes[:first])
                for label, classes in zip(batch.labels, best, strict=True)
            ],
            dtype=torch.float64,
        )

    return batch.rows({"top_1": found(1), "top_5": found(5)})
