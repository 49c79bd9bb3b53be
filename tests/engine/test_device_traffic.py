"""A busy GPU: nothing is read back inside a method, and n does not raise the memory."""

import gc
import weakref

import pytest
import torch

from sanitygap.attribution import METHODS, Sampling
from sanitygap.attribution.method import Request
from sanitygap.images import load_images
from sanitygap.models import Explainable, Preprocessing
from sanitygap.table import Context
from sanitygap.tables import TABLES
from tests.conftest import SmallNet, make_explainable


@pytest.mark.parametrize("name", ["gradient", "gradient-x-input", "integrated-gradients"])
def test_no_value_is_read_back_while_maps_are_made(small: Explainable, name: str) -> None:
    """Tensors on the meta device have no values: ``item``, ``cpu`` or a truth value would raise."""
    small.module.to("meta")
    inputs = torch.empty(4, 3, 24, 24, device="meta")
    targets = torch.empty(4, dtype=torch.int64, device="meta")
    request = Request(small, inputs, targets, (1, 2, 3, 4), Sampling(path_steps=7), batch_size=8)
    values = METHODS[name].compute(request)
    assert METHODS[name].finish(values, request).shape == (4, 3, 24, 24)
    with pytest.raises((RuntimeError, NotImplementedError)):
        float(values.sum())


def test_only_one_chunk_of_images_is_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = make_explainable(SmallNet(), size=16)
    assert model.preprocessing == Preprocessing(size=16, resize=16)
    images = load_images("photos")
    context = Context(lambda: model, lambda: images, seed=0)
    monkeypatch.setattr(Context, "batch_size", 2)
    held: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []
    original = Context.batch

    def watched(self: Context, positions):
        gc.collect()
        alive.append(sum(tensor() is not None for tensor in held))
        batch = original(self, positions)
        held.append(weakref.ref(batch.inputs))
        return batch

    monkeypatch.setattr(Context, "batch", watched)
    chunks = TABLES["randomization"].parts(context, methods=["gradient"], n_steps=1, max_images=8)
    rows = sum(len(chunk.compute()) for chunk in chunks)
    assert rows == 8 * 2
    assert len(held) >= 4
    assert max(alive) == 0
