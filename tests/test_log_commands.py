"""`ledgerkit log`, `query --prove` and `cite` on real repositories, and the program of docs/proof.md."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ledgerkit import layout
from ledgerkit.answers import canonical_answer
from ledgerkit.api import Repository
from ledgerkit.cli import main
from ledgerkit.errors import DigestMismatch, LogInvalid, MissingInput, UsageError
from ledgerkit.merkle import ProofInvalid, parse_checkpoint
from ledgerkit.note import NoteInvalid
from ledgerkit.proving import Trusted, keygen, verify_file
from ledgerkit.query import query_arrow

PAGE = Path(__file__).parent.parent / "docs" / "proof.md"
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """`say("status", "-C", root)`: exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(one) for one in arguments])
        shown = capsys.readouterr()
        return int(left.value.code or 0), shown.out, shown.err

    return run


@pytest.fixture
def built(tiny: Repository) -> Repository:
    tiny.run("headers")
    tiny.consolidate()
    return tiny


def everything(root: Path) -> dict[str, bytes]:
    """All files of a repository but the working ones."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files if layout.WORKING not in path.parts}


def test_a_checkpoint_is_that_of_the_log(built: Repository, tmp_path: Path, say: Say) -> None:
    root = built.root
    kept = (root / layout.CHECKPOINT).read_text()
    assert say("log", "checkpoint", "-C", root) == (0, kept, "")
    code, out, _ = say("log", "checkpoint", "-C", root, "-o", tmp_path / "kept")
    assert code == 0
    assert "written to" in out
    assert (tmp_path / "kept").read_text() == kept
    code, out, _ = say("log", "checkpoint", "-C", root, "--json")
    view = json.loads(out)
    assert view["text"] == kept
    assert view["signed_by"] is None
    assert view["size"] == parse_checkpoint(kept).size


def test_the_entries_of_the_log_are_those_of_the_files(built: Repository) -> None:
    entries = built.log()
    assert len(entries) == built.checkpoint().size
    for entry in entries:
        assert hashlib.sha256((built.root / entry.path).read_bytes()).hexdigest() == entry.sha256
    assert built.log(2, 4) == entries[2:4]
    built.run("measure")
    assert built.log()[: len(entries)] == entries


def test_a_key_is_made_outside_and_what_it_signs_verifies(
    built: Repository, tmp_path: Path, say: Say
) -> None:
    root, key, signed = built.root, tmp_path / "key", tmp_path / "signed"
    code, out, err = say("log", "keygen", "archive.example/plates", "-o", key)
    assert code == 0
    assert "keep it apart" in err
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    verifier = out.strip()
    assert verifier.startswith("archive.example/plates+")
    assert say("log", "checkpoint", "-C", root, "--sign", key, "-o", signed)[0] == 0
    code, out, _ = say("log", "verify", signed, "--key", verifier)
    assert code == 0
    assert "All of it holds" in out
    assert "signed by archive.example/plates+" in out
    (tmp_path / "vkey").write_text(f"{verifier}\n")
    assert say("log", "verify", signed, "--key", tmp_path / "vkey")[0] == 0
    other = keygen("archive.example/plates", tmp_path / "other").verifier
    code, _, err = say("log", "verify", signed, "--key", other)
    assert code == 1
    assert "no known key signed" in err


def test_nothing_is_written_into_a_repository(built: Repository, say: Say) -> None:
    root = built.root
    before = everything(root)
    inside = root / "kept"
    sql = "SELECT run_id FROM runs"
    for arguments in (
        ["log", "keygen", "a", "-o", inside],
        ["log", "checkpoint", "-C", root, "-o", inside],
        ["log", "prove", "plate-001", "-C", root, "-o", root / "runs" / "x"],
        ["query", sql, "-C", root, "--prove", inside],
    ):
        code, _, err = say(*arguments)
        assert code == 2, arguments
        assert "inside the repository" in err
    assert everything(root) == before


def test_the_key_is_not_read_from_inside_a_repository(built: Repository, tmp_path: Path) -> None:
    keygen("a", tmp_path / "key")
    shutil.copy(tmp_path / "key", built.root / "key")
    with pytest.raises(UsageError, match="inside the repository"):
        built.checkpoint(sign=built.root / "key")


@pytest.fixture
def proved(built: Repository, tmp_path: Path) -> tuple[Path, Path, Path]:
    """A proof of a plate's manifest, the manifest, and the checkpoint, all outside."""
    found = tmp_path / "plate.tlog-proof", tmp_path / "manifest.json", tmp_path / "checkpoint"
    found[0].write_text(built.prove("plate-002").text)
    shutil.copy(built.root / "plates_structured/plate-002/manifest.json", found[1])
    shutil.copy(built.root / layout.CHECKPOINT, found[2])
    return found


def test_a_proof_holds_where_there_is_no_repository(
    built: Repository, proved: tuple[Path, Path, Path], say: Say
) -> None:
    proof, manifest, checkpoint = proved
    shutil.move(built.root, built.root.with_name("gone"))
    code, out, _ = say("log", "verify", proof, "--record", manifest, "--checkpoint", checkpoint)
    assert code == 0
    assert "All of it holds" in out
    assert "plates_structured/plate-002/manifest.json" in out
    assert "the record given is" in out
    code, out, _ = say("log", "verify", proof)
    assert code == 0
    assert "NOTHING YOU HOLD vouches for it" in out
    assert "--key VKEY, or --checkpoint FILE" in out
    manifest.write_text(manifest.read_text().replace("Plate", "Slate"))
    code, out, err = say("log", "verify", proof, "--record", manifest, "--json")
    assert (code, out) == (1, "")
    assert "the record given has SHA-256" in err


def test_every_run_and_every_manifest_proves(built: Repository, tmp_path: Path) -> None:
    held = tmp_path / "checkpoint"
    held.write_text(built.checkpoint().text)
    subjects = built.query("SELECT run_id FROM runs")["run_id"].to_list()
    subjects += [plate.plate_id for plate in built.plates()]
    indexes = set()
    for subject in subjects:
        view = built.prove(subject)
        (tmp_path / "proof").write_text(view.text)
        shutil.copy(built.root / view.path, tmp_path / "record")
        found = verify_file(tmp_path / "proof", Trusted(checkpoint=held), [tmp_path / "record"])
        assert found.trusted
        indexes.add(view.index)
    assert indexes == set(range(view.size))


def program() -> str:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 1
    return str(blocks[0])


def test_the_program_of_the_page_checks_a_proof_with_nothing_installed(
    built: Repository, proved: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    assert program().count("\n") <= 32

    def run(*files: Path) -> subprocess.CompletedProcess[str]:
        given = [sys.executable, "-I", "-S", "-c", program(), *map(str, files)]
        return subprocess.run(given, capture_output=True, text=True, timeout=60)

    proof, manifest, checkpoint = proved
    done = run(proof, manifest, checkpoint)
    assert done.stdout == "plates_structured/plate-002/manifest.json is in the log\n", done.stderr
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    assert digest == built.prove("plate-002").sha256
    other = tmp_path / "other"
    shutil.copy(built.root / "plates_structured/plate-003/manifest.json", other)
    assert "another record" in run(proof, other, checkpoint).stderr
    built.run("measure")
    assert "another checkpoint" in run(proof, manifest, built.root / layout.CHECKPOINT).stderr
    text = proof.read_text()
    first = text.split("\n")[3]
    changed = ("A" if first[0] != "A" else "B") + first[1:]
    proof.write_text(text.replace(first, changed))
    assert "not in the log" in run(proof, manifest, checkpoint).stderr


def test_the_commands_on_the_page_are_commands(built: Repository) -> None:
    from ledgerkit.cli import COMMANDS

    lines = re.findall(r"^ledgerkit (\S+)", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(lines) >= 10
    assert set(lines) <= set(COMMANDS)


def test_the_queries_on_the_page_are_answered(built: Repository, tmp_path: Path, say: Say) -> None:
    page = PAGE.read_text("utf-8").replace("--at CHECKPOINT", f"--at {built.checkpoint().size}")
    lines = re.findall(r'^ledgerkit (query|cite) "([^"]+)"(.*)$', page, re.MULTILINE)
    assert len(lines) == 4
    for command, sql, rest in lines:
        options = [word for word in rest.partition("|")[0].split() if word != "widths.proof"]
        proof = [tmp_path / "widths.proof"] if "--prove" in options else []
        assert say(command, sql, *options, *proof, "-C", built.root)[0] == 0, sql
    assert (tmp_path / "widths.proof").exists()


def test_growth_is_shown_and_its_proof_joins_two_checkpoints(
    built: Repository, proved: tuple[Path, Path, Path], tmp_path: Path, say: Say
) -> None:
    proof, manifest, old = proved
    built.run("measure")
    root, growth, new = built.root, tmp_path / "growth", tmp_path / "new"
    code, out, _ = say("log", "consistency", old, "-C", root, "-o", growth)
    assert code == 0
    before = parse_checkpoint(old.read_text()).size
    assert f"all {before} entries that the log had then are in today's log" in out
    assert "ledgerkit verify" in out
    new.write_text(built.checkpoint().text)
    assert "all of them are in it" in say("log", "checkpoint", "-C", root, "--since", old)[2]
    code, out, _ = say("log", "verify", growth, "--checkpoint", old)
    assert code == 0
    assert f"holds all {before} entries" in out
    code, _, err = say("log", "verify", proof, "--checkpoint", new)
    assert code == 1
    assert "needs a proof of consistency" in err
    code, out, _ = say(
        "log", "verify", proof, "--record", manifest, "--checkpoint", new, "--consistency", growth
    )
    assert code == 0
    assert "continues this one" in out
    code, _, err = say("log", "verify", growth)
    assert code == 2
    assert "without the old checkpoint" in err


def rewritten(built: Repository, scans: Path, tmp_path: Path) -> Repository:
    """A repository of the same UUID whose keeper began anew: other records, one more of them."""
    root = tmp_path / "rewritten"
    (root / layout.PLATES).mkdir(parents=True)
    shutil.copy(built.root / layout.REPOSITORY_FILE, root)
    other = Repository.open(root)
    other.ingest(scans / "data.json", scans / "images")
    other.run("headers")
    other.run("measure")
    return other


def test_a_keeper_who_begins_anew_is_found_out_by_any_checkpoint(
    built: Repository, scans: Path, tmp_path: Path, say: Say
) -> None:
    old = tmp_path / "old"
    old.write_text(built.checkpoint().text)
    keygen("a", tmp_path / "key")
    forged = rewritten(built, scans, tmp_path)
    before = everything(forged.root)
    code, _, err = say("log", "consistency", old, "-C", forged.root, "-o", tmp_path / "none")
    assert code == 1
    assert "no continuation of the checkpoint" in err
    assert not (tmp_path / "none").exists()
    signing = ["log", "checkpoint", "-C", forged.root, "--sign", tmp_path / "key"]
    code, out, err = say(*signing, "--since", old)
    assert (code, out) == (1, "")
    assert "sign nothing" in err
    assert everything(forged.root) == before


def test_a_rollback_shows(built: Repository, tmp_path: Path) -> None:
    shutil.copytree(built.root, tmp_path / "yesterday", symlinks=True)
    built.run("measure")
    newer = tmp_path / "newer"
    newer.write_text(built.checkpoint().text)
    yesterday = Repository.open(tmp_path / "yesterday")
    with pytest.raises(ProofInvalid, match="entries were lost"):
        yesterday.consistency(newer)
    other = tmp_path / "other"
    other.write_text(newer.read_text().replace("ledgerkit/", "ledgerkit/0"))
    with pytest.raises(ProofInvalid, match="of another log"):
        yesterday.consistency(other)


def damage(path: Path, place: int) -> None:
    """Flip one bit of a file of the log."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.parent.chmod(0o755)
    path.chmod(0o644)
    path.write_bytes(bytes(data))


def widest(folder: Path) -> Path:
    """The newest of the partial tiles in a folder."""
    return max(folder.rglob("*.p/*"), key=lambda path: int(path.name))


def test_damaged_entries_are_neither_given_out_nor_signed(
    built: Repository, tmp_path: Path
) -> None:
    bundle = widest(built.root / "log/tile/entries")
    damage(bundle, bundle.read_bytes().index(b'"sha256":"') + 10)
    damaged = Repository.open(built.root)
    keygen("a", tmp_path / "key")
    for act in (
        damaged.checkpoint,
        lambda: damaged.checkpoint(sign=tmp_path / "key"),
        lambda: damaged.prove("plate-001"),
    ):
        with pytest.raises(LogInvalid):
            act()


def test_damaged_tiles_are_not_mistaken_for_a_rewritten_history(
    built: Repository, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    old.write_text(built.checkpoint().text)
    built.run("measure")
    built.consolidate()
    built.consistency(old)
    damage(widest(built.root / "log/tile/0"), 0)
    damaged = Repository.open(built.root)
    for act in (
        lambda: damaged.prove("plate-002"),
        lambda: damaged.prove_answer("SELECT plate_id FROM plates"),
        lambda: damaged.consistency(old),
    ):
        with pytest.raises(LogInvalid, match="the entries are sound"):
            act()


def test_a_record_that_was_altered_is_not_proved(built: Repository) -> None:
    path = built.root / "plates_structured/plate-001/manifest.json"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(DigestMismatch, match="plate-001"):
        built.prove("plate-001")


@pytest.mark.parametrize(
    ("subject", "error"),
    [
        ("plate-999", MissingInput),
        ("run-20200101-000000Z-0123456789ab", MissingInput),
        ("../etc/passwd", UsageError),
        ("", UsageError),
    ],
)
def test_what_is_not_in_the_log_has_no_proof(
    built: Repository, subject: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        built.prove(subject)


def test_without_a_log_the_way_to_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "adopted" / layout.PLATES).mkdir(parents=True)
    with pytest.raises(MissingInput, match="no log yet"):
        Repository.open(tmp_path / "adopted").checkpoint()


def test_the_wrong_kinds_of_file_are_told_apart(
    built: Repository, proved: tuple[Path, Path, Path], tmp_path: Path, say: Say
) -> None:
    proof, manifest, checkpoint = proved
    assert say("log", "verify", checkpoint)[0] == 2
    assert say("log", "verify", checkpoint, "--checkpoint", checkpoint)[0] == 0
    assert say("log", "verify", checkpoint, "--record", manifest)[0] == 2
    assert say("log", "verify", proof, "--answer", manifest)[0] == 2
    assert say("log", "verify", proof, "--consistency", checkpoint)[0] == 2
    assert say("log", "verify", tmp_path / "none")[0] == 2
    assert say("log", "verify", manifest, "--checkpoint", checkpoint)[0] == 1
    assert say("log", "verify", proof, "--key", "no key")[0] == 1
    key = keygen("a", tmp_path / "key").verifier
    with pytest.raises(NoteInvalid, match="not signed"):
        verify_file(proof, Trusted([key]))


def test_an_answer_is_proved_and_checked_offline(
    built: Repository, tmp_path: Path, say: Say
) -> None:
    root, proof, answer = built.root, tmp_path / "a.proof", tmp_path / "answer"
    sql = "SELECT plate_id, width, log_index FROM headers ORDER BY plate_id DESC"
    key = keygen("archive.example", tmp_path / "key").verifier
    code, out, err = say("query", sql, "-C", root, "--prove", proof, "--sign", tmp_path / "key")
    assert code == 0
    assert out.splitlines()[2].startswith("plate-003")
    assert "Proof of 3 records, found by log_index" in err
    assert "rebuilding the ledgers" in err
    assert say("query", sql, "-C", root, "--format", "canonical", "-o", answer)[0] == 0
    (record,) = root.glob("plates_structured/plate-001/runs/*/run.json")
    shutil.copy(record, tmp_path / "run.json")
    shutil.move(root, root.with_name("gone"))
    given = ["--answer", answer, "--record", tmp_path / "run.json", "--key", key]
    code, out, err = say("log", "verify", proof, *given)
    assert (code, err) == (0, "")
    assert "All of it holds" in out
    assert "runs: 3, manifests: 0" in out
    assert "aggregates are proved in no other way" in out
    answer.write_bytes(answer.read_bytes() + b"[]\n")
    assert say("log", "verify", proof, *given)[0] == 1


@pytest.mark.parametrize(
    ("sql", "found_by", "records"),
    [
        ("SELECT log_index FROM runs", ["log_index"], None),
        ("SELECT run_id FROM headers", ["run_id"], 3),
        ("SELECT title, headers_run_id FROM plates", ["headers_run_id"], 3),
        ("SELECT plate_id FROM plates WHERE plate_number < 3", ["plate_id"], 2),
        ("SELECT count(*), list(log_index) AS log_indexes FROM headers", ["log_indexes"], 3),
        ("SELECT log_index FROM plates WHERE false", ["log_index"], 0),
        ("SELECT * FROM headers h JOIN plates p USING (plate_id)", None, 6),
    ],
)
def test_records_are_found_by_the_columns_that_name_them(
    built: Repository, sql: str, found_by: list[str] | None, records: int | None
) -> None:
    table, view = built.prove_answer(sql)
    assert found_by is None or view.found_by == found_by
    wanted = built.query("SELECT count(*) FROM runs").item() if records is None else records
    if found_by is None:
        assert {"log_index", "run_id", "headers_run_id"} <= set(view.found_by)
        assert view.records >= wanted
    else:
        assert view.records == wanted
    assert view.rows == table.height


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT count(*) FROM plates", "no column of the answer says"),
        ("SELECT title FROM plates", "no column of the answer says"),
        ("SELECT NULL::BIGINT AS log_index", "row 1 of the answer names no record"),
        ("SELECT 1000000 AS log_index", "names entry 1000000 of a log of"),
        ("SELECT -1 AS log_index", "names entry"),
        ("SELECT 'x' AS log_index", "no index of the log"),
        ("SELECT 'run-20200101-000000Z-0123456789ab' AS run_id", "not in the log"),
        ("SELECT 'plate-999' AS plate_id", "not in the log"),
    ],
)
def test_an_answer_that_names_no_records_is_refused_with_how_to_ask(
    built: Repository, sql: str, reason: str
) -> None:
    with pytest.raises(UsageError, match=reason) as error:
        built.prove_answer(sql)
    assert "log_index" in str(error.value) + str(error.value.hint)


def test_signing_without_a_proof_is_refused(built: Repository, tmp_path: Path, say: Say) -> None:
    code, _, err = say("query", "SELECT 1", "-C", built.root, "--sign", tmp_path / "key")
    assert code == 2
    assert "--prove" in err
    code, _, err = say("query", "SELECT 1", "-C", built.root, "--prove", tmp_path / "p", "--at", 1)
    assert code == 2
    assert "without --at" in err


def test_proving_and_citing_are_refused_while_the_ledgers_are_behind(built: Repository) -> None:
    built.run("measure")
    for act in (
        lambda: built.cite("SELECT 1"),
        lambda: built.prove_answer("SELECT log_index FROM runs"),
    ):
        with pytest.raises(MissingInput, match="behind") as error:
            act()
        assert "ledgerkit consolidate" in str(error.value.hint)
    built.consolidate()
    assert built.cite("SELECT 1").rows == 1


def test_changed_ledgers_are_neither_cited_nor_proved(built: Repository) -> None:
    path = built.root / "ledger/headers.parquet"
    damage(path, path.stat().st_size // 2)
    for act in (
        lambda: built.cite("SELECT count(*) FROM plates"),
        lambda: built.prove_answer("SELECT log_index FROM runs"),
    ):
        with pytest.raises(DigestMismatch, match=r"ledger/headers\.parquet"):
            act()
    built.consolidate()
    assert built.cite("SELECT count(*) FROM plates").rows == 1


def test_a_checkpoint_of_another_repository_is_not_given_out(built: Repository) -> None:
    path = built.root / layout.CHECKPOINT
    text = path.read_text()
    path.chmod(0o644)
    path.write_text(text.replace("ledgerkit/", "ledgerkit/0", 1))
    with pytest.raises(LogInvalid, match=r"repository\.json says"):
        Repository.open(built.root).checkpoint()


def test_a_citation_says_the_same_every_time_and_its_digest_can_be_checked(
    built: Repository, say: Say
) -> None:
    sql = "SELECT plate_id, width * height AS pixels FROM headers"
    code, out, err = say("cite", sql, "-C", built.root)
    assert (code, err) == (0, "")
    assert say("cite", sql, "-C", built.root)[1] == out
    view = built.cite(sql)
    stated = parse_checkpoint((built.root / layout.CHECKPOINT).read_text())
    assert view.checkpoint == stated.text()
    lines = canonical_answer(query_arrow(built._archive, sql))
    assert view.answer_sha256 == hashlib.sha256(lines).hexdigest()
    ledger = (built.root / "ledger/ledger.json").read_bytes()
    assert view.ledger_sha256 == hashlib.sha256(ledger).hexdigest()
    for text in (stated.origin, str(stated.size), sql, view.answer_sha256, view.ledger_sha256):
        assert text in out
    assert "Asked" not in out
    dated = say("cite", sql, "-C", built.root, "--date", "25 November 2026")[1]
    assert dated == out + "Asked        25 November 2026\n"
    assert json.loads(say("cite", sql, "-C", built.root, "--json")[1])["rows"] == 3
    assert say("cite", sql, "-C", built.root, "--bibtex")[1].startswith("@misc{ledgerkit-")
    assert built.cite(f"{sql} ORDER BY pixels DESC").answer_sha256 == view.answer_sha256


def test_a_citation_is_checked_at_its_checkpoint_when_the_archive_has_grown(
    built: Repository, tmp_path: Path, say: Say
) -> None:
    sql = "SELECT count(*) AS runs, max(log_index) AS last FROM runs"
    cited = built.cite(sql)
    (tmp_path / "checkpoint").write_text(cited.checkpoint)
    built.run("measure")
    built.consolidate()
    assert built.cite(sql).answer_sha256 != cited.answer_sha256
    at = ["-C", built.root, "--at", tmp_path / "checkpoint"]
    answer, ledgers = tmp_path / "answer", tmp_path / "ledgers"
    assert say("query", sql, *at, "--format", "canonical", "-o", answer)[0] == 0
    assert hashlib.sha256(answer.read_bytes()).hexdigest() == cited.answer_sha256
    assert say("consolidate", *at, "-o", ledgers)[0] == 0
    found = (ledgers / "ledger.json").read_bytes()
    assert hashlib.sha256(found).hexdigest() == cited.ledger_sha256


def test_nothing_of_this_changes_the_repository(built: Repository, tmp_path: Path) -> None:
    before = everything(built.root)
    built.checkpoint()
    built.prove("plate-001")
    built.cite("SELECT 1")
    built.prove_answer("SELECT log_index FROM runs")
    (tmp_path / "old").write_text(built.checkpoint().text)
    built.consistency(tmp_path / "old")
    assert everything(built.root) == before
