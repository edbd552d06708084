"""What the tests of faults share: states of a repository that can be compared."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ledgerkit.api import Repository
from ledgerkit.testing import states


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
def tools(copy: Callable[[Path], Path]) -> tuple[Any, Any, Any]:
    """Fresh copies, the state without times and run ids, and the bytes that nothing may change."""
    return copy, states.state, lambda root: states.evidence(states.raw(root))


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
