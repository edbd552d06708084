"""SQL over the ledgers reads, and does nothing else, whatever is asked."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from ledgerkit.api import Repository
from ledgerkit.cli import cli, main
from ledgerkit.errors import QueryRefused, UsageError
from ledgerkit.ledger.document import ledger_document
from ledgerkit.query import Limits, behind, query_arrow
from ledgerkit.schema import describe
from ledgerkit.testing.stories import whole_story

Command = Callable[..., subprocess.CompletedProcess[str]]
PAGE = Path(__file__).parent.parent / "docs" / "queries.md"
WORKED = re.findall(r"```sql\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)

HOSTILE = [
    "COPY (SELECT 1) TO '{ledger}' (FORMAT parquet, USE_TMP_FILE false)",
    "COPY plates TO '{ledger}' (use_tmp_file false)",
    "COPY plates TO '{outside}/stolen.csv'",
    "/* SELECT */ COPY plates TO '{ledger}' (use_tmp_file false)",
    "-- SELECT 1\nCOPY plates TO '{ledger}' (use_tmp_file false)",
    "EXPLAIN ANALYZE COPY plates TO '{ledger}' (use_tmp_file false)",
    "EXPLAIN (ANALYZE) COPY plates TO '{ledger}' (use_tmp_file false)",
    "EXPLAIN (ANALYZE, FORMAT json) COPY plates TO '{ledger}' (use_tmp_file false)",
    "explain/**/analyze/**/copy plates to '{ledger}' (use_tmp_file false)",
    "EXPLAIN ANALYZE -- \n COPY plates TO '{ledger}' (use_tmp_file false)",
    "EXPLAIN ANALYZE EXPLAIN ANALYZE COPY plates TO '{ledger}' (use_tmp_file false)",
    "\u00a0COPY plates TO '{ledger}' (use_tmp_file false)",
    "\ufeffCOPY plates TO '{ledger}' (use_tmp_file false)",
    "COPY plates FROM '/etc/passwd'",
    "INSERT INTO plates VALUES (1)",
    "INSERT INTO labels SELECT * FROM labels",
    "WITH gone AS (DELETE FROM labels RETURNING *) SELECT * FROM gone",
    "UPDATE plates SET title = 'x'",
    "DELETE FROM plates",
    "TRUNCATE plates",
    "MERGE INTO plates USING plates p ON true WHEN MATCHED THEN DELETE",
    "CREATE TABLE mine AS SELECT 1",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE OR REPLACE VIEW plates AS SELECT 1",
    "CREATE MACRO mine() AS 1",
    "CREATE SECRET mine (TYPE s3)",
    "DROP VIEW plates",
    "ALTER VIEW plates RENAME TO x",
    "ATTACH '{outside}/new.db' AS other",
    "ATTACH ':memory:' AS other",
    "DETACH memory",
    "USE memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "FORCE INSTALL spatial FROM community",
    "SET enable_external_access = true",
    "SET memory_limit = '100GB'",
    "SET temp_directory = '{outside}'",
    "RESET lock_configuration",
    "PRAGMA enable_profiling",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "CALL enable_logging(storage := 'file', storage_path := '{outside}/log')",
    "EXPORT DATABASE '{outside}/dump'",
    "IMPORT DATABASE '{outside}/dump'",
    "CHECKPOINT",
    "VACUUM",
    "BEGIN",
    "PREPARE mine AS SELECT 1",
    "EXECUTE mine",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY plates TO '{ledger}' (use_tmp_file false)",
    "SELECT 1;;; DROP VIEW plates",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/*')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM read_text('{folder}/ledger.json')",
    "SELECT * FROM read_text('{folder}/../repository.json')",
    "SELECT * FROM read_parquet('{outside}/other.parquet')",
    "SELECT * FROM read_parquet('{folder}/*.parquet')",
    "SELECT * FROM parquet_metadata('{outside}/other.parquet')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM 'https://example.org/data.parquet'",
    "SELECT * FROM read_csv('http://127.0.0.1:9/data.csv')",
    "SELECT * FROM read_json('s3://bucket/data.json')",
    "SELECT getenv('HOME')",
    "SELECT * FROM query('COPY plates TO ''{ledger}'' (use_tmp_file false)')",
    "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
    "SELECT * FROM query_table('/etc/passwd')",
    "SELECT * FROM query_table(['{outside}/other.parquet'])",
    "SELECT * FROM json_execute_serialized_sql("
    "json_serialize_sql('SELECT * FROM read_text(''/etc/passwd'')'))",
    "SELECT * FROM enable_logging(storage := 'file', storage_path := '{outside}/log')",
    "SELECT * FROM enable_profiling(save_location := '{outside}/profile.json')",
    "SELECT * FROM HOSTILE",
    "SELECT * FROM archive",
    "SELECT * FROM sqlsmith()",
    "SELECT * FROM which_secret('a', 's3')",
    "SELECT * FROM pandas_scan(1)",
    "PIVOT plates ON mode USING count(*)",
    "",
    ";",
    "   -- nothing",
    "not sql at all",
    "SELECT 'unclosed",
    "SELECT \x00",
    "ＳＥＬＥＣＴ 1",
    "SEL\u200bECT 1",
]


@pytest.fixture(scope="module")
def _story(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("queried") / "archive"
    repository = Repository.init(root)
    repository.ingest(scans / "data.json", scans / "images")
    whole_story(repository)
    return root


@pytest.fixture
def told(_story: Path) -> Repository:
    """Three plates after the whole story. Tests must not change it: queries cannot."""
    return Repository.open(_story)


def everything(folder: Path) -> dict[str, tuple[int, int, int, int]]:
    """Every path below a folder with its mode, size, time and inode."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        at = path.lstat()
        found[str(path.relative_to(folder))] = (at.st_mode, at.st_size, at.st_mtime_ns, at.st_ino)
    return found


@pytest.mark.parametrize("sql", HOSTILE)
def test_refuses_what_does_more_than_read(
    told: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    folder = told.root / "ledger"
    shutil.copy(folder / "plates.parquet", tmp_path / "other.parquet")
    monkeypatch.chdir(tmp_path)
    before = everything(told.root), everything(tmp_path)
    filled = sql.replace("{ledger}", str(folder / "plates.parquet"))
    filled = filled.replace("{folder}", str(folder)).replace("{outside}", str(tmp_path))
    with pytest.raises(QueryRefused) as refused:
        told.query(filled)
    assert (everything(told.root), everything(tmp_path)) == before
    assert len(str(refused.value).splitlines()) == 1


def test_the_battery_would_notice_an_overwritten_ledger(told: Repository, tmp_path: Path) -> None:
    import duckdb

    shutil.copytree(told.root / "ledger", tmp_path / "ledger")
    before = everything(tmp_path)
    target = tmp_path / "ledger" / "plates.parquet"
    duckdb.sql(f"COPY (SELECT 1) TO '{target}' (FORMAT parquet, USE_TMP_FILE false)")
    assert everything(tmp_path) != before


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "  select 1 -- a comment ;",
        "/* first */ SELECT 1;",
        "FROM plates",
        "TABLE plates",
        "VALUES (1)",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "SHOW TABLES",
        "DESCRIBE plates",
        "SUMMARIZE plates",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "EXPLAIN (FORMAT json) SELECT 1",
        "PIVOT plates ON mode IN ('RGB') USING count(*)",
        "SELECT array_cosine_distance([1, 0]::FLOAT[2], [0, 1]::FLOAT[2])",
        "SELECT json_extract(parameters, '$.of') FROM runs",
    ],
)
def test_lets_everything_through_that_reads(told: Repository, sql: str) -> None:
    assert query_arrow(told._archive, sql).num_columns >= 1


def test_parameters_are_values_and_never_sql(told: Repository) -> None:
    found = told.query("SELECT count(*) AS n FROM plates WHERE title = ?", ["' OR true --"])
    assert found["n"][0] == 0


def test_python_variables_are_no_tables(told: Repository) -> None:
    secret = told.query("SELECT 1 AS one")
    assert secret.height == 1
    with pytest.raises(QueryRefused, match="secret"):
        told.query("SELECT * FROM secret")
    found = told.query("SELECT current_setting('python_enable_replacements') AS found")
    assert found["found"][0] is False


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT range, random() AS x FROM range(1000000000) ORDER BY x",
        "SELECT * FROM range(1000000000)",
        "SELECT list(range) FROM range(1000000000)",
    ],
)
def test_memory_is_limited_for_the_work_and_for_the_answer(told: Repository, sql: str) -> None:
    with pytest.raises(QueryRefused, match="needs more than 100MB of memory"):
        told.query(sql, limits=Limits(memory="100MB"))


@pytest.mark.parametrize("what", ["count(*)", "*"])
def test_time_is_limited_for_the_work_and_for_the_answer(told: Repository, what: str) -> None:
    with pytest.raises(QueryRefused, match=r"took longer than 0\.2 seconds"):
        told.query(f"SELECT {what} FROM range(10000000000000)", limits=Limits(seconds=0.2))


def test_a_limit_that_is_no_amount_of_memory_is_explained(told: Repository) -> None:
    with pytest.raises(UsageError, match="not an amount of memory: 'plenty'"):
        told.query("SELECT 1", limits=Limits(memory="plenty"))


def test_columns_of_one_name_are_all_kept(told: Repository) -> None:
    found = told.query("SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a")
    assert found.row(0, named=True) == {"a": 1, "a_2": 2, "a_1": 3, "a_3": 4}


def test_current_views_leave_out_what_was_superseded(tiny: Repository) -> None:
    tiny.run("headers")
    tiny.run("headers", force=True)
    tiny.consolidate()
    counts = tiny.query(
        "SELECT (SELECT count(*) FROM headers), (SELECT count(*) FROM current_headers),"
        " (SELECT count(*) FROM current_runs WHERE operation = 'headers'),"
        " (SELECT count(*) FROM current_plates)"
    )
    assert counts.row(0) == (6, 3, 3, 3)


def test_an_empty_repository_has_all_tables_without_rows(tmp_path: Path) -> None:
    (tmp_path / "plates_structured").mkdir()
    repository = Repository.open(tmp_path)
    for table in {row["table"] for row in describe()}:
        assert repository.query(f"SELECT count(*) AS n FROM {table}")["n"][0] == 0
        assert repository.query(f"SELECT * FROM current_{table}").height == 0
    assert sorted(os.listdir(tmp_path)) == ["plates_structured"]


def test_says_when_the_ledgers_are_behind(tiny: Repository, command: Command) -> None:
    asked = command("query", "-C", tiny.root, "SELECT count(*) AS n FROM plates", "--json")
    assert json.loads(asked.stdout) == [{"n": 0}]
    assert "there are no ledgers yet: 3 plates are not in them" in asked.stderr
    tiny.consolidate()
    assert behind(tiny._archive) is None
    tiny.run("headers")
    assert behind(tiny._archive) == (
        "the ledgers are behind: +3 entries of the log since they were built"
    )


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'{"schema_version": "ledger.v1"}',
        b'{"schema_version": "ledger.v1", "manifests": 1, "runs": 1, "tables": {"plates": 7}}',
        b'{"schema_version": "ledger.v1", "manifests": "1", "runs": 1, "tables": {}}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_ledger_json_that_is_none_counts_as_no_ledgers(tiny: Repository, text: bytes) -> None:
    (tiny.root / "ledger").mkdir()
    (tiny.root / "ledger" / "ledger.json").write_bytes(text)
    assert ledger_document(tiny._archive.tree) is None
    assert tiny.query("SELECT * FROM plates").height == 0
    assert "no ledgers yet" in str(tiny.behind())


@pytest.mark.parametrize("how", ["missing", "link", "garbage"])
def test_a_ledger_that_cannot_be_read_is_never_taken_for_an_empty_one(
    tiny: Repository, how: str
) -> None:
    tiny.consolidate()
    path = tiny.root / "ledger" / "plates.parquet"
    if how == "garbage":
        path.write_bytes(b"PAR1 and nothing else")
    else:
        path.rename(tiny.root / "elsewhere.parquet")
    if how == "link":
        path.symlink_to(tiny.root / "elsewhere.parquet")
    with pytest.raises(QueryRefused, match=r"plates\.parquet") as refused:
        tiny.query("SELECT * FROM plates")
    assert "consolidate" in str(refused.value.hint)


def test_folders_may_have_names_that_sql_and_globs_take_amiss(
    tiny: Repository, tmp_path: Path
) -> None:
    tiny.consolidate()
    odd = tmp_path / 'it\'s [odd] * ? "really"'
    shutil.copytree(tiny.root, odd)
    assert Repository.open(odd).query("SELECT * FROM plates").height == 3


class Meddling:
    """Limits that rebuild the ledgers when they are looked at, in the midst of a query."""

    memory, threads = "1GB", 1

    def __init__(self, repository: Repository, times: int) -> None:
        self.repository, self.times, self.asked = repository, times, 0

    @property
    def seconds(self) -> float:
        self.asked += 1
        if self.asked <= self.times:
            self.repository.run("headers", plates="plate-001", force=True)
            self.repository.consolidate()
        return 60.0


def test_a_query_is_asked_again_when_the_ledgers_were_exchanged_meanwhile(
    tiny: Repository,
) -> None:
    tiny.consolidate()
    limits: Any = Meddling(tiny, 1)
    assert tiny.query("SELECT count(*) AS n FROM headers", limits=limits)["n"][0] == 1
    assert limits.asked == 2
    with pytest.raises(QueryRefused, match="rebuilt while the query ran"):
        tiny.query("SELECT count(*) AS n FROM headers", limits=cast(Any, Meddling(tiny, 99)))


def test_reads_whole_ledgers_while_they_are_exchanged(tiny: Repository) -> None:
    tiny.consolidate()
    stop = threading.Event()

    def rebuild() -> None:
        while not stop.is_set():
            tiny.run("headers", plates="plate-001", force=True)
            tiny.consolidate()

    writer = threading.Thread(target=rebuild)
    writer.start()
    try:
        answers = [
            tiny.query(
                "SELECT (SELECT count(*) FROM headers) AS headers,"
                " (SELECT count(*) FROM runs WHERE operation = 'headers') AS runs"
            ).row(0)
            for _ in range(15)
        ]
    finally:
        stop.set()
        writer.join()
    assert all(headers == runs for headers, runs in answers)
    assert answers == sorted(answers)


def asked(root: Path, *arguments: str) -> bytes:
    done = CliRunner().invoke(cli, ["query", "-C", str(root), *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout_bytes


SAMPLE = (
    "SELECT 'a|b' AS text, 1 AS one, 0.5 AS half, NULL AS none, [1, 2] AS list, "
    "'NaN'::DOUBLE AS nan, '\\xAB'::BLOB AS bytes, DATE '2020-02-29' AS day, "
    "chr(27) || '[2J' AS steering"
)


def test_answers_as_json_and_json_lines(told: Repository) -> None:
    (row,) = json.loads(asked(told.root, SAMPLE, "--json"))
    assert row == {
        "text": "a|b",
        "one": 1,
        "half": 0.5,
        "none": None,
        "list": [1, 2],
        "nan": None,
        "bytes": "ab",
        "day": "2020-02-29",
        "steering": "\x1b[2J",
    }
    assert json.loads(asked(told.root, SAMPLE, "--format", "jsonl")) == row


def test_answers_as_csv(told: Repository) -> None:
    lines = asked(told.root, SAMPLE, "--format", "csv").decode().splitlines()
    assert lines[0] == "text,one,half,none,list,nan,bytes,day,steering"
    assert lines[1].startswith('a|b,1,0.5,,"[1, 2]",,ab,2020-02-29,')


def test_answers_as_a_table_and_as_markdown_that_cannot_steer_a_terminal(
    told: Repository,
) -> None:
    table = asked(told.root, SAMPLE).decode()
    assert "\x1b" not in table
    assert "\\x1b[2J" in table
    assert table.endswith("\n(1 row)\n")
    markdown = asked(told.root, SAMPLE, "--format", "markdown").decode().splitlines()
    assert markdown[1] == "|" + " --- |" * 9
    assert markdown[2].startswith("| a\\|b | 1 | 0.5 |  | [1, 2] |")


def test_answers_as_parquet_into_a_file(told: Repository, tmp_path: Path) -> None:
    answer = tmp_path / "answer.parquet"
    assert asked(told.root, "FROM plates", "--format", "parquet", "-o", str(answer)) == b""
    assert pq.read_table(answer).num_rows == 3


@pytest.mark.parametrize("place", ["answer.csv", "ledger/plates.parquet", "new/answer.csv"])
def test_never_writes_an_answer_into_the_repository(
    told: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    before = everything(told.root)
    (tmp_path / "way in").symlink_to(told.root)
    for output in (told.root / place, tmp_path / "way in" / place):
        with pytest.raises(SystemExit) as left:
            main(["query", "-C", str(told.root), "SELECT 1", "-o", str(output)])
        assert left.value.code == 2
        assert "lies inside the repository" in capsys.readouterr().err
    assert everything(told.root) == before


def test_an_answer_that_cannot_be_written_is_one_line(
    told: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["query", "-C", str(told.root), "SELECT 1", "-o", str(tmp_path / "no" / "x")])
    assert left.value.code == 2
    assert "No such file or directory" in capsys.readouterr().err


def test_a_value_beyond_python_is_explained(
    told: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["query", "-C", str(told.root), "SELECT DATE '290000-01-01'"])
    assert "::VARCHAR" in capsys.readouterr().err


def test_schema_lists_every_column_with_a_description(told: Repository) -> None:
    listed = asked(told.root, "--schema").decode()
    for row in describe():
        assert row["description"]
        assert f"  {row['column']} " in listed
    assert json.loads(asked(told.root, "--schema", "--json")) == describe()


@pytest.mark.parametrize("sql", WORKED)
def test_worked_queries_run_on_a_repository_with_the_whole_story(
    told: Repository, sql: str
) -> None:
    assert told.query(sql).width >= 2


def test_worked_queries_answer_what_they_say(told: Repository) -> None:
    def answer(title: str) -> list[dict[str, object]]:
        section = PAGE.read_text("utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]
        return told.query(section.partition("```sql\n")[2].partition("```")[0]).to_dicts()

    assert len(WORKED) >= 10
    assert [row["megapixels"] for row in answer("The largest plates")] == [0.000256] * 3
    derived = answer("Everything derived from one plate")
    made = {row["operation"] for row in derived}
    assert {"headers", "measure", "normalize", "segment", "embed", "cluster"} <= made
    assert not any("plate-002" in str(row["path"]) for row in derived)
    runs = {row["operation"]: row["runs"] for row in answer("Runs by operation and version")}
    assert runs["headers"] == 3
    assert len(answer("What changed since a date")) == told.query("FROM runs").height
    assert answer("Failed runs") == []
