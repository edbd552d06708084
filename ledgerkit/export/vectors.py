"""The vectors that a run has grouped, out of the ledgers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ledgerkit.errors import MissingInput
from ledgerkit.query import Ledgers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_VECTORS = """
    SELECT e.subject_id, e.vector FROM embeddings e
    WHERE e.space_id = ? AND e.run_id IN (
      SELECT made_by FROM artifacts WHERE run_id = ? AND direction = 'input'
      AND role = 'table:embeddings')"""


def vectors_of(
    ledgers: Ledgers, space: str, run_id: str, subjects: Sequence[str], hint: str
) -> NDArray[np.float32]:
    """The vectors of `subjects` that the run took as inputs, float32 (subjects, d), not scaled.

    Raises `MissingInput` with this hint where one is not there.
    """
    import numpy as np

    rows = ledgers.table(_VECTORS, [space, run_id])
    place = {name: at for at, name in enumerate(rows["subject_id"].to_pylist())}
    lacking = [one for one in subjects if one not in place]
    if lacking:
        said = f"{len(lacking)} subjects have no vector in {space}, the first: {lacking[0]}"
        raise MissingInput(said, hint)
    flat = np.asarray(rows["vector"].combine_chunks().flatten(), np.float32)
    return flat.reshape(rows.num_rows, -1)[[place[one] for one in subjects]]
