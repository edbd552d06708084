"""Tiles of a pyramid for the atlas: copied from the cache, each held against its recorded digest.

They lie there as `tiles/<plate>/<level>/<column>_<row>.jpg`, level 0 the smallest.
"""

from __future__ import annotations

from dataclasses import dataclass

from ledgerkit import layout
from ledgerkit.canonical import parse_json
from ledgerkit.errors import InvalidRecord
from ledgerkit.export.target import Listed
from ledgerkit.imaging.pyramid import Pyramid
from ledgerkit.repository import Archive


@dataclass(frozen=True, slots=True)
class Zoom:
    """The tiles of one plate: pixels of the whole, of a tile's side, and the number of levels."""

    width: int
    height: int
    tile_size: int
    levels: int


def copy_pyramid(archive: Archive, plate: str, run_id: str, output: Listed) -> Zoom:
    """All tiles of the pyramid that a run made, or none of them.

    Raises `MissingInput` where one is not there, `DigestMismatch`, `InvalidRecord`.
    """
    listed = {one.path: one.sha256 for one in archive.outputs(archive.run(plate, run_id))}
    folder = f"{layout.cache_folder(plate, run_id)}/{plate}"

    def read(name: str) -> bytes:
        path = f"{folder}/{name}"
        if path not in listed:
            raise InvalidRecord(f"{run_id} lists no {path}")
        return archive.tree.read_checked(path, listed[path])

    info = parse_json(read("info.json"), f"{folder}/info.json")
    pyramid = Pyramid(info["width"], info["height"], info["tiles"][0]["width"])
    levels = pyramid.levels()
    # All are read before one is written: a pyramid with a hole is not shown.
    found = [
        (f"{len(levels) - 1 - depth}/{tile.column}_{tile.row}", read(pyramid.names(tile)[0]))
        for depth, level in enumerate(levels)
        for tile in pyramid.tiles(level)
    ]
    for name, data in found:
        output.put(f"tiles/{plate}/{name}.jpg", data)
    return Zoom(pyramid.width, pyramid.height, pyramid.tile_size, len(levels))
