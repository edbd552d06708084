"""Which masks of one frame lie in others: seconds of one processor for many large, overlapping masks.

    python -m benchmarks.nesting [MASKS SIDE]

The masks are disks anywhere in a square frame, of 15 to 41 % of its side in radius.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from benchmarks.measuring import table

if TYPE_CHECKING:
    from ledgerkit.imaging.join import Region

SIZES = ((400, 1024), (400, 2048), (1000, 1024))


def main(sizes: tuple[tuple[int, int], ...] = SIZES) -> None:
    from ledgerkit.imaging.join import JoinRule, nested

    rows = []
    for count, side in sizes:
        regions = _regions(count, side)
        began = time.process_time()
        found = nested(regions, JoinRule())
        seconds = time.process_time() - began
        children = sum(region.parent is not None for region in found)
        rows.append([str(count), f"{side} x {side}", f"{seconds:.2f}", str(children)])
    table("Masks within masks", ["masks", "frame", "s", "within another"], rows)


def _regions(count: int, side: int) -> list[Region]:
    import numpy as np

    from ledgerkit.imaging.join import Region
    from ledgerkit.imaging.pieces import trim

    drawn = np.random.default_rng(0)
    down, across = np.ogrid[:side, :side]
    regions = []
    for place in range(count):
        radius = drawn.uniform(0.15, 0.41) * side
        x, y = drawn.integers(0, side, 2)
        box, mask = trim(0, 0, (down - y) ** 2 + (across - x) ** 2 <= radius**2)
        told = ("", 0.5, (place,), (), None, "single", False, b"")
        regions.append(Region(box.x0, box.y0, mask.copy(), *told))
    return sorted(regions, key=lambda region: -region.area)


if __name__ == "__main__":
    given = [int(one) for one in sys.argv[1:]]
    main(((given[0], given[1]),)) if given else main()
