"""`verify`, and `fixity record` that keeps what it found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ledgerkit.cli.common import (
    common_options,
    counting,
    open_repository,
    print_findings,
    print_json,
    size,
    wait_option,
)

if TYPE_CHECKING:
    from ledgerkit.verify import ReadView, VerifyView


def _depth_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What `verify` and `fixity record` share."""
    for option in (
        click.option("--workers", default=2, show_default=True, help="Processes that read."),
        click.option("--plates", help="Only these plates and the log: plate-001,plate-010..020."),
        click.option("--seed", type=int, help="Draw the same sample again: the seed it was given."),
        click.option(
            "--sample",
            type=click.IntRange(min=1),
            metavar="N",
            help="Read N files, drawn by chance, in full; of the others only look at the size.",
        ),
        click.option(
            "--depth",
            type=click.Choice(["structure", "quick", "full"]),
            default="full",
            show_default=True,
            help="structure: existence and size; quick: XXH3-128; full: SHA-256.",
        ),
    ):
        function = option(function)
    return function


@click.command()
@_depth_options
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A checkpoint that was kept elsewhere: the log must still contain all that it saw.",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file outside the repository that keeps how far it came, to go on from there.",
)
@common_options
def verify(
    depth: str,
    sample: int | None,
    seed: int | None,
    plates: str | None,
    workers: int,
    checkpoint: Path | None,
    resume: Path | None,
    path: Path | None,
    as_json: bool,
) -> int:
    """Hold log, records and files against each other, both ways; nothing is ever written.

    Exits with 0 when nothing is wrong with what was read (warnings included), with 1 when something
    is. What the depth did not read is said, and never called sound.

    \b
    Example:
      ledgerkit verify
      ledgerkit verify --depth quick --checkpoint kept-elsewhere.txt
      ledgerkit verify --resume ~/verify.cursor
    """
    repository = open_repository(path)
    text = _text(checkpoint) if checkpoint is not None else None
    with counting("verify", as_json) as progress:
        view = repository.verify(
            depth=depth,
            sample=sample,
            seed=seed,
            plates=plates,
            checkpoint=text,
            resume=resume,
            workers=workers,
            progress=progress,
        )
    if as_json:
        print_json(view)
    else:
        _print(view)
    return 0 if view.sound else 1


def _text(path: Path) -> str:
    return path.read_bytes()[: 1 << 20].decode("utf-8", "replace")


def _print(view: VerifyView) -> None:
    print_findings(view.findings)
    rate = size(round(view.bytes / view.seconds)) if view.seconds else "0 B"
    click.echo(f"  read in full (SHA-256): {_read(view.full)}")
    click.echo(f"  read quickly (XXH3-128): {_read(view.quick)}")
    click.echo(f"  only looked at (existence and size): {_read(view.structure)}")
    click.echo(
        f"  not read, for they are gone or nothing is recorded of them yet: {_read(view.unread)}"
    )
    if view.sample:
        click.echo(f"  {view.sample} files were drawn with --seed {view.seed}")
    if view.plates_left_out:
        click.echo(
            f"  left out: {view.plates_left_out} plates, the documents, ledgers and runs "
            "of the collection"
        )
    if view.plates_taken_over:
        click.echo(
            f"  taken over from the interrupted check: {view.plates_taken_over} plates, "
            "unchanged since"
        )
    if view.log_size is not None:
        extends = "" if view.extends is None else f", checked against {view.extends} entries"
        click.echo(f"  log: {view.log_size} entries, root {view.log_root}{extends}")
    state = "Sound" if view.sound else "NOT SOUND"
    click.echo(
        f"{state}: {view.right} files right, {view.wrong} wrong, {view.not_checked} not checked; "
        f"{view.plates} plates in {view.seconds:.1f} s ({rate}/s)"
    )


def _read(read: ReadView) -> str:
    return f"{read.files} files, {size(read.bytes)}"


@click.group()
def fixity() -> None:
    """Verify, and keep the outcome as a run of its own.

    \b
    Example:
      ledgerkit fixity record
    """


@fixity.command()
@_depth_options
@wait_option
@common_options
def record(
    depth: str,
    sample: int | None,
    seed: int | None,
    plates: str | None,
    workers: int,
    wait: float,
    path: Path | None,
    as_json: bool,
) -> int:
    """Verify, and record which files were read, how far, and what was found.

    `ledgerkit query` then answers which files have not been verified for how long. Exits with 1 when
    something is wrong; that is recorded too.

    \b
    Example:
      ledgerkit fixity record --depth quick
      ledgerkit fixity record --sample 1000
    """
    repository = open_repository(path, wait)
    with counting("fixity", as_json) as progress:
        view = repository.fixity(
            depth=depth, sample=sample, seed=seed, plates=plates, workers=workers, progress=progress
        )
    if as_json:
        print_json(view)
    else:
        _print(view.verified)
        click.echo(f"Recorded as {view.run_id}: {view.files} files")
    return 0 if view.verified.sound else 1
