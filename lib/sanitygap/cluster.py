"""Parts of a table on the workers of a Dask cluster (Rocklin 2015; https://distributed.dask.org).

Which cluster is said in Dask's own way, by the variable ``DASK_SCHEDULER_ADDRESS``, so that the
notebooks of a book find it too. Workers share the folder of runs with whoever asks: a worker writes
its part where one process alone would, whole or not at all, and hands nothing back. So nothing that
was done is lost with a worker or a scheduler, and the numbers are those of one process.
"""

import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from sanitygap.errors import UsageError

if TYPE_CHECKING:
    from sanitygap.table import Part

VARIABLE = "DASK_SCHEDULER_ADDRESS"

#: how often the worker of one part may die: a part that kills its worker must not go on for ever
DEATHS = 10

#: a stage is redrawn in the network itself, so a worker measures one part at a time
_MEASURING = threading.Lock()


@contextmanager
def cluster(workers: int | None = None, scheduler: str | None = None) -> Iterator[None]:
    """Hand the parts of all tables to a cluster for a while; to nobody if neither is given.

    Args:
        workers: of a cluster on this machine, a process each.
        scheduler: address of a running one, such as ``tcp://node:8786``.

    Raises:
        UsageError: both are given, or Dask is not installed.
    """
    if workers and scheduler:
        raise UsageError("give --workers or --scheduler, not both")
    if not workers and not scheduler:
        yield
        return
    try:
        import dask
        from distributed import LocalCluster
    except ModuleNotFoundError:
        raise UsageError(
            "workers need Dask; install it with: pip install 'sanitygap[cluster]'"
        ) from None
    if scheduler:
        with _told(scheduler):
            yield
        return
    quiet = {"distributed.scheduler.allowed-failures": DEATHS, "distributed.admin.log-length": 0}
    with (
        dask.config.set(quiet),
        LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs="CRITICAL"
        ) as local,
        _told(local.scheduler_address),
    ):
        yield


@contextmanager
def _told(address: str) -> Iterator[None]:
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = address
    try:
        yield
    finally:
        os.environ.pop(VARIABLE)
        if before is not None:
            os.environ[VARIABLE] = before


def compute(
    folder: Path, settings: dict[str, Any], table: str, given: dict[str, Any], parts: Sequence[str]
) -> None:
    """Have the workers of the cluster compute parts of a table and write them.

    Args:
        folder: of the run.
        settings: of the run.
        table: name.
        given: the table's parameters that differ from the profile's.
        parts: addresses.

    Raises:
        UsageError: no scheduler answers or it is gone, a part failed or killed its workers, or the
            workers have other code, weights or images.
    """
    from distributed import Client, as_completed

    address = os.environ[VARIABLE]
    again = "what is done is kept: run the same command again"
    try:
        client = Client(address, timeout=10, set_as_default=False)
    except OSError:
        raise UsageError(
            f"no scheduler answers at {address}; start one with `dask scheduler`, or use --workers"
        ) from None
    with client:
        task = (Path.cwd(), folder, json.dumps(settings), table, json.dumps(given, default=list))
        futures = [client.submit(_measure, *task, part, pure=False) for part in parts]
        finished = as_completed(futures, loop=client.loop)
        for _ in tqdm(finished, total=len(futures), desc=table, unit="part"):
            pass
        failures = [future.exception() for future in futures if future.status == "error"]
        gone = any(future.status not in ("error", "finished") for future in futures)
    for failure in failures:
        if isinstance(failure, UsageError):
            raise failure
    if failures:
        first = f"{type(failures[0]).__name__}: {failures[0]}"
        raise UsageError(
            f"{len(failures)} of {len(parts)} parts of {table!r} failed ({first[:120]}); {again}"
        )
    if gone:
        raise UsageError(f"the scheduler at {address} is gone; {again}")


@lru_cache(maxsize=1)
def _parts(folder: Path, settings: str, table: str, given: str) -> "dict[str, Part]":
    """The parts of a table by address, as the worker's own code cuts it."""
    from sanitygap.runs import Study

    study = Study(folder=folder, **json.loads(settings))
    return {part.id: part for part in study.parts(table, **json.loads(given))}


def _measure(
    place: Path, folder: Path, settings: str, table: str, given: str, address: str
) -> None:
    """Compute one part on a worker, called from where the person stands."""
    from sanitygap.runs import part_path, write_part

    with _MEASURING, chdir(place):
        part = _parts(folder, settings, table, given).get(address)
        if part is None:
            raise UsageError(
                "a worker's sanitygap, libraries, weights or images are not those of the machine "
                "that asks; install the same versions there"
            )
        path = part_path(folder, part)
        if not path.is_file():
            write_part(path, part)
