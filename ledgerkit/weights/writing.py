"""The store of models, written: stage, put blobs and folders in place, commit a document, sweep.

A model is added when its document has its name, which is the last step, and gone when that name is
gone, which is the first. Everything before the one and after the other is flushed or swept by
whoever holds the lock next, so a crash leaves a model whole or absent. Blobs are never changed; one
whose bytes are wrong is replaced as a whole by the right ones.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ledgerkit.canonical import READ_SIZE, Hasher
from ledgerkit.disk import FOLDER_MODE, disk_errors, fsync, lock_file, move_new, write_all
from ledgerkit.errors import CommitFailed, RepositoryBusy
from ledgerkit.weights import document
from ledgerkit.weights.document import ModelDocument
from ledgerkit.weights.store import ModelStore, sha256_of

_FILE_MODE = 0o444
_NO_HARD_LINKS = frozenset(
    {errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV}
)


@dataclass(frozen=True, slots=True)
class Staged:
    """A file that came in: its path in the model, size, digest, and where it waits.

    `waits` is None for what the store had already, its bytes compared.
    """

    path: str
    bytes: int
    sha256: str
    waits: Path | None


class StoreWriter:
    """Write access to a store, under its lock."""

    def __init__(self, store: ModelStore) -> None:
        self.store = store
        self.staging = store.root / "staging"
        self.partial = store.root / "partial"

    @contextlib.contextmanager
    def locked(self, wait: float) -> Iterator[None]:
        """The lock of the store; what a dead writer staged is swept. Raises `RepositoryBusy`."""
        self._make_folder(self.store.root)
        try:
            with lock_file(self.store.root / "lock", wait):
                self._clear_staging()
                try:
                    yield
                finally:
                    self._clear_staging()
        except RepositoryBusy as error:
            raise RepositoryBusy(
                f"another process is changing the store of models {self.store.root}", error.hint
            ) from error

    def _clear_staging(self) -> None:
        with disk_errors("staging"):
            _remove_tree(self.staging)

    def _make_folder(self, folder: Path) -> None:
        """The folder, made with its parents and flushed into them where it does not exist."""
        with disk_errors(folder.name):
            lacking = []
            while not folder.is_dir():
                lacking.append(folder)
                folder = folder.parent
            for one in reversed(lacking):
                one.mkdir()
                fsync(one.parent)

    def stage(self, path: str, stream: BinaryIO) -> Staged:
        """Copy what is left of `stream`, digested as it passes, flushed, read-only."""
        self._make_folder(self.staging)
        waits = self.staging / f"file-{len(os.listdir(self.staging)):06d}"
        hasher = Hasher()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with disk_errors(path):
            descriptor = os.open(waits, flags, 0o644)
            try:
                while chunk := stream.read(READ_SIZE):
                    write_all(descriptor, chunk)
                    hasher.update(chunk)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        digests = hasher.digests()
        return Staged(path, digests.bytes, digests.sha256, waits)

    def partial_file(self, key: str) -> Path:
        """Where a download grows, whoever began it."""
        self._make_folder(self.partial)
        return self.partial / key

    def put(self, staged: Staged) -> bool:
        """Give a staged file its place under its digest; whether the store lacked its bytes."""
        if staged.waits is None:
            return False
        final = self.store.blob(staged.sha256)
        self._make_folder(final.parent)
        lacked = not self.has(staged.sha256, staged.bytes)
        with disk_errors(staged.path):
            if lacked:
                os.replace(staged.waits, final)
            else:
                staged.waits.unlink(missing_ok=True)
            os.chmod(final, _FILE_MODE)
            self._flush_names(final.parent)
        return lacked

    def _flush_names(self, folder: Path) -> None:
        """The names in a folder are on the disk, and those on the way to it, whoever made them."""
        while folder != self.store.root:
            fsync(folder)
            folder = folder.parent
        fsync(folder)

    def has(self, sha256: str, size: int) -> bool:
        """Whether the store has these bytes; all of them are read."""
        blob = self.store.blob(sha256)
        try:
            status = os.lstat(blob)
            if not stat.S_ISREG(status.st_mode) or status.st_size != size:
                return False
            return sha256_of(blob) == sha256
        except FileNotFoundError:
            return False

    def put_folder(self, found: ModelDocument) -> bool:
        """Give a model its folder, unless it is there and right; whether it had to be made."""
        final = self.store.folder(found.name)
        if self._is_right(found):
            with disk_errors(f"folders/{found.name}"):
                self._flush_names(final.parent)
            return False
        staged = self.staging / "folder"
        self._make_folder(staged)
        with disk_errors(f"folders/{found.name}"):
            for file in found.files:
                self._link(self.store.blob(file.sha256), staged / file.path)
            for above, _, _ in os.walk(staged, topdown=False):
                fsync(Path(above))
        self._make_folder(final.parent)
        with disk_errors(f"folders/{found.name}"):
            if os.path.lexists(final):
                os.chmod(final, 0o755)  # a protected folder cannot be moved but by root
                os.rename(final, self.staging / "former")
            os.rename(staged, final)
            for above, _, _ in os.walk(final, topdown=False):
                os.chmod(above, FOLDER_MODE)
            self._flush_names(final.parent)
        return True

    def _is_right(self, found: ModelDocument) -> bool:
        """Whether a model's folder holds its files and no other, and they are the store's blobs."""
        if next(self.store.problems(found, full=False), None) is not None:
            return False
        folder = self.store.folder(found.name)
        try:
            return all(
                os.path.samefile(folder / file.path, self.store.blob(file.sha256))
                for file in found.files
            )
        except OSError:
            return False

    def _link(self, blob: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(blob, target)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            # The folder moves to another one just as deep, so the way to the blob stays the same.
            os.symlink(os.path.relpath(blob, target.parent), target)

    def commit(self, found: ModelDocument, *, over: bool = False) -> None:
        """Give the document its name: from then on the model is in the store.

        `over` puts it in the place of the former document of the same files.
        """
        data = document.encode(found)
        document.decode(data, found.name, f"new document of {found.name}")
        self._make_folder(self.staging)
        self._make_folder(self.store.root / "models")
        staged = self.staging / "document"
        with disk_errors(f"models/{found.name}.json"):
            descriptor = os.open(
                staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE
            )
            try:
                write_all(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if over:
                os.replace(staged, self.store.root / "models" / f"{found.name}.json")
            else:
                self._move_new(f"models/{found.name}.json")
            self._flush_names(self.store.root / "models")

    def _move_new(self, target: str) -> None:
        root = os.open(self.store.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            move_new(root, "staging/document", target)
        finally:
            os.close(root)

    def take_away(self, name: str) -> None:
        """Remove the document, and then the folder. The blobs stay for `sweep`."""
        with disk_errors(f"models/{name}.json"):
            (self.store.root / "models" / f"{name}.json").unlink()
            fsync(self.store.root / "models")
        with disk_errors(f"folders/{name}"):
            _remove_tree(self.store.folder(name))

    def sweep(self) -> tuple[int, int]:
        """Remove blobs, folders and downloads that no model names: their number and bytes.

        Raises `InvalidRecord` before anything is removed when a document cannot be read, for nobody
        knows what it names.
        """
        unused = list(leftovers(self.store))
        freed = 0
        for path in unused:
            with disk_errors(path.name):
                if path.is_dir() and not path.is_symlink():
                    _remove_tree(path)
                else:
                    freed += path.lstat().st_size
                    path.unlink()
        return len(unused), freed


def leftovers(store: ModelStore) -> Iterator[Path]:
    """Blobs, folders and unfinished downloads that no model names, sorted. Raises `InvalidRecord`."""
    models = [store.show(name) for name in store.names()]
    named = {file.sha256 for found in models for file in found.files}
    yield from (path for path in _listed(store.root / "folders") if path.name not in store.names())
    for folder in _listed(store.root / "blobs" / "sha256"):
        yield from (path for path in _listed(folder) if path.name not in named)
    yield from _listed(store.root / "partial")


def _listed(folder: Path) -> Iterable[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return ()


def _remove_tree(folder: Path) -> None:
    """Remove a folder of ours with all below it, write protection or not; no link is followed."""
    if folder.is_symlink():
        raise CommitFailed(
            f"{folder.name} is a symbolic link: nothing is removed through links",
            "Replace it by the folder itself.",
        )
    if not folder.exists():
        return
    for above, _, _ in os.walk(folder):
        os.chmod(above, 0o755)
    shutil.rmtree(folder)
