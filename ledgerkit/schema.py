"""Schemas of records, documents and ledger tables: loaded once, enforced on everything.

Small documents are checked by jsonschema. Rows and tables are checked by types and vectorised
comparisons derived from the same schemas (`x-arrow` gives widths and units), so nothing is written
twice; the slow validator is only asked to explain what a fast check refused. Nothing is fetched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ledgerkit.errors import InvalidRecord

if TYPE_CHECKING:
    import pyarrow as pa

BASE = "https://ledgerkit.invalid/schemas/"
TABLES = (
    "plates", "runs", "artifacts", "headers", "measures", "hashes", "tiles", "segments",
    "embeddings", "clusters", "cluster_members", "trials", "cluster_matches", "labels",
    "descriptions", "gates", "failed_items", "figures", "fixity", "sweep_trials", "sweep_members",
    "review_pairs", "review_answers",
)  # fmt: skip
FILLED_IN = ("run_id", "subject_run_id", "log_index")
"""Columns that consolidation adds: an operation's own output never names a run."""


@cache
def folder() -> Path:
    """Where the schemas lie: inside an installed package, or at the top of a checkout."""
    package = Path(__file__).parent
    inside = package / "schemas"
    return inside if inside.is_dir() else package.parent / "schemas"


@cache
def load(name: str) -> dict[str, Any]:
    """The schema `name`, as `run.v1`, or for a ledger table `ledger.plates.v1`."""
    loaded: dict[str, Any] = json.loads((folder() / f"{name}.schema.json").read_bytes())
    return loaded


def names() -> list[str]:
    """File names of all published schemas, sorted."""
    return sorted(path.name for path in folder().glob("*.schema.json"))


@cache
def _validator(name: str) -> Any:
    from jsonschema import Draft202012Validator, FormatChecker, ValidationError, validators
    from referencing import Registry, Resource

    def pattern(validator: Any, wanted: str, value: Any, _: Any) -> Iterator[Any]:
        # `$` of Python's expressions stands before a last line feed too; that of JSON Schema does not.
        if validator.is_type(value, "string") and not re.search(wanted.replace("$", r"\Z"), value):
            yield ValidationError(f"{value!r} does not match {wanted!r}")

    strict = validators.extend(Draft202012Validator, {"pattern": pattern})
    resources = [
        (BASE + file, Resource.from_contents(json.loads((folder() / file).read_bytes())))
        for file in names()
    ]
    return strict(
        load(name), registry=Registry().with_resources(resources), format_checker=FormatChecker()
    )


def problems(name: str, value: Any) -> list[str]:
    """Every way in which `value` breaks the schema `name`, each with its path inside the document."""
    found = sorted(_validator(name).iter_errors(value), key=lambda error: error.json_path)
    return [f"{error.json_path}: {error.message[:300]}" for error in found]


def check(name: str, value: Any, where: str) -> None:
    """Raise `InvalidRecord` with all problems of `value` unless it meets the schema `name`."""
    found = problems(name, value)
    if found:
        raise InvalidRecord(f"{where} breaks {name}.schema.json: " + "; ".join(found[:5]))


def table(name: str) -> dict[str, Any]:
    """The schema of a ledger table."""
    return load(f"ledger.{name}.v1")


def columns(name: str, *, stored: bool = False) -> dict[str, dict[str, Any]]:
    """Columns of a table by name; `stored` leaves out those that consolidation fills in."""
    properties: dict[str, dict[str, Any]] = table(name)["properties"]
    return {
        column: kind for column, kind in properties.items() if not (stored and column in FILLED_IN)
    }


def nullable(column: dict[str, Any]) -> bool:
    return isinstance(column["type"], list) and "null" in column["type"]


@cache
def arrow_schema(name: str, *, stored: bool = False) -> pa.Schema:
    """The Arrow schema of a ledger table, derived from `x-arrow`; descriptions as field metadata."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field(column, _arrow_type(kind["x-arrow"]), nullable(kind))
            for column, kind in columns(name, stored=stored).items()
        ]
    )


def _arrow_type(text: str) -> Any:
    import pyarrow as pa

    if text.startswith("list<"):
        return pa.list_(pa.field("item", _arrow_type(text[5:-1]), nullable=False))
    if text == "timestamp[us, UTC]":
        return pa.timestamp("us", "UTC")
    plain: dict[str, Callable[[], Any]] = {
        "string": pa.string, "bool": pa.bool_, "int32": pa.int32, "int64": pa.int64,
        "float32": pa.float32, "float64": pa.float64,
    }  # fmt: skip
    return plain[text]()


@cache
def row_decoder(name: str) -> Any:
    """A msgspec decoder of one stored row of a table: closed, typed, with patterns and bounds."""
    import msgspec

    return msgspec.json.Decoder(_row_type(name))


@cache
def _row_type(name: str) -> Any:
    import msgspec

    fields = [
        (column, _row_field(kind), *([None] if column in later(name) else []))
        for column, kind in columns(name, stored=True).items()
    ]
    return msgspec.defstruct(
        f"{name}_row", fields, frozen=True, forbid_unknown_fields=True, gc=False, kw_only=True
    )


@cache
def later(name: str) -> tuple[str, ...]:
    """Columns that a table got after runs had stored it: null where a stored table is without them."""
    return tuple(column for column, kind in columns(name).items() if kind.get("x-later"))


def with_later(name: str, data: pa.Table) -> pa.Table:
    """A stored table with the columns that it got later, as nulls, each in its place."""
    import pyarrow as pa

    for place, field in enumerate(arrow_schema(name, stored=True)):
        if field.name in later(name) and field.name not in data.column_names:
            data = data.add_column(
                min(place, data.num_columns), field, pa.nulls(data.num_rows, field.type)
            )
    return data


def _row_field(kind: dict[str, Any]) -> Any:
    import msgspec

    base = kind["type"][0] if isinstance(kind["type"], list) else kind["type"]
    bounds: dict[str, Any] = {}
    if "minimum" in kind:
        bounds["ge"] = kind["minimum"]
    if "maximum" in kind:
        bounds["le"] = kind["maximum"]
    if "pattern" in kind:
        bounds["pattern"] = kind["pattern"].replace("$", r"\Z")
    types: dict[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool}
    if base == "array":
        limits = {"min_length": kind.get("minItems", 0), "max_length": kind.get("maxItems")}
        inner = _row_field(kind["items"])
        found: Any = Annotated[list[inner], msgspec.Meta(**limits)]  # type: ignore[valid-type]
    elif "enum" in kind:
        found = Literal[tuple(item for item in kind["enum"] if item is not None)]
    else:
        found = Annotated[types[base], msgspec.Meta(**bounds)] if bounds else types[base]
    return found | None if nullable(kind) else found


def decode_rows(name: str, data: bytes, where: str) -> list[Any]:
    """Stored rows of a table from JSON lines, as structs. Raises `InvalidRecord` naming path and rule."""
    import msgspec

    try:
        rows: list[Any] = row_decoder(name).decode_lines(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRecord(f"{where} breaks ledger.{name}.v1.schema.json: {error}") from error
    return rows


def check_table(name: str, data: pa.Table, where: str, *, stored: bool = False) -> None:
    """Raise `InvalidRecord` unless every row of `data` meets the table's schema.

    Columns and types must be exactly those of `arrow_schema`; nulls, patterns, enumerations and
    bounds are compared for the whole table at once, and the first offending row is explained.
    """
    expected = arrow_schema(name, stored=stored)
    if not data.schema.equals(expected):
        raise InvalidRecord(
            f"{where}: columns are not those of ledger.{name}.v1.schema.json: {_difference(data.schema, expected)}"
        )
    for column, kind in columns(name, stored=stored).items() if data.num_rows else ():
        for rule, broken in _broken(data.column(column), kind):
            row = _first_true(broken)
            if row is not None:
                value = data.column(column)[row].as_py()
                raise InvalidRecord(
                    f"{where}: row {row}, column {column}: {str(value)[:100]!r} breaks the rule {rule} of ledger.{name}.v1.schema.json"
                )


def _difference(found: pa.Schema, expected: pa.Schema) -> str:
    lacking = sorted(set(expected.names) - set(found.names))
    surplus = sorted(set(found.names) - set(expected.names))
    if lacking or surplus:
        return f"missing {lacking}, unknown {surplus}"
    if found.names != expected.names:
        return f"in the order {found.names}"
    return "; ".join(
        f"{have.name} is {have.type}, not {want.type}"
        for have, want in zip(found, expected, strict=True)
        if have != want
    )


def _first_true(mask: Any) -> int | None:
    import pyarrow.compute as pc

    index: int = pc.index(mask, True).as_py()
    return None if index < 0 else index


def _broken(values: Any, kind: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Pairs of rule and boolean column, true where the rule is broken; nulls break only `type`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not nullable(kind):
        yield "type (null is not allowed)", pc.is_null(values)
    if "enum" in kind:
        allowed = pa.array([item for item in kind["enum"] if item is not None], values.type)
        yield "enum", pc.and_(pc.is_valid(values), pc.invert(pc.is_in(values, value_set=allowed)))
    if "pattern" in kind:
        yield (
            "pattern " + kind["pattern"],
            pc.fill_null(pc.invert(pc.match_substring_regex(values, kind["pattern"])), False),
        )
    if "minimum" in kind:
        yield f"minimum {kind['minimum']}", pc.fill_null(pc.less(values, kind["minimum"]), False)
    if "maximum" in kind:
        yield f"maximum {kind['maximum']}", pc.fill_null(pc.greater(values, kind["maximum"]), False)
    if pa.types.is_floating(values.type):
        yield "finite", pc.fill_null(pc.invert(pc.is_finite(values)), False)
    if pa.types.is_list(values.type):
        yield from _broken_lists(values, kind)


def _broken_lists(values: Any, kind: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.list_value_length(values)
    if "minItems" in kind:
        yield (
            f"minItems {kind['minItems']}",
            pc.fill_null(pc.less(lengths, kind["minItems"]), False),
        )
    if "maxItems" in kind:
        yield (
            f"maxItems {kind['maxItems']}",
            pc.fill_null(pc.greater(lengths, kind["maxItems"]), False),
        )
    flat = pc.list_flatten(values)
    parents = pc.list_parent_indices(values)
    for rule, broken in _broken(flat, kind["items"]):
        bad = pc.filter(parents, broken)
        rows = pa.array(range(len(values)), pa.int64()) if len(bad) else None
        if rows is not None:
            yield (
                f"items: {rule}",
                pc.is_in(
                    rows,
                    value_set=pc.cast(bad, pa.int64()).combine_chunks()
                    if isinstance(bad, pa.ChunkedArray)
                    else pc.cast(bad, pa.int64()),
                ),
            )


def describe() -> list[dict[str, str]]:
    """Every table and column with type and description, from the schemas."""
    rows = []
    for name in TABLES:
        for column, kind in columns(name).items():
            rows.append(
                {
                    "table": name,
                    "column": column,
                    "type": kind["x-arrow"] + ("" if not nullable(kind) else ", nullable"),
                    "description": kind["description"],
                }
            )
    return rows
