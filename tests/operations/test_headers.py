from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ledgerkit.errors import UnreadableImage
from ledgerkit.operations import headers
from ledgerkit.testing.handles import run_operation

SCHEMA = Path(__file__).parents[2] / "schemas" / "ledger.headers.v1.schema.json"


def test_writes_one_row_with_the_columns_of_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "scan.jpg"
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(path, dpi=(300, 300))
    (row,) = run_operation(headers, files={"source": [path]}).row_tables["headers"]
    expected = set(json.loads(SCHEMA.read_text())["required"]) - {"run_id", "log_index"}
    assert set(row) == expected
    assert (row["plate_id"], row["width"], row["height"]) == ("plate-001", 40, 30)
    assert row["megapixels"] == 0.0012
    assert row["dpi_x"] == 300.0


def test_a_file_that_is_no_image_fails_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "scan.jpg"
    path.write_bytes(b"hello")
    with pytest.raises(UnreadableImage, match="known"):
        run_operation(headers, files={"source": [path]})
