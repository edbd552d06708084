"""What figures of a clustering are about: its members, their labels and vectors, and checks of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledgerkit.canonical import parse_json
from ledgerkit.clustering.composition import best_scheme, by_count
from ledgerkit.errors import MissingInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.clustering.vectors import Vectors
    from ledgerkit.handles import Inputs, Outputs

DOMINANT = 0.95
"""Share of one label from which labels tell nothing (workflow W0)."""
SAME = 0.999
"""Least cosine of a stored centroid with the sum of the members' vectors where these were grouped."""
NO_LABEL = "The catalogue has no field that could serve as label."


@dataclass(frozen=True, slots=True)
class Shown:
    """What all figures are about, by subject in the order of the ids."""

    of: str
    members: list[dict[str, Any]]
    clusters: list[dict[str, Any]]
    numbers: NDArray[np.int64]
    """Number of the cluster, int64 (n,), -1 for noise."""
    scheme: str | None
    labels: list[str | None]
    vectors: Vectors | None

    @property
    def sizes(self) -> list[int]:
        """Members of each cluster, the largest first."""
        return sorted((int(row["size"]) for row in self.clusters), reverse=True)

    @property
    def what(self) -> str:
        """For titles, as `60 plates`."""
        return f"{len(self.members):,} {self.of}"

    def called(self, number: int) -> str:
        """`cluster 3`, with the curator's or else the descriptive name where there is one."""
        row = next(one for one in self.clusters if one["label"] == number)
        name = row.get("name") or row.get("descriptive_name")
        return f"cluster {number}: {name}" if name else f"cluster {number}"


def manifests(inputs: Inputs) -> dict[str, dict[str, Any]]:
    """The manifests among the inputs by plate, as they were sealed."""
    found = {}
    for given in inputs.files("manifest"):
        with given.open() as file:
            manifest = parse_json(file.read(), given.path)
        found[str(manifest["plate_id"])] = manifest
    return found


def labelled(
    schemes: dict[str, dict[str, str]], wanted: str, plates: list[str]
) -> tuple[str | None, list[str | None]]:
    """The field of the catalogue that is `wanted`, or the best where that is empty, and its value for
    each of `plates`. Raises `MissingInput` for one that the catalogue has not.
    """
    if wanted and wanted not in schemes:
        raise MissingInput(
            f"the catalogue has no field {wanted!r}", f"There are: {', '.join(schemes) or 'none'}"
        )
    scheme = wanted or best_scheme(schemes, plates)
    values = schemes.get(scheme, {}) if scheme else {}
    return scheme, [values.get(plate) for plate in plates]


def judge_labels(
    scheme: str | None, labels: list[str | None], what: str
) -> Iterator[tuple[str, bool, float, str]]:
    """Check, outcome, value and sentence: whether there are labels, and whether one is nearly all."""
    if scheme is None:
        yield "found", False, 0.0, NO_LABEL
        return
    counts = by_count(labels)
    known = sum(count for _, count in counts)
    told = f"{known} of {what} have a label, of {len(counts)} values of {scheme}"
    yield "found", known > 0, known / len(labels), told
    largest = counts[0][1] / known if known else 1.0
    told = f"the most frequent label has {largest:.2f} of them, less than {DOMINANT:.2f} wanted"
    yield "dominant", largest < DOMINANT, largest, told


def check_vectors(shown: Shown, outputs: Outputs) -> None:
    """Gates: whether all subjects have a vector, and whether it is these that were grouped."""
    import numpy as np

    if shown.vectors is None:
        return
    rows, places = aligned(shown)
    lost = len(shown.members) - len(rows)
    outputs.gate("vectors", "found", lost == 0, float(lost), f"{lost} subjects have no vector")
    unit = unit_vectors(shown.vectors)[places]
    least = 1.0
    for cluster in shown.clusters:
        mine = unit[shown.numbers[rows] == cluster["label"]].astype(np.float64)
        centroid = np.asarray(cluster["centroid"], dtype=np.float64)
        mean = mine.sum(axis=0)
        if centroid.size != mean.size:
            least = 0.0
            break
        length = float(np.linalg.norm(mean) * np.linalg.norm(centroid))
        least = min(least, float(mean @ centroid) / length if length > 1e-9 else 0.0)
    told = f"centroids agree with the vectors, least cosine {least:.4f}, {SAME} wanted"
    outputs.gate("vectors", "same", least >= SAME, least, told)


def aligned(shown: Shown) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of members that have a vector, and the rows of their vectors, int64 (m,) both."""
    import numpy as np

    assert shown.vectors is not None
    place = {subject: row for row, subject in enumerate(shown.vectors.subjects)}
    rows = [row for row, one in enumerate(shown.members) if one["subject_id"] in place]
    places = [place[shown.members[row]["subject_id"]] for row in rows]
    return np.array(rows, dtype=np.int64), np.array(places, dtype=np.int64)


def unit_vectors(vectors: Vectors) -> NDArray[np.float32]:
    """The vectors at L2 norm 1, float32 (n, d)."""
    from ledgerkit.clustering.reduce import normalise

    return normalise(vectors.matrix)
