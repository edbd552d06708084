"""JSON that is written element by element: sorted keys, one element a line, the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

_encoder = msgspec.json.Encoder(order="sorted")


class Sink(Protocol):
    """What takes bytes."""

    def write(self, data: bytes) -> Any:
        """Append bytes."""


def encoded(value: Any) -> bytes:
    """A JSON value in UTF-8 without white space, keys sorted."""
    return _encoder.encode(value)


def write_list(sink: Sink, values: Iterable[Any]) -> int:
    """A JSON array, one element a line; returns their number. The elements are never all in memory."""
    count = 0
    sink.write(b"[")
    for count, value in enumerate(values, 1):
        sink.write(b"\n" if count == 1 else b",\n")
        sink.write(encoded(value))
    sink.write(b"]")
    return count


def write_object(sink: Sink, fields: dict[str, Any]) -> int:
    """A JSON object whose last field is an iterable that is written as it comes, as by `write_list`.

    Returns the number of elements of that field.
    """
    names = list(fields)
    sink.write(b"{")
    for name in names[:-1]:
        sink.write(encoded(name) + b":")
        if isinstance(fields[name], list):
            write_list(sink, fields[name])
        else:
            sink.write(encoded(fields[name]))
        sink.write(b",\n")
    sink.write(encoded(names[-1]) + b":")
    count = write_list(sink, fields[names[-1]])
    sink.write(b"}\n")
    return count
