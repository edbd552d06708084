"""Sweep: at each file-system call of a command in turn kill it, and return EIO and ENOSPC. Linux only.

    python -m ledgerkit.testing.faults [--points N] [--share I/N] [--scenario WORDS] [--json]

After each fault `ledgerkit recover` looks, and then: the state is exactly the old or exactly the new;
nothing of the old is changed; what was reported is there; `verify` finds nothing; the command given
again ends in the undisturbed state. A case in which the fault did not happen is void, and fails.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledgerkit import layout, operation
from ledgerkit.cli import COMMANDS
from ledgerkit.testing import states, strace
from ledgerkit.testing.scenarios import Scenario, build, command
from ledgerkit.testing.states import State
from ledgerkit.verify import verify

ATTEMPTS = 3
"""Times that a case is given when something else than the repository was hit."""
PRELOADED = (
    "polars",
    "pyarrow.parquet",
    "PIL.Image",
    "jsonschema",
    "ledgerkit.engine",
    "ledgerkit.imaging.header",
    "ledgerkit.ingest",
    "ledgerkit.ledger.build",
    *sorted({module for module, _ in COMMANDS.values()}),
)
Point = tuple[strace.Call, str]
"""One call and what is done to it."""


class Wrong(AssertionError):
    """What a case found that must not be."""


@dataclass
class Tally:
    """What a sweep came to."""

    cases: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Number by scenario, call and fault."""
    wrong: list[str] = field(default_factory=list)
    points: dict[str, int] = field(default_factory=dict)
    """Points that there are, by scenario."""
    seconds: float = 0.0


class Trial:
    """One scenario with the states that it may end in, and a folder for the copies."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.scenario = scenario
        self.copy, self.log = folder / "copy", folder / "strace.log"
        self._judged: set[str] = set()
        self.before = states.evidence(states.raw(scenario.start))
        self.ledger = states.ledger(scenario.start)
        self.allowed = self._states_of_an_undisturbed_run(folder / "states")
        self.final = self.allowed[-1]
        given = scenario.command(self.fresh())
        self.calls = [
            call
            for call in strace.calls(given, self.copy, self.log)
            if scenario.reads or call.changes
        ]

    def _calls(self) -> list[strace.Call]:
        """What an undisturbed run calls in the repository, and is worth a fault."""
        given = self.scenario.command(self.fresh())
        listed = strace.calls(given, self.copy, self.log)
        return [call for call in listed if self.scenario.reads or call.changes]

    def fresh(self) -> Path:
        """A new copy of the scenario's repository, where the one before was."""
        if self.copy.exists():
            subprocess.run(["rm", "-rf", self.copy], check=True)
        subprocess.run(["cp", "-a", self.scenario.start, self.copy], check=True)
        return self.copy

    def _states_of_an_undisturbed_run(self, told: Path) -> list[State]:
        """The state before, after each commit, and at the end."""
        root = self.fresh()
        given = self.scenario.command(root)

        def watched() -> int:
            from ledgerkit.durable import Store

            commit = Store.commit

            def commit_and_tell(*one: Any, **named: Any) -> Any:
                answer = commit(*one, **named)
                with told.open("ab") as file:
                    pickle.dump(states.state(root), file)
                return answer

            Store.commit = commit_and_tell  # type: ignore[method-assign]
            return given()

        told.unlink(missing_ok=True)
        ended = strace.untraced(watched, self.log)
        assert ended.code == 0, f"{self.scenario.name}: {ended.output}"
        found = [states.state(self.scenario.start)]
        if told.exists():
            with told.open("rb") as file:
                while file.peek(1):
                    found.append(pickle.load(file))
        return [*found, states.state(root)]

    def points(self) -> list[Point]:
        """All cases: each call with each fault."""
        return [(call, fault) for call in self.calls for fault in strace.FAULTS]

    def try_point(self, call: strace.Call, fault: str) -> None:
        """One case. Raises `Wrong`."""
        place = self.calls.index(call) if call in self.calls else None
        for attempt in range(ATTEMPTS):
            if attempt and place is not None:
                call = self._calls()[place]  # something outside was called once more, or once less
            root = self.fresh()
            ended = strace.inject(self.scenario.command(root), call, fault, root, self.log)
            if ended.injected is not None:
                break
        else:
            said = f"exit code {ended.code}, hit {ended.hit}: {ended.output}"
            raise Wrong(f"void: nothing in the repository was hit: {said}")
        if fault != strace.KILL:
            _check_message(ended)
        self._recover(root)
        self._check(root, exact=fault == strace.KILL, kept=ended.code == 0)
        same = f"{fault == strace.KILL} {states.fingerprint(root)}"
        if same in self._judged:
            return  # the very same bytes were verified, and the command given on them, before
        _check_sound(root)
        self._check_again(root, exact=fault == strace.KILL)
        self._judged.add(same)

    def _recover(self, root: Path) -> None:
        ended = strace.untraced(recovery(root), self.log)
        if ended.code != 0:
            raise Wrong(f"recover ends with {ended.code}: {ended.output}")
        if (root / layout.INTENT).exists():
            raise Wrong("an intent is left")

    def _check(self, root: Path, *, exact: bool, kept: bool) -> None:
        after = states.raw(root)
        changed = [path for path, one in self.before.items() if after.get(path) != one]
        if changed:
            raise Wrong(f"changed or gone: {changed[:5]}")
        stale = states.stale_partials(root)
        if stale:
            raise Wrong(f"partial tiles lie beside the full one: {stale[:5]}")
        found = states.state(root)
        allowed = [self.final] if kept or self.scenario.finishes else self.allowed
        if exact or not self.scenario.piecewise:
            if found not in allowed:
                raise Wrong(f"neither the old nor the new state: {_differences(found, allowed)}")
        else:
            _check_pieces(found.tolerant, [one.tolerant for one in allowed])
        self._check_ledger(root, kept=kept)

    def _check_ledger(self, root: Path, *, kept: bool) -> None:
        """The former ledgers, byte for byte, or those that a rebuild would make."""
        makes = self.scenario.given[0] == "consolidate"
        if states.ledger(root) == self.ledger and not (makes and kept):
            return
        document = json.loads((root / layout.LEDGER / "ledger.json").read_bytes())
        size = str(document["log_size"])  # recover may have put a record behind it
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / layout.LEDGER
            asked = command("consolidate", "-C", str(root), "--at", size, "-o", str(folder))
            ended = strace.untraced(asked, self.log)
            if not makes or ended.code != 0 or states.ledger(folder.parent) != states.ledger(root):
                raise Wrong(f"neither the old nor the new ledgers: {ended.output}")

    def _check_again(self, root: Path, *, exact: bool) -> None:
        again = self.scenario.command(root)
        if self.scenario.piecewise and not exact:
            again = command(*self.scenario.given, "--retry-failed", "-C", str(root))
        ended = strace.untraced(again, self.log)
        if ended.code != 0:
            raise Wrong(f"given again it ends with {ended.code}: {ended.output}")
        found, final = states.state(root), self.final
        if self.scenario.piecewise and not exact:
            found, final = found.tolerant, final.tolerant
        if found != final:
            raise Wrong(f"given again it ends otherwise: {_differences(found, [final])}")
        self._check_ledger(root, kept=True)
        _check_sound(root)


def preload() -> None:
    """Import here what commands import, once and not in each child. Nothing is run: no thread starts."""
    for name in PRELOADED:
        importlib.import_module(name)
    for one in operation.names():
        importlib.import_module(f"ledgerkit.operations.{one}")


def recovery(root: Path) -> Any:
    """The command that looks after a crash."""
    return (
        command("recover", "-C", str(root)) if "recover" in COMMANDS else command("init", str(root))
    )


def _check_message(ended: strace.Ended) -> None:
    """An error is told in a line that names something, never by a traceback."""
    if "Traceback" in ended.output:
        raise Wrong(f"a traceback: {ended.output}")
    if ended.code not in (0, 1, 2, 3, 5):
        raise Wrong(f"exit code {ended.code}: {ended.output}")
    told = [line for line in ended.output.splitlines() if line.startswith("Error: ")]
    vague = [line for line in told if line.startswith("Error: the system") or line[7:8].isdigit()]
    if vague or (ended.code in (2, 3, 5) and not told):
        raise Wrong(f"an unclear error: {ended.output}")


def _check_pieces(found: State, allowed: list[State]) -> None:
    """Every unit is one of the final state, and all of the first that is allowed are there."""
    final = allowed[-1].units
    for name, content in found.units.items():
        if name == "sealed":
            if not content.items() <= final["sealed"].items():
                raise Wrong(
                    f"sealed otherwise: {sorted(content.items() - final['sealed'].items())}"
                )
        elif final.get(name) != content:
            raise Wrong(f"there in part, or otherwise: {name}")
    missing = allowed[0].units.keys() - found.units.keys()
    if missing:
        raise Wrong(f"gone: {sorted(missing)}")


def _check_sound(root: Path) -> None:
    findings = verify(root).findings
    if findings:
        raise Wrong(
            f"verify finds {[(one.code, one.subject, one.message) for one in findings][:5]}"
        )


def _differences(found: State, allowed: list[State]) -> str:
    def one(wanted: State) -> str:
        names = found.units.keys() | wanted.units.keys()
        units = sorted(name for name in names if found.units.get(name) != wanted.units.get(name))
        return f"{units[:6]}" + ("" if found.log == wanted.log else " and the log")

    return "; ".join(one(wanted) for wanted in allowed)


def spread(points: list[Point], count: int) -> list[Point]:
    """`count` of the points, evenly spread over the kinds of calls and over the run; the same each time."""
    ordered = sorted(points, key=lambda point: (not point[0].changes, point[0].name))
    if count >= len(points):
        return points
    step = len(points) / count
    return [ordered[int(place * step)] for place in range(count)]


def sweep(
    folder: Path, *, points: int | None = None, share: tuple[int, int] = (0, 1), only: str = ""
) -> Iterator[tuple[Trial, list[Point]]]:
    """Each scenario with the points of it that are to be tried."""
    scenarios = build(folder / "scenarios", only)
    for place, scenario in enumerate(scenarios):
        trial = Trial(scenario, folder)
        chosen = trial.points()
        if points is not None:
            chosen = spread(chosen, points // len(scenarios) + (place < points % len(scenarios)))
        yield trial, chosen[share[0] :: share[1]]


def run(folder: Path, say: Any, **how: Any) -> Tally:
    """The whole sweep; `say` gets a line for each scenario and each case that went wrong."""
    tally = Tally()
    began = time.monotonic()
    for trial, points in sweep(folder, **how):
        name = trial.scenario.name
        tally.points[name] = len(trial.points())
        started = time.monotonic()
        for call, fault in points:
            tally.cases[name, call.name, fault] += 1
            try:
                trial.try_point(call, fault)
            except Exception as error:
                said = (
                    f"{name}: {fault} at {call.name} number {call.ordinal}, {call.line}: {error!r}"
                )
                tally.wrong.append(said)
                say(f"WRONG {said}")
        say(
            f"{name}: {len(points)} of {tally.points[name]} points "
            f"at {len(trial.calls)} calls in {time.monotonic() - started:.0f} s"
        )
    tally.seconds = time.monotonic() - began
    return tally


def main(arguments: list[str] | None = None) -> int:
    """Sweep and report; 0 when every case happened and held."""
    parser = argparse.ArgumentParser(prog="python -m ledgerkit.testing.faults")
    parser.add_argument("--points", type=int, help="at most so many, evenly spread; else all")
    parser.add_argument("--share", default="0/1", help="I/N: every N-th of them, from the I-th")
    parser.add_argument("--workers", type=int, default=1, help="processes, each with its share")
    parser.add_argument("--scenario", default="", help="only those with these words in their name")
    parser.add_argument("--json", action="store_true", help="report as JSON")
    given = parser.parse_args(arguments)
    if strace.find_strace() is None:
        print("strace is missing or may not trace: nothing was tried", file=sys.stderr)
        return 2
    tally = _shared_out(given) if given.workers > 1 else _alone(given)
    _report(tally, as_json=given.json)
    return 1 if tally.wrong or not tally.cases else 0


def _alone(given: argparse.Namespace) -> Tally:
    place, _, count = given.share.partition("/")
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    preload()
    folder = Path(tempfile.mkdtemp(prefix="ledgerkit-faults-", dir=base))
    try:
        return run(
            folder,
            lambda line: print(line, file=sys.stderr, flush=True),
            points=given.points,
            share=(int(place), int(count)),
            only=given.scenario,
        )
    finally:
        subprocess.run(["rm", "-rf", folder], check=False)


def _shared_out(given: argparse.Namespace) -> Tally:
    """Each share in a process of its own."""
    began = time.monotonic()
    options = ["--json", "--scenario", given.scenario]
    options += ["--points", str(given.points)] if given.points is not None else []
    program = [sys.executable, "-m", "ledgerkit.testing.faults", *options]
    shares = [
        subprocess.Popen([*program, "--share", f"{place}/{given.workers}"], stdout=subprocess.PIPE)
        for place in range(given.workers)
    ]
    tally = Tally()
    for share in shares:
        told, _ = share.communicate()
        if not told:
            tally.wrong.append(f"a share of the sweep ended with {share.returncode}")
            continue
        view = json.loads(told)
        tally.points = view["points"]
        tally.wrong += view["wrong"]
        for scenario, call, fault, count in view["cases"]:
            tally.cases[scenario, call, fault] += count
    tally.seconds = time.monotonic() - began
    return tally


def _report(tally: Tally, *, as_json: bool) -> None:
    if as_json:
        cases = [[*key, count] for key, count in sorted(tally.cases.items())]
        view = {"cases": cases, "wrong": tally.wrong, "points": tally.points}
        print(json.dumps(view | {"seconds": round(tally.seconds, 1)}))
        return
    for scenario in tally.points:
        print(f"\n{scenario}")
        names = sorted({call for one, call, _ in tally.cases if one == scenario})
        for name in names:
            counts = [f"{fault} {tally.cases[scenario, name, fault]}" for fault in strace.FAULTS]
            print(f"  {name:16} {'  '.join(counts)}")
    total = sum(tally.cases.values())
    print(
        f"\n{total} faults of {sum(tally.points.values())} points in {len(tally.points)} scenarios, "
        f"{len(tally.wrong)} wrong or void, {tally.seconds:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
