"""The command line: the same answers as Python, and errors in two lines with a code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ledgerkit.api import Repository
from ledgerkit.cli import main
from ledgerkit.errors import LedgerkitError

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`say("status", "-C", root)`: exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(one) for one in arguments])
        shown = capsys.readouterr()
        return int(left.value.code or 0), shown.out, shown.err

    return run


Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def built(tiny: Repository) -> Repository:
    tiny.run("headers")
    tiny.run("propose")
    tiny.accept_policy("A. Curator", "for the test")
    tiny.consolidate()
    return tiny


TIMES = ("seconds", "job_id", "run_ids")


def plain(view: Any) -> Any:
    """A view as JSON values, without what differs from call to call."""
    value = json.loads(json.dumps(msgspec.to_builtins(view)))
    return without_times(value)


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in TIMES}
    return [without_times(item) for item in value] if isinstance(value, list) else value


VERBS: list[tuple[list[str], Callable[[Repository], Any]]] = [
    (["audit"], lambda repository: repository.audit()),
    (["verify"], lambda repository: repository.verify()),
    (["status"], lambda repository: repository.status()),
    (["lineage", "plate-001"], lambda repository: repository.lineage("plate-001")),
    (["policy", "show"], lambda repository: repository.policy()),
    (["policy", "show", "--proposed"], lambda repository: repository.proposed_policy()),
    (["consolidate", "--check"], lambda repository: repository.consolidate(check=True)),
    (["consolidate"], lambda repository: repository.consolidate()),
    (["headers"], lambda repository: repository.run("headers")),
    (["measure", "--dry-run"], lambda repository: repository.dry_run("measure")),
    (
        ["query", "SELECT plate_id, megapixels FROM plates ORDER BY 1"],
        lambda repository: repository.query(
            "SELECT plate_id, megapixels FROM plates ORDER BY 1"
        ).to_dicts(),
    ),
    (["log", "checkpoint"], lambda repository: repository.checkpoint()),
    (["log", "prove", "plate-001"], lambda repository: repository.prove("plate-001")),
    (["cite", "SELECT 1"], lambda repository: repository.cite("SELECT 1")),
]


@pytest.mark.parametrize(("words", "verb"), VERBS)
def test_json_is_the_view_that_python_gets(
    built: Repository, say: Say, words: list[str], verb: Callable[[Repository], Any]
) -> None:
    code, out, _ = say(*words, "-C", built.root, "--json")
    assert code == 0
    assert without_times(json.loads(out)) == plain(verb(built))


def test_init_and_ingest_agree_with_python(scans: Path, tmp_path: Path, say: Say) -> None:
    code, out, _ = say("init", tmp_path / "made", "--json")
    assert (code, json.loads(out)["plates"]) == (0, 0)
    given = ["--catalogue", scans / "data.json", "--images", scans / "images"]
    code, out, _ = say("ingest", "-C", tmp_path / "made", *given, "--json")
    other = Repository.init(tmp_path / "other").ingest(scans / "data.json", scans / "images")
    assert code == 0
    assert without_times(json.loads(out)) == plain(other)


@pytest.mark.parametrize("json_wanted", [True, False])
def test_a_refused_ingest_lists_its_findings(
    scans: Path, tmp_path: Path, say: Say, json_wanted: bool
) -> None:
    say("init", tmp_path / "made")
    (tmp_path / "list.json").write_text('[{"plate": 1, "name": "A", "fileName": "none.jpg"}]')
    given = ["--catalogue", tmp_path / "list.json", "--images", scans / "images"]
    form = ["--json"] if json_wanted else []
    code, out, err = say("ingest", "-C", tmp_path / "made", *given, *form)
    assert code == 1
    if json_wanted:
        codes = {one["code"] for one in json.loads(out)["findings"]}
        assert codes == {"SOURCE_MISSING", "FILE_WITHOUT_ENTRY"}
    else:
        assert "error   SOURCE_MISSING plate-001" in out
        assert err.splitlines()[1] == (
            "  Correct what is found, or take what is good with --partial."
        )


def test_the_whole_story_as_text(tiny: Repository, say: Say) -> None:
    """Every command prints and exits with 0; what it prints is what people are told to look for."""
    where = ["-C", tiny.root]
    assert "1 headers    headers       0" in say("status", *where)[1]
    assert say("headers", *where)[1].startswith("headers: 3 done; ")
    assert "3 skipped (done before)" in say("headers", *where)[1]
    assert say("policy", "propose", *where)[0] == 0
    shown = say("policy", "accept", "--by", "A. Curator", "--reason", "r", *where)[1]
    assert "decided_by: A. Curator" in shown
    assert "normalize would run on 3 subjects" in say("normalize", "--dry-run", *where)[1]
    assert "ledgers rebuilt: " in say("consolidate", *where)[1]
    assert "ledgers as a rebuild would make them" in say("consolidate", *where)[1]
    assert "run run-" in say("lineage", "plate-002", *where)[1]
    assert "[7] Summary: sound" in say("audit", *where)[1]
    assert say("verify", *where)[1].splitlines()[-1].startswith("Sound: ")
    assert "plate-003" in say("status", "--plates", *where)[1]


def test_the_repository_is_named_by_option_or_environment_or_found_above(
    tiny: Repository, scans: Path, tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Repository.init(tmp_path / "other")
    below = other.root / "plates_structured"

    def plates(*arguments: object) -> int:
        code, out, err = say("status", "--json", *arguments)
        assert code == 0, err
        return int(json.loads(out)["plates"])

    monkeypatch.delenv("LEDGERKIT_REPOSITORY", raising=False)
    monkeypatch.chdir(below)
    assert plates() == 0
    assert plates("-C", tiny.root) == plates("--repository", tiny.root) == 3
    monkeypatch.setenv("LEDGERKIT_REPOSITORY", str(tiny.root))
    assert plates() == 3
    assert plates("-C", other.root) == 0
    assert say("status", "-C", below)[0] == 2


SOUND_ERRORS: list[tuple[list[str], int, str]] = [
    (["status", "-C", "{nowhere}"], 2, "is not a repository"),
    (["headers", "-C", "{root}", "--plates", "plate-999"], 2, "no plate in the repository"),
    (["headers", "-C", "{root}", "--where", "megapixels > 1"], 2, "asked of the ledgers"),
    (["normalize", "-C", "{root}"], 3, "normalize cannot run: no preprocessing policy"),
    (["segment", "-C", "{root}"], 3, "segment cannot run: "),
    (["cluster", "-C", "{root}"], 3, "cluster cannot run: "),
    (["query", "-C", "{root}"], 2, "no SQL was given"),
    (["query", "-C", "{root}", "DROP VIEW plates"], 1, "a query only reads: DROP"),
    (["query", "-C", "{root}", "SELECT nothing"], 1, "the query failed"),
    (["query", "-C", "{root}", "SELECT 1", "-o", "{root}/a.csv"], 2, "lies inside the repository"),
    (["lineage", "-C", "{root}", "plate-999"], 2, "the ledgers know no plate-999"),
    (["policy", "show", "-C", "{root}"], 3, "no preprocessing policy is accepted yet"),
    (["policy", "accept", "-C", "{root}", "--by", "A", "--reason", "B"], 3, "no policy is propo"),
    (
        ["ingest", "-C", "{root}", "--catalogue", "{nowhere}/a", "--images", "{nowhere}"],
        2,
        "cannot read the catalogue",
    ),
    (["init", "{file}"], 2, "is a file, not a folder"),
    (["nonsense"], 2, "No such command 'nonsense'"),
    (["headers", "--nonsense"], 2, "No such option"),
    (["headers", "--workers", "0"], 2, "Invalid value for '--workers'"),
]


@pytest.mark.parametrize(("words", "code", "said"), SOUND_ERRORS)
def test_errors_are_a_line_and_a_hint_and_a_code(
    tiny: Repository, tmp_path: Path, say: Say, words: list[str], code: int, said: str
) -> None:
    (tmp_path / "file").write_text("")
    places = {"{root}": tiny.root, "{nowhere}": tmp_path / "nowhere", "{file}": tmp_path / "file"}
    filled = words
    for name, place in places.items():
        filled = [word.replace(name, str(place)) for word in filled]
    found, out, err = say(*filled)
    lines = [line for line in err.splitlines() if line and not line.startswith(("Usage", "Try"))]
    assert found == code, err
    assert out == ""
    assert lines[0].startswith("Error: ")
    assert said in lines[0]
    assert len(lines) <= 2
    assert "Traceback" not in err


def test_debug_shows_where_an_error_came_from(tiny: Repository, command: Command) -> None:
    done = command("lineage", "-C", tiny.root, "plate-999", "--debug")
    assert "Traceback" in done.stderr
    assert "UsageError" in done.stderr


def test_audit_and_verify_exit_with_1_on_errors(tiny: Repository, say: Say) -> None:
    assert say("audit", "-C", tiny.root)[0] == say("verify", "-C", tiny.root)[0] == 0
    path = tiny.root / "data.json"
    path.chmod(0o644)
    path.write_text("[]")
    assert say("audit", "-C", tiny.root)[0] == say("verify", "-C", tiny.root)[0] == 1
    assert say("verify", "-C", tiny.root)[1].splitlines()[-1].startswith("NOT SOUND: ")


def test_an_operation_with_failures_exits_with_1_and_names_them(tiny: Repository, say: Say) -> None:
    source = tiny.root / str(tiny.plates()[0].source_path)
    source.chmod(0o644)
    source.write_bytes(bytes(source.stat().st_size))
    code, out, err = say("measure", "-C", tiny.root, "--workers", "1")
    assert code == 1
    assert "measure: 2 done, 1 failed" in out
    assert "failed plate-001: " in err


def test_an_operation_has_an_option_for_each_of_its_parameters(say: Say) -> None:
    from ledgerkit import operation

    for name in operation.names():
        words = operation.command(name).split()
        shown = say(*words, "--help")[1]
        for parameter in operation.load(name).parameters():
            assert f"--{parameter.name.replace('_', '-')}" in shown


def test_a_reader_that_goes_away_is_no_error(tiny: Repository) -> None:
    tiny.consolidate()
    words = ["query", "-C", str(tiny.root), "--format", "csv", "SELECT * FROM range(300000)"]
    with subprocess.Popen(
        [sys.executable, "-m", "ledgerkit", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"range\n"
        process.stdout.close()
        assert process.stderr.read() == b""


def test_errors_survive_the_way_between_processes() -> None:
    import pickle

    from ledgerkit import errors

    kinds = [one for one in vars(errors).values() if isinstance(one, type)]
    for kind in kinds:
        if issubclass(kind, LedgerkitError):
            again = pickle.loads(pickle.dumps(kind("what", "how")))
            assert (type(again), again.message, again.hint) == (kind, "what", "how")


def test_the_module_and_the_script_are_one(command: Command) -> None:
    script = Path(sys.executable).parent / "ledgerkit"
    if not script.exists():
        pytest.skip("the script is not installed beside this interpreter")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, env=os.environ)
    assert done.stdout == command("--version").stdout
    assert done.stdout.startswith("ledgerkit, version ")
