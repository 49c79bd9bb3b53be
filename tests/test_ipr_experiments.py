"""The experiments about sensitivity on a tiny network, and the neighbours' scores."""

import sys
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import torch
from skimage.metrics import structural_similarity

from sanitygap import mprt
from sanitygap.experiments import TABLES
from sanitygap.experiments.ipr_test import changed_layers, paper_layers, sized
from sanitygap.experiments.mprt_variants import DRAWS
from sanitygap.experiments.sensitivity_limits import moved_weights
from sanitygap.images import load_images
from sanitygap.models import load_model
from sanitygap.models.explainable import Stage
from sanitygap.randomization import RandomTwin, steps
from sanitygap.table import Context
from tests.models.tiny import TINY, photographs

NAMES = (
    "ipr-test",
    "ipr-captum",
    "ipr-retest",
    "ipr-models",
    "captum-agreement",
    "small-changes",
    "ipr-references",
    "ipr-composition",
    "ipr-kinds",
    "mprt-variants",
)


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    folder = photographs(tmp_path_factory.mktemp("images") / "folder", 3)
    return Context(lambda: load_model(TINY), lambda: load_images(f"folder:{folder}"), 0)


def table(context: Context, name: str, **knobs) -> pd.DataFrame:
    entry = TABLES[name]
    settings = {**entry.profiles["smoke"], **knobs}
    chunks = entry.parts(context, **settings)
    return pd.concat([chunk.compute() for chunk in chunks], ignore_index=True)


@pytest.mark.parametrize("name", NAMES)
def test_tables_hold_their_columns_and_leave_the_network_as_it_was(context, name):
    before = {key: value.clone() for key, value in context.model.module.state_dict().items()}
    rows = table(context, name)
    assert list(rows) == list(TABLES[name].columns)
    assert len(rows) > 0
    after = context.model.module.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@pytest.mark.parametrize("name", NAMES)
def test_chunks_have_addresses_of_their_own(context, name):
    entry = TABLES[name]
    made = [one.id for one in entry.parts(context, **entry.profiles["smoke"])]
    assert len(set(made)) == len(made)


def test_the_test_is_the_independent_order_with_the_papers_methods(context):
    rows = table(context, "ipr-test", methods=("gradient", "noise"), n_steps=None)
    other = table(
        context, "randomization", methods=("gradient", "noise"), order="independent", n_steps=None,
        max_images=2,
    )  # fmt: skip
    shared = [name for name in other if name in rows and name not in ("steps",)]
    pd.testing.assert_frame_equal(rows[shared], other[shared])
    assert (rows["seconds"] > 0).all()
    assert set(rows["steps"]) == {len(context.model.stages)}


def test_limes_samples_are_in_the_address_and_not_in_the_name(context):
    assert sized(("lime", "gradient"), 7) == ["lime@7", "gradient"]
    rows = table(context, "ipr-test", methods=("lime",), lime_samples=5)
    assert set(rows["method"]) == {"lime"}
    addresses = {
        TABLES["ipr-test"].parts(context, methods=("lime",), lime_samples=n)[0].id for n in (5, 6)
    }
    assert len(addresses) == 2


def test_layers_of_the_papers_networks_are_theirs():
    from sanitygap.models.explainable import Explainable, Preprocessing
    from sanitygap.models.stages import untrained

    for name, count in (("resnet18", 8), ("mobilenet_v2", 19)):
        module = untrained(name)
        model = Explainable(name, module, Preprocessing(), ())
        assert len(paper_layers(model).stages) == count


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


def test_fresh_noise_passes_and_blind_explainers_do_not_change(context):
    rows = table(context, "ipr-test", methods=("noise", "noise-fixed", "edges", "centre"))
    means = rows[rows["sign"] == "signed"].groupby("method")["ssim"].mean()
    assert means["noise"] < 0.1
    assert means.drop("noise").min() == pytest.approx(1, abs=1e-5)


def test_a_method_that_captum_refuses_is_left_out(context, monkeypatch):
    from sanitygap.attribution import applicable

    monkeypatch.setattr(applicable, "_FOUND", applicable._FOUND.__class__())
    own = applicable._refusal

    def refusal(model, method):
        return "captum refuses" if method.name == "captum-deeplift" else own(model, method)

    monkeypatch.setattr(applicable, "_refusal", refusal)
    with pytest.warns(UserWarning, match="captum refuses"):
        rows = table(context, "ipr-captum", methods=("deeplift", "captum-deeplift"))
    assert set(rows["method"]) == {"deeplift"}


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


def test_complexity_rises_from_a_spike_to_noise(maps):
    spike = torch.zeros(1, 20, 20)
    spike[0, 3, 3] = 1
    assert float(mprt.complexity_rise(spike, torch.rand(1, 20, 20))) > 1
    first = mprt.normalised(maps[0])
    assert torch.equal(mprt.complexity_rise(first, first), torch.zeros(3))


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
    averaged = quantus.MPRT(
        seed=0, layer_order="top_down", disable_warnings=True, return_average_correlation=True
    )(
        model=model.module, x_batch=batch.inputs.contiguous().numpy(),
        y_batch=batch.targets.numpy(), explain_func=explain, device="cpu",
    )  # fmt: skip
    with_original = rows.groupby("position")["spearman"].mean()
    np.testing.assert_allclose(averaged, with_original, atol=1e-4)
    assert "quantus" in sys.modules
