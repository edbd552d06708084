"""A table in one line a column: what it holds, what is missing (workflow W0, PEEP and POST)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    column: str
    type: str
    """Kinds of its values, in the words of Python."""
    rows: int
    missing: int
    missing_share: float
    """0..1."""
    distinct: int | None
    """Different values; null where they are not compared."""
    least: str
    """The least value, as text; empty where values are not compared."""
    greatest: str
    most_frequent: str
    most_frequent_count: int | None


def overview(columns: Columns, opaque: Mapping[str, str] | None = None) -> list[Column]:
    """A line for each column in its order; None is missing.

    Values of `opaque`, whose types it gives, are not compared.
    """
    opaque = opaque or {}
    found = []
    for name, values in columns.items():
        there = [value for value in values if value is not None]
        kinds = opaque.get(name, ", ".join(sorted({type(value).__name__ for value in there})))
        missing = len(values) - len(there)
        share = round(missing / len(values), 6) if values else 0.0
        line = (name, kinds, len(values), missing, share)
        if name in opaque or not there:
            found.append(Column(*line, None if there else 0, "", "", "", None))
            continue
        counts: dict[Any, int] = {}
        for value in there:
            counts[value] = counts.get(value, 0) + 1
        common = min(counts, key=lambda value: (-counts[value], _text(value)))
        ordered = sorted(counts) if "," not in kinds else sorted(counts, key=_text)
        told = (_text(ordered[0]), _text(ordered[-1]), _text(common), counts[common])
        found.append(Column(*line, len(counts), *told))
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def missing_most(lines: Sequence[Column], most: int) -> list[Column]:
    """The columns with the greatest share missing, ties by name; at most `most`."""
    return sorted(lines, key=lambda line: (-line.missing_share, line.column))[:most]


def to_csv(lines: Sequence[Column]) -> bytes:
    """The lines as CSV with a header, UTF-8, lines ended by a line feed."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(Column.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(line) for line in lines)
    return text.getvalue().encode()
