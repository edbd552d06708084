"""Kill a writer before each call that changes the disk, then see what is there.

Whatever the step: once the next writer has looked, the repository is exactly as before a commit or
exactly as after it; what was there is unchanged; the same command given again ends as if nothing
had happened.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ledgerkit.api import Repository
from ledgerkit.errors import LedgerkitError
from ledgerkit.events import Event
from ledgerkit.ledger import build
from ledgerkit.merkle import TILE_WIDTH
from ledgerkit.records import Resources
from ledgerkit.repository import Archive
from ledgerkit.sealing import seal_new
from ledgerkit.staged import StagedRun
from ledgerkit.staging import StagedOutputs
from ledgerkit.testing import states
from ledgerkit.testing.crash import fail_at, kill_at, steps
from ledgerkit.testing.states import State

Scenario = list[Callable[[Path], object]]
"""Actions one after another, each with at most one commit."""


def _headers(root: Path) -> object:
    return Repository.open(root).run("headers", plates="plate-001,plate-003")


def _headers_of_the_first(root: Path) -> object:
    return Repository.open(root).run("headers", plates="plate-001")


def _seal(root: Path) -> object:
    archive = Archive(root)
    with archive.job() as job:
        return seal_new(archive, job)


def _pixels_into_the_cache(root: Path) -> object:
    """A run with files beside its record and in the cache, as `normalize` makes them."""
    archive = Archive(root)
    with archive.job() as job:
        staged = job.item("00000001")
        outputs = StagedOutputs(root / staged)
        outputs.document("plan.json", "plan", {"tiles": 2})
        for number in (1, 2):
            with outputs.cache(f"tiles/{number}.png", "image", "image/png") as file:
                file.write(b"pixels %d" % number * 1000)
        run = StagedRun(
            staged=staged, task_id="ab" * 32, operation="normalize", version="1",
            event_type="normalization", subject="plate-001", variant="default", parameters={},
            inputs=[], artifacts=outputs.close(), started_at="2024-01-01T00:00:00.000000Z",
            ended_at="2024-01-01T00:00:01.000000Z", resources=Resources(1, 1, 1),
        )  # fmt: skip
        return archive.commit(job, [run])


@pytest.fixture
def ingest(tmp_path: Path) -> Callable[[Path], object]:
    """The ingest of two more plates."""
    images = tmp_path / "more"
    images.mkdir()
    entries = []
    for number in (4, 5):
        name = f"{number}.png"
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16), np.uint8)
        Image.fromarray(pixels).save(images / name)
        entries.append({"plate": number, "name": f"P {number}", "slug": "p", "fileName": name})
    catalogue = tmp_path / "more.json"
    catalogue.write_text(json.dumps(entries))
    return lambda root: Repository.open(root).ingest(catalogue, images)


def _kill_everywhere(scenario: Scenario, start: Path, tools: Any, **how: Any) -> int:
    """Number of steps at which the scenario was killed and found in order."""
    every, words = how.pop("every", 1), how.pop("words", "")
    copy, state, evidence = tools
    root = copy(start)
    before = evidence(root)
    allowed = [state(root)]
    for action in scenario:
        action(root)
        assert state(root) not in allowed, "an action of the scenario committed nothing"
        allowed.append(state(root))

    def everything() -> None:
        for action in scenario:
            action(root)

    root = copy(start)
    listed = [*steps(everything, root, portable=how.get("portable", False)), "the end"]
    last = len(listed) if how.get("power_cut") else len(listed) - 1
    within = [step for step in range(last) if re.search(words, listed[step])]
    chosen = sorted({*within[::every], within[-1]})
    for step in chosen:
        root = copy(start)
        where = f"step {step} of {len(listed)}: {listed[step]}"
        # Ingest copies in threads: which of them makes a folder first changes the count a little.
        assert kill_at(step, everything, root, **how) or step >= last - 4, where
        least = len(scenario) if listed[step] == "the end" else 0
        _check(root, before, allowed, scenario, tools, where, least)
    return len(chosen)


def _check(
    root: Path,
    before: dict[str, Any],
    allowed: list[State],
    scenario: Scenario,
    tools: Any,
    where: str,
    least: int = 0,
) -> None:
    """`least` is the number of commits that were reported as kept."""
    _, state, evidence = tools
    with Archive(root).store.locked(wait=0):
        pass
    assert not (root / ".ledgerkit" / "intent.json").exists(), where
    after = evidence(root)
    assert {path: after.get(path) for path in before} == before, where
    found = state(root)
    assert found in allowed[least:], where
    assert states.stale_partials(root) == [], where
    _check_protection(root, where)
    done = allowed.index(found)
    for action in scenario[done:]:
        action(root)
    assert state(root) == allowed[-1], where
    assert Repository.open(root).verify().findings == [], where


def _check_protection(root: Path, where: str) -> None:
    for pattern, mode in (("run-*", 0o555), ("run-*/**/*", None)):
        for top in ("runs", "plates_structured/*/runs", "plates_structured/*/cache"):
            for path in root.glob(f"{top}/{pattern}"):
                wanted = mode or (0o555 if path.is_dir() else 0o444)
                assert stat.S_IMODE(path.stat().st_mode) == wanted, f"{where}: {path}"


def test_a_batch_of_runs_is_there_wholly_or_not_at_all(tiny: Repository, tools: Any) -> None:
    assert _kill_everywhere([_headers], tiny.root, tools) > 30


def test_ingest_is_there_wholly_or_not_at_all(
    tiny: Repository, tools: Any, ingest: Callable[[Path], object]
) -> None:
    assert _kill_everywhere([ingest], tiny.root, tools, every=2) > 20


def test_the_first_write_to_an_adopted_repository_seals_wholly_or_not_at_all(
    adopted: Repository, tools: Any
) -> None:
    assert _kill_everywhere([_seal, _headers], adopted.root, tools, every=5) > 20


def test_records_never_come_without_their_pixels_nor_pixels_without_their_record(
    tiny: Repository, tools: Any
) -> None:
    assert _kill_everywhere([_pixels_into_the_cache], tiny.root, tools) > 20


def test_a_power_cut_leaves_the_old_or_the_new_state(tiny: Repository, tools: Any) -> None:
    assert _kill_everywhere([_headers], tiny.root, tools, power_cut=True) > 30


def test_a_power_cut_during_ingest_leaves_the_old_or_the_new_state(
    tiny: Repository, tools: Any, ingest: Callable[[Path], object]
) -> None:
    assert _kill_everywhere([ingest], tiny.root, tools, power_cut=True, every=3) > 15


@pytest.mark.parametrize("power_cut", [False, True])
def test_without_the_calls_that_only_linux_has_the_same_holds(
    tiny: Repository, tools: Any, power_cut: bool
) -> None:
    how = {"portable": True, "power_cut": power_cut, "every": 3}
    assert _kill_everywhere([_pixels_into_the_cache], tiny.root, tools, **how) > 10


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
def test_a_failing_disk_is_a_clear_error_and_leaves_the_old_or_the_new_state(
    tiny: Repository, tools: Any, number: int
) -> None:
    copy, state, evidence = tools
    # What was finished before the disk failed may be committed by itself.
    scenario: Scenario = [_headers_of_the_first, _headers]
    root = copy(tiny.root)
    before = evidence(root)
    allowed = [state(root)]
    for action in scenario:
        action(root)
        allowed.append(state(root))
    root = copy(tiny.root)
    listed = steps(partial(_headers, root), root)
    reported = 0
    for step in range(number % 2, len(listed), 2):
        call = listed[step]
        root = copy(tiny.root)
        raised = fail_at(step, partial(_headers, root), root, number)
        where = f"step {step} of {len(listed)}: {call}: {raised!r}"
        assert raised is None or isinstance(raised, LedgerkitError), where
        reported += raised is not None
        _check(root, before, allowed, scenario, tools, where, least=0 if raised else 2)
    assert reported > len(listed) // 4


@pytest.fixture
def to_the_border(tiny: Repository) -> Repository:
    """The log has one entry less than fill a tile."""
    archive = Archive(tiny.root)
    with archive.job() as job:
        left = TILE_WIDTH - 1 - archive.log.index().size
        event = Event("fixity", "fixity check", {})
        archive.commit(job, [event.staged(job.item(f"{number}")) for number in range(left)])
    assert archive.log.index().size == TILE_WIDTH - 1
    return tiny


def test_a_log_over_the_border_of_a_tile_is_that_before_or_that_after_a_power_cut(
    to_the_border: Repository, tools: Any
) -> None:
    """Deaths without it are tried there by the sweep with strace."""
    how = {"power_cut": True, "words": "[0-9] .*log/|checkpoint|intent|syncfs|fsync", "every": 2}
    assert _kill_everywhere([_headers], to_the_border.root, tools, **how) > 6


@pytest.mark.parametrize("power_cut", [False, True])
def test_a_second_death_while_an_intent_is_finished_changes_nothing(
    tiny: Repository, tools: Any, tmp_path: Path, power_cut: bool
) -> None:
    copy, state, _ = tools

    def finish(root: Path) -> None:
        with Archive(root).store.locked(wait=0):
            pass

    root = copy(tiny.root)
    _headers(root)
    final = state(root)
    root = copy(tiny.root)
    listed = steps(partial(_headers, root), root)
    committed = max(place for place, call in enumerate(listed) if call.startswith("renameat2"))
    root = copy(tiny.root)
    assert kill_at(committed - 2, partial(_headers, root), root)
    assert (root / ".ledgerkit" / "intent.json").exists()
    dead = Path(shutil.copytree(root, tmp_path / "dead", symlinks=True))
    again = steps(partial(finish, root), root)
    assert len(again) > 10
    for step, call in enumerate(again):
        root = copy(dead)
        assert kill_at(step, partial(finish, root), root, power_cut=power_cut), call
        finish(root)
        assert state(root) == final, call
        assert Repository.open(root).verify().findings == [], call


@pytest.mark.parametrize(("power_cut", "portable"), [(True, False), (False, True)])
def test_ledgers_are_exchanged_wholly_or_not_at_all(
    tiny: Repository, tools: Any, power_cut: bool, portable: bool
) -> None:
    """The build itself runs here: its library starts threads that a forked child would not have."""
    copy, _, _ = tools
    tiny.consolidate()
    _headers(tiny.root)
    archive = Archive(tiny.root)
    files, _ = build.build(archive, archive.log.index())
    former = states.ledger(tiny.root)

    def exchange(root: Path) -> None:
        archive = Archive(root)
        with archive.job() as job, archive.store.locked():
            build._replace(archive, job, build._stage(archive, job, files))

    root = copy(tiny.root)
    exchange(root)
    new = states.ledger(root)
    assert new != former
    root = copy(tiny.root)
    listed = steps(partial(exchange, root), root, portable=portable)
    for step, call in list(enumerate(listed))[::8] + list(enumerate(listed))[-8:]:
        root = copy(tiny.root)
        how = {"power_cut": power_cut, "portable": portable}
        assert kill_at(step, partial(exchange, root), root, **how), call
        found = states.ledger(root)
        # Without the call that exchanges names there is a moment with no ledgers: views, not evidence.
        gone = portable and not (root / "ledger").exists()
        assert gone or found in (former, new), call
        exchange(root)
        assert states.ledger(root) == new, call


def test_the_killing_itself_works(tiny: Repository) -> None:
    """Without this, all tests here could pass because nothing was ever killed."""

    def two_files() -> None:
        for name in ("one", "two"):
            descriptor = os.open(tiny.root / name, os.O_WRONLY | os.O_CREAT, 0o644)
            os.write(descriptor, b"0123456789")
            if name == "one":
                os.fsync(descriptor)
            os.close(descriptor)

    listed = steps(two_files, tiny.root)
    assert listed == ["open one", "write one", "fsync one", "open two", "write two"]
    (tiny.root / "one").unlink()
    (tiny.root / "two").unlink()
    assert kill_at(4, two_files, tiny.root)
    assert (tiny.root / "one").read_bytes() == b"0123456789"
    assert (tiny.root / "two").read_bytes() == b"01234"
    assert kill_at(4, two_files, tiny.root, power_cut=True)
    assert (tiny.root / "one").read_bytes() == b"0123456789"
    assert len((tiny.root / "two").read_bytes()) < 5
    assert not kill_at(5, two_files, tiny.root)
