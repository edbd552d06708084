"""NOT_STREAMABLE: what no decoder can stream is told from the header, before memory is taken."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import tifffile
from PIL import Image

from ledgerkit.errors import LimitExceeded
from ledgerkit.imaging.decode import Limits, decode
from ledgerkit.imaging.header import read_facts, read_header
from ledgerkit.imaging.limits import bytes_not_streamable
from ledgerkit.operations import headers, measure, normalize
from ledgerkit.testing.handles import run_operation
from tests.imaging.tiffs import basic, written
from tests.operations.test_normalize import POLICY

WIDTH, HEIGHT = 20_000, 25_000


def progressive_jpeg() -> bytes:
    """The header of a progressive JPEG of 500 megapixels, 4:2:0; there is nothing behind it."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG", progressive=True, subsampling="4:2:0")
    data = bytearray(file.getvalue())
    frame = data.index(b"\xff\xc2")
    data[frame + 5 : frame + 9] = struct.pack(">HH", HEIGHT, WIDTH)
    return bytes(data[: data.index(b"\xff\xda") + 20])


def interlaced_png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG")
    data = bytearray(file.getvalue())
    data[16:24] = struct.pack(">II", WIDTH, HEIGHT)
    data[28] = 1
    return bytes(data[:60])


def one_strip_of_zstd() -> bytes:
    tags = basic(WIDTH, HEIGHT, 8, 3, 2) | {259: (3, [50000])}
    return written(tags, bytes(100))


def one_strip_of_lzw() -> bytes:
    tags = basic(WIDTH, HEIGHT, 8, 3, 2) | {259: (3, [5])}
    return written(tags, bytes(100))


CASES: dict[Callable[[], bytes], int] = {
    progressive_jpeg: WIDTH * HEIGHT * 3,
    interlaced_png: WIDTH * HEIGHT * 3,
    one_strip_of_zstd: 2 * WIDTH * HEIGHT * 3,
    one_strip_of_lzw: WIDTH * HEIGHT * 3,
}


@pytest.mark.parametrize("make", CASES)
def test_says_at_once_what_memory_decoding_would_take(
    make: Callable[[], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "plate.img"
    path.write_bytes(make())
    with path.open("rb") as file:
        facts = read_facts(file)
        assert (facts.header.width, facts.header.height) == (WIDTH, HEIGHT)
        assert bytes_not_streamable(facts) == CASES[make]
        assert bytes_not_streamable(facts, Limits(max_decode_bytes=CASES[make])) is None
        tracemalloc.start()
        with pytest.raises(LimitExceeded) as told:
            decode(file)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 1 << 20
    assert told.value.message.startswith("NOT_STREAMABLE")
    assert f" {CASES[make]} bytes" in told.value.message
    assert "max_decode_bytes" in told.value.message
    (row,) = run_operation(headers, files={"source": [path]}).row_tables["headers"]
    assert row["megapixels"] == 500
    with pytest.raises(LimitExceeded, match=r"^NOT_STREAMABLE"):
        run_operation(measure, files={"source": [path]})
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(POLICY))
    with pytest.raises(LimitExceeded, match=r"^NOT_STREAMABLE"):
        run_operation(normalize, files={"source": [path], "policy": [policy]})


def test_what_streams_takes_no_memory_whatever_its_size() -> None:
    tags = basic(WIDTH, HEIGHT, 8, 3, 2)
    for changes in ({}, {259: (3, [5]), 278: (3, [16])}):
        facts = read_facts(io.BytesIO(written(tags | changes, bytes(100))))
        assert bytes_not_streamable(facts) is None


def test_what_nothing_reads_is_no_matter_of_memory() -> None:
    tags = basic(WIDTH, HEIGHT, 8, 3, 2) | {262: (3, [32844])}
    facts = read_facts(io.BytesIO(written(tags, bytes(100))))
    assert bytes_not_streamable(facts) is None


def test_wide_samples_are_counted_with_their_copy_of_sixteen_bits() -> None:
    for dtype, size in (("u4", 6), ("f4", 6), ("f8", 10)):
        file = io.BytesIO()
        ends = [(340, 12, 1, 0.0, False), (341, 12, 1, 1.0, False)]
        tifffile.imwrite(file, shape=(100, 200), dtype=dtype, extratags=ends)
        facts = read_facts(file)
        assert bytes_not_streamable(facts, Limits(max_decode_bytes=1)) == 20_000 * size
    assert read_header(file).sample_format == "float"
