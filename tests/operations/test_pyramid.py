"""A pyramid shows the plate, all of it, upright, in its colours, the same bytes every time."""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import json
import math
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ledgerkit import operation
from ledgerkit.errors import CommitFailed, LimitExceeded, UnreadableImage, UsageError
from ledgerkit.imaging import aside
from ledgerkit.imaging.vips import from_array
from ledgerkit.operations import pyramid
from ledgerkit.testing.handles import Produced, run_operation

Pixels = NDArray[np.uint8]
ORIENTATION = 0x0112


def ramp(width: int, height: int) -> Pixels:
    """Smooth colours, so that JPEG keeps them, with two marks that are in no middle."""
    down, across = np.mgrid[0:height, 0:width]
    image = np.stack([across * 200 // width, down * 200 // height, 90 + 0 * across], axis=-1)
    image[: height // 8, : width // 5] = 10
    image[height // 2 :, width // 3 : width // 2] = (200, 30, 40)
    return image.astype(np.uint8)


def made(path: Path, **parameters: Any) -> Produced:
    return run_operation(pyramid, files={"source": [path]}, **parameters)


def saved(folder: Path, pixels: Pixels, name: str = "a.png", **options: Any) -> Path:
    path = folder / name
    Image.fromarray(pixels).save(path, **options)
    return path


def info_of(produced: Produced) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(produced.file_outputs["plate-001/info.json"].data)
    return document


def decoded(data: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)))


def requests(info: dict[str, Any], factor: int) -> Iterator[tuple[str, int, int]]:
    """Path, left and top in the level, of each tile by the formula of the specification."""
    side, width, height = info["tiles"][0]["width"], info["width"], info["height"]
    for y in range(math.ceil(height / (side * factor))):
        for x in range(math.ceil(width / (side * factor))):
            left, top = x * side * factor, y * side * factor
            across, down = min(side * factor, width - left), min(side * factor, height - top)
            size = f"{math.ceil(across / factor)},{math.ceil(down / factor)}"
            yield f"{left},{top},{across},{down}/{size}/0/default.jpg", x * side, y * side


def put_together(info: dict[str, Any], factor: int, read: Any) -> Pixels:
    """A whole level, of the tiles that a client asks for."""
    width, height = (math.ceil(info[side] / factor) for side in ("width", "height"))
    found: Pixels | None = None
    for path, left, top in requests(info, factor):
        tile = decoded(read(path))
        if found is None:
            found = np.zeros((height, width, *tile.shape[2:]), np.uint8)
        found[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    assert found is not None
    return found


def from_outputs(produced: Produced) -> Any:
    return lambda path: produced.file_outputs[f"plate-001/{path}"].data


def far(one: Pixels, other: Pixels) -> float:
    """The mean difference in levels of 255."""
    assert one.shape == other.shape
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean())


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([64, 100, 128]))
@example(129, 128, 64)
@example(127, 257, 64)
@example(1, 300, 64)
def test_the_tiles_put_together_are_the_plate(width: int, height: int, side: int) -> None:
    source = ramp(width, height)
    with tempfile.TemporaryDirectory() as folder:
        produced = made(saved(Path(folder), source), tile_size=side, quality=100)
    info = info_of(produced)
    assert (info["width"], info["height"]) == (width, height)
    assert far(put_together(info, 1, from_outputs(produced)), source) < 2
    for path, left, top in requests(info, 1):
        part = from_array(source[top : top + side, left : left + side])
        encoded = part.copy(interpretation="srgb").jpegsave_buffer(Q=100, keep="none")
        assert from_outputs(produced)(path) == encoded, "a tile is its pixels and nothing else"
    for factor in info["tiles"][0]["scaleFactors"]:
        level = put_together(info, factor, from_outputs(produced))
        small = Image.fromarray(source).resize(
            (level.shape[1], level.shape[0]), Image.Resampling.BOX
        )
        assert far(level, np.asarray(small)) < 12
    for size in info["sizes"]:
        name = f"full/{size['width']},{size['height']}/0/default.jpg"
        assert decoded(from_outputs(produced)(name)).shape[1::-1] == (size["width"], size["height"])
    assert all(passed for _, _, passed, _, _ in produced.gates)


@pytest.mark.parametrize("limit", [1 << 29, 1])
@pytest.mark.parametrize("turned", range(1, 9))
def test_a_turned_plate_is_upright_in_memory_and_by_way_of_the_disk(
    tmp_path: Path, turned: int, limit: int
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = turned
    path = saved(tmp_path, ramp(230, 150), "a.jpg", quality=95, exif=exif)
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    produced = made(path, tile_size=64, quality=100, max_decode_bytes=limit)
    assert far(put_together(info_of(produced), 1, from_outputs(produced)), wanted) < 2


def test_other_colour_spaces_and_depths_become_srgb_or_grey(tmp_path: Path) -> None:
    import tifffile

    deep = tmp_path / "deep.tif"
    tifffile.imwrite(deep, ramp(200, 100).astype(np.uint16) * 257, photometric="rgb")
    assert far(put_together_of(deep), ramp(200, 100)) < 3
    grey = saved(tmp_path, ramp(200, 100)[:, :, 0], "grey.png")
    assert put_together_of(grey).ndim == 2
    ink = tmp_path / "ink.tif"
    Image.fromarray(ramp(200, 100)).convert("CMYK").save(ink)
    assert put_together_of(ink).shape == (100, 200, 3)


def put_together_of(path: Path) -> Pixels:
    produced = made(path, tile_size=64, quality=95)
    assert b"ICC_PROFILE" not in from_outputs(produced)("full/max/0/default.jpg")
    return put_together(info_of(produced), 1, from_outputs(produced))


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    path = saved(tmp_path, ramp(700, 900))
    one, other = (made(path, tile_size=64, deep_zoom=True).file_outputs for _ in range(2))
    assert {name: file.data for name, file in one.items()} == {
        name: file.data for name, file in other.items()
    }
    assert {file.role for file in one.values()} == {
        "pyramid",
        "pyramid-tile",
        "pyramid-image",
        "pyramid-descriptor",
    }
    assert all(file.in_cache for file in one.values())


def test_large_plates_have_images_for_pages_and_say_what_max_is(tmp_path: Path) -> None:
    produced = made(saved(tmp_path, ramp(2600, 1300), "a.jpg"))
    info, read = info_of(produced), from_outputs(produced)
    assert info["maxWidth"] == 1300
    assert decoded(read("full/max/0/default.jpg")).shape == (650, 1300, 3)
    for size in ("256,128", "512,256", "1024,512"):
        image = decoded(read(f"full/{size}/0/default.jpg"))
        width, height = map(int, size.split(","))
        small = Image.fromarray(ramp(2600, 1300)).resize((width, height), Image.Resampling.LANCZOS)
        assert far(image, np.asarray(small)) < 3


def test_a_plate_without_need_of_shrinking_has_no_limit(tmp_path: Path) -> None:
    produced = made(saved(tmp_path, ramp(300, 200)))
    info = info_of(produced)
    assert "maxWidth" not in info
    assert info["sizes"] == [{"width": 300, "height": 200}]
    assert decoded(from_outputs(produced)("full/max/0/default.jpg")).shape == (200, 300, 3)


def test_deep_zoom_holds_the_same_tiles_and_every_level(tmp_path: Path) -> None:
    produced = made(saved(tmp_path, ramp(333, 200)), tile_size=64, deep_zoom=True)
    root = ElementTree.fromstring(produced.file_outputs["plate-001.dzi"].data)
    space = "{http://schemas.microsoft.com/deepzoom/2008}"
    size = root.find(f"{space}Size")
    assert size is not None
    assert (root.tag, root.attrib) == (
        f"{space}Image",
        {"Format": "jpg", "Overlap": "0", "TileSize": "64"},
    )
    assert size.attrib == {"Width": "333", "Height": "200"}
    highest = math.ceil(math.log2(333))
    for level in range(highest + 1):
        factor = 2 ** (highest - level)
        width, height = math.ceil(333 / factor), math.ceil(200 / factor)
        for row in range(math.ceil(height / 64)):
            for column in range(math.ceil(width / 64)):
                data = produced.file_outputs[f"plate-001_files/{level}/{column}_{row}.jpg"].data
                wanted = (min(64, height - row * 64), min(64, width - column * 64))
                assert decoded(data).shape[:2] == wanted
    first = produced.file_outputs[f"plate-001_files/{highest}/0_0.jpg"].data
    assert first == from_outputs(produced)("0,0,64,64/64,64/0/default.jpg")


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a plain web server over a folder, on a free port of the loopback."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        data: bytes = answer.read()
    return data


def test_a_client_sees_the_plate_through_a_plain_web_server(tmp_path: Path) -> None:
    source = saved(tmp_path, ramp(700, 500))
    site = tmp_path / "site"
    with served(site) as base:
        for name, file in made(
            source, tile_size=128, quality=95, base_uri=base
        ).file_outputs.items():
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).write_bytes(file.data)
        info = json.loads(fetched(f"{base}/plate-001/info.json"))
        assert info["id"] == f"{base}/plate-001"
        for factor in info["tiles"][0]["scaleFactors"]:
            level = put_together(info, factor, lambda path: fetched(f"{info['id']}/{path}"))
            assert level.shape[:2] == (math.ceil(500 / factor), math.ceil(700 / factor))
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetched(f"{base}/plate-001/full/701,500/0/default.jpg")


@pytest.mark.parametrize(
    "wrong", ["", "plates", "/iiif", "ftp://a.org", "http://a.org/?x=1", "http://a b"]
)
def test_a_base_that_is_no_web_address_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="base_uri"):
        operation.load("pyramid").make_parameters({"base_uri": wrong})


def test_a_truncated_scan_gives_no_pyramid(tmp_path: Path) -> None:
    path = saved(tmp_path, ramp(800, 800), "a.jpg", quality=95)
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(UnreadableImage):
        made(path)


def test_limits_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path, ramp(100, 100))
    with pytest.raises(LimitExceeded, match="max_pixels"):
        made(path, max_pixels=99)
    interlaced = saved(tmp_path, ramp(100, 100), "b.jpg", progressive=True)
    with pytest.raises(LimitExceeded, match="max_decode_bytes"):
        made(interlaced, max_decode_bytes=10)


def _no_file_over_a_megabyte() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


def test_a_full_disk_for_temporary_files_is_not_blamed_on_the_plate(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    noise = np.random.default_rng(1).integers(0, 256, (1500, 1500, 3), np.uint8)
    path = saved(tmp_path, noise, "a.jpg", quality=95, exif=exif)
    program = (
        "import sys; from pathlib import Path; from ledgerkit.operations import pyramid;"
        "from ledgerkit.testing.handles import run_operation\n"
        "try: run_operation(pyramid, files={'source': [Path(sys.argv[1])]}, max_decode_bytes=1)\n"
        "except Exception as error: print(type(error).__name__, error, error.hint)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=_no_file_over_a_megabyte,
    ).stdout
    assert said.startswith(f"{CommitFailed.__name__} the temporary file in "), said
    assert "TMPDIR" in said


def test_nothing_is_left_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    made(saved(tmp_path, ramp(300, 200), "a.jpg", exif=exif), max_decode_bytes=1)
    assert list(folder.iterdir()) == []


def test_turning_by_way_of_the_disk_keeps_every_pixel() -> None:
    from ledgerkit.imaging.decode import Limits
    from ledgerkit.imaging.vips import to_array

    pixels = np.random.default_rng(2).integers(0, 256, (700, 530, 3), np.uint8)
    with aside.upright(from_array(pixels), 6, Limits(max_decode_bytes=1)) as image:
        assert np.array_equal(to_array(image), np.rot90(pixels, -1))


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize("turned", [1, 6])
def test_memory_is_bounded_whatever_the_size(tmp_path: Path, turned: int) -> None:
    import pyvips

    path = tmp_path / "a.jpg"
    image = from_array(ramp(1000, 1000)).replicate(9, 9)
    image = image.copy(interpretation="srgb")
    image.set_type(pyvips.GValue.gint_type, "orientation", turned)
    image.jpegsave(str(path))
    program = (
        "import sys; from pathlib import Path; from ledgerkit.operations import pyramid;"
        "from ledgerkit.testing.handles import run_operation;"
        "run_operation(pyramid, files={'source': [Path(sys.argv[1])]}, max_decode_bytes=1 << 20);"
        "said = Path('/proc/self/status').read_text();"
        "print(said.partition('VmHWM:')[2].split()[0])"
    )
    given = [sys.executable, "-c", program, str(path)]
    said = subprocess.run(given, capture_output=True, text=True, check=True).stdout
    assert int(said) * 1024 < 81_000_000 * 3, "less than the pixels of the plate"
