"""The header of a safetensors file: what is sound is read, what is not is refused, nothing else."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest
import safetensors as library
from hypothesis import example, given
from hypothesis import strategies as st

from ledgerkit.errors import InvalidRecord, LedgerkitError, LimitExceeded
from ledgerkit.testing.weights import framed, safetensors
from ledgerkit.weights.safetensors import MAX_HEADER_BYTES, Tensor, read_header

BYTES = {"U8": 1, "BOOL": 1, "F16": 2, "BF16": 2, "F32": 4, "I64": 8, "F8_E4M3": 1}


def read(data: bytes) -> list[Tensor]:
    return read_header(io.BytesIO(data), len(data), "weights.safetensors")


def one(dtype: Any = "F32", shape: Any = (2, 3), offsets: Any = (0, 24), **more: Any) -> bytes:
    """A file with a single tensor of 24 bytes, stated in this way."""
    stated = {"dtype": dtype, "shape": shape, "data_offsets": offsets} | more
    return framed(json.dumps({"weight": stated}).encode(), b"\0" * 24)


def test_reads_names_kinds_shapes_and_places_in_the_order_of_the_bytes() -> None:
    stated = {
        "b": {"dtype": "I64", "shape": [], "data_offsets": [24, 32]},
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "__metadata__": {"format": "pt"},
        "none": {"dtype": "F16", "shape": [0, 7], "data_offsets": [32, 32]},
    }
    assert read(framed(json.dumps(stated).encode() + b"   ", b"\0" * 32)) == [
        Tensor("a", "F32", (2, 3), 0, 24),
        Tensor("b", "I64", (), 24, 32),
        Tensor("none", "F16", (0, 7), 32, 32),
    ]


def test_half_bytes_are_counted_in_bits() -> None:
    assert read(one("F4", [48], [0, 24]))[0].end == 24
    assert read(one("F6_E2M3", [32], [0, 24]))[0].end == 24


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "0 bytes, fewer than"),
        (b"\x01\0\0\0", "4 bytes, fewer than"),
        (framed(b"{}")[:9], "its header would have 2 bytes, the whole file has 9"),
        ((1 << 63).to_bytes(8, "little") + b"{}", "its header would have"),
        (framed(b"[]"), "does not begin with a brace"),
        (framed(b" {}"), "does not begin with a brace"),
        (framed(b"{"), "not valid JSON"),
        (framed(b'{"a":1,"a":2}'), "key given twice"),
        (framed(b'{"__metadata__":{"a":1}}'), "is not an object of texts"),
        (framed(b'{"a":[]}'), "not just dtype, shape and data_offsets"),
        (one(more=1), "not just dtype, shape and data_offsets"),
        (one("F33"), "unknown dtype 'F33'"),
        (one(["F32"]), "unknown dtype"),
        (one(shape=[2, -3]), "the shape of"),
        (one(shape=[2.0, 3]), "the shape of"),
        (one(shape=[True, 6]), "the shape of"),
        (one(shape=[1] * 65), "the shape of"),
        (one(offsets=[0]), "the data_offsets of"),
        (one(offsets=[24, 0]), "the data_offsets of"),
        (one(offsets=[-24, 0]), "the data_offsets of"),
        (one(shape=[2, 2]), "takes 128 bits, not 192"),
        (one("F4", [47]), "takes 188 bits, not 192"),
        (one(shape=[(1 << 64) - 1] * 64), "takes"),
        (one(offsets=[4, 28]), "leaves a gap"),
        (one(shape=[2, 2], offsets=[0, 16]), "its tensors take 16 bytes, behind its header are 24"),
        (safetensors({"a": b"12"})[:-1], "take 2 bytes, behind its header are 1"),
        (safetensors({"a": b"12"}) + b"3", "take 2 bytes, behind its header are 3"),
    ],
)
def test_a_broken_rule_is_named(data: bytes, said: str) -> None:
    with pytest.raises(InvalidRecord, match=r"weights\.safetensors") as caught:
        read(data)
    assert said in caught.value.message
    assert caught.value.hint


def test_tensors_that_overlap_are_refused() -> None:
    stated = {
        "a": {"dtype": "U8", "shape": [16], "data_offsets": [0, 16]},
        "b": {"dtype": "U8", "shape": [16], "data_offsets": [8, 24]},
    }
    with pytest.raises(InvalidRecord, match="'b' overlaps"):
        read(framed(json.dumps(stated).encode(), b"\0" * 24))


def test_a_header_beyond_the_limit_is_not_read() -> None:
    class Unread(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            assert size == 8, "the header itself was read"
            return super().read(size)

    length = MAX_HEADER_BYTES + 1
    with pytest.raises(LimitExceeded, match="max_header_bytes"):
        read_header(Unread(length.to_bytes(8, "little")), length + 8, "huge")


def test_deep_nesting_is_refused_and_not_recursed_into() -> None:
    with pytest.raises(LedgerkitError):
        read(framed(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"))


shapes = st.lists(st.integers(0, 4), max_size=3)
sound = st.lists(st.tuples(st.sampled_from(sorted(BYTES)), shapes), max_size=5)


def written(kinds: list[tuple[str, list[int]]]) -> tuple[dict[str, Any], int]:
    """A sound header with tensors end to end, and the bytes that they take."""
    header: dict[str, Any] = {}
    at = 0
    for place, (dtype, shape) in enumerate(kinds):
        end = at + math.prod(shape) * BYTES[dtype]
        header[f"t{place}"] = {"dtype": dtype, "shape": shape, "data_offsets": [at, end]}
        at = end
    return header, at


@given(sound)
def test_what_is_written_by_the_rules_is_read_back(kinds: list[tuple[str, list[int]]]) -> None:
    header, size = written(kinds)
    found = {
        tensor.name: tensor for tensor in read(framed(json.dumps(header).encode(), bytes(size)))
    }
    assert len(found) == len(kinds)
    for place, (dtype, shape) in enumerate(kinds):
        tensor = found[f"t{place}"]
        assert (tensor.dtype, list(tensor.shape)) == (dtype, shape)
        assert tensor.end - tensor.begin == math.prod(shape) * BYTES[dtype]


@given(sound, st.data())
def test_a_changed_byte_never_gives_tensors_outside_the_file(
    kinds: list[tuple[str, list[int]]], data: st.DataObject
) -> None:
    header, size = written(kinds)
    whole = bytearray(framed(json.dumps(header).encode(), bytes(size)))
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    check_judged(bytes(whole))


@given(st.binary(max_size=200))
@example(framed(b"{}"))
@example(framed(b"{}", b"1"))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    check_judged(data)


def check_judged(data: bytes) -> None:
    """Either refused with an error of ours, or tensors that fill the file end to end."""
    try:
        tensors = read(data)
    except LedgerkitError:
        return
    behind = len(data) - 8 - int.from_bytes(data[:8], "little")
    ends = [0, *(tensor.end for tensor in tensors)]
    assert [tensor.begin for tensor in tensors] == ends[:-1]
    assert ends[-1] == behind


@given(sound, st.data())
def test_agrees_with_the_library_where_it_is_there(
    kinds: list[tuple[str, list[int]]], data: st.DataObject
) -> None:
    header, size = written(kinds)
    whole = bytearray(framed(json.dumps(header).encode(), bytes(size)))
    if data.draw(st.booleans()):
        place = data.draw(st.integers(8, len(whole) - size - 1))
        whole[place] = data.draw(st.sampled_from(b'0123456789,:[]{}" '))
    try:
        read(bytes(whole))
        ours = True
    except LedgerkitError:
        ours = False
    try:
        library.deserialize(bytes(whole))
        theirs = True
    except Exception:
        theirs = False
    assert ours <= theirs, "what the library refuses is refused here too"
