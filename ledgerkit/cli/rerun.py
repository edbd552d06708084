"""`rerun`: execute recorded runs again and say how each output compares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ledgerkit.cli.common import common_options, job_progress, open_repository, print_json
from ledgerkit.cli.operations import default_workers

if TYPE_CHECKING:
    from ledgerkit.rerun import Rerun, RerunView

SHOWN = 20


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option(
    "--verify",
    is_flag=True,
    help="Compare and record the verdicts, as it is always done: nothing is replaced.",
)
@click.option(
    "--plates", metavar="SELECTION", help="Current runs of these: plate-001,plate-010..020"
)
@click.option("--operation", metavar="NAME", help="Current runs of this operation.")
@click.option("--sample", type=click.IntRange(1), help="Only so many of them, taken at random.")
@click.option(
    "--seed", type=click.IntRange(0), help="Take the sample by this number, to repeat it."
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Processes at once; by default one for each processor.",
)
@click.option("--wait", default=60.0, show_default=True, help="Seconds to wait for another writer.")
@common_options
def rerun(
    runs: tuple[str, ...],
    verify: bool,
    workers: int | None,
    path: Path | None,
    as_json: bool,
    **choice: Any,
) -> int:
    """Execute recorded runs again, from their records alone, and record a verdict on each output.

    Every input must have its recorded bytes. What is made is compared with the record and thrown
    away. Exits with 0 when all outputs have the same bytes, the same pixels or numbers within
    tolerance, else with 1.

    \b
    Example:
      ledgerkit rerun run-20261101-120000Z-0123456789ab --verify
      ledgerkit rerun --sample 50 --operation normalize --seed 7
      ledgerkit rerun --plates plate-001..010
    """
    repository = open_repository(path)
    with job_progress("rerun", as_json) as progress:
        view = repository.rerun(
            *runs, workers=workers or default_workers(), progress=progress, **choice
        )
    print_json(view) if as_json else _print(view)
    return 0 if view.sound else 1


def _print(view: RerunView) -> None:
    """The outcome as text: what differs first, then how many outputs got which verdict."""
    for one in view.reruns[:SHOWN] if len(view.reruns) <= SHOWN else []:
        _print_rerun(one)
    if len(view.reruns) > SHOWN:
        for one in [one for one in view.reruns if not one.sound][:SHOWN]:
            _print_rerun(one)
    for failure in view.blocked[:SHOWN]:
        hint = f" ({failure.hint})" if failure.hint else ""
        click.echo(f"  not tried {failure.subject}: {failure.message}{hint}", err=True)
    for run_id in view.lost:
        click.echo(f"  lost {run_id}: its worker died twice. Try --workers 1.", err=True)
    told = ", ".join(f"{count} {verdict}" for verdict, count in view.counts.items())
    seed = f"; sample by --seed {view.seed}" if view.seed is not None else ""
    click.echo(
        f"rerun: {len(view.reruns)} runs executed again; outputs: {told or 'none'}"
        f"; {view.seconds:.1f} s{seed}"
    )


def _print_rerun(one: Rerun) -> None:
    click.echo(f"{one.run_id} {one.operation} {one.subject}, recorded as {one.recorded_as}")
    for verdict in one.verdicts[:SHOWN]:
        click.echo(f"  {verdict.output}: {verdict.sentence}")
    if len(one.verdicts) > SHOWN:
        click.echo(f"  ... and {len(one.verdicts) - SHOWN} more outputs")
