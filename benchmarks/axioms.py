"""Accepted features an hour: one sample at a time as the authors do it, against many at once.

All ways use the same network, machine, thresholds, and sample numbers from the same one on. The
original way optimises the logit with the authors' numbers, one sample after the other, and accepts
the first step whose own draw meets the thresholds. Ours accepts what meets them on 61 of 64
fresh draws; it is also run with the authors' acceptance. It gets more samples, so that all ways
take about as long. Samples that are given up cost their time and count for nothing. Processor time
is reported beside wall time, for busy machines. Numbers begin at 100: those before it were used for
tuning.

    python benchmarks/axioms.py --model squeezenet1_1 --scenario single -n 3 --threads 1
"""

import argparse
import json
import platform
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from sanitygap.axioms.generate import Generation
from sanitygap.axioms.recipes import ORIGINAL, Recipe
from sanitygap.axioms.samples import Sample, outputs
from sanitygap.axioms.scenarios import Scenario, find_scenario, holds
from sanitygap.models import Explainable, load_model

SEED = 0

#: fresh backgrounds and positions on which accepted samples are measured again
DRAWS = 10


WAYS = {
    "original": ORIGINAL,
    "batched": Recipe(),
    "batched, accepted as by the authors": Recipe(confirmations=0, average=0.0, patience=1, rest=1),
}


@dataclass(frozen=True)
class Outcome:
    """What one way made.

    Attributes:
        way: its name.
        attempts, accepted: samples.
        at_once: those that were given up before the first step.
        wall, cpu: seconds.
        steps: mean number of steps.
        per_step: processor seconds of a step of one sample.
        accepted_per_hour: of processor time.
        fresh: share of fresh draws on which accepted samples hold; None without any.
        holding_per_hour: of processor time, accepted samples that hold on most of the fresh draws.
    """

    way: str
    attempts: int
    accepted: int
    at_once: int
    wall: float
    cpu: float
    steps: float
    per_step: float
    accepted_per_hour: float
    fresh: float | None
    holding_per_hour: float


def measure(
    model: Explainable, scenario: Scenario, way: str, recipe: Recipe, numbers: range
) -> Outcome:
    """Generate samples and time it."""
    wall, cpu = time.perf_counter(), time.process_time()
    made = Generation(model, scenario, numbers, recipe, SEED).run(progress=True)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    accepted = [sample for sample in made if sample.accepted]
    steps = sum(sample.steps for sample in made)
    begun = sum(sample.steps > 0 for sample in made)
    fresh = [fresh_share(model, scenario, sample) for sample in accepted]
    return Outcome(
        way, len(made), len(accepted), len(made) - begun, wall, cpu, steps / max(1, begun),
        cpu / max(1, steps), 3600 * len(accepted) / cpu, sum(fresh) / len(fresh) if fresh else None,
        3600 * sum(share > 0.5 for share in fresh) / cpu,
    )  # fmt: skip


def fresh_share(model: Explainable, scenario: Scenario, sample: Sample) -> float:
    """Share of fresh draws on which all thresholds are met."""
    size = model.preprocessing.size
    places = [sample.place(size, SEED, ("fresh", draw)) for draw in range(DRAWS)]
    found = outputs(model, scenario, sample.pixels.to(model.device), sample.classes, places)
    return float(holds(scenario, *found).float().mean())


def main() -> None:
    """Measure both ways and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="squeezenet1_1")
    parser.add_argument("--scenario", default="single")
    parser.add_argument("-n", type=int, default=3, help="samples by the original way")
    parser.add_argument("--batched-n", type=int, default=24, help="samples by ours")
    parser.add_argument("--way", action="append", choices=list(WAYS), help="all by default")
    parser.add_argument("--first", type=int, default=100, help="number of the first sample")
    parser.add_argument("--max-steps", type=int, default=Recipe.max_steps, help="of our ways")
    parser.add_argument("--original-steps", type=int, default=1500, help="of the original way")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("_build/benchmark-axioms.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, scenario = load_model(options.model, options.device), find_scenario(options.scenario)
    found = []
    for way in options.way or WAYS:
        original = WAYS[way] is ORIGINAL
        count = options.n if original else options.batched_n
        numbers = range(options.first, options.first + count)
        steps = options.original_steps if original else options.max_steps
        recipe = replace(WAYS[way], max_steps=steps)
        outcome = measure(model, scenario, way, recipe, numbers)
        found.append(outcome)
        fresh = "" if outcome.fresh is None else f", {outcome.fresh:.0%} of fresh draws hold"
        print(
            f"{outcome.way}: {outcome.accepted} of {outcome.attempts} accepted "
            f"({outcome.at_once} given up at once), {outcome.steps:.0f} steps a sample begun, "
            f"{outcome.cpu:.0f} s of processor time ({outcome.per_step:.3f} s a step), "
            f"{outcome.accepted_per_hour:.0f} accepted an hour{fresh}, "
            f"{outcome.holding_per_hour:.0f} an hour that hold on most of them",
            flush=True,
        )
    settings = {name: str(value) for name, value in vars(options).items()}
    about = {"settings": settings, "processor": platform.processor(), "torch": torch.__version__}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(about | {"outcomes": [asdict(outcome) for outcome in found]}, indent=1)
    options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
