"""Kernels that need not import the library: forks of one process that has done so.

Every notebook gets a kernel of its own. Most of its start is the import of torch, captum, scipy
and the like, seconds for each chapter. So one process imports them, and forks a kernel whenever
one is asked for. What Jupyter starts, and watches, is a small client that asks for the fork and
lives as long as it does: it passes interrupts on, and whoever ends it ends the kernel.

    python -I -S kernels.py SOCKET CONNECTION_FILE ...  the client: the standard library is enough
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

INTERRUPT, ENDED = b"i", b""

KERNEL = "sanitygap"

#: the backend for figures of kernels
INLINE = "module://matplotlib_inline.backend_inline"

#: papermill tells what fails in a cell; that a kernel was interrupted or ended is nothing to tell
QUIET = "--log-level=CRITICAL"

#: its standard input ends with the process that started it, and it ends then, however that died,
#: even while it imports; ``os.read``, since the forks would inherit the lock of ``sys.stdin``
SERVE = (
    "import os, threading; threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), "
    f"daemon=True).start(); from {__name__} import serve; serve()"
)

#: of temporary folders, before the number of the process
PREFIX = "sanitygap-"

#: notebooks from which on the imports are shared
MANY = 3


def serve() -> None:
    """Import what notebooks need, then fork a kernel for every connection, until terminated.

    The argument of the process is the address of a Unix socket, which appears when it is ready.
    It ends with the process that started it (see :data:`SERVE`), and the kernels see it end.
    """
    address = sys.argv[1]
    import ipykernel.kernelapp  # noqa: F401

    from sanitygap.chapters import load_figures

    load_figures()

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the kernels
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{address}.starting")
        server.listen()
        Path(f"{address}.starting").rename(address)
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                server.close()
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                _become_kernel(connection)
            connection.close()


def _become_kernel(connection: socket.socket) -> None:
    """Run the kernel that a client asks for in this process, which ends with it."""
    with connection.makefile("r", encoding="utf-8") as lines:
        asked = json.loads(lines.readline())
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    os.setpgid(0, 0)
    threading.Thread(target=_obey, args=(connection,), daemon=True).start()

    from ipykernel.kernelapp import IPKernelApp

    IPKernelApp.launch_instance(
        [
            *("-f", asked["connection_file"], QUIET, *asked["arguments"]),
            # a kernel ends itself when its parent is not the one that it was told
            f"--IPKernelApp.parent_handle={os.getppid()}",
            # the backend for figures was imported before there was a shell to connect it with
            "--matplotlib=inline",
        ]
    )
    raise SystemExit


def _obey(connection: socket.socket) -> None:
    """Interrupt this process when its client says so, and end it when the client has gone."""
    while (said := connection.recv(1)) != ENDED:
        if said == INTERRUPT:
            os.kill(os.getpid(), signal.SIGINT)
    os.killpg(0, signal.SIGKILL)


def ask(address: str, connection_file: str, *arguments: str) -> None:
    """Ask for a kernel with these arguments and live as long as it does."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)

        def interrupt(_number: int, _frame: FrameType | None) -> None:
            connection.send(INTERRUPT)

        signal.signal(signal.SIGINT, interrupt)
        asked = {
            "connection_file": connection_file,
            "arguments": arguments,
            "environment": dict(os.environ),
            "folder": str(Path.cwd()),
        }
        connection.sendall(json.dumps(asked).encode() + b"\n")
        connection.recv(1)  # the kernel says nothing: this is its end


def log_reads(folder: str, log: str) -> None:
    """Write down the path of every file below a folder that this process opens from now on.

    Args:
        folder: where the files lie.
        log: the file to write to, one path a line.
    """
    known: set[str] = set()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def opened(event: str, details: tuple[object, ...]) -> None:
        if event != "open" or not isinstance(details[0], str | os.PathLike):
            return
        path = os.path.realpath(details[0])
        if path not in known and path.startswith(folder + os.sep):
            known.add(path)
            os.write(descriptor, f"{path}\n".encode())

    sys.addaudithook(opened)


def logging_reads(folder: Path, log: Path) -> list[str]:
    """Arguments for a kernel that starts with :func:`log_reads`, and without the library."""
    here = f"__import__('runpy').run_path({__file__!r})"
    call = f"{here}['log_reads']({str(folder)!r}, {str(log)!r})"
    return [f"--IPKernelApp.exec_lines={call}"]


@contextmanager
def kernels(threads: int, notebooks: int) -> Iterator[None]:
    """A kernel specification for this very interpreter, for as long as the context lasts.

    Its kernels compute on so many threads, unless ``OMP_NUM_THREADS`` says otherwise. No kernel
    needs to be installed, and one that is, of another environment, is not taken. For several
    notebooks on Linux, kernels are forks of a process that has imported the library.

    Args:
        threads: of a kernel.
        notebooks: how many are to be executed.
    """
    from papermill.log import logger

    from sanitygap.files import remove_leftovers

    python = [sys.executable, "-Xfrozen_modules=off", "-m"]
    environment = {
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
        # tqdm wants widgets, which a page cannot show
        "PYTHONWARNINGS": "ignore:IProgress not found",
    }
    start = [*python, "ipykernel_launcher", "-f", "{connection_file}", QUIET]
    before = os.environ.get("JUPYTER_PATH")
    level = logger.level
    with ExitStack() as stack:
        remove_leftovers(Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-"))
        if notebooks >= MANY and sys.platform == "linux":
            address = f"{folder}/forks"
            command = [*python[:-1], "-c", SERVE, address]
            shared = os.environ | environment | {"MPLBACKEND": INLINE}
            if stack.enter_context(_serving(command, address, shared)):
                start = [sys.executable, "-I", "-S", __file__, address, "{connection_file}"]
        specification = {
            "argv": start,
            "display_name": "Python 3",
            "language": "python",
            "metadata": {"debugger": False},
            "env": environment,
        }
        path = Path(folder) / "kernels" / KERNEL / "kernel.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(specification), encoding="utf-8")
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [folder, before]))
        logger.setLevel(logging.ERROR)
        # what an interrupt leaves of papermill's tasks is told when they are collected, at the end
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            logger.setLevel(level)
            if before is None:
                del os.environ["JUPYTER_PATH"]
            else:
                os.environ["JUPYTER_PATH"] = before


@contextmanager
def _serving(
    command: Sequence[str], address: str, environment: Mapping[str, str]
) -> Iterator[bool]:
    """The process that is forked, for as long as the context lasts; whether it got ready."""
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE) as process:
        try:
            while process.poll() is None and not Path(address).exists():
                time.sleep(0.05)
            yield process.poll() is None
        finally:
            process.terminate()


if __name__ == "__main__":
    ask(*sys.argv[1:])
