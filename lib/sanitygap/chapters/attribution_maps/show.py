"""Pages about maps as a network is redrawn, and about where LRP's relevance goes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from sanitygap import show
from sanitygap.chapters.attribution_maps.measure import INPUT, unpacked
from sanitygap.figures.maps import map_colors
from sanitygap.figures.methods import label, styles
from sanitygap.figures.plate import Plate
from sanitygap.figures.stepper import EVERY_METHOD, Panel, Stepper
from sanitygap.runs import Study
from sanitygap.words import listed, plural

FLOW = "relevance-flow"

STAGES = "stage-maps"


def stage_view(study: Study) -> Stepper:
    """One photograph's maps by a few methods at once, and what the network says, stage by stage."""
    table = study.table(STAGES)
    table = table[table["image"] == table["image"].iloc[0]]
    methods = show.distinct(table["method"])
    steps = table.drop_duplicates("step").reset_index(drop=True)
    model, image = study.model, show.pictured_images(study)[:1].open(0)
    picture = model.preprocessing.to_rgb(model.prepare([image]))[0].permute(1, 2, 0).cpu().numpy()
    maps = {
        name: [map_colors(unpacked(text), limit=1.0) for text in own["map"]]
        for name, own in table.groupby("method", sort=False)
    }
    panels = [Panel("photograph", {EVERY_METHOD: [picture]})]
    for name in methods:
        words = label(name).removesuffix(" (control)")
        panels += [
            Panel(f"{words}, trained", {EVERY_METHOD: maps[name][:1]}),
            Panel(f"{words}, now", {EVERY_METHOD: maps[name]}, column=name),
        ]
    redrawn = steps["stage"][1:]
    numbers = table.pivot(index="step", columns="method", values="ssim")[methods]
    ends = ", ".join(f"{label(name)} {numbers[name].iloc[-1]:.2f}" for name in methods)
    return Stepper(
        step="redrawn blocks",
        frames=["Trained", *(f"Redrawn from the top down to {name}" for name in redrawn)],
        panels=panels,
        values={"SSIM": numbers},
        alt=f"Maps of a photograph by {listed([label(name) for name in methods])} as "
        f"{show.model_of(study)} is redrawn from the top. SSIM at the end: {ends}.",
        caption=f"Maps of one photograph for the class that the trained {show.model_of(study)} "
        "predicts, as its blocks get random weights from the top. SSIM is that with the trained "
        f"network’s map. One image, one seed ({study.settings.seed}): a picture, not a "
        "measurement.",
        blocks={str(name): place for place, name in reversed(list(enumerate(redrawn, start=1)))},
        told=[
            f"the network says “{one.predicted}” (softmax {one.probability:.2f})."
            for one in steps.itertuples()
        ],
        start=len(steps) // 2,
    )


#: kinds of modules as the table of relevance names them
KINDS = {
    "depthwise": "depthwise convolutions",
    "convolution": "other convolutions",
    "dense": "dense layers",
}

#: the rule whose way through the network is drawn, under both readings of biases
DRAWN = ("lrp-epsilon-plus", "lrp-epsilon-plus@biases")

#: a sum this near to 1 is called all of it
NEARLY = 0.002


def relevance_sums(flow: pd.DataFrame) -> pd.DataFrame:
    """What becomes of LRP's 1, image by image.

    Args:
        flow: the table ``relevance-flow``.

    Returns:
        Rows by method and image: ``pixels`` and ``absolute`` (of the map), what each of
        :data:`KINDS` keeps, and ``total``, the map's sum and all that modules keep.
    """
    keys = ["method", "image"]
    pixels = flow[flow["module"] == INPUT].set_index(keys)
    kept = flow.pivot_table("kept", keys, "kind", aggfunc="sum", fill_value=0.0, sort=False)
    sums = kept.reindex(columns=list(KINDS), fill_value=0.0)
    return sums.assign(
        pixels=pixels["entered"],
        absolute=pixels["absolute"],
        total=pixels["entered"] + kept.sum(axis=1),
    )


@show.shows(FLOW)
def relevance_table(study: Study) -> Styler:
    """Which share of LRP's relevance reaches the pixels, and which modules keep the rest."""
    sums = relevance_sums(study.table(FLOW))
    rows = []
    for method, part in sums.groupby("method", sort=False):
        middle = part.median()
        rows.append(
            {
                "rules": label(str(method)),
                "sum at the pixels": _with_range(part["pixels"]),
                **{f"kept by {words}": middle[kind] for kind, words in KINDS.items()},
                "adds up to": _with_range(part["total"]),
                "sum of absolute values": middle["absolute"],
            }
        )
    return show.display_table(
        rows,
        "LRP starts with 1. Shares of it: medians over images, in brackets the lowest and the "
        "highest. Biases counted: the denominators include them, and they keep their share. The "
        "z-B rule of γ and γ-box gives a little to a layer of padding, where there is one; it is "
        f"missing from what the columns add up to. {show.about(study, FLOW)}.",
    )


@show.shows_several(FLOW)
def networks_table(studies: Sequence[Study]) -> Styler:
    """The sum at the pixels on every network: one column a run."""
    named = {study.settings.run: study for study in studies}
    columns = {
        f"{show.model_of(study)} ({run})": relevance_sums(study.table(FLOW))["pixels"]
        .groupby("method", sort=False)
        .apply(_with_range)
        for run, study in named.items()
    }
    table = pd.DataFrame(columns).rename_axis("rules").reset_index()
    return show.display_table(
        table.assign(rules=[label(str(name)) for name in table["rules"]]),
        "Sum of LRP's relevance at the pixels over what it starts with, by rules and network: "
        "medians over images, in brackets the lowest and the highest. "
        f"{show.about_all(list(named.values()), FLOW)}.",
    )


@show.shows(FLOW)
def relevance_words(study: Study) -> Markdown:
    """What the table of relevance says, in sentences."""
    flow = study.table(FLOW)
    sums = relevance_sums(flow)
    middle = sums.groupby("method", sort=False).median()
    network, images = show.model_of(study), study.made(FLOW)["images"]
    free = middle.loc[[name for name in middle.index if not str(name).endswith("@biases")]]
    arrived = free["pixels"]
    words = f"On {network} (medians over {plural(images, 'image')}) "
    if arrived.between(1 - NEARLY, 1 + NEARLY).all():
        words += f"all relevance reaches the pixels under each of the {len(arrived)} sets of rules."
    else:
        least, most = label(str(arrived.idxmin())), label(str(arrived.idxmax()))
        words += (
            f"{arrived.min():.1%} ({least}) to {arrived.max():.1%} ({most}) of the relevance "
            f"reaches the pixels. {_keepers(flow, free)}"
        )
    counted = float(middle["pixels"][DRAWN[1]])
    words += f" With biases counted it is {counted:.2%} under {label(DRAWN[0])}."
    highest = sums["pixels"].groupby("method", sort=False).max()
    above = highest[highest > 1 + NEARLY].to_dict()
    if above:
        rules = listed([f"{label(str(name))} (up to {value:.2f})" for name, value in above.items()])
        words += f" More than 1 arrives under {rules}: relevance has both signs there, and some of "
        words += "the negative part is kept."
    else:
        words += " Under no rule does more than 1 arrive."
    error = float((sums["total"] - 1).abs().max())
    return Markdown(f"{words} What arrives and what is kept add up to 1, to within {error:.1g}.")


def _keepers(flow: pd.DataFrame, middle: pd.DataFrame) -> str:
    """Which kinds of modules keep relevance under ε-plus, and which module most."""
    shares = [
        f"{words} keep {share:.1%}"
        for kind, words in KINDS.items()
        if (share := float(middle[kind][DRAWN[0]])) >= NEARLY
    ]
    kept = flow[flow["method"] == DRAWN[0]].groupby("module")["kept"].median()
    if not shares:
        return ""
    return f"Under {label(DRAWN[0])} {listed(shares)}; `{kept.idxmax()}` alone {kept.max():.1%}."


@show.shows(FLOW)
def relevance_plate(study: Study) -> Plate:
    """Where relevance is kept on its way from the output to the input."""
    flow = study.table(FLOW)
    frames = []
    for method in DRAWN:
        rows = flow[flow["method"] == method].sort_values("depth", kind="stable")
        left = 1 - rows.groupby("image")["kept"].cumsum()
        grouped = rows.assign(left=left).groupby(["method", "depth", "module", "kind"], sort=False)
        frames.append(grouped["left"].agg(median="median", low="min", high="max").reset_index())
    numbers = pd.concat(frames, ignore_index=True)
    numbers = numbers[numbers["module"] != INPUT]
    methods = show.distinct(numbers["method"])
    figure, [axis] = show.panel_axes(1, 1, (8.6, 3.6))
    last = numbers.sort_values("depth").groupby("method", sort=False)["median"].last()
    looks = {
        method: {"color": style["color"], "ls": "--" if number else "-",
                 "label": f"{label(method)}: {last[method]:.2%} at the pixels"}
        for number, (method, style) in enumerate(styles(methods).items())
    }  # fmt: skip
    show.draw_curves(axis, numbers, "depth", looks=looks, value="median")
    for number, (method, look) in enumerate(looks.items()):
        marked = numbers[(numbers["method"] == method) & (numbers["kind"] == "depthwise")]
        color = look["color"]
        axis.plot(
            marked["depth"], marked["median"], "o", color=color, ms=5,
            mfc="white" if number else color,
            label="_" if number or marked.empty else "depthwise convolutions",
        )  # fmt: skip
    axis.set(
        xlabel="modules, from the output to the input", ylabel="share not yet kept",
        ylim=(-0.03, 1.05),
    )  # fmt: skip
    axis.legend(frameon=False, loc="upper right" if numbers["median"].min() < 0.5 else "lower left")
    return Plate(
        figure,
        _words(numbers),
        "What is left of LRP's 1 after each convolution and each dense layer has kept its part, "
        "from the output on the left to the input on the right. Lines: medians over images; bands: "
        f"from the lowest to the highest. {show.about(study, FLOW)}.",
        numbers,
    )


def _words(numbers: pd.DataFrame) -> str:
    sentences = ["Lines of the relevance that is not yet kept, from the output to the input."]
    for method, rows in numbers.groupby("method", sort=False):
        rows = rows.sort_values("depth")
        left = rows["median"].to_numpy()
        lost = -np.diff(left, prepend=1.0)
        place = int(lost.argmax())
        sentences.append(
            f"{label(str(method))}: 1 to {left[-1]:.4f}, the largest step {lost[place]:.4f} at "
            f"{rows['module'].iloc[place]}."
        )
    return " ".join(sentences)


def _with_range(values: pd.Series) -> str:
    middle, low, high = (f"{value:z.4f}" for value in (values.median(), values.min(), values.max()))
    return middle if low == high else f"{middle} [{low}, {high}]"
