"""The benchmark: a small run of all parts, its checks, and the arithmetic of its ratios."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

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
