"""Redrawn weights, the small tasks, and a busy GPU."""

import gc
import weakref

import pytest
import torch

from sanitygap.attribution import METHODS, Sampling
from sanitygap.attribution.method import Request
from sanitygap.chapters.randomization.measure import accuracy, examples, trained_network
from sanitygap.images import load_images
from sanitygap.models import Explainable, Preprocessing
from sanitygap.randomization import RandomTwin, draw, steps
from sanitygap.seeds import generator
from sanitygap.table import Context
from sanitygap.tables import TABLES
from tests.conftest import make_explainable, small_net


def state(model):
    return {name: value.clone() for name, value in model.module.state_dict().items()}


def test_only_the_named_stages_change_and_all_their_weights_do(small):
    before = state(small)
    for step in steps(small.stages, "independent"):
        with RandomTwin(small, 1).redrawn(step.stages):
            now = small.module.state_dict()
            for name, value in before.items():
                inside = name.rpartition(".")[0] in step.stages[0].modules
                if not inside:
                    assert torch.equal(value, now[name]), name
                elif name.endswith("weight") and value.ndim > 1:
                    assert (value != now[name]).float().mean() > 0.99, name


def test_cumulative_orders_keep_earlier_draws(small):
    twin = RandomTwin(small, 5)
    top_down = steps(small.stages, "top-down")
    with twin.redrawn(top_down[0].stages):
        alone = small.module.fc.weight.clone()
    with twin.redrawn(top_down[-1].stages):
        assert torch.equal(small.module.fc.weight, alone)


@pytest.mark.parametrize(
    ("distribution", "deviation", "bound"),
    [
        ("he-normal", (2 / 288) ** 0.5, None),
        ("he-uniform", (2 / 288) ** 0.5, (6 / 288) ** 0.5),
        ("truncated-normal", 0.008796, 0.02),
        ("uniform", 0.01 / 3**0.5, 0.01),
    ],
)
def test_distributions_have_the_stated_moments(distribution, deviation, bound):
    drawn = draw(torch.empty(64, 32, 3, 3), distribution, generator(0))
    assert float(drawn.std()) == pytest.approx(deviation, rel=0.02)
    assert abs(float(drawn.mean())) < deviation * 0.03
    if bound:
        assert float(drawn.abs().max()) <= bound


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
    model = make_explainable(small_net(), size=16)
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


def test_a_trained_network_beats_chance_and_is_repeatable():
    shown = examples("digits", 100, 0, train=False)
    first, again = (trained_network("digits", 0, 2, count=600) for _ in range(2))
    assert accuracy(first, shown) > 0.3
    for ours, theirs in zip(first.module.parameters(), again.module.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        assert not ours.requires_grad
    other = trained_network("digits", 1, 1, count=100)
    assert not torch.equal(other.module[0].weight, first.module[0].weight)
    assert [stage.name for stage in first.stages] == ["10", "6", "3", "0"]
