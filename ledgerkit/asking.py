"""The verbs that ask a service of others, as `Repository` has them: vectors of texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ledgerkit.repository import Archive
from ledgerkit.views import Progress

if TYPE_CHECKING:
    from ledgerkit.texts import TextsView


class Asking:
    """Part of `api.Repository`."""

    _archive: Archive

    def embed_texts(
        self,
        endpoint: str,
        model: str,
        *,
        dimensions: int | None = None,
        fields: tuple[str, ...] = ("title",),
        truncate: int = 8000,
        batch: int = 100,
        plates: list[str] | None = None,
        force: bool = False,
        pause: float = 1.0,
        progress: Callable[[Progress], None] | None = None,
    ) -> TextsView:
        """Ask a service for vectors of what is written about plates: see `ledgerkit.texts`."""
        from ledgerkit.texts import TextSettings, embed_texts

        return embed_texts(
            self._archive,
            TextSettings(endpoint, model, dimensions, fields, truncate),
            plates=plates,
            batch=batch,
            force=force,
            pause=pause,
            progress=progress,
        )
