"""The current vectors of one kind and space in the ledgers, streamed from their Parquet file.

DuckDB says which rows count, by their places in the file; the numbers are read as they lie there, so
that memory is that of a few pages and of one bit for each row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledgerkit.errors import InvalidRecord, QueryRefused
from ledgerkit.lists import Block, ListColumn
from ledgerkit.opened import CURRENT_VECTORS, quoted
from ledgerkit.query import Ledgers

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

BLOCK_BYTES = 1 << 20
"""Bytes of vectors that are given at a time: a page of the ledger, which fits a processor's cache."""
_PLACES = f"""
    SELECT file_row_number FROM read_parquet({{file}}, file_row_number = true)
    WHERE subject_kind = ? AND space_id = ? AND subject_id <> ? AND {CURRENT_VECTORS}"""
Row = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the vectors."""

    matrix: NDArray[np.float32]
    """float32 (n, d)."""
    places: NDArray[np.int64]
    """Their rows in the ledger's file, int64 (n,), rising."""
    name_of: Callable[[int], Row]
    """Subject id, and subject id, plate and log index, of a row of `matrix`."""


class LedgerVectors:
    """The vectors in the ledgers of one moment. Raises `InvalidRecord` for a file that is damaged."""

    def __init__(self, ledgers: Ledgers) -> None:
        self._ledgers = ledgers
        with _read_errors():
            self._column = ListColumn(ledgers.files["embeddings"].file, "vector", "dim")

    @property
    def rows(self) -> int:
        """Rows of the file, current or not."""
        return self._column.rows

    def places(self, kind: str, space: str, without: str = "") -> NDArray[np.bool_]:
        """Which rows of the file are current vectors of a kind (plate, tile ...) and space.

        `without` is the id of a subject whose own are left out.
        """
        import numpy as np

        sql = _PLACES.format(file=quoted(self._ledgers.files["embeddings"].path))
        found = self._ledgers.table(sql, [kind, space, without])
        wanted = np.zeros(self.rows, dtype=np.bool_)
        wanted[found["file_row_number"].to_numpy()] = True
        return wanted

    def parts(
        self, wanted: NDArray[np.bool_], dimension: int, block_bytes: int = BLOCK_BYTES
    ) -> Iterator[Part]:
        """The vectors at the places that are wanted, in their order.

        Raises `InvalidRecord` for one that has not `dimension` numbers, `QueryRefused` at the time limit.
        """
        began = time.monotonic()
        with _read_errors():
            for group, first, rows in self._column.groups():
                inside = wanted[first : first + rows]
                if not inside.any():
                    continue
                names = _Names(self._column, group, first)
                for block in self._column.blocks(group, first, inside, block_bytes):
                    yield _part(block, wanted, dimension, names)
                    if time.monotonic() - began > self._ledgers.limits.seconds:
                        raise QueryRefused(
                            f"it took longer than {self._ledgers.limits.seconds:g} seconds "
                            "to read the vectors"
                        )


class _read_errors:  # noqa: N801
    """What Arrow and the system raise for a damaged file becomes `InvalidRecord`."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        import pyarrow as pa

        if isinstance(error, (pa.ArrowException, OSError)):
            raise InvalidRecord(
                f"ledger/embeddings.parquet cannot be read: {str(error)[:200]}",
                "Rebuild the ledgers with: ledgerkit consolidate --rebuild",
            ) from error


class _Names:
    """Who the rows of one row group are: read when the first of them is asked for."""

    def __init__(self, column: ListColumn, group: int, first: int) -> None:
        self._column, self._group, self._first = column, group, first
        self._table: pa.Table | None = None

    def of(self, place: int) -> Row:
        """The row at a place of the file."""
        if self._table is None:
            self._table = self._column.others(self._group, ["subject_id", "plate_id", "log_index"])
        row = self._table.slice(place - self._first, 1).to_pylist()[0]
        return str(row["subject_id"]), row


def _part(block: Block, wanted: NDArray[np.bool_], dimension: int, names: _Names) -> Part:
    import numpy as np

    chosen = np.flatnonzero(wanted[block.first : block.first + len(block.offsets) - 1])
    begins = block.offsets[chosen]
    if (block.offsets[chosen + 1] - begins != dimension).any():
        raise InvalidRecord(
            f"vectors of one space have other than {dimension} numbers",
            'See which: ledgerkit query "SELECT subject_id, dim FROM current_embeddings"',
        )
    if block.values.size == dimension * (len(block.offsets) - 1):
        matrix = block.values.reshape(-1, dimension)
        matrix = matrix if len(matrix) == len(chosen) else matrix[chosen]
    else:
        matrix = block.values[begins[:, None] + np.arange(dimension)]
    places = chosen + block.first
    return Part(matrix, places, lambda row: names.of(int(places[row])))
