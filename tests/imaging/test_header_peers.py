"""What `read_header` says of small files of every format, against exiftool and vipsheader."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from ledgerkit.testing.header_peers import FIELDS, PEERS, differences

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def files(folder: Path, picture: NDArray[np.uint8]) -> list[Path]:
    image = Image.fromarray(picture)
    exif = Image.Exif()
    exif[274] = 6
    plain: dict[str, Any] = {"dpi": (300, 200), "icc_profile": SRGB}
    for ratio in ("4:4:4", "4:2:2", "4:2:0"):
        image.save(folder / f"{ratio.replace(':', '')}.jpg", subsampling=ratio, exif=exif, **plain)
    image.save(folder / "progressive.jpg", progressive=True, **plain)
    image.convert("L").save(folder / "grey.jpg", dpi=(300, 300))
    image.convert("CMYK").save(folder / "cmyk.jpg", dpi=(300, 300))
    image.save(folder / "rgb.png", exif=exif, **plain)
    image.convert("L").save(folder / "grey.png", dpi=(300, 300))
    image.save(folder / "rgb.webp", lossless=True)
    image.save(folder / "rgb.bmp")
    image.save(folder / "rgb.avif")
    deep = picture.astype(np.uint16) * 257
    (folder / "deep.png").write_bytes(imagecodecs.png_encode(deep))
    (folder / "deep.jp2").write_bytes(imagecodecs.jpeg2k_encode(deep, codecformat="jp2"))
    options: dict[str, Any] = {"resolution": (118, 118), "resolutionunit": 3}
    for name in ("none", "lzw", "deflate", "zstd", "packbits"):
        coding = None if name == "none" else name
        tifffile.imwrite(folder / f"{name}.tif", deep, compression=coding, **options)
    with tifffile.TiffWriter(folder / "pages.tif", bigtiff=True) as writer:
        for _ in range(3):
            writer.write(picture, photometric="rgb", tile=(16, 16), **options)
    return sorted(folder.iterdir())


EXPLAINED = {
    "exiftool": set(),
    # not decoded, no resolution stated, and every subsampling called 4:2:0
    "vipsheader": {"rgb.bmp", "zstd.tif", "deep.jp2", "rgb.avif", "deep.png", "422.jpg"},
}


@pytest.mark.parametrize("peer", PEERS)
def test_agrees_with_the_peer_on_every_field_of_every_format(
    peer: str, picture: NDArray[np.uint8], tmp_path: Path
) -> None:
    if shutil.which(peer) is None:
        pytest.skip(f"{peer} is not installed")
    found, compared = differences(peer, files(tmp_path, picture))
    assert [one for one in found if one.file not in EXPLAINED[peer]] == []
    assert compared["width"] >= 15
    if peer == "exiftool":
        assert set(compared) == set(FIELDS)
