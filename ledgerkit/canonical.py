"""A record to bytes and bytes to digests: the only JSON writer for anything that is hashed.

Canonical JSON is RFC 8785 (JCS): keys sorted by UTF-16 code units, no white space, numbers as
ECMAScript prints them, no NaN. Integers beyond 2**53 - 1 are refused, because readers that keep
numbers as doubles would change them; write such numbers as strings.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec
import xxhash

from ledgerkit.errors import InvalidRecord, LimitExceeded

MAX_SAFE_INTEGER = 2**53 - 1
READ_SIZE = 1 << 20
MAX_JSON_BYTES = 64 << 20
MAX_DEPTH = 100
"""Lists and objects that lie in each other in a JSON document."""
MAX_INTEGER_DIGITS = 1000
"""Turning digits into an integer takes time that grows with their square."""
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
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


OF_THE_USER = "Correct the file and give it again."
"""The way out for a file that somebody gave with a command."""


def parse_json(
    data: bytes,
    where: str,
    max_bytes: int = MAX_JSON_BYTES,
    *,
    lone_surrogates: bool = False,
    hint: str = "Repair the file or restore it from a replica.",
) -> Any:
    """JSON from others: UTF-8, no duplicate keys, no NaN, no lone surrogates (unless allowed), in limits.

    `hint` is the way out where it is no JSON. Raises `InvalidRecord` that names `where`; `LimitExceeded` that names the setting beyond
    `max_bytes`, `MAX_DEPTH` or `MAX_INTEGER_DIGITS`.
    """
    if len(data) > max_bytes:
        raise LimitExceeded(f"{where}: {len(data)} bytes of JSON exceed max_bytes = {max_bytes}")
    try:
        value = _load(data.decode("utf-8"), where)
    except RecursionError as error:
        raise _too_deep(where) from error
    except (UnicodeDecodeError, ValueError) as error:
        raise InvalidRecord(f"{where}: not valid JSON: {error}", hint) from error
    texts = not lone_surrogates and _SURROGATE.search(data) is not None
    if texts or data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        refuse_deep(value, where, texts)
    return value


def _load(text: str, where: str) -> Any:
    import json

    def refuse_constant(text: str) -> Any:
        raise InvalidRecord(f"{where}: {text[:40]} is no number in JSON")

    def refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            twice = sorted(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
            raise InvalidRecord(f"{where}: key given twice: {', '.join(twice[:5])[:200]}")
        return found

    def finite(text: str) -> float:
        number = float(text)
        return number if math.isfinite(number) else refuse_constant(text)

    def whole(text: str) -> int:
        if len(text) > MAX_INTEGER_DIGITS:
            raise LimitExceeded(
                f"{where}: an integer of {len(text)} digits exceeds max_integer_digits = "
                f"{MAX_INTEGER_DIGITS}"
            )
        return int(text)

    return json.loads(
        text,
        parse_float=finite,
        parse_int=whole,
        parse_constant=refuse_constant,
        object_pairs_hook=refuse_duplicates,
    )


def _too_deep(where: str) -> LimitExceeded:
    return LimitExceeded(f"{where}: JSON nested more deeply than max_depth = {MAX_DEPTH}")


def refuse_deep(value: Any, where: str, texts: bool = False) -> None:
    """Raise `LimitExceeded` for too many levels.

    With `texts`, raise `InvalidRecord` for text that UTF-8 does not hold.
    """
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        if texts:
            _refuse_lone_surrogates(level, where)
        below: list[Any] = []
        for one in level:
            if type(one) is dict:
                below += one.values()
            elif type(one) is list:
                below += one
        if not below:
            return
        level = below
    raise _too_deep(where)


def _refuse_lone_surrogates(level: list[Any], where: str) -> None:
    for one in level:
        try:
            for text in (one,) if type(one) is str else one if type(one) is dict else ():
                text.encode()
        except UnicodeEncodeError as error:
            raise InvalidRecord(f"{where}: text with a lone surrogate: {error}") from error


def refuse_unsafe_numbers(value: Any, where: str) -> None:
    """Raise `InvalidRecord` for a number that comes back as an integer beyond 2**53 - 1.

    RFC 8785 prints a whole float below 1e21 without a point, so 1e16 would be refused when it is
    read again: it is refused when it is written.
    """
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if type(one) is dict:
            waiting += one.values()
        elif type(one) in (list, tuple):
            waiting += one
        elif (type(one) is int and abs(one) > MAX_SAFE_INTEGER) or (
            type(one) is float and MAX_SAFE_INTEGER < abs(one) < 1e21
        ):
            raise InvalidRecord(
                f"{where}: {str(one)[:40]} is larger than {MAX_SAFE_INTEGER}, "
                "which not every reader of JSON keeps",
                "Write such a number as text.",
            )


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
