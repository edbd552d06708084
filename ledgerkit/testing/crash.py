"""Kill a process in the middle of what it does on disk: for tests of commits. POSIX only.

`steps` lists the calls by which an action changes the disk, `kill_at` runs the action in a forked
child that dies just before one of them (in the middle of it, where it is a write), and `fail_at`
lets that one call fail. With `power_cut`, what was not flushed when it died is lost too: unflushed
files are cut in half, and of the unflushed renames every second one is undone. With `portable`,
the calls that only Linux has are taken away.

The calls of the operating system are wrapped in the child alone; nothing of ledgerkit is replaced.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import pickle
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

Action = Callable[[], object]
_KILLED = 77
_FAILED = 99
_CALLS = (
    "open", "write", "writev", "pwrite", "rename", "replace", "link", "symlink", "unlink", "remove",
    "rmdir", "mkdir", "chmod", "fchmod", "fsync", "fdatasync", "sync", "truncate", "ftruncate",
)  # fmt: skip
_FOREIGN = ctypes.CDLL(None)._FuncPtr.__mro__[1]
"""What every foreign function is an instance of."""
_WRITING = os.O_CREAT | os.O_WRONLY | os.O_RDWR | os.O_TRUNC


def steps(action: Action, root: Path, *, portable: bool = False) -> list[str]:
    """The calls by which `action`, run to its end in a child, changes the disk, in order."""
    reader, writer = os.pipe()
    child = _fork()
    if child == 0:
        os.close(reader)
        saboteur = _Saboteur(root, None, power_cut=False, portable=portable)
        _end(saboteur, action, writer)
    os.close(writer)
    with os.fdopen(reader) as told:
        found = told.read().splitlines()
    code = _exit_code(child)
    if code != 0:
        raise AssertionError(f"the action failed by itself, exit code {code}")
    return found


def kill_at(
    step: int, action: Action, root: Path, *, power_cut: bool = False, portable: bool = False
) -> bool:
    """Run `action` in a child that dies before its call `step`; False when it ended before.

    With `power_cut` the step after the last one is the moment when the action has returned.
    """
    child = _fork()
    if child == 0:
        _end(_Saboteur(root, step, power_cut=power_cut, portable=portable), action, None)
    code = _exit_code(child)
    if code not in (0, _KILLED):
        raise AssertionError(f"the action failed by itself before step {step}, exit code {code}")
    return code == _KILLED


def fail_at(step: int, action: Action, root: Path, number: int) -> BaseException | None:
    """Run `action` in a child whose call `step` fails with the error `number`; what it raised."""
    reader, writer = os.pipe()
    child = _fork()
    if child == 0:
        os.close(reader)
        raised: BaseException | None = None
        try:
            saboteur = _Saboteur(root, step, power_cut=False, portable=False, number=number)
            saboteur.install()
            action()
        except BaseException as error:
            raised = error
        finally:
            saboteur.real["write"](writer, pickle.dumps(raised))
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        found = told.read()
    _exit_code(child)
    answer: BaseException | None = pickle.loads(found)
    return answer


def _fork() -> int:
    with warnings.catch_warnings():
        # Later Pythons warn when threads are alive; the child needs none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _exit_code(child: int) -> int:
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _end(saboteur: _Saboteur, action: Action, writer: int | None) -> NoReturn:
    code = _FAILED
    try:
        saboteur.install()
        action()
        if saboteur.step == len(saboteur.seen) and saboteur.power_cut:
            saboteur.die()
        code = 0
        if writer is not None:
            saboteur.real["write"](writer, "\n".join(saboteur.seen).encode())
    except BaseException:
        with contextlib.suppress(Exception):
            traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(code)


class _Saboteur:
    """Counts the calls that change the disk, and ends the process before one of them."""

    def __init__(
        self,
        root: Path,
        step: int | None,
        *,
        power_cut: bool,
        portable: bool,
        number: int | None = None,
    ) -> None:
        self.number = number
        self.root, self.step, self.power_cut, self.portable = root, step, power_cut, portable
        self.real: dict[str, Any] = {
            name: getattr(os, name) for name in _CALLS if hasattr(os, name)
        }
        self.seen: list[str] = []
        self._unflushed: set[tuple[int, int]] = set()
        self._renames: list[tuple[str, str, bytes | None]] = []
        self._lock = threading.Lock()

    def install(self) -> None:
        for name, real in self.real.items():
            setattr(os, name, self._wrapped(name, real))
        io.open = self._wrapped("io.open", io.open)
        ours = [
            module for name, module in list(sys.modules.items()) if name.startswith("ledgerkit")
        ]
        for module in ours:
            for name, value in list(vars(module).items()):
                if isinstance(value, _FOREIGN):
                    call: Any = value
                    wrapped = None if self.portable else self._wrapped(name.strip("_"), call)
                    setattr(module, name, wrapped)

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            if _only_reads(name, given, named):
                return real(*given, **named)
            with self._lock:
                place = len(self.seen)
                self.seen.append(_told(name, given, self.root))
                if place == self.step:
                    if self.number is not None:
                        return self._fail(real)
                    self.die(name, given)
                former = _replaced(name, given, named)
                answer = real(*given, **named)
                self._remember(name, given, named, answer, former)
                return answer

        return call

    def _fail(self, real: Callable[..., Any]) -> int:
        assert self.number is not None
        if not isinstance(real, _FOREIGN):
            raise OSError(self.number, os.strerror(self.number))
        ctypes.set_errno(self.number)
        return -1

    def die(self, name: str = "", given: tuple[Any, ...] = ()) -> NoReturn:
        with contextlib.suppress(OSError):
            if name in ("write", "pwrite"):
                self._note_unflushed(given[0])
                half = memoryview(given[1]).cast("B")[: len(given[1]) // 2]
                self.real[name](given[0], half, *given[2:])
        if self.power_cut:
            self._lose_unflushed()
        os._exit(_KILLED)

    def _remember(
        self,
        name: str,
        given: tuple[Any, ...],
        named: dict[str, Any],
        answer: Any,
        former: bytes | None,
    ) -> None:
        if name in ("write", "writev", "pwrite", "ftruncate"):
            self._note_unflushed(given[0])
        elif name in ("fsync", "fdatasync"):
            found = os.fstat(given[0])
            self._unflushed.discard((found.st_dev, found.st_ino))
            self._renames = [pair for pair in self._renames if not _is_folder_of(pair[1], found)]
        elif name in ("sync", "syncfs"):
            self._unflushed.clear()
            self._renames.clear()
        elif name == "renameat2" and answer == 0:
            source = _absolute(given[1], given[0])
            self._renames.append((source, _absolute(given[3], given[2]), None))
        elif name in ("rename", "replace"):
            source = _absolute(given[0], named.get("src_dir_fd"))
            target = _absolute(given[1], named.get("dst_dir_fd"))
            self._renames.append((source, target, former))

    def _note_unflushed(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        self._unflushed.add((found.st_dev, found.st_ino))

    def _lose_unflushed(self) -> None:
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = os.path.join(folder, name)
                found = os.lstat(path)
                if (found.st_dev, found.st_ino) in self._unflushed:
                    self.real["chmod"](path, 0o644)
                    self.real["truncate"](path, found.st_size // 2)
                    self.real["chmod"](path, found.st_mode & 0o777)
        for source, target, former in reversed(self._renames[::2]):
            if os.path.lexists(source) or not os.path.lexists(target):
                continue
            if os.path.isdir(target):
                self.real["chmod"](target, 0o755)
            with contextlib.suppress(OSError):
                self.real["rename"](target, source)
                if former is not None:
                    with io.FileIO(target, "w") as file:
                        file.write(former)


def _only_reads(name: str, given: tuple[Any, ...], named: dict[str, Any]) -> bool:
    if name == "open":
        return not (given[1] if len(given) > 1 else named["flags"]) & _WRITING
    if name == "io.open":
        return not set("wax+") & set(given[1] if len(given) > 1 else named.get("mode", "r"))
    return False


def _replaced(name: str, given: tuple[Any, ...], named: dict[str, Any]) -> bytes | None:
    """The file that a rename is about to replace: a rename that was not flushed leaves it there."""
    if name not in ("rename", "replace"):
        return None
    try:
        with io.FileIO(_absolute(given[1], named.get("dst_dir_fd"))) as file:
            return file.readall()
    except OSError:
        return None


def _is_folder_of(path: str, found: os.stat_result) -> bool:
    try:
        folder = os.stat(os.path.dirname(path))
    except OSError:
        return False
    return (folder.st_dev, folder.st_ino) == (found.st_dev, found.st_ino)


def _absolute(path: Any, folder: int | None) -> str:
    text = os.fsdecode(path)
    if folder is None or folder < 0 or text.startswith("/"):
        return os.path.abspath(text)
    return os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text)


def _told(name: str, given: tuple[Any, ...], root: Path) -> str:
    shown = []
    for one in given[:4]:
        if isinstance(one, (str, os.PathLike)) or (isinstance(one, bytes) and name == "renameat2"):
            shown.append(os.fsdecode(one).replace(f"{root}/", ""))
    if not shown and isinstance(given[0], int):
        with contextlib.suppress(OSError):
            shown.append(os.readlink(f"/proc/self/fd/{given[0]}").replace(f"{root}/", ""))
    return f"{name} {' '.join(shown)}"
