"""Pages about noise in attribution maps."""

from collections.abc import Iterable

import pandas as pd
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.chapters.theorem_1.judge import at_lag
from sanitygap.chapters.theorem_1.plots import SCORES, noise_curves, smoothness_scatter
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.runs import Study
from sanitygap.scores import occlusion_scores, randomization_scores


@show.shows_several("noise-curve")
def noise_plate(studies: list[Study]) -> Plate:
    """Both scores of a map as independent noise is added to it."""
    frames, where = [], []
    for study in studies:
        table = study.table("noise-curve")
        means = show.with_intervals(
            table, ("method", "amount"), {name: name for name in SCORES}, "score"
        )
        both = pd.concat([means, _pure_noise(study, table)], ignore_index=True)
        frames.append(both.assign(panel=show.panel(study, "noise-curve")))
        where.append(
            f"{show.about(study, 'noise-curve')}, {int(table['steps'].iloc[0])} steps, "
            f"{int(table['regions'].iloc[0])} regions of 15 pixels"
        )
    return noise_curves(
        pd.concat(frames, ignore_index=True),
        "Maps with independent Gaussian noise of λ times their root mean square, drawn anew for "
        "the trained and for each randomised network: mean SSIM over the steps of top-down "
        "randomisation, and mean softmax as the regions ranked highest are blurred. "
        f"{'; '.join(where)}. {show.BANDS} Dotted: noise alone, on the same images, over all steps "
        "of the table randomization.",
    )


def _pure_noise(study: Study, curve: pd.DataFrame) -> pd.DataFrame:
    """The level of the noise control on the images of the curves, in their form."""
    random = randomization_scores(study.table("randomization"))["noise"]
    table = study.table("occlusion")
    table = table[
        (table["regions"] <= int(curve["regions"].iloc[0])) & table["image"].isin(curve["image"])
    ]
    levels = {
        "ssim": random[random.index.isin(curve["image"])],
        "softmax": occlusion_scores(table)["noise"],
    }
    return pd.DataFrame(
        {"method": "noise", "amount": float("inf"), "score": score} | show.interval(values)
        for score, values in levels.items()
    )


@show.shows("noise-controls")
def noise_controls(study: Study) -> Styler:
    """Three ways of being nothing but noise, and what the sanity check says of them."""
    table = study.table("noise-controls")
    by = ("method", "sign")
    rows = show.with_intervals(table, by, "ssim").drop(columns="n")
    rows["mean Spearman correlation"] = show.with_intervals(table, by, "spearman")["mean"]
    rows.insert(0, "control", [label(str(method)) for method in rows.pop("method")])
    return show.display_table(
        rows.rename(columns={"sign": "maps", "mean": "mean SSIM"}),
        "Controls that are blind to the model, over the steps of top-down randomisation. "
        f"{show.about(study, 'noise-controls')}; 95 % bootstrap intervals over images.",
    )


@show.shows("autocorrelation")
def smoothness_plate(study: Study) -> Plate:
    """How smooth maps are, beside their randomisation score."""
    table = study.table("autocorrelation")
    numbers = show.with_intervals(table, ("method", "lag"), "autocorrelation")
    means = randomization_scores(study.table("randomization")).mean()
    numbers["ssim"] = numbers["method"].map(means)
    both = pd.DataFrame({"smooth": at_lag(table).mean(), "ssim": means}).dropna()
    both = both.drop(index="noise")
    tau = both["smooth"].corr(both["ssim"], method="kendall")
    return smoothness_scatter(
        numbers,
        "Correlation of each map with itself, shifted by a lag (mean of both axes), and its value "
        f"at lag 1 beside the method's mean SSIM: Kendall's τ over {len(both)} methods is "
        f"{tau:+.2f}. {show.about(study, 'autocorrelation')}; SSIM: "
        f"{show.about(study, 'randomization', 'Bands')}",
    )


@show.shows("nearby-inputs")
def nearby_plate(study: Study) -> Plate:
    """How alike the maps of an image and of its close neighbours are."""
    numbers = show.with_intervals(study.table("nearby-inputs"), ("method", "level"), "correlation")
    title = "maps of nearby inputs"
    return show.dots(
        numbers.rename(columns={"method": "row"}).assign(
            series=[f"{level:.1%}" for level in numbers["level"]], panel=title
        ),
        caption="Pearson correlation over pixels of the signed map of an image and of the same "
        "image with weak noise, on the trained network. Methods that draw at random draw anew. "
        f"{show.about(study, 'nearby-inputs', 'Bars')}",
        xlabels="correlation\n(near 0: shattered)",
        lines={title: 0.0},
        legend="noise, of the range",
    )


@show.shows("smoothgrad-copies")
def copies_table(study: Study) -> Styler:
    """SmoothGrad under randomisation, with few and with many noisy copies."""
    table = study.table("smoothgrad-copies")
    rows = show.with_intervals(table, ("copies", "sign"), "ssim").drop(columns="n")
    return show.display_table(
        rows.rename(columns={"copies": "noisy copies", "sign": "maps", "mean": "mean SSIM"}),
        f"SmoothGrad: mean SSIM over {table['stage'].nunique()} steps of top-down randomisation. "
        f"{show.about(study, 'smoothgrad-copies')}; 95 % bootstrap intervals over images.",
    )


def holding(studies: Study | Iterable[Study], *tables: str) -> list[Study]:
    """The studies that hold some tables, for pages that have no guard yet."""
    several = [studies] if isinstance(studies, Study) else list(studies)
    return [study for study in several if show.holds(study, *tables)]


def nothing_recorded(table: str) -> Markdown:
    """What stands where a recorded run does not hold a table, for pages that have no guard yet."""
    return Markdown(f"> No recorded run that could stand here holds the table `{table}`.")


@show.shows("randomization")
def noise_against_methods(study: Study) -> Styler:
    """The noise control beside every method, on real attribution maps."""
    scores = randomization_scores(study.table("randomization"))
    rows = []
    for method in map(str, scores):
        pair = scores[list(dict.fromkeys((method, "noise")))].dropna()
        row = {"method": method} | show.bounds(show.shown_mean(pair[method]), "mean SSIM")
        if method != "noise":
            gap = show.shown_mean(pair[method] - pair["noise"])
            row |= {"minus noise": gap.estimate, "gap low": gap.low, "gap high": gap.high}
        rows.append(row)
    return show.display_table(
        pd.DataFrame(rows).sort_values("mean SSIM"),
        "Mean SSIM over the steps of top-down randomisation, lowest (best in that test) first. "
        f"{show.about(study, 'randomization')}; 95 % bootstrap intervals over images.",
    )
