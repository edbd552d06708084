"""One share of the ledgers: the tables of some plates, made in a worker, checked before they leave.

Shares are concatenated and sorted by the builder, so how plates are divided changes no byte.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ledgerkit import schema
from ledgerkit.ledger.columns import (
    artifacts_table,
    failed_items_table,
    gates_table,
    plates_table,
    runs_table,
)
from ledgerkit.ledger.gather import Gathered, LoggedPlate, Seals, gather_plates
from ledgerkit.ledger.results import RESULTS, result_table
from ledgerkit.repository import Archive

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Share:
    """Some plates with what the log has of them, and what the seals say of them."""

    root: str
    plates: dict[str, LoggedPlate]
    seals: Seals
    since: int


def share_tables(share: Share) -> dict[str, pa.Table]:
    """The tables of a share. Raises `LedgerkitError` that names the first bad file and the rule.

    Reading makes millions of small values and no cycles: the collector would only look for them in
    vain, for half of the time.
    """
    archive = Archive(Path(share.root))
    collecting = gc.isenabled()
    gc.disable()
    try:
        return tables_of(archive, gather_plates(archive, share.plates, share.seals, share.since))
    finally:
        if collecting:
            gc.enable()


def tables_of(archive: Archive, gathered: Gathered) -> dict[str, pa.Table]:
    """All tables of what was gathered, each held against its schema."""
    found = {name: result_table(archive, gathered, name) for name in RESULTS}
    found |= {
        "plates": plates_table(gathered),
        "runs": runs_table(gathered),
        "artifacts": artifacts_table(gathered),
        "gates": gates_table(gathered),
        "failed_items": failed_items_table(gathered),
    }
    for name, table in found.items():
        schema.check_table(name, table, f"ledger {name}")
    return found
