"""Items that fail make a run partial; tasks that run together fail one by one."""

from __future__ import annotations

import shlex
import sys
import types
from collections.abc import Iterator

import pytest

from ledgerkit import engine, operation
from ledgerkit.api import Repository
from ledgerkit.backends import serial
from ledgerkit.errors import InvalidRecord, UnreadableImage
from ledgerkit.records import Run
from ledgerkit.repository import Archive

OPERATION = '''
"""Count the letters of things, some of which cannot be counted."""
from dataclasses import dataclass, field

from ledgerkit.errors import UnreadableImage

VERSION = "1"
EVENT_TYPE = "analysis"
SUBJECT = "plate"
LIBRARIES = ()
MAKES = ()
bad = {"plate-002": ["b"]}
broken = set()
calls = []

@dataclass(frozen=True)
class Parameters:
    together: int = field(default=1, metadata={"help": "Plates at once"})
    word: str = field(default="", metadata={"help": "What the letters are called"})
    upper: bool = field(default=False, metadata={"help": "Capitals only"})
    least: float = field(default=1.0, metadata={"help": "Least share"})

def takes(parameters):
    return ("source",)

def variant(parameters):
    return ""

def run(inputs, parameters, outputs):
    if inputs.plate_id in broken:
        raise UnreadableImage(f"{inputs.plate_id} cannot be counted")
    for item in "abc":
        if item in bad.get(inputs.plate_id, ()):
            outputs.failed(item, UnreadableImage(f"{item} has no letters"))
    outputs.device("cuda made up")
    outputs.document("letters.json", "letters", {"plate": inputs.plate_id})
'''
MANY = """
def together(parameters):
    return parameters.together

def run_many(works, parameters):
    calls.append([work.inputs.plate_id for work in works])
    errors = []
    for work in works:
        try:
            run(work.inputs, parameters, work.outputs)
            errors.append(None)
        except Exception as error:
            errors.append(error)
    return errors
"""


@pytest.fixture(params=["one by one", "together"])
def count(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[types.ModuleType]:
    """The operation `count`, there for one test, without and with `run_many`."""
    module = types.ModuleType("ledgerkit.operations.count")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(OPERATION + (MANY if request.param == "together" else ""), vars(module))
    known = (*operation.names(), "count")
    monkeypatch.setattr(operation, "names", lambda: known)
    monkeypatch.setattr(operation, "summary", lambda name: "Count.")
    yield module
    operation.load.cache_clear()


def newest(repository: Repository, plate: str) -> Run:
    archive = Archive(repository.root)
    return archive.run(plate, sorted(archive.run_ids(plate))[-1])


def test_a_failed_item_makes_the_run_partial_and_is_a_row(
    tiny: Repository, count: types.ModuleType
) -> None:
    job = tiny.run("count")
    assert (job.complete, job.partial, job.failed, job.sound) == (2, 1, 0, False)
    (failure,) = job.failures
    assert (failure.subject, failure.message) == ("plate-002, b", "b has no letters")
    run = newest(tiny, "plate-002")
    assert (run.status, run.failure, run.environment.device) == ("partial", None, "cuda made up")
    assert [output.role for output in run.outputs] == ["letters"]
    tiny.consolidate()
    found = tiny.query("SELECT item, class, message FROM current_failed_items").to_dicts()
    assert found == [{"item": "b", "class": "UnreadableImage", "message": "b has no letters"}]
    assert tiny.verify().sound


def test_what_failed_in_part_is_done_and_can_be_tried_again(
    tiny: Repository, count: types.ModuleType
) -> None:
    tiny.run("count")
    assert tiny.run("count").skipped == 3
    count.bad = {}
    job = tiny.run("count", retry_failed=True)
    assert (job.complete, job.partial, job.skipped) == (1, 0, 2)
    run = newest(tiny, "plate-002")
    assert run.status == "complete"
    assert run.supersedes is not None
    assert "1 items had failed" in run.supersedes.reason


def test_a_plate_that_fails_costs_only_itself(tiny: Repository, count: types.ModuleType) -> None:
    count.broken = {"plate-001"}
    job = tiny.run("count", together=3)
    assert (job.complete, job.partial, job.failed) == (1, 1, 1)
    assert newest(tiny, "plate-001").status == "failed"
    assert newest(tiny, "plate-001").outputs == []


@pytest.mark.parametrize("count", ["together"], indirect=True)
def test_plates_run_together_as_many_as_asked_for(
    tiny: Repository, count: types.ModuleType
) -> None:
    tiny.run("count", together=2)
    assert count.calls == [["plate-001", "plate-002"], ["plate-003"]]


@pytest.mark.parametrize("count", ["together"], indirect=True)
def test_no_worker_gets_what_others_could_do_meanwhile(
    tiny: Repository, count: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In this process, where calls can be seen, the bundles are those for two workers.
    monkeypatch.setattr(engine, "run_all", serial.run_all)
    tiny.run("count", together=3, workers=2)
    assert count.calls == [["plate-001"], ["plate-002"], ["plate-003"]]


@pytest.mark.parametrize("count", ["one by one"], indirect=True)
def test_status_says_what_is_lacking_and_how_to_try_again(
    tiny: Repository, count: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ledgerkit import status

    monkeypatch.setattr(status, "PHASES", (*status.PHASES, ("counting", "count")))
    tiny.run("count")
    view = tiny.status()
    assert [phase.partial for phase in view.phases if phase.operation == "count"] == [1]
    assert [(one.subject, one.message) for one in view.failures] == [
        ("plate-002", "count, b: b has no letters")
    ]
    step = "ledgerkit count --plates plate-002 --retry-failed    # 1 done in part"
    assert step in view.next_steps


@pytest.mark.parametrize("count", ["one by one"], indirect=True)
def test_the_way_to_try_again_has_the_options_of_the_run_and_can_be_pasted(
    tiny: Repository, count: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ledgerkit import status
    from ledgerkit.cli import cli

    monkeypatch.setattr(status, "PHASES", (*status.PHASES, ("counting", "count")))
    tiny.run("count", plates="plate-001,plate-003")
    count.broken = {"plate-003"}
    given = {"together": 2, "word": "it's a; word", "upper": True, "least": -0.5}
    tiny.run("count", plates="plate-002..003", **given)
    count.bad = {}
    steps = [step for step in tiny.status().next_steps if step.startswith("ledgerkit count")]
    assert [step.partition("    # ")[2] for step in steps] == ["1 done in part"]
    monkeypatch.chdir(tiny.root)
    assert cli.main(shlex.split(steps[0], comments=True)[1:], standalone_mode=False) == 0
    run = newest(tiny, "plate-002")
    assert (run.status, run.parameters) == ("complete", given)
    assert run.supersedes is not None
    assert [
        len(Archive(tiny.root).run_ids(plate)) for plate in ("plate-001", "plate-002", "plate-003")
    ] == [1, 2, 2]


@pytest.mark.parametrize("count", ["one by one"], indirect=True)
def test_what_was_made_of_a_part_of_the_plates_is_tried_again_on_that_part(
    tiny: Repository, count: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ledgerkit import status
    from ledgerkit.cli import cli

    monkeypatch.setattr(status, "PHASES", (*status.PHASES, ("counting", "count")))
    monkeypatch.setattr(count, "SUBJECT", "collection")
    count.bad = {None: ["b"]}
    tiny.run("count", plates="plate-001,plate-003", together=2)
    (step,) = [step for step in tiny.status().next_steps if step.startswith("ledgerkit count")]
    named = "ledgerkit count --together 2 --plates plate-001,plate-003 --retry-failed"
    assert step.partition("    # ")[0] == named
    count.bad = {}
    monkeypatch.chdir(tiny.root)
    assert cli.main(shlex.split(named)[1:], standalone_mode=False) == 0
    newest = max(Archive(tiny.root).run_ids("collection"))
    run = Archive(tiny.root).run("collection", newest)
    assert (run.status, run.supersedes is not None) == ("complete", True)


@pytest.mark.parametrize("count", ["one by one"], indirect=True)
def test_a_newer_run_of_another_variant_hides_nothing_that_is_lacking(
    tiny: Repository, count: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ledgerkit import status

    monkeypatch.setattr(status, "PHASES", (*status.PHASES, ("counting", "count")))
    count.variant = lambda parameters: f"by-{parameters.together}"
    tiny.run("count")
    count.bad = {}
    tiny.run("count", together=2)
    view = tiny.status()
    assert [phase.partial for phase in view.phases if phase.operation == "count"] == [1]
    assert [one.message for one in view.failures] == ["count, b: b has no letters"]


@pytest.mark.parametrize("count", ["one by one"], indirect=True)
@pytest.mark.parametrize(
    ("now", "verdict", "why"),
    [
        ({"b": "Unreadable"}, "same failure", "b: UnreadableImage"),
        ({}, "succeeds now", "b succeeds now (UnreadableImage recorded)"),
        (
            {"a": "Unreadable", "c": "Invalid"},
            "differs",
            "b succeeds now (UnreadableImage recorded), a fails now: UnreadableImage, "
            "c fails now: InvalidRecord",
        ),
        (
            {"b": "Invalid"},
            "differs",
            "b fails otherwise: UnreadableImage recorded, InvalidRecord now",
        ),
    ],
)
def test_a_rerun_compares_which_items_fail_and_why(
    tiny: Repository, count: types.ModuleType, now: dict[str, str], verdict: str, why: str
) -> None:
    tiny.run("count", plates="plate-002")
    count.bad = {"plate-002": list(now)}
    if "Invalid" in now.values():
        invalid = [item for item, kind in now.items() if kind == "Invalid"]
        count.UnreadableImage = lambda text: (
            InvalidRecord(text) if text[0] in invalid else UnreadableImage(text)
        )
    view = tiny.rerun(operation="count")
    (one,) = view.reruns
    assert [found.verdict for found in one.verdicts] == ["same bytes", verdict]
    assert (one.verdicts[1].output, one.verdicts[1].why) == ("failed items", why)
    assert view.sound == (verdict == "same failure")
    assert view.counts == {"same bytes": 1, verdict: 1}
    assert tiny.verify().sound


@pytest.mark.parametrize("count", ["one by one"], indirect=True)
def test_a_rerun_of_a_complete_run_says_what_fails_now(
    tiny: Repository, count: types.ModuleType
) -> None:
    tiny.run("count", plates="plate-001")
    count.bad = {"plate-001": ["a", "c"]}
    (one,) = tiny.rerun(operation="count").reruns
    assert [(found.output, found.verdict) for found in one.verdicts] == [
        ("outputs/letters.json", "same bytes"),
        ("failed items", "differs"),
    ]
    assert not one.sound
