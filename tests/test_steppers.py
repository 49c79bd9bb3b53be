"""Views that readers step through: their pictures, their numbers and the HTML that holds both."""

import base64
import io
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from sanitygap.book.publishable import LocalPaths
from sanitygap.book.stage import _page
from sanitygap.experiments.example_maps import ExampleMaps
from sanitygap.experiments.example_occlusion import example_occlusion
from sanitygap.faithfulness import blurred, occlusion_curves, occlusion_steps
from sanitygap.figures.maps import map_colors
from sanitygap.figures.sprites import HEIGHTS, data_uri, strip, strips
from sanitygap.figures.stepper import EVERY_METHOD, Panel, Regions, Stepper
from sanitygap.images import ImageSet, load_images
from sanitygap.models import Explainable
from sanitygap.pages.maps import stage_similarities
from tests.book.test_pages import CITATION, STAMP

METHODS = ["gradient", "noise"]
FRAMES = ["trained", 'redrawn <b>"down" & out</b>', "random"]
SCORES = pd.DataFrame({"gradient": [1.0, 0.25, -0.125], "noise": [1.0, np.nan, 0.0625]})


def plain(value: float) -> np.ndarray:
    """A grey picture of 30 x 60 pixels."""
    return np.full((30, 60, 3), value)


def stepper(**changes: object) -> Stepper:
    """A view with a still panel, one that changes, and regions over both."""
    arguments: dict[str, object] = {
        "step": "network",
        "frames": FRAMES,
        "panels": [
            Panel("photograph", {EVERY_METHOD: [plain(0.5)]}, beneath=plain(1.0), marks=True),
            Panel("map", {name: [plain(0.1), plain(0.5), plain(0.9)] for name in METHODS}),
        ],
        "values": {"SSIM": SCORES, "MSE": SCORES + 7},
        "alt": "Two maps.",
        "caption": "What was measured.",
        "regions": Regions(
            {"gradient": [(0, 0, 10, 5), (50, 25, 10, 5)], "noise": [(5, 5, 5, 5), (0, 0, 5, 5)]},
            (0, 1, 2),
            (30, 60),
        ),
    }
    return Stepper(**(arguments | changes))  # type: ignore[arg-type]


def decoded(address: str) -> np.ndarray:
    """The pixels of a picture that is written into a page, in ``[0, 1]``."""
    head, _, body = address.partition(",")
    assert head == "data:image/jpeg;base64"
    file = io.BytesIO(base64.b64decode(unquote_to_bytes(body), validate=True))
    return np.asarray(Image.open(file).convert("RGB")) / 255


def test_strip_holds_the_pictures_in_their_order() -> None:
    sheet = decoded(data_uri(strip([plain(0.1), plain(0.5), plain(0.9)], 64)))
    assert sheet.shape == (64, 3 * 128, 3)
    for place, value in enumerate((0.1, 0.5, 0.9)):
        assert np.allclose(sheet[:, 128 * place + 8 : 128 * (place + 1) - 8], value, atol=0.03)


def test_strips_are_as_high_as_the_budget_allows() -> None:
    noise = np.random.default_rng(0).random((200, 200, 3))
    rows = {"one": [noise], "two": [noise[::-1]]}
    heights = (200, *HEIGHTS)
    sizes = {height: sum(len(strip(row, height)) for row in rows.values()) for height in heights}
    for chosen in heights:
        made = strips(rows, sizes[chosen])
        assert {decoded(data_uri(file)).shape[0] for file in made.values()} == {chosen}
        assert sum(map(len, made.values())) <= sizes[chosen]
    assert decoded(data_uri(strips(rows, 1)["one"])).shape[0] == HEIGHTS[-1]


def test_signs_of_neighbouring_pixels_keep_their_colours() -> None:
    signs = np.indices((64, 64)).sum(0) % 2 * 2.0 - 1  # the finest pattern there is
    picture = map_colors(signs, 64)
    shown = decoded(data_uri(strip([picture])))
    redness = shown[..., 0] - shown[..., 2]
    assert (np.sign(redness) == signs).all()
    assert map_colors(signs, 32) == pytest.approx(map_colors(np.zeros((32, 32)), 32), abs=0.02)


def test_pictures_name_no_folder_by_chance(tmp_path: object) -> None:
    file = base64.b64decode("AAAA/tmp/AAA")
    assert LocalPaths(tmp_path).find(data_uri(file)) is None  # type: ignore[arg-type]
    assert base64.b64decode(unquote_to_bytes(data_uri(file).partition(",")[2])) == file


def test_html_is_well_formed_and_free_of_ids() -> None:
    view = stepper()
    both = ElementTree.fromstring(f"<main>{view.html()}{view.html()}</main>")
    assert len(both.findall("div[@class='stepper']")) == 2
    assert [element for element in both.iter() if "id" in element.attrib] == []
    assert not [element for element in both.iter() for name in element.attrib if name[:2] == "on"]


def test_every_picture_is_there_once_and_says_what_it_shows() -> None:
    page = ElementTree.fromstring(stepper().html())
    images = page.findall(".//img")
    assert all(image.attrib["alt"].strip() for image in images)
    strips_of = [image for image in images if image.attrib.get("data-frames") == "3"]
    assert [image.attrib["data-method"] for image in strips_of] == METHODS
    assert len(images) == 2 + len(METHODS), "the photograph, its other version, a strip a method"
    for image in strips_of:
        height, width, _ = decoded(image.attrib["src"]).shape
        assert width == 3 * 2 * height
        assert image.attrib["alt"].endswith(f"3 pictures from {FRAMES[0]} to {FRAMES[-1]}")


def test_tables_hold_every_number_and_name() -> None:
    tables = ElementTree.fromstring(stepper().html()).findall(".//table")
    assert [table.findtext("caption") for table in tables] == ["SSIM", "MSE"]
    for table, shift in zip(tables, (0, 7), strict=True):
        heads = table.findall("thead/tr/th")
        assert [head.attrib.get("data-method") for head in heads] == [None, *METHODS]
        rows = table.findall("tbody/tr")
        assert [row.findtext("th") for row in rows] == FRAMES, "names are escaped, not lost"
        for row, expected in zip(rows, SCORES.to_numpy() + shift, strict=True):
            for cell, number in zip(row.findall("td"), expected, strict=True):
                if np.isnan(number):
                    assert cell.text == "undefined"
                else:
                    assert float((cell.text or "").replace("−", "-")) == pytest.approx(
                        number, abs=6e-4
                    )


def test_numbers_are_one_row_a_method_and_frame() -> None:
    numbers = stepper().numbers
    assert list(numbers.columns) == ["method", "network", "SSIM", "MSE"]
    assert list(numbers["method"]) == ["gradient"] * 3 + ["noise"] * 3
    assert list(numbers["network"]) == FRAMES * 2
    assert np.array_equal(numbers["SSIM"], SCORES.T.to_numpy().ravel(), equal_nan=True)


def test_regions_uncover_the_picture_beneath() -> None:
    view = stepper()
    photograph, moving = view.panels
    assert np.array_equal(view.picture(photograph, "gradient", 0), plain(0.5))
    expected = plain(0.5)
    expected[:5, :10] = 1
    assert np.array_equal(view.picture(photograph, "gradient", 1), expected)
    expected[25:, 50:] = 1
    assert np.array_equal(view.picture(photograph, "gradient", 2), expected)
    assert np.array_equal(view.picture(moving, "noise", 1), plain(0.5))


def test_bundle_has_a_form_for_every_reader() -> None:
    view = stepper()
    data, metadata = view._repr_mimebundle_()
    assert Image.open(io.BytesIO(base64.b64decode(data["image/jpeg"]))).size[0] > 100
    for words in (view.alt, *FRAMES, *METHODS, "0.0625"):
        assert words in data["text/plain"]
    about = metadata["sanitygap"]
    assert (about["alt"], about["caption"]) == (view.alt, view.caption)
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(about["csv"])), view.numbers)


def test_page_keeps_the_view_and_its_picture(tmp_path) -> None:
    data, metadata = stepper()._repr_mimebundle_()
    output = nbformat.v4.new_output("execute_result", data, metadata=metadata, execution_count=1)
    cell = nbformat.v4.new_code_cell("view", outputs=[output], execution_count=1)
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"sanitygap": STAMP})
    _page("maps", "Maps", notebook, CITATION, tmp_path, works=())
    written = nbformat.read(tmp_path / "maps.ipynb", as_version=4).cells[0]
    assert set(written.outputs[0].data) == {"text/html", "image/jpeg"}
    assert written.metadata.mystnb.image.alt == "Two maps."
    assert written.metadata.mystnb.figure.caption.startswith("What was measured.")
    assert (tmp_path / "data" / "fig-maps-page.csv").read_text() == metadata["sanitygap"]["csv"]


def test_figure_that_a_page_shows_already_is_left_out(tmp_path) -> None:
    def cell(name: str, width: int) -> nbformat.NotebookNode:
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}"/>'
        data = {"image/svg+xml": svg, "text/plain": "dots"}
        about = {"sanitygap": {"alt": "Dots.", "caption": "Dots.", "csv": "a\n1\n"}}
        output = nbformat.v4.new_output("execute_result", data, metadata=about, execution_count=1)
        return nbformat.v4.new_code_cell(f"pages.{name}(study)", outputs=[output])

    cells = [cell("mine", 1), cell("first", 2), nbformat.v4.new_markdown_cell("t"), cell("last", 2)]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"sanitygap": STAMP})
    _page("dots", "Dots", notebook, CITATION, tmp_path, works=())
    *shown, _ = nbformat.read(tmp_path / "dots.ipynb", as_version=4).cells
    assert [one.source for one in shown] == ["pages.mine(study)", "pages.first(study)", "t"]
    written = sorted(path.name for path in (tmp_path / "data").iterdir())
    assert written == ["fig-dots-first.csv", "fig-dots-mine.csv"]


def test_stage_similarities_are_those_of_scikit_image() -> None:
    generator = torch.Generator().manual_seed(0)
    steps = ["trained", "down to a", "down to b"]
    maps = {step: {"gradient": torch.randn(1, 20, 20, generator=generator)} for step in steps}
    shown = ExampleMaps([plain(0)], ["cat"], ["tabby"], steps, maps)
    found = stage_similarities(shown)["gradient"]
    base, *others = (
        (m := maps[step]["gradient"][0].double().numpy()) / np.sqrt((m**2).mean()) for step in steps
    )
    assert found["trained"] == pytest.approx(1)
    for step, other in zip(steps[1:], others, strict=True):
        extent = max(base.max(), other.max()) - min(base.min(), other.min())
        expected = structural_similarity(base, other, data_range=extent)
        assert found[step] == pytest.approx(expected, abs=1e-4)


@pytest.fixture
def photographs() -> ImageSet:
    return load_images("photos")[:2]


def test_occlusion_is_that_of_the_occlusion_test(small: Explainable, photographs: ImageSet) -> None:
    counts = (1, 3, 7)
    shown = example_occlusion(small, photographs, 1, METHODS, counts, patch=65, batch_size=4)
    assert shown.counts == (0, *counts)
    assert shown.name == photographs.names[1]
    inputs = small.prepare([photographs.open(1)])
    target = small.predict(inputs)
    soft = blurred(inputs)
    view = Stepper(
        "blurred", ["0", "1", "3", "7"],
        [Panel("photograph", {EVERY_METHOD: [shown.picture]}, beneath=shown.soft)],
        {"softmax": shown.scores.pivot(index="regions", columns="method", values="softmax")},
        "", "", Regions(shown.boxes, shown.counts, (24, 24)),
    )  # fmt: skip
    for name, values in shown.maps.items():
        curves = occlusion_curves(small, inputs, target, values[None], patch=7, regions=7)
        rows = shown.scores[shown.scores["method"] == name]
        assert list(rows["regions"]) == [0, 1, 3, 7]
        for column, curve in (("softmax", curves.softmax), ("logit", curves.logit)):
            assert np.allclose(rows[column], curve[0][[0, 1, 3, 7]].numpy(), atol=1e-6)
        steps = occlusion_steps(values[None], 7, 7)
        for frame, count in enumerate(shown.counts):
            state = torch.where((steps <= count)[:, None], soft, inputs)
            seen = small.preprocessing.to_rgb(state)[0].permute(1, 2, 0).numpy()
            assert np.allclose(view.picture(view.panels[0], name, frame), seen, atol=1e-6)


def test_occlusion_ends_with_the_last_region(small: Explainable, photographs: ImageSet) -> None:
    shown = example_occlusion(small, photographs, 0, ["noise"], (1, 4, 5, 30), patch=112)
    assert shown.counts == (0, 1, 4), "24 x 24 pixels have four regions of 12"
    covered = np.zeros((24, 24), int)
    for left, top, width, height in shown.boxes["noise"]:
        covered[top : top + height, left : left + width] += 1
    assert (covered == 1).all()
