"""Images: a spec string becomes an :class:`ImageSet`."""

import hashlib
import os
import re
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import overload

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from sanitygap.downloads import TORCHVISION, fetch, torchvision_dataset
from sanitygap.errors import UsageError, unknown_name
from sanitygap.imagenet import (
    CIFAR10_CLASSES,
    ground_truth,
    sample_checksums,
    seen_sample,
    wordnet_ids,
)
from sanitygap.importing import from_here
from sanitygap.seeds import stable_seed
from sanitygap.words import harmless, plural

EXTENSIONS = {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}

#: images that no installed library reads
UNREADABLE = {".heic", ".heif", ".avif", ".svg", ".raw", ".dng", ".cr2", ".nef", ".jp2", ".psd"}

#: an image file, or uint8 values of shape ``(H, W)`` or ``(H, W, 3)``
Source = Path | np.ndarray


@dataclass(frozen=True)
class Photo:
    """A photograph inside an installed package."""

    name: str
    package: str
    path: str
    credit: str


PHOTOS = (
    Photo("chelsea", "skimage", "data/chelsea.png", "Stefan van der Walt, CC0"),
    Photo("coffee", "skimage", "data/coffee.png", "Rachel Michetti, CC0"),
    Photo("camera", "skimage", "data/camera.png", "Lav Varshney, CC0"),
    Photo("china", "sklearn", "datasets/images/china.jpg", "danielbuechele, CC BY 2.0"),
    Photo("motorcycle", "skimage", "data/motorcycle_left.png", "Middlebury 2014 stereo data"),
    Photo("books", "ndf", "tests/book-2020460_640.jpg", "Pixabay 2020460, in ndf (MIT)"),
    Photo("flower", "sklearn", "datasets/images/flower.jpg", "vultilion, CC BY 2.0"),
    Photo("rocket", "skimage", "data/rocket.jpg", "SpaceX, public domain"),
    Photo("astronaut", "skimage", "data/astronaut.png", "NASA, public domain"),
    Photo(
        "grace_hopper",
        "matplotlib",
        "mpl-data/sample_data/grace_hopper.jpg",
        "United States Navy, public domain",
    ),
)


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images in a fixed order, decoded when they are opened.

    Args:
        spec: the image spec that they come from.
        names: one a image, without duplicates; kept as :func:`~sanitygap.words.harmless` words.
        labels: class index of each image, None where it is not known.
        sources: where the pixels of each image are.

    Raises:
        UsageError: numbers of names, labels and sources differ, or a name occurs twice.
    """

    spec: str
    names: tuple[str, ...]
    labels: tuple[int | None, ...]
    sources: tuple[Source, ...] = field(repr=False)

    def __post_init__(self) -> None:
        # names reach pages, figures and tables
        object.__setattr__(self, "names", tuple(map(harmless, self.names)))
        if not len(self.names) == len(self.labels) == len(self.sources):
            raise UsageError("an image set needs one name, one label and one source an image")
        if len(set(self.names)) < len(self.names):
            twice = next(one for one, two in pairwise(sorted(self.names)) if one == two)
            raise UsageError(f"two images are named {twice}; every image needs its own name")

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Image.Image: ...

    @overload
    def __getitem__(self, index: slice) -> "ImageSet": ...

    def __getitem__(self, index: int | slice) -> "Image.Image | ImageSet":
        if isinstance(index, slice):
            return self.select(range(len(self))[index])
        return self.open(index)

    def open(self, index: int) -> Image.Image:
        """One image in RGB, turned upright as its EXIF orientation says.

        Raises:
            UsageError: the file cannot be decoded, or not to its end.
        """
        name, source = self.names[index], self.sources[index]
        try:
            return _decoded(source)
        except Exception as error:  # decoders raise all kinds of errors on damaged files
            raise UsageError(f"{name} cannot be read ({error}); replace or remove it") from error

    def select(self, positions: Sequence[int]) -> "ImageSet":
        """The images at these positions, in this order."""
        return ImageSet(
            self.spec,
            tuple(self.names[i] for i in positions),
            tuple(self.labels[i] for i in positions),
            tuple(self.sources[i] for i in positions),
        )

    def take(self, n: int, seed: int = 0) -> "ImageSet":
        """Some ``n`` of the images.

        A permutation of the sorted names decides, so smaller samples are the beginnings of larger
        ones. All images together keep their order.

        Args:
            n: how many.
            seed: of the permutation.

        Raises:
            UsageError: there are fewer images, or ``n`` is below 1.
        """
        if not 1 <= n <= len(self):
            raise UsageError(f"{n} images were asked for, but {self.spec} has {len(self)}")
        if n == len(self):
            return self
        by_name = sorted(range(len(self)), key=self.names.__getitem__)
        order = np.random.default_rng(seed).permutation(len(self))[:n]
        return self.select([by_name[i] for i in order])

    @cached_property
    def keys(self) -> tuple[int, ...]:
        """One stable integer below 2**63 an image, from the SHA-256 of its name, for seeding."""
        return tuple(stable_seed(name) for name in self.names)

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of each image: of its name and its file's bytes (or its array of pixels)."""
        return tuple(
            hashlib.sha256(f"{name}\0{_content_sha256(name, source)}".encode()).hexdigest()
            for name, source in zip(self.names, self.sources, strict=True)
        )

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the whole set: of the images' digests in their order."""
        return hashlib.sha256("".join(self.digests).encode()).hexdigest()


def load_images(
    spec: str, n: int | None = None, *, skip_broken: bool = False, cache: Path | None = None
) -> ImageSet:
    """The images that a spec names, each of them checked to be readable.

    - ``photos``: photographs inside installed packages (:data:`PHOTOS`), no labels.
    - ``folder:PATH``: the images (:data:`EXTENSIONS`; of a GIF the first frame) in a folder, or in
      its subfolders, one a class. Labels are known where all subfolders are named by WordNet ids of
      ImageNet's 1000 classes, or where they are the ten classes of CIFAR-10, by their names
      (:data:`sanitygap.imagenet.CIFAR10_CLASSES`); where there are 1000 subfolders, labels are the
      ranks of these.
    - ``imagenet-sample``: one ImageNet image a class, downloaded when first used, or
      ``imagenet-sample:PATH`` for a folder that has them or shall have them.
    - ``imagenet-sample-unseen``: those of them that no one had looked at when the criteria were
      fixed, for confirming what the others suggested; with ``:PATH`` likewise.
    - ``imagenet-val:PATH``: ImageNet's validation images, one folder a WordNet id (as
      ``torchvision.datasets.ImageNet`` lays them out), or all ``ILSVRC2012_val_*.JPEG`` in one
      folder with a ground truth beside them (:func:`sanitygap.imagenet.ground_truth`).
    - ``mnist``, ``fashion-mnist``, ``cifar10``: the test images, through torchvision; with
      ``-train`` the training images; with ``:PATH`` torchvision's ``root`` for them.
    - ``digits``: scikit-learn's 8 x 8 pixel digits, labelled.

    Args:
        spec: one of the above.
        n: how many (:meth:`ImageSet.take`); all if None.
        skip_broken: leave unreadable images out, with a warning, instead of refusing the set.
        cache: folder of downloads; :func:`sanitygap.downloads.cache_folder` if None.

    Raises:
        UsageError: unknown spec, missing or empty folder, fewer than ``n`` images, unreadable
            images, no network for a download.
    """
    kind, colon, path = spec.partition(":")
    if kind not in _KINDS:
        raise unknown_name("images", spec, [entry.spec for entry in _KINDS.values()])
    entry = _KINDS[kind]
    takes_path, needs_path = "PATH" in entry.spec, entry.spec.endswith(":PATH")
    if (colon and not (path and takes_path)) or (needs_path and not path):
        raise UsageError(f"write {entry.spec} instead of {spec}")
    images = entry.load(spec, from_here(path) if path else None, cache)
    return _readable(images if n is None else images.take(n), skip_broken)


def image_specs() -> list[dict[str, str]]:
    """What can be written as an image spec: number of images, source, licence, download."""
    columns = ("spec", "n", "source", "licence", "download")
    return [{column: getattr(kind, column) for column in columns} for kind in _KINDS.values()]


def _decoded(source: Source) -> Image.Image:
    if isinstance(source, np.ndarray):
        return Image.fromarray(source).convert("RGB")
    with Image.open(source) as file:
        image = ImageOps.exif_transpose(file)
    if image.mode.startswith("I"):  # 16 bits; converting them to RGB would clip at 255
        image = Image.fromarray(np.round(np.asarray(image) / 257).clip(0, 255).astype(np.uint8))
    if image.mode == "P":  # its transparency needs this step
        image = image.convert("RGBA")
    return image.convert("RGB")


def _content_sha256(name: str, source: Source) -> str:
    if isinstance(source, np.ndarray):
        return hashlib.sha256(str(source.shape).encode() + source.tobytes()).hexdigest()
    try:
        return hashlib.sha256(source.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"{name} cannot be read ({error}); replace or remove it") from error


def _readable(images: ImageSet, skip_broken: bool) -> ImageSet:
    """Open every image file once."""

    def problem(position: int) -> str | None:
        try:
            images.open(position)
        except UsageError as error:
            return str(error)
        return None

    on_disk = [i for i, source in enumerate(images.sources) if isinstance(source, Path)]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = tqdm(
            pool.map(problem, on_disk), "checking images", len(on_disk), leave=False, delay=3
        )
        problems = {i: text for i, text in zip(on_disk, results, strict=True) if text}
    if not problems:
        return images
    if not skip_broken:
        more = f"; {len(problems) - 1} more cannot be read either" if len(problems) > 1 else ""
        raise UsageError(next(iter(problems.values())) + more)
    good = [i for i in range(len(images)) if i not in problems]
    if not good:
        raise UsageError(f"none of the {len(images)} images of {images.spec} can be read")
    names = ", ".join(images.names[i] for i in problems)
    warnings.warn(f"left out {len(problems)} unreadable of {len(images)}: {names}", stacklevel=3)
    return images.select(good)


def _photos(spec: str, path: Path | None, cache: Path | None) -> ImageSet:
    sources = tuple(_inside(photo.package, photo.path) for photo in PHOTOS)
    return ImageSet(spec, tuple(p.name for p in PHOTOS), (None,) * len(PHOTOS), sources)


def _inside(package: str, path: str) -> Path:
    """A file inside an installed package, which is not imported for it."""
    found = find_spec(package)
    folders = list(found.submodule_search_locations or []) if found else []
    for folder in folders:
        if (Path(folder) / path).is_file():
            return Path(folder) / path
    raise UsageError(f"{path} is not in the installed {package}; install the pinned version of it")


def _folder(spec: str, path: Path | None, cache: Path | None) -> ImageSet:
    assert path is not None
    _check_folder(path)
    flat, classes = _image_files(path), _class_folders(path)
    if flat and classes:
        raise UsageError(
            f"{path} has images both in itself and in subfolders; put all into one folder, or "
            "into one subfolder a class"
        )
    if flat:
        return ImageSet(spec, tuple(file.name for file in flat), (None,) * len(flat), tuple(flat))
    if not classes:
        kinds = ", ".join(sorted(EXTENSIONS))
        raise UsageError(f"{path} has no images ({kinds}), neither in itself nor in subfolders")
    indices = _class_indices([folder.name for folder in classes])
    files = [
        (f"{folder.name}/{file.name}", index, file)
        for (folder, inside), index in zip(classes.items(), indices, strict=True)
        for file in inside
    ]
    names, labels, sources = zip(*files, strict=True)
    return ImageSet(spec, names, labels, sources)


def _check_folder(path: Path) -> None:
    try:
        path.resolve(strict=True)
    except FileNotFoundError:
        pass
    except (OSError, RuntimeError):  # Python 3.13 raises the first, earlier ones the second
        raise UsageError(f"{path} is a loop of links; name a folder that holds images") from None
    if not path.exists():
        raise UsageError(f"there is no folder {path}; check the path")
    if not path.is_dir():
        raise UsageError(f"{path} is a file; name the folder that holds the images")


def _image_files(folder: Path) -> list[Path]:
    """The images of a folder by name; a warning counts those of a kind that cannot be read."""
    skipped = sorted(f.name for f in folder.iterdir() if f.suffix.lower() in UNREADABLE)
    if skipped:
        warnings.warn(
            f"{plural(len(skipped), 'image')} of {folder.name} left out, such as {skipped[0]}: "
            "save them as JPEG or PNG",
            stacklevel=2,
        )
    return sorted(
        (
            file
            for file in folder.iterdir()
            if file.suffix.lower() in EXTENSIONS and file.name[0] != "." and file.is_file()
        ),
        key=lambda file: file.name,
    )


def _class_folders(folder: Path) -> dict[Path, list[Path]]:
    """Subfolders, sorted by name, with the images in them; those without images are no classes."""
    inside = sorted((sub for sub in folder.iterdir() if sub.is_dir()), key=lambda sub: sub.name)
    files = {sub: _image_files(sub) for sub in inside if sub.name[0] != "."}
    return {sub: images for sub, images in files.items() if images}


def _class_indices(names: list[str]) -> Sequence[int | None]:
    known = wordnet_ids()
    if known.keys() >= set(names):
        return [known[name] for name in names]
    if set(names) == set(CIFAR10_CLASSES):  # some of these words alone could mean anything
        return [CIFAR10_CLASSES.index(name) for name in names]
    return range(len(names)) if len(names) == len(known) else [None] * len(names)


def _imagenet_sample(spec: str, path: Path | None, cache: Path | None) -> ImageSet:
    folder = fetch("imagenet-sample", path or (cache / "imagenet-sample" if cache else None))
    names = tuple(sample_checksums())
    sources = tuple(folder / name for name in names)
    return ImageSet(spec, names, tuple(range(len(names))), sources)


def _imagenet_sample_unseen(spec: str, path: Path | None, cache: Path | None) -> ImageSet:
    everything = _imagenet_sample(spec, path, cache)
    seen = seen_sample()
    return everything.select([i for i, name in enumerate(everything.names) if name not in seen])


def _imagenet_val(spec: str, path: Path | None, cache: Path | None) -> ImageSet:
    assert path is not None
    _check_folder(path)
    classes = _class_folders(path)
    if classes:
        if strange := [folder.name for folder in classes if folder.name not in wordnet_ids()]:
            raise UsageError(
                f"{path} has a folder {strange[0]}, which is no WordNet id of an ImageNet class; "
                "use folder:PATH"
            )
        return _folder(spec, path, cache)
    images = [file for file in _image_files(path) if file.name.startswith("ILSVRC2012_val_")]
    if not images:
        raise UsageError(f"{path} has neither class folders nor ILSVRC2012_val_*.JPEG files")
    truth = ground_truth(path)
    if unknown := [file.name for file in images if file.stem not in truth]:
        raise UsageError(f"the ground truth beside {path} does not tell the class of {unknown[0]}")
    return ImageSet(
        spec,
        tuple(file.name for file in images),
        tuple(truth[file.stem] for file in images),
        tuple(images),
    )


def _torchvision(spec: str, path: Path | None, cache: Path | None) -> ImageSet:
    kind = spec.partition(":")[0]
    name, split = kind.removesuffix("-train"), "train" if kind.endswith("-train") else "test"
    if path is not None:
        _check_folder(path)
    root = fetch(name, path or (cache / name if cache else None))
    dataset = torchvision_dataset(name, root, train=split == "train")
    labels = tuple(int(label) for label in dataset.targets)
    return _from_arrays(spec, f"{name}-{split}", np.asarray(dataset.data), labels)


def _digits(spec: str, path: Path | None, cache: Path | None) -> ImageSet:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)
    return _from_arrays(spec, "digit", pixels, tuple(int(label) for label in digits.target))


def _from_arrays(spec: str, stem: str, pixels: np.ndarray, labels: tuple[int, ...]) -> ImageSet:
    names = tuple(f"{stem}-{i:05d}" for i in range(len(pixels)))
    return ImageSet(spec, names, labels, tuple(pixels))


@dataclass(frozen=True)
class _Kind:
    """A kind of image spec."""

    spec: str
    load: Callable[[str, Path | None, Path | None], ImageSet]
    n: str
    source: str
    licence: str
    download: str = "no"


def _kinds() -> dict[str, _Kind]:
    imagenet = "ImageNet's terms: research, not commercial"
    kinds = [
        _Kind(
            "photos",
            _photos,
            str(len(PHOTOS)),
            "photographs inside scikit-image, scikit-learn, matplotlib and ndf",
            "mostly public domain or CC0; china and flower CC BY 2.0",
        ),
        _Kind("digits", _digits, "1797", "scikit-learn, 8 x 8 pixels", "CC BY 4.0"),
        _Kind("folder:PATH", _folder, "any", "your files, flat or one subfolder a class", "yours"),
        _Kind(
            "imagenet-sample[:PATH]",
            _imagenet_sample,
            str(len(sample_checksums())),
            "one image of each ImageNet class, EliSchwartz/imagenet-sample-images",
            imagenet,
            "109 MB",
        ),
        _Kind(
            "imagenet-sample-unseen[:PATH]",
            _imagenet_sample_unseen,
            str(len(sample_checksums()) - len(seen_sample())),
            "those of imagenet-sample on which no criterion of this book was explored",
            imagenet,
            "109 MB",
        ),
        _Kind("imagenet-val:PATH", _imagenet_val, "50000", "your copy of ILSVRC 2012", imagenet),
    ]
    for name, n, licence, size in (
        ("mnist", (10_000, 60_000), "CC BY-SA 3.0", "12 MB"),
        ("fashion-mnist", (10_000, 60_000), "MIT", "31 MB"),
        ("cifar10", (10_000, 50_000), "none stated", "170 MB"),
    ):
        for suffix, count, split in zip(("", "-train"), n, ("test", "training"), strict=True):
            source = f"{TORCHVISION[name]} of torchvision, {split} images"
            kinds.append(
                _Kind(f"{name}{suffix}[:PATH]", _torchvision, str(count), source, licence, size)
            )
    return {re.split(r"[:\[]", kind.spec)[0]: kind for kind in kinds}


_KINDS = _kinds()
