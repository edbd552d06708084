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
from ledgerkit.testing.policies import policy_document

SCHEMAS = Path(__file__).parents[2] / "schemas"
POLICY = policy_document(
    downscale_over_megapixels=0.1,
    downscale_long_side=100,
    tile_over_megapixels=0.2,
    tile_size=256,
    tile_overlap=32,
    format="png",
)


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


def decoded(made: Produced, name: str) -> Any:
    from ledgerkit.imaging.decode import decode

    return decode(io.BytesIO(made.file_outputs[name].data))


@pytest.mark.parametrize(("kind", "suffix"), [("webp", "webp"), ("tiff", "tif")])
def test_derivatives_are_written_in_the_policys_format(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(ramp(1600, 1200)).save(path)
    ordered = {"format": kind, "downscale_long_side": 800}
    made = normalized(tmp_path, path, **ordered)
    row = made.row_tables["tiles"][0]
    output = made.file_outputs[row["file"]]
    assert (row["file"], row["media_type"]) == (f"whole.{suffix}", f"image/{kind}")
    assert image(made, row["file"]).shape == (600, 800, 3)
    assert output.pixels_sha256 == pixels_sha256(io.BytesIO(output.data))
    assert row["image_sha256"] == hashlib.sha256(output.data).hexdigest()
    again = normalized(tmp_path, path, **ordered)
    assert again.file_outputs[row["file"]].data == output.data
    tile = made.row_tables["tiles"][1]
    expected = ramp(1600, 1200)[tile["y0"] : tile["y1"], tile["x0"] : tile["x1"]]
    difference = np.abs(image(made, tile["file"]).astype(int) - expected)
    assert difference.max() == 0 if kind == "tiff" else difference.mean() < 6


def test_a_tiff_derivative_is_tiled_pyramidal_and_lossless(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.dstack([ramp(1600, 1200), np.full((1200, 1600), 255, np.uint8)])).save(path)
    made = normalized(
        tmp_path, path, format="tiff", downscale_over_megapixels=9, tile_over_megapixels=9
    )
    with tifffile.TiffFile(io.BytesIO(made.file_outputs["whole.tif"].data)) as tiff:
        assert [page.shape[1] for page in tiff.pages] == [1600, 800, 400, 200]
        assert all(page.is_tiled for page in tiff.pages)
        assert np.array_equal(tiff.pages[0].asarray(), ramp(1600, 1200))


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_sixteen_bits_are_delivered_where_the_policy_says_so(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.tif"
    deep = np.random.default_rng(2).integers(0, 65536, (60, 80, 3), np.uint16)
    tifffile.imwrite(path, deep, photometric="rgb")
    kept = normalized(tmp_path, path, format=kind, bit_depth=16)
    assert kept.row_tables["tiles"][0]["file"] is None
    tifffile.imwrite(
        path,
        np.dstack([deep, np.full((60, 80), 65535, np.uint16)]),
        extrasamples=(2,),
        photometric="rgb",
    )
    made = normalized(tmp_path, path, format=kind, bit_depth=16)
    found = decoded(made, made.row_tables["tiles"][0]["file"])
    assert found.maximum == 65535
    assert np.array_equal(found.image.numpy(), deep)
    grey = tmp_path / "b.tif"
    tifffile.imwrite(grey, ramp(80, 60)[:, :, :2], extrasamples=(2,), photometric="minisblack")
    eight = normalized(tmp_path, grey, format=kind, bit_depth=16)
    assert decoded(eight, eight.row_tables["tiles"][0]["file"]).maximum == 255


def test_colours_are_the_same_whatever_colour_space_is_delivered(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(ramp(400, 300)).save(path)
    from ledgerkit.imaging.decode import read_shrunk

    shown = {
        space: read_shrunk(
            io.BytesIO(
                normalized(tmp_path, path, colour_space=space, tile_over_megapixels=9)
                .file_outputs["whole.png"]
                .data
            ),
            100,
        ).astype(int)
        for space in ("srgb", "display-p3", "grey")
    }
    apart = np.abs(shown["display-p3"] - shown["srgb"])
    assert apart.mean() < 0.5
    assert apart.max() <= 10  # two roundings to 8 bits, near the border of the gamut
    assert (np.ptp(shown["grey"], axis=2) == 0).all()
    linear = (shown["srgb"] / 255.0) ** 2.2 @ np.array([0.2126, 0.7152, 0.0722])
    assert np.abs(shown["grey"][:, :, 0] - 255 * linear ** (1 / 2.2)).max() <= 8


def test_a_derivative_that_its_format_cannot_hold_names_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(ramp(17000, 12)).convert("CMYK").convert("RGBA").save(path)
    with pytest.raises(LimitExceeded, match="webp of 17000 pixels") as refused:
        normalized(
            tmp_path, path, format="webp", downscale_over_megapixels=9, tile_over_megapixels=9
        )
    assert "png or tiff" in str(refused.value.hint)
