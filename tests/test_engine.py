"""Plan, run, commit over tiny real repositories."""

from __future__ import annotations

from ledgerkit.api import Repository


def test_what_is_done_is_skipped(tiny: Repository) -> None:
    first = tiny.run("headers")
    second = tiny.run("headers")
    assert (first.complete, first.skipped) == (3, 0)
    assert (second.complete, second.skipped) == (0, 3)
    assert len(tiny.plates()[0].runs) == 1
