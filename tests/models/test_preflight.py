"""The preflight check: passes for a sound network, and names what is wrong with another."""

import pytest
import torch
from torch import nn

from sanitygap.attribution import METHODS
from sanitygap.models import load_model
from sanitygap.models.preflight import Finding, check_model
from tests.models.tiny import TINY


def failed(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.detail for finding in findings if not finding.passed}


def test_a_sound_network_passes_every_check():
    findings = check_model(load_model(TINY))
    assert failed(findings) == {}
    names = [finding.check for finding in findings]
    assert len(names) == len(set(names)) == len(METHODS) + 8
    assert sum(name.startswith("method ") for name in names) == len(METHODS)
    assert all(finding.detail for finding in findings)


@pytest.mark.parametrize(
    ("factory", "check", "detail"),
    [
        ("active_dropout", "repeatable", "dropout or noise is active"),
        ("batch_dependent", "an image's logits do not depend on its batch", "relative gap"),
        ("only_single_images", "finite logits", "one image at a time"),
        ("only_single_images", "method noise", "one image at a time"),
    ],
)
def test_what_is_wrong_is_named(factory, check, detail):
    found = failed(check_model(load_model(f"tests.models.tiny:{factory}"), ["gradient", "noise"]))
    assert detail in found[check]
    assert "\n" not in found[check]


LRP_CHECK = "LRP relevance reaches the input or is kept by neurons"


@pytest.mark.parametrize(
    ("join", "lost"),
    [
        (lambda x, change: x + change, False),
        (lambda x, change: x - change, True),
        (lambda x, change: torch.stack([x, change]).sum(0), True),  # doubles it
    ],
    ids=["sum", "difference", "hidden sum"],
)
def test_operators_without_a_rule_are_found_out(join, lost):
    """A bare addition has a rule; relevance goes astray at a bare subtraction."""
    import tests.models.tiny as tiny

    class Skip(tiny.Tiny):
        def forward(self, x):
            x = self.relu1(self.norm1(self.conv1(x)))
            return self.fc(self.flatten(self.pool(join(x, self.relu2(self.conv2(x))))))

    def skipping() -> nn.Module:
        module = Skip()
        module.conv2, module.fc = nn.Conv2d(6, 6, 3, padding=1), nn.Linear(24, 5)
        return module

    tiny.skipping = skipping
    try:
        findings = check_model(load_model("tests.models.tiny:skipping"), ["lrp-epsilon-plus"])
    finally:
        del tiny.skipping
    assert list(failed(findings)) == ([LRP_CHECK] if lost else [])
    [detail] = [finding.detail for finding in findings if finding.check == LRP_CHECK]
    assert ("together" in detail) == lost
