"""Choose about 150 pairs that a sweep leaves open, for people to look at.

A third are near neighbours on which the trials of the consensus are divided, a third nearest
neighbours across its clusters, a third doubtful members, each with one of their cluster's core.
`ledgerkit review` asks them in an order drawn by lot, and shows neither why a pair was chosen nor which
trials an answer speaks for: that is in `pairs.json` alone.
Source: Fred & Jain 2005 (co-association); workflow W1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ledgerkit.clustering.swept import CUTS
from ledgerkit.errors import MissingInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.clustering.swept import Swept
    from ledgerkit.handles import Inputs, Outputs
    from ledgerkit.sweeping.ambiguous import Pair

VERSION = "1"
EVENT_TYPE = "selection"
SUBJECT = "collection"
LIBRARIES = ("numpy", "pyarrow")
MAKES = ("review_pairs",)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `pairs`."""

    of: str = field(
        default="plates",
        metadata={
            "help": "What was grouped",
            "unit": "",
            "choices": ("plates", "tiles", "segments"),
        },
    )
    collection: str = field(
        default="",
        metadata={"help": "Collection that was swept; empty for that of the newest", "unit": ""},
    )
    count: int = field(
        default=150, metadata={"minimum": 1, "help": "Pairs that are chosen, at most", "unit": "1"}
    )
    most: int = field(
        default=3,
        metadata={"minimum": 1, "help": "Pairs that one subject may be in", "unit": "1"},
    )
    cut: str = field(
        default="half",
        metadata={
            "help": "Cut of the consensus by which clusters are told apart",
            "unit": "",
            "choices": CUTS,
        },
    )
    borderline: float = field(
        default=0.5,
        metadata={
            "minimum": 0,
            "maximum": 1,
            "help": "Share of the trials at which a merge is least decided",
            "unit": "1",
        },
    )
    neighbours: int = field(
        default=15,
        metadata={
            "minimum": 2,
            "help": "Nearest subjects among which borderline merges are looked for, itself included",
            "unit": "1",
        },
    )
    seed: int = field(
        default=1337, metadata={"minimum": 0, "help": "Seed of order, sides and ties", "unit": ""}
    )
    space: str = field(
        default="",
        metadata={
            "help": "Vector space that was swept; empty for that of the newest sweep",
            "unit": "",
        },
    )
    made_by: str = field(
        default="",
        metadata={"help": "Operation that made the vectors; empty for any", "unit": ""},
    )


def takes(parameters: Parameters) -> tuple[str, ...]:
    """The trials, what they made of each subject, and the vectors."""
    return ("sweep_trials", "sweep_members", "embeddings")


def variant(parameters: Parameters) -> str:
    """What was grouped, and the collection."""
    return f"{parameters.of}-{parameters.collection}"


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write rows of `review_pairs`, and `pairs.json` with reasons and evidence.

    Raises `MissingInput` without a sweep, vectors or open pairs, `UsageError` for several
    collections, `InvalidRecord`.
    """
    import numpy as np

    from ledgerkit.clustering.reduce import neighbours
    from ledgerkit.clustering.swept import read_sweep, voters
    from ledgerkit.sweeping.ambiguous import choose

    swept = read_sweep(
        (row for row in inputs.rows("sweep_trials") if row["of"] == parameters.of),
        inputs.tables("sweep_members"),
        collection=parameters.collection,
        cut=parameters.cut,
    )
    unit = _vectors(inputs, parameters, swept)
    asked = voters(swept)
    found = choose(
        np.ascontiguousarray(swept.labels[:, asked].T),
        swept.consensus,
        unit,
        neighbours(unit, min(parameters.neighbours, len(unit))).indices,
        cut=parameters.borderline,
        count=parameters.count,
        most=parameters.most,
        seed=parameters.seed,
    )
    if not found:
        raise MissingInput(
            "the trials leave no pair open: they agree on all subjects, or group none",
            'See: ledgerkit query "SELECT trial, clusters, coverage FROM sweep_trials"',
        )
    outputs.rows("review_pairs", _rows(swept, found))
    trials = [int(swept.trials[place]["trial"]) for place in asked]
    outputs.document("pairs.json", "pairs", _document(parameters, swept, trials, found))
    told = f"{len(found)} of {parameters.count} pairs were found"
    enough = len(found) == parameters.count
    outputs.gate("pairs", "found", enough, float(len(found)), told)


def _vectors(inputs: Inputs, parameters: Parameters, swept: Swept) -> NDArray[np.float32]:
    """The vectors of the subjects in their order, L2 norm 1, float32 (n, d). Raises `MissingInput`."""
    from ledgerkit.clustering.reduce import normalise
    from ledgerkit.clustering.vectors import gather

    found = gather(inputs.tables("embeddings"), parameters.of, parameters.space or swept.space)
    place = {subject: row for row, subject in enumerate(found.subjects)}
    subjects = [row["subject_id"] for row in swept.members]
    lost = [one for one in subjects if one not in place]
    if lost:
        raise MissingInput(
            f"{len(lost)} subjects of the sweep have no vector in {found.space}: "
            f"{', '.join(lost[:5])}",
            "Make it again: ledgerkit sweep run",
        )
    return normalise(found.matrix)[[place[one] for one in subjects]]


def _rows(swept: Swept, found: list[Pair]) -> list[dict[str, Any]]:
    rows = []
    for position, pair in enumerate(found):
        left, right = swept.members[pair.left], swept.members[pair.right]
        rows.append(
            {
                "collection": swept.collection,
                "pair_id": _pair_id(swept, pair),
                "subject_a": left["subject_id"],
                "subject_b": right["subject_id"],
                "plate_a": left["plate_id"],
                "plate_b": right["plate_id"],
                "position": position,
            }
        )
    return rows


def _document(
    parameters: Parameters, swept: Swept, trials: list[int], found: list[Pair]
) -> dict[str, Any]:
    """`pairs.v1`."""
    return {
        "schema_version": "pairs.v1",
        "collection": swept.collection,
        "of": swept.of,
        "space_id": swept.space,
        "cut": parameters.cut,
        "borderline": parameters.borderline,
        "seed": parameters.seed,
        "trials": trials,
        "pairs": [
            {
                "pair_id": _pair_id(swept, pair),
                "reason": pair.reason,
                "cosine": round(pair.cosine, 6),
                "association": pair.association,
                "together": [trials[place] for place in pair.together],
                "apart": [trials[place] for place in pair.apart],
            }
            for pair in found
        ],
    }


def _pair_id(swept: Swept, pair: Pair) -> str:
    from ledgerkit.sweeping.ambiguous import pair_id

    return pair_id(swept.members[pair.left]["subject_id"], swept.members[pair.right]["subject_id"])
