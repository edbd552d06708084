"""What `headers`, `measure` and `normalize` say of each file of a folder of odd images, as Markdown.

    python -m ledgerkit.testing.torture FOLDER

Each operation runs with its default limits in a process of its own, which tells its largest memory
and is ended after `SECONDS`. The pixels are compared with every other library that reads the file
at all and that `decode` did not choose. `SOURCES.tsv` in the folder (columns `file` and `why`) says
what is odd; it may be absent.

Keeps out: fixing anything, and judging: a picture that differs is printed as such.
"""

from __future__ import annotations

import csv
import json
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledgerkit.errors import LedgerkitError
from ledgerkit.testing.policies import policy_document

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ledgerkit.imaging.decode import Decoded

OPERATIONS = ("headers", "measure", "normalize")
SECONDS = 300
POLICY = policy_document(rationale="odd files are made into pictures like any other")


def said_by(operation: str, path: Path) -> str:
    """What one operation says of one file: its figures in a few words, or its reason."""
    from ledgerkit import operation as operations
    from ledgerkit.testing.handles import run_operation

    with tempfile.TemporaryDirectory() as folder:
        policy = Path(folder) / "policy.json"
        policy.write_text(json.dumps(POLICY))
        files = {"source": [path]} | ({"policy": [policy]} if operation == "normalize" else {})
        try:
            made = run_operation(operations.load(operation).module, files=files)
        except LedgerkitError as error:
            return f"refused: {error.message}"
    return _WORDS[operation](made.row_tables)


def _headers(tables: dict[str, list[dict[str, Any]]]) -> str:
    (row,) = tables["headers"]
    words = [row["format"], f"{row['width']} x {row['height']}", row["mode"]]
    words.append(f"{row['bit_depth']} bits")
    words += [str(row["compression"])] if row["compression"] else []
    words += [f"orientation {row['orientation']}"] if row["orientation"] != 1 else []
    words += [f"{row['pages']} pages"] if row["pages"] != 1 else []
    return ", ".join(words)


def _measure(tables: dict[str, list[dict[str, Any]]]) -> str:
    (row,) = tables["measures"]
    return f"mean luminance {row['luminance_mean']:.3f}"


def _normalize(tables: dict[str, list[dict[str, Any]]]) -> str:
    rows = tables["tiles"]
    whole = rows[0]
    words = "source kept" if whole["file"] is None else f"{whole['width']} x {whole['height']}"
    return words if len(rows) == 1 else f"{words} and {len(rows) - 1} tiles"


_WORDS: dict[str, Callable[[dict[str, list[dict[str, Any]]]], str]] = {
    "headers": _headers,
    "measure": _measure,
    "normalize": _normalize,
}


def checked(path: Path) -> str:
    """How the pixels of `decode` stand against those of other libraries."""
    import numpy as np

    from ledgerkit.imaging.decode import decode
    from ledgerkit.imaging.vips import to_array

    with path.open("rb") as file:
        try:
            decoded = decode(file)
            ours = to_array(decoded.image)
        except LedgerkitError:
            return "refused, see the reason"
        found = []
        for name, read in OTHERS.items():
            if name == decoded.decoder:
                continue
            try:
                other = read(path, decoded)
            except Exception:  # whatever a library does not read, it cannot check
                continue
            if other is None or other.shape[:2] != ours.shape[:2]:
                continue
            bands = min(ours.shape[2], other.shape[2], 4)
            gap = np.abs(ours[:, :, :bands].astype(np.int32) - other[:, :, :bands]).max()
            found.append(
                f"equal to {name}" if gap == 0 else f"{gap} of {decoded.maximum} off {name}"
            )
    return f"{decoded.decoder}: " + ("; ".join(found) or "no other library here reads it")


def _by_pillow(path: Path, decoded: Decoded) -> NDArray[Any] | None:
    import numpy as np
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # in this process alone, which does nothing else
    with Image.open(path) as image:
        wanted = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}.get(decoded.space)
        if decoded.maximum != 255 and image.mode not in ("I;16", "I;16B"):
            return None
        if decoded.space == "rgb" and decoded.alpha:
            wanted = "RGBA"
        if image.mode == "LAB":
            array = np.asarray(image)
            return array ^ np.array([0, 128, 128], np.uint8)
        array = np.asarray(image if decoded.maximum != 255 else image.convert(wanted))
        return array.reshape(array.shape[0], array.shape[1], -1).astype(np.int32)


def _by_tifffile(path: Path, decoded: Decoded) -> NDArray[Any] | None:
    import numpy as np
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page: Any = tiff.pages[0]
        array = np.asarray(page.asarray())
        if int(page.photometric) not in (0, 1, 2, 5) or int(page.compression) == 6:
            return None
        inverted = int(page.photometric) == 0
    if array.dtype.kind == "f":
        return _by_formula(array, decoded)
    array = array.astype(np.uint8) * 255 if array.dtype == np.bool_ else array
    array = array.reshape(array.shape[0], array.shape[1], -1).astype(np.int32)
    if decoded.header.mode == "RGBa":
        alpha = np.maximum(array[:, :, 3:], 1)
        colours = np.minimum(array[:, :, :3] * (decoded.maximum / alpha), decoded.maximum)
        array = np.concatenate([colours.astype(np.int32), array[:, :, 3:]], axis=-1)
    return decoded.maximum - array if inverted else array


def _by_libvips(path: Path, decoded: Decoded) -> NDArray[Any] | None:
    from ledgerkit.imaging.vips import load_vips, to_array

    if decoded.header.compression == "jpeg-old":
        return None  # it gives black tiles without an error
    image = load_vips().Image.new_from_file(str(path), fail_on="error")
    if image.format == "float":
        return _by_formula(to_array(image), decoded)
    return to_array(image) if decoded.space != "lab" else None


def _by_formula(array: NDArray[Any], decoded: Decoded) -> NDArray[Any] | None:
    """Floats to 16 bits between the ends that the file states, said anew."""
    import numpy as np

    tags = decoded.facts.directory
    if tags is None:
        return None
    low, high = min(tags.numbers(340)), max(tags.numbers(341))
    return np.rint((array.astype(np.float64) - low) / (high - low) * 65535).astype(np.int32)


def _by_libtiff(path: Path, decoded: Decoded) -> NDArray[Any] | None:
    import imagecodecs

    if decoded.header.compression != "jpeg-old":
        return None
    array: NDArray[Any] = imagecodecs.tiff_decode(path.read_bytes(), asrgb=True)
    return array.astype("int32")


OTHERS: dict[str, Callable[[Path, Decoded], NDArray[Any] | None]] = {
    "pillow": _by_pillow,
    "tifffile": _by_tifffile,
    "libvips": _by_libvips,
    "imagecodecs": _by_libtiff,
}


def in_a_process(task: str, path: Path) -> tuple[str, float]:
    """What a task says of a file, and the largest memory of its process in MB."""
    command = [sys.executable, "-m", "ledgerkit.testing.torture", "--one", task, str(path)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"HANGS: ended after {SECONDS} s", 0.0
    if done.returncode != 0:
        return f"CRASHES with {done.returncode}: {done.stderr[-200:]}", 0.0
    said, memory = json.loads(done.stdout.splitlines()[-1])
    return str(said), float(memory)


def table(folder: Path) -> Iterator[str]:
    """The rows of the Markdown table, one a file, as they become known."""
    reasons: dict[str, str] = {}
    if (folder / "SOURCES.tsv").exists():
        with (folder / "SOURCES.tsv").open(encoding="utf-8", newline="") as opened:
            rows = csv.DictReader(opened, delimiter="\t")
            reasons = {row["file"]: row["why"] or row["notes"] or "" for row in rows}
    yield "| file | what is odd | headers | measure | normalize | the picture | peak MB |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for path in sorted(folder.iterdir()):
        if path.name == "SOURCES.tsv" or not path.is_file():
            continue
        told = [in_a_process(operation, path) for operation in OPERATIONS]
        picture, _ = in_a_process("check", path)
        peak = max(memory for _, memory in told)
        cells = [f"`{path.name}`", reasons.get(path.name, ""), *(said for said, _ in told), picture]
        words = [cell.replace("|", "\\|").replace("\n", " ") for cell in _without_repeats(cells)]
        yield f"| {' | '.join(words)} | {peak:.0f} |"


def _without_repeats(cells: list[str]) -> list[str]:
    """The cells, where a reason that stands to the left is not said twice."""
    return [
        "the same" if cell in cells[:place] and len(cell) > 40 else cell
        for place, cell in enumerate(cells)
    ]


def main(arguments: list[str]) -> None:
    """Print the table of a folder, or with `--one` the answer of one task as JSON."""
    if arguments[:1] != ["--one"]:
        for line in table(Path(arguments[0])):
            print(line, flush=True)
        return
    task, path = arguments[1], Path(arguments[2])
    said = checked(path) if task == "check" else said_by(task, path)
    print(json.dumps([said, _peak_megabytes()]))


def _peak_megabytes() -> float:
    """Of this process alone: on Linux `ru_maxrss` begins with what the parent had when it forked."""
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return int(found[1]) * 1.024 / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main(sys.argv[1:])
