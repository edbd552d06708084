"""Data of the map pages: every plate and every clustering as packed arrays.

Numbers that name things are places in other lists: plates by number, clusters by level and label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ledgerkit.pages.gather import Map, Plates, Scheme
from ledgerkit.pages.nearest import clusters_near
from ledgerkit.pages.pictures import Numbering, Pictures
from ledgerkit.pages.script import packed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def sprites_data(numbering: Numbering, pictures: Pictures) -> dict[str, Any]:
    """Where each small picture lies: cells row by row, sheet after sheet."""
    import numpy as np

    from ledgerkit.pages.pictures import SHEET

    return {
        "side": numbering.side,
        "across": SHEET // numbering.side,
        "sheets": pictures.sheets,
        "width": packed(pictures.width, np.uint8),
        "height": packed(pictures.height, np.uint8),
    }


def plates_data(
    plates: Plates, labels: Sequence[Scheme], numbering: Numbering, missing: Mapping[int, str]
) -> dict[str, Any]:
    """All plates; `missing` says of some why there is no picture."""
    import numpy as np

    return {
        "numbers": packed(np.array([row["plate_number"] for row in plates.rows]), np.int32),
        "titles": [row["title"] for row in plates.rows],
        "sprites": packed(numbering.plates, np.int32),
        "labels": [_scheme(one) for one in labels],
        "missing": {str(place): why for place, why in missing.items()},
    }


def map_data(one: Map, labels: Sequence[Scheme], sprites: NDArray[np.int32]) -> dict[str, Any]:
    """One map with its clusters; `labels` are what is said of its subjects beyond their plates."""
    import numpy as np

    return {
        "kind": one.kind,
        "run": one.run_id,
        "variant": one.variant,
        "levels": one.levels,
        "subjects": None if one.kind == "plate" else one.subjects,
        "plates": packed(one.plates, np.int32),
        "x": packed(one.x, np.float32),
        "y": packed(one.y, np.float32),
        "members": [packed(line, np.int32) for line in one.members],
        "nearest": [packed(line, np.int32) if (line >= 0).any() else None for line in one.nearest],
        "probability": packed(np.round(one.probability * 255), np.uint8),
        "sprites": packed(sprites, np.int32),
        "labels": [_scheme(scheme) for scheme in labels],
        "clusters": _clusters(one),
    }


def _scheme(scheme: Scheme) -> dict[str, Any]:
    import numpy as np

    return {
        "name": scheme.name,
        "values": scheme.values,
        "first": packed(scheme.first, np.int32),
        "several": {str(place): codes for place, codes in scheme.several.items()},
    }


def _clusters(one: Map) -> list[dict[str, Any]]:
    number = {row["cluster_id"]: at for at, row in enumerate(one.clusters)}
    return [
        {
            "id": row["cluster_id"],
            "level": row["level"],
            "label": row["label"],
            "parent": number.get(row["parent_id"], -1),
            "size": row["size"],
            "title": row["title"],
            "source": row["source"],
            "by": row["named_by"],
            "ruled": row["ruled"] or row.get("descriptive_name") or None,
            "description": row["description"],
            "category": row["category"],
            "strength": row["strength"],
            "persistence": row.get("persistence"),
            "representative": one.place.get(row["representative_id"] or row["medoid_id"], -1),
            "near": [[other, cosine] for other, cosine in near],
        }
        for row, near in zip(one.clusters, clusters_near(one), strict=True)
    ]
