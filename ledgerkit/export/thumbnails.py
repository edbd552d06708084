"""Small pictures of plates, tiles or segments, out of the images that the ledgers name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledgerkit import layout
from ledgerkit.canonical import digest_stream
from ledgerkit.errors import DigestMismatch, LedgerkitError
from ledgerkit.query import Ledgers
from ledgerkit.reading import Tree

if TYPE_CHECKING:
    from PIL.Image import Image

READ = 1024
"""Long side at which an image is read from which segments are cut."""
_WHOLE = "SELECT * FROM current_tiles WHERE kind = 'whole' ORDER BY plate_id, run_id"
_TILES = "SELECT * FROM current_tiles ORDER BY tile_id, run_id"
_BOXES = "SELECT DISTINCT segment_id, x0, y0, x1, y1 FROM segments"
"""Of all regions: a clustering may be of a segmentation that is no longer in force."""


@dataclass(frozen=True, slots=True)
class Images:
    """Where the pictures of subjects are."""

    of: str
    """plates, tiles or segments."""
    tiles: Mapping[str, Mapping[str, Any]]
    """Rows of `tiles` by plate, or by tile where these are the subjects."""
    boxes: Mapping[str, Any]
    """Of segments, in oriented source pixels."""
    sources: Mapping[str, str]
    """Path of the source of each plate."""

    def key(self, subject: str, plate: str) -> str:
        """That of the image on which a subject is."""
        return subject if self.of == "tiles" else plate


def images_of(ledgers: Ledgers, of: str, sources: Mapping[str, str]) -> Images:
    """The images of all subjects of a kind."""
    by_tile = of == "tiles"
    rows = ledgers.table(_TILES if by_tile else _WHOLE).to_pylist()
    tiles = {one["tile_id" if by_tile else "plate_id"]: one for one in rows}
    boxes: dict[str, Any] = {}
    if of == "segments":
        from ledgerkit.imaging.place import box_of

        boxes = {one["segment_id"]: box_of(one) for one in ledgers.table(_BOXES).to_pylist()}
    return Images(of, tiles, boxes, sources)


def thumbnails(
    tree: Tree, images: Images, subjects: Iterable[tuple[str, str]], side: int
) -> Iterator[tuple[str, Image]]:
    """Id and picture (RGB, long side `side` at most) of each of `subjects`, pairs of id and plate.

    Each image is read once. What has no image, or none with the recorded bytes, is left out.
    """
    on_image: dict[str, list[str]] = {}
    for subject, plate in subjects:
        on_image.setdefault(images.key(subject, plate), []).append(subject)
    for key, found in sorted(on_image.items()):
        picture = _read(tree, images, key, READ if images.boxes else 2 * side)
        for subject in found if picture is not None else ():
            assert picture is not None
            if not images.boxes or subject in images.boxes:
                yield subject, _cut(picture, images, key, subject, side)


def _read(tree: Tree, images: Images, key: str, side: int) -> Image | None:
    """The image of a row of `tiles`, shrunk; None where there is none with the recorded bytes."""
    from PIL import Image

    from ledgerkit.imaging.decode import read_shrunk

    tile = images.tiles.get(key)
    if tile is None:
        return None
    path = images.sources[tile["plate_id"]]
    if tile["file"] is not None:
        path = f"{layout.cache_folder(tile['plate_id'], tile['run_id'])}/{tile['file']}"
    try:
        with tree.open(path) as file:
            if digest_stream(file).sha256 != tile["image_sha256"]:
                raise DigestMismatch(f"{path} has not the recorded bytes")
            file.seek(0)
            return Image.fromarray(read_shrunk(file, side))
    except LedgerkitError:
        return None  # counted by the caller, and told by the command


def _cut(picture: Image, images: Images, key: str, subject: str, side: int) -> Image:
    from PIL import Image

    from ledgerkit.imaging.place import to_image

    box = images.boxes.get(subject)
    cut = picture
    if box is not None:
        cut = picture.crop(to_image(images.tiles[key], picture.width, picture.height, box))
    cut = cut.convert("RGB")
    cut.thumbnail((side, side), Image.Resampling.LANCZOS)
    return cut
