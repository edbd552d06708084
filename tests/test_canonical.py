"""Canonical JSON is RFC 8785 to the byte, whichever way it is made; digests are those of the bytes."""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import struct
import time
from typing import Any

import pytest
import rfc8785
import xxhash
from hypothesis import assume, given
from hypothesis import strategies as st

from ledgerkit.canonical import (
    MAX_SAFE_INTEGER,
    Hasher,
    canonical_bytes,
    canonical_lines,
    digest_bytes,
    digest_stream,
    parse_json,
)
from ledgerkit.errors import InvalidRecord, LimitExceeded

_SAMPLE = r"""
{
  "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
  "literals": [null, true, false]
}
"""
_SAMPLE_HEX = """
7b 22 6c 69 74 65 72 61 6c 73 22 3a 5b 6e 75 6c 6c 2c 74 72 75 65 2c 66 61 6c 73 65 5d 2c 22 6e 75
6d 62 65 72 73 22 3a 5b 33 33 33 33 33 33 33 33 33 2e 33 33 33 33 33 33 33 2c 31 65 2b 33 30 2c 34
2e 35 2c 30 2e 30 30 32 2c 31 65 2d 32 37 5d 2c 22 73 74 72 69 6e 67 22 3a 22 e2 82 ac 24 5c 75 30
30 30 66 5c 6e 41 27 42 5c 22 5c 5c 5c 5c 5c 22 2f 22 7d
"""

_NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}
"""RFC 8785, appendix B."""

_SORTED = "\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"


def test_the_sample_of_the_rfc_gives_its_bytes() -> None:
    assert canonical_bytes(json.loads(_SAMPLE)) == bytes.fromhex(_SAMPLE_HEX)


def test_keys_are_sorted_by_utf_16_units_as_in_the_rfc() -> None:
    """Section 3.2.3: the smiling face is two surrogates and so comes before U+FB33."""
    found = json.loads(canonical_bytes(dict.fromkeys(_SORTED, 0)))
    assert list(found) == [
        "\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"
    ]  # fmt: skip


@pytest.mark.parametrize(("bits", "text"), _NUMBERS.items())
def test_numbers_are_written_as_in_the_table_of_the_rfc(bits: str, text: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical_bytes([number]).decode() == f"[{text}]"


@pytest.mark.parametrize("bits", ["7fffffffffffffff", "7ff0000000000000", "fff0000000000000"])
def test_nan_and_infinities_are_refused(bits: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    with pytest.raises(InvalidRecord):
        canonical_bytes({"deep": [number]})


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1e-7, 1e-6, 1e-5, 1e-4, 0.1, 1e15, 1e16, 1e20, 1e21, 1e22, -0.0, 5e-324]),
    _texts,
)
_keys = st.one_of(_texts, st.sampled_from([*_SORTED, "\x00", "\x7f", "\u2028", "~"]))
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=12,
)


@given(_values)
def test_the_fast_way_gives_the_bytes_of_the_reference(value: Any) -> None:
    found = canonical_bytes(value)
    assert found == rfc8785.dumps(value)
    assert canonical_bytes(json.loads(found, parse_int=_number)) == found


def _number(text: str) -> int | float:
    """As ECMAScript reads it: a whole double of 2**53 and more is written like an integer."""
    return int(text) if abs(int(text)) <= MAX_SAFE_INTEGER else float(text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_comes_back_as_it_was(number: float) -> None:
    text = canonical_bytes(number)
    assert text == rfc8785.dumps(number)
    assert float(text) == number


@given(st.text(st.characters(max_codepoint=0x200), max_size=20))
def test_control_characters_are_escaped_as_in_the_rfc(text: str) -> None:
    assert canonical_bytes(text) == rfc8785.dumps(text)


@pytest.mark.parametrize(
    "value",
    [
        MAX_SAFE_INTEGER + 1,
        -MAX_SAFE_INTEGER - 1,
        {"n": 2**64},
        "\ud800",
        {"\udfff": 1},
        ["a\udc00b"],
        {1: "number as key"},
        {None: 1},
        b"bytes",
        {1, 2},
        object(),
        1j,
    ],
)
def test_what_json_cannot_hold_for_every_reader_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRecord):
        canonical_bytes({"value": value})


def test_the_largest_safe_integers_are_written() -> None:
    assert canonical_bytes([MAX_SAFE_INTEGER, -MAX_SAFE_INTEGER]) == (
        b"[9007199254740991,-9007199254740991]"
    )


def test_endless_nesting_is_refused() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InvalidRecord):
        canonical_bytes(value)
    with pytest.raises(LimitExceeded, match=r"here: .* max_depth = 100"):
        parse_json(b"[" * 100_000, "here")


def test_lines_are_closed_by_line_feeds() -> None:
    assert canonical_lines([{"b": 1, "a": "\n"}, {}]) == b'{"a":"\\n","b":1}\n{}\n'
    assert canonical_lines([]) == b""


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": 1, "a": 2}',
        b'{"x": {"a": 1, "b": 2, "a": 1}}',
        b"[NaN]",
        b"[Infinity]",
        b"[-Infinity]",
        b"[1e999]",
        b"{",
        b"",
        b"\xff\xfe",
        b'"\xed\xa0\x80"',
        b"[1] trailing",
        b'"\\ud800"',
        b'{"\\udfff": 1}',
        b"\xef\xbb\xbf[]",
    ],
)
def test_what_is_not_json_is_refused_with_its_place(data: bytes) -> None:
    with pytest.raises(InvalidRecord, match="the place"):
        parse_json(data, "the place")


def test_json_that_is_too_long_names_the_setting() -> None:
    assert parse_json(b'"12345678"', "here", max_bytes=10) == "12345678"
    with pytest.raises(LimitExceeded, match="max_bytes = 10"):
        parse_json(b'"123456789"', "here", max_bytes=10)


def test_limits_of_json_are_named_and_what_lies_within_them_is_read() -> None:
    assert parse_json(b"[" * 101 + b"]" * 101, "here")
    with pytest.raises(LimitExceeded, match="max_depth = 100"):
        parse_json(b"[" * 102 + b"]" * 102, "here")
    assert parse_json(b"9" * 1000, "here") == int("9" * 1000)
    with pytest.raises(LimitExceeded, match="1001 digits exceeds max_integer_digits = 1000"):
        parse_json(b"9" * 1001, "here")
    assert parse_json(b'"\\ud83d\\udc26"', "here") == "\U0001f426"


def test_keys_given_twice_are_told_at_once_however_many_there_are() -> None:
    data = b"{" + b",".join(b'"k%d":1' % (place // 2) for place in range(200_000)) + b"}"
    began = time.process_time()
    with pytest.raises(InvalidRecord, match=r"key given twice: k0, k1, k10, k100, k1000$"):
        parse_json(data, "here")
    assert time.process_time() - began < 5


@given(_values)
def test_what_was_written_is_read_again(value: Any) -> None:
    data = canonical_bytes(value)
    assume(json.loads(data) == json.loads(data, parse_int=_number))
    assume(not re.search(rb"[0-9]{16}", data))
    assert canonical_bytes(parse_json(data, "here")) == data


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_digests_taken_in_parts_are_those_of_the_whole(parts: list[bytes]) -> None:
    hasher = Hasher()
    for part in parts:
        hasher.update(memoryview(part))
    whole = b"".join(parts)
    found = hasher.digests()
    assert found.bytes == len(whole)
    assert found.sha256 == hashlib.sha256(whole).hexdigest()
    assert found.xxh3_128 == xxhash.xxh3_128_hexdigest(whole)
    assert found == digest_bytes(whole) == digest_stream(io.BytesIO(whole))


def test_whole_numbers_are_written_without_a_point() -> None:
    assert (
        canonical_bytes([1.0, -2.0, 1e15, 1e20]) == b"[1,-2,1000000000000000,100000000000000000000]"
    )
    assert math.copysign(1, json.loads(canonical_bytes(-0.0))) == 1
