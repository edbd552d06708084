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
from itertools import islice
from typing import TYPE_CHECKING, Any

from ledgerkit import layout
from ledgerkit.backends import run_all
from ledgerkit.canonical import canonical_bytes, sha256_hex
from ledgerkit.errors import LedgerkitError, LedgerRefused
from ledgerkit.jobs import Job
from ledgerkit.ledger.assemble import put_together
from ledgerkit.ledger.derive import Frames
from ledgerkit.ledger.document import LEDGER_CHECKSUM, LEDGER_NAME, ledger_document
from ledgerkit.ledger.former import Former, former_ledgers, versions
from ledgerkit.ledger.gather import LoggedPlate, gather_collection
from ledgerkit.ledger.share import Share, share_tables, tables_of
from ledgerkit.log import LogIndex, refuse_log_set_back
from ledgerkit.repository import Archive
from ledgerkit.sealing import seal_new
from ledgerkit.views import ConsolidateView

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

ROW_GROUP = 1 << 16
ATTEMPTS = 3
SHARES_A_WORKER = 4
WORTH_PROCESSES = 10_000
"""Records from which on starting processes costs less than it saves."""


def consolidate(
    archive: Archive, *, rebuild: bool = False, wait: float | None = None
) -> ConsolidateView:
    """Make `ledger/` say all that the log has. Raises `LedgerRefused`; the former ledgers stay.

    What the present ledgers hold already is taken from them where they are sound and of the same
    versions; with `rebuild` everything is read again. The bytes are the same.
    """
    began = time.monotonic()
    with archive.job(wait) as job:
        seal_new(archive, job)
        refuse_log_set_back(archive.tree, archive.log.index().size)
        for attempt in range(ATTEMPTS):
            head = archive.log.checkpoint()
            former = None if rebuild else former_ledgers(archive)
            files, document = build(archive, archive.log.index(), former)
            with archive.store.locked(job.wait):
                if archive.log.checkpoint() != head:
                    if attempt < ATTEMPTS - 1:
                        continue
                    files, document = build(archive, archive.log.index())  # nobody can commit now
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
    files, document = build(archive, archive.log.index())
    return _view(document, differing(archive, files), None, time.monotonic() - began)


def _view(
    document: dict[str, Any], changed: list[str], aside: str | None, seconds: float
) -> ConsolidateView:
    rows = {name: table["rows"] for name, table in document["tables"].items()}
    return ConsolidateView(
        rows, document["manifests"], document["runs"], changed, aside, round(seconds, 3)
    )


def build(
    archive: Archive, index: LogIndex, former: Former | None = None
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Bytes of each ledger file by name, and the content of `ledger.json`; or `LedgerRefused`.

    `index` says what the ledgers hold: the log as it is, or as it was. With `former` ledgers of a
    prefix of it only what came since is read; the bytes are the same.
    """
    frames, untouched = _put_together(archive, index, former)
    files: dict[str, bytes] = {}
    tables: dict[str, Any] = {}
    for name, frame in frames.items():
        file = f"{name}.parquet"
        files[file] = former.files[name] if former and name in untouched else parquet(name, frame)
        tables[name] = {
            "file": file,
            "rows": frame.height,
            "bytes": len(files[file]),
            "sha256": sha256_hex(files[file]),
            "schema": f"ledger.{name}.v1.schema.json",
        }
    document = {
        "schema_version": "ledger.v1",
        "log_size": index.size,
        "log_root": base64.b64encode(index.edge.root()).decode(),
        "manifests": frames["plates"].height,
        "runs": frames["runs"].height,
        "versions": versions(),
        "tables": tables,
    }
    files[LEDGER_NAME] = canonical_bytes(document) + b"\n"
    return files | {LEDGER_CHECKSUM: _checksums(files)}, document


def _checksums(files: dict[str, bytes]) -> bytes:
    """`ledger.sha256`: what `sha256sum -c` in `ledger/` compares."""
    return "".join(f"{sha256_hex(data)}  {name}\n" for name, data in sorted(files.items())).encode()


def build_frames(archive: Archive, index: LogIndex) -> Frames:
    """All tables at a moment of the log, not written anywhere. Raises `LedgerRefused`."""
    return _put_together(archive, index, None)[0]


def _put_together(
    archive: Archive, index: LogIndex, former: Former | None
) -> tuple[Frames, set[str]]:
    try:
        return put_together(list(_shares(archive, index, former)), former)
    except LedgerRefused:
        raise
    except LedgerkitError as error:
        raise LedgerRefused(
            f"the ledgers were not rebuilt: {error.message}",
            error.hint or "The former ledgers stay. See what is wrong with: ledgerkit audit",
        ) from error


def _shares(
    archive: Archive, index: LogIndex, former: Former | None
) -> Iterator[dict[str, pa.Table]]:
    """Tables of the collection, then of all plates in shares; in processes where that pays."""
    since = former.size if former else 0
    plates = {}
    for plate in index.plates():
        manifest = index.manifest(plate)
        assert manifest is not None
        # Of a plate that is new to the ledgers all runs are: they may be older than its manifest.
        first = 0 if manifest.index >= since else since
        runs = [logged for logged in index.runs(plate) if logged.index >= first]
        if runs or manifest.index >= since:
            plates[plate] = LoggedPlate(manifest, runs)
    known = former.seals(list(plates)) if former else {}
    listed = [one for one in index.runs(layout.COLLECTION) if one.index >= since]
    collection, seals = gather_collection(archive, listed, known)
    yield tables_of(archive, collection)
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    workers = workers if index.size - since >= WORTH_PROCESSES else 1
    parts = SHARES_A_WORKER * workers if workers > 1 else 1
    size = max(1, -(-len(plates) // parts))
    shares = []
    for start in range(0, len(plates), size):
        part = dict(islice(plates.items(), start, start + size))
        shares.append(Share(str(archive.root), part, seals.of_plates(list(part)), since))
    found: dict[int, dict[str, pa.Table]] = {}
    for outcome in run_all(share_tables, shares, workers=workers):
        if outcome.error is not None:
            raise outcome.error
        found[outcome.index] = outcome.value or share_tables(shares[outcome.index])
    yield from (found[index] for index in sorted(found))


def parquet(name: str, frame: pl.DataFrame) -> bytes:
    """A table as the file that stands in `ledger/`.

    Vectors are not compressed: it would save about a tenth, and reading them would take twice as long.
    """
    buffer = io.BytesIO()
    frame.write_parquet(
        buffer,
        compression="uncompressed" if name == "embeddings" else "zstd",
        compression_level=None if name == "embeddings" else 1,
        statistics=True,
        row_group_size=ROW_GROUP,
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
    found = {f"{layout.LEDGER}/{name}": True for name in (LEDGER_NAME, LEDGER_CHECKSUM)}
    for name, table in document["tables"].items():
        path = f"{layout.LEDGER}/{name}.parquet"
        if archive.tree.size(path) == table["bytes"]:
            found[path] = archive.tree.digest(path).sha256 == table["sha256"]
    return found
