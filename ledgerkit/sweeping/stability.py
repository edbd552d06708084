"""Whether a setting finds the same clusters without some of the rows.

Source: Ben-Hur, Elisseeff & Guyon 2002 (subsampling); Hubert & Arabie 1985 (ARI).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledgerkit.sweeping.algorithms import Algorithm
from ledgerkit.sweeping.space import Setting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.sweeping.shared import Shared

SHARE = 0.8
"""Share of the rows in a subsample."""


class Subsamples:
    """Subsamples of a sweep's rows, the same for all trials, each with what its trials share."""

    def __init__(self, shared: Shared, count: int) -> None:
        import numpy as np

        rows = len(shared.unit)
        most = max(2, round(SHARE * rows))
        self.rows = [
            np.sort(np.random.default_rng([shared.seed, number]).permutation(rows)[:most])
            for number in range(count if most < rows else 0)
        ]
        self.parts = [shared.part(one) for one in self.rows]

    def ari(
        self, algorithm: Algorithm, setting: Setting, labels: NDArray[np.int64], seed: int
    ) -> float | None:
        """Mean ARI of `labels`, int64 (n,), and those of the same setting on each subsample, -1..1.

        Rows in no cluster are a class of their own. A subsample on which neither divides anything says
        nothing, for the ARI is then 0 / 0, and taken for 1 it would make the setting that puts all in
        one cluster the most stable of all. None where no subsample says anything.
        """
        import numpy as np
        from sklearn.metrics import adjusted_rand_score

        values = []
        for rows, part in zip(self.rows, self.parts, strict=True):
            found = algorithm.label(part, setting, seed)
            if np.ptp(labels[rows]) or np.ptp(found):
                values.append(adjusted_rand_score(labels[rows], found))
        return float(np.mean(values)) if values else None
