"""What all tests share: a tiny real repository, the command line as a process, hypothesis profiles,
where tests write and which come first.

Profiles: `fast` (the default: few examples, the same ones every time) and `full`
(`HYPOTHESIS_PROFILE=full`: many, and new ones each time).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from ledgerkit.api import Repository

_SLOW_IS_FINE = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture)
settings.register_profile(
    "fast", max_examples=40, deadline=None, derandomize=True, suppress_health_check=_SLOW_IS_FINE
)
settings.register_profile(
    "full", max_examples=2000, deadline=None, suppress_health_check=_SLOW_IS_FINE
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

MEMORY = Path("/dev/shm")
"""Tests write here where there is room: a disk makes each of their many flushes a wait."""
ROOM = 4 << 30
"""Bytes that must be free there, and in memory, for that."""

if (
    os.access(MEMORY, os.W_OK)
    and min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) > ROOM
):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that kill what they fork come first: a fork is quick while the process is small.

    They are also those that take longest, so that no process waits for another at the end.
    """
    items.sort(key=lambda item: "faults" not in item.path.parts and not _kills(item))


def _kills(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and hasattr(item.module, "kill_at")


FORMATS = ("jpg", "png", "tif")
SHRINKING = {"downscale_over_megapixels": 0.01, "downscale_long_side": 96, "format": "jpeg"}
"""A policy under which plates of 160x120 pixels get derived pixels."""


@pytest.fixture(scope="session")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an archivist has: `data.json` and `images/` with three scans. Do not change it.

    Plate 1 is a JPEG, 2 a PNG, 3 a TIFF, each of 16x16 pixels in RGB, each different.
    """
    folder = tmp_path_factory.mktemp("scans")
    (folder / "images").mkdir()
    entries = []
    for number, suffix in enumerate(FORMATS, 1):
        name = f"{number}-plate-{number}.{suffix}"
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / name)
        entry = {"plate": number, "name": f"Plate {number}", "slug": f"plate-{number}"}
        entries.append(entry | {"fileName": name, "download": f"https://example.org/{name}"})
    (folder / "data.json").write_text(json.dumps(entries))
    return folder


@pytest.fixture(scope="session")
def _ingested(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ingested") / "archive"
    Repository.init(root).ingest(scans / "data.json", scans / "images")
    return root


@pytest.fixture
def tiny(_ingested: Path, tmp_path: Path) -> Repository:
    """Three ingested and sealed plates in `tmp_path / "archive"`; nothing has run yet."""
    root = tmp_path / "archive"
    shutil.copytree(_ingested, root, symlinks=True)
    return Repository.open(root)


@pytest.fixture(scope="session")
def _worked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four plates of 160x120 pixels that went through every phase; normalize made them smaller."""
    folder = tmp_path_factory.mktemp("worked")
    (folder / "scans").mkdir()
    entries = []
    for number in range(1, 5):
        name = f"{number}-plate.png"
        pixels = np.full((120, 160, 3), 235, np.uint8)
        shape = np.random.default_rng(number).integers(0, 200, (12, 12, 3), np.uint8)
        pixels[30:78, 40:88] = shape.repeat(4, axis=0).repeat(4, axis=1)
        Image.fromarray(pixels).save(folder / "scans" / name)
        entry = {"plate": number, "name": f"Plate {number}", "slug": f"plate-{number}"}
        entries.append(entry | {"fileName": name, "download": f"https://example.org/{name}"})
    (folder / "data.json").write_text(json.dumps(entries))
    repository = Repository.init(folder / "archive")
    repository.ingest(folder / "data.json", folder / "scans")
    for name in ("headers", "propose"):
        repository.run(name)
    (folder / "policy.json").write_text(json.dumps(repository.proposed_policy() | SHRINKING))
    repository.accept_policy("A. Curator", "a test", folder / "policy.json")
    for name in ("measure", "normalize", "segment", "embed", "cluster", "montage"):
        assert not repository.run(name).failures, name
    return folder / "archive"


@pytest.fixture
def worked(_worked: Path, tmp_path: Path) -> Repository:
    root = tmp_path / "worked"
    shutil.copytree(_worked, root, symlinks=True)
    return Repository.open(root)


@pytest.fixture
def command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`command("headers", "-C", root)`: the command line in a process of its own, captured."""

    def run(*arguments: object, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        given = [sys.executable, "-m", "ledgerkit", *map(str, arguments)]
        return subprocess.run(given, capture_output=True, text=True, timeout=timeout, check=False)

    return run


@pytest.fixture(scope="session")
def towers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny models of random weights by family, as `save_pretrained` writes them."""
    from ledgerkit.testing.towers import FAMILIES, write_tower

    root = tmp_path_factory.mktemp("towers")
    return {family: write_tower(root / family, family) for family in FAMILIES}


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket connects and no name is looked up."""

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError(f"something calls out: {arguments}")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="session")
def _dozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve ingested plates with a catalogue field `country`."""
    folder = tmp_path_factory.mktemp("dozen")
    (folder / "scans").mkdir()
    entries = []
    for number in range(1, 13):
        name = f"{number}-plate.png"
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "scans" / name)
        entry = {"plate": number, "name": f"Plate {number}", "slug": f"plate-{number}"}
        entry |= {"fileName": name, "download": f"https://example.org/{name}"}
        entries.append(entry | ({"country": "fr" if number % 2 else "de"} if number < 12 else {}))
    (folder / "data.json").write_text(json.dumps(entries))
    Repository.init(folder / "archive").ingest(folder / "data.json", folder / "scans")
    return folder / "archive"


@pytest.fixture
def dozen(_dozen: Path, tmp_path: Path) -> Repository:
    shutil.copytree(_dozen, tmp_path / "dozen", symlinks=True)
    return Repository.open(tmp_path / "dozen")
