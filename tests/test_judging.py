"""Trials held against answers, and weights that follow from them, out of a repository's records."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef

from ledgerkit import schema
from ledgerkit.api import Repository
from ledgerkit.errors import LedgerkitError, MissingInput, UsageError
from ledgerkit.export.settings import read_weights
from ledgerkit.review import looked_at
from ledgerkit.sweeping.composite import WEIGHTS
from ledgerkit.testing.reviewed import put_pairs
from ledgerkit.testing.swept import made_up, put_sweep

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def _judged(tmp_path_factory: pytest.TempPathFactory, _dozen: Path) -> Path:
    """Twelve plates, a sweep of 40 trials, and 66 pairs answered by what the vectors have."""
    root = tmp_path_factory.mktemp("judged") / "archive"
    shutil.copytree(_dozen, root, symlinks=True)
    repository = Repository.open(root)
    _, members, _ = made_up([one.plate_id for one in repository.plates()], 3, 40)
    put_sweep(repository, 3, 40)
    put_pairs(repository, 66)
    group = {row["subject_id"]: row["consensus_half"] for row in members}
    told = {}
    for pair in looked_at(repository._archive).pairs()[1]:
        one, other = group[pair.subject_a], group[pair.subject_b]
        told[pair.pair_id] = "same" if one == other >= 0 else "different"
    unsure = dict.fromkeys(list(told)[:3], "unsure")
    repository.take_answers({"A": told, "B": told | unsure, "C": unsure})
    return root


@pytest.fixture
def judged(_judged: Path, tmp_path: Path) -> Repository:
    shutil.copytree(_judged, tmp_path / "judged", symlinks=True)
    return Repository.open(tmp_path / "judged")


def test_every_trial_is_held_against_the_majority(judged: Repository, command: Command) -> None:
    view = judged.judge()
    sweep = judged._archive.run("collection", view.sweep)
    assert (view.collection, sweep.operation, view.persons) == ("plates", "sweep", ["A", "B", "C"])
    assert (view.judged, view.unsure, len(view.trials)) == (66, 0, 40)
    rows, members, _ = made_up([one.plate_id for one in judged.plates()], 3, 40)
    labels = {row["subject_id"]: row["labels"] for row in members}
    review = looked_at(judged._archive)
    said = {pair: one.answer == "same" for pair, one in review.answers("A").items()}
    for one in view.trials:
        truth, found = [], []
        for pair in review.pairs()[1]:
            first, other = labels[pair.subject_a][one.trial], labels[pair.subject_b][one.trial]
            found.append(first == other >= 0)
            truth.append(said[pair.pair_id])
        if one.matthews is not None:
            assert one.matthews == pytest.approx(matthews_corrcoef(truth, found))
        assert one.rank == rows[one.trial]["rank"]
    given = [one.matthews for one in view.trials if one.matthews is not None]
    assert given == sorted(given, reverse=True)
    assert given[0] == 1.0  # each seventh trial moved nobody
    alone = judged.judge(by="B")
    assert (alone.persons, alone.judged, alone.unsure) == (["B"], 63, 3)
    done = command("sweep", "judge", "--top", 3, "-C", judged.root)
    assert done.stdout.startswith("plates: 66 pairs decided, 0 left open, by A, B, C\n")
    assert len(done.stdout.splitlines()) == 5


def test_a_newer_sweep_of_something_else_is_not_held_against_the_pairs(judged: Repository) -> None:
    before = judged.judge()
    put_sweep(judged, 3, 8, of="segments")
    assert judged.judge().sweep == before.sweep


def test_weights_are_written_with_their_intervals_and_nothing_is_replaced(
    judged: Repository, tmp_path: Path, command: Command
) -> None:
    runs = len(judged._archive.runs("collection"))
    done = command("sweep", "weigh", "-o", tmp_path / "weights.json", "-C", judged.root)
    assert done.returncode == 0, done.stderr
    assert "singleton_rate keeps its weight: it is the same in all trials" in done.stdout
    document = json.loads((tmp_path / "weights.json").read_text())
    assert schema.problems("weights.v1", document) == []
    assert set(document["weights"]) == set(WEIGHTS)
    assert document["weights"]["penalty"] == WEIGHTS["penalty"]
    terms = {one["name"]: one for one in document["found"]["terms"]}
    assert terms["stability"]["weight"] > WEIGHTS["stability"]  # that falls with what is wrong
    assert all(one["low"] <= one["weight"] <= one["high"] for one in terms.values())
    assert len(judged._archive.runs("collection")) == runs
    given = read_weights(tmp_path / "weights.json")
    assert json.loads(given["weight"]) == document["weights"]
    assert given["formula"] == "w1.text"
    sweep = ["sweep", "run", "--weights", tmp_path / "weights.json", "--dry-run", "-C", judged.root]
    assert command(*sweep).returncode == 0
    assert "decides --formula" in command(*sweep, "--formula", "w1.code").stderr
    again = judged.weigh(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "weights.json").read_bytes()
    assert again.held_out is not None
    assert again.held_out_default is not None
    assert again.held_out > 0.6
    with pytest.raises(LedgerkitError):
        judged.weigh(tmp_path / "again.json")


@pytest.mark.parametrize(
    "given", [("weigh", "--seed", "-1", "-o", "weights.json"), ("judge", "--top", "-1")]
)
def test_numbers_below_zero_are_refused(given: tuple[str, ...], command: Command) -> None:
    done = command("sweep", *given)
    assert done.returncode == 2
    assert "-1 is not in the range x>=" in done.stderr


def test_few_answers_nobody_and_no_sweep_are_said(
    judged: Repository, dozen: Repository, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="D has not answered"):
        judged.judge(by="D")
    with pytest.raises(UsageError, match="0 answers tell trials apart"):
        judged.weigh(tmp_path / "weights.json", by="C")
    assert not (tmp_path / "weights.json").exists()
    pairs = put_pairs(dozen, 4)
    with pytest.raises(MissingInput, match=r"no sweep of plates \(plates\) is on record"):
        dozen.judge()
    put_sweep(dozen, 3, 8)
    with pytest.raises(MissingInput, match="no pair of plates is answered yet"):
        dozen.judge()
    dozen.take_answers({"A": {pairs[0]: "unsure"}})
    view = dozen.judge()
    assert (view.judged, view.unsure) == (0, 1)
    assert {one.matthews for one in view.trials} == {None}
    assert np.array([one.trial for one in view.trials]).tolist() == list(range(8))
