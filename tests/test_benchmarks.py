"""The benchmark: a small run of all parts, its checks, and the arithmetic of its ratios."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
MODULES = ("parts", "workers", "report")


class Benchmark(NamedTuple):
    """The modules of the benchmark, imported as its command imports them."""

    parts: ModuleType
    workers: ModuleType
    report: ModuleType


@pytest.fixture(scope="module")
def benchmark() -> Iterator[Benchmark]:
    from importlib import import_module

    sys.path.insert(0, str(FOLDER))
    try:
        yield Benchmark(*(import_module(name) for name in MODULES))
    finally:
        sys.path.remove(str(FOLDER))
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def measured(benchmark: Benchmark) -> dict[str, dict[str, Any]]:
    """One image, two stages, three regions, one round, all parts in this process."""
    work = benchmark.parts.Workload(benchmark.parts.Setting(n=1, stages=2, regions=3, threads=1))
    return {
        test: benchmark.workers.measure(
            {
                name: benchmark.workers.LocalRunner(work, test, name)
                for name in benchmark.parts.names(test, work.setting)
            },
            1,
            test,
        )
        for test in benchmark.parts.PARTS
    }


@pytest.mark.parametrize(
    ("test", "passes", "shape"), [("randomization", 1 + 2, (2, 1)), ("occlusion", 1 + 4, (1, 3))]
)
def test_a_small_run_does_the_same_work_in_all_parts(
    benchmark: Benchmark, measured: Any, test: str, passes: int, shape: tuple[int, int]
) -> None:
    parts = measured[test]
    assert list(parts) == ["bare passes", "sanitygap", "sanitygap, experiment"]
    assert parts["bare passes"].outcome.passes == passes
    assert parts["sanitygap"].outcome.passes == passes
    assert parts["sanitygap"].outcome.scores.shape == shape
    checks = benchmark.report.check(parts)
    assert sum("attribution maps" in entry.what for entry in checks) == 2
    for row in benchmark.report.summary(parts).values():
        assert len(row["seconds"]["wall"]) == 1
        assert row["seconds"]["wall"][0] > 0
        assert row["memory_mib"]["peak"] >= row["memory_mib"]["loaded"] > 0


def test_different_work_is_refused(benchmark: Benchmark, measured: Any) -> None:
    parts = measured["occlusion"]
    ours = parts["sanitygap"]

    def changed(**differences: Any) -> dict[str, Any]:
        return parts | {"sanitygap": replace(ours, outcome=replace(ours.outcome, **differences))}

    for different in (
        changed(maps=ours.outcome.maps * (1 + 1e-6)),
        changed(maps=np.abs(ours.outcome.maps)),
        changed(scores=ours.outcome.scores[:, :-1]),
        changed(scores=ours.outcome.scores + 1e-3),
        changed(passes=ours.outcome.passes - 1),
    ):
        with pytest.raises(benchmark.report.DifferentWork):
            benchmark.report.check(different)


def test_lines_of_code_leave_out_what_is_none(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    from lines import lines_of_code

    source = '''"""Docstring
of two lines."""

# a comment
X = 1  # code, and a comment
"""About X."""


def f(a,
      b):
    """Docstring."""
    text = """two
    lines"""
    return [a, b, text]
'''
    assert lines_of_code(source) == 6
