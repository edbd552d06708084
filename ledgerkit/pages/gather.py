"""What the atlas shows, read from the ledgers of one moment: plates, maps, clusters, labels, gates.

Nothing here writes or opens an image. Where a ledger lacks a column or has no rows, what depends on it
is empty, and the pages say so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ledgerkit.query import Ledgers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Row = dict[str, Any]
_PLATES = """
    SELECT plate_id, plate_number, title, slug, source_path, source_sha256, source_bytes, license,
           download_url, format, width, height
    FROM current_plates ORDER BY plate_number"""
_MAPS = """
    SELECT c.run_id, r.variant, r.version, r.parameters,
           any_value(c.subject_kind) AS kind, list_sort(list(DISTINCT c.level)) AS levels
    FROM current_cluster_members c JOIN runs r USING (run_id)
    GROUP BY ALL ORDER BY list_position(['plate', 'tile', 'segment'], kind), r.variant, c.run_id"""
_MEMBERS = """
    SELECT subject_id, plate_id, cluster_id, probability, x, y
    FROM cluster_members WHERE run_id = ? AND level = ? ORDER BY subject_id"""
_CLUSTERS = """
    SELECT c.*, n.name AS called, n.source, n.named_by, n.description, n.category, n.strength,
           n.representative_id, n.descriptive_name AS ruled
    FROM clusters c LEFT JOIN cluster_names n USING (run_id, cluster_id)
    WHERE c.run_id = ? ORDER BY c.level, c.label"""
_NEAREST = """
    SELECT subject_id, nearest_cluster_id FROM cluster_members
    WHERE run_id = ? AND level = ? AND nearest_cluster_id IS NOT NULL"""
_LABELS = """
    SELECT DISTINCT l.scheme, l.subject_id, l.value FROM labels l JOIN runs r USING (run_id)
    WHERE l.subject_kind = ? AND (r.current OR r.operation = 'seal') ORDER BY ALL"""
_GATES = """
    SELECT r.operation, g.gate, g.check, count(*) AS runs,
           count(*) FILTER (NOT g.passed) AS failed,
           first(g.message ORDER BY g.passed, g.run_id) AS message,
           first(g.run_id ORDER BY g.passed, g.run_id) AS run_id,
           first(coalesce(r.plate_id, 'collection') ORDER BY g.passed, g.run_id) AS subject
    FROM current_gates g JOIN runs r USING (run_id)
    GROUP BY ALL ORDER BY failed = 0, r.operation, g.gate, g.check"""
_FIGURES = """
    SELECT f.*, r.plate_id, r.operation FROM current_figures f JOIN runs r USING (run_id)
    ORDER BY run_id, figure_id"""
_PICTURES = """
    SELECT t.* EXCLUDE (affine, log_index) FROM current_tiles t JOIN runs r USING (run_id)
    WHERE t.kind = 'whole'
    QUALIFY row_number() OVER (PARTITION BY t.plate_id ORDER BY t.run_id DESC, t.tile_id) = 1"""
_PYRAMIDS = """
    SELECT r.plate_id, max(r.run_id) AS run_id FROM current_artifacts a JOIN runs r USING (run_id)
    WHERE a.role = 'pyramid' AND a.direction = 'output' GROUP BY r.plate_id
    ORDER BY length(r.plate_id), r.plate_id"""
_BOXES = {
    "tile": "SELECT tile_id AS id, x0, y0, x1, y1 FROM current_tiles",
    "segment": "SELECT DISTINCT segment_id AS id, x0, y0, x1, y1 FROM segments",
}
"""Of regions all: a clustering may be of a segmentation that is no longer in force."""
_COUNTS = "SELECT kind, count(*) AS n FROM current_segments GROUP BY kind ORDER BY kind"


@dataclass(frozen=True, slots=True)
class Plates:
    """All plates at work, by number; `place` gives the row of an id."""

    rows: list[Row]
    place: dict[str, int]


@dataclass(frozen=True, slots=True)
class Map:
    """One current clustering with its map: subjects sorted by id, one entry each in every array."""

    run_id: str
    variant: str
    kind: str
    """`plate`, `tile` or `segment`."""
    levels: list[int]
    place: dict[str, int]
    """Place of each subject, in their order."""
    plates: NDArray[np.int32]
    """Places in `Plates.rows`, (n,)."""
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    members: NDArray[np.int32]
    """Places in `clusters`, (levels, n); -1 for noise."""
    probability: NDArray[np.float64]
    """Strength of membership at the coarsest level, (n,), 0..1."""
    nearest: NDArray[np.int32]
    """For noise the place of the cluster with the nearest centroid, (levels, n); -1 where unknown."""
    clusters: list[Row]
    without_plate: int = 0
    """Subjects left out because their plate is not at work."""

    @property
    def subjects(self) -> list[str]:
        return list(self.place)


@dataclass(frozen=True, slots=True)
class Scheme:
    """What one vocabulary says: value numbers by place, the first of each, and all where several."""

    name: str
    values: list[str]
    first: NDArray[np.int32]
    several: dict[int, list[int]] = field(default_factory=dict)


def plates_of(ledgers: Ledgers) -> Plates:
    """The plates at work."""
    rows = _rows(ledgers, _PLATES)
    return Plates(rows, {row["plate_id"]: place for place, row in enumerate(rows)})


def maps_of(ledgers: Ledgers, plates: Plates) -> list[Map]:
    """Every current clustering: of plates first, then of tiles, then of segments."""
    further = "nearest_cluster_id" in columns_of(ledgers, "cluster_members")
    return [_map(ledgers, row, plates, further) for row in _rows(ledgers, _MAPS)]


def _map(ledgers: Ledgers, row: Row, plates: Plates, further: bool) -> Map:
    import numpy as np

    run_id, levels = row["run_id"], row["levels"]
    clusters = _rows(ledgers, _CLUSTERS, run_id)
    for cluster in clusters:
        cluster["title"] = title_of(cluster)
    numbers = {cluster["cluster_id"]: place for place, cluster in enumerate(clusters)}
    found = _rows(ledgers, _MEMBERS, run_id, levels[0])
    kept = [one for one in found if one["plate_id"] in plates.place]
    place = {one["subject_id"]: at for at, one in enumerate(kept)}
    members = np.full((len(levels), len(kept)), -1, np.int32)
    nearest = members.copy()
    for depth, level in enumerate(levels):
        rows = found if depth == 0 else _rows(ledgers, _MEMBERS, run_id, level)
        _fill(members[depth], place, rows, "cluster_id", numbers)
        if further:
            rows = _rows(ledgers, _NEAREST, run_id, level)
            _fill(nearest[depth], place, rows, "nearest_cluster_id", numbers)
    return Map(
        run_id,
        row["variant"],
        row["kind"],
        levels,
        place,
        np.array([plates.place[one["plate_id"]] for one in kept], np.int32),
        np.array([one["x"] for one in kept], np.float64),
        np.array([one["y"] for one in kept], np.float64),
        members,
        np.array([one["probability"] for one in kept], np.float64),
        nearest,
        clusters,
        len(found) - len(kept),
    )


def _fill(
    line: NDArray[np.int32],
    place: dict[str, int],
    rows: list[Row],
    column: str,
    numbers: dict[str, int],
) -> None:
    for row in rows:
        at = place.get(row["subject_id"])
        if at is not None and row[column] is not None:
            line[at] = numbers[row[column]]


def title_of(cluster: Row) -> str:
    """What a cluster is called: the name in force, else its number."""
    named = cluster["called"] or cluster["name"] or cluster.get("descriptive_name")
    return str(named or f"Cluster {cluster['label']}")


def labels_of(ledgers: Ledgers, kind: str, place: dict[str, int]) -> list[Scheme]:
    """What is said of subjects of a kind, by scheme; `place` gives the row of each subject."""
    import numpy as np

    by_scheme: dict[str, dict[int, list[str]]] = {}
    for row in _rows(ledgers, _LABELS, kind):
        at = place.get(row["subject_id"])
        if at is not None:
            by_scheme.setdefault(row["scheme"], {}).setdefault(at, []).append(row["value"])
    schemes = []
    for name, said in by_scheme.items():
        values = sorted({value for some in said.values() for value in some})
        number = {value: code for code, value in enumerate(values)}
        first = np.full(len(place), -1, np.int32)
        several = {}
        for at, some in said.items():
            first[at] = number[some[0]]
            if len(some) > 1:
                several[at] = [number[value] for value in some]
        schemes.append(Scheme(name, values, first, several))
    return schemes


def gates_of(ledgers: Ledgers) -> list[Row]:
    """Every check of current runs: in how many, how many failed, and one message; failed ones first."""
    return _rows(ledgers, _GATES)


def figures_of(ledgers: Ledgers) -> list[Row]:
    """The figures of current runs, those to look at first before others."""
    return sorted(_rows(ledgers, _FIGURES), key=lambda row: not row.get("is_core"))


def pictures_of(ledgers: Ledgers) -> dict[str, Row]:
    """By plate the row of `tiles` of its image as a whole, of the newest run."""
    return {row["plate_id"]: row for row in _rows(ledgers, _PICTURES)}


def pyramids_of(ledgers: Ledgers) -> dict[str, str]:
    """By plate the run that made its present pyramid."""
    return {row["plate_id"]: row["run_id"] for row in _rows(ledgers, _PYRAMIDS)}


def boxes_of(ledgers: Ledgers, kind: str) -> dict[str, tuple[int, int, int, int]]:
    """Boxes in oriented source pixels of current tiles or of all segments, by id; none of plates."""
    if kind not in _BOXES:
        return {}
    return {
        row["id"]: (row["x0"], row["y0"], row["x1"], row["y1"])
        for row in _rows(ledgers, _BOXES[kind])
    }


def segment_counts(ledgers: Ledgers) -> dict[str, int]:
    """Number of current segments by kind."""
    return {row["kind"]: row["n"] for row in _rows(ledgers, _COUNTS)}


def columns_of(ledgers: Ledgers, table: str) -> frozenset[str]:
    """The columns that a ledger has: older ones lack some."""
    return frozenset(ledgers.table(f"SELECT * FROM {table} LIMIT 0").column_names)


def _rows(ledgers: Ledgers, sql: str, *given: Any) -> list[Row]:
    rows: list[Row] = ledgers.table(sql, list(given)).to_pylist()
    return rows
