"""A record to bytes and bytes to digests: the only JSON writer for anything that is hashed.

Canonical JSON is RFC 8785 (JCS): keys sorted by UTF-16 code units, no white space, numbers as
ECMAScript prints them, no NaN. Integers beyond 2**53 - 1 are refused, because readers that keep
numbers as doubles would change them; write such numbers as strings.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec
import xxhash

from ledgerkit.errors import InvalidRecord, LimitExceeded

MAX_SAFE_INTEGER = 2**53 - 1
READ_SIZE = 1 << 20
_sorted_encoder = msgspec.json.Encoder(order="sorted")
_SCALARS = (str, bool, type(None))


def canonical_bytes(value: Any) -> bytes:
    """`value` (dict, list, str, int, float, bool, None) as RFC 8785 bytes, UTF-8.

    Raises `InvalidRecord` for NaN, infinities, integers beyond 2**53 - 1, lone surrogates and
    anything that JSON cannot hold.
    """
    try:
        if _is_plain(value):
            return _sorted_encoder.encode(value)
        import rfc8785

        return rfc8785.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRecord(f"not representable as canonical JSON: {error}") from error


def _is_plain(value: Any) -> bool:
    """Whether the fast encoder prints `value` exactly as RFC 8785 does.

    It does for everything but floats whose shortest form is written differently (1.0, 1e-05, 1e+16)
    and keys outside ASCII, whose order by UTF-16 units differs from that by code points.
    """
    kind = type(value)
    if kind in _SCALARS:
        return True
    if kind is int:
        return bool(-MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER)
    if kind is float:
        return 1e-4 <= abs(value) < 1e15 and not value.is_integer()
    if kind is dict:
        return all(
            type(key) is str and key.isascii() and _is_plain(item) for key, item in value.items()
        )
    if kind is list or kind is tuple:
        return all(map(_is_plain, value))
    return False


def canonical_lines(rows: Iterable[Any]) -> bytes:
    """Rows as canonical JSON lines, each closed by a line feed."""
    return b"".join(canonical_bytes(row) + b"\n" for row in rows)


def parse_json(data: bytes, where: str, max_bytes: int = 64 << 20) -> Any:
    """JSON from others: UTF-8, no duplicate keys, no NaN, nesting as far as the parser allows.

    Raises `InvalidRecord` that names `where`, `LimitExceeded` beyond `max_bytes`.
    """
    import json

    if len(data) > max_bytes:
        raise LimitExceeded(f"{where}: {len(data)} bytes of JSON exceed max_bytes = {max_bytes}")

    def refuse_constant(text: str) -> Any:
        raise InvalidRecord(f"{where}: {text} is no number in JSON")

    def refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            keys = [key for key, _ in pairs]
            twice = sorted({key for key in keys if keys.count(key) > 1})
            raise InvalidRecord(f"{where}: key given twice: {', '.join(twice)}")
        return found

    def finite(text: str) -> float:
        number = float(text)
        return number if math.isfinite(number) else refuse_constant(text)

    try:
        text = data.decode("utf-8")
        return json.loads(
            text,
            parse_float=finite,
            parse_constant=refuse_constant,
            object_pairs_hook=refuse_duplicates,
        )
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InvalidRecord(
            f"{where}: not valid JSON: {error}", "Repair the file or restore it from a replica."
        ) from error


def sha256_hex(data: bytes | memoryview) -> str:
    """SHA-256 of `data`, 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class Digests:
    """Size and digests of one stream of bytes, taken in one pass."""

    bytes: int
    sha256: str
    xxh3_128: str


class Hasher:
    """Takes SHA-256 (the evidence) and XXH3-128 (the fast fixity check) of bytes as they pass."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._xxh3 = xxhash.xxh3_128()
        self._bytes = 0

    def update(self, data: bytes | memoryview) -> None:
        self._sha256.update(data)
        self._xxh3.update(data)
        self._bytes += len(data)

    def digests(self) -> Digests:
        return Digests(self._bytes, self._sha256.hexdigest(), self._xxh3.hexdigest())


def digest_bytes(data: bytes | memoryview) -> Digests:
    """Size and digests of `data`."""
    return Digests(len(data), hashlib.sha256(data).hexdigest(), xxhash.xxh3_128_hexdigest(data))


def digest_stream(stream: BinaryIO) -> Digests:
    """Size and digests of what is left of `stream`."""
    hasher = Hasher()
    while chunk := stream.read(READ_SIZE):
        hasher.update(chunk)
    return hasher.digests()
