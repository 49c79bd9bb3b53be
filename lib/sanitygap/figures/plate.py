"""A figure with all that a reader needs beside it: alt text, caption and the numbers behind it."""

import base64
import io
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

#: pictures are JPEG files of this resolution and quality: noisy maps hardly compress otherwise
PIXELS_PER_INCH = 120
QUALITY = 82


def theme() -> None:
    """One look for every figure: white grid, colour-blind safe colours, readable sizes."""
    sns.set_theme(
        context="notebook",
        style="whitegrid",
        palette="colorblind",
        rc={
            "figure.facecolor": "white",
            "axes.titlesize": 11,
            "axes.labelsize": 10,
            "legend.fontsize": 9,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "figure.constrained_layout.use": True,
            "svg.hashsalt": "sanitygap",
        },
    )


@dataclass(frozen=True, eq=False)
class Plate:
    """What a figure function returns and a notebook shows.

    Attributes:
        figure: the drawing.
        alt: what it shows, for those who cannot see it; one or two sentences with numbers.
        caption: what was measured: model, images, n, seed and interval.
        numbers: the table behind it, offered as a download.
        pixels: True for pictures, False for line art (shown as vectors).
    """

    figure: Figure
    alt: str
    caption: str
    numbers: pd.DataFrame
    pixels: bool = False

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Data and metadata for Jupyter; the book build reads the metadata."""
        buffer = io.BytesIO()
        data: dict[str, Any] = {"text/plain": self.alt}
        if self.pixels:
            self.figure.savefig(
                buffer,
                format="jpeg",
                dpi=PIXELS_PER_INCH,
                bbox_inches="tight",
                pil_kwargs={"quality": QUALITY, "optimize": True},
            )
            data["image/jpeg"] = base64.b64encode(buffer.getvalue()).decode()
        else:
            self.figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
            data["image/svg+xml"] = buffer.getvalue().decode()
        plt.close(self.figure)
        about = {
            "alt": self.alt,
            "caption": self.caption,
            "csv": self.numbers.to_csv(index=False, float_format="%.6g"),
        }
        return data, {"sanitygap": about}


class Interactive(ABC):
    """A part of a page with controls, and a picture of it for formats that have none."""

    @abstractmethod
    def html(self) -> str:
        """The part of a page, complete without a script."""

    @abstractmethod
    def still(self) -> Plate:
        """The picture; its alt text, caption and numbers are those of the whole."""

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Data and metadata for Jupyter; the book build reads the metadata."""
        still = self.still()
        data, metadata = still._repr_mimebundle_()
        return data | {
            "text/html": self.html(),
            "text/plain": f"{still.alt}\n{still.numbers.to_string(index=False)}",
        }, metadata
