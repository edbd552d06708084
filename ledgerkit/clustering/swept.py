"""A sweep as its figures, pages and exports see it: trials, labels, consensus, and what follows.

Rows are those of the tables `sweep_trials` and `sweep_members`. Nothing is scored or chosen here.
Source: Fred & Jain 2005 (co-association).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledgerkit.canonical import parse_json
from ledgerkit.errors import InvalidRecord, MissingInput, UsageError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

CUTS = ("lifetime", "half")
"""The cuts of the consensus, each with a column `consensus_...`."""
AS_SWEPT = "swept"
"""In place of a cut: that which the sweep says."""
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Swept:
    """One sweep: trials by number, subjects by id."""

    collection: str
    of: str
    space: str
    trials: list[dict[str, Any]]
    members: list[dict[str, Any]]
    """Without `labels`, which are an array."""
    labels: NDArray[np.int32]
    """int32 (n, trials), -1 for none."""
    consensus: NDArray[np.int64]
    """int64 (n,), -1 for none."""

    @property
    def ranked(self) -> list[dict[str, Any]]:
        """The trials that have a rank, the best first."""
        found = [row for row in self.trials if row["rank"] is not None]
        return sorted(found, key=lambda row: (row["rank"], row["trial"]))

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Number and size of each consensus cluster, the largest first, ties by number."""
        import numpy as np

        kinds, counts = np.unique(self.consensus[self.consensus >= 0], return_counts=True)
        found = zip(kinds.tolist(), counts.tolist(), strict=True)
        return sorted(found, key=lambda one: (-one[1], one[0]))

    @property
    def what(self) -> str:
        """For titles, as `60 plates of 1840`."""
        return f"{len(self.members):,} {self.of} of {self.collection}"


def read_sweep(
    trials: Iterable[Row], members: Iterable[pa.Table], *, collection: str = "", cut: str = CUTS[0]
) -> Swept:
    """The sweep of a collection ('' for the only one there is) from rows of its two tables.

    Raises `MissingInput` without trials or subjects, `UsageError` for several collections,
    `InvalidRecord` where a subject has another number of labels than there are trials.
    """
    import numpy as np
    import pyarrow as pa

    rows = [dict(row) for row in trials if collection in ("", row["collection"])]
    rows.sort(key=lambda row: int(row["trial"]))
    names = sorted({str(row["collection"]) for row in rows})
    if len(names) > 1:
        raise UsageError(f"sweeps of {len(names)} collections: {', '.join(names)}", "Name one.")
    given = pa.concat_tables(list(members))
    chosen = [name in names for name in given["collection"].to_pylist()]
    table = given.filter(pa.array(chosen, pa.bool_())).sort_by("subject_id")
    if not rows or not table.num_rows:
        named = f" of {collection}" if collection else ""
        raise MissingInput(f"no sweep{named} among the inputs", "Make one: ledgerkit sweep run")
    lengths = set(table["labels"].combine_chunks().value_lengths().to_pylist())
    if lengths != {len(rows)}:
        told = ", ".join(map(str, sorted(lengths)))
        raise InvalidRecord(f"subjects have {told} labels of {len(rows)} trials of {names[0]}")
    flat = table["labels"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    labels = flat.astype(np.int32).reshape(table.num_rows, len(rows))
    kept = table.drop_columns(["labels"]).to_pylist()
    numbers = np.array([row[f"consensus_{cut}"] for row in kept], dtype=np.int64)
    first = rows[0]
    return Swept(names[0], first["of"], first["space_id"], rows, kept, labels, numbers)


def setting_of(row: Row) -> dict[str, Any]:
    """The setting of a trial: parameters by name, in the order in which they are kept."""
    found: dict[str, Any] = parse_json(str(row["parameters"]).encode(), f"trial {row['trial']}")
    return found


def said_setting(row: Row) -> str:
    """For lists, as `leiden: resolution 1.25, temperature 0.8`."""
    parts = ", ".join(f"{name} {plain(value)}" for name, value in setting_of(row).items())
    return f"{row['algorithm']}: {parts}" if parts else str(row["algorithm"])


def plain(value: Any) -> str:
    """A value of a setting as short text: numbers to four digits, `none` for None."""
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def voters(swept: Swept) -> NDArray[np.int64]:
    """Columns of `labels` that made the consensus, int64; those without control where none did."""
    import numpy as np

    found = [place for place, row in enumerate(swept.trials) if row["in_consensus"]]
    if not found:
        found = [place for place, row in enumerate(swept.trials) if not row["control"]]
    return np.array(found, dtype=np.int64)


def sampled(swept: Swept, most: int, clusters: int) -> NDArray[np.int64]:
    """At most `most` rows, evenly of those in the largest `clusters`, and of those in none.

    The latter have no greater share than among all. By consensus cluster, the largest first, none last; within a cluster those that belong to it most
    come first, ties by id. Int64 (m,).
    """
    import numpy as np

    place = {number: order for order, (number, _) in enumerate(swept.sizes[:clusters])}
    place[-1] = len(place)
    order = sorted(
        (row for row, number in enumerate(swept.consensus.tolist()) if number in place),
        key=lambda row: (
            place[int(swept.consensus[row])],
            -swept.members[row]["consensus_probability"],
            swept.members[row]["subject_id"],
        ),
    )
    bare = [row for row in order if swept.consensus[row] < 0]
    room = -(-most * len(bare) // len(swept.members))
    chosen = _evenly(order[: len(order) - len(bare)], most - room) + _evenly(bare, room)
    return np.array(chosen, dtype=np.int64)


def _evenly(rows: list[int], most: int) -> list[int]:
    """At most `most` of `rows`, evenly spread over their order."""
    count = min(most, len(rows))
    return [rows[at * len(rows) // count] for at in range(count)]


def coassociation(labels: NDArray[np.int32]) -> NDArray[np.float64]:
    """Share of the trials that put two rows together, of those that put both in a cluster.

    `labels` int32 (m, trials), -1 for none; float64 (m, m), 0..1, NaN where no trial has both.
    """
    import numpy as np

    count = len(labels)
    together, both = np.zeros((count, count)), np.zeros((count, count))
    for vote in labels.T:
        there = vote >= 0
        pairs = there[:, None] & there[None, :]
        both += pairs
        together += pairs & (vote[:, None] == vote[None, :])
    return np.divide(together, both, out=np.full_like(both, np.nan), where=both > 0)


def front(rows: Sequence[Row], one: str, other: str) -> list[int]:
    """Places of the rows that no other exceeds in both measures (Pareto), by falling `one`.

    Rows that lack a measure are left out; of rows alike in both all are kept.
    """
    found = [
        (row[one], row[other], place)
        for place, row in enumerate(rows)
        if row[one] is not None and row[other] is not None
    ]
    return [
        place
        for high, along, place in sorted(found, key=lambda kept: (-kept[0], -kept[1], kept[2]))
        if not any((a >= high and b >= along and (a, b) != (high, along)) for a, b, _ in found)
    ]
