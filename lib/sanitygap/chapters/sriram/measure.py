"""The extended test of Sriram and Conati (2022): one layer at a time, and what it rests on."""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from captum.attr import InputXGradient, IntegratedGradients, Saliency
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import jensenshannon
from scipy.stats import pearsonr, spearmanr
from torch import Tensor, nn

from sanitygap.attribution import Sampling, attribute
from sanitygap.attribution.applicable import families
from sanitygap.attribution.surrogate import SAMPLES, SURROGATES
from sanitygap.chapters.sriram import architectures, printed, proofs
from sanitygap.chapters.sriram.scores import METHODS, VERSIONS
from sanitygap.errors import UsageError
from sanitygap.models.explainable import Explainable, Preprocessing, Stage
from sanitygap.models.stages import LAYERS, network_name, with_schedule
from sanitygap.randomization import RandomTwin, steps
from sanitygap.randomization_test import compare_with_random, retest
from sanitygap.seeds import generator
from sanitygap.similarity import joint_range, pearson, relative_change, second_moment, ssim
from sanitygap.table import Batch, Context, table

CONTROLS = ("noise", "noise-fixed", "edges", "centre")

#: the methods whose hooks are in question, as this library and as captum computes them
TWINS = (
    "gradient", "gradient-x-input", "guided-backprop", "captum-guided-backprop", "guided-grad-cam",
    "captum-guided-grad-cam", "deeplift", "captum-deeplift",
)  # fmt: skip

SHORT_TWINS = ("gradient", "guided-backprop", "captum-guided-backprop")


def paper_layers(model: Explainable) -> Explainable:
    """The model with the layers that the paper randomises; its own stages for other networks."""
    if network_name(model.module) in LAYERS:
        return with_schedule(model, "sriram-conati")
    return model


def sized(methods: Sequence[str], lime_samples: int) -> list[str]:
    """Names of methods, with LIME's number of samples."""
    return [f"{name}@{lime_samples}" if name in SURROGATES else name for name in methods]


def ipr_test(
    batch: Batch,
    methods: Sequence[str] = (*METHODS, *CONTROLS),
    n_steps: int | None = None,
    path_steps: int = 50,
    lime_samples: int = SAMPLES,
    seeds: Sequence[int] | None = None,
) -> Iterator[pd.DataFrame]:
    """Similarity of each map to that of the network with one redrawn layer, layer by layer.

    Args:
        batch: images.
        methods: attribution methods and controls; those that the network has no use for are left
            out.
        n_steps: that many layers, evenly spread; all by default.
        path_steps: points of integrated gradients.
        lime_samples: masked copies of an image in LIME.
        seeds: seeds of the redrawn weights; the run's seed by default.
    """
    model, sampling = paper_layers(batch.model), Sampling(path_steps)
    chosen = steps(model.stages, "independent", n_steps)
    for seed in seeds or [batch.seed]:
        for family in families(sized(methods, lime_samples), batch.model):
            names, twin = [member.name for member in family], RandomTwin(model, seed)
            started = time.perf_counter()
            compared = compare_with_random(batch, names, twin, chosen, "independent", sampling)
            rows = pd.concat(compared, ignore_index=True)
            seconds = time.perf_counter() - started
            base = rows["method"].str.partition("@")[0]
            yield rows.assign(
                method=rows["method"].where(~base.isin(list(SURROGATES)), base),
                steps=len(model.stages),
                seconds=seconds / (len(batch.names) * (len(chosen) + 1)),
            )


table(
    "ipr-test",
    by=["seeds", "methods"],
    smoke={"n_steps": 1, "path_steps": 1, "lime_samples": 4, "max_images": 2},
    quick={"n_steps": 2, "path_steps": 4, "lime_samples": 16, "max_images": 4},
)(ipr_test)

table(
    "ipr-captum",
    own=False,
    by=["seeds", "methods"],
    smoke={"methods": SHORT_TWINS, "n_steps": 1, "max_images": 2},
    quick={"methods": TWINS, "n_steps": 2, "max_images": 4},
    full={"methods": TWINS},
)(ipr_test)

table(
    "ipr-retest",
    by=["seeds", "methods"],
    smoke={"methods": ("gradient", "lime@4", "noise"), "n_steps": 1, "max_images": 2},
    quick={
        "methods": (*METHODS[:-1], "smoothgrad", "lime@12", "noise", "edges"),
        "n_steps": 1, "path_steps": 2, "noisy_copies": 3, "max_images": 2,
    },
    full={
        "methods": (*METHODS[:-1], "smoothgrad", f"lime@{SAMPLES}", "noise", "edges"),
        "n_steps": 1,
    },
)(retest)  # fmt: skip


@table("ipr-models")
def ipr_models(context: Context) -> pd.DataFrame:
    """Which layers each randomised network of the independent order changes, by comparing tensors.

    Args:
        context: model and seed.
    """
    return changed_layers(paper_layers(context.model), context.seed)


def changed_layers(model: Explainable, seed: int) -> pd.DataFrame:
    """One row a layer: what differs when it is redrawn."""
    modules = dict(model.module.named_modules())

    def state() -> dict[str, list[torch.Tensor]]:
        return {
            name: [tensor.clone() for tensor in (*module.parameters(False), *module.buffers(False))]
            for name, module in modules.items()
        }

    before, twin, rows = state(), RandomTwin(model, seed), []
    for step in steps(model.stages, "independent"):
        with twin.redrawn(step.stages):
            after = state()
        differing = {
            name
            for name in modules
            if any(not torch.equal(a, b) for a, b in zip(before[name], after[name], strict=True))
        }
        changed = [stage.name for stage in model.stages if differing & set(stage.modules)]
        owned = {name for stage in model.stages for name in stage.modules}
        rows.append(
            {
                "stage": step.name,
                "layers": len(model.stages),
                "changed": len(changed),
                "itself": step.name in changed,
                "outside": len(differing - owned),
            }
        )
    return pd.DataFrame(rows)


table("sensitivity-proofs", smoke={"timeout_ms": 5_000}, full={"timeout_ms": 60_000})(proofs.proofs)


@table("sensitivity-extremes")
def extremes(seed: int) -> Iterator[dict[str, Any]]:
    """Sensitivities of pairs of maps at the ends of the SSIM's range.

    Args:
        seed: of the maps.
    """
    size = 64
    rng = np.random.default_rng(seed)
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
        "smooth": np.stack(
            [[gaussian_filter(one, 4) for one in part] for part in rng.normal(size=shape)]
        ),
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


@table("ipr-architectures")
def ipr_architectures() -> Iterator[dict[str, Any]]:
    """What the five networks of the paper are made of, counted without their weights."""
    yield from map(architectures.counts, LAYERS)


table("ipr-layers")(architectures.rule_rows)


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
        network = architectures.random_copy(name, seed)
        found = architectures.silent_hooks(network, inputs, torch.tensor([0]))
        yield {"network": name, "difference": found}


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
    excess = pr - pq - qr
    return pd.DataFrame(
        [
            {"property": "divergence at most ln 2", "trials": n,
             "violations": int((pq**2 > np.log(2) + 1e-12).sum()),
             "extreme": float((pq**2).max())},
            {"property": "divergence at least 0", "trials": n,
             "violations": int((pq**2 < 0).sum()), "extreme": float((pq**2).min())},
            {"property": "root meets the triangle inequality", "trials": n,
             "violations": int((excess > 1e-9).sum()), "extreme": float(excess.max())},
        ]
    )  # fmt: skip


#: pairs that are equal where hooks miss the activations, and should not be
SILENT = (
    ("captum guided-backprop", "gradient"),
    ("guided-backprop", "gradient"),
    ("captum deeplift", "gradient-x-input"),
    ("deeplift", "gradient-x-input"),
)

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
    made: dict[str, Tensor] = {}
    refused: dict[str, str] = {}

    def keep(name: str, compute: Callable[[], Tensor]) -> None:
        try:
            made[name] = compute()
        except UsageError as error:
            refused[name] = str(error)

    def own(name: str) -> Tensor:
        sampling = Sampling(path_steps)
        return attribute(model, batch.inputs, batch.targets, [name], batch.keys, sampling)[name]

    def theirs(name: str) -> Tensor:
        explainers: dict[str, tuple[Any, dict[str, Any]]] = {
            "gradient": (Saliency, {"abs": False}),
            "gradient-x-input": (InputXGradient, {}),
            "integrated-gradients": (
                IntegratedGradients,
                {"n_steps": path_steps, "method": "riemann_middle", "internal_batch_size": 20},
            ),
        }
        if name not in explainers:
            return own(f"captum-{name}")
        kind, options = explainers[name]
        inputs = batch.inputs.detach().clone()
        with warnings.catch_warnings(), model.explained() as module:
            warnings.simplefilter("ignore")  # it says that it makes the inputs need gradients
            values = kind(module).attribute(inputs, target=batch.targets, **options)
        found: Tensor = values.detach().sum(1)
        return found

    for name in VERSIONS:
        keep(name, partial(own, name))
        keep(f"captum {name}", partial(theirs, name))
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
                    "network": number,
                    "biases": biases,
                    "method": name,
                    "correlation": float(pearson(path, maps[name])),
                    "relative": float(relative_change(path, maps[name])),
                }
