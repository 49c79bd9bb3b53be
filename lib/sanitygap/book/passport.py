"""The passport of a page: what its numbers were made from, and the command that re-makes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sanitygap.book.citation import Citation
from sanitygap.book.execution import command
from sanitygap.provenance import commits_of

_LABELS = {
    "run": "Run",
    "profile": "Profile",
    "model": "Model",
    "images": "Images",
    "n_images": "Number of images, n",
    "seed": "Seed",
    "device": "Device",
}

NO_COMMIT = "not known: the run does not say which version of the code made it"
"""What a passport says about a run without a commit."""


def passport(
    name: str, title: str, stamp: Mapping[str, Any], citation: Citation, works: Sequence[str] = ()
) -> str:
    """The passport of an executed notebook, in MyST Markdown, to stand at the end of its page.

    Args:
        name: name of the notebook.
        title: title of its page.
        stamp: what ``execute`` wrote into the metadata of the notebook.
        citation: whom to cite.
        works: BibTeX entries of the papers that the page is about.
    """
    original = ""
    if works:
        entries = "\n\n".join(works)
        original = f"\nThe work that the page is about:\n\n```bibtex\n{entries}\n```\n"
    rows = "\n".join(f"* - {label}\n  - {value}" for label, value in rows_of(stamp))
    return f"""\
(passport-{name})=

::::{{dropdown}} Passport of this page
:class-container: passport

:::{{list-table}}
:class: passport-table
:stub-columns: 1
:widths: 30 70

{rows}
:::

{_commands(name, stamp)}
::::

::::{{dropdown}} Cite this page
:class-container: passport

{citation.sentence(title)}

```bibtex
{citation.bibtex(f"sanitygap-{name}", title, f"notebooks/{name}.html", stamp)}
```
{original}::::
"""


def rows_of(stamp: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Label and Markdown value of every line of a passport."""
    parameters = stamp["parameters"]
    settings = settings_of(stamp)
    rows = [
        (label, code(settings[key]))
        for key, label in _LABELS.items()
        if settings.get(key) is not None
    ]
    own = [
        code(f"{key} = {value}")
        for key, value in parameters.items()
        if key not in _LABELS and value is not None
    ]
    if own:
        rows.append(("Settings of this page", ", ".join(own)))
    if record := stamp.get("run_record"):
        rows += _record_rows(record)
    return [
        *rows,
        ("Page executed", f"{when(stamp['started'])}, in {duration(stamp['duration_s'])}"),
        ("Page executed at commit", _commit(stamp.get("commit"), stamp.get("dirty"))),
        ("Source", f"{code(stamp['source'])}, SHA-256 {code(stamp['source_sha256'][:16])}"),
        ("Versions", ", ".join(f"{name} {code(v)}" for name, v in stamp["versions"].items())),
    ]


def settings_of(stamp: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a page, with what its run really used in place of defaults.

    A recorded run has settings of its own, whatever the page was executed with, and only the run
    knows how many images a profile meant.
    """
    settings = dict(stamp["parameters"])
    if record := stamp.get("run_record"):
        if record["recorded"]:
            settings |= record["settings"]
        settings["n_images"] = record["images"]["n"]
    return settings


def _record_rows(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the run itself says: checksums of weights and images, and where it was computed."""
    made = record["provenance"]
    parted = [commit.partition("+") for commit in commits_of(record)]
    commits = ", ".join(_commit(commit, changes) for commit, _, changes in parted)
    return [
        ("Weights", f"SHA-256 {code(record['model']['weights_sha256'][:16])}"),
        ("Image files", f"SHA-256 {code(record['images']['sha256'][:16])}"),
        ("Results computed", f"{when(made['started'])}, on {made['device']}"),
        ("Results computed at commit", commits or NO_COMMIT),
    ]


def _commands(name: str, stamp: Mapping[str, Any]) -> str:
    """The commands that make the page and, where they are recorded, its numbers again."""
    again = f"To make this page again:\n\n```bash\n{stamp['command']}\n```\n"
    if not (stamp.get("run_record") or {}).get("recorded"):
        return again
    anew = command(name, {**settings_of(stamp), "run": "mine"})
    return f"{again}\nTo compute its numbers anew:\n\n```bash\n{anew}\n```\n"


def _commit(commit: str | None, dirty: Any) -> str:
    if not commit:
        return "not under version control"
    return code(commit[:12]) + (", with uncommitted changes" if dirty else "")


def when(moment: str) -> str:
    """A moment in ISO 8601 as a person reads it: to the minute, in UTC."""
    return f"{datetime.fromisoformat(moment).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def code(value: Any) -> str:
    """A value as inline code in MyST Markdown, whatever characters it holds."""
    text = " ".join(str(value).split())
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if "`" in (text[:1], text[-1:]) else ""
    return f"{fence}{pad}{text}{pad}{fence}"
