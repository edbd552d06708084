"""The table of odd files: every file has its row, reasons are said, pictures are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from ledgerkit.testing.torture import checked, said_by, table


def test_a_folder_becomes_one_row_a_file(tmp_path: Path) -> None:
    Image.new("RGB", (6, 4), "red").save(tmp_path / "good.png")
    (tmp_path / "none.jpg").write_bytes(b"")
    (tmp_path / "SOURCES.tsv").write_text("file\twhy\tnotes\nnone.jpg\tno bytes\t\n")
    _, _, good, none = table(tmp_path)
    assert "| PNG, 6 x 4, RGB, 8 bits, deflate |" in good
    assert "| source kept | libvips: equal to pillow |" in good
    assert "| `none.jpg` | no bytes | refused: the file is empty |" in none
    assert 10 < float(good.split("|")[-2]) < 1000


def test_a_picture_is_compared_with_a_library_that_did_not_decode_it(tmp_path: Path) -> None:
    path = tmp_path / "deep.tif"
    array = np.random.default_rng(1).integers(0, 65536, (9, 7, 3), dtype=np.uint16)
    tifffile.imwrite(path, array, photometric="rgb", compression="zstd")
    assert checked(path) == "tifffile: no other library here reads it"
    tifffile.imwrite(path, array, photometric="rgb")
    assert checked(path) == "libvips: equal to tifffile"
    tifffile.imwrite(path, array.astype(np.float32), photometric="rgb")
    assert checked(path) == "refused, see the reason"
    assert "SMinSampleValue" in said_by("measure", path)
