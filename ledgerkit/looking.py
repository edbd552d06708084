"""The verbs that look at results, as `Repository` has them: search, index, duplicates, gates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ledgerkit.repository import Archive

if TYPE_CHECKING:
    from ledgerkit.duplicates import DuplicatesView
    from ledgerkit.gates import GatesView
    from ledgerkit.indexes import IndexView
    from ledgerkit.query import Limits
    from ledgerkit.search import SearchView
    from ledgerkit.staleness import FreshnessView


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
        approximate: bool = False,
    ) -> SearchView:
        """The nearest `count` plates, tiles or segments to an id, an image file or words, by cosine.

        With `approximate` among those that the index of the space proposes.
        """
        from ledgerkit.search import search

        return search(
            self._archive,
            str(subject),
            count=count,
            of=of,
            space=space,
            limits=limits,
            approximate=approximate,
        )

    def index(
        self, space: str, of: str = "plates", progress: Callable[[int, int], None] | None = None
    ) -> IndexView:
        """Make the approximate index of a space, outside of the repository, for the present ledgers."""
        from ledgerkit.indexes import build

        return build(self._archive, of, space, progress=progress)

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

    def stale(self, *exports: str | Path) -> FreshnessView:
        """Which results of the collection, and which of these exports, are out of date and why."""
        from ledgerkit.staleness import stale

        return stale(self._archive, [Path(one) for one in exports])
