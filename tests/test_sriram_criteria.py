"""Criteria of Sriram and Conati: each is fed a table where its claim is true, and false ones."""

import numpy as np
import pandas as pd
import pytest

from sanitygap.chapters.sriram.definitions import METHODS
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


RETEST = again({"gradient": 0.0, "deeplift": 0.0, "lime@20": 0.2, "noise": 0.97})


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


# ---- documents


def kinds(**changes: dict) -> pd.DataFrame:
    rows = [
        {"method": name, "backward": name != "lime", "deviation": 0.1, "like_gradient": 0.0,
         "same_as_gradient": name == "gradient"}
        for name in (*METHODS, "captum-guided-backprop")
    ]  # fmt: skip
    return pd.DataFrame([row | changes.get(row["method"].replace("-", "_"), {}) for row in rows])


def test_kinds_of_methods():
    assert verdict_of("sriram-fig2", {"ipr-kinds": kinds()}).value == "caveat"
    assert verdict_of("sriram-fig2", {"ipr-kinds": kinds(lime={"backward": True})}).value == "false"
    assert verdict_of("sriram-fig2", {"ipr-kinds": kinds(lime={"deviation": 0})}).value == "false"


def test_maps_of_figure_1():
    assert verdict_of("sriram-fig1", {"ipr-kinds": kinds()}).value == "direction"
    same = kinds(guided_backprop={"same_as_gradient": True})
    assert verdict_of("sriram-fig1", {"ipr-kinds": same}).value == "not-reproduced"
    flat = kinds(deeplift={"deviation": 0.0})
    assert verdict_of("sriram-fig1", {"ipr-kinds": flat}).value == "not-reproduced"


# ---- results


def test_all_methods_pass_or_not():
    assert verdict_of("sriram-fig3", {"ipr-test": ALL}).value == "direction"
    assert verdict_of("sriram-fig3", {"ipr-test": ALL}, PAPER).value == "reproduced"
    still = ipr(REAL | {"guided-backprop": 0.001}, spread=1e-4)
    assert verdict_of("sriram-fig3", {"ipr-test": still}).value == "not-reproduced"
    near = ipr(REAL | {"guided-backprop": 0.01}, spread=5e-3)
    assert verdict_of("sriram-fig3", {"ipr-test": near}).value == "undecided"
    fewer = ALL[ALL["method"] != "lime"]
    assert verdict_of("sriram-fig3", {"ipr-test": fewer}).value == "not-run"


def test_a_claim_across_networks_is_not_run_on_one():
    hooks = pd.DataFrame({"network": ["a", "b"], "difference": [0.0, 1.5]})
    found = verdict_of("sriram-fig3-guided", {"ipr-captum": ALL, "silent-hooks": hooks})
    assert found.value == "not-run"
    assert found.numbers["silent"] == 1
    assert "(a)" in found.evidence


def grouped(swap: bool) -> pd.DataFrame:
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
    return pd.concat(frames, ignore_index=True)


def test_groups_by_correlation_over_images():
    tables = {"ipr-test": grouped(False), "ipr-retest": RETEST}
    found = verdict_of("sriram-groups", tables)
    assert found.value == "direction"
    assert "0.200" in found.evidence  # LIME asked twice
    assert verdict_of("sriram-groups", tables | {"ipr-test": grouped(True)}).value != "direction"
    assert verdict_of("sriram-groups", tables, PAPER).value == "not-reproduced"  # LIME is at 0.5


def test_threshold_flags_what_changes_by_itself(computed):
    tables = computed | {"ipr-retest": RETEST}
    found = verdict_of("sriram-threshold", tables)
    assert found.value == "direction"
    assert "lime" in found.reason
    assert "noise" in found.reason
    shaky = again({"gradient": 0.001, "lime@20": 0.2, "noise": 0.97})
    assert verdict_of("sriram-threshold", tables | {"ipr-retest": shaky}).value == "not-reproduced"


def test_hidden_insensitivity():
    assert verdict_of("sriram-alt-criteria", {"ipr-test": ALL}).value == "not-reproduced"
    hiding = ALL.copy()
    one = (hiding["method"] == "guided-backprop") & (hiding["stage"] == "layer 0")
    hiding.loc[one, "ssim"] = 1.0
    found = verdict_of("sriram-alt-criteria", {"ipr-test": hiding})
    assert found.value == "direction"
    assert found.numbers["meets guided-backprop"] == 0
    failing = ipr(REAL | {"deeplift": 0.001}, spread=1e-5)
    assert verdict_of("sriram-alt-criteria", {"ipr-test": failing}).value == "undecided"


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({}, "direction"),
        ({"noise": 0.9}, "not-reproduced"),
        ({"lime": 1.2}, "not-reproduced"),
        ({"edges": 0.001}, "not-reproduced"),
    ],
)
def test_noise_is_maximal(changes, value):
    table = ipr(REAL | CONTROLS | changes, spread=0.005)
    assert verdict_of("sriram-noise-max", {"ipr-test": table}).value == value


def test_intervals_cover():
    found = verdict_of("sriram-dataset", {"ipr-test": ALL})
    assert found.value == "direction"
    assert 0.86 <= found.numbers["coverage"] <= 0.94
    one = ALL[ALL["image"] == IMAGES[0]]
    assert verdict_of("sriram-dataset", {"ipr-test": one}).value == "no-data"


# ---- methods and limits


def versions(hooked: float = 0.0, own: float = 0.0, refused: str = "") -> pd.DataFrame:
    from sanitygap.chapters.sriram.definitions import VERSIONS

    return pd.DataFrame(
        [
            {"network": network, "method": name, "other": f"captum {name}",
             "relative": hooked if network == "ReLU modules" else own,
             "refused": refused if network == "run" else ""}
            for network in ("run", "ReLU modules")
            for name in VERSIONS
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("table", "value"),
    [
        (versions(), "holds"),
        (versions(own=1.0), "caveat"),
        (versions(refused="no"), "caveat"),
        (versions(hooked=1e-3), "false"),
    ],
)
def test_methods_agree_with_captums(table, value):
    assert verdict_of("sriram-methods", {"captum-agreement": table}).value == value


def test_composition():
    parts = pd.DataFrame({"zero": [0.2, 0.0], "outside": 0.0, "error": 1e-8})
    together = {"ipr-composition": parts, "ipr-test": grouped(False)}
    assert verdict_of("sriram-compose", together).value == "holds"
    leaking = parts.assign(outside=0.3)
    assert verdict_of("sriram-compose", together | {"ipr-composition": leaking}).value == "false"
    apart = together | {"ipr-test": grouped(True)}
    assert verdict_of("sriram-compose", apart).value in ("undecided", "false")


def changes(small: float, monotone: bool = True, noise: float = 0.97) -> pd.DataFrame:
    shares = {1e-4: small, 0.1: 0.2, 0.4: 0.5, 1.0: 0.7}
    if not monotone:
        shares = {share: level if share == 1e-4 else 0.9 - level for share, level in shares.items()}
    levels = {
        (method, share): level
        for method in ("gradient", "gradient-x-input", "guided-backprop")
        for share, level in shares.items()
    } | {("noise", share): noise for share in shares}
    return synthetic.table(
        levels, ("method", "share"), "sensitivity", COUNT, 1e-4, moved=("weights", "image"),
        stage="a",
    )  # fmt: skip


def test_small_changes():
    tables = {"small-changes": changes(1e-4), "ipr-test": ALL}
    assert verdict_of("sriram-faithfulness", tables).value == "direction"
    jumpy = tables | {"small-changes": changes(0.3)}
    assert verdict_of("sriram-faithfulness", jumpy).value == "not-reproduced"
    quiet = tables | {"small-changes": changes(1e-4, noise=1e-5)}
    assert verdict_of("sriram-faithfulness", quiet).value == "not-reproduced"


def choices(shift: float) -> pd.DataFrame:
    path, lime = "integrated-gradients", "lime"
    levels = {(path, "zero"): 0.4, (path, "uniform"): 0.4 - shift}
    levels |= {(lime, "Lasso"): 0.4, (lime, "ridge"): 0.4}
    return synthetic.table(levels, ("method", "choice"), images=COUNT, spread=0.01, stage="a")


def test_suggestions(computed):
    tables = computed | {"small-changes": changes(1e-4), "ipr-references": choices(0.2)}
    assert verdict_of("sriram-future", tables).value == "direction"
    other = tables | {"ipr-references": choices(0.0)}
    assert verdict_of("sriram-future", other).value == "undecided"
    falling = tables | {"small-changes": changes(1e-4, monotone=False)}
    assert verdict_of("sriram-future", falling).value == "not-reproduced"
    broken = computed["jensen-shannon"].assign(violations=1)
    assert (
        verdict_of("sriram-future", tables | {"jensen-shannon": broken}).value == "not-reproduced"
    )
