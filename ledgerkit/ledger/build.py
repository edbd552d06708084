"""Build all ledgers beside the former ones and put them in place in one step, or compare only.

polars sorts, checks keys and references and writes Parquet, always below staging and never under a
final name: its `write_parquet` truncates in place and does not flush.
"""

from __future__ import annotations

import base64
import io
import os
import time
from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ledgerkit import layout, schema
from ledgerkit.backends import run_all
from ledgerkit.canonical import canonical_bytes, sha256_hex
from ledgerkit.errors import LedgerkitError, LedgerRefused
from ledgerkit.jobs import Job
from ledgerkit.ledger.document import LEDGER_NAME, ledger_document
from ledgerkit.ledger.gather import LoggedPlate, Seals, gather_collection
from ledgerkit.ledger.share import Share, Tables, share_tables, tables_of
from ledgerkit.log import LogIndex
from ledgerkit.repository import Archive
from ledgerkit.sealing import seal_new
from ledgerkit.software import VERSION
from ledgerkit.views import ConsolidateView

if TYPE_CHECKING:
    import polars as pl

ROW_GROUP = 1 << 16
ATTEMPTS = 3
SHARES_A_WORKER = 4
WORTH_PROCESSES = 10_000
"""Records from which on starting processes costs less than it saves."""


def consolidate(archive: Archive, *, wait: float = 60.0) -> ConsolidateView:
    """Rebuild `ledger/` from the records. Raises `LedgerRefused`; the former ledgers stay."""
    began = time.monotonic()
    with archive.job(wait) as job:
        seal_new(archive, job)
        for attempt in range(ATTEMPTS):
            head = archive.log.checkpoint()
            files, document = build(archive)
            with archive.store.locked(wait):
                if archive.log.checkpoint() != head:
                    if attempt < ATTEMPTS - 1:
                        continue
                    files, document = build(archive)  # nobody can commit now
                changed = differing(archive, files)
                aside = _replace(archive, job, _stage(archive, job, files)) if changed else None
            return _view(document, changed, aside, time.monotonic() - began)
    raise LedgerRefused(
        "records were committed all the while the ledgers were built; the former ledgers stay",
        "Give the command again when the other writers are done.",
    )


def check(archive: Archive) -> ConsolidateView:
    """Compare `ledger/` with what a rebuild would give. Writes nothing."""
    began = time.monotonic()
    files, document = build(archive)
    return _view(document, differing(archive, files), None, time.monotonic() - began)


def _view(
    document: dict[str, Any], changed: list[str], aside: str | None, seconds: float
) -> ConsolidateView:
    rows = {name: table["rows"] for name, table in document["tables"].items()}
    return ConsolidateView(
        rows, document["manifests"], document["runs"], changed, aside, round(seconds, 3)
    )


def build(archive: Archive) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Bytes of each ledger file by name, and the content of `ledger.json`; or `LedgerRefused`."""
    try:
        index = archive.log.index()
        shares = list(_shares(archive, index))
        frames = _frames(shares)
    except LedgerRefused:
        raise
    except LedgerkitError as error:
        raise LedgerRefused(
            f"the ledgers were not rebuilt: {error.message}",
            error.hint or "The former ledgers stay. See what is wrong with: ledgerkit audit",
        ) from error
    digests = sorted(digest for share in shares for digest in share.digests)
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
        "log_size": index.size,
        "log_root": base64.b64encode(index.edge.root()).decode(),
        "manifests": sum(share.manifests for share in shares),
        "runs": sum(share.runs for share in shares),
        "records_sha256": sha256_hex("".join(digests).encode()),
        "versions": {
            "ledgerkit": VERSION,
            "polars": metadata.version("polars"),
            "pyarrow": metadata.version("pyarrow"),
        },
        "tables": tables,
    }
    files[LEDGER_NAME] = canonical_bytes(document) + b"\n"
    return files, document


def _shares(archive: Archive, index: LogIndex) -> Iterator[Tables]:
    """Tables of the collection, then of all plates in shares; in processes where that pays."""
    collection, seals = gather_collection(archive)
    yield tables_of(archive, collection)
    plates = index.plates()
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    workers = workers if index.count_runs() >= WORTH_PROCESSES else 1
    size = max(1, -(-len(plates) // (SHARES_A_WORKER * workers)))
    parts = [plates[start : start + size] for start in range(0, len(plates), size)]
    shares = [_share(archive, index, part, seals) for part in parts]
    found: dict[int, Tables] = {}
    for outcome in run_all(share_tables, shares, workers=workers):
        if outcome.error is not None:
            raise outcome.error
        found[outcome.index] = outcome.value or share_tables(shares[outcome.index])
    yield from (found[index] for index in sorted(found))


def _share(archive: Archive, index: LogIndex, plates: list[str], seals: Seals) -> Share:
    logged = {}
    for plate in plates:
        manifest = index.manifest(plate)
        assert manifest is not None
        logged[plate] = LoggedPlate(manifest, index.runs(plate))
    return Share(str(archive.root), logged, seals.of_plates(plates))


def _frames(shares: list[Tables]) -> dict[str, pl.DataFrame]:
    import polars as pl
    import pyarrow as pa

    frames: dict[str, pl.DataFrame] = {}
    for name in schema.TABLES:
        frame = pl.from_arrow(pa.concat_tables([share.tables.pop(name) for share in shares]))
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
    """Members of clusters with the run that made their subject, from the vectors they cluster."""
    import polars as pl

    members = frames["cluster_members"]
    read = (
        frames["artifacts"]
        .filter(pl.col("direction") == "input", pl.col("role") == "table:embeddings")
        .select("run_id", pl.col("made_by").alias("embed_run"))
    )
    vectors = frames["embeddings"].select(
        "subject_id", pl.col("run_id").alias("embed_run"), pl.col("subject_run_id").alias("maker")
    )
    known = (
        read.join(vectors, on="embed_run")
        .select("run_id", "subject_id", "maker")
        .unique(["run_id", "subject_id"])
    )
    joined = members.join(known, on=["run_id", "subject_id"], how="left", maintain_order="left")
    return joined.with_columns(pl.col("maker").alias("subject_run_id")).select(members.columns)


def _check_key(name: str, frame: pl.DataFrame, key: list[str]) -> None:
    if not frame.select(key).is_duplicated().any():
        return
    import polars as pl

    counted = frame.group_by(key).len("times").filter(pl.col("times") > 1).sort(key)
    *values, times = counted.row(0)
    named = ", ".join(f"{column} {value}" for column, value in zip(key, values, strict=True))
    raise LedgerRefused(
        f"ledger {name}: the key {', '.join(key)} is not unique: {named} stands {times} times",
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
                    "A record names something that the repository does not hold: restore it "
                    "from a replica. The former ledgers stay.",
                )


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(
        buffer, compression="zstd", compression_level=3, statistics=True, row_group_size=ROW_GROUP
    )
    return buffer.getvalue()


def differing(archive: Archive, files: dict[str, bytes]) -> list[str]:
    """Names of ledger files whose bytes on disk are not these, sorted."""
    found = []
    for name, data in sorted(files.items()):
        path = f"{layout.LEDGER}/{name}"
        if archive.tree.size(path) != len(data) or archive.tree.digest(path).sha256 != sha256_hex(
            data
        ):
            found.append(name)
    return found


def _stage(archive: Archive, job: Job, files: dict[str, bytes]) -> str:
    staged = job.item("ledger")
    archive.store.make_folder(staged)
    for name, data in files.items():
        archive.store.write_new(f"{staged}/{name}", data, 0o644)
    return staged


def _replace(archive: Archive, job: Job, staged: str) -> str | None:
    """Exchange the ledgers; where files that are not ours were moved to.

    They are moved before the exchange: what goes wrong then leaves them aside, never in the former
    folder, which is removed with the job.
    """
    known = _former_digests(archive)
    foreign = [path for path in archive.tree.walk(layout.LEDGER) if not known.get(path)]
    if layout.LEDGER not in archive.tree.folders() and archive.tree.exists(layout.LEDGER):
        foreign = [layout.LEDGER]
    aside = f"{layout.WORKING}/aside/{job.job_id}"
    for path in foreign:
        archive.store.move(path, f"{aside}/{path.removeprefix(f'{layout.LEDGER}/')}")
    archive.store.exchange(staged, layout.LEDGER)
    return aside if foreign else None


def _former_digests(archive: Archive) -> dict[str, bool]:
    """For each file of the present ledgers whether its bytes are those that ledger.json lists.

    Without a ledger.json of ours nothing there is ours.
    """
    document = ledger_document(archive.tree)
    if document is None:
        return {}
    found = {f"{layout.LEDGER}/{LEDGER_NAME}": True}
    for name, table in document["tables"].items():
        path = f"{layout.LEDGER}/{name}.parquet"
        if archive.tree.size(path) == table["bytes"]:
            found[path] = archive.tree.digest(path).sha256 == table["sha256"]
    return found
