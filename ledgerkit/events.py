"""Events as staged runs: what a command did that is no operation on pixels.

An event is never skipped: two that say the same are two runs. Results of `ASKED` are no events, but are
staged as these are.
"""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import Any

from ledgerkit import layout
from ledgerkit.records import FailedItem, Input, Output, Resources, task_id
from ledgerkit.staged import StagedRun
from ledgerkit.staging import Artifact
from ledgerkit.worker import TIME_FORMAT, peak_rss_bytes

ASKED = frozenset({"embed-texts"})
"""Results that a service gave: current as results are, but nothing that can be executed again."""


class Event:
    """An event under way: begun when made, ended when staged."""

    def __init__(
        self,
        operation: str,
        event_type: str,
        parameters: dict[str, Any],
        subject: str = layout.COLLECTION,
    ) -> None:
        self.subject = subject
        self.operation = operation
        self.event_type = event_type
        self.parameters = parameters
        self._started = datetime.now(UTC)
        self._clock, self._cpu = time.perf_counter(), time.process_time()

    def staged(
        self,
        folder: str,
        *,
        inputs: list[Input] | None = None,
        artifacts: list[Artifact] | None = None,
        sealed: list[Output] | None = None,
        failed_items: list[FailedItem] | None = None,
        person: str | None = None,
        variant: str = "default",
    ) -> StagedRun:
        """The event as a run staged in `folder`; partial when items failed."""
        given = inputs or []
        return StagedRun(
            staged=folder,
            task_id=task_id(
                self.operation,
                "1",
                self.parameters,
                self.subject,
                (),
                [(one.role, one.sha256) for one in given],
            ),
            operation=self.operation,
            version="1",
            event_type=self.event_type,
            subject=self.subject,
            variant=variant,
            parameters=self.parameters,
            inputs=given,
            artifacts=artifacts or [],
            started_at=self._started.strftime(TIME_FORMAT),
            ended_at=datetime.now(UTC).strftime(TIME_FORMAT),
            resources=Resources(
                round(time.perf_counter() - self._clock, 6),
                round(time.process_time() - self._cpu, 6),
                peak_rss_bytes(),
            ),
            status="partial" if failed_items else "complete",
            failed_items=failed_items or [],
            person=person,
            sealed=sealed or [],
        )


def staged_name(operation: str) -> str:
    """A name for the staging folder of an event."""
    return f"{operation}-{secrets.token_hex(4)}"
