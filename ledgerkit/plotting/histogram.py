"""Histograms: of sizes over logarithmic bins with limits, and of measures over even bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ledgerkit.palette import BLUE, VERMILION
from ledgerkit.plotting.canvas import (
    INK,
    LONGEST_LINE,
    as_written,
    by_default,
    fitted,
    hexadecimal,
    new_axes,
)

MOST_BINS = 60


@by_default
def distribution(
    values: Sequence[float], title: str, unit: str, limits: Mapping[str, float]
) -> Any:
    """A histogram of positive `values` over logarithmic bins, with `limits` as labelled lines.

    Every value is also drawn as a tick below the bars, so that a single outlier is seen.
    """
    import numpy as np
    from matplotlib.ticker import LogLocator

    lowest = min([*values, *limits.values()])
    highest = max([*values, *limits.values()])
    edges = np.geomspace(lowest / 1.1, highest * 1.1, min(MOST_BINS, max(10, len(values))) + 1)
    figure, (axes,) = new_axes(title)
    axes.hist(values, bins=edges, color=hexadecimal(BLUE))
    axes.plot(values, [-0.02] * len(values), "|", color=INK, transform=_below(axes), clip_on=False)
    for style, (label, limit) in zip(("--", ":"), limits.items(), strict=False):
        axes.axvline(limit, color=hexadecimal(VERMILION), linestyle=style, linewidth=2, label=label)
    axes.set_xscale("log")
    axes.tick_params(axis="x", pad=12)
    axes.set_xlabel(f"{unit} (logarithmic; one tick a plate below the bars)")
    axes.set_ylabel("plates")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if highest < 1000 * lowest else (1,)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="best", frameon=False)
    return figure


@by_default
def histogram(
    values: Sequence[float],
    title: str,
    along: str,
    counted: str,
    *,
    bins: int,
    span: tuple[float, float] | None = None,
    lines: Mapping[str, float] | None = None,
) -> Any:
    """A histogram of `values` over `bins` even bins of `span`, with `lines` named in a legend.

    `along` and `counted` name the axes. The bars have black edges, so that bins are told apart.
    """
    figure, (axes,) = new_axes(title, 7, 4)
    axes.hist(values, bins=bins, range=span, color=hexadecimal(BLUE), edgecolor="black")
    for style, (name, value) in zip(("--", ":"), (lines or {}).items(), strict=False):
        axes.axvline(
            value, color=hexadecimal(VERMILION), linestyle=style, linewidth=2, label=fitted(name)
        )
    axes.set_xlabel(fitted(along, LONGEST_LINE), parse_math=False)
    axes.set_ylabel(fitted(counted, 40), parse_math=False)
    axes.yaxis.get_major_locator().set_params(integer=True)
    if span is not None:
        axes.set_xlim(*span)
    else:
        axes.xaxis.get_major_locator().set_params(integer=True)
    if lines:
        legend = figure.legend(loc="outside lower center", ncols=2, frameon=False)
        as_written(legend.get_texts())
    return figure


def _below(axes: Any) -> Any:
    """Coordinates of the data across, of the axes' height down."""
    from matplotlib.transforms import blended_transform_factory

    return blended_transform_factory(axes.transData, axes.transAxes)
