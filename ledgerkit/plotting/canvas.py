"""What all plots share: a canvas under default settings, colours, and lettering that fits.

Text is drawn as it is written: no mathematics between dollar signs, no name left out because it
begins with an underscore. What the font lacks is U+FFFD, never a warning and an empty box.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

from ledgerkit.palette import Colour
from ledgerkit.plotting import Picture

DPI = 100
INK = "#222222"
FONT = "DejaVu Sans"
SMALL = 7.5
"""Points of the lettering of legends and categories."""
LONGEST_NAME = 36
"""Characters of a category's name that are drawn."""
LONGEST_LINE = 60
"""Characters of the name of an axis."""
Given = ParamSpec("Given")
Made = TypeVar("Made")


def by_default(draw: Callable[Given, Made]) -> Callable[Given, Made]:
    """A function that draws under matplotlib's own settings, not under those of a `matplotlibrc`."""

    @wraps(draw)
    def plainly(*given: Given.args, **named: Given.kwargs) -> Made:
        from matplotlib import style

        with style.context("default", after_reset=True):
            return draw(*given, **named)

    return plainly


def new_axes(
    title: str, width: float = 9, height: float = 5, panels: int = 1, rows: int = 1
) -> tuple[Any, list[Any]]:
    """A figure of `width` by `height` inches and its axes under a common title.

    `panels` stand side by side in each of `rows`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(rows, panels, squeeze=False).flat)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    figure.suptitle(fitted(title, int(width * 11)), fontsize=12, parse_math=False)
    return figure, axes


@by_default
def said(title: str, sentence: str) -> Any:
    """A figure that says in its midst why there is nothing to draw."""
    figure, (axes,) = new_axes(title, 7, 4)
    axes.set_axis_off()
    axes.text(0.5, 0.5, readable(sentence), ha="center", va="center", wrap=True, color=INK)
    return figure


@by_default
def to_picture(figure: Any) -> Picture:
    """The figure as PNG without the version of the software, which is in the record."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    width, height = figure.canvas.get_width_height()
    return Picture(buffer.getvalue(), int(width), int(height))


def hexadecimal(colour: Colour) -> str:
    """`#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def fitted(text: str, most: int = LONGEST_NAME) -> str:
    """`text` readable and on one line, cut in the middle where it has more than `most` characters."""
    text = readable(text)
    if len(text) <= most:
        return text
    return f"{text[: (most - 1) // 2 + (most - 1) % 2]}…{text[len(text) - (most - 1) // 2 :]}"


def readable(text: str) -> str:
    """`text` with single spaces for white space, and U+FFFD for what the font cannot draw."""
    known = _characters()
    return "".join(one if ord(one) in known else "\ufffd" for one in " ".join(text.split()))


@cache
def _characters() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont(FONT)).get_charmap())


def as_written(texts: list[Any]) -> None:
    """Switch off mathematics in texts that matplotlib made: ticks and legends."""
    for text in texts:
        text.set_parse_math(False)
