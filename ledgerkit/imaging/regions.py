"""A plate cut into paper, dark surround, figures and lettering, from its pixels alone.

The chain: CIELAB, slight smoothing, dark surround, paper model, distance to paper, Otsu with a
floor,
closing, holes, then components by their size and shape. Every pixel ends in exactly one region. No
files, no ids, no source coordinates. Source: imaging notes D.2 (measured there: foreground IoU
0.96).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ledgerkit.imaging import morphology
from ledgerkit.imaging.lab import to_lab
from ledgerkit.imaging.lettering import find_lines
from ledgerkit.imaging.paper import Paper, PaperRule, model_paper
from ledgerkit.imaging.scanbed import SurroundRule, find_sheet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PAPER, BACKGROUND, FIGURE, LETTERING = "paper", "background", "figure", "lettering"
REFERENCE = 1536
"""Long side in pixels for which radii and the smoothing width are stated."""


@dataclass(frozen=True, slots=True)
class RegionRule:
    """Settings of the chain; lengths are pixels of an image with a long side of 1536."""

    smoothing: float = 1.0
    otsu_share: float = 0.6
    faint_share: float = 0.45
    floor: float = 6.0
    closing: int = 3
    opening: int = 3
    hole: float = 3.0
    smallest: float = 0.002
    letter_height: float = 0.03
    edge: float = 0.03
    paper: PaperRule = field(default_factory=PaperRule)
    surround: SurroundRule = field(default_factory=SurroundRule)


@dataclass(frozen=True, slots=True)
class Scene:
    """A plate cut into regions."""

    labels: NDArray[np.int32]
    """Index into `kinds` for every pixel, int32 (h, w)."""
    kinds: tuple[str, ...]
    """Kind of each region: paper, background, figures by falling area, lines of lettering from the
    top.
    """
    paper: Paper
    threshold: float
    """Distance to paper above which a pixel is not paper (CIEDE76)."""
    lab: NDArray[np.float32]
    """Unsmoothed CIELAB, float32 (h, w, 3)."""


def cut(rgb: NDArray[np.uint8], rule: RegionRule) -> Scene:
    """The regions of an sRGB image, uint8 (h, w, 3), with h, w >= 1."""
    import numpy as np
    from scipy import ndimage

    scale = max(rgb.shape[:2]) / REFERENCE
    lab = to_lab(rgb)
    sigma = rule.smoothing * scale
    smooth = np.stack([ndimage.gaussian_filter(lab[..., i], sigma) for i in range(3)], axis=-1)
    found = find_sheet(smooth[..., 0], rule.surround)
    sheet = np.ones(rgb.shape[:2], dtype=bool) if found is None else found
    paper = model_paper(smooth, sheet, rule.paper)
    threshold = max(rule.otsu_share * otsu(paper.distance[sheet]), rule.floor)
    if not paper.found:
        return _assemble(sheet, [sheet], [], paper, threshold, lab)
    mark = _grow(paper, threshold, rule) & sheet
    solid = fill_holes(
        morphology.closing(mark, _pixels(rule.closing, scale)) & sheet, paper.distance, rule.hole
    )
    solid = _without_edge_strips(solid, sheet)
    figures, lines, slivers = _sort_components(solid, mark, sheet, rule, scale)
    sheet = sheet & ~slivers
    return _assemble(sheet, figures, lines, paper, threshold, lab)


def _pixels(length: float, scale: float) -> int:
    """A length stated at the reference size in pixels of this image, at least 1."""
    return max(1, round(length * scale))


def _grow(paper: Paper, threshold: float, rule: RegionRule) -> NDArray[np.bool_]:
    """Pixels over `threshold`, and fainter ones that hang together with such pixels.

    So light washes stay with what they surround. The faint threshold keeps clear of the paper's own
    unevenness along the border, which would otherwise flood a yellowed sheet.
    """
    import numpy as np

    faint = max(threshold * rule.faint_share / rule.otsu_share, rule.floor, 1.5 * paper.noise)
    labels, count = morphology.label(paper.distance > min(faint, threshold))
    return np.asarray(_touched(labels, count, paper.distance > threshold)[labels], dtype=bool)


def otsu(distance: NDArray[np.float32]) -> float:
    """Otsu's threshold of distances >= 0, any shape; 0.0 where all are equal (Otsu 1979)."""
    import numpy as np

    bins = 4
    counts = np.bincount(np.minimum(distance * bins, 255 * bins).astype(np.int32).ravel()).astype(
        np.float64
    )
    if np.count_nonzero(counts) < 2:
        return 0.0
    values = (np.arange(counts.size) + 0.5) / bins
    below = np.cumsum(counts)
    above = below[-1] - below
    mass = np.cumsum(counts * values)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (mass / below - (mass[-1] - mass) / above) ** 2
    return float(values[int(np.nanargmax(between[:-1]))])


def fill_holes(
    solid: NDArray[np.bool_], distance: NDArray[np.float32], least: float
) -> NDArray[np.bool_]:
    """`solid` with its enclosed holes filled, but for those whose mean distance to paper is under
    `least`.
    """
    import numpy as np

    labels, count = morphology.label(~solid, diagonal=False)
    size = np.bincount(labels.ravel(), minlength=count + 1)
    total = np.bincount(labels.ravel(), weights=distance.ravel(), minlength=count + 1)
    fill = total >= least * np.maximum(size, 1)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    fill[edge] = False
    fill[0] = True
    return np.asarray(fill[labels], dtype=bool)


def _without_edge_strips(solid: NDArray[np.bool_], sheet: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`solid` less narrow strips along a whole side of the sheet; those leave `sheet` too (in
    place).

    They are what shows of the book's edge or its gutter. A strip is a run of lines from the sheet's
    side, marked over 60 % of their length, that ends within 4 % of the sheet.
    """
    import numpy as np

    for marked, page in (
        (solid, sheet),
        (solid.T, sheet.T),
        (solid[::-1], sheet[::-1]),
        (solid.T[::-1], sheet.T[::-1]),
    ):
        lines = np.flatnonzero(page.any(axis=1))
        if lines.size < 8:
            continue
        deepest = max(1, round(0.04 * lines.size))
        near = lines[: deepest + 1]
        full = (marked[near] & page[near]).sum(axis=1) > 0.6 * page[near].sum(axis=1)
        width = int(np.argmin(full)) if not full.all() else 0
        page[near[:width]] = False
    return solid & sheet


def _sort_components(
    solid: NDArray[np.bool_],
    mark: NDArray[np.bool_],
    sheet: NDArray[np.bool_],
    rule: RegionRule,
    scale: float,
) -> tuple[list[NDArray[np.bool_]], list[NDArray[np.bool_]], NDArray[np.bool_]]:
    """Masks of the figures, of the lines of lettering, and of what hugs the sheet's border.

    What is none of these goes back to the paper.
    """
    import numpy as np

    labels, count = morphology.label(solid)
    area = np.bincount(labels.ravel(), minlength=count + 1)
    highest = rule.letter_height * max(sheet.shape)
    low = _low_components(labels, count, mark, highest)
    lines = find_lines(low[labels], mark, highest)
    taken = np.zeros(count + 1, dtype=bool)
    for line in lines:
        taken[labels[line]] = True
    thick = _touched(labels, count, morphology.opening(solid, _pixels(rule.opening, scale)))
    edge = max(1, round(rule.edge * max(sheet.shape)))
    inner = _touched(labels, count, morphology.erode(np.pad(sheet, 1), edge + 1)[1:-1, 1:-1])
    large = (area >= rule.smallest * sheet.sum()) & ~taken & (thick | ~low)
    large[0] = False
    order = sorted(np.flatnonzero(large & inner), key=lambda index: (-int(area[index]), int(index)))
    return [labels == index for index in order], lines, (large & ~inner)[labels]


def _touched(labels: NDArray[np.int32], count: int, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """For each label 0..count whether `mask` has a pixel of it."""
    import numpy as np

    touched = np.zeros(count + 1, dtype=bool)
    touched[labels[mask]] = True
    return touched


def _low_components(
    labels: NDArray[np.int32], count: int, mark: NDArray[np.bool_], highest: float
) -> NDArray[np.bool_]:
    """For each label 0..count whether it may be of letters: low, or up to two lines grown
    together.
    """
    import numpy as np
    from scipy import ndimage

    height = np.zeros(count + 1, dtype=np.int64)
    for index, box in enumerate(ndimage.find_objects(labels), start=1):
        height[index] = box[0].stop - box[0].start
    tallest = np.zeros(count + 1, dtype=np.int64)
    for box in ndimage.find_objects(morphology.label(mark)[0]):
        rows = box[0]
        if rows.stop - rows.start > highest:
            owners = np.unique(labels[box][mark[box]])
            tallest[owners] = np.maximum(tallest[owners], rows.stop - rows.start)
    low = (height <= highest) | ((height <= 2.5 * highest) & (tallest <= highest))
    low[0] = False
    return np.asarray(low, dtype=bool)


def _assemble(
    sheet: NDArray[np.bool_],
    figures: list[NDArray[np.bool_]],
    lines: list[NDArray[np.bool_]],
    paper: Paper,
    threshold: float,
    lab: NDArray[np.float32],
) -> Scene:
    """The label map; an earlier region keeps a pixel that two would claim."""
    import numpy as np

    labels = np.zeros(sheet.shape, dtype=np.int32)
    kinds = [PAPER]
    masks = [(FIGURE, mask) for mask in figures] + [(LETTERING, mask) for mask in lines]
    if not sheet.all():
        masks.insert(0, (BACKGROUND, ~sheet))
    for kind, mask in masks:
        labels[mask & (labels == 0)] = len(kinds)
        kinds.append(kind)
    return Scene(labels, tuple(kinds), paper, threshold, lab)
