"""A column of lists read from the pages of a Parquet file: the same numbers as pyarrow gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ledgerkit import lists
from ledgerkit.errors import InvalidRecord
from ledgerkit.ledger.build import parquet
from ledgerkit.lists import ListColumn

ROWS = 700
ITEMS = pa.list_(pa.field("item", pa.float32(), nullable=False))


def columns(*sizes: int, rows: int = ROWS) -> pa.Table:
    """`rows` lists whose lengths go round `sizes`."""
    lengths = np.resize(sizes, rows)
    numbers = np.random.default_rng(7).normal(size=lengths.sum()).astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    vector = pa.ListArray.from_arrays(offsets, numbers).cast(ITEMS)
    return pa.table({"dim": pa.array(lengths, pa.int32()), "vector": vector})


def written(path: Path, table: pa.Table, form: str) -> Path:
    if form == "ledger":
        path.write_bytes(parquet("embeddings", pl.DataFrame(pl.from_arrow(table))))
    elif form == "zstd":
        frame = pl.DataFrame(pl.from_arrow(table))
        frame.write_parquet(path, compression="zstd", row_group_size=300, data_page_size=20_000)
    else:
        options: dict[str, Any] = {
            "small pages": {"data_page_size": 1000, "use_dictionary": False},
            "dictionary": {"use_dictionary": True},
            "split": {"use_dictionary": False, "column_encoding": {"vector.list.element": "BYTE_STREAM_SPLIT"}},
            "pages of version 2": {"data_page_version": "2.0", "use_dictionary": False},
            "gzip": {"compression": "gzip", "use_dictionary": False},
        }[form]  # fmt: skip
        pq.write_table(table, path, row_group_size=300, **options)
    return path


def read(path: Path, wanted: np.ndarray, most: int = 1 << 20) -> dict[int, list[float]]:
    found = {}
    with path.open("rb") as file:
        column = ListColumn(file, "vector", "dim")
        for group, first, rows in column.groups():
            for block in column.blocks(group, first, wanted[first : first + rows], most):
                for row in range(len(block.offsets) - 1):
                    begin, end = block.offsets[row : row + 2]
                    found[block.first + row] = block.values[begin:end].tolist()
    return found


@pytest.mark.parametrize("sizes", [(512,), (33, 1274, 8)])
@pytest.mark.parametrize(
    "form",
    ["ledger", "zstd", "small pages", "dictionary", "split", "pages of version 2", "gzip"],
)
def test_every_form_gives_the_numbers_that_were_written(
    tmp_path: Path, form: str, sizes: tuple[int, ...]
) -> None:
    table = columns(*sizes)
    path = written(tmp_path / "lists.parquet", table, form)
    expected = table["vector"].to_pylist()
    for most in (1, 1 << 20):
        found = read(path, np.ones(ROWS, bool), most)
        assert [found[row] for row in range(ROWS)] == expected
    wanted = np.zeros(ROWS, bool)
    wanted[[3, 450]] = True
    found = read(path, wanted)
    assert [found[row] for row in (3, 450)] == [expected[row] for row in (3, 450)]


def test_ledgers_are_read_without_pyarrow_and_pages_without_wanted_rows_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "lists.parquet", columns(512, rows=2000), "ledger")
    monkeypatch.setattr(ListColumn, "_by_pyarrow", None)
    wanted = np.zeros(2000, bool)
    wanted[1999] = True
    assert max(read(path, wanted)) == 1999
    assert len(read(path, wanted)) < 700
    assert len(read(path, ~wanted)) == 2000


@pytest.mark.parametrize("form", ["ledger", "dictionary"])
def test_lengths_other_than_stated_are_refused(tmp_path: Path, form: str) -> None:
    table = columns(7, 9)
    wrong = pa.array(np.resize([9, 7], ROWS), pa.int32())  # the sum is right
    path = written(tmp_path / "lists.parquet", table.set_column(0, "dim", wrong), form)
    with pytest.raises(InvalidRecord, match="other lengths than its column dim"):
        read(path, np.ones(ROWS, bool))


def test_a_null_among_the_lists_is_refused(tmp_path: Path) -> None:
    vector = pa.array([[1.0, 2.0], None, [3.0]], pa.list_(pa.float32()))
    table = pa.table({"dim": pa.array([2, 1, 1], pa.int32()), "vector": vector})
    for form in ("ledger", "zstd", "dictionary"):
        path = written(tmp_path / f"{form}.parquet", table, form)
        with pytest.raises(InvalidRecord, match=r"null|other lengths"):
            read(path, np.ones(3, bool))


def test_levels_are_read_as_runs_and_as_packed_groups() -> None:
    runs = bytes([2 << 1, 0, 5 << 1, 1])
    packed = bytes([1 << 1 | 1, 0b11011110])
    assert lists._zeros(runs, 7).tolist() == [0, 1]
    assert lists._zeros(packed, 8).tolist() == [0, 5]
