"""Fixity checks on record: what was read when, how far, and with what outcome."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from ledgerkit import schema
from ledgerkit.api import Repository
from ledgerkit.cli import cli
from ledgerkit.testing.flips import turn
from ledgerkit.testing.spoiled import source_of, spoil

PAGE = Path(__file__).parent.parent / "docs" / "queries.md"


def overdue(repository: Repository, days: int = 90) -> list[str]:
    """Files that the worked query names, for another number of days."""
    section = PAGE.read_text().partition("## Files that have not been read and verified")[2]
    match = re.search(r"```sql\n(.*?)```", section, re.DOTALL)
    assert match is not None
    sql = match[1].replace("90 DAY", f"{days} DAY")
    return [row["path"] for row in repository.query(sql).to_dicts()]


def test_the_outcome_of_every_file_is_kept_and_asked_for_in_sql(tiny: Repository) -> None:
    tiny.run("headers")
    tiny.consolidate()
    listed = overdue(tiny)
    assert len(listed) > 20
    view = tiny.fixity()
    assert view.verified.sound
    assert view.files == view.verified.right
    tiny.consolidate()
    assert overdue(tiny) == [
        path for path in overdue(tiny) if f"/{view.run_id}/" in path
    ]  # its own two outputs were made after it had read everything
    assert set(listed) <= set(overdue(tiny, days=0))
    (run,) = tiny.query("SELECT * FROM runs WHERE operation = 'fixity'").to_dicts()
    assert (run["event_type"], run["status"], run["run_id"]) == (
        "fixity check",
        "complete",
        view.run_id,
    )
    assert json.loads(run["parameters"])["depth"] == "full"
    assert run["ended_at"] - run["started_at"] < timedelta(minutes=1)
    assert tiny.verify().findings == []


def test_what_was_only_looked_at_is_not_taken_for_read(tiny: Repository) -> None:
    tiny.fixity(depth="structure")
    tiny.consolidate()
    path = str(source_of(tiny.root).relative_to(tiny.root))
    assert path in overdue(tiny)
    rows = tiny.query("SELECT depth, outcome FROM fixity WHERE path = ?", [path]).to_dicts()
    assert rows == [{"depth": "structure", "outcome": "not checked"}]
    tiny.fixity(depth="quick", plates="plate-001")
    tiny.consolidate()
    assert path not in overdue(tiny)
    assert str(source_of(tiny.root, 2).relative_to(tiny.root)) in overdue(tiny)


def test_damage_is_recorded_with_its_findings_and_said_by_the_exit_code(tiny: Repository) -> None:
    turn(source_of(tiny.root), 77)
    done = CliRunner().invoke(
        cli, ["fixity", "record", "-C", str(tiny.root)], standalone_mode=False
    )
    assert done.return_value == 1
    assert "NOT SOUND" in done.output
    tiny.consolidate()
    path = str(source_of(tiny.root).relative_to(tiny.root))
    (run,) = tiny.query("SELECT * FROM runs WHERE operation = 'fixity'").to_dicts()
    assert (run["status"], run["failed_items"]) == ("partial", 1)
    (row,) = tiny.query("SELECT path, message FROM fixity WHERE outcome = 'wrong'").to_dicts()
    assert row["path"] == path
    assert "recorded SHA-256" in row["message"]
    (found,) = (tiny.root / "runs").glob(f"{run['run_id']}/outputs/findings.json")
    document = json.loads(found.read_bytes())
    assert schema.problems("findings.v1", document) == []
    assert [one["subject"] for one in document["findings"]] == [path]


def test_a_sample_is_recorded_as_what_was_read(tiny: Repository) -> None:
    view = tiny.fixity(sample=2, seed=7)
    tiny.consolidate()
    counted = tiny.query(
        "SELECT depth, outcome, count(*) AS n FROM fixity GROUP BY ALL ORDER BY depth"
    ).to_dicts()
    assert counted == [
        {"depth": "full", "outcome": "right", "n": view.verified.full.files},
        {"depth": "structure", "outcome": "not checked", "n": view.verified.structure.files},
    ]
    (run,) = tiny.query("SELECT parameters FROM runs WHERE operation = 'fixity'").to_dicts()
    assert json.loads(run["parameters"])["seed"] == 7


def test_the_command_line_says_what_was_read_and_prints_a_closed_view(
    tiny: Repository, tmp_path: Path
) -> None:
    def say(*arguments: object) -> tuple[int, str]:
        given = ["verify", "-C", str(tiny.root), *map(str, arguments)]
        done = CliRunner().invoke(cli, given, standalone_mode=False)
        assert done.exception is None, done.exception
        return done.return_value or 0, done.output

    kept = tmp_path / "checkpoint"
    kept.write_bytes((tiny.root / "log" / "checkpoint").read_bytes())
    code, text = say("--depth", "quick", "--checkpoint", kept, "--resume", tmp_path / "cursor")
    assert code == 0
    assert "read quickly (XXH3-128): " in text
    assert "checked against" in text
    assert text.splitlines()[-1].startswith("Sound: ")
    code, text = say("--sample", "3", "--seed", "5", "--plates", "plate-001")
    assert "3 files were drawn with --seed 5" in text
    assert "left out: 2 plates" in text
    code, text = say("--json")
    assert schema.problems("verify.v1", json.loads(text)) == []
    assert json.loads(text) == msgspec.to_builtins(tiny.verify()) | {
        "seconds": json.loads(text)["seconds"]
    }
    spoil(source_of(tiny.root), b"short")
    code, text = say("--depth", "structure")
    assert code == 1
    assert text.splitlines()[-1].startswith("NOT SOUND: ")


@pytest.mark.parametrize("given", [{"depth": "deep"}, {"sample": 0}])
def test_what_has_no_meaning_is_refused(tiny: Repository, given: dict[str, object]) -> None:
    from ledgerkit.errors import UsageError

    with pytest.raises(UsageError):
        tiny.fixity(**given)  # type: ignore[arg-type]
