"""Both tests in a script: a plain network and tensors in, a tidy table out."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sanitygap import occlusion, sanity_check
from sanitygap.attribution import Methods, Sampling, select
from sanitygap.errors import UsageError
from sanitygap.faithfulness import REGIONS
from sanitygap.images import ImageSet
from sanitygap.models.explainable import Explainable
from sanitygap.randomization import Norms, Order, Weights
from sanitygap.reductions import Reduction
from sanitygap.table import Batch, Context, find_table

Maps = Mapping[str, Any]
"""Method -> maps ``(N, H, W)`` or ``(N, C, H, W)``, an array or a tensor."""


def randomization_test(
    model: Explainable,
    inputs: Tensor,
    targets: Tensor,
    methods: Methods,
    *,
    order: Order = "top-down",
    n_steps: int | None = None,
    weights: Weights = "he-normal",
    norms: Norms = "reset",
    path_steps: int = 50,
    noisy_copies: int = 50,
    seed: int = 0,
) -> pd.DataFrame:
    """Similarity of each map to the same image's map after redrawing weights, step by step.

    Args:
        model: of :func:`sanitygap.explainable` or :func:`sanitygap.load_model`.
        inputs: float, ``(N, 3, H, W)``, in the model's input space.
        targets: explained classes, int64, ``(N,)``.
        methods: registered names and objects of your own, or ``{name: object}``; an object is a
            function ``(module, inputs, targets) -> maps``, an attribution class of captum, or a
            composite of zennit.
        order: ``top-down``, ``bottom-up`` or ``independent``.
        n_steps: that many steps, evenly spread; all by default.
        weights: distribution of the redrawn weights.
        norms: ``reset`` or ``kept``: what becomes of normalisation layers.
        path_steps: points of integrated gradients.
        noisy_copies: copies in SmoothGrad.
        seed: of the redrawn weights and of methods that draw.

    Returns:
        One row an image, step, method and sign (``signed`` or ``absolute`` maps), with the
        similarities of :class:`sanitygap.similarity.Reference` and ``random_parameters``, the share
        of the parameters that was redrawn.

    Raises:
        UsageError: unfitting inputs or targets, an unknown method, or one that is not defined for
            this network or gives no maps.
    """
    chosen = _selected(methods)
    settings = find_table("randomization").checked(
        {"order": order, "n_steps": n_steps, "weights": weights, "norms": norms}
        | {"path_steps": path_steps, "noisy_copies": noisy_copies}
    )
    return _tidy(
        rows
        for batch in _batches(model, inputs, targets, seed)
        for rows in sanity_check.randomization_test(batch, chosen, **settings)
    )


def occlusion_test(
    model: Explainable,
    inputs: Tensor,
    targets: Tensor,
    methods: Methods = (),
    maps: Maps | str | Path | None = None,
    *,
    patches: Sequence[int] = (15,),
    rank_by: Sequence[Reduction] = ("signed", "sum-abs"),
    regions: int = REGIONS,
    every: int = 1,
    path_steps: int = 50,
    noisy_copies: int = 50,
    seed: int = 0,
) -> pd.DataFrame:
    """Softmax and logit of the target as the regions ranked highest by a map are blurred.

    Args:
        model, inputs, targets, methods, path_steps, noisy_copies, seed: as in
            :func:`sanitygap.randomization_test`.
        maps: maps that are there already, beside those of the methods: ``{name: maps}`` with one
            map an input, ``(N, H, W)`` or ``(N, C, H, W)``; or a file, see
            :func:`sanitygap.read_maps`.
        patches: sides of the square regions, in pixels of a 224-pixel input; they scale with it.
        rank_by: reductions of the colour channels: ``signed`` (sum), ``abs-sum``, ``sum-abs`` or
            ``l2``. The mean of what they give ranks the regions.
        regions: how many are replaced.
        every: the prediction is taken after every that many of them.

    Returns:
        One row an image, method, reduction, patch and number of replaced ``regions``, with
        ``softmax`` and ``logit`` of the target.

    Raises:
        UsageError: as :func:`sanitygap.randomization_test`, and maps that do not fit the inputs.
    """
    given = read_maps(maps) if isinstance(maps, str | Path) else dict(maps or {})
    chosen = _selected(methods, tuple(given))
    there = as_maps(given, (len(inputs), *inputs.shape[2:]))
    settings = find_table("occlusion").checked(
        {"patches": patches, "rank_by": rank_by, "regions": regions, "every": every}
        | {"path_steps": path_steps, "noisy_copies": noisy_copies}
    )
    sampling = Sampling(settings.pop("path_steps"), settings.pop("noisy_copies"))
    return _tidy(
        rows
        for batch in _batches(model, inputs, targets, seed)
        for rows in occlusion.occlude(
            batch,
            batch.unpooled(chosen, seed, "base", sampling=sampling)
            | {n: maps[list(batch.positions)].to(batch.inputs) for n, maps in there.items()},
            **settings,
        )
    )


def read_maps(path: str | Path) -> dict[str, np.ndarray]:
    """Maps from an ``.npz`` file with two arrays, which may not hold pickled objects.

    It is written with ``numpy.savez(path, names=["mine"], maps=maps[None])``.

    Args:
        path: of a file with ``names``, ``(M,)``, of methods, and ``maps``, float, ``(M, N, H, W)``
            or ``(M, N, C, H, W)``, in the order of the names and of the inputs.

    Returns:
        Name -> maps ``(N, H, W)`` or ``(N, C, H, W)``.

    Raises:
        UsageError: there is no such file, or it holds something else.
    """
    advice = "save it with numpy.savez(path, names=names, maps=maps)"
    try:
        with np.load(path, allow_pickle=False) as file:
            names, maps = file["names"], file["maps"]
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}; {advice}") from None
    except Exception:  # whatever a file that holds something else makes the reader stumble over
        raise UsageError(f"{path} holds no arrays `names` and `maps`; {advice}") from None
    listed = [str(name) for name in names.ravel()]
    if maps.ndim not in (4, 5) or len(maps) != len(listed) or len({*listed}) != len(listed):
        raise UsageError(
            f"{path} holds {len(listed)} names and maps of shape {maps.shape}; it must be "
            "(names, images, height, width), and each name another one"
        )
    return dict(zip(listed, maps, strict=True))


def _selected(methods: Methods, others: Sequence[str] = ()) -> Any:
    """The methods, each of another name.

    Raises:
        UsageError: there is none, or two of one name.
    """
    chosen = select(methods)
    names = [method.name for method in chosen] + list(others)
    if not names:
        raise UsageError("name at least one method, such as methods=['gradient']")
    if repeated := [name for name in names if names.count(name) > 1]:
        raise UsageError(
            f"two methods are called {repeated[0]!r}; give them as {{name: object}}, each its own"
        )
    return chosen


def _batches(model: Explainable, inputs: Tensor, targets: Tensor, seed: int) -> Iterator[Batch]:
    """Inputs and targets in the portions that tables are measured in.

    Raises:
        UsageError: they do not fit the model or each other.
    """
    if not isinstance(model, Explainable):
        raise UsageError("wrap the network before: model = sanitygap.explainable(module, size)")
    count, shape = len(inputs), tuple(model.example.shape[1:])
    if tuple(inputs.shape[1:]) != shape or not inputs.is_floating_point() or not count:
        raise UsageError(
            f"inputs must be floats of shape (N, {', '.join(map(str, shape))}), not "
            f"{inputs.dtype} of shape {tuple(inputs.shape)}"
        )
    if tuple(targets.shape) != (count,) or targets.is_floating_point():
        raise UsageError(
            f"targets must be one class an input, integers of shape ({count},), not "
            f"{targets.dtype} of shape {tuple(targets.shape)}"
        )
    classes = model.module(model.example).shape[1]
    if not bool(((targets >= 0) & (targets < classes)).all()):
        raise UsageError(f"targets must be classes from 0 to {classes - 1}")

    context = Context(lambda: model, _no_images, seed)
    for places in torch.arange(count).split(context.batch_size):
        positions = tuple(places.tolist())
        chosen = inputs.detach()[places].to(next(model.module.parameters()))
        yield Batch(
            positions,
            chosen.contiguous(memory_format=torch.channels_last),
            targets[places].long().to(model.device),
            tuple(str(place) for place in positions),
            positions,
            context,
        )


def _no_images() -> ImageSet:
    raise UsageError("a test of tensors has no photographs")


def as_maps(given: Maps, size: tuple[int, ...]) -> dict[str, Tensor]:
    """Given maps as float values ``(N, C, H, W)``.

    Args:
        given: name -> maps.
        size: that they must have, ``(N, H, W)``.

    Raises:
        UsageError: another shape, or a value that is no finite number.
    """
    fitting = {}
    for name, values in given.items():
        try:
            maps = torch.as_tensor(values).detach().float()
        except TypeError:  # such as texts
            raise UsageError(f"the maps {name!r} hold no numbers; mend them") from None
        maps = maps[:, None] if maps.ndim == 3 else maps
        if maps.ndim != 4 or (len(maps), *maps.shape[2:]) != size:
            raise UsageError(
                f"the maps {name!r} have the shape {tuple(np.shape(values))}; for these inputs it "
                f"must be {size} or ({size[0]}, channels, {size[1]}, {size[2]})"
            )
        if not torch.isfinite(maps).all():
            raise UsageError(f"the maps {name!r} hold NaN or infinite values; mend them")
        fitting[name] = maps
    return fitting


def _tidy(pieces: Iterator[pd.DataFrame]) -> pd.DataFrame:
    """One table, in which an image is the place of its input."""
    joined = pd.concat(list(pieces), ignore_index=True)
    return joined.drop(columns="image").rename(columns={"position": "image"})
