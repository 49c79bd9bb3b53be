"""A cluster's workers: the numbers of one process, whatever dies."""

import os
import signal
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from sanitygap import cluster
from sanitygap.errors import UsageError
from sanitygap.runs import Study
from tests.models.tiny import TINY, photographs, project

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.xdist_group("cluster")

PARAMETERS = {"methods": ["gradient", "lrp-epsilon-plus", "noise"], "n_steps": 2}


def slow(model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """A method that takes its time, so that it can be disturbed."""
    time.sleep(0.05)
    return inputs.sum(1) * targets[:, None, None]


def failing(model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """A method that fails on whole batches, and not when it is tried on two images."""
    if len(inputs) > 2:
        raise ArithmeticError("no map today")
    return inputs.sum(1)


@pytest.fixture(scope="module")
def address():
    """A cluster of two workers."""
    with cluster.cluster(workers=2):
        made = os.environ.pop(cluster.VARIABLE)
        yield made
        os.environ[cluster.VARIABLE] = made
    assert cluster.VARIABLE not in os.environ


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Makes studies of the tiny network."""
    images = photographs(tmp_path / "photographs")
    monkeypatch.chdir(project(tmp_path / "book"))

    def make(run: str, *methods: str) -> Study:
        return Study(
            run=run, profile="smoke", model=TINY, images=f"folder:{images}", n_images=21,
            methods=[f"{__name__}:{name}" for name in methods],
        )  # fmt: skip

    return make


def same(first: pd.DataFrame, second: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def parts(study: Study) -> list[Path]:
    return sorted((study.folder / "parts").rglob("*.parquet"))


def test_killed_workers_lose_and_double_nothing(study, address):
    expected, shared = (
        study("one", "slow").table("randomization", **PARAMETERS),
        study("two", "slow"),
    )
    done = threading.Event()

    def kill() -> None:
        killed = 0
        while not done.wait(0.3):
            if killed < 3 and parts(shared):
                addresses = list(client.scheduler_info(n_workers=-1)["workers"].values())
                if addresses:
                    os.kill(addresses[killed % len(addresses)]["pid"], signal.SIGKILL)
                    killed += 1

    with (
        cluster.cluster(scheduler=address),
        distributed.Client(address, set_as_default=False) as client,
    ):
        killer = threading.Thread(target=kill)
        killer.start()
        try:
            table = shared.table("randomization", **PARAMETERS)
        finally:
            done.set()
            killer.join()
    same(table, expected)
    assert [path.name for path in parts(shared)] == [path.name for path in parts(study("one"))]
    assert not list(shared.folder.rglob("*.part"))


def test_a_part_that_fails_keeps_the_others(study, address):
    broken = study("broken", "failing")
    with cluster.cluster(scheduler=address), pytest.raises(UsageError) as refused:
        broken.table("randomization", **PARAMETERS)
    assert "no map today" in str(refused.value)
    assert len(parts(broken)) == 10


def test_a_scheduler_that_vanishes_is_told_and_the_run_goes_on(study):
    expected, shared = (
        study("one", "slow").table("randomization", **PARAMETERS),
        study("two", "slow"),
    )
    local = distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)

    def vanish() -> None:
        while len(parts(shared)) < 2:
            time.sleep(0.05)
        local.close()

    closing = threading.Thread(target=vanish)
    with cluster.cluster(scheduler=local.scheduler_address):
        closing.start()
        with pytest.raises(UsageError, match="is gone; what is done is kept"):
            shared.table("randomization", **PARAMETERS)
        closing.join()
    assert 2 <= len(parts(shared)) < len(parts(study("one")))
    same(shared.table("randomization", **PARAMETERS), expected)
