"""`--memory`: what a whole command takes, its workers included."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from ledgerkit.api import Repository
from ledgerkit.backends import budget, processes
from ledgerkit.errors import MissingInput, UsageError


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six progressive JPEGs of 16 megapixels: 96 MB of coefficients each."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "scans").mkdir()
    entries = []
    for number in range(1, 7):
        name = f"{number}-plate.jpg"
        small = np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8)
        image = Image.fromarray(small.repeat(100, axis=0).repeat(100, axis=1))
        image.save(folder / "scans" / name, quality=90, progressive=True)
        entry = {"plate": number, "name": f"Plate {number}", "slug": f"plate-{number}"}
        entries.append(entry | {"fileName": name, "download": f"https://example.org/{name}"})
    (folder / "data.json").write_text(json.dumps(entries))
    repository = Repository.init(folder / "archive")
    repository.ingest(folder / "data.json", folder / "scans")
    repository.run("headers")
    repository.run("propose", downscale_over_megapixels=4.0, tile_over_megapixels=4.0)
    repository.accept_policy("A. Curator", "a test")
    return folder / "archive"


def taken(process: psutil.Process) -> int:
    """The memory of a process and all its children, in bytes; shared pages count once."""
    total = 0
    with suppress(psutil.Error):
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                total += one.memory_full_info().pss
    return total


def test_a_command_keeps_to_its_memory(large: Path) -> None:
    memory = 1000 << 20
    words = ["normalize", "-C", large, "--workers", "2", "--memory", str(memory), "--json"]
    command = subprocess.Popen(
        [sys.executable, "-m", "ledgerkit", *map(str, words)], stdout=subprocess.PIPE, text=True
    )
    process, peak = psutil.Process(command.pid), 0
    while command.poll() is None:
        peak = max(peak, taken(process))
        time.sleep(0.02)
    done = json.loads(command.communicate()[0])
    assert (command.returncode, done["complete"], done["failed"]) == (0, 6, 0)
    assert 100 << 20 < peak <= memory


def test_a_plate_that_needs_more_is_left_out_and_not_recorded(large: Path) -> None:
    repository = Repository.open(large)
    before = repository.log()
    with pytest.raises(MissingInput, match=r"needs up to .* --memory leaves") as refused:
        repository.run("normalize", memory=600 << 20, force=True)
    assert "Give --memory at least" in str(refused.value.hint)
    assert repository.log() == before
    with pytest.raises(UsageError, match="too little for a single worker"):
        repository.run("normalize", memory=100 << 20)
    with pytest.raises(UsageError, match="does not state what memory"):
        repository.run("headers", memory=1 << 30)


def hold_and_tell(needed: int) -> tuple[float, float]:
    with budget.holding(needed):
        began = time.monotonic()
        time.sleep(0.05)
        return began, time.monotonic()


def test_tasks_that_do_not_fit_together_take_turns() -> None:
    outcomes = list(processes.run_all(hold_and_tell, [60, 60, 60, 60], workers=2, memory=100))
    spans = sorted(outcome.value for outcome in outcomes if outcome.value)
    assert len(spans) == 4
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    too_large = list(processes.run_all(hold_and_tell, [10, 200], workers=2, memory=100))
    assert sorted(type(one.error).__name__ for one in too_large) == ["NoneType", "OverBudget"]
