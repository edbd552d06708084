"""HDBSCAN on a layout by UMAP: the grid of `cluster`, one layout and one hierarchy for many settings.

Source: McInnes, Healy & Melville 2018; Campello, Moulavi & Sander 2013; workflow W0 (grid).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledgerkit.clustering.density import NOISE, cut
from ledgerkit.clustering.grid import MOST_SAMPLES
from ledgerkit.sweeping.space import Dimension, Setting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.sweeping.shared import Shared

CONTROL = False
LIBRARIES = ("umap-learn", "pynndescent", "numba", "hdbscan")
DIMENSIONS = (
    Dimension("neighbours", (10, 20, 50)),
    Dimension("min_dist", (0.0, 0.1, 0.3)),
    Dimension("min_cluster_size", (5, 8, 10, 15)),
    Dimension("min_samples", (None, 5, 10)),
)


def label(shared: Shared, setting: Setting, seed: int) -> NDArray[np.int64]:
    """HDBSCAN's clusters, int64 (n,), -1 for noise; least sizes grow with the rows."""
    import numpy as np

    least = shared.least(int(setting["min_cluster_size"]))
    if len(shared.unit) < 2 * least:
        return np.full(len(shared.unit), NOISE, dtype=np.int64)
    samples = setting["min_samples"] or min(least, MOST_SAMPLES)
    tree = shared.tree(int(setting["neighbours"]), float(setting["min_dist"]), int(samples))
    return cut(tree, least, "eom").labels


def note(shared: Shared, setting: Setting) -> str:
    """Why the clusters are those of principal components, where UMAP could not run."""
    if len(shared.unit) < 2 * shared.least(int(setting["min_cluster_size"])):
        return "too few rows for two clusters"
    layout = shared.layout(int(setting["neighbours"]), float(setting["min_dist"]))
    return f"principal components: {layout.reason}" if layout.reason else ""
