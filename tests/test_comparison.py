"""Two runs beside each other: differences beyond chance are found, and only those."""

import json

import numpy as np
import pandas as pd
import pytest

from sanitygap.comparison import (
    compare,
    compare_metrics,
    find_run,
    largest_difference,
    measure_again,
)
from sanitygap.errors import UsageError
from sanitygap.runs import Study, open_run


def scores(rng: np.random.Generator, n: int, **means: float) -> pd.DataFrame:
    return pd.DataFrame(
        {name: rng.normal(mean, 0.1, n) for name, mean in means.items()},
        index=[f"i{i}" for i in range(n)],
    )


def test_a_true_difference_is_found_and_equality_is_not_called_one():
    rng = np.random.default_rng(0)
    live = scores(rng, 30, gradient=0.5, noise=0.1, edges=0.7)
    recorded = scores(rng, 200, noise=0.1, gradient=0.8, lrp=0.2)
    rows = compare(live, recorded).set_index("method")
    assert rows.index.tolist() == ["gradient", "noise"], "methods that both have"
    assert rows.loc["gradient", "verdict"] == "differs beyond chance"
    assert rows.loc["gradient", "p_holm"] == pytest.approx(2 * 2 / 10000, rel=0.01)
    assert rows.loc["noise", "verdict"] == "agrees"
    assert rows.loc["gradient", "live"] == pytest.approx(live["gradient"].mean())
    assert rows.loc["gradient", "recorded"] == pytest.approx(recorded["gradient"].mean())
    assert rows["live_n"].tolist() == [30, 30]
    assert rows["recorded_n"].tolist() == [200, 200]
    assert (rows["live_low"] < rows["live"]).all()
    assert (rows["recorded"] < rows["recorded_high"]).all()


def held_run(folder, rng, n, shift=0.0, without=()):
    """A run that was downloaded: two methods, two steps, one score of which may be shifted."""
    folder.mkdir(parents=True)
    settings = {"run": folder.name, "model": "my:net", "images": "folder", "profile": "full"}
    (folder / "run.json").write_text(json.dumps({"settings": settings, "recorded": False}))
    (folder / "randomization.json").write_text(json.dumps({"fingerprint": ""}))
    rows = [
        {"image": f"i{i}", "method": method, "order": "top-down", "step": step, "sign": sign}
        | {name: rng.normal(0.5, 0.1) for name in ("ssim", "spearman", "mse")}
        for i in range(n)
        for method in ("gradient", "noise")
        for step in (1, 2)
        for sign in ("signed", "absolute")
    ]
    table = pd.DataFrame(rows)
    table.loc[table["method"] == "noise", "spearman"] += shift
    table.loc[table["method"].isin(without), "mse"] = np.nan
    table.to_parquet(folder / "randomization.parquet")
    return find_run(str(folder))


def test_each_metric_of_two_downloaded_runs_has_its_own_outcome(tmp_path):
    rng = np.random.default_rng(2)
    ours = held_run(tmp_path / "ours", rng, 12, without=["gradient"])
    theirs = held_run(tmp_path / "theirs", rng, 40, shift=0.4)
    rows = compare_metrics(ours, theirs, resamples=999).set_index(["score", "method"])
    found = rows["verdict"].to_dict()
    assert found.pop(("mean rank correlation, top-down", "noise")) == "differs beyond chance"
    assert found.pop(("mean squared error, top-down", "gradient")) == "not compared"
    assert set(found.values()) == {"agrees"}
    assert len(found) == 6, "four metrics of the table, two methods, less these two"
    row = rows.loc[("mean SSIM, top-down", "gradient")]
    table = pd.read_parquet(tmp_path / "ours" / "randomization.parquet")
    chosen = table[(table["method"] == "gradient") & (table["sign"] == "signed")]
    assert row["live"] == pytest.approx(chosen["ssim"].mean())
    smallest = rows.loc[("mean rank correlation, top-down", "noise"), "p_holm"]
    assert smallest == pytest.approx(2 * 2 / 1000), "Holm over the two methods of a metric"


CHEAP = (
    "theorem-1-covariance", "theorem-1-normalization", "equation-4", "equation-5", "equation-6",
    "printed-structure", "step-counts", "jensen-shannon", "silent-hooks", "similarity-words",
)  # fmt: skip


@pytest.mark.parametrize("run", ["reference-squeezenet1_1", "reference-efficientnet_lite0"])
def test_parts_of_recorded_runs_come_out_again(run):
    """What needs no photograph is measured again here; `sanitygap verify --parts` does the rest."""
    found = measure_again(open_run(run), 3, seed=len(run), tables=CHEAP)
    assert (found["verdict"] == "agrees").all(), found


def test_a_number_that_was_changed_is_found(tmp_path):
    recorded = open_run("reference-squeezenet1_1")
    copied = tmp_path / "data/runs/live"
    copied.mkdir(parents=True)
    for name in ("run.json", "theorem-1-covariance.parquet", "theorem-1-covariance.json"):
        (copied / name).write_bytes((recorded.folder / name).read_bytes())
    path = copied / "theorem-1-covariance.parquet"
    table = pd.read_parquet(path)
    column = table.select_dtypes("floating").columns[-1]
    table.loc[3, column] += 0.1
    table.to_parquet(path)
    [verdict] = measure_again(Study(run="live", root=tmp_path), 1)["verdict"]
    assert verdict == "differs"


def test_differences_of_rows_in_another_order_and_of_missing_ones():
    rows = pd.DataFrame({"a": [1, 2, 3], "x": [0.5, np.nan, 2.0], "seconds": [1.0, 2.0, 3.0]})
    assert largest_difference(rows, rows[::-1].assign(seconds=9.0)) == 0
    assert largest_difference(rows, rows.assign(x=[0.5, np.nan, 2.5])) == pytest.approx(0.2)
    assert largest_difference(rows, rows.assign(x=[0.5, 1.0, 2.0])) == np.inf
    assert largest_difference(rows, rows[:2]) == np.inf


def test_a_run_in_a_folder_is_a_study_that_computes_nothing_and_imports_nothing(tmp_path):
    run = held_run(tmp_path / "ours", np.random.default_rng(2), 3)
    table = run.table("randomization")
    assert len(table) == 3 * 2 * 2 * 2
    assert run.asked == ("randomization",)
    with pytest.raises(UsageError, match="holds no table 'occlusion'"):
        run.table("occlusion")
    with pytest.raises(UsageError, match="is not imported for a run in a folder"):
        run.check()
    assert not (run.folder / "parts").exists()
