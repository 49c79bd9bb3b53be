"""The extended test of Sriram and Conati (2022): one layer at a time, and what it rests on."""

import time
from collections.abc import Iterator, Sequence

import pandas as pd
import torch

from sanitygap.attribution import Sampling
from sanitygap.attribution.applicable import families
from sanitygap.attribution.surrogate import SAMPLES, SURROGATES
from sanitygap.experiments.randomization_test import compare_with_random
from sanitygap.experiments.retest import retest
from sanitygap.models.explainable import Explainable
from sanitygap.models.stages import LAYERS, network_name, with_schedule
from sanitygap.randomization import RandomTwin, steps
from sanitygap.sensitivity.scores import METHODS
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
