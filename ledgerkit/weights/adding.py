"""Take a model into the store: from a folder, a file or a hub; whole or not at all.

The source is only read. Its files are copied with their digests taken on the way, then judged as
they lie in the store: what is checked is what is kept.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from msgspec import structs

from ledgerkit import software
from ledgerkit.canonical import sha256_hex
from ledgerkit.errors import MissingInput, UnsafePath, UsageError
from ledgerkit.services.hub import Hub, Snapshot, parse_id
from ledgerkit.weights import document, formats
from ledgerkit.weights.document import ModelDocument, ModelFile, Source
from ledgerkit.weights.selection import (
    CONFIG,
    PREPROCESSOR,
    PREPROCESSORS,
    LeftOut,
    loads,
    role,
    select,
)
from ledgerkit.weights.store import ModelStore
from ledgerkit.weights.writing import Staged, StoreWriter

ADDED, MENDED, LICENSED, UNCHANGED = "added", "mended", "licensed", "unchanged"
MAX_FILES = 10_000
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
Progress = Callable[[str, int, int], None]
"""Told the path that is being taken in, its bytes so far, and its bytes in all."""


@dataclass(frozen=True, slots=True)
class AddView:
    """What came of an `add`: added, mended (files were put back), licensed or unchanged."""

    outcome: str
    model: ModelDocument
    path: str


@dataclass(frozen=True, slots=True)
class _Gathered:
    """Files in staging, and what is known of where they come from. A revision of None is the digest."""

    source: Source
    id: str
    revision: str | None
    license: str | None
    files: list[Staged]
    left_out: list[LeftOut]


def add(
    store: ModelStore,
    name: str,
    origin: str,
    *,
    license: str | None = None,
    preprocessing: Path | None = None,
    wait: float = 60.0,
    hub: Callable[[], Hub] = Hub,
    progress: Progress | None = None,
) -> AddView:
    """Add a model under a name of its own; `origin` is a folder, a file, or HUB_ID@REVISION.

    `license` is what the model came under, where the hub does not say; `preprocessing` is a JSON file that becomes
    `preprocessor_config.json` where there is none. With the same content as before it is a no-op,
    but for files that are gone or changed in the store: they are put back, and for a licence where
    none was stated: the document has it from then on. Raises `UsageError` when
    the name is taken by other content, `UnsafePath` for links and unsafe names, `InvalidRecord` for
    damaged files, `HubRefused`, `DigestMismatch`, `CommitFailed`, `RepositoryBusy`.
    """
    document.check_name(name)
    local = Path(origin)
    remote = None if os.path.lexists(local) else parse_id(origin)
    if remote is None and not os.path.lexists(local):
        raise UsageError(
            f"{origin} is no file or folder here, and no model on a hub",
            "Give a path, or a hub's id with its revision: owner/model@main",
        )
    writer = StoreWriter(store)
    with writer.locked(wait):
        former = store.find(name)
        if remote is None:
            gathered = _gather_local(writer, local, progress)
        else:
            gathered = _gather_hub(writer, hub(), remote, former, progress)
        gathered = _with_preprocessing(writer, gathered, preprocessing)
        stated = license or (former.license if former else gathered.license)
        found = _described(writer, name, gathered, stated)
        if former is not None:
            licensed = structs.replace(former, license=former.license or found.license)
            if document.differences(licensed, found):
                _refuse_taken(name, document.differences(former, found))
            found = licensed
        return _kept(writer, found, gathered.files, former)


def _refuse_taken(name: str, changed: list[str]) -> None:
    more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
    raise UsageError(
        f"there is another model {name} already: {'; '.join(changed[:5])}{more}",
        f"Take another name, for records may pin it; or: ledgerkit models remove {name}",
    )


def _kept(
    writer: StoreWriter, found: ModelDocument, files: list[Staged], former: ModelDocument | None
) -> AddView:
    """Blobs, then the folder, then the document where it is another than `former`."""
    lacked = [staged for staged in files if writer.put(staged)]
    made = writer.put_folder(found)
    if found != former:
        writer.commit(found, over=former is not None)
    unchanged = UNCHANGED if found == former else LICENSED
    outcome = ADDED if former is None else MENDED if made or lacked else unchanged
    return AddView(outcome, found, str(writer.store.folder(found.name)))


def _gather_local(writer: StoreWriter, local: Path, progress: Progress | None) -> _Gathered:
    """Copy a folder's or a single file's content into staging."""
    if local.is_symlink():
        _refuse_link(local.name)
    name = local.resolve().name or "/"
    if not local.is_dir():
        kept, left = select([local.name], str(local))
        files = [_copied(writer, local, local.name, progress)]
        return _Gathered(Source("file", name), "", None, None, files, left)
    kept, left = select(_paths_below(local), str(local))
    files = [_copied(writer, local / path, path, progress) for path in kept]
    return _Gathered(Source("folder", name), "", None, None, files, left)


def _paths_below(folder: Path) -> Iterator[str]:
    """Paths of all files below a folder, and of hidden folders, which are not entered.

    Raises `UnsafePath` for a link, `UsageError` beyond `MAX_FILES`.
    """
    count = 0
    for above, folders, names in os.walk(folder):
        here = os.path.relpath(above, folder)
        prefix = "" if here == "." else f"{here}/"
        yield from (f"{prefix}{one}/" for one in folders if one.startswith("."))
        folders[:] = [one for one in folders if not one.startswith(".")]
        for name in (*folders, *names):
            if os.path.islink(os.path.join(above, name)) and not name.startswith("."):
                _refuse_link(f"{prefix}{name}")
        for name in names:
            count += 1
            if count > MAX_FILES:
                raise UsageError(
                    f"{folder} holds more than {MAX_FILES} files", "Name the folder of one model."
                )
            yield f"{prefix}{name}"


def _refuse_link(path: str) -> None:
    raise UnsafePath(
        f"{path} is a symbolic link: what it leads to may be anything",
        "Copy the folder with its links resolved (cp -rL) and add the copy.",
    )


def _copied(writer: StoreWriter, file: Path, path: str, progress: Progress | None) -> Staged:
    """One file into staging. Raises `UnsafePath` for what is no file, `MissingInput` if it changes."""
    with _opened(file, path) as (stream, size):
        staged = writer.stage(path, stream)
        if staged.bytes != size or os.fstat(stream.fileno()).st_size != size:
            raise MissingInput(
                f"{path} changed while it was read: {size} bytes, then {staged.bytes}",
                "Wait until whoever writes it is done, then give the command again.",
            )
    if progress is not None:
        progress(path, size, size)
    return staged


@contextmanager
def _opened(file: Path, path: str) -> Iterator[tuple[BinaryIO, int]]:
    """A regular file, never through a link at its end, never a pipe."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnsafePath(f"{path} is no file", "Leave it out of a copy, and add the copy.")
        yield stream, status.st_size


def _gather_hub(
    writer: StoreWriter,
    hub: Hub,
    remote: tuple[str, str],
    former: ModelDocument | None,
    progress: Progress | None,
) -> _Gathered:
    """Download what the store does not have of a hub's model, at the commit its revision names now."""
    snapshot = hub.snapshot(*remote)
    if former is not None and (former.id, former.revision) != (snapshot.id, snapshot.commit):
        _refuse_taken(
            former.name,
            [f"{former.id}@{former.revision} -> {snapshot.id}@{snapshot.commit}"],
        )
    kept, left = select(snapshot.paths, f"{snapshot.id}@{snapshot.commit}")
    files = [_downloaded(writer, hub, snapshot, path, progress) for path in kept]
    source = Source("hub", snapshot.id)
    return _Gathered(source, snapshot.id, snapshot.commit, snapshot.license, files, left)


def _downloaded(
    writer: StoreWriter, hub: Hub, snapshot: Snapshot, path: str, progress: Progress | None
) -> Staged:
    promised = hub.promise(snapshot, path)
    if promised.algorithm == "sha256" and writer.has(promised.digest, promised.bytes):
        return Staged(path, promised.bytes, promised.digest, None)
    told = None if progress is None else lambda done, total: progress(path, done, total)
    waits = writer.partial_file(sha256_hex(f"{promised.digest} {promised.bytes}".encode()))
    digests = hub.fetch(snapshot, path, promised, waits, told)
    return Staged(path, digests.bytes, digests.sha256, waits)


def _with_preprocessing(
    writer: StoreWriter, gathered: _Gathered, preprocessing: Path | None
) -> _Gathered:
    """The same with a declared preprocessor file."""
    if preprocessing is None:
        return gathered
    for staged in gathered.files:
        if staged.path in PREPROCESSORS:
            raise UsageError(
                f"the model has {staged.path}: its own preprocessing is never replaced",
                "Leave --preprocessing out.",
            )
    with _opened(preprocessing, str(preprocessing)) as (stream, _):
        declared = writer.stage(PREPROCESSOR, stream)
    files = sorted([*gathered.files, declared], key=lambda staged: staged.path)
    return replace(gathered, files=files)


def _described(
    writer: StoreWriter, name: str, gathered: _Gathered, license: str | None
) -> ModelDocument:
    """The document of what was gathered, every file of weights judged. Raises `InvalidRecord`."""
    files = []
    for staged in gathered.files:
        if loads(staged.path):
            with open(_where(writer, staged), "rb") as stream:
                formats.check(stream, staged.bytes, staged.path)
        files.append(
            ModelFile(
                staged.path,
                role(staged.path),
                staged.bytes,
                staged.sha256,
                loads(staged.path),
            )
        )
    by_path = {staged.path: _where(writer, staged) for staged in gathered.files}
    family, architecture, preprocessing = document.facts(
        _small(by_path, (CONFIG,)), _small(by_path, PREPROCESSORS), name
    )
    digest = document.digest(files)
    return ModelDocument(
        schema_version="model.v1",
        name=name,
        id=gathered.id or name,
        revision=gathered.revision or f"sha256:{digest}",
        source=gathered.source,
        license=license,
        family=family,
        architecture=architecture,
        preprocessing=preprocessing,
        sha256=digest,
        files=files,
        left_out=gathered.left_out,
        added_at=datetime.now(UTC).strftime(_TIME),
        software=software.AGENT,
    )


def _where(writer: StoreWriter, staged: Staged) -> Path:
    return staged.waits or writer.store.blob(staged.sha256)


def _small(by_path: dict[str, Path], names: tuple[str, ...]) -> bytes | None:
    """The bytes of the first of these files that is there, no more than a document may have."""
    for name in names:
        if name in by_path:
            with open(by_path[name], "rb") as stream:
                return stream.read(document.MAX_DOCUMENT_BYTES + 1)
    return None
