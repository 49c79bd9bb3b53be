"""Methods of a person's own: called as they should be, checked, and never taken for a paper's."""

import json
import sys

import numpy as np
import pytest
import torch
from captum.attr import Saliency
from zennit.composites import EpsilonPlus

from sanitygap.attribution import attribute
from sanitygap.attribution.check import check_method
from sanitygap.attribution.own import own_method
from sanitygap.book.sphinx import shown_run
from sanitygap.errors import UsageError
from sanitygap.importing import source_sha256
from sanitygap.models import load_model
from sanitygap.randomization import RandomTwin
from sanitygap.runs import Study
from tests.models.tiny import TINY, photographs, project

HERE = "tests.test_own_methods"


def slope(model, inputs, targets):
    """The gradient, one value a channel."""
    leaf = inputs.requires_grad_()
    return torch.autograd.grad(model(leaf).gather(1, targets[:, None]).sum(), leaf)[0]


def drawn(model, inputs, targets):
    """Noise that says so."""
    return torch.randn(len(inputs), *inputs.shape[2:])


drawn.random = True


def drawn_in_secret(model, inputs, targets):
    return torch.randn(len(inputs), 1, *inputs.shape[2:])


def steps(model, inputs, targets):
    """Differences of neighbouring pixels, whatever the network."""
    return (inputs - inputs.roll(1, -1)).abs()


def one_too_few(model, inputs, targets):
    return inputs[..., 1:]


def not_finite(model, inputs, targets):
    return inputs / 0


def numpy_array(model, inputs, targets):
    return inputs.numpy()


def failing(model, inputs, targets):
    raise KeyError("layer9")


def meddling(model, inputs, targets):
    next(model.parameters()).data.mul_(1.5)
    model.train()
    return inputs


def of_the_batch(model, inputs, targets):
    return inputs - inputs.mean(0)


relevance = EpsilonPlus()
nothing = "a text"


@pytest.fixture(scope="module")
def model():
    return load_model(TINY)


@pytest.fixture
def inputs(model):
    size = model.preprocessing.size
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1))


def maps(model, inputs, name):
    return attribute(model, inputs, model.predict(inputs), [name], [5, 6, 7])[name]


def test_a_function_is_called_with_the_network_as_it_is(model, inputs):
    for stages in ((), model.stages[:2], model.stages):
        with RandomTwin(model, 3).redrawn(stages):
            own, ours = (maps(model, inputs, n) for n in (f"{HERE}:slope", "gradient"))
        torch.testing.assert_close(own, ours)


def test_a_class_of_captum_and_a_composite_of_zennit(model, inputs):
    targets = model.predict(inputs)
    saliency = Saliency(model.module).attribute(inputs.clone(), target=targets).sum(1)
    torch.testing.assert_close(maps(model, inputs, "captum.attr:Saliency"), saliency)
    for name in ("LayerGradCam", "Occlusion", "IntegratedGradients", "InputXGradient"):
        assert maps(model, inputs, f"captum.attr:{name}").shape == (3, 32, 32)
    relevances = maps(model, inputs, f"{HERE}:relevance")
    assert relevances.shape == (3, 32, 32)
    assert maps(model, inputs, "zennit.composites:EpsilonGammaBox").shape == (3, 32, 32)
    assert not any(module._forward_hooks for module in model.module.modules())


def test_draws_depend_on_the_image_and_the_seed_only(model, inputs):
    before = torch.get_rng_state()
    together = maps(model, inputs, f"{HERE}:drawn")
    targets = model.predict(inputs)
    alone = attribute(model, inputs[1:2], targets[1:2], [f"{HERE}:drawn"], [6])
    torch.testing.assert_close(together[1:2], alone[f"{HERE}:drawn"])
    assert not torch.equal(together[0], together[1])
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("one_too_few", "the shape (3, 3, 32, 31) for 3 images; it must be (3, 32, 32)"),
        ("not_finite", "NaN or infinite"),
        ("numpy_array", "returns a ndarray, not a tensor"),
        ("failing", "failed on tests.models.tiny:network: KeyError: 'layer9' (test_own_methods.py"),
        ("nothing", "is no attribution method: name a function"),
        ("missing", "has no 'missing'"),
    ],
)
def test_refused_methods(model, inputs, name, words):
    with pytest.raises(UsageError) as caught:
        maps(model, inputs, f"{HERE}:{name}")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["no_such_module:f", "a b:c", "../evil:f", ":f", "f:"])
def test_names_that_are_no_methods(name):
    with pytest.raises(UsageError):
        own_method(name)


@pytest.mark.parametrize(
    ("name", "failed"),
    [
        ("slope", []),
        ("drawn", ["looks at the network"]),
        ("drawn_in_secret", ["says whether it draws random numbers", "looks at the network"]),
        ("steps", ["looks at the network"]),
        ("of_the_batch", ["does not look at the other images", "looks at the network"]),
        ("failing", ["gives maps of the images' size, all finite"]),
    ],
)  # fmt: skip
def test_checks(model, inputs, name, failed):
    findings = check_method(f"{HERE}:{name}", model, inputs)
    assert [finding.check for finding in findings if not finding.passed] == failed
    assert all(finding.detail for finding in findings)


def test_a_method_that_meddles(inputs):
    findings = check_method(f"{HERE}:meddling", load_model(TINY), inputs)
    last = next(f for f in findings if f.check == "leaves the network as it was")
    assert "weights" in last.detail
    assert "training mode" in last.detail


@pytest.fixture
def study(tmp_path):
    root, photos = project(tmp_path / "book"), photographs(tmp_path / "photos", 2)

    def make(**settings):
        return Study(
            root=root, run="own", profile="smoke", model=TINY,
            images=f"folder:{photos}", n_images=2, **settings,
        )  # fmt: skip

    return make


def test_a_run_measures_them_and_judges_without_them(study):
    own = f"{HERE}:slope"
    table = study(methods=[own]).table("randomization", n_steps=2)
    assert table.loc[table["method"] == own, "ssim"].to_numpy() == pytest.approx(
        table.loc[table["method"] == "gradient", "ssim"].to_numpy(), abs=1e-5
    )
    assert own in table.attrs["parameters"]["methods"]
    with_own = study(methods=[own])
    with_own.judge("binder-app1")
    assert own not in set(with_own._of_papers(with_own.table("randomization"))["method"])
    settings = json.loads((with_own.folder / "run.json").read_text())["settings"]
    assert settings["methods"] == [own]


def test_changed_code_makes_new_parts(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "changing.py").write_text("def f(model, inputs, targets): return inputs\n")
    first = study(methods=["changing:f"]).table("randomization", n_steps=1)
    assert np.isfinite(first.loc[first["method"] == "changing:f", "ssim"]).all()
    parts = tmp_path / "book"
    before = len(list(parts.rglob("parts/randomization/*.parquet")))
    (tmp_path / "changing.py").write_text("def f(model, inputs, targets): return inputs * 2\n")
    del sys.modules["changing"]  # another process
    source_sha256.cache_clear()
    own_method.cache_clear()
    study(methods=["changing:f"]).table("randomization", n_steps=1)
    assert len(list(parts.rglob("parts/randomization/*.parquet"))) == before + 1


def test_a_setting_that_names_no_method(study):
    with pytest.raises(UsageError, match="package.module:object"):
        study(methods=["rm -rf"])


def test_every_page_says_that_a_network_is_untrained():
    run = {"name": "mine", "model": "a:net@random", "images": "photos", "n_images": 2,
           "profile": "smoke", "recorded": False, "commits": [], "started": None}  # fmt: skip
    facts = {"run": "mine", "runs": [run | {"trained": False}]}
    assert "This network has random weights" in shown_run(facts)
    assert "random weights" not in shown_run({"run": "mine", "runs": [run | {"trained": True}]})
