"""Files of a stored zip are taken from a stream, and only whole."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledgerkit.errors import UnreadableImage
from ledgerkit.imaging.pyramid import Pyramid
from ledgerkit.imaging.stored import CHUNK, DESCRIPTOR_SIGNATURE, members
from ledgerkit.imaging.tiling import tiled
from ledgerkit.imaging.vips import load_vips

CONTENTS = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.builds(
            lambda before, times: before + DESCRIPTOR_SIGNATURE * times,
            st.binary(max_size=20),
            st.integers(1, 5),
        ),
        st.integers(CHUNK - 20, CHUNK + 20).map(bytes),
    ),
    max_size=6,
)


class Unseekable(io.BytesIO):
    """A stream: zipfile then puts sizes behind the files."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: Any) -> int:
        raise io.UnsupportedOperation

    def tell(self) -> int:
        raise io.UnsupportedOperation


def archive(contents: list[bytes], stream: io.BytesIO) -> bytes:
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as file:
        for number, data in enumerate(contents):
            file.writestr(f"folder/{number}", data)
    return stream.getvalue()


@given(CONTENTS, st.booleans())
@example([b"", DESCRIPTOR_SIGNATURE + b"\1" * 12], True)
def test_all_files_come_out_as_they_went_in(contents: list[bytes], streamed: bool) -> None:
    data = archive(contents, Unseekable() if streamed else io.BytesIO())
    found = list(members(io.BytesIO(data)))
    assert found == [(f"folder/{number}", one) for number, one in enumerate(contents)]


@given(st.integers(0, 400))
def test_of_a_stream_that_ends_early_whole_files_come_and_no_part_of_one(length: int) -> None:
    contents = [b"one" * 20, b"two" * 20]
    data = archive(contents, Unseekable())[:length]
    found = [one for _, one in members(io.BytesIO(data))]
    assert found == contents[: len(found)]


def test_compressed_files_and_wrong_sums_are_refused() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a", b"a" * 100)
    with pytest.raises(UnreadableImage, match="stored"):
        list(members(io.BytesIO(packed.getvalue())))
    plain = archive([b"first"], io.BytesIO()).replace(b"first", b"wrong")
    with pytest.raises(UnreadableImage, match="CRC-32"):
        list(members(io.BytesIO(plain)))


def test_who_stops_in_the_middle_waits_for_nobody() -> None:
    image = load_vips().Image.gaussnoise(3000, 3000, mean=128).cast("uchar")
    image = image.copy(interpretation="b-w")
    tiles = tiled(image, Pyramid(3000, 3000, 64), 90, to_one_pixel=False)
    assert next(tiles)[1].startswith(b"\xff\xd8")
    tiles.close()
    with pytest.raises(StopIteration):
        next(tiles)


def test_a_plan_of_other_tiles_is_not_believed() -> None:
    image = load_vips().Image.black(300, 300).copy(interpretation="b-w")
    with pytest.raises(UnreadableImage, match="which is no tile"):
        list(tiled(image, Pyramid(200, 300, 64), 90, to_one_pixel=False))
    with pytest.raises(UnreadableImage, match="did not make"):
        list(tiled(image, Pyramid(400, 300, 64), 90, to_one_pixel=False))
