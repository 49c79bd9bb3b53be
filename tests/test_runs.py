"""Runs: nothing lost, nothing doubled, nothing passed off as what it is not."""

import contextlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from sanitygap import archive, files, runs
from sanitygap import claims as judging
from sanitygap.claims import Criterion, Verdict, read_verdicts
from sanitygap.errors import DamagedError, UsageError
from sanitygap.runs import Study, open_run
from tests.cases import cases
from tests.models.tiny import TINY, Tiny, photographs, project

#: few steps, two passes: a table of 21 images takes a fraction of a second
PARAMETERS = {"methods": ["gradient", "lrp-epsilon-plus", "noise"], "n_steps": 2}
FAMILIES = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return photographs(tmp_path_factory.mktemp("private") / "photographs of mine")


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """An empty book, which is the working directory."""
    made = project(tmp_path / "book")
    monkeypatch.chdir(made)
    return made


@pytest.fixture
def study(root, folder):
    """Makes studies of the tiny network; keyword arguments replace the settings."""

    def make(run: str = "live", **settings) -> Study:
        chosen = {"profile": "smoke", "model": TINY, "images": f"folder:{folder}", "n_images": 21}
        return Study(run=run, **{**chosen, **settings})

    return make


@pytest.fixture
def written(monkeypatch) -> list[Path]:
    """The parts that were computed, in order."""
    paths: list[Path] = []

    def note(path: Path, table: pd.DataFrame) -> None:
        if path.parent.parent.name == "parts":
            paths.append(path)
        files.write_table(path, table)

    monkeypatch.setattr(runs, "write_table", note)
    return paths


def same(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    return True


def leftovers(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.name.endswith(".part")]


# --- one run -------------------------------------------------------------------------------------


def test_a_table_is_computed_once_and_kept(study, written, root):
    first = study().table("randomization", **PARAMETERS)
    assert len(written) == FAMILIES * 3, "three families, chunks of 10, 10 and 1 images"
    assert len(first) == 21 * 2 * 3 * 2, "images x steps x methods x signs"
    written.clear()
    assert same(study().table("randomization", **PARAMETERS), first)
    assert written == []
    assert leftovers(root) == []
    stored = pd.read_parquet(study().folder / "randomization.parquet")
    assert same(stored, first)


def test_nothing_of_this_machine_is_written_down(study, root, folder, tmp_path):
    torch.save(Tiny().state_dict(), tmp_path / "secret.pth")
    made = study(model=f"{TINY}@{tmp_path / 'secret.pth'}")
    made.table("randomization", **PARAMETERS)
    made.table("occlusion", methods=["gradient"])
    archive.record_run("live", "reference-tiny")
    texts = [path.read_text(encoding="utf-8") for path in (root / "data").rglob("*.json")]
    assert len(texts) == 6
    for text in texts:
        for private in (str(tmp_path), str(folder.parent), folder.name, "secret", str(Path.home())):
            assert private not in text
    for text in map(json.loads, texts):
        assert not [value for value in strings(text) if value.startswith(("/", "~", "file:"))]
    tables = [pd.read_parquet(path) for path in (root / "data").rglob("*.parquet")]
    assert not any(table["image"].str.contains("/").any() for table in tables)


def strings(value) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.items() for part in item for text in strings(part)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


def test_growing_keeps_what_exists(study, written):
    few = study(n_images=10).table("randomization", **PARAMETERS)
    assert len(written) == FAMILIES
    written.clear()
    more = study(n_images=20).table("randomization", **PARAMETERS)
    assert len(written) == FAMILIES, "only the second ten images"
    assert more["image"].nunique() == 20
    assert set(few["image"]) < set(more["image"])
    written.clear()
    assert same(study(n_images=10).table("randomization", **PARAMETERS), few)
    assert written == []


@pytest.mark.parametrize(("changed", "words"), cases("other runs"))
def test_one_name_is_about_one_thing(study, changed, words):
    study().table("randomization", **PARAMETERS)
    with pytest.raises(UsageError, match=words) as caught:
        study(**changed)
    assert "--run" in str(caught.value)
    assert "--fresh" in str(caught.value)


def test_other_weights_of_the_same_network_are_another_thing(study, tmp_path, written):
    for seed in (1, 2):
        torch.manual_seed(seed)
        torch.save(Tiny().state_dict(), tmp_path / f"{seed}.pth")
    first = study(model=f"{TINY}@{tmp_path / '1.pth'}").table("randomization", **PARAMETERS)
    second = study(model=f"{TINY}@{tmp_path / '2.pth'}")
    with pytest.raises(UsageError, match="is about other weights of"):
        second.table("randomization", **PARAMETERS)
    with pytest.raises(UsageError, match="is about other weights of"):
        second.table("occlusion")
    written.clear()
    elsewhere = study("other", model=f"{TINY}@{tmp_path / '2.pth'}")
    table = elsewhere.table("randomization", **PARAMETERS)
    assert len(written) == FAMILIES * 3
    explained = first["method"] == "gradient"
    assert not (table["ssim"] == first["ssim"])[explained].any()


def test_is_current_compares_the_recorded_code_with_that_installed(study, root):
    study().table("randomization", **PARAMETERS)
    assert study().is_current("randomization")
    assert not study().is_current("occlusion")
    path = study().folder / "randomization.json"
    made = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**made, "fingerprint": "0" * 64}), encoding="utf-8")
    assert not study().is_current("randomization")
    path.write_text(json.dumps(made), encoding="utf-8")
    assert study().is_current("randomization")


# --- killed --------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for a process that ends at once."""


@pytest.mark.parametrize("before", [True, False], ids=["before renaming", "after renaming"])
def test_a_process_that_dies_while_it_writes_again_and_again(
    study, monkeypatch, before, written, root
):
    """It dies at its first write, then at its second, its third, its first ..."""
    expected = study("undisturbed").table("randomization", **PARAMETERS)
    written.clear()
    rename, deaths = Path.replace, 0

    def dying(path: Path, target: Path) -> Path:
        nonlocal writes
        writes += 1
        if before and writes == deaths % 3 + 1:
            raise Killed
        renamed = rename(path, target)
        if writes == deaths % 3 + 1:
            raise Killed
        return renamed

    monkeypatch.setattr(Path, "replace", dying)
    while deaths < 50:
        writes = 0
        try:
            table = study().table("randomization", **PARAMETERS)
            break
        except Killed:
            deaths += 1
    assert deaths > 4
    assert same(table, expected)
    names = [path.name for path in written]
    assert len(set(names)) == FAMILIES * 3
    if not before:
        assert len(names) == len(set(names)), "nothing is computed twice"
    assert leftovers(root) == []


def test_a_table_and_its_passport_cannot_be_of_different_settings(study, monkeypatch):
    """Killed between the two files of a new table, then asked for the old one."""
    first = study().table("randomization", **PARAMETERS)
    write = runs.write_atomically

    def dying(path: Path, text: str) -> None:
        if path.name == "randomization.json":
            raise Killed
        write(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "write_atomically", dying)
        with pytest.raises(Killed):
            study().table("randomization", **{**PARAMETERS, "n_steps": 3})
    assert same(study().table("randomization", **PARAMETERS), first)


def test_a_failed_write_leaves_no_trace(tmp_path, monkeypatch):
    path = tmp_path / "new" / "table.parquet"
    with pytest.raises(Exception, match="[Cc]onver"):
        files.write_table(path, pd.DataFrame({"a": [object(), 1]}))
    with pytest.raises(UnicodeEncodeError):
        files.write_atomically(tmp_path / "new" / "text.json", "\ud800")
    assert list((tmp_path / "new").iterdir()) == []
    files.write_atomically(tmp_path / "new" / "text.json", "ü")
    assert (tmp_path / "new" / "text.json").read_bytes() == "ü".encode()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["text.json"]


# --- recorded ------------------------------------------------------------------------------------


@pytest.fixture
def recorded(study, monkeypatch):
    """A recorded run, in a place where neither its model nor its images can be loaded."""
    table = study().table("randomization", **PARAMETERS)
    archive.record_run("live", "reference-tiny")

    def refuse(*_args, **_settings) -> None:
        raise AssertionError("a recorded run needs neither model nor images")

    monkeypatch.setattr(runs, "load_model", refuse)
    monkeypatch.setattr(runs, "load_images", refuse)
    return table


def test_a_recorded_run_is_read_without_model_and_images(recorded):
    study = Study(run="reference-tiny")
    assert study.recorded
    assert same(study.table("randomization"), recorded)
    assert same(study.table("randomization", n_steps=2), recorded)
    assert study.settings.model == TINY
    assert study.settings.images == "folder"
    assert study.is_current("randomization")
    assert study.table("randomization").attrs["images"] == 21
    names = sorted(path.name for path in study.folder.iterdir())
    assert names == ["randomization.json", "randomization.parquet", "run.json"]


def test_a_recorded_run_is_never_changed(recorded):
    study = Study(run="reference-tiny")
    before = {path: path.read_bytes() for path in study.folder.iterdir()}
    with pytest.raises(UsageError, match="holds no table 'occlusion'"):
        study.table("occlusion")
    with pytest.raises(UsageError, match="with n_steps = 2, not 3"):
        study.table("randomization", n_steps=3)
    with pytest.raises(UsageError, match="with order = 'top-down', not 'bottom-up'"):
        study.table("randomization", order="bottom-up")
    with pytest.raises(UsageError, match="never started over"):
        archive.discard("reference-tiny")
    with pytest.raises(UsageError, match="is a recorded run already"):
        archive.record_run("reference-tiny", "again")
    assert {path: path.read_bytes() for path in study.folder.iterdir()} == before


def test_recording_again_replaces_the_whole(study, root):
    study().table("randomization", **PARAMETERS)
    study().table("occlusion", methods=["gradient"])
    folder = archive.record_run("live", "reference-tiny")
    assert (folder / "occlusion.parquet").is_file()
    study("newer").table("randomization", **PARAMETERS)
    archive.record_run("newer", "reference-tiny")
    assert not (folder / "occlusion.parquet").exists(), "a table of the older run is not kept"
    with pytest.raises(UsageError, match="that is not recorded"):
        archive.record_run("live", "newer")
    assert [path.name for path in (root / "data").iterdir()] == ["runs"]


@pytest.mark.parametrize("changes", range(5))
def test_a_recording_that_is_killed_loses_no_recorded_run(study, root, monkeypatch, changes):
    """It is killed after so many changes of folders; the next one finds the run whole."""
    study().table("randomization", **PARAMETERS)
    study().table("step-counts")
    folder = archive.record_run("live", "reference-tiny")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = []

    def killing(change):
        def changed(*args, **kwargs):
            if len(done) == changes:
                raise SystemExit("killed")
            done.append(change)
            return change(*args, **kwargs)

        return changed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killing(Path.rename))
        patch.setattr(archive.shutil, "rmtree", killing(shutil.rmtree))
        with contextlib.suppress(SystemExit):
            archive.record_run("live", "reference-tiny")
    archive.record_run("live", "reference-tiny", tables=["step-counts"])
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(after) == set(before)
    assert after["randomization.parquet"] == before["randomization.parquet"]
    assert [path.name for path in (root / "data").iterdir()] == ["runs"]


def test_discarding(study, root):
    study().table("randomization", **PARAMETERS)
    archive.discard("live")
    assert not (root / "data/runs/live").exists()
    archive.discard("live")
    study(seed=1).table("randomization", **PARAMETERS)
    with pytest.raises(UsageError, match="cannot name a run"):
        archive.discard("..")
    assert (root / "data/runs/live").is_dir()


# --- verdicts ------------------------------------------------------------------------------------


@pytest.fixture
def judged(monkeypatch) -> list:
    """Contexts in which claims were judged; the criterion always answers ``undecided``."""
    contexts = []

    def answer(claim, tables, context) -> Verdict:
        contexts.append(context)
        return Verdict(value="undecided", evidence=f"{len(tables)} tables.")

    monkeypatch.setattr(runs, "judge", answer)
    return contexts


@pytest.fixture
def criteria(monkeypatch) -> dict[str, tuple[str, ...]]:
    """Claim -> the tables that its criterion reads: to be filled, and then all that there is."""
    tables: dict[str, tuple[str, ...]] = {}

    def made() -> dict[str, Criterion]:
        return {
            claim: Criterion(claim, names, lambda t, c: None) for claim, names in tables.items()
        }

    for room in (runs, judging, archive):
        monkeypatch.setattr(room, "find_criterion", lambda claim: made()[claim])
    monkeypatch.setattr(runs, "registry", made)
    return tables


@pytest.mark.parametrize(("tables", "images", "n_images"), cases("images of verdicts"))
def test_a_verdict_is_about_the_images_of_its_tables(
    study, judged, criteria, tables, images, n_images
):
    criteria["binder-gap"] = tables
    study().table("randomization", **PARAMETERS)
    study().table("step-counts")
    archive.record_run("live", "reference-tiny")
    study("other", images="digits", n_images=4).table("occlusion", methods=["gradient"])
    archive.record_run("other", "reference-tiny", tables=["occlusion"])
    (record,) = Study(run="reference-tiny").judge_again()
    (context,) = judged
    assert (context.images, context.n_images) == (images, n_images)
    assert (record.images, record.n_images) == (images, n_images)


def test_some_tables_are_put_into_a_recorded_run(study, judged, criteria, monkeypatch):
    claims = {
        "binder-gap": ("randomization", "occlusion"),
        "binder-fig1": ("occlusion",),
        "binder-fig2": ("randomization",),
    }
    criteria.update(claims)
    monkeypatch.setattr(runs, "commit", lambda: "first")
    first = study()
    old = first.table("randomization", **PARAMETERS)
    first.table("occlusion", methods=["gradient"], max_images=4)
    first.table("step-counts")
    first.judge(*claims)
    folder = archive.record_run("live", "reference-tiny")
    before = files.read_json(folder / "run.json")
    monkeypatch.setattr(runs, "commit", lambda: "second")
    newer = study("newer", n_images=8)
    newer.table("randomization", **PARAMETERS)
    new = newer.table("occlusion", methods=["gradient"])
    assert archive.record_run("newer", "reference-tiny", tables=["occlusion"]) == folder
    held = Study(run="reference-tiny")
    assert same(held.table("randomization"), old)
    assert same(held.table("occlusion"), new)
    assert held.made("occlusion")["images"] == 8
    assert before["commits"] == ["first"]
    assert files.read_json(folder / "run.json") == before | {"commits": ["first", "second"]}
    (kept,) = read_verdicts(folder / "verdicts.json")
    assert kept.claim == "binder-fig2"
    assert kept.is_current(folder)
    assert not leftovers(folder.parents[1])
    assert [path.name for path in folder.parents[1].iterdir()] == ["runs"]


def test_a_verdict_of_an_earlier_criterion_on_a_replaced_table_is_not_kept(study, judged, criteria):
    """The claim was judged on the table once, and reads another one now."""
    criteria["binder-gap"] = ("occlusion",)
    made = study()
    made.table("randomization", **PARAMETERS)
    made.table("occlusion", methods=["gradient"])
    made.judge("binder-gap")
    folder = archive.record_run("live", "reference-tiny")
    criteria["binder-gap"] = ("randomization",)
    archive.record_run("live", "reference-tiny", tables=["occlusion"])
    assert read_verdicts(folder / "verdicts.json") == []


def test_tables_that_cannot_be_put_into_a_recorded_run(study, tmp_path):
    study().table("step-counts")
    archive.record_run("live", "reference")
    study("newer").table("step-counts")
    torch.manual_seed(1)
    torch.save(Tiny().state_dict(), tmp_path / "1.pth")
    study("trained", model=f"{TINY}@{tmp_path / '1.pth'}").table("step-counts")
    recorded = archive.record_run("trained", "weights").parent
    before = {path: path.read_bytes() for path in recorded.rglob("*.*") if path.is_file()}
    for target, table, words in cases("recordings"):
        with pytest.raises(UsageError, match=words):
            archive.record_run("live", target, tables=["step-counts", table])
    after = {path: path.read_bytes() for path in recorded.rglob("*.*") if path.is_file()}
    assert after == before


def test_a_recorded_run_is_judged_again_by_the_criteria_of_today(study, judged, criteria):
    criteria.update({"binder-gap": ("step-counts",), "binder-fig1": ("step-counts",)})
    made = study()
    made.table("step-counts")
    made.judge("binder-gap", "binder-fig1")
    with pytest.raises(UsageError, match="'live' is not a recorded run"):
        made.judge_again()
    folder = archive.record_run("live", "reference-tiny")
    del criteria["binder-fig1"]
    criteria.update({"binder-fig2": ("step-counts",), "binder-app1": ("step-counts", "occlusion")})
    records = Study(run="reference-tiny").judge_again()
    assert [record.claim for record in records] == ["binder-gap", "binder-fig2"]
    assert read_verdicts(folder / "verdicts.json") == records
    assert len(judged) == 4


# --- damage ---------------------------------------------------------------------------------------


def flip(path):
    """One bit in the middle of the data."""
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:100])


def double(path):
    rows = pd.read_parquet(path)
    both = pd.concat([rows, rows], ignore_index=True)
    both.attrs = rows.attrs
    both.to_parquet(path)


def empty(path):
    rows = pd.read_parquet(path)
    rows[:0].to_parquet(path)


DAMAGES = (flip, cut, double, empty)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_part_is_measured_again(study, damage):
    first = study().table("randomization", **PARAMETERS)
    folder = study().folder
    damage(next((folder / "parts" / "randomization").glob("*.parquet")))
    (folder / "randomization.parquet").unlink()
    assert same(study().table("randomization", **PARAMETERS), first)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_table_of_a_recorded_run_is_refused(study, root, damage):
    study().table("randomization", **PARAMETERS)
    folder = archive.record_run("live", "kept", root)
    damage(folder / "randomization.parquet")
    with pytest.raises(DamagedError, match="was changed after it was made"):
        open_run("kept").table("randomization")


def test_a_study_shows_one_version_of_a_table_in_whatever_order_it_is_asked(study):
    one = study()
    first = one.table("randomization", **PARAMETERS)
    assert same(one.table("randomization"), first)
    assert same(one.table("randomization", **PARAMETERS), first)
    with pytest.raises(UsageError, match=r"with \{'n_steps': 2\} before"):
        one.table("randomization", **{**PARAMETERS, "n_steps": 3})
    other = study()
    other.table("map-properties", methods=["gradient"], path_steps=None)
    with pytest.raises(UsageError, match="one version of a table only"):
        other.table("map-properties", methods=["noise"])
    assert set(other.table("map-properties")["method"]) == {"gradient"}
