"""The store of models, read: where it is, what it holds, and whether that is what it was.

    blobs/sha256/ab/abcd...   every file once, under its digest, read-only
    folders/NAME/             the files of a model under their own names: links to the blobs
    models/NAME.json          the document; a model is in the store when this is there
    staging/ partial/ lock    working files

Loaders want a folder with plain names, so each model has one. Its files are hard links: one copy on
the disk, ordinary files for every library, and the store may be moved or mounted elsewhere. Where a
file system has no hard links they are relative symbolic links.

Reading takes no lock and writes nothing, so a store may be shared read-only.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ledgerkit import layout
from ledgerkit.canonical import READ_SIZE, Hasher
from ledgerkit.disk import read_own
from ledgerkit.errors import DigestMismatch, InvalidRecord, MissingInput, UsageError
from ledgerkit.records import Model
from ledgerkit.weights import document
from ledgerkit.weights.document import ModelDocument, ModelFile

VARIABLE = "LEDGERKIT_MODELS"
MISSING, CHANGED, UNLISTED = "missing", "changed", "unlisted"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one file in the folder of a model."""

    kind: str
    path: str
    detail: str


def default_root() -> Path:
    """`LEDGERKIT_MODELS`, else `ledgerkit/models` in the user's data folder (XDG_DATA_HOME)."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME", "")
    # The XDG base directory specification has relative paths ignored.
    base = Path(data) if os.path.isabs(data) else Path.home() / ".local" / "share"
    return base / "ledgerkit" / "models"


class ModelStore:
    """A store of models at `root`, which need not exist yet."""

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(os.path.abspath(default_root() if root is None else root))

    def names(self) -> list[str]:
        """Names of all models, sorted."""
        try:
            found = os.listdir(self.root / "models")
        except FileNotFoundError:
            return []
        return sorted(name[:-5] for name in found if name.endswith(".json"))

    def show(self, name: str) -> ModelDocument:
        """The document of a model. Raises `UsageError` when there is none, `InvalidRecord`."""
        found = self.find(name)
        if found is None:
            known = ", ".join(self.names()) or "none yet"
            raise UsageError(
                f"no model {layout.shown(name)} in {self.root}",
                f"There are: {known}. Add one with: ledgerkit models add NAME --from ...",
            )
        return found

    def find(self, name: str) -> ModelDocument | None:
        """The document of a model; None when there is none. Raises `InvalidRecord`."""
        document.check_name(name)
        where = f"models/{name}.json"
        try:
            data = read_own(self.root / where)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InvalidRecord(f"{where} cannot be read: {error.strerror}") from error
        try:
            return document.decode(data, name, where)
        except InvalidRecord as error:
            way_out = f"Take it away with ledgerkit models remove {name}, and add the model again."
            raise InvalidRecord(error.message, way_out) from error

    def blob(self, sha256: str) -> Path:
        """Where the bytes of this digest lie, if they do."""
        return self.root / "blobs" / "sha256" / sha256[:2] / sha256

    def folder(self, name: str) -> Path:
        """Where the folder of a model is, if it is there; `path` looks first."""
        return self.root / "folders" / name

    def path(self, name: str) -> Path:
        """The folder to load a model from, its files there with their sizes. Reads no file.

        Raises `UsageError`, `MissingInput`, `DigestMismatch` as `pin` does.
        """
        self._refuse(self.show(name), full=False)
        return self.folder(name)

    def pin(self, name: str, *, quick: bool = False) -> Model:
        """What a record says of a model: id, revision, SHA-256, licence; checked before any work.

        Every byte is read and its SHA-256 compared, because that is what the record will claim; with
        `quick` only sizes are. Raises `UsageError` when there is no such model, `MissingInput` for a
        file that is gone, `DigestMismatch` for one that changed or does not belong there.
        """
        found = self.show(name)
        self._refuse(found, full=not quick)
        return found.pin

    def known_as(self, sha256: str, first: str = "") -> str | None:
        """The name under which the store has exactly these weights; None when it has them not.

        Where several have them, `first` is taken if it is one of these.
        """
        names = sorted(self.names(), key=lambda name: name != first)
        return next((name for name in names if self.show(name).sha256 == sha256), None)

    def _refuse(self, found: ModelDocument, *, full: bool) -> None:
        problem = next(self.problems(found, full=full), None)
        if problem is None:
            return
        where = f"model {found.name}: {problem.path} {problem.detail}"
        origin = f"{found.source.name}@{found.revision}" if found.source.kind == "hub" else "SOURCE"
        way_out = (
            f"Put it back from where it came: ledgerkit models add {found.name} --from {origin}"
        )
        kind = MissingInput if problem.kind == MISSING else DigestMismatch
        raise kind(where, way_out)

    def problems(self, found: ModelDocument, *, full: bool) -> Iterator[Problem]:
        """What in a model's folder is not as its document says; with `full` every byte is read."""
        folder = self.folder(found.name)
        listed = {file.path for file in found.files}
        for file in found.files:
            problem = _compared(folder / file.path, file, full)
            if problem is not None:
                yield problem
        for path in sorted(_files_below(folder)):
            if path not in listed:
                yield Problem(UNLISTED, path, "is in its folder, but no part of it")


def _compared(path: Path, file: ModelFile, full: bool) -> Problem | None:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return Problem(CHANGED, file.path, "is no file any more")
        if status.st_size != file.bytes:
            return Problem(
                CHANGED, file.path, f"has {status.st_size} bytes, {file.bytes} were added"
            )
        found = sha256_of(path) if full else file.sha256
    except (FileNotFoundError, NotADirectoryError):
        return Problem(MISSING, file.path, "is gone")
    except OSError as error:
        return Problem(MISSING, file.path, f"cannot be read: {error.strerror}")
    if found != file.sha256:
        return Problem(CHANGED, file.path, f"has SHA-256 {found}, {file.sha256} was added")
    return None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes. Raises `OSError`."""
    hasher = Hasher()
    with open(path, "rb", buffering=0) as stream:
        while chunk := stream.read(READ_SIZE):
            hasher.update(chunk)
    return hasher.digests().sha256


def _files_below(folder: Path) -> Iterator[str]:
    for above, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(above, name))]
        for name in (*names, *links):
            yield os.path.relpath(os.path.join(above, name), folder)
