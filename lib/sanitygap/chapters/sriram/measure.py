"""The extended test of Sriram and Conati (2022), one layer at a time, and where its S ends.

S ends at small changes, at layers that do not matter, and at the choice of a reference.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, product
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from sanitygap.attribution import Request, Sampling, attribute, references
from sanitygap.attribution.applicable import defined, families, undefined
from sanitygap.attribution.surrogate import SAMPLES, SURROGATES
from sanitygap.chapters.sriram.definitions import METHODS
from sanitygap.models.explainable import Explainable, Preprocessing, Stage
from sanitygap.models.stages import LAYERS, network_name, with_schedule
from sanitygap.randomization import RandomTwin, Step, steps
from sanitygap.sanity_check import compare_with_random, retest
from sanitygap.seeds import generator, normal, stable_seed
from sanitygap.similarity import Reference, pearson
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
    quick={"n_steps": 2, "path_steps": 3, "lime_samples": 12, "max_images": 3},
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

    def state() -> dict[str, Tensor]:
        parameters = model.module.named_parameters(remove_duplicate=False)
        buffers = model.module.named_buffers(remove_duplicate=False)
        return {name: tensor.clone() for name, tensor in chain(parameters, buffers)}

    before, twin, rows = state(), RandomTwin(model, seed), []
    owned = {name for stage in model.stages for name in stage.modules}
    for step in steps(model.stages, "independent"):
        with twin.redrawn(step.stages):
            after = state()
        tensors = (name for name in before if not torch.equal(before[name], after[name]))
        differing = {name.rpartition(".")[0] for name in tensors}
        changed = [stage.name for stage in model.stages if differing & set(stage.modules)]
        itself, outside = step.name in changed, len(differing - owned)
        rows.append((step.name, len(model.stages), len(changed), itself, outside))
    return pd.DataFrame(rows, columns=["stage", "layers", "changed", "itself", "outside"])


#: shares of the way to the redrawn weights
SHARES = (0.0001, 0.001, 0.01, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)

#: the first is the network or the image almost as it was
PATH_METHODS = ("gradient", "gradient-x-input", "guided-backprop", "noise")


@contextmanager
def moved_weights(model: Explainable, twin: RandomTwin, step: Step, share: float) -> Iterator[None]:
    """The model with the weights of a step moved a share of the way to those of the twin."""
    owned = [model.module.get_submodule(n) for stage in step.stages for n in stage.modules]
    states = (t for module in owned for t in (*module.parameters(False), *module.buffers(False)))
    tensors = [tensor for tensor in states if tensor.is_floating_point()]
    trained = [tensor.data for tensor in tensors]
    with twin.redrawn(step.stages):
        for tensor, before in zip(tensors, trained, strict=True):
            tensor.data = torch.lerp(before, tensor.data, share)
        yield
    for tensor, before in zip(tensors, trained, strict=True):
        tensor.data = before


@table(
    "small-changes",
    smoke={"shares": (0.0001, 1.0), "n_steps": 1, "max_images": 2},
    quick={"shares": (0.0001, 0.1, 0.4, 1.0), "n_steps": 2, "max_images": 3},
)
def small_changes(
    batch: Batch,
    methods: Sequence[str] = PATH_METHODS,
    shares: Sequence[float] = SHARES,
    n_steps: int | None = 6,
) -> Iterator[pd.DataFrame]:
    """Sensitivity along the straight way from the trained to redrawn weights, and to image noise.

    Args:
        batch: images.
        methods: attribution methods and controls.
        shares: of the way; of the image's norm for the noise on it.
        n_steps: that many layers, evenly spread; all if None.
    """
    model, twin = batch.model, RandomTwin(batch.model, batch.seed)
    methods = defined(model, methods)
    trained = batch.maps(methods, batch.seed, "base")
    base = {name: Reference(values) for name, values in trained.items()}

    def compare(found: dict[str, Tensor], **constant: object) -> Iterator[pd.DataFrame]:
        for name, values in found.items():
            scores = base[name].compare(values)
            # of the normalised maps, whose norm is the same for all
            change = scores["mse"].clamp_min(0).sqrt()
            measured = {"sensitivity": 1 - scores["ssim"], "change": change}
            yield batch.rows(measured, method=name, **constant)

    for step in steps(paper_layers(model).stages, "independent", n_steps):
        for share in shares:
            with moved_weights(model, twin, step, share):
                found = batch.maps(methods, batch.seed, f"{step.name} {share}")
            yield from compare(found, moved="weights", stage=step.name, share=share)
    noise = normal(tuple(batch.inputs.shape[1:]), batch.seeds("input noise"), batch.inputs)
    size = batch.inputs.flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1)
    for share in (share for share in shares if share <= 0.1):
        near = batch.inputs + share * size.view(-1, 1, 1, 1) * noise
        found = batch.maps(methods, batch.seed, f"input {share}", inputs=near)
        yield from compare(found, moved="image", stage="", share=share)


@table(
    "ipr-references",
    smoke={
        "choices": ("zero", "uniform"), "n_steps": 1, "path_steps": 1, "lime_samples": 4,
        "max_images": 2,
    },
    quick={"n_steps": 1, "path_steps": 3, "lime_samples": 12, "max_images": 3},
    full={"max_images": 100},
)  # fmt: skip
def ipr_references(
    batch: Batch,
    choices: Sequence[str] = tuple(references.REFERENCES),
    n_steps: int | None = 6,
    path_steps: int = 50,
    lime_samples: int = SAMPLES,
) -> Iterator[pd.DataFrame]:
    """The test with other references of integrated gradients and DeepLIFT, and surrogates of LIME.

    Args:
        batch: images.
        choices: references, ``zero`` among them.
        n_steps: that many layers, evenly spread; all if None.
        path_steps: points of integrated gradients.
        lime_samples: masked copies of an image in LIME.
    """
    model, twin = batch.model, RandomTwin(batch.model, batch.seed)
    surrogates = {"lime": "Lasso", "lime-ridge": "ridge"}

    def maps() -> dict[tuple[str, str], Tensor]:
        keys, found = tuple(batch.seeds(batch.seed, "references")), {}
        shown = model, batch.inputs, batch.targets
        request = Request(*shown, keys, Sampling(path_steps), batch.size)
        with model.explained():
            for name in choices:
                found["integrated-gradients", name] = references.path_from(request, name)
                found["deeplift", name] = references.deeplift_from(request, name)
        names = [f"{name}@{lime_samples}" for name in surrogates]
        for name, values in attribute(*shown, names, keys, batch_size=batch.size).items():
            found["lime", surrogates[name.partition("@")[0]]] = values
        return found

    base = {key: Reference(values) for key, values in maps().items()}
    for step in steps(paper_layers(model).stages, "independent", n_steps):
        with twin.redrawn(step.stages):
            changed = maps()
        for (method, choice), values in changed.items():
            scores = {"ssim": base[method, choice].compare(values)["ssim"]}
            yield batch.rows(scores, method=method, choice=choice, stage=step.name)


#: a map that is a product, behind its two factors
PRODUCT = ("guided-backprop", "grad-cam", "guided-grad-cam")


@table(
    "ipr-composition", smoke={"max_images": 2}, quick={"max_images": 6}, full={"max_images": 100}
)
def ipr_composition(batch: Batch) -> Iterator[pd.DataFrame]:
    """Guided Grad-CAM beside the product of its parts, pixel by pixel; no rows where undefined.

    Args:
        batch: images.
    """
    if undefined(batch.model, PRODUCT):
        return
    maps = attribute(batch.model, batch.inputs, batch.targets, PRODUCT, batch.keys)
    guided, coarse, both = (maps[name].flatten(1) for name in PRODUCT)
    largest, off = both.abs().amax(1), coarse == 0
    outside, error = (both.abs() * off).amax(1), (both - guided * coarse).abs().amax(1)
    shares = {"zero": off.float().mean(1), "outside": outside / largest, "error": error / largest}
    yield batch.rows(shares)


class GatedNetwork(nn.Module):
    """A linear model of the pixels plus a branch with weights that a gate of 0 switches off."""

    def __init__(self, seed: int, size: int = 24) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * size * size, 5)
        self.branch = nn.Conv2d(3, 8, 3)
        self.head = nn.Linear(8, 5)
        self.gate = 0.0
        source = generator(seed, "gated")
        for value in self.parameters():
            value.data = torch.randn(value.shape, generator=source) / value[0].numel() ** 0.5

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs ``(N, 3, H, W)`` to logits ``(N, 5)``."""
        inner = torch.relu(self.branch(inputs)).mean((2, 3))
        logits: Tensor = self.linear(inputs.flatten(1)) + self.gate * self.head(inner)
        return logits


@table("gated-layer", smoke={"networks": 3}, quick={"networks": 10}, full={"networks": 50})
def gated_layer(networks: int = 10, seed: int = 0) -> Iterator[dict[str, Any]]:
    """A layer that does not matter is redrawn: does a correct explanation change?

    Args:
        networks: small random networks.
        seed: of networks, images and redrawn weights.

    Yields:
        One row a network, gate and method.
    """
    size, layers = 24, (Stage("branch", ("branch",)),)
    names = ("gradient", "gradient-x-input", "integrated-gradients")
    for number, gate in product(range(networks), (0.0, 1.0)):
        module = GatedNetwork(stable_seed(seed, number), size).eval().requires_grad_(False)
        module.gate = gate
        model = Explainable("gated", module, Preprocessing(size, size), layers)
        image = torch.randn(1, 3, size, size, generator=generator(seed, "image", number))
        target = model.predict(image)
        maps = partial(attribute, model, image, target, names, [0], Sampling(20), batch_size=20)
        before, logits = maps(), module(image)
        with RandomTwin(model, seed).redrawn(layers):
            after, changed = maps(), module(image)
        weights = module.linear.weight[target].view(1, 3, size, size)
        truth = {"gradient": weights.sum(1)}
        truth |= dict.fromkeys(names[1:], (weights * image).sum(1))
        for name in names:
            off = (before[name] - truth[name]).abs().max() / truth[name].abs().max()
            yield {
                "network": number, "gate": gate, "method": name,
                "ssim": float(Reference(before[name]).compare(after[name])["ssim"]),
                "logits": float((changed - logits).abs().max()),
                "error": float(off) if gate == 0 else float("nan"),
            }  # fmt: skip


@table(
    "ipr-kinds",
    smoke={"path_steps": 2, "lime_samples": 6, "max_images": 1},
    quick={"path_steps": 2, "lime_samples": 10, "max_images": 1},
    full={"max_images": 1},
)
def ipr_kinds(
    batch: Batch, path_steps: int = 50, lime_samples: int = SAMPLES
) -> Iterator[pd.DataFrame]:
    """How each method makes its map of one image: by gradients, or by perturbing the input.

    Args:
        batch: images.
        path_steps: points of integrated gradients.
        lime_samples: masked copies of an image in LIME.
    """
    model, sampling = batch.model, Sampling(path_steps)
    seen: list[tuple[int, bool]] = []

    def note(_module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        seen.append((len(arguments[0]), bool(arguments[0].requires_grad)))

    plain = None
    for name in defined(model, [*sized(METHODS, lime_samples), "captum-guided-backprop"]):
        seen.clear()
        with model.module.register_forward_pre_hook(note):
            maps = batch.maps([name], batch.seed, "base", sampling=sampling)[name]
        plain = maps if plain is None else plain
        flat = maps.flatten(1)
        values = {
            "deviation": flat.std(1) / flat.abs().amax(1).clamp_min(1e-30),
            "like_gradient": pearson(plain, maps),
        }
        yield batch.rows(
            values, method=name.partition("@")[0], backward=any(needed for _, needed in seen),
            inputs=sum(count for count, _ in seen) / len(batch.names),
            same_as_gradient=bool(torch.equal(plain, maps)),
        )  # fmt: skip
