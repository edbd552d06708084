"""Pictures of results: plots, one file a kind, and how a picture is kept as a figure of its run.

The same data give the same bytes under the same version of matplotlib: every plot has a canvas of
its own and matplotlib's default settings, whatever those of the user are, and no display.

Keeps out: what pictures prove.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledgerkit.plotting.captions import CAPTIONS

if TYPE_CHECKING:
    from ledgerkit.handles import Outputs


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG file and its size in pixels."""

    png: bytes
    width: int
    height: int


def keep_figure(
    picture: Picture, name: str, title: str, outputs: Outputs, *, kind: str = ""
) -> dict[str, Any]:
    """Write a picture among the outputs of a run; its row of the table `figures`.

    `name` is its id, a-z0-9-; the file has underscores for hyphens. `kind` is its key in `CAPTIONS`
    where that is not the name.
    """
    caption = CAPTIONS[kind or name]
    file_name = f"{name.replace('-', '_')}.png"
    with outputs.open(file_name, "figure", "image/png") as file:
        file.write(picture.png)
    return {
        "figure_id": name,
        "title": title,
        "file": file_name,
        "media_type": "image/png",
        "sha256": hashlib.sha256(picture.png).hexdigest(),
        "width": picture.width,
        "height": picture.height,
        "tags": list(caption.tags),
        "is_core": caption.is_core,
        "interpretation": caption.interpretation,
        "warning_signs": caption.warning_signs,
    }
