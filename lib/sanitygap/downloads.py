"""Checksummed downloads of images and weights that no installed package carries."""

import contextlib
import io
import os
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pooch
import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.util import Retry

from sanitygap.errors import UsageError, unknown_name
from sanitygap.files import file_sha256


@dataclass(frozen=True)
class Repository:
    """A public repository, of which :func:`checksums` lists files.

    Attributes:
        url: of its raw files, at the commit that the checksums belong to.
        instead: what a person without network can do but put the files there by hand.
    """

    url: str
    instead: str


REPOSITORIES = {
    "imagenet-sample": Repository(
        "https://raw.githubusercontent.com/EliSchwartz/imagenet-sample-images/"
        "bc69043e2862758a1906c6a24a792bb28c6bb2ff/",
        "pass --images folder:PATH with images of your own",
    ),
    "cifar-resnet": Repository(
        "https://raw.githubusercontent.com/akamaster/pytorch_resnet_cifar10/"
        "d5489e8995e81e91ce6b1d69dcc98ad579b0b153/pretrained_models/",
        "name a file of weights of your own, as in cifar_resnet20@PATH",
    ),
}

#: image sets that torchvision downloads and checks itself, and their classes there
TORCHVISION = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10"}

FETCHABLE = (*REPOSITORIES, *TORCHVISION)

CONNECTIONS = 8
TIMEOUT = (10, 30)  # seconds to connect, seconds between two packets
REPETITIONS = 2  # of a transfer that breaks off or brings something else
TRIES = 4  # after an answer that may be another one soon
BACKOFF = 0.5  # seconds; doubled from one repetition to the next
TRANSIENT = (429, 500, 502, 503, 504)


@cache
def checksums(name: str) -> dict[str, str]:
    """File name -> SHA-256 of what is fetched of a repository, sorted by name.

    Args:
        name: a key of :data:`REPOSITORIES`.
    """
    text = (files("sanitygap") / "data" / f"{name}.sha256").read_text(encoding="utf-8")
    return dict(sorted((file, digest) for digest, file in map(str.split, text.splitlines())))


def fetch(
    name: str = "imagenet-sample",
    folder: Path | None = None,
    *,
    only: Collection[str] | None = None,
    base_url: str | None = None,
    progress: bool = True,
) -> Path:
    """Download images or weights unless they are there already.

    A file takes its name only after its SHA-256 was found right, so a download that was
    interrupted at any moment continues where it stopped, and nothing is fetched twice. No network
    is touched for a complete folder, so files may be put there by hand, under the names that
    :func:`checksums` lists. (MNIST, Fashion-MNIST and CIFAR-10 come through torchvision, which
    checks MD5 sums.)

    Args:
        name: ``imagenet-sample``, ``cifar-resnet``, ``mnist``, ``fashion-mnist`` or ``cifar10``.
        folder: where the files are or shall be; ``cache_folder() / name`` if None.
        only: names of the files that are needed; all that a repository has if None.
        base_url: where a repository's files are, if not at home; https, or http on this machine.
        progress: show a progress bar.

    Returns:
        The folder (for torchvision's sets: its ``root``).

    Raises:
        UsageError: unknown name, no network, an unusable folder, or files of which the server
            sends other content than was recorded; they are named and not kept.
    """
    if name not in FETCHABLE:
        raise unknown_name("download", name, list(FETCHABLE))
    folder = cache_folder() / name if folder is None else Path(folder).expanduser()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; name a folder to hold {name}")
    try:
        if name in TORCHVISION:
            torchvision_dataset(name, folder, train=False)
        else:
            wanted = {k: v for k, v in checksums(name).items() if only is None or k in only}
            repository = REPOSITORIES[name]
            _fetch_files(wanted, folder, base_url or repository.url, repository.instead, progress)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be used ({error.strerror or error}); make room or name another folder"
        ) from error
    return folder


def cache_folder() -> Path:
    """The folder that holds downloads.

    ``SANITYGAP_CACHE`` if it is set, else ``data/cache`` of a checkout, else ``sanitygap`` in the
    user's cache folder.
    """
    if chosen := os.environ.get("SANITYGAP_CACHE"):
        return Path(chosen).expanduser()
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "data" / "sources.toml").is_file():
        return checkout / "data" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "sanitygap"


def torchvision_dataset(name: str, root: Path, *, train: bool) -> Any:
    """A data set of torchvision, downloaded into ``root`` unless it is there.

    Raises:
        UsageError: no network, or damaged files.
    """
    from torchvision import datasets

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it lists the mirrors that it tries
            return getattr(datasets, TORCHVISION[name])(root, train=train, download=True)
    except PermissionError:
        raise
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise UsageError(
            f"no network, or damaged files in {root}: {name} could not be had ({reason}); pass "
            f"{name}:PATH with a folder that holds torchvision's copy, or use the embedded digits"
        ) from error


def _fetch_files(
    wanted: Mapping[str, str], folder: Path, base_url: str, instead: str, progress: bool
) -> None:
    missing = _missing(wanted, folder)
    if not missing:
        return
    base_url = base_url.rstrip("/")
    pooch.get_logger().setLevel("ERROR")  # the bar says enough
    store = pooch.create(
        folder,
        base_url,
        registry={name: wanted[name] for name in missing},
        urls={name: f"{base_url}/{quote(name)}" for name in missing},
        retry_if_failed=REPETITIONS,
    )
    with _session(base_url) as session, ThreadPoolExecutor(CONNECTIONS) as pool:
        download = partial(_download, session)
        jobs = {pool.submit(store.fetch, name, downloader=download): name for name in missing}
        try:
            refused = _finish(jobs, len(wanted), folder.name, progress)
        except BaseException as error:  # an interruption by the keyboard, too
            pool.shutdown(wait=True, cancel_futures=True)
            if isinstance(error, requests.RequestException):
                missing = _missing(wanted, folder)
                rest = (
                    f"{len(wanted) - len(missing)} of {len(wanted)} files are in {folder}; "
                    "run this again to continue, put "
                    f"{missing[0] if len(missing) == 1 else 'the others'} there by hand, "
                    f"or {instead}"
                )
                raise _unreachable(error, base_url, rest) from error
            raise
    if refused:
        more = f" and {len(refused) - 5} more" if len(refused) > 5 else ""
        raise UsageError(
            f"the server's {', '.join(refused[:5])}{more} does not have the recorded SHA-256 and "
            f"was not kept; try again later, or {instead}"
        )


def _missing(wanted: Mapping[str, str], folder: Path) -> list[str]:
    """Names of the files that the folder lacks or holds with other content."""
    return [
        name
        for name, digest in wanted.items()
        if not (folder / name).is_file() or file_sha256(folder / name) != digest
    ]


def _finish(jobs: dict["Future[str]", str], total: int, name: str, progress: bool) -> list[str]:
    """Wait for all downloads; the names of those whose content is not the recorded one."""
    bar = tqdm(
        as_completed(jobs),
        name,
        total=total,
        initial=total - len(jobs),
        unit="file",
        disable=not progress,
    )
    refused = []
    for job in bar:
        error = job.exception()
        if isinstance(error, ValueError) and not isinstance(error, requests.RequestException):
            refused.append(jobs[job])
        elif error:
            raise error
    return sorted(refused)


def _session(base_url: str) -> requests.Session:
    """A session that speaks https, and http with a server on this machine if that is the base.

    A redirection elsewhere over http finds no adapter and fails.
    """
    parts = urlsplit(base_url)
    local = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost"}
    if parts.scheme != "https" and not local:
        raise UsageError(f"files are downloaded over https only, not from {base_url}")
    retry = Retry(
        total=TRIES,
        connect=2,
        status_forcelist=TRANSIENT,
        backoff_factor=BACKOFF,
        raise_on_status=False,
    )
    adapter = HTTPAdapter(pool_maxsize=CONNECTIONS, max_retries=retry)
    session = requests.Session()
    session.adapters.clear()
    session.mount(f"http://{parts.netloc}/" if local else "https://", adapter)
    return session


def _download(session: requests.Session, url: str, path: str, _store: pooch.Pooch) -> None:
    """Write what a server sends into a file; pooch compares it, and gives it its name."""
    answer = session.get(url, timeout=TIMEOUT)
    answer.raise_for_status()
    Path(path).write_bytes(answer.content)


def _unreachable(error: requests.RequestException, base_url: str, rest: str) -> UsageError:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        answer = f"{error.response.status_code} for {error.response.url}"
        return UsageError(f"the server answered {answer}; {rest}")
    if isinstance(error, requests.ConnectionError | requests.Timeout) and not isinstance(
        error, requests.exceptions.SSLError
    ):
        return UsageError(f"no network: {urlsplit(base_url).netloc} cannot be reached; {rest}")
    return UsageError(f"the download failed ({error}); {rest}")
