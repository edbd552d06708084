"""Eight processes write to one repository at once, one of them killed again and again. POSIX only.

    python -m ledgerkit.testing.writers [--seconds S] [--json]

Each writer does work of its own kind and prints the ids of the runs that were reported to it as
committed. At the end all are killed. Then every run that was reported is there, once, and proves
against the checkpoint; every checkpoint that was seen is a prefix of it; `verify` finds nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ledgerkit.api import Repository
from ledgerkit.canonical import sha256_hex
from ledgerkit.layout import RECORD, run_folder
from ledgerkit.log import Entry
from ledgerkit.merkle import Checkpoint, ProofInvalid, check_consistency, check_inclusion, leaf_hash
from ledgerkit.repository import Archive
from ledgerkit.testing.scenarios import draw
from ledgerkit.verify import verify

WORK = {
    "one plate": lambda one: one.run("headers", plates="1", force=True).run_ids,
    "two plates": lambda one: one.run("headers", plates="2..3", force=True).run_ids,
    "all plates": lambda one: one.run("headers", force=True).run_ids,
    "what is not done": lambda one: one.run("headers").run_ids,
    "ingest": lambda one: _ingest(one),
    "policy": lambda one: _policy(one),
    "consolidate": lambda one: _consolidate(one),
}
"""What a writer does again and again; the ids of the runs that it was told are kept."""
VICTIM = ("one plate", "consolidate", "policy", "all plates")
"""What the eighth writer does: the next of these after each kill."""
_PROGRAM = """
import sys
from ledgerkit.api import Repository
from ledgerkit.testing.writers import WORK
repository = Repository.open(sys.argv[1], wait=300)
while True:
    print(*WORK[sys.argv[2]](repository), flush=True)
"""


@dataclass
class Outcome:
    """What the writers did and what was found afterwards."""

    reported: dict[str, list[str]] = field(default_factory=dict)
    """Runs that were reported as kept, by what the writer does."""
    turns: dict[str, int] = field(default_factory=dict)
    """Pieces of work that came to their end."""
    kills: int = 0
    entries: int = 0
    checkpoints: int = 0
    wrong: list[str] = field(default_factory=list)


def _ingest(repository: Repository) -> list[str]:
    number = len(repository.plates()) + 1
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder) / "more", range(number, number + 2))
        more = Path(folder) / "more"
        return repository.ingest(more / "data.json", more / "images").run_ids


def _policy(repository: Repository) -> list[str]:
    made = repository.run("propose", force=True).run_ids
    repository.accept_policy("A. Curator", "as it was proposed")
    return made


def _consolidate(repository: Repository) -> list[str]:
    repository.consolidate()
    return []


class Crowd:
    """The writers of one repository, and what they have said."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        self.outcome = Outcome()
        self.writers: dict[subprocess.Popen[bytes], str] = {}
        self._said: dict[subprocess.Popen[bytes], bytes] = {}

    def start(self, work: str) -> subprocess.Popen[bytes]:
        errors = (self.folder / f"errors-{len(self._said)}").open("wb")
        with errors:
            writer = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(self.root), work],
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self.writers[writer] = work
        self._said[writer] = b""
        return writer

    def listen(self, seconds: float) -> None:
        """Take in what writers say, for at most so long."""
        streams = {writer.stdout: writer for writer in self.writers if writer.stdout}
        ready, _, _ = select.select(list(streams), [], [], seconds)
        for stream in ready:
            said = os.read(stream.fileno(), 1 << 16)
            self._take(streams[stream], said)
            if not said:
                self.outcome.wrong.append(f"the writer of {self.end(streams[stream])} ended")

    def _take(self, writer: subprocess.Popen[bytes], said: bytes) -> None:
        lines = (self._said[writer] + said).split(b"\n")
        self._said[writer] = lines.pop()
        work = self.writers[writer]
        for line in lines:
            self.outcome.reported.setdefault(work, []).extend(line.decode().split())
            self.outcome.turns[work] = self.outcome.turns.get(work, 0) + 1

    def had_turns(self) -> bool:
        """Whether every kind of work came to its end once, and three writers were killed."""
        return self.outcome.turns.keys() >= WORK.keys() and self.outcome.kills >= 3

    def end(self, writer: subprocess.Popen[bytes]) -> str:
        """Kill a writer; what it did, and how it complained."""
        writer.kill()
        assert writer.stdout is not None
        with writer.stdout as stream:
            self._take(writer, stream.read())
        writer.wait()
        work = self.writers.pop(writer)
        place = list(self._said).index(writer)
        return f"{work}: {(self.folder / f'errors-{place}').read_text(errors='replace')[-2000:]}"


def run(folder: Path, seconds: float, seed: int = 0) -> Outcome:
    """Let the writers write for so long, then kill them all and look.

    On a busy machine longer, up to ten times: until each kind of work was done once.
    """
    root = folder / "archive"
    first = Repository.init(root)
    first.ingest(*draw(folder / "scans", range(1, 4))[1::2])
    first.run("headers")
    chance = random.Random(seed)
    crowd = Crowd(root, folder)
    for work in WORK:
        crowd.start(work)
    victim = crowd.start(VICTIM[0])
    seen: dict[int, Checkpoint] = {}
    archive = Archive(root)
    until = time.monotonic() + seconds
    kill_at = time.monotonic() + 1
    latest = until + 9 * seconds
    while not crowd.outcome.wrong:
        now = time.monotonic()
        if now >= (until if crowd.had_turns() else latest):
            break
        crowd.listen(0.1)
        head = archive.log.checkpoint()
        if head:
            seen.setdefault(head.size, head)
        if now >= kill_at:
            crowd.end(victim)
            crowd.outcome.kills += 1
            victim = crowd.start(VICTIM[crowd.outcome.kills % len(VICTIM)])
            kill_at = now + chance.uniform(0.4, 2)
    for writer in list(crowd.writers):
        crowd.end(writer)
    with archive.store.locked(wait=0):
        pass
    _check(archive, crowd.outcome, list(seen.values()))
    return crowd.outcome


def _check(archive: Archive, outcome: Outcome, seen: list[Checkpoint]) -> None:
    head = archive.log.checkpoint()
    assert head is not None
    outcome.entries, outcome.checkpoints = head.size, len(seen)
    reported = [run_id for ids in outcome.reported.values() for run_id in ids]
    if len(set(reported)) != len(reported):
        outcome.wrong.append("a run was reported twice")
    for run_id in reported:
        _check_run(archive, run_id, head, outcome)
    for old in seen:
        proof = archive.log.consistency(old.size, head.size)
        try:
            check_consistency(old.size, head.size, proof, old.root, head.root)
        except ProofInvalid as error:
            outcome.wrong.append(f"the checkpoint of {old.size} entries is no prefix: {error}")
    for one in verify(archive.root).findings:
        outcome.wrong.append(f"{one.code} {one.subject}: {one.message}")


def _check_run(archive: Archive, run_id: str, head: Checkpoint, outcome: Outcome) -> None:
    found = archive.log.index().find_run(run_id)
    if found is None:
        outcome.wrong.append(f"{run_id} was reported as kept, and is not logged")
        return
    subject, logged = found
    path = f"{run_folder(subject, run_id)}/{RECORD}"
    entry = Entry("run", path, sha256_hex(archive.tree.read(path)))
    proof = archive.log.inclusion(logged.index, head.size)
    try:
        check_inclusion(logged.index, head.size, leaf_hash(entry.encode()), proof, head.root)
    except ProofInvalid as error:
        outcome.wrong.append(f"{run_id} does not prove: {error}")


def main(arguments: list[str] | None = None) -> int:
    """Run and report; 0 when nothing was wrong."""
    parser = argparse.ArgumentParser(prog="python -m ledgerkit.testing.writers")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long they write")
    parser.add_argument("--json", action="store_true", help="report as JSON")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ledgerkit-writers-") as name:
        outcome = run(Path(name), given.seconds)
        subprocess.run(["chmod", "-R", "u+w", name], check=False)
    if given.json:
        print(json.dumps(asdict(outcome)))
    else:
        for work, turns in sorted(outcome.turns.items()):
            print(f"  {work:18} {turns:5} times, {len(outcome.reported[work]):6} runs reported")
        for wrong in outcome.wrong[:20]:
            print(f"WRONG {wrong}")
        print(
            f"8 writers for {given.seconds:.0f} s, {outcome.kills} kills: {outcome.entries} entries, "
            f"{outcome.checkpoints} checkpoints seen, {len(outcome.wrong)} wrong"
        )
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
