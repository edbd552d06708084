"""An operation that names models: pinned in its task and record, given as a folder, checked first."""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledgerkit import operation
from ledgerkit.api import Repository
from ledgerkit.errors import DigestMismatch, LedgerkitError, MissingInput, UsageError
from ledgerkit.records import Run
from ledgerkit.repository import Archive
from ledgerkit.testing.handles import run_operation
from ledgerkit.testing.weights import model_files, write_model
from ledgerkit.weights import ModelStore
from ledgerkit.weights.adding import add
from ledgerkit.weights.pinned import take
from ledgerkit.weights.removing import remove
from ledgerkit.worker import Task, TaskInputs

OPERATION = '''
"""Say how many bytes the weights have."""
from dataclasses import dataclass, field

VERSION = "1"
EVENT_TYPE = "analysis"
SUBJECT = "plate"
LIBRARIES = ()
MAKES = ()

@dataclass(frozen=True)
class Parameters:
    model: str = field(default="tiny", metadata={"help": "Model"})

def takes(parameters):
    return ("source",)

def variant(parameters, weights):
    return parameters.model

def models(parameters):
    return (parameters.model,)

def run(inputs, parameters, outputs):
    weights = inputs.model(parameters.model) / "model.safetensors"
    outputs.document("weights.json", "weights", {"bytes": len(weights.read_bytes())})
'''


@pytest.fixture
def weigh(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """The operation `weigh`, there for one test."""
    module = types.ModuleType("ledgerkit.operations.weigh")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(OPERATION, vars(module))
    known = (*operation.names(), "weigh")
    monkeypatch.setattr(operation, "names", lambda: known)
    yield module
    operation.load.cache_clear()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    """A store with the models `tiny` and, of other weights, `large`."""
    monkeypatch.setenv("LEDGERKIT_MODELS", str(tmp_path / "store"))
    found = ModelStore()
    add(found, "tiny", str(write_model(tmp_path / "small")), license="MIT")
    add(found, "large", str(write_model(tmp_path / "big", model_files(b"b", 128))))
    return found


def runs(repository: Repository) -> list[Run]:
    archive = Archive(repository.root)
    found = [archive.run("plate-001", one) for one in archive.run_ids("plate-001")]
    return [run for run in found if run.operation == "weigh"]


@pytest.mark.usefixtures("weigh")
def test_a_record_pins_the_model_and_the_worker_gets_its_folder(
    tiny: Repository, store: ModelStore
) -> None:
    assert tiny.run("weigh").complete == 3
    (run,) = runs(tiny)
    assert run.models == [store.pin("tiny")]
    assert tiny.run("weigh").skipped == 3


def test_what_a_worker_process_is_sent_holds_names_and_digests_only(store: ModelStore) -> None:
    models = take(["tiny", "large"])
    task = Task("root", "weigh", {}, "plate-001", "", (), "staging", "0" * 64, models)
    sent = pickle.dumps(task)
    assert pickle.loads(sent) == task
    assert len(sent) < 2000
    inputs = TaskInputs(pickle.loads(sent))
    assert inputs.model("large") == store.path("large")
    with pytest.raises(MissingInput, match="not among those"):
        inputs.model("other")


@pytest.mark.usefixtures("weigh", "store")
def test_other_weights_are_another_task_even_under_the_same_name(
    tiny: Repository, tmp_path: Path
) -> None:
    tiny.run("weigh")
    remove(ModelStore(), "tiny")
    add(ModelStore(), "tiny", str(tmp_path / "big"))
    assert tiny.run("weigh").complete == 3
    first, second = runs(tiny)
    assert [run.parameters["model"] for run in (first, second)] == [
        run.models[0].sha256 for run in (first, second)
    ]
    assert first.task_id != second.task_id
    assert first.models[0].sha256 != second.models[0].sha256


def cut(store: ModelStore) -> None:
    weights = store.folder("tiny") / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(b"")


def flip(store: ModelStore) -> None:
    weights = store.folder("tiny") / "model.safetensors"
    weights.chmod(0o644)
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)


def drop(store: ModelStore) -> None:
    store.folder("tiny").chmod(0o755)
    (store.folder("tiny") / "model.safetensors").unlink()


def take_out(store: ModelStore) -> None:
    remove(store, "tiny")


@pytest.mark.parametrize(
    ("damage", "kind"),
    [(cut, DigestMismatch), (flip, DigestMismatch), (drop, MissingInput), (take_out, UsageError)],
)
def test_a_model_that_is_not_what_was_added_is_an_error_before_any_work(
    tiny: Repository,
    store: ModelStore,
    weigh: types.ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    damage: object,
    kind: type[LedgerkitError],
) -> None:
    worked: list[object] = []
    monkeypatch.setattr(weigh, "run", lambda inputs, parameters, outputs: worked.append(inputs))
    assert callable(damage)
    damage(store)
    for ask in (tiny.dry_run, tiny.run):
        with pytest.raises(kind):
            ask("weigh")
    assert worked == []
    assert runs(tiny) == []
    assert tiny.run("weigh", model="large").complete == 3
    assert len(worked) == 3


@pytest.mark.usefixtures("weigh")
def test_a_run_is_made_again_with_the_weights_it_pins_whatever_their_name_is_now(
    tiny: Repository, store: ModelStore, tmp_path: Path
) -> None:
    tiny.run("weigh")
    assert tiny.rerun(operation="weigh").sound
    remove(store, "tiny")
    add(store, "tiny", str(tmp_path / "big"))
    lost = tiny.rerun(operation="weigh")
    assert not lost.sound
    add(store, "other-name", str(tmp_path / "small"))
    assert tiny.rerun(operation="weigh").sound


@pytest.mark.usefixtures("store")
def test_an_operation_without_models_needs_no_store(tiny: Repository, tmp_path: Path) -> None:
    cut(ModelStore())
    assert tiny.run("headers").complete == 3


def test_an_operation_is_tested_with_a_plain_folder(
    weigh: types.ModuleType, tmp_path: Path
) -> None:
    folder = write_model(tmp_path / "plain")
    made = run_operation(weigh, models={"tiny": folder})
    assert made.documents == {"weights.json": {"bytes": len(model_files()["model.safetensors"])}}
    with pytest.raises(MissingInput, match="no model tiny"):
        run_operation(weigh)
