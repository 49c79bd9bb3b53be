"""The recorded reference runs: complete, free of private paths, and judged by today's criteria."""

import json
from pathlib import Path

import pytest

from sanitygap.chapters.gap.judge import SPECIFICATIONS
from sanitygap.claims import CriterionContext, judge, read_verdicts, registry
from sanitygap.runs import Study
from tests.cases import cases

ROOT = Path(__file__).parents[1]
RUNS = sorted(path.parent.name for path in (ROOT / "data" / "runs").glob("reference-*/run.json"))


def study(run: str) -> Study:
    return Study(run=run, root=ROOT)


def test_both_embedded_networks_are_recorded():
    assert {study(run).settings.model for run in RUNS} >= {"efficientnet_lite0", "squeezenet1_1"}


@pytest.mark.parametrize("run", RUNS)
def test_a_recorded_run_is_marked_as_such_and_large_enough(run):
    recorded = study(run)
    assert recorded.recorded
    assert recorded.record["model"]["pretrained"]
    held = {path.stem for path in recorded.folder.glob("*.parquet")}
    assert held >= {"randomization", "occlusion"} or held >= set(SPECIFICATIONS)
    for name in held & {"randomization", "occlusion"}:
        assert recorded.made(name)["images"] >= 50
        assert recorded.table(name)["image"].nunique() == recorded.made(name)["images"]


@pytest.mark.parametrize("run", RUNS)
def test_verdicts_follow_from_the_recorded_tables(run):
    recorded = study(run)
    records = read_verdicts(recorded.folder / "verdicts.json")
    stored = {record.claim: record.value for record in records}
    held = {path.stem for path in recorded.folder.glob("*.parquet")}
    assert set(stored) == {name for name, entry in registry().items() if held >= set(entry.tables)}
    judged = recorded.judge(*stored)
    assert dict(zip(judged["claim"], judged["verdict"], strict=True)) == stored


@pytest.mark.parametrize(("claim", "method"), cases("methods that claims need"))
def test_without_a_method_that_it_needs_a_claim_is_not_run(claim, method):
    recorded = study("reference-squeezenet1_1")
    tables = {name: recorded.table(name) for name in registry()[claim].tables}
    cut = {
        name: table[table["method"] != method] if "method" in table else table
        for name, table in tables.items()
    }
    verdict = judge(claim, cut, CriterionContext("squeezenet1_1", "imagenet-sample", 100))
    assert verdict.value == "not-run"
    assert f"hold no {method}, which" in verdict.reason


@pytest.mark.parametrize("run", RUNS)
def test_nothing_private_is_recorded(run):
    folder = ROOT / "data" / "runs" / run
    assert not (folder / "parts").exists() or not any((folder / "parts").rglob("reference"))
    for path in folder.glob("*.json"):
        for text in _strings(json.loads(path.read_text(encoding="utf-8"))):
            assert not text.startswith("/"), (path.name, text)


def _strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
