"""Kill and starve the real command line from outside, with strace, at calls of the real system.

`ledgerkit.testing.faults` tries every call; here 100 of its points, evenly spread, in a process of
its own. A case in which nothing was injected proves nothing and fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ledgerkit.durable import Store
from ledgerkit.intent import Move
from ledgerkit.testing import faults, strace
from ledgerkit.testing.scenarios import Scenario, build

POINTS = 100


@pytest.fixture(autouse=True)
def _strace() -> None:
    if strace.find_strace() is None:
        assert os.environ.get("CI") != "true", "strace is missing or may not trace"
        pytest.skip("needs strace")


@pytest.mark.timeout(600)
def test_whatever_call_dies_or_fails_the_state_is_the_old_or_the_new() -> None:
    given = ["-m", "ledgerkit.testing.faults", "--points", str(POINTS), "--json"]
    done = subprocess.run([sys.executable, *given], capture_output=True, text=True, timeout=580)
    assert done.stdout, done.stderr
    view = json.loads(done.stdout)
    assert view["wrong"] == []
    assert done.returncode == 0
    tried: Counter[str] = Counter()
    for scenario, _, _, count in view["cases"]:
        tried[scenario] += count
    assert sum(tried.values()) == POINTS
    assert tried.keys() == view["points"].keys(), "every scenario is tried"
    assert {fault for _, _, fault, _ in view["cases"]} == set(strace.FAULTS)
    assert {"openat", "write", "renameat2"} & {call for _, call, _, _ in view["cases"]}


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    return build(tmp_path_factory.mktemp("built"), only="a batch of runs")[0]


def _calls(trial: faults.Trial, name: str, words: str = "") -> list[strace.Call]:
    return [one for one in trial.calls if one.name == name and words in one.line]


def test_the_calls_cover_what_matters(batch: Scenario, tmp_path: Path) -> None:
    trial = faults.Trial(batch, tmp_path)
    found = {call.name for call in trial.calls}
    assert {"openat", "read", "close", "getdents64", "flock", "write", "mkdir"} <= found
    assert {"renameat2", "fsync", "syncfs", "fchmod", "unlink"} <= found
    assert len(_calls(trial, "rename", "intent.json")) == 1
    assert len(trial.points()) == len(trial.calls) * len(strace.FAULTS) > 1000


def test_a_case_in_which_nothing_was_hit_is_void(batch: Scenario, tmp_path: Path) -> None:
    trial = faults.Trial(batch, tmp_path)
    never = strace.Call("renameat2", 999, "")
    for fault in strace.FAULTS:
        with pytest.raises(faults.Wrong, match="void"):
            trial.try_point(never, fault)
    elsewhere = strace.Call("openat", 1, "")
    root = trial.fresh()
    ended = strace.inject(
        lambda: os.close(os.open("/dev/null", os.O_RDONLY)) or 0,
        elsewhere,
        strace.KILL,
        root,
        trial.log,
    )
    assert (ended.code, ended.injected) == (-9, None)
    assert "/dev/null" in ended.hit[0]


def test_a_commit_without_an_intent_is_found_out(
    batch: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = faults.Trial(batch, tmp_path)

    def moves_at_once(self: Store, job_id: str, moves: list[Move], *_: Any) -> None:
        for move in moves:
            os.rename(self.root / move.staged, self.root / move.final)

    renames = _calls(trial, "renameat2")
    trial.try_point(renames[1], strace.KILL)
    monkeypatch.setattr(Store, "commit", moves_at_once)
    with pytest.raises(faults.Wrong, match=r"neither the old nor the new state|UNSEALED_RUN"):
        trial.try_point(strace.Call("rename", 2, ""), strace.KILL)


def test_a_success_that_was_not_kept_is_found_out(
    batch: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = faults.Trial(batch, tmp_path)
    first = _calls(trial, "newfstatat")[0]
    trial.try_point(first, strace.EIO)
    monkeypatch.setattr(Store, "commit", lambda *_, **__: None)
    with pytest.raises(faults.Wrong, match="gone"):
        trial.try_point(first, strace.EIO)
