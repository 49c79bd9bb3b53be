"""The experiments about sensitivity on a tiny network, and the neighbours' scores."""

import sys
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import torch
from skimage.metrics import structural_similarity

from sanitygap.chapters.randomization import measure as mprt
from sanitygap.chapters.randomization.measure import DRAWS
from sanitygap.chapters.sriram.measure import changed_layers, moved_weights, paper_layers
from sanitygap.images import load_images
from sanitygap.models import load_model
from sanitygap.models.explainable import Stage
from sanitygap.randomization import RandomTwin, steps
from sanitygap.table import Context
from sanitygap.tables import TABLES
from tests.models.tiny import TINY, photographs


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    folder = photographs(tmp_path_factory.mktemp("images") / "folder", 3)
    return Context(lambda: load_model(TINY), lambda: load_images(f"folder:{folder}"), 0)


def table(context: Context, name: str, **parameters) -> pd.DataFrame:
    entry = TABLES[name]
    settings = {**entry.profiles["smoke"], **parameters}
    chunks = entry.parts(context, **settings)
    return pd.concat([chunk.compute() for chunk in chunks], ignore_index=True)


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


@pytest.fixture
def maps():
    source = torch.Generator().manual_seed(0)
    first = torch.randn(3, 20, 17, generator=source)
    return first, 0.6 * first + torch.randn(3, 20, 17, generator=source)


def test_flattened_ssim_is_scikit_images_in_one_dimension(maps):
    first, second = (mprt.normalised(one) for one in maps)
    found = mprt.flat_ssim(first, second)
    for number in range(3):
        a, b = (one[number].flatten().numpy() for one in (first, second))
        extent = float(max(a.max(), b.max()) - min(a.min(), b.min()))
        expected = structural_similarity(a, b, win_size=7, data_range=extent)
        assert float(found[number]) == pytest.approx(expected, abs=2e-3)  # borders are cut alike


def test_histogram_entropy_is_numpys(maps):
    first = mprt.normalised(maps[0])
    found = mprt.histogram_entropy(first, 20)
    for number in range(3):
        counts = np.histogram(first[number].numpy(), 20)[0]
        shares = counts[counts > 0] / counts.sum()
        assert float(found[number]) == pytest.approx(-(shares * np.log(shares)).sum(), abs=1e-3)


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


@pytest.mark.skipif(find_spec("quantus") is None, reason="Quantus is not installed")
def test_the_peers_numbers_are_ours(context):
    quantus = pytest.importorskip("quantus")
    from sanitygap.attribution import attribute

    model, batch = context.model, context.batch([0, 1])
    rows = table(context, "mprt-variants", methods=("gradient",), n_steps=99, copies=1)
    rows = rows[rows["draw"] == DRAWS[1]]

    def explain(model, inputs, targets, **_):
        from dataclasses import replace

        made = replace(context.model, module=model)
        x = torch.as_tensor(np.asarray(inputs), dtype=torch.float32)
        y = torch.as_tensor(np.asarray(targets))
        return attribute(made, x, y, ["gradient"], [0] * len(x))["gradient"][:, None].numpy()

    metric = quantus.MPRT(
        seed=0, layer_order="top_down", disable_warnings=True, display_progressbar=False
    )
    found = metric(
        model=model.module, x_batch=batch.inputs.contiguous().numpy(),
        y_batch=batch.targets.numpy(), explain_func=explain, device="cpu",
    )  # fmt: skip
    names = mprt.resettable(model.module)
    assert list(found) == ["original", *names]
    for number, name in enumerate(["original", *names]):
        own = rows[rows["layers"] == number].sort_values("position")["spearman"]
        np.testing.assert_allclose(own, found[name], atol=1e-4, err_msg=name)
    assert "quantus" in sys.modules
