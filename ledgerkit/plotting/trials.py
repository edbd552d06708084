"""The settings that were tried: how each came out, and which was taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ledgerkit.palette import BLUE, VERMILION
from ledgerkit.plotting.canvas import SMALL, by_default, hexadecimal, new_axes


@dataclass(frozen=True, slots=True)
class Tried:
    """One setting."""

    noise: float
    """Share of the rows left as noise, 0..1."""
    silhouette: float | None
    """-1..1; None where it is not defined."""
    persistence: float | None
    """Of the clusters in HDBSCAN's hierarchy; None where there is none."""
    eligible: bool
    chosen: bool


@by_default
def trials_overview(trials: Sequence[Tried], title: str) -> Any:
    """Silhouette against noise and against persistence; what lacks a measure stands on the edge."""
    figure, panels = new_axes(title, 11, 4.8, panels=2)
    kinds = (
        ("could not be chosen", "x", "#808080", 22, [one for one in trials if not one.eligible]),
        (
            "could be chosen",
            "o",
            hexadecimal(BLUE),
            22,
            [one for one in trials if one.eligible and not one.chosen],
        ),
        ("chosen", "*", hexadecimal(VERMILION), 190, [one for one in trials if one.chosen]),
    )
    scores = [one.silhouette for one in trials if one.silhouette is not None]
    floor = min([0.0, *scores]) - 0.08
    kept = [one.persistence for one in trials if one.persistence is not None]
    left = min(kept, default=0.0) - 0.06 * ((max(kept, default=1.0) - min(kept, default=0.0)) or 1)
    for name, marker, colour, area, chosen in kinds:
        heights = [floor if one.silhouette is None else one.silhouette for one in chosen]
        along = ([one.noise for one in chosen], [_or(one.persistence, left) for one in chosen])
        for axes, places in zip(panels, along, strict=True):
            axes.scatter(
                places,
                heights,
                s=area,
                c=colour,
                marker=marker,
                alpha=0.8,
                label=f"{name} ({len(chosen)})" if axes is panels[0] else None,
                clip_on=False,
            )
    _name_axes(panels, floor, left, scores, kept, len(trials))
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=SMALL)
    return figure


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _name_axes(
    panels: Sequence[Any],
    floor: float,
    left: float,
    scores: Sequence[float],
    kept: Sequence[float],
    count: int,
) -> None:
    """Names, limits, and how many trials stand on an edge because they lack the measure."""
    bare, flat = count - len(scores), count - len(kept)
    for axes in panels:
        axes.set_ylim(floor, max([*scores, 0.0]) + 0.08)
    panels[0].set_ylabel(
        "mean cosine silhouette" + (f" ({bare} without, on the edge)" if bare else "")
    )
    panels[0].set_xlabel("share left as noise")
    panels[0].set_xlim(-0.02, 1.02)
    panels[1].set_xlabel("persistence" + (f" ({flat} without, on the edge)" if flat else ""))
    panels[1].set_xlim(left=left)
