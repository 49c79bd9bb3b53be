"""Preflight: what a model must do before hours are spent on it."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sanitygap.models.explainable import Explainable
from sanitygap.models.stages import AUXILIARY

#: methods that sample or optimise for long, as the preflight tries them
TRIED_AS = {
    "lime": "lime@8",
    "lime-ridge": "lime-ridge@8",
    "perturbation-mask": "perturbation-mask@2",
    "extremal-perturbation": "extremal-perturbation@2",
}


@dataclass(frozen=True)
class Finding:
    """The outcome of one preflight check."""

    check: str
    passed: bool
    detail: str


Check = Callable[[Explainable, Tensor], tuple[bool, str]]


def check_model(model: Explainable, methods: Sequence[str] | None = None) -> list[Finding]:
    """Try everything a run will ask of a model on two random inputs.

    Args:
        model: a loaded model.
        methods: attribution methods to try; all by default.

    Returns:
        One finding a check. Nothing is raised for a check that fails.
    """
    from sanitygap.attribution import METHODS

    size = model.preprocessing.size
    inputs = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    inputs = inputs.to(model.device).contiguous(memory_format=torch.channels_last)
    chosen = [TRIED_AS.get(name, name) for name in (METHODS if methods is None else methods)]
    checks: dict[str, Check] = {
        "finite logits": _logits,
        "outputs are logits, not probabilities": _unnormalised,
        "an image's logits do not depend on its batch": _alone,
        "repeatable": _repeatable,
        "finite, non-zero input gradient": _input_gradient,
        "randomisation stages cover the parameters": _stages,
        "randomised, then restored bit for bit": _restored,
    }
    checks |= {f"method {name}": _method(name) for name in chosen}
    if any(name.startswith("lrp") for name in chosen):
        checks["LRP relevance reaches the input or is kept by neurons"] = _conserved
    findings = []
    for name, check in checks.items():
        try:
            passed, detail = check(model, inputs)
        except Exception as error:  # a model may fail in any way; that is what is looked for
            passed, detail = False, " ".join(str(error).split()) or type(error).__name__
        findings.append(Finding(name, passed, detail))
    return findings


@torch.no_grad()
def _logits(model: Explainable, inputs: Tensor) -> tuple[bool, str]:
    logits = model.module(inputs)
    return bool(torch.isfinite(logits).all()), f"shape {tuple(logits.shape)}"


@torch.no_grad()
def _unnormalised(model: Explainable, inputs: Tensor) -> tuple[bool, str]:
    """Softmax of a softmax is nearly flat, so occlusion would see nothing."""
    logits = model.module(inputs)
    sums = logits.sum(1)
    if (logits >= 0).all() and torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
        return False, "its outputs are probabilities: return what the softmax is taken of"
    return True, f"from {logits.min():.3g} to {logits.max():.3g}"


@torch.no_grad()
def _alone(model: Explainable, inputs: Tensor) -> tuple[bool, str]:
    together, alone = model.module(inputs)[:1], model.module(inputs[:1])
    gap = float((together - alone).abs().max() / alone.abs().max().clamp_min(1e-12))
    return gap < 1e-3, f"relative gap {gap:.1e}"


@torch.no_grad()
def _repeatable(model: Explainable, inputs: Tensor) -> tuple[bool, str]:
    same = torch.equal(model.module(inputs), model.module(inputs))
    return same, "identical twice" if same else "differs between calls: dropout or noise is active"


def _input_gradient(model: Explainable, inputs: Tensor) -> tuple[bool, str]:
    leaf = inputs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model.scores(leaf)[:, 0].sum(), leaf)
    if not gradient.any():
        return False, "no logit depends on the input: is the last layer zero, as some begin?"
    return bool(
        torch.isfinite(gradient).all()
    ), f"mean magnitude {float(gradient.abs().mean()):.1e}"


def _stages(model: Explainable, inputs: Tensor) -> tuple[bool, str]:
    modules = dict(model.module.named_modules())
    owned = sum(
        parameter.numel()
        for name in {name for stage in model.stages for name in stage.modules}
        for parameter in modules[name].parameters(False)
    )
    used = sum(
        parameter.numel()
        for name, parameter in model.module.named_parameters()
        if not name.startswith(AUXILIARY)
    )
    share = owned / used
    return share > 0.99, f"{len(model.stages)} stages own {share:.1%} of the parameters"


def _restored(model: Explainable, inputs: Tensor) -> tuple[bool, str]:
    from sanitygap.models.loading import weights_sha256
    from sanitygap.randomization import RandomTwin

    before = weights_sha256(model.module)
    with RandomTwin(model, seed=0).redrawn(model.stages):
        changed = weights_sha256(model.module) != before
    restored = weights_sha256(model.module) == before
    return changed and restored, f"weights {before[:12]}"


def _method(name: str) -> Check:
    def check(model: Explainable, inputs: Tensor) -> tuple[bool, str]:
        from sanitygap.attribution import Sampling, attribute
        from sanitygap.attribution.applicable import undefined

        if reason := undefined(model, [name]).get(name):
            return True, f"not defined for this network, so pages leave it out: {reason}"
        maps = attribute(model, inputs, model.predict(inputs), [name], [0, 1], Sampling(2, 2))[name]
        return bool(torch.isfinite(maps).all()), f"maps {tuple(maps.shape)}"

    return check


def _conserved(model: Explainable, inputs: Tensor) -> tuple[bool, str]:
    """All relevance reaches the input or is kept by a neuron, unless a function hides it.

    LRP-0 is tried too: where most is kept in the upper layers, little is left under z-plus to show
    what the lower ones do with it.
    """
    from sanitygap.attribution import attribute
    from sanitygap.attribution.applicable import undefined
    from sanitygap.attribution.lrp_rules import recorded_flow

    if reasons := undefined(model, ["lrp-zero", "lrp-epsilon-plus"]):
        return True, f"not defined for this network: {next(iter(reasons.values()))}"
    exact = replace(model, module=copy.deepcopy(model.module).double())
    targets, totals, detail = exact.predict(inputs.double()), [], ""
    for name in ("lrp-zero", "lrp-epsilon-plus"):
        with recorded_flow() as flow:
            maps = attribute(exact, inputs.double(), targets, [name], [0, 1])[name]
        reached = maps.sum((1, 2))
        kept = torch.stack([one.entered - one.left for one in flow]).sum(0)
        totals.append(reached + kept)
        detail = f"by {name} {_span(reached)} of it reaches the input, neurons keep {_span(kept)}"
    total = torch.cat(totals)
    passed = bool((total - 1).abs().max() < 0.01)
    return passed, detail if passed else f"{detail}; together {_span(total)}"


def _span(shares: Tensor) -> str:
    # adding 0 takes the sign off a rounded -0
    low, high = (f"{round(float(share), 3) + 0:.1%}" for share in (shares.min(), shares.max()))
    return low if low == high else f"{low} to {high}"
