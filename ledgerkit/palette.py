"""Colours that people with any common colour blindness tell apart, and grey for what is set apart.

Source: M. Okabe and K. Ito, Color Universal Design, 2008; black is kept for lines and lettering.
"""

from __future__ import annotations

Colour = tuple[int, int, int]

BLUE, ORANGE, GREEN = (0, 114, 178), (230, 159, 0), (0, 158, 115)
VERMILION, PURPLE, SKY, YELLOW = (213, 94, 0), (204, 121, 167), (86, 180, 233), (240, 228, 66)
SERIES: tuple[Colour, ...] = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW)
"""Red, green and blue, 0..255, of things that are numbered from 0."""
GREY: Colour = (150, 150, 150)
