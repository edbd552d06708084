"""Eight processes write at once, one of them killed again and again: what was reported is kept."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ledgerkit.api import Repository
from ledgerkit.repository import Archive
from ledgerkit.testing import writers

SECONDS = 8.0


def test_eight_writers_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    outcome = writers.run(tmp_path, SECONDS)
    subprocess.run(["chmod", "-R", "u+w", tmp_path], check=True)
    assert outcome.wrong == []
    assert outcome.kills >= 3
    assert outcome.turns.keys() >= writers.WORK.keys()
    assert sum(map(len, outcome.reported.values())) > 20
    assert outcome.checkpoints > 10


def test_a_run_that_was_reported_and_is_not_there_is_found_out(tiny: Repository) -> None:
    made = tiny.run("headers").run_ids
    archive = Archive(tiny.root)
    head = archive.log.checkpoint()
    assert head
    outcome = writers.Outcome(reported={"one plate": made})
    writers._check(archive, outcome, [head])
    assert outcome.wrong == []
    outcome.reported = {"one plate": [*made, "run-20240101-000000Z-0123456789ab"], "twice": made}
    writers._check(archive, outcome, [writers.Checkpoint(head.origin, 2, head.root)])
    assert [line.partition(" ")[2][:20] for line in outcome.wrong] == [
        "run was reported twi",
        "was reported as kept",
        "checkpoint of 2 entr",
    ]
