"""The page about the gap: the claim under every specification, and both scores side by side."""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Literal, NamedTuple

import pandas as pd
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.chapters.gap import multiverse, plots
from sanitygap.chapters.gap.judge import STATISTICS, both_scores, family_scores
from sanitygap.chapters.gap.multiverse import CHOICES, PARTS, READING, Gap, deciding, shares
from sanitygap.errors import UsageError
from sanitygap.figures.maps import rank_lines, ranked
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.inference import UndefinedStatisticError
from sanitygap.judge import CONTROLS, GRADIENTS, GUIDED, adjusted, rows_of
from sanitygap.pages import references
from sanitygap.rankings import PATTERNS, pairwise_tests
from sanitygap.runs import Study
from sanitygap.scores import complete, occlusion_scores, randomization_scores
from sanitygap.words import listed, plural

#: tables of all methods under one specification
BOTH = "randomization", "occlusion"

#: tables of five methods and their kin under every specification
OCCLUDED, RANDOMIZED = "occlusion-specifications", "randomization-specifications"

Test = Literal["occlusion", "randomization"]

CHOICE_WORDS = {
    "reduction": "reduction of maps",
    "variant": "variant of LRP",
    "start": "start of LRP",
    "biases": "treatment of LRP's biases",
    "images": "set of images",
    "patch": "size of regions",
    "tiling": "place of regions",
    "output": "softmax or logit",
    "target": "class that is explained",
    "similarity": "similarity of maps",
    "norms": "normalisation layers",
}

LEVEL_WORDS: Mapping[str, Mapping[object, str]] = {
    "reduction": {
        "signed": "signed sum", "abs-sum": "|sum|", "sum-abs": "sum of |·|", "l2": "l2 norm",
    },
    "variant": {name: label(name) for name in multiverse.LRP_VARIANTS},
    "start": {"one": "LRP starts at 1", "logit": "LRP starts at the logit"},
    "biases": {"out": "LRP without biases", "in": "LRP with biases"},
    "images": {"all": "all images", "correct": "correctly classified"},
    "patch": {15: "regions of 15", 8: "regions of 8"},
    "tiling": {"tiles": "tiles", "sliding": "sliding windows"},
    "output": {"softmax": "softmax", "logit": "logit"},
    "target": {"predicted": "predicted class", "label": "label"},
    "similarity": {
        "ssim": "SSIM (joint L)", "ssim_robust": "SSIM (robust L)", "ssim_L1": "SSIM (L = 1)",
        "ssim_L2": "SSIM (L = 2)", "spearman": "Spearman", "mse": "normalised MSE",
    },
    "norms": {"reset": "norms redrawn", "kept": "norms kept"},
}  # fmt: skip


class TestWords(NamedTuple):
    """What pages say of a test.

    Attributes:
        name: of the test.
        choices: that its specifications consist of.
        unit: which rows have a margin of the curves' unit: softmax, or SSIM.
        margin: what that margin is.
        holds, against: what a part does where the claim holds, and where it is contradicted.
    """

    name: str
    choices: tuple[str, ...]
    unit: Callable[[pd.DataFrame], pd.Series]
    margin: str
    holds: str
    against: str


TESTS: Mapping[Test, TestWords] = {
    "occlusion": TestWords(
        "occlusion", multiverse.OCCLUSION, lambda table: table["output"] == "softmax",
        "softmax below the best\ngradient method",
        "beats all three gradient methods under occlusion", "is beaten by one of them",
    ),
    "randomization": TestWords(
        "randomisation", multiverse.RANDOMIZATION,
        lambda table: table["similarity"].str.startswith("ssim"),
        "SSIM above the most\nsimilar gradient method",
        "stays more similar than all three gradient methods under randomisation",
        "less similar than one of them",
    ),
}  # fmt: skip


class Findings(NamedTuple):
    """What a page says about one run.

    Attributes:
        gap: the claim under every specification.
        nearest: its differences under occlusion where all but reduction and LRP is as the paper's.
        behind: images, draws, steps and points behind both tables, for captions.
    """

    gap: Gap
    nearest: pd.DataFrame
    behind: str

    @property
    def tests(self) -> list[tuple[Test, pd.DataFrame]]:
        """Both tests with their outcomes."""
        return [("occlusion", self.gap.occlusion), ("randomization", self.gap.randomization)]


@cache
def findings(study: Study) -> Findings:
    """All that the page shows of a run; computed once, since a page asks often.

    Raises:
        UndefinedStatisticError: no specification has two images with all its maps.
    """
    occluded, randomized = study.table(OCCLUDED), study.table(RANDOMIZED)
    scores = multiverse.occlusion_scores(occluded)
    gap, behind = Gap.of(occluded, randomized), made_with(study, occluded, randomized)
    return Findings(gap, as_read(scores), behind)


def each_once(studies: Iterable[Study]) -> list[Study]:
    """The runs without those of a name that came before."""
    return list({study.settings.run: study for study in studies}.values())


def with_references(study: Study) -> list[Study]:
    """The recorded runs that stand beside this one, and it as the last; each once."""
    return [other for other in references(study) if other is not study] + [study]


def network(study: Study) -> str:
    """Model and images behind a run's table of occlusion, for the rows of a table."""
    settings = study.settings.public()  # a recorded run may hold tables on several image sets
    images = study.made(OCCLUDED).get("settings", {}).get("images", settings["images"])
    return f"{settings['model']}, {images}"


def made_with(study: Study, occluded: pd.DataFrame, randomized: pd.DataFrame) -> str:
    """Images, draws, steps and points behind both tables of a run, for captions."""
    first, second = occluded.attrs["parameters"], randomized.attrs["parameters"]
    steps, of = randomized["step"].nunique(), int(randomized["steps"].max())
    seeds = sorted(map(int, randomized["seed"].unique()))
    limits = [
        (first["level_images"], "sliding windows and labels"),
        (second["level_images"] if "kept" in set(randomized["norms"]) else None, "kept norms"),
        (second["seed_images"] if len(seeds) > 1 else None, "the later seeds"),
    ]
    points = dict.fromkeys((first["path_steps"], second["path_steps"]))
    every = first["every"]
    words = [
        f"{network(study)} (run {study.settings.run}): occlusion "
        f"{plural(occluded['image'].nunique(), 'image')}, randomisation "
        f"{plural(randomized['image'].nunique(), 'image')}",
        f"seed{'' if len(seeds) == 1 else 's'} of the redrawn weights {listed(seeds)}",
        f"{steps} of {of} steps of randomisation",
        f"prediction after {'each region' if every == 1 else f'every {every} regions'}",
        f"integrated gradients with {listed(list(points))} points",
        *(f"{what} on the first {plural(most, 'image')}" for most, what in limits if most),
    ]
    return ", ".join(words) + "."


def _interval(row: Mapping[Any, Any], value: str) -> str:
    return f"{row[value]:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]".replace("-", "−")


def as_read(scores: multiverse.Scores) -> pd.DataFrame:
    """The claimed differences under occlusion where all but reduction and LRP is as the paper's."""
    values, occlusion = scores.values, multiverse.OCCLUSION
    for name in scores.values.columns.names:
        if name in occlusion and name not in ("reduction", "start"):
            values = values.loc[:, values.columns.get_level_values(name) == READING[str(name)]]
    rows = multiverse.differences(occlusion, multiverse.Scores(values, scores.correct))
    return rows_of(rows, **{name: READING[name] for name in ("start", "biases", "images")})


@show.shows_several(OCCLUDED, RANDOMIZED)
def gap_table(studies: list[Study]) -> Styler:
    """The paper's differences under occlusion, and tau, for each network and reduction."""
    runs = each_once(studies)
    behind, rows = " ".join(findings(study).behind for study in runs), []
    for study in runs:
        nearest, taus = findings(study).nearest, findings(study).gap.tau
        for reduction, words in LEVEL_WORDS["reduction"].items():
            for method in (GUIDED, *show.distinct(nearest["variant"])):
                part, variant = PARTS[1], method
                tau = _tau(taus, reduction=reduction, variant=method)
                if method == GUIDED:
                    part, variant, tau = PARTS[0], READING["variant"], ""
                own = rows_of(nearest, reduction=reduction, variant=variant, part=part)
                if own.empty:
                    continue
                gaps = own.set_index("against").to_dict("index")
                rows.append(
                    {"network": show.model_of(study), "reduction": words, "method": label(method)}
                    | {f"− {label(other)}": _interval(gaps[other], "difference")
                       for other in GRADIENTS}
                    | {"n": str(int(own["n"].iloc[0])), "Kendall's τ, with this LRP": tau}
                )  # fmt: skip
    fixed = [name for name in CHOICES if name not in ("reduction", "variant")]
    return show.text_table(
        rows,
        "Mean softmax under occlusion, paired differences over images with Student's 95 % "
        "intervals; below 0 as the paper claims. Kendall's τ between the rankings of five methods "
        "by randomisation (SSIM, L = 2) and by occlusion, 95 % bootstrap interval over images; "
        "below 0 as the paper claims. All else in the reading nearest to the paper: "
        f"{_nearest(fixed)}. {behind}",
    )


def _tau(taus: pd.DataFrame, **choices: object) -> str:
    try:
        one = multiverse.at(taus, CHOICES, **choices).to_dict("records")[0]
    except UsageError:  # some layers or images are missing in this run
        return "–"
    return f"{_interval(one, 'tau')} (n = {one['n']})"


def _nearest(names: Sequence[str]) -> str:
    """The reading of these choices that is nearest to the paper."""
    return listed([LEVEL_WORDS[name][READING[name]] for name in names])


@show.shows_several(OCCLUDED, RANDOMIZED)
def shares_table(studies: list[Study]) -> Styler:
    """In what share of the specifications each part of the claim holds, network by network."""
    runs = each_once(studies)
    behind, rows = " ".join(findings(study).behind for study in runs), []
    for study in runs:
        for test, part, values in _outcomes(findings(study)):
            share = shares(values)
            rows.append(
                {"network": show.model_of(study), "test": test, "part": part}
                | {name: f"{share[name]:.1%}" for name in ("holds", "contradicted", "open")}
                | {"specifications": len(values)}
            )
    return show.display_table(
        pd.DataFrame(rows),
        "Share of the specifications in which each part of the claim holds: all three differences "
        "have the claimed sign and 95 % intervals without 0. Contradicted: one of them has the "
        f"other sign, with an interval without 0. {behind}",
    )


def _outcomes(found: Findings) -> list[tuple[str, str, pd.Series]]:
    """Test, part and outcomes, one a specification; the whole claim last."""
    parts = [
        (TESTS[test].name, part, rows_of(table, part=part)["outcome"])
        for test, table in found.tests
        for part in PARTS
    ]
    joint = found.gap.joint()
    both = {part: part for part in PARTS} | {"tau": "τ below 0", "all": "all parts"}
    return parts + [("both", words, joint[name]) for name, words in both.items()]


@show.shows(OCCLUDED, RANDOMIZED)
def specification_curve(study: Study, test: Test = "occlusion") -> Plate:
    """Every specification of one test by its margin, and below what it has chosen."""
    words, names = TESTS[test], list(TESTS[test].choices)
    table = dict(findings(study).tests)[test]
    table = table[words.unit(table)].rename(columns={"part": "panel"})
    nearest = (table[names] == pd.Series(READING)[names]).all(axis=1)
    held = {
        name: {
            level: said for level, said in LEVEL_WORDS[name].items() if level in set(table[name])
        }
        for name in names
    }
    return plots.specification_curve(
        table.assign(nearest=nearest),
        {name: levels for name, levels in held.items() if len(levels) > 1},
        ylabel=f"{words.margin}\n(above 0: as claimed)",
        caption=f"Specification curve of the claim under {words.name}: the smallest of the "
        "three claimed differences, in the claimed direction, with its 95 % interval, for every "
        "set of choices, in rising order. Below: the levels of each choice, marked where a "
        "specification has them, in the colour of its outcome. A part holds if all three intervals "
        "exclude 0. Dotted line and star: the reading nearest to the paper "
        f"({_nearest(names)}). "
        f"{findings(study).behind}",
        test=words.name,
    )


@show.shows(OCCLUDED, RANDOMIZED)
def deciding_choices(study: Study) -> Plate:
    """How much of the differences between specifications each choice decides by itself."""
    found = findings(study)
    decided = [
        (TESTS[test].name, part, _margins(table, test, part))
        for test, table in found.tests
        for part in PARTS
    ]
    decided.append(("both", "τ", deciding(found.gap.tau, CHOICES, "tau")))
    rows = [
        {"test": test, "part": part, "choice": CHOICE_WORDS[str(name)], "share": share}
        for test, part, values in decided
        for name, share in values.items()
    ]
    if not rows:
        raise UndefinedStatisticError("no choice has two levels in this run")
    numbers = pd.DataFrame(rows)
    order = list(CHOICE_WORDS.values())
    drawn = numbers.assign(percent=100 * numbers["share"]).sort_values(
        "choice", key=lambda names: names.map(order.index), kind="stable"
    )
    plate = show.dots(
        drawn,
        row="choice", series="part", panel="test", value="percent",
        xlabels="% of the variance",
        caption="Which choice decides: the share of the variance between specifications that a "
        "choice explains by itself (variance of the means of its levels). Occlusion: margin of the "
        "softmax; randomisation: margin of SSIM; both: Kendall's τ. What is missing to 100 % comes "
        f"from choices together. {found.behind}",
    )  # fmt: skip
    return replace(plate, numbers=numbers)


def _margins(table: pd.DataFrame, test: Test, part: str) -> pd.Series:
    """Variance shares of the margin of one part, in one unit."""
    rows = rows_of(table, part=part)
    return deciding(rows[TESTS[test].unit(rows)], TESTS[test].choices, "margin")


def gap_in_words(studies: Study | Iterable[Study]) -> Markdown:
    """What was found on each run, as sentences."""
    several = [studies] if isinstance(studies, Study) else studies
    return Markdown("\n\n".join(map(_run_in_words, several)))


def _run_in_words(study: Study) -> str:
    title = f"**{network(study)}** (run `{study.settings.run}`)"
    if not show.holds(study, OCCLUDED, RANDOMIZED):
        return f"> {title}: the tables of specifications are not recorded."
    try:
        found = findings(study)
    except UndefinedStatisticError as error:
        return f"> {title}: this cannot be shown for this run: {error}."
    paragraphs = [
        " ".join(_part_in_words(rows_of(table, part=part), test, part) for part in PARTS)
        for test, table in found.tests
    ]
    words = [f"{title}:", *paragraphs, _both_in_words(found.gap)]
    return "\n>\n".join(f"> {paragraph}" for paragraph in words)


def _both_in_words(gap: Gap) -> str:
    joint, decided = gap.joint(), deciding(gap.tau, CHOICES, "tau")
    taus, whole = shares(joint["tau"]), shares(joint["all"])
    words = (
        f"Over {len(joint)} joint specifications of both tests, the orders of the five methods are "
        f"opposed (τ below 0) in {taus['holds']:.0%} and alike (τ above 0) in "
        f"{taus['contradicted']:.0%}. {_decided(joint, decided, 'τ', 'tau')} All parts of the "
        f"claim hold together in {whole['holds']:.0%}."
    )
    try:
        one = multiverse.at(gap.tau, CHOICES).to_dict("records")[0]
    except UsageError:
        return f"{words} The reading nearest to the paper is not among them."
    return f"{words} In the reading nearest to the paper τ is {_interval(one, 'tau')}."


#: levels of a choice that a sentence lists; of more it names the ends
MOST_LEVELS = 4


def _part_in_words(table: pd.DataFrame, test: Test, part: str) -> str:
    share = shares(table["outcome"])
    name = part[0].upper() + part[1:]
    decided = _margins(table, test, part)
    words = (
        f"{name} {TESTS[test].holds} in {share['holds']:.0%} of {len(table)} specifications, "
        f"{TESTS[test].against} in {share['contradicted']:.0%}. "
        f"{_decided(table, decided, 'the margin', 'outcome')}"
    )
    try:
        one = multiverse.at(table, TESTS[test].choices).iloc[0]
    except UsageError:
        return f"{words} The reading nearest to the paper is not among them."
    row = {"margin": one["margin"], "low": one["margin_low"], "high": one["margin_high"]}
    says = {"holds": "it holds", "contradicted": "it is contradicted", "open": "it is open"}
    return (
        f"{words} In the reading nearest to the paper {says[one['outcome']]}: margin "
        f"{_interval(row, 'margin')}, n = {one['n']}."
    )


def _decided(table: pd.DataFrame, decided: pd.Series, value: str, outcome: str) -> str:
    """The choice that explains most, and the share in which the claim holds at each level of it."""
    if decided.empty or math.isclose(decided.iloc[0], 0):
        return "No choice decides by itself."
    name, share = str(decided.index[0]), decided.iloc[0]
    held = {
        words: float((table.loc[table[name] == level, outcome] == "holds").mean())
        for level, words in LEVEL_WORDS[name].items()
        if level in set(table[name])
    }
    shown = [f"{part:.0%} with {words}" for words, part in held.items()]
    where = listed(shown)
    if len(set(held.values())) == 1:
        where = f"{next(iter(held.values())):.0%} at each of its levels"
    elif len(held) > MOST_LEVELS:
        ends = sorted(held, key=held.__getitem__)
        where = f"{held[ends[0]]:.0%} with {ends[0]} to {held[ends[-1]]:.0%} with {ends[-1]}"
    return (
        f"The choice that decides most is the {CHOICE_WORDS[name]} ({share:.0%} of the variance of "
        f"{value}); the claim holds in {where}."
    )


@show.shows(*BOTH)
def gap_plate(study: Study) -> Plate:
    """Methods by both scores and both ranks."""
    scores = complete(
        randomization_scores(study.table("randomization")),
        occlusion_scores(study.table("occlusion")),
    )
    parts = []
    for name, table in zip(BOTH, scores, strict=True):
        means = show.score_columns(table, name)
        parts.append(means.assign(**{f"{name}_rank": means[name].rank()}))
    numbers = pd.concat(parts, axis=1).reset_index()
    if numbers.isna().any(axis=None):
        raise UndefinedStatisticError(f"fewer than 2 images have a score for all {len(numbers)}")
    return plots.gap_scatter(
        numbers,
        f"Each method by its mean SSIM over all steps of top-down randomisation and by its mean "
        f"softmax over 0 to 30 blurred patches of 15, and its rank in each test. "
        f"{show.about(study, 'randomization', 'Bars')}",
    )


@show.shows(*BOTH)
def pair_plate(study: Study) -> Plate:
    """Every pair of methods under both tests, corrected for their number."""
    tests = ("mean SSIM after randomisation", "mean softmax under occlusion")
    both = both_scores({name: study.table(name) for name in BOTH})
    frames = [
        pairwise_tests(scores).assign(test=test) for test, scores in zip(tests, both, strict=True)
    ]
    numbers = pd.concat(frames, ignore_index=True)
    numbers["p"] = adjusted(numbers["p"])
    images = len(both[0])
    smallest = min(1.0, len(numbers) * max(2.0 ** (1 - images), 1 / (PATTERNS + 1)))
    return plots.pair_matrix(
        numbers,
        "Every pair of methods in both tests: the row's method against the column's. Area of a "
        "triangle: size of the mean difference, relative to the largest in that test. Filled: "
        f"paired permutation test, Holm's correction over all {len(numbers)} comparisons, p < "
        f"{plots.LEVEL}; with {images} images the smallest corrected p that can occur is "
        f"{smallest:.2g}. {show.about(study, 'randomization')}.",
    )


PROPERTIES = "map-properties"


def family_table() -> Styler:
    """The glossary: each family of tests with the statistic that stands for it here."""
    rows = [(name, MEANINGS[name], *where) for name, where in STATISTICS.items()]
    heads = ["family", "statistic (low is good)", "table", "column"]
    return show.text_table(
        pd.DataFrame(rows, columns=heads), "Five families of tests, one statistic each."
    )


def _scores(study: Study) -> dict[str, pd.DataFrame]:
    tables = {name: study.table(name) for name in (PROPERTIES, "occlusion", "randomization")}
    scores = family_scores(tables)
    held = [
        name for name in scores["complexity"] if all(name in table for table in scores.values())
    ]
    shared = [name for name in held if name not in CONTROLS]
    return {name: table[shared] for name, table in scores.items()}


@show.shows(PROPERTIES)
def family_ranks(study: Study) -> Plate:
    """The order of the methods by each family's statistic."""
    return rank_lines(
        ranked(_scores(study)),
        ylabel="rank (1 = best in that test)",
        caption="Rank of each method by the statistic of each family of tests, low values first. "
        f"{show.about(study, PROPERTIES)}; faithfulness and randomisation: "
        f"n = {study.made('occlusion')['images']} and {study.made('randomization')['images']}.",
    )


def family_agreement(study: Study) -> Styler:
    """Kendall's tau between the rankings of every two families, with its interval."""
    scores = _scores(study)
    rows = [
        {"first": first, "second": second}
        | show.columns(
            show.shown_agreement(*complete(scores[first], scores[second])), "Kendall's τ"
        )
        for first, second in itertools.combinations(scores, 2)
    ]
    return show.display_table(
        rows,
        f"Agreement of the rankings of {next(iter(scores.values())).shape[1]} methods, 95 % "
        "bootstrap intervals over the images that both tables hold. "
        f"{show.about(study, PROPERTIES)}.",
    )


MEANINGS = {
    "complexity": "1 − Gini index of the absolute map: how many pixels share the attribution",
    "robustness": "relative change of the map when weak noise is added to the image",
    "localisation": "share of positive attribution outside the explained image of a mosaic of four",
    "faithfulness": "mean softmax as the regions ranked highest are blurred",
    "randomisation": "mean SSIM over the steps of top-down randomisation",
}
