"""The verbs of `Repository` that give something out: to other tools, and to people as pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ledgerkit import layout
from ledgerkit.errors import UsageError
from ledgerkit.repository import Archive
from ledgerkit.views import ExportView

if TYPE_CHECKING:
    from ledgerkit.pages.atlas import AtlasView


class Exporting:
    """Part of `api.Repository`."""

    _archive: Archive

    def export(
        self,
        what: str,
        form: str,
        target: str | Path,
        *,
        plates: str | list[str] | None = None,
        kinds: Sequence[str] | None = None,
        variant: str | None = None,
        at: str | Path | int | None = None,
        base_uri: str | None = None,
    ) -> ExportView:
        """Write `segments` as `coco`, `geojson` or `webannotation` to a new file or folder outside.

        `base_uri` is for `webannotation`: where the folder will be served. Raises `UsageError`,
        `MissingInput`, `InvalidRecord`; then nothing is left behind.
        """
        from ledgerkit.export.ledgers import KINDS, Selection
        from ledgerkit.export.segments import BASE_URI, export_segments

        if what != "segments":
            raise UsageError(f"there is no export of {what!r}", "There is: segments")
        chosen = None
        if plates is not None:
            given = plates if isinstance(plates, str) else ",".join(plates)
            chosen = layout.select_plates(given, self._archive.plate_ids())
        return export_segments(
            self._archive,
            form,
            Path(target),
            Selection(chosen, tuple(kinds) if kinds is not None else KINDS, variant),
            base_uri=base_uri or BASE_URI,
            at=None if at is None else str(at),
        )

    def atlas(
        self,
        target: str | Path,
        *,
        pictures: str = "tiles",
        progress: Callable[[int, int], None] | None = None,
    ) -> AtlasView:
        """Write pages about the current results to a new folder outside, which opens from the disk.

        `pictures` is `tiles` (those of pyramids, else one picture a plate), `whole` (one picture a
        plate) or `thumbnails`. Raises `UsageError`, `MissingInput`; then nothing is left behind.
        """
        from ledgerkit.pages.atlas import write_atlas

        return write_atlas(self._archive, Path(target), choice=pictures, progress=progress)
