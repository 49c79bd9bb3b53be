"""Both scores of every method, linked: a reader changes the choices and sees orders flip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from sanitygap import show
from sanitygap.chapters.gap import multiverse
from sanitygap.chapters.gap.multiverse import LRP_VARIANTS, OCCLUSION, RANDOMIZATION, READING
from sanitygap.chapters.gap.show import LEVEL_WORDS
from sanitygap.figures.maps import rank_lines
from sanitygap.figures.methods import family, label
from sanitygap.figures.plate import Interactive, Plate
from sanitygap.figures.stepper import TEMPLATES, data_uri, strip
from sanitygap.inference import UndefinedStatisticError
from sanitygap.judge import GRADIENTS, GUIDED
from sanitygap.reductions import REDUCTIONS

#: the five of the claim first: their orders are compared
METHODS = (GUIDED, str(READING["variant"]), *GRADIENTS, LRP_VARIANTS[0], "noise")
FIVE = 5

#: ranges of SSIM; the reading nearest to the paper is shown first
SSIM_RANGES = (str(READING["similarity"]), "ssim", "ssim_robust", "ssim_L1")

TESTS = (("randomization", "by randomisation"), ("occlusion", "by occlusion"))


@dataclass(frozen=True, eq=False)
class LinkedScores(Interactive):
    """What a figure function returns and a notebook shows, like a :class:`Plate`.

    Attributes:
        scores: one row a network, reduction, similarity and method, in this order:
            ``randomization`` and ``occlusion`` (means over the same images, low is good), both
            ranks, ``images``.
        maps: method -> RGB pictures ``(H, W, 3)``, one a reduction, or a single one for all.
        photograph: whose maps they are.
        caption: what was measured: models, images, seeds.
    """

    scores: pd.DataFrame
    maps: Mapping[str, Sequence[np.ndarray]]
    photograph: str
    caption: str

    @property
    def first(self) -> pd.DataFrame:
        """The rows that are shown at first: a method each."""
        keys = ["network", "reduction", "similarity"]
        return self.scores[(self.scores[keys] == self.scores[keys].iloc[0]).all(axis=1)]

    @property
    def alt(self) -> str:
        """What it shows, for those who cannot see it."""
        return (
            f"Scores and ranks of {len(METHODS)} methods in both tests, with a choice of network, "
            "reduction and range of SSIM."
        )

    def data(self) -> dict[str, object]:
        """What ``gap.js`` draws."""
        networks = []
        for name, own in self.scores.groupby("network", sort=False):
            shape = len(REDUCTIONS), len(SSIM_RANGES), len(METHODS)
            random, occluded = (
                own[test].to_numpy("float").round(6).reshape(shape)
                for test in ("randomization", "occlusion")
            )
            networks.append(
                {"name": name, "images": int(own["images"].iloc[0]),
                 "randomization": random.tolist(), "occlusion": occluded[:, 0].tolist()}
            )  # fmt: skip
        methods = [
            {"label": label(method), "color": to_hex(family(method).colors[0])}
            for method in METHODS
        ]
        return {"methods": methods, "five": list(range(FIVE)), "networks": networks}

    def html(self) -> str:
        """The figure as a part of a page, complete without a script."""
        words = LEVEL_WORDS["reduction"], LEVEL_WORDS["similarity"]
        columns = ["randomization", "occlusion", "randomization_rank", "occlusion_rank"]
        first = self.first.set_index("method").loc[[*METHODS]]
        return TEMPLATES.get_template("linked.html").render(
            data=self.data(),
            selects=[
                ("network", "Network", show.distinct(self.scores["network"])),
                ("reduction", "Reduction of maps", [words[0][name] for name in REDUCTIONS]),
                ("similarity", "Range L of SSIM", [words[1][name] for name in SSIM_RANGES]),
            ],
            maps=[data_uri(strip(self.maps[method])) for method in METHODS],
            frames=[len(self.maps[method]) for method in METHODS],
            photograph=self.photograph,
            caption=f"Both scores and ranks: {first['network'].iloc[0]}, "
            f"{words[0][first['reduction'].iloc[0]]}, {words[1][first['similarity'].iloc[0]]}.",
            columns=["mean SSIM", "mean softmax", "rank by randomisation", "rank by occlusion"],
            rows={label(name): row for name, row in zip(METHODS, first[columns].to_numpy("float"),
                                                        strict=True)},
        )  # fmt: skip

    def still(self) -> Plate:
        """Both ranks under the first choice, for formats without controls."""
        long = pd.concat(
            pd.DataFrame(
                {
                    "condition": words,
                    "method": self.first["method"],
                    "score": self.first[test],
                    "rank": self.first[f"{test}_rank"],
                }
            )
            for test, words in (
                ("randomization", "by randomisation"),
                ("occlusion", "by occlusion"),
            )
        )
        figure = rank_lines(long, ylabel="rank (1 = best in that test)", caption="").figure
        return Plate(figure, self.alt, self.caption, self.scores)


def linked_scores(occluded: pd.DataFrame, randomized: pd.DataFrame) -> pd.DataFrame:
    """Mean scores of :data:`METHODS` under every reduction and range of SSIM.

    All else is as in the reading nearest to the paper. Both means are over the images that both
    tests hold, as those of Kendall's tau are.

    Args:
        occluded, randomized: the tables of both specifications.

    Raises:
        UndefinedStatisticError: fewer than two images have all of them.
    """
    sides = multiverse.occlusion_scores(occluded), multiverse.randomization_scores(randomized)
    rows = []
    for reduction in REDUCTIONS:
        for similarity in SSIM_RANGES:
            key = READING | {"reduction": reduction, "similarity": similarity}
            tables = [
                scores.of({name: key[name] for name in names}, METHODS)
                for scores, names in zip(sides, (OCCLUSION, RANDOMIZATION), strict=True)
            ]
            common = tables[0].index.intersection(tables[1].index)
            if len(common) < 2:
                raise UndefinedStatisticError(f"{len(common)} images have all maps in both tests")
            occlusion, randomization = (table.loc[common].mean() for table in tables)
            rows.append(
                pd.DataFrame(
                    {
                        "reduction": reduction,
                        "similarity": similarity,
                        "method": METHODS,
                        "randomization": randomization.to_numpy(),
                        "occlusion": occlusion.to_numpy(),
                        "randomization_rank": randomization.rank().to_numpy(),
                        "occlusion_rank": occlusion.rank().to_numpy(),
                        "images": len(common),
                    }
                )
            )
    return pd.concat(rows, ignore_index=True)
