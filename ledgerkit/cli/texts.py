"""`embed-texts`: vectors of what is written about plates, from a service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledgerkit.cli.common import (
    common_options,
    job_progress,
    open_repository,
    print_json,
    wait_option,
)
from ledgerkit.findings import writable

if TYPE_CHECKING:
    from ledgerkit.texts import TextsView


@click.command("embed-texts")
@click.option(
    "--endpoint",
    required=True,
    metavar="URL",
    help="The service, with its version: https://api.openai.com/v1, http://localhost:8080/v1.",
)
@click.option("--model", required=True, metavar="NAME", help="As text-embedding-3-large.")
@click.option(
    "--dimensions",
    type=click.IntRange(1),
    help="Numbers of a vector, where the model can shorten them; by default all.",
)
@click.option(
    "--fields",
    default="title",
    show_default=True,
    metavar="NAMES",
    help="What is sent of a plate: title, and fields of its catalogue entry, with commas between.",
)
@click.option(
    "--truncate",
    type=click.IntRange(1),
    default=8000,
    show_default=True,
    help="Characters of a text that are sent at most.",
)
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Texts in one question; each batch is committed before the next is asked for.",
)
@click.option("--plates", metavar="SELECTION", help="Only these: plate-001,plate-010..020")
@click.option("--force", is_flag=True, help="Ask again, beside the runs that are there.")
@wait_option
@common_options
def embed_texts(
    endpoint: str,
    model: str,
    dimensions: int | None,
    fields: str,
    truncate: int,
    batch: int,
    plates: str | None,
    force: bool,
    wait: float,
    path: Path | None,
    as_json: bool,
) -> int:
    """Ask a service for a vector of what is written about each plate: title, catalogue fields.

    The service speaks OpenAI's interface (POST /embeddings), hosted or on this machine. Texts leave
    this machine for it. The key is read from LEDGERKIT_API_KEY, for api.openai.com else from
    OPENAI_API_KEY, and never written anywhere. Plates that have a vector of the same text by the same
    settings are skipped, so the command can be given again.

    \b
    Example:
      ledgerkit embed-texts --endpoint https://api.openai.com/v1 --model text-embedding-3-large
      ledgerkit embed-texts --endpoint http://localhost:8080/v1 --model bge-m3 --fields title,subject
    """
    repository = open_repository(path, wait)
    with job_progress("embed-texts", as_json) as progress:
        view = repository.embed_texts(
            endpoint,
            model,
            dimensions=dimensions,
            fields=tuple(name.strip() for name in fields.split(",") if name.strip()),
            truncate=truncate,
            batch=batch,
            plates=repository.select(plates, None),
            force=force,
            progress=progress,
        )
    print_json(view) if as_json else _print(view)
    return 0 if view.sound else 1


def _print(view: TextsView) -> None:
    parts = [f"Processed: {view.processed}", f"Errors: {view.errors}"]
    parts += [f"skipped: {view.skipped} (asked before)"] if view.skipped else []
    parts += [f"without text: {len(view.empty)}"] if view.empty else []
    parts += [f"truncated: {len(view.truncated)}"] if view.truncated else []
    parts += [f"withdrawn: {view.withdrawn}"] if view.withdrawn else []
    told = f" in the space {', '.join(view.spaces)}" if view.spaces else ""
    click.echo(f"{', '.join(parts)}; {view.tokens} tokens in {view.seconds:.1f} s{told}")
    for plate in view.empty[:5]:
        click.echo(f"  without text {plate}", err=True)
    said: dict[str, list[str]] = {}
    for failure in view.failures:
        said.setdefault(failure.message, []).append(failure.subject)
    for message, plates in said.items():
        more = f" and {len(plates) - 1} more" if len(plates) > 1 else ""
        click.echo(f"  failed {plates[0]}{more}: {writable(message)}", err=True)
    if view.stopped:
        click.echo("Stopped: more than 5 batches failed. Given again, it goes on.", err=True)
    if view.processed:
        click.echo("Next: ledgerkit consolidate")
