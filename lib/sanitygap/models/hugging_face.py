"""Networks of Hugging Face's hub: ``hf:NAME``, through the library transformers."""

from typing import Any

from torch import nn

from sanitygap.errors import UsageError
from sanitygap.importing import from_here
from sanitygap.models.explainable import Preprocessing


def hugging_face(name: str, random: bool) -> tuple[nn.Module, Preprocessing]:
    """An image classifier of the hub, with its preprocessing; from its cache or downloaded.

    No code of the hub is executed, and weights are read as safetensors only.

    Args:
        name: such as ``facebook/deit-tiny-patch16-224``, or a folder of ``save_pretrained``.
        random: whether to leave it untrained; its configuration is needed all the same.

    Raises:
        UsageError: transformers is not installed, or there is no such classifier.
    """
    try:
        import transformers
    except ImportError:
        raise UsageError("hf: models need transformers; pip install transformers") from None
    kind = transformers.AutoModelForImageClassification
    if (folder := from_here(name)).is_dir():
        name = str(folder)
    try:
        config = transformers.AutoConfig.from_pretrained(name)
        network = (
            kind.from_config(config) if random
            else kind.from_pretrained(name, use_safetensors=True)
        )  # fmt: skip
        processor = transformers.AutoImageProcessor.from_pretrained(name)
    except Exception as error:  # of transformers, of the hub it asks, of the network
        said = " ".join(str(error).split())[:120] or type(error).__name__
        raise UsageError(
            f"hf:{name} is no image classifier in the cache and cannot be downloaded ({said})"
        ) from None
    names = [config.id2label[place] for place in sorted(config.id2label)]
    if names[0] != "LABEL_0":
        network.class_names = tuple(names)
    return network, _preprocessing(processor)


def _preprocessing(processor: Any) -> Preprocessing:
    """What a processor does to a photograph, as far as it is this library's own way."""
    resize = dict(processor.size)
    crop = dict(processor.crop_size) if getattr(processor, "do_center_crop", False) else resize
    size = crop.get("height") or crop["shortest_edge"]
    shorter = resize.get("shortest_edge") or resize["height"]
    if share := getattr(processor, "crop_pct", None):  # ConvNeXt's
        shorter = round(shorter / share)
    if not getattr(processor, "do_normalize", True):
        return Preprocessing(size, shorter, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return Preprocessing(size, shorter, tuple(processor.image_mean), tuple(processor.image_std))
