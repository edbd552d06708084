"""The header of a safetensors file: read within a limit, checked whole, no tensor loaded.

The format: eight bytes with the length of the header (little-endian), the header in JSON, and the
bytes of all tensors, one after another without gap or overlap. Source of the rules: the format
section of https://github.com/huggingface/safetensors and its own checks (safetensors/src/tensor.rs).
The library has them too; it is not asked because it comes with the extra `models` only, and a store
must be able to judge a file before anybody installs torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, BinaryIO

from ledgerkit.canonical import parse_json
from ledgerkit.errors import InvalidRecord, LimitExceeded

MAX_HEADER_BYTES = 16 << 20
"""The format allows 100 MB; a header has some 100 bytes a tensor, and models have thousands."""
MAX_DIMENSIONS = 64
_LENGTH_BYTES = 8
_METADATA = "__metadata__"
_BITS = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32,
    "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
"""Bits of one element of each kind of number."""
_WAY_OUT = "The file is cut, damaged or no safetensors: fetch or copy it again."


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: its name, kind of number, shape, and its bytes [begin, end) behind the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_header(file: BinaryIO, size: int, where: str) -> list[Tensor]:
    """The tensors of a file of `size` bytes, in the order of their bytes.

    `file` stands at its beginning. Raises `InvalidRecord` that names `where` and the rule that is
    broken, `LimitExceeded` for a header beyond `MAX_HEADER_BYTES`.
    """
    data = _header_bytes(file, size, where)
    try:
        header = parse_json(data, f"{where}: header", MAX_HEADER_BYTES)
    except InvalidRecord as error:
        raise InvalidRecord(error.message, _WAY_OUT) from error
    if not isinstance(header, dict):
        raise _broken(where, "its header is no object")
    _check_metadata(header.pop(_METADATA, {}), where)
    tensors = [_tensor(name, stated, where) for name, stated in header.items()]
    tensors.sort(key=lambda one: (one.begin, one.end))
    _check_cover(tensors, size - _LENGTH_BYTES - len(data), where)
    return tensors


def _broken(where: str, rule: str) -> InvalidRecord:
    return InvalidRecord(f"{where} is no sound safetensors file: {rule}", _WAY_OUT)


def _header_bytes(file: BinaryIO, size: int, where: str) -> bytes:
    first = file.read(_LENGTH_BYTES)
    if len(first) < _LENGTH_BYTES:
        raise _broken(where, f"it has {len(first)} bytes, fewer than the length of a header takes")
    length = int.from_bytes(first, "little")
    if length > size - _LENGTH_BYTES:
        raise _broken(where, f"its header would have {length} bytes, the whole file has {size}")
    if length > MAX_HEADER_BYTES:
        raise LimitExceeded(
            f"{where}: a header of {length} bytes exceeds max_header_bytes = {MAX_HEADER_BYTES}",
            "No known model needs that: look at where the file comes from.",
        )
    data = file.read(length)
    if len(data) < length:
        raise _broken(where, f"its header has {length} bytes, of which {len(data)} are there")
    if not data.startswith(b"{"):
        raise _broken(where, "its header does not begin with a brace")
    return data


def _check_metadata(metadata: Any, where: str) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _broken(where, f"{_METADATA} is not an object of texts")


def _tensor(name: str, stated: Any, where: str) -> Tensor:
    """One entry of the header, its length compared with its shape."""
    said = f"tensor {name[:80]!r}"
    if not isinstance(stated, dict) or set(stated) != {"dtype", "shape", "data_offsets"}:
        raise _broken(where, f"{said} has not just dtype, shape and data_offsets")
    dtype, shape, offsets = stated["dtype"], stated["shape"], stated["data_offsets"]
    bits = _BITS.get(dtype) if isinstance(dtype, str) else None
    if bits is None:
        raise _broken(where, f"{said} has the unknown dtype {str(dtype)[:40]!r}")
    if not _counts(shape) or len(shape) > MAX_DIMENSIONS:
        raise _broken(where, f"the shape of {said} is {str(shape)[:80]}")
    if not _counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _broken(where, f"the data_offsets of {said} are {str(offsets)[:80]}")
    wanted = math.prod(shape) * bits
    found = (offsets[1] - offsets[0]) * 8
    if wanted != found:
        raise _broken(
            where, f"{said} of {dtype} {str(shape)[:80]} takes {str(wanted)[:40]} bits, not {found}"
        )
    return Tensor(name, dtype, tuple(shape), offsets[0], offsets[1])


def _counts(value: Any) -> bool:
    """Whether it is a list of integers that are none below 0 and fit into 64 bits."""
    return isinstance(value, list) and all(type(one) is int and 0 <= one < 1 << 64 for one in value)


def _check_cover(tensors: list[Tensor], room: int, where: str) -> None:
    """The tensors lie end to end and fill what is behind the header."""
    reached = 0
    for one in tensors:
        if one.begin != reached:
            rule = "overlaps the one before" if one.begin < reached else "leaves a gap before it"
            raise _broken(where, f"tensor {one.name[:80]!r} {rule}")
        reached = one.end
    if reached != room:
        raise _broken(where, f"its tensors take {reached} bytes, behind its header are {room}")
