"""What the benchmarks share: a scratch folder, timed commands with peak memory, tables of figures."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Reading:
    """One timed command: wall seconds and peak resident memory of its largest process, in MB."""

    seconds: float
    megabytes: float


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder on the disk that LEDGERKIT_BENCH names, else on the default temporary one.

    It is removed when all is measured: on ext4, making files right after many were deleted is
    several times slower, for freed inodes are looked at and passed over.
    """
    folder = Path(
        tempfile.mkdtemp(prefix="ledgerkit-bench-", dir=os.environ.get("LEDGERKIT_BENCH"))
    )
    atexit.register(_remove, folder)
    yield folder


def _remove(folder: Path) -> None:
    subprocess.run(["chmod", "-R", "u+w", str(folder)], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def timed(command: list[str], *, check: bool = True, cwd: Path | None = None) -> Reading:
    """Run a command to its end, its output thrown away, and read time and memory from the kernel."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=cwd)
    _, errors = process.communicate()
    seconds = time.perf_counter() - began
    if check and process.returncode:
        raise RuntimeError(
            f"{' '.join(command)} exited with {process.returncode}: {errors.decode()[-500:]}"
        )
    return Reading(seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)


def peak(command: list[str], cwd: Path | None = None) -> Reading:
    """The same in a process of its own, so that the memory of earlier commands does not count."""
    program = (
        "import json, resource, subprocess, sys, time; began = time.perf_counter();"
        "code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode;"
        "print(json.dumps([time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, code]))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, *command],
        capture_output=True,
        text=True,
        check=True,
        cwd=cwd,
    )
    seconds, megabytes, code = json.loads(found.stdout.splitlines()[-1])
    if code:
        raise RuntimeError(f"{' '.join(command)} exited with {code}: {found.stderr[-500:]}")
    return Reading(seconds, megabytes)


def median(values: list[float]) -> float:
    return statistics.median(values)


def table(title: str, head: list[str], rows: list[list[str]]) -> None:
    """Print figures as a Markdown table."""
    print(f"### {title}\n")
    print("| " + " | ".join(head) + " |")
    print("|" + " --- |" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def catalogue(folder: Path, count: int) -> tuple[Path, Path]:
    """A catalogue of `count` plates and their files: the example's sources, over and over."""
    scans = folder / "scans"
    scans.mkdir()
    sources = sorted(
        path
        for path in EXAMPLE.glob("plates_structured/*/source/*")
        if path.suffix == ".jpg" and path.stat().st_size < 300_000
    )
    entries = []
    for number in range(1, count + 1):
        name = f"plate-{number}.jpg"
        shutil.copyfile(sources[number % len(sources)], scans / name)
        entries.append(
            {
                "plate": number,
                "name": f"Plate {number}",
                "slug": f"plate-{number}",
                "fileName": name,
            }
        )
    path = folder / "data.json"
    path.write_text(json.dumps(entries))
    return path, scans


def real_scans(folder: Path, given: Path) -> tuple[Path, Path]:
    """A catalogue of the images in a folder and below it, and copies of them under plain names."""
    scans = folder / "scans"
    scans.mkdir()
    entries = []
    images = [
        path
        for path in sorted(given.rglob("*"))
        if path.suffix.lower() in (".jpg", ".jpeg", ".tif", ".tiff", ".png")
    ]
    for number, path in enumerate(images, 1):
        name = f"scan-{number}{path.suffix.lower()}"
        shutil.copyfile(path, scans / name)
        entries.append(
            {"plate": number, "name": f"S {number}", "slug": f"s-{number}", "fileName": name}
        )
    (folder / "data.json").write_text(json.dumps(entries))
    return folder / "data.json", scans
