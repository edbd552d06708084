"""The pictures of the atlas: small ones on sprite sheets, and one of each plate, from ledgered images.

Every image file is read once, its bytes held against the recorded digest, whatever is cut from it. An
image that is not there or not as recorded is replaced by the plate's source; where that fails too,
there is no picture, and the reason is kept for the page to say. Equal images are shown once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from ledgerkit import layout
from ledgerkit.canonical import digest_stream
from ledgerkit.errors import DigestMismatch, LedgerkitError, MissingInput
from ledgerkit.export.target import Listed
from ledgerkit.imaging.contact import to_jpeg
from ledgerkit.imaging.place import Box
from ledgerkit.pages.gather import Map, Plates, Row
from ledgerkit.reading import Tree

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHEET = 2048
"""Most pixels of a side of a sprite sheet: what every browser takes as one texture."""
LARGE, SMALL, FEW = 128, 64, 5000
"""Sides of a cell, and up to how many pictures it is the large one."""
WHOLE = 1600
"""Pixels of the long side of the picture of a plate that has no tiles."""
GROUND = (24, 25, 28)
"""What lies around a picture in its cell: the ground of the pages."""
Key = tuple[str, Box | None]
"""A picture: the SHA-256 of the image it is cut from, and the box in source pixels; None for all."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A file that shows a plate as a whole: its path, digest and place in the oriented source."""

    path: str
    sha256: str
    place: Mapping[str, Any] | None
    """Box and frame as in its row of `tiles`; None for a source whose frame no ledger states."""


@dataclass(slots=True)
class Numbering:
    """Which cell of the sprite sheets shows what; -1 where no image is recorded."""

    plates: NDArray[np.int32]
    maps: list[NDArray[np.int32]]
    keys: list[Key]

    @property
    def side(self) -> int:
        """Pixels of the side of a cell."""
        return LARGE if len(self.keys) <= FEW else SMALL


@dataclass(slots=True)
class Pictures:
    """What became of the pictures."""

    width: NDArray[np.uint8]
    """Pixels of each picture in its cell, (cells,); 0 where there is none."""
    height: NDArray[np.uint8]
    sheets: list[str] = field(default_factory=list)
    wholes: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    """By SHA-256 of the image: file, width, height of the plate's picture."""
    missing: dict[str, str] = field(default_factory=dict)
    """By SHA-256 of the image: why nothing is shown of it."""
    replaced: dict[str, str] = field(default_factory=dict)
    """The same for images in whose place the source is shown."""


def shots_of(plate: Row, tile: Row | None) -> list[Shot]:
    """The files that show a plate, best first: its normalised image, then its source."""
    found = []
    if tile is not None:
        path = plate["source_path"]
        if tile["file"] is not None:
            path = f"{layout.cache_folder(plate['plate_id'], tile['run_id'])}/{tile['file']}"
        found.append(Shot(path, tile["image_sha256"], tile))
    if plate["source_path"] is not None and plate["source_sha256"] is not None:
        place = None if tile is None else _whole_frame(tile)
        source = Shot(plate["source_path"], plate["source_sha256"], place)
        if all(one.sha256 != source.sha256 for one in found):
            found.append(source)
    return found


def _whole_frame(tile: Row) -> Row:
    return {**tile, "x0": 0, "y0": 0, "x1": tile["frame_width"], "y1": tile["frame_height"]}


def number(
    plates: Plates,
    maps: Sequence[Map],
    shots: Sequence[Sequence[Shot]],
    boxes: Mapping[str, Mapping[str, Box]],
) -> Numbering:
    """Cells in the order of the maps, so that neighbours lie on one sheet; other plates last.

    `shots` by plate, `boxes` by kind of subject and id.
    """
    import numpy as np

    cells: dict[Key, int] = {}
    own = np.full(len(plates.rows), -1, np.int32)
    on_maps = []
    for one in maps:
        subjects = one.subjects
        numbers = np.full(len(subjects), -1, np.int32)
        for at in _along(one.x, one.y).tolist():
            plate = int(one.plates[at])
            box = boxes[one.kind].get(subjects[at]) if one.kind != "plate" else None
            if shots[plate] and (box is not None or one.kind == "plate"):
                key = (shots[plate][0].sha256, box)
                numbers[at] = cells.setdefault(key, len(cells))
        on_maps.append(numbers)
    for plate in range(len(plates.rows)):
        if shots[plate]:
            own[plate] = cells.setdefault((shots[plate][0].sha256, None), len(cells))
    return Numbering(own, on_maps, list(cells))


def _along(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.intp]:
    """Places along a Z-order curve: near on the curve is near on the map. Source: Morton 1966."""
    import numpy as np

    code = np.zeros(len(x), np.uint64)
    if len(x) == 0:
        return np.argsort(code)
    for shift, values in enumerate((x, y)):
        low, high = float(values.min()), float(values.max())
        grid = ((values - low) / ((high - low) or 1.0) * 65535).astype(np.uint64)
        for bit in range(16):
            code |= ((grid >> np.uint64(bit)) & np.uint64(1)) << np.uint64(2 * bit + shift)
    return np.argsort(code, kind="stable")


def make(
    tree: Tree,
    shots: Sequence[Sequence[Shot]],
    numbering: Numbering,
    wholes: set[str],
    output: Listed,
    progress: Callable[[int, int], None] | None = None,
) -> Pictures:
    """Write `sprites/` and `images/`; `wholes` names the images of which a large picture is wanted."""
    import numpy as np

    side, count = numbering.side, len(numbering.keys)
    found = Pictures(np.zeros(count, np.uint8), np.zeros(count, np.uint8))
    cuts: dict[str, list[tuple[int, Box | None]]] = {}
    for cell, (sha256, box) in enumerate(numbering.keys):
        cuts.setdefault(sha256, []).append((cell, box))
    by_image = {some[0].sha256: some for some in shots if some}
    with tempfile.TemporaryFile() as cells:
        for done, sha256 in enumerate(sorted(by_image, key=lambda one: by_image[one][0].path)):
            wanted = cuts.get(sha256, [])
            large = sha256 in wholes
            boxed = any(box is not None for _, box in wanted)
            shown = _read(tree, by_image[sha256], WHOLE if large or boxed else 2 * side, found)
            if shown is not None:
                _cut(shown, wanted, side, cells, found)
                if large:
                    _keep_whole(shown[0], sha256, output, found)
            if progress:
                progress(done + 1, len(by_image))
        for name, data in _sheets(cells, count, side):
            output.put(name, data)
            found.sheets.append(name)
    return found


Shown = tuple["NDArray[np.uint8]", Shot]


def _read(tree: Tree, shots: Sequence[Shot], long_side: int, found: Pictures) -> Shown | None:
    """The pixels of the first file that is as recorded, uint8 (h, w, 3); why not, where none is."""
    from ledgerkit.imaging.decode import read_shrunk

    reasons = []
    for shot in shots:
        try:
            with opened(tree, shot) as file:
                pixels = read_shrunk(file, long_side)
        except LedgerkitError as error:
            reasons.append(_sentence(shot, error))
            continue
        except OSError as error:
            reasons.append(f"{shot.path} cannot be read: {error.strerror or error}.")
            continue
        if reasons:
            found.replaced[shots[0].sha256] = " ".join(reasons)
        return pixels, shot
    found.missing[shots[0].sha256] = " ".join(reasons)
    return None


def opened(tree: Tree, shot: Shot) -> BinaryIO:
    """The file of a shot, its digest compared. Raises `DigestMismatch`, `MissingInput`."""
    file = tree.open(shot.path)
    try:
        if digest_stream(file).sha256 != shot.sha256:
            raise DigestMismatch(f"{shot.path} is not the file that was recorded")
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _sentence(shot: Shot, error: LedgerkitError) -> str:
    if isinstance(error, MissingInput):
        return f"{shot.path} is not there: it was evicted from the cache or lost."
    told = error.message if shot.path in error.message else f"{shot.path}: {error.message}"
    return f"{told}."


def _cut(
    shown: Shown, wanted: Iterable[tuple[int, Box | None]], side: int, cells: Any, found: Pictures
) -> None:
    """Each wanted cell of one image into the file of cells."""
    import numpy as np
    from PIL import Image

    from ledgerkit.imaging.place import to_image

    pixels, shot = shown
    picture = Image.fromarray(pixels)
    for cell, box in wanted:
        part = picture
        if box is not None and shot.place is not None:
            part = picture.crop(to_image(shot.place, picture.width, picture.height, box))
        elif box is not None:
            continue
        part = part.copy() if part is picture else part
        part.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
        square = np.full((side, side, 3), GROUND, np.uint8)
        square[: part.height, : part.width] = np.asarray(part)
        found.width[cell], found.height[cell] = part.width, part.height
        cells.seek(cell * square.nbytes)
        cells.write(square.tobytes())


def _keep_whole(pixels: NDArray[np.uint8], sha256: str, output: Listed, found: Pictures) -> None:
    name = f"images/{sha256[:20]}.jpg"
    output.put(name, to_jpeg(pixels))
    found.wholes[sha256] = (name, pixels.shape[1], pixels.shape[0])


def _sheets(cells: Any, count: int, side: int) -> Iterator[tuple[str, bytes]]:
    """Name and JPEG of each sheet, row by row filled with cells."""
    import numpy as np

    across = SHEET // side
    size = side * side * 3
    for start in range(0, count, across * across):
        rows = -(-min(across * across, count - start) // across)
        cells.seek(start * size)
        data = cells.read(rows * across * size).ljust(rows * across * size, b"\0")
        grid = np.frombuffer(data, np.uint8).reshape(rows, across, side, side, 3)
        sheet = grid.transpose(0, 2, 1, 3, 4).reshape(rows * side, across * side, 3)
        yield f"sprites/{start // (across * across):04d}.jpg", to_jpeg(sheet)
