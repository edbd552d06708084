"""Re-read a repository with its own eyes: every recorded byte, both ways. Changes nothing.

An independent witness: it shares no code with what writes records. It takes the digests that seals,
records, checksum files and `ledger.json` list, hashes what lies there, and looks for files that
nothing lists. What is not listed anywhere yet is counted as not checked, never as sound.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledgerkit import layout
from ledgerkit.canonical import canonical_bytes, parse_json
from ledgerkit.errors import LedgerkitError, MissingInput
from ledgerkit.findings import Finding, finding, sound
from ledgerkit.reading import Folder, Tree

Progress = Callable[[int, int], None]
LARGE_BYTES = 4 << 20
Wanted = tuple[int | None, str]
"""Recorded size, where one is, and SHA-256."""
_BROKEN = (LedgerkitError, OSError, KeyError, TypeError, AttributeError, ValueError, RecursionError)
"""What a document that is not what it should be can raise while it is read."""
_CHECKSUM = re.compile(r"([0-9a-f]{64}) [ *](?:\./)?([^\n]+)")


@dataclass(frozen=True)
class VerifyView:
    """What was read and found. `files` and `bytes` count what was hashed in full."""

    files: int
    bytes: int
    not_checked: int
    findings: list[Finding]
    sound: bool
    seconds: float


@dataclass
class _Expected:
    """Digests by path, as the repository itself lists them."""

    digests: dict[str, tuple[int | None, str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def add(self, path: str, size: int | None, digest: str) -> None:
        known = self.digests.get(path)
        if known is not None and known[1] != digest:
            self.findings.append(
                finding("DIGEST_MISMATCH", path, f"records list both {known[1]} and {digest}")
            )
        self.digests[path] = (known[0] if known and size is None else size, digest)


def verify(root: Path, *, workers: int = 2, progress: Progress | None = None) -> VerifyView:
    """Hash every recorded file and compare; look for files that nothing lists."""
    began = time.monotonic()
    tree = Tree(root)
    expected = _Expected()
    present = [*tree.walk(layout.PLATES), *tree.walk(layout.RUNS)]
    for folder in _run_folders(present):
        try:
            _expect_run(tree, folder, expected)
        except _BROKEN as error:
            expected.findings.append(finding("RUN_INVALID", folder, error))
    _expect_sources(tree, expected)
    _expect_ledgers(tree, expected)
    unlisted, not_checked = _unlisted(present, expected)
    findings = expected.findings + unlisted
    size = files = done = 0
    for results in _compare_all(tree, expected.digests, workers):
        for found, read in results:
            findings += [found] if found else []
            size += read or 0
            files += read is not None
        done += len(results)
        if progress:
            progress(done, len(expected.digests))
    return VerifyView(
        files, size, not_checked, findings, sound(findings), round(time.monotonic() - began, 3)
    )


def _run_folders(present: list[str]) -> list[str]:
    """Folders of runs, from the files that lie in them."""
    found = set()
    for path in present:
        parts = path.split("/")
        if parts[0] == layout.RUNS and len(parts) > 2:
            found.add("/".join(parts[:2]))
        elif len(parts) > 4 and parts[2] == layout.RUNS:
            found.add("/".join(parts[:4]))
    return sorted(found)


def _expect_run(tree: Tree, folder: str, expected: _Expected) -> None:
    """What a record and its checksum file list. Raises on anything that cannot be read."""
    data = tree.read(f"{folder}/{layout.RECORD}")
    record = parse_json(data, f"{folder}/{layout.RECORD}")
    if folder.rpartition("/")[2] != record["run_id"]:
        said = f"run.json says it is {record['run_id']}"
        expected.findings.append(finding("RUN_INVALID", folder, said))
    if canonical_bytes(record) != data:
        expected.findings.append(
            finding("RUN_INVALID", folder, "run.json is not in canonical form")
        )
    checksums = _checksums(tree.read(f"{folder}/{layout.RECORD_CHECKSUM}").decode())
    for name, digest in checksums.items():
        expected.add(layout.contained_path(f"{folder}/{name}"), None, digest)
    owed = [layout.RECORD]
    for listing in (record["inputs_listing"], record["outputs_listing"]):
        if listing is not None:
            path = layout.contained_path(f"{folder}/{listing['path']}")
            expected.add(path, listing["bytes"], listing["sha256"])
            owed.append(listing["path"])
    evicted = f"/{layout.CACHE}/"
    for output in _listed(tree, folder, record, "outputs"):
        path = layout.contained_path(output["path"])
        if path.startswith(f"{folder}/"):
            owed.append(path.removeprefix(f"{folder}/"))
        if evicted in path and not tree.exists(path):
            expected.findings.append(finding("CACHE_MISSING", folder, path))
        else:
            expected.add(path, output["bytes"], output["sha256"])
    for given in _listed(tree, folder, record, "inputs"):
        path = layout.contained_path(given["path"])
        if evicted not in path:
            expected.add(path, given["bytes"], given["sha256"])
    for name in owed:
        if name not in checksums:
            said = f"run.sha256 does not list {name}"
            expected.findings.append(finding("RUN_CHECKSUM_INVALID", folder, said))


def _checksums(text: str) -> dict[str, str]:
    """Digests by name from a file that `sha256sum -c` takes; `ValueError` for another line."""
    found = {}
    for line in text.removesuffix("\n").split("\n"):
        match = _CHECKSUM.fullmatch(line)
        if match is None:
            raise ValueError(f"{line[:80]!r} is no line of a checksum file")
        found[match[2]] = match[1]
    return found


def _listed(tree: Tree, folder: str, record: dict[str, Any], which: str) -> list[dict[str, Any]]:
    """Inputs or outputs of a record, from its listing where they stand there."""
    listing = record[f"{which}_listing"]
    if listing is None:
        inline: list[dict[str, Any]] = record[which]
        return inline
    path = f"{folder}/{layout.contained_path(listing['path'])}"
    lines = tree.read(path, max_bytes=1 << 32).splitlines()
    return [parse_json(line, path) for line in lines]


def _expect_sources(tree: Tree, expected: _Expected) -> None:
    """What `source.sha256` says of sources that no seal lists yet: all that adopted plates have."""
    for plate in tree.folders(layout.PLATES):
        folder = f"{layout.PLATES}/{plate}"
        path = f"{folder}/{layout.SOURCE_CHECKSUM}"
        sealed = any(
            f"{folder}/{layout.SOURCE}/{entry.name}" in expected.digests
            for entry in tree.entries(f"{folder}/{layout.SOURCE}")
        )
        if not layout.is_plate_id(plate) or sealed or not tree.exists(path):
            continue
        try:
            text = tree.read(path, max_bytes=1 << 16).decode("utf-8", "surrogateescape")
            for name, digest in _checksums(text).items():
                below = name if "/" in name else f"{layout.SOURCE}/{name}"
                expected.add(layout.contained_path(f"{folder}/{below}"), None, digest)
        except _BROKEN as error:
            expected.findings.append(finding("SOURCE_CHECKSUM_INVALID", path, error))


def _expect_ledgers(tree: Tree, expected: _Expected) -> None:
    path = f"{layout.LEDGER}/ledger.json"
    if not tree.size(path):
        return
    try:
        for table in parse_json(tree.read(path), path)["tables"].values():
            expected.add(
                f"{layout.LEDGER}/{layout.contained_path(table['file'])}",
                table["bytes"],
                table["sha256"],
            )
    except _BROKEN as error:
        expected.findings.append(finding("LEDGER_INVALID", path, error))


def _unlisted(present: list[str], expected: _Expected) -> tuple[list[Finding], int]:
    """Files in plates and runs that nothing lists; how many of them merely wait for their seal."""
    findings: list[Finding] = []
    waiting = 0
    for path in present:
        if path in expected.digests or path.endswith(f"/{layout.RECORD_CHECKSUM}"):
            continue
        parts = path.split("/")
        incoming = (layout.MANIFEST, layout.SOURCE_CHECKSUM, layout.SOURCE)
        if parts[0] == layout.PLATES and len(parts) > 2 and parts[2] in incoming:
            waiting += 1
        else:
            findings.append(finding("UNLISTED_FILE", path))
    return findings, waiting


def _compare_all(
    tree: Tree, digests: dict[str, Wanted], workers: int
) -> Iterator[list[tuple[Finding | None, int | None]]]:
    """Compare everything: large files in threads, small ones meanwhile here.

    Hashing lets other threads run, opening files does not: for small files, threads only get into
    each other's way (twice as slow as one after another when it was measured).
    """
    folders = _by_folder(digests)
    large = [one for one in folders if sum(size or 0 for _, (size, _) in one[1]) >= LARGE_BYTES]
    small = [one for one in folders if sum(size or 0 for _, (size, _) in one[1]) < LARGE_BYTES]
    with ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(_compare, tree, *one) for one in large]
        for one in small:
            yield _compare(tree, *one)
        for future in waiting:
            yield future.result()


def _by_folder(digests: dict[str, Wanted]) -> list[tuple[str, list[tuple[str, Wanted]]]]:
    """What is expected, folder by folder, so that each folder is opened once."""
    folders: dict[str, list[tuple[str, Wanted]]] = {}
    for path, wanted in sorted(digests.items()):
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, []).append((name, wanted))
    return sorted(folders.items())


def _compare(
    tree: Tree, folder: str, names: list[tuple[str, Wanted]]
) -> list[tuple[Finding | None, int | None]]:
    """For each file what is wrong with it, and how many bytes were read."""
    try:
        with tree.folder(folder) as opened:
            return [_compare_file(opened, name, *wanted) for name, wanted in names]
    except (LedgerkitError, OSError) as error:
        return [(_unreadable(_joined(folder, name), error), None) for name, _ in names]


def _compare_file(
    opened: Folder, name: str, size: int | None, digest: str
) -> tuple[Finding | None, int | None]:
    path = _joined(opened.path, name)
    try:
        found_size, found = opened.sha256(name)
    except (LedgerkitError, OSError) as error:
        return _unreadable(path, error), None
    if size is not None and found_size != size:
        said = f"{found_size} bytes, {size} are recorded"
        return finding("SIZE_MISMATCH", path, said), found_size
    if found != digest:
        said = f"recorded SHA-256 {digest}, found {found}"
        return finding("DIGEST_MISMATCH", path, said), found_size
    return None, found_size


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _unreadable(path: str, error: Exception) -> Finding:
    if not isinstance(error, MissingInput):
        return finding("DIGEST_MISMATCH", path, error)
    if path.startswith(f"{layout.LEDGER}/"):
        return finding("LEDGER_INVALID", path, "it is missing")
    return finding("OUTPUT_MISSING", path, path)
