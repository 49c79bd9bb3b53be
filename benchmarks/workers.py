"""One process a part, so that no part inherits memory, caches or settings from another."""

import multiprocessing
import resource
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from parts import PARTS, Outcome, Part, Setting, Workload, counted
from tqdm import tqdm


@dataclass(frozen=True)
class Sample:
    """One timed run.

    Attributes:
        wall: seconds on the clock.
        cpu: seconds of processor time, summed over threads.
    """

    wall: float
    cpu: float


@dataclass(frozen=True)
class Memory:
    """Resident memory of a part's process in MiB: once it was prepared, and at most."""

    loaded: float
    peak: float


class Runner(Protocol):
    """Something that can run one part."""

    def warm_up(self) -> None:
        """An untimed run."""

    def sample(self) -> Sample:
        """A timed run."""

    def memory(self) -> Memory:
        """Memory so far."""

    def outcome(self) -> Outcome:
        """What the part did; asked for last, since finding it out takes memory."""


class LocalRunner:
    """A part in this process."""

    def __init__(self, work: Workload, test: str, name: str) -> None:
        self.part: Part = PARTS[test][name](work)
        self.loaded = peak_memory()

    def warm_up(self) -> None:
        """An untimed run."""
        self.scores, self.passes = counted(self.part)

    def sample(self) -> Sample:
        """A timed run."""
        wall, cpu = time.perf_counter(), time.process_time()
        self.part.run()
        return Sample(time.perf_counter() - wall, time.process_time() - cpu)

    def memory(self) -> Memory:
        """Memory of this process so far."""
        return Memory(self.loaded, peak_memory())

    def outcome(self) -> Outcome:
        """What the part did in its untimed run, with its maps."""
        maps = self.part.maps()
        return Outcome(self.scores, maps, self.passes / len(maps), self.part.notes())


class ProcessRunner:
    """A part in a process of its own, which waits while others run."""

    def __init__(self, setting: Setting, test: str, name: str) -> None:
        self._pool = ProcessPoolExecutor(1, _context(), _start, (setting, test, name))

    def warm_up(self) -> None:
        """An untimed run."""
        self._pool.submit(_warm_up).result()

    def sample(self) -> Sample:
        """A timed run."""
        return self._pool.submit(_sample).result()

    def memory(self) -> Memory:
        """Memory of the part's process so far."""
        return self._pool.submit(_memory).result()

    def outcome(self) -> Outcome:
        """What the part did in its untimed run, with its maps."""
        return self._pool.submit(_outcome).result()

    def stop(self) -> None:
        """End the process."""
        self._pool.shutdown()


@dataclass
class Measurement:
    """All that was measured of one part."""

    outcome: Outcome
    samples: list[Sample]
    memory: Memory


def measure(runners: Mapping[str, Runner], rounds: int, test: str) -> dict[str, Measurement]:
    """Run the parts of a test in turn, ``rounds`` times, after one untimed run of each."""
    total = len(runners) * (rounds + 1)
    with tqdm(total=total, desc=test, unit="run", disable=total < 20) as progress:
        for runner in runners.values():
            runner.warm_up()
            progress.update()
        samples: dict[str, list[Sample]] = {name: [] for name in runners}
        for _ in range(rounds):
            for name, runner in runners.items():
                samples[name].append(runner.sample())
                progress.update()
    memory = {name: runner.memory() for name, runner in runners.items()}
    return {
        name: Measurement(runner.outcome(), samples[name], memory[name])
        for name, runner in runners.items()
    }


def peak_memory() -> float:
    """The largest resident memory of this process so far, in MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _context() -> multiprocessing.context.BaseContext:
    """Processes that share no memory with this one; libraries are imported once for all."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sanitygap.tables", "quantus"])
    return context


_runner: LocalRunner


def _start(setting: Setting, test: str, name: str) -> None:
    global _runner  # the process is about this part and nothing else
    _runner = LocalRunner(Workload(setting), test, name)


def _warm_up() -> None:
    _runner.warm_up()


def _sample() -> Sample:
    return _runner.sample()


def _memory() -> Memory:
    return _runner.memory()


def _outcome() -> Outcome:
    return _runner.outcome()
