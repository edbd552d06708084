"""Ledgers: the same records give the same bytes, and a bad one stops the build."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ledgerkit import schema
from ledgerkit.api import Repository
from ledgerkit.canonical import canonical_bytes
from ledgerkit.errors import LedgerRefused
from ledgerkit.repository import Archive
from ledgerkit.testing.relog import relog
from ledgerkit.testing.stories import whole_story

Command = Callable[..., subprocess.CompletedProcess[str]]

SAID = {"ledger.json", "ledger.sha256"}
"""What lies beside the tables and says what they are."""


@pytest.fixture(scope="module")
def _story(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ledgers") / "archive"
    repository = Repository.init(root)
    repository.ingest(scans / "data.json", scans / "images")
    whole_story(repository)
    return root


@pytest.fixture
def told(_story: Path, tmp_path: Path) -> Repository:
    """Three plates after the whole story."""
    root = tmp_path / "told"
    shutil.copytree(_story, root, symlinks=True)
    return Repository.open(root)


@pytest.fixture
def built(tiny: Repository) -> Repository:
    tiny.run("headers")
    tiny.consolidate()
    return tiny


def plate(root: Path, number: int = 1) -> Path:
    return root / "plates_structured" / f"plate-{number:03d}"


def run_of(root: Path, number: int = 1) -> Path:
    return max((plate(root, number) / "runs").iterdir())


def unlock(path: Path) -> None:
    for one in (path, *path.parents[:2]):
        if one.exists():
            one.chmod(stat.S_IMODE(one.stat().st_mode) | stat.S_IWUSR)


def spoil(path: Path, data: bytes | None) -> None:
    unlock(path)
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)


def ledgers(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "ledger").iterdir()}


def test_deleted_and_rebuilt_ledgers_are_the_same_bytes(told: Repository) -> None:
    before = ledgers(told.root)
    assert set(before) == {f"{name}.parquet" for name in schema.TABLES} | SAID
    shutil.rmtree(told.root / "ledger")
    view = told.consolidate()
    assert sorted(view.changed) == sorted(before)
    assert ledgers(told.root) == before
    assert told.consolidate().changed == []


def test_another_process_in_another_place_makes_the_same_bytes(
    told: Repository, tmp_path: Path, command: Command
) -> None:
    shutil.copytree(told.root, tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "elsewhere" / "ledger")
    done = command("consolidate", "-C", tmp_path / "elsewhere")
    assert done.returncode == 0, done.stderr
    assert ledgers(tmp_path / "elsewhere") == ledgers(told.root)


def test_every_table_has_its_schema_and_every_row_meets_it(told: Repository) -> None:
    filled = set()
    for name in schema.TABLES:
        table = pq.read_table(told.root / "ledger" / f"{name}.parquet")
        plain = table.cast(schema.arrow_schema(name))
        schema.check_table(name, plain, name)
        for row in plain.to_pylist():
            problems = schema.problems(f"ledger.{name}.v1", as_json(row))
            assert problems == [], (name, row)
            filled.add(name)
        key = schema.table(name)["x-key"]
        frame = pl.read_parquet(told.root / "ledger" / f"{name}.parquet")
        assert frame.select(key).is_duplicated().sum() == 0
        assert frame.equals(frame.sort(key, maintain_order=True))
    never = {"labels", "failed_items", "figures", "fixity", "cluster_matches", "descriptions"}
    never |= {"sweep_trials", "sweep_members", "review_pairs", "review_answers"}
    assert filled >= set(schema.TABLES) - never


def as_json(row: dict[str, object]) -> dict[str, object]:
    import datetime

    return {
        name: value.isoformat() if isinstance(value, datetime.datetime) else value
        for name, value in row.items()
    }


def test_ledger_json_says_what_lies_beside_it(told: Repository) -> None:
    data = (told.root / "ledger" / "ledger.json").read_bytes()
    document = json.loads(data)
    assert schema.problems("ledger.v1", document) == []
    assert data == canonical_bytes(document) + b"\n"
    head = Archive(told.root).log.checkpoint()
    assert head is not None
    assert document["log_size"] == head.size == document["manifests"] + document["runs"]
    assert base64.b64decode(document["log_root"]) == head.root
    assert (document["manifests"], document["runs"]) == (3, told.query("FROM runs").height)
    for table in document["tables"].values():
        path = told.root / "ledger" / table["file"]
        assert table["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert table["bytes"] == path.stat().st_size
        assert table["rows"] == pq.read_metadata(path).num_rows


def test_check_compares_and_writes_nothing(built: Repository, command: Command) -> None:
    before = ledgers(built.root)
    assert command("consolidate", "--check", "-C", built.root).returncode == 0
    built.run("measure")
    inodes = {path: path.stat().st_mtime_ns for path in built.root.rglob("*")}
    done = command("consolidate", "--check", "-C", built.root)
    assert done.returncode == 1
    assert "differ in" in done.stdout
    assert "measures.parquet" in done.stdout
    assert ledgers(built.root) == before
    assert inodes == {path: path.stat().st_mtime_ns for path in built.root.rglob("*")}


def rewrite(record: Path, change: Callable[[dict[str, object]], None]) -> None:
    value = json.loads(record.read_bytes())
    change(value)
    spoil(record, canonical_bytes(value))
    relog(record.parents[4])


def new_output(root: Path, table: str, data: bytes, media_type: str) -> None:
    """A run that says, in good form, that it made a table which is not in order."""
    run = run_of(root)
    suffix = "jsonl" if media_type.endswith("jsonl") else "parquet"
    path = run / "outputs" / f"{table}.{suffix}"
    for old in (run / "outputs").iterdir():
        spoil(old, None)
    unlock(path)
    path.write_bytes(data)

    def change(value: dict[str, object]) -> None:
        value["outputs"] = [
            {
                "path": str(path.relative_to(root)),
                "role": f"table:{table}",
                "media_type": media_type,
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                "xxh3_128": "0" * 32,
                "pixels_sha256": None,
            }
        ]

    rewrite(run / "run.json", change)


JSON_LINES, PARQUET = "application/jsonl", "application/vnd.apache.parquet"


def header_row(root: Path, **changes: object) -> bytes:
    row = json.loads((run_of(root) / "outputs" / "headers.jsonl").read_bytes())
    return canonical_bytes(row | changes) + b"\n"


def parquet_of(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def label_table(**changes: object) -> bytes:
    row = {"subject_id": "plate-001", "subject_kind": "plate", "scheme": "s", "value": "v"}
    wanted = schema.arrow_schema("labels", stored=True)
    table = pa.Table.from_pylist([{name: row.get(name) for name in wanted.names}])
    return parquet_of(table.set_column(0, *changes.popitem()) if changes else table)


def run_out_of_form(root: Path) -> None:
    rewrite(run_of(root) / "run.json", lambda run: run.update(status="done"))


def run_with_a_surplus_field(root: Path) -> None:
    rewrite(run_of(root) / "run.json", lambda run: run.update(mood="good"))


def run_of_another_plate(root: Path) -> None:
    rewrite(run_of(root) / "run.json", lambda run: run.update(subject="plate-002"))


def manifest_changed(root: Path) -> None:
    path = plate(root) / "manifest.json"
    spoil(path, path.read_bytes().replace(b"Plate 1", b"Plate !"))


def table_flipped(root: Path) -> None:
    path = run_of(root) / "outputs" / "headers.jsonl"
    spoil(path, path.read_bytes().replace(b"16", b"17"))


def row_out_of_bounds(root: Path) -> None:
    new_output(root, "headers", header_row(root, width=0), JSON_LINES)


def row_with_a_surplus_field(root: Path) -> None:
    new_output(root, "headers", header_row(root, mood="good"), JSON_LINES)


def row_of_an_unknown_plate(root: Path) -> None:
    new_output(root, "headers", header_row(root, plate_id="plate-777"), JSON_LINES)


def row_twice(root: Path) -> None:
    new_output(root, "headers", header_row(root) * 2, JSON_LINES)


def no_parquet(root: Path) -> None:
    new_output(root, "labels", b"PAR1 is no table PAR1", PARQUET)


def parquet_with_a_surplus_column(root: Path) -> None:
    new_output(root, "labels", parquet_of(pa.table({"mood": ["good"]})), PARQUET)


def output_missing(root: Path) -> None:
    spoil(run_of(root) / "outputs" / "headers.jsonl", None)


def superseded_run_unknown(root: Path) -> None:
    gone = {"run_id": "run-20200101-000000Z-000000000000", "reason": "for the test"}
    rewrite(run_of(root) / "run.json", lambda run: run.update(supersedes=gone))


BAD: list[tuple[Callable[[Path], None], list[str]]] = [
    (lambda root: spoil(run_of(root) / "run.json", b"{"), ["run.json"]),
    (lambda root: spoil(run_of(root) / "run.json", None), ["run.json"]),
    (lambda root: spoil(run_of(root) / "run.json", b'{"inputs":' + b"[" * 10**5), ["run.json"]),
    (run_out_of_form, ["run.json", "$.status"]),
    (run_with_a_surplus_field, ["run.json", "mood"]),
    (run_of_another_plate, ["run.json", "plate-002"]),
    (manifest_changed, ["plate-001/manifest.json", "sealed"]),
    (lambda root: spoil(plate(root) / "manifest.json", None), ["plate-001/manifest.json"]),
    (table_flipped, ["headers.jsonl", "SHA-256"]),
    (row_out_of_bounds, ["headers.jsonl", "ledger.headers.v1", "$[0].width"]),
    (row_with_a_surplus_field, ["headers.jsonl", "mood"]),
    (row_of_an_unknown_plate, ["headers", "plate_id plate-777", "plates.plate_id"]),
    (row_twice, ["headers", "plate_id, run_id is not unique", "plate-001", "2 times"]),
    (no_parquet, ["labels.parquet", "no Parquet file"]),
    (parquet_with_a_surplus_column, ["labels.parquet", "mood"]),
    (output_missing, ["headers.jsonl"]),
    (superseded_run_unknown, ["runs", "run-20200101-000000Z-000000000000"]),
]


@pytest.mark.parametrize(("spoiled", "named"), BAD)
def test_a_bad_record_stops_the_build_and_the_former_ledgers_stay(
    built: Repository, spoiled: Callable[[Path], None], named: list[str]
) -> None:
    before = ledgers(built.root)
    spoiled(built.root)
    for check in (False, True):
        with pytest.raises(LedgerRefused) as refused:
            Repository.open(built.root).consolidate(check=check, rebuild=True)
        assert all(part in refused.value.message for part in named), refused.value.message
        assert refused.value.hint
    assert ledgers(built.root) == before
    assert built.query("SELECT count(*) AS n FROM headers")["n"][0] == 3


def test_files_that_are_not_ours_are_moved_aside_and_never_lost(built: Repository) -> None:
    folder = built.root / "ledger"
    (folder / "notes.txt").write_text("mine")
    (folder / "backup").mkdir()
    (folder / "backup" / "plates.parquet").write_bytes(b"older")
    (folder / "plates.parquet").write_bytes(b"edited by hand")
    (folder / "link").symlink_to("/etc/hostname")
    view = built.consolidate()
    assert view.changed == ["plates.parquet"]
    aside = built.root / str(view.moved_aside)
    assert (aside / "notes.txt").read_text() == "mine"
    assert (aside / "backup" / "plates.parquet").read_bytes() == b"older"
    assert (aside / "plates.parquet").read_bytes() == b"edited by hand"
    assert (aside / "link").is_symlink()
    assert set(ledgers(built.root)) == {f"{name}.parquet" for name in schema.TABLES} | SAID
    assert built.consolidate().moved_aside is None
    assert built.audit().sound


def test_ledgers_of_somebody_else_are_moved_aside_whole(tiny: Repository) -> None:
    folder = tiny.root / "ledger"
    folder.mkdir()
    for name in ("plates.parquet", "ledger.json", "runs.parquet"):
        (folder / name).write_bytes(b"")
    view = tiny.consolidate()
    aside = tiny.root / str(view.moved_aside)
    assert sorted(path.name for path in aside.iterdir()) == [
        "ledger.json",
        "plates.parquet",
        "runs.parquet",
    ]
    assert tiny.query("FROM plates").height == 3


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_lies_in_the_place_of_the_folder_is_moved_aside(
    built: Repository, tmp_path: Path, kind: str
) -> None:
    shutil.move(built.root / "ledger", tmp_path / "former")
    if kind == "file":
        (built.root / "ledger").write_text("somebody's notes")
    else:
        (built.root / "ledger").symlink_to(tmp_path / "former")
    before = {path.name: path.read_bytes() for path in (tmp_path / "former").iterdir()}
    aside = built.root / str(built.consolidate().moved_aside) / "ledger"
    assert aside.is_symlink() if kind == "link" else aside.read_text() == "somebody's notes"
    assert ledgers(built.root).keys() == before.keys()
    assert {path.name: path.read_bytes() for path in (tmp_path / "former").iterdir()} == before


def test_two_builders_at_once_leave_whole_ledgers(built: Repository) -> None:
    built.run("measure")
    errors: list[BaseException] = []

    def build() -> None:
        try:
            Repository.open(built.root).consolidate()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=build) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert built.consolidate(check=True).changed == []
    assert built.verify().sound


def test_rows_tell_their_run_and_current_runs_are_marked(told: Repository) -> None:
    told.run("headers", plates="plate-001", force=True)
    told.consolidate()
    runs = told.query(
        "SELECT run_id, current FROM runs WHERE operation = 'headers' AND plate_id = 'plate-001'"
        " ORDER BY run_id"
    )
    assert runs["current"].to_list() == [False, True]
    shown = told.query("SELECT headers_run_id FROM plates WHERE plate_id = 'plate-001'")
    assert shown["headers_run_id"].to_list() == runs["run_id"].to_list()[1:]


def test_an_adopted_repository_that_nobody_wrote_to_can_be_compared(tmp_path: Path) -> None:
    folder = plate(tmp_path)
    (folder / "source").mkdir(parents=True)
    (folder / "source" / "a.png").write_bytes(b"anything")
    text = {"plate_id": "plate-001", "plate_number": 1, "title": "One", "slug": "one"}
    (folder / "manifest.json").write_text(json.dumps(text | {"source_image": "a.png"}))
    before = sorted(tmp_path.rglob("*"))
    view = Repository.open(tmp_path).consolidate(check=True)
    assert (view.rows["plates"], view.rows["runs"], len(view.changed)) == (
        0,
        0,
        len(schema.TABLES) + 2,
    )
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", [name for name in schema.TABLES if schema.later(name)])
def test_ledgers_of_an_older_version_have_nulls_where_columns_came_later(
    tmp_path: Path, name: str
) -> None:
    import duckdb

    from ledgerkit.opened import OpenLedger, create_views

    def described(table: pa.Table, path: Path) -> dict[str, str]:
        pq.write_table(table, path)
        connection = duckdb.connect()
        with path.open("rb") as file:
            create_views(connection, {name: OpenLedger(file, str(path))})
        return {column: kind for column, kind, *_ in connection.sql(f"DESCRIBE {name}").fetchall()}

    now = schema.arrow_schema(name).empty_table()
    before = now.drop_columns(list(schema.later(name)))
    assert described(before, tmp_path / "before") == described(now, tmp_path / "now")
