"""Radiolarians: globes of lattice with radial spines, in the grey of a lithograph."""

import numpy as np

from ledgerkit.testing.engravings.block import Area, Block
from ledgerkit.testing.engravings.geometry import Floats, ellipse, ribbon
from ledgerkit.testing.engravings.palette import muted

Random = np.random.Generator


def draw_radiolarian(block: Block, rng: Random) -> None:
    """One globe, sometimes lobed, with its spines all round."""
    radius = rng.uniform(0.42, 0.68)
    lobes = int(rng.integers(3, 9))
    depth = rng.choice([0.0, 0.0, rng.uniform(0.05, 0.16)])
    start = rng.uniform(0, 6)
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    reach = radius * (1 + depth * np.cos(lobes * (angle - start)))
    rim = np.stack([reach * np.cos(angle), reach * np.sin(angle)], axis=1)
    _spines(block, rng, radius, (lobes, start))
    body = block.lay(rim)
    block.heighten(body, rng.uniform(0.0, 0.12))
    block.wash(body, muted(rng), rng.choice([0.0, 0.35]))
    _lattice(block, rng, body, radius * (1 + depth))
    if rng.random() < 0.45:
        _kernel(block, rng, radius)
    block.contour(rim, 1.8)


def _lattice(block: Block, rng: Random, area: Area, radius: float) -> None:
    u, v = block.coordinates(area)
    away = np.clip(np.hypot(u, v) / radius, 0, 0.999)
    # Equal holes on the globe crowd together towards its rim.
    stretch = np.arcsin(away) / np.maximum(away, 1e-3) * (2 / np.pi)
    turn = rng.uniform(0, 1)
    cells = rng.uniform(4.0, 8.5)
    x = (u * np.cos(turn) - v * np.sin(turn)) / radius * stretch * cells
    y = (u * np.sin(turn) + v * np.cos(turn)) / radius * stretch * cells
    distance = np.minimum(_nearest(x, y, 0.0), _nearest(x, y, 0.5))
    hole = rng.uniform(0.3, 0.42)
    sharp = block.pose.scale * radius / cells * 0.8
    open_ = np.clip((hole - distance) * sharp + 0.5, 0, 1)
    ring = np.clip(1.2 - np.abs(distance - hole - 0.03) * sharp, 0, 1)
    shade = block.shade(area, 0.3, 0.55)
    block.darken(area, open_ * np.clip(0.5 + 0.6 * shade - 0.25 * away**4, 0, 1))
    block.darken(area, ring * 0.35)
    block.stipple(area, (1 - open_) * (shade * 0.8 - 0.1))
    block.darken(area, (1 - open_) * np.clip(shade - 0.3, 0, 1) * 0.7)


def _nearest(x: Floats, y: Floats, shift: float) -> Floats:
    """Distance to the nearest point of one of the two grids that make a hexagonal lattice."""
    height = float(np.sqrt(3))
    across = x - shift - np.rint(x - shift)
    down = y / height - shift - np.rint(y / height - shift)
    distance: Floats = np.hypot(across, down * height)
    return distance


def _spines(block: Block, rng: Random, radius: float, symmetry: tuple[int, float]) -> None:
    lobes, start = symmetry
    main = lobes * int(rng.integers(1, 3))
    length = rng.uniform(0.25, 0.6)
    stout = rng.uniform(0.03, 0.08)
    barbed = rng.random() < 0.4
    fine = int(rng.integers(0, 4)) * main
    for k in range(fine):
        _spine(
            block,
            start + 2 * np.pi * (k + 0.5) / fine,
            (radius * 0.8, radius + length * 0.35),
            stout * 0.35,
            False,
        )
    for k in range(main):
        tip = radius + length * (1.0 if k % 2 == 0 else rng.uniform(0.6, 1.0))
        _spine(block, start + 2 * np.pi * k / main, (radius * 0.7, tip), stout, barbed)


def _spine(
    block: Block, angle: float, reach: tuple[float, float], width: float, barbed: bool
) -> None:
    way = np.array([np.cos(angle), np.sin(angle)])
    aside = np.array([-way[1], way[0]])
    line = np.linspace(way * reach[0], way * reach[1], 8)
    outline = ribbon(line, width, 0.006)
    if barbed:
        for share in (0.35, 0.6, 0.8):
            foot = way * (reach[0] + (reach[1] - reach[0]) * share)
            for side in (-1, 1):
                tip = foot + (aside * side * 1.6 + way * 0.5) * width
                thorn = ribbon(np.linspace(foot, tip, 4), width * 0.5, 0.006)
                block.darken(block.lay(thorn), 0.35)
                block.contour(thorn, 0.9)
    area = block.lay(outline)
    block.darken(area, block.shade(area, 0.1) * 0.8)
    block.contour(outline, 1.1)


def _kernel(block: Block, rng: Random, radius: float) -> None:
    """A broken window in the globe that shows a smaller one inside."""
    place = rng.uniform(-0.2, 0.2, 2) * radius
    centre = (float(place[0]), float(place[1]))
    size = radius * rng.uniform(0.34, 0.5)
    edge = ellipse(centre, (size, size), count=40)
    edge = (
        edge
        + np.stack([np.sin(np.arange(40) * 2.4), np.cos(np.arange(40) * 3.1)], axis=1) * 0.03 * size
    )
    window = block.lay(edge)
    block.darken(window, 0.62)
    block.contour(edge, 1.4)
    globe = ellipse(centre, (size * 0.6, size * 0.6))
    area = block.lay(globe)
    block.heighten(area, 0.06)
    u, v = block.coordinates(area)
    cells = 5.0 / size
    distance = np.minimum(
        _nearest((u - centre[0]) * cells, (v - centre[1]) * cells, 0.0),
        _nearest((u - centre[0]) * cells, (v - centre[1]) * cells, 0.5),
    )
    block.darken(area, np.clip((0.34 - distance) * 5 + 0.5, 0, 1) * 0.8)
    block.stipple(area, block.shade(area, 0.3) * 0.6)
    block.contour(globe, 1.3)
