"""Features that the network generates itself, many samples at once (Khakzar et al. 2022, Sec. 3).

Samples are numbered. Every draw for a sample is keyed by its number, so a sample does not depend
on which others are optimised beside it, up to rounding. A sample that is accepted or given up
makes room for the next one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from tqdm import tqdm

from sanitygap.axioms import balance
from sanitygap.axioms.placement import (
    Place,
    composed,
    draw_place,
    patch_size,
    slopes_of_pixels,
    to_inputs,
)
from sanitygap.axioms.prior import PRIORS
from sanitygap.axioms.recipes import Recipe
from sanitygap.axioms.scenarios import NONE, Constraint, Goal, Scenario, keys
from sanitygap.models.explainable import Explainable
from sanitygap.seeds import generator

#: images in one pass; small batches are fastest on a CPU
BATCH = 12

#: average softmax, and one minus the average relative change, of a sample that is worth a look
HOPEFUL = 0.75


@dataclass(frozen=True)
class Sample:
    """One generated input: patches and the outputs they are about.

    Attributes:
        scenario: its name.
        number: of the sample.
        classes: outputs a and b.
        patches: RGB values, uint8, ``(patches, 3, side, side)``.
        accepted: whether all thresholds were met; else this is what was there at the last step.
        steps: of the optimisation.
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
        return draw_place(
            size, len(self.patches), seed, self.scenario, self.number, draw, background=background
        )


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
    images = torch.stack(
        [
            composed(place, patches, scenario.members(coalition))
            for place in places
            for coalition in scenario.coalitions
        ]
    ).to(model.device)
    found = [
        model.module(to_inputs(model.preprocessing, part)).float().cpu()
        for part in images.split(BATCH)
    ]
    logits = torch.cat(found)
    shape = (len(places), len(scenario.coalitions), 2)
    chosen = list(classes)
    return logits[:, chosen].view(shape), logits.softmax(1)[:, chosen].view(shape)


@dataclass
class _Slot:
    """A sample in the making."""

    number: int
    classes: tuple[int, int]
    goals: torch.Tensor
    constraints: torch.Tensor
    step: int = 0
    warm: bool = True
    cooling: int = 0
    averaged: torch.Tensor | None = None


@dataclass(frozen=True)
class Look:
    """What is seen of a sample at a step.

    Attributes:
        number, step: which one, when.
        patches: RGB values in [0, 1].
        softmax: of each goal.
        change: relative change of each constraint; empty during the warm-up.
    """

    number: int
    step: int
    patches: torch.Tensor
    softmax: tuple[float, ...]
    change: tuple[float, ...]


class Generation:
    """The optimisation of some samples of one scenario.

    Args:
        model: the network; its parameters stay as they are.
        scenario: what the patches have to do.
        numbers: of the samples.
        recipe: numbers of the optimisation.
        seed: of every draw.
        watch: called for every sample at every step.
    """

    def __init__(
        self,
        model: Explainable,
        scenario: Scenario,
        numbers: Sequence[int],
        recipe: Recipe,
        seed: int,
        watch: Callable[[Look], None] | None = None,
    ) -> None:
        self.model, self.scenario, self.recipe, self.seed = model, scenario, recipe, seed
        self.watch = watch
        self.size = model.preprocessing.size
        self.waiting = list(numbers)
        self.total = len(self.waiting)
        with torch.no_grad():
            blank = torch.zeros(1, 3, self.size, self.size, device=model.device)
            self.outputs = model.module(blank).shape[1]
        first = [self.waiting.pop(0) for _ in range(min(recipe.at_once, self.total))]
        self.slots: list[_Slot | None] = [self._slot(number) for number in first]
        seeds = [(seed, scenario.name, n, p) for n in first for p in range(scenario.patches)]
        self.prior = PRIORS[recipe.prior](patch_size(self.size), seeds, model.device)
        self.optimizer = torch.optim.RMSprop(self.prior.parameters, lr=recipe.learning_rate)

    def _slot(self, number: int) -> _Slot:
        goals, rules = len(self.scenario.goals), len(self.scenario.constraints)
        return _Slot(
            number,
            draw_classes(self.outputs, self.seed, self.scenario.name, number),
            torch.full((goals,), balance.START),
            torch.full((rules,), balance.START),
        )

    def run(self, progress: bool = False) -> list[Sample]:
        """Optimise until every sample is accepted or given up; in the order of their numbers."""
        done: list[Sample] = []
        label = f"{self.scenario.name} features"
        with tqdm(total=self.total, desc=label, unit="sample", disable=not progress) as bar:
            started = time.process_time()
            while any(self.slots):
                finished = self.advance()
                done += finished
                bar.update(len(finished))
            seconds = (time.process_time() - started) / max(1, self.total)
        return sorted(
            (replace(sample, seconds=seconds) for sample in done), key=lambda made: made.number
        )

    def advance(self) -> list[Sample]:
        """One step of every sample; those that are finished by it."""
        patches = self.prior.patches()
        pixels = patches.detach().unflatten(0, (len(self.slots), self.scenario.patches))
        slopes = torch.zeros_like(pixels)
        active = [place for place, slot in enumerate(self.slots) if slot is not None]
        empty = self._empty_outputs(active)
        finished = []
        together = max(1, BATCH // (2 * self.scenario.patches))
        for start in range(0, len(active), together):
            group = active[start : start + together]
            for place, ready in self._slopes(group, pixels, slopes, empty):
                slot = self.slots[place]
                assert slot is not None
                slot.step += 1
                sample = self._finished(slot, pixels[place], ready)
                if sample is not None:
                    finished.append((place, sample))
        self.optimizer.zero_grad()
        torch.autograd.backward(patches, slopes.flatten(0, 1))
        self._step()
        for place, _ in finished:
            self._refill(place)
        return [sample for _, sample in finished]

    @torch.no_grad()
    def _step(self) -> None:
        """A step of RMSprop, smaller for the samples that are to settle."""
        factors = [
            1.0 if slot is None else 1 / (1 + slot.cooling / self.recipe.settle)
            for slot in self.slots
            for _ in range(self.scenario.patches)
        ]
        before = [tensor.clone() for tensor in self.prior.parameters]
        self.optimizer.step()
        for tensor, old in zip(self.prior.parameters, before, strict=True):
            shares = torch.tensor(factors).to(old).view(-1, *[1] * (old.ndim - 1))
            tensor.copy_(old + shares * (tensor - old))

    def _place(self, slot: _Slot) -> Place:
        draw = slot.step if self.recipe.moving else 0
        place = self._drawn(slot, slot.step)
        if draw != slot.step:
            place = Place(place.background, self._drawn(slot, draw).corners)
        return place

    def _drawn(self, slot: _Slot, draw: int) -> Place:
        where = (self.seed, self.scenario.name, slot.number, "step", draw)
        return draw_place(self.size, self.scenario.patches, *where)

    def _empty_outputs(self, active: Sequence[int]) -> dict[int, torch.Tensor]:
        """Logits of the bare backgrounds of this step, where a constraint compares with them."""
        slots = {place: self.slots[place] for place in active}
        self.places = {place: self._place(slot) for place, slot in slots.items() if slot}
        wanted = [place for place, slot in slots.items() if slot and not slot.warm]
        if not wanted or all(rule.without != NONE for rule in self.scenario.constraints):
            return {}
        images = torch.stack([self.places[place].background for place in wanted])
        with torch.no_grad():
            inputs = to_inputs(self.model.preprocessing, images.to(self.model.device))
            logits = torch.cat([self.model.module(part) for part in inputs.split(BATCH)])
        return dict(zip(wanted, logits, strict=True))

    def _rows(self, group: Sequence[int]) -> list[tuple[int, int, int]]:
        """What goes through the network: slot, coalition and the patch that may change."""
        rows: dict[tuple[int, int, int], None] = {}
        for place in group:
            slot = self.slots[place]
            assert slot is not None
            terms: list[Goal | Constraint] = [
                *self.scenario.goals,
                *(() if slot.warm else self.scenario.constraints),
            ]
            rows |= dict.fromkeys((place, term.coalition, term.patch) for term in terms)
        return list(rows)

    def _slopes(
        self,
        group: Sequence[int],
        pixels: torch.Tensor,
        slopes: torch.Tensor,
        empty: dict[int, torch.Tensor],
    ) -> list[tuple[int, bool]]:
        """Add the slopes of some samples' losses with respect to their patches.

        Returns:
            Slot and whether the thresholds were met on this step's own draw.
        """
        rows = self._rows(group)
        images = torch.stack(
            [
                composed(self.places[s], pixels[s], self.scenario.members(coalition))
                for s, coalition, _ in rows
            ]
        )
        leaf = to_inputs(self.model.preprocessing, images).requires_grad_()
        logits = self.model.module(leaf)
        where = {row: logits[number] for number, row in enumerate(rows)}
        loss = logits.new_zeros(())
        met = []
        for place in group:
            term, ready = self._loss(place, where, empty, pixels)
            loss = loss + term
            met.append((place, ready))
        gradient = torch.autograd.grad(loss, leaf)[0]
        gradient = slopes_of_pixels(self.model.preprocessing, gradient)
        side = pixels.shape[-1]
        for (place, _, patch), values in zip(rows, gradient, strict=True):
            row, column = self.places[place].corners[patch]
            slopes[place, patch] += values[:, row : row + side, column : column + side]
        return met

    def _loss(
        self,
        place: int,
        where: dict[tuple[int, int, int], torch.Tensor],
        empty: dict[int, torch.Tensor],
        pixels: torch.Tensor,
    ) -> tuple[torch.Tensor, bool]:
        slot, recipe = self.slots[place], self.recipe
        assert slot is not None
        seen = {coalition: row for (s, coalition, _), row in where.items() if s == place}
        if place in empty:
            seen[NONE] = empty[place]
        known = torch.stack(
            [
                seen[coalition].detach() if coalition in seen else next(iter(seen.values())) * 0
                for coalition in self.scenario.coalitions
            ]
        ).detach()
        chosen = list(slot.classes)
        reached, changed = keys(
            self.scenario, known[:, chosen].cpu(), known.softmax(1)[:, chosen].cpu()
        )
        slot.goals = balance.moving_average(slot.goals, reached)
        loss = known.new_zeros(())
        weights = balance.goal_weight(slot.goals, recipe.balance).tolist()
        for goal, weight in zip(self.scenario.goals, weights, strict=True):
            factor = recipe.warm_weight if slot.warm else recipe.goal_weight * weight
            row, output = where[place, goal.coalition, goal.patch], slot.classes[goal.output]
            if recipe.constant is None or slot.warm:
                values = row if recipe.objective == "logit" else row.log_softmax(0)
                loss = loss - factor * values[output]
            else:
                loss = loss + factor * (row.softmax(0)[output] - recipe.constant).square()
        ready = False
        if slot.warm:
            enough = bool((slot.goals > recipe.warm_enough).all())
            slot.warm = slot.step + 1 < recipe.warm_up and not enough
            changed = changed[:0]
        else:
            slot.cooling += 1
            slot.constraints = balance.moving_average(slot.constraints, changed)
            weights = balance.constraint_weight(slot.constraints, recipe.balance).tolist()
            for rule, weight in zip(self.scenario.constraints, weights, strict=True):
                output = slot.classes[rule.output]
                row = where[place, rule.coalition, rule.patch]
                change = row[output] - seen[rule.without][output].detach()
                bent = balance.bent_square(change, recipe.bend)
                loss = loss + recipe.constraint_weight * weight * bent
            ready = bool((reached > recipe.softmax).all() and (changed < recipe.change).all())
        if self.watch is not None:
            look = pixels[place].clone()
            found = tuple(reached.tolist()), tuple(changed.tolist())
            self.watch(Look(slot.number, slot.step, look, *found))
        return loss, ready

    def _finished(self, slot: _Slot, pixels: torch.Tensor, met: bool) -> Sample | None:
        """The sample, if it is accepted or its steps are used up."""
        recipe = self.recipe
        if slot.averaged is None:
            slot.averaged = pixels.clone()
        elif not slot.warm:
            slot.averaged.lerp_(pixels, 1 - recipe.average)
        patches = quantised(pixels if slot.warm else slot.averaged)
        accepted = False
        due = slot.step >= recipe.min_steps and slot.step % recipe.patience == 0 and not slot.warm
        # the averages of the keys are at hand; fresh passes are for samples that may make it
        near = bool((slot.goals > HOPEFUL).all() and (slot.constraints < 1 - HOPEFUL).all())
        if due and (met or (recipe.confirmations > 0 and near)):
            accepted = self._confirmed(slot, patches.to(pixels.device).float() / 255)
        if slot.warm:
            slot.averaged = None
        if not accepted and slot.step < recipe.max_steps:
            return None
        return Sample(
            self.scenario.name, slot.number, slot.classes, patches, accepted, slot.step, 0.0
        )

    def _confirmed(self, slot: _Slot, pixels: torch.Tensor) -> bool:
        """Whether the thresholds are met, on average, on fresh backgrounds and places."""
        recipe = self.recipe
        if not recipe.confirmations:
            return True
        first, total = -(-recipe.confirmations // 4), recipe.confirmations
        found: list[tuple[torch.Tensor, torch.Tensor]] = []
        for draws in (range(first), range(first, total)):
            where = (self.seed, self.scenario.name, slot.number, "confirmation", slot.step)
            places = [draw_place(self.size, self.scenario.patches, *where, d) for d in draws]
            if places:
                seen = outputs(self.model, self.scenario, pixels, slot.classes, places)
                found.append(keys(self.scenario, *seen))
            reached, changed = (torch.cat(parts).mean(0) for parts in zip(*found, strict=True))
            least = 1 - (1 - recipe.margin) * (1 - recipe.softmax)
            most = (1 - recipe.margin) * recipe.change
            if not ((reached > least).all() and (changed < most).all()):
                return False
        return True

    def _refill(self, place: int) -> None:
        """Begin the next sample in a slot that has become free."""
        if not self.waiting:
            self.slots[place] = None
            return
        slot = self._slot(self.waiting.pop(0))
        self.slots[place] = slot
        for patch in range(self.scenario.patches):
            number = place * self.scenario.patches + patch
            self.prior.restart(number, (self.seed, self.scenario.name, slot.number, patch))
            for state in self.optimizer.state.values():
                state["square_avg"][number] = 0
