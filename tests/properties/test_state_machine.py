"""A repository against a plain dict: add, run, crash, rebuild, verify, in any order.

The model knows for each plate what was done to it. After every step the repository says the same,
is sound, and builds the same ledgers twice.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from PIL import Image

from ledgerkit import layout
from ledgerkit.api import Repository
from ledgerkit.errors import MissingInput
from ledgerkit.merkle import Checkpoint, check_consistency, check_inclusion, leaf_hash
from ledgerkit.repository import Archive
from ledgerkit.testing.crash import kill_at

PARAMETERS = {"large": {}, "small": {"max_header_bytes": 1 << 20}}
Names = st.sampled_from(sorted(PARAMETERS))


class Machine(RuleBasedStateMachine):
    """`model`: plate id to the settings of its `headers` runs, in the order they were made."""

    folder: Path

    @initialize()
    def start(self) -> None:
        shutil.rmtree(self.folder, onerror=_writable)
        (self.folder / "images").mkdir(parents=True)
        self.model: dict[str, list[str]] = {}
        self.entries: list[dict[str, Any]] = []
        self.repository = Repository.init(self.folder / "archive")
        self.truth: dict[str, bytes] = {}
        self.seen: dict[int, Checkpoint] = {}

    def _catalogue(self, count: int) -> Path:
        for _ in range(count):
            number = len(self.entries) + 1
            name = f"{number}.png"
            Image.new("L", (16, 16), number).save(self.folder / "images" / name)
            entry = {"plate": number, "name": f"P {number}", "slug": "p", "fileName": name}
            self.entries.append(entry)
        path = self.folder / "data.json"
        path.write_text(json.dumps(self.entries))
        return path

    def _expect_runs(self, name: str) -> None:
        for done in self.model.values():
            if name not in done:
                done.append(name)

    @rule(count=st.integers(1, 3))
    def add_plates(self, count: int) -> None:
        catalogue = self._catalogue(count)
        view = self.repository.ingest(catalogue, self.folder / "images")
        assert len(view.added) == len(self.entries) - len(self.model)
        assert view.present == len(self.model)
        self.model |= {plate: [] for plate in view.added}

    @rule(name=Names)
    def run(self, name: str) -> None:
        if not self.model:
            with pytest.raises(MissingInput, match="there are no plates"):
                self.repository.run("headers", **PARAMETERS[name])
            return
        missing = sum(name not in done for done in self.model.values())
        job = self.repository.run("headers", **PARAMETERS[name])
        assert (job.complete, job.skipped) == (missing, len(self.model) - missing)
        self._expect_runs(name)

    @precondition(lambda self: self.model)
    @rule(name=Names, data=st.data())
    def force(self, name: str, data: st.DataObject) -> None:
        plate = data.draw(st.sampled_from(sorted(self.model)))
        self.repository.run("headers", plates=plate, force=True, **PARAMETERS[name])
        self.model[plate].append(name)

    @precondition(lambda self: any(len(done) < 2 for done in self.model.values()))
    @rule(name=Names, step=st.integers(0, 60), power_cut=st.booleans())
    def crash_while_running(self, name: str, step: int, power_cut: bool) -> None:
        root = self.repository.root
        kill_at(
            step,
            lambda: Repository.open(root).run("headers", **PARAMETERS[name]),
            root,
            power_cut=power_cut,
        )
        missing = [plate for plate, done in self.model.items() if name not in done]
        found = self._all_or_nothing(lambda plate: len(self._runs(plate)), missing)
        if found:
            self._expect_runs(name)

    @rule(step=st.integers(0, 120), power_cut=st.booleans())
    def crash_while_adding(self, step: int, power_cut: bool) -> None:
        catalogue = self._catalogue(2)
        root, images = self.repository.root, self.folder / "images"
        kill_at(
            step,
            lambda: Repository.open(root).ingest(catalogue, images),
            root,
            power_cut=power_cut,
        )
        with Archive(root).store.locked(wait=0):
            pass
        plates = Archive(root).plate_ids()
        added = plates[len(self.model) :]
        assert len(added) in (0, len(self.entries) - len(self.model))
        self.model |= {plate: [] for plate in added}

    def _all_or_nothing(self, count: Callable[[str], int], plates: list[str]) -> bool:
        with Archive(self.repository.root).store.locked(wait=0):
            pass
        more = {count(plate) - len(self.model[plate]) for plate in plates}
        assert more in ({0}, {1}, set()), "a batch is there in part"
        return more == {1}

    @rule()
    def rebuild(self) -> None:
        first = self.repository.consolidate()
        assert first.rows["plates"] == first.manifests == len(self.model)
        assert self.repository.consolidate().changed == []
        before = self._files("ledger")
        shutil.rmtree(self.repository.root / "ledger")
        self.repository.consolidate()
        assert self._files("ledger") == before

    def _files(self, folder: str) -> dict[str, bytes]:
        root = self.repository.root / folder
        return {path.name: path.read_bytes() for path in root.iterdir()}

    def _runs(self, plate: str) -> list[Any]:
        return Archive(self.repository.root).runs(plate)

    @invariant()
    def says_what_the_model_says(self) -> None:
        if not hasattr(self, "model"):
            return
        found = {
            plate.plate_id: [self._name(run) for run in self._runs(plate.plate_id)]
            for plate in self.repository.plates()
        }
        assert found == self.model

    def _name(self, run: Any) -> str:
        return "small" if run.parameters["max_header_bytes"] == 1 << 20 else "large"

    @invariant()
    def is_sound_and_keeps_what_it_had(self) -> None:
        if not hasattr(self, "model"):
            return
        assert self.repository.verify().findings == []
        now = {
            str(path): path.read_bytes()
            for top in (layout.PLATES, layout.RUNS, layout.SCHEMAS, layout.LOG)
            for path in (self.repository.root / top).rglob("*")
            if path.is_file() and path.name != "checkpoint" and not path.parent.suffix
        }
        assert {path: now.get(path) for path in self.truth} == self.truth
        self.truth = now

    @invariant()
    def every_checkpoint_that_was_seen_is_a_prefix(self) -> None:
        if not hasattr(self, "model"):
            return
        log = Archive(self.repository.root).log
        head = log.checkpoint()
        assert head is not None
        runs = sum(len(done) for done in self.model.values())
        assert head.size >= len(self.model) + runs
        for old in self.seen.values():
            proof = log.consistency(old.size, head.size)
            check_consistency(old.size, head.size, proof, old.root, head.root)
        self.seen[head.size] = head

    @invariant()
    def all_that_the_model_has_is_logged_once_and_proves(self) -> None:
        if not hasattr(self, "model"):
            return
        log = Archive(self.repository.root).log
        head, index = log.checkpoint(), log.index()
        assert head is not None
        assert index.plates() == list(self.model)
        entries = [entry.encode() for entry in log.entries()]
        assert len(entries) == len(set(entries)) == head.size
        for plate, done in self.model.items():
            logged = index.runs(plate)
            assert len(logged) == len(done)
            for one in logged[-1:]:
                proof = log.inclusion(one.index, head.size)
                leaf = leaf_hash(entries[one.index])
                check_inclusion(one.index, head.size, leaf, proof, head.root)


def _writable(function: Callable[..., object], path: str, _: object) -> None:
    if os.path.lexists(path):
        os.chmod(os.path.dirname(path), 0o755)
        os.chmod(path, 0o755)
        function(path)


@pytest.mark.parametrize("share", range(2))
def test_a_repository_does_what_a_dict_does(tmp_path: Path, share: int) -> None:
    class Here(Machine):
        folder = tmp_path / "machine"

    full = settings().max_examples > 100
    examples = settings().max_examples // 20 if full else 5
    random.seed(share)
    chosen = settings(max_examples=examples, stateful_step_count=10 + 4 * share)
    run_machine(Here, settings=chosen)
