"""The public `Repository`: the verbs of the command line, for Python."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import ledgerkit
from ledgerkit import LedgerkitError, Repository
from ledgerkit.cli import COMMANDS
from ledgerkit.errors import (
    InvalidRecord,
    MissingInput,
    QueryRefused,
    RepositoryNotFound,
    UsageError,
)


def test_the_package_names_its_public_parts() -> None:
    assert ledgerkit.__all__ == ["LedgerkitError", "Repository", "__version__"]
    assert all(getattr(ledgerkit, name) for name in ledgerkit.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = ledgerkit.Nothing


def test_every_command_has_its_verb() -> None:
    # models are in a store outside any repository; what is in `sweep` is an operation or a verb
    commands = (COMMANDS.keys() - {"models", "sweep"}) | {"judge", "recommend", "weigh"}
    for command in commands | {"sweep_report"}:
        assert callable(getattr(Repository, command.replace("-", "_"))), command


def test_every_verb_says_what_it_does() -> None:
    for name, verb in inspect.getmembers(Repository):
        if not name.startswith("_"):
            assert verb.__doc__, name


def test_opens_the_one_named_or_else_the_nearest_at_or_above_the_current_folder(
    tiny: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = tiny.root / "plates_structured" / "plate-001" / "source"
    assert Repository.open(tiny.root).root == Repository.open(str(tiny.root)).root == tiny.root
    monkeypatch.chdir(below)
    assert Repository.open().root == tiny.root
    with pytest.raises(RepositoryNotFound):  # a typing error must not write into a parent
        Repository.open(tiny.root / "typo")


def test_says_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(RepositoryNotFound, match=str(tmp_path)) as refused:
        Repository.open(tmp_path)
    assert "ledgerkit init" in str(refused.value.hint)
    assert refused.value.exit_code == 2


def test_init_makes_a_repository_and_keeps_the_one_that_is_there(tmp_path: Path) -> None:
    made = Repository.init(tmp_path / "new" / "archive")
    document = (made.root / "repository.json").read_bytes()
    assert made.plates() == []
    assert Repository.init(made.root).root == made.root
    assert (made.root / "repository.json").read_bytes() == document
    assert made.audit().sound
    assert made.verify().sound


def test_init_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file, not a folder"):
        Repository.init(tmp_path / "file")


def test_plates_come_in_the_order_of_their_numbers(tiny: Repository) -> None:
    plates = tiny.plates()
    assert [plate.plate_id for plate in plates] == ["plate-001", "plate-002", "plate-003"]
    assert plates[0].title == "Plate 1"
    assert plates[0].source_path == "plates_structured/plate-001/source/1-plate-1.jpg"
    assert plates[0].source_sha256 is not None
    assert plates[0].runs == []


def test_a_bad_manifest_is_named(tiny: Repository) -> None:
    path = tiny.root / "plates_structured" / "plate-002" / "manifest.json"
    path.chmod(0o644)
    path.write_text("{")
    with pytest.raises(InvalidRecord, match=r"plate-002/manifest\.json"):
        tiny.plates()


def test_answers_are_polars_frames(tiny: Repository) -> None:
    tiny.consolidate()
    found = tiny.query("SELECT plate_id, source_bytes FROM plates ORDER BY 1")
    assert isinstance(found, pl.DataFrame)
    assert found["plate_id"].to_list() == ["plate-001", "plate-002", "plate-003"]


@pytest.mark.parametrize(
    ("plates", "where", "chosen"),
    [
        (None, None, None),
        ("plate-001,3", None, ["plate-001", "plate-003"]),
        (["plate-002", "plate-001"], None, ["plate-001", "plate-002"]),
        ("2..", None, ["plate-002", "plate-003"]),
        (None, "plate_number <> 2", ["plate-001", "plate-003"]),
        ("1..2", "plate_number > 1", ["plate-002"]),
        (None, "true -- all of them", ["plate-001", "plate-002", "plate-003"]),
    ],
)
def test_selects_by_name_and_by_condition(
    tiny: Repository, plates: str | list[str] | None, where: str | None, chosen: list[str] | None
) -> None:
    tiny.consolidate()
    assert tiny.select(plates, where) == chosen


@pytest.mark.parametrize(
    ("plates", "where", "error"),
    [
        ("plate-009", None, UsageError),
        ("all of them", None, UsageError),
        (None, "plate_number > 9", UsageError),
        (None, "nonsense > 1", QueryRefused),
        (None, "true); DROP VIEW plates; --", QueryRefused),
        (None, "true) UNION SELECT content FROM read_text('/etc/passwd'", QueryRefused),
    ],
)
def test_a_selection_of_nothing_or_of_nonsense_is_an_error(
    tiny: Repository, plates: str | None, where: str | None, error: type[LedgerkitError]
) -> None:
    tiny.consolidate()
    with pytest.raises(error):
        tiny.select(plates, where)


def test_a_policy_goes_from_proposal_to_acceptance(tiny: Repository) -> None:
    with pytest.raises(MissingInput, match="no preprocessing policy is accepted") as refused:
        tiny.policy()
    assert "ledgerkit policy propose" in str(refused.value.hint)
    with pytest.raises(MissingInput, match="no policy is proposed"):
        tiny.proposed_policy()
    with pytest.raises(MissingInput, match="no policy is proposed"):
        tiny.accept_policy("A. Curator", "for the test")
    tiny.run("headers")
    tiny.run("propose")
    assert tiny.proposed_policy()["decided_by"] != "A. Curator"
    accepted = tiny.accept_policy("A. Curator", "for the test")
    assert tiny.policy() == accepted
    assert (accepted["decided_by"], accepted["reason"]) == ("A. Curator", "for the test")
    tiny.consolidate()
    person = tiny.query("SELECT person FROM runs WHERE operation = 'policy-accept'")
    assert person["person"].to_list() == ["A. Curator"]


def test_an_edited_policy_is_held_against_its_schema(tiny: Repository, tmp_path: Path) -> None:
    import json

    tiny.run("headers")
    tiny.run("propose")
    document = tiny.proposed_policy()
    edited = tmp_path / "policy.json"
    edited.write_text(json.dumps(document | {"quality": 80}))
    assert tiny.accept_policy("A. Curator", "smaller", edited)["quality"] == 80
    before = tiny.policy()
    for wrong in ({"quality": 0}, {"mood": "good"}, {"tile_overlap": document["tile_size"]}):
        edited.write_text(json.dumps(document | wrong))
        with pytest.raises(LedgerkitError):
            tiny.accept_policy("A. Curator", "wrong", edited)
    for by, reason in (("", "x"), ("x", " ")):
        with pytest.raises(UsageError, match="by somebody for a reason"):
            tiny.accept_policy(by, reason)
    assert tiny.policy() == before


def test_names_are_loaded_when_they_are_used() -> None:
    program = (
        "import sys, ledgerkit\n"
        "assert 'ledgerkit.api' not in sys.modules\n"
        "ledgerkit.Repository\n"
        "assert 'ledgerkit.api' in sys.modules and 'ledgerkit.engine' not in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
