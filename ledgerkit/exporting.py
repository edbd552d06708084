"""The verbs of `Repository` that give something out: to other tools, and to people as pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledgerkit import layout
from ledgerkit.errors import UsageError
from ledgerkit.repository import Archive
from ledgerkit.views import ExportView, FiguresView

if TYPE_CHECKING:
    from ledgerkit.export.clusterings import ClusterExportView
    from ledgerkit.export.settings import RecommendView
    from ledgerkit.export.sweep import SweepExportView
    from ledgerkit.pages.atlas import AtlasView
    from ledgerkit.pages.sweep_report import SweepReportView


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

    def export_figures(
        self,
        target: str | Path,
        *,
        made_by: Sequence[str] | None = None,
        core: bool = False,
        at: str | Path | int | None = None,
    ) -> FiguresView:
        """Copy the figures of the current runs to a new folder outside, with `viz_index.csv`.

        `made_by` names operations; `core` leaves out all but those to look at first. Raises
        `UsageError`, `MissingInput`, `DigestMismatch`; then nothing is left behind.
        """
        from ledgerkit.export.figures import export_figures

        given = None if at is None else str(at)
        return export_figures(self._archive, Path(target), made_by=made_by, core=core, at=given)

    def export_clusters(
        self,
        form: str,
        target: str | Path,
        *,
        of: str = "plates",
        run_id: str | None = None,
        at: str | Path | int | None = None,
        **chosen: Any,
    ) -> ClusterExportView:
        """Write a current clustering as `clusters`, `items`, `curated`, `embedding-atlas` or `csv`.

        The newest of its kind unless `run_id` names one; `chosen` as in `export.clusterings.Chosen`.
        Raises `UsageError`, `MissingInput`; then nothing is left behind.
        """
        from ledgerkit.export.clustered import Picked
        from ledgerkit.export.clusterings import Chosen, export_clusters

        wanted = Chosen(Picked(of, run_id), **chosen)
        given = None if at is None else str(at)
        return export_clusters(self._archive, form, Path(target), wanted, at=given)

    def export_sweeps(
        self,
        target: str | Path,
        *,
        beside: Sequence[Exporting] = (),
        vectors: bool = True,
        at: str | Path | int | None = None,
    ) -> SweepExportView:
        """Write the current sweeps as the files of workflow W1 to a new folder outside.

        `beside` are further repositories whose sweeps go into the same folder; without `vectors`
        there is no `X.npy`. Raises `UsageError`, `MissingInput`; then nothing is left behind.
        """
        from ledgerkit.export.sweep import export_sweeps

        archives = [self._archive, *(one._archive for one in beside)]
        given = None if at is None else str(at)
        return export_sweeps(archives, Path(target), vectors=vectors, at=given)

    def recommend(
        self,
        target: str | Path,
        *,
        beside: Sequence[Exporting] = (),
        collection: str | None = None,
    ) -> RecommendView:
        """Write the setting that holds across the current sweeps, for `cluster`, to a new file.

        `beside` as in `export_sweeps`; the best of one `collection` where one is named. Raises
        `UsageError`, `MissingInput`; then nothing is left behind.
        """
        from ledgerkit.export.settings import recommend

        archives = [self._archive, *(one._archive for one in beside)]
        return recommend(archives, Path(target), collection=collection)

    def sweep_report(
        self, target: str | Path, *, beside: Sequence[Exporting] = ()
    ) -> SweepReportView:
        """Write one page about the current sweeps to a new folder outside; it opens from the disk.

        `beside` as in `export_sweeps`. Raises `UsageError`, `MissingInput`; nothing is left then.
        """
        from ledgerkit.export.swept import load_sweeps
        from ledgerkit.pages.sweep_report import build

        archives = [self._archive, *(one._archive for one in beside)]
        return build(load_sweeps(archives), Path(target))
