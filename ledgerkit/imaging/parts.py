"""Parts of a figure by colour: superpixels, then neighbours merged by their mean colour.

Worked out on the figure's crop, brought to a bounded size, for superpixels are slow: `PartRule.side`
keeps a figure under half a second. The parts of a figure cover it once. They are patches of even
colour, not limbs: what belongs together needs a model.
Source: SLIC (Achanta et al. 2012); hierarchical merging of a region adjacency graph.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ledgerkit.imaging import morphology
from ledgerkit.imaging.found import Found, Frame, covered, measured
from ledgerkit.imaging.pieces import trim

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.imaging.regions import Scene

    Labels = NDArray[np.int32]

PART = "part"


@dataclass(frozen=True, slots=True)
class PartRule:
    """How a figure is taken apart."""

    merge: float = 12.0
    """CIEDE76 of mean colours up to which neighbours are one part: docs/segments.md, "Parts"."""
    smallest: float = 0.02
    """Least area of a part, as a share of its figure."""
    side: int = 384
    """Long side in pixels of the crop that is worked on."""
    superpixels: int = 400
    """How many superpixels the crop's box gets."""
    compactness: float = 10.0
    """Weight of place against colour (SLIC's m, for CIELAB)."""


def parts_of(
    scene: Scene, figure: Found, place: int, frame: Frame, rule: PartRule
) -> Iterator[Found]:
    """The parts of a figure that stands at `place` of the list; none where it is of one piece.

    Their masks lie in the figure's, do not overlap and cover it; by falling area, then from the top.
    """
    import numpy as np

    area, weights = covered(figure.box, figure.mask, frame, scene.labels.shape)
    factor = -(-max(weights.shape) // rule.side)
    lab = _shrunk(scene.lab[area.y0 : area.y1, area.x0 : area.x1], factor)
    inside = _shrunk((weights > 0)[..., None].astype(np.float32), factor)[..., 0] > 0
    labels = _merged(_superpixels(lab, inside, rule), lab, rule)
    if labels.max() < 2:
        return
    height, width = scene.labels.shape
    box = figure.box
    rows = (np.arange(box.y0, box.y1) * height // frame.height - area.y0) // factor
    columns = (np.arange(box.x0, box.x1) * width // frame.width - area.x0) // factor
    shown = np.where(figure.mask, labels[rows[:, None], columns], 0)
    found = []
    for number in range(1, int(labels.max()) + 1):
        fitted = trim(box.x0, box.y0, shown == number)
        if fitted is not None:
            part = measured(scene, figure.label, *fitted, frame)
            found.append(replace(part, kind=PART, stability=None, parent=place))
    found.sort(key=lambda part: (-int(part.mask.sum()), part.box.y0, part.box.x0))
    yield from found


def _shrunk(image: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Means of squares of `factor` pixels; those at the right and bottom may be smaller."""
    import numpy as np

    if factor == 1:
        return image
    height, width = image.shape[:2]
    down, across = np.arange(0, height, factor), np.arange(0, width, factor)
    sums = np.add.reduceat(np.add.reduceat(image, down, axis=0), across, axis=1)
    sizes = np.diff(np.append(down, height))[:, None] * np.diff(np.append(across, width))
    return np.asarray(sums / sizes[..., None], dtype=np.float32)


def _superpixels(lab: NDArray[np.float32], inside: NDArray[np.bool_], rule: PartRule) -> Labels:
    """Connected superpixels 1.. of the figure, 0 outside, int32 (h, w)."""
    import numpy as np
    from skimage.segmentation import slic

    if min(lab.shape[:2]) < 4:
        return morphology.label(inside)[0]
    found = slic(
        lab.astype(np.float64),
        n_segments=rule.superpixels,
        compactness=rule.compactness,
        convert2lab=False,
        start_label=1,
        channel_axis=-1,
    )
    return _connected(np.where(inside, found, 0).astype(np.int32))


def _connected(labels: Labels) -> Labels:
    """Each label's connected components numbered for themselves."""
    import numpy as np
    from skimage.measure import label

    found = label(labels, background=0, connectivity=2)  # type: ignore[no-untyped-call]
    return np.asarray(found, dtype=np.int32)


def _merged(labels: Labels, lab: NDArray[np.float32], rule: PartRule) -> Labels:
    """Superpixels merged, the most alike neighbours first, then what is too small with the neighbour
    that is most alike; numbered from 1.
    """
    import numpy as np

    count = int(labels.max())
    sizes = np.bincount(labels.ravel(), minlength=count + 1).astype(np.float64)
    sums = np.stack(
        [np.bincount(labels.ravel(), lab[..., i].ravel(), count + 1) for i in range(3)], axis=1
    )
    graph = _Graph(sizes, sums.astype(np.float64), _neighbours(labels))
    graph.merge(rule.merge)
    graph.absorb(rule.smallest * sizes[1:].sum())
    root = np.array([graph.root(place) if place else 0 for place in range(count + 1)])
    numbers = np.unique(root, return_inverse=True)[1]
    return np.asarray(numbers.ravel()[labels], dtype=np.int32)


def _neighbours(labels: Labels) -> list[tuple[int, int]]:
    """Pairs of labels, smaller first, that share a side or a corner of a pixel."""
    import numpy as np

    height, width = labels.shape
    found = [np.zeros((0, 2), dtype=np.int32)]
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one = labels[: height - dy, max(0, -dx) : width - max(0, dx)]
        other = labels[dy:, max(0, dx) : width + min(0, dx)]
        apart = (one != other) & (one > 0) & (other > 0)
        found.append(np.stack([one[apart], other[apart]], axis=1))
    pairs = np.unique(np.sort(np.concatenate(found), axis=1), axis=0)
    return [(int(a), int(b)) for a, b in pairs]


class _Graph:
    """Regions with area and mean colour, joined to their neighbours."""

    def __init__(
        self, sizes: NDArray[np.float64], sums: NDArray[np.float64], pairs: list[tuple[int, int]]
    ) -> None:
        self._sizes = sizes.tolist()
        self._sums = sums.tolist()
        self._into = list(range(len(self._sizes)))
        self._near: dict[int, set[int]] = {place: set() for place in range(1, len(self._sizes))}
        for a, b in pairs:
            self._near[a].add(b)
            self._near[b].add(a)

    def root(self, place: int) -> int:
        """The region that a region was merged into."""
        while self._into[place] != place:
            place = self._into[place]
        return place

    def merge(self, limit: float) -> None:
        """Merge the most alike neighbours until none are within `limit`; ties by number."""
        heap = [(self._apart(a, b), a, b) for a in self._near for b in self._near[a] if a < b]
        heapq.heapify(heap)
        while heap and heap[0][0] <= limit:
            apart, a, b = heapq.heappop(heap)
            alive = self._into[a] == a and self._into[b] == b
            if not alive or apart != self._apart(a, b):
                continue
            self._unite(a, b)
            for other in self._near[a]:
                low, high = sorted((a, other))
                heapq.heappush(heap, (self._apart(low, high), low, high))

    def absorb(self, least: float) -> None:
        """Merge regions smaller than `least` with their most alike neighbour, the smallest first."""
        small = [(self._sizes[place], place) for place in self._near if self._into[place] == place]
        heapq.heapify(small)
        while small and small[0][0] < least:
            size, place = heapq.heappop(small)
            if self._into[place] != place or size != self._sizes[place] or not self._near[place]:
                continue
            _, other = min((self._apart(place, other), other) for other in self._near[place])
            low, high = sorted((place, other))
            self._unite(low, high)
            heapq.heappush(small, (self._sizes[low], low))

    def _apart(self, a: int, b: int) -> float:
        total = 0.0
        for one, other in zip(self._sums[a], self._sums[b], strict=True):
            total += (one / self._sizes[a] - other / self._sizes[b]) ** 2
        return float(total**0.5)

    def _unite(self, a: int, b: int) -> None:
        self._into[b] = a
        self._sizes[a] += self._sizes[b]
        self._sums[a] = [x + y for x, y in zip(self._sums[a], self._sums[b], strict=True)]
        for other in self._near[b]:
            self._near[other].discard(b)
            if other != a:
                self._near[other].add(a)
                self._near[a].add(other)
        self._near[b] = set()
