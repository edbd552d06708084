"""Birds in profile on a branch or a tuft of grass, now and then with a lifted wing."""

from itertools import pairwise

import numpy as np

from ledgerkit.testing.engravings.block import Block
from ledgerkit.testing.engravings.geometry import Floats, between, ellipse, ribbon, spline, turned
from ledgerkit.testing.engravings.palette import LEAF, WOOD, muted

Random = np.random.Generator


def draw_bird(block: Block, rng: Random) -> None:
    """One bird and what it stands on."""
    depth = rng.uniform(0.19, 0.29)
    posture = -rng.uniform(0.1, 0.85)
    neck = rng.uniform(0.25, 0.6) if rng.random() < 0.3 else 0.0
    ground = float(rng.uniform(0.5, 0.62) + 0.7 * neck)
    hip = turned([(-0.02, depth * 0.7)], posture)[0]
    head = turned([(0.48 + 0.25 * neck, -0.1 - neck * 0.75)], posture)[0]
    radius = float(rng.uniform(0.12, 0.165))
    coat, second = muted(rng), muted(rng)
    if neck or rng.random() < 0.25:
        _tuft(block, rng, float(hip[0]), ground)
    else:
        _branch(block, rng, float(hip[0]), ground)
    _tail(block, rng, posture, second)
    _legs(block, rng, (float(hip[0]), float(hip[1])), ground)
    _beak(block, rng, (float(head[0]), float(head[1])), radius)
    _trunk(block, rng, (depth, posture, neck), (head, radius), coat)
    _crown(block, rng, (float(head[0]), float(head[1])), radius, second)
    _wing(block, rng, depth, posture, second)


def _trunk(
    block: Block,
    rng: Random,
    build: tuple[float, float, float],
    head: tuple[Floats, float],
    coat: tuple[float, float, float],
) -> None:
    depth, posture, neck = build
    centre, radius = head
    torso = turned(
        [(0.05, -depth * 0.85), (-0.38, -depth * 0.45), (-0.47, depth * 0.1), (-0.1, depth * 0.9)],
        posture,
    )
    breast = turned([(0.3, depth * 0.75 - 0.1 * neck)], posture)
    skull = centre + radius * np.array(
        [(0.35, 0.95), (0.95, 0.2), (0.8, -0.5), (0.0, -1.0), (-0.9, -0.4)]
    )
    outline = spline(np.concatenate([torso, breast, skull]), closed=True)
    area = block.lay(outline)
    shade = block.shade(area, 0.16, 0.6)
    block.wash(area, coat, 0.65 + 0.35 * shade)
    u, v = block.coordinates(area)
    along = u * np.cos(posture) + v * np.sin(posture)
    across = v * np.cos(posture) - u * np.sin(posture)
    if rng.random() < 0.5:
        belly = np.clip((across / depth - 0.1) * 3, 0, 1)
        block.wash(area, muted(rng), belly)
    starts = rng.uniform((-0.75, -0.95), (0.85, 0.75), (900, 2))
    lean = posture + rng.uniform(-0.35, 0.35, 900)
    length = rng.uniform(0.03, 0.075, 900)
    back = np.stack([-np.cos(lean), -np.sin(lean)], axis=1) * length[:, None]
    middle = back * 0.5 + np.stack([back[:, 1], -back[:, 0]], axis=1) * 0.12
    barbs = np.stack([starts, starts + middle, starts + back], axis=1)
    block.flicks(barbs, 1.15, within=area)
    block.hatch(area, shade - 0.3, angle=1.1 + posture, bend=2.5)
    if rng.random() < 0.4:
        spots = np.clip(np.sin(along * 60) * np.sin(across * 55) * 2 - 0.7, 0, 1)
        block.darken(area, spots * 0.7)
    block.contour(outline, 1.1)


def _crown(
    block: Block,
    rng: Random,
    head: tuple[float, float],
    radius: float,
    colour: tuple[float, float, float],
) -> None:
    x, y = head
    style = rng.random()
    cap = [(0.9, -0.25), (0.6, -0.8), (-0.1, -1.02), (-0.8, -0.65), (-0.4, -0.2)]
    area = block.area(spline([(x + radius * a, y + radius * b) for a, b in cap], closed=True))
    block.wash(area, colour, 1.0)
    if style < 0.6:
        block.darken(area, 0.45)
    if style < 0.35:
        tips = rng.uniform(-1.6, -1.0, 7)
        crest = [
            [
                (x - radius * 0.1 * k, y - radius * 0.85),
                (x + radius * (tip + 0.2), y - radius * 1.5),
            ]
            for k, tip in enumerate(tips)
        ]
        block.flicks(crest, 3.0)
    eye = (x + radius * 0.3, y - radius * 0.2)
    ball = block.lay(ellipse(eye, (radius * 0.22, radius * 0.22), count=20))
    block.wash(ball, (0.9, 0.75, 0.45))
    block.contour(ellipse(eye, (radius * 0.22, radius * 0.22), count=20), 0.9)
    block.darken(block.area(ellipse(eye, (radius * 0.13, radius * 0.13), count=16)), 0.95)


def _beak(block: Block, rng: Random, head: tuple[float, float], radius: float) -> None:
    x, y = head
    length = radius * rng.choice([1.4, 2.0, 3.6])
    droop = radius * rng.uniform(-0.1, 0.6)
    stout = radius * rng.uniform(0.28, 0.5)
    tip = (x + radius * 0.85 + length, y + droop)
    upper = [
        (x + radius * 0.7, y - stout),
        (x + radius + length * 0.4, y - stout * 0.6 + droop * 0.2),
        tip,
    ]
    lower = [tip, (x + radius + length * 0.3, y + stout * 0.6), (x + radius * 0.6, y + stout * 0.8)]
    outline = np.concatenate([spline(upper), spline(lower)])
    area = block.lay(outline)
    block.wash(area, muted(rng), 0.8)
    block.hatch(area, block.shade(area), angle=1.4, spacing=2.6)
    block.contour(outline, 1.1)
    block.strokes(
        [spline([(x + radius * 0.7, y), (x + radius + length * 0.4, y + droop * 0.3), tip])]
    )


def _wing(
    block: Block, rng: Random, depth: float, posture: float, colour: tuple[float, float, float]
) -> None:
    reach = rng.uniform(0.5, 0.72)
    upper = spline(
        [(0.27, -0.02), (0.08, -depth * 0.8), (-0.25, -depth * 0.55), (-reach, -0.01)], steps=12
    )
    lower = spline(
        [(0.27, -0.02), (0.14, depth * 0.4), (-0.18, depth * 0.42), (-reach, -0.01)], steps=12
    )
    if rng.random() < 0.22:
        lift = rng.uniform(0.8, 1.5) - posture * 0.6
        raised = np.array([1.2, 1.5])
        upper, lower = (turned(edge * raised, lift, (0.1, -0.05)) for edge in (upper, lower))
        upper, lower = (edge - np.array([0.12, 0.0]) for edge in (upper, lower))
    upper, lower = turned(upper, posture), turned(lower, posture)
    outline = np.concatenate([upper, lower[::-1]])
    area = block.lay(outline)
    block.wash(area, colour, 0.95)
    shade = block.shade(area, 0.2, 0.5)
    quills = [between(upper, lower, share)[9:] for share in np.linspace(0.06, 0.94, 9)]
    block.strokes(quills, 1.0)
    for near, far in pairwise(quills):
        vanes = [
            np.stack([near[k], between(near[k], far[min(k + 2, len(far) - 1)], 0.7)])
            for k in range(2, len(near) - 3)
        ]
        block.flicks(vanes, 0.9, within=area)
    _scallops(block, upper, lower, posture)
    if rng.random() < 0.5:
        bar = np.concatenate(
            [between(upper, lower, 0.05)[10:14], between(upper, lower, 0.95)[10:14][::-1]]
        )
        block.darken(block.area(bar), 0.6)
    block.hatch(area, shade - 0.22, angle=0.4 - posture, spacing=3.0, bend=1.5)
    block.contour(outline, 1.4)


def _scallops(block: Block, upper: Floats, lower: Floats, posture: float) -> None:
    """Rows of small rounded feathers over the root of a wing."""
    for row in range(4):
        ends = [
            between(upper[4 + 4 * row], lower[4 + 4 * row], share)
            for share in np.linspace(0.04, 0.96, 8)
        ]
        scallops = []
        for first, last in pairwise(ends):
            back = turned([(-0.05, 0.0)], posture)[0]
            scallops.append(spline(np.stack([first, (first + last) / 2 + back, last]), steps=5))
        block.strokes(scallops, 1.2)


def _tail(block: Block, rng: Random, posture: float, colour: tuple[float, float, float]) -> None:
    length = rng.choice([0.32, 0.5, 0.75])
    spread = rng.uniform(0.05, 0.13)
    fork = rng.uniform(-0.12, 0.18)
    droop = rng.uniform(-0.15, 0.25)
    feathers = []
    for share in np.linspace(-1.0, 1.0, 7):
        end = length * (1 - fork * (1 - abs(share)))
        feathers.append(
            turned([(-0.36, share * 0.04), (-0.45 - end, share * spread + droop * length)], posture)
        )
    for feather in feathers:
        vane = ribbon(np.linspace(feather[0], feather[1], 12), 0.04, 0.03, swell=0.045)
        area = block.lay(vane)
        block.wash(area, colour, 0.9)
        block.hatch(area, 0.35, angle=posture + 0.8, spacing=2.7)
        block.contour(vane, 1.0)
        block.strokes([feather], 0.9)


def _legs(block: Block, rng: Random, hip: tuple[float, float], ground: float) -> None:
    bend = rng.uniform(0.02, 0.1)
    for shift in (-0.06, 0.07):
        x, y = hip[0] + shift, hip[1] - 0.03
        knee = (x - bend, y + (ground - y) * 0.45)
        foot = (x + shift * 0.3, ground)
        leg = ribbon(spline([(x, y), knee, foot]), 0.05, 0.026)
        area = block.lay(leg)
        block.wash(area, WOOD, 0.8)
        block.hatch(area, 0.45, angle=1.5, spacing=2.6)
        block.contour(leg, 1.0)
        toes = [[foot, (foot[0] + reach, ground + 0.03)] for reach in (-0.07, 0.05, 0.1)]
        block.flicks(toes, 3.2)


def _branch(block: Block, rng: Random, x: float, y: float) -> None:
    slope = rng.uniform(-0.3, 0.3)
    left, right = rng.uniform(0.55, 0.95, 2)
    knots = [
        (x + d, y + 0.04 + slope * d + rng.uniform(-0.015, 0.015))
        for d in np.linspace(-left, right, 9)
    ]
    for k in (1, 2, 6, 7):
        base = knots[k]
        way = rng.choice([-1.0, 1.0])
        tip = (base[0] + rng.uniform(-0.05, 0.2), base[1] + way * rng.uniform(0.12, 0.25))
        twig = ribbon(
            spline([base, ((base[0] + tip[0]) / 2 - 0.03, (base[1] + tip[1]) / 2), tip]),
            0.03,
            0.012,
        )
        block.wash(block.lay(twig), WOOD)
        block.contour(twig, 1.0)
        leaf(
            block,
            tip,
            rng.uniform(-0.6, 0.6) + (0.0 if rng.random() < 0.5 else np.pi),
            rng.uniform(0.14, 0.26),
        )
    limb = ribbon(spline(knots), 0.085, 0.045)
    area = block.lay(limb)
    block.wash(area, WOOD, 0.9)
    block.hatch(area, block.shade(area, 0.05, 0.5), angle=slope + 0.35, spacing=3.0, bend=2.0)
    block.contour(limb, 1.5)


def leaf(block: Block, base: tuple[float, float], angle: float, length: float) -> None:
    """A pointed leaf with midrib and side veins."""
    upper = spline([(0.0, 0.0), (0.3, -0.2), (0.7, -0.15), (1.0, 0.0)], steps=6) * length
    lower = upper * np.array([1.0, -1.0])
    place = np.array(base)
    outline = turned(np.concatenate([upper, lower[::-1]]), angle) + place
    area = block.lay(outline)
    block.wash(area, LEAF, 0.9)
    dark = block.area(turned(np.concatenate([lower, lower[-1:] * 0]), angle) + place)
    block.hatch(dark, 0.42, angle=angle + 0.9, spacing=2.8)
    rib = [turned([(0.0, 0.0), (length, 0.0)], angle) + place]
    veins = [
        turned([(length * t, 0.0), (length * (t + 0.14), side * length * 0.13)], angle) + place
        for t in (0.2, 0.35, 0.5, 0.65)
        for side in (-1, 1)
    ]
    block.strokes(rib + veins, 0.9)
    block.contour(outline, 1.2)


def _tuft(block: Block, rng: Random, x: float, y: float) -> None:
    left, right = rng.uniform(0.4, 0.7, 2)
    mound = spline(
        [
            (x - left, y + 0.1),
            (x - left / 2, y),
            (x, y - 0.01),
            (x + right / 2, y + 0.02),
            (x + right, y + 0.12),
        ]
    )
    floor = spline([(x + right, y + 0.12), (x, y + 0.2), (x - left, y + 0.1)])
    blades = []
    for _ in range(26):
        foot = x + rng.uniform(-left, right) * 0.9
        tall = rng.uniform(0.08, 0.3) if abs(foot - x) > 0.2 else 0.06
        lean = rng.uniform(-0.12, 0.12)
        blades.append(
            spline([(foot, y + 0.09), (foot + lean * 0.3, y - tall * 0.5), (foot + lean, y - tall)])
        )
    block.flicks(blades, 2.4)
    area = block.lay(np.concatenate([mound, floor]))
    block.wash(area, LEAF, 0.6)
    block.hatch(area, block.shade(area), angle=1.45, spacing=3.2, bend=3.0)
    block.contour(mound, 1.0)
