"""One generated input: what is kept of it, and what the network makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sanitygap.axioms.placement import Place, composed, draw_place, to_inputs
from sanitygap.axioms.scenarios import SCENARIOS, Scenario
from sanitygap.models.explainable import Explainable
from sanitygap.seeds import generator

#: images in one pass; small batches are fastest on a CPU
BATCH = 12


@dataclass(frozen=True)
class Sample:
    """One generated input: patches and the outputs they are about.

    Attributes:
        scenario: its name.
        number: of the sample.
        classes: outputs a and b.
        patches: RGB values, uint8, ``(patches, 3, side, side)``.
        accepted: whether all thresholds were met; else this is what was there at the last step.
        steps: of the optimisation; 0 for a sample that was given up before it.
        seconds: processor time of the optimisation, shared evenly among the samples beside it.
    """

    scenario: str
    number: int
    classes: tuple[int, int]
    patches: torch.Tensor
    accepted: bool
    steps: int
    seconds: float

    @property
    def pixels(self) -> torch.Tensor:
        """The patches as RGB values in [0, 1]."""
        return self.patches.float() / 255

    def place(self, size: int, seed: int, draw: object, background: str = "noise") -> Place:
        """A background and positions for this sample; the same for the same draw."""
        known = SCENARIOS.get(self.scenario)
        return draw_place(
            size, len(self.patches), seed, self.scenario, self.number, draw,
            background=background, offset=known.offset if known else None,
        )  # fmt: skip


def draw_classes(count: int, *seed: object) -> tuple[int, int]:
    """Output a from the first half of the classes, b from the second, as the authors draw them."""
    source = generator(*seed, "classes")
    half = count // 2
    first = torch.randint(0, half, (1,), generator=source)
    second = torch.randint(half, count, (1,), generator=source)
    return int(first), int(second)


def quantised(patches: torch.Tensor) -> torch.Tensor:
    """RGB values in [0, 1] as uint8, the form in which they are kept."""
    return (255 * patches.detach()).round().to(torch.uint8).cpu()


@torch.no_grad()
def logits_of(model: Explainable, images: Sequence[torch.Tensor]) -> torch.Tensor:
    """Logits ``(N, C)`` of pictures, RGB values ``(3, size, size)`` in [0, 1], without slopes."""
    parts = [torch.stack(list(images[i : i + BATCH])) for i in range(0, len(images), BATCH)]
    inputs = [to_inputs(model.preprocessing, part.to(model.device)) for part in parts]
    return torch.cat([model.module(part) for part in inputs])


def outputs(
    model: Explainable,
    scenario: Scenario,
    patches: torch.Tensor,
    classes: Sequence[int],
    places: Sequence[Place],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs a and b for every coalition of one sample's patches.

    Args:
        model: the network.
        scenario: of the sample.
        patches: RGB values in [0, 1], ``(patches, 3, side, side)``.
        classes: outputs a and b.
        places: backgrounds and positions.

    Returns:
        Logits and softmax, float32 on the CPU, ``(places, coalitions, 2)``.
    """
    images = [
        composed(place, patches, scenario.members(coalition))
        for place in places
        for coalition in scenario.coalitions
    ]
    logits = logits_of(model, images).float().cpu()
    shape = (len(places), len(scenario.coalitions), 2)
    chosen = list(classes)
    return logits[:, chosen].view(shape), logits.softmax(1)[:, chosen].view(shape)
