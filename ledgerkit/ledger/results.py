"""The tables whose rows are results: what operations wrote, with the run and log columns added."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ledgerkit import schema
from ledgerkit.ledger.columns import as_table, catalogue_labels
from ledgerkit.ledger.gather import Gathered, RunFacts, stored_rows
from ledgerkit.repository import Archive

if TYPE_CHECKING:
    import pyarrow as pa

RESULTS = (
    "headers",
    "measures",
    "hashes",
    "tiles",
    "segments",
    "embeddings",
    "clusters",
    "cluster_members",
    "trials",
    "cluster_matches",
    "labels",
    "descriptions",
    "figures",
    "fixity",
    "sweep_trials",
    "sweep_members",
    "review_pairs",
    "review_answers",
)
CLUSTER = "cluster"
"""What a row is about whose table has no column `subject_kind`."""


def result_table(archive: Archive, gathered: Gathered, name: str) -> pa.Table:
    """All rows of a result table, over all runs."""
    import pyarrow as pa

    wanted = schema.arrow_schema(name)
    parts: list[pa.Table] = []
    columns: dict[str, list[Any]] = {column: [] for column in wanted.names}
    if name == "labels":
        columns = catalogue_labels(gathered)
    stored = list(schema.columns(name, stored=True))
    for facts, rows in stored_rows(archive, gathered, name):
        if isinstance(rows, pa.Table):
            parts.append(_with_run_columns(name, rows, facts))
            continue
        for column in stored:
            columns[column] += [getattr(row, column) for row in rows]
        columns["run_id"] += [facts.run.run_id] * len(rows)
        columns["log_index"] += [facts.log_index] * len(rows)
        if "subject_run_id" in columns:
            kinds = [getattr(row, "subject_kind", CLUSTER) for row in rows]
            columns["subject_run_id"] += [_subject_run(facts, kind) for kind in kinds]
    parts.append(as_table(name, columns))
    return pa.concat_tables(parts).combine_chunks()


def _with_run_columns(name: str, rows: pa.Table, facts: RunFacts) -> pa.Table:
    import pyarrow as pa

    count = rows.num_rows
    columns: dict[str, Any] = {
        column: rows.column(column).combine_chunks() for column in rows.column_names
    }
    columns["run_id"] = pa.repeat(facts.run.run_id, count)
    columns["log_index"] = pa.repeat(pa.scalar(facts.log_index, pa.int64()), count)
    if "subject_run_id" in schema.columns(name):
        named = "subject_kind" in rows.column_names
        kinds = rows.column("subject_kind").to_pylist() if named else [CLUSTER] * count
        columns["subject_run_id"] = [_subject_run(facts, kind) for kind in kinds]
    return as_table(name, columns)


def _subject_run(facts: RunFacts, kind: str) -> str | None:
    """The run that made the subjects of this kind; None where the record's inputs name none or several."""
    made = [given.run_id for given in facts.inputs if given.role == f"table:{kind}s"]
    return made[0] if len(made) == 1 else None
