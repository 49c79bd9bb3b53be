"""The experiments about sensitivity on a tiny network, and the neighbours' scores."""

import pytest
import torch

from sanitygap.chapters.randomization import measure as mprt
from sanitygap.chapters.sriram.measure import changed_layers, paper_layers
from sanitygap.chapters.sriram.measure_limits import moved_weights
from sanitygap.models.explainable import Stage
from sanitygap.randomization import RandomTwin, steps
from tests.tables import tiny_context


@pytest.fixture(scope="module")
def context(folder):
    return tiny_context(folder, 3)


def test_changed_layers_sees_a_layer_that_drags_another_along(context):
    rows = changed_layers(context.model, 0)
    redrawn = rows[rows["stage"] != "norm1"]  # freshly made, so a reset changes nothing
    assert (redrawn["changed"] == 1).all()
    assert redrawn["itself"].all()
    shared = paper_layers(context.model)
    both = Stage("both", ("conv1", "conv2"))
    from dataclasses import replace

    wrong = replace(shared, stages=(both, *shared.stages))
    assert (changed_layers(wrong, 0)["changed"] > 1).any()


def test_weights_are_moved_by_the_share(context):
    model, twin = context.model, RandomTwin(context.model, 3)
    step = steps(model.stages, "independent")[0]
    [name] = step.stages[0].modules
    weight = dict(model.module.named_modules())[name].weight
    trained = weight.detach().clone()
    with twin.redrawn(step.stages):
        drawn = weight.detach().clone()
    for share in (0.0, 0.25, 1.0):
        with moved_weights(model, twin, step, share):
            torch.testing.assert_close(weight.data, trained + share * (drawn - trained))
    assert torch.equal(weight.data, trained)
    with twin.redrawn(step.stages):
        assert torch.equal(weight.data, drawn)  # the twin's own draw was not touched


# ---- neighbours


def test_one_seed_gives_layers_of_one_shape_the_same_weights():
    from tests.conftest import make_explainable

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        *[torch.nn.Conv2d(4, 4, 3) for _ in range(3)], torch.nn.Conv2d(4, 2, 1)
    )
    model = make_explainable(net)
    trained = [layer.weight.detach().clone() for layer in net]
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    with mprt.reset_modules(model, ["0", "1", "2"], 5):
        assert torch.equal(net[0].weight, net[1].weight)
        assert not torch.equal(net[0].weight, trained[0])
        assert torch.equal(net[3].weight, trained[3])
    assert all(torch.equal(a, layer.weight) for a, layer in zip(trained, net, strict=True))
    assert torch.equal(torch.rand(1), expected)  # the world's generator goes on as before
    assert mprt.twins_of_shape(net) == pytest.approx(0.5)
    with RandomTwin(model, 5).redrawn([Stage("all", ("0", "1", "2"))]):
        assert not torch.equal(net[0].weight, net[1].weight)
