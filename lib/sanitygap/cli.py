"""The command line: ``sanitygap VERB``; errors are one clear line and exit status 2."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sanitygap.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sanitygap.models.preflight import Finding

app = typer.Typer(
    help="Sanity Checks, Checked: execute the book on any model, and read its claims.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

Profile = Annotated[str, typer.Option(help="smoke (seconds), quick (minutes) or full.")]
Model = Annotated[str, typer.Option(help="Model spec; see `sanitygap models`.")]
Images = Annotated[str, typer.Option(help="Image spec; see `sanitygap images`.")]
Count = Annotated[int | None, typer.Option("--n-images", help="How many images; default: profile.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Seed = Annotated[int, typer.Option(help="Seed of every random draw.")]
Run = Annotated[str, typer.Option("--run", help="Name of the run, a folder in data/runs.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes of this machine that share the work.")
]
Scheduler = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="A Dask cluster that does the work.")
]
Method = Annotated[
    list[str] | None,
    typer.Option("--method", help="A method of your own, package.module:object; repeatable."),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Delete the run of that name first.")]


def show(rows: list[dict[str, str]]) -> None:
    """Rows as a table in the terminal, or tab-separated where the output is not one."""
    console = Console()
    if not console.is_terminal:
        for row in rows:
            print("\t".join(str(value) for value in row.values()))
        return
    table = Table(*(rows[0] if rows else []))
    for row in rows:
        table.add_row(*(escape(str(value)) for value in row.values()))
    console.print(table)


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="A new or empty folder.")]) -> None:
    """Write a book into a folder: notebooks, pages and claims, to execute and build there."""
    from sanitygap.template import write_book

    write_book(folder)
    print(f"cd {folder} && sanitygap execute && sanitygap build")


@app.command()
def execute(
    notebooks: Annotated[list[str] | None, typer.Argument(help="Notebooks; all if none.")] = None,
    profile: Profile = "quick",
    model: Model = "efficientnet_lite0",
    images: Images = "photos",
    n_images: Count = None,
    device: Device = "cpu",
    seed: Seed = 0,
    method: Method = None,
    run: Run = "live",
    jobs: Annotated[int, typer.Option(min=1, help="How many notebooks run at a time.")] = 1,
    workers: Workers = None,
    scheduler: Scheduler = None,
    fresh: Fresh = False,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="A notebook's own NAME=VALUE.")
    ] = None,
) -> None:
    """Execute notebooks on a model and images; what a run holds already is not recomputed."""
    from sanitygap.archive import discard
    from sanitygap.book import Project
    from sanitygap.book import execute as execute_notebooks
    from sanitygap.cluster import cluster
    from sanitygap.images import load_images
    from sanitygap.models import load_model
    from sanitygap.runs import Study

    project = Project.find()
    own = _own_parameters(parameter or [])
    for name in notebooks or []:
        project.source(name)
    if fresh:  # nothing is deleted for input that is unusable
        load_model(model, device, seed)
        load_images(images, n_images)
        discard(run, project.root)
    settings: dict[str, Any] = {
        "profile": profile,
        "model": model,
        "images": images,
        "n_images": n_images,
        "device": device,
        "seed": seed,
    }
    if method:  # notebooks of other books need not know of them
        settings["methods"] = method
    study = Study(root=project.root, run=run, **settings)
    if not study.recorded:  # unusable input is refused before any notebook starts
        for line in study.check():
            print(f"sanitygap: {line}", file=sys.stderr)
    else:
        settings = {key: study.settings.model_dump(mode="json")[key] for key in settings}
    with cluster(workers, scheduler):
        written = execute_notebooks(
            project, notebooks or [], {**settings, **own}, run=run, progress=True, jobs=jobs
        )
    for path in written:
        print(path.relative_to(project.root))


@app.command()
def build(
    run: Run = "live",
    site_url: Annotated[
        str | None,
        typer.Option(help="Where it will be published: for canonical links, sitemap, citations."),
    ] = None,
) -> None:
    """Build the website from the notebooks executed for a run; prints where it is."""
    from sanitygap.book import Project
    from sanitygap.book import build as build_site

    project = Project.find()
    _usable_runs(project.root)
    page = build_site(project, run, address=site_url)
    chapters = project.chapters
    if left_out := [name for name in chapters if not project.executed(run, name).is_file()]:
        print(
            f"sanitygap: {len(left_out)} of {len(chapters)} chapters were not executed for the run "
            f"{run!r} and have prose only",
            file=sys.stderr,
        )
    print(page)


@app.command()
def models() -> None:
    """List the model specs."""
    from sanitygap.models import model_specs

    show(model_specs())


@app.command()
def methods() -> None:
    """List the attribution methods and controls."""
    from sanitygap.attribution import METHODS

    show([{"method": name, "what": entry.summary} for name, entry in METHODS.items()])


@app.command()
def images() -> None:
    """List the image specs."""
    from sanitygap.images import image_specs

    show(image_specs())


@app.command("check-model")
def check_model(model: str, device: Device = "cpu") -> None:
    """Try on two random inputs everything that a run will ask of a model."""
    from sanitygap.models import load_model
    from sanitygap.models.preflight import check_model as preflight

    _report_findings(preflight(load_model(model, device)))


@app.command("check-method")
def check_method(
    method: Annotated[str, typer.Argument(help="package.module:object, or a registered name.")],
    model: Model = "efficientnet_lite0",
    images: Images = "photos",
    device: Device = "cpu",
) -> None:
    """Try on a few images everything that the tests ask of an attribution method."""
    from sanitygap.attribution.check import check_method as checks
    from sanitygap.images import load_images
    from sanitygap.models import load_model

    network = load_model(model, device)
    pictures = load_images(images)
    inputs = network.prepare([pictures.open(place) for place in range(min(2, len(pictures)))])
    _report_findings(checks(method, network, inputs))


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Where to write; the run is kept there too.")],
    model: Model = "efficientnet_lite0",
    images: Images = "photos",
    method: Method = None,
    maps: Annotated[
        str | None,
        typer.Option(
            help="Precomputed maps for the occlusion test, an .npz file with `names` (M) and "
            "`maps` (M, images, height, width), in the order of the images."
        ),
    ] = None,
    n_images: Annotated[int, typer.Option(min=2, help="At most that many images.")] = 50,
    profile: Profile = "quick",
    device: Device = "cpu",
    seed: Seed = 0,
) -> None:
    """Test your methods beside the usual ones and controls, and write a report to cite from.

    It holds a page as HTML and PDF, each figure as SVG and PDF, each table as CSV and LaTeX, and a
    paragraph on methods with its references. It can be interrupted; the same command goes on.
    """
    from sanitygap.book.report import write_report
    from sanitygap.chapters.axioms.show import report_part
    from sanitygap.chapters.yours.measure import seconds
    from sanitygap.chapters.yours.show import OCCLUSION
    from sanitygap.chapters.yours.show_report import parts_of, references
    from sanitygap.images import load_images
    from sanitygap.runs import Study

    count = min(n_images, len(load_images(images)))
    study = Study(
        folder=folder / "run", run="report", profile=profile, model=model, images=images,
        n_images=count, device=device, seed=seed, methods=method or [], maps=maps,
    )  # fmt: skip
    for line in study.check():
        print(f"sanitygap: {line}", file=sys.stderr)
    minutes = max(1, round(seconds(study.context) / 60))
    print(f"sanitygap: both tests take about {minutes} min", file=sys.stderr)
    parts, methods = parts_of(study)
    compared = study.made(OCCLUSION)["parameters"]["methods"]
    parts.append(("axioms", "Inputs whose truth is known", report_part(study, compared)))
    for path in write_report(study, parts, methods, references(), folder):
        print(path)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="What: imagenet-sample, cifar-resnet, cifar10 ...")],
    folder: Annotated[Path | None, typer.Option(help="Where to; the cache by default.")] = None,
) -> None:
    """Download images or weights, checked by their checksums; can be interrupted and resumed."""
    from sanitygap.downloads import fetch as download

    print(download(name, folder))


@app.command()
def compute(
    tables: Annotated[list[str], typer.Argument(help="Tables such as randomization.")],
    profile: Profile = "full",
    model: Model = "efficientnet_lite0",
    images: Images = "photos",
    n_images: Count = None,
    device: Device = "cpu",
    seed: Seed = 0,
    method: Method = None,
    run: Run = "live",
    workers: Workers = None,
    scheduler: Scheduler = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="A table's own NAME=VALUE.")
    ] = None,
) -> None:
    """Compute tables without notebooks; can be killed and resumed, and shared among workers."""
    from sanitygap.cluster import cluster
    from sanitygap.runs import Study

    study = Study(
        run=run, profile=profile, model=model, images=images, n_images=n_images, device=device,
        seed=seed, methods=method or [],
    )  # fmt: skip
    if study.recorded:
        raise UsageError(
            f"{run!r} is a recorded run, which is never recomputed; choose another name with --run"
        )
    with cluster(workers, scheduler):
        for table in tables:
            study.table(table, **_own_parameters(parameter or []))
            print(f"{table}: complete")


@app.command()
def features(
    model: Annotated[str, typer.Argument(help="Model spec; see `sanitygap models`.")],
    scenario: Annotated[list[str] | None, typer.Option(help="Scenarios; all if none.")] = None,
    attempts: Annotated[int, typer.Option(min=1, help="Samples tried in each scenario.")] = 24,
    steps: Annotated[int, typer.Option(min=1, help="Steps before a sample is given up.")] = 240,
    least_reference: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Give a sample up at once where a logit that has to stay is smaller on a bare "
            "background, in standard deviations of all logits.",
        ),
    ] = 1.5,
    device: Device = "cpu",
    seed: Seed = 0,
) -> None:
    """Generate features for the axiom tests and keep them in data/features; can be resumed."""
    from sanitygap.axioms.recipes import Recipe
    from sanitygap.axioms.scenarios import SCENARIOS, find_scenario
    from sanitygap.chapters.axioms.measure_examples import keep_features
    from sanitygap.models import load_model

    wanted = [find_scenario(name) for name in scenario or SCENARIOS]
    recipe = Recipe(max_steps=steps, least_reference=least_reference)
    for path, made in keep_features(load_model(model, device), wanted, attempts, seed, recipe):
        accepted = sum(sample.accepted for sample in made)
        print(f"{path.name}: {accepted} of {len(made)} accepted, {path.stat().st_size} bytes")


@app.command()
def record(
    run: Annotated[str, typer.Argument(help="A finished run.")],
    name: Annotated[str, typer.Argument(help="Name of the recorded run.")],
    table: Annotated[
        list[str] | None,
        typer.Option(help="Put only this table into an existing recorded run; can be repeated."),
    ] = None,
) -> None:
    """Freeze a run's tables and verdicts as a recorded run, to be kept in the repository."""
    from sanitygap.archive import record_run
    from sanitygap.files import find_root

    print(record_run(run, name, tables=table).relative_to(find_root()))


@app.command()
def judge(run: Annotated[str, typer.Argument(help="A recorded run.")]) -> None:
    """Judge all claims whose tables a recorded run holds, and replace its verdicts."""
    from sanitygap.runs import open_run

    show(
        [{"claim": record.claim, "verdict": record.value} for record in open_run(run).judge_again()]
    )


@app.command()
def claims(
    run: Annotated[str | None, typer.Option(help="Only the verdicts of this run.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List every claim with its verdicts."""
    from sanitygap.claims import collect
    from sanitygap.files import find_root

    rows = collect(_usable_runs(find_root()), run)
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    show([{key: row[key] or "" for key in ("id", "verdict", "run", "model")} for row in rows])


@app.command()
def verify(
    run: Annotated[str, typer.Option(help="Name of a run, or the folder of a downloaded one.")] = (
        "live"
    ),
    against: Annotated[
        str | None, typer.Option(help="Another run or folder; default: recorded ones.")
    ] = None,
    parts: Annotated[
        int, typer.Option(min=0, help="Instead, measure that many parts of the run again.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """Compare a run with the recorded reference of its model, metric by metric.

    Each metric is tested at 5 %, corrected over its methods. Exit status 0: all agree. 1: at least
    one differs beyond chance. 2: the runs cannot be compared.
    """
    from sanitygap.comparison import (
        AGREES,
        DIFFERS,
        NOT_COMPARED,
        compare_metrics,
        find_run,
        measure_again,
        outdated,
        recorded_runs,
    )
    from sanitygap.files import find_root

    live = find_run(run)
    if parts:
        again = measure_again(live, parts)
        if as_json:
            print(again.to_json(orient="records", indent=1))
        else:
            show(json.loads(again.to_json(orient="records")))
        raise typer.Exit(int((again["verdict"] != AGREES).any()))
    model = live.settings.public()["model"]
    if not against:
        _usable_runs(find_root())
    found = [find_run(against)] if against else recorded_runs(model=model)
    found = [study for study in found if study.folder.resolve() != live.folder.resolve()]
    if not found:
        raise UsageError(f"there is no recorded run of {model} to compare with")
    for line in outdated([live, *found]):
        print(f"sanitygap: {line}", file=sys.stderr)
    listed, total = [], 0
    for reference in found:
        if (theirs := reference.settings.public()["model"]) != model:
            raise UsageError(f"the runs are about two models: {model} and {theirs}")
        rows = compare_metrics(live, reference)
        differing = int((rows["verdict"] == DIFFERS).sum())
        total += differing
        left_out = int((rows["verdict"] == NOT_COMPARED).sum())
        listed += rows.assign(run=run, against=reference.settings.run).to_dict("records")
        if as_json:
            continue
        print(
            f"{run} against {reference.settings.run}: "
            f"{differing} of {len(rows)} means differ beyond chance"
            + (f", {left_out} could not be compared" if left_out else "")
        )
        show(
            [
                {
                    "metric": row["score"],
                    "method": row["method"],
                    "run": f"{row['live']:.3f}",
                    "recorded": f"{row['recorded']:.3f}",
                    "p": f"{row['p_holm']:.3f}",
                    "verdict": row["verdict"],
                }
                for _, row in rows.iterrows()
            ]
        )
    if as_json:
        shown = [{k: None if v != v else v for k, v in row.items()} for row in listed]  # no NaN
        print(json.dumps(shown, indent=1, ensure_ascii=False))
    if total:
        raise typer.Exit(1)


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8000,
    folder: Annotated[Path | None, typer.Option(help="The site; default: _build/html.")] = None,
) -> None:
    """Show the built website on this machine, until interrupted; prints its address."""
    from sanitygap.book import Project
    from sanitygap.book.site import serve as serve_site

    serve_site(folder or Project.find().build_folder / "html", port)


def _report_findings(findings: "Sequence[Finding]") -> None:
    """Print what checks found.

    Raises:
        UsageError: one of them failed.
    """
    rows = [
        {"": "ok" if f.passed else "FAILED", "check": f.check, "detail": f.detail} for f in findings
    ]
    show(rows)
    failed = [finding.check for finding in findings if not finding.passed]
    if failed:
        raise UsageError(f"{len(failed)} of {len(findings)} checks failed: {'; '.join(failed)}")


def _usable_runs(root: Path) -> list[Path]:
    """The folders of the project's runs; those that cannot be used are named on standard error."""
    from sanitygap.archive import run_records

    records, refused = run_records(root)
    for line in refused:
        print(f"sanitygap: {line}", file=sys.stderr)
    return list(records)


def _own_parameters(texts: list[str]) -> dict[str, object]:
    """``NAME=VALUE`` pairs; a value is read as JSON where it is JSON, else as text."""
    options = ("run", "profile", "model", "images", "n_images", "device", "seed")
    values: dict[str, object] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name.isidentifier():
            raise UsageError(f"a parameter is written NAME=VALUE, not {text!r}")
        if name in options:
            raise UsageError(f"write --{name.replace('_', '-')} instead of -p {name}=")
        try:
            values[name] = json.loads(value)
        except json.JSONDecodeError:
            values[name] = value
    return values


def main() -> None:
    """Entry point of the console script; to be terminated is to be interrupted."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores hang-ups
            signal.signal(number, signal.default_int_handler)
    try:
        status = app(args=sys.argv[1:] or ["--help"], standalone_mode=False)
        if status == 130:  # what newer versions of typer make of an interrupt
            raise KeyboardInterrupt
        sys.exit(status)
    except UsageError as error:
        print(f"sanitygap: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"sanitygap: {error}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        print("sanitygap: interrupted; run the same command again to continue", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        # click's errors, told by their method: typer brings its own copy of click, which has no
        # public name, or uses the installed one, depending on its version
        if not hasattr(error, "format_message"):
            raise
        message = error.format_message().rstrip(".")
        print(f"sanitygap: {message}; see sanitygap --help", file=sys.stderr)
        sys.exit(2)
