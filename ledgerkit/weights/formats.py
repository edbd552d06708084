"""Judge files of weights before they are kept: safetensors, checkpoints of torch, ONNX.

Only the structure is read: no pickle is loaded, no tensor, and no library of models is needed. What
a loader would refuse at its first byte is refused here, and not for each plate later.
"""

from __future__ import annotations

import itertools
import os
import pickletools
import zipfile
from io import BytesIO
from typing import BinaryIO

from ledgerkit.errors import InvalidRecord
from ledgerkit.weights import safetensors
from ledgerkit.weights.selection import loads

TORCH_MAGIC = 0x1950A86A20F9469CFC6C
"""The first object of a checkpoint that is no zip: `MAGIC_NUMBER` in `torch/serialization.py`."""
_ZIP = b"PK\x03\x04"
_FIRST_OPCODES = 4
"""Within so many opcodes a pickle of the magic number is over, in any protocol."""
_GRAPH = 7
_KINDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, _GRAPH: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
"""Wire types of the fields of ONNX's `ModelProto` (onnx/onnx.proto), by field number."""
_FIXED = {1: 8, 5: 4}
_VARINT, _BYTES = 0, 2
_LONGEST_VARINT = 10


def check(file: BinaryIO, size: int, where: str) -> None:
    """Raise `InvalidRecord` that names `where` for a file of `size` bytes that is not what it is called.

    `file` stands at its beginning. A file whose name is not that of weights is not looked at.
    """
    kind = loads(where)
    if kind == "safetensors":
        safetensors.read_header(file, size, where)
    elif kind == "weights_only":
        _check_checkpoint(file, where)
    elif kind == "onnx":
        _check_onnx(file, size, where)


def _check_checkpoint(file: BinaryIO, where: str) -> None:
    """A zip with `data.pkl`, as torch writes it since 1.6, or the magic number of its older form."""
    first = file.read(64)
    if first.startswith(_ZIP):
        try:
            with zipfile.ZipFile(file) as members:
                named = {name.rpartition("/")[2] for name in members.namelist()}
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise _no_checkpoint(where, f"it begins as a zip and is none: {error}") from error
        if "data.pkl" not in named:
            raise _no_checkpoint(where, "it is a zip without data.pkl")
    elif not _is_magic(first):
        raise _no_checkpoint(where, "it begins neither as a zip nor with torch's magic number")


def _is_magic(first: bytes) -> bool:
    """Whether a pickle begins with torch's magic number. Opcodes are listed, none is run."""
    try:
        opcodes = itertools.islice(pickletools.genops(BytesIO(first)), _FIRST_OPCODES)
        return any(argument == TORCH_MAGIC for _, argument, _ in opcodes)
    except (ValueError, IndexError):
        return False


def _no_checkpoint(where: str, rule: str) -> InvalidRecord:
    return InvalidRecord(
        f"{where} is no checkpoint as torch.save writes it: {rule}",
        "The file is cut, damaged or something else: fetch or copy it again, or leave it out.",
    )


def _check_onnx(file: BinaryIO, size: int, where: str) -> None:
    """The outermost fields of a `ModelProto`: each of its wire type, end to end, a graph among them.

    Source: Protocol Buffers, "Encoding" (tags, varints, wire types); onnx/onnx.proto.
    """
    seen = set()
    while (at := file.tell()) < size:
        tag = _varint(file)
        field, kind = (0, 0) if tag is None else (tag >> 3, tag & 7)
        if field == 0 or _KINDS.get(field, kind) != kind:
            raise _no_onnx(where, f"at byte {at} begins no field of a model")
        length: int | None = _FIXED.get(kind)
        if kind in (_VARINT, _BYTES):
            value = _varint(file)
            length = value if kind == _BYTES or value is None else 0
        if length is None or length > size - file.tell():
            raise _no_onnx(where, f"the field that begins at byte {at} has no end")
        file.seek(length, os.SEEK_CUR)
        seen.add(field)
    if _GRAPH not in seen:
        raise _no_onnx(where, "it has no graph")


def _varint(file: BinaryIO) -> int | None:
    """The number at which `file` stands, 7 bits a byte, lowest first; None where there is none."""
    value = 0
    for place in range(_LONGEST_VARINT):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << (7 * place)
        if byte[0] < 0x80:
            return value
    return None


def _no_onnx(where: str, rule: str) -> InvalidRecord:
    return InvalidRecord(
        f"{where} is no ONNX model: {rule}",
        "The file is cut, damaged or something else: fetch or copy it again.",
    )
