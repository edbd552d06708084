"""Pairs on record that no sweep left open: for tests of what shows them and takes answers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, islice

from ledgerkit.api import Repository
from ledgerkit.canonical import canonical_lines
from ledgerkit.events import Event, staged_name
from ledgerkit.staged import write_staged
from ledgerkit.staging import JSON_LINES
from ledgerkit.sweeping.ambiguous import pair_id


def put_pairs(
    repository: Repository,
    count: int,
    collection: str = "plates",
    pairs: Sequence[tuple[str, str, str, str]] | None = None,
) -> list[str]:
    """Put `count` pairs of plates on record as a run of `pairs`; their ids in order.

    `pairs` are others: subject and plate of the left, subject and plate of the right.
    """
    archive = repository._archive
    plates = archive.plate_ids()
    chosen = pairs or [
        (one, one, other, other) for one, other in islice(combinations(plates, 2), count)
    ]
    rows = [
        {
            "collection": collection,
            "pair_id": pair_id(one, other),
            "subject_a": one,
            "subject_b": other,
            "plate_a": plate,
            "plate_b": its,
            "position": position,
        }
        for position, (one, plate, other, its) in enumerate(chosen)
    ]
    with archive.job() as job:
        told = {"of": "plates", "collection": collection, "pairs": len(archive.runs("collection"))}
        event = Event("pairs", "selection", told)
        folder = job.item(staged_name("pairs"))
        kept = write_staged(
            archive.store,
            folder,
            "outputs/review_pairs.jsonl",
            "table:review_pairs",
            JSON_LINES,
            canonical_lines(rows),
        )
        archive.commit(job, [event.staged(folder, artifacts=[kept])])
    return [str(row["pair_id"]) for row in rows]
