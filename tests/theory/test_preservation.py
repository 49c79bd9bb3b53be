"""Eq. (3)-(6) and App. G."""

import pytest
import torch

from sanitygap.chapters.irrelevance import theory as irrelevance


@pytest.mark.parametrize("case", irrelevance.CASES)
def test_phi_ignores_what_it_should(case):
    networks = irrelevance._networks(case, 3, torch.Generator().manual_seed(0))
    x = 1 + torch.rand(3, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    hidden = networks.trace(x)
    far = x.clone()
    far[:, irrelevance.IGNORED] = 0
    unchanged = torch.equal(hidden[2], networks.trace(far)[2])
    assert unchanged == (case != "locally dead")
    assert (hidden[2] > 0).any()
    reached = torch.equal(hidden[1], networks.trace(far)[1])
    assert reached == (case == "zero weights")


def test_surrogate_is_exact_only_for_an_affine_top(table):
    rows = table("equation-5")
    affine = rows["top"] == "affine"
    assert (rows.loc[affine, "largest"] <= 1e-12).all()
    assert (rows.loc[~affine, "low"] > 0.2).all()


def test_conservative_rules_keep_the_logit(table):
    rows = table("appendix-g").set_index("method")
    for method in ("LRP-0", "LRP-gamma"):
        assert (rows.loc[method, "conservation_error"] < 1e-8).all()
        assert (rows.loc[method, "estimate"] == 0).all()
    assert (rows.loc["Gradient x Input", "estimate"] > 0).any()
