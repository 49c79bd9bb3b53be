"""Features that the network generates itself, many samples at once (Khakzar et al. 2022, Sec. 3).

Samples are numbered. Every draw for a sample is keyed by its number, so a sample does not depend
on which others are optimised beside it, up to rounding. A sample that is accepted or given up
makes room for the next one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
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
from sanitygap.axioms.samples import (
    BATCH,
    Sample,
    draw_classes,
    logits_of,
    outputs,
    quantised,
)
from sanitygap.axioms.scenarios import NONE, Constraint, Goal, Scenario, holds, keys
from sanitygap.models.explainable import Explainable

#: a term rests while its key lies this much further from its threshold than it must
REST_GOAL, REST_CONSTRAINT = 0.25, 0.3

#: likewise for a look at a sample: its patches still move, so its keys are worse than the average's
NEAR_GOAL, NEAR_CONSTRAINT = 1.5, 1.0

#: backgrounds over which the bare outputs are averaged
BARE = 4


@dataclass
class _Slot:
    """A sample in the making; lists and tensors go by patch, goal or constraint."""

    number: int
    classes: tuple[int, int]
    goals: torch.Tensor
    constraints: torch.Tensor
    softmax: list[float]
    change: list[float]
    warm: list[bool]
    step: int = 0
    cooling: int = 0
    averaged: torch.Tensor | None = None


@dataclass(frozen=True)
class _Turn:
    """What is looked at in one step of a sample: indices of goals and constraints."""

    goals: tuple[int, ...]
    constraints: tuple[int, ...]


@dataclass(frozen=True)
class Look:
    """What is seen of a sample at a step.

    Attributes:
        number, step: which one, when.
        patches: RGB values in [0, 1].
        softmax: of each goal, when it was last looked at.
        change: relative change of each constraint, likewise; NaN during the warm-up.
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
        self.total = len(numbers)
        bare = [draw_place(self.size, 1, seed, "bare", n).background for n in range(BARE)]
        self.bare = logits_of(model, bare).mean(0)
        self.given_up: list[Sample] = []
        self.waiting = self._promising(numbers)
        first = [slot for _, slot in zip(range(recipe.at_once), self.waiting, strict=False)]
        self.slots: list[_Slot | None] = [*first]
        seeds = [self._seed(slot.number, p) for slot in first for p in range(scenario.patches)]
        self.places: dict[int, Place] = {}
        if not first:
            return
        self.prior = PRIORS[recipe.prior](patch_size(self.size), seeds, model.device)
        self.optimizer = torch.optim.RMSprop(self.prior.parameters, lr=recipe.learning_rate)
        with torch.no_grad():
            everything = list(range(len(seeds)))
            self.pixels = self.prior.patches(everything).unflatten(0, (-1, scenario.patches))

    def _seed(self, number: int, patch: int) -> tuple[object, ...]:
        return self.seed, self.scenario.name, number, patch

    def _promising(self, numbers: Sequence[int]) -> Iterator[_Slot]:
        """Slots for the samples, without those that are given up before the first step."""
        goals, rules = len(self.scenario.goals), len(self.scenario.constraints)
        spread = self.bare.std()
        for number in numbers:
            classes = draw_classes(len(self.bare), self.seed, self.scenario.name, number)
            compared = [
                self.bare[classes[rule.output]].abs()
                for rule in self.scenario.constraints
                if rule.without == NONE
            ]
            if any(size < self.recipe.least_reference * spread for size in compared):
                side = patch_size(self.size)
                nothing = torch.zeros(self.scenario.patches, 3, side, side, dtype=torch.uint8)
                name = self.scenario.name
                self.given_up.append(Sample(name, number, classes, nothing, False, 0, 0.0))
                continue
            yield _Slot(
                number,
                classes,
                torch.full((goals,), balance.START),
                torch.full((rules,), balance.START),
                [math.nan] * goals,
                [math.nan] * rules,
                [True] * self.scenario.patches,
            )

    def run(self, progress: bool = False) -> list[Sample]:
        """Optimise until every sample is accepted or given up; in the order of their numbers."""
        done: list[Sample] = []
        label = f"{self.scenario.name} features"
        with tqdm(total=self.total, desc=label, unit="sample", disable=not progress) as bar:
            started = time.process_time()
            while any(self.slots):
                done += self.advance()
                bar.update(len(done) + len(self.given_up) - bar.n)
            bar.update(len(self.given_up) + len(done) - bar.n)
            seconds = (time.process_time() - started) / max(1, self.total)
        return sorted(
            (replace(sample, seconds=seconds) for sample in (*done, *self.given_up)),
            key=lambda made: made.number,
        )

    def advance(self) -> list[Sample]:
        """One step of every sample; those that are finished by it."""
        slots = {place: slot for place, slot in enumerate(self.slots) if slot is not None}
        self.places = {place: self._place(slot) for place, slot in slots.items()}
        turns = {place: self._turn(slot) for place, slot in slots.items()}
        count = self.scenario.patches
        moved = sorted({s * count + patch for s, _, patch in self._rows(turns)})
        if moved:  # else every term is met by far and rests
            self._descend(turns, moved)
        finished = []
        for place, slot in slots.items():
            slot.step += 1
            sample = self._finished(slot, self.pixels[place])
            if sample is not None:
                finished.append(sample)
                self._refill(place)
        return finished

    def _descend(self, turns: dict[int, _Turn], moved: list[int]) -> None:
        """One step of the optimisation of the patches with these places."""
        patches = self.prior.patches(moved)
        self.pixels.view(-1, *self.pixels.shape[2:])[moved] = patches.detach()
        slopes = torch.zeros_like(self.pixels)
        known = self._references(turns)
        for group in self._groups(turns):
            self._slopes(group, slopes, known)
        self.optimizer.zero_grad()
        torch.autograd.backward(patches, slopes.flatten(0, 1)[moved])
        self._step(moved)

    def _turn(self, slot: _Slot) -> _Turn:
        """The terms that are looked at in this step: those that are met by far rest."""
        recipe = self.recipe
        if slot.step % recipe.rest == 0:
            goals = list(range(len(self.scenario.goals)))
            rules = list(range(len(self.scenario.constraints)))
        else:
            enough = 1 - REST_GOAL * (1 - recipe.softmax)
            goals = [n for n, key in enumerate(slot.goals.tolist()) if key < enough]
            little = REST_CONSTRAINT * recipe.change
            rules = [n for n, key in enumerate(slot.constraints.tolist()) if key > little]
        rules = [n for n in rules if not slot.warm[self.scenario.constraints[n].patch]]
        # a goal whose picture goes through the network anyway costs nothing
        seen = [self.scenario.constraints[number] for number in rules]
        shown = {(rule.coalition, rule.patch) for rule in seen}
        goals += [
            number
            for number, goal in enumerate(self.scenario.goals)
            if number not in goals and (goal.coalition, goal.patch) in shown
        ]
        return _Turn(tuple(goals), tuple(rules))

    def _place(self, slot: _Slot) -> Place:
        place = self._drawn(slot, slot.step)
        return place if self.recipe.moving else replace(place, corners=self._drawn(slot, 0).corners)

    def _drawn(self, slot: _Slot, *draw: object) -> Place:
        where = (self.seed, self.scenario.name, slot.number, "step", *draw)
        return draw_place(self.size, self.scenario.patches, *where, offset=self.scenario.offset)

    def _rows(self, turns: dict[int, _Turn]) -> list[tuple[int, int, int]]:
        """What goes through the network with slopes: slot, coalition, the patch that may change."""
        goals, rules = self.scenario.goals, self.scenario.constraints
        rows: dict[tuple[int, int, int], None] = {}
        for place, turn in turns.items():
            looked_at: list[Goal | Constraint] = [goals[n] for n in turn.goals]
            looked_at += [rules[n] for n in turn.constraints]
            rows |= dict.fromkeys((place, term.coalition, term.patch) for term in looked_at)
        return list(rows)

    def _references(self, turns: dict[int, _Turn]) -> dict[tuple[int, int], torch.Tensor]:
        """Logits, without slopes, of what constraints compare with and no row shows."""
        shown = {row[:2] for row in self._rows(turns)}
        wanted = {
            (place, self.scenario.constraints[number].without): None
            for place, turn in turns.items()
            for number in turn.constraints
        }
        missing = [pair for pair in wanted if pair not in shown]
        if not missing:
            return {}
        logits = logits_of(self.model, [self._image(*pair) for pair in missing])
        return dict(zip(missing, logits, strict=True))

    def _image(self, place: int, coalition: int) -> torch.Tensor:
        members = self.scenario.members(coalition)
        return composed(self.places[place], self.pixels[place], members)

    def _groups(self, turns: dict[int, _Turn]) -> Iterator[dict[int, _Turn]]:
        """Slots whose rows go through the network in one pass."""
        group: dict[int, _Turn] = {}
        for place, turn in turns.items():
            if group and len(self._rows(group | {place: turn})) > BATCH:
                yield group
                group = {}
            group[place] = turn
        if group:
            yield group

    def _slopes(
        self,
        turns: dict[int, _Turn],
        slopes: torch.Tensor,
        references: dict[tuple[int, int], torch.Tensor],
    ) -> None:
        """Add the slopes of some samples' losses with respect to their patches."""
        rows = self._rows(turns)
        if not rows:
            return
        images = torch.stack([self._image(place, coalition) for place, coalition, _ in rows])
        leaf = to_inputs(self.model.preprocessing, images).requires_grad_()
        logits = self.model.module(leaf)
        where = {row: logits[number] for number, row in enumerate(rows)}
        known = references | {row[:2]: values.detach() for row, values in where.items()}
        loss = logits.new_zeros(())
        for place, turn in turns.items():
            loss = loss + self._loss(place, turn, where, known)
        gradient = torch.autograd.grad(loss, leaf)[0]
        gradient = slopes_of_pixels(self.model.preprocessing, gradient)
        side = self.pixels.shape[-1]
        for (place, _, patch), values in zip(rows, gradient, strict=True):
            row, column = self.places[place].corners[patch]
            slopes[place, patch] += values[:, row : row + side, column : column + side]

    def _loss(
        self,
        place: int,
        turn: _Turn,
        where: dict[tuple[int, int, int], torch.Tensor],
        known: dict[tuple[int, int], torch.Tensor],
    ) -> torch.Tensor:
        slot, recipe, scenario = self.slots[place], self.recipe, self.scenario
        assert slot is not None
        chosen = list(slot.classes)
        blank = next(iter(where.values())).detach() * 0
        seen = torch.stack([known.get((place, c), blank) for c in scenario.coalitions])
        reached, changed = keys(scenario, seen[:, chosen].cpu(), seen.softmax(1)[:, chosen].cpu())
        loss = blank.sum()
        for number in turn.goals:
            goal = scenario.goals[number]
            slot.softmax[number] = float(reached[number])
            slot.goals[number] = balance.moving_average(slot.goals[number], reached[number])
            warm = slot.warm[goal.patch]
            factor = balance.goal_factor(recipe, slot.goals[number], warm)
            row, output = where[place, goal.coalition, goal.patch], slot.classes[goal.output]
            loss = loss + factor * balance.goal_term(row, output, recipe, warm)
        for number in turn.constraints:
            rule = scenario.constraints[number]
            slot.change[number] = float(changed[number])
            average = balance.moving_average(slot.constraints[number], changed[number])
            slot.constraints[number] = average
            factor = balance.constraint_factor(recipe, slot.goals[rule.patch], average)
            output = slot.classes[rule.output]
            row = where[place, rule.coalition, rule.patch]
            reference = known[place, rule.without][output]
            loss = loss + factor * balance.constraint_term(row[output], reference, recipe)
        return loss

    @torch.no_grad()
    def _step(self, moved: Sequence[int]) -> None:
        """A step of RMSprop for some patches, smaller for the samples that are to settle."""
        count = self.scenario.patches
        shares = torch.zeros(len(self.slots) * count)
        for patch in moved:
            slot = self.slots[patch // count]
            shares[patch] = 1 / (1 + slot.cooling / self.recipe.settle) if slot else 0.0
        state = self.optimizer.state
        before = [
            (tensor.clone(), state[tensor]["square_avg"].clone() if tensor in state else None)
            for tensor in self.prior.parameters
        ]
        self.optimizer.step()
        for tensor, (old, squares) in zip(self.prior.parameters, before, strict=True):
            part = shares.to(old).view(-1, *[1] * (old.ndim - 1))
            tensor.copy_(old + part * (tensor - old))
            if squares is not None:  # a patch that rests keeps what is known of its slopes
                state[tensor]["square_avg"].copy_(
                    torch.where(part > 0, state[tensor]["square_avg"], squares)
                )

    def _finished(self, slot: _Slot, pixels: torch.Tensor) -> Sample | None:
        """The sample, if it is accepted or given up."""
        recipe = self.recipe
        settled = not any(slot.warm)  # before this step, so its constraints have been looked at
        if slot.averaged is None or not settled:
            slot.averaged = pixels.clone()
        else:
            slot.cooling += 1
            slot.averaged.lerp_(pixels, 1 - recipe.average)
        patches = quantised(slot.averaged)
        for goal, reached in zip(self.scenario.goals, slot.goals.tolist(), strict=True):
            over = slot.step >= recipe.warm_up or reached > recipe.warm_enough
            slot.warm[goal.patch] &= not over
        if self.watch is not None:
            found = tuple(slot.softmax), tuple(slot.change)
            self.watch(Look(slot.number, slot.step, pixels.clone(), *found))
        accepted = False
        if settled and slot.step >= recipe.min_steps and slot.step % recipe.patience == 0:
            accepted = self._accepted(slot, patches.to(pixels.device).float() / 255)
        idle = slot.step >= recipe.trial and bool((slot.goals < recipe.stirred).any())
        if not (accepted or idle or slot.step >= recipe.max_steps):
            return None
        return Sample(
            self.scenario.name, slot.number, slot.classes, patches, accepted, slot.step, 0.0
        )

    def _accepted(self, slot: _Slot, pixels: torch.Tensor) -> bool:
        """Whether all thresholds are met on fresh draws; without any, on that of the step."""
        recipe = self.recipe
        if not recipe.confirmations:
            reached = all(key > recipe.softmax for key in slot.softmax)
            return reached and all(key < recipe.change for key in slot.change)
        # the averages of the keys are at hand; fresh passes are for samples that may make it
        least = 1 - NEAR_GOAL * (1 - recipe.softmax)
        most = NEAR_CONSTRAINT * recipe.change
        if not ((slot.goals > least).all() and (slot.constraints < most).all()):
            return False
        missed = 0
        for start in range(0, recipe.confirmations, 4):
            draws = range(start, min(start + 4, recipe.confirmations))
            places = [self._drawn(slot, slot.step, "confirmation", draw) for draw in draws]
            seen = outputs(self.model, self.scenario, pixels, slot.classes, places)
            met = holds(self.scenario, *seen, recipe.softmax, recipe.change)
            missed += int((~met).sum())
            if missed > recipe.failures:
                return False
        return True

    def _refill(self, place: int) -> None:
        """Begin the next sample in a slot that has become free."""
        self.slots[place] = slot = next(self.waiting, None)
        if slot is None:
            return
        for patch in range(self.scenario.patches):
            number = place * self.scenario.patches + patch
            self.prior.restart(number, self._seed(slot.number, patch))
            for state in self.optimizer.state.values():
                state["square_avg"][number] = 0
