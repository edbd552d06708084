"""One way to spoil a good repository for every code that verification can find: the bad fixtures.

Each is a function of the root of a repository of three plates with header runs and ledgers, named
by the code that it must bring about, and says whose finding it is.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from ledgerkit.canonical import canonical_bytes, sha256_hex
from ledgerkit.log import Entry, Log
from ledgerkit.reading import Tree
from ledgerkit.testing.relog import relog, write_log

Spoil = Callable[[Path], str]
"""Spoils the repository; a part of the subject that the finding must have."""


def plate(root: Path, number: int = 1) -> Path:
    return root / "plates_structured" / f"plate-{number:03d}"


def run_of(root: Path, number: int = 1) -> Path:
    (found,) = (plate(root, number) / "runs").iterdir()
    return found


def source_of(root: Path, number: int = 1) -> Path:
    (found,) = (plate(root, number) / "source").iterdir()
    return found


def seal_of(root: Path, digest: str) -> Path:
    """The seal run that lists a digest."""
    return next(
        path.parent for path in sorted(root.glob("runs/*/run.json")) if digest in path.read_text()
    )


def unlock(path: Path) -> None:
    for one in (path, *path.parents[:3]):
        if one.exists() and not one.is_symlink():
            one.chmod(stat.S_IMODE(one.stat().st_mode) | stat.S_IWUSR)


def spoil(path: Path, data: bytes | None) -> Path:
    """Other bytes in the place of a file's, or no file."""
    unlock(path)
    if data is None:
        path.unlink()
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return path


def remove(path: Path) -> Path:
    """A folder and all in it, gone."""
    for one in (path.parent, path, *path.rglob("*")):
        if one.is_dir() and not one.is_symlink():
            one.chmod(0o755)
    shutil.rmtree(path)
    return path


def change_record(run: Path, changes: dict[str, object]) -> None:
    """Other fields in a record, its checksum and the log made to fit: as a keeper could."""
    data = canonical_bytes(json.loads((run / "run.json").read_bytes()) | changes)
    former = sha256_hex((run / "run.json").read_bytes())
    sums = (run / "run.sha256").read_text().replace(former, sha256_hex(data))
    spoil(run / "run.json", data)
    spoil(run / "run.sha256", sums.encode())
    root = run.parents[1]
    relog(root.parents[1] if root.parent.name == "plates_structured" else root)


def with_log_entries(root: Path, keep: Callable[[Entry], bool]) -> Path:
    """A log of only some of its entries."""
    log = Log(Tree(root))
    head = log.checkpoint()
    assert head is not None
    write_log(root, head.origin, [entry for entry in log.entries() if keep(entry)])
    return root


def planted_run(root: Path) -> str:
    run = run_of(root)
    name = f"run-20300101-000000Z-{run.name[-12:]}"
    unlock(run)
    shutil.copytree(run, run.with_name(name))
    change = json.loads((run.with_name(name) / "run.json").read_bytes())
    data = canonical_bytes(change | {"run_id": name})
    spoil(run.with_name(name) / "run.json", data)
    return name


def cache_missing(root: Path) -> str:
    run = run_of(root)
    record = json.loads((run / "run.json").read_bytes())
    path = f"plates_structured/plate-001/cache/{run.name}/normal.png"
    change_record(run, {"outputs": [record["outputs"][0] | {"path": path}, *record["outputs"]]})
    return f"cache/{run.name}"


def pending(root: Path) -> str:
    spoil(root / ".ledgerkit" / "intent.json", b'{"job_id":"job-x","log":null,"moves":[]}')
    return ".ledgerkit/intent.json"


def link(path: Path, root: Path) -> str:
    unlock(path)
    path.rename(root.parent / "elsewhere")
    path.symlink_to(root.parent / "elsewhere")
    return path.name


def deep(root: Path) -> str:
    os.makedirs(root / "schemas" / "/".join(["x"] * 80))
    return "schemas/x/x"


def manifest(root: Path, **changes: object) -> str:
    """Another manifest, its seal and the log made to fit."""
    path = plate(root) / "manifest.json"
    former = path.read_bytes()
    data = canonical_bytes(json.loads(former) | changes)
    spoil(path, data)
    seal = seal_of(root, sha256_hex(former))
    record = json.loads((seal / "run.json").read_bytes())
    for output in record["outputs"]:
        if output["sha256"] == sha256_hex(former):
            output |= {"bytes": len(data), "sha256": sha256_hex(data)}
    change_record(seal, {"outputs": record["outputs"]})
    return "plate-001/manifest.json"


def then(deed: object, subject: str) -> str:
    """The subject, once the deed is done."""
    return subject


def bigger_log(root: Path) -> str:
    path = root / "log" / "checkpoint"
    origin, size, head, _ = path.read_text().split("\n")
    path.write_text(f"{origin}\n{int(size) * 1000}\n{head}\n")
    return "log/checkpoint"


BAD: dict[str, Spoil] = {
    "CACHE_MISSING": cache_missing,
    "COMMIT_PENDING": pending,
    "DIGEST_MISMATCH": lambda root: then(
        spoil(source_of(root), b"x" * source_of(root).stat().st_size), source_of(root).name
    ),
    "LEDGER_FOREIGN": lambda root: then(spoil(root / "ledger" / "x", b"y"), "ledger/x"),
    "LEDGER_INVALID": lambda root: then(
        spoil(root / "ledger" / "plates.parquet", None), "ledger/plates.parquet"
    ),
    "LINK_FOUND": lambda root: link(run_of(root) / "outputs" / "headers.jsonl", root),
    "LOG_INVALID": bigger_log,
    "LOG_MISSING": lambda root: then(remove(root / "log"), "log"),
    "MANIFEST_IDENTITY": lambda root: manifest(root, plate_id="plate-007"),
    "MANIFEST_INVALID": lambda root: manifest(root, plate_number="one"),
    "MANIFEST_MISSING": lambda root: then(spoil(plate(root) / "manifest.json", None), "plate-001"),
    "MANIFEST_UNLOGGED": lambda root: then(
        with_log_entries(root, lambda entry: not entry.path.endswith("plate-001/manifest.json")),
        "plate-001/manifest.json",
    ),
    "OUTPUT_MISSING": lambda root: then(spoil(source_of(root), None), "plate-001/source"),
    "PATH_UNREADABLE": deep,
    "PLATE_ID_INVALID": lambda root: then(
        spoil(root / "plates_structured" / "plate-1" / "x", b""), "plates_structured/plate-1"
    ),
    "PLATE_MISSING": lambda root: then(remove(plate(root)), "plate-001"),
    "RUN_CHECKSUM_INVALID": lambda root: then(
        spoil(
            run_of(root) / "run.sha256",
            (run_of(root) / "run.sha256").read_bytes().split(b"\n")[0] + b"\n",
        ),
        "run.sha256",
    ),
    "RUN_ID_INVALID": lambda root: then(
        spoil(plate(root) / "runs" / "mine" / "x", b""), "runs/mine"
    ),
    "RUN_INVALID": lambda root: then(spoil(run_of(root) / "run.sha256", b"none\n"), "run.sha256"),
    "RUN_MISSING": lambda root: then(remove(run_of(root)), "plate-001/runs/run-"),
    "SIZE_MISMATCH": lambda root: then(spoil(source_of(root), b"short"), source_of(root).name),
    "SOURCE_CHECKSUM_INVALID": lambda root: then(
        spoil(unsealed(root) / "source.sha256", b"none"), "plate-009/source.sha256"
    ),
    "SOURCE_COUNT": lambda root: then(spoil(source_of(root).parent / "b.jpg", b"2"), "plate-001"),
    "UNLISTED_FILE": lambda root: then(
        spoil(plate(root) / "runs" / run_of(root).name / "outputs" / "more", b"x"), "outputs/more"
    ),
    "UNSEALED_RUN": planted_run,
}
"""Spoilers by code. `ROLLED_BACK` and `CHECKPOINT_DISAGREES` need a checkpoint: see `AGAINST`."""


def unsealed(root: Path) -> Path:
    """A plate that nobody has sealed yet."""
    folder = plate(root, 9)
    (folder / "source").mkdir(parents=True)
    (folder / "source" / "a.jpg").write_bytes(b"not looked at")
    fields = {"plate_id": "plate-009", "plate_number": 9, "title": "Nine", "slug": "nine"}
    (folder / "manifest.json").write_text(json.dumps(fields | {"source_image": "a.jpg"}))
    return folder


def checkpoint(root: Path, size: int | None = None, head: bytes | None = None) -> str:
    """A checkpoint of this log, or of another one."""
    origin, had, root_hash, _ = (root / "log" / "checkpoint").read_text().split("\n")
    told = root_hash if head is None else base64.b64encode(head).decode()
    return f"{origin}\n{had if size is None else size}\n{told}\n"


AGAINST: dict[str, Callable[[Path], str]] = {
    "ROLLED_BACK": lambda root: checkpoint(root, 1000),
    "CHECKPOINT_DISAGREES": lambda root: checkpoint(root, 3, b"x" * 32),
}
"""Checkpoints that a good repository does not extend, by the code of the finding."""
