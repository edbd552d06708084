"""Every rule of every schema is enforced: on documents, on single rows and on whole tables."""

from __future__ import annotations

import copy
import json
import re
from datetime import datetime
from functools import cache
from typing import Any

import pyarrow as pa
import pytest

from ledgerkit import schema
from ledgerkit.canonical import canonical_bytes
from ledgerkit.errors import InvalidRecord

_KEYWORDS = {
    "type", "description", "x-arrow", "enum", "pattern", "minimum", "maximum", "items",
    "minItems", "maxItems", "x-unit", "x-later",
}  # fmt: skip
"""Keywords of columns that are enforced or only described; any other would be silently ignored."""

_GOOD_TEXTS = (
    "plate-001", "run-20240101-000000Z-0123456789ab", "job-20240101-000000Z-01234567", "0" * 64,
    "0" * 32, "collection", "headers", "2024-01-01T00:00:00.000000Z", "x", "tile-" + "0" * 16,
    "segment-" + "0" * 16, "plate", "input", "outputs/a", "complete", "{}",
)  # fmt: skip


def _base(kind: dict[str, Any]) -> str:
    found = kind["type"]
    return str(next(one for one in found if one != "null") if isinstance(found, list) else found)


def _good(kind: dict[str, Any]) -> Any:
    """A value that meets the column's schema."""
    if "enum" in kind:
        return next(item for item in kind["enum"] if item is not None)
    base = _base(kind)
    if base == "string":
        if "timestamp" in kind.get("x-arrow", ""):
            return "2024-01-01T00:00:00.000000Z"
        if "pattern" not in kind:
            return "text"
        fitting = [text for text in _GOOD_TEXTS if re.search(kind["pattern"], text)]
        return fitting[0] if fitting else _made(kind["pattern"])
    if base == "array":
        return [_good(kind["items"])] * max(kind.get("minItems", 1), 1)
    if base == "boolean":
        return True
    low, high = kind.get("minimum"), kind.get("maximum")
    number = low if low is not None else high if high is not None else 1
    return int(number) if base == "integer" else float(number)


def _made(pattern: str) -> str:
    """A text that matches a pattern made of letters, classes and counts."""
    text = pattern.strip("^$")
    text = re.sub(r"\[[^]]*\]\{(\d+)(,\d*)?\}", lambda found: "0" * int(found[1]), text)
    text = re.sub(r"\(([^|)]*)[^)]*\)", r"\1", text)
    text = re.sub(r"\[(.)[^]]*\][+*]?", r"\1", text)
    assert re.search(pattern, text), f"no text for {pattern}: tried {text}"
    return text


def _bad(kind: dict[str, Any]) -> list[tuple[str, Any]]:
    """For each rule of a column a value that breaks it and no other, as far as that is possible."""
    found: list[tuple[str, Any]] = []
    base = _base(kind)
    if not schema.nullable(kind):
        found.append(("type (null", None))
    if "enum" in kind:
        found += [("enum", "no such item"), ("enum", str(_good(kind)) + "\n")]
    if "pattern" in kind:
        good = str(_good(kind))
        found += [("pattern", text) for text in (good + "\n", "\n" + good, " " + good, "?", "")]
    if "minimum" in kind:
        found.append(("minimum", kind["minimum"] - 1))
    if "maximum" in kind:
        found.append(("maximum", kind["maximum"] + 1))
    if base == "number":
        found += [("finite", float("nan")), ("finite", float("inf"))]
    if base == "array":
        good = _good(kind["items"])
        if kind.get("minItems"):
            found.append(("minItems", [good] * (kind["minItems"] - 1)))
        if "maxItems" in kind:
            found.append(("maxItems", [good] * (kind["maxItems"] + 1)))
        length = max(kind.get("minItems", 1), 1)
        found += [("items", [good] * (length - 1) + [bad]) for _, bad in _bad(kind["items"])]
    return found


_BREACHES = [
    (table, column, place)
    for table in schema.TABLES
    for column, kind in schema.columns(table).items()
    for place in range(len(_bad(kind)))
]


def _stored(table: str) -> dict[str, Any]:
    return {name: _good(kind) for name, kind in schema.columns(table, stored=True).items()}


def _table(name: str, rows: list[dict[str, Any]], *, stored: bool = False) -> pa.Table:
    """Rows as Arrow, nulls allowed everywhere, as a careless writer would make it."""
    wanted = schema.arrow_schema(name, stored=stored)
    fields = []
    for field in wanted:
        kind = field.type
        if pa.types.is_list(kind):
            kind = pa.list_(pa.field("item", kind.value_type, nullable=True))
        fields.append(pa.field(field.name, kind, True))
    columns = []
    for field in fields:
        values = [row[field.name] for row in rows]
        if pa.types.is_timestamp(field.type):
            times = [datetime.fromisoformat(value) if value else None for value in values]
            columns.append(pa.array(times, field.type))
        else:
            columns.append(pa.array(values, field.type))
    return pa.table(
        [_retyped(array, field.type) for array, field in zip(columns, wanted, strict=True)],
        schema=wanted,
    )


def _retyped(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """The same values under a type that promises that no item is null, true or not."""
    if not pa.types.is_list(wanted):
        return array
    return pa.ListArray.from_buffers(
        wanted, len(array), array.buffers()[:2], children=[array.values], offset=array.offset
    )


@cache
def _good_rows(table: str) -> str:
    return json.dumps({name: _good(kind) for name, kind in schema.columns(table).items()})


def _good_row(table: str) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(_good_rows(table))
    return row


@pytest.mark.parametrize("table", schema.TABLES)
def test_only_keywords_that_are_enforced_are_used(table: str) -> None:
    for column, kind in schema.columns(table).items():
        allowed = _KEYWORDS | ({"format"} if "timestamp" in kind["x-arrow"] else set())
        assert set(kind) <= allowed, column
        assert set(kind.get("items", {})) <= _KEYWORDS, column
        assert kind["description"], column


@pytest.mark.parametrize("table", [name for name in schema.TABLES if schema.later(name)])
def test_a_table_stored_before_a_column_came_is_read_with_nulls(table: str) -> None:
    old = {name: value for name, value in _stored(table).items() if name not in schema.later(table)}
    (row,) = schema.decode_rows(table, canonical_bytes(old), "here")
    assert {getattr(row, name) for name in schema.later(table)} == {None}
    stored = _table(table, [_stored(table)], stored=True).drop_columns(list(schema.later(table)))
    read = schema.with_later(table, stored)
    schema.check_table(table, read, "here", stored=True)
    assert {read.column(name).null_count for name in schema.later(table)} == {1}


def test_a_column_that_came_later_may_be_null() -> None:
    for table in schema.TABLES:
        kinds = schema.columns(table)
        assert all(schema.nullable(kinds[name]) for name in schema.later(table)), table


@pytest.mark.parametrize("table", schema.TABLES)
def test_a_good_row_is_taken_as_row_and_as_table(table: str) -> None:
    stored = _stored(table)
    (row,) = schema.decode_rows(table, canonical_bytes(stored), "here")
    assert {name: getattr(row, name) for name in stored} == stored
    schema.check_table(table, _table(table, [stored] * 2, stored=True), "here", stored=True)
    schema.check_table(table, _table(table, [_good_row(table)] * 2), "here")
    assert schema.problems(f"ledger.{table}.v1", _good_row(table)) == []


@pytest.mark.parametrize("table", schema.TABLES)
def test_nulls_are_taken_where_they_may_stand(table: str) -> None:
    rows = [_good_row(table), _good_row(table)]
    rows[1] |= {name: None for name, kind in schema.columns(table).items() if schema.nullable(kind)}
    schema.check_table(table, _table(table, rows), "here")
    assert schema.problems(f"ledger.{table}.v1", rows[1]) == []
    stored = {name: rows[1][name] for name in schema.columns(table, stored=True)}
    schema.decode_rows(table, canonical_bytes(stored), "here")


@pytest.mark.parametrize(("table", "column", "place"), _BREACHES)
def test_each_rule_of_each_column_is_enforced_on_whole_tables(
    table: str, column: str, place: int
) -> None:
    rule, bad = _bad(schema.columns(table)[column])[place]
    rows = [_good_row(table) for _ in range(3)]
    rows[1][column] = bad
    if "timestamp" in schema.columns(table)[column]["x-arrow"] and bad is not None:
        pytest.skip("a time is no text in Arrow")
    with pytest.raises(InvalidRecord) as raised:
        schema.check_table(table, _table(table, rows), "the table")
    message = str(raised.value)
    assert f"row 1, column {column}" in message
    assert rule in message or bad == float("inf")
    assert message.startswith("the table")


@pytest.mark.parametrize(("table", "column", "place"), _BREACHES)
def test_each_rule_of_each_column_is_enforced_on_rows(table: str, column: str, place: int) -> None:
    rule, bad = _bad(schema.columns(table)[column])[place]
    row = _good_row(table) | {column: bad}
    if rule != "finite" and "NaN" not in json.dumps(row) and "Infinity" not in json.dumps(row):
        assert schema.problems(f"ledger.{table}.v1", row), "the slow validator takes it"
    if column not in schema.columns(table, stored=True):
        return
    stored = {name: row[name] for name in schema.columns(table, stored=True)}
    with pytest.raises(InvalidRecord, match="the rows"):
        schema.decode_rows(table, json.dumps(stored).encode(), f"the rows of {table}")


@pytest.mark.parametrize("table", schema.TABLES)
def test_unknown_missing_and_mistyped_columns_are_refused(table: str) -> None:
    row = _stored(table)
    name, kind = next(iter(schema.columns(table, stored=True).items()))
    wrong: Any = 7 if _base(kind) == "string" else "text"
    for changed in (
        row | {"surplus": 1},
        {k: v for k, v in row.items() if k != name},
        row | {name: wrong},
    ):
        with pytest.raises(InvalidRecord):
            schema.decode_rows(table, json.dumps(changed).encode(), "here")
    good = _table(table, [_good_row(table)])
    for changed_table, said in (
        (good.append_column("surplus", pa.array([1])), "surplus"),
        (good.drop_columns([good.column_names[-1]]), good.column_names[-1]),
        (good.select(list(reversed(good.column_names))), "order"),
    ):
        with pytest.raises(InvalidRecord, match=said):
            schema.check_table(table, changed_table, "here")
    place = next(i for i, field in enumerate(good.schema) if field.type == pa.string())
    mistyped = good.set_column(
        place,
        pa.field(good.schema[place].name, pa.large_string()),
        good.column(place).cast(pa.large_string()),
    )
    with pytest.raises(InvalidRecord, match="large_string"):
        schema.check_table(table, mistyped, "here")


def test_breaches_far_down_and_in_later_chunks_are_found() -> None:
    good = _table("headers", [_good_row("headers")] * 100)
    bad = _good_row("headers")
    bad["plate_id"] = "plate-001\n"
    table = pa.concat_tables([good, good, _table("headers", [bad])])
    with pytest.raises(InvalidRecord, match="row 200, column plate_id"):
        schema.check_table("headers", table, "here")


def test_breaches_within_lists_of_sliced_tables_are_found() -> None:
    rows = [_good_row("segments") for _ in range(6)]
    column = next(
        name
        for name, kind in schema.columns("segments").items()
        if _base(kind) == "array" and _bad(kind["items"])
    )
    kind = schema.columns("segments")[column]
    good = _table("segments", rows)
    schema.check_table("segments", good.slice(2, 3), "here")
    wrong = next(bad for rule, bad in _bad(kind) if rule == "items" and None not in bad)
    rows[4][column] = wrong
    with pytest.raises(InvalidRecord, match=f"row 2, column {column}"):
        schema.check_table("segments", _table("segments", rows).slice(2), "here")


def test_all_problems_of_a_document_are_told() -> None:
    document = {"schema_version": "repository.v1", "repository_id": "x", "surplus": 1}
    with pytest.raises(InvalidRecord) as raised:
        schema.check("repository.v1", document, "the document")
    for told in ("the document", "created_at", "created_by", "repository_id", "surplus"):
        assert told in str(raised.value)


def test_a_trailing_line_feed_is_no_part_of_an_identifier() -> None:
    """`$` of Python's expressions stands before a last line feed too; that of JSON Schema does not."""
    document = {
        "schema_version": "repository.v1",
        "repository_id": "01234567-89ab-4def-8123-456789abcdef",
        "created_at": "2024-01-01T00:00:00.000000Z",
        "created_by": "me",
    }
    assert schema.problems("repository.v1", document) == []
    for name in ("repository_id", "created_at"):
        changed = copy.deepcopy(document)
        changed[name] += "\n"
        assert schema.problems("repository.v1", changed), name


@pytest.mark.parametrize("name", [name.removesuffix(".schema.json") for name in schema.names()])
def test_every_schema_is_one_and_is_closed(name: str) -> None:
    from jsonschema import Draft202012Validator

    document = schema.load(name)
    Draft202012Validator.check_schema(document)
    assert document["$id"] == f"{schema.BASE}{name}.schema.json"
    rows = document["items"] if document["type"] == "array" else document
    assert rows["additionalProperties"] is False
    assert document["title"]
    assert document["description"]
    assert set(rows["required"]) <= set(rows["properties"])


def test_every_table_has_a_schema_with_a_key() -> None:
    listed = {
        name.split(".")[1] for name in schema.names() if re.match(r"ledger\.[a-z_]+\.v1", name)
    }
    assert listed == set(schema.TABLES)
    for table in schema.TABLES:
        assert set(schema.table(table)["x-key"]) <= set(schema.columns(table))
        assert set(schema.table(table)["required"]) == set(schema.columns(table))
