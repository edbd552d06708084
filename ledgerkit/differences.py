"""How a file that was made again differs from the recorded one: tables, documents, images, bytes.

Tables are compared column by column: numbers within a tolerance, everything else exactly. The
operation may state `TOLERANCE`, a dictionary of column to `absolute`, `relative` and `cosine`; what it
does not state is `DEFAULT_TOLERANCE` of the column's type, which leaves room for sums taken in another
order and for nothing else. A number is within it when it differs by at most absolute + relative *
|recorded|; a vector for which `cosine` is stated, when its cosine distance is at most that.

Keeps out: what is equal byte for byte, which digests tell without opening anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ledgerkit import schema
from ledgerkit.canonical import READ_SIZE
from ledgerkit.errors import LedgerkitError
from ledgerkit.reading import RecordedFile, Tree
from ledgerkit.records import Output
from ledgerkit.staging import JSON_LINES, PARQUET

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

SAME_BYTES = "same bytes"
SAME_PIXELS = "same pixels"
WITHIN_TOLERANCE = "within tolerance"
DIFFERS = "differs"
NOT_COMPARABLE = "not comparable"
Tolerance = Mapping[str, Mapping[str, float]]
DEFAULT_TOLERANCE: dict[str, dict[str, float]] = {
    "double": {"absolute": 1e-12, "relative": 1e-9},
    "float": {"absolute": 1e-7, "relative": 1e-5},
}
"""By Arrow's name of the type: float64 and float32, alone or in lists."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What a comparison found. `maximum` is the greatest difference of two numbers, None without any."""

    verdict: str
    maximum: float | None = None
    where: str | None = None
    why: str | None = None


def compare(
    tree: Tree, recorded: Output, found: str, tolerance: Tolerance, renamed: Mapping[str, str]
) -> Difference:
    """Compare the recorded file with the one at `found`, whose bytes differ from it.

    `renamed` says which digests stand for the same pixels now. A recorded file that is gone, or is
    not as it was recorded, cannot be compared with anything.
    """
    try:
        RecordedFile(
            tree.root, recorded.path, recorded.role, recorded.bytes, recorded.sha256
        ).open().close()
    except LedgerkitError as error:
        return Difference(NOT_COMPARABLE, why=error.message)
    if recorded.role.startswith("table:"):
        table = recorded.role.removeprefix("table:")
        old = _table(tree.read_checked(recorded.path, recorded.sha256), recorded.media_type, table)
        new = _table(tree.read(found, max_bytes=1 << 32), recorded.media_type, table)
        return compare_tables(table, old, new, tolerance, renamed)
    if recorded.media_type == "application/json":
        return _documents(tree.read(recorded.path), tree.read(found))
    if recorded.media_type.startswith("image/"):
        return _images(tree, recorded.path, found)
    return _bytes(tree, recorded.path, found)


def _table(data: bytes, media_type: str, table: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if media_type == JSON_LINES:
        rows = [json.loads(line) for line in data.splitlines()]
        return pa.Table.from_pylist(rows, schema.arrow_schema(table, stored=True))
    assert media_type == PARQUET
    return pq.read_table(pa.BufferReader(data))


def compare_tables(
    table: str, old: pa.Table, new: pa.Table, tolerance: Tolerance, renamed: Mapping[str, str]
) -> Difference:
    """Two tables of one schema, row by row in the order of their keys, column after column."""
    if old.num_rows != new.num_rows:
        return Difference(DIFFERS, None, f"{old.num_rows} rows are recorded, {new.num_rows} now")
    key = [column for column in schema.table(table)["x-key"] if column in old.column_names]
    if key:
        order = [(column, "ascending") for column in key]
        old, new = old.sort_by(order), new.sort_by(order)
    maximum: float | None = None
    for column in old.column_names:
        kept, made = old.column(column).combine_chunks(), new.column(column).combine_chunks()
        apart, row = _column(kept, made, tolerance.get(column), renamed)
        if apart is not None:
            maximum = max(apart, maximum or 0.0)
        if row is not None:
            named = ", ".join(f"{name} {old.column(name)[row].as_py()}" for name in key)
            said = f"{_short(kept[row].as_py())} recorded, {_short(made[row].as_py())} now"
            where = f"column {column}, row {row}{f' ({named})' if named else ''}: {said}"
            return Difference(DIFFERS, maximum, where)
    return Difference(WITHIN_TOLERANCE, maximum)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _column(
    old: pa.Array, new: pa.Array, stated: Mapping[str, float] | None, renamed: Mapping[str, str]
) -> tuple[float | None, int | None]:
    """The greatest difference of two columns' numbers, and the first row that is not tolerable."""
    import pyarrow as pa
    import pyarrow.compute as pc

    inner = old.type.value_type if pa.types.is_list(old.type) else old.type
    if not pa.types.is_floating(inner):
        return None, _first_unequal(old, new, renamed)
    row = _first(pc.not_equal(pc.is_null(old), pc.is_null(new)))
    if row is not None:
        return None, row
    rule = stated or DEFAULT_TOLERANCE[str(inner)]
    if inner is old.type:
        return _numbers(_floats(old), _floats(new), rule)
    lengths = pc.not_equal(pc.list_value_length(old), pc.list_value_length(new))
    row = _first(pc.fill_null(lengths, False))
    return (None, row) if row is not None else _vectors(old, new, rule)


def _first(mask: Any) -> int | None:
    import pyarrow.compute as pc

    place: int = pc.index(mask, True).as_py()
    return None if place < 0 else place


def _first_unequal(old: pa.Array, new: pa.Array, renamed: Mapping[str, str]) -> int | None:
    kept, made = old.to_pylist(), new.to_pylist()
    return next(
        (
            row
            for row, (one, other) in enumerate(zip(kept, made, strict=True))
            if one != other and not (isinstance(one, str) and renamed.get(one) == other)
        ),
        None,
    )


def _floats(values: pa.Array) -> NDArray[Any]:
    """Numbers as float64, null as 0: nulls are compared before."""
    import numpy as np
    import pyarrow.compute as pc

    return np.asarray(pc.fill_null(values, 0).to_numpy(zero_copy_only=False), np.float64)


def _numbers(
    old: NDArray[Any], new: NDArray[Any], rule: Mapping[str, float]
) -> tuple[float | None, int | None]:
    import numpy as np

    if not len(old):
        return None, None
    apart = np.abs(new - old)
    beyond = apart > rule.get("absolute", 0.0) + rule.get("relative", 0.0) * np.abs(old)
    return float(apart.max()), int(beyond.argmax()) if beyond.any() else None


def _vectors(
    old: pa.Array, new: pa.Array, rule: Mapping[str, float]
) -> tuple[float | None, int | None]:
    import numpy as np
    import pyarrow.compute as pc

    kept, made = _floats(pc.list_flatten(old)), _floats(pc.list_flatten(new))
    apart, place = _numbers(kept, made, rule)
    if "cosine" not in rule:
        rows = pc.list_parent_indices(old)
        return apart, None if place is None else int(rows[place].as_py())
    lengths = pc.fill_null(pc.list_value_length(old), 0).to_numpy(zero_copy_only=False)
    edges = np.concatenate([[0], np.cumsum(lengths)]).tolist()
    for row, (start, end) in enumerate(pairwise(edges)):
        if cosine_distance(kept[start:end], made[start:end]) > rule["cosine"]:
            return apart, row
    return apart, None


def cosine_distance(old: NDArray[Any], new: NDArray[Any]) -> float:
    """1 - cosine of the angle between two vectors: 0 for one direction, 2 for opposite ones.

    A zero vector lies at 0 from a zero vector and at 1 from every other.
    """
    import numpy as np

    lengths = float(np.linalg.norm(old) * np.linalg.norm(new))
    if not lengths:
        return float(bool(np.any(old) or np.any(new)))
    return 1.0 - float(np.dot(old, new)) / lengths


def _documents(old: bytes, new: bytes) -> Difference:
    """Two JSON documents: numbers within the default tolerance, everything else exactly."""
    apart = [0.0]
    where = _first_other(json.loads(old), json.loads(new), "$", apart)
    return Difference(DIFFERS if where else WITHIN_TOLERANCE, max(apart), where)


def _first_other(old: Any, new: Any, path: str, apart: list[float]) -> str | None:
    numbers = (int, float)
    if type(old) in numbers and type(new) in numbers:
        apart.append(abs(float(new) - float(old)))
        rule = DEFAULT_TOLERANCE["double"]
        if apart[-1] <= rule["absolute"] + rule["relative"] * abs(old):
            return None
    elif isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        found = (_first_other(old[name], new[name], f"{path}.{name}", apart) for name in old)
        return next((where for where in found if where), None)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        found = (_first_other(*both, f"{path}[{place}]", apart) for place, both in pairs)
        return next((where for where in found if where), None)
    elif type(old) is type(new) and old == new:
        return None
    return f"{path}: {_short(old)} recorded, {_short(new)} now"


def _images(tree: Tree, recorded: str, found: str) -> Difference:
    from ledgerkit.imaging.difference import pixel_difference

    try:
        with tree.open(recorded) as old, tree.open(found) as new:
            apart = pixel_difference(old, new)
    except LedgerkitError as error:
        return Difference(NOT_COMPARABLE, why=error.message)
    if apart.maximum == 0:
        return Difference(SAME_PIXELS, 0.0)
    return Difference(DIFFERS, apart.maximum, f"pixels differ: {apart.message}")


def _bytes(tree: Tree, recorded: str, found: str) -> Difference:
    """The first byte that differs; a shorter file differs where it ends."""
    place = 0
    with tree.open(recorded) as old, tree.open(found) as new:
        while True:
            kept, made = old.read(READ_SIZE), new.read(READ_SIZE)
            if kept != made or not kept:
                break
            place += len(kept)
    ends = min(len(kept), len(made))
    first = next((at for at in range(ends) if kept[at] != made[at]), ends)
    return Difference(DIFFERS, None, f"byte {place + first}")
