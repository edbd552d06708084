"""Leiden communities of the graph of nearest neighbours.

Edges weigh exp(-d / (median d * temperature)), d the cosine distance: the greater the temperature the
less the distance counts. W1 names a temperature and no formula; this is ours.
Source: Traag, Waltman & van Eck 2019; Reichardt & Bornholdt 2006 (resolution).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledgerkit.sweeping.space import Dimension, Setting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.sweeping.shared import Shared

CONTROL = False
LIBRARIES = ("graspologic-native",)
DIMENSIONS = (
    Dimension("resolution", low=0.6, high=2.4, bin=0.1),
    Dimension("temperature", (0.8, 1.0, 1.2)),
)
ITERATIONS = 2
"""Cycles, each from what the one before found; the default of the reference implementation."""


def label(shared: Shared, setting: Setting, seed: int) -> NDArray[np.int64]:
    """The community of each row, int64 (n,); every row has one.

    Without an edge, as of one row, each is alone: communities grow from single rows along edges.
    """
    import graspologic_native
    import numpy as np

    graph, count = shared.graph, len(shared.unit)
    if not len(graph.others):  # the library panics, and its panic is no Exception
        return np.arange(count, dtype=np.int64)
    _, found = graspologic_native.leiden_csr(
        graph.starts,
        graph.others,
        graph.weights(float(setting["temperature"])),
        count,
        resolution=float(setting["resolution"]),
        iterations=ITERATIONS,
        seed=seed,
    )
    return np.array([found[row] for row in range(count)], dtype=np.int64)
