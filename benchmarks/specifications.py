"""Processor time of the tables of specifications over that of the bare passes they need.

    python benchmarks/specifications.py [--model squeezenet1_1] [-n 4] [--rounds 5] [--every 10]

The bare passes are: every method's maps once for the trained network and once for each redrawn one,
and one forward pass for every occluded image, counted by a hook. All that a table adds, such as
four reductions, rankings, blurs, seven kinds of similarity and rows, is on top. Parts take turns;
the ratio is that of the same round.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from sanitygap.attribution import Sampling, unpooled
from sanitygap.specifications import METHODS
from sanitygap.files import write_atomically
from sanitygap.images import load_images
from sanitygap.models import load_model
from sanitygap.provenance import processor
from sanitygap.randomization import RandomTwin, steps
from sanitygap.table import Context
from sanitygap.tables import TABLES

STEPS = 3
POINTS = 50


def seconds(work: Callable[[], Any]) -> float:
    """Processor time of a call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main(
    model: Annotated[str, typer.Option(help="Model spec.")] = "squeezenet1_1",
    images: Annotated[str, typer.Option(help="Image spec.")] = "photos",
    n: Annotated[int, typer.Option("-n", min=1, max=10, help="Images.")] = 4,
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds.")] = 5,
    every: Annotated[int, typer.Option(min=1, help="Occluded states: every that many.")] = 10,
    out: Annotated[Path, typer.Option(help="JSON file.")] = Path(
        "_build/benchmark-specifications.json"
    ),
) -> None:
    """Measure both tables in turn with their bare passes."""
    torch.set_num_threads(1)
    context = Context(lambda: load_model(model), lambda: load_images(images, n), 0)
    network, batch = context.model, context.batch(range(n))
    keys = batch.seeds(0, "base")
    chosen = steps(network.stages, "top-down", STEPS)
    twin = RandomTwin(network, 0)

    def maps() -> None:
        unpooled(network, batch.inputs, batch.targets, METHODS, keys, Sampling(POINTS))

    def table(name: str, **parameters: Any) -> None:
        fresh = Context(lambda: network, lambda: context.images, 0)  # no map is left from before
        TABLES[name].parts(fresh, path_steps=POINTS, **parameters)[0].compute()

    def occluded() -> None:
        table("occlusion-specifications", every=every, level_images=n)

    def redrawn() -> None:
        table("randomization-specifications", n_steps=STEPS, seeds=(0,))

    states = forward_passes(network.module, occluded) - forward_passes(network.module, maps)

    def bare_occluded() -> None:
        maps()
        with torch.no_grad():
            for _ in range(round(states / n)):
                network.module(batch.inputs)

    def bare_redrawn() -> None:
        maps()
        for step in chosen:
            with twin.redrawn(step.stages):
                maps()

    ratios: dict[str, list[float]] = {"occlusion": [], "randomization": []}
    for _ in range(rounds):
        ratios["occlusion"].append(seconds(occluded) / seconds(bare_occluded))
        ratios["randomization"].append(seconds(redrawn) / seconds(bare_redrawn))
    for name, values in ratios.items():
        low, middle, high = np.quantile(values, (0, 0.5, 1))
        print(f"{name}: {middle:.2f} [{low:.2f}, {high:.2f}] times the bare passes")
    facts = {
        "model": model, "images": n, "rounds": rounds, "every": every, "steps": STEPS,
        "path_steps": POINTS, "occluded_images": states, "processor": processor(),
        "ratios": ratios,
    }  # fmt: skip
    write_atomically(out, json.dumps(facts, indent=1))


def forward_passes(module: torch.nn.Module, work: Callable[[], Any]) -> int:
    """How many inputs went through a module during a call."""
    count = 0

    def add(_module: object, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal count
        count += len(inputs[0])

    handle = module.register_forward_pre_hook(add)
    try:
        work()
    finally:
        handle.remove()
    return count


if __name__ == "__main__":
    typer.run(main)
