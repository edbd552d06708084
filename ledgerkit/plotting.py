"""Pictures of results: plots as PNG bytes, and how a picture is kept as a figure of its run.

The same data give the same bytes under the same version of matplotlib.

Drawn on a canvas of its own, without a display and without global state. Colours are those of Okabe
and Ito, which people with any common colour blindness tell apart.

Keeps out: what pictures prove.
Source: M. Okabe and K. Ito, Color Universal Design, 2008.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ledgerkit.handles import Outputs

BLUE, VERMILION, BLACK = "#0072B2", "#D55E00", "#000000"
DPI = 100
MOST_BINS = 60


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG file and its size in pixels."""

    png: bytes
    width: int
    height: int


def keep_figure(
    picture: Picture, name: str, title: str, tags: list[str], outputs: Outputs
) -> dict[str, Any]:
    """Write a picture as `<name>.png` among the outputs of a run; its row of the table `figures`."""
    with outputs.open(f"{name}.png", "figure", "image/png") as file:
        file.write(picture.png)
    return {
        "figure_id": name,
        "title": title,
        "file": f"{name}.png",
        "media_type": "image/png",
        "sha256": hashlib.sha256(picture.png).hexdigest(),
        "width": picture.width,
        "height": picture.height,
        "tags": tags,
    }


def distribution(
    values: Sequence[float], title: str, unit: str, limits: Mapping[str, float]
) -> Picture:
    """A histogram of positive `values` over logarithmic bins, with `limits` as labelled lines.

    Every value is also drawn as a tick below the bars, so that a single outlier is seen.
    """
    import numpy as np
    from matplotlib.ticker import LogLocator

    lowest = min([*values, *limits.values()])
    highest = max([*values, *limits.values()])
    edges = np.geomspace(lowest / 1.1, highest * 1.1, min(MOST_BINS, max(10, len(values))) + 1)
    figure, axes = _axes(title)
    axes.hist(values, bins=edges, color=BLUE)
    axes.plot(
        values, [-0.02] * len(values), "|", color=BLACK, transform=_below(axes), clip_on=False
    )
    for style, (label, limit) in zip(("--", ":"), limits.items(), strict=False):
        axes.axvline(limit, color=VERMILION, linestyle=style, linewidth=2, label=label)
    axes.set_xscale("log")
    axes.tick_params(axis="x", pad=12)
    axes.set_xlabel(f"{unit} (logarithmic; one tick a plate below the bars)")
    axes.set_ylabel("plates")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if highest < 1000 * lowest else (1,)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="best", frameon=False)
    return _picture(figure)


def _axes(title: str) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _below(axes: Any) -> Any:
    """Coordinates of the data across, of the axes' height down."""
    from matplotlib.transforms import blended_transform_factory

    return blended_transform_factory(axes.transData, axes.transAxes)


def _picture(figure: Any) -> Picture:
    """The figure as PNG without the version of the software, which is in the record."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    width, height = figure.canvas.get_width_height()
    return Picture(buffer.getvalue(), int(width), int(height))
