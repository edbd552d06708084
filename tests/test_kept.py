"""What an interrupted task had finished: found again, never trusted when damaged, gone when done."""

from __future__ import annotations

import errno
import os
import pwd
import threading
from pathlib import Path

import pytest

from ledgerkit.kept import VARIABLE, KeptFolder, folder_of, outside_folder


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
    assert one is not None
    assert one.parent == outside_folder(VARIABLE, "kept") == Path("/somewhere")
    assert len({one, folder_of("a" * 64, {"numpy": "2.1"}), folder_of("b" * 64, {})}) == 3


def test_clearing_takes_all_away_and_may_be_repeated(tmp_path: Path) -> None:
    kept = KeptFolder(tmp_path / "task")
    kept.put("a", b"value")
    kept.clear()
    kept.clear()
    assert kept.get("a") is None
    assert not (tmp_path / "task").exists()


def test_the_cache_folder_is_found_and_without_a_home_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert outside_folder(VARIABLE, "kept") == tmp_path / "xdg/ledgerkit/kept"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert outside_folder(VARIABLE, "kept") == tmp_path / ".cache/ledgerkit/kept"
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    assert outside_folder(VARIABLE, "kept") is None
    assert folder_of("a" * 64, {}) is None


@pytest.mark.parametrize("step", ["mkdir", "write_bytes", "replace"])
def test_a_disk_that_refuses_keeps_nothing_leaves_nothing_and_stops_nothing(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptFolder(tmp_path)
    kept.put("former", b"value")
    with monkeypatch.context() as patched:

        def full(path: Path, data: bytes = b"", **_: object) -> None:
            if step == "write_bytes":
                with path.open("wb") as stream:
                    stream.write(data[:3])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patched.setattr(os if step == "replace" else Path, step, full)
        kept.put("a", b"value")
        kept.put("former", b"another")
    assert kept.get("a") is None
    assert kept.get("former") == b"value"
    assert len(list(tmp_path.iterdir())) == 1


def test_writers_at_once_and_one_that_clears_leave_whole_values_only(tmp_path: Path) -> None:
    folder = tmp_path / "task"
    values = {bytes([number]) * 50_000 for number in range(3)}
    ended = threading.Event()
    wrong: list[bytes] = []

    def write(value: bytes) -> None:
        for _ in range(50):
            KeptFolder(folder).put("a", value)

    def read_and_clear() -> None:
        while not ended.is_set():
            found = KeptFolder(folder).get("a")
            if found is not None and found not in values:
                wrong.append(found)
            KeptFolder(folder).clear()

    writers = [threading.Thread(target=write, args=(value,)) for value in values]
    clearing = threading.Thread(target=read_and_clear)
    for thread in (*writers, clearing):
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    clearing.join()
    assert not wrong
    KeptFolder(folder).clear()
    for value in values:
        write(value)
    assert KeptFolder(folder).get("a") == value
    assert len(list(folder.iterdir())) == 1
