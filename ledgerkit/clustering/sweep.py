"""Many settings of UMAP and HDBSCAN over one neighbour graph, and the rule that picks one of them.

One graph serves all layouts, one hierarchy per layout and `min_samples` serves all least sizes.
Of a trial that qualifies the labels are kept; only the best so far is kept whole.
Source: workflow W0 (grid, noise limit); docs/clustering.md (the rule: of 108 runs on digits the cosine silhouette in the original space ranked .63 with the
truth, the silhouette in the layout -.13).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from ledgerkit.clustering.density import Cut, Tree, cut, grow, relative_validity
from ledgerkit.clustering.grid import Setting
from ledgerkit.clustering.quality import Quality, quality
from ledgerkit.clustering.reduce import Layout, Neighbours, first, graph, lay_out

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RULE = "noise-silhouette-v1"
"""Of the trials with two clusters or more and no more noise than allowed, the one with the greatest
mean cosine silhouette of its clustered rows in the original space; then the most persistent, the one
with less noise, the earlier.
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """What one setting gave."""

    number: int
    setting: Setting
    space: str
    """How the layout was made: 'umap' or 'pca'."""
    clusters: int
    noise: float
    """Share of rows, 0..1."""
    quality: Quality
    persistence: float | None
    """Mean persistence of the clusters, weighted by their size."""
    relative_validity: float | None
    note: str
    """Why it may not be chosen; empty when it may."""


@dataclass(frozen=True, slots=True)
class Best:
    """The chosen trial, whole."""

    trial: Trial
    cut: Cut
    layout: Layout


@dataclass(frozen=True, slots=True)
class Sweep:
    """All trials, the chosen one if any, the graph that all share, and why UMAP did not run."""

    trials: list[Trial]
    best: Best | None
    near: Neighbours | None
    layout: Layout
    """The chosen trial's; without one the first that was made."""
    votes: list[NDArray[np.int32]]
    """The labels of the trials that qualify, in their order, int32 (n,)."""


def sweep(
    unit: NDArray[np.float32],
    reduced: NDArray[np.float32],
    settings: list[Setting],
    *,
    dimensions: int,
    selection: str,
    max_noise: float,
    seed: int,
) -> Sweep:
    """Try all settings, in the order of `settings_of`.

    `unit`: float32 (n, d), L2 norm 1, where quality is measured; `reduced`: float32 (n, e), L2 norm
    1, what UMAP gets. Where UMAP cannot run, every layout would be the same principal components,
    so only the settings of the first layout are tried.
    """
    count, most = len(unit), max(one.neighbours for one in settings)
    near = graph(reduced, most, seed) if count >= 4 else None
    width = max(2, min(dimensions, count - 2, reduced.shape[1]))
    import numpy as np

    trials: list[Trial] = []
    votes: list[NDArray[np.int32]] = []
    best: Best | None = None
    kept: Layout | None = None
    for (used, distance), group in groupby(
        settings, key=lambda one: (one.neighbours, one.min_dist)
    ):
        layout = lay_out(
            reduced,
            first(near, used),
            dimensions=width,
            count=used,
            min_dist=distance,
            seed=seed,
        )
        kept = kept or layout
        for setting, found, tree in _cuts(layout.points, list(group), selection):
            trial = _judge(len(trials), setting, layout.method, found, tree, unit, max_noise)
            trials.append(trial)
            best = _better(best, trial, found, layout)
            if found and not trial.note:
                votes.append(found.labels.astype(np.int32))
        if kept.method != "umap":
            break
    assert kept is not None
    return Sweep(trials, best, near, best.layout if best else kept, votes)


def pick(
    points: NDArray[np.float64],
    unit: NDArray[np.float32],
    settings: list[Setting],
    *,
    selection: str,
    max_noise: float,
) -> Best | None:
    """The best cut of one layout by the same rule, over the least sizes and samples of `settings`.

    None where no setting is eligible.
    """
    layout = Layout(points, "given", "")
    once: dict[tuple[int, int], Setting] = {}
    for one in settings:
        once.setdefault((one.min_cluster_size, one.samples), one)
    best: Best | None = None
    for number, (setting, found, tree) in enumerate(_cuts(points, [*once.values()], selection)):
        trial = _judge(number, setting, layout.method, found, tree, unit, max_noise)
        best = _better(best, trial, found, layout)
    return best


def _better(best: Best | None, trial: Trial, found: Cut | None, layout: Layout) -> Best | None:
    """The better of the best so far and a trial, which may be not eligible."""
    if trial.note or found is None or (best and _rank(trial) <= _rank(best.trial)):
        return best
    return Best(trial, found, layout)


def _cuts(
    points: NDArray[np.float64], settings: list[Setting], selection: str
) -> Iterator[tuple[Setting, Cut | None, Tree | None]]:
    """Each setting with its cut; one that so few rows cannot bear has none."""
    trees: dict[int, Tree] = {}
    for setting in settings:
        if len(points) < 2 * setting.min_cluster_size:
            yield setting, None, None
            continue
        if setting.samples not in trees:
            trees[setting.samples] = grow(points, setting.samples)
        tree = trees[setting.samples]
        yield setting, cut(tree, setting.min_cluster_size, selection), tree


def _judge(
    number: int,
    setting: Setting,
    space: str,
    found: Cut | None,
    tree: Tree | None,
    unit: NDArray[np.float32],
    max_noise: float,
) -> Trial:
    import numpy as np

    nothing = Quality(None, None, None)
    if found is None or tree is None:
        least = setting.min_cluster_size
        note = f"{len(unit)} rows cannot hold two clusters of at least {least}"
        return Trial(number, setting, space, 0, 1.0, nothing, None, None, note)
    labels = found.labels
    clusters, noise = len(found.persistence), float(np.mean(labels < 0))
    measured = quality(unit, labels)
    sizes = np.bincount(labels[labels >= 0], minlength=clusters)
    persistence = float(np.average(found.persistence, weights=sizes)) if clusters else None
    note = ""
    if clusters < 2:
        note = f"{clusters} clusters, at least 2 are needed"
    elif noise > max_noise:
        note = f"{noise:.2f} of the rows are noise, more than {max_noise:.2f}"
    elif measured.silhouette is None:
        note = "the silhouette is not defined"
    valid = relative_validity(tree, labels)
    return Trial(number, setting, space, clusters, noise, measured, persistence, valid, note)


def _rank(trial: Trial) -> tuple[float, float, float, int]:
    """What `noise-silhouette-v1` compares among eligible trials: silhouette, persistence, less
    noise, the earlier.
    """
    silhouette = trial.quality.silhouette
    assert silhouette is not None
    return round(silhouette, 9), round(trial.persistence or 0.0, 9), -trial.noise, -trial.number
