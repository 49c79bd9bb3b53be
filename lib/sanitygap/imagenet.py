"""ImageNet's 1000 classes, CIFAR-10's ten, and how files tell which class an image is of."""

import re
from functools import cache
from importlib import resources
from pathlib import Path

from sanitygap.downloads import checksums
from sanitygap.errors import UsageError

#: CIFAR-10's classes in the order of their indices (Krizhevsky 2009)
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip

#: files that tell the classes of a flat ImageNet validation folder, in it or beside it
GROUND_TRUTHS = ("LOC_val_solution.csv", "val.txt", "imagenet_2012_validation_synset_labels.txt")


def sample_checksums() -> dict[str, str]:
    """File name -> SHA-256 of ``imagenet-sample``, one image a class.

    The names begin with the WordNet ids of their classes and are sorted, so that the rank of a
    file is the class index of its image.
    """
    return checksums("imagenet-sample")


@cache
def seen_sample() -> frozenset[str]:
    """File names of ``imagenet-sample`` that a criterion was explored on, or that a trial used.

    These are the 100 of the recorded runs, and those of the trials in which the reduction of maps
    and the rules of LRP were settled.
    """
    text = resources.files("sanitygap").joinpath("data/imagenet-sample-seen.txt").read_text("utf-8")
    return frozenset(text.split())


@cache
def wordnet_ids() -> dict[str, int]:
    """WordNet id -> class index, which is the rank of the id among the 1000."""
    ids = (name.partition("_")[0] for name in sample_checksums())
    return {wordnet_id: index for index, wordnet_id in enumerate(ids)}


def ground_truth(folder: Path) -> dict[str, int]:
    """Classes of the flat validation images, from a file in their folder or beside it.

    Three forms are in use: ``LOC_val_solution.csv`` (Kaggle: image, WordNet id and boxes),
    ``val.txt`` (Caffe: file name and class index) and
    ``imagenet_2012_validation_synset_labels.txt`` (TensorFlow: one WordNet id a line, in the
    images' order). The development kit's own file numbers the classes otherwise and does not do.

    Returns:
        Image name without extension -> class index.

    Raises:
        UsageError: none of these files, or a line that does not name a class.
    """
    places = [place / name for place in (folder, folder.parent) for name in GROUND_TRUTHS]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        forms = " or ".join(GROUND_TRUTHS)
        raise UsageError(f"put a ground truth into {folder} or beside it: {forms}")
    truth: dict[str, int] = {}
    known = wordnet_ids()
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        words = re.split(r"[\s,]+", line.strip())
        if words[0] in {"", "ImageId"}:  # nothing, or the header of a table
            continue
        if words[0] in known:
            words.insert(0, f"ILSVRC2012_val_{number:08d}")
        label = words[1] if len(words) > 1 else ""
        index = int(label) if label.isdecimal() else known.get(label, -1)
        if not 0 <= index < len(known):
            raise UsageError(f"line {number} of {file} does not name an ImageNet class: {line!r}")
        truth[words[0].partition(".")[0]] = index
    return truth
