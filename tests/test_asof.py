"""Ledgers on top of former ones, as of a checkpoint, and what came in between."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ledgerkit.api import Repository
from ledgerkit.errors import LogInvalid, UsageError
from ledgerkit.ledger import former
from ledgerkit.repository import Archive
from ledgerkit.testing.relog import relog

Command = Callable[..., Any]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def checkpoint(repository: Repository, path: Path) -> Path:
    path.write_bytes((repository.root / "log" / "checkpoint").read_bytes())
    return path


def rebuilt(repository: Repository) -> dict[str, bytes]:
    shutil.rmtree(repository.root / "ledger")
    repository.consolidate()
    return files(repository.root / "ledger")


STORY: list[Callable[[Repository], object]] = [
    lambda one: one.run("headers", plates="plate-001,plate-003"),
    lambda one: one.run("headers", plates="plate-002"),
    lambda one: one.run("headers", plates="plate-001", force=True),
    lambda one: one.run("measure"),
    lambda one: one.run("propose"),
    lambda one: one.accept_policy("A. Curator", "as it is"),
    lambda one: one.run("normalize"),
    lambda one: one.run("headers", max_header_bytes=1 << 20),
    lambda one: one.run("segment"),
    lambda one: one.run("embed", of="plates"),
    lambda one: one.run("cluster"),
    lambda one: one.run("embed", of="plates", force=True),
    lambda one: one.run("cluster", force=True),
]


def test_on_top_of_former_ledgers_the_bytes_are_those_of_a_rebuild(
    tiny: Repository, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every step of a story, ingest of a plate included; and at every step as of then."""
    read: list[int] = []
    real = Archive.records

    def counted(self: Archive, subject: str, listed: Any = None) -> Any:
        for found in real(self, subject, listed):
            read.append(found[1].index)
            yield found

    tiny.consolidate()
    kept = []
    for place, step in enumerate([*STORY, lambda one: _one_more(one, scans, tmp_path)]):
        step(tiny)
        size = tiny._archive.log.index().size
        known = json.loads((tiny.root / "ledger" / "ledger.json").read_bytes())["log_size"]
        with monkeypatch.context() as patched:
            patched.setattr(Archive, "records", counted)
            read.clear()
            former_ = former.former_ledgers(tiny._archive)
            assert former_ is not None
            assert former_.size == known
            tiny.consolidate()
        on_top = files(tiny.root / "ledger")
        assert on_top == rebuilt(tiny), place
        kept.append((checkpoint(tiny, tmp_path / f"{place}.checkpoint"), size, on_top))
    for place, (head, size, expected) in enumerate(kept):
        given: Any = head if place % 2 else size
        view = tiny.consolidate_at(given, tmp_path / f"as-of-{place}")
        assert view.log_size == size
        assert files(tmp_path / f"as-of-{place}") == expected, place


def _one_more(repository: Repository, scans: Path, tmp_path: Path) -> object:
    images = tmp_path / "more"
    images.mkdir()
    shutil.copy(scans / "images" / "1-plate-1.jpg", images / "4.jpg")
    entry = {"plate": 4, "name": "Four", "slug": "four", "fileName": "4.jpg", "family": "x"}
    (tmp_path / "more.json").write_text(json.dumps([entry]))
    return repository.ingest(tmp_path / "more.json", images)


def test_only_what_came_since_is_read(tiny: Repository) -> None:
    """A record that the former ledgers hold is not opened again; --rebuild opens it."""
    tiny.run("headers")
    tiny.consolidate()
    (record,) = tiny.root.glob("plates_structured/plate-002/runs/*/outputs/headers.jsonl")
    record.parent.chmod(0o755)
    record.unlink()
    tiny.run("headers", plates="plate-001", force=True)
    assert tiny.consolidate().rows["headers"] == 4
    with pytest.raises(Exception, match=r"headers\.jsonl"):
        tiny.consolidate(rebuild=True)


@pytest.mark.parametrize("spoilt", ["a table", "the versions", "the root", "another column"])
def test_former_ledgers_that_cannot_be_trusted_are_not_built_upon(
    tiny: Repository, spoilt: str
) -> None:
    tiny.run("headers")
    tiny.consolidate()
    right = files(tiny.root / "ledger")
    path = tiny.root / "ledger" / "ledger.json"
    document = json.loads(path.read_bytes())
    if spoilt == "a table":
        table = tiny.root / "ledger" / "plates.parquet"
        table.write_bytes(table.read_bytes()[:-1] + b"x")
    elif spoilt == "the versions":
        document["versions"]["polars"] = "0.1"
    elif spoilt == "the root":
        document["log_root"] = "A" * 43 + "="
    else:
        import hashlib

        table = tiny.root / "ledger" / "gates.parquet"
        pq.write_table(pq.read_table(table).drop_columns(["message"]), table)
        document["tables"]["gates"]["sha256"] = hashlib.sha256(table.read_bytes()).hexdigest()
    path.write_text(json.dumps(document))
    assert former.former_ledgers(tiny._archive) is None
    tiny.consolidate()
    assert {
        name: data for name, data in files(tiny.root / "ledger").items() if name in right
    } == right


def test_a_question_to_the_ledgers_as_they_were(
    tiny: Repository, tmp_path: Path, command: Command
) -> None:
    before = checkpoint(tiny, tmp_path / "before")
    tiny.run("headers")
    tiny.consolidate()
    asked = "SELECT count(*) AS n FROM headers"
    assert tiny.query(asked)["n"].to_list() == [3]
    assert tiny.query(asked, at=before)["n"].to_list() == [0]
    done = command("query", "-C", tiny.root, "--at", before, asked, "--format", "csv")
    assert (done.returncode, done.stdout) == (0, "n\n0\n")


def test_a_checkpoint_that_the_log_does_not_continue_is_refused(
    tiny: Repository, tmp_path: Path
) -> None:
    tiny.run("headers")
    head = checkpoint(tiny, tmp_path / "held")
    manifest = tiny.root / "plates_structured" / "plate-001" / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_bytes(manifest.read_bytes().replace(b"Plate 1", b"Plate !"))
    relog(tiny.root)
    for ask in (
        lambda one: one.consolidate_at(head, tmp_path / "x"),
        lambda one: one.diff(head),
        lambda one: one.query("FROM plates", at=head),
    ):
        with pytest.raises(LogInvalid, match="does not continue"):
            ask(Repository.open(tiny.root))
    with pytest.raises(UsageError, match="entries, not 10000"):
        Repository.open(tiny.root).diff(10000)
    with pytest.raises(UsageError, match="neither a checkpoint file"):
        Repository.open(tiny.root).diff("nowhere")
    inside = tiny.root / "ledger-then"
    with pytest.raises(UsageError, match="inside the repository"):
        Repository.open(tiny.root).consolidate_at("now", inside)
    assert not inside.exists()


def test_the_difference_names_what_came_and_what_was_superseded(
    tiny: Repository, tmp_path: Path, command: Command
) -> None:
    tiny.run("headers")
    head = checkpoint(tiny, tmp_path / "held")
    assert tiny.diff(head).changes == []
    tiny.run("headers", plates="plate-002", force=True)
    tiny.run("measure", plates="plate-003")
    changes = {one.subject: one for one in tiny.diff(head).changes}
    assert sorted(changes) == ["plate-002", "plate-003"]
    first, second = tiny._archive.runs("plate-002")
    assert [run.run_id for run in changes["plate-002"].came] == [second.run_id]
    (gone,) = changes["plate-002"].no_longer_current
    assert (gone.run_id, gone.replaced_by) == (first.run_id, second.run_id)
    assert [run.operation for run in changes["plate-003"].came] == ["measure"]
    assert changes["plate-003"].no_longer_current == []
    new = {one.subject: one.new for one in tiny.diff(0).changes}
    assert new == {"plate-001": True, "plate-002": True, "plate-003": True, "collection": False}
    done = command("diff", head, "-C", tiny.root)
    assert f"- headers {first.run_id} no longer current, now {second.run_id}" in done.stdout
