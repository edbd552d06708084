"""Kill, starve and cut the power of everything that changes the store of models, all along its calls.

Whatever the step: each model is there whole or not at all, what another model needs is untouched,
and the same command given again ends as if nothing had happened.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ledgerkit.errors import CommitFailed
from ledgerkit.services.hub import Hub
from ledgerkit.testing.crash import fail_at, kill_at, steps
from ledgerkit.testing.hub import HubPlan, serving
from ledgerkit.testing.weights import model_files, write_model
from ledgerkit.weights import ModelStore
from ledgerkit.weights.adding import add
from ledgerkit.weights.checking import verify
from ledgerkit.weights.removing import remove

Action = Callable[[Path], object]


def few_files(seed: bytes = b"a", config: bytes = b"{}") -> dict[str, bytes]:
    """Weights and their settings: each file more costs a dozen calls to be killed at."""
    return {"config.json": config, "model.safetensors": model_files(seed)["model.safetensors"]}


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return write_model(tmp_path / "first", few_files())


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """A model that shares its weights with the first, but not its settings."""
    return write_model(tmp_path / "second", few_files(config=b'{"model_type": "other"}'))


@pytest.fixture
def start(tmp_path: Path, first: Path) -> Path:
    """A store that holds the first model."""
    add(ModelStore(tmp_path / "start"), "first", str(first))
    return tmp_path / "start"


@contextmanager
def copied(start: Path) -> Iterator[Path]:
    """A copy with its hard links, thrown away afterwards."""
    root = start.with_name("copy")
    for path in sorted(start.rglob("*")):
        target = root / path.relative_to(start)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif path.relative_to(start).parts[0] != "folders":
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
    store = ModelStore(root)
    for name in store.names():
        for file in store.show(name).files:
            target = store.folder(name) / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(store.blob(file.sha256))
    try:
        yield root
    finally:
        shutil.rmtree(root)


def check(root: Path, wanted: dict[str, bool | None]) -> set[str]:
    """Every model is whole or absent; those that must be there or not are. The names found."""
    store = ModelStore(root)
    findings = verify(store).findings
    assert all(one.code == "MODEL_LEFTOVER" for one in findings), findings
    names = set(store.names())
    for name in names:
        store.pin(name)
    for name, there in wanted.items():
        assert there is None or (name in names) == there
    return names


STRIDE = 3
"""Every third call is enough here: three tests begin at different ones."""


def sweep(start: Path, action: Action, after: set[str], *, power_cut: bool, first: int) -> int:
    """Kill the action before every third of its calls, from `first` on; about their number."""
    before = set(ModelStore(start).names())
    step = first
    while True:
        with copied(start) as root:
            ended = not kill_at(step, lambda root=root: action(root), root, power_cut=power_cut)
            names = check(root, {"first": True if "first" in after else None})
            assert names in (before, after)
            if ended:
                assert names == after
                return step
            if names != after or "second" in after:
                action(root)
            assert check(root, {}) == after
        step += STRIDE


def add_second(second: Path) -> Action:
    return lambda root: add(ModelStore(root), "second", str(second))


@pytest.mark.parametrize("power_cut", [False, True])
def test_an_add_that_is_killed_leaves_the_model_whole_or_absent(
    start: Path, second: Path, power_cut: bool
) -> None:
    found = sweep(
        start, add_second(second), {"first", "second"}, power_cut=power_cut, first=int(power_cut)
    )
    assert found > 20


@pytest.mark.parametrize("power_cut", [False, True])
def test_a_removal_that_is_killed_leaves_the_model_whole_or_absent(
    start: Path, second: Path, power_cut: bool
) -> None:
    add_second(second)(start)

    def action(root: Path) -> None:
        remove(ModelStore(root), "second")

    before = set(ModelStore(start).names())
    step = 0
    while True:
        with copied(start) as root:
            ended = not kill_at(step, lambda root=root: action(root), root, power_cut=power_cut)
            names = check(root, {"first": True})
            assert names in (before, {"first"})
            if "second" in names:
                action(root)
            if ended:
                break
        step += 1
    assert step > 6


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_refuses_is_an_error_and_leaves_the_model_whole_or_absent(
    start: Path, second: Path, number: int
) -> None:
    action = add_second(second)
    with copied(start) as root:
        count = len(steps(lambda: action(root), root))
    refused = 0
    for step in range(number % STRIDE, count, STRIDE):
        with copied(start) as root:
            raised = fail_at(step, lambda root=root: action(root), root, number)
            check(root, {"first": True})
            if raised is not None:
                assert isinstance(raised, (CommitFailed, OSError)), raised
                refused += isinstance(raised, CommitFailed)
            else:
                check(root, {"second": True})
            action(root)
            assert check(root, {}) == {"first", "second"}
    assert refused > count // STRIDE // 2


def test_a_download_that_is_killed_leaves_the_model_whole_or_absent(
    start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(HubPlan(few_files(b"other"))) as address:

        def action(root: Path) -> object:
            hub = Hub(address, pause=0.0)
            return add(ModelStore(root), "second", "owner/tiny@main", hub=lambda: hub)

        assert sweep(start, action, {"first", "second"}, power_cut=True, first=2) > 20
