"""Criteria for what Sriram and Conati (2022) say of networks, tables and other papers."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from sanitygap.claims import CriterionContext, Verdict, criterion
from sanitygap.claims.verdicts import Value
from sanitygap.sensitivity import anchors
from sanitygap.sensitivity.scores import METHODS, PRINTED

Tables = Mapping[str, pd.DataFrame]

#: images of the paper, and hours of the week that one architecture took
IMAGES, WEEK = 900, 7 * 24.0


@criterion("sriram-layers", tables=("ipr-layers",))
def layers(tables: Tables, context: CriterionContext) -> Verdict:
    rows = tables["ipr-layers"].assign(agrees=lambda table: table["stated"] == table["counted"])
    agreeing = rows.groupby("rule", sort=False)["agrees"].sum()
    networks = rows["network"].nunique()
    uniform = agreeing.drop("mixed")
    best = uniform.max()
    names = [str(name) for name in uniform.index[uniform == best]]
    return Verdict(
        value="holds" if best == networks else "false",
        evidence=f"{len(uniform)} uniform rules were counted in torchvision's {networks} networks. "
        f"The best agrees with the paper in {best} ({'; '.join(names)}); a rule of its own for "
        f"each network agrees in {int(agreeing['mixed'])}.",
        reason="The classifier counts as a layer in InceptionV3 only." if best < networks else "",
        numbers={"rules": len(uniform), "best": int(best), "mixed": int(agreeing["mixed"])},
    )


def _column(tables: Tables, name: str) -> pd.Series:
    return tables["ipr-architectures"].set_index("network")[name]


def _listed(values: pd.Series) -> str:
    return ", ".join(f"{name} {int(value)}" for name, value in values.items())


@criterion("sriram-relu-count", tables=("ipr-architectures",))
def relu_count(tables: Tables, context: CriterionContext) -> Verdict:
    calls = _column(tables, "relu_calls")
    most = bool(calls["vgg16"] >= calls.max())
    rank = int((calls > calls["vgg16"]).sum()) + 1
    return Verdict(
        value="holds" if most else "false",
        evidence=f"ReLU or ReLU6 called in a forward pass: {_listed(calls)}. VGG16 is number "
        f"{rank} of {len(calls)}.",
        reason="ReLU has no parameters, so none of them is randomised.",
        numbers={f"calls {name}": int(value) for name, value in calls.items()},
    )


@criterion("sriram-nobias", tables=("ipr-architectures",))
def no_bias(tables: Tables, context: CriterionContext) -> Verdict:
    parts = {
        name: _column(tables, name)
        for name in ("convolution_biases", "dense_biases", "norm_shifts")
    }
    total = pd.DataFrame(parts).sum(axis="columns")
    return Verdict(
        value="holds" if bool((total == 0).all()) else "false",
        evidence="Layers that add a bias or a shift: "
        + "; ".join(
            f"{name.replace('_', ' ')}: {_listed(values)}" for name, values in parts.items()
        )
        + ".",
        numbers={f"additive {name}": int(value) for name, value in total.items()},
    )


@criterion("sriram-shallow", tables=("ipr-architectures",))
def shallow(tables: Tables, context: CriterionContext) -> Verdict:
    counts = _column(tables, "convolutions")
    fewer = [name for name in ("inception_v3", "mobilenet_v2") if counts[name] < counts["vgg16"]]
    return Verdict(
        value="holds" if len(fewer) == 2 else "false",
        evidence=f"Convolutions: {_listed(counts)}; {len(fewer)} of the 2 networks said to be "
        "shallower have fewer than VGG16.",
        numbers={f"convolutions {name}": int(value) for name, value in counts.items()},
    )


@criterion("sriram-table2", tables=("printed-correlations", "printed-structure"))
def table_2(tables: Tables, context: CriterionContext) -> Verdict:
    rows = _printed(tables, "printed-correlations", "sriram-table2")
    ways = int(_structure(tables, "sriram-table2")["realisations"])
    by_t, exact = rows["mark"] != rows["mark_t"], rows["mark"] != rows["mark_exact"]
    holm = rows["mark"] != rows["mark_holm"]
    agree = min(int(by_t.sum()), int(exact.sum()), int(holm.sum())) == 0
    wrong = "; ".join(
        f"{row.first} with {row.second} {row.printed:g}: printed {row.mark}, t {row.mark_t}, exact "
        f"{row.mark_exact}"
        for row in rows[by_t | exact].itertuples()
    )
    return Verdict(
        value="holds" if ways > 0 and agree else "false",
        evidence=f"The table is realised by {max(ways, 0)} sets of rankings of five. Marks that "
        f"differ from those of the t approximation: {int(by_t.sum())}; of the exact test: "
        f"{int(exact.sum())}; after Holm's correction: {int(holm.sum())}. {wrong}.",
        reason="" if agree else "The values are sound; the marks agree with no single test.",
        numbers={
            "realisations": ways,
            "marks against t": int(by_t.sum()),
            "marks against exact": int(exact.sum()),
            "marks against Holm": int(holm.sum()),
        },
    )


@criterion("sriram-table3", tables=("printed-correlations", "printed-structure"))
def table_3(tables: Tables, context: CriterionContext) -> Verdict:
    rows = _printed(tables, "printed-correlations", "sriram-table3")
    structure = _structure(tables, "sriram-table3")
    values = sorted(
        value for name, value in structure.items() if str(name).startswith("eigenvalue")
    )
    rank_4 = values[0] >= -1e-3 and sum(value < 2e-3 for value in values) >= 3
    wrong = int((rows["mark"] != rows["mark_t"]).sum())
    kept = rows[rows["holm_t"] <= 0.05]
    starred = int((rows["mark"] != "ns").sum())
    return Verdict(
        value="holds" if rank_4 and structure["asymmetry"] == 0 and wrong == 0 else "false",
        evidence=f"Eigenvalues {', '.join(f'{value:.4f}' for value in values)}: rank 4, as five "
        f"architectures require. Marks that differ from the t-test's: {wrong}. After Holm's "
        f"correction {len(kept)} of {starred} marked pairs stay significant at 5 %: "
        + "; ".join(f"{row.first} with {row.second}" for row in kept.itertuples())
        + ".",
        numbers={
            "smallest eigenvalue": values[0],
            "wrong marks": wrong,
            "marked": starred,
            "marked after Holm": len(kept),
        },
    )


def _printed(tables: Tables, name: str, claim: str) -> pd.DataFrame:
    table = tables[name]
    return table[table["claim"] == claim]


def _structure(tables: Tables, claim: str) -> pd.Series:
    rows = _printed(tables, "printed-structure", claim)
    return rows.set_index("property")["value"]


@criterion("sriram-runtime", tables=("ipr-test",))
def runtime(tables: Tables, context: CriterionContext) -> Verdict:
    table = tables["ipr-test"]
    times = seconds_of(table)
    layers = int(table["steps"].iloc[0])
    hours = projected_hours(table)
    knobs = table.attrs.get("parameters", {})
    sizes = [f"{name} {knobs[name]}" for name in ("path_steps", "lime_samples") if name in knobs]
    slowest = max(times, key=lambda name: times[name])
    device = table.attrs.get("settings", {}).get("device", "an unnamed device")
    return Verdict(
        value="holds" if np.isfinite(hours) and hours > 0 else "undecided",
        evidence=f"Measured on {device}, {context.model}: {sum(times.values()):.2f} s for one "
        f"image, one network and {len(times)} methods, most of it {slowest} "
        f"({times[slowest]:.2f} s). For {IMAGES} images and {layers} layers that makes {hours:.1f} "
        f"hours; the paper's test took about {WEEK:.0f} hours for an architecture on an RTX 2060.",
        reason="Documentary: another machine and network"
        + (f"; sampling sizes of this run: {', '.join(sizes)}" if sizes else "")
        + ". The paper states none.",
        numbers={"hours": hours, "seconds": sum(times.values()), "layers": layers},
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
def figure_2(tables: Tables, context: CriterionContext) -> Verdict:
    rows = tables["ipr-kinds"].groupby("method", sort=False).first()
    own = rows[[name in METHODS for name in rows.index]]
    kinds = {name: bool(backward) for name, backward in own["backward"].items()}
    flat = int((rows["deviation"] == 0).sum())
    gradients = [PRINTED[str(name)] for name, backward in kinds.items() if backward]
    others = [PRINTED[str(name)] for name, backward in kinds.items() if not backward]
    sorted_ = len(kinds) == len(METHODS) and others == ["LIME"]
    value: Value = "caveat" if sorted_ and not flat else "false"
    return Verdict(
        value=value,
        evidence=f"By what they ask of the network, {len(gradients)} of the {len(kinds)} methods "
        f"use gradients ({', '.join(gradients)}) and {len(others)} only perturbed inputs "
        f"({', '.join(others)}). {flat} maps are constant.",
        reason="The text lists deconvolution among the perturbation-based methods; it goes back "
        "through the network.",
        numbers={"gradient": len(gradients), "perturbation": len(others), "constant maps": flat},
    )


@criterion("sriram-gradcam-claims")
def about_adebayo(tables: Tables, context: CriterionContext) -> Verdict:
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
