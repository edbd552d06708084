"""The verbs that look for what is alike, as `Repository` has them, and the checks of runs:
search, duplicates, gates.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ledgerkit.repository import Archive

if TYPE_CHECKING:
    from ledgerkit.duplicates import DuplicatesView
    from ledgerkit.gates import GatesView
    from ledgerkit.query import Limits
    from ledgerkit.search import SearchView


class Looking:
    """Part of `api.Repository`."""

    _archive: Archive

    def search(
        self,
        subject: str | Path,
        *,
        count: int = 10,
        of: str | None = None,
        space: str | None = None,
        limits: Limits | None = None,
    ) -> SearchView:
        """The nearest `count` plates, tiles or segments to an id or an image file, by cosine."""
        from ledgerkit.search import search

        return search(self._archive, str(subject), count=count, of=of, space=space, limits=limits)

    def duplicates(
        self,
        *,
        max_distance: int | None = None,
        min_cosine: float | None = None,
        space: str | None = None,
        limits: Limits | None = None,
    ) -> DuplicatesView:
        """Groups of plates that show the same picture, each pair with its evidence."""
        from ledgerkit.duplicates import duplicates

        return duplicates(
            self._archive,
            max_distance=max_distance,
            min_cosine=min_cosine,
            space=space,
            limits=limits,
        )

    def gates(
        self,
        *,
        failed: bool = False,
        operation: str | None = None,
        run: str | None = None,
        limits: Limits | None = None,
    ) -> GatesView:
        """What current runs, or the run `run`, found when they checked their own work."""
        from ledgerkit.gates import gates

        return gates(self._archive, failed=failed, operation=operation, run=run, limits=limits)
