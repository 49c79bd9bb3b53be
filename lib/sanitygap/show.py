"""How pages show a run: a guard, captions, intervals, and the few kinds of plate.

A page function is decorated with :func:`shows` or :func:`shows_several`, names the tables it
needs, and returns a table (:func:`display_table`) or a plate: dots with intervals (:func:`dots`),
lines with bands (:func:`curves`), intervals along categories (:func:`along`), or
pictures in a grid (:func:`picture_grid`). Plates of another form are put together from
:func:`draw_curves` and :func:`draw_points`.
"""

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import cycle
from textwrap import fill
from typing import Any, TypeVar

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from sanitygap.errors import LackingMethodError, NotDefinedError
from sanitygap.figures.methods import label, label_ends, styles
from sanitygap.figures.plate import Plate, theme
from sanitygap.images import ImageSet, load_images
from sanitygap.inference import Interval, UndefinedStatisticError, bootstrap_mean, rank_agreement
from sanitygap.runs import Study
from sanitygap.words import plural

Shown = TypeVar("Shown")

#: what bars and bands are, at the end of captions
OVER_IMAGES = "95 % bootstrap intervals over images."
BARS, BANDS = f"Bars: {OVER_IMAGES}", f"Bands: {OVER_IMAGES}"

#: series of dots are told by marker and filling, not only by shade
SERIES = (("o", True), ("D", False), ("s", True), ("^", False), ("v", True), ("P", False))


# the guard


class NothingToShowError(Exception):
    """What a page function says where there is nothing to show: one or more sentences."""


def holds(study: Study, *tables: str) -> bool:
    """Whether a run holds tables, or can compute them because it is not a recorded one."""
    return not _undefined(study, *tables) and (not study.recorded or all(map(study.made, tables)))


def _undefined(study: Study, *tables: str) -> str:
    """Why one of the tables is not defined for a run; empty where all are, or nobody has asked."""
    return next(filter(None, (study.made(table).get("undefined", "") for table in tables)), "")


def require(study: Study, *tables: str) -> None:
    """Say on the page that there is nothing to show unless a run holds some tables.

    Raises:
        NothingToShowError: it does not hold all of them.
    """
    for table in tables:
        if reason := _undefined(study, table):
            raise NothingToShowError(f"This is left out: {reason}.")
        if not holds(study, table):
            raise NothingToShowError(
                f"No recorded run that could stand here holds the table `{table}`."
            )


Guard = Callable[[Callable[..., Shown]], Callable[..., Shown | Markdown]]


def _guard(choose: Callable[[Any], Any]) -> Guard[Any]:
    def guard(page: Callable[..., Shown]) -> Callable[..., Shown | Markdown]:
        @functools.wraps(page)
        def guarded(runs: Any, *args: Any, **kwargs: Any) -> Shown | Markdown:
            theme()
            try:
                return page(choose(runs), *args, **kwargs)
            except NothingToShowError as error:
                return Markdown(f"> {error}")
            except (UndefinedStatisticError, NotDefinedError, LackingMethodError) as error:
                return Markdown(f"> This cannot be shown for this run: {error}.")

        return guarded

    return guard


def shows(*tables: str) -> Guard[Any]:
    """Guard a page function of a run: what it shows, or a sentence that says why there is nothing.

    That is the case if a recorded run does not hold one of the tables, if the function raises
    :class:`NothingToShowError`, or if a statistic is undefined on its data. Figures get the theme.
    """

    def choose(study: Study) -> Study:
        require(study, *tables)
        return study

    return _guard(choose)


def shows_several(*tables: str) -> Guard[Any]:
    """:func:`shows` for a function of one or more runs: it gets those that hold the tables."""

    def choose(studies: Study | Iterable[Study]) -> list[Study]:
        several = [studies] if isinstance(studies, Study) else list(studies)
        holders = [study for study in several if holds(study, *tables)]
        if not holders:
            require(several[0], *tables)
        return holders

    return _guard(choose)


def pictured_images(study: Study) -> ImageSet:
    """The images of pictures: the run's; the embedded photographs where the run is recorded."""
    return load_images("photos") if study.recorded else study.images


# captions


def model_of(study: Study) -> str:
    """The public model spec of a run."""
    return str(study.settings.public()["model"])


def about(study: Study, table: str, marks: str = "") -> str:
    """Model, images, n and seed of a table, for captions.

    Args:
        study: the run.
        table: its name.
        marks: ``Bars`` or ``Bands``, to say at the end what they are.
    """
    settings, passport = study.settings.public(), study.made(table)
    words = f"{settings['model']}, "
    if passport["images"]:  # some tables look at no photograph of the run
        words += f"{settings['images']}, n = {plural(passport['images'], 'image')}, "
    words += f"seed {settings['seed']}, profile {settings['profile']}"
    return f"{words}. {marks}: {OVER_IMAGES}" if marks else words


def about_all(studies: Sequence[Study], table: str, marks: str = "") -> str:
    """:func:`about` for several runs."""
    *first, last = studies
    return "; ".join([*(about(study, table) for study in first), about(last, table, marks)])


def panel(study: Study, table: str) -> str:
    """A panel's title: model and number of images."""
    return f"{model_of(study)}, n = {study.made(table)['images']}"


# intervals


def or_nan(measure: Callable[..., Interval], *values: Any) -> Interval:
    """What a measure finds; NaN with n = 0 where it has no value on these data."""
    try:
        return measure(*values)
    except UndefinedStatisticError:
        return Interval(math.nan, math.nan, math.nan, 0)


def shown_mean(values: pd.Series) -> Interval:
    """:func:`~sanitygap.inference.bootstrap_mean` without NaN; NaN where fewer than two remain."""
    return or_nan(bootstrap_mean, values.dropna())


def shown_agreement(first: pd.DataFrame, second: pd.DataFrame) -> Interval:
    """:func:`~sanitygap.inference.rank_agreement`, or NaN where a ranking ties throughout."""
    try:
        return rank_agreement(first, second)
    except UndefinedStatisticError:
        return Interval(math.nan, math.nan, math.nan, len(first))


def columns(interval: Interval, estimate: str = "mean") -> dict[str, Any]:
    """An interval as columns: the estimate under a name of its own, ``low``, ``high``, ``n``."""
    return {estimate: interval.estimate, "low": interval.low, "high": interval.high,
            "n": interval.n}  # fmt: skip


def bounds(interval: Interval, estimate: str = "mean") -> dict[str, Any]:
    """:func:`columns` without ``n``."""
    return {estimate: interval.estimate, "low": interval.low, "high": interval.high}


def interval(values: pd.Series) -> dict[str, Any]:
    """Mean over images with its 95 % bootstrap interval; images without a value are left out."""
    return columns(shown_mean(values))


def with_intervals(
    table: pd.DataFrame, by: Sequence[str], value: str | Mapping[str, str], name: str = "panel"
) -> pd.DataFrame:
    """Means over images with 95 % bootstrap intervals: ``mean``, ``low``, ``high``, ``n``.

    Args:
        table: tidy, with a column ``image``; what else differs is averaged first.
        by: columns that tell apart what is compared, in the order of appearance.
        value: a column; or column -> words, which stand in another column of the result.
        name: of that column.
    """
    need_rows(table if value else table[:0])
    if not isinstance(value, str):
        parts = [
            with_intervals(table, by, column).assign(**{name: words})
            for column, words in value.items()
        ]
        return pd.concat(parts, ignore_index=True)
    rows = [
        dict(zip(by, group, strict=True)) | interval(part.groupby("image")[value].mean())
        for group, part in table.groupby(list(by), sort=False)
    ]
    return pd.DataFrame(rows)


def by_run(
    studies: Iterable[Study],
    table: str,
    choose: Callable[[pd.DataFrame], pd.DataFrame],
    by: Sequence[str],
    value: str,
) -> pd.DataFrame:
    """:func:`with_intervals` for several runs, a panel each; with ``depth``, the step in % of all.

    Args:
        studies: the runs.
        table: its name.
        choose: which of its rows.
        by, value: columns.
    """
    parts = []
    for study in studies:
        rows = with_intervals(choose(study.table(table)), by, value)
        if "steps" in rows:
            rows["depth"] = 100 * rows["step"] / rows["steps"]
        parts.append(rows.assign(panel=panel(study, table)))
    return pd.concat(parts, ignore_index=True)


def score_columns(scores: pd.DataFrame, name: str) -> pd.DataFrame:
    """Mean of each method with its interval, for :func:`draw_points`.

    Args:
        scores: images x methods.
        name: of the score.

    Returns:
        Rows are the methods, columns ``NAME``, ``NAME_low`` and ``NAME_high``.
    """
    means = {method: shown_mean(scores[method]) for method in scores}
    return pd.DataFrame(
        {
            method: {name: mean.estimate, f"{name}_low": mean.low, f"{name}_high": mean.high}
            for method, mean in means.items()
        }
    ).T.rename_axis("method")


# tables

Rows = pd.DataFrame | Sequence[Mapping[str, Any]]


def display_table(rows: Rows, caption: str) -> Styler:
    """A table for a page: caption on top, no index, three decimals, methods by their labels."""
    table = pd.DataFrame(rows)
    if "method" in table:
        table = table.assign(method=[label(str(name)) for name in table["method"]])
    numbers = dict.fromkeys(table.select_dtypes("float"), "{:z.3f}")  # z: no minus before 0.000
    return (
        table.style.format({str(column): shown for column, shown in numbers.items()}, na_rep="–")
        .hide(axis="index")
        .set_caption(caption)
        .set_table_attributes('class="dataframe sanitygap-table"')
    )


def text_table(rows: Rows, caption: str) -> Styler:
    """A table of sentences for a page; on a narrow screen its rows are cards with labels."""
    labelled = pd.DataFrame(rows)
    for name in labelled.columns[1:]:
        words = labelled[name].astype(str)
        labelled[name] = f'<span class="narrow-label">{name}: </span>' + words
    attributes = 'class="dataframe sanitygap-table text-cards"'
    return display_table(labelled, caption).set_table_attributes(attributes)


# kinds of plate


def distinct(values: Iterable[Any]) -> list[Any]:
    """Different values in the order of appearance."""
    return list(dict.fromkeys(values))


def need_rows(numbers: pd.DataFrame) -> None:
    """Say on the page that there is nothing to show if a table has no row.

    Raises:
        NothingToShowError: it has none.
    """
    if numbers.empty:
        raise NothingToShowError("This run has no value that could be shown here.")


def panel_axes(
    count: int, wide: int, size: tuple[float, float], **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, at most ``wide`` beside each other, each of a size in inches."""
    wide = min(wide, count)
    tall = -(-count // wide)
    figure, axes = plt.subplots(
        tall, wide, figsize=(size[0] * wide, size[1] * tall), squeeze=False, **options
    )
    for axis in axes.flat[count:]:
        axis.set_axis_off()
    return figure, list(axes.flat[:count])


def bar_lengths(rows: pd.DataFrame, value: str, low: str, high: str) -> np.ndarray:
    """Lengths of the two arms of each interval, ``(2, N)``, for matplotlib's error bars."""
    return np.maximum([rows[value] - rows[low], rows[high] - rows[value]], 0)


def legend_below(figure: Figure, axes: Iterable[Axes], title: str = "") -> None:
    """One legend for all panels, below them."""
    handles = {
        name: handle
        for axis in axes
        for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    if handles:
        longest = max(map(len, handles))
        figure.legend(
            list(handles.values()), list(handles), loc="outside lower center", frameon=False,
            ncols=max(1, min(len(handles), 100 // (longest + 6))), title=title or None,
        )  # fmt: skip


def dots(
    numbers: pd.DataFrame,
    *,
    caption: str,
    xlabels: Mapping[str, str] | str = "",
    lines: Mapping[str, float] | None = None,
    legend: str | None = "",
    null: str = "",
    row: str = "row",
    series: str = "series",
    panel: str = "panel",
    value: str = "mean",
) -> Plate:
    """Dots with bars: a row a method or any other name, a mark a series, a panel a statistic.

    Args:
        numbers: columns ``row`` and, where there are several, ``series`` and ``panel``; ``mean``,
            and ``low`` and ``high`` where there are intervals; all in the order of appearance.
            ``null_low`` and ``null_high`` are ranges drawn in grey.
        caption: the figure's caption.
        xlabels: panel -> label of its horizontal axis, which says which direction means what; or
            one for all.
        lines: panel -> where to draw a reference line.
        legend: title of the legend of the series; None for no legend.
        null: what the grey ranges are, for the legend.
        row, series, panel, value: the columns, where they have other names.
    """
    need_rows(numbers)
    table = numbers.rename(columns={row: "row", series: "series", panel: "panel", value: "mean"})
    for name in {"series", "panel"} - set(table):
        table[name] = ""
    rows, names, panels = (distinct(table[name]) for name in ("row", "series", "panel"))
    if isinstance(xlabels, str):
        xlabels = dict.fromkeys(panels, xlabels)
    wide = len(panels) if len(panels) < 4 else 2
    height = 1.3 + 0.36 * len(rows) * max(1.0, 0.4 * len(names))
    figure, axes = panel_axes(
        len(panels), wide, ((2.4 + min(3.1 * wide, 7.0)) / wide, height), sharey=True
    )
    step = min(0.16, 0.72 / len(names))
    for axis, title in zip(axes, panels, strict=True):
        for number, name in enumerate(names):
            part = table[(table["panel"] == title) & (table["series"] == name)]
            heights = [rows.index(r) + step * (number - (len(names) - 1) / 2) for r in part["row"]]
            if "null_low" in part:
                axis.barh(
                    heights, part["null_high"] - part["null_low"], left=part["null_low"],
                    height=0.9 * step if len(names) > 1 else 0.5, color="0.86",
                    label=null if part["null_low"].notna().any() else None,
                )  # fmt: skip
            marker, filled = SERIES[number % len(SERIES)]
            axis.errorbar(
                part["mean"], heights,
                xerr=bar_lengths(part, "mean", "low", "high") if "low" in part else None,
                fmt=marker, color=plt.cm.viridis(0.12 + 0.55 * number / max(1, len(names) - 1)),
                mfc=None if filled else "white", ms=6, capsize=2, label=str(name),
            )  # fmt: skip
        if lines and title in lines:
            axis.axvline(lines[title], color="0.4", lw=1.0, ls="--" if lines[title] else "-")
        axis.set(xlabel=xlabels.get(title, ""), ylim=(len(rows) - 0.5, -0.5))
        axis.set_title(title, fontsize=10)
        axis.grid(False, axis="y")
    axes[0].set_yticks(range(len(rows)), [label(str(name)) for name in rows])
    if legend is not None and len(names) > 1 or null:
        legend_below(figure, axes, legend or "")
    return Plate(figure, _dots_in_words(table), caption, numbers)


def _dots_in_words(table: pd.DataFrame) -> str:
    sentences = []
    if table["series"].nunique() == 1:
        table = table.assign(series="")
    for names, part in table.groupby(["panel", "series"], sort=False):
        listed = ", ".join(
            f"{label(str(row))} {mean:.3g}"
            for row, mean in zip(part["row"], part["mean"], strict=True)
        )
        head = ", ".join(str(name) for name in names if str(name))
        sentences.append(f"{head}: {listed}." if head else f"{listed}.")
    return " ".join(" ".join(sentences).replace("$", "").split())


def draw_curves(
    axis: Axes,
    rows: pd.DataFrame,
    x: str,
    *,
    series: str = "method",
    looks: Mapping[str, Mapping[str, Any]] | None = None,
    value: str = "mean",
) -> dict[str, tuple[float, float]]:
    """A line with its band for each method, or for each of other series with looks of their own.

    Returns:
        Series -> right end of its line, for :func:`~sanitygap.figures.methods.label_ends`.
    """
    ends = {}
    for name, look in (looks or styles(distinct(rows[series]))).items():
        part = rows[rows[series] == name].sort_values(x)
        if part.empty:
            continue
        own: dict[str, Any] = {"ms": 5, "label": label(name), **look}
        axis.plot(part[x], part[value], markevery=max(1, len(part) // 10), **own)
        axis.fill_between(part[x], part["low"], part["high"], color=look["color"], alpha=0.13, lw=0)
        ends[name] = (float(part[x].iloc[-1]), float(part[value].iloc[-1]))
    return ends


def curves(
    numbers: pd.DataFrame,
    x: str,
    *,
    xlabel: str,
    ylabel: str,
    caption: str,
    ticks: dict[float, str] | None = None,
) -> Plate:
    """One line a method with its interval, one panel a run, below each other.

    Args:
        numbers: columns ``panel``, ``method``, ``x``, ``mean``, ``low``, ``high``.
        x: column of the horizontal axis.
        xlabel, ylabel: axis labels; the vertical one says which direction is better.
        caption: the figure's caption.
        ticks: positions and labels of the horizontal axis.
    """
    need_rows(numbers)
    panels = distinct(numbers["panel"])
    height = max(4.6, 1.6 + 0.17 * numbers["method"].nunique())
    figure, axes = panel_axes(len(panels), 1, (8.6, height), sharey=True)
    ends = []
    for axis, title in zip(axes, panels, strict=True):
        ends.append(draw_curves(axis, numbers[numbers["panel"] == title], x))
        axis.set(xlabel=xlabel, ylabel=ylabel)
        if len(panels) > 1:
            axis.set_title(title)
        if ticks:
            axis.set_xticks(list(ticks), list(ticks.values()), rotation=35, ha="right")
    for axis, places in zip(axes, ends, strict=True):  # the shared limits are final only now
        label_ends(axis, places)
    return Plate(figure, _ends_in_words(numbers, x, xlabel, ylabel), caption, numbers)


def _ends_in_words(numbers: pd.DataFrame, x: str, xlabel: str, ylabel: str) -> str:
    """What the curves show, in words: the order of the methods at the right end."""
    plain = [" ".join(text.split()) for text in (ylabel, xlabel)]
    sentences = [f"Lines of {plain[0]} against {plain[1]}, one a method."]
    for title, rows in numbers.groupby("panel", sort=False):
        last = rows[rows[x] == rows[x].max()].sort_values("mean")
        values = ", ".join(
            f"{label(method)} {mean:.2f}"
            for method, mean in zip(last["method"], last["mean"], strict=True)
        )
        sentences.append(f"{title}, right end, from low to high: {values}.")
    return " ".join(sentences)


def along(
    numbers: pd.DataFrame,
    x: str,
    *,
    ylabel: str,
    caption: str,
    series: str,
    panel: str = "",
    value: str = "mean",
    style: str = "-",
    lines: Mapping[str, float] | None = None,
    legend: str = "",
) -> Plate:
    """Intervals of several series along categories, a panel beside the other.

    Args:
        numbers: columns ``x``, ``series``, ``panel`` and ``value``, in the order of appearance,
            and ``low`` and ``high``.
        x: column of the categories.
        ylabel: says what is drawn, and which direction means what.
        caption: the figure's caption.
        series, panel, value: the columns; without ``panel`` there is one.
        style: of the line between the categories; ``""`` for none.
        lines: panel -> where to draw a reference line.
        legend: title of the legend.
    """
    need_rows(numbers)
    places, names = distinct(numbers[x]), distinct(numbers[series])
    panels = distinct(numbers[panel]) if panel else [""]
    width = 9.4 if panel else min(9.2, max(6.0, 0.21 * len(places) + 2.5))
    figure, axes = panel_axes(len(panels), 3, (width / len(panels), 4.4), sharey=not lines)
    few, sentences = len(places) <= 8, []
    for axis, title in zip(axes, panels, strict=True):
        rows = numbers[numbers[panel] == title] if panel else numbers
        for color, (marker, filled), name in zip(
            sns.color_palette("colorblind", len(names)).as_hex(), cycle(SERIES), names, strict=False
        ):
            part = rows[rows[series] == name]
            axis.errorbar(
                [places.index(place) for place in part[x]], part[value],
                yerr=bar_lengths(part, value, "low", "high"), fmt=f"{marker}{style}", color=color,
                mfc=None if filled else "white", ms=5, lw=1.1, capsize=2, label=str(name),
            )  # fmt: skip
            words = [
                f"{place} {mean:.2f}" for place, mean in zip(part[x], part[value], strict=True)
            ]
            ends = [f"from {part[value].min():.2f} to {part[value].max():.2f}"]
            head = ", ".join(filter(None, [title, str(name)]))
            sentences.append(f"{head}: {', '.join(words if len(places) < 7 else ends)}.")
        if lines and title in lines:
            axis.axhline(lines[title], color="0.35", ls="--" if lines[title] else "-", lw=1.0)
        turned = {"rotation": 30, "ha": "right"} if few else {"rotation": 90, "fontsize": 7}
        axis.set_xticks(range(len(places)), map(str, places), **turned)
        axis.set_title(fill(title, 34), fontsize=10)
    axes[0].set_ylabel(ylabel)
    legend_below(figure, axes, legend)
    return Plate(figure, " ".join(sentences), caption, numbers)


def draw_points(axis: Axes, numbers: pd.DataFrame, x: str, y: str) -> dict[str, Any]:
    """A point a method by two scores, with bars where there are columns ``x_low``, ``x_high``...

    Returns:
        Method -> its point, for :func:`~sanitygap.figures.methods.label_points`.
    """
    for method, look in styles(list(numbers["method"])).items():
        rows = numbers[numbers["method"] == method]
        arms: dict[str, Any] = {
            f"{side}err": bar_lengths(rows, column, f"{column}_low", f"{column}_high")
            for side, column in (("x", x), ("y", y))
            if f"{column}_low" in rows
        }
        axis.errorbar(
            rows[x], rows[y], **arms, fmt=look["marker"], color=look["color"], ms=7,
            elinewidth=0.8, label=label(method),
        )  # fmt: skip
    return {str(row["method"]): (row[x], row[y]) for row in numbers.to_dict("records")}


Picture = np.ndarray | None


def picture_grid(
    rows: Sequence[Sequence[Picture]],
    *,
    labels: Sequence[str] = (),
    titles: Sequence[str] | Sequence[Sequence[str]] = (),
    notes: Sequence[Sequence[str]] = (),
    size: tuple[float, float] = (1.2, 1.2),
) -> Figure:
    """Pictures in a grid, of RGB values ``(H, W, 3)`` in ``[0, 1]``; None leaves a place empty.

    Args:
        rows: the pictures.
        labels: one a row, on its left.
        titles: one a column, above the first row; or one a picture.
        notes: one a picture, below it.
        size: of a picture with its words, in inches.
    """
    high, wide = len(rows), len(rows[0])
    figure, axes = plt.subplots(
        high, wide, figsize=(size[0] * wide, size[1] * high), squeeze=False, layout="constrained"
    )
    heads = [titles] if titles and isinstance(titles[0], str) else titles
    for (line, column), axis in np.ndenumerate(axes):
        picture = rows[line][column]
        if picture is None:
            axis.set_axis_off()
            continue
        axis.imshow(picture)
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
        if line < len(heads) and heads[line][column]:
            axis.set_title(heads[line][column], fontsize=8)
        if notes and notes[line][column]:
            axis.set_xlabel(notes[line][column], fontsize=8, labelpad=2)
        if labels and column == 0 and labels[line]:
            flat = "\n" not in labels[line]
            axis.set_ylabel(
                labels[line], fontsize=9, **({"rotation": 0, "ha": "right", "va": "center"}
                                            if flat else {}),
            )  # fmt: skip
    return figure
