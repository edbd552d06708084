"""The current sweeps of a repository out of its ledgers, with all that exports and pages show of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ledgerkit.canonical import parse_json
from ledgerkit.clustering.swept import Swept, read_sweep
from ledgerkit.errors import InvalidRecord, MissingInput, UsageError
from ledgerkit.export.ledgers import Basis, ledgers_at
from ledgerkit.export.thumbnails import Images, images_of
from ledgerkit.export.vectors import vectors_of
from ledgerkit.plotting.captions import CAPTIONS
from ledgerkit.query import Ledgers, Limits
from ledgerkit.reading import Tree
from ledgerkit.repository import Archive
from ledgerkit.sweeping.composite import insufficient

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TABLES = (
    "plates", "runs", "artifacts", "tiles", "segments", "embeddings", "figures", "sweep_trials",
    "sweep_members",
)  # fmt: skip
RESERVED = ("_meta", "export.json")
"""Names in an export of sweeps that no collection's folder may have."""
ROLE, DOCUMENT = "sweep", "sweep.v1"
"""Role and schema of the document of a sweep."""
_RUNS = """
    SELECT t.run_id, t.collection, t.subjects, r.variant, r.record_path, r.record_sha256
    FROM (SELECT DISTINCT run_id, collection, "of" AS subjects FROM current_sweep_trials) t
    JOIN runs r USING (run_id)
    QUALIFY row_number() OVER (PARTITION BY t.collection, t.subjects ORDER BY t.run_id DESC) = 1
    ORDER BY t.collection, t.subjects"""
_TRIALS = "SELECT * EXCLUDE (log_index) FROM sweep_trials WHERE run_id = ? ORDER BY trial"
_MEMBERS = "SELECT * EXCLUDE (log_index) FROM sweep_members WHERE run_id = ? ORDER BY subject_id"
_DOCUMENT = """
    SELECT path, sha256 FROM artifacts WHERE run_id = ? AND direction = 'output' AND role = ?"""
_FIGURES = """
    SELECT f.*, a.path AS stored_path FROM current_figures f JOIN artifacts a
      ON a.run_id = f.run_id AND a.direction = 'output' AND a.sha256 = f.sha256
      AND ends_with(a.path, '/outputs/' || f.file)
    WHERE f.run_id = (
      SELECT max(run_id) FROM artifacts WHERE direction = 'input' AND role = 'table:sweep_trials'
      AND made_by = ? AND run_id IN (SELECT run_id FROM current_figures)
      AND run_id IN (SELECT run_id FROM runs WHERE parameters::JSON->>'cut' = ?))
    ORDER BY f.figure_id"""
_PLATES = "SELECT plate_id, title, source_path FROM plates"


@dataclass(frozen=True, slots=True)
class CollectionData:
    """One swept collection of one repository."""

    name: str
    """Of its folder and in tables: the collection's own, told apart where several are called so."""
    label: str
    """For people: what the collection is called, with `name` where several are called so."""
    swept: Swept
    document: dict[str, Any]
    """`sweep.v1`."""
    run_id: str
    record_path: str
    record_sha256: str
    basis: Basis
    tree: Tree
    titles: dict[str, str]
    """Of the plates, by id."""
    images: Images
    figures: list[dict[str, Any]]
    """Rows of `figures` that were drawn of it, with `stored_path`; none where it was not drawn."""
    vectors: NDArray[np.float32] | None = None
    """float32 (n, d), rows as the members; None where they were not asked for."""


def load_sweeps(
    archives: Sequence[Archive],
    *,
    vectors: bool = False,
    at: str | None = None,
    limits: Limits | None = None,
) -> list[CollectionData]:
    """The newest current sweep of each collection and kind of subject, repository by repository.

    Raises `UsageError` for two copies of one repository, `MissingInput` where a repository has no ledgers or no sweep, or where vectors that are
    asked for are not there; `DigestMismatch`, `InvalidRecord`.
    """
    found: list[CollectionData] = []
    taken = set(RESERVED)
    origins: set[str] = set()
    for archive in archives:
        with ledgers_at(archive, at, limits, TABLES) as (ledgers, basis):
            if basis.origin in origins:
                raise UsageError(
                    f"{archive.root} is a copy of a repository that is taken already",
                    "Leave it away: its sweeps would count twice.",
                )
            origins.add(basis.origin)
            runs = ledgers.table(_RUNS).to_pylist()
            if not runs:
                raise MissingInput(
                    f"the ledgers of {archive.root} have no sweep",
                    "Make one: ledgerkit sweep run, then: ledgerkit consolidate",
                )
            for run in runs:
                found.append(_load(archive.tree, ledgers, basis, run, taken, vectors))
    called = Counter(one.label for one in found)
    return [
        replace(one, label=f"{one.label} ({one.name})") if called[one.label] > 1 else one
        for one in found
    ]


def signature_rows(collections: Sequence[CollectionData]) -> list[dict[str, Any]]:
    """The trials that are no control, as `signature_table` takes them.

    Ranked down are those that are ranked behind others whatever their score: as unstable and apart from the
    consensus, or with too little coverage or clusters.
    """
    return [
        {
            "dataset": one.name,
            "algorithm": row["algorithm"],
            "signature": row["signature"],
            "score_raw_z": row["score"],
            "ranked_down": row["ranked_down"] or insufficient(row["coverage"], row["clusters"]),
        }
        for one in collections
        for row in one.swept.trials
        if not row["control"]
    ]


def _load(
    tree: Tree,
    ledgers: Ledgers,
    basis: Basis,
    run: dict[str, Any],
    taken: set[str],
    vectors: bool,
) -> CollectionData:
    run_id = run["run_id"]
    document = _document(tree, ledgers, run_id)
    trials = ledgers.table(_TRIALS, [run_id]).drop_columns(["run_id"]).to_pylist()
    members = ledgers.table(_MEMBERS, [run_id]).drop_columns(["run_id"])
    swept = read_sweep(trials, [members], cut=document["consensus"]["cut"])
    plates = {row["plate_id"]: row for row in ledgers.table(_PLATES).to_pylist()}
    sources = {plate: row["source_path"] for plate, row in plates.items()}
    name = _free_name(run["collection"], taken)
    return CollectionData(
        name,
        run["collection"],
        swept,
        document,
        run_id,
        run["record_path"],
        run["record_sha256"],
        basis,
        tree,
        {plate: str(row["title"]) for plate, row in plates.items()},
        images_of(ledgers, swept.of, sources),
        sorted(
            ledgers.table(_FIGURES, [run_id, document["consensus"]["cut"]]).to_pylist(), key=_place
        ),
        _vectors(ledgers, swept, run_id) if vectors else None,
    )


def _place(row: dict[str, Any]) -> tuple[int, str]:
    """The order of figures is that of their captions."""
    name = str(row["figure_id"])
    kinds = [place for place, kind in enumerate(CAPTIONS) if name.startswith(kind)]
    return (kinds[0] if kinds else len(CAPTIONS), name)


def _document(tree: Tree, ledgers: Ledgers, run_id: str) -> dict[str, Any]:
    from ledgerkit import schema

    rows = ledgers.table(_DOCUMENT, [run_id, ROLE]).to_pylist()
    if len(rows) != 1:
        raise InvalidRecord(f"{run_id} has {len(rows)} documents of a sweep, 1 expected")
    path = rows[0]["path"]
    document: dict[str, Any] = parse_json(tree.read_checked(path, rows[0]["sha256"]), path)
    schema.check(DOCUMENT, document, path)
    return document


def _free_name(collection: str, taken: set[str]) -> str:
    """A name for a folder, of letters, digits, hyphens and dots, that none of `taken` has."""
    base = re.sub(r"[^\w.-]+", "-", collection).strip("-._")[:60] or "collection"
    name, number = base, 1
    while name.lower() in taken:
        number += 1
        name = f"{base}-{number}"
    taken.add(name.lower())
    return name


def _vectors(ledgers: Ledgers, swept: Swept, run_id: str) -> NDArray[np.float32]:
    return vectors_of(
        ledgers,
        swept.space,
        run_id,
        [row["subject_id"] for row in swept.members],
        "Leave the vectors out with --no-vectors, or make them: ledgerkit embed",
    )
