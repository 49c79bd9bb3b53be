"""Eq. (3)-(6): what randomised layers leave unchanged.

Features to which the kept layers phi do not respond (Eq. 3-4, Sec. 4.1): networks g(phi(x)) have a
fixed phi that ignores two of its six inputs, in one of three ways, and many g. What share of the
attribution goes to the ignored inputs? The additive component of networks with skip connections
(Eq. 5-6, Sec. 4.2, Fig. 6): a block adds a branch with randomised parameters theta to its input h;
a top maps the sum to logits.
"""

from collections.abc import Callable, Iterator

import pandas as pd
import sympy
import torch
from z3 import ArithRef, Function, Reals, RealSort

from sanitygap.seeds import stable_seed
from sanitygap.similarity import pearson
from sanitygap.table import table
from sanitygap.theory import dense
from sanitygap.theory.dense import DenseNetworks
from sanitygap.theory.montecarlo import Row, mean_estimate
from sanitygap.theory.prover import Formula, Statement, positive_part, proof_table

RELEVANT, IGNORED = slice(0, 4), slice(4, 6)
CASES = ("zero weights", "cancellation", "locally dead")

Explain = Callable[[DenseNetworks, torch.Tensor], torch.Tensor]

METHODS: dict[str, Explain] = {
    "Gradient": lambda net, x: dense.gradients(net, x)[0],
    "Gradient x Input": lambda net, x: dense.gradient_x_input(net, x)[0],
    "Integrated Gradients": lambda net, x: dense.integrated_gradients(net, x),
    "Shapley": dense.shapley,
    "LRP-0": lambda net, x: dense.lrp(net, x, "0")[0],
    "LRP-beta": lambda net, x: dense.lrp(net, x, "beta")[0],
    "z+": lambda net, x: dense.lrp(net, x, "z+")[0],
    "Guided Backpropagation": lambda net, x: dense.gradients(net, x, guided=True)[0],
}


@table("equation-4", smoke={"n": 5}, quick={"n": 20}, full={"n": 200})
def ignored_features(*, n: int, seed: int) -> Iterator[Row]:
    """Attribution to inputs that phi ignores, under a trained g and n random ones.

    Cases: `zero weights` no weight leads from the ignored inputs; `cancellation` they reach pairs
    of equal hidden units whose outgoing weights are opposite; `locally dead` they reach units that
    are off at the input but on nearer to the baseline.

    Args:
        n: number of random g, each with its own input; one more g has a fitted output layer.
        seed: seed of networks and inputs.

    Returns:
        One row a (case, method, head): mean and `largest` share of the absolute attribution that
        goes to the ignored inputs (NaN attributions where everything is zero do not count),
        `networks`, and the largest response of the output to a small change of the ignored inputs
        (`local_response`) and to setting them to zero (`global_response`).
    """
    for case in CASES:
        generator = torch.Generator().manual_seed(stable_seed(seed, "irrelevance", case))
        networks = _networks(case, n + 1, generator)
        x = 1 + torch.rand(n + 1, 6, generator=generator, dtype=torch.float64)
        nudged, removed = x.clone(), x.clone()
        nudged[:, IGNORED] += 1e-3
        removed[:, IGNORED] = 0
        logit = networks(x)
        local, far = ((networks(other) - logit).abs() for other in (nudged, removed))
        for method, explain in METHODS.items():
            size = explain(networks, x).abs()
            share = size[:, IGNORED].sum(1) / size.sum(1)
            for head, chosen in (("trained", slice(0, 1)), ("random", slice(1, None))):
                defined = pd.Series(share[chosen].numpy()).dropna()
                yield {
                    **{"case": case, "method": method, "head": head},
                    **{"share": defined.mean(), "largest": defined.max(), "networks": len(defined)},
                    "local_response": float(local[chosen].max()),
                    "global_response": float(far[chosen].max()),
                }


def _networks(case: str, n: int, generator: torch.Generator) -> DenseNetworks:
    """n networks 6-16-12 (phi) and 12-24-1 (g) that share phi; the first g is fitted."""
    phi = dense.random_networks(1, (6, 16, 12), generator)
    g = dense.random_networks(n, (12, 24, 1), generator)
    first, second = phi.weights[0].clone(), phi.weights[1].clone()
    bias = phi.biases[0].clone()
    if case == "zero weights":
        first[:, :, IGNORED] = 0
    elif case == "cancellation":
        first[:, 4:, IGNORED] = 0  # only the pairs (0, 1) and (2, 3) see the ignored inputs
        first[:, 0:4:2] = first[:, 0:4:2].abs()  # and are active
        first[:, 1:4:2] = first[:, 0:4:2]
        second[:, :, 1:4:2] = -second[:, :, 0:4:2]
    else:
        first[:, :2, RELEVANT] = 0  # units 0 and 1: relu(1 - x_5), relu(1 - x_6), off for x > 1
        first[:, :2, IGNORED] = -torch.eye(2, dtype=torch.float64)
        first[:, 2:, IGNORED] = 0
        bias[:, :2] = 1
    weights = [first.expand(n, -1, -1), second.expand(n, -1, -1), *g.weights]
    biases = [bias.expand(n, -1), phi.biases[1].expand(n, -1), *g.biases]
    networks = DenseNetworks(weights, biases)
    _fit_output(networks, generator)
    return networks


def _fit_output(networks: DenseNetworks, generator: torch.Generator, samples: int = 200) -> None:
    """Fit the first network's output layer to x_1 x_2 + x_3 x_4 by least squares, in place."""
    x = 2 * torch.rand(1, samples, 6, generator=generator, dtype=torch.float64)
    target = (x[0, :, 0] * x[0, :, 1] + x[0, :, 2] * x[0, :, 3])[:, None]
    one = networks[torch.tensor([0])]
    hidden = one.trace(x)[-2][0]
    design = torch.cat([hidden, torch.ones(samples, 1, dtype=torch.float64)], 1)
    solution = torch.linalg.lstsq(design, target, driver="gelsd").solution[:, 0]
    networks.weights[-1][0, 0] = solution[:-1]
    networks.biases[-1][0, 0] = solution[-1]


# --- skip connections ---------------------------------------------------------------------------

FEATURES, CLASSES = 64, 100


@table("equation-5", smoke={"n": 20}, quick={"n": 200}, full={"n": 1_000})
def additive_surrogate(*, n: int, seed: int) -> Iterator[Row]:
    """Error of f^(x; theta) = A(x; theta) + B(x) when theta is drawn again.

    The top is either affine or a ReLU followed by an affine map, as in a ResNet. The surrogate
    linearises the top at the original theta; its error is measured at new draws of theta.

    Args:
        n: number of random networks, each with two draws of theta and one input.
        seed: seed of networks and inputs.

    Returns:
        One row a (top, branch_scale): the mean relative error |f^ - f| / |change of f| with its
        interval, the `largest` absolute error, and `logit_correlation`, the mean correlation of
        the logits before and after the draw. The branch scale is its standard deviation over that
        of h.
    """
    for scale in (0.3, 1.0, 3.0):
        generator = torch.Generator().manual_seed(stable_seed(seed, "skip", scale))

        def normal(*shape: int, g: torch.Generator = generator) -> torch.Tensor:
            return torch.randn(n, *shape, generator=g, dtype=torch.float64)

        h = torch.relu(normal(FEATURES))
        inner = normal(FEATURES, FEATURES) * (2 / FEATURES) ** 0.5
        hidden = torch.relu(torch.einsum("nij,nj->ni", inner, h))
        before, after = (_branch(hidden, normal(FEATURES, FEATURES), h, scale) for _ in range(2))
        top, shift = normal(CLASSES, FEATURES) / FEATURES**0.5, normal(CLASSES)

        def logits(
            z: torch.Tensor, top: torch.Tensor = top, shift: torch.Tensor = shift
        ) -> torch.Tensor:
            return torch.einsum("ncj,nj->nc", top, z) + shift

        gate = (h + before > 0).to(h)
        for name, function, mask in (
            ("affine", lambda z: z, torch.ones_like(h)),
            ("ReLU, affine", torch.relu, gate),
        ):
            old, new = logits(function(h + before)), logits(function(h + after))
            # A depends on theta, B does not; both go through the linearised top
            surrogate = (logits(mask * after) - shift) + logits(mask * h)
            error = (surrogate - new).norm(dim=1) / (new - old).norm(dim=1)
            yield {
                "top": name,
                "branch_scale": scale,
                **mean_estimate(error),
                "largest": float((surrogate - new).abs().max()),
                "logit_correlation": float(pearson(old, new).mean()),
            }


def _branch(
    hidden: torch.Tensor, outer: torch.Tensor, h: torch.Tensor, scale: float
) -> torch.Tensor:
    """Output of the branch, brought to `scale` times the standard deviation of h."""
    out = torch.einsum("nij,nj->ni", outer, hidden)
    return scale * out * h.std(1, keepdim=True) / out.std(1, keepdim=True)


LINEARITY: dict[str, Explain] = {
    name: explain for name, explain in METHODS.items() if name != "z+"
} | {
    # without refinement: the same points of the path for both sides
    "Integrated Gradients": lambda net, x: dense.integrated_gradients(net, x, tolerance=1e9)
}


@table("equation-6", smoke={"n": 20}, quick={"n": 200}, full={"n": 1_000})
def linearity(*, n: int, seed: int) -> Iterator[Row]:
    """Eq. (6): is the explanation of A + B the sum of the explanations of A and of B?

    A and B are random networks without biases, the combined network holds both side by side.

    Args:
        n: number of pairs of networks, each with one input of 8 features.
        seed: seed of networks and inputs.

    Returns:
        One row a (method, combination) with combination `A + B` or `A - B`: the `largest` and the
        mean distance between both sides, relative to the largest attribution.
    """
    generator = torch.Generator().manual_seed(stable_seed(seed, "linearity"))
    first, second = (dense.random_networks(n, (8, 16, 16, 1), generator) for _ in range(2))
    x = torch.randn(n, 8, generator=generator, dtype=torch.float64)
    for combination, sign in (("A + B", 1.0), ("A - B", -1.0)):
        both = side_by_side(first, second, sign)
        for method, explain in LINEARITY.items():
            whole, parts = explain(both, x), explain(first, x) + sign * explain(second, x)
            largest = torch.maximum(whole.abs().amax(1), parts.abs().amax(1))
            error = (whole - parts).abs().amax(1) / largest
            errors = {"largest": float(error.max()), "mean": float(error.mean())}
            yield {"method": method, "combination": combination, **errors, "networks": n}


def side_by_side(first: DenseNetworks, second: DenseNetworks, sign: float) -> DenseNetworks:
    """One network that computes first + sign * second, with separate hidden units."""
    (a, *inner, c), (b, *others, d) = first.weights, second.weights
    weights = [torch.cat([a, b], 1)]
    for a, b in zip(inner, others, strict=True):
        weights.append(torch.stack([torch.block_diag(*pair) for pair in zip(a, b, strict=True)]))
    weights.append(torch.cat([c, sign * d], 2))
    biases = [torch.cat([a, b], 1) for a, b in zip(first.biases, second.biases, strict=True)]
    biases[-1] = first.biases[-1] + sign * second.biases[-1]
    return DenseNetworks(weights, biases)


@proof_table("equations-3-6-proofs")
def statements() -> Iterator[Formula]:
    """Both implications of Eq. (4), and the surrogate of Eq. (5)."""
    yield from _responses()
    yield from _attributions()
    yield from _integrated_gradients()
    yield from _surrogate()


def _responses() -> Iterator[Formula]:
    phi, phi_changed = Reals("phi phi_changed")
    g = Function("g", RealSort(), RealSort())
    x1, x1_changed, x2 = Reals("x_1 x_1_changed x_2")

    def f(a: ArithRef, b: ArithRef) -> ArithRef:
        hidden = positive_part(a + b)
        return hidden - hidden + positive_part(b)

    yield Statement(
        "unresponsive features stay unresponsive",
        "if phi does not change with x_i, no function g of phi does",
    ).holds(phi == phi_changed, g(phi) == g(phi_changed))
    yield Statement(
        "responsive features become unresponsive",
        "if phi changes with x_i, no function g of phi does",
    ).mutant(phi != phi_changed, g(phi) == g(phi_changed))
    yield Statement(
        "the example does not depend on x_1",
        "relu(x_1 + x_2) - relu(x_1 + x_2) + relu(x_2) does not depend on x_1",
    ).holds(f(x1, x2) == f(x1_changed, x2))


def _attributions() -> Iterator[Formula]:
    """Relevance of x_1 in the example at positive inputs; output contributions s, -s and x_2."""
    x1, x2, beta, half = Reals("x_1 x_2 beta share")
    s = x1 + x2
    positive = [x1 > 0, x2 > 0, half * s == x1]  # x_1 gets this share of both hidden units
    upper, lower = Reals("R_1 R_2")
    total = s + x2  # positive contributions; the only negative one is -s
    lrp_beta = [beta >= 0, upper * total == (1 + beta) * s * x2, lower == -beta * x2]
    lrp_0 = [upper * x2 == s * x2, lower * x2 == -s * x2]
    nothing = half * (upper + lower) == 0
    words = "gives x_1 no relevance in the example"
    yield Statement("LRP-beta gives nothing to x_1", f"LRP-beta {words}").fails(
        *positive, *lrp_beta, nothing
    )
    yield Statement(
        "LRP-beta without the cancelling unit", f"LRP-beta with beta = 0 (z+) {words}"
    ).fails(*positive, *lrp_beta, beta == 0, nothing)
    yield Statement("LRP-0 gives nothing to x_1", f"LRP-0 {words}").holds(
        *positive, *lrp_0, nothing
    )


def _integrated_gradients() -> Iterator[Formula]:
    """relu(1 - x_1) x_2 at (2, 1): the unit is off at the input and on near the baseline."""
    t, x1, x2 = sympy.symbols("t x_1 x_2", real=True)
    slope = sympy.diff((1 - x1) * x2, x1)  # where the unit is on: x_1 < 1, t < 1/2
    attribution = 2 * sympy.integrate(slope.subs({x1: 2 * t, x2: t}), (t, 0, sympy.Rational(1, 2)))
    name = "Integrated Gradients of a locally unresponsive feature"
    yield Statement(
        name,
        "relu(1 - x_1) x_2 has zero gradient in x_1 at (2, 1), and Integrated Gradients give 0",
    ).fails(attribution, 0)
    yield Statement(f"{name}, value", "Integrated Gradients give x_1 the attribution -1/4").holds(
        attribution, -sympy.Rational(1, 4)
    )


def _surrogate() -> Iterator[Formula]:
    """Two logits' worth of algebra in one dimension: top v z + c, input h, branch a or b."""
    v, c, h, a, b, gate = Reals("v c h a b gate")
    linearised = [gate * (h + a) == positive_part(h + a), gate * (gate - 1) == 0, h + a != 0]
    yield Statement(
        "additive surrogate, affine top",
        "with an affine top the logit is A(theta) + B for every draw of theta",
    ).holds(v * (h + b) + c == (v * b) + (v * h + c))
    name = "additive surrogate, ReLU after the addition"
    words = "with a ReLU after the addition the surrogate at theta is exact"
    yield Statement(name, f"{words} for another draw").mutant(
        *linearised, v * positive_part(h + b) + c == v * gate * b + (v * gate * h + c)
    )
    yield Statement(f"{name}, same theta", f"{words} at theta itself").holds(
        *linearised, v * positive_part(h + a) + c == v * gate * a + (v * gate * h + c)
    )
