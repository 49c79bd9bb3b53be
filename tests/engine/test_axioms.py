"""Generated features: priors, places, balance, the optimisation, the store and the toy network."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sanitygap.axioms import balance, store, toy
from sanitygap.axioms.generate import Generation
from sanitygap.axioms.layers import resolution_layers
from sanitygap.axioms.metrics import METRICS, metric_of, region_sums, shared_sums
from sanitygap.axioms.placement import (
    apart,
    composed,
    draw_place,
    patch_size,
    regions,
    slopes_of_pixels,
    to_inputs,
)
from sanitygap.axioms.prior import DecoderPrior
from sanitygap.axioms.recipes import ORIGINAL, Recipe
from sanitygap.axioms.samples import Sample, outputs
from sanitygap.axioms.scenarios import (
    BOTH,
    FIRST,
    GOAL_ONLY,
    NONE,
    SCENARIOS,
    SECOND,
    holds,
    relative_change,
)
from sanitygap.errors import UsageError
from sanitygap.experiments.axiom_pictures import axioms_toy
from sanitygap.experiments.axiom_sets import BLOCK
from sanitygap.experiments.keep_features import keep_features
from sanitygap.models.explainable import Explainable, Preprocessing, Stage
from sanitygap.pages.axioms import fresh_keys, shares
from sanitygap.table import TABLES, Context, Part

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


def test_a_patch_depends_on_its_own_parameters_only():
    prior = DecoderPrior(16, ["a", "b"], CPU)
    found = torch.autograd.grad(prior.patches([0, 1])[0].sum(), prior.parameters)
    assert all(torch.count_nonzero(slope[1]) == 0 for slope in found)
    assert any(torch.count_nonzero(slope[0]) > 0 for slope in found)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([32, 57, 224]))
def test_patches_never_overlap_and_lie_inside(seed, size):
    place = draw_place(size, 2, seed)
    side = patch_size(size)
    masks = regions(place, side)
    assert masks.sum() == 2 * side * side
    assert not (masks[0] & masks[1]).any()
    assert apart(*place.corners, side)
    again = draw_place(size, 2, seed)
    assert again.corners == place.corners
    assert torch.equal(again.background, place.background)


def test_noise_background_has_the_papers_moments_and_the_blurred_one_its_spread():
    for background in ("noise", "blur"):
        pixels = draw_place(224, 1, 0, background=background).background
        assert abs(float(pixels.mean()) - 0.5) < 0.02
        assert abs(float(pixels.std()) - 0.1) < 0.01


def test_inputs_are_the_inverse_of_the_display_and_slopes_follow_the_chain_rule():
    model = tiny()
    pixels = torch.rand(2, 3, 40, 40)
    assert torch.allclose(
        model.preprocessing.to_rgb(to_inputs(model.preprocessing, pixels)), pixels, atol=1e-5
    )
    leaf = pixels.clone().requires_grad_()
    direct = torch.autograd.grad(
        model.module(to_inputs(model.preprocessing, leaf))[:, 1].sum(), leaf
    )[0]
    inputs = to_inputs(model.preprocessing, pixels).requires_grad_()
    slopes = torch.autograd.grad(model.module(inputs)[:, 1].sum(), inputs)[0]
    assert torch.allclose(
        slopes_of_pixels(model.preprocessing, slopes), direct, rtol=1e-4, atol=1e-5
    )


def test_keys_weights_and_the_bent_square_equal_their_formulas():
    x, y = np.array([3.0, -2.0, 0.0, 0.0]), np.array([2.0, 4.0, 1.0, 0.0])
    found = relative_change(torch.tensor(x), torch.tensor(y)).numpy()
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


@pytest.mark.parametrize("name", ["null", "single", "double", "saturation"])
@pytest.mark.parametrize("way", ["original", "ours"])
def test_slopes_equal_a_naive_loss_through_the_whole_image(name, way):
    model, scenario = tiny(), SCENARIOS[name]
    ours = Recipe(at_once=2, least_reference=0.0)
    recipe = ours if way == "ours" else replace(ORIGINAL, at_once=2)
    run = Generation(model, scenario, [0, 1], recipe, 3)
    for slot in run.slots:
        slot.warm = [False] * scenario.patches
    before = run.pixels.clone()
    kept = {}
    run._step = lambda moved: kept.update(moved=moved)
    grown = run.prior.patches
    run.prior.patches = lambda which: kept.setdefault("patches", grown(which).detach())
    backward = torch.autograd.backward
    torch.autograd.backward = lambda patches, slopes: kept.update(slopes=slopes)
    try:
        run.advance()
    finally:
        torch.autograd.backward = backward
    slopes = kept["slopes"].unflatten(0, (2, scenario.patches))
    for place, slot in enumerate(run.slots):
        leaf = before[place].clone().requires_grad_()

        def logits(coalition, live, leaf=leaf, place=place):
            shown = [p if i == live else p.detach() for i, p in enumerate(leaf)]
            image = composed(run.places[place], torch.stack(shown), scenario.members(coalition))
            return model.module(to_inputs(model.preprocessing, image[None]))[0]

        loss = 0
        for goal, average in zip(scenario.goals, slot.goals, strict=True):
            row, output = logits(goal.coalition, goal.patch), slot.classes[goal.output]
            if way == "original":
                loss = loss - 10 * float(balance.goal_weight(average[None])) * row[output]
            else:  # the log-odds, by the softmax
                odds = row.double().softmax(0)[output].logit()
                short = (5 - odds).clamp(min=0)
                loss = loss + torch.where(short < 2, short**2, 4 * short - 4)
        for rule, average in zip(scenario.constraints, slot.constraints, strict=True):
            output = slot.classes[rule.output]
            row = logits(rule.coalition, rule.patch)[output]
            base = logits(rule.without, None)[output].detach()
            weight = float(balance.constraint_weight(average[None]))
            if way == "original":
                loss = loss + 5 * weight * (row - base) ** 2
            else:
                weight /= float(balance.goal_weight(slot.goals[rule.patch][None]))
                low, high = ours.bounds
                allowed = np.arctanh(0.14) * max(
                    0.5, min(abs(float(row.detach())), abs(float(base)))
                )
                over = ((row - base).abs() / allowed - ours.slack).clamp(min=0)
                bent = torch.where(over < 2, over**2, 4 * over - 4)
                loss = loss + min(max(weight, low), high) * bent
        expected = torch.autograd.grad(loss, leaf)[0].float()
        assert torch.allclose(
            slopes[place], expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max())
        )


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


def test_the_original_recipe_takes_the_first_draw_that_passes():
    model = lively()
    recipe = replace(ORIGINAL, max_steps=40, min_steps=1, warm_up=1, softmax=0.3)
    (sample,) = Generation(model, GOAL_ONLY, [0], recipe, 0).run()
    assert sample.accepted
    assert sample.steps < 40


def test_a_sample_is_given_up_before_it_begins_if_its_reference_is_near_zero():
    model = lively()  # on grey noise all outputs are near 0
    null = SCENARIOS["null"]
    made = Generation(model, null, range(3), Recipe(least_reference=1e4), 0).run()
    assert [(s.number, s.accepted, s.steps) for s in made] == [(n, False, 0) for n in range(3)]
    begun = Generation(model, null, [0], Recipe(least_reference=0.0, max_steps=1), 0).run()
    assert begun[0].steps == 1


def test_a_patch_that_rests_stays_as_it_is():
    model = tiny()
    recipe = Recipe(at_once=1, least_reference=0.0, rest=1000, max_steps=9, patience=1000)
    run = Generation(model, SCENARIOS["double"], [0], recipe, 0)
    run.advance()
    run.slots[0].goals[0], run.slots[0].warm = 0.999, [True, True]
    before = [tensor.detach().clone() for tensor in run.prior.parameters]
    squares = [state["square_avg"].clone() for state in run.optimizer.state.values()]
    run.advance()
    for tensor, old in zip(run.prior.parameters, before, strict=True):
        assert torch.equal(tensor[0], old[0])
        assert not torch.equal(tensor[1], old[1])
    for state, old in zip(run.optimizer.state.values(), squares, strict=True):
        assert torch.equal(state["square_avg"][0], old[0])


def test_a_step_in_which_everything_rests_changes_nothing():
    recipe = Recipe(at_once=1, rest=1000, max_steps=9, patience=1000)
    run = Generation(tiny(), GOAL_ONLY, [0], recipe, 0)
    run.advance()
    run.slots[0].goals[0] = 0.999
    before = [tensor.detach().clone() for tensor in run.prior.parameters]
    assert run.advance() == []
    assert run.slots[0].step == 2
    assert all(map(torch.equal, run.prior.parameters, before))


def test_patches_that_saturate_move_together():
    for seed in range(20):
        place = draw_place(224, 2, seed, offset=(128 / 224, 0.25))
        (a, b), (c, d) = place.corners
        assert (c - a, d - b) == (128, 56)
        assert min(a, b) >= 0
        assert max(c, d) + patch_size(224) <= 224


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


def test_a_set_that_the_project_carries_lists_what_was_given_up_without_patches(tmp_path):
    model, scenario = tiny(), SCENARIOS["single"]
    patches = torch.full((1, 3, 15, 15), 7, dtype=torch.uint8)
    made = [Sample("single", number, (0, 5), patches, number == 1, 9, 0.5) for number in range(3)]
    assert store.kept(model, scenario, tmp_path) is None
    recipe = Recipe(max_steps=9, bounds=None, least_reference=2.5)
    path = store.keep(model, scenario, made, recipe, tmp_path)
    assert path == store.kept(model, scenario, tmp_path)
    assert store.read_recipe(path) == recipe
    found = store.read(path)
    for text in ("{", "{}", '{"bounds": null, "unknown": 1}'):
        with np.load(path) as file:
            arrays = dict(file) | {"recipe": np.array(text)}
        np.savez(tmp_path / "other.npz", **arrays)
        with pytest.raises(UsageError, match="damaged"):
            store.read_recipe(tmp_path / "other.npz")
    assert [sample.accepted for sample in found] == [False, True, False]
    assert [int(sample.patches.sum() > 0) for sample in found] == [0, 1, 0]
    assert torch.equal(found[1].patches, patches)


def test_parts_are_blocks_of_new_samples_or_the_set_that_is_carried(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "find_root", lambda: tmp_path)
    monkeypatch.setenv("SANITYGAP_CACHE", str(tmp_path / "cache"))
    context = Context(tiny, pytest.fail, 0)
    wanted = {"methods": ("gradient", "noise"), "samples": BLOCK + 1, "which": ("single",),
              "max_steps": 1}  # fmt: skip

    def parts(source: str) -> list[Part]:
        return TABLES["axioms-scores"].parts(context, **wanted, source=source)

    new = parts("new")
    assert len({part.id for part in new}) == 2 * 3, "two blocks; two methods and the references"
    nothing = new[0].compute()
    assert nothing.empty
    assert nothing["first"].dtype == float
    addresses = []
    for seed in (0, 1):
        recipe = Recipe(max_steps=1, least_reference=0.0)
        made = Generation(context.model, SCENARIOS["single"], [0, 1], recipe, seed).run()
        store.keep(context.model, SCENARIOS["single"], made, recipe, tmp_path)
        addresses += [part.id for part in parts("kept")]
    assert len(set(addresses)) == 2 * 3, "one set; another file is another part"


def test_sets_are_generated_block_by_block_and_kept_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("SANITYGAP_CACHE", str(tmp_path / "cache"))
    model, recipe = tiny(), Recipe(max_steps=2, least_reference=0.0)
    wanted = [SCENARIOS["single"], SCENARIOS["null"]]
    found = list(keep_features(model, wanted, BLOCK + 1, 3, recipe, tmp_path))
    assert [path for path, _ in found] == [store.kept(model, one, tmp_path) for one in wanted]
    assert [sample.number for sample in store.read(found[0][0])] == list(range(BLOCK + 1))
    assert [store.read_recipe(path) for path, _ in found] == [recipe, recipe]
    blocks = list((tmp_path / "cache").rglob("*.npz"))
    assert len(blocks) == 2 * len(wanted)  # the last one holds the sample above a whole block
    monkeypatch.setattr(store, "Generation", None)  # a second run takes all of them from disk
    assert len(list(keep_features(model, wanted, BLOCK + 1, 3, recipe, tmp_path))) == len(wanted)


def test_fresh_draws_are_judged_by_every_threshold_and_counted_by_sample():
    rows = []
    for sample, shift in ((3, 0.1), (4, 0.5)):  # the second one changes output b by a quarter
        for draw in range(3):
            for coalition in ("none", "first"):
                there = coalition == "first"
                rows.append(
                    {"sample": sample, "draw": draw, "coalition": coalition, "logit_a": 20.0,
                     "logit_b": 2 + shift * there, "softmax_b": 0.0,
                     "softmax_a": (0.9 if draw == 2 else 0.99) * there,
                     "softmax_least": 0.94, "change_most": 0.14}
                )  # fmt: skip
    found = fresh_keys(pd.DataFrame(rows), "single")
    assert list(found["sample"]) == [3, 3, 3, 4, 4, 4]
    assert list(found["holds"]) == [1, 1, 0, 0, 0, 0]
    assert found["change"].to_numpy() == pytest.approx(np.tanh([0.05] * 3 + [0.25] * 3))
    by_sample = found.groupby("sample")["holds"]
    assert shares(by_sample.first()).startswith("50% [")
    assert shares(found["holds"]) == "33% of 6"
    assert shares(found["holds"].iloc[:0]) == "none accepted"


def test_sums_over_the_patches_equal_loops():
    maps = torch.randn(2, 30, 30)
    places = [draw_place(30, 2, seed) for seed in range(2)]
    side = patch_size(30)
    masks = torch.stack([regions(place, side) for place in places])
    found = region_sums(maps, masks)
    other = torch.randn(2, 30, 30)
    shared = shared_sums(maps, other, masks)["shared"]
    for number, place in enumerate(places):
        inside, expected = [], 0.0
        for row, column in place.corners:
            box = (slice(row, row + side), slice(column, column + side))
            inside.append(float(maps[number][box].sum()))
            expected += float(torch.minimum(maps[number][box], other[number][box]).sum())
        assert [float(found["first"][number]), float(found["second"][number])] == pytest.approx(
            inside, rel=1e-4, abs=1e-4
        )
        rest = float(maps[number].sum()) - sum(inside)
        assert float(found["outside"][number]) == pytest.approx(rest, rel=1e-3, abs=1e-3)
        assert float(shared[number]) == pytest.approx(expected, rel=1e-3, abs=1e-3)


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


def test_the_wired_network_is_null_for_green_in_every_coalition():
    model = toy.wired_model()
    images, _ = toy.coloured_inputs(5, 1)
    with torch.no_grad():
        a, b = model.module(images.flatten(0, 1)).unflatten(0, (5, 4)).unbind(-1)
    assert torch.equal(a[:, 2], a[:, 0])
    assert torch.allclose(a[:, 3], a[:, 1], atol=1e-7)
    assert (a[:, 1] > 0).all()
    assert (b[:, 2] > 0).all()
    assert torch.equal(b[:, 1], b[:, 0])


def test_layers_of_falling_resolution():
    assert resolution_layers(tiny(), 2) == ["0", "2"]
    with pytest.raises(UsageError, match="resolutions"):
        resolution_layers(tiny(), 4)
