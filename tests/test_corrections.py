"""Corrections as a curator makes them: laid over what came in, provable, and never in its place."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ledgerkit import merkle
from ledgerkit.api import Repository
from ledgerkit.cli import main
from ledgerkit.errors import InvalidRecord, LedgerkitError, UsageError
from ledgerkit.history import History
from ledgerkit.log import Log
from ledgerkit.overlay import laid_over
from ledgerkit.reading import Tree
from ledgerkit.refusal import RefusedForFindings
from ledgerkit.testing.crash import kill_at, steps

PAGE = Path(__file__).parent.parent / "docs" / "corrections.md"
WHO: dict[str, Any] = {"by": "A. Curator", "reason": "it was wrong"}


@pytest.fixture
def rescan(tmp_path: Path) -> Path:
    """Another scan of plate 1, larger than the first."""
    pixels = np.random.default_rng(77).integers(0, 256, (24, 32, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "1-rescan.png")
    return tmp_path / "1-rescan.png"


def row(repository: Repository, plate: str = "plate-001") -> dict[str, Any]:
    repository.consolidate()
    (found,) = repository.query("FROM plates WHERE plate_id = ?", [plate]).to_dicts()
    return found


def ledgers(repository: Repository) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (repository.root / "ledger").iterdir()}


def rebuilt(repository: Repository) -> dict[str, bytes]:
    shutil.rmtree(repository.root / "ledger")
    repository.consolidate()
    return ledgers(repository)


def evidence(repository: Repository, plate: str = "plate-001") -> dict[str, bytes]:
    """A plate's files as they came in."""
    folder = repository.root / "plates_structured" / plate
    files = [folder / "manifest.json", folder / "source.sha256", *(folder / "source").iterdir()]
    return {str(path): path.read_bytes() for path in files}


def current(repository: Repository) -> set[tuple[str, str]]:
    """Current runs on plates as the ledger has them; plans must see the same."""
    repository.consolidate()
    frame = repository.query(
        "SELECT plate_id, run_id FROM runs WHERE current AND plate_id NOT NULL"
    )
    listed = set(frame.rows())
    history = History(repository._archive)
    planned = {
        (plate, run.run_id)
        for plate in repository._archive.plate_ids()
        for run in history.current(plate)
    }
    assert listed == planned
    return listed


def test_two_amends_add_up_and_every_record_of_the_row_is_provable(tiny: Repository) -> None:
    before = evidence(tiny)
    tiny.run("headers")
    tiny.amend({"plate-001": {"title": "Wild Turkey", "license": "CC0"}}, **WHO)
    assert row(tiny)["title"] == "Wild Turkey"
    tiny.amend({"plate-001": {"title": "Great American Cock", "slug": "cock"}}, **WHO)
    found = row(tiny)
    assert (found["title"], found["slug"], found["license"]) == (
        "Great American Cock",
        "cock",
        "CC0",
    )
    assert tiny.plates()[0].title == "Great American Cock"
    assert row(tiny, "plate-002")["title"] == "Plate 2"
    assert evidence(tiny) == before
    on_top = ledgers(tiny)
    assert on_top == rebuilt(tiny)

    log = Log(Tree(tiny.root))
    head = log.checkpoint()
    assert head is not None
    entries = [next(iter(log.entries(index, index + 1))) for index in found["log_indexes"]]
    assert [entry.kind for entry in entries] == ["manifest", "run", "run", "run"]
    assert all("plate-001/" in entry.path for entry in entries)
    for index, entry in zip(found["log_indexes"], entries, strict=True):
        proof = log.inclusion(index, head.size)
        leaf = merkle.leaf_hash(entry.encode())
        merkle.check_inclusion(index, head.size, leaf, proof, head.root)
    assert tiny.verify().sound
    assert tiny.audit().sound


def test_a_row_that_nothing_altered_names_its_manifest_only(tiny: Repository) -> None:
    found = row(tiny)
    assert found["log_indexes"] is None
    assert found["log_index"] is not None
    assert found["withdrawn"] is False


def test_a_field_can_be_emptied_and_what_says_so_already_is_left(tiny: Repository) -> None:
    assert row(tiny)["download_url"]
    assert tiny.amend({"plate-001": {"download_url": None}}, **WHO).plates == ["plate-001"]
    assert row(tiny)["download_url"] is None
    size = row(tiny)["log_indexes"]
    again = tiny.amend({"plate-001": {"download_url": None, "title": "Plate 1"}}, **WHO)
    assert (again.plates, again.unchanged) == ([], ["plate-001"])
    assert row(tiny)["log_indexes"] == size


def test_many_plates_are_amended_from_a_file_in_one_commit(
    tiny: Repository, tmp_path: Path
) -> None:
    (tmp_path / "c.csv").write_text(
        "plate;title;license\n1;One;\nplate-003;Three;CC0\n2;Plate 2;\n"
    )
    done = tiny.amend(tmp_path / "c.csv", **WHO)
    assert (done.plates, done.unchanged) == (["plate-001", "plate-003"], ["plate-002"])
    runs = [tiny._archive.run(*pair) for pair in zip(done.plates, done.run_ids, strict=True)]
    assert len({run.job_id for run in runs}) == 1
    assert [run.parameters["fields"] for run in runs] == [
        {"title": "One"},
        {"title": "Three", "license": "CC0"},
    ]
    assert {run.agent.person for run in runs} == {"A. Curator"}
    assert {run.event_type for run in runs} == {"metadata modification"}
    (tmp_path / "c.json").write_text('[{"plate_id": "plate-003", "license": null}]')
    tiny.amend(tmp_path / "c.json", **WHO)
    assert (row(tiny, "plate-003")["title"], row(tiny, "plate-003")["license"]) == ("Three", None)


HOSTILE: list[tuple[str, list[str]]] = [
    ('[{"plate": 9, "title": "x"}, {"plate": 1, "colour": "x"}, {"plate": 2, "title": ""}]',
     ["CORRECTION_PLATE_UNKNOWN plate-009", "CORRECTION_INVALID plate-001",
      "CORRECTION_INVALID plate-002"]),
    ('[{"plate": 1, "title": null, "slug": 7}]', ["CORRECTION_INVALID plate-001"] * 2),
    ('[{"plate": 1}]', ["CORRECTION_INVALID plate-001"]),
    ('[{"plate": 1, "title": "a\\u0007"}]', ["CORRECTION_INVALID plate-001"]),
    ('[{"title": "x"}, 7, {"plate": "../plate-001", "title": "x"}]',
     ["CORRECTION_INVALID entry 1", "CORRECTION_INVALID entry 2", "CORRECTION_INVALID entry 3"]),
    ('[{"plate": 1, "title": "x"}, {"plate": "plate-001", "slug": "y"}]',
     ["CORRECTION_INVALID plate-001"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), HOSTILE)
def test_everything_wrong_in_a_file_is_said_in_one_go_and_nothing_is_written(
    tiny: Repository, tmp_path: Path, text: str, expected: list[str]
) -> None:
    before = (tiny.root / "log" / "checkpoint").read_bytes()
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(RefusedForFindings) as refused:
        tiny.amend(tmp_path / "c.json", **WHO)
    assert sorted(f"{one.code} {one.subject}" for one in refused.value.findings) == sorted(expected)
    assert (tiny.root / "log" / "checkpoint").read_bytes() == before


@pytest.mark.parametrize("text", ["{}", "7", "[]", "no json", '[{"plate": 1, "plate": 2}]'])
def test_a_file_that_holds_no_corrections_is_refused(
    tiny: Repository, tmp_path: Path, text: str
) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(LedgerkitError):
        tiny.amend(tmp_path / "c.json", **WHO)
    with pytest.raises(UsageError):
        tiny.amend(tmp_path / "none.csv", **WHO)


@pytest.mark.parametrize("who", [{"by": " ", "reason": "r"}, {"by": "A", "reason": "\n"}])
def test_nobody_corrects_anything_without_a_name_and_a_reason(
    tiny: Repository, rescan: Path, who: dict[str, str]
) -> None:
    before = (tiny.root / "log" / "checkpoint").read_bytes()
    attempts: list[Callable[[], object]] = [
        lambda: tiny.amend({"plate-001": {"title": "x"}}, **who),
        lambda: tiny.replace_source("plate-001", rescan, **who),
        lambda: tiny.withdraw("plate-001", **who),
        lambda: tiny.reinstate("plate-001", **who),
        lambda: tiny.freeze(**who),
    ]
    for attempt in attempts:
        with pytest.raises(UsageError):
            attempt()
    assert (tiny.root / "log" / "checkpoint").read_bytes() == before


def test_a_rescan_is_the_source_from_then_on_and_the_first_one_stays(
    tiny: Repository, rescan: Path
) -> None:
    tiny.run("headers")
    before, first = evidence(tiny), row(tiny)
    tiny.replace_source("plate-001", rescan, **WHO)
    found = row(tiny)
    assert evidence(tiny) == before
    assert (tiny.root / found["source_path"]).read_bytes() == rescan.read_bytes()
    assert found["source_path"].endswith("/outputs/1-rescan.png")
    assert found["source_bytes"] == rescan.stat().st_size
    assert found["source_sha256"] != first["source_sha256"]
    assert found["source_xxh3_128"] != first["source_xxh3_128"]
    assert (found["source_image"], found["media_type"]) == ("1-rescan.png", "image/png")
    assert (found["width"], found["headers_run_id"]) == (None, None)
    (view, *_) = tiny.plates()
    assert (view.source_path, view.source_sha256) == (found["source_path"], found["source_sha256"])

    phase = {one.operation: one for one in tiny.status().phases}["headers"]
    assert (phase.done, phase.missing) == (2, 1)
    assert tiny.run("headers").complete == 1
    rows = tiny.query("SELECT width, height FROM current_headers WHERE plate_id = 'plate-001'")
    tiny.consolidate()
    rows = tiny.query("SELECT width, height FROM current_headers WHERE plate_id = 'plate-001'")
    assert rows.rows() == [(32, 24)]
    assert row(tiny)["width"] == 32
    assert ledgers(tiny) == rebuilt(tiny)
    assert tiny.verify().sound
    assert tiny.audit().sound
    first_source = next(Path(name) for name in before if "/source/" in name)
    os.chmod(first_source, 0o644)
    first_source.write_bytes(b"x" * len(before[str(first_source)]))
    assert not tiny.verify().sound, "the source that was replaced is verified all the same"


def test_what_was_made_of_a_replaced_source_is_not_current_however_far_away(
    worked: Repository, tmp_path: Path
) -> None:
    """Segments and vectors were made of smaller images, and never read the source themselves."""
    before = current(worked)
    first = next((worked.root / "plates_structured" / "plate-001" / "source").iterdir())
    shutil.copy(first, tmp_path / "first.png")
    Image.open(first).transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(tmp_path / "rescan.png")
    worked.replace_source("plate-001", tmp_path / "rescan.png", **WHO)
    assert current(worked) == {pair for pair in before if pair[0] != "plate-001"}
    for name in ("headers", "measure", "normalize", "segment", "embed"):
        assert worked.run(name, plates="plate-001").complete == 1, name
    after = current(worked)
    assert len(after) == len(before)
    assert {pair[0] for pair in before ^ after} == {"plate-001"}
    worked.replace_source("plate-001", tmp_path / "first.png", by="A. Curator", reason="mirrored")
    assert current(worked) == before, "what was made of these bytes is current again"
    assert ledgers(worked) == rebuilt(worked)


def test_a_rescan_must_be_an_image_from_outside_with_a_name_that_all_systems_take(
    tiny: Repository, tmp_path: Path, rescan: Path, scans: Path
) -> None:
    before = (tiny.root / "log" / "checkpoint").read_bytes()

    def refused(file: Path, plate: str = "plate-001") -> str:
        with pytest.raises(LedgerkitError) as error:
            tiny.replace_source(plate, file, **WHO)
        return error.value.message

    (tmp_path / "text.png").write_text("no image")
    assert "SOURCE_UNREADABLE" in refused(tmp_path / "text.png")
    for name in ("aux.png", "a:b.png", "trailing .png ", "\udcff.png"):
        shutil.copy(rescan, tmp_path / name)
        assert "SOURCE_NAME_UNSAFE" in refused(tmp_path / name), name
    inside = next((tiny.root / "plates_structured" / "plate-002" / "source").iterdir())
    assert "inside the repository" in refused(inside)
    (tmp_path / "link.png").symlink_to(inside)
    assert "inside the repository" in refused(tmp_path / "link.png")
    assert "is no file" in refused(tmp_path)
    assert "is no file" in refused(tmp_path / "none.png")
    assert "present source" in refused(scans / "images" / "1-plate-1.jpg")
    assert "CORRECTION_PLATE_UNKNOWN" in refused(rescan, "plate-099")
    assert "CORRECTION_PLATE_UNKNOWN" in refused(rescan, "../plate-001")
    assert (tiny.root / "log" / "checkpoint").read_bytes() == before
    assert not list((tiny.root / ".ledgerkit" / "staging").iterdir())


def test_a_withdrawn_plate_is_left_out_until_it_is_reinstated(tiny: Repository) -> None:
    tiny.run("headers")
    before = current(tiny)
    assert tiny.withdraw("plate-002", by="A. Curator", reason="rights").plates == ["plate-002"]
    assert tiny.withdraw(["plate-002"], **WHO).unchanged == ["plate-002"]
    job = tiny.run("measure")
    assert (job.complete, job.withdrawn, job.blocked, job.sound) == (2, 1, [], True)
    assert tiny.dry_run("measure", force=True).withdrawn == 1
    assert {plate for plate, _ in current(tiny)} == {"plate-001", "plate-003"}
    found = row(tiny, "plate-002")
    assert (found["withdrawn"], found["withdrawn_reason"]) == (True, "rights")
    assert tiny.query("FROM current_plates").height == 2
    status = tiny.status()
    assert (status.withdrawn, status.by_plate["plate-002"]) == (1, "withdrawn")
    assert {one.operation: one.missing for one in status.phases}["measure"] == 0

    tiny.reinstate("plate-002", **WHO)
    found = row(tiny, "plate-002")
    assert (found["withdrawn"], found["withdrawn_reason"]) == (False, None)
    assert before <= current(tiny)
    assert tiny.run("measure").complete == 1
    assert len(row(tiny, "plate-002")["log_indexes"]) == 4
    assert ledgers(tiny) == rebuilt(tiny)


def test_work_on_the_collection_leaves_withdrawn_plates_out(tiny: Repository) -> None:
    tiny.run("headers")
    tiny.withdraw("2", **WHO)
    job = tiny.run("propose")
    assert (job.complete, job.withdrawn, job.blocked) == (1, 1, [])
    run = tiny._archive.run("collection", job.run_ids[0])
    assert not any("plate-002" in given.path for given in tiny._archive.inputs(run))
    tiny.withdraw("1..3", **WHO)
    with pytest.raises(LedgerkitError, match="all plates are withdrawn"):
        tiny.run("propose")


def test_lineage_says_who_corrected_a_plate_and_why(tiny: Repository, rescan: Path) -> None:
    tiny.amend({"plate-001": {"title": "Wild Turkey", "license": None}}, **WHO)
    tiny.replace_source("plate-001", rescan, by="B. Scanner", reason="the first was cut")
    tiny.withdraw("plate-001", by="C. Lawyer", reason="rights")
    tiny.consolidate()
    node = tiny.lineage("plate-001")
    assert node.detail["title"] == "Wild Turkey"
    assert (node.detail["withdrawn"], node.detail["withdrawn_reason"]) == (True, "rights")
    said = {
        one.detail["operation"]: (one.detail["person"], one.detail["reason"])
        for one in node.made_from
        if "reason" in one.detail
    }
    assert said == {
        "amend": ("A. Curator", "it was wrong"),
        "replace-source": ("B. Scanner", "the first was cut"),
        "withdraw": ("C. Lawyer", "rights"),
    }
    page = (PAGE.parent / "queries.md").read_text("utf-8").partition("## What was corrected\n")[2]
    answer = tiny.query(page.partition("```sql\n")[2].partition("```")[0])
    assert answer["operation"].to_list() == ["amend", "replace-source", "withdraw"]
    assert answer["reason"].to_list() == ["it was wrong", "the first was cut", "rights"]


def test_an_event_that_says_nothing_stops_the_build(tiny: Repository) -> None:
    for parameters in ({}, {"fields": {"colour": "x"}}, {"fields": {"title": None}}):
        with pytest.raises(InvalidRecord, match="run-1"):
            laid_over([("amend", "run-1", parameters)])
    with pytest.raises(InvalidRecord):
        laid_over([("withdraw", "run-1", {"reason": 7})])
    with pytest.raises(InvalidRecord):
        laid_over([("replace-source", "run-1", {})])


def test_a_crash_at_any_step_leaves_the_old_plate_or_the_new(
    tiny: Repository, rescan: Path, tmp_path: Path
) -> None:
    def act(root: Path) -> None:
        Repository.open(root).replace_source("plate-001", rescan, **WHO)
        Repository.open(root).amend(
            {"plate-001": {"title": "One"}, "plate-002": {"title": "Two"}}, **WHO
        )

    def fresh() -> Path:
        root = tmp_path / "copy"
        if root.exists():
            for folder, _, _ in os.walk(root):
                os.chmod(folder, 0o755)
            shutil.rmtree(root)
        return Path(shutil.copytree(tiny.root, root, symlinks=True))

    root = fresh()
    listed = steps(partial(act, root), root)
    for step in range(0, len(listed), 7):
        root = fresh()
        kill_at(step, partial(act, root), root)
        found = Repository.open(root)
        with found._archive.store.locked(wait=0):
            pass
        plates = found.plates()
        titles = [one.title for one in plates[:2]]
        assert titles in (["Plate 1", "Plate 2"], ["One", "Two"]), listed[step]
        replaced = "/runs/" in str(plates[0].source_path)
        assert replaced or titles == ["Plate 1", "Plate 2"], listed[step]
        assert found.verify().sound, listed[step]
        if not replaced:
            found.replace_source("plate-001", rescan, **WHO)
        found.amend({"plate-001": {"title": "One"}, "plate-002": {"title": "Two"}}, **WHO)
        assert [one.title for one in found.plates()[:2]] == ["One", "Two"]


def say(*words: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return int(left.value.code or 0)


def test_the_worked_example_runs_as_it_stands(
    tiny: Repository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = PAGE.read_text("utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEDGERKIT_REPOSITORY", str(tiny.root))
    (tmp_path / "corrections.csv").write_text(text.partition("```csv\n")[2].partition("```")[0])
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) == 10
    for line in lines:
        assert say(*shlex.split(line)[1:]) == 0, line
    shown = capsys.readouterr().out
    assert "amend: 2 amended" in shown
    assert "headers: 2 done, 1 left out because withdrawn" in shown
    assert "Frozen by run-" in shown
    tiny.consolidate()
    titles = tiny.query("SELECT title FROM plates ORDER BY plate_id")["title"].to_list()
    assert titles == ["Plate 2", "Plate 1", "Plate 3"]


def test_the_command_line_prints_what_python_gets(
    tiny: Repository, rescan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["-C", tiny.root, "--by", "A", "--reason", "r"]
    assert say("amend", "plate-001", "--title", "T", "--clear", "download-url", *where) == 0
    assert say("amend", "plate-009", "--title", "T", *where) == 1
    shown = capsys.readouterr()
    assert "error   CORRECTION_PLATE_UNKNOWN plate-009" in shown.out
    assert "nothing was corrected" in shown.err
    assert say("amend", "plate-001", "--json", *where) == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["code"] == "CORRECTION_INVALID"
    assert say("amend", *where) == say("amend", "plate-001", "--from-file", "x", *where) == 2
    assert say("withdraw", "plate-007", *where) == 2
    capsys.readouterr()
    assert say("replace-source", "plate-001", rescan, "--json", *where) == 0
    view = json.loads(capsys.readouterr().out)
    assert (view["operation"], view["plates"]) == ("replace-source", ["plate-001"])
    assert row(tiny)["title"] == "T"
