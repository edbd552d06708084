"""Clusters described by a language model: what it is asked, what it answered, kept as a run.

Operations have no network, so this is an event: the questions, the answers as they came and their
digests are its outputs, the clustering and the manifests that were quoted its inputs. What was
answered is committed every few answers, so that a crash loses little and the command goes on where
it stopped.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ledgerkit import layout, schema
from ledgerkit.canonical import canonical_lines, parse_json, sha256_hex
from ledgerkit.engine import Interrupted
from ledgerkit.errors import InvalidRecord, LedgerkitError, MissingInput, ServiceRefused, UsageError
from ledgerkit.events import Event, staged_name
from ledgerkit.history import History
from ledgerkit.jobs import Job
from ledgerkit.labelling import labels_of
from ledgerkit.naming import EVENT_TYPE, Clustering, clusterings, descriptions, row
from ledgerkit.pattern import (
    SYSTEM,
    Pattern,
    correction,
    item_text,
    parse_answer,
    picture_question,
    question,
)
from ledgerkit.records import FailedItem, Input, Output
from ledgerkit.repository import Archive
from ledgerkit.sealing import seal_new
from ledgerkit.services.chat import Chat, Message, Reply
from ledgerkit.staged import write_staged
from ledgerkit.staging import JSON_LINES
from ledgerkit.views import FailureView
from ledgerkit.worker import TaskInput

OPERATION = "describe-by-model"
TRIES = 3
"""An answer that cannot be accepted is asked for again, this many times in all."""
AT_ONCE = 10
"""Answers after which they are committed."""
MOST_ERRORS = 10


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which clusters are described and how; the settings of workflow W4."""

    of: str = "plates"
    min_size: int = 3
    sample: int = 20
    seed: int = 1337
    pictures: bool = False
    """Show the contact sheet of a cluster instead of the texts of its members."""
    again: bool = False
    """Also those that a model described before."""
    at_once: int = AT_ONCE


@dataclass
class DescribeView:
    """What came of it. `skipped` are too small, `present` were described before."""

    described: list[str] = field(default_factory=list)
    skipped: int = 0
    present: int = 0
    errors: list[FailureView] = field(default_factory=list)
    left: int = 0
    """Clusters that were not asked about: after more than 10 errors, or one that is for good."""
    run_ids: list[str] = field(default_factory=list)


def describe_by_model(
    archive: Archive,
    chat: Chat,
    wanted: Wanted,
    *,
    wait: float = 60.0,
    progress: Callable[[int, int], None] | None = None,
) -> DescribeView:
    """Ask a model about every cluster of the newest clustering that no model has described yet.

    Largest first. Raises `MissingInput` without clusters, `UsageError`, `Interrupted` with what was
    answered committed, `ServiceRefused` when the endpoint refuses for good before any answer came.
    """
    if wanted.sample < 1 or wanted.at_once < 1:
        raise UsageError("sample and at_once are at least 1")
    with archive.job(wait) as job:
        seal_new(archive, job)
        history = History(archive)
        current = history.current(layout.COLLECTION)
        of = [run for run in current if run.parameters.get("of") == wanted.of]
        newest = next(clusterings(archive, of), None)
        if newest is None:
            raise MissingInput(
                f"there is no clustering of {wanted.of}",
                f"Make one with: ledgerkit cluster --of {wanted.of}",
            )
        work = _Work(archive, history, job, chat, wanted, newest)
        try:
            work.ask_all(progress)
        except KeyboardInterrupt:
            work.commit()
            raise Interrupted(
                f"interrupted: {len(work.view.described)} descriptions were kept",
                "Give the same command again: it goes on where it stopped.",
            ) from None
        except LedgerkitError:
            work.commit()  # what was answered is kept
            raise
        work.commit()
        return work.view


class _Work:
    """One call: the clusters to ask about, and what waits to be committed."""

    def __init__(
        self,
        archive: Archive,
        history: History,
        job: Job,
        chat: Chat,
        wanted: Wanted,
        clustering: Clustering,
    ) -> None:
        self.archive, self.history, self.job, self.chat = archive, history, job, chat
        self.wanted, self.clustering = wanted, clustering
        self.view = DescribeView()
        self.taken: dict[tuple[int, str], str] = {}
        self._begin()

    def _begin(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.exchanges: list[dict[str, Any]] = []
        self.failed: list[FailedItem] = []
        self.read: dict[str, Input] = {}
        parameters = {
            "endpoint": self.chat.endpoint,
            "model": self.chat.model,
            "of": self.wanted.of,
            "min_size": self.wanted.min_size,
            "sample": self.wanted.sample,
            "seed": self.wanted.seed,
            "pictures": self.wanted.pictures,
        }
        self.event = Event(OPERATION, EVENT_TYPE, parameters)

    def ask_all(self, progress: Callable[[int, int], None] | None) -> None:
        waiting = self._waiting()
        for done, name in enumerate(waiting):
            if progress is not None:
                progress(done, len(waiting))
            try:
                self._describe(name)
                self.view.described.append(name)
            except (InvalidRecord, MissingInput, ServiceRefused) as error:
                self._fail(name, error)
                for_good = isinstance(error, ServiceRefused) and error.for_good
                if for_good or len(self.view.errors) > MOST_ERRORS:
                    self.view.left = len(waiting) - done - 1
                    break
            if len(self.rows) >= self.wanted.at_once:
                self.commit()

    def _waiting(self) -> list[str]:
        """Clusters to ask about, the largest first."""
        before = self._before()
        clusters = self.clustering.clusters
        for name, called in before.items():
            if name in clusters:
                self.taken[clusters[name]["level"], called.casefold()] = name
        found = []
        for name in sorted(clusters, key=lambda name: (-clusters[name]["size"], name)):
            if name in before and not self.wanted.again:
                self.view.present += 1
            elif clusters[name]["size"] < self.wanted.min_size:
                self.view.skipped += 1
            else:
                found.append(name)
        return found

    def _before(self) -> dict[str, str]:
        """Names that a model gave before, by cluster."""
        found: dict[str, str] = {}
        for run in self.history.collection:
            if run.operation == OPERATION:
                for output in self.archive.outputs(run):
                    if output.role == "table:descriptions":
                        data = self.archive.tree.read_checked(output.path, output.sha256)
                        rows = schema.decode_rows("descriptions", data, output.path)
                        found |= {one.cluster_id: one.name for one in rows}
        return found

    def _describe(self, name: str) -> None:
        """Ask until an answer can be accepted, three times at most. Raises `InvalidRecord`."""
        messages, shown = self._question(name)
        problem: InvalidRecord | None = None
        for attempt in range(1, TRIES + 1):
            try:
                reply = self._asked(messages)
            except InvalidRecord as error:
                problem = error
                continue
            try:
                pattern, problem = self._accepted(name, reply, last=attempt == TRIES), None
            except InvalidRecord as error:
                problem = error
            self._keep(name, attempt, messages, shown, reply, problem)
            if problem is None:
                self._take(name, pattern)
                return
            messages = [
                *messages,
                {"role": "assistant", "content": reply.text[:4000]},
                {"role": "user", "content": correction(problem.message)},
            ]
        assert problem is not None
        raise InvalidRecord(f"no answer can be accepted, the last one: {problem.message}")

    def _asked(self, messages: list[Message]) -> Reply:
        reply = self.chat.ask(messages)
        if self.chat.key and self.chat.key.encode() in reply.body:
            raise InvalidRecord("the endpoint sends the key back: the answer is not kept")
        return reply

    def _accepted(self, name: str, reply: Reply, last: bool) -> Pattern:
        pattern = parse_answer(reply.text)
        holder = self._holder(name, pattern.pattern_name)
        if holder not in (None, name) and not last:
            raise InvalidRecord(f"$.pattern_name {pattern.pattern_name!r} is that of another group")
        return pattern

    def _holder(self, name: str, called: str) -> str | None:
        """The cluster of the same level that has this name."""
        return self.taken.get((self.clustering.clusters[name]["level"], called.casefold()))

    def _take(self, name: str, pattern: Pattern) -> None:
        called, number = pattern.pattern_name, 1
        while self._holder(name, called) not in (None, name):
            number += 1
            called = f"{pattern.pattern_name} ({number})"
        self.taken[self.clustering.clusters[name]["level"], called.casefold()] = name
        self.rows.append(
            row(
                name,
                "model",
                called,
                pattern.summary,
                category=pattern.category,
                strength=pattern.strength,
                model=self.chat.model,
            )
        )

    def _keep(
        self,
        name: str,
        attempt: int,
        messages: list[Message],
        shown: dict[str, str],
        reply: Reply,
        problem: InvalidRecord | None,
    ) -> None:
        """Question and answer as evidence; a picture by its digest, for it is an input of the run."""
        self.exchanges.append(
            {
                "cluster_id": name,
                "attempt": attempt,
                "messages": _without_pictures(messages, shown),
                "request_sha256": sha256_hex(self.chat.request(messages)),
                "answer": reply.body.decode("utf-8"),
                "answer_sha256": sha256_hex(reply.body),
                "answered_by": reply.model,
                "problem": problem.message if problem else None,
            }
        )

    def _fail(self, name: str, error: LedgerkitError) -> None:
        kind = type(error).__name__
        self.view.errors.append(FailureView(name, kind, error.message, error.hint))
        self.failed.append(FailedItem(name, kind, error.message))

    def _question(self, name: str) -> tuple[list[Message], dict[str, str]]:
        """What is asked about a cluster, and the digest of each picture by its data URL."""
        size = len(self.clustering.members[name])
        system = {"role": "system", "content": SYSTEM}
        if self.wanted.pictures:
            url, digest = self._sheet(name)
            parts = [
                {"type": "text", "text": picture_question(size)},
                {"type": "image_url", "image_url": {"url": url}},
            ]
            return [system, {"role": "user", "content": parts}], {url: digest}
        members = sorted(self.clustering.members[name])
        drawn = random.Random(f"{self.wanted.seed}:{name}")
        chosen = drawn.sample(members, min(self.wanted.sample, len(members)))
        items = [item_text(self._text(subject)) for subject in chosen]
        return [system, {"role": "user", "content": question(items, size)}], {}

    def _text(self, subject: str) -> str:
        """Title and labels of the plate that a member is, or lies on."""
        plate = self.clustering.plates[subject]
        manifest: dict[str, Any] = {}
        title = None
        for token in ("manifest", "amendments"):
            for given in self.history.resolve(token, plate, None).inputs:
                data = self.archive.tree.read_checked(given.path, given.sha256)
                self.read[given.path] = _input(given)
                value = parse_json(data, given.path)
                if token == "manifest":
                    manifest, title = value, value["title"]
                else:
                    title = value["parameters"]["fields"].get("title", title)
        self.history.forget(plate)
        said = [f"{scheme}: {value}" for scheme, value in labels_of(manifest.get("metadata"))]
        return ". ".join([str(title), *said])

    def _sheet(self, name: str) -> tuple[str, str]:
        """The contact sheet of a cluster as a data URL, and its digest. Raises `MissingInput`."""
        level, label = (self.clustering.clusters[name][key] for key in ("level", "label"))
        wanted = {f"montage_{kind}cluster_{label}.png" for kind in ("", "flagged_")}
        for run in reversed(self.history.current(layout.COLLECTION)):
            made_of = {given.run_id for given in self.archive.inputs(run)}
            of_level = run.operation == "montage" and run.parameters.get("level") == level
            if not of_level or self.clustering.run.run_id not in made_of:
                continue
            for output in self.archive.outputs(run):
                if output.role == "figure" and output.path.rpartition("/")[2] in wanted:
                    return self._data_url(output, run.run_id)
        raise MissingInput(
            f"there is no contact sheet of {name}",
            f"Make them with: ledgerkit montage --of {self.wanted.of} --level {level}",
        )

    def _data_url(self, output: Output, run_id: str) -> tuple[str, str]:
        data = self.archive.tree.read_checked(output.path, output.sha256)
        self.read[output.path] = Input(
            output.path, output.role, output.bytes, output.sha256, run_id, "full"
        )
        text = base64.b64encode(data).decode()
        return f"data:{output.media_type};base64,{text}", output.sha256

    def commit(self) -> None:
        """Commit what was answered and what failed since the last time."""
        if not (self.rows or self.exchanges or self.failed):
            return
        folder = self.job.item(staged_name(OPERATION))
        artifact = write_staged(
            self.archive.store,
            folder,
            "outputs/exchanges.jsonl",
            "exchanges",
            JSON_LINES,
            canonical_lines(self.exchanges),
        )
        staged = descriptions(
            self.archive,
            self.event,
            folder,
            self.clustering,
            self.rows,
            None,
            more_inputs=list(self.read.values()),
            more_artifacts=[artifact],
            failed_items=self.failed,
        )
        runs = self.archive.commit(self.job, [staged], wait=self.job.wait)
        self.view.run_ids += [run.run_id for run in runs]
        self._begin()


def _without_pictures(messages: list[Message], shown: dict[str, str]) -> list[Message]:
    def part(one: Any) -> Any:
        if not isinstance(one, dict) or one.get("type") != "image_url":
            return one
        return {"type": "image_url", "image_sha256": shown[one["image_url"]["url"]]}

    return [
        {**one, "content": [part(item) for item in one["content"]]}
        if isinstance(one["content"], list)
        else one
        for one in messages
    ]


def _input(given: TaskInput) -> Input:
    return Input(given.path, given.role, given.bytes, given.sha256, given.run_id, "full")
