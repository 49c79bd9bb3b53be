"""The methods and similarities of Adebayo et al. (2018), checked against their definitions."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, get_args

import captum.attr
import numpy as np
import torch
import torchvision
from scipy.stats import norm, spearmanr
from torch import Tensor, nn

from sanitygap import similarity
from sanitygap.adebayo_metrics import DATA_RANGE, UNIFORM, hog
from sanitygap.attribution import Sampling, attribute, unpooled
from sanitygap.attribution.applicable import defined
from sanitygap.attribution.cam import features_and_gradients, last_spatial_layer
from sanitygap.attribution.gradient import GuidedRectifiers, guided_pass, input_gradient, noisy_pass
from sanitygap.attribution.method import Request
from sanitygap.grey_networks import Plan, as_inputs, cnn, grey_images, grey_network
from sanitygap.models.explainable import Explainable, Preprocessing
from sanitygap.seeds import generator, stable_seed
from sanitygap.table import Context, table

#: quantity, subject and value
Measured = Iterator[tuple[str, str, float]]

#: side of the inputs of torchvision's networks here: the smallest that all of them take
SIDE = 96

#: methods whose definition the appendix gives
APPENDIX = (
    "gradient", "gradient-x-input", "guided-backprop", "grad-cam", "guided-grad-cam",
    "integrated-gradients", "smoothgrad", "vargrad",
)  # fmt: skip


def bare(module: nn.Module, size: int) -> Explainable:
    """A network without stages and class names, for squares of that many pixels."""
    module = module.eval().requires_grad_(False)
    return Explainable("definition", module, Preprocessing(size=size, resize=size), ())


def seeded(seed: int, make: Any, *parts: Any, **options: Any) -> Any:
    """What a function makes with random numbers from a seed; torch's own are left as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stable_seed(seed, "definitions"))
        return make(*parts, **options)


def request_for(model: Explainable, inputs: Tensor, **options: Any) -> Request:
    """A request about the class that the network predicts."""
    return Request(model, inputs, model.predict(inputs), tuple(range(len(inputs))), **options)


def random_grey_network(seed: int, biases: bool = True) -> Explainable:
    """The CNN of the appendix, a quarter as wide, in double precision with large biases or none."""
    module = seeded(seed, cnn, 4).double()
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
            if biases:
                seeded(seed, nn.init.normal_, parameter, std=0.2)
    return bare(module, 28)


def grey_inputs(seed: int, count: int = 4) -> Tensor:
    """Random inputs in double precision, ``(N, 3, 28, 28)`` with equal channels."""
    return seeded(seed, torch.rand, count, 1, 28, 28, dtype=torch.float64).repeat(1, 3, 1, 1)


def relative(first: Tensor, second: Tensor) -> float:
    """Norm of the difference over that of the second."""
    return float(((first - second).norm() / second.norm()).detach())


def largest(values: Tensor) -> float:
    """The largest absolute value."""
    return float(values.detach().abs().max())


def shapes(context: Context) -> Measured:
    """Whether each method's values, before channels are summed, have the shape of the inputs."""
    model, inputs = context.model, context.batch((0,)).inputs
    methods, targets = defined(model, APPENDIX), model.predict(inputs)
    for name, values in unpooled(model, inputs, targets, methods, [0], Sampling(2, 2)).items():
        yield "same shape", name, values.shape == inputs.shape
        yield "same height and width", name, values.shape[2:] == inputs.shape[2:]
        yield "channels", name, values.shape[1]


def gradient(seed: int, points: int = 20) -> Measured:
    """The gradient against central differences, away from kinks."""
    model, inputs = random_grey_network(seed), grey_inputs(seed, 1)
    target = model.predict(inputs)
    found = input_gradient(model.module, inputs, target)[0].flatten()
    rng, errors, step = np.random.default_rng(seed), [], 1e-6
    for place in rng.choice(found.numel(), points, replace=False):
        change = torch.zeros(found.numel(), dtype=torch.float64)
        change[place] = step
        change = change.view_as(inputs)
        higher, lower = (model.module(inputs + sign * change)[0, target] for sign in (1, -1))
        errors.append(float((higher - lower) / (2 * step) - found[place]))
    yield "relative error", "central differences", np.abs(errors).max() / float(found.abs().max())


def gradient_x_input(seed: int) -> Measured:
    """Gradient x input against DeepLIFT, LRP and integrated gradients, without and with biases."""
    inputs, others = grey_inputs(seed), ("deeplift", "lrp-zero", "integrated-gradients")
    for words, biases in (("without biases", False), ("with biases", True)):
        model = random_grey_network(seed, biases)
        names, targets = ["gradient-x-input", *others], model.predict(inputs)
        # many steps, so that what differs is the bias and not the sum that stands for the integral
        maps = attribute(model, inputs, targets, names, range(len(inputs)), Sampling(300))
        # its relevance starts at 1 here, and at the score in the identity
        maps["lrp-zero"] *= model.scores(inputs).gather(1, targets[:, None])[..., None]
        for name in others:
            yield f"relative difference {words}", name, relative(maps[name], maps[names[0]])


class _GuidedStep(torch.autograd.Function):
    """The formula of A.3, written down once more: ReLU, backward ``1[R > 0] 1[f > 0] R``."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        outputs = torch.where(inputs > 0, inputs, torch.zeros_like(inputs))
        ctx.save_for_backward(outputs)
        return outputs

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> Tensor:
        (outputs,) = ctx.saved_tensors
        return above[0] * (above[0] > 0) * (outputs > 0)


class _GuidedByHand(nn.Module):
    forward = staticmethod(_GuidedStep.apply)


def guided_backpropagation(seed: int, networks: Sequence[str]) -> Measured:
    """The project's guided backpropagation against captum's, and both against the plain gradient.

    Args:
        seed: of weights and inputs.
        networks: of torchvision. captum hooks ``nn.ReLU`` only.
    """
    for name in networks:
        model = bare(_torchvision_network(seed, name), SIDE)
        inputs = seeded(seed, torch.randn, 1, 3, SIDE, SIDE)
        request = request_for(model, inputs)
        own = guided_pass(request)
        plain = input_gradient(model.module, inputs, request.targets)
        with warnings.catch_warnings(action="ignore"):  # it says that it sets hooks
            guided = captum.attr.GuidedBackprop(model.module)
            theirs = guided.attribute(inputs.clone().requires_grad_(), target=request.targets)
        with GuidedRectifiers() as mode:
            model.module(inputs)
        yield "difference to captum", name, largest(own - theirs)
        yield "largest value", name, largest(own)
        yield "captum's difference to the gradient", name, largest(theirs - plain)
        yield "ReLUs guided", name, mode.calls
        yield "ReLUs called", name, _relu_calls(model.module, inputs)
    module = seeded(seed, cnn, 8)
    request = request_for(bare(module, 28), seeded(seed, torch.rand, 4, 3, 28, 28))
    own = guided_pass(request)
    for part, layer in list(module.named_children()):
        if isinstance(layer, nn.ReLU):
            setattr(module, part, _GuidedByHand())
    by_hand = input_gradient(module, request.inputs, request.targets)
    yield "difference to the formula", "CNN", largest(own - by_hand)


def _torchvision_network(seed: int, name: str) -> nn.Module:
    options = {"aux_logits": False, "init_weights": False} if name == "inception_v3" else {}
    # ten classes: the dense layers of VGG-16 are large enough without a thousand
    return seeded(seed, torchvision.models.get_model, name, weights=None, num_classes=10, **options)


def _relu_calls(module: nn.Module, inputs: Tensor) -> int:
    """ReLU nodes of the graph that autograd records, which no function call escapes."""
    seen, queue, count = set(), [module(inputs.clone().requires_grad_()).grad_fn], 0
    while queue:
        node = queue.pop()
        if node is not None and node not in seen:
            seen.add(node)
            count += node.name() in ("ReluBackward0", "HardtanhBackward0")
            queue += [following for following, _ in node.next_functions]
    return count


def grad_cam(seed: int) -> Measured:
    """Grad-CAM and guided Grad-CAM against captum's, on a ResNet-18 in double precision."""
    model = bare(_torchvision_network(seed, "resnet18").double(), SIDE)
    inputs = seeded(seed, torch.randn, 2, 3, SIDE, SIDE, dtype=torch.float64)
    targets = model.predict(inputs)
    layer_name = last_spatial_layer(model, inputs[:1])
    layer = dict(model.module.named_modules())[layer_name]
    features, slopes = features_and_gradients(model, inputs, targets, layer_name)
    coarse = (slopes.mean((2, 3), keepdim=True) * features).sum(1, keepdim=True).clamp_min(0)
    maps = unpooled(model, inputs, targets, ["grad-cam", "guided-grad-cam"], range(2))
    leaf = inputs.clone().requires_grad_()
    with warnings.catch_warnings(action="ignore"):  # it says that it sets hooks
        explainer = captum.attr.LayerGradCam(model.module, layer)
        theirs = explainer.attribute(leaf, target=targets, relu_attributions=True)
        both = captum.attr.GuidedGradCam(model.module, layer)
        guided = both.attribute(leaf, target=targets, interpolate_mode="bilinear")
    enlarge = captum.attr.LayerAttribution.interpolate
    upsampled = enlarge(theirs, (SIDE, SIDE), interpolate_mode="bilinear")
    for name, own, other in (
        ("Grad-CAM", coarse, theirs),
        ("Grad-CAM, upsampled", maps["grad-cam"], upsampled),
        ("guided Grad-CAM", maps["guided-grad-cam"], guided),
    ):
        yield "relative difference", name, relative(own, other)


#: the trained network in which completeness is checked, and how many digits
TRAINED, DIGITS = Plan("digits", "CNN", epochs=6, shrink=4), 6


def integrated_gradients(context: Context, steps: Sequence[int] = (10, 100, 300)) -> Measured:
    """Completeness by number of steps, and the formula differentiated literally.

    A network with random weights is shown beside a trained one: its logits hardly differ between
    an image and the baseline, so that a relative error says little.

    Args:
        context: seed, device, and the folder of the data if the run's images are the same.
        steps: of the midpoint rule.
    """
    seed = context.seed
    trained = grey_network(context, TRAINED).model.module.cpu().double()
    digits = as_inputs(grey_images(context, TRAINED.data).test[:DIGITS]).double()
    quantities = {
        "relative error": (bare(trained, digits.shape[-1]), digits.repeat(1, 3, 1, 1)),
        "relative error, random weights": (random_grey_network(seed), grey_inputs(seed)),
    }
    for quantity, (model, shown) in quantities.items():
        for count in steps:
            yield quantity, f"{count} steps", _incompleteness(model, shown, count)
    weights = seeded(seed, torch.randn, 12, dtype=torch.float64)
    x = seeded(seed + 1, torch.randn, 12, dtype=torch.float64)
    literal = torch.zeros_like(x)
    for alpha in (np.arange(300) + 0.5) / 300:
        leaf = x.clone().requires_grad_()
        literal += torch.autograd.grad((weights * (alpha * leaf)).sum(), leaf)[0] / 300
    ratio = float((x * literal).sum() / (weights * x).sum())
    yield "literal derivative over S(x) - S(0)", "linear S", ratio


def _incompleteness(model: Explainable, inputs: Tensor, steps: int) -> float:
    """Largest relative error of the sum of integrated gradients."""
    targets = model.predict(inputs)
    with torch.no_grad():
        rise = model.module(inputs) - model.module(torch.zeros_like(inputs))
    rise = rise.gather(1, targets[:, None])[:, 0]
    name, keys = "integrated-gradients", range(len(inputs))
    maps = attribute(model, inputs, targets, [name], keys, Sampling(steps), 100)
    error = maps[name].sum((1, 2)) - rise
    return float((error.abs() / rise.abs()).max())


def _noisy(
    score: Callable[[Tensor], Tensor], at: float, sigma: float, draws: tuple[int, int], *seeds: Any
) -> Tensor:
    """Mean and variance of a score's gradient over noise, by the library.

    Args:
        score: of inputs ``(N, 3, 1, 2)``, ``(N, 1)``.
        at: the value of the first pixel; the second is 1 more, so that the noise level is the
            deviation.
        sigma: of the noise.
        draws: noisy copies, and repetitions.
        seeds: of the noise.

    Returns:
        float64 ``(repetitions, 6, 1, 2)``: channels 0 to 2 are means, 3 to 5 variances.
    """
    copies, repeats = draws
    inputs = torch.full((repeats, 3, 1, 2), at, dtype=torch.float64)
    inputs[:, :, :, 1] = at + 1
    module = nn.Module()
    module.forward = score
    model = Explainable("a score", module, Preprocessing(), ())
    keys = tuple(stable_seed(*seeds, number) for number in range(repeats))
    sampling, targets = Sampling(noisy_copies=copies, noise_level=sigma), inputs.new_zeros(repeats)
    return noisy_pass(Request(model, inputs, targets.long(), keys, sampling, 100_000))


def _of_first(score: Callable[[Tensor], Tensor]) -> Any:
    """A score of the first value of an input."""
    return lambda inputs: score(inputs[:, 0, 0, :1])


def smoothgrad(seed: int, repeats: int = 1000) -> Measured:
    """SmoothGrad of a ReLU of one variable against the normal distribution function."""
    at, sigma, counts, name = 0.4, 1.0, (8, 32, 128), "ReLU of one variable"
    deviations = []
    for count in counts:
        values = _noisy(_of_first(torch.relu), at, sigma, (count, repeats), seed, count)
        found = values[:, 0, 0, 0].numpy()
        deviations.append(found.std(ddof=1))
    yield "limit", "Φ(x/σ)", norm.cdf(at / sigma)
    # the most copies: mean over repetitions, with its standard error
    yield "average", name, found.mean()
    yield "standard error", name, deviations[-1] / np.sqrt(repeats)
    slope = np.polyfit(np.log(counts), np.log(deviations), 1)[0]
    yield "slope of log deviation on log N", name, slope


def vargrad(seed: int, repeats: int = 1000, count: int = 50) -> Measured:
    """VarGrad of a quadratic and of a cubic score, and of a network beside its gradient."""
    sigma, curvature = 0.7, 1.7
    draws: dict[str, np.ndarray] = {}
    correction = count / (count - 1)  # the library divides by the number of copies

    def variance(subject: str, score: Any, at: float, truth: float) -> Measured:
        values = _noisy(_of_first(score), at, sigma, (count, repeats), seed, count)
        draws[subject] = found = values[:, 3, 0, 0].numpy() * correction
        yield "variance", subject, found.mean()
        yield "standard error", subject, found.std(ddof=1) / np.sqrt(repeats)
        yield "limit", subject, truth

    for at, b in ((0.3, 0.0), (2.0, 5.0)):
        subject, truth = f"quadratic, x = {at:g}, b = {b:g}", sigma**2 * curvature**2
        yield from variance(subject, lambda x, b=b: 0.5 * curvature * x.square() + b * x, at, truth)
    one, other = draws.values()
    yield "change with x and b", "quadratic", np.abs(one - other).max()
    for at in (0.0, 1.5):
        truth = sigma**2 * at**2 + sigma**4 / 2
        yield from variance(f"cubic, x = {at:g}", lambda x: x.pow(3) / 6, at, truth)
    matrix = seeded(seed, torch.randn, 6, 6, dtype=torch.float64)
    matrix = matrix + matrix.T

    def several(inputs: Tensor) -> Tensor:
        flat = inputs.flatten(1)
        return 0.5 * ((flat @ matrix) * flat).sum(1, keepdim=True)

    values = _noisy(several, 0.2, sigma, (count, repeats), seed, "several")[:, 3:]
    found, limit = values.flatten(1) * correction, sigma**2 * matrix.square().sum(1)
    distance = (found.mean(0) - limit) / (found.std(0) / repeats**0.5)
    yield "distance in standard errors", "quadratic of 6", largest(distance)
    model, inputs, names = random_grey_network(seed), grey_inputs(seed), ["gradient", "vargrad"]
    maps = attribute(model, inputs, model.predict(inputs), names, range(4), Sampling(2, 50))
    pairs = zip(maps["gradient"], maps["vargrad"], strict=True)
    ranks = [spearmanr(g.abs().flatten(), v.flatten()).statistic for g, v in pairs]
    yield "Spearman with |gradient|", "CNN, random weights", np.mean(ranks)


def similarities(seed: int, side: int = 96, count: int = 4) -> Measured:
    """Each similarity of a map with itself and with its negative, on random maps."""
    source = generator(seed, "similarities")
    maps = torch.randn(count, side, side, generator=source, dtype=torch.float64)
    metrics = {
        "Spearman, signed": similarity.spearman,
        "Spearman, absolute": lambda a, b: similarity.spearman(a.abs(), b.abs()),
        "SSIM": lambda a, b: similarity.ssim(a, b, DATA_RANGE, UNIFORM),
        "HOG": lambda a, b: similarity.pearson(hog(a), hog(b)),
    }
    for name, metric in metrics.items():
        for quantity, other in (("identical maps", maps), ("flipped sign", -maps)):
            for value in metric(maps, other).tolist():
                yield quantity, name, value


#: the networks on which guided backpropagation is compared with captum's; the criterion names the
#: first three, and the last two show what hooks miss
NETWORKS = ("resnet18", "resnet50", "vgg16", "mobilenet_v2", "inception_v3")

Topic = Literal[
    "gradient", "gradient x input", "guided backpropagation", "Grad-CAM", "integrated gradients",
    "SmoothGrad", "VarGrad", "similarities", "shapes",
]  # fmt: skip
TOPICS: tuple[Topic, ...] = get_args(Topic)


@table(
    "method-definitions",
    by=["topics"],
    smoke={"networks": NETWORKS[:1], "repeats": 400},
    quick={"networks": NETWORKS[:3]},
    everything=True,
)
def definitions(
    context: Context,
    networks: Sequence[str] = NETWORKS,
    repeats: int = 1000,
    topics: Sequence[Topic] = TOPICS,
) -> Iterator[dict[str, Any]]:
    """Measured quantities behind the definitions of Appendix A and the metrics of Appendix B.

    Args:
        context: model, images and seed; the model is used for the shapes of maps only.
        networks: of torchvision, with random weights.
        repeats: repetitions of sampling methods.
        topics: what is measured, in parts of their own.
    """
    seed = context.seed
    known: dict[Topic, tuple[str, Measured]] = {  # nothing is measured before it is asked for
        "gradient": ("adebayo-a1-grad", gradient(seed)),
        "gradient x input": ("adebayo-a2-gxi", gradient_x_input(seed)),
        "guided backpropagation": ("adebayo-a3-gbp", guided_backpropagation(seed, networks)),
        "Grad-CAM": ("adebayo-a4-gradcam", grad_cam(seed)),
        "integrated gradients": ("adebayo-a5-ig", integrated_gradients(context)),
        "SmoothGrad": ("adebayo-a6-sg", smoothgrad(seed, repeats)),
        "VarGrad": ("adebayo-a7-vg", vargrad(seed, repeats)),
        "similarities": ("adebayo-metrics", similarities(seed)),
        "shapes": ("adebayo-def", shapes(context)),
    }
    for topic in topics:
        claim, rows = known[topic]
        for quantity, subject, value in rows:
            yield {"claim": claim, "quantity": quantity, "subject": subject, "value": float(value)}
