"""Full and quick fixity checks of the same files by ledgerkit, coreutils, bagit.py, ocfl-py and xxhsum.

Every peer reads exactly the files of one archive: sources, manifests, checksums, records, log. Besides
small files and 64 MiB ones, real scans are checked where LEDGERKIT_SCANS names a folder of them. A
peer that is not installed is named and left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.measuring import (
    BIN,
    Reading,
    catalogue,
    median,
    peak,
    real_scans,
    scratch,
    table,
)

PLATES = 3_330
"""Of three files each: some 10,000 files with records and log."""
ROUNDS = 5
LARGE = 8
LARGE_BYTES = 64 << 20
SLOW = "ocfl"
"""The peer that is measured once: it takes as long as all others together."""


def main() -> None:
    with scratch() as folder:
        data, scans = catalogue(folder, PLATES)
        _measure(folder, data, scans, "small files")
    with scratch() as folder:
        data, scans = catalogue(folder, LARGE)
        for number, path in enumerate(sorted(scans.iterdir())):
            with path.open("ab") as file:
                file.write(bytes([number]) * LARGE_BYTES)
        _measure(folder, data, scans, "files of 64 MiB")
    given = os.environ.get("LEDGERKIT_SCANS")
    if not given:
        print("LEDGERKIT_SCANS names no folder: real scans are left out")
        return
    with scratch() as folder:
        data, scans = real_scans(folder, Path(given))
        _measure(folder, data, scans, "real scans")


def _measure(folder: Path, data: Path, scans: Path, title: str) -> None:
    archive = folder / "archive"
    ledgerkit = str(BIN / "ledgerkit")
    subprocess.run([ledgerkit, "init", str(archive)], check=True, stdout=subprocess.DEVNULL)
    ingest = ["ingest", "-C", str(archive), "--catalogue", str(data), "--images", str(scans)]
    subprocess.run([ledgerkit, *ingest], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(archive / ".ledgerkit")
    files = sorted(path for path in archive.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files)
    commands = _commands(folder, archive, files)
    readings: dict[str, list[Reading]] = {name: [] for name in commands}
    for number in range(ROUNDS):
        for name, command in commands.items():
            if number == 0 or SLOW not in name:
                readings[name].append(peak(command))
    rows = []
    for name, found in readings.items():
        seconds = median([one.seconds for one in found])
        megabytes = max(one.megabytes for one in found)
        rows.append(
            [
                name,
                f"{seconds:.2f}",
                f"{len(files) / seconds:,.0f}",
                f"{size / 1e9 / seconds:.2f}",
                f"{megabytes:.0f}",
            ]
        )
    table(
        f"Fixity, {len(files):,} files ({title}, {size / 1e6:,.0f} MB), median of {ROUNDS}",
        ["what", "s", "files/s", "GB/s", "peak MB"],
        rows,
    )


def _commands(folder: Path, archive: Path, files: list[Path]) -> dict[str, list[str]]:
    """Each check as a command over the same files: those of the archive, or a copy of them."""
    listing = folder / "files"
    listing.write_text("".join(f"{path}\n" for path in files))
    share = max(1, len(files) // 64)

    def parallel(program: str) -> list[str]:
        return ["bash", "-c", f"xargs -P 2 -n {share} {program} < {listing} > /dev/null"]

    verify = [str(BIN / "ledgerkit"), "verify", "-C", str(archive), "--workers", "2"]
    commands = {
        "`sha256sum` by `xargs -P 2`": parallel("sha256sum"),
        "`ledgerkit verify --depth full`": verify,
    }
    if (BIN / "bagit.py").is_file():
        bag = folder / "bag"
        shutil.copytree(archive, bag)
        bagit = [str(BIN / "bagit.py"), "--quiet", "--processes", "2"]
        subprocess.run([*bagit, "--sha256", str(bag)], check=True)
        commands["`bagit.py --validate --processes 2`"] = [*bagit, "--validate", str(bag)]
    else:
        print("bagit.py is not installed: left out")
    if (BIN / "ocfl-object.py").is_file():
        made = ["--srcdir", str(archive), "--objdir", str(folder / "object"), "--id", "benchmark"]
        create = [str(BIN / "ocfl-object.py"), "create", *made, "--digest", "sha256"]
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([*create, "--no-dedupe"], **quiet)  # type: ignore[call-overload]
        validate = [str(BIN / "ocfl-validate.py"), "-Q", str(folder / "object")]
        commands["`ocfl-validate.py` (once)"] = validate
    else:
        print("ocfl-py is not installed: left out")
    if shutil.which("xxhsum"):
        commands["`xxhsum -H2` by `xargs -P 2`"] = parallel("xxhsum -H2")
    else:
        print("xxhsum is not installed: left out")
    return commands | {"`ledgerkit verify --depth quick`": [*verify, "--depth", "quick"]}
