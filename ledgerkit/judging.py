"""Trials of a sweep held against what people said of its pairs, and weights that follow from it.

The sweep is the newest of the collection and kind of subject whose pairs are reviewed; pairs are found in it by their
subjects, so answers to pairs of a former sweep count too. Nothing is written but the file of weights
that was asked for, and nothing reads it unasked: the weights of the composite stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledgerkit import layout, schema
from ledgerkit.canonical import canonical_bytes, sha256_hex
from ledgerkit.clustering.swept import Swept, read_sweep
from ledgerkit.errors import MissingInput, UsageError
from ledgerkit.export.target import new_file, refuse
from ledgerkit.repository import Archive
from ledgerkit.review import Pair, Review, looked_at, person_name
from ledgerkit.sweeping.judgement import majority, right_of, verdicts
from ledgerkit.sweeping.reweighing import Term

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.sweeping.trial import Trial


@dataclass(frozen=True)
class JudgedTrial:
    """A trial and how it stands to the answers; figures that are not defined are None."""

    trial: int
    algorithm: str
    signature: str
    rank: int | None
    outside: int
    precision: float | None
    recall: float | None
    matthews: float | None


@dataclass(frozen=True)
class JudgedView:
    """The trials of a sweep, the best Matthews correlation first, over the pairs that people decided."""

    collection: str
    sweep: str
    persons: list[str]
    judged: int
    """Pairs that more persons call same than different, or the other way."""
    unsure: int
    """Pairs of which nobody is sure, or as many say the one as the other."""
    trials: list[JudgedTrial]


@dataclass(frozen=True)
class WeightsView:
    """Weights that were written to `target`, and what they would change."""

    target: str
    sha256: str
    method: str
    weights: dict[str, float]
    terms: list[Term]
    left_out: dict[str, str]
    decisive: int
    held_out: float | None
    held_out_default: float | None
    first: int
    """The trial that these weights put first."""
    first_default: int
    """The one that the default weights put first, by the same formula."""


@dataclass(frozen=True)
class _Case:
    """A sweep and the answers to pairs of its subjects."""

    sweep: str
    swept: Swept
    persons: list[str]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    answers: list[str]


def judge(archive: Archive, collection: str = "", by: str | None = None) -> JudgedView:
    """How the trials stand to what the majority of persons says, or one of them, `by`.

    Raises `MissingInput` without pairs, answers or a sweep, `InvalidRecord`, `DigestMismatch`.
    """
    case = _case(archive, collection, by)
    found = verdicts(case.swept.labels.T, case.left, case.right, case.answers)
    rows = [
        JudgedTrial(
            row["trial"],
            row["algorithm"],
            row["signature"],
            row["rank"],
            one.outside,
            one.precision,
            one.recall,
            one.matthews,
        )
        for row, one in zip(case.swept.trials, found, strict=True)
    ]
    rows.sort(key=lambda row: (row.matthews is None, -(row.matthews or 0.0), row.trial))
    first = found[0]
    return JudgedView(
        case.swept.collection, case.sweep, case.persons, first.judged, first.unsure, rows
    )


def weigh(
    archive: Archive,
    target: Path,
    *,
    collection: str = "",
    by: str | None = None,
    method: str = "logistic",
    seed: int = 1337,
) -> WeightsView:
    """Write weights of the composite `w1.text`, found from answers, to a new file (`weights.v1`).

    Trials that are controls have no part in it. The penalty, and terms that cannot be judged, keep
    their default weight. Raises `UsageError` with too few answers, and as `judge`; then nothing is
    left behind.
    """
    import numpy as np

    from ledgerkit.sweeping.composite import TEXT, WEIGHTS, score, terms
    from ledgerkit.sweeping.reweighing import reweigh

    refuse(target)
    case = _case(archive, collection, by)
    kept = [place for place, row in enumerate(case.swept.trials) if not row["control"]]
    trials = [_trial(case.swept.trials[place]) for place in kept]
    stability = [case.swept.trials[place]["stability_ari"] for place in kept]
    votes = np.ascontiguousarray(case.swept.labels.T[kept])
    right, _ = right_of(votes, case.left, case.right, case.answers)
    found = reweigh(right, terms(trials, stability), WEIGHTS, method=method, seed=seed)
    weights = dict(WEIGHTS) | {one.name: one.weight for one in found.terms}
    document = {
        "schema_version": "weights.v1",
        "formula": TEXT,
        "weights": weights,
        "collection": case.swept.collection,
        "sweep": case.sweep,
        "persons": case.persons,
        "found": asdict(found) | {"terms": [asdict(one) for one in found.terms]},
    }
    schema.check("weights.v1", document, target.name)
    data = canonical_bytes(document)
    with new_file(target) as file:
        file.write(data)
    tops = [int(np.argmax(score(trials, stability, TEXT, one).raw)) for one in (weights, WEIGHTS)]
    return WeightsView(
        str(target),
        sha256_hex(data),
        method,
        weights,
        list(found.terms),
        found.left_out,
        found.decisive,
        found.held_out,
        found.held_out_default,
        *(trials[place].number for place in tops),
    )


def _case(archive: Archive, collection: str, by: str | None) -> _Case:
    import numpy as np

    review = looked_at(archive)
    chosen, pairs = review.pairs(collection)
    collection = pairs[0].collection
    of = str(archive.run(layout.COLLECTION, chosen).parameters["of"])
    sweep, swept = _newest_sweep(archive, of, collection)
    place = {row["subject_id"]: at for at, row in enumerate(swept.members)}
    known = {
        pair.pair_id: pair
        for pair in review.every_pair()
        if {pair.subject_a, pair.subject_b} <= place.keys()
    }
    told = _told(review, known, by)
    answers = majority(told)
    if not answers:
        named = f" by {by}" if by else ""
        raise MissingInput(
            f"no pair of {collection} is answered{named} yet", "Answer them: ledgerkit review"
        )
    ends = [(place[known[one].subject_a], place[known[one].subject_b]) for one in answers]
    left, right = np.array(ends, dtype=np.int64).T
    return _Case(sweep, swept, sorted(told), left, right, list(answers.values()))


def _told(review: Review, known: Mapping[str, Pair], by: str | None) -> dict[str, dict[str, str]]:
    """Answers to these pairs, by person. Raises `UsageError` for somebody who answered none ever."""
    persons, by = review.persons(), None if by is None else person_name(by)
    if by is not None and by not in persons:
        raise UsageError(f"{by} has not answered", f"These have: {', '.join(persons) or 'nobody'}")
    found = {
        name: {pair: one.answer for pair, one in review.answers(name).items() if pair in known}
        for name in persons
        if by in (None, name)
    }
    return {name: answers for name, answers in found.items() if answers}


def _newest_sweep(archive: Archive, of: str, collection: str) -> tuple[str, Swept]:
    """The newest sweep of a collection's plates, tiles or segments (`of`), with its run.

    Raises `MissingInput`.
    """
    import msgspec
    import pyarrow as pa
    import pyarrow.parquet as pq

    for run in reversed(archive.runs(layout.COLLECTION)):
        outputs = {one.role: one for one in archive.outputs(run) if run.status != "failed"}
        trials = outputs.get("table:sweep_trials")
        members = outputs.get("table:sweep_members")
        if trials is None or members is None:
            continue
        data = archive.tree.read_checked(trials.path, trials.sha256)
        rows = [
            msgspec.structs.asdict(row)
            for row in schema.decode_rows("sweep_trials", data, trials.path)
        ]
        if any((row["of"], row["collection"]) == (of, collection) for row in rows):
            data = archive.tree.read_checked(members.path, members.sha256)
            table = pq.read_table(pa.BufferReader(data))
            return run.run_id, read_sweep(rows, [table], collection=collection)
    raise MissingInput(
        f"no sweep of {collection} ({of}) is on record", f"Make one: ledgerkit sweep run --of {of}"
    )


def _trial(row: Mapping[str, Any]) -> Trial:
    """A trial as the composite takes it, from its row."""
    from ledgerkit.clustering.swept import setting_of
    from ledgerkit.sweeping.measures import Measures
    from ledgerkit.sweeping.trial import Trial

    measures = Measures(**{name: row[name] for name in Measures.__dataclass_fields__})
    return Trial(
        row["trial"],
        row["algorithm"],
        setting_of(row),
        row["signature"],
        row["control"],
        measures,
        row["bootstrap_ari"],
    )
