from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from ledgerkit.imaging.decode import decode
from ledgerkit.imaging.measures import Thresholds, measure_image
from ledgerkit.operations import measure
from ledgerkit.testing.handles import run_operation

SCHEMA = Path(__file__).parents[2] / "schemas" / "ledger.measures.v1.schema.json"
THRESHOLDS = Thresholds(12.0, 0.98, 0.05, 0.1, 0.05)


def measured(path: Path, **parameters: Any) -> dict[str, Any]:
    (row,) = run_operation(measure, files={"source": [path]}, **parameters).row_tables["measures"]
    return row


def written(path: Path, array: NDArray[Any]) -> Path:
    tifffile.imwrite(path, array, photometric="rgb" if array.ndim == 3 else "minisblack")
    return path


def test_four_pixels_by_hand(tmp_path: Path) -> None:
    row = measured(written(tmp_path / "a.tif", np.array([[0, 255], [255, 51]], np.uint8)))
    assert row["pixels"] == 4
    assert row["mean"] == [0.55]
    assert row["standard_deviation"] == [pytest.approx(math.sqrt(2.04 / 4 - 0.55**2), abs=1e-15)]
    assert (row["minimum"], row["maximum"]) == ([0.0], [1.0])
    assert row["luminance_entropy"] == 1.5
    assert (row["background_ratio"], row["white_ratio"], row["black_ratio"]) == (0.5, 0.5, 0.25)
    assert (row["paper_red"], row["paper_from"]) == (1.0, "border")
    assert row["michelson_contrast"] == 1.0
    assert row["grey_likeness"] == 1.0
    laplacian = np.array([510, -459, -459, 408])
    assert row["laplacian_variance"] == pytest.approx(laplacian.var(), abs=1e-9)


def test_has_the_columns_of_the_ledger(tmp_path: Path) -> None:
    row = measured(written(tmp_path / "a.tif", np.zeros((1, 1), np.uint8)))
    assert set(row) == set(json.loads(SCHEMA.read_text())["required"]) - {"run_id", "log_index"}
    assert row["michelson_contrast"] == row["rms_contrast"] == row["luminance_entropy"] == 0.0
    assert row["black_ratio"] == 1.0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_agrees_with_scipy(tmp_path: Path, dtype: type[np.generic]) -> None:
    top = int(np.iinfo(dtype).max)
    array = np.random.default_rng(5).integers(0, top + 1, (37, 53, 3)).astype(dtype)
    array[:20] //= 8
    row = measured(written(tmp_path / "a.tif", array))
    light = (array.astype(np.int64) @ np.array([54, 183, 19]) + 128) >> 8
    assert row["bit_depth"] == (8 if dtype == np.uint8 else 16)
    assert np.allclose(row["mean"], array.mean(axis=(0, 1)) / top, atol=1e-12)
    assert np.allclose(row["standard_deviation"], array.std(axis=(0, 1)) / top, atol=1e-12)
    laplacian = ndimage.laplace(light.astype(float), mode="nearest") * 255 / top
    assert row["laplacian_variance"] == pytest.approx(laplacian.var(), rel=1e-9)
    gradient = np.hypot(
        *(ndimage.sobel(light.astype(float), axis, mode="nearest") for axis in (0, 1))
    )
    assert row["edge_density"] == (gradient / 4 > 0.1 * top).mean()
    spread = array.max(axis=2).astype(int) - array.min(axis=2)
    assert row["grey_likeness"] == (spread <= 0.05 * top).mean()
    assert row["luminance_mean"] == pytest.approx(light.mean() / top, abs=1e-12)
    bins = np.bincount((light * 256 // (top + 1)).ravel(), minlength=256) / light.size
    assert row["luminance_entropy"] == pytest.approx(
        -sum(p * math.log2(p) for p in bins if p), abs=1e-9
    )


@settings(deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 45),
    st.sampled_from(["L", "RGB", "CMYK"]),
)
def test_any_strip_height_and_number_of_threads_gives_the_same_last_digit(
    width: int, height: int, rows: int, mode: str
) -> None:
    import io

    bands = {"L": (), "RGB": (3,), "CMYK": (4,)}[mode]
    array = np.random.default_rng(rows).integers(0, 256, (height, width, *bands), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(array, mode).save(file, "TIFF") if mode == "CMYK" else Image.fromarray(
        array
    ).save(file, "PNG")
    whole = measure_image(decode(file), THRESHOLDS, height)
    for threads in (1, 2, 3):
        assert measure_image(decode(file), THRESHOLDS, rows, threads) == whole


def test_alpha_is_left_out_and_cmyk_is_measured_as_stored(tmp_path: Path) -> None:
    array = np.zeros((4, 4, 4), np.uint8)
    array[:, :, 1] = 255
    Image.fromarray(array, "RGBA").save(tmp_path / "a.png")
    assert measured(tmp_path / "a.png")["mean"] == [0.0, 1.0, 0.0]
    Image.fromarray(array, "CMYK").save(tmp_path / "a.tif")
    row = measured(tmp_path / "a.tif")
    assert row["mean"] == [0.0, 1.0, 0.0, 0.0]
    assert 0.1 < row["luminance_mean"] < 0.5
    assert row["grey_likeness"] == 0.0


def test_thresholds_are_parameters(tmp_path: Path) -> None:
    grey = np.full((64, 64), 200, np.uint8)
    grey[20:28] = 160
    path = written(tmp_path / "a.tif", grey)
    assert measured(path)["background_ratio"] == 0.875
    assert measured(path, paper_tolerance=20)["background_ratio"] == 1.0
