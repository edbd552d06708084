"""The figures of one run, drawn and kept one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ledgerkit.plotting import keep_figure
from ledgerkit.plotting.canvas import said, to_picture

if TYPE_CHECKING:
    from ledgerkit.handles import Outputs


class Album:
    """Keeps figures and their rows of the table `figures`."""

    def __init__(self, outputs: Outputs) -> None:
        self._outputs = outputs
        self.rows: list[dict[str, Any]] = []

    def keep(self, name: str, title: str, figure: Any, kind: str = "") -> None:
        """Write a figure of matplotlib; a text in its place says why there is none.

        `kind` as in `keep_figure`.
        """
        drawn = said(title, figure) if isinstance(figure, str) else figure
        row = keep_figure(to_picture(drawn), name, title, self._outputs, kind=kind)
        self.rows.append(row)
