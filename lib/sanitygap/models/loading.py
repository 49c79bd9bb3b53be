"""Model specs: which network a text names, and how it is loaded."""

import hashlib
import importlib
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sanitygap.errors import UsageError, unknown_name
from sanitygap.models import cifar_resnet
from sanitygap.models.canonizers import canonizers_for
from sanitygap.models.efficientnet_lite import PREPROCESSING as EFFICIENTNET_PREPROCESSING
from sanitygap.models.efficientnet_lite import EfficientNetLite0, pretrained_efficientnet_lite0
from sanitygap.models.explainable import Explainable, Preprocessing
from sanitygap.models.hooks import hooked
from sanitygap.models.squeezenet import PREPROCESSING as SQUEEZENET_PREPROCESSING
from sanitygap.models.squeezenet import pretrained_squeezenet1_1
from sanitygap.models.stages import AUXILIARY, stages_for


@dataclass(frozen=True)
class NamedNetwork:
    """A network with trained weights that has a name of its own."""

    pretrained: Callable[[], nn.Module]
    architecture: Callable[[], nn.Module]
    preprocessing: Preprocessing
    description: str


def _random_squeezenet() -> nn.Module:
    from torchvision.models import squeezenet1_1

    return squeezenet1_1(weights=None)


#: networks whose weights arrive with the installed packages
EMBEDDED = {
    "efficientnet_lite0": NamedNetwork(
        pretrained_efficientnet_lite0,
        EfficientNetLite0,
        EFFICIENTNET_PREPROCESSING,
        "EfficientNet-Lite0, ImageNet weights, 224 pixels, batch normalisation, ReLU6, skips",
    ),
    "squeezenet1_1": NamedNetwork(
        pretrained_squeezenet1_1,
        _random_squeezenet,
        SQUEEZENET_PREPROCESSING,
        "SqueezeNet 1.1, ImageNet weights, 227 pixels, ReLU, no batch normalisation, no skips",
    ),
}

#: networks whose weights are downloaded when they are first used
DOWNLOADED = {
    f"cifar_resnet{depth}": NamedNetwork(
        partial(cifar_resnet.pretrained_cifar_resnet, depth),
        partial(cifar_resnet.CifarResNet, depth),
        cifar_resnet.PREPROCESSING,
        f"ResNet-{depth} for CIFAR-10, downloaded, 32 pixels, batch normalisation, ReLU, skips",
    )
    for depth in cifar_resnet.DEPTHS
}

NAMED = EMBEDDED | DOWNLOADED

# torchvision feeds these two, inside the network, with values from -1 to 1, as they were trained
HALVES = (0.5, 0.5, 0.5)
CONVERTED = ("inception_v3", "googlenet")

FORMS = (
    f"{', '.join(NAMED)}, torchvision:NAME, timm:NAME or package.module:factory, each with an "
    "optional @weights.pth"
)


def load_model(spec: str, device: str = "cpu", seed: int = 0) -> Explainable:
    """Load the network that a spec names.

    Args:
        spec: a key of :data:`NAMED`, ``torchvision:NAME``, ``timm:NAME`` or
            ``package.module:factory``, each with an optional ``@PATH`` to a state dictionary.
        device: a torch device such as ``cpu`` or ``cuda``.
        seed: seeds the initial weights of a network for which no weights are given.

    Returns:
        The network in evaluation mode, channels-last, with parameters that need no gradient.

    Raises:
        UsageError: unknown spec, unreadable or unfitting weights, no network for a download,
            unavailable device, or a network that does not map its input to logits.
    """
    source, separator, weights = spec.partition("@")
    if separator and not weights:
        raise UsageError(f"{spec!r} names no weights file; write its path after @, or leave @ out")
    _check_device(device)
    network, preprocessing, pretrained = _build(source, load_trained=not weights, seed=seed)
    if weights:
        _load_weights(network, Path(weights).expanduser())
    network = network.eval().requires_grad_(False).to(device)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    example, classes = _checked_example(network, preprocessing, source, device)
    return Explainable(
        spec=source,
        module=network,
        preprocessing=preprocessing,
        stages=stages_for(network, example),
        class_names=_class_names(network, classes),
        canonizers=canonizers_for(network, example),
        final_activation=final_activation(network, example),
        weights_sha256=weights_sha256(network),
        pretrained=pretrained or bool(weights),
    )


def model_specs() -> list[dict[str, str]]:
    """What can be written as a model spec, with a description of each form."""
    rows = [{"spec": name, "what": entry.description} for name, entry in NAMED.items()]
    rows += [
        {"spec": "torchvision:NAME", "what": "an architecture of torchvision, random weights"},
        {"spec": "timm:NAME", "what": "an architecture of timm (extra `timm`), random weights"},
        {"spec": "package.module:factory", "what": "your own: a function that returns a module"},
        {"spec": "SPEC@weights.pth", "what": "any of these with a state dictionary of its layout"},
    ]
    return rows


def weights_sha256(module: nn.Module) -> str:
    """SHA-256 over names, shapes, dtypes and values of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        value = value.detach().cpu().contiguous()
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _build(source: str, load_trained: bool, seed: int) -> tuple[nn.Module, Preprocessing, bool]:
    if source in NAMED:
        entry = NAMED[source]
        network = entry.pretrained() if load_trained else entry.architecture()
        return network, entry.preprocessing, load_trained
    kind, separator, name = source.partition(":")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if kind == "torchvision" and separator:
            return *_torchvision(name), False
        if kind == "timm" and separator:
            return *_timm(name), False
        if separator:
            return _own_factory(kind, name)
    raise unknown_name("model", source, [*NAMED, "torchvision:NAME", "package.module:factory"])


def _check_device(device: str) -> None:
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"the device {device!r} cannot be used ({_reason(error)}); try cpu"
        ) from None


def _torchvision(name: str) -> tuple[nn.Module, Preprocessing]:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise unknown_name("torchvision model", name, known)
    # the oldest weights: a later recipe for the same network may resize differently
    published = next(iter(models.get_model_weights(name))).transforms()
    size, resize = published.crop_size[0], published.resize_size[0]
    if name in CONVERTED:
        network = models.get_model(name, weights=None, aux_logits=False, init_weights=True)
        return network, Preprocessing(size, resize, HALVES, HALVES)
    mean, std = tuple(published.mean), tuple(published.std)
    return models.get_model(name, weights=None), Preprocessing(size, resize, mean, std)


def _timm(name: str) -> tuple[nn.Module, Preprocessing]:
    try:
        import timm
    except ImportError:
        raise UsageError("timm models need the extra: pip install sanitygap[timm]") from None
    if name not in timm.list_models():
        raise unknown_name("timm model", name, timm.list_models())
    network = timm.create_model(name, pretrained=False)
    config = timm.data.resolve_model_data_config(network)
    size = config["input_size"][-1]
    resize = round(size / config.get("crop_pct", 0.875))
    mean, std = (tuple(config[key]) for key in ("mean", "std"))
    return network, Preprocessing(size=size, resize=resize, mean=mean, std=std)


@contextmanager
def _importable_from_here() -> Iterator[None]:
    """A person's own module beside the place where the command is run can be imported."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        if here in sys.path:
            sys.path.remove(here)


def _own_factory(module_name: str, name: str) -> tuple[nn.Module, Preprocessing, bool]:
    try:
        with _importable_from_here():
            module = importlib.import_module(module_name)
    except Exception as error:  # a person's module may fail in any way while it is imported
        raise UsageError(
            f"cannot import {module_name!r} ({_reason(error)}); model specs: {FORMS}"
        ) from error
    factory = getattr(module, name, None)
    if not callable(factory):
        raise UsageError(f"{module_name!r} has no function {name!r}; name a factory of your module")
    try:
        made: Any = factory()
    except Exception as error:  # likewise
        raise UsageError(f"{module_name}:{name}() failed ({_reason(error)}); mend it") from error
    if not isinstance(made, nn.Module):
        raise UsageError(
            f"{module_name}:{name} returned {type(made).__name__}; return a torch.nn.Module"
        )
    preprocessing = getattr(made, "preprocessing", None) or Preprocessing()
    if not isinstance(preprocessing, Preprocessing):
        raise UsageError(
            f"the attribute `preprocessing` of {module_name}:{name} must be a "
            "sanitygap.models.Preprocessing"
        )
    return made, preprocessing, bool(getattr(made, "pretrained", False))


def _load_weights(network: nn.Module, path: Path) -> None:
    if not path.is_file():
        raise UsageError(f"no weights file at {path}; give a path to a state dictionary after @")
    try:
        with warnings.catch_warnings():  # about odd files; they are refused, or they are sound
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # whatever a file that holds something else makes the reader stumble over
        raise UsageError(
            f"{path} is not a weights file that can be loaded safely; "
            "save one with torch.save(model.state_dict(), path)"
        ) from None
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise UsageError(f"{path} holds no state dictionary; save one with model.state_dict()")
    # torchvision's checkpoints hold the weights of auxiliary classifiers too
    own = network.state_dict().keys()
    state = {k: v for k, v in state.items() if k in own or not k.startswith(AUXILIARY)}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise UsageError(f"the weights in {path} do not fit this model: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """What an exception says, in one short line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _checked_example(
    network: nn.Module, preprocessing: Preprocessing, source: str, device: str
) -> tuple[Tensor, int]:
    """One input that the network accepts, and how many classes it tells apart.

    Raises:
        UsageError: the network gives no logits for it.
    """
    size = preprocessing.size
    example = torch.zeros(1, 3, size, size, device=device)
    if not any(True for _ in network.parameters()):
        raise UsageError(f"{source} has no parameters, so there is nothing to randomise")
    try:
        with torch.no_grad():
            logits = network(example)
    except Exception as error:  # networks complain about a wrong size in all kinds of ways
        raise UsageError(
            f"{source} does not accept a 3 x {size} x {size} input ({_reason(error)}); set its "
            "`preprocessing` attribute to the size it was made for"
        ) from error
    if not isinstance(logits, Tensor):
        raise UsageError(
            f"{source} returns a {type(logits).__name__}; wrap it so that it returns one tensor "
            "of logits"
        )
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise UsageError(
            f"{source} returns a tensor of shape {tuple(logits.shape)} for one image; it must "
            "return logits of shape (1, classes)"
        )
    if not torch.isfinite(logits).all():
        raise UsageError(f"{source} returns NaN or infinite logits; check its weights")
    return example, logits.shape[1]


def _class_names(network: nn.Module, classes: int) -> tuple[str, ...]:
    """The model's own class names, or ImageNet's where it has a thousand classes."""
    own = getattr(network, "class_names", None)
    if own:
        return tuple(own)
    if classes != 1000:
        return ()
    from torchvision.models import SqueezeNet1_1_Weights

    return tuple(SqueezeNet1_1_Weights.IMAGENET1K_V1.meta["categories"])


@torch.no_grad()
def final_activation(module: nn.Module, example: Tensor) -> str:
    """The ReLU whose outputs a network takes for its logits, once they are pooled over space.

    SqueezeNet is such a network. It is found by trying: the last ReLU that is called gives numbers
    made up for it, and the logits are compared with their mean and their maximum over positions.

    Args:
        module: the network.
        example: an input ``(1, 3, H, W)`` that it accepts.

    Returns:
        Name of the module, an ``nn.ReLU`` or ``nn.ReLU6``; empty if the logits are made in another
        way.
    """
    calls: list[str] = []
    parts = {
        name: part for name, part in module.named_modules() if isinstance(part, nn.ReLU | nn.ReLU6)
    }
    with hooked(parts, lambda name, *_: calls.append(name)):
        module(example)
    if not calls or calls.count(calls[-1]) > 1:
        return ""
    made_up: list[Tensor] = []

    def replace(_part: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        numbers = torch.arange(output.numel()).sin().abs().to(output).view(output.shape)
        made_up.append(numbers)
        return numbers.clone()

    with parts[calls[-1]].register_forward_hook(replace):
        logits = module(example)
    places = made_up[0].flatten(2) if made_up[0].ndim > 2 else made_up[0][..., None]
    pooled = (places.mean(2), places.amax(2))
    found = any(p.shape == logits.shape and torch.allclose(p, logits, rtol=1e-3) for p in pooled)
    return calls[-1] if found else ""
