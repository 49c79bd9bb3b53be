"""Kills, damaged bytes and bad input by the hundred: ``make torture``.

Each function returns what it did and what went wrong. Called as a program, this takes about twenty
minutes and prints a table.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from sanitygap.errors import DamagedError, UsageError
from sanitygap.runs import Study
from tests.models.tiny import TINY, photographs, project

HERE = Path(__file__).resolve().parents[1]
MARK = "SANITYGAP_TORTURE"
ENDS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PARAMETERS = {"methods": ["gradient", "lrp-epsilon-plus", "noise"], "n_steps": 2}

PAGE = """---
kernelspec: {{name: python3, display_name: Python 3, language: python}}
---

# Page {number}

```{{code-cell}} ipython3
:tags: [parameters]
run = "live"
profile = "smoke"
model = "{model}"
images = "photos"
n_images = None
device = "cpu"
seed = 0
```

```{{code-cell}} ipython3
import time
from pathlib import Path

for moment in range(600):
    Path("tick-{number}").write_text(str(moment))
    time.sleep(0.1)
```
"""


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command in a process group of its own, whose processes carry a mark."""
    path = os.pathsep.join([str(HERE / "lib"), str(HERE)])
    environment = os.environ | {MARK: str(folder), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "sanitygap", *arguments],
        cwd=folder, env=environment, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def alive(folder: Path) -> list[psutil.Process]:
    """The processes that were started for a folder and have not ended."""
    running = []
    for process in psutil.process_iter():
        try:
            marked = process.environ().get(MARK) == str(folder)
            if marked and process.status() != psutil.STATUS_ZOMBIE:
                running.append(process)
        except psutil.Error:
            continue
    return running


def orphans(folder: Path, seconds: float = 10) -> int:
    """How many processes outlive their parent by that long; they are ended then."""
    until = time.monotonic() + seconds
    while (left := alive(folder)) and time.monotonic() < until:
        time.sleep(0.1)
    for process in left:
        process.kill()
    return len(left)


def end(process: subprocess.Popen[str], number: signal.Signals, group: bool) -> None:
    (os.killpg if group else os.kill)(process.pid, number)


@contextmanager
def computed(count: int, *methods: str) -> Iterator[tuple[Path, list[str], Callable[[str], Study]]]:
    """A book, the options of ``compute``, and what makes a study with the same settings."""
    folder = Path(tempfile.mkdtemp())
    try:
        images, book = photographs(folder / "images", count), project(folder / "book")
        source = f"folder:{images}"
        options = ["--profile", "smoke", "--model", TINY, "--images", source]
        options += ["--n-images", str(count)]
        for name, value in PARAMETERS.items():
            options += ["-p", f"{name}={json.dumps(value)}"]
        for method in methods:
            options += ["--method", method]

        def study(run: str) -> Study:
            return Study(
                root=book, run=run, profile="smoke", model=TINY, images=source, n_images=count,
                methods=methods,
            )  # fmt: skip

        yield book, options, study
    finally:
        shutil.rmtree(folder)


def killed_computations(kills: int, seed: int = 0) -> Counter[str]:
    """``compute``, killed again and again at random moments until it has been killed so often."""
    rng, seen = random.Random(seed), Counter[str](lost=0, orphans=0, temporary=0, traceback=0)
    with computed(120) as (book, options, study):
        whole, kept = study("whole").table("randomization", **PARAMETERS), set[str]()
        run = book / "data/runs/killed"
        while seen["kills"] < kills:
            process = start(book, "compute", "randomization", "--run", "killed", *options)
            # most of a command is the import of torch: most kills have to come after that
            time.sleep(rng.choice([0.2, 1.0]) + rng.expovariate(0.5))
            if process.poll() is None:
                end(process, rng.choice(ENDS), rng.random() < 0.5)
                seen["kills"] += 1
            said = process.communicate()[0]
            seen["traceback"] += "Traceback" in said
            seen["orphans"] += orphans(book)
            held = {path.name for path in run.rglob("parts/*/*.parquet")}
            seen["lost"] += len(kept - held)
            kept = held
            if process.returncode == 0:  # it got to its end: start over
                seen["completed"] += 1
                seen["lost"] += (
                    not study("killed").table("randomization", **PARAMETERS).equals(whole)
                )
                seen["temporary"] += sum(path.suffix == ".part" for path in run.rglob(".*"))
                shutil.rmtree(run)
                kept = set()
        seen["lost"] += not study("killed").table("randomization", **PARAMETERS).equals(whole)
    return seen


def killed_workers(kills: int, seed: int = 0) -> Counter[str]:
    """``compute --workers 2``, of which a worker or the client is killed at random moments."""
    rng, seen = random.Random(seed), Counter[str](lost=0, doubled=0, orphans=0)
    with computed(120, "tests.test_cluster:slow") as (book, options, study):
        whole = study("whole").table("randomization", **PARAMETERS)
        addresses = sorted(path.name for path in (book / "data/runs/whole").rglob("parts/*/*"))
        run = book / "data/runs/killed"
        while seen["kills"] < kills:
            process = start(
                book, "compute", "randomization", "--run", "killed", "--workers", "2", *options
            )
            client = psutil.Process(process.pid)
            while process.poll() is None and seen["kills"] < kills:
                time.sleep(1 + rng.expovariate(0.3))
                try:
                    workers = [
                        child for child in client.children() if "spawn_main" in str(child.cmdline())
                    ]
                    victim = rng.choice([*workers, client])
                    victim.kill()
                except psutil.NoSuchProcess:  # it ended by itself
                    continue
                seen["kills"] += 1
            process.communicate()
            seen["orphans"] += orphans(book)
            if process.returncode == 0:
                seen["completed"] += 1
                seen["lost"] += (
                    not study("killed").table("randomization", **PARAMETERS).equals(whole)
                )
                held = sorted(path.name for path in run.rglob("parts/*/*.parquet"))
                seen["doubled"] += held != [name for name in addresses if name[0] != "."]
                shutil.rmtree(run)
        seen["lost"] += not study("killed").table("randomization", **PARAMETERS).equals(whole)
    return seen


def killed_executions(kills: int, seed: int = 0) -> Counter[str]:
    """``execute`` of one to six notebooks, whose main process or group gets a signal."""
    rng, seen = random.Random(seed), Counter[str](orphans=0, written=0, temporary=0, traceback=0)
    folder = Path(tempfile.mkdtemp())
    book = project(folder / "book")
    try:
        for number in range(6):
            page = PAGE.format(number=number, model=TINY)
            (book / f"notebooks/page-{number}.md").write_text(page, encoding="utf-8")
        for turn in range(kills):
            count, jobs = rng.randint(1, 6), rng.choice(["1", "2"])
            for tick in book.glob("tick-*"):
                tick.unlink()
            names = [f"page-{number}" for number in range(count)]
            process = start(
                book, "execute", *names, "--model", TINY, "--profile", "smoke", "--jobs", jobs
            )
            until = time.monotonic() + 60
            while not list(book.glob("tick-*")) and time.monotonic() < until:
                time.sleep(0.1)
            time.sleep(rng.uniform(0, 1))
            # half of all kills are the one that nobody can answer to, of the main process alone
            number = signal.SIGKILL if turn % 2 else rng.choice(ENDS)
            end(process, number, group=turn % 2 == 0 and rng.random() < 0.5)
            seen["kills"] += 1
            seen["orphans"] += orphans(book)
            ticks = {path: path.read_text() for path in book.glob("tick-*")}
            time.sleep(0.3)
            seen["written"] += any(path.read_text() != text for path, text in ticks.items())
            said = process.communicate()[0]
            seen["traceback"] += "Traceback" in said
            left = Path(tempfile.gettempdir()).glob(f"sanitygap-{process.pid}-*")
            seen["temporary"] += number != signal.SIGKILL and any(left)
    finally:
        shutil.rmtree(folder)
    return seen


def flipped_bits(flips: int, seed: int = 0) -> Counter[str]:
    """One bit of a run's part or table is turned over: the same numbers come out, or a refusal."""
    rng, seen = random.Random(seed), Counter[str](read=0)
    with computed(12) as (book, _, study):
        whole = study("live").table("randomization", **PARAMETERS)
        run = book / "data/runs/live"
        files = sorted([*run.rglob("*.parquet"), run / "randomization.json", run / "run.json"])
        for _ in range(flips):
            path = rng.choice(files)
            before = path.read_bytes()
            changed = bytearray(before)
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
            path.write_bytes(changed)
            if path.parent.name == "randomization":  # a part: the table is assembled anew
                (run / "randomization.json").unlink()
            try:
                same = study("live").table("randomization", **PARAMETERS).equals(whole)
                seen["mended" if same else "read"] += 1
            except (UsageError, DamagedError):
                seen["refused"] += 1
            seen["flips"] += 1
            path.write_bytes(before)
            study("live").table("randomization", **PARAMETERS)
    return seen


def main() -> None:
    """Print what every torture did; the exit status is 1 if anything went wrong."""
    wrong = 0
    for torture, times in (
        (flipped_bits, 400),
        (killed_executions, 50),
        (killed_computations, 100),
    ):
        started = time.monotonic()
        seen = torture(times)
        done = {"kills", "flips", "completed", "mended", "refused"}
        wrong += sum(count for name, count in seen.items() if name not in done)
        told = ", ".join(f"{count} {name}" for name, count in seen.items())
        print(f"{torture.__name__}: {told} ({time.monotonic() - started:.0f} s)", flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
