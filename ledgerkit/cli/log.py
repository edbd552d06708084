"""`log`: checkpoints, proofs, keys; and `cite`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ledgerkit.cli.common import common_options, open_repository, print_json

if TYPE_CHECKING:
    from ledgerkit.answers import CitationView
    from ledgerkit.proof import VerifiedView

_FILE = click.Path(path_type=Path)
_output = click.option(
    "-o", "--output", type=_FILE, help="Write it to a file outside of every repository."
)
_sign = click.option(
    "--sign", type=_FILE, metavar="KEYFILE", help="Sign the checkpoint with the key in this file."
)


@click.group()
def log() -> None:
    """Checkpoints of the sealed log, proofs of what is in it, and keys to sign with.

    Keep checkpoints outside of the repository: whoever holds one can show any later change.

    \b
    Example:
      ledgerkit log checkpoint -o /media/elsewhere/checkpoint
      ledgerkit log consistency /media/elsewhere/checkpoint
    """


@log.command()
@_sign
@click.option(
    "--since",
    type=_FILE,
    metavar="OLD_CHECKPOINT",
    help="Give out, or sign, only what continues this older checkpoint.",
)
@_output
@common_options
def checkpoint(
    sign: Path | None, since: Path | None, output: Path | None, path: Path | None, as_json: bool
) -> None:
    """Print the present checkpoint.

    All entries of the log are compared with it first. A checkpoint that FILE holds already must be
    continued by this one, as with --since; else it is kept and this is an error.

    \b
    Example:
      ledgerkit log checkpoint --sign ~/archive.key --since last -o today
    """
    if since is None and output is not None and output.is_file():
        since = output
    view = open_repository(path).checkpoint(sign, since)
    _give(view, view.text, output, as_json)
    if view.continues is not None and not as_json:
        click.echo(
            f"It continues the checkpoint of {view.continues} entries: all of them are in it, "
            "unchanged.",
            err=True,
        )


@log.command()
@click.argument("subject", metavar="RUN|PLATE")
@_sign
@_output
@common_options
def prove(
    subject: str, sign: Path | None, output: Path | None, path: Path | None, as_json: bool
) -> None:
    """Prove that a record is in the log.

    Of a run its record, of a plate its manifest: one file, checked offline with: ledgerkit log verify.

    \b
    Example:
      ledgerkit log prove plate-001 -o plate-001.tlog-proof
    """
    view = open_repository(path).prove(subject, sign)
    _give(view, view.text, output, as_json)


@log.command()
@click.argument("old_checkpoint", type=_FILE)
@_output
@common_options
def consistency(
    old_checkpoint: Path, output: Path | None, path: Path | None, as_json: bool
) -> None:
    """Show that the log continues an older one.

    Everything in the old checkpoint is in today's log, unchanged, or the command exits with 1. With
    -o the proof is written for others, who check it with: ledgerkit log verify.

    \b
    Example:
      ledgerkit log consistency /media/elsewhere/checkpoint
    """
    view = open_repository(path).consistency(old_checkpoint)
    if output is not None:
        _write(output, view.text)
    if as_json:
        print_json(view)
        return
    click.echo(f"Proved: {view.proved}.")
    click.echo(
        "Not proved: that the files which the entries name are still there and unchanged; "
        "for that run: ledgerkit verify"
    )


@log.command()
@click.argument("name")
@click.option(
    "-o", "--output", type=_FILE, required=True, help="New file for the secret key, mode 0600."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
def keygen(name: str, output: Path, as_json: bool) -> None:
    """Make a key to sign checkpoints with.

    Prints the verifier key, to be handed out.

    \b
    Example:
      ledgerkit log keygen archive.example/plates -o ~/archive.key
    """
    from ledgerkit.proving import keygen as make

    view = make(name, output)
    if as_json:
        print_json(view)
        return
    click.echo(view.verifier)
    click.echo(
        f"The secret key is in {view.file}: keep it apart from the repository, and hand the "
        "line above to everybody who is to verify.",
        err=True,
    )


@log.command()
@click.argument("file", type=_FILE)
@click.option(
    "--record",
    "records",
    type=_FILE,
    multiple=True,
    help="A run.json or manifest.json that should be the proved one; may be given again.",
)
@click.option(
    "--answer", type=_FILE, help="The answer that was proved, as query --format canonical wrote it."
)
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="VKEY",
    help="A verifier key, or a file of them, of which one must have signed; may be given again.",
)
@click.option(
    "--checkpoint", type=_FILE, help="A checkpoint that you hold: the proof's must agree with it."
)
@click.option(
    "--consistency",
    type=_FILE,
    help="How one of the two checkpoints became the other: from log consistency -o.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
def verify(
    file: Path,
    records: tuple[Path, ...],
    answer: Path | None,
    keys: tuple[str, ...],
    checkpoint: Path | None,
    consistency: Path | None,
    as_json: bool,
) -> None:
    """Say what a file proves, and what not.

    The file is a proof or a checkpoint; neither repository nor network is needed. Exits with 1 when anything disagrees. A file that only agrees with itself passes, and the first
    line says that it proves no more: give --key or --checkpoint.

    \b
    Example:
      ledgerkit log verify plate-001.tlog-proof --record manifest.json --checkpoint checkpoint
    """
    from ledgerkit.proving import Trusted, verify_file

    trusted = Trusted(list(keys), checkpoint, consistency)
    view = verify_file(file, trusted, list(records), answer)
    if as_json:
        print_json(view)
    else:
        click.echo(_verdict(view))


def _verdict(view: VerifiedView) -> str:
    first = (
        "All of it holds, against what you hold."
        if view.trusted
        else "The file agrees with itself, and NOTHING YOU HOLD vouches for it."
    )
    lines = [first, "Proved:", *(f"  - {one}" for one in view.proved)]
    lines += ["Not proved:", *(f"  - {one}" for one in view.not_proved)]
    lines += ["Checkpoint:", f"  {view.origin}", f"  {view.size}", f"  {view.root}"]
    return _printable("\n".join(lines))


def _printable(text: str) -> str:
    """What others wrote cannot steer the terminal."""
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)


@click.command()
@click.argument("sql")
@click.option("--bibtex", "as_bibtex", is_flag=True, help="Print a BibTeX entry.")
@click.option("--date", metavar="DATE", help="When you asked, as you want it printed.")
@click.option("--memory", default="2GB", show_default=True, help="Memory that the query may use.")
@click.option(
    "--timeout", default=300.0, show_default=True, help="Seconds that the query may take."
)
@common_options
def cite(
    sql: str,
    as_bibtex: bool,
    date: str | None,
    memory: str,
    timeout: float,
    path: Path | None,
    as_json: bool,
) -> None:
    """Print what a paper needs to cite an answer: repository, checkpoint, query, versions, digest.

    The same ledgers give the same text. Refused while the ledgers are behind the log.

    \b
    Example:
      ledgerkit cite "SELECT count(*) FROM plates WHERE megapixels > 50"
    """
    from ledgerkit.query import Limits

    view = open_repository(path).cite(sql, date, Limits(memory, timeout))
    if as_json:
        print_json(view)
    elif as_bibtex:
        from ledgerkit.answers import bibtex

        click.echo(bibtex(view), nl=False)
    else:
        click.echo(_cited(view))


def _cited(view: CitationView) -> str:
    from ledgerkit.answers import rows_of, versions_of

    lines = [
        f"Repository   {view.repository}",
        f"Checkpoint   {view.log_size} entries, root {view.log_root}",
        f"Query        {' '.join(view.query.split())}",
        f"Answer       {rows_of(view)}, SHA-256 {view.answer_sha256}",
        f"Ledgers      ledger.json with SHA-256 {view.ledger_sha256}",
        f"Software     {versions_of(view)}",
    ]
    if view.accessed:
        lines.append(f"Asked        {view.accessed}")
    return _printable("\n".join(lines))


def _give(view: Any, text: str, output: Path | None, as_json: bool) -> None:
    """Write the text to its file, else print it; `--json` prints the view in either case."""
    if output is not None:
        _write(output, text)
    if as_json:
        print_json(view)
    elif output is None:
        click.echo(text, nl=False)
    else:
        click.echo(f"written to {output}: {view.size} entries in the log")


def _write(output: Path, text: str) -> None:
    from ledgerkit.proving import write_outside

    write_outside(output, text.encode())
