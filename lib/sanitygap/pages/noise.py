"""Pages about noise in attribution maps."""

from collections.abc import Iterable

import pandas as pd
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from sanitygap.criteria.noise import at_lag
from sanitygap.figures import Plate, theme
from sanitygap.figures.dots import interval_dots
from sanitygap.figures.methods import label
from sanitygap.figures.noise import SCORES, noise_curves, smoothness_scatter
from sanitygap.pages.shared import about, display_table, panel, shown_mean, with_intervals
from sanitygap.runs import Study
from sanitygap.scores import occlusion_scores, randomization_scores


def holding(studies: Study | Iterable[Study], *tables: str) -> list[Study]:
    """The studies that hold some tables; one that is not recorded can compute them."""
    several = [studies] if isinstance(studies, Study) else list(studies)
    return [
        study
        for study in several
        if not study.recorded or all(study.made(table) for table in tables)
    ]


def nothing_recorded(table: str) -> Markdown:
    """What stands where a recorded run does not hold a table."""
    return Markdown(f"> No recorded run that could stand here holds the table `{table}`.")


def noise_plate(studies: Study | Iterable[Study]) -> Plate | Markdown:
    """Both scores of a map as independent noise is added to it."""
    theme()
    several = holding(studies, "noise-curve")
    if not several:
        return nothing_recorded("noise-curve")
    frames = []
    for study in several:
        table = study.table("noise-curve")
        frames += [
            with_intervals(table, ("method", "amount"), score).assign(
                score=score, panel=panel(study, "noise-curve")
            )
            for score in SCORES
        ]
        frames.append(_pure_noise(study, set(table["image"])))
    where = "; ".join(
        f"{about(study, 'noise-curve')}, {int(study.table('noise-curve')['steps'].iloc[0])} steps, "
        f"{int(study.table('noise-curve')['regions'].iloc[0])} regions of 15 pixels"
        for study in several
    )
    return noise_curves(
        pd.concat(frames, ignore_index=True),
        "Maps with independent Gaussian noise of λ times their root mean square, drawn anew for "
        "the trained and for each randomised network: mean SSIM over the steps of top-down "
        "randomisation, and mean softmax as the regions ranked highest are blurred. "
        f"{where}. Bands: 95 % bootstrap intervals over images. Dotted: noise alone, on the same "
        "images, over all steps of the table randomization.",
    )


def _pure_noise(study: Study, images: set[str]) -> pd.DataFrame:
    """The level of the noise control on some images, in the form of the curves."""
    rows = []
    random = randomization_scores(study.table("randomization"))["noise"]
    level = shown_mean(random[random.index.isin(images)])
    rows.append({"score": "ssim", "mean": level.estimate, "low": level.low, "high": level.high})
    regions = int(study.table("noise-curve")["regions"].iloc[0])
    table = study.table("occlusion")
    table = table[(table["regions"] <= regions) & table["image"].isin(images)]
    level = shown_mean(occlusion_scores(table)["noise"])
    rows.append({"score": "softmax", "mean": level.estimate, "low": level.low, "high": level.high})
    return pd.DataFrame(rows).assign(
        method="noise", amount=float("inf"), n=level.n, panel=panel(study, "noise-curve")
    )


def noise_controls(study: Study) -> Styler:
    """Three ways of being nothing but noise, and what the sanity check says of them."""
    table = study.table("noise-controls")
    rows = [
        {
            "control": label(str(method)),
            "maps": sign,
            "mean SSIM": ssim.estimate,
            "low": ssim.low,
            "high": ssim.high,
            "mean Spearman correlation": spearman.estimate,
        }
        for (method, sign), part in table.groupby(["method", "sign"], sort=False)
        for ssim, spearman in [
            [shown_mean(part.groupby("image")[score].mean()) for score in ("ssim", "spearman")]
        ]
    ]
    return display_table(
        pd.DataFrame(rows),
        "Controls that are blind to the model, over the steps of top-down randomisation. "
        f"{about(study, 'noise-controls')}; 95 % bootstrap intervals over images.",
    )


def smoothness_plate(study: Study) -> Plate | Markdown:
    """How smooth maps are, beside their randomisation score."""
    theme()
    if not holding(study, "autocorrelation"):
        return nothing_recorded("autocorrelation")
    table = study.table("autocorrelation")
    numbers = with_intervals(table, ("method", "lag"), "autocorrelation")
    means = randomization_scores(study.table("randomization")).mean()
    numbers["ssim"] = numbers["method"].map(means)
    shared = at_lag(table).mean()
    both = pd.DataFrame({"smooth": shared, "ssim": means}).dropna().drop(index="noise")
    tau = both["smooth"].corr(both["ssim"], method="kendall")
    return smoothness_scatter(
        numbers,
        "Correlation of each map with itself, shifted by a lag (mean of both axes), and its value "
        f"at lag 1 beside the method's mean SSIM: Kendall's τ over {len(both)} methods is "
        f"{tau:+.2f}. {about(study, 'autocorrelation')}; SSIM: {about(study, 'randomization')}. "
        "Bands: 95 % bootstrap intervals over images.",
    )


def nearby_plate(study: Study) -> Plate | Markdown:
    """How alike the maps of an image and of its close neighbours are."""
    theme()
    if not holding(study, "nearby-inputs"):
        return nothing_recorded("nearby-inputs")
    table = study.table("nearby-inputs")
    numbers = with_intervals(table, ("method", "level"), "correlation")
    panel = "maps of nearby inputs"
    return interval_dots(
        numbers.rename(columns={"method": "row"}).assign(
            series=[f"{level:.1%}" for level in numbers["level"]], panel=panel
        ),
        caption="Pearson correlation over pixels of the signed map of an image and of the same "
        "image with weak noise, on the trained network. Methods that draw at random draw anew. "
        f"{about(study, 'nearby-inputs')}. Bars: 95 % bootstrap intervals over images.",
        xlabels={panel: "correlation\n(near 0: shattered)"},
        lines={panel: 0.0},
        legend="noise, of the range",
    )


def copies_table(study: Study) -> Styler:
    """SmoothGrad under randomisation, with few and with many noisy copies."""
    table = study.table("smoothgrad-copies")
    rows = []
    for (copies, sign), part in table.groupby(["copies", "sign"], sort=False):
        interval = shown_mean(part.groupby("image")["ssim"].mean())
        rows.append(
            {
                "noisy copies": copies,
                "maps": sign,
                "mean SSIM": interval.estimate,
                "low": interval.low,
                "high": interval.high,
            }
        )
    return display_table(
        pd.DataFrame(rows),
        f"SmoothGrad: mean SSIM over {table['stage'].nunique()} steps of top-down randomisation. "
        f"{about(study, 'smoothgrad-copies')}; 95 % bootstrap intervals over images.",
    )
