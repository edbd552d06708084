"""KMeans on unit vectors: the control, which finds as many round clusters as it is told.

Source: Lloyd 1982; Arthur & Vassilvitskii 2007.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledgerkit.sweeping.space import Dimension, Setting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.sweeping.shared import Shared

CONTROL = True
LIBRARIES = ("scikit-learn",)
DIMENSIONS = (Dimension("n_clusters", tuple(range(2, 41))),)
N_INIT = 3


def label(shared: Shared, setting: Setting, seed: int) -> NDArray[np.int64]:
    """The nearest centre of each row, int64 (n,); at most half as many as rows, and no more
    than there are different vectors.
    """
    import numpy as np
    from sklearn.cluster import KMeans

    different = shared.once(("different",), lambda: len(np.unique(shared.unit, axis=0)))
    clusters = max(1, min(int(setting["n_clusters"]), len(shared.unit) // 2, different))
    model = KMeans(n_clusters=clusters, n_init=N_INIT, random_state=seed)
    labels: NDArray[np.int64] = model.fit_predict(shared.unit).astype("int64")
    return labels
