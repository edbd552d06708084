"""A repository from a stranger is audited, asked and built without risk: bounded, and one line."""

from __future__ import annotations

import json
import os
import stat
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ledgerkit import schema
from ledgerkit.api import Repository
from ledgerkit.errors import InvalidRecord, LedgerkitError, LimitExceeded, QueryRefused
from ledgerkit.findings import writable
from ledgerkit.imaging.header import read_header
from ledgerkit.ledger import gather
from ledgerkit.ledger.document import ledger_document
from ledgerkit.query import Limits, connect

Command = Callable[..., subprocess.CompletedProcess[str]]


def unlock(path: Path) -> None:
    for one in (path, *path.parents[:2]):
        if one.exists():
            one.chmod(stat.S_IMODE(one.stat().st_mode) | stat.S_IWUSR)


def rows_of(table: str, count: int, *, stored: bool = False, **given: Any) -> pa.Table:
    """A table in a ledger's schema, with nulls where they are allowed."""
    columns = []
    for field in schema.arrow_schema(table, stored=stored):
        if field.name in given:
            columns.append(pa.array([given[field.name]] * count, field.type))
        elif field.nullable:
            columns.append(pa.nulls(count, field.type))
        elif pa.types.is_string(field.type):
            columns.append(pa.array([f"plate-{place:03d}" for place in range(count)], field.type))
        else:
            one: Any = [] if pa.types.is_list(field.type) else pa.types.is_boolean(field.type) or 1
            columns.append(pa.array([one] * count, field.type))
    return pa.Table.from_arrays(columns, schema=schema.arrow_schema(table, stored=stored))


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", **options)
    return bytes(sink.getvalue().to_pybytes())


def varint(number: int) -> bytes:
    """A positive integer as Thrift's compact protocol writes it (zigzag, seven bits a byte)."""
    number *= 2
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])


def claiming(data: bytes, rows: int, claimed: int) -> bytes:
    """A Parquet file whose footer claims another number of rows."""
    length = int.from_bytes(data[-8:-4], "little")
    body, footer = data[: -8 - length], data[-8 - length : -8]
    footer = footer.replace(b"\x16" + varint(rows), b"\x16" + varint(claimed))
    return body + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def listed(root: Path, data: bytes | None, size: int | None = None) -> Repository:
    """A bare repository whose `ledger.json` lists `plates.parquet` with these bytes."""
    (root / "plates_structured").mkdir()
    (root / "ledger").mkdir()
    table = {"file": "plates.parquet", "rows": 1, "sha256": "0" * 64}
    table["bytes"] = len(data or b"") if size is None else size
    document = {
        "schema_version": "ledger.v1",
        "manifests": 0,
        "runs": 0,
        "tables": {"plates": table},
    }
    (root / "ledger" / "ledger.json").write_text(json.dumps(document))
    if data is not None:
        (root / "ledger" / "plates.parquet").write_bytes(data)
    return Repository.open(root)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PAR1",
        os.urandom(4000),
        b"PAR1" + b"\0" * 100 + b"\xff\xff\xff\x7fPAR1",
        parquet(rows_of("plates", 3))[:-100],
        claiming(parquet(rows_of("plates", 3000)), 3000, 10**12),
        parquet(pa.table({"plate_id": [1, 2]})),
        parquet(pa.table({"mine": ["x"]})),
    ],
    ids=["empty", "magic", "noise", "footer", "truncated", "claims", "columns", "foreign"],
)
def test_hostile_ledgers_are_refused_in_one_line_within_the_limits(
    tmp_path: Path, data: bytes
) -> None:
    repository = listed(tmp_path, data)
    with pytest.raises(QueryRefused) as refused:
        repository.query("SELECT title FROM plates ORDER BY 1", limits=Limits("200MB", 10))
    assert len(str(refused.value).splitlines()) == 1


def test_a_page_that_unpacks_beyond_the_memory_limit_is_refused(tmp_path: Path) -> None:
    """Seven kilobytes that hold a title of 200 million letters."""
    bomb = parquet(
        rows_of("plates", 1, title="a" * 200_000_000), use_dictionary=False, write_statistics=False
    )
    assert len(bomb) < 50_000
    repository = listed(tmp_path, bomb)
    with pytest.raises(QueryRefused, match="100MB of memory"):
        repository.query("SELECT length(title) FROM plates", limits=Limits("100MB", 10))


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "link to a ledger", "missing", "size"])
def test_what_lies_in_the_place_of_a_ledger_is_never_opened(tmp_path: Path, kind: str) -> None:
    good = parquet(rows_of("plates", 1))
    outside = tmp_path / "outside.parquet"
    outside.write_bytes(good)
    root = tmp_path / "archive"
    root.mkdir()
    repository = listed(root, None, len(good))
    path = root / "ledger" / "plates.parquet"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "size":
        path.write_bytes(good + b"x")
    elif kind != "missing":
        path.symlink_to("/etc/passwd" if kind == "link" else outside)
    with pytest.raises(QueryRefused, match=r"ledger/plates\.parquet .*(no file|bytes)"):
        repository.query("SELECT 1")
    assert repository.audit().plates == 0


def test_a_ledger_swapped_for_a_link_after_it_was_opened_is_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    root.mkdir()
    repository = listed(root, parquet(rows_of("plates", 1, title="mine")))
    (tmp_path / "outside.parquet").write_bytes(parquet(rows_of("plates", 1, title="secret")))
    tree = repository._archive.tree
    path = root / "ledger" / "plates.parquet"
    with connect(tree, ledger_document(tree), Limits()) as ledgers:
        path.unlink()
        path.symlink_to(tmp_path / "outside.parquet")
        try:
            found = str(ledgers.connection.execute("SELECT title FROM plates").fetchall())
        except Exception as error:
            found = str(error)
    assert "secret" not in found


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PAR1 nothing PAR1", "no Parquet file"),
        (parquet(pa.table({"x": [1]})), "columns are not those"),
        (claiming(parquet(rows_of("clusters", 3000, stored=True)), 3000, 10**12), "here"),
        (parquet(rows_of("clusters", 3000, stored=True))[:-50], "no Parquet file"),
    ],
)
def test_hostile_table_outputs_stop_the_build_with_their_path(data: bytes, said: str) -> None:
    with pytest.raises((InvalidRecord, LimitExceeded), match=said):
        gather._parquet("clusters", data, "here")


def test_a_table_output_unpacks_within_a_named_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    data = parquet(rows_of("clusters", 100_000, stored=True))
    monkeypatch.setattr(gather, "MAX_TABLE_BYTES", 1 << 20)
    with pytest.raises(LimitExceeded, match="here unpacks to more than max_table_bytes = 1048576"):
        gather._parquet("clusters", data, "here")


HOSTILE_JSON = [
    b"[" * 200_000,
    b'{"plate_id":' + b"9" * 100_000 + b',"a":1,"a":2}',
    b'{"schema_version":"ledger.v1","manifests":1,"runs":1,"tables":{},"log_size":"\\ud800"}',
    b"\xff\xfe",
]
PLACES = [
    "plates_structured/plate-001/manifest.json",
    "plates_structured/plate-001/runs/RUN/run.json",
    "plates_structured/plate-001/source.sha256",
    "repository.json",
    "data.json",
    "ledger/ledger.json",
    "log/checkpoint",
    "schemas/run.v1.schema.json",
    ".ledgerkit/intent.json",
]


@pytest.mark.parametrize("place", PLACES)
def test_hostile_json_anywhere_is_a_finding_or_an_error_and_never_a_traceback(
    tiny: Repository, place: str
) -> None:
    tiny.run("headers")
    tiny.consolidate()
    run = next((tiny.root / "plates_structured/plate-001/runs").iterdir())
    path = tiny.root / place.replace("RUN", run.name)
    for data in HOSTILE_JSON:
        unlock(path)
        path.write_bytes(data)
        stranger = Repository.open(tiny.root)
        codes = {one.code for one in stranger.audit().findings}
        assert codes, data[:20]
        for verb in VERBS:
            asked(stranger, verb)


def asked(repository: Repository, verb: Callable[[Repository], object]) -> str:
    """What a verb says of a hostile repository: nothing, or one of our errors in a few words."""
    try:
        verb(repository)
    except LedgerkitError as error:
        assert len(error.message) < 2000  # noqa: PT017
        return error.message
    return ""


VERBS: tuple[Callable[[Repository], object], ...] = (
    lambda one: one.status(),
    lambda one: one.plates(),
    lambda one: one.query("SELECT * FROM plates"),
    lambda one: one.lineage("plate-001"),
    lambda one: one.consolidate(check=True),
)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_headers_of_images_beyond_measure_are_read_within_bounds(tmp_path: Path) -> None:
    """A claim of 10**10 pixels, and a profile and a text that unpack to 300 MB."""
    bomb = zlib.compress(bytes(300_000_000), 9)
    image = tmp_path / "bomb.png"
    image.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
        + chunk(b"iCCP", b"p\0\0" + bomb)
        + chunk(b"zTXt", b"Raw profile type exif\0\0" + bomb)
        + chunk(b"IEND", b"")
    )
    with image.open("rb") as file:
        header = read_header(file)
    assert header.megapixels == 10_000
    assert header.icc_profile is None or len(str(header.icc_profile)) < 1000


def test_names_and_texts_of_a_record_cannot_steer_a_terminal(
    tiny: Repository, command: Command
) -> None:
    tiny.run("headers")
    tiny.consolidate()
    folder = tiny.root / "plates_structured" / "plate-001"
    steering = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"
    (folder / f"name {steering}").write_bytes(b"x")
    (tiny.root / f"top {steering}").mkdir()
    (tiny.root / "schemas" / f"{steering}.json").write_text("{}")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    unlock(folder / "manifest.json")
    (folder / "manifest.json").write_text(json.dumps(manifest | {steering: 1, "title": steering}))
    (tiny.root / ".ledgerkit" / "intent.json").write_text(json.dumps({"job_id": steering}))
    for asked in (["audit"], ["status"], ["verify"], ["lineage", "plate-001"], ["headers"]):
        done = command(asked[0], "-C", tiny.root, *asked[1:])
        assert not set("\x1b\x07\x9b\u202e") & set(done.stdout + done.stderr), asked
        assert "Traceback" not in done.stderr
    assert json.loads(command("audit", "-C", tiny.root, "--json").stdout)["findings"]


def test_text_is_shown_as_it_is_unless_it_could_steer() -> None:
    assert writable("Möwe, 鳥, \U0001f426") == "Möwe, 鳥, \U0001f426"
    assert writable("a\nb\x1b[1m\udcff") == "a\\nb\\x1b[1m\\udcff"
