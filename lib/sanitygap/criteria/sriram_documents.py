"""Criteria for what Sriram and Conati (2022) say of networks, tables and other papers."""

import numpy as np
import pandas as pd

from sanitygap import judge
from sanitygap.judge import Context, Tables, Verdict, criterion
from sanitygap.sensitivity import anchors
from sanitygap.sensitivity.scores import METHODS, PRINTED

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


def _column(tables: Tables, name: str) -> pd.Series:
    return tables["ipr-architectures"].set_index("network")[name]


def _listed(values: pd.Series) -> str:
    return ", ".join(f"{name} {int(value)}" for name, value in values.items())


def _numbers(values: pd.Series, what: str) -> dict[str, float]:
    return {f"{what} {name}": int(value) for name, value in values.items()}


@criterion("sriram-relu-count", tables=("ipr-architectures",))
def relu_count(tables: Tables, context: Context) -> Verdict:
    calls = _column(tables, "relu_calls")
    rank = int((calls > calls["vgg16"]).sum()) + 1
    return judge.formal(
        rank == 1,
        f"ReLU or ReLU6 called in a forward pass: {_listed(calls)}. VGG16 is number {rank} of "
        f"{len(calls)}.",
        _numbers(calls, "calls"),
        "ReLU has no parameters, so none of them is randomised.",
    )


@criterion("sriram-nobias", tables=("ipr-architectures",))
def no_bias(tables: Tables, context: Context) -> Verdict:
    names = ("convolution_biases", "dense_biases", "norm_shifts")
    parts = {name.replace("_", " "): _column(tables, name) for name in names}
    total = pd.DataFrame(parts).sum(axis="columns")
    words = "; ".join(f"{name}: {_listed(values)}" for name, values in parts.items())
    evidence = f"Layers that add a bias or a shift: {words}."
    return judge.formal(bool((total == 0).all()), evidence, _numbers(total, "additive"))


@criterion("sriram-shallow", tables=("ipr-architectures",))
def shallow(tables: Tables, context: Context) -> Verdict:
    counts = _column(tables, "convolutions")
    fewer = [name for name in ("inception_v3", "mobilenet_v2") if counts[name] < counts["vgg16"]]
    return judge.formal(
        len(fewer) == 2,
        f"Convolutions: {_listed(counts)}; {len(fewer)} of the 2 networks said to be "
        "shallower have fewer than VGG16.",
        _numbers(counts, "convolutions"),
    )


@criterion("sriram-table2", tables=("printed-correlations", "printed-structure"))
def table_2(tables: Tables, context: Context) -> Verdict:
    rows = _printed(tables, "printed-correlations", "sriram-table2")
    ways = int(_structure(tables, "sriram-table2")["realisations"])
    apart = {
        name: rows["mark"] != rows[f"mark_{test}"]
        for name, test in (("t", "t"), ("exact", "exact"), ("Holm", "holm"))
    }
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


@criterion("sriram-table3", tables=("printed-correlations", "printed-structure"))
def table_3(tables: Tables, context: Context) -> Verdict:
    rows = _printed(tables, "printed-correlations", "sriram-table3")
    structure = _structure(tables, "sriram-table3")
    values = sorted(
        value for name, value in structure.items() if str(name).startswith("eigenvalue")
    )
    rank_4 = values[0] >= -1e-3 and sum(value < 2e-3 for value in values) >= 3
    wrong = int((rows["mark"] != rows["mark_t"]).sum())
    kept = rows[rows["holm_t"] <= 0.05]
    starred = int((rows["mark"] != "ns").sum())
    listed = ", ".join(f"{value:.4f}" for value in values)
    pairs = "; ".join(f"{row.first} with {row.second}" for row in kept.itertuples())
    return judge.formal(
        bool(rank_4 and structure["asymmetry"] == 0 and wrong == 0),
        f"Eigenvalues {listed}: rank 4, as five "
        f"architectures require. Marks that differ from the t-test's: {wrong}. After Holm's "
        f"correction {len(kept)} of {starred} marked pairs stay significant at 5 %: {pairs}.",
        {
            "smallest eigenvalue": values[0],
            "wrong marks": wrong,
            "marked": starred,
            "marked after Holm": len(kept),
        },
    )


def _printed(tables: Tables, name: str, claim: str) -> pd.DataFrame:
    return judge.rows_of(tables[name], claim=claim)


def _structure(tables: Tables, claim: str) -> pd.Series:
    rows = _printed(tables, "printed-structure", claim)
    return rows.set_index("property")["value"]


@criterion("sriram-runtime", tables=("ipr-test",))
def runtime(tables: Tables, context: Context) -> Verdict:
    table = tables["ipr-test"]
    times = seconds_of(table)
    layers = int(table["steps"].iloc[0])
    hours = projected_hours(table)
    parameters = table.attrs.get("parameters", {})
    sizes = ", ".join(
        f"{name} {parameters[name]}"
        for name in ("path_steps", "lime_samples")
        if name in parameters
    )
    sizes = f"; sampling sizes of this run: {sizes}" if sizes else ""
    slowest, seconds = max(times, key=lambda name: times[name]), sum(times.values())
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


def seconds_of(table: pd.DataFrame) -> dict[str, float]:
    """Median seconds for one image and one network: method -> time of the pass that makes it.

    Gradient x input comes with the gradient's pass and costs nothing more.
    """
    rows = table[table["method"].isin(METHODS)]
    times = rows.groupby("method", sort=False)["seconds"].median()
    return {
        str(name): 0.0 if name == "gradient-x-input" else float(value)
        for name, value in times.items()
    }


def projected_hours(table: pd.DataFrame, images: int = IMAGES) -> float:
    """Hours for all layers and so many images, from the times in the table ``ipr-test``."""
    networks = int(table["steps"].iloc[0]) + 1  # the trained one too
    return sum(seconds_of(table).values()) * images * networks / 3600


@criterion("sriram-fig2", tables=("ipr-kinds",))
def figure_2(tables: Tables, context: Context) -> Verdict:
    rows = tables["ipr-kinds"].groupby("method", sort=False).first()
    own = rows[[name in METHODS for name in rows.index]]
    kinds = {name: bool(backward) for name, backward in own["backward"].items()}
    flat = int((rows["deviation"] == 0).sum())
    gradients = [PRINTED[str(name)] for name, backward in kinds.items() if backward]
    others = [PRINTED[str(name)] for name, backward in kinds.items() if not backward]
    as_printed = len(kinds) == len(METHODS) and others == ["LIME"] and not flat
    return Verdict(
        value="caveat" if as_printed else "false",
        evidence=f"By what they ask of the network, {len(gradients)} of the {len(kinds)} methods "
        f"use gradients ({', '.join(gradients)}) and {len(others)} only perturbed inputs "
        f"({', '.join(others)}). {flat} maps are constant.",
        reason="The text lists deconvolution among the perturbation-based methods; it goes back "
        "through the network.",
        numbers={"gradient": len(gradients), "perturbation": len(others), "constant maps": flat},
    )


@criterion("sriram-gradcam-claims")
def about_adebayo(tables: Tables, context: Context) -> Verdict:
    table = anchors.read()
    rows = anchors.anchored(table)
    found = int((rows["together"] > 0).sum())
    other = int(table.loc[table["term"] == anchors.OTHER_PAPER, "count"].sum())
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
