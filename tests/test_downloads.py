"""Downloads against a server of their own: flaky, lying, interrupted or absent."""

import hashlib
import socket
import threading
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from sanitygap import downloads
from sanitygap.downloads import fetch
from sanitygap.errors import UsageError

FILES = {f"n{i:08d}_it's {i} %?#.JPEG": bytes([i % 251]) * (2000 + i) for i in range(60)}
NAMES = list(FILES)


@dataclass
class Server:
    """A file server with faults: ``faults[name]`` sees how often ``name`` was asked for."""

    url: str = ""
    requests: Counter[str] = field(default_factory=Counter)
    faults: dict[str, Callable[[BaseHTTPRequestHandler, int], bool]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, length: int = -1) -> bool:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length < 0 else length))
    handler.end_headers()
    handler.wfile.write(body)
    return True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    served = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = unquote(self.path.removeprefix("/base/"))
            with served.lock:
                served.requests[name] += 1
                times = served.requests[name]
            fault = served.faults.get(name)
            if fault is None or not fault(self, times):
                send(self, FILES[name]) if name in FILES else send(self, b"no", 404)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{http.server_port}/base/"
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    checksums = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
    monkeypatch.setattr(downloads, "checksums", lambda name: checksums)
    monkeypatch.setattr(downloads, "BACKOFF", 0.01)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield served
    http.shutdown()
    http.server_close()


def get(server: Server, folder: Path) -> Path:
    return fetch("imagenet-sample", folder, base_url=server.url, progress=False)


def holds_everything(folder: Path) -> bool:
    return {file.name: file.read_bytes() for file in folder.iterdir()} == FILES


def test_every_file_is_fetched_once_and_then_never_again(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert get(server, folder) == folder
    assert holds_everything(folder)
    assert server.requests == Counter(NAMES)
    get(server, folder)
    assert server.requests == Counter(NAMES)


def test_only_damaged_and_missing_files_are_fetched(server: Server, tmp_path: Path) -> None:
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / NAMES[3]).write_bytes(b"damaged")
    (tmp_path / NAMES[7]).unlink()
    get(server, tmp_path)
    assert server.requests == Counter([NAMES[3], NAMES[7]])
    assert holds_everything(tmp_path)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_transient_errors_are_tried_again(server: Server, tmp_path: Path, status: int) -> None:
    for name in NAMES[::10]:
        server.faults[name] = lambda handler, times: times < 3 and send(handler, b"later", status)
    get(server, tmp_path)
    assert holds_everything(tmp_path)
    assert server.requests == Counter(NAMES) + Counter(NAMES[::10] * 2)


def test_lasting_errors_end_in_one_line(server: Server, tmp_path: Path) -> None:
    server.faults[NAMES[2]] = lambda handler, times: send(handler, b"ill", 500)
    with pytest.raises(UsageError, match=r"answered 500 .*run this again") as caught:
        get(server, tmp_path)
    assert "\n" not in str(caught.value)
    server.faults[NAMES[2]] = lambda handler, times: send(handler, b"gone", 404)
    with pytest.raises(UsageError, match="answered 404"):
        get(server, tmp_path)


def test_wrong_content_is_named_and_not_kept(server: Server, tmp_path: Path) -> None:
    wrong = NAMES[10:17]
    for name in wrong:
        server.faults[name] = lambda handler, times: send(handler, b"something else")
    with pytest.raises(UsageError, match="SHA-256") as caught:
        get(server, tmp_path)
    assert all(name in str(caught.value) for name in wrong[:5])
    assert "and 2 more" in str(caught.value)
    assert {file.name for file in tmp_path.iterdir()} == set(NAMES) - set(wrong)
    server.faults.clear()
    get(server, tmp_path)
    assert holds_everything(tmp_path)
    assert server.requests == Counter(NAMES) + Counter(wrong * 3), "asked for thrice in vain"


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), OSError(28, "No space left")])
def test_interrupted_download_continues(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruption: BaseException
) -> None:
    whole = downloads._download
    count = Counter[str]()

    def interrupted(*args: object) -> None:
        count["calls"] += 1
        if count["calls"] > 20:
            time.sleep(0.05)
            raise interruption
        whole(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(downloads, "_download", interrupted)
    with pytest.raises((KeyboardInterrupt, UsageError)) as caught:
        get(server, tmp_path)
    if isinstance(interruption, OSError):
        assert "No space left" in str(caught.value)
    assert count["calls"] < len(FILES)  # those that had not begun were given up
    held = {file.name for file in tmp_path.iterdir()}
    assert 0 < len(held) < len(FILES)
    assert held == set(server.requests)
    monkeypatch.setattr(downloads, "_download", whole)
    get(server, tmp_path)
    assert holds_everything(tmp_path)
    assert server.requests == Counter(NAMES)


def test_no_server_is_one_clear_line(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES[:12]:
        (tmp_path / name).write_bytes(FILES[name])
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    began = time.monotonic()
    with pytest.raises(UsageError) as caught:
        fetch("imagenet-sample", tmp_path, base_url=url, progress=False)
    assert time.monotonic() - began < 10
    message = str(caught.value)
    assert message.startswith("no network: 127.0.0.1")
    assert "12 of 60" in message
    assert "--images folder:PATH" in message
    assert "\n" not in message
    assert len(list(tmp_path.iterdir())) == 12


def test_only_what_is_needed_is_fetched(server: Server, tmp_path: Path) -> None:
    fetch("cifar-resnet", tmp_path, only=[NAMES[4]], base_url=server.url, progress=False)
    assert server.requests == Counter([NAMES[4]])
    assert [file.name for file in tmp_path.iterdir()] == [NAMES[4]]


def test_redirection_to_another_host_over_http_is_not_followed(
    server: Server, tmp_path: Path
) -> None:
    def away(handler: BaseHTTPRequestHandler, times: int) -> bool:
        handler.send_response(302)
        handler.send_header("Location", server.url.replace("127.0.0.1", "localhost") + "elsewhere")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    server.faults[NAMES[0]] = away
    with pytest.raises(UsageError, match="download failed"):
        get(server, tmp_path)
    assert server.requests["elsewhere"] == 0


@pytest.mark.parametrize(
    "url", ["http://example.org/", "ftp://127.0.0.1/", "http://127.0.0.1.example.org/", "file:///x"]
)
def test_insecure_base_is_refused(server: Server, tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="https only"):
        fetch("imagenet-sample", tmp_path, base_url=url)


def test_sources_state_what_is_used() -> None:
    repository = Path(__file__).parents[1]
    sources = tomllib.loads((repository / "data" / "sources.toml").read_text(encoding="utf-8"))
    for name, home in downloads.REPOSITORIES.items():
        source = sources[name]
        listing = repository / source["checksums"]
        assert hashlib.sha256(listing.read_bytes()).hexdigest() == source["sha256"]
        assert source["download"] == home.url
        assert source["version"] in source["download"]
    assert set(downloads.FETCHABLE) <= set(sources)
    assert all(
        {"what", "version", "licence", "used"} <= set(entry)
        for key, entry in sources.items()
        if key != "photos"
    )
