"""What a repository holds, made comparable: is it exactly the old state, or exactly the new one?

`raw` is every byte, for what must not change at all. `state` is the same without what must differ
between two executions of the same work: run ids become the task ids in them, digests of files that
we know become the names of those files, and times, job ids and resources are left out. The log is a
list of what it logs. Tiles and roots are left to `verify`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledgerkit import layout
from ledgerkit.merkle import parse_checkpoint, unpack_entries

Raw = dict[str, tuple[int, str]]
"""Mode and SHA-256 by path."""
_RUN_ID = re.compile(r"run-[0-9]{8}-[0-9]{6}Z-([0-9a-f]{12})")
_JOB_ID = re.compile(r"job-[0-9]{8}-[0-9]{6}Z-[0-9a-f]{8}|(?<=-)[0-9a-f]{8}\b")
_HEX = re.compile(r"[0-9a-f]{64}")
_LEFT_OUT = frozenset({
    "job_id", "started_at", "ended_at", "created_at", "resources", "repository_id", "xxh3_128",
    "bytes",
})  # fmt: skip
_TEXT = (".json", ".jsonl", ".sha256")
_PASSING = frozenset({"recover"})
"""Events that say what was done about a crash: no part of the work itself."""


@dataclass(frozen=True)
class State:
    """`units`: what a commit adds as a whole, by name: a run, a plate's files, a document.

    `log`: what is logged, in order, runs by the names they have among the units.
    """

    units: dict[str, Any]
    log: tuple[str, ...]

    @property
    def tolerant(self) -> State:
        """Without failed runs, and what several seal runs list as one: for after an error.

        A file that could not be read is a failed item of its seal run, and sealed by the next.
        """
        kept: dict[str, Any] = {}
        sealed: dict[str, Any] = {}
        seals = [
            name.rpartition("/")[2]
            for name, content in self.units.items()
            if content.get("run.json", {}).get("operation") == "seal"
        ]
        for name, content in self.units.items():
            record = content.get("run.json", {})
            if record.get("operation") == "seal":
                sealed |= {one["path"]: one["sha256"] for one in record.get("outputs", [])}
            elif record.get("status") != "failed":
                kept[name] = _with_one_name_for(seals, content)
        log = [one for one in self.log if one in kept or one.startswith("manifest ")]
        return State({**kept, "sealed": sealed}, tuple(sorted(log)))


def raw(root: Path) -> Raw:
    """Everything below a root but working files and views: path, then mode and digest."""
    found: Raw = {}
    for folder, folders, files in os.walk(root):
        if Path(folder) == root:
            folders[:] = [one for one in folders if one not in (layout.WORKING, layout.LEDGER)]
        for name in files:
            path = Path(folder) / name
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(root))] = (stat.S_IMODE(path.stat().st_mode), digest)
    return found


def evidence(found: Raw) -> Raw:
    """What no later commit may change: all but the checkpoint and partial tiles, which grow."""
    return {
        path: one
        for path, one in found.items()
        if path != layout.CHECKPOINT and ".p/" not in path and ".p" not in path.split("/")
    }


def fingerprint(root: Path) -> str:
    """A digest over all bytes, names and modes, working files included; jobs by any name are the same."""
    hasher = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        name = _JOB_ID.sub("job", str(path.relative_to(root)))
        hasher.update(f"{name} {stat.S_IMODE(path.stat().st_mode)}\n".encode())
        if path.is_file() and name != layout.LOCK:
            hasher.update(hashlib.sha256(path.read_bytes()).digest())
    return hasher.hexdigest()


def ledger(root: Path) -> str:
    """A digest over all that lies in `ledger/`."""
    hasher = hashlib.sha256()
    for path in sorted((root / layout.LEDGER).rglob("*")):
        if path.is_file():
            hasher.update(f"{path.name}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
    return hasher.hexdigest()


def state(root: Path) -> State:
    """The comparable state of the repository at `root`."""
    found = {path: digest for path, (_, digest) in raw(root).items() if not path.startswith("log/")}
    names = _names(root, found)
    known = {digest: _named(path, names) for path, digest in found.items()}
    units: dict[str, Any] = {}
    for path in found:
        whole = _named(path, names)
        unit, below = _unit(whole)
        units.setdefault(unit, {})[below] = (
            found[path]
            if path.startswith(f"{layout.SCHEMAS}/")
            else _content(root / path, names, known)
        )
    passing = {
        name
        for name, content in units.items()
        if content.get("run.json", {}).get("operation") in _PASSING
    }
    log = tuple(one for one in _log(root, names) if one not in passing)
    return State({name: units[name] for name in units if name not in passing}, log)


def stale_partials(root: Path) -> list[str]:
    """Partial tiles that lie beside the full tile which supersedes them."""
    return [
        str(path.relative_to(root))
        for path in (root / layout.LOG).rglob("*.p")
        if path.with_name(path.name.removesuffix(".p")).is_file()
    ]


def _names(root: Path, found: Raw | dict[str, str]) -> dict[str, str]:
    """A name for each run folder without its time: subject and task, numbered where several are."""
    folders: dict[str, list[str]] = {}
    for path in sorted(found):
        if path.endswith(f"/{layout.RECORD}"):
            folder = path.rpartition("/")[0]
            status = json.loads((root / path).read_bytes()).get("status")
            kind = "failed" if status == "failed" else "run"
            named = _RUN_ID.sub(rf"{kind}-\1", folder)
            folders.setdefault(named, []).append(folder)
    return {
        folder.rpartition("/")[2]: f"{named.rpartition('/')[2]}#{place}"
        for named, same in folders.items()
        for place, folder in enumerate(same)
    }


def _named(text: str, names: dict[str, str]) -> str:
    return _RUN_ID.sub(lambda match: names.get(match[0], f"unknown-{match[1]}"), text)


def _unit(path: str) -> tuple[str, str]:
    """The run, cache or plate that a path belongs to, and the path below it."""
    parts = path.split("/")
    size = len(parts) if len(parts) < 3 else 2
    if parts[0] == layout.PLATES and len(parts) > 3 and parts[2] in (layout.RUNS, layout.CACHE):
        size = 4
    if len(parts) <= 2 or parts[0] == layout.SCHEMAS:
        return path, ""
    return "/".join(parts[:size]), "/".join(parts[size:])


def _content(path: Path, names: dict[str, str], known: dict[str, str]) -> Any:
    data = path.read_bytes()
    if path.suffix not in _TEXT:
        return hashlib.sha256(data).hexdigest()
    text = _HEX.sub(
        lambda match: f"digest of {known[match[0]]}" if match[0] in known else match[0],
        _named(data.decode(), names),
    )
    if path.suffix == ".json":
        return _without(json.loads(text))
    if path.suffix == ".jsonl":
        return [_without(json.loads(line)) for line in text.splitlines()]
    return text


def _with_one_name_for(seals: list[str], content: Any) -> Any:
    text = json.dumps(content)
    for name in seals:
        text = text.replace(f'"{name}"', '"a seal"')
    return json.loads(text)


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without(one) for name, one in value.items() if name not in _LEFT_OUT}
    if isinstance(value, list):
        return [_without(one) for one in value]
    return value


def _log(root: Path, names: dict[str, str]) -> list[str]:
    """What the log lists, from its bundles of entries up to the size of its checkpoint."""
    checkpoint = root / layout.CHECKPOINT
    if not checkpoint.is_file():
        return []
    size = parse_checkpoint(checkpoint.read_text()).size
    from ledgerkit.merkle import TILE_WIDTH, tile_path

    found: list[str] = []
    for index in range(-(-size // TILE_WIDTH)):
        width = min(TILE_WIDTH, size - index * TILE_WIDTH)
        bundle = (root / layout.LOG / tile_path("entries", index, width)).read_bytes()
        for data in unpack_entries(bundle):
            entry = json.loads(data)
            folder = entry["path"].rpartition("/")[0]
            prefix = "" if entry["kind"] == "run" else "manifest "
            found.append(f"{prefix}{_named(folder, names)}")
    return found
