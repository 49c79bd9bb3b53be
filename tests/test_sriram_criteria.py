"""Criteria of Sriram and Conati: each is fed a table where its claim is true, and false ones."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from sanitygap.chapters.sriram.definitions import METHODS, VERSIONS
from sanitygap.claims import CriterionContext, Verdict, find_criterion, judge
from sanitygap.table import Context
from sanitygap.tables import TABLES
from tests import synthetic
from tests.synthetic import grown, put

COUNT, LAYERS = 12, 5
IMAGES = [f"{number}.png" for number in range(COUNT)]
CONTEXT = CriterionContext("tiny", "folder", COUNT)
PAPER = CriterionContext(
    "torchvision:resnet50", "imagenet-val", 900, paper_model=True, paper_images=True
)


def refuse() -> None:
    raise AssertionError("loaded")


@pytest.fixture(scope="module")
def computed():
    """Tables that need neither model nor images."""
    context, names = Context(refuse, refuse, 0), (  # type: ignore[arg-type]
        "sensitivity-proofs", "sensitivity-extremes", "threshold-sweep", "similarity-words",
        "printed-correlations", "printed-structure", "ipr-architectures", "ipr-layers",
        "jensen-shannon", "deeplift-path", "gated-layer",
    )  # fmt: skip
    made = {}
    for name in names:
        entry = TABLES[name]
        chunks = entry.parts(context, **entry.profiles["smoke"])
        made[name] = pd.concat([chunk.compute() for chunk in chunks], ignore_index=True)
        assert list(made[name]) == list(entry.columns)
    return made


def ipr(levels: dict[str, float], spread: float = 0.02, seed: int = 0) -> pd.DataFrame:
    """A table ``ipr-test``: method -> mean S; images differ by a share of their own."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=COUNT)
    rows = []
    for place, (method, level) in enumerate(levels.items()):
        noise = np.zeros(COUNT) if level == 0 else spread * (own + 0.3 * rng.normal(size=COUNT))
        for image, name in enumerate(IMAGES):
            for layer in range(LAYERS):
                rows.append(
                    {"image": name, "stage": f"layer {layer}", "steps": LAYERS, "method": method,
                     "sign": "signed", "seed": 0, "ssim": 1 - level - noise[image],
                     "seconds": 0.1 * (place + 1)}
                )  # fmt: skip
    return pd.DataFrame(rows)


REAL = dict(zip(METHODS, (0.7, 0.72, 0.3, 0.35, 0.6, 0.65, 0.8), strict=True))
Tables = dict[str, pd.DataFrame]
CONTROLS = {"noise": 0.97, "noise-fixed": 0.0, "edges": 0.0, "centre": 0.0}
ALL = ipr(REAL | CONTROLS)


def again(levels: dict[str, float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"image": image, "method": method, "stage": stage, "ssim": 1 - level}
            for method, level in levels.items()
            for stage in ("retest", "conv1")
            for image in IMAGES
        ]
    )


STEADY = {"gradient": 0.0, "deeplift": 0.0, "lime@20": 0.2, "noise": 0.97}
RETEST = again(STEADY)


def verdict_of(claim: str, tables: dict[str, pd.DataFrame], context=CONTEXT) -> Verdict:
    return judge(claim, {name: tables[name] for name in find_criterion(claim).tables}, context)


# ---- definitions

PROVED = ("sriram-def1", "sriram-def2", "sriram-eq1", "sriram-eq3", "sriram-eq4", "sriram-eq5",
          "sriram-eq6", "sriram-eq7")  # fmt: skip
SLIPS = PROVED[:3]


@pytest.mark.parametrize("claim", PROVED)
def test_proofs_decide(computed, claim):
    expected = "slip" if claim in SLIPS else "holds"
    assert verdict_of(claim, computed).value == expected
    swapped = computed["sensitivity-proofs"].copy()
    turned = {"proved": "counterexample", "counterexample": "proved"}
    swapped["outcome"] = swapped["outcome"].map(turned)
    assert verdict_of(claim, computed | {"sensitivity-proofs": swapped}).value == "false"
    unknown = computed["sensitivity-proofs"].assign(outcome="unknown")
    assert verdict_of(claim, computed | {"sensitivity-proofs": unknown}).value == "undecided"


MODELS = pd.DataFrame({"stage": list("abc"), "layers": 3, "changed": 1, "itself": True})
COUNTS, EXTREMES, MARKS = "ipr-architectures", "sensitivity-extremes", "printed-correlations"

CASES = {
    "sriram-eq2": [
        ("holds", []),
        ("false", [put(EXTREMES, "sensitivity", lambda t: 1 - t["ssim"].abs())]),
    ],
    "sriram-def3": [
        ("false", []),
        ("holds", [put(EXTREMES, "sensitivity", 0.5),
                   put("sensitivity-proofs", "outcome", "proved")]),
    ],
    "sriram-ipr": [
        ("slip", []),  # the words are exchanged
        ("false", [put("ipr-models", "changed", 2)]),
        ("false", [put("ipr-models", "itself", False)]),
        ("false", [put("ipr-models", "outside", 1)]),
        ("holds", [put("similarity-words", "described", ["monotone", "linear"])]),
    ],
    "sriram-relu-count": [
        ("false", []),
        ("holds", [put(COUNTS, "relu_calls", 200, "network == 'vgg16'")]),
    ],
    "sriram-nobias": [
        ("false", []),
        ("holds", [put(COUNTS, "convolution_biases dense_biases norm_shifts", 0)]),
    ],
    "sriram-shallow": [
        ("false", []),
        ("holds", [put(COUNTS, "convolutions", 200, "network == 'vgg16'")]),
    ],
    "sriram-layers": [
        ("false", []),
        ("holds", [put("ipr-layers", "counted", lambda t: t["stated"], "rule == 'blocks'")]),
    ],
    "sriram-table2": [
        ("false", []),
        *grown(
            "holds false",
            put(MARKS, "mark", lambda t: t["mark_t"]),
            put("printed-structure", "value", 0, "property == 'realisations'"),
        ),
    ],
    "sriram-table3": [
        ("holds", []),
        ("false", [put(MARKS, "mark", "*")]),
        ("false", [put("printed-structure", "value", 0.5)]),
    ],
    "sriram-dl-ig": [
        ("holds", []),
        ("false", [put("deeplift-path", "correlation", 0.5)]),
        ("false", [put("deeplift-path", "relative", 1e-3)]),
    ],
    "sriram-necessary": [
        ("false", []),
        ("undecided", [put("gated-layer", "error", 0.1)]),
        ("undecided", [put("gated-layer", "ssim", 0.9)]),
        ("undecided", [put("gated-layer", "logits", 0.1)]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("claim", CASES)
def test_verdicts_follow_the_tables(computed, claim):
    known = computed | {"ipr-test": ALL, "ipr-models": MODELS.assign(outside=0)}
    for value, made in CASES[claim]:
        tables = {name: known[name].copy() for name in find_criterion(claim).tables}
        for change in made:
            change(tables)
        assert judge(claim, tables, CONTEXT).value == value, (value, len(made))


# ---- tables of a run


def real(levels: Mapping[str, float | None] = CONTROLS, spread: float = 0.02) -> Tables:
    """``ipr-test`` with these levels beside the usual ones; a method of none is left out."""
    kept = {method: level for method, level in (REAL | levels).items() if level is not None}
    return {"ipr-test": ipr(kept, spread)}


def kinds(changes: dict[str, dict[str, object]] | None = None) -> dict[str, pd.DataFrame]:
    rows = [
        {"method": name, "backward": name != "lime", "deviation": 0.1, "like_gradient": 0.0,
         "same_as_gradient": name == "gradient"}
        for name in (*METHODS, "captum-guided-backprop")
    ]  # fmt: skip
    changed = [row | (changes or {}).get(row["method"], {}) for row in rows]
    return {"ipr-kinds": pd.DataFrame(changed)}


def grouped(swap: bool = False, outside: float = 0.0) -> dict[str, pd.DataFrame]:
    """Two groups of methods whose scores rise and fall together over images."""
    rng = np.random.default_rng(4)
    one, two = rng.normal(size=(2, COUNT))
    shared = {"guided-backprop": one, "guided-grad-cam": one, "deeplift": two,
              "gradient-x-input": two, "integrated-gradients": two}  # fmt: skip
    if swap:  # every member goes with the other group
        shared |= {"guided-grad-cam": two, "deeplift": one}
    frames = []
    for method in METHODS:
        own = shared.get(method, np.zeros(COUNT)) + 0.3 * rng.normal(size=COUNT)
        frame = ipr({method: 0.5}, spread=0.0)
        frame["ssim"] -= 0.05 * np.repeat(own, LAYERS)
        frames.append(frame)
    parts = pd.DataFrame({"zero": [0.2, 0.0], "outside": outside, "error": 1e-8})
    return {"ipr-test": pd.concat(frames, ignore_index=True), "ipr-retest": RETEST,
            "ipr-composition": parts}  # fmt: skip


def one_layer(method: str, ssim: float) -> dict[str, pd.DataFrame]:
    """The usual scores but for one method at one layer."""
    table = ALL.copy()
    table.loc[(table["method"] == method) & (table["stage"] == "layer 0"), "ssim"] = ssim
    return {"ipr-test": table}


def versions(hooked: float = 0.0, own: float = 0.0, refused: str = "") -> dict[str, pd.DataFrame]:
    rows = [
        {"network": network, "method": name, "other": f"captum {name}",
         "relative": hooked if network == "ReLU modules" else own,
         "refused": refused if network == "run" else ""}
        for network in ("run", "ReLU modules")
        for name in VERSIONS
    ]  # fmt: skip
    return {"captum-agreement": pd.DataFrame(rows)}


def moved(
    small: float = 1e-4, monotone: bool = True, noise: float = 0.97, shift: float = 0.2
) -> dict[str, pd.DataFrame]:
    """Sensitivities after small and large changes, and under other choices of two methods."""
    shares = {1e-4: small, 0.1: 0.2, 0.4: 0.5, 1.0: 0.7}
    if not monotone:
        shares = {share: level if share == 1e-4 else 0.9 - level for share, level in shares.items()}
    levels = {
        (method, share): level
        for method in ("gradient", "gradient-x-input", "guided-backprop")
        for share, level in shares.items()
    } | {("noise", share): noise for share in shares}
    path, lime = "integrated-gradients", "lime"
    choices = {(path, "zero"): 0.4, (path, "uniform"): 0.4 - shift}
    choices |= {(lime, "Lasso"): 0.4, (lime, "ridge"): 0.4}
    return {
        "ipr-test": ALL,
        "small-changes": synthetic.table(
            levels, ("method", "share"), "sensitivity", COUNT, 1e-4, moved=("weights", "image"),
            stage="a",
        ),
        "ipr-references": synthetic.table(
            choices, ("method", "choice"), images=COUNT, spread=0.01, stage="a"
        ),
    }  # fmt: skip


def retested(**levels: float) -> dict[str, pd.DataFrame]:
    return {"ipr-retest": again(STEADY | levels)}


RUNS = [
    ("sriram-fig2", "caveat", kinds),
    ("sriram-fig2", "false", kinds, {"lime": {"backward": True}}),
    ("sriram-fig2", "false", kinds, {"lime": {"deviation": 0}}),
    ("sriram-fig1", "direction", kinds),
    ("sriram-fig1", "not-reproduced", kinds, {"guided-backprop": {"same_as_gradient": True}}),
    ("sriram-fig1", "not-reproduced", kinds, {"deeplift": {"deviation": 0.0}}),
    ("sriram-fig3", "direction", real),
    ("sriram-fig3", "not-reproduced", real, {"guided-backprop": 0.001}, 1e-4),
    ("sriram-fig3", "undecided", real, {"guided-backprop": 0.01}, 5e-3),
    ("sriram-fig3", "not-run", real, {"lime": None}),
    ("sriram-groups", "direction", grouped),
    ("sriram-groups", "not-reproduced", grouped, True),
    ("sriram-compose", "holds", grouped),
    ("sriram-compose", "false", grouped, False, 0.3),
    ("sriram-compose", "undecided", grouped, True),
    ("sriram-threshold", "direction", retested),
    ("sriram-alt-criteria", "not-reproduced", real),
    ("sriram-alt-criteria", "direction", one_layer, "guided-backprop", 1.0),
    ("sriram-alt-criteria", "undecided", real, {"deeplift": 0.001}, 1e-5),
    ("sriram-noise-max", "direction", real, CONTROLS, 0.005),
    ("sriram-noise-max", "not-reproduced", real, CONTROLS | {"noise": 0.9}, 0.005),
    ("sriram-noise-max", "not-reproduced", real, CONTROLS | {"lime": 1.2}, 0.005),
    ("sriram-noise-max", "not-reproduced", real, CONTROLS | {"edges": 0.001}, 0.005),
    ("sriram-methods", "holds", versions),
    ("sriram-methods", "caveat", versions, 0.0, 1.0),
    ("sriram-methods", "caveat", versions, 0.0, 0.0, "no"),
    ("sriram-methods", "false", versions, 1e-3),
    ("sriram-faithfulness", "direction", moved),
    ("sriram-faithfulness", "not-reproduced", moved, 0.3),
    ("sriram-faithfulness", "not-reproduced", moved, 1e-4, True, 1e-5),
    ("sriram-future", "direction", moved),
    ("sriram-future", "undecided", moved, 1e-4, True, 0.97, 0.0),
    ("sriram-future", "not-reproduced", moved, 1e-4, False),
]  # fmt: skip


@pytest.mark.parametrize("case", RUNS, ids=lambda case: f"{case[0]} {case[1]}")
def test_verdicts_on_a_run(computed, case):
    claim, value, tables, *arguments = case
    found = verdict_of(claim, computed | tables(*arguments))
    assert found.value == value, found.evidence


def test_what_verdicts_say_beside_their_word(computed):
    assert verdict_of("sriram-fig3", real(), PAPER).value == "reproduced"
    groups = verdict_of("sriram-groups", grouped())
    assert "0.200" in groups.evidence  # LIME asked twice
    assert verdict_of("sriram-groups", grouped(), PAPER).value == "not-reproduced"  # LIME is at 0.5
    # the threshold flags what changes by itself
    flagged = verdict_of("sriram-threshold", computed | retested())
    assert "lime" in flagged.reason
    assert "noise" in flagged.reason
    shaky = {"ipr-retest": again({"gradient": 0.001, "lime@20": 0.2, "noise": 0.97})}
    assert verdict_of("sriram-threshold", computed | shaky).value == "not-reproduced"
    hiding = verdict_of("sriram-alt-criteria", one_layer("guided-backprop", 1.0))
    assert hiding.numbers["meets guided-backprop"] == 0
    broken = {"jensen-shannon": computed["jensen-shannon"].assign(violations=1)}
    assert verdict_of("sriram-future", computed | moved() | broken).value == "not-reproduced"


def test_a_claim_across_networks_is_not_run_on_one():
    hooks = pd.DataFrame({"network": ["a", "b"], "difference": [0.0, 1.5]})
    found = verdict_of("sriram-fig3-guided", {"ipr-captum": ALL, "silent-hooks": hooks})
    assert found.value == "not-run"
    assert found.numbers["silent"] == 1
    assert "(a)" in found.evidence


def test_intervals_cover():
    found = verdict_of("sriram-dataset", real())
    assert found.value == "direction"
    assert 0.86 <= found.numbers["coverage"] <= 0.94
    one = ALL[ALL["image"] == IMAGES[0]]
    assert verdict_of("sriram-dataset", {"ipr-test": one}).value == "no-data"
