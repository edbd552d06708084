"""What people say of pairs: taken as events, read back as the answers that count.

Every call adds one run for each person, with any number of answers, and what a person has said
already is not said again. The newest answer of a person on a pair counts; `withdrawn` takes it back.
Everything is read from the records, so no ledger has to be built first.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ledgerkit import layout, schema
from ledgerkit.canonical import canonical_lines
from ledgerkit.corrections import read_rows
from ledgerkit.errors import MissingInput, RepositoryBusy, UsageError
from ledgerkit.events import Event, staged_name
from ledgerkit.jobs import Job
from ledgerkit.records import Input, Output, Run
from ledgerkit.repository import Archive
from ledgerkit.sealing import seal_new
from ledgerkit.staged import StagedRun, write_staged
from ledgerkit.staging import JSON_LINES
from ledgerkit.sweeping.judgement import ANSWERS, Agreement, agreements
from ledgerkit.worker import TIME_FORMAT

OPERATION, EVENT_TYPE = "review", "annotation"
WITHDRAWN = "withdrawn"
QUESTION = "Do these two belong together?"
"""What is asked where nothing else is said."""
LONGEST_NAME = 100
FIELDS = ("pair", "answer", "by")
ATTEMPTS = 20
"""Times that an answer is held against the log again because another process wrote meanwhile."""
SHOWN = 20
"""Problems that a message names."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair as it is shown, `subject_a` at the left."""

    pair_id: str
    subject_a: str
    subject_b: str
    plate_a: str
    plate_b: str
    collection: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person says of a pair, in the record `run_id`, at `at` (UTC)."""

    answer: str
    at: str
    run_id: str


@dataclass(frozen=True)
class AnsweredView:
    """Pairs that were answered, those whose answer was that already, and the runs that say so."""

    answered: list[str]
    unchanged: list[str]
    run_ids: list[str]


@dataclass(frozen=True)
class PersonView:
    """How far a person is with the pairs of a collection."""

    name: str
    answered: int
    same: int
    different: int
    unsure: int
    left: int


@dataclass(frozen=True)
class ReviewView:
    """Pairs of a collection, the run that chose them, who answered, and how far persons agree."""

    collection: str
    run_id: str
    pairs: int
    persons: list[PersonView]
    agreements: list[Agreement]


@dataclass(frozen=True)
class _Chosen:
    """The pairs of one run, in the order in which they are asked."""

    run_id: str
    pairs: list[Pair]
    source: Input


@dataclass
class Review:
    """Pairs and answers of a repository; `refresh` reads only what was logged since."""

    archive: Archive
    _looked: int = 0
    _chosen: list[_Chosen] = field(default_factory=list)
    _answers: dict[str, dict[str, Answer]] = field(default_factory=dict)

    def refresh(self) -> None:
        """Take over what was logged since. Raises `InvalidRecord`, `DigestMismatch`."""
        listed = self.archive.log.index().runs(layout.COLLECTION)
        for run, _ in self.archive.records(layout.COLLECTION, listed[self._looked :]):
            if run.status != "failed" and run.operation in ("pairs", OPERATION):
                for output in self.archive.outputs(run):
                    self._take(run, output)
        self._looked = len(listed)

    def _take(self, run: Run, output: Output) -> None:
        table = output.role.removeprefix("table:")
        if table not in ("review_pairs", "review_answers"):
            return
        data = self.archive.tree.read_checked(output.path, output.sha256)
        rows = schema.decode_rows(table, data, output.path)
        if table == "review_answers":
            for row in rows:
                told = self._answers.setdefault(row.by, {})
                told.pop(row.pair_id, None)  # the order of what is left is that of the answers
                if row.answer != WITHDRAWN:
                    told[row.pair_id] = Answer(row.answer, row.at, run.run_id)
            return
        rows.sort(key=lambda row: row.position)
        names = list(Pair.__dataclass_fields__)
        pairs = [Pair(*(getattr(row, name) for name in names)) for row in rows]
        source = Input(output.path, output.role, output.bytes, output.sha256, run.run_id, "full")
        self._chosen.append(_Chosen(run.run_id, pairs, source))

    def pairs(self, collection: str = "") -> tuple[str, list[Pair]]:
        """The pairs chosen last for a collection ('' for any), in order, and the run that chose them.

        Raises `MissingInput` where none were chosen.
        """
        for one in reversed(self._chosen):
            if collection in ("", one.pairs[0].collection):
                return one.run_id, one.pairs
        named = f" for {collection}" if collection else ""
        raise MissingInput(
            f"no pairs were chosen{named} yet", "Choose them with: ledgerkit sweep pairs"
        )

    def every_pair(self) -> list[Pair]:
        """Every pair that was ever chosen, as it was chosen last."""
        return [pair for pair, _ in self._known().values()]

    def answers(self, by: str) -> dict[str, Answer]:
        """The answers of a person that count, by pair, in the order in which they were given."""
        return dict(self._answers.get(by, {}))

    def persons(self) -> list[str]:
        """Who has answered, by name."""
        return sorted(name for name, told in self._answers.items() if told)

    def give(
        self,
        given: Mapping[str, Mapping[str, str]],
        *,
        question: str = QUESTION,
        wait: float | None = None,
    ) -> AnsweredView:
        """Keep answers by person and pair, all in one commit; what a person says already is left.

        `question` is what was asked of each pair. It returns when they are on record. Raises
        `UsageError` that lists everything that is wrong, before anything is written, `RepositoryBusy`.
        """
        with self.archive.job(wait) as job:
            for _ in range(ATTEMPTS):
                head = self.archive.log.checkpoint()
                self.refresh()
                fresh, unchanged = self._fresh(given)
                if not any(fresh.values()):
                    return AnsweredView([], unchanged, [])
                staged = [
                    self._staged(job, person, told, question)
                    for person, told in fresh.items()
                    if told
                ]
                try:
                    runs = self.archive.commit(job, staged, wait=wait, on_top_of=head)
                except RepositoryBusy:
                    if self.archive.log.checkpoint() == head:
                        raise
                    continue  # somebody wrote meanwhile: perhaps this very answer
                self.refresh()
                answered = [pair for told in fresh.values() for pair in told]
                return AnsweredView(answered, unchanged, [run.run_id for run in runs])
        raise RepositoryBusy(
            "other processes wrote all the while; nothing was answered", "Answer again."
        )

    def _fresh(
        self, given: Mapping[str, Mapping[str, str]]
    ) -> tuple[dict[str, dict[str, str]], list[str]]:
        """What each person did not say before, and pairs of what they did. Raises `UsageError`."""
        known = self._known()
        wrong = [
            f"{pair}: {problem}"
            for told in given.values()
            for pair, answer in told.items()
            if (problem := _problem(pair in known, answer))
        ]
        _refuse(wrong)
        fresh: dict[str, dict[str, str]] = {}
        unchanged = []
        for person, told in given.items():
            before = self._answers.get(person_name(person), {})
            own = fresh.setdefault(person_name(person), {})
            for pair, answer in told.items():
                former = before[pair].answer if pair in before else WITHDRAWN
                if former == answer:
                    unchanged.append(pair)
                else:
                    own[pair] = answer
        return fresh, unchanged

    def _known(self) -> dict[str, tuple[Pair, _Chosen]]:
        """Every pair that was ever chosen, as it was chosen last."""
        return {pair.pair_id: (pair, one) for one in self._chosen for pair in one.pairs}

    def _staged(self, job: Job, person: str, told: Mapping[str, str], question: str) -> StagedRun:
        """The event of one person, with the pairs that were looked at as its inputs."""
        known = self._known()
        at = datetime.now(UTC).strftime(TIME_FORMAT)
        rows: list[dict[str, Any]] = []
        sources: dict[str, Input] = {}
        for name, answer in sorted(told.items()):
            pair, chosen = known[name]
            sources[chosen.run_id] = chosen.source
            rows.append(
                {
                    "pair_id": name,
                    "subject_a": pair.subject_a,
                    "subject_b": pair.subject_b,
                    "answer": answer,
                    "by": person,
                    "at": at,
                }
            )
        event = Event(OPERATION, EVENT_TYPE, {"answers": len(rows), "question": question})
        folder = job.item(staged_name(OPERATION))
        kept = write_staged(
            self.archive.store,
            folder,
            "outputs/review_answers.jsonl",
            "table:review_answers",
            JSON_LINES,
            canonical_lines(rows),
        )
        inputs = [sources[run_id] for run_id in sorted(sources)]
        return event.staged(folder, inputs=inputs, artifacts=[kept], person=person)

    def view(self, collection: str = "") -> ReviewView:
        """Who answered how many of the pairs, and how far each two agree. Raises `MissingInput`."""
        run_id, pairs = self.pairs(collection)
        asked = {pair.pair_id for pair in pairs}
        told = {
            name: {pair: one.answer for pair, one in answers.items() if pair in asked}
            for name, answers in sorted(self._answers.items())
        }
        told = {name: answers for name, answers in told.items() if answers}
        persons = []
        for name, answers in told.items():
            same, different, unsure = (
                sum(one == kind for one in answers.values()) for kind in ANSWERS
            )
            left = len(asked) - len(answers)
            persons.append(PersonView(name, len(answers), same, different, unsure, left))
        return ReviewView(pairs[0].collection, run_id, len(asked), persons, agreements(told))


def opened(archive: Archive, wait: float | None = None) -> Review:
    """The review of a repository as it is now; what came in is sealed first, as by all that write."""
    with archive.job(wait) as job:
        seal_new(archive, job)
    return looked_at(archive)


def looked_at(archive: Archive) -> Review:
    """The same, read-only: nothing is sealed."""
    found = Review(archive)
    found.refresh()
    return found


def person_name(by: str) -> str:
    """The name as it is kept: without blanks around it, composed (NFC). Raises `UsageError`."""
    name = unicodedata.normalize("NFC", by.strip())
    if not name:
        raise UsageError("an answer is given by somebody", 'Give: --by "A. Curator"')
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(
            f"a name has at most {LONGEST_NAME} characters, on one line, none of them for control"
        )
    return name


def read_answers(path: Path, by: str | None = None) -> dict[str, dict[str, str]]:
    """Answers by person and pair from JSON or CSV with the columns pair, answer and perhaps by.

    Rows without a name are by `by`. Raises `UsageError` that lists every row that cannot be used,
    `InvalidRecord`.
    """
    found: dict[str, dict[str, str]] = {}
    wrong: list[str] = []
    for place, row in enumerate(read_rows(path), 1):
        texts = isinstance(row, dict) and all(isinstance(one, str) for one in row.values())
        surplus = sorted(set(row) - set(FIELDS)) if isinstance(row, dict) else []
        if not texts or surplus:
            told = f"unknown column {', '.join(map(str, surplus))}" if surplus else "no texts"
            wrong.append(f"entry {place}: {told}")
            continue
        pair, answer, who = row.get("pair", ""), row.get("answer", ""), row.get("by") or by or ""
        try:
            own = found.setdefault(person_name(who), {})
        except UsageError as error:
            wrong.append(f"entry {place}: {error.message}")
            continue
        problem = "no pair" if not pair else _problem(True, answer)
        problem = f"{pair} stands twice" if pair in own else problem
        if problem:
            wrong.append(f"entry {place}: {problem}")
        own[pair] = answer
    if not wrong and not found:
        wrong = ["it holds no answers"]
    _refuse(wrong, path.name)
    return found


def _problem(known: bool, answer: str) -> str | None:
    if not known:
        return "no such pair was chosen"
    if not answer:
        return "no answer"
    if answer not in (*ANSWERS, WITHDRAWN):
        return f"{answer!r} is no answer: {', '.join(ANSWERS)} or {WITHDRAWN}"
    return None


def _refuse(wrong: Iterable[str], where: str = "") -> None:
    listed = list(wrong)
    if listed:
        more = f"; and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
        raise UsageError(
            f"{where or 'nothing was answered'}: {'; '.join(listed[:SHOWN])}{more}",
            f"Columns are: {', '.join(FIELDS)}. Pairs are listed by: ledgerkit query "
            '"SELECT pair_id FROM review_pairs"',
        )
