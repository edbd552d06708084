"""One current clustering out of the ledgers: clusters with their names in force, and all subjects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ledgerkit.errors import MissingInput, UsageError
from ledgerkit.query import Ledgers

OF = ("plates", "tiles", "segments")
_RUNS = """
    SELECT m.run_id, any_value(r.variant) AS variant FROM current_cluster_members m
    JOIN runs r USING (run_id) WHERE m.subject_kind = ? GROUP BY m.run_id ORDER BY m.run_id DESC"""
_CLUSTERS = """
    SELECT c.*, n.name AS called, n.source, n.description, n.category, n.strength,
           n.representative_id, n.since_run_id, n.named_by, n.named_as, n.overlap
    FROM current_clusters c JOIN cluster_names n USING (run_id, cluster_id)
    WHERE c.run_id = ? ORDER BY c.level, c.label"""
_MEMBERS = """
    SELECT subject_id, plate_id, level, cluster_id, label, probability, x, y
    FROM current_cluster_members WHERE run_id = ? ORDER BY subject_id, level"""
_PLATES = """
    SELECT plate_id, plate_number, title, slug, source_path, source_sha256, license, download_url,
           created_at
    FROM plates"""
_LABELS = """
    SELECT DISTINCT subject_id, scheme, value FROM labels
    WHERE subject_kind = 'plate' ORDER BY subject_id, scheme, value"""
_SPACE = "SELECT any_value(space_id) AS space FROM clusters WHERE run_id = ?"


@dataclass(frozen=True, slots=True)
class Picked:
    """Which clustering: the newest current one of these subjects, or a current run by its id."""

    of: str = "plates"
    run_id: str | None = None

    def __post_init__(self) -> None:
        """Raises `UsageError` for what cannot be grouped."""
        if self.of not in OF:
            raise UsageError(f"{self.of!r} cannot be grouped", f"There are: {', '.join(OF)}")


@dataclass(slots=True)
class Subject:
    """One subject of the clustering; `labelled` has the label of its cluster by level, not of noise."""

    subject_id: str
    plate_id: str
    x: float
    y: float
    title: str
    labels: list[dict[str, str]]
    labelled: dict[int, int] = field(default_factory=dict)
    clusters: dict[int, tuple[str | None, int, float]] = field(default_factory=dict)
    """By level: cluster id (None for noise), label, probability."""

    @property
    def content(self) -> str:
        """Title and labels, as text."""
        said = [f"{one['scheme']}: {one['value']}" for one in self.labels]
        return ". ".join([self.title, *said])


@dataclass(frozen=True, slots=True)
class Clustered:
    """A clustering: rows of `clusters` with the columns of `cluster_names`, and its subjects by id."""

    run_id: str
    variant: str
    of: str
    space: str
    clusters: list[dict[str, Any]]
    subjects: list[Subject]
    plates: dict[str, dict[str, Any]]

    @property
    def levels(self) -> list[int]:
        """All levels, 1 the coarsest; a clustering that found no cluster has the first."""
        return sorted({one["level"] for one in self.clusters} | {1})

    def of_level(self, level: int) -> list[dict[str, Any]]:
        """The clusters of a level, by label."""
        return [row for row in self.clusters if row["level"] == level]

    def members(self, level: int) -> dict[str | None, list[str]]:
        """Ids of the subjects in each cluster of a level, in the order of ids; None for the noise."""
        found: dict[str | None, list[str]] = {}
        for one in self.subjects:
            cluster = one.clusters[level][0] if level in one.clusters else None
            found.setdefault(cluster, []).append(one.subject_id)
        return found

    def member_rows(self) -> Iterator[dict[str, Any]]:
        """One row per subject and level."""
        names = {row["cluster_id"]: row["name"] for row in self.clusters}
        for one in self.subjects:
            for level, (cluster, label, probability) in sorted(one.clusters.items()):
                yield {
                    "subject_id": one.subject_id, "plate_id": one.plate_id, "title": one.title,
                    "level": level, "cluster_id": cluster, "label": label,
                    "cluster_name": names.get(cluster) if cluster else None,
                    "probability": probability, "x": one.x, "y": one.y,
                }  # fmt: skip


def load(ledgers: Ledgers, picked: Picked) -> Clustered:
    """The clustering out of the ledgers. Raises `MissingInput` when there is none."""
    runs = ledgers.table(_RUNS, [picked.of.removesuffix("s")]).to_pylist()
    if picked.run_id is not None:
        runs = [one for one in runs if one["run_id"] == picked.run_id]
    if not runs:
        which = f"{picked.run_id} is no current clustering" if picked.run_id else "no clustering"
        raise MissingInput(
            f"the ledgers have {which} of {picked.of}",
            f"Make one: ledgerkit cluster --of {picked.of}, then: ledgerkit consolidate",
        )
    run_id, variant = runs[0]["run_id"], runs[0]["variant"]
    clusters = ledgers.table(_CLUSTERS, [run_id]).to_pylist()
    for row in clusters:
        row["name"] = row.pop("called")
    plates = {row["plate_id"]: row for row in ledgers.table(_PLATES).to_pylist()}
    labels: dict[str, list[dict[str, str]]] = {}
    for row in ledgers.table(_LABELS).to_pylist():
        labels.setdefault(row["subject_id"], []).append(
            {"scheme": row["scheme"], "value": row["value"]}
        )
    space = ledgers.table(_SPACE, [run_id]).to_pylist()[0]["space"] or ""
    subjects = _subjects(ledgers, run_id, plates, labels)
    return Clustered(run_id, variant, picked.of, space, clusters, subjects, plates)


def _subjects(
    ledgers: Ledgers,
    run_id: str,
    plates: dict[str, dict[str, Any]],
    labels: dict[str, list[dict[str, str]]],
) -> list[Subject]:
    found: list[Subject] = []
    for row in ledgers.table(_MEMBERS, [run_id]).to_pylist():
        plate = row["plate_id"]
        if not found or found[-1].subject_id != row["subject_id"]:
            title = plates[plate]["title"]
            found.append(
                Subject(row["subject_id"], plate, row["x"], row["y"], title, labels.get(plate, []))
            )
        one, level = found[-1], row["level"]
        one.clusters[level] = (row["cluster_id"], row["label"], row["probability"])
        if row["cluster_id"] is not None:
            one.labelled[level] = row["label"]
    return found
