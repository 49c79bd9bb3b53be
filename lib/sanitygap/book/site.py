"""Build the site from executed notebooks, strictly, and show it on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sanitygap.book.gatekeeper import gate
from sanitygap.book.project import Project
from sanitygap.book.publishable import check_links
from sanitygap.book.results import results
from sanitygap.book.stage import stage
from sanitygap.errors import UsageError

_JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"
_COLORS = re.compile(r"\x1b\[[0-9;]*m")


def build(
    project: Project,
    run: str,
    claims: Sequence[Mapping[str, Any]] | None = None,
    out: Path | None = None,
    address: str | None = None,
    executed: Path | None = None,
) -> Path:
    """Build the site that shows one run.

    The chapters pass the gate, Jupyter Book builds them with every warning an error, and every
    internal link and anchor of the result is checked. Only then does the new site take the place
    of the old one.

    Args:
        project: the checkout.
        run: the run that the chapters show.
        claims: the ledger, one mapping for each claim, run and model; default
            :func:`ledger_rows`.
        out: folder of the site, default ``_build/html``.
        address: where the site will be published. Only then does it get a sitemap and the tags
            that social media read, because both need absolute addresses; all else is relative.
        executed: where the executed notebooks lie, default ``book/_executed/<run>``.

    Returns:
        The ``index.html`` of the site.

    Raises:
        UsageError: a chapter is refused, Jupyter Book warns, or a link leads nowhere.
    """
    notebooks = gate(project, run, executed)
    rows = ledger_rows(project, run) if claims is None else claims
    source = stage(project, notebooks, rows, address, results(project, run))
    made = _jupyter_book(project, source)
    (made / ".nojekyll").touch()
    if broken := check_links(made):
        shown = "; ".join(broken[:5])
        more = f"; and {len(broken) - 5} more" if len(broken) > 5 else ""
        raise UsageError(f"the site has {len(broken)} bad links or ids: {shown}{more}")
    out = project.build_folder / "html" if out is None else out
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(out, ignore_errors=True)
    shutil.move(made, out)
    return out / "index.html"


def ledger_rows(project: Project, run: str) -> list[dict[str, Any]]:
    """Every claim with the verdicts of the recorded runs and of this run.

    Returns:
        The rows of ``sanitygap.claims.collect``, each with the place, check, caveat, kind and
        networks of its claim as well. A verdict of a run on a sentence has ``substance``, too: the
        claims that it rests on as :class:`~sanitygap.claims.documentary.Substance`.
    """
    from sanitygap.claims import collect, load_claims
    from sanitygap.claims.documentary import load_entries, substance

    about = {
        claim.id: claim.model_dump(include={"place", "check", "caveat", "kind", "networks"})
        for claim in load_claims()
    }
    entries = {entry.id: entry for entry in load_entries()}
    rows = [about[row["id"]] | row for row in collect(project.shown_runs(run))]
    verdicts: dict[str, dict[str, str]] = {}
    for row in rows:
        verdicts.setdefault(row["run"], {})[row["id"]] = row["verdict"]
    for row in rows:
        if row["run"] and row["id"] in entries:
            row["substance"] = substance(entries[row["id"]], verdicts[row["run"]])
    return rows


def _jupyter_book(project: Project, source: Path) -> Path:
    """Run Jupyter Book on a source tree, every warning an error; returns the built HTML.

    Raises:
        UsageError: names the first warnings and the file that holds them all.
    """
    work = project.build_folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    log = project.build_folder / "build.log"
    arguments = [
        "build",
        str(source),
        "-n",
        "-W",
        "--keep-going",
        "--all",
        "--path-output",
        str(work),
    ]
    done = subprocess.run(
        [sys.executable, "-c", _JUPYTER_BOOK, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore", "NO_COLOR": "1"},
    )
    text = _COLORS.sub("", done.stdout)
    log.write_text(text, encoding="utf-8")
    if done.returncode:
        said = [
            line.replace(str(source) + os.sep, "")
            for line in text.splitlines()
            if "WARNING" in line or "ERROR" in line
        ]
        reason = "; ".join(said[:3]) or text.strip().splitlines()[-1]
        shown = log.relative_to(project.root)
        raise UsageError(f"Jupyter Book refused the pages: {reason} (all of it: {shown})")
    return work / "_build" / "html"


HOST = "127.0.0.1"


class _Quiet(SimpleHTTPRequestHandler):
    """A file server that does not report every request."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def end_headers(self) -> None:
        """Ask browsers to look again: the site may have been built anew."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report everything but a connection that the browser closed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def make_server(site: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of a built site on this machine's own address; it is not started yet.

    Args:
        site: folder of the site.
        port: 0 for any free one.

    Raises:
        UsageError: there is no site, or the port is taken.
    """
    if not (site / "index.html").is_file():
        raise UsageError(f"there is no site in {site}; build it with `sanitygap build`")
    try:
        return _Server((HOST, port), partial(_Quiet, directory=str(site)))
    except OSError:
        raise UsageError(f"port {port} is taken; choose another one with --port") from None


def serve(site: Path, port: int = 0) -> None:
    """Print the address of a built site and serve it until interrupted.

    Raises:
        UsageError: as :func:`make_server`.
    """
    with make_server(site, port) as server:
        print(f"http://{HOST}:{server.server_port}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
