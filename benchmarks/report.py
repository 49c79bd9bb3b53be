"""Checks that all parts did the same work, ratios of their times, and the printed tables."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
from parts import BARE, EXPERIMENT, OURS, PARTS, QUANTUS, TUNED, Setting, names
from rich.markup import escape
from rich.table import Table
from workers import Measurement

#: what the project aims at: time over the bare passes, at most; Quantus's time over ours, at least
AIM_BARE, AIM_QUANTUS = 1.3, 3.0

#: attribution maps of two parts may differ by that share of the largest value of an image's map
MAPS_TOLERANCE = 1e-9

#: how much the same score may differ between two ways to compute it
SCORE_TOLERANCE = 1e-4


class DifferentWork(Exception):
    """Two parts did not do the same work, so their times must not be compared."""


@dataclass(frozen=True)
class Check:
    """A comparison that held.

    Attributes:
        what: what was compared.
        found: the number that was found.
        limit: what it may be at most.
    """

    what: str
    found: float
    limit: float

    def __str__(self) -> str:
        return f"{self.what}: {self.found:.3g} (limit {self.limit:g})"


@dataclass(frozen=True)
class Ratio:
    """A ratio of times over rounds: the median, the smallest and the largest."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}, {self.high:.2f}]"


def ratio(times: list[float], others: list[float]) -> Ratio:
    """Times over the times of the same rounds of another part."""
    ratios = [time / other for time, other in zip(times, others, strict=True)]
    return Ratio(median(ratios), min(ratios), max(ratios))


def check(measured: Mapping[str, Measurement]) -> list[Check]:
    """Compare what the parts of a test did.

    Returns:
        What was compared, with the differences found.

    Raises:
        DifferentWork: maps, numbers of images, stages or regions, or scores differ.
    """
    outcomes = {name: measurement.outcome for name, measurement in measured.items()}
    bare, ours = outcomes[BARE], outcomes[OURS]
    checks = []

    def at_most(limit: float, found: float, what: str) -> None:
        if not found <= limit:
            raise DifferentWork(f"{what}: {found:.3g}, may be {limit:g} at most")
        checks.append(Check(what, float(found), limit))

    for name, outcome in outcomes.items():
        if outcome.maps.shape != bare.maps.shape or outcome.scores.shape != bare.scores.shape:
            raise DifferentWork(
                f"{name} made maps {outcome.maps.shape} and scores {outcome.scores.shape}, "
                f"the bare passes maps {bare.maps.shape} and scores {bare.scores.shape}"
            )
        if name != BARE:
            at_most(
                MAPS_TOLERANCE,
                map_difference(outcome.maps, bare.maps),
                f"{name}: largest relative difference of its attribution maps",
            )
            at_most(
                0,
                max(0, bare.passes - outcome.passes),
                f"{name}: passes fewer than the bare ones",
            )
        if "stages" in outcome.notes and outcome.notes["stages"] != ours.notes["stages"]:
            raise DifferentWork(f"{name} randomised other stages: {outcome.notes['stages']}")
        if "original" in outcome.notes:
            at_most(
                SCORE_TOLERANCE,
                np.abs(np.array(outcome.notes["original"]) - 1).max(),
                f"{name}: distance from 1 of its similarity of a map to itself",
            )
            at_most(
                SCORE_TOLERANCE,
                outcome.notes["spearman_difference"],
                f"{name}: largest difference of its similarity of two maps from ours",
            )
    at_most(
        SCORE_TOLERANCE,
        score_difference(outcomes[EXPERIMENT].scores, ours.scores),
        f"{EXPERIMENT}: largest difference of its scores from ours",
    )
    return checks


def map_difference(maps: np.ndarray, others: np.ndarray) -> float:
    """Largest difference in an image's map over the largest value of the other, of all images."""
    difference = np.abs(maps - others).max((1, 2))
    return float((difference / np.abs(others).max((1, 2))).max())


def score_difference(scores: np.ndarray, others: np.ndarray) -> float:
    """Largest difference; NaN (a similarity of a map that is zero everywhere) equals NaN."""
    both = np.isnan(scores) & np.isnan(others)
    return float(np.where(both, 0, np.abs(scores - others)).max())


def summary(measured: Mapping[str, Measurement]) -> dict[str, dict[str, Any]]:
    """Part -> seconds, ratios to the bare passes and to Quantus, passes and memory."""
    clock = {
        name: {
            kind: [getattr(sample, kind) for sample in measurement.samples]
            for kind in ("wall", "cpu")
        }
        for name, measurement in measured.items()
    }
    rows: dict[str, dict[str, Any]] = {}
    for name, measurement in measured.items():
        rows[name] = {
            "seconds": clock[name],
            "passes_per_image": measurement.outcome.passes,
            "undefined_scores": int(np.isnan(measurement.outcome.scores).sum()) * (name != BARE),
            "memory_mib": asdict(measurement.memory),
            "over_bare": {
                kind: ratio(clock[name][kind], clock[BARE][kind]) for kind in ("wall", "cpu")
            },
            "faster_than": {
                peer: {
                    kind: ratio(clock[peer][kind], clock[name][kind]) for kind in ("wall", "cpu")
                }
                for peer in (QUANTUS, TUNED)
                if peer in measured and name in (OURS, EXPERIMENT)
            },
        }
    return rows


def table(test: str, rows: Mapping[str, Mapping[str, Any]]) -> Table:
    """The printed table of a test; ratios are medians over rounds [smallest, largest]."""
    made = Table(title=test, title_justify="left")
    made.add_column("part", no_wrap=True)
    for column in ("seconds", "over bare", "CPU over bare", "passes", "MiB loaded", "MiB peak"):
        made.add_column(column, justify="right", no_wrap=True)
    for name in PARTS[test]:
        if name not in rows:
            made.add_row(name, *["-"] * 6)
            continue
        row = rows[name]
        made.add_row(
            name,
            f"{median(row['seconds']['wall']):.2f}",
            escape(str(row["over_bare"]["wall"])),
            escape(str(row["over_bare"]["cpu"])),
            f"{row['passes_per_image']:g}",
            f"{row['memory_mib']['loaded']:.0f}",
            f"{row['memory_mib']['peak']:.0f}",
        )
    return made


def missing_peer(setting: Setting) -> str | None:
    """Why there are no numbers of Quantus, if so."""
    if setting.stages is not None:
        return f"{QUANTUS}: left out, it cannot randomise fewer stages than all"
    if QUANTUS not in names("randomization", setting):
        command = "pip install -r benchmarks/requirements.txt -c constraints.txt"
        return f"{QUANTUS}: not installed; {command}"
    return None


def verdicts(test: str, rows: Mapping[str, Mapping[str, Any]], threads: int) -> list[str]:
    """What the aims are, what was measured, and whether they are met.

    The median is judged: of processor time where one thread computes, because others who use the
    machine hardly change it, and of wall time where there are more.
    """
    kind, clock = ("cpu", "processor time") if threads == 1 else ("wall", "wall time")
    lines = [
        f"{test}, {name}: {row['undefined_scores']} similarities are undefined, a map is constant"
        for name, row in rows.items()
        if row["undefined_scores"]
    ]
    for name in (OURS, EXPERIMENT):
        found = rows[name]["over_bare"][kind]
        lines.append(
            f"{test}, {name}: {found} times the {clock} of the bare passes, "
            f"aim at most {AIM_BARE}: {_met(found.median <= AIM_BARE)}"
        )
        for peer, ratios in rows[name]["faster_than"].items():
            lines.append(
                f"{test}, {name}: {peer} takes {ratios[kind]} times the {clock}, "
                f"aim at least {AIM_QUANTUS:g}: {_met(ratios[kind].median >= AIM_QUANTUS)}"
            )
    for peer in rows[OURS]["faster_than"]:
        bound = rows[peer]["over_bare"][kind]
        lines.append(
            f"{test}, {peer}: {bound} times the {clock} of the bare passes, and nothing that makes "
            "all of these passes as they are can be faster than it by more"
        )
    return lines


def plain(value: Any) -> Any:
    """Ratios and checks inside a value as dictionaries, for JSON."""
    if isinstance(value, Ratio | Check):
        return asdict(value)
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return value


def _met(condition: bool) -> str:
    return "met" if condition else "missed"
