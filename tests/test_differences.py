"""Where two files differ is said exactly, and what is tolerable is a matter of numbers alone."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ledgerkit import schema
from ledgerkit.canonical import canonical_bytes
from ledgerkit.differences import Difference, compare, compare_tables, cosine_distance
from ledgerkit.reading import Tree
from ledgerkit.records import Output


def compared(folder: Path, media_type: str, old: bytes, new: bytes, role: str = "x") -> Difference:
    (folder / "old").write_bytes(old)
    (folder / "new").write_bytes(new)
    digest = hashlib.sha256(old).hexdigest()
    recorded = Output("old", role, media_type, len(old), digest, "0" * 32, None)
    return compare(Tree(folder), recorded, "new", {}, {})


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ({"a": 1.0}, {"a": 1.0 + 1e-12}, None),
        ({"a": 1.0}, {"a": 1.001}, "$.a: 1 recorded, 1.001 now"),
        ({"a": [1, {"b": "x"}]}, {"a": [1, {"b": "y"}]}, "$.a[1].b: 'x' recorded, 'y' now"),
        ({"a": True}, {"a": 1}, "$.a: True recorded, 1 now"),
        ({"a": None}, {"b": None}, "$: {'a': None} recorded, {'b': None} now"),
        ([1], [1, 2], "$: [1] recorded, [1, 2] now"),
    ],
)
def test_documents_differ_at_a_path(tmp_path: Path, old: Any, new: Any, where: str | None) -> None:
    found = compared(tmp_path, "application/json", canonical_bytes(old), canonical_bytes(new))
    assert found.where == where
    assert found.verdict == ("differs" if where else "within tolerance")


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        (b"abc", b"axc", 1),
        (b"abc", b"abcd", 3),
        (b"abc", b"", 0),
        (bytes(1 << 20) + b"ab", bytes(1 << 20) + b"ac", (1 << 20) + 1),
    ],
)
def test_other_files_differ_at_a_byte(tmp_path: Path, old: bytes, new: bytes, place: int) -> None:
    found = compared(tmp_path, "text/plain", old, new)
    assert (found.verdict, found.where) == ("differs", f"byte {place}")


def test_images_differ_by_a_sample_at_a_pixel(tmp_path: Path) -> None:
    def png(pixels: Any, level: int = 6) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=level)
        return buffer.getvalue()

    old = np.random.default_rng(1).integers(0, 200, (900, 400, 3), np.uint8)
    new = old.copy()
    new[820, 300, 2] += 7
    found = compared(tmp_path, "image/png", png(old), png(new))
    assert (found.verdict, found.maximum) == ("differs", 7.0)
    assert "first at x 300, y 820, band 2" in str(found.where)
    assert compared(tmp_path, "image/png", png(old), png(old, 1)).verdict == "same pixels"
    found = compared(tmp_path, "image/png", png(old), png(old[:-1]))
    assert "400 x 900 x 3 uchar recorded, 400 x 899 x 3 uchar now" in str(found.where)
    assert compared(tmp_path, "image/png", png(old), b"no image").verdict == "not comparable"


def members(labels: list[int], x: list[float]) -> pa.Table:
    """Rows of `cluster_members`."""
    count = len(x)
    names = [f"plate-{number:03}" for number in range(count)]
    columns: dict[str, Any] = {
        "level": [1] * count, "subject_id": names, "subject_kind": ["plate"] * count,
        "plate_id": names, "cluster_id": [None] * count, "label": labels,
        "probability": [1.0] * count, "outlier_score": [None] * count,
        "nearest_cluster_id": [None] * count, "nearest_distance": [None] * count, "x": x, "y": x,
    }  # fmt: skip
    return pa.table(columns, schema.arrow_schema("cluster_members", stored=True))


def test_the_order_of_rows_is_that_of_their_keys(tmp_path: Path) -> None:
    old = members([0, 1, 2], [0.5, 1.5, 2.5])
    assert compare_tables("cluster_members", old, old.take([2, 0, 1]), {}, {}).maximum == 0.0
    found = compare_tables("cluster_members", old, members([0, 5, 2], [0.5, 1.5, 2.5]), {}, {})
    assert found.where == ("column label, row 1 (level 1, subject_id plate-001): 1 recorded, 5 now")
    found = compare_tables("cluster_members", old, old.slice(1), {}, {})
    assert found.where == "3 rows are recorded, 2 now"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8), st.floats(0, 1e-3), st.data())
def test_a_column_passes_just_when_every_number_is_within_the_bound(
    values: list[float], absolute: float, data: st.DataObject
) -> None:
    moves = data.draw(st.lists(st.floats(-2e-3, 2e-3), min_size=len(values), max_size=len(values)))
    old = members([0] * len(values), values)
    moved = [value + move for value, move in zip(values, moves, strict=True)]
    new = members([0] * len(values), moved)
    rule = {name: {"absolute": absolute} for name in ("x", "y")}
    apart = [abs(b - a) for a, b in zip(values, moved, strict=True)]
    found = compare_tables("cluster_members", old, new, rule, {})
    assert (found.verdict == "within tolerance") == all(one <= absolute for one in apart)
    assert found.maximum == max(apart)


def test_cosine_distance_has_its_known_values() -> None:
    one, other = np.array([1.0, 0.0]), np.array([0.0, 2.0])
    assert cosine_distance(one, one * 3) == pytest.approx(0)
    assert cosine_distance(one, other) == pytest.approx(1)
    assert cosine_distance(one, -one) == pytest.approx(2)
    assert cosine_distance(one * 0, one * 0) == 0
    assert cosine_distance(one * 0, one) == 1
