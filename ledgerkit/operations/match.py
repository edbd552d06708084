"""Say what became of the clusters of one run in another: same, grown, split, merged, new, gone.

Both runs are named; members decide, level by level, so curated names can follow. `cluster --onto`
writes the same rows of `cluster_matches` for its own clusters.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ledgerkit.errors import UsageError

if TYPE_CHECKING:
    from ledgerkit.handles import Inputs, Outputs

VERSION = "1"
EVENT_TYPE = "clustering"
SUBJECT = "collection"
LIBRARIES = ("numpy", "scipy", "pyarrow")
MAKES = ("cluster_matches",)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `match`."""

    of: str = field(
        default="plates",
        metadata={
            "help": "What was grouped",
            "unit": "",
            "choices": ("plates", "tiles", "segments"),
        },
    )
    run: str = field(default="", metadata={"help": "Run of the clustering", "unit": ""})
    former: str = field(
        default="", metadata={"help": "Run of the clustering it is compared with", "unit": ""}
    )


def takes(parameters: Parameters) -> tuple[str, ...]:
    """The members of both clusterings. Raises `UsageError` unless two runs are named."""
    if not parameters.run or not parameters.former or parameters.run == parameters.former:
        raise UsageError("match compares two runs", "Name them with --run RUN and --former RUN")
    return (f"cluster_members@{parameters.run}", f"cluster_members@{parameters.former}")


def variant(parameters: Parameters) -> str:
    """What was grouped, and the two runs."""
    return f"{parameters.of}-{parameters.run}-{parameters.former}"


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write rows of `cluster_matches`. Raises `UsageError` when a run grouped something else."""
    from ledgerkit.clustering.identity import match, members_by_level
    from ledgerkit.clustering.tables import match_rows

    kind = parameters.of.removesuffix("s")
    both = []
    for run_id in (parameters.run, parameters.former):
        members = members_by_level(inputs.tables(f"cluster_members@{run_id}"), kind)
        if not members:
            raise UsageError(
                f"{run_id} grouped no {parameters.of}", "Say with --of what it grouped"
            )
        both.append(members)
    now, former = both
    kinds: Counter[str] = Counter()
    for level in sorted(now.keys() | former.keys()):
        matches = match(now.get(level, {}), former.get(level, {}))
        kinds.update(one.kind for one in matches)
        outputs.rows("cluster_matches", match_rows(level, parameters.former, matches))
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "no cluster"
    kept = kinds["same"] + kinds["grown"]
    outputs.gate("matches", "kept", kept > 0, float(kept), told)
