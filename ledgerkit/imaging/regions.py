"""A plate cut into paper, dark surround, figures and lettering, from its pixels alone.

The chain: CIELAB, slight smoothing, dark surround, paper model, distance to paper, Otsu with a
floor, closing, holes, then components by their size and shape, less what only the closing joined.
Every pixel ends in exactly one region. No files, no ids, no source coordinates. Judged in
docs/segments.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import compress
from typing import TYPE_CHECKING

from ledgerkit.imaging import morphology
from ledgerkit.imaging.bridges import BridgeRule, separate, zones_of
from ledgerkit.imaging.lab import to_lab
from ledgerkit.imaging.lettering import find_fine_lines, find_lines
from ledgerkit.imaging.marks import Levels, fill_holes, grow, smoothed, touched
from ledgerkit.imaging.pale import PaleRule, fill_pale, roughness
from ledgerkit.imaging.paper import Paper, PaperRule, model_paper
from ledgerkit.imaging.ruling import RulingRule, ruled_lines
from ledgerkit.imaging.scanbed import SurroundRule, find_sheet
from ledgerkit.imaging.stability import stability

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
    ruled_share: float = 0.5
    closing: int = 3
    opening: int = 3
    hole: float = 3.0
    smallest: float = 0.002
    steady: float = 0.15
    letter_height: float = 0.03
    edge: float = 0.03
    paper: PaperRule = field(default_factory=PaperRule)
    surround: SurroundRule = field(default_factory=SurroundRule)
    ruling: RulingRule = field(default_factory=RulingRule)
    pale: PaleRule = field(default_factory=PaleRule)
    bridge: BridgeRule = field(default_factory=BridgeRule)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A plate cut into regions."""

    labels: NDArray[np.int32]
    """Index into `kinds` for every pixel, int32 (h, w)."""
    kinds: tuple[str, ...]
    """Kind of each region: paper, background, figures by falling area, lines of lettering from the
    top.
    """
    paper: Paper
    levels: Levels
    lab: NDArray[np.float32]
    """Unsmoothed CIELAB, float32 (h, w, 3)."""
    sheet: NDArray[np.bool_]
    """Where marks may be, bool (h, w): neither surround nor ruled frame."""
    pale: NDArray[np.bool_]
    """What is in a figure for what surrounds it, not for its own colour, bool (h, w)."""
    zones: NDArray[np.int32]
    """Where figures that the closing joined end, see `bridges.zones_of`, int32 (h, w)."""
    stability: tuple[float | None, ...]
    """Of each region, see `stability.py`; None for paper and background."""

    @property
    def threshold(self) -> float:
        """Distance to paper above which a pixel is not paper (CIEDE76)."""
        return self.levels.sure


def cut(rgb: NDArray[np.uint8], rule: RegionRule) -> Scene:
    """The regions of an sRGB image, uint8 (h, w, 3), with h, w >= 1."""
    scale = max(rgb.shape[:2]) / REFERENCE
    lab = to_lab(rgb)
    smooth = smoothed(lab, rule.smoothing * scale)
    sheet, paper = paper_of(smooth, rule)
    levels = _levels(paper, sheet, rule)
    if not paper.found:
        labels, kinds = _assemble(sheet, [sheet], [])
        none = (None,) * len(kinds)
        return Scene(labels, kinds, paper, levels, lab, sheet, ~sheet, 0 * labels, none)
    mark = grow(paper.distance, levels) & sheet
    thin = (paper.distance > max(rule.ruled_share * levels.faint, paper.noise)) & sheet
    ruled = morphology.dilate(ruled_lines(thin, sheet, rule.ruling), 1)
    mark &= ~ruled
    solid = fill_holes(
        morphology.closing(mark, pixels(rule.closing, scale)) & sheet, paper.distance, rule.hole
    )
    rough = roughness(lab[..., 0], smooth[..., 0])
    drawn = fill_pale(solid, sheet, rough, scale, rule.smallest * sheet.sum(), rule.pale)
    pale = drawn & ~solid
    solid = _without_edge_strips(drawn, sheet)
    figures, lines, slivers = _sort_components(solid, mark, sheet, rule, scale)
    sheet = sheet & ~slivers
    highest = rule.letter_height * max(sheet.shape)
    lines = find_fine_lines(lab[..., 0], sheet & ~ruled, figures, lines, highest, scale)
    least = rule.smallest * sheet.sum()
    figures = separate(figures, mark, paper.distance, levels.faint, least, rule.bridge)
    labels, kinds = _assemble(sheet, figures, lines)
    zones = zones_of(labels, kinds, FIGURE)
    closing = pixels(rule.closing, scale)
    steady = stability(labels, kinds, zones, paper, levels, sheet, closing, rule.hole)
    labels, kinds, steady = _without_unsteady(labels, kinds, steady, rule.steady)
    return Scene(labels, kinds, paper, levels, lab, sheet & ~ruled, pale, zones, steady)


def paper_of(smooth: NDArray[np.float32], rule: RegionRule) -> tuple[NDArray[np.bool_], Paper]:
    """The sheet on an image in smoothed CIELAB, float32 (h, w, 3), as bool (h, w), and its paper."""
    import numpy as np

    found = find_sheet(smooth[..., 0], rule.surround)
    sheet = np.ones(smooth.shape[:2], dtype=bool) if found is None else found
    return sheet, model_paper(smooth, sheet, rule.paper)


def _without_unsteady(
    labels: NDArray[np.int32],
    kinds: tuple[str, ...],
    steady: tuple[float | None, ...],
    least: float,
) -> tuple[NDArray[np.int32], tuple[str, ...], tuple[float | None, ...]]:
    """The same without figures whose stability is under `least`; their pixels go to the paper.

    A shadow of the gutter, a patch of a pale sky: what a just noticeably higher level wipes out.
    """
    import numpy as np

    kept = [
        kind != FIGURE or (value or 0.0) >= least for kind, value in zip(kinds, steady, strict=True)
    ]
    places = np.where(kept, np.cumsum(kept) - 1, 0).astype(np.int32)
    return places[labels], tuple(compress(kinds, kept)), tuple(compress(steady, kept))


def _levels(paper: Paper, sheet: NDArray[np.bool_], rule: RegionRule) -> Levels:
    """Otsu's threshold on the sheet, with a floor.

    Light washes stay with what they surround by the faint level. It keeps clear of the paper's own
    unevenness along the border, which would otherwise flood a yellowed sheet.
    """
    sure = max(rule.otsu_share * otsu(paper.distance[sheet]), rule.floor)
    faint = max(sure * rule.faint_share / rule.otsu_share, rule.floor, 1.5 * paper.noise)
    return Levels(sure, min(faint, sure))


def pixels(length: float, scale: float) -> int:
    """A length stated at the reference size in pixels of this image, at least 1."""
    return max(1, round(length * scale))


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
    thick = touched(labels, count, morphology.opening(solid, pixels(rule.opening, scale)))
    edge = max(1, round(rule.edge * max(sheet.shape)))
    inner = touched(labels, count, morphology.erode(np.pad(sheet, 1), edge + 1)[1:-1, 1:-1])
    large = (area >= rule.smallest * sheet.sum()) & ~taken & (thick | ~low)
    large[0] = False
    order = sorted(np.flatnonzero(large & inner), key=lambda index: (-int(area[index]), int(index)))
    return [labels == index for index in order], lines, (large & ~inner)[labels]


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
) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Labels int32 (h, w) and kinds; an earlier region keeps a pixel that two would claim."""
    import numpy as np

    labels = np.zeros(sheet.shape, dtype=np.int32)
    kinds = [PAPER]
    masks = [(FIGURE, mask) for mask in figures] + [(LETTERING, mask) for mask in lines]
    if not sheet.all():
        masks.insert(0, (BACKGROUND, ~sheet))
    for kind, mask in masks:
        labels[mask & (labels == 0)] = len(kinds)
        kinds.append(kind)
    return labels, tuple(kinds)
