"""Sweeps in a real repository: killed and gone on, recommended, and clustered by what holds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ledgerkit.api import Repository
from ledgerkit.errors import InvalidRecord, LedgerkitError, MissingInput, UsageError
from ledgerkit.export.settings import read_settings
from ledgerkit.kept import VARIABLE, KeptFolder

QUICK = {"trials": 20, "samples": 1, "algorithms": "leiden,kmeans"}


@pytest.fixture(scope="module")
def swept(_worked: Path, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Two collections, swept and consolidated."""
    root = tmp_path_factory.mktemp("flow") / "archive"
    shutil.copytree(_worked, root, symlinks=True)
    repository = Repository.open(root)
    repository.run("sweep", **QUICK)
    repository.run("sweep", collection="again", plates="plate-001..004", seed=7, **QUICK)
    repository.consolidate()
    return repository


def outputs(repository: Repository) -> dict[str, bytes]:
    (run,) = (run for run in repository._archive.runs("collection") if run.operation == "sweep")
    root = repository._archive.root
    return {one.role: (root / one.path).read_bytes() for one in repository._archive.outputs(run)}


def test_a_sweep_that_is_killed_goes_on_where_it_was(
    worked: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    monkeypatch.setenv(VARIABLE, str(kept))
    for name in ("killed", "whole"):
        shutil.copytree(worked._archive.root, tmp_path / name, symlinks=True)
    quick = QUICK | {"trials": 50}
    given = [word for name, value in quick.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "ledgerkit", "sweep", "run", *given]
    process = subprocess.Popen(
        [*command, "-C", str(tmp_path / "killed")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while len(list(kept.glob("*/*"))) < 5 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = set(kept.glob("*/*"))
    assert len(before) >= 5
    killed, whole = (Repository.open(tmp_path / name) for name in ("killed", "whole"))
    assert not [run for run in killed._archive.runs("collection") if run.operation == "sweep"]
    put: set[Path] = set()
    keep = KeptFolder.put

    def told(self: KeptFolder, key: str, value: bytes) -> None:
        put.add(self._path(key))
        keep(self, key, value)

    monkeypatch.setattr(KeptFolder, "put", told)
    killed.run("sweep", **quick)
    assert len(put) < 50
    assert not put & before
    assert not list(kept.glob("*/*"))
    monkeypatch.setenv(VARIABLE, os.devnull)  # no folder: nothing can be kept
    whole.run("sweep", **quick)
    assert outputs(killed) == outputs(whole)


def test_collections_lie_side_by_side_in_the_ledgers(swept: Repository) -> None:
    found = swept.query(
        "SELECT collection, count(*) AS n, min(rank) AS first FROM current_sweep_trials "
        "GROUP BY 1 ORDER BY 1"
    )
    assert found.rows() == [("again", 20, 1), ("all", 20, 1)]
    assert swept.run("sweep", **QUICK).skipped == 1


def test_what_is_recommended_is_what_cluster_takes_and_records(
    swept: Repository, tmp_path: Path
) -> None:
    target = tmp_path / "settings.json"
    view = swept.recommend(target)
    document = json.loads(target.read_bytes())
    assert (view.kind, view.algorithm) == ("robust", "leiden")
    assert {one["collection"] for one in document["provenance"]} == {"all", "again"}
    spaces = swept.query("SELECT DISTINCT space_id FROM current_sweep_trials")["space_id"].to_list()
    assert [[one["of"], one["space_id"]] for one in document["provenance"]] == [
        ["plates", *spaces]
    ] * 2
    given = read_settings(target)
    assert given["settings_sha256"] == view.sha256
    job = swept.run("cluster", **given)
    (run,) = (run for run in swept._archive.runs("collection") if run.run_id in job.run_ids)
    assert run.parameters["settings_sha256"] == view.sha256
    root = swept._archive.root
    (path,) = (one.path for one in swept._archive.outputs(run) if one.role == "clustering")
    clustering = json.loads((root / path).read_bytes())
    assert (clustering["method"], clustering["rule"]) == ("given", view.signature)
    with pytest.raises(UsageError, match="exists"):
        swept.recommend(target)


def test_the_best_of_one_collection_is_its_first_by_rank(swept: Repository, tmp_path: Path) -> None:
    view = swept.recommend(tmp_path / "own.json", collection="again")
    found = swept.query(
        "SELECT signature FROM current_sweep_trials WHERE collection = 'again' AND rank = 1"
    )
    assert (view.kind, view.signature) == ("collection", found["signature"][0])
    with pytest.raises(UsageError, match="no sweep of birds"):
        swept.recommend(tmp_path / "none.json", collection="birds")
    assert not (tmp_path / "none.json").exists()


def test_a_file_that_is_no_settings_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    with pytest.raises(UsageError, match="cannot read"):
        read_settings(file)
    for text in ("", "{}", "[1]", '{"schema_version": "settings.v1"}'):
        file.write_text(text)
        with pytest.raises((InvalidRecord, LedgerkitError)):
            read_settings(file)


def test_a_part_has_a_name_and_a_name_has_its_plates(
    swept: Repository, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    for do in (swept.run, swept.dry_run):
        with pytest.raises(UsageError, match="a part of the plates") as refused:
            do("sweep", plates="plate-001..003")
        assert "--collection birds" in str(refused.value.hint)
        with pytest.raises(UsageError, match="birds is the name of a part") as refused:
            do("sweep", collection="birds")
        assert "--plates or --where" in str(refused.value.hint)
    swept.consolidate()
    assert swept.dry_run("sweep", collection="birds", where="true").would_run == ["collection"]
    done = command("sweep", "run", "-C", swept._archive.root, "--plates", "plate-001..003")
    assert done.returncode == 2
    assert "Name it, as: --collection birds" in done.stderr
    done = command("sweep", "--help")
    assert [word in done.stdout for word in ("run", "plots", "recommend", "report")] == [True] * 4


def newest(repository: Repository, operation: str) -> tuple[str, str, set[str]]:
    """Collection and space of the newest run of an operation, and who made the vectors it read."""
    archive = repository._archive
    runs = {run.run_id: run for run in archive.runs("collection")}
    run = [run for run in runs.values() if run.operation == operation][-1]
    makers = [one.run_id for one in archive.inputs(run) if one.role == "table:embeddings"]
    made_by = {runs[one].operation if one in runs else "embed" for one in makers}
    return str(run.parameters["collection"]), str(run.parameters["space"]), made_by


def test_what_reads_a_sweep_takes_the_vectors_of_its_space(worked: Repository) -> None:
    worked.run("fuse")
    worked.consolidate()
    found = worked.query("SELECT DISTINCT space_id FROM current_embeddings ORDER BY 1")
    classical, whitened = found["space_id"].to_list()
    worked.run("sweep", space=whitened, **QUICK)
    for name in ("survey", "pairs"):
        job = worked.run(name)
        assert not [one for one in job.failures if "no vector" in one.message]
        assert newest(worked, name) == ("all", whitened, {"fuse"})
    worked.run("sweep", space=classical, **QUICK)
    worked.run("pairs")
    assert newest(worked, "pairs") == ("all", classical, {"embed"})
    assert worked.dry_run("survey", space=whitened, collection="all").skipped == 1
    with pytest.raises(
        MissingInput, match="no sweep run to read with vectors in the space x"
    ) as no:
        worked.run("pairs", space="x")
    assert "ledgerkit sweep run --of plates --space x" in str(no.value.hint)
    worked.withdraw("plate-001", by="A. Curator", reason="a test")
    with pytest.raises(MissingInput, match=r"the space of .* is outdated"):
        worked.run("pairs", space=whitened)
    assert worked.dry_run("survey", space=whitened).would_run == ["collection"]


def test_a_survey_says_which_sweep_it_is_of_and_each_has_its_variant(swept: Repository) -> None:
    for given in ({}, {"collection": "all"}, {"collection": "again"}):
        swept.run("survey", **given)
    runs = [run for run in swept._archive.runs("collection") if run.operation == "survey"]
    assert [run.parameters["collection"] for run in runs] == ["again", "all"]
    assert len({run.variant for run in runs}) == 2


def test_settings_and_what_they_decide_do_not_go_together(
    swept: Repository, tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    file = tmp_path / "settings.json"
    swept.recommend(file)
    given = ["cluster", "--dry-run", "--settings", file, "-C", swept._archive.root]
    done = command(*given, "--components", "32", "--no-whiten")
    assert done.returncode == 2
    assert f"--settings {file} decides --components, --whiten" in done.stderr
    assert command(*given, "--max-noise", "0.5").returncode == 0
    with pytest.raises(UsageError, match="a setting decides neighbours"):
        swept.dry_run("cluster", **read_settings(file), neighbours="5")
