"""Vectors of what is written about plates, from a service: titles and fields of the catalogue.

Each plate that gets a vector gets a run of its own, which keeps what was sent and what the service
said of its answer. Asked once, an answer is evidence: the same question may be answered otherwise
tomorrow, so such runs are results, but are never executed again.
Source: OpenAI API reference, "Embeddings"; workflow W4 (form of the text, batches, when to stop).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ledgerkit.canonical import canonical_bytes, sha256_hex
from ledgerkit.errors import EndpointFailed, UsageError
from ledgerkit.events import Event, staged_name
from ledgerkit.history import History
from ledgerkit.records import Input, decode_manifest
from ledgerkit.repository import Archive
from ledgerkit.sealing import seal_new
from ledgerkit.staging import StagedOutputs
from ledgerkit.views import FailureView, Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.services.embeddings import Answer
    from ledgerkit.staged import StagedRun

OPERATION = "embed-texts"
TITLE = "title"
BATCH, TRUNCATE = 100, 8000
MOST_ERRORS = 5
"""Batches that may fail; one more ends the command."""


@dataclass(frozen=True)
class TextSettings:
    """What is asked, and of whom."""

    endpoint: str
    """Address of the service, as `https://api.openai.com/v1`."""
    model: str
    dimensions: int | None = None
    """Numbers that are asked for, where the model can shorten its vectors."""
    fields: tuple[str, ...] = (TITLE,)
    """`title`, and fields of the plate's catalogue entry, in this order."""
    truncate: int = TRUNCATE
    """Characters that are sent at most; "..." stands for the rest."""


@dataclass(frozen=True)
class TextsView:
    """What became of the texts of all plates that were asked about."""

    model: str
    spaces: list[str]
    processed: int
    skipped: int
    """Plates that have a vector of the same text, by the same settings."""
    errors: int
    """Batches that failed."""
    stopped: bool
    """Whether more than 5 batches failed, and the rest was not asked for."""
    seconds: float
    tokens: int
    """What the service counted, as `prompt_tokens`; 0 where it does not."""
    empty: list[str] = field(default_factory=list)
    """Plates without a word in these fields."""
    truncated: list[str] = field(default_factory=list)
    withdrawn: int = 0
    failures: list[FailureView] = field(default_factory=list)
    run_ids: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether every text that was asked for has its vector."""
        return not self.failures


@dataclass(frozen=True, slots=True)
class _Item:
    """A plate with its text, whole and as it is sent."""

    plate: str
    text: str
    sent: str
    manifest: Input
    altered_by: tuple[str, ...]

    def parameters(self, settings: TextSettings) -> dict[str, Any]:
        """What makes the answer to this text another one."""
        return {
            "endpoint": settings.endpoint.rstrip("/"),
            "model": settings.model,
            "dimensions": settings.dimensions,
            "fields": list(settings.fields),
            "truncate": settings.truncate,
            "text_sha256": sha256_hex(self.sent.encode()),
        }


def embed_texts(
    archive: Archive,
    settings: TextSettings,
    *,
    plates: list[str] | None = None,
    batch: int = BATCH,
    force: bool = False,
    pause: float = 1.0,
    progress: Callable[[Progress], None] | None = None,
) -> TextsView:
    """Ask for a vector of the text of each plate that has none yet, `batch` at a time.

    Each batch is committed before the next is asked for, so nothing that was paid for is lost. A batch
    that fails is told and the next one tried, up to 5 times. Raises `UsageError` for settings that
    mean nothing, `EndpointRefused` when the service says no, `MissingInput` when no plate has the fields.
    """
    from ledgerkit.services.endpoint import Endpoint

    _refuse_nonsense(settings, batch)
    began = time.monotonic()
    endpoint = Endpoint(settings.endpoint, pause)
    with archive.job() as job:
        seal_new(archive, job)
        work = _Work(archive, settings, force)
        items = work.items(archive.plate_ids() if plates is None else plates)
        for start in range(0, len(items), batch):
            part = items[start : start + batch]
            try:
                answer = work.asked(endpoint, part)
            except EndpointFailed as error:
                work.failed(part, error)
                if work.errors > MOST_ERRORS:
                    break
            else:
                staged = [
                    work.staged(job.item(staged_name(OPERATION)), part, place, answer)
                    for place in range(len(part))
                ]
                runs = archive.commit(job, staged, force=force)
                work.run_ids += [run.run_id for run in runs]
            if progress is not None:
                done, failed = start + len(part), len(work.failures)
                progress(Progress(OPERATION, done, len(items), failed, part[-1].plate))
    return work.view(time.monotonic() - began)


def _refuse_nonsense(settings: TextSettings, batch: int) -> None:
    for name, value, least in (
        ("batch", batch, 1),
        ("truncate", settings.truncate, 1),
        ("dimensions", settings.dimensions, 1),
    ):
        if value is not None and value < least:
            raise UsageError(f"{name} is {value}, less than {least}")
    if not settings.model.strip() or not settings.fields:
        raise UsageError("a model and at least one field are needed", "Give --model and --fields.")


def text_of(title: str, metadata: dict[str, Any], fields: tuple[str, ...]) -> str:
    """`Title: ...` and the values of the other fields, with a blank line between; empty for no words."""
    parts = []
    for name in fields:
        words = _words(title if name == TITLE else metadata.get(name))
        if words:
            parts.append(f"Title: {words}" if name == TITLE else words)
    return "\n\n".join(parts)


def _words(value: Any) -> str:
    """A value of a catalogue as text: lists by commas, nothing for what has no words."""
    if value is None or isinstance(value, (bool, dict)):
        return ""
    if isinstance(value, list):
        return ", ".join(filter(None, map(_words, value)))
    return str(value).strip()


def space_of(settings: TextSettings, reported: str, dimension: int) -> str:
    """The vector space: the model as it was named and as it is reported, and the number of numbers."""
    named = canonical_bytes([settings.model, reported, dimension])
    return f"text-{_slug(settings.model)}-{dimension}-{sha256_hex(named)[:8]}"


def _slug(model: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", model.lower()).strip("-.")[:60] or "model"


class _Work:
    """The texts of one command and what became of them."""

    def __init__(self, archive: Archive, settings: TextSettings, force: bool) -> None:
        self.archive, self.settings, self.force = archive, settings, force
        self.history = History(archive)
        self.skipped = self.withdrawn = self.errors = self.tokens = 0
        self.dimension: int | None = settings.dimensions
        self.spaces: set[str] = set()
        self.empty: list[str] = []
        self.truncated: list[str] = []
        self.failures: list[FailureView] = []
        self.run_ids: list[str] = []

    def items(self, plates: list[str]) -> list[_Item]:
        """Texts to be sent, by plate; everything else is counted."""
        found = []
        seen: set[str] = set()
        for plate in plates:
            overlay = self.history.overlay(plate)
            if overlay.withdrawn:
                self.withdrawn += 1
                continue
            item, names = self._item(plate)
            seen |= names
            if not item.text:
                self.empty.append(plate)
            elif not self.force and self._has(item):
                self.skipped += 1
            else:
                found.append(item)
                self.truncated += [plate] if item.sent != item.text else []
            self.history.forget(plate)
        unknown = [name for name in self.settings.fields if name not in seen]
        if unknown and seen:
            raise UsageError(
                f"no plate has a field {', '.join(unknown)}",
                f"There are: {', '.join(sorted(seen))}",
            )
        return found

    def _item(self, plate: str) -> tuple[_Item, set[str]]:
        """A plate's text, and the names of all fields that it has."""
        overlay, given = self.history.overlay(plate), self.history.manifest(plate)
        data = self.archive.tree.read_checked(given.path, given.sha256)
        manifest, _ = decode_manifest(data, given.path)
        title = str(overlay.fields.get(TITLE, manifest.title))
        metadata = manifest.metadata or {}
        text = text_of(title, metadata, self.settings.fields)
        limit = self.settings.truncate
        sent = text if len(text) <= limit else text[:limit] + "..."
        read = Input(given.path, given.role, given.bytes, given.sha256, given.run_id, "full")
        return _Item(plate, text, sent, read, overlay.altered_by), {TITLE, *metadata}

    def _has(self, item: _Item) -> bool:
        """Whether a current run asked for the same text by the same settings."""
        wanted = item.parameters(self.settings)
        return any(
            run.operation == OPERATION and run.parameters == wanted
            for run in self.history.current(item.plate)
        )

    def asked(self, endpoint: Any, part: list[_Item]) -> Answer:
        """The service's answer for a batch. Raises `EndpointFailed`, `EndpointRefused`."""
        from ledgerkit.services.embeddings import embed

        settings = self.settings
        self.events = [
            Event(OPERATION, "feature extraction", item.parameters(settings), item.plate)
            for item in part
        ]
        texts = [item.sent for item in part]
        answer = embed(endpoint, settings.model, texts, settings.dimensions)
        dimension = answer.vectors.shape[1]
        if self.dimension is not None and dimension != self.dimension:
            raise EndpointFailed(f"{dimension} numbers came, {self.dimension} before")
        self.dimension = dimension
        self.tokens += answer.usage.get("prompt_tokens", 0)
        return answer

    def failed(self, part: list[_Item], error: EndpointFailed) -> None:
        """Count a batch, and name its plates."""
        self.errors += 1
        self.failures += [
            FailureView(item.plate, type(error).__name__, error.message, error.hint)
            for item in part
        ]

    def staged(self, folder: str, part: list[_Item], place: int, answer: Answer) -> StagedRun:
        """One text of a batch as a staged run: its vector, and what was said about it."""
        item, settings = part[place], self.settings
        space = space_of(settings, answer.model, answer.vectors.shape[1])
        self.spaces.add(space)
        outputs = StagedOutputs(self.archive.root / folder)
        outputs.document("question.json", "question", {
            "text": item.sent,
            "characters": len(item.text),
            "truncated": item.sent != item.text,
            "altered_by": list(item.altered_by),
            "reported_model": answer.model,
            "batch": {"texts": len(part), "index": place, "usage": answer.usage},
        })  # fmt: skip
        _write_row(outputs, item.plate, space, answer.vectors[place])
        return self.events[place].staged(
            folder,
            inputs=[item.manifest],
            artifacts=outputs.close(),
            variant=f"texts-{_slug(settings.model)}-{settings.dimensions or 'full'}",
        )

    def view(self, seconds: float) -> TextsView:
        return TextsView(
            self.settings.model,
            sorted(self.spaces),
            len(self.run_ids),
            self.skipped,
            self.errors,
            self.errors > MOST_ERRORS,
            round(seconds, 3),
            self.tokens,
            self.empty,
            self.truncated,
            self.withdrawn,
            self.failures,
            self.run_ids,
        )


def _write_row(outputs: StagedOutputs, plate: str, space: str, vector: NDArray[np.float64]) -> None:
    """One row of `embeddings`, the vector at length 1."""
    import numpy as np
    import pyarrow as pa

    norm = float(np.linalg.norm(vector))
    numbers = (vector / norm).astype(np.float32)
    columns = {
        "subject_id": pa.array([plate]),
        "subject_kind": pa.array(["text"]),
        "plate_id": pa.array([plate]),
        "space_id": pa.array([space]),
        "dim": pa.array([numbers.size], pa.int32()),
        "norm": pa.array([norm], pa.float64()),
        "vector": pa.array([numbers], pa.list_(pa.float32())),
    }
    outputs.table("embeddings", pa.table(columns))
