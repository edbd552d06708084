"""The intent of a commit: what it moves to final names, and what it does to the log.

Whoever finds one finishes it, and a repository may come from anybody: every path in it is checked.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from ledgerkit import layout, merkle
from ledgerkit.errors import InvalidRecord, UnsafePath


@dataclass(frozen=True, slots=True)
class Move:
    """A staged folder or file and its final name, both relative to the root, and what it holds."""

    staged: str
    final: str
    digests: dict[str, str]
    """SHA-256 by path below the folder; the empty path for a file."""
    protect: tuple[str, ...] = ("",)
    """Folders at and below which nothing may be added: all of a run or cache, a plate's `source`."""


@dataclass(frozen=True, slots=True)
class LogStep:
    """What a commit does to the log beside moving new tiles into it.

    `before` and `after` are texts of the checkpoint, `superseded` folders of partial tiles whose
    full tile is among the moves: they hold nothing that it does not.
    """

    before: str | None
    after: str
    superseded: list[str]


@dataclass(frozen=True, slots=True)
class Intent:
    """What a flushed intent promises."""

    moves: list[Move]
    log: LogStep | None


def encode_intent(job_id: str, moves: list[Move], log: LogStep | None) -> bytes:
    """An intent as it is written to `.ledgerkit/intent.json`."""
    return msgspec.json.encode(
        {"schema_version": "intent.v1", "job_id": job_id, "log": log, "moves": moves}
    )


def planned(data: bytes) -> Intent:
    """What an intent does. A repository may come from anybody: its paths are checked as all are.

    Raises `InvalidRecord`, `UnsafePath`.
    """
    try:
        found = msgspec.json.decode(data, type=Intent)
        log = found.log
        if log is not None:
            merkle.parse_checkpoint(log.after)
    except (msgspec.MsgspecError, merkle.ProofInvalid, ValueError, RecursionError) as error:
        raise InvalidRecord(
            f"{layout.INTENT} is no intent: {error}",
            "Move it away once you know who wrote it: what it lists was never committed.",
        ) from error
    for move in found.moves:
        if not layout.contained_path(move.staged).startswith(f"{layout.STAGING}/"):
            raise UnsafePath(
                f"{layout.INTENT} moves {move.staged}, which is not in {layout.STAGING}"
            )
        if not layout.is_ours(layout.contained_path(move.final)):
            raise UnsafePath(f"{layout.INTENT} moves something to {move.final}")
        for below in (*move.digests, *move.protect):
            if below:
                layout.contained_path(below)
    for folder in log.superseded if log else ():
        if not (layout.is_ours(layout.contained_path(folder)) and folder.endswith(".p")):
            raise UnsafePath(f"{layout.INTENT} removes {folder}, which holds no partial tiles")
    return found
