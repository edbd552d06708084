"""A folder of scans in many file formats, with its catalogue and its truth.

Draws with `plates`; decides names, order, sizes and formats; is the only part that writes.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from ledgerkit.testing.engravings.layout import Mask
from ledgerkit.testing.engravings.plates import FAMILIES, Pixels, Plate, Shape, draw, title_of

_SIZES = ((480, 600), (520, 660), (560, 720), (600, 760), (640, 800), (660, 500), (720, 560))
"""Widths and heights of ordinary plates, in pixels."""
_WORKS = (
    "A Cabinet of Natural Figures",
    "The Curious Portfolio, Vol. II",
    "Plates of the Invented World",
)
_QUALITY = 74
_ORIENTATION = 0x0112
"""The EXIF tag that says how the stored picture has to be turned."""


@dataclass(frozen=True)
class CorpusEntry:
    """One plate of a corpus as the catalogue lists it."""

    plate: int
    """Number of the plate, from 1."""
    name: str
    slug: str
    file_name: str
    """Name of the scan in the folder `scans`."""
    download: str
    work: str
    subject: str
    """The family."""
    license: str

    def catalogued(self) -> dict[str, int | str]:
        """The entry with the member names of data.json."""
        return {
            "plate": self.plate,
            "name": self.name,
            "slug": self.slug,
            "fileName": self.file_name,
            "download": self.download,
            "work": self.work,
            "subject": self.subject,
            "license": self.license,
        }


@dataclass(frozen=True)
class _Format:
    suffix: str
    save: Callable[[Path, Pixels], None]
    size: tuple[int, int] | None = None
    """Width and height in pixels, where the format prescribes them."""


def write_corpus(
    folder: Path, *, seed: int, per_family: int = 8, sample_formats: bool = True
) -> list[CorpusEntry]:
    """Write `scans/`, `data.json` and `truth.json` into a folder; return the catalogue.

    `truth.json` holds for each plate its family and seed, the size [height, width] of the upright
    picture, and its shapes with kind, box, area and run lengths. With `sample_formats` the
    first plate of each family is in a format of its own: see `_SAMPLES`.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    families = [family for family in FAMILIES for _ in range(per_family)]
    order = [families[k] for k in rng.permutation(len(families))]
    (folder / "scans").mkdir(parents=True, exist_ok=True)
    entries: list[CorpusEntry] = []
    truth: list[dict[str, Any]] = []
    for number, family in enumerate(order, start=1):
        first = family not in [entry.subject for entry in entries]
        kind = _SAMPLES[family] if first and sample_formats else _PLAIN
        plate_seed = _unused(rng, family, [entry.name for entry in entries])
        width, height = _SIZES[int(rng.integers(len(_SIZES)))]
        width, height = kind.size or (width, height)
        plate = draw(family, plate_seed, width=width, height=height, number=number)
        work = _WORKS[int(rng.integers(len(_WORKS)))]
        entry = _entry(number, plate, kind.suffix, work)
        kind.save(folder / "scans" / entry.file_name, plate.pixels)
        entries.append(entry)
        truth.append(_truth(number, plate_seed, plate))
    _write_json(folder / "data.json", [entry.catalogued() for entry in entries])
    _write_json(folder / "truth.json", truth)
    return entries


def _unused(rng: np.random.Generator, family: str, taken: list[str]) -> int:
    """A seed for a plate whose title no plate has yet."""
    for _ in range(10_000):
        seed = int(rng.integers(2**31))
        if title_of(family, seed) not in taken:
            return seed
    raise ValueError(f"no title is left for another {family}; ask for fewer plates per family")


def _entry(number: int, plate: Plate, suffix: str, work: str) -> CorpusEntry:
    slug = plate.title.lower().replace(" ", "-")
    file_name = f"plate-{number}-{slug}.{suffix}"
    return CorpusEntry(
        plate=number,
        name=plate.title,
        slug=slug,
        file_name=file_name,
        download=f"https://example.org/plates/{file_name}",
        work=work,
        subject=plate.family,
        license="CC0-1.0",
    )


def _truth(number: int, seed: int, plate: Plate) -> dict[str, Any]:
    return {
        "plate": number,
        "family": plate.family,
        "seed": seed,
        "size": list(plate.pixels.shape[:2]),
        "onScannerBed": plate.on_scanner_bed,
        "shapes": [_described(shape) for shape in plate.shapes],
    }


def _described(shape: Shape) -> dict[str, Any]:
    return {
        "kind": shape.kind,
        "box": list(shape.box),
        "area": int(shape.mask.sum()),
        "rle": {"size": list(shape.mask.shape), "counts": encode_runs(shape.mask)},
    }


def encode_runs(mask: Mask) -> list[int]:
    """Run lengths of a bool mask (height, width), column by column, the first run False."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate([[0], changes, [flat.size]])
    runs = [int(run) for run in np.diff(edges)]
    return [0, *runs] if flat[0] else runs


def decode_runs(counts: list[int], size: tuple[int, int]) -> Mask:
    """The bool mask (height, width) of run lengths that `encode_runs` made."""
    values = np.arange(len(counts)) % 2 == 1
    flat = np.repeat(values, counts)
    if flat.size != size[0] * size[1]:
        raise ValueError(f"runs cover {flat.size} pixels, a mask of {size} has {size[0] * size[1]}")
    return flat.reshape(size, order="F")


def _write_json(path: Path, value: list[Any]) -> None:
    """One record a line, members in order of their names, so that differences read well."""
    lines = [
        json.dumps(item, sort_keys=True, separators=(",", ":"), ensure_ascii=True) for item in value
    ]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8", newline="\n")


def _save_jpeg(path: Path, pixels: Pixels) -> None:
    Image.fromarray(pixels).save(path, "JPEG", quality=_QUALITY, subsampling="4:2:0", optimize=True)


def _save_turned_jpeg(path: Path, pixels: Pixels) -> None:
    """Stored a quarter turn to the left; orientation 6 says to turn it back to the right."""
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(pixels)))
    turned.save(
        path, "JPEG", quality=_QUALITY, subsampling="4:2:0", optimize=True, exif=exif.tobytes()
    )


def _save_grey_jpeg(path: Path, pixels: Pixels) -> None:
    Image.fromarray(pixels).convert("L").save(path, "JPEG", quality=_QUALITY, optimize=True)


def _save_cmyk_jpeg(path: Path, pixels: Pixels) -> None:
    Image.fromarray(pixels).convert("CMYK").save(path, "JPEG", quality=_QUALITY + 6, optimize=True)


def _save_large_jpeg(path: Path, pixels: Pixels) -> None:
    Image.fromarray(pixels).save(path, "JPEG", quality=45, subsampling="4:2:0", optimize=True)


def _save_png(path: Path, pixels: Pixels) -> None:
    Image.fromarray(pixels).save(path, "PNG", optimize=True)


def _save_tiff(path: Path, pixels: Pixels | NDArray[np.uint16]) -> None:
    tifffile.imwrite(
        path,
        pixels,
        photometric="rgb",
        compression="zlib",
        predictor=True,
        metadata=None,
        software=False,
    )


def _save_deep_tiff(path: Path, pixels: Pixels) -> None:
    """16 bits a channel: 255 becomes 65535."""
    _save_tiff(path, (pixels.astype(np.uint16) * 257))


_PLAIN = _Format("jpg", _save_jpeg)
_SAMPLES = {
    "bird": _Format("jpg", _save_turned_jpeg),
    "shell": _Format("png", _save_png, (320, 400)),
    "butterfly": _Format("tif", _save_deep_tiff, (320, 400)),
    "flower": _Format("jpg", _save_cmyk_jpeg),
    "radiolarian": _Format("jpg", _save_grey_jpeg),
    "fish": _Format("tif", _save_tiff, (400, 320)),
    "architecture": _Format("jpg", _save_large_jpeg, (5000, 6000)),
}
"""The format of the first plate of each family."""
