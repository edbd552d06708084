"""Kill and starve a command from outside, with strace, at single calls of the real system. Linux only.

`calls` runs an action once and lists, in order, every file-system call of it that touches a folder;
`inject` runs it again and does something to one of them: kills the process before it, or lets it
return an error. Each action runs in a forked child to which strace is attached, so an interpreter is
started once and not once a case. Only the child's first thread is traced, and thread pools run their
work in it: strace counts each thread by itself, and only one thread makes the same calls each time.

A case in which nothing was injected proves nothing: `Ended.injected` says whether it happened.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

KILL, EIO, ENOSPC = "KILL", "EIO", "ENOSPC"
FAULTS = (KILL, EIO, ENOSPC)
CHANGING = frozenset({
    "write", "writev", "pwrite64", "pwritev", "sendfile", "copy_file_range", "rename", "renameat",
    "renameat2", "link", "linkat", "symlink", "symlinkat", "mkdir", "mkdirat", "unlink", "unlinkat",
    "rmdir", "chmod", "fchmod", "fchmodat", "fchmodat2", "fsync", "fdatasync", "syncfs", "sync",
    "truncate", "ftruncate", "fallocate", "utimensat",
})  # fmt: skip
"""Calls that change what is on the disk; an `openat` does when it may write."""
_SECONDS = 120
_PR_SET_PTRACER = 0x59616D61
_ANY = ctypes.c_ulong(-1)
_WRITING = ("O_CREAT", "O_WRONLY", "O_RDWR", "O_TRUNC")

Action = Callable[[], int]
"""What is traced: answers the exit code."""


@dataclass(frozen=True)
class Call:
    """The `ordinal`-th call of this name by the action's first thread, as strace shows it."""

    name: str
    ordinal: int
    line: str

    @property
    def changes(self) -> bool:
        """Whether it can change what is on the disk."""
        if self.name == "openat":
            return any(flag in self.line for flag in _WRITING)
        return self.name in CHANGING


@dataclass(frozen=True)
class Ended:
    """How an action ended: exit code (negative: the signal), what it printed.

    `injected` is the call that the fault happened at; None when it did not, or not below the root.
    """

    code: int
    output: str
    injected: str | None = None
    hit: tuple[str, ...] = ()


def find_strace() -> str | None:
    """The path of a strace that may trace here; None when there is none."""
    found = shutil.which("strace")
    if found is None:
        return None
    done = subprocess.run([found, "-o", os.devnull, "true"], capture_output=True)
    return found if done.returncode == 0 else None


def calls(action: Action, root: Path, log: Path) -> list[Call]:
    """Every call of an undisturbed run that touches something below `root`, in order.

    Raises `AssertionError` when the action fails by itself.
    """
    ended = _traced(action, log, "-e", "trace=%file,%desc")
    if ended.code != 0:
        raise AssertionError(f"the action failed by itself, exit code {ended.code}: {ended.output}")
    counted: Counter[str] = Counter()
    found = []
    for line in log.read_text(errors="replace").splitlines():
        match = re.match(r"(\w+)\(", line)
        if match:
            counted[match[1]] += 1
            if _touches(line, root):
                found.append(Call(match[1], counted[match[1]], line))
    return found


def inject(action: Action, call: Call, fault: str, root: Path, log: Path) -> Ended:
    """Run the action with a fault at one call: `KILL`, or the name of an error that it returns.

    What was hit and is not below `root` does not count as injected.
    """
    what = "signal=KILL" if fault == KILL else f"error={fault}"
    options = ("-e", f"trace={call.name}", "-e", f"inject={call.name}:{what}:when={call.ordinal}")
    ended = _traced(action, log, *options)
    lines = log.read_text(errors="replace").splitlines()
    if fault == KILL:
        killed = ended.code == -signal.SIGKILL and len(lines) > 1
        hit = [line for line in lines if re.match(r"\w+\(", line)][-1:] if killed else []
    else:
        hit = [line for line in lines if "(INJECTED)" in line]
    real = [line for line in hit if _touches(line, root)]
    injected = real[0] if len(real) == len(hit) == 1 else None
    return Ended(ended.code, ended.output, injected, tuple(hit))


def untraced(action: Action, output: Path) -> Ended:
    """Run the action in a child of the same kind with nobody looking."""
    child = _fork(action, output, wait=False)
    return Ended(_exit_code(child), output.read_text(errors="replace"))


def _touches(line: str, root: Path) -> bool:
    return f"{root}/" in line or f'{root}"' in line or f"{root}>" in line


def _traced(action: Action, log: Path, *options: str) -> Ended:
    output = log.with_suffix(".out")
    child = _fork(action, output, wait=True)
    given = ["strace", "-y", "-s", "300", "-o", str(log), *options, "-p", str(child)]
    with subprocess.Popen(given, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        if "attached" not in said:
            os.kill(child, signal.SIGKILL)
            raise AssertionError(f"strace could not attach: {said}{tracer.stderr.read()}")
        os.kill(child, signal.SIGUSR1)
        code = _exit_code(child)
        tracer.communicate()
    return Ended(code, output.read_text(errors="replace"))


def _fork(action: Action, output: Path, *, wait: bool) -> int:
    """A child that runs the action, when `wait` once SIGUSR1 says that strace is there.

    Returns when the child has made its own preparations: strace must see none of its calls.
    """
    ready, say = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # Later Pythons warn when threads are alive; the child needs none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(ready)
        _run(action, output, say, wait)
    os.close(say)
    os.read(ready, 1)
    os.close(ready)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return child


def _run(action: Action, output: Path, say: int, wait: bool) -> NoReturn:
    code = 99
    try:
        os.chdir("/")
        told = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(told, 1)
        os.dup2(told, 2)
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        _pools_in_turn()
        signal.alarm(_SECONDS)
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANY, 0, 0, 0)
        os.close(say)
        if wait:
            signal.sigwait({signal.SIGUSR1})
        code = action()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _exit_code(child: int) -> int:
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


class _InTurn(Executor):
    """A pool without threads: what is given to it is done at once, in the thread that gives it."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def submit(self, fn: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*given, **named))
        except Exception as error:
            future.set_exception(error)
        return future


def _pools_in_turn() -> None:
    import concurrent.futures

    ours = [module for name, module in list(sys.modules.items()) if name.startswith("ledgerkit")]
    for module in (concurrent.futures, *ours):
        if hasattr(module, "ThreadPoolExecutor"):
            setattr(module, "ThreadPoolExecutor", _InTurn)  # noqa: B010
