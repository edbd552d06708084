"""The verbs that look for damage and mend it, as `Repository` has them: audit, recover, quarantine, compare."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ledgerkit.repository import Archive
from ledgerkit.views import AuditView, CompareView, QuarantineView, RecoverView, ReplicaView


class Mending:
    """Part of `api.Repository`."""

    _archive: Archive

    def audit(self, progress: Callable[[int, int], None] | None = None) -> AuditView:
        """Look at everything, read-only and header-only."""
        from ledgerkit.audit import audit

        return audit(self._archive, progress)

    def recover(
        self, *, dry_run: bool = False, set_aside_tail: bool = False, wait: float = 60.0
    ) -> RecoverView:
        """Finish or set aside what a crash left, and record it; `dry_run` writes nothing."""
        from ledgerkit.recover import recover

        return recover(self._archive, dry_run=dry_run, set_aside_tail=set_aside_tail, wait=wait)

    def quarantine(
        self,
        path: str,
        *,
        reason: str,
        by: str,
        even_if_sound: bool = False,
        wait: float = 60.0,
    ) -> QuarantineView:
        """Move something that is damaged or listed nowhere out of the way, reversibly, on record."""
        from ledgerkit.quarantine import quarantine

        return quarantine(self._archive, path, reason, by, even_if_sound=even_if_sound, wait=wait)

    def release(
        self, quarantine_id: str, *, reason: str, by: str, wait: float = 60.0
    ) -> QuarantineView:
        """Move what lies in quarantine back, never over a name, and record it."""
        from ledgerkit.quarantine import release

        return release(self._archive, quarantine_id, reason, by, wait=wait)

    def quarantined(self) -> list[QuarantineView]:
        """What lies in quarantine now."""
        from ledgerkit.quarantine import quarantined

        return quarantined(self._archive)

    def compare(
        self,
        other: str | Path,
        *,
        depth: str = "quick",
        progress: Callable[[int, int], None] | None = None,
    ) -> CompareView:
        """What differs from another root, and which side a log proves right. Read-only on both."""
        from ledgerkit.compare import compare

        return compare(self._archive, Path(other), depth=depth, progress=progress)

    def restore_source(
        self,
        subjects: str | list[str],
        replica: str | Path,
        *,
        cache: bool = False,
        by: str | None = None,
        wait: float = 60.0,
    ) -> ReplicaView:
        """Put back what is missing or damaged of plates or paths, only with its recorded digest."""
        from ledgerkit.restore import restore

        listed = [subjects] if isinstance(subjects, str) else subjects
        return restore(self._archive, listed, Path(replica), cache=cache, person=by, wait=wait)
