"""Accepted features an hour: one sample at a time as the authors do it, against many at once.

Both ways use the same network, machine, thresholds and classes. The original way optimises the
logit with the authors' numbers, one sample after the other. Samples that are given up cost their
time and count for nothing. Processor time is reported beside wall time, for busy machines.

    python benchmarks/axioms.py --model squeezenet1_1 --scenario null -n 4 --threads 1
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


@dataclass(frozen=True)
class Outcome:
    """What one way made.

    Attributes:
        way: its name.
        attempts, accepted: samples.
        wall, cpu: seconds.
        steps: mean number of steps.
        per_step: processor seconds of a step of one sample.
        accepted_per_hour: of processor time.
        fresh: share of fresh draws on which accepted samples hold; None without any.
    """

    way: str
    attempts: int
    accepted: int
    wall: float
    cpu: float
    steps: float
    per_step: float
    accepted_per_hour: float
    fresh: float | None


def measure(model: Explainable, scenario: Scenario, way: str, recipe: Recipe, n: int) -> Outcome:
    """Generate ``n`` samples and time it."""
    wall, cpu = time.perf_counter(), time.process_time()
    made = Generation(model, scenario, range(n), recipe, SEED).run(progress=True)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    accepted = [sample for sample in made if sample.accepted]
    steps = sum(sample.steps for sample in made)
    return Outcome(
        way, n, len(accepted), wall, cpu, steps / n, cpu / steps, 3600 * len(accepted) / cpu,
        fresh_share(model, scenario, accepted),
    )  # fmt: skip


def fresh_share(model: Explainable, scenario: Scenario, samples: list[Sample]) -> float | None:
    """Share of fresh draws on which all thresholds are met."""
    if not samples:
        return None
    size, shares = model.preprocessing.size, []
    for sample in samples:
        places = [sample.place(size, SEED, ("fresh", draw)) for draw in range(DRAWS)]
        pixels = sample.pixels.to(model.device)
        found = outputs(model, scenario, pixels, sample.classes, places)
        shares.append(float(holds(scenario, *found).float().mean()))
    return sum(shares) / len(shares)


def main() -> None:
    """Measure both ways and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="squeezenet1_1")
    parser.add_argument("--scenario", default="null")
    parser.add_argument("-n", type=int, default=4, help="samples by each way")
    parser.add_argument("--max-steps", type=int, default=400, help="of the batched way")
    parser.add_argument("--original-steps", type=int, default=1500, help="of the original way")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("_build/benchmark-axioms.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, scenario = load_model(options.model, options.device), find_scenario(options.scenario)
    ways = {
        "one at a time, original": replace(ORIGINAL, max_steps=options.original_steps),
        "one at a time, our terms": Recipe(at_once=1, max_steps=options.max_steps),
        "batched": Recipe(max_steps=options.max_steps),
    }
    found = [measure(model, scenario, way, recipe, options.n) for way, recipe in ways.items()]
    for outcome in found:
        fresh = "" if outcome.fresh is None else f", {outcome.fresh:.0%} of fresh draws hold"
        print(
            f"{outcome.way}: {outcome.accepted} of {outcome.attempts} accepted after "
            f"{outcome.steps:.0f} steps, {outcome.cpu:.0f} s of processor time "
            f"({outcome.per_step:.3f} s a step), {outcome.accepted_per_hour:.0f} an hour{fresh}"
        )
    settings = {name: str(value) for name, value in vars(options).items()}
    about = {"settings": settings, "processor": platform.processor(), "torch": torch.__version__}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(about | {"outcomes": [asdict(outcome) for outcome in found]}, indent=1)
    options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
