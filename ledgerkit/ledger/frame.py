"""Answers as polars DataFrames: the one form in which Python users get tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


def from_arrow(table: pa.Table) -> pl.DataFrame:
    """An Arrow table as a DataFrame, without copying where the types allow it."""
    import polars as pl

    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
