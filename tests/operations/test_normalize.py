from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from ledgerkit.errors import LimitExceeded, UnreadableImage
from ledgerkit.imaging.pixels import pixels_sha256
from ledgerkit.operations import normalize
from ledgerkit.testing.handles import Produced, run_operation

SCHEMAS = Path(__file__).parents[2] / "schemas"
POLICY = {
    "schema_version": "policy.v1",
    "downscale_over_megapixels": 0.1,
    "downscale_long_side": 100,
    "tile_over_megapixels": 0.2,
    "tile_size": 256,
    "tile_overlap": 32,
    "outliers": "tile",
    "colour_space": "srgb",
    "bit_depth": 8,
    "orientation": "upright",
    "format": "png",
    "quality": 90,
    "rationale": "a test",
    "decided_by": "A. Curator",
    "reason": "a test",
}


def ramp(width: int, height: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    down, across = np.mgrid[0:height, 0:width]
    image = np.stack([across * 250 // width, down * 250 // height, (across + down) % 200], axis=-1)
    image[: height // 8, : width // 5] = 10
    return image.astype(np.uint8)


def normalized(folder: Path, source: Path, **changes: Any) -> Produced:
    policy = folder / "policy.json"
    policy.write_text(json.dumps(POLICY | changes))
    return run_operation(normalize, files={"source": [source], "policy": [policy]})


def image(made: Produced, name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(made.file_outputs[name].data)))


def test_a_plate_that_needs_nothing_keeps_its_source(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(ramp(80, 60)).save(path)
    made = normalized(tmp_path, path)
    (row,) = made.row_tables["tiles"]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert made.file_outputs == {}
    assert (row["kind"], row["file"], row["image_sha256"]) == ("whole", None, digest)
    assert row["affine"] == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    required = set(json.loads((SCHEMAS / "ledger.tiles.v1.schema.json").read_text())["required"])
    assert set(row) == required - {"run_id", "log_index"}


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_a_large_plate_is_shrunk_and_its_digests_are_of_what_was_written(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(ramp(400, 300)).save(path)
    made = normalized(tmp_path, path, format=kind)
    (row,) = made.row_tables["tiles"]
    output = made.file_outputs[row["file"]]
    assert (row["width"], row["height"]) == image(made, row["file"]).shape[1::-1] == (100, 75)
    assert row["affine"] == [4.0, 0.0, 0.0, 0.0, 4.0, 0.0]
    assert row["image_sha256"] == hashlib.sha256(output.data).hexdigest()
    assert output.pixels_sha256 == pixels_sha256(io.BytesIO(output.data))
    assert output.media_type == row["media_type"] == f"image/{kind}"
    assert "icc_profile" in Image.open(io.BytesIO(output.data)).info
    again = normalized(tmp_path, path, format=kind)
    assert again.file_outputs[row["file"]].data == output.data
    assert again.row_tables == made.row_tables


@pytest.mark.parametrize("orientation", [3, 6, 7])
def test_a_turned_plate_is_turned_upright_with_tiles(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "a.png"
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(ramp(600, 400)).save(path, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    made = normalized(tmp_path, path)
    whole, *tiles = made.row_tables["tiles"]
    assert (whole["frame_width"], whole["frame_height"]) == expected.shape[1::-1]
    assert (whole["orientation"], len(tiles)) == (orientation, 6)
    joined = np.zeros_like(expected)
    for row in tiles:
        box = np.s_[row["y0"] : row["y1"], row["x0"] : row["x1"]]
        assert np.array_equal(image(made, row["file"]), expected[box])
        joined[box] = image(made, row["file"])
    assert np.array_equal(joined, expected)
    places = [(row["grid_row"], row["grid_column"]) for row in tiles]
    assert places == sorted(places)
    assert [gate[:3] for gate in made.gates] == [
        ("derivative", "size_as_ordered", True),
        ("tiles", "cover_every_pixel", True),
    ]


def test_outliers_may_be_shrunk_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(ramp(600, 400)).save(path)
    made = normalized(tmp_path, path, outliers="downscale", downscale_over_megapixels=5)
    (row,) = made.row_tables["tiles"]
    assert (row["width"], row["height"]) == (100, 67)


def test_sixteen_bits_grey_and_alpha_become_eight_bits(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, ramp(80, 60).astype(np.uint16) * 257, photometric="rgb")
    made = normalized(tmp_path, path)
    assert np.array_equal(image(made, "whole.png"), ramp(80, 60))
    tifffile.imwrite(path, np.full((10, 10), 129 + 256 * 7, np.uint16), photometric="minisblack")
    made = normalized(tmp_path, path)
    assert (
        image(made, "whole.png").tolist() == [[7] * 10] * 10 or image(made, "whole.png")[0, 0] == 7
    )


def test_a_profile_that_does_not_fit_is_told(tmp_path: Path) -> None:
    from PIL import ImageCms

    path = tmp_path / "a.jpg"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(ramp(80, 60)[:, :, 0]).save(path, icc_profile=profile)
    (gate,) = normalized(tmp_path, path).gates
    assert gate[:3] == ("colour", "embedded_profile_usable", False)


def test_broken_pixels_fail_even_where_the_source_would_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(ramp(300, 200)).save(path)
    path.write_bytes(path.read_bytes()[:-800])
    with pytest.raises(UnreadableImage):
        normalized(tmp_path, path)


def test_a_failing_output_is_raised_and_not_swallowed(tmp_path: Path) -> None:
    from ledgerkit.imaging.encode import Encoding, write_image
    from ledgerkit.imaging.vips import from_array

    class Full:
        def write(self, data: bytes | memoryview) -> int:
            raise OSError("disk full")

        def pixels(self, sha256: str) -> None:
            raise AssertionError

    with pytest.raises(OSError, match="disk full"):
        write_image(
            from_array(ramp(80, 60)).copy(interpretation="srgb"), Full(), Encoding("png", 90)
        )


def test_what_cannot_be_streamed_names_the_setting(tmp_path: Path) -> None:
    path, policy = tmp_path / "a.jpg", tmp_path / "policy.json"
    Image.fromarray(ramp(300, 200)).save(path, progressive=True)
    policy.write_text(json.dumps(POLICY))
    files = {"source": [path], "policy": [policy]}
    with pytest.raises(LimitExceeded, match=r"^NOT_STREAMABLE.*max_decode_bytes"):
        run_operation(normalize, files=files, max_decode_bytes=1000)
