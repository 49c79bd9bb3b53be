"""Criteria for the results of Sriram and Conati (2022): S^I of methods, images and networks.

An image for which a method gave a map that is zero everywhere has no similarity there. It is left
out for that method, and counted.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from sanitygap import judge
from sanitygap.chapters.sriram import printed
from sanitygap.chapters.sriram.definitions import (
    LEVEL,
    METHODS,
    PRINTED,
    THRESHOLD,
    coverage,
    criteria,
    image_sensitivities,
    layer_table,
)
from sanitygap.inference import Interval, bootstrap, bootstrap_mean
from sanitygap.judge import Context, Tables, Verdict, criterion, shown
from sanitygap.scores import need_methods

#: the two groups of Sect. 7
GUIDED = ("guided-backprop", "guided-grad-cam")
PATHS = ("deeplift", "gradient-x-input", "integrated-gradients")

#: where the paper's claims about single architectures end and other networks begin
LIME_MAXIMUM, FRESH, HIDDEN = 0.995, 0.95, 0.10

#: simulated sets of images for the coverage of the interval, for each method
SIMULATIONS = 300

#: explainers that know nothing of the network and draw nothing
DETERMINISTIC = ("noise-fixed", "edges", "centre")


def dataset_sensitivity(values: pd.Series, name: str) -> Interval:
    """S^I with the paper's interval of 90 %.

    Raises:
        Unjudged: fewer than two images have one.
    """
    kept = values.dropna()
    if len(kept) < 2:
        judge.stop(_too_few(name, len(kept)))
    return bootstrap_mean(kept, LEVEL)


def correlation(scores: pd.DataFrame, statistic: Callable[[np.ndarray], float]) -> Interval | None:
    """A statistic of how S^i of methods go together, None if the images are too few."""
    if len(scores) < 4 or scores.shape[1] < 2:
        return None
    try:
        return bootstrap(scores, statistic)
    except ValueError:  # a resample of very few images can be constant
        return None


def _too_few(what: str, count: int) -> Verdict:
    return judge.no_data(f"{what}: {count} images are too few.")


def _with(tables: Tables, *methods: str) -> pd.DataFrame:
    """The table ``ipr-test``, which has to hold these methods."""
    table = tables["ipr-test"]
    judge.need_all(set(table["method"]), methods, "the run lacks {}; compute them")
    return table


@criterion("sriram-fig3", tables=("ipr-test",))
def figure_3(tables: Tables, context: Context) -> Verdict:
    table = _with(tables, *METHODS)
    scores = image_sensitivities(table, METHODS)
    levels = {str(name): dataset_sensitivity(scores[name], str(name)) for name in scores}
    verdicts = [
        Verdict(
            value=judge.at_least(level, THRESHOLD),
            evidence=f"{name} {shown(level)}.",
            numbers={f"S {name}": level.estimate},
        )
        for name, level in levels.items()
    ]
    lowest = min(levels, key=lambda name: levels[name].low)
    passed = sum(verdict.value == "reproduced" for verdict in verdicts)
    return judge.reworded(
        judge.combine(verdicts),
        f"{passed} of {len(verdicts)} methods have S^I ≥ 0.01 with their whole "
        f"interval; the lowest is {lowest}, {shown(levels[lowest])} "
        f"(n = {levels[lowest].n} images, {table['stage'].nunique()} layers, 90 % intervals; "
        f"{int(scores.isna().sum().sum())} images left out for a map that is zero everywhere).",
        reason="The threshold is met almost by construction: one layer in a hundred does.",
    )


@criterion("sriram-fig3-guided", tables=("ipr-captum", "silent-hooks"))
def guided_across_architectures(tables: Tables, context: Context) -> Verdict:
    hooks = tables["silent-hooks"]
    silent = list(map(str, hooks.loc[hooks["difference"] == 0, "network"]))
    names = ("gradient", "captum-guided-backprop", "guided-backprop")
    scores = image_sensitivities(tables["ipr-captum"], names).mean()
    here = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
    return Verdict(
        value="not-run",
        evidence=f"captum's guided backpropagation equals the plain gradient to the last bit in "
        f"{len(silent)} of {len(hooks)} of the paper's architectures ({', '.join(silent)}), "
        f"whatever their weights. S^I on {context.model}: {here}.",
        reason="The claim compares five trained networks with each other; this run is about one. "
        "Run the page for each of them and compare the runs.",
        numbers={"silent": len(silent), "networks": len(hooks)}
        | {f"S {name}": float(value) for name, value in scores.dropna().items()},
    )


@criterion("sriram-groups", tables=("ipr-test", "ipr-retest"))
def groups(tables: Tables, context: Context) -> Verdict:
    table = _with(tables, *METHODS)
    scores = image_sensitivities(table, METHODS)[[*GUIDED, *PATHS]].dropna()
    within = [(0, 1), (2, 3), (2, 4), (3, 4)]
    between = [(a, b) for a in (0, 1) for b in (2, 3, 4)]

    def gap(values: np.ndarray) -> float:
        with np.errstate(invalid="ignore"):
            correlations = np.corrcoef(values, rowvar=False)
        pairs = [np.array([correlations[pair] for pair in kind]) for kind in (within, between)]
        known = [kind[~np.isnan(kind)] for kind in pairs]
        if not all(map(len, known)):  # a resample of very few images can be constant
            return float("nan")
        return float(known[0].mean() - known[1].mean())

    interval = correlation(scores, gap)
    if interval is None:
        return _too_few("Correlation over images", len(scores))
    means = scores.corr().to_numpy()
    inside, across = (float(np.mean([means[pair] for pair in kind])) for kind in (within, between))
    first = Verdict(
        value=judge.side(interval, 0, "above"),
        evidence=f"Pearson correlation of S^i over {len(scores)} images: mean {inside:+.2f} within "
        f"the two groups, {across:+.2f} between them, difference {shown(interval)}.",
        numbers={"within": inside, "between": across},
    )
    lime = image_sensitivities(table, ("lime",))["lime"].dropna()
    again = retest_sensitivity(tables["ipr-retest"]).get("lime", np.nan)
    level = f"LIME has S^I = {lime.mean():.3f} here; asked a second time of the unchanged network, "
    level += f"its S is {again:.3f} already."
    if context.model.partition("@")[0] != "torchvision:resnet50":
        reason = "That LIME has S^I = 1.0 is about ResNet50, which is not this network."
        return judge.reworded(first, f"{first.evidence} {level}", reason=reason)
    mean = dataset_sensitivity(lime, "LIME")
    value = judge.at_least(mean, LIME_MAXIMUM, "direction")
    second = Verdict(value=value, evidence=level, numbers={"S lime": mean.estimate})
    return judge.combine([first, second])


def retest_sensitivity(table: pd.DataFrame) -> dict[str, float]:
    """Mean S between two maps of the unchanged network: method -> value."""
    rows = judge.rows_of(table, stage="retest")
    means = rows.groupby(rows["method"].str.partition("@")[0])["ssim"].mean()
    return {str(name): float(1 - value) for name, value in means.items()}


@criterion("sriram-threshold", tables=("ipr-retest", "threshold-sweep"))
def threshold(tables: Tables, context: Context) -> Verdict:
    again = retest_sensitivity(tables["ipr-retest"])
    drawing = {"smoothgrad", "lime", "noise"}  # of masks, noisy copies or the map itself
    fixed = [value for name, value in again.items() if name not in drawing]
    drawn = ", ".join(f"{name} {value:.3f}" for name, value in again.items() if name in drawing)
    flagged = [name for name, value in again.items() if value > THRESHOLD]
    rows = judge.rows_of(tables["threshold-sweep"], scaling="[0, 1]")
    crossed = rows[rows["sensitivity"] >= THRESHOLD].groupby("map", sort=False)["noise"].min()
    reached = ", ".join(f"{level:g} ({kind})" for kind, level in crossed.items())
    unrelated = rows[np.isinf(rows["noise"])].set_index("map")["sensitivity"]
    apart = ", ".join(f"{value:.2f} ({kind})" for kind, value in unrelated.items())
    verdict = judge.measured(
        all(value <= 1e-4 for value in fixed),
        f"Asked twice of the unchanged network, the {len(fixed)} deterministic methods "
        f"have S of at most {max(fixed):.1e}. Those that draw random numbers: {drawn}. "
        f"On maps in [0, 1] the threshold is crossed by noise of standard deviation {reached}; "
        f"two unrelated maps have S = {apart}.",
        {f"retest {name}": value for name, value in again.items() if np.isfinite(value)},
        value="reproduced",
    )
    reason = "Flagged, as they pass without any change of the network: "
    return judge.reworded(verdict, reason=f"{reason}{', '.join(flagged)}." if flagged else "")


@criterion("sriram-alt-criteria", tables=("ipr-test",))
def hidden_insensitivity(tables: Tables, context: Context) -> Verdict:
    table = _with(tables, *METHODS)
    each = {name: criteria(layer_table(table, name).dropna()) for name in METHODS}
    passing = [name for name, numbers in each.items() if numbers["S"] >= THRESHOLD]
    hiding = [name for name in passing if 1 - each[name]["meets"] > HIDDEN]
    worst = min(each, key=lambda name: each[name]["meets"])
    least, named = each[worst], f" ({', '.join(hiding)})" if hiding else ""
    verdict = judge.measured(
        bool(hiding),
        f"{len(passing)} of {len(each)} methods pass S^I ≥ 0.01; {len(hiding)} of them "
        f"fail Definition 2 on more than 10 % of the images{named}. "
        f"Lowest share of images that meet it: {least['meets']:.0%} ({worst}), where "
        f"the least sensitive layer has mean S = {least['least_layer']:.4f} and "
        f"{least['insensitive']:.1%} of the pairs of image and layer are insensitive.",
        {f"{key} {name}": each[name][key] for key in ("meets", "S") for name in each},
        value="reproduced",
    )
    reason = "" if hiding else "S^I and Definition 2 agree here: the hypothesis fails."
    verdict = judge.reworded(verdict, reason=reason)
    if len(passing) == len(each):
        return verdict
    return verdict.model_copy(update={"value": "undecided"})


@criterion("sriram-noise-max", tables=("ipr-test",))
def noise_is_maximal(tables: Tables, context: Context) -> Verdict:
    table = _with(tables, "noise", *DETERMINISTIC)
    scores = image_sensitivities(table, ["noise", *DETERMINISTIC, *METHODS])
    held = [name for name in METHODS if name in scores]
    level = bootstrap_mean(scores["noise"])
    words = f"Fresh noise has S^I = {shown(level)}."
    noise = Verdict(value=judge.at_least(level, FRESH), evidence=words)
    gaps = [_above(scores, name) for name in held]
    blind = max(float(scores[name].abs().max()) for name in DETERMINISTIC)
    words = "Explainers that are blind to the network and draw nothing have S^I of at most "
    words += f"{blind:.0e} ({', '.join(DETERMINISTIC)})."
    still = judge.measured(blind < 1e-6, words, {"blind": blind}, value="reproduced")
    beyond = sum(verdict.value == "reproduced" for verdict in gaps)
    others = judge.evidence_of(v for v in gaps if v.value != "reproduced")
    return judge.reworded(
        judge.combine([noise, *gaps, still]),
        f"{noise.evidence} It lies above {beyond} of {len(held)} methods "
        f"beyond chance. {others} {still.evidence}".replace("  ", " "),
    )


def _above(scores: pd.DataFrame, name: str) -> Verdict:
    """Fresh noise is more sensitive than a method."""
    pair = scores[["noise", name]].dropna()
    if len(pair) < 2:
        return _too_few(name, len(pair))
    gap = judge.paired(pair, "noise", name)
    return judge.reproduced(gap, 0, "above", f"noise − {name} = {shown(gap)}.", f"noise - {name}")


@criterion("sriram-dataset", tables=("ipr-test",))
def intervals(tables: Tables, context: Context) -> Verdict:
    scores = image_sensitivities(tables["ipr-test"], METHODS)
    kept = {str(name): values for name in scores if len(values := scores[name].dropna()) > 1}
    if not kept:
        return _too_few("Intervals", len(scores))
    # methods whose S^i do not differ between images have no interval to speak of
    shares = [coverage(values, SIMULATIONS) for values in kept.values() if values.std() > 0]
    if not shares:
        return _too_few("Intervals of S^i that vary", 0)
    pooled, half = float(np.mean(shares)), {}
    for name, values in kept.items():
        interval = bootstrap_mean(values, LEVEL)
        half[name] = (interval.high - interval.low) / 2
    widest, count = max(half, key=half.__getitem__), len(next(iter(kept.values())))
    return judge.measured(
        0.86 <= pooled <= 0.94,
        f"In {SIMULATIONS * len(shares)} simulated sets of 900 images, drawn from the "
        f"{count} measured S^i of {len(shares)} methods, the 90 % interval covers the true S^I in "
        f"{pooled:.1%} of the cases (a single method: {min(shares):.1%} to "
        f"{max(shares):.1%}). Half-width here at most {half[widest]:.4f} ({widest}, "
        f"n = {count}).",
        {"coverage": pooled} | {f"half-width {name}": v for name, v in half.items()},
        value="reproduced",
    )


@criterion("sriram-fig1", tables=("ipr-kinds",))
def figure_1(tables: Tables, context: Context) -> Verdict:
    rows = tables["ipr-kinds"].groupby("method", sort=False).last()
    own, theirs = "guided-backprop", "captum-guided-backprop"
    need_methods(rows.index, own, theirs)
    constant, same = int((~(rows["deviation"] > 0)).sum()), rows["same_as_gradient"]
    like, theirs_like = rows["like_gradient"][[own, theirs]]
    silent = f"correlates with the gradient's at {theirs_like:+.3f}"
    if same[theirs]:
        silent = "is the gradient's, to the last bit"
    return judge.measured(
        not constant and not same[own],
        f"{constant} of {len(rows)} maps of the image are constant. The map of guided "
        f"backpropagation correlates with the gradient's at {like:+.3f}; captum's {silent}.",
        {"constant": constant, "guided and gradient": like, "captum and gradient": theirs_like},
        value="reproduced",
    )


#: images of the paper, and hours of the week that one architecture took
IMAGES, WEEK = 900, 7 * 24.0


@criterion("sriram-layers", tables=("ipr-layers",))
def layers(tables: Tables, context: Context) -> Verdict:
    rows = tables["ipr-layers"].assign(agrees=lambda table: table["stated"] == table["counted"])
    agreeing = rows.groupby("rule", sort=False)["agrees"].sum()
    networks = rows["network"].nunique()
    uniform = agreeing.drop("mixed")
    best = uniform.max()
    names = [str(name) for name in uniform.index[uniform == best]]
    return judge.formal(
        bool(best == networks),
        f"{len(uniform)} uniform rules were counted in torchvision's {networks} networks. "
        f"The best agrees with the paper in {best} ({'; '.join(names)}); a rule of its own for "
        f"each network agrees in {int(agreeing['mixed'])}.",
        {"rules": len(uniform), "best": int(best), "mixed": int(agreeing["mixed"])},
        "The classifier counts as a layer in InceptionV3 only." if best < networks else "",
    )


def _counts(tables: Tables, column: str, what: str) -> tuple[pd.Series, str, dict[str, float]]:
    """A number of each network; the same in words, and as numbers of a verdict."""
    values = tables["ipr-architectures"].set_index("network")[column].astype(int)
    listed = ", ".join(f"{name} {value}" for name, value in values.items())
    return values, listed, {f"{what} {name}": int(value) for name, value in values.items()}


@criterion("sriram-relu-count", tables=("ipr-architectures",))
def relu_count(tables: Tables, context: Context) -> Verdict:
    calls, listed, numbers = _counts(tables, "relu_calls", "calls")
    rank = int((calls > calls["vgg16"]).sum()) + 1
    return judge.formal(
        rank == 1,
        f"ReLU or ReLU6 called in a forward pass: {listed}. VGG16 is number {rank} of "
        f"{len(calls)}.",
        numbers,
        "ReLU has no parameters, so none of them is randomised.",
    )


@criterion("sriram-nobias", tables=("ipr-architectures",))
def no_bias(tables: Tables, context: Context) -> Verdict:
    names = ("convolution_biases", "dense_biases", "norm_shifts")
    parts = {name.replace("_", " "): _counts(tables, name, "additive") for name in names}
    words = "; ".join(f"{name}: {listed}" for name, (_, listed, _) in parts.items())
    total = pd.DataFrame([numbers for *_, numbers in parts.values()]).sum()
    evidence = f"Layers that add a bias or a shift: {words}."
    numbers = {str(name): float(count) for name, count in total.items()}
    return judge.formal(bool((total == 0).all()), evidence, numbers)


@criterion("sriram-shallow", tables=("ipr-architectures",))
def shallow(tables: Tables, context: Context) -> Verdict:
    counts, listed, numbers = _counts(tables, "convolutions", "convolutions")
    fewer = [name for name in ("inception_v3", "mobilenet_v2") if counts[name] < counts["vgg16"]]
    evidence = f"Convolutions: {listed}; {len(fewer)} of the 2 networks said to be "
    evidence += "shallower have fewer than VGG16."
    return judge.formal(len(fewer) == 2, evidence, numbers)


PRINTED_TABLES = ("printed-correlations", "printed-structure")


@criterion("sriram-table2", tables=PRINTED_TABLES)
def table_2(tables: Tables, context: Context) -> Verdict:
    rows, structure = _printed(tables, "sriram-table2")
    ways, tests = int(structure["realisations"]), {"t": "t", "exact": "exact", "Holm": "holm"}
    apart = {name: rows["mark"] != rows[f"mark_{test}"] for name, test in tests.items()}
    counts = {name: int(differs.sum()) for name, differs in apart.items()}
    agree = min(counts.values()) == 0
    wrong = "; ".join(
        f"{row.first} with {row.second} {row.printed:g}: printed {row.mark}, t {row.mark_t}, exact "
        f"{row.mark_exact}"
        for row in rows[apart["t"] | apart["exact"]].itertuples()
    )
    return judge.formal(
        ways > 0 and agree,
        f"The table is realised by {max(ways, 0)} sets of rankings of five. Marks that "
        f"differ from those of the t approximation: {counts['t']}; of the exact test: "
        f"{counts['exact']}; after Holm's correction: {counts['Holm']}. {wrong}.",
        {"realisations": ways} | {f"marks against {name}": n for name, n in counts.items()},
        "" if agree else "The values are sound; the marks agree with no single test.",
    )


@criterion("sriram-table3", tables=PRINTED_TABLES)
def table_3(tables: Tables, context: Context) -> Verdict:
    rows, structure = _printed(tables, "sriram-table3")
    values = structure[structure.index.str.startswith("eigenvalue")].sort_values()
    rank_4 = values.iloc[0] >= -1e-3 and (values < 2e-3).sum() >= 3
    wrong = int((rows["mark"] != rows["mark_t"]).sum())
    kept, starred = rows[rows["holm_t"] <= 0.05], int((rows["mark"] != "ns").sum())
    pairs = "; ".join(kept["first"] + " with " + kept["second"])
    return judge.formal(
        bool(rank_4 and structure["asymmetry"] == 0 and wrong == 0),
        f"Eigenvalues {', '.join(values.map('{:.4f}'.format))}: rank 4, as five "
        f"architectures require. Marks that differ from the t-test's: {wrong}. After Holm's "
        f"correction {len(kept)} of {starred} marked pairs stay significant at 5 %: {pairs}.",
        {"smallest eigenvalue": values.iloc[0], "wrong marks": wrong, "marked": starred,
         "marked after Holm": len(kept)},
    )  # fmt: skip


def _printed(tables: Tables, claim: str) -> tuple[pd.DataFrame, pd.Series]:
    """The pairs of a printed table, and its properties."""
    pairs, structure = (judge.rows_of(tables[name], claim=claim) for name in PRINTED_TABLES)
    return pairs, structure.set_index("property")["value"]


@criterion("sriram-runtime", tables=("ipr-test",))
def runtime(tables: Tables, context: Context) -> Verdict:
    table = tables["ipr-test"]
    times, layers, hours = seconds_of(table), int(table["steps"].iloc[0]), projected_hours(table)
    sizes = sizes_of(table.attrs.get("parameters", {}))
    sizes = f"; sampling sizes of this run: {sizes}" if sizes else ""
    slowest, seconds = max(times, key=times.__getitem__), sum(times.values())
    device = table.attrs.get("settings", {}).get("device", "an unnamed device")
    return Verdict(
        value="holds" if np.isfinite(hours) and hours > 0 else "undecided",
        evidence=f"Measured on {device}, {context.model}: {seconds:.2f} s for one "
        f"image, one network and {len(times)} methods, most of it {slowest} "
        f"({times[slowest]:.2f} s). For {IMAGES} images and {layers} layers that makes {hours:.1f} "
        f"hours; the paper's test took about {WEEK:.0f} hours for an architecture on an RTX 2060.",
        reason=f"Documentary: another machine and network{sizes}. The paper states none.",
        numbers={"hours": hours, "seconds": seconds, "layers": layers},
    )


def sizes_of(parameters: Mapping[str, object]) -> str:
    """The sampling sizes among the parameters of a table, in words."""
    names = [name for name in ("path_steps", "lime_samples") if name in parameters]
    return ", ".join(f"{name} {parameters[name]}" for name in names)


def seconds_of(table: pd.DataFrame) -> dict[str, float]:
    """Median seconds for one image and one network: method -> time of the pass that makes it.

    Gradient x input comes with the gradient's pass and costs nothing more.
    """
    rows = table[table["method"].isin(METHODS)]
    times = rows.groupby("method", sort=False)["seconds"].median()
    times = times.where(times.index != "gradient-x-input", 0.0)
    return {str(name): float(seconds) for name, seconds in times.items()}


def projected_hours(table: pd.DataFrame, images: int = IMAGES) -> float:
    """Hours for all layers and so many images, from the times in the table ``ipr-test``."""
    networks = int(table["steps"].iloc[0]) + 1  # the trained one too
    return sum(seconds_of(table).values()) * images * networks / 3600


@criterion("sriram-fig2", tables=("ipr-kinds",))
def figure_2(tables: Tables, context: Context) -> Verdict:
    rows = tables["ipr-kinds"].groupby("method", sort=False).first()
    own = rows[[name in METHODS for name in rows.index]]
    flat, backward = int((rows["deviation"] == 0).sum()), own["backward"].astype(bool)
    gradients, others = (list(own.index[kind].map(PRINTED)) for kind in (backward, ~backward))
    as_printed = len(own) == len(METHODS) and others == ["LIME"] and not flat
    return Verdict(
        value="caveat" if as_printed else "false",
        evidence=f"By what they ask of the network, {len(gradients)} of the {len(own)} methods "
        f"use gradients ({', '.join(gradients)}) and {len(others)} only perturbed inputs "
        f"({', '.join(others)}). {flat} maps are constant.",
        reason="The text lists deconvolution among the perturbation-based methods; it goes back "
        "through the network.",
        numbers={"gradient": len(gradients), "perturbation": len(others), "constant maps": flat},
    )


@criterion("sriram-gradcam-claims")
def about_adebayo(tables: Tables, context: Context) -> Verdict:
    table = printed.concordance()
    rows = printed.anchored(table)
    found = int((rows["together"] > 0).sum())
    other = int(table.loc[table["term"] == printed.OTHER_PAPER, "count"].sum())
    each = "; ".join(
        f"{row.part}: methods named {row.methods} times, words for the verdict {row.verdicts} times"
        for row in rows.itertuples()
    )
    return Verdict(
        value="holds" if found == len(rows) else "undecided",
        evidence=f"{found} of {len(rows)} parts are anchored in the words of the appendix. {each}. "
        f"Sixt et al. are named {other} times.",
        reason="Only the appendix of Adebayo et al. is among the documents: it shows the figures "
        "and names the methods, and leaves verdicts to the main text. The part about Sixt et al. "
        "cannot be confirmed from it.",
        numbers={"parts": len(rows), "anchored": found},
    )
