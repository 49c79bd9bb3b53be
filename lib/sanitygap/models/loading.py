"""Model specs: which network a text names, and how it is loaded."""

import hashlib
import pickle
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sanitygap.errors import UsageError, unknown_name
from sanitygap.files import file_sha256
from sanitygap.importing import from_here, is_own, load_own, place_of_failure
from sanitygap.models import cifar_resnet
from sanitygap.models.acceptance import check_kind, checked_example
from sanitygap.models.canonizers import canonizers_for
from sanitygap.models.efficientnet_lite import PREPROCESSING as EFFICIENTNET_PREPROCESSING
from sanitygap.models.efficientnet_lite import EfficientNetLite0, pretrained_efficientnet_lite0
from sanitygap.models.explainable import Explainable, Preprocessing
from sanitygap.models.hooks import hooked
from sanitygap.models.hugging_face import hugging_face
from sanitygap.models.squeezenet import PREPROCESSING as SQUEEZENET_PREPROCESSING
from sanitygap.models.squeezenet import pretrained_squeezenet1_1
from sanitygap.models.stages import AUXILIARY, stages_for
from sanitygap.settings import public_model
from sanitygap.words import harmless


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

#: behind the @ of a spec: the untrained network
RANDOM = "random"


@dataclass(frozen=True)
class Built:
    """A network as a spec asks for it.

    Attributes:
        module: the network.
        preprocessing: from a photograph to its input.
        pretrained: whether its weights are trained ones.
        file: of weights that are still to be loaded into it.
    """

    module: nn.Module
    preprocessing: Preprocessing
    pretrained: bool
    file: str = ""


def load_model(spec: str, device: str = "cpu", seed: int = 0) -> Explainable:
    """Load the network that a spec names.

    A name without ``@`` is the trained network: published weights are downloaded by the library
    that knows the name, checked by their checksum, and kept in its cache. ``@random`` asks for the
    untrained network, ``@IMAGENET1K_V2`` for other published weights of torchvision.

    Args:
        spec: a name that ``sanitygap models`` lists, ``torchvision:NAME``, ``timm:NAME``,
            ``hf:NAME`` or ``package.module:factory``, each with an optional ``@random`` or
            ``@PATH`` to a state dictionary.
        device: a torch device such as ``cpu`` or ``cuda``.
        seed: seeds the initial weights of an untrained network.

    Returns:
        The network in evaluation mode, channels-last, with parameters that need no gradient.

    Raises:
        UsageError: unknown spec, unreadable or unfitting weights, no network for a download,
            unavailable device, a factory that gives untrained weights without a word, or a network
            that does not map its input to logits.
    """
    source, separator, weights = spec.partition("@")
    if separator and not weights:
        raise UsageError(f"{spec!r} names no weights; write a path or random after @")
    _check_device(device)
    built = _build(source, weights, seed)
    network = built.module
    if built.file:
        _load_weights(network, from_here(built.file))
    model = explainable(network.to(device), preprocessing=built.preprocessing, name=source)
    return replace(model, spec=public_model(spec), pretrained=built.pretrained)


def explainable(
    module: nn.Module,
    size: int = 224,
    preprocessing: Preprocessing | None = None,
    name: str = "the network",
) -> Explainable:
    """A network with what the tests need: stages to redraw, canonizers for LRP, class names.

    Args:
        module: maps inputs ``(N, 3, H, W)`` to logits ``(N, C)``. It is not copied: it is put into
            evaluation mode and channels-last, and its parameters need no gradient afterwards.
        size: side of the square inputs in pixels, without a preprocessing.
        preprocessing: from photographs to inputs; by default inputs are RGB values from 0 to 1.
            Rules of LRP for the first layer take the range of its inputs from it.
        name: in tables and messages.

    Returns:
        The network, on the device where its parameters live.

    Raises:
        UsageError: a network without parameters, or one that does not map its input to logits.
    """
    if preprocessing is None:
        preprocessing = Preprocessing(size, size, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    check_kind(module, name)
    # all in single precision, as images are
    module = module.float().eval().requires_grad_(False)
    module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    device = str(next(module.parameters()).device)
    example, classes = checked_example(module, preprocessing, name, device)
    return Explainable(
        spec=name,
        module=module,
        preprocessing=preprocessing,
        stages=stages_for(module, example),
        class_names=_class_names(module, classes),
        canonizers=canonizers_for(module, example),
        final_activation=final_activation(module, example),
        weights_sha256=weights_sha256(module),
    )


def model_specs() -> list[dict[str, str]]:
    """What can be written as a model spec, with a description of each form."""
    rows = [{"spec": name, "what": entry.description} for name, entry in NAMED.items()]
    rows += [
        {"spec": "torchvision:NAME", "what": "of torchvision, ImageNet weights, downloaded"},
        {"spec": "torchvision:NAME@IMAGENET1K_V2", "what": "the same with other published weights"},
        {"spec": "timm:NAME", "what": "of timm (extra `timm`), its weights, downloaded"},
        {
            "spec": "hf:NAME",
            "what": "of Hugging Face's hub or a saved folder (needs transformers)",
        },
        {"spec": "package.module:factory", "what": "your own: a function that returns a module"},
        {"spec": "SPEC@weights.pth", "what": "any of these with a state dictionary of its layout"},
        {"spec": "SPEC@random", "what": "any of these untrained, which every page will say"},
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


def _build(source: str, weights: str, seed: int) -> Built:
    """The network of a spec; ``weights`` is what stands behind its @."""
    kind, separator, name = source.partition(":")
    file = "" if weights == RANDOM else weights
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if source in NAMED:
            entry = NAMED[source]
            network = entry.architecture() if weights else entry.pretrained()
            return Built(network, entry.preprocessing, weights != RANDOM, file)
        if kind == "torchvision" and separator:
            return _torchvision(name, weights)
        if kind == "timm" and separator:
            return _timm(name, weights)
        if kind == "hf" and separator:
            network, preprocessing = hugging_face(name, random=bool(weights))
            return Built(network, preprocessing, weights != RANDOM, file)
        if separator:
            return _own(source, weights, seed)
    raise _unknown(source)


def _unknown(source: str) -> UsageError:
    """An error for what is no spec, with what was probably meant."""
    from torchvision import models

    if source in models.list_models(module=models):
        return UsageError(f"unknown model {source!r}; did you mean torchvision:{source}?")
    return unknown_name(
        "model", source, [*NAMED, "torchvision:NAME", "hf:NAME", "package.module:factory"]
    )


def _check_device(device: str) -> None:
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"the device {device!r} cannot be used ({_reason(error)}); try cpu"
        ) from None


def _torchvision(name: str, weights: str) -> Built:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise unknown_name("torchvision model", name, known)
    published = {entry.name: entry for entry in models.get_model_weights(name)}
    # by default the oldest weights: those of the papers; a later recipe may resize differently
    chosen = published.get(weights) or next(iter(published.values()))
    trained = weights in published or not weights
    if weights and not trained and re.fullmatch(r"[A-Z][A-Z0-9_]*", weights):
        raise unknown_name(f"weights of torchvision:{name}", weights, list(published))
    recipe = chosen.transforms()
    size, resize = recipe.crop_size[0], recipe.resize_size[0]
    options = {"aux_logits": False, "init_weights": True} if name in CONVERTED else {}
    network = models.get_model(name, weights=None, **options)
    mean, std = (HALVES, HALVES) if name in CONVERTED else (tuple(recipe.mean), tuple(recipe.std))
    if trained:
        _fit(network, _published(chosen, name), f"torchvision:{name}")
    file = "" if trained or weights == RANDOM else weights
    _draw_zeros(network)
    return Built(network, Preprocessing(size, resize, mean, std), weights != RANDOM, file)


def _draw_zeros(network: nn.Module) -> None:
    """Draw layers that a library makes with zeros only: their logits would not see the input."""
    for part in network.modules():
        if isinstance(part, nn.Linear | nn.Conv2d) and not part.weight.any():
            part.reset_parameters()


def _published(weights: Any, name: str) -> dict[str, Tensor]:
    """Weights that torchvision publishes, from its cache or downloaded and checked.

    Raises:
        UsageError: they are not in the cache and cannot be downloaded, or are damaged.
    """
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    advice = f"give a file as torchvision:{name}@weights.pth, or ask for torchvision:{name}@random"
    try:
        state: dict[str, Tensor] = weights.get_state_dict(
            check_hash=True, weights_only=True, map_location="cpu", progress=sys.stderr.isatty()
        )
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        if cached.is_file():
            raise UsageError(f"{cached.name} in torch's cache is damaged; delete it") from None
        raise UsageError(
            f"the trained weights of torchvision:{name} are not in the cache and cannot be "
            f"downloaded ({_reason(error)}); {advice}"
        ) from None
    # the library checks what it downloads, not what it finds
    checksum = re.search(r"-([0-9a-f]{8,})\.", cached.name)
    if checksum and not file_sha256(cached).startswith(checksum[1]):
        raise UsageError(f"{cached.name} in torch's cache is damaged; delete it")
    return state


def _timm(name: str, weights: str) -> Built:
    try:
        import timm
    except ImportError:
        raise UsageError("timm models need the extra: pip install sanitygap[timm]") from None
    if name.partition(".")[0] not in timm.list_models():
        raise unknown_name("timm model", name, timm.list_models())
    try:
        network = timm.create_model(name, pretrained=not weights)
    except Exception as error:  # of timm, of the hub it asks, of the network
        raise UsageError(
            f"the trained weights of timm:{name} are not in the cache and cannot be downloaded "
            f"({_reason(error)}); give a file as timm:{name}@weights.pth, or ask for "
            f"timm:{name}@random"
        ) from None
    _draw_zeros(network)
    config = timm.data.resolve_model_data_config(network)
    size = config["input_size"][-1]
    resize = round(size / config.get("crop_pct", 0.875))
    mean, std = (tuple(config[key]) for key in ("mean", "std"))
    preprocessing = Preprocessing(size=size, resize=resize, mean=mean, std=std)
    return Built(network, preprocessing, weights != RANDOM, "" if weights == RANDOM else weights)


def _own(source: str, weights: str, seed: int) -> Built:
    """What a person's own factory returns.

    Whether its weights are trained is told by the attribute ``pretrained`` of the network; without
    one, weights that differ from call to call are untrained.
    """
    if not is_own(source):
        raise _unknown(source)
    factory = load_own(source, "model")
    made = _made(source, factory)
    preprocessing = getattr(made, "preprocessing", None) or Preprocessing()
    if not isinstance(preprocessing, Preprocessing):
        raise UsageError(
            f"the attribute `preprocessing` of {source} must be a sanitygap.models.Preprocessing"
        )
    told = getattr(made, "pretrained", None)
    if not weights and told is None:
        torch.manual_seed(seed + 1)
        if weights_sha256(_made(source, factory)) != weights_sha256(made):
            raise UsageError(
                f"{source} draws new weights at each call, so it is untrained: load weights in it, "
                f"name a file as {source}@weights.pth, or ask for {source}@random"
            )
    pretrained = weights != RANDOM and (bool(weights) or told is not False)
    return Built(made, preprocessing, pretrained, "" if weights == RANDOM else weights)


def _made(source: str, factory: Any) -> nn.Module:
    if not callable(factory):
        raise UsageError(f"{source} is no function; name a factory of your module")
    try:
        made: Any = factory()
    except UsageError:
        raise
    except Exception as error:  # a person's function may fail in any way
        raise UsageError(f"{source}() failed: {place_of_failure(error)}") from error
    if not isinstance(made, nn.Module):
        raise UsageError(f"{source} returned {type(made).__name__}; return a torch.nn.Module")
    check_kind(made, source)
    return made


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
    for key in ("state_dict", "model_state_dict", "model"):  # of training scripts
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) and not value.is_complex()
        for name, value in state.items()
    ):
        raise UsageError(
            f"{path} holds no state dictionary of real tensors; save one with model.state_dict()"
        )
    _fit(network, state, path.name)


def _fit(network: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Load weights into a network.

    Prefixes of wrappers go, and what belongs to auxiliary classifiers that the network lacks.

    Raises:
        UsageError: names or shapes do not fit.
    """
    own = network.state_dict()
    for prefix in ("module.", "_orig_mod.", "model."):
        if not any(name.startswith(prefix) for name in own):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    state = {k: v for k, v in state.items() if k in own or not k.startswith(AUXILIARY)}
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    shapes = [name for name in own.keys() & state.keys() if own[name].shape != state[name].shape]
    # counters of batches came later than many files of weights
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    problems = {
        "are missing": missing,
        "are none of the model's": extra,
        "have another shape": sorted(shapes),
    }
    for problem, names in problems.items():
        if names:
            raise UsageError(
                f"the weights in {what} do not fit this model, which has {len(own)} entries: "
                f"{len(names)} {problem}, such as {names[0]!r}"
            )
    network.load_state_dict(state, strict=False)


def _reason(error: Exception) -> str:
    """What an exception says, in one short line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _class_names(network: nn.Module, classes: int) -> tuple[str, ...]:
    """The model's own class names, or ImageNet's where it has a thousand classes."""
    own = getattr(network, "class_names", None)
    if own:
        return tuple(harmless(str(name)) for name in own)
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
