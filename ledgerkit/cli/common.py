"""What all commands share: options, the repository, JSON, progress, tables of text."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ledgerkit.api import Repository
    from ledgerkit.export.sweep import SweepExportView
    from ledgerkit.pages.sweep_report import SweepReportView
    from ledgerkit.views import Progress

Function = Callable[..., Any]


def repository_option(function: Function) -> Function:
    return click.option(
        "-C",
        "--repository",
        "path",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="The repository; else LEDGERKIT_REPOSITORY, else the nearest parent that is one.",
    )(function)


def common_options(function: Function) -> Function:
    """`-C/--repository`, `--json` and `--debug`."""
    function = click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")(
        function
    )
    function = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(
        function
    )
    return repository_option(function)


def wait_option(function: Function) -> Function:
    """`--wait SECONDS`, for every command that writes: give it to `open_repository`."""
    return click.option(
        "--wait",
        type=click.FloatRange(0),
        default=60.0,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for another writer.",
    )(function)


def output_option(what: str) -> Function:
    """`-o/--output`, for what is written outside of the repository; `what` is "folder" or "file"."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        required=True,
        help=f"A new {what}. Never written over.",
    )


def beside_option(function: Function) -> Function:
    """`--beside REPOSITORY`, again and again: give it to `open_all`."""
    return click.option(
        "--beside",
        multiple=True,
        metavar="REPOSITORY",
        type=click.Path(path_type=Path),
        help="Another repository whose sweeps count too. May be given more than once.",
    )(function)


def open_all(paths: Iterable[Path]) -> list[Repository]:
    """The repositories that are named."""
    return [open_repository(path) for path in paths]


def open_repository(path: Path | None, wait: float | None = None) -> Repository:
    """The repository that the options, the environment or the current folder name.

    What writes to it waits so many seconds for another writer.
    """
    from ledgerkit.api import Repository

    named = path or os.environ.get("LEDGERKIT_REPOSITORY") or None
    return Repository.open(named, wait=wait)


def print_json(view: Any) -> None:
    """A view as indented JSON."""
    import json

    import msgspec

    text = json.dumps(msgspec.to_builtins(view), indent=2, ensure_ascii=False)
    click.echo(text.encode("utf-8", "backslashreplace"))


def columns(rows: list[list[str]], right: frozenset[int] = frozenset(), indent: str = "  ") -> str:
    """Rows of text in aligned columns; `right` names those that are aligned to the right."""
    if not rows:
        return ""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(indent + "  ".join(cells).rstrip())
    return "\n".join(lines)


def size(count: int | None) -> str:
    """Bytes for people, in powers of ten."""
    if count is None:
        return "unknown"
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


@contextlib.contextmanager
def counting(label: str, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on a terminal for callbacks of (done, total)."""
    with _bar(label, quiet) as update:
        yield (lambda done, total: update(done, total, "")) if update else None


@contextlib.contextmanager
def job_progress(label: str, quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """The same for `views.Progress`, with failures named."""
    with _bar(label, quiet) as update:
        yield (
            (lambda at: update(at.done, at.total, f"{at.failed} failed" if at.failed else ""))
            if update
            else None
        )


@contextlib.contextmanager
def _bar(label: str, quiet: bool) -> Iterator[Callable[[int, int, str], None] | None]:
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Rate(ProgressColumn):
        """Items a second."""

        def render(self, task: Any) -> Text:
            return Text(f"{task.speed:.1f}/s" if task.speed else "")

    shown = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bar(*shown, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None, note="")
        yield lambda done, total, note: bar.update(task, completed=done, total=total, note=note)


def print_findings(findings: list[Any], limit: int = 20) -> None:
    """Findings as text, errors first, at most `limit` of one code."""
    order = {"error": 0, "warning": 1, "info": 2}
    shown: dict[str, int] = {}
    totals: dict[str, int] = {}
    for one in findings:
        totals[one.code] = totals.get(one.code, 0) + 1
    for one in sorted(findings, key=lambda found: (order[found.severity], found.code)):
        shown[one.code] = shown.get(one.code, 0) + 1
        if shown[one.code] <= limit:
            click.echo(f"  {one.severity:7} {one.code} {one.subject}: {one.message}")
        if shown[one.code] == min(limit, totals[one.code]):
            rest = totals[one.code] - limit
            click.echo(
                f"          {'... and ' + str(rest) + ' more. ' if rest > 0 else ''}{one.remedy}"
            )


_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


class Size(click.ParamType):  # type: ignore[type-arg]
    """Bytes, as 500000, 200MB or 1.5G, in powers of ten."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        match = re.fullmatch(
            r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)B?\s*", str(value), re.IGNORECASE
        )
        if match is None:
            self.fail(f"{value!r} is no size: write it like 500000, 200MB or 1.5G", param, ctx)
        return round(float(match[1]) * _UNITS[match[2].upper()])


def decimals(value: float | None, form: str = ".3f") -> str:
    """A number as a table shows it; a hyphen where there is none."""
    return "-" if value is None else format(value, form)


def said_sweeps(view: SweepExportView | SweepReportView) -> str:
    """What was written of sweeps, and its proof, in one line."""
    return (
        f"{view.trials} trials on {view.collections} collections in {view.target}: "
        f"{view.files} files, {size(view.bytes)}, SHA-256 of export.json {view.sha256}"
    )


def note_missing(pictures: int) -> None:
    """Say on stderr how many pictures could not be had, if any."""
    if pictures:
        click.echo(
            f"{pictures} pictures are missing: their images are gone or not as recorded. "
            "See: ledgerkit cache status, ledgerkit verify",
            err=True,
        )


def note_behind(repository: Repository, at: str | None = None) -> None:
    """Say on stderr that the ledgers lack what the records have; not of those at a checkpoint."""
    reason = repository.behind() if at is None else None
    if reason:
        click.echo(f"Note: {reason}. Rebuild them with: ledgerkit consolidate", err=True)


def print_stale(run_id: str, operation: str, reasons: list[str]) -> None:
    """A stale result and everything that makes it stale."""
    click.echo(f"  {operation} {run_id}")
    for reason in reasons:
        click.echo(f"    {reason}")
