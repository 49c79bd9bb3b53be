"""Theorems to play with: what they compute, against the library's closed forms."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sanitygap.chapters.theorem_1 import show as theorem_1
from sanitygap.chapters.theorem_2 import show as theorem_2
from sanitygap.figures.simulator import Simulator
from sanitygap.theory.theorem_1 import PatchMoments, bound, ssim
from sanitygap.theory.theorem_2 import Activations, claimed_probabilities, exact_probabilities
from tests.book.toy import CHECKOUT

STATIC = CHECKOUT / "book" / "_static"
MAKERS = {"theorem-1": theorem_1.simulator, "theorem-2": theorem_2.simulator}

#: bytes of what the interactive figures load
BUDGET = 60_000


@pytest.fixture(scope="module", params=MAKERS)
def simulator(request: pytest.FixtureRequest) -> Simulator:
    """One of the simulators."""
    return MAKERS[request.param]()


@pytest.fixture
def page(browser: Any, simulator: Simulator) -> Iterator[Any]:
    """A page with this simulator alone; whatever goes wrong on it fails the test."""
    context = browser.new_context(viewport={"width": 390, "height": 800})
    shown, problems = context.new_page(), []
    shown.on("console", lambda message: problems.append(message.text))
    shown.on("pageerror", lambda error: problems.append(str(error)))
    shown.set_content(simulator.html())
    for name in ("parts.js", "simulators.js"):
        shown.add_script_tag(path=str(STATIC / name))
    yield shown
    context.close()
    assert problems == []


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


def test_table_stands_without_scripts_and_all_is_light(simulator: Simulator) -> None:
    html = simulator.html()
    assert all(f'<th scope="row">{name}</th>' in html for name in simulator.presets)
    assert " style=" not in html
    assert "onclick" not in html
    loaded = [STATIC / f"{name}.js" for name in ("parts", "simulators")]
    assert sum(path.stat().st_size for path in loaded) + len(html) < BUDGET
