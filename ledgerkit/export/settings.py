"""The setting that holds across swept collections, as a file that `cluster --settings` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledgerkit import schema
from ledgerkit.canonical import OF_THE_USER, canonical_bytes, parse_json, sha256_hex
from ledgerkit.clustering.swept import setting_of
from ledgerkit.errors import InvalidRecord, MissingInput, UsageError
from ledgerkit.export.swept import CollectionData, load_sweeps, signature_rows
from ledgerkit.export.target import new_file, refuse
from ledgerkit.repository import Archive
from ledgerkit.sweeping.algorithms import load
from ledgerkit.sweeping.choice import ROBUST, robust, signature_table

SCHEMA = "settings.v1"
ACROSS, OWN = "robust", "collection"
MOST_BYTES = 1 << 20
EXPECTED = ("score", "silhouette", "coverage", "stability_ari", "modularity", "clusters")


@dataclass(frozen=True)
class RecommendView:
    """A setting that was written, and why it is the one."""

    of: str
    """plates, tiles or segments."""
    kind: str
    """robust: it holds across collections; collection: it is the best of one."""
    target: str
    algorithm: str
    parameters: dict[str, Any]
    signature: str
    avg_rank: float
    worst_z: float
    mean_z: float
    trials: int
    ranked_down: int
    """Collections in which at least half of its trials were ranked down: in no fewer any other was."""
    collections: list[str]
    sha256: str


def recommend(
    archives: Sequence[Archive], target: Path, *, collection: str | None = None
) -> RecommendView:
    """Write the robust setting of all current sweeps, or the best of one collection, to a new file.

    Numbers of a range are the middle of their step. Raises `UsageError`, `MissingInput` without a
    sweep or a trial that can be chosen; then nothing is left behind.
    """
    refuse(target)
    found = load_sweeps(archives)
    if collection is not None:
        names = [one.name for one in found]
        found = [one for one in found if one.name == collection]
        if not found:
            raise UsageError(f"no sweep of {collection}", f"There are: {', '.join(names)}")
    _refuse_unlike(found)
    table = signature_table(signature_rows(found))
    chosen = robust(table) if collection is None else _best(found[0], table)
    if chosen is None:
        raise MissingInput("no trial can be chosen", "Sweep again with other algorithms.")
    document = _document(found, chosen, collection is None)
    data = canonical_bytes(document)
    with new_file(target) as file:
        file.write(data)
    return RecommendView(
        found[0].document["of"],
        document["kind"],
        str(target),
        document["algorithm"],
        document["parameters"],
        chosen["signature"],
        chosen["avg_rank"],
        chosen["worst_z"],
        chosen["mean_z"],
        chosen["trials"],
        chosen["ranked_down"],
        sorted({one["collection"] for one in document["expected"]}),
        sha256_hex(data),
    )


def _refuse_unlike(found: Sequence[CollectionData]) -> None:
    """Raise `UsageError` for sweeps of which no one setting can be the best."""
    for name in ("of", "components", "formula"):
        values = sorted({str(one.document[name]) for one in found})
        if len(values) > 1:
            raise UsageError(
                f"the sweeps differ in {name}: {', '.join(values)}",
                "Sweep them alike, or name one of them: --collection NAME",
            )


def _document(
    found: Sequence[CollectionData], chosen: Mapping[str, Any], across: bool
) -> dict[str, Any]:
    """`settings.v1` of a row of the table of signatures."""
    trials = [
        (one, row)
        for one in found
        for row in one.swept.trials
        if row["signature"] == chosen["signature"]
    ]
    trials.sort(key=lambda pair: pair[1]["rank"])
    first, best = trials[0]
    algorithm = load(str(best["algorithm"]))
    setting = setting_of(best)
    if across:
        setting = {one.name: one.binned(setting[one.name]) for one in algorithm.dimensions}
    document = {
        "schema_version": SCHEMA,
        "kind": ACROSS if across else OWN,
        "rule": ROBUST if across else "rank 1 of its collection",
        "algorithm": algorithm.name,
        "parameters": setting,
        "components": first.document["components"],
        "signature": chosen["signature"],
        "standing": {name: value for name, value in chosen.items() if name != "signature"},
        "expected": [_expected(one, row) for one, row in trials],
        "provenance": [_provenance(one) for one in found],
    }
    schema.check(SCHEMA, document, "settings")
    return document


def read_settings(path: Path) -> dict[str, Any]:
    """The parameters of `cluster` that a settings file stands for, its digest among them.

    Raises `UsageError` for no such file, `InvalidRecord` for another kind of one.
    """
    document, digest = _read(path, SCHEMA)
    given = {"algorithm": document["algorithm"], "parameters": document["parameters"]}
    return {
        "setting": canonical_bytes(given).decode().strip(),
        "settings_sha256": digest,
        "components": document["components"],
    }


def read_weights(path: Path) -> dict[str, Any]:
    """The parameters of `sweep` that a file of weights stands for, its digest among them.

    Raises `UsageError` for no such file, `InvalidRecord` for another kind of one.
    """
    document, digest = _read(path, "weights.v1")
    return {
        "weight": canonical_bytes(document["weights"]).decode().strip(),
        "weights_sha256": digest,
        "formula": document["formula"],
    }


READERS: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "settings": read_settings,
    "weights": read_weights,
}
"""What reads a file that decides parameters, by the option that takes it."""


def _read(path: Path, kind: str) -> tuple[dict[str, Any], str]:
    """A document of a kind, and the SHA-256 of its file."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise InvalidRecord(f"{path} is larger than such a file")
    document: dict[str, Any] = parse_json(data, str(path), hint=OF_THE_USER)
    schema.check(kind, document, str(path))
    return document, sha256_hex(data)


def _best(one: CollectionData, table: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The row of the table that the trial with rank 1 belongs to."""
    ranked = one.swept.ranked
    wanted = ranked[0]["signature"] if ranked else None
    return next((row for row in table if row["signature"] == wanted), None)


def _expected(one: CollectionData, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "collection": one.name,
        "trial": row["trial"],
        "rank": row["rank"],
        **{name: row[name] for name in EXPECTED},
    }


def _provenance(one: CollectionData) -> dict[str, Any]:
    return {
        "collection": one.name,
        "repository": one.basis.origin,
        "log_size": one.basis.log_size,
        "log_root": one.basis.log_root,
        "run_id": one.run_id,
        "record_sha256": one.record_sha256,
        **{name: one.document[name] for name in ("of", "space_id", "rows")},
        "formula": one.document["formula"],
    }
