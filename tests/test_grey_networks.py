"""The networks of Adebayo et al. (2018, Appendix B) and their resumable training."""

import pytest
import torch

from sanitygap import training
from sanitygap.errors import UsageError
from sanitygap.grey_networks import GreyImages, as_inputs, labels_of, network
from sanitygap.training import Recipe, correct, train


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    images = GreyImages.load("digits", count=80).train
    return as_inputs(images), labels_of(images)


def test_an_interrupted_training_ends_as_an_uninterrupted_one(digits, tmp_path, monkeypatch):
    inputs, labels = digits
    recipe = Recipe(epochs=3, batch=20)
    whole = train(network("MLP", 0, 32), inputs, labels, recipe, tmp_path / "whole")
    epochs = []
    real = training._one_epoch

    def killed(module, optimizer, *others):
        if len(epochs) == 2:
            raise KeyboardInterrupt
        epochs.append(others[-1])
        real(module, optimizer, *others)

    monkeypatch.setattr(training, "_one_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        train(network("MLP", 0, 32), inputs, labels, recipe, tmp_path / "cut")
    monkeypatch.setattr(training, "_one_epoch", real)
    resumed = train(network("MLP", 0, 32), inputs, labels, recipe, tmp_path / "cut")
    assert epochs == [0, 1]
    assert resumed.epochs == whole.epochs == 3
    for one, other in zip(resumed.module.parameters(), whole.module.parameters(), strict=True):
        assert torch.equal(one, other)
    assert sorted(p.name for p in (tmp_path / "cut").iterdir()) == ["network.json", "network.pt"]


def test_random_labels_are_learnt_and_training_stops_then(digits, tmp_path):
    inputs, labels = digits
    recipe = Recipe("random", epochs=100, batch=20, rate=2e-3, target=0.97)
    found = train(network("MLP", 0, 8), inputs, labels, recipe, tmp_path)
    assert found.right >= 0.97 * 80
    assert found.epochs < 100
    assert correct(found.module, inputs, recipe.labels_from(labels)) == found.right
    assert correct(found.module, inputs, labels) < 40


def test_a_damaged_file_is_refused_in_one_sentence(digits, tmp_path):
    inputs, labels = digits
    (tmp_path / "state.pt").write_bytes(b"nonsense")
    with pytest.raises(UsageError, match="state.pt cannot be read; delete"):
        train(network("MLP", 0, 32), inputs, labels, Recipe(epochs=1), tmp_path)
