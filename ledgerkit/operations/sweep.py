"""Try many settings of several algorithms on a collection of plates, and say what holds among them.

All trials share the vectors, the graph of nearest neighbours, the linkage and the layouts. Each is
measured without labels and tried again on subsamples; the most stable half make a consensus, and
agreement with it, or a composite of the measures, ranks them. A collection is all plates, or those that --plates or --where
name, under a name of its own. What is interrupted goes on where it stopped.
Source: workflow W1; Fred & Jain 2005 (consensus); docs/sweeps.md (every formula).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from ledgerkit.clustering.vectors import Vectors
    from ledgerkit.handles import Inputs, Outputs
    from ledgerkit.sweeping.outcome import Outcome
    from ledgerkit.sweeping.run import Swept
    from ledgerkit.sweeping.shared import Shared

VERSION = "1"
EVENT_TYPE = "clustering"
SUBJECT = "collection"
LIBRARIES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "umap-learn",
    "pynndescent",
    "numba",
    "hdbscan",
    "graspologic-native",
    "optuna",
    "pyarrow",
)
MAKES = ("sweep_trials", "sweep_members")
ONE_SPACE = True
ALL_PLATES = "all"
DECIDED = ("weight", "weights_sha256", "formula")
DECIDED_BY = ("weights", "sweep weigh")
ALGORITHMS = "agglomerative,leiden,umap-hdbscan,kmeans"
MAP_NEIGHBOURS, MAP_DISTANCE = 15, 0.1
"""Layout of the map: W0's single setting."""


def _whole(default: int, least: int, text: str, most: int | None = None) -> Any:
    bounds = {"minimum": least, "maximum": most, "help": text, "unit": "1"}
    return field(default=default, metadata=bounds)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `sweep run`."""

    collection: str = field(
        default=ALL_PLATES,
        metadata={
            "help": "Name of the collection that is swept; of those that --plates or --where choose one "
            "that is not all",
            "unit": "",
        },
    )
    of: str = field(
        default="plates",
        metadata={
            "help": "What is grouped",
            "unit": "",
            "choices": ("plates", "tiles", "segments"),
        },
    )
    space: str = field(
        default="",
        metadata={
            "help": "Vector space; needed where there are several",
            "unit": "",
        },
    )
    trials: int = _whole(240, 2, "Settings that are tried, at most")
    search: str = field(
        default="random",
        metadata={
            "help": "How settings are drawn; tpe learns from the trials before",
            "unit": "",
            "choices": ("random", "grid", "tpe"),
        },
    )
    algorithms: str = field(
        default=ALGORITHMS, metadata={"help": "Algorithms, with commas between them", "unit": ""}
    )
    samples: int = _whole(3, 0, "Subsamples of 80 % on which each setting is tried again")
    components: int = _whole(32, 0, "Principal components taken before the graph; 0 for none")
    formula: str = field(
        default="consensus",
        metadata={
            "help": "What ranks: the ARI with the consensus, or W1's composite of z-scores (text) or of "
            "raw measures (code)",
            "unit": "",
            "choices": ("consensus", "w1.text", "w1.code"),
        },
    )
    weight: str = field(
        default="",
        metadata={
            "help": "Weights of W1's composites in place of its own, as JSON; --weights FILE gives them",
            "unit": "",
        },
    )
    weights_sha256: str = field(
        default="", metadata={"help": "Digest of the file that the weights came from", "unit": ""}
    )
    cut: str = field(
        default="lifetime",
        metadata={
            "help": "Cut of the consensus that exports and figures take; both are kept",
            "unit": "",
            "choices": ("lifetime", "half"),
        },
    )
    seed: int = _whole(1337, 0, "Seed of everything random", 4294967295)

    def __post_init__(self) -> None:
        from ledgerkit.errors import UsageError

        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", self.collection):
            raise UsageError(
                f"collection is {self.collection!r}",
                "Give letters, digits, dots, hyphens: --collection birds-1840",
            )
        _names(self)
        _weights(self)
        if self.weights_sha256 and not (
            self.weight and re.fullmatch("[0-9a-f]{64}", self.weights_sha256)
        ):
            raise UsageError(
                f"weights_sha256 is {self.weights_sha256!r}: it is the digest of a file that weights came from",
                "Give the file itself: --weights FILE",
            )


def takes(parameters: Parameters) -> tuple[str, ...]:
    """The vectors of the plates that are swept."""
    return ("embeddings",)


def variant(parameters: Parameters) -> str:
    """What is grouped, the collection, and the space if one is named, behind a sign that no name has."""
    space = f"+{parameters.space}" if parameters.space else ""
    return f"{parameters.of}-{parameters.collection}{space}"


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write `sweep_trials`, `sweep_members` and `sweep.json`.

    Raises `MissingInput` for fewer than four vectors, `UsageError` for an algorithm there is not.
    """
    from ledgerkit.clustering.reduce import normalise
    from ledgerkit.clustering.vectors import gather
    from ledgerkit.errors import MissingInput
    from ledgerkit.sweeping.outcome import outcome
    from ledgerkit.sweeping.run import Plan, sweep
    from ledgerkit.sweeping.shared import FEWEST, Shared

    vectors = gather(inputs.tables("embeddings"), parameters.of, parameters.space)
    if len(vectors.subjects) < FEWEST:
        raise MissingInput(
            f"{len(vectors.subjects)} {parameters.of} are too few to compare groupings of them",
            f"Sweep a collection of {FEWEST} or more.",
        )
    shared = Shared(
        normalise(vectors.matrix), seed=parameters.seed, components=parameters.components
    )
    plan = Plan(
        _names(parameters),
        parameters.trials,
        parameters.search,
        parameters.samples,
        parameters.seed,
    )
    swept = sweep(shared, plan, outputs.kept, outputs.progress)
    found = outcome(shared, swept, parameters.formula, _weights(parameters))
    outputs.rows("sweep_trials", _trial_rows(swept, found, parameters, vectors.space))
    outputs.table("sweep_members", _members(vectors, shared, swept, found, parameters))
    outputs.document(
        "sweep.json", "sweep", _document(swept, found, parameters, plan.algorithms, vectors)
    )
    _check(swept, found, parameters, outputs)


def _names(parameters: Parameters) -> tuple[str, ...]:
    from ledgerkit.errors import UsageError
    from ledgerkit.sweeping.algorithms import load

    given = dict.fromkeys(part.strip() for part in parameters.algorithms.split(",") if part.strip())
    if not any(not load(name).control for name in given):
        raise UsageError(
            f"algorithms is {parameters.algorithms!r}: a sweep needs one that is no control",
            f"Give some of: {ALGORITHMS}",
        )
    return tuple(given)


def _weights(parameters: Parameters) -> dict[str, float]:
    """W1's weights, or those that are given. Raises `UsageError` for others than these eight numbers."""
    from ledgerkit.canonical import parse_json
    from ledgerkit.errors import LedgerkitError, UsageError
    from ledgerkit.sweeping.composite import WEIGHTS

    if not parameters.weight:
        return dict(WEIGHTS)
    try:
        told: Any = parse_json(parameters.weight.encode(), "weight")
        found = {str(name): float(value) for name, value in dict(told).items()}
    except (LedgerkitError, TypeError, ValueError) as error:
        raise UsageError("weight is no JSON of names and numbers") from error
    if found.keys() != WEIGHTS.keys() or not all(map(math.isfinite, found.values())):
        raise UsageError(
            f"weight has {', '.join(sorted(found)) or 'nothing'}", f"Give: {', '.join(WEIGHTS)}"
        )
    return found


def _trial_rows(
    swept: Swept, found: Outcome, parameters: Parameters, space: str
) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from ledgerkit.canonical import canonical_bytes
    from ledgerkit.sweeping.composite import CODE, TEXT, penalised

    rows = []
    for place, trial in enumerate(swept.trials):
        values = {
            f"score_{name}{end}": float(values[place])
            for name, scores in (("code", found.scores[CODE]), ("text", found.scores[TEXT]))
            for end, values in (("", scores.raw), ("_z", scores.z))
        }
        worth = "penalised: little coverage or fewer than two clusters" if penalised(trial) else ""
        rows.append(
            {
                "collection": parameters.collection,
                "of": parameters.of,
                "space_id": space,
                "trial": trial.number,
                "algorithm": trial.algorithm,
                "parameters": canonical_bytes(dict(trial.setting)).decode().strip(),
                "signature": trial.signature,
                "control": trial.control,
                **asdict(trial.measures),
                "bootstrap_ari": trial.bootstrap_ari,
                "consensus_ari": found.consensus_ari[place],
                "stability_ari": found.stability[place],
                **values,
                "score": found.scores[found.formula].of(place),
                "rank": found.ranks[place],
                "ranked_down": found.ranked_down[place],
                "in_consensus": place in found.members,
                "note": "; ".join(filter(None, (trial.note, worth))),
            }
        )
    return rows


def _members(
    vectors: Vectors, shared: Shared, swept: Swept, found: Outcome, parameters: Parameters
) -> pa.Table:
    """Rows of `sweep_members`, by subject."""
    import numpy as np
    import pyarrow as pa

    count = len(vectors.subjects)
    none = np.full(count, -1, dtype=np.int32)
    agreed = found.agreement
    points = shared.layout(MAP_NEIGHBOURS, MAP_DISTANCE).points
    labels = np.ascontiguousarray(swept.labels.T)
    return pa.table(
        {
            "collection": [parameters.collection] * count,
            "subject_id": vectors.subjects,
            "plate_id": vectors.plates,
            "consensus_lifetime": none if agreed is None else agreed.lifetime.astype(np.int32),
            "consensus_half": none if agreed is None else agreed.half.astype(np.int32),
            "consensus_probability": np.zeros(count) if agreed is None else agreed.probability,
            "x": points[:, 0],
            "y": points[:, 1] if points.shape[1] > 1 else np.zeros(count),
            "labels": pa.ListArray.from_arrays(
                pa.array(np.arange(count + 1, dtype=np.int32) * labels.shape[1], pa.int32()),
                pa.array(labels.ravel(), pa.int32()),
            ),
        }
    )


def _document(
    swept: Swept,
    found: Outcome,
    parameters: Parameters,
    algorithms: Sequence[str],
    vectors: Vectors,
) -> dict[str, Any]:
    """`sweep.v1`."""
    agreed, winner = found.agreement, found.winner
    return {
        "schema_version": "sweep.v1",
        "collection": parameters.collection,
        "of": parameters.of,
        "space_id": vectors.space,
        "rows": len(vectors.subjects),
        "search": parameters.search,
        "seed": parameters.seed,
        "components": parameters.components,
        "algorithms": list(algorithms),
        "formula": found.formula,
        "weights": _weights(parameters),
        "consensus": {
            "method": agreed.method if agreed else None,
            "threshold": agreed.threshold if agreed else None,
            "cut": parameters.cut,
            "trials": found.members,
            "clusters": {
                "lifetime": int(agreed.lifetime.max()) + 1 if agreed else 0,
                "half": int(agreed.half.max()) + 1 if agreed else 0,
            },
        },
        "winner": None
        if winner is None
        else {
            "trial": winner,
            "algorithm": swept.trials[winner].algorithm,
            "parameters": dict(swept.trials[winner].setting),
            "signature": swept.trials[winner].signature,
            "score": found.scores[found.formula].of(winner),
        },
    }


def _check(swept: Swept, found: Outcome, parameters: Parameters, outputs: Outputs) -> None:
    """Gates: whether as many settings were tried as wanted, and whether there is a consensus."""
    tried, wanted = len(swept.trials), parameters.trials
    outputs.gate(
        "sweep", "trials", tried == wanted, float(tried), f"{tried} of {wanted} settings were tried"
    )
    usable = found.agreement is not None and int(found.agreement.lifetime.max()) > 0
    outputs.gate(
        "sweep",
        "consensus",
        usable,
        float(len(found.members)),
        f"{len(found.members)} trials in the consensus"
        if usable
        else "no consensus of two clusters or more",
    )
    down = sum(found.ranked_down)
    outputs.gate(
        "sweep", "stability", down <= tried / 2, float(down), f"{down} of {tried} are ranked down"
    )
