"""Name and describe every cluster by rule, from colours, form, texture and titles.

Words of titles are weighed against those of all other clusters of the level, colours are words for
CIELAB colours of the regions (of the whole plate where there are none), form and texture are
medians. No two clusters of a level get one name. Nothing is asked of a network or a model.
Source: Monroe, Colaresi & Quinn 2008 (words); Berlin & Kay 1969 (colour terms); workflow W4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ledgerkit.errors import MissingInput

if TYPE_CHECKING:
    from ledgerkit.clustering.wording import Subject, Wording
    from ledgerkit.handles import Inputs, Outputs, Row

VERSION = "1"
EVENT_TYPE = "description"
SUBJECT = "collection"
LIBRARIES = ("numpy",)
MAKES = ("descriptions",)
SHOWN = ("figure", "part")
"""Kinds of regions that a plate shows; of a plate the first of these kinds that it has count."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `describe`."""

    of: str = field(
        default="plates",
        metadata={
            "help": "What was grouped",
            "unit": "",
            "choices": ("plates", "tiles", "segments"),
        },
    )


def takes(parameters: Parameters) -> tuple[str, ...]:
    """The clustering, the manifests, and what was measured and segmented, where it was."""
    return ("cluster_members", "clusters", "manifest", "amendments", "measures?", "segments?")


def variant(parameters: Parameters) -> str:
    """What was grouped."""
    return parameters.of


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write a row of `descriptions` for every cluster, and the numbers behind it."""
    from ledgerkit.clustering.wording import describe_groups

    kind = parameters.of.removesuffix("s")
    members = [row for row in inputs.rows("cluster_members") if row["subject_kind"] == kind]
    clusters = sorted(inputs.rows("clusters"), key=lambda row: (row["level"], row["label"]))
    if not members:
        raise MissingInput(
            f"no clustering of {parameters.of} among the inputs",
            f"run: ledgerkit cluster --of {parameters.of}",
        )
    known = _subjects(inputs, members)
    by_cluster: dict[str, list[str]] = {}
    for row in members:
        if row["cluster_id"] is not None:
            by_cluster.setdefault(row["cluster_id"], []).append(row["subject_id"])
    found: dict[str, Wording] = {}
    for level in sorted({row["level"] for row in clusters}):
        found |= describe_groups(
            {
                row["cluster_id"]: [known[one] for one in sorted(by_cluster[row["cluster_id"]])]
                for row in clusters
                if row["level"] == level
            }
        )
    outputs.rows("descriptions", [_row(name, found[name]) for name in sorted(found)])
    outputs.document(
        "evidence.json", "evidence", {name: found[name].evidence for name in sorted(found)}
    )
    bare = sum(not (one.evidence["words"] or one.evidence["colours"]) for one in found.values())
    told = f"{bare} of {len(found)} clusters have neither colours nor words to be named by"
    outputs.gate("after", "named", bare == 0, float(bare), told)


def _row(cluster: str, wording: Wording) -> dict[str, Any]:
    return {
        "cluster_id": cluster,
        "source": "rule",
        "name": wording.name,
        "description": wording.description,
        "category": None,
        "strength": None,
        "representative_id": None,
        "model": None,
    }


def _subjects(inputs: Inputs, members: list[dict[str, Any]]) -> dict[str, Subject]:
    """What is known of each member, by its id."""
    from ledgerkit.clustering.wording import Subject
    from ledgerkit.titles import titles

    named = titles(inputs)
    measured = {row["plate_id"]: row for row in _optional(inputs, "measures")}
    regions: dict[str, list[Row]] = {}
    for row in _optional(inputs, "segments"):
        key = row["segment_id"] if members[0]["subject_kind"] == "segment" else row["plate_id"]
        regions.setdefault(key, []).append(row)
    found = {}
    for member in members:
        plate = member["plate_id"]
        seen = _seen(member, regions, measured.get(plate))
        edges = measured[plate]["edge_density"] if plate in measured else None
        found[member["subject_id"]] = Subject(named.get(plate, ""), **seen, edges=edges)
    return found


def _optional(inputs: Inputs, table: str) -> list[dict[str, Any]]:
    try:
        return list(inputs.rows(table))
    except MissingInput:
        return []


def _seen(member: Row, regions: Mapping[str, list[Row]], measured: Row | None) -> dict[str, Any]:
    """Colours and form of a member, from its regions; the mean of the plate where there are none."""
    from ledgerkit.imaging.colour_words import colour_word

    mine = regions.get(str(member["subject_id"]), [])
    if member["subject_kind"] == "plate":
        kinds = [[row for row in mine if row["kind"] == kind] for kind in SHOWN]
        mine = next((rows for rows in kinds if rows), [])
    if member["subject_kind"] == "tile" or not mine:
        return {"colours": _mean(measured)}
    largest = max(mine, key=lambda row: (row["area"], row["segment_id"]))
    high = largest["y1"] - largest["y0"]
    found: dict[str, Any] = {
        "colours": tuple((colour_word(row["mean_lab"]), float(row["area"])) for row in mine),
        "aspect": (largest["x1"] - largest["x0"]) / high,
        "solidity": largest["solidity"],
    }
    if measured is not None:
        found["share"] = largest["area"] / (measured["width"] * measured["height"])
    return found


def _mean(measured: Row | None) -> tuple[tuple[str, float], ...]:
    """The mean colour of a plate as its only one, weight 1."""
    if measured is None:
        return ()
    import numpy as np

    from ledgerkit.imaging.colour_words import colour_word
    from ledgerkit.imaging.lab import to_fine_lab

    means = measured["mean"][:3] if measured["bands"] >= 3 else measured["mean"][:1] * 3
    levels = np.round(np.array(means, dtype=np.float64) * 255)
    return ((colour_word(to_fine_lab(levels.astype(np.uint8)).tolist()), 1.0),)
