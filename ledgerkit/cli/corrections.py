"""`amend`, `replace-source`, `withdraw`, `prompts`, `freeze` and the like: decisions of a person, with a reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ledgerkit.cli.common import (
    common_options,
    counting,
    open_repository,
    print_findings,
    print_json,
    size,
)
from ledgerkit.errors import UsageError
from ledgerkit.refusal import RefusedForFindings
from ledgerkit.views import CorrectionView, FreezeView

_DONE = {
    "amend": "amended",
    "replace-source": "given another source",
    "withdraw": "withdrawn",
    "reinstate": "reinstated",
    "prompts": "given prompts",
}


def _decision(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every decision: who, why, and how long to wait for another writer."""
    for option in (
        click.option(
            "--wait", default=60.0, show_default=True, help="Seconds to wait for another writer."
        ),
        click.option("--reason", required=True, help="Why."),
        click.option("--by", required=True, help="Who decides."),
    ):
        function = option(function)
    return common_options(function)


@click.command()
@click.argument("plate", required=False)
@click.option("--title", help="The right title.")
@click.option("--slug", help="The right short name.")
@click.option("--license", "licence", help="The right licence.")
@click.option("--download-url", help="Where the source is really published.")
@click.option(
    "--clear",
    multiple=True,
    type=click.Choice(["license", "download-url"]),
    help="A field that is to say nothing.",
)
@click.option(
    "--from-file",
    type=click.Path(path_type=Path),
    help="Corrections of many plates: CSV or JSON with plate and the fields to correct.",
)
@_decision
def amend(
    plate: str | None,
    title: str | None,
    slug: str | None,
    licence: str | None,
    download_url: str | None,
    clear: tuple[str, ...],
    from_file: Path | None,
    by: str,
    reason: str,
    wait: float,
    path: Path | None,
    as_json: bool,
) -> int:
    """Correct catalogue fields of PLATE, or of many plates from a file.

    Each correction is a run of its own with a name and a reason, and is laid over the manifest in
    the ledger plates. The manifest stays as it came in.

    \b
    Example:
      ledgerkit amend plate-007 --title "Purple Finch" --by "A. Curator" --reason "title of plate 6"
      ledgerkit amend --from-file corrections.csv --by "A. Curator" --reason "titles shifted by one"
    """
    named = {"title": title, "slug": slug, "license": licence, "download_url": download_url}
    fields: dict[str, str | None] = {
        name: value for name, value in named.items() if value is not None
    }
    fields |= {name.replace("-", "_"): None for name in clear}
    if from_file is not None and (plate or fields):
        raise UsageError("corrections come from the file or from options, not from both")
    if from_file is None and plate is None:
        raise UsageError("no plate is named", "Name one, or give a file: --from-file FILE")
    given: Any = from_file if from_file is not None else {plate: fields}
    repository = open_repository(path)
    return _told(lambda: repository.amend(given, by=by, reason=reason, wait=wait), as_json, _print)


@click.command("replace-source")
@click.argument("plate")
@click.argument("file", type=click.Path(path_type=Path))
@_decision
def replace_source(
    plate: str, file: Path, by: str, reason: str, wait: float, path: Path | None, as_json: bool
) -> int:
    """Let FILE, a rescan, be the source of PLATE from now on.

    FILE is copied and digested. The former source stays where it is and goes on being verified;
    what was made from it is no longer current, and operations run anew.

    \b
    Example:
      ledgerkit replace-source plate-007 7-rescan.tif --by "A. Curator" --reason "the first was cut"
    """
    repository = open_repository(path)
    return _told(
        lambda: repository.replace_source(plate, file, by=by, reason=reason, wait=wait),
        as_json,
        _print,
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@_decision
def prompts(file: Path, by: str, reason: str, wait: float, path: Path | None, as_json: bool) -> int:
    """Keep points and boxes that a person gave, for: ledgerkit sam --prompted.

    FILE is JSON: for each plate a list of regions with `points` (x, y, and 1 within or 0 outside of
    the region), a `box` (left, top, right, bottom), or both, in pixels of the upright source, and
    perhaps a `name`. They take the place of the plate's former prompts; other plates stay as they are.

    \b
    Example:
      ledgerkit prompts wings.json --by "A. Curator" --reason "the model took wing and leaf for one"
    """
    repository = open_repository(path)
    return _told(lambda: repository.prompts(file, by=by, reason=reason, wait=wait), as_json, _print)


@click.command()
@click.argument("plates", nargs=-1, required=True)
@_decision
def withdraw(
    plates: tuple[str, ...], by: str, reason: str, wait: float, path: Path | None, as_json: bool
) -> int:
    """Take PLATES (plate-007, plate-010..020) out of all later work. Nothing is deleted.

    \b
    Example:
      ledgerkit withdraw plate-007 --by "A. Curator" --reason "rights are disputed"
    """
    repository = open_repository(path)
    return _told(
        lambda: repository.withdraw(list(plates), by=by, reason=reason, wait=wait), as_json, _print
    )


@click.command()
@click.argument("plates", nargs=-1, required=True)
@_decision
def reinstate(
    plates: tuple[str, ...], by: str, reason: str, wait: float, path: Path | None, as_json: bool
) -> int:
    """Take withdrawn PLATES back: what was made of them is current again.

    \b
    Example:
      ledgerkit reinstate plate-007 --by "A. Curator" --reason "rights are settled"
    """
    repository = open_repository(path)
    return _told(
        lambda: repository.reinstate(list(plates), by=by, reason=reason, wait=wait), as_json, _print
    )


@click.command()
@click.option("--workers", default=2, show_default=True, help="Files hashed at once.")
@_decision
def freeze(
    workers: int, by: str, reason: str, wait: float, path: Path | None, as_json: bool
) -> int:
    """Verify everything, then end preprocessing for good. There is no way back.

    Afterwards ingest, rescans, headers, measure, policies and normalize are refused; segmentation,
    vectors, clusters, montages, corrected titles and withdrawals go on. A repository that is not
    sound, or whose ledgers are behind, is not frozen.

    \b
    Example:
      ledgerkit freeze --by "A. Curator" --reason "all 435 plates are normalized and checked"
    """
    repository = open_repository(path)
    with counting("verify", as_json) as progress:
        return _told(
            lambda: repository.freeze(
                by=by, reason=reason, workers=workers, wait=wait, progress=progress
            ),
            as_json,
            _print_freeze,
        )


def _told(act: Callable[[], Any], as_json: bool, show: Callable[[Any], None]) -> int:
    """Act and print what came of it; what was found instead is listed before the error."""
    try:
        view = act()
    except RefusedForFindings as refused:
        if as_json:
            print_json({"error": refused.message, "findings": refused.findings})
            return refused.exit_code
        print_findings(refused.findings)
        raise
    print_json(view) if as_json else show(view)
    return 0


def _print(view: CorrectionView) -> None:
    done = _DONE[view.operation]
    for plate, run_id in list(zip(view.plates, view.run_ids, strict=True))[:20]:
        click.echo(f"  {plate} {run_id}")
    if len(view.plates) > 20:
        click.echo(f"  ... and {len(view.plates) - 20} more")
    unchanged = f", {len(view.unchanged)} left as they were" if view.unchanged else ""
    click.echo(f"{view.operation}: {len(view.plates)} {done}{unchanged}")
    if view.plates:
        follows = "sam --prompted --model NAME" if view.operation == "prompts" else "consolidate"
        click.echo(f"Next: ledgerkit {follows}")


def _print_freeze(view: FreezeView) -> None:
    click.echo(f"Sound: {view.files} files, {size(view.bytes)} hashed")
    click.echo(
        f"Frozen by {view.run_id} on top of {view.log_size} entries of the log, "
        f"root {view.log_root}"
    )
    click.echo("Keep a copy of log/checkpoint elsewhere. Next: ledgerkit consolidate")
