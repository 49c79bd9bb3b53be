"""The benchmark: a small run of all parts, its checks, and the arithmetic of its ratios."""

from importlib import import_module
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize(
    ("test", "passes", "shape"), [("randomization", 1 + 2, (2, 1)), ("occlusion", 1 + 4, (1, 3))]
)
def test_a_small_run_does_the_same_work_in_all_parts(
    test: str, passes: int, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One image, two stages, three regions, one round, all parts in this process."""
    monkeypatch.syspath_prepend(str(FOLDER))  # as its command imports them
    bench, workers, report = (import_module(name) for name in ("parts", "workers", "report"))
    work = bench.Workload(bench.Setting(n=1, stages=2, regions=3, threads=1))
    names = bench.names(test, work.setting)
    runners = {name: workers.LocalRunner(work, test, name) for name in names}
    parts = workers.measure(runners, 1, test)
    assert list(parts) == ["bare passes", "sanitygap", "sanitygap, experiment"]
    assert parts["bare passes"].outcome.passes == passes
    assert parts["sanitygap"].outcome.passes == passes
    assert parts["sanitygap"].outcome.scores.shape == shape
    checks = report.check(parts)
    assert sum("attribution maps" in entry.what for entry in checks) == 2
    for row in report.summary(parts).values():
        assert len(row["seconds"]["wall"]) == 1
        assert row["seconds"]["wall"][0] > 0
        assert row["memory_mib"]["peak"] >= row["memory_mib"]["loaded"] > 0
