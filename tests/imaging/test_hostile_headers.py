"""Damaged and malicious headers: an answer or a reason, in bounded bytes and bounded requests."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ledgerkit.errors import LimitExceeded, UnreadableImage
from ledgerkit.imaging.bounded import FEWEST_REQUESTS, FIRST_BLOCK
from ledgerkit.imaging.header import read_facts, read_header
from ledgerkit.imaging.limits import bytes_not_streamable
from tests.imaging.tiffs import basic, written

LIMIT = 256 * 1024


class Counted(io.BytesIO):
    """A file that counts what is read of it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.taken = 0
        self.requests = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        self.requests += 1
        return data


def looked_at(data: bytes, limit: int = LIMIT) -> Any:
    """The facts or the reason; in either case within the bounds."""
    file = Counted(data)
    told: Any
    try:
        told = read_facts(file, max_header_bytes=limit)
        assert 0 < told.header.width < 2**31
        assert 0 < told.header.height < 2**31
        bytes_not_streamable(told)
    except (UnreadableImage, LimitExceeded) as error:
        told = error
    assert not isinstance(told, Exception) or str(told)
    assert file.taken <= limit
    assert file.requests <= max(FEWEST_REQUESTS, limit // 128) + 1
    return told


PILLOW = ("BMP", "GIF", "ICO", "PPM", "SGI", "PCX", "TGA", "JPEG", "PNG", "WEBP", "AVIF")
NAMES = (*PILLOW, "TIFF", "BigTIFF", "JP2", "J2K", "PSD", "APNG", "animated GIF", "MPO")


@cache
def valid(name: str) -> bytes:
    """A small file of each format, with a profile and EXIF where it takes them."""
    image = Image.fromarray(np.arange(40 * 48 * 3, dtype=np.uint8).reshape(40, 48, 3))
    file = io.BytesIO()
    exif = Image.Exif()
    exif[274], exif[282], exif[283], exif[296] = 6, 300.0, 300.0, 2
    if name in ("TIFF", "BigTIFF"):
        with tifffile.TiffWriter(file, bigtiff=name == "BigTIFF") as writer:
            for _ in range(3):
                writer.write(np.asarray(image), photometric="rgb", resolution=(300, 300))
    elif name in ("JP2", "J2K"):
        file.write(imagecodecs.jpeg2k_encode(np.asarray(image), codecformat=name.lower()))
    elif name == "PSD":
        head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 40, 48, 8, 3)
        file.write(head + bytes(12) + bytes(2 + 40 * 48 * 3))
    elif name == "MPO":
        image.save(file, "MPO", save_all=True, append_images=[image])
    elif name in ("APNG", "animated GIF"):
        image.save(file, name[-3:], save_all=True, append_images=[image.rotate(90)])
    else:
        takes = {"exif": exif, "icc_profile": bytes(600)} if name in PILLOW[7:] else {}
        image.save(file, name, **takes)
    return file.getvalue()


EXTREMES = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
changes = st.lists(
    st.tuples(
        st.integers(0, 700),
        st.one_of(
            st.binary(min_size=1, max_size=12),
            st.builds(
                lambda value, size, order: (value % (1 << 8 * size)).to_bytes(size, order),
                st.sampled_from(EXTREMES),
                st.sampled_from((1, 2, 4, 8)),
                st.sampled_from(("big", "little")),
            ),
        ),
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("name", NAMES)
def test_the_undamaged_file_has_its_size(name: str) -> None:
    header = looked_at(valid(name)).header
    size = {"ICO": (32, 27), "AVIF": (40, 48)}.get(name, (48, 40))  # AVIF is turned by `irot`
    assert (header.width, header.height) == size


@pytest.mark.parametrize("name", NAMES)
@given(changes=changes, end=st.one_of(st.none(), st.integers(0, 900)), at_end=st.booleans())
def test_any_damage_gives_facts_or_a_reason(
    name: str, changes: list[tuple[int, bytes]], end: int | None, at_end: bool
) -> None:
    data = bytearray(valid(name))
    for place, new in changes:
        at = max(0, len(data) - place) if at_end else place
        data[at : at + len(new)] = new
    looked_at(bytes(data[:end]))


def test_endless_padding_in_a_jpeg_ends_at_the_limit() -> None:
    told = looked_at(b"\xff\xd8" + b"\xff" * 4_000_000)
    assert isinstance(told, LimitExceeded)
    told = looked_at(b"\xff\xd8" + b"\xff" * 100_000)
    assert "ends before its first scan" in str(told)


def test_a_jpeg_of_a_million_empty_segments_ends_at_the_limit() -> None:
    assert isinstance(looked_at(b"\xff\xd8" + b"\xff\xe0\0\x02" * 1_000_000), LimitExceeded)


def test_huge_and_endless_chunks_of_a_png_end() -> None:
    data = valid("PNG")
    start = data.index(b"IDAT") - 4
    for length in (2**31 - 1, 2**32 - 1, 2**31):
        chunk = struct.pack(">I", length) + b"IDAT"
        assert looked_at(data[:start] + chunk + bytes(90)).header.width == 48
    wanted = data[:start] + struct.pack(">I", 2**31 - 1) + b"tEXt" + bytes(3 * LIMIT)
    assert isinstance(looked_at(wanted), LimitExceeded)
    empty = data[:start] + (struct.pack(">I", 0) + b"IDATxxxx") * 300_000
    assert isinstance(looked_at(empty), LimitExceeded)


def test_chunks_that_inflate_without_end_are_inflated_once() -> None:
    bomb = zlib.compress(bytes(100_000_000), 9)
    data = valid("PNG")
    start = data.index(b"IDAT") - 4
    body = b"Raw profile type exif\0\0" + bomb
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + bytes(4)
    file = Counted(data[:start] + chunk * 40 + data[start:])
    header = read_header(file)
    assert (header.width, header.orientation) == (48, 6)


@pytest.mark.parametrize("big", [False, True])
def test_directories_that_loop_or_never_end_are_walked_once(big: bool) -> None:
    size, layout = (8, "<Q") if big else (4, "<I")
    data = bytearray(valid("BigTIFF" if big else "TIFF"))
    first = struct.unpack_from(layout, data, 8 if big else 4)[0]
    count = struct.unpack_from("<Q" if big else "<H", data, first)[0]
    following = first + (8 + 20 * count if big else 2 + 12 * count)
    struct.pack_into(layout, data, following, first)
    assert looked_at(bytes(data)).header.pages == 1
    struct.pack_into(layout, data, following, 2**31 - 2)
    assert looked_at(bytes(data)).header.pages == 1
    chain = bytearray(data)
    end = len(chain)
    struct.pack_into(layout, chain, following, end)
    for number in range(70_000):
        here = end + number * (28 + size if big else 14 + size)
        entry = (struct.pack("<Q", 1) if big else struct.pack("<H", 1)) + bytes(20 if big else 12)
        chain += entry + struct.pack(layout, here + len(entry) + size)
    assert isinstance(looked_at(bytes(chain)), LimitExceeded)
    assert read_header(io.BytesIO(bytes(chain))).pages == 65536


def test_tags_that_claim_four_thousand_million_values_are_cut() -> None:
    data = bytearray(written(basic(48, 40, 8, 3, 2), bytes(48 * 40 * 3)))
    for at in range(len(data) - 12 * 9 - 6, len(data) - 6):
        changed = bytearray(data)
        struct.pack_into("<I", changed, at, 0xFFFFFFFF)
        looked_at(bytes(changed))


@pytest.mark.parametrize("length", [0, 1, 2, 7, 8, 2**32 - 1])
@pytest.mark.parametrize("name", ["JP2", "AVIF"])
def test_boxes_of_any_length_end(name: str, length: int) -> None:
    data = valid(name)
    ends = {
        at for kind in (b"jp2h", b"jp2c", b"ihdr", b"ftyp", b"meta", b"iprp", b"ipco", b"ispe")
        if (at := data.find(kind)) > 0
    }  # fmt: skip
    assert len(ends) >= 3
    for at in ends:
        changed = bytearray(data)
        struct.pack_into(">I", changed, at - 4, length)
        looked_at(bytes(changed))


def test_boxes_without_end_stop_at_the_bound() -> None:
    for head in (valid("JP2")[:32], valid("AVIF")[:32]):
        assert isinstance(looked_at(head + struct.pack(">I4s", 8, b"free") * 600_000), Exception)


def test_a_gif_of_a_million_tiny_blocks_ends_at_the_limit() -> None:
    data = valid("GIF")
    blocks = data[:-1] + b"\x21\xfe" + b"\x01x" * 1_000_000
    assert isinstance(looked_at(blocks), LimitExceeded)


def test_an_icon_directory_of_65535_pictures_is_bounded() -> None:
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, 100, 22)
    assert isinstance(looked_at(struct.pack("<HHH", 0, 1, 65535) + entry * 65535), Exception)


def test_the_first_block_counts_too() -> None:
    told = looked_at(b"\xff\xd8" + b"\xff\xe0\0\x02" * (FIRST_BLOCK // 4), limit=1024)
    assert isinstance(told, LimitExceeded)
