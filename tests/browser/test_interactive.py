"""Figures to play with: what they compute, against closed forms and recorded tables."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from sanitygap.chapters.attribution_maps.show import stage_view
from sanitygap.chapters.gap.show_linked import METHODS, SSIM_RANGES, LinkedScores, linked_scores
from sanitygap.chapters.theorem_1 import show as theorem_1
from sanitygap.chapters.theorem_2 import show as theorem_2
from sanitygap.figures.methods import label
from sanitygap.figures.simulator import Simulator
from sanitygap.reductions import REDUCTIONS
from sanitygap.runs import Study
from sanitygap.theory.theorem_1 import PatchMoments, bound, ssim
from sanitygap.theory.theorem_2 import Activations, claimed_probabilities, exact_probabilities
from tests.book.toy import CHECKOUT
from tests.browser.conftest import alone

STATIC = CHECKOUT / "book" / "_static"
SCRIPTS = ("parts", "simulators", "gap")
MAKERS = {"theorem-1": theorem_1.simulator, "theorem-2": theorem_2.simulator}


@pytest.fixture(scope="module", params=MAKERS)
def simulator(request: pytest.FixtureRequest) -> Simulator:
    """One of the simulators."""
    return MAKERS[request.param]()


@pytest.fixture
def page(browser: Any, simulator: Simulator) -> Iterator[Any]:
    """A page with this simulator alone."""
    with alone(browser, simulator.html(), "simulators.js") as page:
        yield page


def numbers(page: Any) -> dict[str, float]:
    """What a simulator says, by name."""
    names, values = (page.locator(f"dl {tag}").all_inner_texts() for tag in ("dt", "dd"))
    return {name: float(value.replace("−", "-")) for name, value in zip(names, values, strict=True)}


def settings(simulator: Simulator) -> list[dict[str, Any]]:
    """Ten settings, drawn from all that can be set."""
    rng = np.random.default_rng(0)
    return [
        {one.name: one.values[int(rng.integers(len(one.values)))] for one in simulator.controls}
        for _ in range(10)
    ]


def set_all(page: Any, simulator: Simulator, chosen: dict[str, Any]) -> None:
    """Put every control to its value, as a reader would, and wait for the numbers."""
    places = {one.name: list(one.values).index(chosen[one.name]) for one in simulator.controls}
    page.evaluate(
        """places => new Promise(done => {
            const { elements } = document.forms[0];
            for (const [name, place] of Object.entries(places)) elements[name].value = place;
            elements[Object.keys(places)[0]].dispatchEvent(new Event("input", { bubbles: true }));
            requestAnimationFrame(() => requestAnimationFrame(done));
        })""",
        places,
    )


def closed_forms(name: str, at: dict[str, Any]) -> dict[str, float]:
    """What the library says of a setting."""
    if name == "theorem-1":
        a, b = at["sd_a"], at["sd_b"]
        moments = PatchMoments(at["mean_a"], at["mean_b"], a**2, b**2, at["correlation"] * a * b)
        held = PatchMoments(at["mean_a"], at["mean_b"], at["held"] ** 2, at["held"] ** 2, 0.0)
        forms = {
            "SSIM of the moments": ssim(moments, at["range"]),
            "bound of Theorem 1": bound(a**2, b**2, at["range"]),
        }
        if at["variances"] == "free":
            forms["|SSIM| without covariance, spreads held"] = np.abs(ssim(held, at["range"]))
        return {name: float(value) for name, value in forms.items()}
    case = Activations.constant(at["n_small"], at["n_large"], at["ratio"])
    return {
        "arctan tail": claimed_probabilities(case)[at["event"]],
        "exact for normal weights": exact_probabilities(case)[at["event"]],
    }


def test_numbers_are_those_of_the_library(page: Any, simulator: Simulator) -> None:
    for at in settings(simulator):
        set_all(page, simulator, at)
        told, expected = numbers(page), closed_forms(simulator.name, at)
        for name, value in expected.items():
            assert told[name] == pytest.approx(value, rel=1e-3, abs=1e-12), (name, at)
        if simulator.name == "theorem-2" and at["weights"] == "normal":
            exact, n = expected["exact for normal weights"], told["neurons counted"]
            error = 4 * (exact * (1 - exact) / n) ** 0.5
            assert told["counted frequency"] == pytest.approx(exact, abs=error)


def test_drawn_patches_have_the_mean_of_the_library(page: Any, simulator: Simulator) -> None:
    if simulator.name != "theorem-1":
        pytest.skip("this one draws no patches")
    rng = np.random.default_rng(1)
    for at in settings(simulator)[:4]:
        set_all(page, simulator, at)
        z = rng.standard_normal((2, 4000, at["pixels"]))
        second = at["correlation"] * z[0] + (1 - at["correlation"] ** 2) ** 0.5 * z[1]
        a, b = at["mean_a"] + at["sd_a"] * z[0], at["mean_b"] + at["sd_b"] * second
        values = ssim(PatchMoments.of(a, b), at["range"])
        error = 4 * values.std() * (1 / 1000 + 1 / 4000) ** 0.5
        assert numbers(page)["mean SSIM of the pairs"] == pytest.approx(values.mean(), abs=error)


def test_settings_and_sliders_by_keyboard(page: Any, simulator: Simulator) -> None:
    preset = page.get_by_role("combobox", name="Setting")
    assert preset.locator("option").all_inner_texts() == list(simulator.presets)
    preset.focus()
    for _ in range(len(simulator.presets) - 1):
        page.keyboard.press("ArrowDown")
    page.wait_for_timeout(100)
    name, last = list(simulator.presets.items())[-1]
    told = numbers(page)
    for key, value in closed_forms(simulator.name, dict(last)).items():
        assert told[key] == pytest.approx(value, rel=1e-3), name
    page.keyboard.press("Tab")
    slider = page.locator("input[type=range]").first
    assert slider.evaluate("slider => slider === document.activeElement")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(100)
    control = simulator.controls[0]
    assert float(slider.get_attribute("aria-valuetext")) == control.values[-2]
    seen = page.locator("svg, canvas").evaluate_all("all => all.map(one => one.ariaLabel)")
    page.get_by_role("button", name="Draw again").press("Enter")
    again = page.locator("svg, canvas").evaluate_all("all => all.map(one => one.ariaLabel)")
    assert all(seen)
    assert again != seen, "other draws have other numbers"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_counterexample_needs_free_variances() -> None:
    at = next(at for name, at in theorem_1.PRESETS.items() if "counterexample" in name)
    forms = closed_forms("theorem-1", dict(at))
    assert at["correlation"] > 0
    assert 0 < forms["SSIM of the moments"] < forms["|SSIM| without covariance, spreads held"]


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The recorded tables behind the linked plot."""
    folder = CHECKOUT / "data" / "runs" / "reference-squeezenet1_1"
    names = ("occlusion-specifications", "randomization-specifications")
    occluded, randomized = (pd.read_parquet(folder / f"{name}.parquet") for name in names)
    return occluded, randomized


@pytest.fixture(scope="module")
def linked(tables: tuple[pd.DataFrame, pd.DataFrame]) -> LinkedScores:
    """Both tests linked, for one recorded network and once more as another."""
    scores = linked_scores(*tables)
    both = pd.concat([scores.assign(network="one"), scores.assign(network="other")])
    grey = np.full((8, 8, 3), 0.5)
    maps = {name: [grey] * (1 if name == "noise" else len(REDUCTIONS)) for name in METHODS}
    return LinkedScores(both, maps, "dog", "")


def recorded_means(tables: tuple[pd.DataFrame, pd.DataFrame], reduction: str, column: str) -> Any:
    """Both means of each method, straight from the rows of the tables."""
    occluded, randomized = (
        table[
            (table["reduction"] == reduction) & (table["start"] == "one")
            | (table["method"] == "noise")
        ]
        for table in tables
    )
    occluded = occluded[occluded["image"].isin(randomized["image"])]
    occluded = occluded.query("target == 'predicted' and patch == 15 and tiling == 'tiles'")
    rows = randomized.query("norms == 'reset'").groupby(["method", "image", "seed"])[column]
    images = rows.mean().groupby(["method", "image"]).mean()
    return images.groupby("method").mean(), occluded.groupby("method")["softmax"].mean()


def test_linked_plot_equals_the_recorded_tables(
    browser: Any, linked: LinkedScores, tables: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    with alone(browser, linked.html(), "gap.js") as page:
        boxes = [page.get_by_role("combobox", name=name) for name in ("Reduction", "Range L")]
        buttons = page.locator(".linked-methods button")
        for place, reduction in enumerate(REDUCTIONS):
            for other, column in enumerate(SSIM_RANGES):
                boxes[0].select_option(str(place))
                boxes[1].select_option(str(other))
                random, occluded = (
                    means.loc[[*METHODS]] for means in recorded_means(tables, reduction, column)
                )
                tau = kendalltau(random.iloc[:5], occluded.iloc[:5]).statistic
                said = page.locator(".linked-says p").first.inner_text().replace("−", "-")
                assert float(re.search(r"τ is (-?[\d.]+)", said)[1]) == pytest.approx(tau)
                told = {}
                for number, method in enumerate(METHODS):
                    buttons.nth(number).focus()
                    words = page.locator(".linked-says p").last.inner_text()
                    told[method] = [
                        float(rank) for rank in re.findall(r" ([\d.]+)(?= of| by occ)", words)
                    ]
                expected = pd.DataFrame({"a": random.rank(), "b": occluded.rank()})
                assert told == {name: expected.loc[name].tolist() for name in METHODS}
        drawn = page.evaluate(
            "JSON.parse(document.querySelector('.linked script').textContent).networks[1]"
        )
        assert drawn["randomization"][-1][-1] == pytest.approx(random.to_list(), abs=1e-6)
        assert drawn["occlusion"][-1] == pytest.approx(occluded.to_list(), abs=1e-6)


def test_a_method_lights_up_everywhere(browser: Any, linked: LinkedScores) -> None:
    with alone(browser, linked.html(), "gap.js") as page:
        lit = "() => document.querySelectorAll('svg .is-chosen').length"
        page.get_by_role("combobox", name="Range L").focus()
        for method in METHODS:
            page.keyboard.press("Tab")
            assert label(method) in page.locator(".linked-says p").last.inner_text()
            pressed = page.locator(".linked-methods [aria-pressed=true]")
            assert pressed.count() == 1
            assert label(method) in pressed.inner_text()
            assert page.evaluate(lit) == 4, "a point, two ranks and their line"
        page.locator(".badge").first.dispatch_event("pointerenter")
        assert label(METHODS[0]) in page.locator(".linked-says p").last.inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_first_screen_plays_a_recorded_run(browser: Any) -> None:
    study = Study(run="reference-squeezenet1_1", root=CHECKOUT)
    table = study.table("stage-maps")
    numbers = table.pivot(index="step", columns="method", values="ssim")
    names = table.drop_duplicates("step")["predicted"].tolist()
    view = stage_view(study)
    with alone(browser, view.html(), "stepper.js") as page:
        slider, play = page.get_by_role("slider"), page.get_by_role("button", name="Play")
        values, grey = page.locator(".stepper-value"), page.locator(".stepper-blocks .is-redrawn")
        assert slider.input_value() == str(len(names) // 2)
        assert page.locator(".stepper select").count() == 0
        slider.focus()
        page.keyboard.press("Home")
        for step, predicted in enumerate(names):
            assert page.locator(".stepper output").inner_text().count(f"“{predicted}”") == 1
            assert grey.count() == step
            shown = [f"SSIM {numbers.loc[step, name]:.3f}" for name in view.methods]
            assert values.all_inner_texts() == shown
            page.keyboard.press("ArrowRight")
        page.clock.install()
        play.click()
        assert slider.input_value() == "0", "it begins again at the end"
        for step in (1, 2):
            page.clock.run_for(900)
            assert slider.input_value() == str(step)
        page.get_by_role("button", name="Stop").press("Enter")
        page.clock.run_for(3000)
        assert slider.input_value() == "2"
        assert page.locator("datalist option").count() == len(names)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_figures_stand_without_scripts_and_are_light(linked: LinkedScores) -> None:
    figures = [linked.html(), *(make().html() for make in MAKERS.values())]
    for make, html in zip(MAKERS.values(), figures[1:], strict=True):
        assert all(f'<th scope="row">{name}</th>' in html for name in make().presets)
    assert all(f'<th scope="row">{label(name)}</th>' in figures[0] for name in METHODS)
    for html in figures:
        assert not re.search(r"\s(style|on\w+)=", html), "a content security policy would block it"
    scripts = sum((STATIC / f"{name}.js").stat().st_size for name in SCRIPTS)
    assert scripts + sum(map(len, figures)) < 60_000
