"""A repository with everything that the atlas shows, and the atlas of it, made once."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ledgerkit.api import Repository
from ledgerkit.pages.atlas import AtlasView
from ledgerkit.testing.mapped import put_map

HOSTILE = "</script><img src=x onerror=alert(1)>"
"""A title that is markup, for plate 2; also the value of a label."""
PLATES = 12


def draw(number: int) -> Image.Image:
    """A plate with one figure on paper; the first is larger than a tile of its pyramid."""
    width, height = (700, 520) if number == 1 else (160, 120)
    pixels = np.full((height, width, 3), 235, np.uint8)
    colour = np.random.default_rng(number).integers(0, 200, 3)
    pixels[height // 4 : height * 3 // 4, width // 4 : width // 2] = colour
    return Image.fromarray(pixels)


@pytest.fixture(scope="session")
def _shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shown")
    (folder / "scans").mkdir()
    entries = []
    for number in range(1, PLATES + 1):
        draw(number).save(folder / "scans" / f"{number}.png")
        entry = {"plate": number, "name": f"Finch {number}", "slug": f"finch-{number}"}
        entry |= {"fileName": f"{number}.png", "download": f"https://example.org/{number}.png"}
        entries.append(entry | {"work": HOSTILE if number % 2 else "Birds"})
    entries[1]["name"] = HOSTILE
    (folder / "data.json").write_text(json.dumps(entries))
    repository = Repository.init(folder / "archive")
    repository.ingest(folder / "data.json", folder / "scans")
    for name in ("headers", "propose"):
        repository.run(name)
    (folder / "policy.json").write_text(
        json.dumps(
            repository.proposed_policy()
            | {"downscale_over_megapixels": 0.01, "downscale_long_side": 96}
        )
    )
    repository.accept_policy("A. Curator", "a test", folder / "policy.json")
    repository.run("normalize")
    repository.run("segment", plates="1..3")
    repository.run("overlay", plates="2")
    repository.run("pyramid", plates="1", tile_size=256)
    repository.consolidate()
    put_map(folder / "archive", PLATES, clusters=2, name=HOSTILE)
    return folder / "archive"


@pytest.fixture
def shown(_shown: Path, tmp_path: Path) -> Repository:
    """Twelve plates: one with a pyramid, three with segments, a map of two levels with noise."""
    shutil.copytree(_shown, tmp_path / "shown", symlinks=True)
    return Repository.open(tmp_path / "shown")


@pytest.fixture(scope="session")
def atlas(_shown: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AtlasView]:
    """The atlas of it. Do not change it."""
    target = tmp_path_factory.mktemp("atlas") / "atlas"
    return target, Repository.open(_shown).atlas(target)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    path = os.environ.get("LEDGERKIT_BROWSER") or shutil.which("chromium")
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no chromium: the pages cannot be tested")
        pytest.skip("there is no chromium")
    from playwright import sync_api as playwright

    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()
