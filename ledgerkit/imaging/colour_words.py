"""Words for CIELAB colours: the basic colour terms, and a few that prints ask for.

Source of the terms: Berlin & Kay 1969 (eleven basic terms); of the space: CIE 15:2004, 8.2 (hue
angle and chroma). The bounds between words are our own, set so that the CSS colours named by basic
terms get their names; beige, cream and olive are for paper and tints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

GREYS = ((20.0, "black"), (45.0, "dark grey"), (70.0, "grey"), (90.0, "light grey"))
HUES = (
    (22.0, "red"),
    (45.0, "red"),
    (80.0, "orange"),
    (112.0, "yellow"),
    (170.0, "green"),
    (230.0, "blue-green"),
    (312.0, "blue"),
    (345.0, "purple"),
    (360.0, "red"),
)
"""Upper end of each sector of the hue angle in degrees."""
LEAST_CHROMA = 8.0
"""Chroma below which a colour is a grey."""


def colour_word(lab: Sequence[float]) -> str:
    """The word for one colour; `lab` is (L 0..100, a, b), D65."""
    light, green_red, blue_yellow = lab
    chroma = math.hypot(green_red, blue_yellow)
    if chroma < LEAST_CHROMA:
        return next((word for upper, word in GREYS if light < upper), "white")
    angle = math.degrees(math.atan2(blue_yellow, green_red)) % 360
    word = next(word for upper, word in HUES if angle < upper or upper == 360)
    if word == "red" and light >= (68 if 22 <= angle < 45 else 60):
        return "pink"
    if word == "red" and light < 55 and chroma < 35 and angle > 22:
        return "brown"
    if word == "orange" and light < 60:
        return "brown"
    if word == "orange" and chroma < 38:
        return "beige"
    if word == "yellow" and light < 60:
        return "olive"
    if word == "yellow" and chroma < 38:
        return "cream"
    if light < 32:
        return f"dark {word}"
    return f"pale {word}" if light > 78 and chroma < 38 else word
