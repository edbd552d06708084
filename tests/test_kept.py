"""What an interrupted task had finished: found again, never trusted when damaged, gone when done."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledgerkit.kept import VARIABLE, KeptFolder, default_folder, folder_of


def test_a_value_is_found_again_by_another_process(tmp_path: Path) -> None:
    KeptFolder(tmp_path / "task").put("trial 7", b"labels")
    assert KeptFolder(tmp_path / "task").get("trial 7") == b"labels"
    assert KeptFolder(tmp_path / "task").get("trial 8") is None


def test_every_damage_makes_a_value_unknown(tmp_path: Path) -> None:
    kept = KeptFolder(tmp_path)
    kept.put("a", b"value")
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for at in range(len(whole)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert kept.get("a") is None
        file.write_bytes(whole[:at])
        assert kept.get("a") is None
    file.write_bytes(whole)
    assert kept.get("a") == b"value"


def test_another_library_or_task_sees_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/somewhere")
    one = folder_of("a" * 64, {"numpy": "2.0"})
    assert one.parent == default_folder() == Path("/somewhere")
    assert len({one, folder_of("a" * 64, {"numpy": "2.1"}), folder_of("b" * 64, {})}) == 3


def test_clearing_takes_all_away_and_may_be_repeated(tmp_path: Path) -> None:
    kept = KeptFolder(tmp_path / "task")
    kept.put("a", b"value")
    kept.clear()
    kept.clear()
    assert kept.get("a") is None
    assert not (tmp_path / "task").exists()
