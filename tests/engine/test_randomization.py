"""Randomisation: what is redrawn, from which distribution, and that nothing is left behind."""

import pytest
import torch

from sanitygap.attribution import attribute
from sanitygap.randomization import RandomTwin, draw, steps
from sanitygap.seeds import generator


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


def test_weights_are_random_while_lrp_runs(small, inputs):
    """zennit puts weights back on exit; inside, the randomised ones must be at work."""
    targets = torch.zeros(4, dtype=torch.long)
    seen = []
    hook = small.module.fc.register_forward_hook(lambda m, i, o: seen.append(m.weight.clone()))
    twin = RandomTwin(small, 3)
    base = attribute(small, inputs, targets, ["lrp-epsilon-plus"], range(4))["lrp-epsilon-plus"]
    with twin.redrawn(small.stages):
        random = attribute(small, inputs, targets, ["lrp-epsilon-plus"], range(4))
        inside = small.module.fc.weight.clone()
    hook.remove()
    trained = small.module.fc.weight
    assert any(torch.equal(weight, inside) for weight in seen)
    assert not torch.equal(inside, trained)
    assert not torch.allclose(random["lrp-epsilon-plus"], base)


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
