"""Bounds on memory, held against peaks of processes that do nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile

from ledgerkit.operations import measure, normalize, pyramid
from ledgerkit.testing.handles import LocalInputs
from ledgerkit.testing.policies import policy_document

POLICY = policy_document(
    downscale_over_megapixels=1,
    downscale_long_side=4000,
    tile_over_megapixels=2,
    tile_size=1024,
    tile_overlap=128,
)
MEASURED = r"""
import contextlib, re, sys
from pathlib import Path
from ledgerkit.imaging import decode, encode, fallback
from ledgerkit.operations import measure, normalize, pyramid
from ledgerkit.testing.handles import LocalInputs, Produced
import numpy, PIL.Image, PIL.ImageCms, pyvips, tifffile, imagecodecs
class Discarded(Produced):
    @contextlib.contextmanager
    def _new(self, *_):
        yield self
    def write(self, data):
        return len(data)
    def pixels(self, _):
        pass
operation = {"measure": measure, "normalize": normalize, "pyramid": pyramid}[sys.argv[1]]
source, policy = map(Path, sys.argv[2:])
def peak():
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
before = peak()
operation.run(
    LocalInputs("plate-001", {"source": [source], "policy": [policy]}), operation.Parameters(), Discarded()
)
print(peak() - before)
"""


def plate(width: int, height: int, deep: bool = False) -> Any:
    """Noise with a hue: nothing that an encoder makes small."""
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    image = pyvips.Image.new_from_array(small).resize(8, kernel="nearest")
    if deep:
        return (image.cast("ushort") * 257).cast("ushort").copy(interpretation="rgb16")
    return image.copy(interpretation="srgb")


CASES = {
    "baseline.jpg": lambda path: plate(8000, 6000).jpegsave(path, Q=90),
    "progressive.jpg": lambda path: plate(6000, 4000).jpegsave(path, Q=90, interlace=True),
    "interlaced.png": lambda path: plate(4000, 3000).pngsave(path, interlace=True, compression=1),
    "tiled-16-bit.tif": lambda path: plate(6000, 4000, True).tiffsave(
        path, tile=True, tile_width=512, tile_height=512
    ),
    "one-strip.tif": lambda path: tifffile.imwrite(
        path, plate(6000, 4000).numpy(), photometric="rgb", compression="lzw", rowsperstrip=4000
    ),
    "turned.jpg": lambda path: turned(plate(6000, 4000)).jpegsave(path, Q=90),
    "fallback.tif": lambda path: tifffile.imwrite(
        path, plate(3000, 2000).numpy(), photometric="rgb", compression="zstd"
    ),
}


def turned(image: Any) -> Any:
    image = image.copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    return image


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    "operation", [measure, normalize, pyramid], ids=["measure", "normalize", "pyramid"]
)
def test_an_operation_takes_no_more_memory_than_it_says(
    tmp_path: Path, operation: Any, name: str
) -> None:
    source = tmp_path / name
    CASES[name](str(source))
    check(operation, source, POLICY)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
@pytest.mark.parametrize("kind", ["webp", "tiff", "png"])
def test_every_format_of_a_large_derivative_keeps_to_it(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "plate.jpg"
    plate(6000, 4000).jpegsave(str(source), Q=90)
    large = {"outliers": "downscale", "downscale_long_side": 5999, "format": kind}
    check(normalize, source, POLICY | large)


def check(operation: Any, source: Path, document: dict[str, Any]) -> None:
    policy = source.with_suffix(".json")
    policy.write_text(json.dumps(document))
    inputs = LocalInputs("plate-001", {"source": [source], "policy": [policy]})
    stated = operation.memory(inputs, operation.Parameters())
    word = operation.__name__.rpartition(".")[2]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, word, str(source), str(policy)],
        capture_output=True,
        text=True,
        check=True,
    )
    taken = int(done.stdout)
    assert 0 < taken <= stated, f"{taken >> 20} of {stated >> 20} MiB"
