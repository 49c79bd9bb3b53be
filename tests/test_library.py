"""Both tests in a script: the same numbers as elsewhere, light to import, clear about bad input."""

import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from captum.attr import GuidedBackprop, InputXGradient, IntegratedGradients, Saliency
from torch import nn
from zennit.composites import EpsilonPlus

import sanitygap
from sanitygap import explainable, load_model, occlusion_test, randomization_test, read_maps
from sanitygap.errors import UsageError
from sanitygap.images import load_images
from sanitygap.table import Context
from sanitygap.tables import TABLES
from tests.models.tiny import TINY, photographs

PAGE = Path(__file__).parents[1] / "book" / "library.md"

LIGHT = """
import sys, time
started = time.process_time()
import sanitygap
assert time.process_time() - started < 0.3
assert "torch" not in sys.modules and "numpy" not in sys.modules
"""


@pytest.fixture
def targets(small, inputs):
    return small.predict(inputs)


def test_importing_it_is_light_and_every_name_is_there():
    subprocess.run([sys.executable, "-c", LIGHT], check=True)
    assert all(getattr(sanitygap, name) is not None for name in sanitygap.__all__)
    assert not hasattr(sanitygap, "no_such_name")


def test_the_code_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert "lrp-epsilon-plus" in capsys.readouterr().out
    assert set(names["curves"]["method"]) == {"gradient", "mine"}
    assert len([line for line in blocks[0].splitlines() if line]) <= 12


def test_every_public_name_is_in_the_reference():
    listed = set(re.findall(r"auto\w+:: (\w+)", PAGE.read_text(encoding="utf-8")))
    assert set(sanitygap.__all__) - listed == {"similarity", "theorem_1", "theorem_2"}


@pytest.mark.parametrize(
    ("name", "test"), [("randomization", randomization_test), ("occlusion", occlusion_test)]
)
def test_a_script_measures_what_a_run_does(tmp_path, name, test):
    images = load_images(f"folder:{photographs(tmp_path / 'photos', 12)}")
    context = Context(lambda: load_model(TINY), lambda: images, 3)
    methods = ("gradient", "lrp-epsilon-plus")
    ours = pd.concat([part.compute() for part in TABLES[name].parts(context, methods=methods)])
    model = context.model
    inputs = torch.cat([context.batch(places).inputs for places in context.positions()])
    theirs = test(model, inputs, model.predict(inputs), methods, seed=3)
    ours = ours.drop(columns="image").rename(columns={"position": "image"})
    keys = [n for n in theirs if n in ours and not pd.api.types.is_float_dtype(ours[n])]
    joined = ours.merge(theirs, on=keys, suffixes=("", "_script"))
    assert len(joined) == len(theirs)
    for value in set(ours) & set(theirs) - set(keys):
        np.testing.assert_allclose(joined[value], joined[f"{value}_script"], atol=1e-5)


def captum(kind, **options):
    return lambda module, inputs, targets: kind(module).attribute(inputs, target=targets, **options)


def quantus(method):
    def explain(module, inputs, targets):
        library = pytest.importorskip("quantus")
        return torch.as_tensor(library.explain(module, inputs, targets, method=method))

    return explain


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("gradient", captum(Saliency, abs=False)),
        ("gradient-x-input", captum(InputXGradient)),
        ("integrated-gradients", captum(IntegratedGradients, n_steps=7, method="riemann_middle")),
        ("guided-backprop", captum(GuidedBackprop)),
        ("gradient", quantus("Gradient")),
        ("gradient-x-input", quantus("InputXGradient")),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__qualname__.partition(".")[0],
)
def test_other_libraries_maps_have_the_same_scores(small, inputs, targets, ours, theirs):
    signed = {"rank_by": ("signed",)}  # what Quantus gives has no channels
    for test, more in ((randomization_test, {}), (occlusion_test, signed)):
        own = test(small, inputs, targets, [ours], path_steps=7, **more)
        other = test(small, inputs, targets, {ours: theirs}, **more)
        pd.testing.assert_frame_equal(own, other, check_exact=False, rtol=0, atol=1e-4)


def test_maps_that_are_there_already(tmp_path, small, inputs, targets):
    values = sanitygap.attribute(small, inputs, targets, ["gradient"])["gradient"].numpy()
    np.savez(tmp_path / "maps.npz", names=["mine", "doubled"], maps=np.stack([values, 2 * values]))
    signed = {"rank_by": ("signed",), "patches": (30,)}
    made = occlusion_test(small, inputs, targets, ["gradient"], **signed)["softmax"]
    for given in ({"mine": values}, tmp_path / "maps.npz", str(tmp_path / "maps.npz")):
        table = occlusion_test(small, inputs, targets, maps=given, **signed)
        for _, part in table.groupby("method"):
            np.testing.assert_allclose(part["softmax"], made, atol=1e-6)


def constant(module, inputs, targets):
    return inputs


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": nn.Linear(3, 3)}, "sanitygap.explainable(module, size)"),
        ({"inputs": torch.zeros(4, 3, 20, 24)}, "(N, 3, 24, 24), not torch.float32 of shape"),
        ({"inputs": torch.zeros(4, 3, 24, 24, dtype=torch.uint8)}, "must be floats"),
        ({"targets": torch.zeros(3, dtype=torch.int64)}, "integers of shape (4,)"),
        ({"targets": torch.zeros(4)}, "integers of shape (4,)"),
        ({"targets": torch.full((4,), 5)}, "classes from 0 to 4"),
        ({"methods": []}, "name at least one method"),
        ({"methods": ["gradint"]}, "did you mean gradient"),
        ({"methods": [3]}, "int is no attribution method"),
        ({"methods": [constant, constant]}, "two methods are called 'constant'"),
        ({"methods": {"mine": lambda *_: None}}, "the method mine returns a NoneType"),
        ({"patches": 15}, "setting 'patches'"),
        ({"every": 0}, "setting 'every'"),
        ({"maps": {"mine": np.zeros((4, 24, 23))}}, "it must be (4, 24, 24)"),
        ({"maps": {"mine": np.full((4, 24, 24), np.nan)}}, "NaN or infinite"),
        ({"maps": {"gradient": np.zeros((4, 24, 24))}}, "two methods are called 'gradient'"),
        ({"maps": "no-such-file.npz"}, "there is no file no-such-file.npz"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(small, inputs, targets, change, words):
    given = {"model": small, "inputs": inputs, "targets": targets, "methods": ["gradient"]}
    with pytest.raises(UsageError) as caught:
        occlusion_test(**(given | change))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b"no zip"),
        lambda path: np.savez(path, maps=np.zeros((1, 2, 3, 3))),
        lambda path: np.savez(path, names=["a", "b"], maps=np.zeros((1, 2, 3, 3))),
        lambda path: np.savez(path, names=["a", "a"], maps=np.zeros((2, 2, 3, 3))),
        lambda path: np.savez(path, names=["a"], maps=np.array([print], dtype=object)),
    ],
)
def test_files_that_hold_no_maps(tmp_path, write):
    write(tmp_path / "maps.npz")
    with pytest.raises(UsageError, match=r"maps\.npz holds"):
        read_maps(tmp_path / "maps.npz")


def test_a_plain_network_is_ready_and_stays_as_it_was(inputs):
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 3),
    ).train()  # fmt: skip
    model = explainable(net, 24, name="mine")
    assert (model.spec, model.module, net.training) == ("mine", net, False)
    assert [float(bound.mean()) for bound in model.preprocessing.bounds()] == [0, 1]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    methods = ["lrp-epsilon-plus", EpsilonPlus, partial(constant)]
    table = randomization_test(model, inputs, model.predict(inputs), methods, norms="kept")
    assert set(table["method"]) == {"lrp-epsilon-plus", "EpsilonPlus", "partial"}
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
