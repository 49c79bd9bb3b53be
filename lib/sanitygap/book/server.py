"""Show the built site on this machine: a plain file server that nobody else can reach."""

from __future__ import annotations

import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sanitygap.errors import UsageError

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
