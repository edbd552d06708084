"""The only way in: files below the repository's root, opened without following links, within limits.

Every element of a path is opened relative to the folder before it with `O_NOFOLLOW`, so neither a
link nor a renamed folder can lead out of the root. Nothing here opens a file for writing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ledgerkit.canonical import Digests, digest_stream
from ledgerkit.errors import DigestMismatch, LedgerkitError, LimitExceeded, MissingInput, UnsafePath
from ledgerkit.held import (
    MAX_RECORD_BYTES,
    OPEN_FILE,
    OPEN_FOLDER,
    Folder,
    close_read,
    explained,
    read_all,
    telling,
)
from ledgerkit.layout import contained_path, name_key


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a folder, as it lies: never followed when it is a link."""

    name: str
    is_folder: bool
    is_file: bool
    is_link: bool = False

    @property
    def kind(self) -> str:
        return "folder" if self.is_folder else "file" if self.is_file else "neither file nor folder"

    @property
    def is_special(self) -> bool:
        """Whether it is a pipe, a socket or a device: opening one may wait for ever."""
        return not (self.is_folder or self.is_file or self.is_link)


class Tree:
    """A folder and everything below it, for reading."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def _open_folder(self, path: str, wanted: str | None = None) -> int:
        """A handle on the folder at `path`; messages name what is `wanted` in it."""
        parts = contained_path(path).split("/") if path else []
        handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                try:
                    below = os.open(part, OPEN_FOLDER, dir_fd=handle)
                except NotADirectoryError as error:  # what Linux says of a link here
                    if stat.S_ISLNK(os.stat(part, dir_fd=handle, follow_symlinks=False).st_mode):
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
                    raise
                close_read(handle)
                handle = below
        except OSError as error:
            close_read(handle)
            raise explained(error, wanted or path) from error
        return handle

    def open(self, path: str) -> BinaryIO:
        """The regular file at `path`, for reading. Raises `MissingInput`, `UnsafePath`."""
        folder, _, name = contained_path(path).rpartition("/")
        handle = self._open_folder(folder, path)
        try:
            descriptor = os.open(name, OPEN_FILE, dir_fd=handle)
        except OSError as error:
            raise explained(error, path) from error
        finally:
            close_read(handle)
        with telling(path):
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                close_read(descriptor)
                raise UnsafePath(f"not a regular file: {path}")
            return open(path, "rb", opener=lambda *_: descriptor)  # libraries ask files for a name

    def read(self, path: str, max_bytes: int = MAX_RECORD_BYTES) -> bytes:
        """All bytes of a small file. Raises `LimitExceeded` beyond `max_bytes`."""
        with telling(path), self.open(path) as file:
            data = file.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise LimitExceeded(f"{path} is larger than max_bytes = {max_bytes}")
        return data

    def read_checked(self, path: str, sha256: str) -> bytes:
        """All bytes of a file whose digest is known. Raises `DigestMismatch`."""
        from ledgerkit.canonical import sha256_hex

        data = self.read(path, max_bytes=1 << 32)
        found = sha256_hex(data)
        if found != sha256:
            raise DigestMismatch(
                f"{path}: recorded SHA-256 {sha256}, found {found}",
                "The file was changed after it was recorded: restore it from a replica.",
            )
        return data

    def digest(self, path: str) -> Digests:
        """Size and digests of the file at `path`, read once."""
        with telling(path), self.open(path) as file:
            return digest_stream(file)

    def read_each(
        self, folder: str, names: list[str], file: str, max_bytes: int = MAX_RECORD_BYTES
    ) -> Iterator[tuple[str, bytes]]:
        """`folder/<name>/<file>` for each name, with its bytes: many small files at little cost.

        Raises `MissingInput`, `UnsafePath`, `LimitExceeded` that name the file.
        """
        handle = self._open_folder(folder)
        with telling(folder), contextlib.ExitStack() as open_handles:
            open_handles.callback(close_read, handle)
            for name in names:
                try:
                    below = os.open(name, OPEN_FOLDER, dir_fd=handle)
                    try:
                        descriptor = os.open(file, OPEN_FILE, dir_fd=below)
                    finally:
                        close_read(below)
                    try:
                        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                            raise UnsafePath(f"not a regular file: {folder}/{name}/{file}")
                        data = read_all(descriptor, max_bytes)
                    finally:
                        close_read(descriptor)
                except OSError as error:
                    raise explained(error, f"{folder}/{name}/{file}") from error
                if len(data) > max_bytes:
                    raise LimitExceeded(
                        f"{folder}/{name}/{file} is larger than max_bytes = {max_bytes}"
                    )
                yield name, data

    def exists(self, path: str) -> bool:
        """Whether anything, a link included, lies at `path`."""
        return self._found(path) is not None

    def size(self, path: str) -> int | None:
        """Size in bytes of the regular file at `path`; None when there is none."""
        found = self._found(path)
        return found.st_size if found is not None and stat.S_ISREG(found.st_mode) else None

    def is_link(self, path: str) -> bool:
        """Whether a symbolic link lies at `path`."""
        found = self._found(path)
        return found is not None and stat.S_ISLNK(found.st_mode)

    def names(self, path: str) -> int:
        """How many names the file at `path` has (hard links); 0 where there is none."""
        found = self._found(path)
        return found.st_nlink if found is not None and stat.S_ISREG(found.st_mode) else 0

    def alike(self, path: str) -> str | None:
        """The one entry of the folder of `path` that some file system takes for it: same key.

        `path` itself when it is there; None when there is none, or more than one.
        """
        if self.exists(path):
            return path
        folder, _, name = path.rpartition("/")
        key = name_key(name)
        same = [one.name for one in self.entries(folder) if name_key(one.name) == key]
        return f"{folder}/{same[0]}".lstrip("/") if len(same) == 1 else None

    def _found(self, path: str) -> os.stat_result | None:
        """What lies at `path`, a link itself included; None when nothing does or a link is in the way."""
        folder, _, name = contained_path(path).rpartition("/")
        try:
            with telling(path):
                handle = self._open_folder(folder)
                try:
                    return os.stat(name, dir_fd=handle, follow_symlinks=False)
                finally:
                    close_read(handle)
        except (LedgerkitError, PermissionError):
            return None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return None
            raise  # a disk that does not answer is no proof that nothing is there

    def entries(self, path: str = "") -> list[Entry]:
        """What lies in the folder at `path`, sorted by name; empty when there is no such folder."""
        if path:
            contained_path(path)
        try:
            handle = self._open_folder(path)
        except (MissingInput, UnsafePath):
            return []
        with telling(path):
            try:
                with os.scandir(handle) as found:
                    listed = [
                        Entry(
                            item.name,
                            item.is_dir(follow_symlinks=False),
                            item.is_file(follow_symlinks=False),
                            item.is_symlink(),
                        )
                        for item in found
                    ]
            finally:
                close_read(handle)
        return sorted(listed, key=lambda entry: os.fsencode(entry.name))

    def folders(self, path: str = "") -> list[str]:
        """Names of the folders in the folder at `path`, sorted; none when there is no such folder."""
        try:
            handle = self._open_folder(path)
        except (MissingInput, UnsafePath):
            return []
        with telling(path):
            try:
                return [name for name, is_folder in _listed(handle) if is_folder]
            finally:
                close_read(handle)

    def walk(self, path: str) -> Iterator[str]:
        """Paths of everything below `path` that is not a folder, sorted within each folder."""
        if path:
            contained_path(path)
        try:
            handle = self._open_folder(path)
        except (MissingInput, UnsafePath):
            return
        with telling(path):
            try:
                yield from _walk(handle, path)
            finally:
                close_read(handle)

    @contextlib.contextmanager
    def folder(self, path: str) -> Iterator[Folder]:
        """The folder at `path`, held open: for reading many of its files. Raises `MissingInput`."""
        handle = self._open_folder(path)
        try:
            yield Folder(handle, path)
        finally:
            close_read(handle)


def _walk(handle: int, path: str) -> Iterator[str]:
    for name, is_folder in _listed(handle):
        below = f"{path}/{name}" if path else name
        if not is_folder:
            yield below
            continue
        inner = os.open(name, OPEN_FOLDER, dir_fd=handle)
        try:
            yield from _walk(inner, below)
        finally:
            close_read(inner)


def _listed(handle: int) -> list[tuple[str, bool]]:
    with os.scandir(handle) as found:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
    return sorted(entries, key=lambda entry: os.fsencode(entry[0]))


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """An input file of a task: its bytes have the recorded digest, or opening it fails."""

    root: Path
    path: str
    role: str
    bytes: int
    sha256: str
    run_id: str | None = None

    def open(self) -> BinaryIO:
        """The file at position 0 after all its bytes were hashed. Raises `DigestMismatch`."""
        file = self.open_header()
        try:
            found = digest_stream(file)
            if found.sha256 != self.sha256:
                raise DigestMismatch(
                    f"{self.path}: recorded SHA-256 {self.sha256}, found {found.sha256}",
                    "The file was changed after it was recorded: restore it from a replica.",
                )
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def open_header(self) -> BinaryIO:
        """The file at position 0, only its size compared. Raises `DigestMismatch`."""
        file = Tree(self.root).open(self.path)
        found = os.fstat(file.fileno()).st_size
        if found != self.bytes:
            file.close()
            raise DigestMismatch(
                f"{self.path}: recorded {self.bytes} bytes, found {found}",
                "The file was changed after it was recorded: restore it from a replica.",
            )
        return file
