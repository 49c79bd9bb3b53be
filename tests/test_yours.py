"""Own methods in both tests: a good one, one that draws, and one that ignores the network."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sanitygap.attribution import unpooled
from sanitygap.book.report import _print
from sanitygap.chapters.yours.judge import duels, scores, sentences, standings
from sanitygap.cli import main
from sanitygap.images import load_images
from sanitygap.models import load_model
from tests.models.tiny import TINY, photographs

IMAGES = 30
SIMILARITIES = ("ssim", "ssim_robust", "ssim_L1", "ssim_L2", "spearman")


def tables(softmax: dict[str, float], similarity: dict[str, float], spread: float = 0.02):
    """Both tables with these means of each method, and independent noise around them."""
    rng = np.random.default_rng(3)
    occluded, redrawn = [], []
    for image in range(IMAGES):
        for reduction in ("signed", "sum-abs"):
            for method in softmax:
                if method == "noise" and reduction != "signed":
                    continue
                shared = {"image": f"{image}.png", "method": method, "start": "one",
                          "reduction": reduction}  # fmt: skip
                value = softmax[method] + spread * rng.standard_normal()
                occluded.append(
                    shared | {"target": "predicted", "patch": 15, "tiling": "tiles",
                              "softmax": value, "logit": 3 * value}
                )  # fmt: skip
                for step in (1, 2):
                    value = similarity[method]
                    if value < 1:
                        value += spread * rng.standard_normal()
                    redrawn.append(
                        shared | {"norms": "reset", "step": step, "mse": 1 - value}
                        | dict.fromkeys(SIMILARITIES, value)
                    )  # fmt: skip
    return pd.DataFrame(occluded), pd.DataFrame(redrawn)


BOTH = tables(
    {"gradient": 0.5, "lrp-epsilon-plus": 0.3, "noise": 0.6, "edges": 0.4, "a:good": 0.35,
     "a:drawn": 0.6, "a:fixed": 0.4, "a:bad": 0.7},
    {"gradient": 0.3, "lrp-epsilon-plus": 0.7, "noise": 0.0, "edges": 1.0, "a:good": 0.5,
     "a:drawn": 0.0, "a:fixed": 1.0, "a:bad": 0.2},
)  # fmt: skip


def test_scores_are_means_by_image_and_noise_has_one_reduction():
    occluded, redrawn = BOTH
    wide = scores(redrawn, "randomization")["sum-abs", "reset", "ssim"]
    rows = redrawn[(redrawn["method"] == "a:good") & (redrawn["reduction"] == "sum-abs")]
    assert wide["a:good"].to_numpy() == pytest.approx(
        rows.groupby("image", sort=True)["ssim"].mean().to_numpy()
    )
    of_noise = redrawn[redrawn["method"] == "noise"].groupby("image")["ssim"].mean()
    assert wide["noise"].to_numpy() == pytest.approx(of_noise.to_numpy())
    assert len(scores(occluded, "occlusion")) == 4
    assert len(scores(redrawn, "randomization")) == 12


def test_places_follow_the_means():
    found = {one.method: one for one in standings(*BOTH)}
    assert [found[m].matters for m in ("lrp-epsilon-plus", "a:good", "gradient", "a:bad")] == [
        1, 2, 5, 8,
    ]  # fmt: skip
    assert found["edges"].unmoved
    assert found["a:fixed"].unmoved
    assert not found["a:good"].unmoved
    assert {found["noise"].changes, found["a:drawn"].changes} == {1, 2}


def test_duels_are_paired_differences_with_students_interval():
    table = duels(BOTH[0], "occlusion")
    row = table[(table["method"] == "a:good") & (table["rival"] == "gradient")].iloc[0]
    wide = scores(BOTH[0], "occlusion")[row["reduction"], row["patch"], row["tiling"], row["score"]]
    gaps = wide["a:good"] - wide["gradient"]
    low, high = stats.t.interval(0.95, len(gaps) - 1, gaps.mean(), stats.sem(gaps))
    assert (row["low"], row["high"]) == pytest.approx((low, high))
    outcomes = table.groupby(["method", "rival"])["outcome"].agg(set)
    assert outcomes["a:good", "gradient"] == {"lower"}
    assert outcomes["a:good", "lrp-epsilon-plus"] == {"higher"}
    assert outcomes["a:drawn", "noise"] == {"open"}


def test_sentences_tell_the_methods_apart():
    said = {text.split("**")[1]: text for text in sentences(*BOTH)}
    assert list(said) == ["good (own)", "drawn (own)", "fixed (own)", "bad (own)"]
    assert "points at regions that the network uses" in said["good (own)"]
    assert "better than gradient in 4, LRP ε-plus in 0" in said["good (own)"]
    assert "is not told apart from noise" in said["drawn (own)"]
    assert "says nothing for it" in said["drawn (own)"]
    assert "does not look at the network" in said["fixed (own)"]
    assert "better than noise" in said["fixed (own)"]
    assert "ranks regions worse than noise" in said["bad (own)"]


def test_a_network_without_lrp_is_compared_with_the_others():
    occluded, redrawn = (t[t["method"] != "lrp-epsilon-plus"] for t in BOTH)
    assert set(duels(occluded, "occlusion")["rival"]) == {"gradient", "noise"}
    assert any("points at regions" in text for text in sentences(occluded, redrawn))


def test_a_report(tmp_path, monkeypatch, capsys):
    """From an empty folder, with a network, a method and images of one's own."""
    photographs(tmp_path / "photos", 4)
    (tmp_path / "my_methods.py").write_text(
        "def ink(model, inputs, targets):\n    return inputs.abs()\n"
    )
    monkeypatch.chdir(tmp_path)
    command = [
        "sanitygap", "report", "out", "--model", TINY, "--images", "folder:photos", "--profile",
        "smoke", "--method", "my_methods:ink",
    ]  # fmt: skip
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code, capsys.readouterr().err
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "ink (own)" in page
    assert "This network has random weights" in page
    assert "default-src 'none'" in page
    assert str(tmp_path) not in page
    assert "<code>sanitygap features tests.models.tiny:network</code>" in page
    for name in ("gap", "specifications", "maps"):
        for ending in ("svg", "pdf", "csv"):
            assert (tmp_path / "out" / "figures" / f"{name}.{ending}").stat().st_size > 100
    table = (tmp_path / "out" / "tables" / "standings.tex").read_text(encoding="utf-8")
    assert r"\toprule" in table
    told = (tmp_path / "out" / "methods.tex").read_text(encoding="utf-8")
    cited = (tmp_path / "out" / "references.bib").read_text(encoding="utf-8")
    assert r"\citep{adebayo2018}" in told
    assert "{adebayo2018," in cited
    assert r"my\_methods:ink" in told


def test_a_browser_that_cannot_print_costs_no_report(tmp_path, monkeypatch, capsys):
    page = tmp_path / "report.html"
    page.write_text("<p>kept")
    monkeypatch.setattr("shutil.which", lambda name: "false")
    assert _print(page, tmp_path / "report.pdf") is None
    assert "could not print report.html" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_precomputed_maps_stand_in_the_occlusion_test_alone(tmp_path, monkeypatch, capsys):
    """Maps of the gradient from a file fare as the gradient does; the sanity check has none."""
    photographs(tmp_path / "photos", 3)
    monkeypatch.chdir(tmp_path)
    model, images = load_model(TINY), load_images("folder:photos")
    inputs = model.prepare([images.open(place) for place in range(3)])
    maps = unpooled(model, inputs, model.predict(inputs), ["gradient"])["gradient"].numpy()

    def report(**arrays) -> tuple[int, str]:
        np.savez("maps.npz", **arrays)
        command = "report out --images folder:photos --profile smoke --maps maps.npz --model"
        monkeypatch.setattr("sys.argv", ["sanitygap", *command.split(), TINY])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, capsys.readouterr().err

    for arrays, words in (
        ({"names": ["mine"], "maps": maps[None, :2]}, "it must be (3, 32, 32)"),
        ({"names": ["my-map"], "maps": maps[None]}, "letters, digits and underscores"),
        ({"names": ["mine"], "maps": np.full((1, 3, 32, 32), "a")}, "hold no numbers"),
    ):
        code, said = report(**arrays)
        assert (code, said.count("\n")) == (2, 1)
        assert words in said
    assert report(names=["mine"], maps=maps[None])[0] == 0
    table = pd.read_csv("out/tables/standings.csv").set_index("method")
    assert table.loc["mine (own)", "occlusion, softmax"] == pytest.approx(
        table.loc["gradient", "occlusion, softmax"]
    )
    assert np.isnan(table.loc["mine (own)", "randomisation, SSIM"])
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "the sanity check says nothing of it" in page
    assert "precomputed maps" in page
    held = pd.read_parquet("out/run/yours-occlusion.parquet")["softmax"].mean()
    assert report(names=["mine"], maps=-maps[None])[0] == 0  # other maps are measured anew
    assert pd.read_parquet("out/run/yours-occlusion.parquet")["softmax"].mean() != held
