"""What memory is free: the least that the machine, its control groups and the process's limit leave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ledgerkit import memory

MIB = 1 << 20


def system(root: Path, groups: str, **files: str) -> Path:
    """A folder that tells what `proc` and `sys` would; 800 MiB are available."""
    written = {"proc/meminfo": "MemTotal: 1000 kB\nMemAvailable:  819200 kB\n"}
    written |= {"proc/self/cgroup": groups}
    written |= {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    for name, text in written.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_without_groups_it_is_what_the_machine_has(tmp_path: Path) -> None:
    assert memory.free(system(tmp_path, "0::/\n")) == 800 * MIB


def test_a_group_or_one_above_it_leaves_less(tmp_path: Path) -> None:
    files = {
        "a/memory.max": str(500 * MIB),
        "a/memory.current": str(300 * MIB),
        "a/memory.stat": f"anon 5\ninactive_file {100 * MIB}\n",
        "a/b/memory.max": "max",
        "a/b/memory.current": str(MIB),
    }
    assert memory.free(system(tmp_path, "0::/a/b\n", **files)) == 300 * MIB
    assert memory.free(system(tmp_path, "0::/a/b/there/only/outside\n")) == 300 * MIB


def test_groups_of_the_former_kind_count_too(tmp_path: Path) -> None:
    files = {
        "memory/a/memory.limit_in_bytes": str(400 * MIB),
        "memory/a/memory.usage_in_bytes": str(450 * MIB),
        "memory/a/memory.stat": f"total_inactive_file {70 * MIB}\n",
        "memory/memory.limit_in_bytes": "9223372036854771712",
        "memory/memory.usage_in_bytes": "5",
    }
    root = system(tmp_path, "5:cpu:/a\n4:memory:/a\n0::/\n", **files)
    assert memory.free(root) == 20 * MIB


def test_where_the_system_does_not_tell_nothing_is_said(tmp_path: Path) -> None:
    assert memory.free(tmp_path) is None


@pytest.mark.skipif(memory.free() is None, reason="Linux tells its memory")
def test_the_peak_of_work_is_seen() -> None:
    with memory.peak() as peak:
        for _ in range(3):
            np.ones(64 * MIB, dtype=np.uint8).sum()
    assert 60 * MIB < peak.bytes < 100 * MIB
