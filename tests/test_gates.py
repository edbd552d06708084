"""`gates` and clusterings that follow an earlier one, on a real repository."""

import pytest
from click.testing import CliRunner

from ledgerkit.api import Repository
from ledgerkit.cli import cli
from ledgerkit.errors import MissingInput, UsageError
from ledgerkit.history import History
from ledgerkit.records import Run
from ledgerkit.repository import Archive


def clusterings(repository: Repository) -> list[Run]:
    runs = Archive(repository.root).runs("collection")
    return [run for run in runs if run.operation == "cluster"]


def test_gates_lists_what_current_runs_found_and_only_what_failed_when_asked(
    worked: Repository,
) -> None:
    worked.consolidate()
    every, failed = worked.gates(), worked.gates(failed=True, operation="cluster")
    assert {one.operation for one in every.gates} >= {"cluster", "segment"}
    assert every.failed >= failed.failed == len(failed.gates) > 0
    rows = next(one for one in failed.gates if (one.gate, one.check) == ("preflight", "rows"))
    assert rows.message == "4 rows, at least 100 wanted"
    (run,) = clusterings(worked)
    (again,) = (one for one in worked.gates(run=run.run_id, failed=True).gates if one == rows)
    assert again.run_id == run.run_id
    said = CliRunner().invoke(cli, ["gates", "--failed", "-C", str(worked.root)])
    assert said.exit_code == 0
    lines = [line.split() for line in said.output.splitlines()]
    assert ["FAILED", "collection", "cluster", "preflight/rows", "4", "rows,"] in [
        line[:6] for line in lines
    ]
    assert f"{worked.gates(failed=True).failed} failed" in said.output


def test_gates_of_what_there_is_not_are_refused(worked: Repository) -> None:
    worked.consolidate()
    with pytest.raises(MissingInput, match="run-none"):
        worked.gates(run="run-none")
    with pytest.raises(UsageError, match="clster"):
        worked.gates(operation="clster")
    assert worked.gates(operation="encode").gates == []


def test_a_clustering_follows_the_run_it_names_and_match_says_the_same(worked: Repository) -> None:
    (earlier,) = clusterings(worked)
    job = worked.run("cluster", onto=earlier.run_id)
    assert job.sound
    later = clusterings(worked)[-1]
    roles = {given.role: given.run_id for given in Archive(worked.root).inputs(later)}
    for name in ("table:cluster_members", "clustering"):
        assert roles[f"{name}@{earlier.run_id}"] == earlier.run_id
    assert worked.run("match", run=later.run_id, former=earlier.run_id).sound
    worked.consolidate()
    rows = worked.query(
        "SELECT subject_id, x, y FROM cluster_members WHERE run_id IN (?, ?)"
        "GROUP BY ALL ORDER BY ALL",
        [earlier.run_id, later.run_id],
    ).to_dicts()
    assert len(rows) == 4
    columns = "cluster_id, former_run_id, former_cluster_id, overlap, shared, kind"
    both = f"SELECT {columns}, count(*) AS times FROM cluster_matches GROUP BY ALL"
    matches = worked.query(both).to_dicts()
    assert matches
    assert {row["times"] for row in matches} == {2}
    assert {(row["kind"], row["overlap"]) for row in matches} == {("same", 1.0)}
    trials = worked.query("SELECT trial, chosen FROM current_trials").to_dicts()
    assert sum(row["chosen"] for row in trials) == 1
    assert worked.verify().sound


def test_a_run_that_is_not_there_cannot_be_followed(worked: Repository) -> None:
    with pytest.raises(MissingInput, match="no run run-20200101-000000Z-0123456789ab of the"):
        worked.run("cluster", onto="run-20200101-000000Z-0123456789ab")
    with pytest.raises(UsageError, match="match compares two runs"):
        worked.run("match")


def test_a_pinned_token_means_that_run_whatever_is_newer(worked: Repository) -> None:
    (earlier,) = clusterings(worked)
    worked.run("cluster", force=True)
    history = History(Archive(worked.root))
    newest = history.resolve("clusters", "collection", None)
    pinned = history.resolve(f"clusters@{earlier.run_id}", "collection", None)
    assert [given.run_id for given in newest.inputs] == [clusterings(worked)[-1].run_id]
    assert [given.run_id for given in pinned.inputs] == [earlier.run_id]
    assert [given.role for given in pinned.inputs] == [f"table:clusters@{earlier.run_id}"]
    assert pinned.variants == []


def test_a_strict_run_that_fails_a_check_is_a_failed_run_with_the_reason(
    worked: Repository,
) -> None:
    job = worked.run("cluster", strict=True)
    (failure,) = job.failures
    assert failure.message == "preflight: rows: 4 rows, at least 100 wanted"
    assert clusterings(worked)[-1].status == "failed"
