"""A column of lists of float32 in a Parquet file, as contiguous numbers, a few pages at a time.

Readers of Parquet rebuild lists value by value from their levels, which costs several times what
the vectors themselves do. The levels of lists without nulls only repeat the lengths, so here they are
compared with the lengths that another column states, and the numbers are taken as they lie in the
page. A column written in any other way is read by pyarrow: slower, the same numbers.
Source: Apache Parquet format, "Encodings" (PLAIN, RLE hybrid), "Data Pages", and parquet.thrift;
Apache Thrift, "Compact protocol".
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from ledgerkit.errors import InvalidRecord

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    _Unpacked = tuple[bytes, NDArray[np.float32]]

THREADS = 2
HEADER_BYTES = 512
MAX_HEADER_BYTES = 1 << 16
MAX_PAGE_BYTES = 1 << 28
_DATA_PAGE, _PLAIN, _RLE = 0, 0, 3
_KNOWN_LEVELS = 64
"""Forms of repetition levels that are remembered: whole pages of equal lists have the same."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows that follow one another: their places in the file, and their numbers."""

    first: int
    """Row of the file that the block begins with."""
    offsets: NDArray[np.int64]
    """int64 (rows + 1): where each row's numbers begin in `values`."""
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Page:
    at: int
    stored: int
    size: int
    count: int


class _OtherForm(Exception):
    """The column is not written in the way that is read here."""


class ListColumn:
    """The column `name` of an open Parquet file, and the column `lengths` that states its lengths."""

    def __init__(self, file: BinaryIO, name: str, lengths: str) -> None:
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(file)
        self._descriptor = file.fileno()
        self._name, self._lengths = name, lengths
        self._known: dict[bytes, NDArray[np.int64]] = {}

    @property
    def rows(self) -> int:
        """Rows of the whole file."""
        return int(self._file.metadata.num_rows)

    def others(self, group: int, names: list[str]) -> pa.Table:
        """Other columns of a row group."""
        return self._file.read_row_group(group, columns=names)

    def groups(self) -> Iterator[tuple[int, int, int]]:
        """Number, first row and number of rows of each row group."""
        first = 0
        for group in range(self._file.num_row_groups):
            rows = self._file.metadata.row_group(group).num_rows
            yield group, first, rows
            first += rows

    def blocks(
        self, group: int, first: int, wanted: NDArray[np.bool_], most: int
    ) -> Iterator[Block]:
        """The rows of a row group, in blocks of about `most` bytes.

        `first` is the group's first row, `wanted` (rows) says which of its rows are asked for: pages
        without any are not read. Raises `InvalidRecord` where lengths are not those stated.
        """
        import numpy as np

        stated = self._file.read_row_group(group, columns=[self._lengths])[self._lengths]
        offsets = np.zeros(len(wanted) + 1, dtype=np.int64)
        np.cumsum(stated.to_numpy(), out=offsets[1:])
        try:
            pages, unpack = self._pages(group, int(offsets[-1]))
        except _OtherForm:
            yield self._by_pyarrow(group, first, offsets)
            return
        runs = list(_runs(pages, wanted, offsets, most))
        with ThreadPoolExecutor(THREADS) as threads:
            unpacked = _ahead(threads, unpack, [page for run, _ in runs for page in run])
            for run, start in runs:
                parts = [next(unpacked) for _ in run]
                values = self._numbers(run, parts, start, offsets)
                rows = np.searchsorted(offsets, [start, start + values.size])
                inside = offsets[rows[0] : rows[1] + 1] - start
                yield Block(first + int(rows[0]), inside, values)

    def _pages(self, group: int, numbers: int) -> tuple[list[_Page], Any]:
        """The pages of the column in a row group, and how one is unpacked. Raises `_OtherForm`."""
        import pyarrow as pa

        meta = self._file.metadata.row_group(group)
        places = [
            place
            for place in range(meta.num_columns)
            if meta.column(place).path_in_schema.partition(".")[0] == self._name
        ]
        column = meta.column(places[0])
        if column.physical_type != "FLOAT" or column.num_values != numbers:
            raise _OtherForm
        if column.compression not in ("ZSTD", "SNAPPY", "UNCOMPRESSED"):
            raise _OtherForm
        at = column.dictionary_page_offset or column.data_page_offset
        pages, end = [], at + column.total_compressed_size
        while at < end:
            page = self._page(at)
            pages.append(page)
            at = page.at + page.stored
        if at != end or sum(page.count for page in pages) != numbers:
            raise _OtherForm
        packed = column.compression != "UNCOMPRESSED"
        codec = pa.Codec(column.compression.lower()) if packed else None

        def unpack(page: _Page) -> _Unpacked:
            data = os.pread(self._descriptor, page.stored, page.at)
            return _parted(data if codec is None else codec.decompress(data, page.size), page)

        return pages, unpack

    def _page(self, at: int) -> _Page:
        """A page by its header, which lies at `at`. Raises `_OtherForm`."""
        length = HEADER_BYTES
        while True:
            data = os.pread(self._descriptor, length, at)
            try:
                header, size = _struct(data, 0)
                break
            except IndexError:
                if length == MAX_HEADER_BYTES:
                    raise _OtherForm from None
                length = MAX_HEADER_BYTES
        page = header.get(5)
        if header.get(1) != _DATA_PAGE or not page or page.get(2) != _PLAIN or page.get(4) != _RLE:
            raise _OtherForm
        found = _Page(at + size, header.get(3, 0), header.get(2, 0), page.get(1, 0))
        if not (found.stored > 0 and 4 * found.count < found.size <= MAX_PAGE_BYTES):
            raise _OtherForm
        return found

    def _numbers(
        self, pages: list[_Page], parts: list[_Unpacked], start: int, offsets: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The numbers of pages that follow one another, the first being number `start`."""
        import numpy as np

        at = start
        for page, (levels, _) in zip(pages, parts, strict=True):
            low, high = np.searchsorted(offsets, [at, at + page.count])
            if not np.array_equal(self._firsts(levels, page.count) + at, offsets[low:high]):
                raise _wrong(f"has other lengths than its column {self._lengths} states")
            at += page.count
        return parts[0][1] if len(parts) == 1 else np.concatenate([part for _, part in parts])

    def _firsts(self, levels: bytes, count: int) -> NDArray[np.int64]:
        """Which numbers of a page begin a list: those with repetition level 0."""
        found = self._known.get(levels)
        if found is None:
            if len(self._known) >= _KNOWN_LEVELS:
                self._known.clear()
            found = self._known[levels] = _zeros(levels, count)
        return found[: int(found.searchsorted(count))]

    def _by_pyarrow(self, group: int, first: int, offsets: NDArray[np.int64]) -> Block:
        import numpy as np

        column = self._file.read_row_group(group, columns=[self._name])[self._name].combine_chunks()
        values = column.flatten()
        own = np.asarray(column.offsets) - column.offsets[0].as_py()
        if column.null_count or values.null_count or not np.array_equal(own, offsets):
            raise _wrong(f"has other lengths than its column {self._lengths} states")
        return Block(first, offsets, values.to_numpy(zero_copy_only=False))


def _parted(data: Any, page: _Page) -> _Unpacked:
    """The repetition levels of a page, and a copy of its numbers that begins at a whole address."""
    import numpy as np

    view = memoryview(data)
    repeated = int.from_bytes(view[:4], "little")
    defined = int.from_bytes(view[4 + repeated : 8 + repeated], "little")
    begin = 8 + repeated + defined
    if len(view) != begin + 4 * page.count:  # a null or an empty list has a level and no number
        raise _wrong("holds nulls or empty lists")
    return bytes(view[4 : 4 + repeated]), np.frombuffer(view, "<f4", page.count, begin).copy()


def _ahead(
    threads: ThreadPoolExecutor, unpack: Callable[[_Page], _Unpacked], pages: list[_Page]
) -> Iterator[_Unpacked]:
    """Pages unpacked in their order, a few before they are asked for."""
    under_way: deque[Future[_Unpacked]] = deque()
    for page in pages:
        under_way.append(threads.submit(unpack, page))
        if len(under_way) > 2 * THREADS:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


def _runs(
    pages: list[_Page], wanted: NDArray[np.bool_], offsets: NDArray[np.int64], most: int
) -> Iterator[tuple[list[_Page], int]]:
    """Pages that follow one another, about `most` bytes of them, with the number they begin with.

    They begin and end with a list; pages whose lists are not wanted are left out.
    """
    import numpy as np

    counts = np.cumsum([0, *(page.count for page in pages)])
    rows = np.searchsorted(offsets, counts, "right") - 1
    whole = offsets[rows] == counts
    run: list[_Page] = []
    begun = 0
    for place, page in enumerate(pages):
        if (
            not run
            and not wanted[rows[place] : rows[place + 1]].any()
            and whole[place : place + 2].all()
        ):
            continue
        begun = begun if run else int(counts[place])
        run.append(page)
        if whole[place + 1] and 4 * (counts[place + 1] - begun) >= most:
            yield run, begun
            run = []
    if run:
        yield run, begun


def _zeros(levels: bytes, count: int) -> NDArray[np.int64]:
    """Places of zeros in levels of one bit, written as runs and as packed groups of eight."""
    import numpy as np

    found: list[int] = []
    at = place = 0
    while place < count and at < len(levels):
        header, at = _varint(levels, at)
        if header & 1:
            for byte in levels[at : at + (header >> 1)]:
                if byte != 255:
                    found += [place + bit for bit in range(8) if not byte >> bit & 1]
                place += 8
            at += header >> 1
        else:
            if not levels[at]:
                found += range(place, place + (header >> 1))
            place += header >> 1
            at += 1
    return np.array(found, dtype=np.int64)


def _struct(data: bytes, at: int) -> tuple[dict[int, Any], int]:
    """A struct of Thrift's compact protocol by field number, and where it ends.

    Raises `IndexError` where `data` ends before it.
    """
    found: dict[int, Any] = {}
    field = 0
    while kind := data[at]:
        at += 1
        if kind >> 4:
            field += kind >> 4
        else:
            field, at = _signed(data, at)
        found[field], at = _value(data, at, kind & 15)
    return found, at + 1


def _value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in (1, 2):
        return kind == 1, at
    if kind == 3:
        return data[at], at + 1
    if kind in (4, 5, 6):
        return _signed(data, at)
    if kind == 7:
        return None, at + 8
    if kind == 8:
        length, at = _varint(data, at)
        return None, at + length
    if kind == 12:
        return _struct(data, at)
    raise _OtherForm  # lists and maps stand in no header of a page


def _varint(data: bytes, at: int) -> tuple[int, int]:
    found = shift = 0
    while True:
        byte = data[at]
        at += 1
        found |= (byte & 127) << shift
        if byte < 128:
            return found, at
        shift += 7


def _signed(data: bytes, at: int) -> tuple[int, int]:
    found, at = _varint(data, at)
    return (found >> 1) ^ -(found & 1), at


def _wrong(why: str) -> InvalidRecord:
    return InvalidRecord(
        f"the ledger's column of vectors {why}", "Rebuild it: ledgerkit consolidate --rebuild"
    )
