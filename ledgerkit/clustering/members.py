"""The rows of a clustering among the inputs of an operation that shows or tells of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ledgerkit.errors import MissingInput

if TYPE_CHECKING:
    from ledgerkit.handles import Inputs


def members_and_clusters(
    inputs: Inputs, of: str, level: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of one level, members by subject id and clusters by label.

    Raises `MissingInput` without a clustering of this kind, or without the level.
    """
    kind = of.removesuffix("s")
    every = [row for row in inputs.rows("cluster_members") if row["subject_kind"] == kind]
    members = [row for row in every if row["level"] == level]
    if not members:
        levels = sorted({int(row["level"]) for row in every})
        raise MissingInput(
            f"no clustering of {of} at level {level} among the inputs",
            f"run: ledgerkit cluster --of {of}"
            if not levels
            else f"There are the levels {', '.join(map(str, levels))}",
        )
    clusters = [row for row in inputs.rows("clusters") if row["level"] == level]
    return (
        sorted(members, key=lambda row: str(row["subject_id"])),
        sorted(clusters, key=lambda row: int(row["label"])),
    )
