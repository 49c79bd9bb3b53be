"""Image sets: order, labels, hashes and decoding, on small images made here."""

import gzip
import hashlib
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import default_loader

from sanitygap.errors import UsageError
from sanitygap.images import load_images
from tests.cases import cases


def picture(seed: int = 0, size: tuple[int, int] = (24, 16)) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise)


def save(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A flat folder of twelve images in five formats, and other things."""
    kinds = ["jpg", "JPEG", "png", "webp", "bmp"]
    for i in range(12):
        save(tmp_path / f"image{11 - i:02d}.{kinds[i % 5]}", i)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.jpg").write_bytes(b"no image")
    (tmp_path / "empty").mkdir()
    return tmp_path


# ---- photographs


def test_photos_are_the_recorded_ones() -> None:
    images = load_images("photos")
    assert len(images) >= 8
    assert images.labels == (None,) * len(images)
    assert all(image.mode == "RGB" and min(image.size) >= 224 for image in images)
    text = (Path(__file__).parents[1] / "data" / "sources.toml").read_text(encoding="utf-8")
    recorded = [(photo["name"], photo["sha256"]) for photo in tomllib.loads(text)["photos"]]
    found = [hashlib.sha256(Path(source).read_bytes()).hexdigest() for source in images.sources]
    assert recorded == list(zip(images.names, found, strict=True))


# ---- samples


def test_take_is_nested_and_fixed_by_the_seed() -> None:
    images = load_images("digits")
    more, fewer = images.take(200), images.take(100)
    assert more.names[:100] == fewer.names
    assert more.labels[:100] == fewer.labels
    assert len(set(more.names)) == 200
    assert images.take(100, seed=1).names != fewer.names
    order = np.random.default_rng(0).permutation(len(images))[:100]
    assert fewer.names == tuple(sorted(images.names)[i] for i in order)
    assert load_images("digits", 100).names == fewer.names


# ---- hashes and keys


def test_hash_depends_on_names_bytes_and_order_alone(folder: Path, tmp_path: Path) -> None:
    images = load_images(f"folder:{folder}")
    expected = hashlib.sha256()
    for file in sorted(folder.glob("image*")):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest = hashlib.sha256(f"{file.name}\0{content}".encode()).hexdigest()
        assert digest == images.digests[images.names.index(file.name)]
        expected.update(digest.encode())
    assert images.sha256 == expected.hexdigest()
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in folder.glob("image*"):
        (moved / file.name).write_bytes(file.read_bytes())
    copy = load_images(f"folder:{moved}")
    assert (copy.sha256, copy.keys) == (images.sha256, images.keys)
    assert images[::-1].sha256 != images.sha256
    (moved / copy.names[0]).rename(moved / "renamed.png")
    renamed = load_images(f"folder:{moved}")
    assert renamed.sha256 != images.sha256
    save(moved / "renamed.png", 99)
    assert load_images(f"folder:{moved}").sha256 != renamed.sha256


# ---- folders


def test_class_folders_agree_with_torchvision(tmp_path: Path) -> None:
    ids = ["n02123045", "n01440764", "n07920052"]
    for i, wordnet_id in enumerate(ids * 2):
        save(tmp_path / wordnet_id / f"{i}.jpg", i)
    images = load_images(f"folder:{tmp_path}")
    theirs = [
        Path(path).relative_to(tmp_path).as_posix() for path, _ in ImageFolder(tmp_path).samples
    ]
    assert list(images.names) == theirs
    assert images.labels == (0, 0, 281, 281, 967, 967)
    save(tmp_path / "zebra" / "0.jpg")
    assert load_images(f"folder:{tmp_path}").labels == (None,) * 7


def test_folders_named_by_the_classes_of_cifar10_give_its_labels(tmp_path: Path) -> None:
    names = (  # in the order of the published indices
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )
    for i, name in enumerate(names[::-1]):
        save(tmp_path / name / "0.jpg", i)
    images = load_images(f"folder:{tmp_path}")
    assert images.names == tuple(f"{name}/0.jpg" for name in names)
    assert images.labels == tuple(range(10))
    (tmp_path / "frog" / "0.jpg").unlink()
    assert load_images(f"folder:{tmp_path}").labels == (None,) * 9, "cats and dogs of any set"


def test_unusable_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir(exist_ok=True)
    save(folder / "class" / "x.png")
    for spec, words in {
        f"folder:{tmp_path / 'empty'}": "has no images",
        f"folder:{tmp_path / 'missing'}": "there is no folder",
        f"folder:{folder / 'notes.txt'}": "is a file",
        f"folder:{folder}": "both in itself and in subfolders",
    }.items():
        with pytest.raises(UsageError, match=words):
            load_images(spec)


# ---- decoding


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    upright = picture()
    turned = {
        1: upright,
        3: upright.transpose(Image.Transpose.ROTATE_180),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }
    for orientation, stored in turned.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored.save(tmp_path / f"{orientation}.png", exif=exif)
    images = load_images(f"folder:{tmp_path}")
    assert len(images) == 4
    assert all(image.tobytes() == upright.tobytes() for image in images)


KINDS = [("jpg", "CMYK"), ("jpg", "L"), ("png", "L"), ("png", "1"), ("png", "LA"), ("png", "RGBA"),
         ("png", "P"), ("bmp", "P"), ("webp", "RGBA")]  # fmt: skip


@pytest.mark.parametrize(("suffix", "mode"), KINDS)
def test_all_modes_become_rgb(tmp_path: Path, suffix: str, mode: str) -> None:
    path = tmp_path / f"x.{suffix}"
    image = picture()
    (image.quantize(8) if mode == "P" else image.convert(mode)).save(path)
    image = load_images(f"folder:{tmp_path}").open(0)
    assert image.mode == "RGB"
    assert image.tobytes() == default_loader(str(path)).tobytes()


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 24 * 16).reshape(16, 24).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "x.png")
    pixels = np.asarray(load_images(f"folder:{tmp_path}").open(0))
    assert pixels.shape == (16, 24, 3)
    assert np.array_equal(pixels[..., 0], pixels[..., 2])
    assert np.abs(pixels[..., 0] / 255 - values / 65535).max() <= 0.5 / 255 + 1e-9


# ---- damaged files


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_damaged_image_is_named(folder: Path, damage: str) -> None:
    victim = next(folder.glob("*.jpg"))
    content = {"truncated": victim.read_bytes()[:-100], "empty": b"", "text": b"<html>no</html>"}
    victim.write_bytes(content[damage])
    with pytest.raises(UsageError, match=victim.name) as caught:
        load_images(f"folder:{folder}")
    assert "\n" not in str(caught.value)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    with pytest.warns(UserWarning, match=f"left out 1 unreadable of 12: {victim.name}"):
        images = load_images(f"folder:{folder}", skip_broken=True)
    assert len(images) == 11
    assert victim.name not in images.names


def test_only_selected_images_are_checked(folder: Path) -> None:
    chosen = load_images(f"folder:{folder}", 5).names
    for file in folder.glob("image*"):
        if file.name not in chosen:
            file.write_bytes(b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_images(f"folder:{folder}", 5, skip_broken=True).names == chosen
    with pytest.raises(UsageError, match="6 more cannot be read"):
        load_images(f"folder:{folder}")


# ---- ImageNet


@pytest.fixture
def validation(tmp_path: Path) -> Path:
    for i in range(1, 4):
        save(tmp_path / "val" / f"ILSVRC2012_val_{i:08d}.JPEG", i)
    return tmp_path / "val"


@pytest.mark.parametrize(("name", "text"), cases("validation labels"))
@pytest.mark.parametrize("inside", [True, False])
def test_flat_validation_folder(validation: Path, name: str, text: str, inside: bool) -> None:
    (validation if inside else validation.parent).joinpath(name).write_text(text)
    images = load_images(f"imagenet-val:{validation}")
    assert images.labels == (0, 281, 999)
    assert images.names[0] == "ILSVRC2012_val_00000001.JPEG"


def test_validation_class_folders(validation: Path, tmp_path: Path) -> None:
    classes = tmp_path / "classes"
    save(classes / "n02123045" / "a.JPEG")
    save(classes / "n01440764" / "b.JPEG")
    images = load_images(f"imagenet-val:{classes}")
    assert images.names == ("n01440764/b.JPEG", "n02123045/a.JPEG")
    assert images.labels == (0, 281)
    save(classes / "train" / "c.JPEG")
    with pytest.raises(UsageError, match="folder train"):
        load_images(f"imagenet-val:{classes}")


@pytest.mark.parametrize(("text", "words"), cases("ground truth"))
def test_unusable_ground_truth_is_refused(validation: Path, text: str | None, words: str) -> None:
    if text is not None:
        (validation / "val.txt").write_text(text)
    with pytest.raises(UsageError, match=words):
        load_images(f"imagenet-val:{validation}")


# ---- arrays


@pytest.mark.parametrize(("kind", "prefix"), [("mnist", "t10k"), ("mnist-train", "train")])
def test_mnist_reads_torchvisions_folder(tmp_path: Path, kind: str, prefix: str) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    for name in ("t10k", "train"):
        mine = pixels if name == prefix else pixels[:1]
        count = len(mine).to_bytes(4, "big")
        header = b"\0\0\x08\x03" + count + (28).to_bytes(4, "big") * 2
        (raw / f"{name}-images-idx3-ubyte").write_bytes(header + mine.tobytes())
        labels = b"\0\0\x08\x01" + count + bytes(range(len(mine)))
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(labels)
    images = load_images(f"{kind}:{tmp_path}")
    assert images.labels == tuple(range(6))
    assert np.array_equal(np.asarray(images.open(5))[..., 0], pixels[5])
    assert images.names[5] == f"mnist-{'test' if kind == 'mnist' else 'train'}-00005"
    (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(gzip.compress(b"no labels"))
    with pytest.raises(UsageError, match="damaged files"):
        load_images(f"{kind}:{tmp_path}")


# ---- specs


@pytest.mark.parametrize(("spec", "words"), cases("images"))
def test_unusable_specs_are_refused(spec: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        load_images(spec)
    assert "\n" not in str(caught.value)
