"""One trial of a sweep, and the bytes as which it is kept while the sweep is under way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ledgerkit.canonical import canonical_bytes, parse_json
from ledgerkit.clustering.density import NOISE
from ledgerkit.errors import LedgerkitError
from ledgerkit.sweeping.measures import Measures
from ledgerkit.sweeping.search import Drawn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Trial:
    """What one setting gave."""

    number: int
    algorithm: str
    setting: Mapping[str, Any]
    signature: str
    control: bool
    measures: Measures
    bootstrap_ari: float | None
    """Mean ARI with the same setting on subsamples, -1..1."""
    note: str = ""
    """What was done in another way than the algorithm's name says."""


def encode(trial: Trial, labels: NDArray[np.int32]) -> bytes:
    """A line of JSON, then the labels, int32 (n,), little-endian."""
    head = {
        "algorithm": trial.algorithm,
        "setting": dict(trial.setting),
        "measures": asdict(trial.measures),
        "bootstrap_ari": trial.bootstrap_ari,
        "note": trial.note,
    }
    return canonical_bytes(head).rstrip(b"\n") + b"\n" + labels.astype("<i4").tobytes()


def decode(
    data: bytes | None, drawn: Drawn, signature: str, control: bool, rows: int
) -> tuple[Trial, NDArray[np.int32]] | None:
    """The trial and its labels, int32 (rows,); None where the bytes are not those of this trial, or say
    of the labels what these do not bear out.
    """
    import numpy as np

    head, _, body = (data or b"").partition(b"\n")
    if len(body) != 4 * rows:
        return None
    try:
        told = parse_json(head, "a kept trial")
        if (told["algorithm"], told["setting"]) != (drawn.algorithm, dict(drawn.setting)):
            return None
        measures = Measures(**told["measures"])
        ari, note = told["bootstrap_ari"], told["note"]
    except (LedgerkitError, KeyError, TypeError):
        return None
    labels = np.frombuffer(body, dtype="<i4").astype(np.int32)
    kinds = np.unique(labels[labels != NOISE]).tolist()
    if kinds != list(range(measures.clusters)) or measures.coverage != float(
        np.mean(labels != NOISE)
    ):
        return None
    found = Trial(
        drawn.number, drawn.algorithm, drawn.setting, signature, control, measures, ari, note
    )
    return found, labels
