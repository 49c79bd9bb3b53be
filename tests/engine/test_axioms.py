"""Generated features: priors, places, balance, the optimisation, the store and the toy network."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sanitygap.axioms import balance, placement, scenarios, store
from sanitygap.axioms.generate import Generation
from sanitygap.axioms.metrics import METRICS, metric_of
from sanitygap.axioms.prior import DecoderPrior
from sanitygap.axioms.recipes import Recipe
from sanitygap.axioms.samples import outputs
from sanitygap.axioms.scenarios import BOTH, FIRST, GOAL_ONLY, NONE, SCENARIOS, SECOND, holds
from sanitygap.chapters.axioms.measure_examples import axioms_toy
from sanitygap.errors import UsageError
from sanitygap.models.explainable import Explainable, Preprocessing, Stage

CPU = torch.device("cpu")


def tiny(classes: int = 6) -> Explainable:
    torch.manual_seed(4)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.Conv2d(8, 12, 3, stride=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, classes),
    )  # fmt: skip
    return Explainable(
        "tiny",
        network.eval().requires_grad_(False),
        Preprocessing(size=40, resize=40, scale=255.0, channels="BGR", mean=(100.0, 110.0, 120.0),
                      std=(50.0, 60.0, 70.0)),
        (Stage("6", ("6",)), Stage("2", ("2",)), Stage("0", ("0",))),
        weights_sha256="tiny",
    )  # fmt: skip


def lively() -> Explainable:
    """Six outputs that colours can drive apart: a patch covers a seventh of the image."""
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 6))
    with torch.no_grad():
        network[2].weight.copy_(120 * torch.cat([torch.eye(3), -torch.eye(3)]) / 255)
        network[2].bias.copy_(-network[2].weight.sum(1) * 127.5)
    preprocessing = Preprocessing(size=40, resize=40, mean=(0.0,) * 3, std=(1 / 255,) * 3)
    return Explainable("lively", network.eval().requires_grad_(False), preprocessing, ())


def test_decoders_side_by_side_equal_each_alone_and_a_restart_is_a_fresh_start():
    together = DecoderPrior(19, ["a", "b", "c"], CPU)
    patches = together.patches([0, 1, 2])
    assert patches.shape == (3, 3, 19, 19)
    for place, seed in enumerate("abc"):
        alone = DecoderPrior(19, [seed], CPU).patches([0])[0]
        assert torch.allclose(patches[place], alone, atol=1e-5)
        assert torch.allclose(patches[place], together.patches([place])[0], atol=1e-5)
    assert not torch.allclose(patches[0], patches[1], atol=0.01)
    together.restart(1, "c")
    assert torch.allclose(together.patches([1])[0], patches[2], atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([32, 57, 224]))
def test_patches_never_overlap_and_lie_inside(seed, size):
    place = placement.draw_place(size, 2, seed)
    side = placement.patch_size(size)
    masks = placement.regions(place, side)
    assert masks.sum() == 2 * side * side
    assert not (masks[0] & masks[1]).any()
    assert placement.apart(*place.corners, side)
    again = placement.draw_place(size, 2, seed)
    assert again.corners == place.corners
    assert torch.equal(again.background, place.background)


def test_inputs_are_the_inverse_of_the_display_and_slopes_follow_the_chain_rule():
    model = tiny()
    pixels = torch.rand(2, 3, 40, 40)
    assert torch.allclose(
        model.preprocessing.to_rgb(placement.to_inputs(model.preprocessing, pixels)),
        pixels,
        atol=1e-5,
    )
    leaf = pixels.clone().requires_grad_()
    direct = torch.autograd.grad(
        model.module(placement.to_inputs(model.preprocessing, leaf))[:, 1].sum(), leaf
    )[0]
    inputs = placement.to_inputs(model.preprocessing, pixels).requires_grad_()
    slopes = torch.autograd.grad(model.module(inputs)[:, 1].sum(), inputs)[0]
    assert torch.allclose(
        placement.slopes_of_pixels(model.preprocessing, slopes), direct, rtol=1e-4, atol=1e-5
    )


def test_keys_weights_and_the_bent_square_equal_their_formulas():
    x, y = np.array([3.0, -2.0, 0.0, 0.0]), np.array([2.0, 4.0, 1.0, 0.0])
    found = scenarios.relative_change(torch.tensor(x), torch.tensor(y)).numpy()
    assert found[:2] == pytest.approx(np.tanh([1 / 2, 6 / 2]))
    assert list(found[2:]) == [1.0, 0.0]
    k = torch.tensor([0.1, 0.5, 0.9])
    expected = [-((1 - v) ** 0.8) * np.log(v) for v in (0.1, 0.5, 0.9)]
    assert balance.goal_weight(k).numpy() == pytest.approx(expected, rel=1e-5)
    assert balance.constraint_weight(1 - k).numpy() == pytest.approx(expected, rel=1e-4)
    change = torch.tensor([-0.5, 0.5, 2.0, -3.0])
    assert balance.bent_square(change, 1.0).tolist() == pytest.approx([0.25, 0.25, 3.0, 5.0])
    assert torch.equal(balance.bent_square(change, float("inf")), change.square())


def test_a_sample_holds_only_if_every_threshold_is_met():
    softmax = torch.zeros(4, 2)
    logits = torch.ones(4, 2)
    softmax[FIRST, 0], softmax[SECOND, 1] = 0.95, 0.96
    logits[FIRST, 0], logits[BOTH, 0] = 10.0, 10.9
    null = SCENARIOS["null"]
    assert bool(holds(null, logits, softmax))
    for place, value in (((SECOND, 1), 0.93), ((FIRST, 0), 0.5)):
        low = softmax.clone()
        low[place] = value
        assert not bool(holds(null, logits, low))
    moved = logits.clone()
    moved[SECOND, 0] = 1.2  # alone it changes output a by a fifth of the bare background's
    assert logits[NONE, 0] == 1
    assert not bool(holds(null, moved, softmax))


def test_samples_do_not_depend_on_what_is_made_beside_them():
    model = tiny()
    recipe = Recipe(max_steps=4, warm_up=2, at_once=3, least_reference=0.0)
    together = Generation(model, SCENARIOS["double"], range(3), recipe, 0).run()
    streamed = Generation(model, SCENARIOS["double"], range(3), replace(recipe, at_once=2), 0).run()
    for one, other in zip(together, streamed, strict=True):
        assert (one.number, one.classes, one.steps) == (other.number, other.classes, other.steps)
        gap = (one.patches.int() - other.patches.int()).abs()
        assert gap.float().mean() < 1.0


def test_the_optimisation_reaches_a_goal_and_gives_up_honestly():
    model = lively()
    recipe = Recipe(max_steps=60, warm_up=5, min_steps=5, softmax=0.3, patience=1, stirred=0.0)
    made = Generation(model, GOAL_ONLY, range(4), recipe, 0).run()
    assert any(sample.accepted for sample in made)
    for sample in made:
        if sample.accepted:
            places = [sample.place(40, 0, ("fresh", draw)) for draw in range(8)]
            _, softmax = outputs(model, GOAL_ONLY, sample.pixels, sample.classes, places)
            assert float((softmax[:, FIRST, 0] > 0.3).float().mean()) > 0.8
        else:
            assert sample.steps == 60
    hopeless = Generation(
        model, GOAL_ONLY, [0], replace(recipe, max_steps=6, softmax=0.999), 0
    ).run()
    assert [sample.accepted for sample in hopeless] == [False]


def test_a_sample_is_given_up_before_it_begins_if_its_reference_is_near_zero():
    model = lively()  # on grey noise all outputs are near 0
    null = SCENARIOS["null"]
    made = Generation(model, null, range(3), Recipe(least_reference=1e4), 0).run()
    assert [(s.number, s.accepted, s.steps) for s in made] == [(n, False, 0) for n in range(3)]
    begun = Generation(model, null, [0], Recipe(least_reference=0.0, max_steps=1), 0).run()
    assert begun[0].steps == 1


def test_a_set_is_kept_reused_and_refused_if_damaged(tmp_path):
    model, recipe = tiny(), Recipe(max_steps=2, least_reference=0.0)
    arguments = (model, SCENARIOS["single"], [0, 1], recipe, 0)
    first = store.features(*arguments, "code", tmp_path)
    (path,) = tmp_path.iterdir()
    again = store.features(*arguments, "code", tmp_path)
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.patches, other.patches)
        assert (one.classes, one.accepted, one.steps) == (
            other.classes,
            other.accepted,
            other.steps,
        )
    store.features(*arguments, "other code", tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    path.write_bytes(path.read_bytes()[:100])
    for reader in (store.read, store.read_recipe):
        with pytest.raises(UsageError, match="damaged"):
            reader(path)


def test_null_metric_is_zero_for_exact_shapley_values_and_not_for_guided_backpropagation():
    made = pd.concat(axioms_toy(["guided-backprop", "integrated-gradients", "noise"], 6, 0))
    rows = made.assign(scenario="null", output="a", outside=0.0, largest=1.0)
    metric = next(m for m in METRICS if (m.name, m.variant) == ("null", "patches"))
    for sign in ("signed", "absolute"):
        exact, _ = metric_of(rows, metric, "patch-shapley", sign, 50)
        assert exact is not None
        assert exact.estimate == 0.0
        assert exact.high == 0.0
        guided, _ = metric_of(rows, metric, "guided-backprop", sign, 50)
        assert guided is not None
        assert guided.low > 0.2
        path, _ = metric_of(rows, metric, "integrated-gradients", sign, 50)
        assert path is not None
        assert abs(path.estimate) < 1e-6
