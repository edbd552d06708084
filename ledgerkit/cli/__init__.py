"""The command line: commands parse, call one function of the core, print. Errors become text here.

Modules of commands and operations are imported when they are asked for, so `--help` stays quick.
"""

from __future__ import annotations

import importlib
import os
import sys

import click

from ledgerkit import operation
from ledgerkit.errors import LedgerkitError
from ledgerkit.findings import writable
from ledgerkit.software import VERSION

COMMANDS = {
    "init": ("ledgerkit.cli.archive", "Make a new, empty repository."),
    "ingest": (
        "ledgerkit.cli.archive",
        "Take in new plates from a catalogue and a folder of images.",
    ),
    "audit": ("ledgerkit.cli.archive", "Report on everything, read-only and header-only."),
    "verify": (
        "ledgerkit.cli.fixity",
        "Hold log, records and files against each other, read-only.",
    ),
    "fixity": ("ledgerkit.cli.fixity", "Verify, and keep the outcome as a run of its own."),
    "status": (
        "ledgerkit.cli.archive",
        "Say how far each phase is, what failed, and what to do next.",
    ),
    "policy": ("ledgerkit.cli.policy", "Propose, show and accept the preprocessing policy."),
    "amend": (
        "ledgerkit.cli.corrections",
        "Correct catalogue fields of plates; the manifests stay.",
    ),
    "replace-source": (
        "ledgerkit.cli.corrections",
        "Let a rescan be the source of a plate; the former one stays.",
    ),
    "withdraw": ("ledgerkit.cli.corrections", "Take plates out of all later work."),
    "reinstate": ("ledgerkit.cli.corrections", "Take withdrawn plates back into work."),
    "prompts": (
        "ledgerkit.cli.corrections",
        "Keep points and boxes that a person gave, for: ledgerkit sam --prompted.",
    ),
    "name": ("ledgerkit.cli.names", "Name clusters; a person's name wins, over re-runs too."),
    "describe-by-model": (
        "ledgerkit.cli.names",
        "Let a language model describe clusters; questions and answers are kept.",
    ),
    "sweep": (
        "ledgerkit.cli.sweep",
        "Try many settings on collections of plates, and find those that hold.",
    ),
    "names": ("ledgerkit.cli.names", "List the names of clusters, whose they are, and lost ones."),
    "review": (
        "ledgerkit.cli.review",
        "Ask people about pairs that a sweep leaves open; answers are records.",
    ),
    "freeze": ("ledgerkit.cli.corrections", "Verify everything and end preprocessing for good."),
    "consolidate": ("ledgerkit.cli.ledger", "Rebuild the ledgers from manifests and records."),
    "query": ("ledgerkit.cli.ledger", "Ask the ledgers in SQL, read-only."),
    "export": (
        "ledgerkit.cli.export",
        "Write segments, figures and clusterings for other tools.",
    ),
    "embed-texts": (
        "ledgerkit.cli.texts",
        "Ask a service for vectors of titles and catalogue fields.",
    ),
    "atlas": (
        "ledgerkit.cli.atlas",
        "Write pages with maps and pictures, which open from the disk.",
    ),
    "search": ("ledgerkit.cli.looking", "Show what is most like a plate, segment or image file."),
    "index": (
        "ledgerkit.cli.looking",
        "Make an approximate index of a space, outside of the archive.",
    ),
    "duplicates": (
        "ledgerkit.cli.looking",
        "Group plates that show the same picture, with the evidence.",
    ),
    "gates": ("ledgerkit.cli.looking", "List what runs found when they checked their own work."),
    "stale": ("ledgerkit.cli.looking", "Say which results and exports are out of date, and why."),
    "diff": ("ledgerkit.cli.asof", "Say what came between two checkpoints, plate by plate."),
    "lineage": ("ledgerkit.cli.ledger", "Say what something was made from, by which runs."),
    "cite": ("ledgerkit.cli.log", "Print what a paper needs to cite an answer."),
    "log": ("ledgerkit.cli.log", "Give out checkpoints, prove what is in the log, check proofs."),
    "rerun": (
        "ledgerkit.cli.rerun",
        "Execute recorded runs again and record a verdict on each output.",
    ),
    "cache": (
        "ledgerkit.cli.cache",
        "Derived pixels: see what there is, take them away, bring them back.",
    ),
    "models": ("ledgerkit.cli.models", "Keep weights for learned models, pinned and verified."),
    "recover": (
        "ledgerkit.cli.recover",
        "Finish or set aside what a crash left, and put on record what was done.",
    ),
    "quarantine": (
        "ledgerkit.cli.recover",
        "Move a damaged or unlisted file out of the way, reversibly, on record.",
    ),
    "compare": ("ledgerkit.cli.recover", "Say what differs from a replica, and who is right."),
    "restore-source": (
        "ledgerkit.cli.recover",
        "Put back from a replica what is missing or damaged, only with its recorded bytes.",
    ),
}


class LazyGroup(click.Group):
    """Commands by name, loaded when used; every operation is a command of its own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *(name for name in operation.names() if name not in operation.PLACED)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            module = importlib.import_module(COMMANDS[cmd_name][0])
            command: click.Command = getattr(module, cmd_name.replace("-", "_"))
            return command
        if cmd_name in operation.names() and cmd_name not in operation.PLACED:
            from ledgerkit.cli.operations import command_of

            return command_of(cmd_name)
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])
        with formatter.section("Operations"):
            formatter.write_dl(
                [
                    (name, operation.summary(name))
                    for name in operation.names()
                    if name not in operation.PLACED
                ]
            )


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(VERSION, prog_name="ledgerkit")
def cli() -> None:
    """A provenance-ledger dataset manager for archives of scanned plates.

    \b
    Example:
      ledgerkit init my-archive && cd my-archive
      ledgerkit ingest --catalogue data.json --images scans/
      ledgerkit status
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 well, 1 findings or failures, 2 usage, above: see docs."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    if debug:
        os.environ["LEDGERKIT_DEBUG"] = "1"
    try:
        found = cli.main(given, standalone_mode=False)
        sys.exit(found if isinstance(found, int) else 0)
    except LedgerkitError as error:
        if debug:
            raise
        _complain(error.message, error.hint)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _complain("interrupted", None)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        if debug:
            raise
        _complain(f"{error.filename or 'the system refused'}: {error.strerror or error}", None)
        sys.exit(1)


def _complain(message: str, hint: str | None) -> None:
    click.echo(f"Error: {writable(message)}", err=True)
    if hint:
        click.echo(f"  {writable(hint)}", err=True)
