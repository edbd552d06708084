"""What memory this process may still take, and what a piece of work took. Linux tells; others do not.

Source: proc(5) for `meminfo` and `statm`; the kernel's cgroup-v2 and cgroup-v1/memory documents.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

SAMPLED = 0.0005
"""Seconds between two looks at what is held while work is measured."""


def free(root: Path = Path("/")) -> int | None:
    """Bytes that this process may still take: the least that the machine, the control groups it is in
    and its own limit leave. None where the system does not tell.

    What the kernel would give up, such as cached files, counts as free. `root` is where `proc` and
    `sys` lie.
    """
    try:
        told = (root / "proc/meminfo").read_text("ascii")
        groups = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return None
    available = re.search(r"^MemAvailable:\s+(\d+) kB", told, re.MULTILINE)
    if available is None:
        return None
    left = [int(available[1]) << 10, *_left_by_groups(root, groups), *_left_by_limit()]
    return max(0, min(left))


def _left_by_groups(root: Path, groups: list[str]) -> Iterator[int]:
    """What each control group of memory leaves that this process is in, from its own upwards."""
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        folder = top / path.strip("/")
        names = ("limit_in_bytes", "usage_in_bytes") if controllers else ("max", "current")
        for place in (folder, *folder.parents):
            # In a container the path may be that of the host: then its parents lie there.
            with suppress(OSError, ValueError):
                limit, used = (int((place / f"memory.{name}").read_text()) for name in names)
                yield limit - used + _given_up(place)
            if place == top:
                break


def _given_up(group: Path) -> int:
    """Bytes of files in a group's memory that nobody used of late."""
    with suppress(OSError):
        told = (group / "memory.stat").read_text("ascii")
        found = dict(line.split() for line in told.splitlines())
        return int(found.get("total_inactive_file", found.get("inactive_file", 0)))
    return 0


def _left_by_limit() -> Iterator[int]:
    """What the limit of this process's address space leaves, where there is one."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        yield limit - _held(0)


def _held(column: int) -> int:
    """Bytes of this process: 0 its address space, 1 what of it is in memory."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[column]) * os.sysconf("SC_PAGE_SIZE")


@dataclass
class Peak:
    """The most bytes in memory beyond those held before; known when the work is done."""

    bytes: int = 0


@contextmanager
def peak() -> Iterator[Peak]:
    """Measure what work takes in this process, all threads together, by looking often.

    Peaks between two looks are missed. `/proc/self/clear_refs` would find them, and would make the
    process forget the peak that its records state.
    """
    give_back()
    before, found, done = _held(1), Peak(), Event()

    def look() -> None:
        while not done.wait(SAMPLED):
            found.bytes = max(found.bytes, _held(1) - before)

    thread = Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()
        found.bytes = max(found.bytes, _held(1) - before)


def give_back() -> None:
    """Return freed memory to the system: glibc keeps it, and then another process has none."""
    import ctypes

    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
