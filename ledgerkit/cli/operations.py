"""A command for each operation, its options made from the operation's `Parameters`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ledgerkit import operation
from ledgerkit.cli.common import (
    Size,
    columns,
    common_options,
    job_progress,
    open_repository,
    print_json,
    size,
    wait_option,
)
from ledgerkit.errors import UsageError
from ledgerkit.findings import writable
from ledgerkit.operation import Operation, Parameter
from ledgerkit.views import DryRunView, JobView


class Placed(click.Group):
    """A group some of whose commands are operations: those that `operation.PLACED` puts there."""

    def _operations(self) -> dict[str, str]:
        placed = {command: name for name, command in operation.PLACED.items()}
        return {
            command.partition(" ")[2]: name
            for command, name in placed.items()
            if command.startswith(f"{self.name} ") and name in operation.names()
        }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._operations(), *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = self._operations().get(cmd_name)
        return super().get_command(ctx, cmd_name) if found is None else command_of(found)


def command_of(name: str) -> click.Command:
    """The command that runs an operation."""
    loaded = operation.load(name)

    def callback(**given: Any) -> int:
        return _perform(name, **given)

    selection = " --model NAME" if hasattr(loaded.module, "models") else ""
    selection += "" if loaded.on_collection else " --plates plate-001,plate-010..020"
    document = (loaded.module.__doc__ or "").strip()
    command: Any = common_options(callback)
    for parameter in reversed(loaded.parameters()):
        command = _option(parameter)(command)
    if loaded.states_memory:
        command = _memory_option(command)
    if loaded.decided:
        kind, writer = loaded.decided_by
        command = click.option(
            f"--{kind}",
            "decided_by",
            type=click.Path(path_type=Path),
            help=f"A file of: ledgerkit {writer}. It takes the place of {_flags(loaded.decided)}.",
        )(command)
    for option in reversed(_job_options()):
        command = option(command)
    return click.command(
        operation.command(name).rpartition(" ")[2],
        help=f"{document}\n\n\b\nExample:\n  ledgerkit {operation.command(name)}{selection}",
        short_help=operation.summary(name),
    )(command)


def _perform(
    name: str,
    *,
    path: Path | None,
    as_json: bool,
    dry_run: bool,
    workers: int | None,
    wait: float,
    memory: int | None = None,
    decided_by: Path | None = None,
    **given: Any,
) -> int:
    """Run or plan an operation; `given` are the selection, what to do again, and parameters."""
    if decided_by is not None:
        given |= _read_from(operation.load(name), decided_by)
    repository = open_repository(path)
    if dry_run:
        planned = repository.dry_run(name, **given)
        print_json(planned) if as_json else print_dry_run(planned)
        return 0
    with job_progress(name, as_json) as progress:
        job = repository.run(
            name,
            workers=workers or (1 if operation.load(name).loads_models else default_workers()),
            progress=progress,
            wait=wait,
            memory=memory,
            **given,
        )
    print_json(job) if as_json else print_job(job)
    return 0 if job.sound else 1


def _read_from(loaded: Operation, file: Path) -> dict[str, Any]:
    """The parameters that a file decides. Raises `UsageError` where they are given too."""
    from ledgerkit.export.settings import READERS

    kind, _ = loaded.decided_by
    source = click.get_current_context().get_parameter_source
    beside = [name for name in loaded.decided if source(name) is not ParameterSource.DEFAULT]
    if beside:
        raise UsageError(
            f"--{kind} {file} decides {_flags(beside)}", "Leave the one or the others away."
        )
    return READERS[kind](file)


def _job_options() -> list[Any]:
    return [
        click.option("--plates", metavar="SELECTION", help="Only these: plate-001,plate-010..020"),
        click.option(
            "--where",
            metavar="CONDITION",
            help='Only plates that meet a condition over the ledger plates: "megapixels > 90"',
        ),
        click.option("--force", is_flag=True, help="Run again, beside the runs that are there."),
        click.option(
            "--stale", is_flag=True, help="Run again what was made with other code or libraries."
        ),
        click.option("--retry-failed", is_flag=True, help="Run again what failed."),
        click.option(
            "--dry-run",
            is_flag=True,
            help="Say what would run, for about how long, with how much disk.",
        ),
        click.option(
            "--workers",
            type=click.IntRange(1),
            help="Processes at once; by default one for each processor, and a single one for what loads "
            "a model.",
        ),
        wait_option,
    ]


def _memory_option(command: Any) -> Any:
    return click.option(
        "--memory",
        type=Size(),
        help="What the whole command may take, workers included: 2G, 500MB. By default each worker "
        "keeps to the limits below.",
    )(command)


def _flags(names: Iterable[str]) -> str:
    return ", ".join(map(operation.flag, names))


def _option(parameter: Parameter) -> Any:
    kind: Any = click.Choice(parameter.choices) if parameter.choices else parameter.kind
    text = parameter.help + (f" ({parameter.unit})" if parameter.unit else "")
    name = operation.flag(parameter.name)
    if parameter.kind is bool:
        return click.option(
            f"{name}/--no-{name[2:]}",
            parameter.name,
            default=parameter.default,
            show_default=True,
            help=text,
        )
    return click.option(
        name,
        parameter.name,
        type=kind,
        default=parameter.default,
        show_default=parameter.default != "",
        help=text,
    )


def default_workers() -> int:
    """As many as there are processors that this process may use."""
    import os

    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _print_warnings(warnings: list[str]) -> None:
    for warning in warnings[:10]:
        click.echo(f"  check {writable(warning)}", err=True)
    if len(warnings) > 10:
        click.echo(f"  ... and {len(warnings) - 10} more checks: see the ledger gates", err=True)


def print_job(job: JobView) -> None:
    """A job as text: what was done, what not and why, and the way on."""
    parts = [f"{job.complete} done" + f", {job.empty} with nothing to describe" * bool(job.empty)]
    parts += [f"{job.partial} done in part"] if job.partial else []
    parts += [f"{job.skipped} skipped (done before)"] if job.skipped else []
    parts += (
        [f"{job.not_current} not current, for a newer run has other settings or inputs (--force)"]
        if job.not_current
        else []
    )
    parts += (
        [f"{job.stale} kept though made with other code or libraries (--stale)"]
        if job.stale
        else []
    )
    parts += [f"{job.failed_before} failed before (--retry-failed)"] if job.failed_before else []
    parts += [f"{job.failed} failed"] if job.failed else []
    parts += [f"{len(job.blocked)} left out"] if job.blocked else []
    parts += [f"{job.withdrawn} left out because withdrawn"] if job.withdrawn else []
    parts += [f"{len(job.lost)} lost"] if job.lost else []
    click.echo(
        f"{job.operation}: {', '.join(parts)}; {size(job.output_bytes)} in {job.seconds:.1f} s"
    )
    _print_warnings(job.warnings)
    for failure in job.failures[:20]:
        click.echo(
            f"  failed {failure.subject}: {failure.error}: {writable(failure.message)}", err=True
        )
    for failure in job.blocked[:5]:
        click.echo(
            f"  left out {failure.subject}: {writable(failure.message)}"
            + (f" ({failure.hint})" if failure.hint else ""),
            err=True,
        )
    if len(job.blocked) > 5:
        click.echo(f"  ... and {len(job.blocked) - 5} more left out", err=True)
    for subject in job.lost:
        click.echo(
            f"  lost {subject}: its worker died three times, probably for want of memory. "
            "Try --workers 1.",
            err=True,
        )


def print_dry_run(view: DryRunView) -> None:
    """What would be done, as text."""
    seconds = "an unknown time" if view.seconds is None else f"about {view.seconds:.0f} s"
    disk = (
        "an unknown amount of disk"
        if view.output_bytes is None
        else f"about {size(view.output_bytes)}"
    )
    click.echo(
        f"{view.operation} would run on {len(view.would_run)} subjects, for {seconds}, "
        f"writing {disk} ({view.basis}); {view.skipped} done, {view.stale} stale, "
        f"{view.failed_before} failed before, {len(view.blocked)} without inputs"
        + (f", {view.withdrawn} left out because withdrawn" if view.withdrawn else "")
    )
    click.echo(columns([[subject] for subject in view.would_run[:50]]))
    for failure in view.blocked[:5]:
        click.echo(
            f"  without inputs {failure.subject}: {writable(failure.message)}"
            + (f" ({failure.hint})" if failure.hint else "")
        )
