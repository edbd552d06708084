"""Names of clusters: by rule always, a person's first, and none lost by a new clustering."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledgerkit.api import Repository
from ledgerkit.errors import InvalidRecord, UsageError
from ledgerkit.naming import Naming
from ledgerkit.testing.clustered import PLATES, clustered
from ledgerkit.verify import verify

Command = Callable[..., subprocess.CompletedProcess[str]]


def in_force(repository: Repository) -> dict[str, dict[str, Any]]:
    repository.consolidate()
    return {one["cluster_id"]: one for one in repository.names().names}


def test_the_rule_names_every_cluster_by_what_is_on_record(worked: Repository) -> None:
    job = worked.run("describe")
    assert (job.complete, job.failures) == (1, [])
    found = in_force(worked)
    assert {one["source"] for one in found.values()} == {"rule"}
    assert all(one["name"] and one["description"] for one in found.values())
    assert {one["since_run_id"] for one in found.values()} == set(job.run_ids)
    assert worked.run("describe").skipped == 1
    assert verify(worked.root).sound
    (rule,) = worked.query("SELECT DISTINCT subject_run_id FROM descriptions").rows()
    assert rule == tuple({one["run_id"] for one in found.values()})


def test_an_amended_title_is_read_with_the_record_that_amends_it(worked: Repository) -> None:
    worked.run("describe")
    made = worked.amend({"plate-002": {"title": "Spoonbill"}}, by="A. Curator", reason="a test")
    assert worked.run("describe").complete == 1
    worked.consolidate()
    read = worked.query(
        "SELECT a.made_by, a.checked FROM current_runs r JOIN artifacts a USING (run_id) "
        "WHERE r.operation = 'describe' AND a.role = 'amendment'"
    )
    assert read.rows() == [(made.run_ids[0], "full")]
    assert verify(worked.root).sound


def test_a_person_is_before_the_rule_and_a_later_word_before_an_earlier(dozen: Repository) -> None:
    ids = clustered(dozen, "abcd", "efgh")
    dozen.name({ids["abcd"]: Naming("Herons"), "L1_1": Naming("Owls", "All of them.")}, by="A")
    dozen.name({ids["abcd"]: Naming("Egrets", "", PLATES[2])}, by="B. Curator", reason="better")
    found = in_force(dozen)
    first, second = found[ids["abcd"]], found[ids["efgh"]]
    assert (first["name"], first["source"], first["named_by"]) == ("Egrets", "person", "B. Curator")
    assert (first["overlap"], first["representative_id"]) == (1.0, PLATES[2])
    assert (second["name"], second["description"]) == ("Owls", "All of them.")
    assert second["representative_id"] == PLATES[4]
    assert verify(dozen.root).sound


def test_the_same_word_again_is_no_run_and_an_empty_one_takes_back(dozen: Repository) -> None:
    ids = clustered(dozen, "abcd", "efgh")
    given = {ids["abcd"]: Naming("Herons")}
    assert len(dozen.name(given, by="A").run_ids) == 1
    assert dozen.name(given, by="A").run_ids == []
    dozen.name({ids["abcd"]: Naming("")}, by="A", reason="they are none")
    assert in_force(dozen)[ids["abcd"]]["name"] is None
    assert dozen.names().lost == []


def test_a_name_goes_with_most_of_the_members_and_says_so(dozen: Repository) -> None:
    ids = clustered(dozen, "abcd", "efgh")
    dozen.name({ids["abcd"]: Naming("Herons"), ids["efgh"]: Naming("Owls")}, by="A. Curator")
    newer = clustered(dozen, "abcdi", "efg")
    found = in_force(dozen)
    assert set(found) == set(newer.values())
    grown, shrunk = found[newer["abcdi"]], found[newer["efg"]]
    assert (grown["name"], grown["named_as"], grown["overlap"]) == ("Herons", ids["abcd"], 4 / 5)
    assert (shrunk["name"], shrunk["overlap"]) == ("Owls", 3 / 4)
    assert dozen.names().lost == []
    dozen.name({newer["abcdi"]: Naming("Wading birds")}, by="B")
    clustered(dozen, "abcdi", "efgh")
    back = in_force(dozen)
    assert {one["name"] for one in back.values()} == {"Wading birds", "Owls"}
    assert {one["overlap"] for one in back.values()} == {1.0}


@pytest.mark.parametrize(
    ("groups", "kind", "now"),
    [
        (("ab", "cd"), "split", [2, 2]),
        (("abcdefghij",), "merged", [4]),
        (("aijkl", "bfgh"), "gone", [1, 1]),
        (("efgh",), "gone", []),
    ],
)
def test_a_name_that_no_cluster_bears_is_told_with_its_members(
    dozen: Repository, groups: tuple[str, ...], kind: str, now: list[int]
) -> None:
    ids = clustered(dozen, "abcd", "efgh")
    dozen.name({ids["abcd"]: Naming("Herons")}, by="A. Curator")
    clustered(dozen, *groups)
    assert all(one["name"] is None for one in in_force(dozen).values())
    (lost,) = dozen.names().lost
    assert (lost.name, lost.named_by, lost.kind, lost.size) == ("Herons", "A. Curator", kind, 4)
    assert [count for _, count in lost.now] == now


def test_half_in_common_is_not_enough(dozen: Repository) -> None:
    ids = clustered(dozen, "abcd")
    dozen.name({ids["abcd"]: Naming("Herons")}, by="A")
    clustered(dozen, "abcdefgh")
    assert [one["name"] for one in in_force(dozen).values()] == [None]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"cluster-none": Naming("x")}, "cluster-none: no clustering has made it"),
        ({"L1_7": Naming("x")}, "L1_7: no clustering"),
        ({"L1_0": Naming(" x")}, "blanks around"),
        ({"L1_0": Naming("x\x1b[2J")}, "control characters"),
        ({"L1_0": Naming("x\ny")}, "more than one line"),
        ({"L1_0": Naming("x" * 201)}, "more than 200 characters"),
        ({"L1_0": Naming("x", "", "plate-009")}, "plate-009 is no member"),
        ({"L1_0": Naming("", "x")}, "described without a name"),
    ],
)
def test_what_cannot_be_a_name_is_told_and_nothing_is_written(
    dozen: Repository, given: dict[str, Naming], told: str
) -> None:
    clustered(dozen, "abcd", "efgh")
    before = len(dozen.log())
    with pytest.raises(UsageError) as refused:
        dozen.name(given | {"L1_1": Naming("sound")}, by="A")
    assert told in refused.value.message
    assert len(dozen.log()) == before


def test_names_from_a_file_and_the_command_line(
    dozen: Repository, tmp_path: Path, command: Command
) -> None:
    ids = clustered(dozen, "abcd", "efgh")
    table = tmp_path / "names.csv"
    table.write_text(f"cluster,name,representative\n{ids['abcd']},Herons,plate-003\nL1_1,Owls,\n")
    done = command("name", "--from", table, "--by", "A. Curator", "-C", dozen.root)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "name: 2 clusters named")
    assert command("consolidate", "-C", dozen.root).returncode == 0
    listed = command("names", "-C", dozen.root).stdout
    assert f"L1_0         4 {ids['abcd']} Herons (person, A. Curator)" in listed
    done = command("name", "L1_0", "--by", "A", "-C", dozen.root)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    table.write_text("cluster,nome\nL1_0,Herons\n")
    with pytest.raises(UsageError, match="unknown column nome"):
        dozen.name(table, by="A")
    (tmp_path / "names.json").write_text("{")
    with pytest.raises(InvalidRecord):
        dozen.name(tmp_path / "names.json", by="A")
