"""Ledgers that lie there already, as the beginning of the next: only where they can be trusted.

They are when `ledger.json` names the present versions, the log begins with the entries that it says,
and every file has the digest that it lists.
"""

from __future__ import annotations

import base64
import binascii
import io
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from ledgerkit import layout, schema
from ledgerkit.errors import LedgerkitError
from ledgerkit.ledger.document import ledger_document
from ledgerkit.repository import Archive
from ledgerkit.software import VERSION
from ledgerkit.staged import Sealed

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Former:
    """The tables of the ledgers at `size` entries of the log, as frames and as bytes."""

    size: int
    frames: dict[str, pl.DataFrame]
    files: dict[str, bytes]

    def seals(self, plates: list[str]) -> dict[str, Sealed]:
        """What was sealed of these plates, by path, as the rows of their seal runs say."""
        import polars as pl

        seal = self.frames["runs"].filter(pl.col("operation") == "seal").select("run_id")
        rows = (
            self.frames["artifacts"]
            .filter(
                pl.col("direction") == "output",
                pl.col("role").is_in(["manifest", "source"]),
                pl.col("path").str.split("/").list.get(1, null_on_oob=True).is_in(plates),
            )
            .join(seal, on="run_id", how="semi")
            .sort("log_index", descending=True)
        )
        columns = ("path", "sha256", "xxh3_128", "bytes", "media_type", "run_id")
        return {
            path: Sealed(sha256, xxh3, size, media_type, run_id)
            for path, sha256, xxh3, size, media_type, run_id in rows.select(columns).iter_rows()
        }


def versions() -> dict[str, str]:
    """Versions of the software that the bytes of the tables depend on."""
    return {
        "ledgerkit": VERSION,
        "polars": metadata.version("polars"),
        "pyarrow": metadata.version("pyarrow"),
    }


def former_ledgers(archive: Archive) -> Former | None:
    """The present ledgers, if the next can be built on top of them; None for a rebuild."""
    document = ledger_document(archive.tree)
    if document is None or document.get("versions") != versions():
        return None
    if set(document["tables"]) != set(schema.TABLES) or not document["log_size"]:
        return None
    try:
        root = base64.b64decode(str(document["log_root"]), validate=True)
        if archive.log.root_at(document["log_size"]) != root:
            return None
        files = {
            name: archive.tree.read_checked(f"{layout.LEDGER}/{name}.parquet", table["sha256"])
            for name, table in document["tables"].items()
        }
        frames = {name: _frame(data) for name, data in files.items()}
    except (LedgerkitError, OSError, binascii.Error, ValueError):
        return None
    if any(list(frames[name].columns) != list(schema.columns(name)) for name in frames):
        return None
    return Former(document["log_size"], frames, files)


def _frame(data: bytes) -> pl.DataFrame:
    import polars as pl

    return pl.read_parquet(io.BytesIO(data))
