"""Flip single bits all over a repository, one at a time, and see whether verification names the file.

Size, times and mode of the file are kept, and the bit is put back afterwards. Files are drawn kind by
kind, so that rare ones (the checkpoint, a listing) are hit as often as sources.

`python -m ledgerkit.testing.flips --count 10000` does it on a repository that it makes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import stat
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ledgerkit import layout
from ledgerkit.api import Repository
from ledgerkit.findings import Finding
from ledgerkit.verify import verify

PLATES = 24
"""So many that the first seal has more than 64 outputs, which then stand in a listing."""
KINDS = {
    "manifest": r"plates_structured/[^/]+/manifest\.json",
    "source": r"plates_structured/[^/]+/source/[^/]+",
    "source.sha256": r"plates_structured/[^/]+/source\.sha256",
    "run.json": r"(.+/)?runs/[^/]+/run\.json",
    "run.sha256": r"(.+/)?runs/[^/]+/run\.sha256",
    "listing": r"(.+/)?runs/[^/]+/listings/.+",
    "output": r"(.+/)?runs/[^/]+/outputs/.+",
    "cache": r"plates_structured/[^/]+/cache/.+",
    "checkpoint": r"log/checkpoint",
    "bundle": r"log/tile/entries/.+",
    "tile": r"log/tile/[0-9]+/.+",
    "ledger": r"ledger/.+\.parquet",
    "ledger.json": r"ledger/ledger\.json",
    "ledger.sha256": r"ledger/ledger\.sha256",
    "schema": r"schemas/.+",
    "data.json": r"data\.json",
    "repository.json": r"repository\.json",
}
"""Kinds of files of a repository, each with the paths that are of it."""


@dataclass(frozen=True)
class Flip:
    """One flipped bit, and what verification found."""

    kind: str
    path: str
    bit: int
    findings: list[Finding]

    @property
    def seen(self) -> bool:
        """Whether an error names the file itself."""
        return any(one.severity == "error" and one.subject == self.path for one in self.findings)


def build(folder: Path) -> Path:
    """A small repository with files of every kind, made in `folder`; its root."""
    import numpy as np
    from PIL import Image

    images = folder / "images"
    images.mkdir(parents=True)
    entries = []
    for number in range(1, PLATES + 1):
        name = f"{number}-plate.png"
        draw = np.random.default_rng(number)
        if number % 8:
            Image.fromarray(draw.integers(0, 256, (16, 16, 3), np.uint8)).save(images / name)
        else:  # of 16 bits: made smaller into the cache
            Image.fromarray(draw.integers(0, 1 << 16, (16, 16), np.uint16)).save(images / name)
        named = {"name": f"Plate {number}", "slug": f"plate-{number}", "fileName": name}
        entries.append({"plate": number, **named, "download": f"https://example.org/{name}"})
    (folder / "data.json").write_text(json.dumps(entries))
    repository = Repository.init(folder / "archive")
    repository.ingest(folder / "data.json", images)
    for operation in ("headers", "measure", "propose"):
        repository.run(operation)
    repository.accept_policy("A. Curator", "for flipping bits")
    repository.run("normalize")
    repository.consolidate()
    return repository.root


def by_kind(root: Path) -> dict[str, list[str]]:
    """Paths of all files of a repository, by kind. Raises `ValueError` for one of no kind."""
    found: dict[str, list[str]] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if not path.is_file() or path.stat().st_size == 0 or name.startswith(layout.WORKING):
            continue
        kind = next((kind for kind, form in KINDS.items() if re.fullmatch(form, name)), None)
        if kind is None:
            raise ValueError(f"{name} is of no kind that is known here")
        found.setdefault(kind, []).append(name)
    return found


def flips(root: Path, count: int, seed: int = 0) -> Iterator[Flip]:
    """Flip `count` bits, one after another, each seen to by a full verification in this process."""
    draw = random.Random(seed)
    files = by_kind(root)
    kinds = sorted(files)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        path = draw.choice(files[kind])
        size = (root / path).stat().st_size
        bit = draw.randrange(8 * size)
        turn(root / path, bit)
        try:
            view = verify(root, workers=1)
        finally:
            turn(root / path, bit)
        yield Flip(kind, path, bit, view.findings)


def turn(path: Path, bit: int) -> None:
    """Turn one bit of a file over in place; size, times and mode stay as they were."""
    before = path.stat()
    path.chmod(stat.S_IMODE(before.st_mode) | stat.S_IWUSR)
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))
    path.chmod(stat.S_IMODE(before.st_mode))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def main(arguments: list[str] | None = None) -> int:
    """Flip, say what was seen and what was not; 1 when any bit was not."""
    parser = argparse.ArgumentParser(prog="python -m ledgerkit.testing.flips", description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="bits to flip")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    seen: Counter[str] = Counter()
    missed: list[Flip] = []
    with tempfile.TemporaryDirectory(prefix="ledgerkit-flips-") as folder:
        root = build(Path(folder))
        for flip in flips(root, given.count, given.seed):
            seen[flip.kind] += flip.seen
            missed += [] if flip.seen else [flip]
        for path in root.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
    for flip in missed:
        codes = ", ".join(f"{one.code} {one.subject}" for one in flip.findings) or "nothing"
        print(f"NOT SEEN: bit {flip.bit} of {flip.path}: {codes}")
    for kind in sorted(seen):
        print(f"  {kind}: {seen[kind]}")
    seconds = time.monotonic() - began
    print(f"{given.count - len(missed)} of {given.count} flipped bits were named, {seconds:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
