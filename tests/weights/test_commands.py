"""`ledgerkit models`: text, JSON, exit codes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ledgerkit.testing.weights import write_model

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEDGERKIT_MODELS", str(tmp_path / "store"))
    return write_model(tmp_path / "tiny-model")


def test_a_model_from_adding_to_removing(command: Command, folder: Path) -> None:
    assert "no models in" in command("models", "list").stdout
    added = command("models", "add", "tiny", "--from", folder, "--license", "MIT")
    assert added.returncode == 0, added.stderr
    assert added.stdout.startswith("added tiny: 5 files")
    assert command("models", "add", "tiny", "--from", folder).stdout.startswith("unchanged tiny")
    assert command("models", "list").stdout.split()[:2] == ["tiny", "CLIPModel"]
    shown = command("models", "show", "tiny").stdout
    for said in (
        "licence: MIT",
        "preprocessing image_mean",
        "model.safetensors",
        "folder tiny-model",
    ):
        assert said in shown
    place = Path(command("models", "path", "tiny").stdout.strip())
    assert (place / "config.json").is_file()
    assert "all as they were added" in command("models", "verify").stdout
    assert command("models", "remove", "tiny").stdout.startswith("removed tiny: 5 items")
    assert command("models", "path", "tiny").returncode == 2


def test_json_says_the_same(command: Command, folder: Path) -> None:
    added = json.loads(command("models", "add", "tiny", "--from", folder, "--json").stdout)
    assert added["outcome"] == "added"
    shown = json.loads(command("models", "show", "tiny", "--json").stdout)
    assert shown == added["model"]
    assert json.loads(command("models", "list", "--json").stdout) == [
        {"model": shown, "sound": True}
    ]
    checked = json.loads(command("models", "verify", "tiny", "--json").stdout)
    assert (checked["models"], checked["files"], checked["findings"]) == (1, 5, [])
    assert json.loads(command("models", "path", "tiny", "--json").stdout)["path"] == added["path"]
    removed = json.loads(command("models", "remove", "tiny", "--json").stdout)
    assert removed == {"name": "tiny", "removed": 5, "freed_bytes": checked["bytes"]}


def test_damage_is_named_and_exits_with_one(command: Command, folder: Path) -> None:
    command("models", "add", "tiny", "--from", folder)
    weights = Path(command("models", "path", "tiny").stdout.strip()) / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(b"other")
    checked = command("models", "verify")
    assert checked.returncode == 1
    assert "MODEL_FILE_CHANGED tiny: model.safetensors" in checked.stdout
    assert "DAMAGED" in command("models", "list").stdout
    refused = command("models", "path", "tiny")
    assert refused.returncode == 1
    assert "has 5 bytes" in refused.stderr
    unknown = command("models", "verify", "other")
    assert unknown.returncode == 2
