"""What the test of Sriram and Conati rests on: versions of methods, hooks, networks, statistics."""

import warnings
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from captum.attr import GuidedBackprop, InputXGradient, IntegratedGradients, Saliency
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import jensenshannon
from scipy.stats import pearsonr, spearmanr
from torch import Tensor, nn

from sanitygap.attribution import Sampling, attribute
from sanitygap.attribution.gradient import GuidedRectifiers, input_gradient
from sanitygap.chapters.sriram import printed
from sanitygap.chapters.sriram.definitions import VERSIONS
from sanitygap.errors import UsageError
from sanitygap.models.explainable import Explainable, Preprocessing, Stage
from sanitygap.models.stages import (
    LAYERS,
    execution_order,
    sensible_stages,
    sriram_conati_stages,
    untrained,
)
from sanitygap.randomization import NORM_LAYERS
from sanitygap.seeds import generator
from sanitygap.similarity import joint_range, pearson, relative_change, second_moment, ssim
from sanitygap.table import Batch, table


@table("sensitivity-extremes")
def extremes(seed: int) -> Iterator[dict[str, Any]]:
    """Sensitivities of pairs of maps at the ends of the SSIM's range.

    Args:
        seed: of the maps.
    """
    rng, size = np.random.default_rng(seed), 64
    uniform = rng.random((size, size))
    checks = (np.indices((size, size)).sum(0) % 2).astype(float)
    pairs = {
        "a map and itself": (uniform, uniform),
        "uniform noise and 1 minus it": (uniform, 1 - uniform),
        "chequers and 1 minus them": (checks, 1 - checks),
        "centred noise and its negative": (uniform - 0.5, 0.5 - uniform),
        "two maps of uniform noise": (uniform, rng.random((size, size))),
    }
    for name, pair in pairs.items():
        first, second = (torch.from_numpy(values)[None] for values in pair)
        found = float(ssim(first, second, 1.0))
        yield {"pair": name, "ssim": found, "sensitivity": 1 - found}


@table("threshold-sweep", smoke={"pairs": 4}, quick={"pairs": 20}, full={"pairs": 200})
def threshold_sweep(pairs: int = 200, seed: int = 0) -> Iterator[dict[str, Any]]:
    """How much noise makes a map count as changed, by the kind of map and its scaling.

    Args:
        pairs: pairs of maps for each mean.
        seed: of the maps and the noise.
    """
    rng, size = np.random.default_rng(seed), 96
    shape = (2, pairs, size, size)
    made = {
        "absolute Gaussian": np.abs(rng.normal(size=shape)),
        "smooth": gaussian_filter(rng.normal(size=shape), 4, axes=(2, 3)),
        "sparse (t, 2 degrees)": rng.standard_t(2, size=shape),
    }
    for kind, values in made.items():
        low, high = (edge(values, axis=(2, 3), keepdims=True) for edge in (np.min, np.max))
        first, second = (torch.from_numpy(part) for part in (values - low) / (high - low))
        for level in (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, np.inf):
            noise = torch.from_numpy(rng.normal(size=first.shape))
            changed = second if level == np.inf else first + level * noise
            a, b = second_moment(first), second_moment(changed)
            for scaling, found in (
                ("[0, 1]", ssim(first, changed, 1.0)),
                ("second moment", ssim(a, b, joint_range(a, b))),
            ):
                yield {
                    "map": kind, "scaling": scaling, "noise": level,
                    "sensitivity": 1 - float(found.mean()), "pairs": pairs,
                }  # fmt: skip


@table("similarity-words")
def similarity_words() -> Iterator[dict[str, Any]]:
    """Which correlation sees linear and which monotonic relations."""
    x = np.linspace(-3, 3, 101)
    for name, find, described in (
        ("spearman", spearmanr, "linear"), ("pearson", pearsonr, "monotone"),
    ):  # fmt: skip
        yield {
            "statistic": name, "monotone": float(find(x, np.exp(x)).statistic),
            "linear": float(find(x, 2 * x + 1).statistic), "described": described,
        }  # fmt: skip


@table("printed-correlations")
def printed_correlations() -> Iterator[pd.DataFrame]:
    """Tables 2 and 3 of the paper: printed marks beside those that the numbers deserve."""
    yield printed.pairs("sriram-table2", True)
    yield printed.pairs("sriram-table3", False)


@table("printed-structure")
def printed_structure() -> Iterator[dict[str, Any]]:
    """Whether Tables 2 and 3 of the paper can be correlations of five numbers each."""
    for claim in ("sriram-table2", "sriram-table3"):
        for name, value in printed.structure(claim).items():
            yield {"claim": claim, "property": name, "value": value}


def relu_calls(module: nn.Module, example: Tensor) -> int:
    """How many ReLU or ReLU6 a forward pass calls, whoever calls them."""
    with GuidedRectifiers() as rectifiers, torch.no_grad():
        module(example)
    return rectifiers.calls


def example_for(name: str) -> torch.Tensor:
    """An input without storage that torchvision's network of a name accepts."""
    size = 299 if name == "inception_v3" else 224
    return torch.zeros(1, 3, size, size, device="meta")


@table("ipr-architectures")
def ipr_architectures() -> Iterator[dict[str, Any]]:
    """What the five networks of the paper are made of, counted without their weights.

    Yields:
        ``relu_calls`` in a forward pass; ``relu_modules``, the distinct modules of the class
        ``nn.ReLU`` that captum can hook; ``convolutions``; ``convolution_biases`` and
        ``dense_biases``, the layers that have one; ``norm_shifts``, the normalisation layers
        that shift.
    """
    for name in LAYERS:
        network = untrained(name)
        parts = list(network.modules())
        biased = [part for part in parts if getattr(part, "bias", None) is not None]
        counted: dict[str, tuple[Any, list[nn.Module]]] = {
            "relu_modules": (nn.ReLU, parts), "convolutions": (nn.Conv2d, parts),
            "convolution_biases": (nn.Conv2d, biased), "dense_biases": (nn.Linear, biased),
            "norm_shifts": (NORM_LAYERS, biased),
        }  # fmt: skip
        yield {
            "network": name,
            "relu_calls": relu_calls(network, example_for(name)),
            **{what: sum(isinstance(p, k) for p in among) for what, (k, among) in counted.items()},
        }


@table("ipr-layers")
def ipr_layers() -> Iterator[dict[str, Any]]:
    """Stated and counted layers of each network, by every uniform rule and by mixed ones."""
    for name, layers in LAYERS.items():
        network, example = untrained(name), example_for(name)
        owners, blocks = (
            execution_order(network, example),
            sensible_stages(network, example),
        )
        parts = {part: type(module) for part, module in network.named_modules()}
        kinds = [parts[owner] for owner in owners]
        without = [b for b in blocks if {parts[member] for member in b.modules} != {nn.Linear}]
        convolutions, dense = (
            sum(issubclass(kind, layer) for kind in kinds) for layer in (nn.Conv2d, nn.Linear)
        )
        counts = {
            "every module with parameters": len(owners),
            "convolutions": convolutions,
            "convolutions and dense layers": convolutions + dense,
            "blocks": len(blocks),
            "blocks without dense layers": len(without),
            "blocks of several layers": sum(len(block.modules) > 2 for block in without),
            "top-level parts with parameters": len({owner.partition(".")[0] for owner in owners}),
            "mixed": len(sriram_conati_stages(network, example)),
        }
        for rule, count in counts.items():
            yield {"network": name, "stated": layers.stated, "rule": rule, "counted": count}


def random_copy(name: str, seed: int) -> nn.Module:
    """torchvision's network with random weights that keep activations finite, on the CPU.

    Its auxiliary classifier is left out. What captum can hook does not depend on weights.
    """
    network = deepcopy(untrained(name)).to_empty(device="cpu")
    for part in network.modules():
        if isinstance(part, NORM_LAYERS):
            part.reset_parameters()
        elif isinstance(bias := getattr(part, "bias", None), Tensor):
            bias.data.zero_()
    source = torch.Generator().manual_seed(seed)
    for value in network.parameters():
        if value.ndim > 1:
            value.data = torch.randn(value.shape, generator=source) * (2 / value[0].numel()) ** 0.5
    return network.eval().requires_grad_(False)


def unguided(module: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """How far captum's guided backpropagation is from the plain gradient, over the latter's norm.

    Zero means that no activation was guided.
    """
    plain = input_gradient(module, inputs, targets)
    with warnings.catch_warnings(action="ignore"):
        guided = GuidedBackprop(module).attribute(inputs.clone(), target=targets).detach()
    return float((guided - plain).norm() / plain.norm())


@table("silent-hooks", by=["networks"], smoke={"networks": ("mobilenet_v2", "resnet18")})
def silent_hooks(
    networks: Sequence[str] = tuple(LAYERS), seed: int = 0
) -> Iterator[dict[str, Any]]:
    """How far captum's guided backpropagation is from the gradient in the paper's networks.

    Args:
        networks: some of the five.
        seed: of the weights and the input.
    """
    for name in networks:
        size = 128 if name == "inception_v3" else 64
        source = torch.Generator().manual_seed(seed)
        inputs = torch.randn(1, 3, size, size, generator=source)
        difference = unguided(random_copy(name, seed), inputs, torch.tensor([0]))
        yield {"network": name, "difference": difference}


@table("jensen-shannon", smoke={"n": 200}, quick={"n": 5_000}, full={"n": 50_000})
def jensen_shannon(n: int = 5_000, seed: int = 0) -> pd.DataFrame:
    """The Jensen-Shannon divergence lies in [0, ln 2], and its root is a metric: random triples.

    Args:
        n: triples.
        seed: of the triples.
    """
    rng = np.random.default_rng(seed)
    concentration = rng.choice([0.05, 1.0, 20.0], size=(n, 1))
    p, q, r = (rng.gamma(concentration, size=(n, 8)) + 1e-12 for _ in range(3))
    pq, qr, pr = (np.nan_to_num(jensenshannon(a, b, axis=1)) for a, b in ((p, q), (q, r), (p, r)))
    divergence, excess = pq**2, pr - pq - qr
    violations = divergence > np.log(2) + 1e-12, divergence < 0, excess > 1e-9
    return pd.DataFrame(
        {
            "property": [
                "divergence at most ln 2", "divergence at least 0",
                "root meets the triangle inequality",
            ],
            "trials": n,
            "violations": [int(broken.sum()) for broken in violations],
            "extreme": [divergence.max(), divergence.min(), excess.max()],
        }
    )  # fmt: skip


#: pairs that are equal where hooks miss the activations, and should not be
SILENT = (
    ("captum guided-backprop", "gradient"),
    ("guided-backprop", "gradient"),
    ("captum deeplift", "gradient-x-input"),
    ("deeplift", "gradient-x-input"),
)

#: captum's own classes of methods that it is not asked for by name
CAPTUM: dict[str, Any] = {
    "gradient": Saliency, "gradient-x-input": InputXGradient,
    "integrated-gradients": IntegratedGradients,
}  # fmt: skip

SIZE = 32


def hooked_network(seed: int) -> Explainable:
    """A small network in which every activation is an ``nn.ReLU`` of its own, double precision.

    Args:
        seed: of all weights.
    """
    module = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(108, 10),
    ).double()  # fmt: skip
    source = generator(seed, "hooked")
    for value in module.parameters():
        fan = value[0].numel() if value.ndim > 1 else 20
        value.data = torch.randn(value.shape, generator=source).double() * (2 / fan) ** 0.5
    stages = tuple(Stage(name, (name,)) for name in ("6", "2", "0"))
    module.eval().requires_grad_(False)
    return Explainable("ReLU modules", module, Preprocessing(SIZE, SIZE), stages)


@table(
    "captum-agreement",
    smoke={"path_steps": 2, "max_images": 1},
    quick={"path_steps": 4, "max_images": 2},
    full={"max_images": 100},
)
def captum_agreement(batch: Batch, path_steps: int = 50) -> Iterator[pd.DataFrame]:
    """Differences between this library's maps and captum's, and between maps that hooks confuse.

    Args:
        batch: images.
        path_steps: points of integrated gradients.
    """
    yield from compare_versions(batch.model, batch, path_steps, "run")
    small = hooked_network(batch.seed)
    inputs = nn.functional.interpolate(batch.inputs, (SIZE, SIZE), mode="area")
    inputs = inputs.double().cpu() / inputs.double().cpu().std()
    reduced = replace(batch, inputs=inputs, targets=small.predict(inputs))
    yield from compare_versions(small, reduced, path_steps, "ReLU modules")


def compare_versions(
    model: Explainable, batch: Batch, path_steps: int, network: str
) -> Iterator[pd.DataFrame]:
    """One row an image and pair of versions."""
    options: dict[str, dict[str, Any]] = {
        "gradient": {"abs": False},
        "integrated-gradients": {
            "n_steps": path_steps, "method": "riemann_middle", "internal_batch_size": 20,
        },
    }  # fmt: skip

    def own(name: str) -> Tensor:
        sampling = Sampling(path_steps)
        return attribute(model, batch.inputs, batch.targets, [name], batch.keys, sampling)[name]

    def theirs(name: str) -> Tensor:
        if name not in CAPTUM:
            return own(f"captum-{name}")
        inputs = batch.inputs.detach().clone()
        with warnings.catch_warnings(action="ignore"), model.explained() as module:
            # it says that it makes the inputs need gradients
            explainer = CAPTUM[name](module)
            values = explainer.attribute(inputs, target=batch.targets, **options.get(name, {}))
        return torch.as_tensor(values).detach().sum(1)

    made: dict[str, Tensor] = {}
    refused: dict[str, str] = {}
    for name in VERSIONS:
        for version, compute in ((name, own), (f"captum {name}", theirs)):
            try:
                made[version] = compute(name)
            except UsageError as error:
                refused[version] = str(error)
    with torch.no_grad():
        scores, baseline = (
            model.scores(values).gather(1, batch.targets[:, None])[:, 0]
            for values in (batch.inputs, torch.zeros_like(batch.inputs))
        )
    pairs = [*((name, f"captum {name}") for name in VERSIONS), *SILENT]
    for first, second in pairs:
        why = refused.get(first, "") or refused.get(second, "")
        unknown = torch.full((len(batch.names),), torch.nan)
        values = {"relative": unknown, "correlation": unknown, "completeness": unknown}
        if not why:
            values["relative"] = relative_change(made[second], made[first])
            values["correlation"] = pearson(made[second], made[first])
        if first in made and first.endswith("deeplift"):
            total = made[first].sum((1, 2), dtype=torch.float64)
            values["completeness"] = (total - (scores - baseline)) / (scores - baseline)
        yield batch.rows(values, network=network, method=first, other=second, refused=why)


@table("deeplift-path", smoke={"networks": 4}, quick={"networks": 20}, full={"networks": 100})
def deeplift_path(networks: int = 20, seed: int = 0) -> Iterator[dict[str, Any]]:
    """DeepLIFT and gradient x input beside integrated gradients, with and without biases.

    Args:
        networks: small random networks of each kind.
        seed: of networks and images.

    Yields:
        One row a network, kind and method.
    """
    for number in range(networks):
        for biases in (True, False):
            model = hooked_network(seed + number)
            if not biases:
                for part in model.module.children():
                    if isinstance(bias := getattr(part, "bias", None), Tensor):
                        bias.data.zero_()
            source = generator(seed, "image", number)
            image = torch.randn(1, 3, SIZE, SIZE, generator=source).double()
            names = ["integrated-gradients", "deeplift", "gradient-x-input"]
            target = model.predict(image)
            maps = attribute(model, image, target, names, [0], Sampling(400), 200)
            path = maps["integrated-gradients"]
            for name in names[1:]:
                yield {
                    "network": number, "biases": biases, "method": name,
                    "correlation": float(pearson(path, maps[name])),
                    "relative": float(relative_change(path, maps[name])),
                }  # fmt: skip
