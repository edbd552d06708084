"""Small plates and their rows of `tiles`, for tests of operations on regions and vectors."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Colour = tuple[int, int, int]


def _sheet(*disks: tuple[int, int, int, Colour], size: int = 400) -> np.ndarray:
    noise = np.random.default_rng(5).normal(0, 1.5, (size, size, 1))
    image = np.clip(np.array((236, 226, 200)) + noise, 0, 255).astype(np.uint8)
    rows, columns = np.ogrid[:size, :size]
    for x, y, radius, colour in disks:
        image[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = colour
    return image


@pytest.fixture
def sheet() -> Callable[..., np.ndarray]:
    """Draws a cream sheet, uint8 (size, size, 3), with disks (x, y, radius, colour)."""
    return _sheet


@pytest.fixture
def write_plate(tmp_path: Path) -> Callable[..., tuple[Path, dict[str, Any]]]:
    """Writes pixels as PNG; returns path and row of `tiles`, of a source `scale` times as large."""

    def write(plate_id: str, pixels: np.ndarray, scale: int = 1) -> tuple[Path, dict[str, Any]]:
        path = tmp_path / f"{plate_id}.png"
        Image.fromarray(pixels).save(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        height, width = pixels.shape[:2]
        return path, {
            "tile_id": "tile-" + hashlib.sha256(plate_id.encode()).hexdigest()[:20],
            "plate_id": plate_id,
            "kind": "whole",
            "x0": 0,
            "y0": 0,
            "x1": width * scale,
            "y1": height * scale,
            "width": width,
            "height": height,
            "affine": [float(scale), 0.0, 0.0, 0.0, float(scale), 0.0],
            "frame_width": width * scale,
            "frame_height": height * scale,
            "orientation": 1,
            "grid_column": None,
            "grid_row": None,
            "file": path.name,
            "media_type": "image/png",
            "image_sha256": digest,
            "source_sha256": digest,
        }

    return write


@pytest.fixture
def check_columns() -> Callable[[str, Any], None]:
    """Holds that a table has its schema's columns, less those that consolidation fills in."""
    import json

    folder = Path(__file__).parents[2] / "schemas"

    def check(table: str, columns: Any) -> None:
        schema = json.loads((folder / f"ledger.{table}.v1.schema.json").read_text())
        filled_in = {"run_id", "subject_run_id", "log_index"}
        assert set(columns) == set(schema["properties"]) - filled_in

    return check
