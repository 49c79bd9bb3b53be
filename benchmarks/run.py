"""Wall time of the two tests over the time of the bare passes, side by side with Quantus.

See README.md in this folder for what is measured.
"""

import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer
from parts import METHOD, MODEL, PARTS, PATCH, SEED, Setting, names
from report import DifferentWork, check, missing_peer, plain, summary, table, verdicts
from rich.console import Console
from rich.markup import escape
from workers import ProcessRunner, Runner, measure

from sanitygap.errors import UsageError
from sanitygap.files import write_atomically
from sanitygap.images import load_images
from sanitygap.provenance import commit, processor

PACKAGES = ("torch", "torchvision", "captum", "numpy", "scipy", "quantus")

#: columns that the tables need
WIDTH = 110

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    images: Annotated[
        str, typer.Option(help="photos, folder:PATH or another image spec.")
    ] = "photos",
    n: Annotated[int, typer.Option("-n", min=1, help="How many images.")] = 10,
    rounds: Annotated[int, typer.Option(min=1, help="Timed runs of each part, in turn.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads of a pass.")] = os.cpu_count() or 1,
    stages: Annotated[
        int | None, typer.Option(min=2, help="So many stages instead of all; without Quantus.")
    ] = None,
    regions: Annotated[int, typer.Option(min=1, help="Patches that are replaced.")] = 30,
    out: Annotated[Path, typer.Option(help="JSON file for the numbers.")] = Path(
        "_build/benchmark.json"
    ),
) -> None:
    """Measure the randomisation test and the occlusion test on this machine."""
    load_images(images, n)  # unusable images are refused before anything starts
    setting = Setting(images, n, stages, regions, threads)
    limit_threads(threads)
    console = Console(width=max(WIDTH, Console().width), highlight=False)
    facts = describe(setting, rounds)
    console.print(
        f"{facts['machine']['processor']}, load {facts['machine']['load']:.1f}; "
        f"{MODEL}, {METHOD}, {n} images, {rounds} rounds, {threads} threads"
    )
    if facts["machine"]["load"] > 1 and threads > 1:
        console.print("busy machine: threads wait for each other; --threads 1 is more reliable")
    absent = missing_peer(setting)
    results = {}
    for test in PARTS:
        with processes(setting, test) as runners:
            measured = measure(runners, rounds, test)
        checks = check(measured)
        rows = summary(measured)
        console.print(table(test, rows))
        lines = [f"same work: {entry}" for entry in checks] + verdicts(test, rows, threads)
        for line in lines if absent is None else [absent, *lines]:
            console.print(escape(line), soft_wrap=True)
        results[test] = {"parts": rows, "checks": checks}
        facts["machine"]["load_after"] = os.getloadavg()[0]
        write_atomically(out, json.dumps(facts | plain(results), indent=1))
    console.print(f"numbers: {out}", soft_wrap=True)


@contextmanager
def processes(setting: Setting, test: str) -> Iterator[dict[str, Runner]]:
    """The parts of a test, each in a process that ends with the context."""
    with ExitStack() as stack:
        runners: dict[str, Runner] = {}
        for name in names(test, setting):
            runner = ProcessRunner(setting, test, name)
            stack.callback(runner.stop)
            runners[name] = runner
        yield runners


def limit_threads(threads: int) -> None:
    """Make the libraries of the processes that are started from now on use so many threads."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)


def describe(setting: Setting, rounds: int) -> dict[str, Any]:
    """Settings, machine and versions; no date and no path."""
    return {
        "settings": {
            "model": MODEL,
            "method": METHOD,
            "images": setting.images.partition(":")[0],
            "n": setting.n,
            "stages": setting.stages,
            "regions": setting.regions,
            "patch": PATCH,
            "seed": SEED,
            "rounds": rounds,
            "threads": setting.threads,
        },
        "machine": {
            "processor": processor(),
            "system": f"{platform.system()} {platform.machine()}",
            "load": os.getloadavg()[0],
        },
        "versions": {"python": platform.python_version()}
        | {name: _version(name) for name in PACKAGES},
        "commit": commit(),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def main() -> None:
    """Run the command; unusable input and different work are one line, not a traceback."""
    try:
        app()
    except (UsageError, DifferentWork) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)


if __name__ == "__main__":
    main()
