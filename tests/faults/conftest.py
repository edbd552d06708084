"""What the tests of faults share: states of a repository that can be compared."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ledgerkit.api import Repository

State = dict[str, tuple[int, str]]
_RUN_ID = re.compile(r"run-[0-9]{8}-[0-9]{6}Z-([0-9a-f]{12})")


@pytest.fixture
def adopted(tmp_path: Path) -> Repository:
    """A bootstrap repository made elsewhere: three v1 manifests, sources, checksums; no marker."""
    root = tmp_path / "adopted"
    for number in (1, 2, 3):
        folder = root / "plates_structured" / f"plate-{number:03d}"
        (folder / "source").mkdir(parents=True)
        source = folder / "source" / f"scan {number}.png"
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16), np.uint8)
        Image.fromarray(pixels).save(source)
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        (folder / "source.sha256").write_text(f"{digest}  source/{source.name}\n")
        manifest = {"plate_id": folder.name, "plate_number": number, "title": f"Plate {number}"}
        manifest |= {"slug": f"plate-{number}", "source_image": source.name}
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=2))
    return Repository.open(root)


@pytest.fixture
def state() -> Callable[[Path], State]:
    """Everything below a root but working files: path, then mode and digest."""
    return _state


@pytest.fixture
def names() -> Callable[[Path], frozenset[str]]:
    """All paths below a root but working files, run ids as the task ids in them."""
    return lambda root: frozenset(_RUN_ID.sub(r"run-\1", path) for path in _state(root))


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[Path], Path]:
    """Copies of a repository, one after another; each takes the place of the one before."""

    def fresh(root: Path) -> Path:
        target = tmp_path / "copy"
        if target.exists():
            for folder, _, _ in os.walk(target):
                os.chmod(folder, 0o755)
            shutil.rmtree(target)
        return Path(shutil.copytree(root, target, symlinks=True))

    return fresh


def _state(root: Path) -> State:
    found: State = {}
    for folder, _, files in os.walk(root):
        if ".ledgerkit" in Path(folder).relative_to(root).parts:
            continue
        for name in files:
            path = Path(folder) / name
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(root))] = (stat.S_IMODE(path.stat().st_mode), digest)
    return found
