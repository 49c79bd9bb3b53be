"""The report on a run of a person's own methods: its parts, and what a paper says of them."""

from importlib import resources
from typing import Any

from sanitygap.chapters.yours import show
from sanitygap.chapters.yours.show import OCCLUSION, RANDOMIZATION
from sanitygap.runs import Study


def parts_of(study: Study) -> tuple[list[tuple[str, str, Any]], str]:
    """Measure what a report shows.

    Returns:
        Its parts, see :func:`sanitygap.book.report.write_report`, and the paragraph on methods.
    """
    for name in (OCCLUSION, RANDOMIZATION):
        study.table(name, max_images=len(study.images))
    study.table("yours-maps")
    parts = [
        ("findings", "What was found", show.findings(study)),
        ("gap", "Both tests in one plane", show.gap_plate(study)),
        ("standings", "Every method in both tests", show.standing_table(study)),
        ("specifications", "Does it depend on how the tests are run?", show.duel_plate(study)),
        ("maps", "What the maps look like", show.map_plate(study)),
    ]
    return [part for part in parts if part[2] is not None], paragraph(study)


def paragraph(study: Study) -> str:
    """What was done, for the methods section of a paper, from the run's own settings."""
    settings = study.settings.public()
    occlusion, redraws = (study.made(name)["parameters"] for name in (OCCLUSION, RANDOMIZATION))
    precomputed = [name.partition(":")[2] for name in study.context.precomputed]
    weights = "trained" if study.model.pretrained else "untrained"
    seeds = redraws["seeds"] or [settings["seed"]]
    return (
        f"We tested {', '.join(occlusion['methods'])} on the {weights} network "
        f"{settings['model']} and {len(study.images)} images ({settings['images']}). "
        "Top-down randomisation [@adebayo2018] redrew the weights of "
        f"{redraws['n_steps'] or len(study.model.stages)} of {len(study.model.stages)} stages from "
        "the output to the input, normalisation layers included, with "
        f"{len(seeds)} draw{'s' if len(seeds) > 1 else ''} (seeds {', '.join(map(str, seeds))}), "
        "and compared maps by structural similarity [@wang2004], rank correlation and mean squared "
        "error. Occlusion [@samek2017] replaced the 30 regions that a map ranks highest by a "
        f"blurred copy (sides of {', '.join(map(str, occlusion['patches']))} pixels of a 224-pixel "
        f"input; prediction taken after every {occlusion['every']} regions). "
        + (f"Precomputed maps ({', '.join(precomputed)}) took part in it. " if precomputed else "")
        + "Integrated gradients "
        f"[@sundararajan2017] used {occlusion['path_steps']} points. Noise and edges are controls "
        "[@binder2022]. Intervals are 95 % over images. Computed with sanitygap."
    )


def references() -> str:
    """The BibTeX entries that :func:`paragraph` cites."""
    path = resources.files("sanitygap").joinpath("data/report.bib")
    return path.read_text(encoding="utf-8")
