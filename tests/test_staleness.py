"""Stale results: what changed below, through every step, and exports held against the ledgers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ledgerkit import operation, software
from ledgerkit.api import Repository
from ledgerkit.errors import InvalidRecord, UsageError
from ledgerkit.staleness import FreshnessView
from ledgerkit.testing.chat import ChatPlan, serving

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def told(worked: Repository) -> Repository:
    worked.run("describe")
    worked.consolidate()
    return worked


def why(view: FreshnessView) -> dict[str, list[str]]:
    return {one.operation: one.reasons for one in view.stale}


def rescan(repository: Repository, plate: str, folder: Path) -> None:
    """Replace the source of a plate and bring it through to vectors again."""
    pixels = np.random.default_rng(77).integers(0, 256, (120, 160, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "rescan.png")
    repository.replace_source(plate, folder / "rescan.png", by="A", reason="a test")
    for name in ("headers", "measure", "normalize", "segment", "embed"):
        assert not repository.run(name, plates=plate).failures


def test_what_was_made_again_as_it_was_is_no_reason(told: Repository) -> None:
    told.run("embed", plates="plate-002,plate-003", force=True)
    told.run("cluster", force=True)
    assert told.stale().stale == []


def test_what_was_just_made_is_fresh(told: Repository, tmp_path: Path) -> None:
    told.export_clusters("clusters", tmp_path / "a.json")
    view = told.stale(tmp_path / "a.json")
    assert view.stale == []
    assert view.judged >= 3
    assert view.exports[0].reasons == []
    assert view.fresh
    assert told.status().stale == []


def test_newer_vectors_reach_clusters_figures_descriptions_and_exports(
    told: Repository, tmp_path: Path, command: Command
) -> None:
    told.export_clusters("items", tmp_path / "data")
    told.export_clusters("embedding-atlas", tmp_path / "a.parquet", side=0, neighbours=0)
    rescan(told, "plate-002", tmp_path)
    found = why(told.stale())
    (reason,) = found["cluster"]
    assert reason == "embeddings: a run was replaced (1 plate: plate-002)"
    for name in ("describe", "montage"):
        (below,) = [one for one in found[name] if "cluster run-" in one]
        assert "which is stale: embeddings: a run was replaced" in below
    view = told.stale(tmp_path / "data", tmp_path / "a.parquet")
    assert [len(one.reasons) for one in view.exports] == [1, 1]
    done = command("stale", tmp_path / "data", "-C", told.root)
    assert done.returncode == 1
    assert "results of the collection are stale\n" in done.stdout
    assert f"{tmp_path / 'data'}: stale" in done.stdout
    shown = command("status", "--why", "-C", told.root).stdout
    assert reason in shown
    plain = command("status", "-C", told.root).stdout
    assert "why: ledgerkit status --why" in plain
    assert reason not in plain
    told.run("cluster")
    told.consolidate()
    found = why(told.stale(tmp_path / "data"))
    assert "cluster" not in found
    assert any("was replaced by run-" in one for one in found["montage"])
    (export,) = told.stale(tmp_path / "data").exports
    assert "no longer current" in export.reasons[0]
    assert "clusters" in export.reasons[1]
    for name in ("describe", "montage"):
        told.run(name)
    assert told.stale().fresh


def test_other_code_below_is_named_with_what_changed(
    told: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = operation.load("embed")
    environment = loaded.environment()
    library = sorted(environment)[0]

    def newer(self: operation.Operation) -> dict[str, str]:
        if self.name == "embed":
            return environment | {library: "99.0"}
        return {name: operation._version(name) for name in sorted(self.module.LIBRARIES)}

    monkeypatch.setattr(operation.Operation, "environment", newer)
    found = why(told.stale())
    (reason,) = found["cluster"]
    assert f"{library} {environment[library]} -> 99.0" in reason
    assert "(4 plates: plate-001, plate-002, plate-003, ... 1 more)" in reason
    assert "is stale" in found["montage"][-1]


def test_own_code_a_withdrawn_plate_and_a_new_one_are_told(
    told: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    told.withdraw("plate-004", by="A", reason="a test")
    found = why(told.stale())
    assert "the plate is withdrawn (1 plate: plate-004)" in found["cluster"][0]
    told.run("cluster")
    assert "cluster" not in why(told.stale())
    told.reinstate("plate-004", by="A", reason="a test")
    assert (
        "the following are there now and were not read: plate-004" in why(told.stale())["cluster"]
    )
    monkeypatch.setattr(software, "VERSION", "99.0.0")
    assert "ledgerkit" in why(told.stale())["cluster"][0]


def test_an_amended_title_makes_descriptions_stale_and_nothing_else(told: Repository) -> None:
    told.amend({"plate-001": {"title": "Heron"}}, by="A", reason="a test")
    assert why(told.stale()) == {
        "describe": ["amendments of the following are there now and were not read: plate-001"]
    }


def test_descriptions_by_a_model_are_judged(told: Repository, tmp_path: Path) -> None:
    with serving(ChatPlan()) as endpoint:
        told.describe_by_model(endpoint, "tiny", min_size=1)
    assert told.stale().stale == []
    rescan(told, "plate-001", tmp_path)
    assert "which is stale" in why(told.stale())["describe-by-model"][0]


def test_what_is_no_export_of_this_repository_is_refused(
    told: Repository, tiny: Repository, tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text('{"ledgerkit": {"log_size": 1}}')
    with pytest.raises(InvalidRecord, match="does not say"):
        told.stale(tmp_path / "a.json")
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(InvalidRecord):
        told.stale(tmp_path / "b.json")
    for number, text in enumerate(["[{}]", '{"info": 3}', "3"]):
        (tmp_path / f"d{number}.json").write_text(text)
        with pytest.raises(InvalidRecord, match="does not say"):
            told.stale(tmp_path / f"d{number}.json")
    (tmp_path / "e.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InvalidRecord, match=r"e\.parquet"):
        told.stale(tmp_path / "e.parquet")
    with pytest.raises(UsageError, match="cannot read"):
        told.stale(tmp_path / "none")
    told.export_clusters("clusters", tmp_path / "c.json")
    with pytest.raises(UsageError, match="another repository"):
        tiny.stale(tmp_path / "c.json")
