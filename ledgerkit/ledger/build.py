"""Build all ledgers beside the former ones and put them in place in one step, or compare only.

polars sorts, checks keys and references and writes Parquet, always below staging and never under a
final name: its `write_parquet` truncates in place and does not flush.
"""

from __future__ import annotations

import io
import time
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ledgerkit import layout, schema
from ledgerkit.canonical import canonical_bytes, sha256_hex
from ledgerkit.durable import Job
from ledgerkit.errors import LedgerkitError, LedgerRefused
from ledgerkit.ledger.columns import artifacts_table, gates_table, plates_table, runs_table
from ledgerkit.ledger.gather import Gathered, gather
from ledgerkit.ledger.results import RESULTS, result_table
from ledgerkit.repository import Archive
from ledgerkit.sealing import seal_new
from ledgerkit.software import VERSION
from ledgerkit.views import ConsolidateView

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

ROW_GROUP = 1 << 16
LEDGER_FILE = "ledger.json"


def consolidate(archive: Archive, *, wait: float = 60.0) -> ConsolidateView:
    """Rebuild `ledger/` from manifests and records. Raises `LedgerRefused`; the former ledgers stay."""
    began = time.monotonic()
    with archive.job() as job:
        seal_new(archive, job)
        files, document = build(archive)
        changed = differing(archive, files)
        aside = None
        if changed:
            staged = _stage(archive, job, files)
            with archive.store.locked(wait):
                aside = _replace(archive, job, staged, files)
    return _view(document, changed, aside, time.monotonic() - began)


def check(archive: Archive) -> ConsolidateView:
    """Compare `ledger/` with what a rebuild would give. Writes nothing."""
    began = time.monotonic()
    files, document = build(archive)
    return _view(document, differing(archive, files), None, time.monotonic() - began)


def _view(document: dict[str, Any], changed: list[str], aside: str | None, seconds: float) -> ConsolidateView:
    rows = {name: table["rows"] for name, table in document["tables"].items()}
    return ConsolidateView(rows, document["manifests"], document["runs"], changed, aside, round(seconds, 3))


def build(archive: Archive) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Bytes of every ledger file by name, and the content of `ledger.json`. Raises `LedgerRefused`."""
    gathered = gather(archive)
    try:
        frames = _frames(archive, gathered)
    except LedgerRefused:
        raise
    except LedgerkitError as error:
        raise LedgerRefused(f"the ledgers were not rebuilt: {error.message}", error.hint or "The former ledgers stay.") from error
    files: dict[str, bytes] = {}
    tables: dict[str, Any] = {}
    for name, frame in frames.items():
        data = _parquet(frame)
        files[f"{name}.parquet"] = data
        tables[name] = {
            "file": f"{name}.parquet",
            "rows": frame.height,
            "bytes": len(data),
            "sha256": sha256_hex(data),
            "schema": f"ledger.{name}.v1.schema.json",
        }
    document = {
        "schema_version": "ledger.v1",
        "log_size": None,
        "log_root": None,
        "manifests": len(gathered.plates),
        "runs": len(gathered.runs),
        "records_sha256": gathered.records_sha256,
        "versions": {"ledgerkit": VERSION, "polars": metadata.version("polars"), "pyarrow": metadata.version("pyarrow")},
        "tables": tables,
    }
    files[LEDGER_FILE] = canonical_bytes(document) + b"\n"
    return files, document


def _frames(archive: Archive, gathered: Gathered) -> dict[str, pl.DataFrame]:
    import polars as pl

    found: dict[str, pa.Table] = {name: result_table(archive, gathered, name) for name in RESULTS}
    found |= {
        "plates": plates_table(gathered, found["headers"]),
        "runs": runs_table(gathered),
        "artifacts": artifacts_table(gathered),
        "gates": gates_table(gathered),
    }
    frames: dict[str, pl.DataFrame] = {}
    for name in schema.TABLES:
        schema.check_table(name, found[name], f"ledger {name}")
        frame = pl.from_arrow(found.pop(name))
        assert isinstance(frame, pl.DataFrame)
        frames[name] = frame
    frames["cluster_members"] = _with_subject_runs(frames)
    for name, frame in frames.items():
        key = schema.table(name)["x-key"]
        frames[name] = frame.sort(key, nulls_last=False, maintain_order=True).rechunk()
        _check_key(name, frames[name], key)
    _check_references(frames)
    return frames


def _with_subject_runs(frames: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Members of clusters with the run that made their subject, taken from the vectors they cluster."""
    import polars as pl

    members = frames["cluster_members"]
    read = frames["artifacts"].filter(pl.col("direction") == "input", pl.col("role") == "table:embeddings").select("run_id", pl.col("made_by").alias("embed_run"))
    vectors = frames["embeddings"].select("subject_id", pl.col("run_id").alias("embed_run"), pl.col("subject_run_id").alias("maker"))
    known = read.join(vectors, on="embed_run").select("run_id", "subject_id", "maker").unique(["run_id", "subject_id"])
    joined = members.join(known, on=["run_id", "subject_id"], how="left", maintain_order="left")
    return joined.with_columns(pl.col("maker").alias("subject_run_id")).select(members.columns)


def _check_key(name: str, frame: pl.DataFrame, key: list[str]) -> None:
    twice = frame.select(key).is_duplicated()
    if twice.any():
        row = frame.filter(twice).select(key).row(0, named=True)
        raise LedgerRefused(
            f"ledger {name}: the key {', '.join(key)} is not unique: {row} stands {int(twice.sum())} times",
            "Two records say they are the same: the former ledgers stay.",
        )


def _check_references(frames: dict[str, pl.DataFrame]) -> None:
    import polars as pl

    for name, frame in frames.items():
        for column, target in schema.table(name).get("x-references", {}).items():
            table, _, wanted = target.partition(".")
            given = frame.select(pl.col(column).alias(wanted)).drop_nulls().unique()
            lost = given.join(frames[table].select(wanted), on=wanted, how="anti")
            if lost.height:
                raise LedgerRefused(
                    f"ledger {name}: {column} {lost[wanted].sort()[0]} is not in {target}",
                    "A record names something that the repository does not hold: restore it from a replica. The former ledgers stay.",
                )


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=3, statistics=True, row_group_size=ROW_GROUP)
    return buffer.getvalue()


def differing(archive: Archive, files: dict[str, bytes]) -> list[str]:
    """Names of ledger files whose bytes on disk are not these, sorted."""
    found = []
    for name, data in sorted(files.items()):
        path = f"{layout.LEDGER}/{name}"
        if archive.tree.size(path) != len(data) or archive.tree.digest(path).sha256 != sha256_hex(data):
            found.append(name)
    return found


def _stage(archive: Archive, job: Job, files: dict[str, bytes]) -> str:
    staged = job.item("ledger")
    archive.store.make_folder(staged)
    for name, data in files.items():
        archive.store.write_new(f"{staged}/{name}", data, 0o644)
    return staged


def _replace(archive: Archive, job: Job, staged: str, files: dict[str, bytes]) -> str | None:
    """Exchange the ledgers; where files that are not ours were moved to."""
    former = archive.store.exchange(staged, layout.LEDGER)
    if former is None:
        return None
    ours = {f"{name}.parquet" for name in schema.TABLES} | {LEDGER_FILE}
    known = _former_digests(archive, former)
    foreign = [path for path in archive.tree.walk(former) if path.removeprefix(f"{former}/") not in ours or known.get(path.rpartition("/")[2], True) is False]
    if not foreign:
        return None
    aside = f"{layout.WORKING}/aside/{job.job_id}"
    for path in foreign:
        archive.store.move(path, f"{aside}/{path.removeprefix(f'{former}/')}")
    return aside


def _former_digests(archive: Archive, former: str) -> dict[str, bool]:
    """For each file of the former ledgers whether its bytes are those that their ledger.json lists.

    Without a ledger.json of ours nothing there is ours.
    """
    import json

    try:
        document = json.loads(archive.tree.read(f"{former}/{LEDGER_FILE}"))
        listed = {table["file"]: table["sha256"] for table in document["tables"].values()}
    except (LedgerkitError, ValueError, KeyError, TypeError, AttributeError):
        return {f"{name}.parquet": False for name in schema.TABLES} | {LEDGER_FILE: False}
    return {name: archive.tree.digest(f"{former}/{name}").sha256 == digest for name, digest in listed.items() if archive.tree.exists(f"{former}/{name}")}
