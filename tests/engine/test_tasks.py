"""The small tasks and the network that learns them."""

import numpy as np
import pytest
import torch

from sanitygap.chapters.randomization import measure as tasks
from sanitygap.chapters.randomization.measure import TASKS, accuracy, examples, trained_network


@pytest.mark.parametrize("task", list(TASKS))
def test_examples_are_images_with_labels_and_repeatable(task):
    first, again = (examples(task, 12, 0, train=True) for _ in range(2))
    assert first.images.shape == (12, 32, 32, 3)
    assert first.images.dtype == np.uint8
    assert set(first.labels) <= set(range(10))
    assert (first.images == again.images).all()
    assert (first.images != examples(task, 12, 1, train=True).images).any()
    as_set = first.as_set(task)
    assert as_set.labels == tuple(first.labels)
    assert (np.asarray(as_set.open(3)) == first.images[3]).all()


def test_training_and_testing_share_no_digit(monkeypatch):
    """Each digit is given an opacity of its own, so that it can be told in the image."""
    count = 1797
    veils = np.linspace(0.1, 0.9, count)[:, None, None] * np.ones((1, 24, 24))
    monkeypatch.setattr(tasks, "_digits", lambda: (veils, np.zeros(count, dtype=np.int64)))
    train, test = (
        examples("digits", 200, 0, train=train).images.max((1, 2, 3)) for train in (True, False)
    )
    edge = round(255 * veils[count - tasks.TEST_DIGITS, 0, 0])
    assert train.max() <= edge <= test.min() + 1


def test_training_and_testing_share_no_pixel_of_a_photograph(monkeypatch):
    half = np.zeros((200, 240, 3))
    half[:, 120:] = 1
    monkeypatch.setattr(tasks, "_photos", lambda: [half] * 10)
    assert examples("photographs", 20, 0, train=True).images.max() == 0
    assert examples("photographs", 20, 0, train=False).images.min() == 255


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
