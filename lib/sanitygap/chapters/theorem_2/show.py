"""Pages about maps that stay where the kept feature map is active."""

import pandas as pd

from sanitygap import show
from sanitygap.chapters.theorem_2.judge import concentration, own_activity
from sanitygap.figures.plate import Plate
from sanitygap.runs import Study

TABLE = "activated-regions"


#: names of the panels with what their axes say
RATIO = "mass in the most active 10 %"
CORRELATION = "rank correlation with the own activity"


@show.shows(TABLE)
def region_plate(study: Study) -> Plate:
    """Mass in the active regions and correlation with activity, method by method and depth."""
    table = study.table(TABLE)
    rows = []
    for method in show.distinct(table["method"]):
        for step, stage in sorted(set(zip(table["step"], table["stage"], strict=True))):
            rows += [
                {"row": method, "series": f"below {stage}", "panel": title}
                | show.columns(show.or_nan(measure, table, method, step))
                for title, measure in ((RATIO, concentration), (CORRELATION, own_activity))
            ]
    return show.dots(
        pd.DataFrame(rows),
        caption="Absolute maps after top-down randomisation, against the sum of squared "
        "activations of the last feature map below the redrawn layers. Left: share of "
        "the map in the most active 10 % of the pixels, over 10 %. Right: rank correlation over "
        "pixels with the activity of the same image, minus that with the activity of other "
        f"images. {show.about(study, TABLE, 'Bars')}",
        xlabels={
            RATIO: "mass share / area share\n(right of 1: dominated by active regions)",
            CORRELATION: "minus correlation with other images\n(right of 0: follows the own)",
        },
        lines={RATIO: 1.0, CORRELATION: 0.0},
        legend="feature map",
    )
