"""The parts that are measured: bare passes, this library and Quantus, each doing one test.

A part is prepared once and then run again and again. What it prepares (model, images in the
model's input space, targets) is not timed.
"""

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
import torch

from sanitygap.attribution import attribute
from sanitygap.faithfulness import occlusion_curves
from sanitygap.images import ImageSet, load_images
from sanitygap.models import Explainable, Stage, load_model
from sanitygap.randomization import RandomTwin, Step, steps
from sanitygap.similarity import pearson, ranks, spearman
from sanitygap.table import Batch, Context
from sanitygap.table import Part as TablePart
from sanitygap.tables import TABLES

MODEL = "squeezenet1_1"
METHOD = "gradient"
PATCH = 15
SEED = 0

#: images in a batch of Quantus, if it is not told otherwise
QUANTUS_BATCH = 64


@dataclass(frozen=True)
class Setting:
    """What the parts are given.

    Attributes:
        images: image spec.
        n: how many images.
        stages: stages of the randomisation test, evenly spread; all of them if None.
        regions: patches replaced in the occlusion test.
        threads: threads of a pass.
    """

    images: str = "photos"
    n: int = 10
    stages: int | None = None
    regions: int = 30
    threads: int = 2


class Workload:
    """Model, images and steps that all parts share."""

    def __init__(self, setting: Setting) -> None:
        torch.set_num_threads(setting.threads)
        self.setting = setting
        self.context = Context(self._load_model, self._load_images, SEED)
        self.batches = [self.context.batch(chunk) for chunk in self.context.positions()]

    @property
    def model(self) -> Explainable:
        """The network; each of its parametrised modules is a stage, as in Quantus."""
        return self.context.model

    @cached_property
    def steps(self) -> list[Step]:
        """The steps of the randomisation test, from the output to the input."""
        return steps(self.model.stages, "top-down", self.setting.stages)

    @property
    def precise(self) -> Explainable:
        """The network in double precision.

        Single precision rounds differently in different memory layouts, which now and then flips
        a ReLU or the maximum of a pooling window, and so a visible part of a gradient.
        """
        return replace(self.model, module=copy.deepcopy(self.model.module).double())

    @property
    def precise_batches(self) -> list[Batch]:
        """The batches in double precision."""
        return [replace(batch, inputs=batch.inputs.double()) for batch in self.batches]

    @cached_property
    def inputs(self) -> np.ndarray:
        """All images, float32, ``(N, 3, H, W)``, in the layout that NumPy users have."""
        return torch.cat([batch.inputs for batch in self.batches]).contiguous().numpy()

    @cached_property
    def targets(self) -> np.ndarray:
        """The explained class of each image, int64, ``(N,)``."""
        return torch.cat([batch.targets for batch in self.batches]).numpy()

    def _load_model(self) -> Explainable:
        model = load_model(MODEL)
        modules = [name for stage in model.stages for name in reversed(stage.modules)]
        return replace(model, stages=tuple(Stage(name, (name,)) for name in modules))

    def _load_images(self) -> ImageSet:
        return load_images(self.setting.images, self.setting.n)


@dataclass(frozen=True)
class Part:
    """One way to do one of the two tests.

    Attributes:
        module: the network that it uses; passes through it are counted.
        run: the timed work; returns its scores.
        maps: attribution maps of the trained network, float64, ``(N, H, W)``; not timed.
        notes: name -> what else is checked about the part; not timed.
    """

    module: torch.nn.Module
    run: Callable[[], np.ndarray]
    maps: Callable[[], np.ndarray]
    notes: Callable[[], dict[str, Any]] = dict


@dataclass(frozen=True)
class Outcome:
    """What a part did in one run, for the check that all parts did the same work.

    Attributes:
        scores: similarities ``(steps, N)`` of the randomisation test, probability lost with each
            region ``(N, regions)`` of the occlusion test; NaN for the bare passes.
        maps: attribution maps of the trained network, float64, ``(N, H, W)``.
        passes: images that went through the network, over N.
        notes: what else the part says of itself.
    """

    scores: np.ndarray
    maps: np.ndarray
    passes: float
    notes: dict[str, Any]


Build = Callable[[Workload], Part]

#: test -> part -> how it is prepared, in the order in which the parts take turns
PARTS: dict[str, dict[str, Build]] = {"randomization": {}, "occlusion": {}}

BARE = "bare passes"
OURS = "sanitygap"
EXPERIMENT = "sanitygap, experiment"
QUANTUS = "Quantus"
TUNED = "Quantus, tuned"


def part(test: str, name: str) -> Callable[[Build], Build]:
    """Register a part of a test."""

    def register(build: Build) -> Build:
        PARTS[test][name] = build
        return build

    return register


def names(test: str, setting: Setting) -> list[str]:
    """The parts of a test that can run: Quantus where it is installed and all stages are asked for.

    Quantus cannot be told to randomise fewer stages.
    """
    chosen = list(PARTS[test])
    if find_spec("quantus") is None or setting.stages is not None:
        chosen = [name for name in chosen if name not in (QUANTUS, TUNED)]
    return chosen


def counted(built: Part) -> tuple[np.ndarray, int]:
    """The scores of one run, and how many images went through the network in it."""
    seen: list[int] = []

    # a plain function: copies of the network that Quantus makes then count into the same list
    def count(_module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(len(inputs[0]))

    handle = built.module.register_forward_pre_hook(count)
    try:
        scores = built.run()
        return scores, sum(seen)
    finally:
        handle.remove()


def _gradients(module: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """A forward and a backward pass, written out so that the yardstick is not the library's."""
    leaf = batch.inputs.detach().requires_grad_()
    chosen = module(leaf).gather(1, batch.targets[:, None])
    return torch.autograd.grad(chosen.sum(), leaf)[0]


def _bare_maps(work: Workload) -> np.ndarray:
    module = work.precise.module
    maps = [_gradients(module, batch).sum(1) for batch in work.precise_batches]
    return torch.cat(maps).numpy()


@part("randomization", BARE)
def bare_randomization(work: Workload) -> Part:
    """A forward and a backward pass for the base maps and for each step, nothing else."""
    count = len(work.steps)

    def run() -> np.ndarray:
        for batch in work.batches:
            for _ in range(1 + count):
                _gradients(work.model.module, batch)
        return np.full((count, len(work.targets)), np.nan)

    return Part(work.model.module, run, lambda: _bare_maps(work))


@part("occlusion", BARE)
def bare_occlusion(work: Workload) -> Part:
    """A forward and a backward pass for the maps, a forward pass for each state, nothing else."""
    count = work.setting.regions + 1

    def run() -> np.ndarray:
        for batch in work.batches:
            _gradients(work.model.module, batch)
            with torch.no_grad():
                for _ in range(count):
                    work.model.module(batch.inputs)
        return np.full((len(work.targets), work.setting.regions), np.nan)

    return Part(work.model.module, run, lambda: _bare_maps(work))


def _drops(softmax: np.ndarray) -> np.ndarray:
    """Probability lost with each replaced region, ``(N, regions)``, as Quantus reports it."""
    return softmax[:, :1] - softmax[:, 1:]


def _our_maps(model: Explainable, batch: Batch) -> torch.Tensor:
    keys = batch.seeds(SEED, "base")
    return attribute(model, batch.inputs, batch.targets, [METHOD], keys)[METHOD]


def _all_our_maps(work: Workload) -> np.ndarray:
    model = work.precise
    return torch.cat([_our_maps(model, batch) for batch in work.precise_batches]).numpy()


@part("randomization", OURS)
def our_randomization(work: Workload) -> Part:
    """The library used for what Quantus does: Spearman's correlation of signed maps."""

    def run() -> np.ndarray:
        twin = RandomTwin(work.model, SEED)
        columns = []
        for batch in work.batches:
            base = ranks(_our_maps(work.model, batch))
            rows = []
            for step in work.steps:
                with twin.redrawn(step.stages):
                    changed = _our_maps(work.model, batch)
                rows.append(pearson(base, ranks(changed)))
            columns.append(torch.stack(rows))
        return torch.cat(columns, dim=1).numpy()

    return Part(
        work.model.module,
        run,
        lambda: _all_our_maps(work),
        lambda: {"stages": [step.name for step in work.steps]},
    )


@part("occlusion", OURS)
def our_occlusion(work: Workload) -> Part:
    """The library used for what Quantus does: maps, then the targets' probabilities."""

    def run() -> np.ndarray:
        curves = []
        for batch in work.batches:
            maps = _our_maps(work.model, batch)
            inputs, targets = batch.inputs, batch.targets
            curves.append(
                occlusion_curves(work.model, inputs, targets, maps, PATCH, work.setting.regions)
            )
        return _drops(torch.cat([curve.softmax for curve in curves]).numpy())

    return Part(work.model.module, run, lambda: _all_our_maps(work))


def _table(chunks: Iterable[TablePart]) -> pd.DataFrame:
    return pd.concat([chunk.compute() for chunk in chunks], ignore_index=True)


@part("randomization", EXPERIMENT)
def randomization_experiment(work: Workload) -> Part:
    """The experiment as the book runs it: all similarities, signed and absolute maps, logits.

    It also decodes the images and predicts their targets.
    """

    def run() -> np.ndarray:
        table = _table(
            TABLES["randomization"].parts(
                work.context, methods=[METHOD], n_steps=work.setting.stages
            )
        )
        signed = table[table.sign == "signed"]
        return signed.pivot(index="step", columns="position", values="spearman").to_numpy()

    return Part(work.model.module, run, lambda: _all_our_maps(work))


@part("occlusion", EXPERIMENT)
def occlusion_experiment(work: Workload) -> Part:
    """The experiment as the book runs it; it also decodes the images and predicts targets."""

    def run() -> np.ndarray:
        regions = work.setting.regions
        table = _table(
            TABLES["occlusion"].parts(
                work.context, methods=[METHOD], patches=[PATCH], regions=regions, rank_by=["signed"]
            )
        )
        softmax = table.pivot(index="position", columns="regions", values="softmax").to_numpy()
        return _drops(softmax)

    return Part(work.model.module, run, lambda: _all_our_maps(work))


@contextmanager
def _silence() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True)
class Peer:
    """Quantus with a network and a batch size.

    Normalising and taking absolute values, which it does if not told otherwise, is switched off:
    the other parts do neither. So are its warnings.
    """

    work: Workload
    module: torch.nn.Module
    batch_size: int

    OPTIONS = {"abs": False, "normalise": False, "disable_warnings": True}

    def scores(self, metric: Any) -> Any:
        """What a metric says of all images; it makes the maps that it needs."""
        import quantus

        with _silence():
            return metric(
                model=self.module,
                x_batch=self.work.inputs,
                y_batch=self.work.targets,
                explain_func=quantus.explain,
                explain_func_kwargs={"method": "Gradient"},
                batch_size=self.batch_size,
                device="cpu",
            )

    def maps(self) -> np.ndarray:
        """The maps that Quantus makes for the trained network, float64, ``(N, H, W)``."""
        import quantus

        module = copy.deepcopy(self.module).double()
        with _silence():
            maps = [
                quantus.explain(module, batch.inputs, batch.targets, method="Gradient")
                for batch in self.work.precise_batches
            ]
        return np.concatenate(maps)[:, 0]

    def randomization(self) -> Part:
        """Its model parameter randomisation test with Spearman's correlation."""
        import quantus

        last: dict[str, list[float]] = {}

        def run() -> np.ndarray:
            last.clear()
            last.update(self.scores(quantus.MPRT(**self.OPTIONS)))
            return np.array([last[name] for name in last if name != "original"])

        def notes() -> dict[str, Any]:
            maps = torch.from_numpy(self.maps())
            flipped = maps.flip(2)
            theirs = quantus.similarity_func.correlation_spearman(
                maps.flatten(1).numpy(), flipped.flatten(1).numpy(), batched=True
            )
            difference = np.abs(theirs - spearman(maps, flipped).numpy()).max()
            return {
                "stages": [name for name in last if name != "original"],
                "original": last["original"],
                "spearman_difference": float(difference),
            }

        return Part(self.module, run, self.maps, notes)

    def occlusion(self) -> Part:
        """Its region perturbation; patches become zero, the mean colour, the cheapest choice."""
        import quantus

        def run() -> np.ndarray:
            metric = quantus.RegionPerturbation(
                patch_size=PATCH,
                regions_evaluation=self.work.setting.regions,
                perturb_baseline=0.0,
                **self.OPTIONS,
            )
            return np.array(self.scores(metric))

        return Part(self.module, run, self.maps)


def _plain_peer(work: Workload) -> Peer:
    """Quantus as a person meets it: torch's default memory layout, its own batch size."""
    module = copy.deepcopy(work.model.module).to(memory_format=torch.contiguous_format)
    return Peer(work, module, QUANTUS_BATCH)


def _tuned_peer(work: Workload) -> Peer:
    """Quantus given what makes our passes fast: channels-last weights and our batches."""
    return Peer(work, work.model.module, work.context.batch_size)


@part("randomization", QUANTUS)
def quantus_randomization(work: Workload) -> Part:
    """Quantus, default memory layout and batch size."""
    return _plain_peer(work).randomization()


@part("randomization", TUNED)
def tuned_quantus_randomization(work: Workload) -> Part:
    """Quantus, channels-last and small batches."""
    return _tuned_peer(work).randomization()


@part("occlusion", QUANTUS)
def quantus_occlusion(work: Workload) -> Part:
    """Quantus, default memory layout and batch size."""
    return _plain_peer(work).occlusion()


@part("occlusion", TUNED)
def tuned_quantus_occlusion(work: Workload) -> Part:
    """Quantus, channels-last and small batches."""
    return _tuned_peer(work).occlusion()
