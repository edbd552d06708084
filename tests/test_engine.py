"""Plan, run, commit over tiny real repositories."""

from __future__ import annotations

import json
import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ledgerkit import engine, layout, software
from ledgerkit.api import Repository
from ledgerkit.errors import MissingInput, UsageError
from ledgerkit.repository import Archive
from ledgerkit.testing.compare import comparable
from ledgerkit.views import JobView, Progress


def _spoil(repository: Repository, place: int, data: bytes | None = None) -> Path:
    """Change a source after it was sealed: longer, or to bytes of the same length."""
    source = repository.root / str(repository.plates()[place].source_path)
    os.chmod(source, 0o644)
    source.write_bytes(source.read_bytes() + b"more" if data is None else data)
    return source


def _counts(job: JobView) -> tuple[int, int, int, int, int]:
    return job.complete, job.skipped, job.stale, job.failed_before, job.failed


def _runs(repository: Repository, plate: str) -> list[Any]:
    return Archive(repository.root).runs(plate)


def _tree(root: Path) -> dict[str, bytes]:
    """Every file but the lock, which says who held it last and since when."""
    files = (path for path in root.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path): path.read_bytes() for path in files}


def test_what_is_done_is_skipped(tiny: Repository) -> None:
    assert _counts(tiny.run("headers")) == (3, 0, 0, 0, 0)
    assert _counts(tiny.run("headers")) == (0, 3, 0, 0, 0)
    assert [len(plate.runs) for plate in tiny.plates()] == [1, 1, 1]


def test_only_the_plates_that_are_named_are_done(tiny: Repository) -> None:
    assert tiny.run("headers", plates="plate-002..").complete == 2
    assert [len(plate.runs) for plate in tiny.plates()] == [0, 1, 1]
    assert tiny.run("headers", plates=["plate-001", "plate-002"]).skipped == 1
    with pytest.raises(UsageError, match="plate-009"):
        tiny.run("headers", plates="plate-009")


def test_plates_are_chosen_by_a_condition_over_the_ledger(tiny: Repository) -> None:
    tiny.run("headers")
    tiny.consolidate()
    assert tiny.dry_run("measure", where="format = 'PNG'").would_run == ["plate-002"]
    with pytest.raises(UsageError, match="no plate meets"):
        tiny.dry_run("measure", where="width > 1000")


def test_force_makes_a_new_run_beside_the_old_one(tiny: Repository) -> None:
    tiny.run("headers")
    assert tiny.run("headers", plates="plate-002", force=True).complete == 1
    old, new = _runs(tiny, "plate-002")
    assert (old.task_id, old.supersedes) == (new.task_id, None)
    assert old.run_id < new.run_id
    assert (tiny.root / old.folder / "outputs/headers.jsonl").read_bytes() == (
        tiny.root / new.folder / "outputs/headers.jsonl"
    ).read_bytes()


def test_what_was_made_with_other_code_is_kept_until_stale_is_asked_for(
    tiny: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(software, "VERSION", "0.0.1")
        tiny.run("headers")
    assert _counts(tiny.run("headers")) == (0, 0, 3, 0, 0)
    assert _counts(tiny.run("headers", plates="plate-001", stale=True)) == (1, 0, 0, 0, 0)
    old, new = _runs(tiny, "plate-001")
    assert new.supersedes.run_id == old.run_id
    assert f"ledgerkit 0.0.1 -> {software.VERSION}" in new.supersedes.reason
    assert _counts(tiny.run("headers", stale=True)) == (2, 1, 0, 0, 0)
    tiny.consolidate()
    current = tiny.query("SELECT run_id FROM runs WHERE operation = 'headers' AND current")
    assert set(current["run_id"]) == {
        _runs(tiny, plate.plate_id)[-1].run_id for plate in tiny.plates()
    }


def test_a_failed_input_is_a_failed_run_and_the_others_go_on(tiny: Repository) -> None:
    _spoil(tiny, 1)
    job = tiny.run("headers")
    assert _counts(job) == (2, 0, 0, 0, 1)
    assert [one.subject for one in job.failures] == ["plate-002"]
    (run,) = _runs(tiny, "plate-002")
    assert (run.status, run.outputs) == ("failed", [])
    assert run.failure.error == "DigestMismatch"
    assert run.failure.input == tiny.plates()[1].source_path
    assert [item.role for item in run.inputs] == ["source"]


def test_changed_bytes_of_the_same_length_fail_an_operation_that_reads_them_all(
    tiny: Repository,
) -> None:
    source = tiny.root / str(tiny.plates()[1].source_path)
    data = bytearray(source.read_bytes())
    data[-20] ^= 1
    _spoil(tiny, 1, bytes(data))
    assert _counts(tiny.run("measure")) == (2, 0, 0, 0, 1)
    assert _runs(tiny, "plate-002")[0].failure.error == "DigestMismatch"
    checked = {run.inputs[0].checked for plate in ("plate-001",) for run in _runs(tiny, plate)}
    assert checked == {"full"}
    assert not tiny.verify().sound


def test_what_failed_is_tried_again_only_when_asked_for(tiny: Repository) -> None:
    source = tiny.root / str(tiny.plates()[1].source_path)
    right = source.read_bytes()
    _spoil(tiny, 1)
    tiny.run("headers")
    assert _counts(tiny.run("headers")) == (0, 2, 0, 1, 0)
    assert _counts(tiny.run("headers", retry_failed=True)) == (0, 2, 0, 0, 1)
    _spoil(tiny, 1, right)
    assert _counts(tiny.run("headers", retry_failed=True)) == (1, 2, 0, 0, 0)
    assert [run.status for run in _runs(tiny, "plate-002")] == ["failed", "failed", "complete"]
    assert _counts(tiny.run("headers", retry_failed=True)) == (0, 3, 0, 0, 0)


@pytest.mark.parametrize(
    ("operation", "hint"),
    [
        ("normalize", "ledgerkit policy propose"),
        ("propose", "ledgerkit headers"),
        ("segment", "ledgerkit normalize"),
    ],
)
def test_an_operation_without_its_inputs_names_the_command_that_makes_them(
    tiny: Repository, operation: str, hint: str
) -> None:
    before = _tree(tiny.root)
    with pytest.raises(MissingInput) as raised:
        tiny.run(operation)
    assert hint in str(raised.value.hint)
    assert raised.value.exit_code == 3
    assert _tree(tiny.root) == before


def test_a_plate_that_lacks_its_inputs_is_left_out_and_the_others_go_on(tiny: Repository) -> None:
    tiny.run("headers", plates="plate-001,plate-003")
    job = tiny.run("propose")
    assert job.complete == 1
    assert [(one.subject, one.hint) for one in job.blocked] == [
        ("plate-002", "Make it with: ledgerkit headers")
    ]


def test_a_plate_whose_inputs_failed_says_why_and_how_to_go_on(tiny: Repository) -> None:
    _spoil(tiny, 1)
    tiny.run("headers")
    (failed,) = _runs(tiny, "plate-002")
    (left,) = tiny.run("propose").blocked
    assert left.message == (
        "plate-002 has no headers run to read: the last one failed "
        f"({failed.failure.error}: {failed.failure.message})"
    )
    assert left.hint == "Make it with: ledgerkit headers --retry-failed"


@pytest.mark.parametrize("operation", ["headers", "hash", "overlay"])
def test_an_archive_without_plates_says_so(tmp_path: Path, operation: str) -> None:
    with pytest.raises(MissingInput, match="there are no plates") as caught:
        Repository.init(tmp_path / "empty").run(operation)
    assert "ledgerkit ingest" in str(caught.value.hint)


def test_a_dry_run_says_what_would_run_and_writes_nothing(tiny: Repository) -> None:
    tiny.run("headers", plates="plate-001")
    before = _tree(tiny.root)
    view = tiny.dry_run("headers")
    assert (view.would_run, view.skipped) == (["plate-002", "plate-003"], 1)
    assert view.seconds is not None
    assert view.output_bytes
    assert tiny.dry_run("headers", force=True).would_run == [
        "plate-001", "plate-002", "plate-003"
    ]  # fmt: skip
    assert tiny.dry_run("measure").seconds is None
    assert _tree(tiny.root) == before


def test_an_unknown_parameter_or_operation_is_a_usage_error(tiny: Repository) -> None:
    with pytest.raises(UsageError, match="colour"):
        tiny.run("headers", colour="red")
    with pytest.raises(UsageError, match="paint"):
        tiny.run("paint")


def test_progress_counts_to_the_end(tiny: Repository) -> None:
    seen: list[Progress] = []
    tiny.run("headers", plates="plate-001")
    tiny.run("headers", progress=seen.append)
    assert [(one.done, one.total) for one in seen] == [(1, 3), (2, 3), (3, 3)]


def test_the_same_comes_out_of_one_process_and_of_several(tiny: Repository, tmp_path: Path) -> None:
    other = Repository.open(shutil.copytree(tiny.root, tmp_path / "other"))
    assert tiny.run("headers").complete == 3
    assert other.run("headers", workers=2).complete == 3
    assert comparable(tiny.root) == comparable(other.root)
    assert other.verify().findings == []


def test_runs_of_one_command_share_its_job(tiny: Repository) -> None:
    job = tiny.run("headers")
    tiny.run("headers", force=True)
    jobs = [[run.job_id for run in _runs(tiny, plate.plate_id)] for plate in tiny.plates()]
    assert {first for first, _ in jobs} == {job.job_id}
    assert len({second for _, second in jobs}) == 1
    assert jobs[0][0] != jobs[0][1]


def test_the_record_says_with_what_it_was_made(tiny: Repository) -> None:
    tiny.run("headers")
    (run,) = _runs(tiny, "plate-001")
    assert run.code.ledgerkit == software.VERSION
    assert set(run.environment.libraries) >= {"pillow"}
    assert run.parameters["max_header_bytes"] > 0
    assert run.inputs[0].checked == "size"
    seal = {one.run_id: one for one in Archive(tiny.root).runs(layout.COLLECTION)}
    assert seal[run.inputs[0].run_id].operation == "seal"
    assert run.agent.person is None


_KILLER = """
import os, signal, sys
from ledgerkit import engine, worker
from ledgerkit.api import Repository

def perform_all(tasks):
    if any(task.subject == "plate-002" for task in tasks):
        os.kill(os.getpid(), signal.SIGKILL)
    return worker.perform_all(tasks)
"""


def test_a_plate_that_kills_its_worker_costs_only_itself(tiny: Repository, tmp_path: Path) -> None:
    """As one that exhausts the memory does: it is tried again alone, then given up, not recorded."""
    (tmp_path / "killer.py").write_text(_KILLER)
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import json, killer\n"
        "from ledgerkit import engine\n"
        "from ledgerkit.api import Repository\n"
        "engine.perform_all = killer.perform_all\n"
        "job = Repository.open(sys.argv[1]).run('headers', workers=2)\n"
        "print(json.dumps([job.complete, job.failed, job.lost]))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny.root)],
        capture_output=True, text=True, timeout=60, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [2, 0, ["plate-002"]]
    assert [len(plate.runs) for plate in tiny.plates()] == [1, 0, 1]
    assert tiny.run("headers").complete == 1
    assert tiny.verify().findings == []


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of sixteen plates, large enough that measuring them takes a moment."""
    import numpy as np
    from PIL import Image

    folder = tmp_path_factory.mktemp("many")
    (folder / "images").mkdir()
    entries = []
    for number in range(1, 17):
        pixels = np.random.default_rng(number).integers(0, 256, (600, 600, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png", compress_level=1)
        entries.append({"plate": number, "name": "P", "slug": "p", "fileName": f"{number}.png"})
    (folder / "data.json").write_text(json.dumps(entries))
    repository = Repository.init(folder / "archive")
    repository.ingest(folder / "data.json", folder / "images")
    return folder / "archive"


_MEASURE = """
import sys
from ledgerkit import engine
from ledgerkit.api import Repository
engine.BATCH_RUNS = 3
def say(progress):
    print(progress.done, flush=True)
Repository.open(sys.argv[1]).run("measure", workers=2, progress=say)
"""
"""Small batches, so that there is something to lose between them."""


def _measure(root: Path) -> subprocess.Popen[str]:
    given = [sys.executable, "-c", _MEASURE, str(root)]
    return subprocess.Popen(
        given,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_take_interrupts,
    )


def _take_interrupts() -> None:
    """A shell that starts the tests in the background has them ignore Ctrl-C, children included."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _wait_for(process: subprocess.Popen[str], done: int) -> None:
    assert process.stdout is not None
    while select.select([process.stdout], [], [], 60)[0]:
        line = process.stdout.readline()
        if not line or int(line) >= done:
            return


def _check_resumed(root: Path, undisturbed: dict[str, Any]) -> None:
    repository = Repository.open(root)
    with Archive(root).store.locked(wait=30):
        pass
    assert repository.verify().findings == []
    for plate in repository.plates():
        assert len(plate.runs) <= 1
    job = repository.run("measure")
    assert job.complete + job.skipped == 16
    assert [len(plate.runs) for plate in repository.plates()] == [1] * 16
    assert comparable(root) == undisturbed
    assert repository.verify().findings == []


@pytest.fixture(scope="module")
def undisturbed(many: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = shutil.copytree(many, tmp_path_factory.mktemp("undisturbed") / "archive")
    Repository.open(root).run("measure")
    return comparable(root)


@pytest.mark.parametrize("done", [1, 6])
def test_ctrl_c_keeps_what_was_finished_and_the_next_command_goes_on(
    many: Path, undisturbed: dict[str, Any], tmp_path: Path, done: int
) -> None:
    root = shutil.copytree(many, tmp_path / "archive")
    process = _measure(root)
    _wait_for(process, done)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "ledgerkit.engine.Interrupted" in errors
    told = re.search(r"interrupted: (\d+) runs of measure were kept", errors)
    assert told is not None
    kept = sum(len(plate.runs) for plate in Repository.open(root).plates())
    assert done <= kept < 16
    assert int(told[1]) == kept
    assert not (root / ".ledgerkit/staging").exists() or not list(
        (root / ".ledgerkit/staging").iterdir()
    )
    _check_resumed(root, undisturbed)


def test_the_command_line_ends_with_130_after_ctrl_c(many: Path, tmp_path: Path) -> None:
    root = shutil.copytree(many, tmp_path / "archive")
    given = [sys.executable, "-m", "ledgerkit", "measure", "--workers", "2", "-C", str(root)]
    process = subprocess.Popen(
        given,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_take_interrupts,
    )
    deadline = 60.0
    while not list(root.glob(".ledgerkit/staging/*/0*")) and deadline > 0:
        select.select([], [], [], 0.01)
        deadline -= 0.01
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert Repository.open(root).verify().findings == []


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_and_resumed_gives_the_same_ledgers(
    many: Path, undisturbed: dict[str, Any], tmp_path: Path, seed: int
) -> None:
    root = shutil.copytree(many, tmp_path / "archive")
    chance = random.Random(seed)
    process = _measure(root)
    _wait_for(process, chance.randrange(1, 14))
    select.select([], [], [], chance.random() * 0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    _check_resumed(root, undisturbed)


def test_what_is_comparable_sees_a_difference(tiny: Repository, tmp_path: Path) -> None:
    """Without this, the tests above could pass because nothing was compared."""
    other = Repository.open(shutil.copytree(tiny.root, tmp_path / "other"))
    tiny.run("headers")
    other.run("headers", plates="plate-001,plate-002")
    one, two = comparable(tiny.root), comparable(other.root)
    assert one["headers"] != two["headers"]
    assert one["runs"] != two["runs"]
    other.run("headers")
    assert comparable(other.root) == one
    other.run("headers", max_header_bytes=1 << 20)
    assert comparable(other.root) != one
    text = json.dumps(one, default=str)
    assert not re.search(r"run-[0-9]{8}-", text)
    assert "task-unknown" not in text
    assert engine.BATCH_RUNS > 3
