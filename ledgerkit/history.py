"""What has been done so far: the records that a plan is made from, read once and kept.

It answers which files a new task would read (`resolve`) and with which variant, and says which
command makes what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ledgerkit import layout, operation, schema
from ledgerkit.canonical import parse_json
from ledgerkit.current import PROMPTED, current_runs
from ledgerkit.errors import InvalidRecord, MissingInput, Withdrawn
from ledgerkit.overlay import NOTHING, Overlay, overlay_of
from ledgerkit.records import Output, Run, policy_part
from ledgerkit.repository import Archive
from ledgerkit.staged import Sealed
from ledgerkit.worker import TaskInput

IMAGES = {"whole": "whole", "tiles": None}
"""Tokens of `takes` that mean pixels: rows of `tiles` and the image files they name."""
PROMPTS = "prompts"
"""Token of `takes`, event and role of what a person pointed at on a plate."""
VECTORS = ("embeddings", "embeddings?")
SWEPT = ("sweep_trials", "sweep_members")
"""Tokens of `takes` whose files are those of the space that parameters name, if any."""
AMENDMENTS = "amendments"
"""Token of `takes` that means the records which amend a plate's manifest; there may be none."""


@dataclass
class Resolved:
    """Input files of a task and the variants of the runs they came from."""

    inputs: list[TaskInput] = field(default_factory=list)
    variants: list[str] = field(default_factory=list)
    _paths: set[str] = field(default_factory=set)

    def add(self, other: Resolved) -> None:
        """Take over what another has found, each file once."""
        new = [given for given in other.inputs if given.path not in self._paths]
        self.inputs += new
        self._paths.update(given.path for given in new)
        self.variants += [variant for variant in other.variants if variant not in self.variants]

    def variant(self, own: str) -> str:
        """The variants read, without repetition, and the operation's own; `default` for none."""
        parts: list[str] = []
        for variant in sorted(self.variants, key=lambda text: (text.count("/"), text)):
            parts += [
                part for part in variant.split("/") if part not in parts and part != "default"
            ]
        return "/".join([*parts, *([own] if own else [])]) or "default"


class History:
    """Records of the collection, and of each plate when first asked for."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.collection = archive.runs(layout.COLLECTION)
        self.seals: dict[str, Sealed] = archive.seals(self.collection)
        self._runs: dict[str, list[Run]] = {}
        self._sources: dict[str, TaskInput] = {}
        self._overlays: dict[str, Overlay] = {}
        self._replacements: dict[str, TaskInput] = {}
        for path, sealed in self.seals.items():
            parts = path.split("/")
            if len(parts) == 4 and parts[0] == layout.PLATES and parts[2] == layout.SOURCE:
                self._sources[parts[1]] = _sealed_input(path, "source", sealed)

    def runs(self, subject: str) -> list[Run]:
        """All runs of a plate or of the collection, oldest first."""
        if subject == layout.COLLECTION:
            return self.collection
        if subject not in self._runs:
            self._runs[subject] = self.archive.runs(subject)
            self._lay_over(subject, self._runs[subject])
        return self._runs[subject]

    def _lay_over(self, plate: str, runs: list[Run]) -> None:
        """Remember what later records say of a plate: it is asked for long after they are dropped."""
        overlay = self._overlays[plate] = overlay_of(runs)
        if overlay.replaced_by is None:
            return
        by = next(run for run in runs if run.run_id == overlay.replaced_by)
        for output in self.archive.outputs(by):
            if output.role == layout.SOURCE:
                self._replacements[plate] = _output_input(output, layout.SOURCE, by)

    def overlay(self, plate: str) -> Overlay:
        """Corrections, replacement and withdrawal of a plate. Raises `LedgerkitError`."""
        if plate not in self._overlays:
            self.runs(plate)
        return self._overlays[plate]

    def forget(self, subject: str) -> None:
        """Drop a plate's records from memory: a plan goes through millions of plates."""
        self._runs.pop(subject, None)

    def source(self, plate: str) -> TaskInput:
        """The present source of a plate: as sealed, or what replaced it.

        Raises `MissingInput` when it is not sealed.
        """
        if self.overlay(plate).replaced_by is not None and plate in self._replacements:
            return self._replacements[plate]
        if plate not in self._sources:
            raise MissingInput(
                f"{plate} has no sealed source: the next writing command seals it, unless its manifest or source is missing, broken or contradicts source.sha256",
                "See what is wrong with: ledgerkit audit",
            )
        return self._sources[plate]

    def manifest(self, plate: str) -> TaskInput:
        """The manifest of a plate as sealed, catalogue entry included. Raises `MissingInput`."""
        path = f"{layout.plate_folder(plate)}/{layout.MANIFEST}"
        if path not in self.seals:
            raise MissingInput(
                f"{plate} has no sealed manifest", "See what is wrong with: ledgerkit audit"
            )
        return _sealed_input(path, "manifest", self.seals[path])

    def current(self, subject: str) -> list[Run]:
        """Current runs of a plate or of the collection, oldest first."""
        runs = self.runs(subject)
        source = self._replacements.get(subject) or self._sources.get(subject)
        withdrawn = {subject} if self._overlays.get(subject, NOTHING).withdrawn else set()
        sources = {subject: source.sha256} if source else {}
        archive = self.archive
        kept = current_runs(runs, sources, withdrawn, archive.inputs, archive.outputs)
        return [run for run in runs if run.run_id in kept]

    def accepted_policy(self) -> TaskInput:
        """The newest accepted policy document. Raises `MissingInput`."""
        for run in reversed(self.collection):
            if run.operation == "policy-accept" and run.status == "complete":
                for output in self.archive.outputs(run):
                    if output.role == "policy":
                        return _output_input(output, "policy", run)
        raise MissingInput(
            "no preprocessing policy is accepted yet",
            'Make one with: ledgerkit policy propose, then: ledgerkit policy accept --by NAME --reason "..."',
        )

    def prompts(self, plate: str) -> TaskInput | None:
        """The prompts that a person gave last for a plate; None where there are none."""
        for run in reversed(self.runs(plate)):
            if run.operation == PROMPTS and run.status == "complete":
                for output in self.archive.outputs(run):
                    if output.role == PROMPTS:
                        return _output_input(output, PROMPTS, run)
        return None

    def _prompted(self, plate: str) -> Resolved:
        found = self.prompts(plate)
        if found is None:
            raise MissingInput(
                f"{plate} has no prompts",
                "Give them with: ledgerkit prompts FILE --by NAME --reason TEXT",
            )
        return Resolved([found])

    def policy_variant(self) -> str | None:
        """The variant part of the newest accepted policy; None when there is none."""
        try:
            return f"policy-{self.accepted_policy().sha256[:8]}"
        except MissingInput:
            return None

    def resolve(self, token: str, subject: str, parameters: Any) -> Resolved:
        """The files behind one token of `takes` for a plate, or for the collection of `subject`s.

        A token that ends in `?` stands for files that are read where they are, and none where not;
        `clusters@RUN_ID` for the table (or document) of that run, whatever is newer. Such an input has
        the role `table:clusters@RUN_ID`, so that it is not taken for the present table.
        Raises `MissingInput` that names the command to run first, `Withdrawn`.
        """
        if subject != layout.COLLECTION and self.overlay(subject).withdrawn:
            raise Withdrawn(f"{subject} is withdrawn: {self.overlay(subject).reason}")
        if token.endswith("?"):
            try:
                return self.resolve(token[:-1], subject, parameters)
            except MissingInput:
                return Resolved()
        if token in SEALED:
            return Resolved([SEALED[token](self, subject)])
        if token == AMENDMENTS:
            return Resolved(self._amendments(subject))
        table, pinned, run_id = token.partition("@")
        if pinned:
            return self._pinned(table, run_id)
        if token == "policy":
            policy = self.accepted_policy()
            return Resolved([policy], [f"policy-{policy.sha256[:8]}"])
        if token == PROMPTS:
            return self._prompted(subject)
        if token in IMAGES:
            return self._images(subject, IMAGES[token], parameters)
        if subject == layout.COLLECTION and (derived := self.derived(token, parameters)):
            return self._outputs(derived, token)
        found = operation.readable(token, parameters)
        if token == "segments" and (cuts := list(self.fitting(found, subject, parameters))):
            return self._regions(cuts)
        run = self._made(
            found,
            layout.COLLECTION if found[0].on_collection else subject,
            parameters,
            _space(token, parameters),
        )
        return self._outputs(run, token)

    def derived(self, token: str, parameters: Any) -> Run | None:
        """The newest run over the collection that made the vector space which the parameters name.

        It has a file of the space's name. None for a space that is made plate by plate.
        """
        space = _space(token, parameters) if token in VECTORS else ""
        for run in reversed(self.collection if space else []):
            names = {output.path.rpartition("/")[2] for output in self.archive.outputs(run)}
            if f"{space}.npz" in names and run.status == "complete":
                return run
        return None

    def _outputs(self, run: Run, table: str) -> Resolved:
        return Resolved(
            [_output_input(output, output.role, run) for output in self._table(run, table)],
            [run.variant],
        )

    def _regions(self, cuts: list[Run]) -> Resolved:
        """The regions in force on a plate: its newest cut, then what a person pointed at, which adds to
        it and so makes no other variant.
        """
        cuts = sorted(cuts, key=lambda run: run.variant.endswith(PROMPTED))
        found = self._outputs(cuts[0], "segments")
        for run in cuts[1:]:
            found.add(replace(self._outputs(run, "segments"), variants=[]))
        return found

    def _amendments(self, plate: str) -> list[TaskInput]:
        """The records that amend the manifest of a plate, oldest first."""
        found = []
        for run in self.runs(plate):
            logged = self.archive.log.index().run(plate, run.run_id)
            if run.operation == "amend" and run.status == "complete" and logged is not None:
                path = f"{run.folder}/{layout.RECORD}"
                size = self.archive.tree.size(path) or 0
                found.append(
                    TaskInput(
                        path, "amendment", "application/json", size, logged.sha256, run.run_id
                    )
                )
        return found

    def _pinned(self, table: str, run_id: str) -> Resolved:
        """A table, or a document by its role, of one run of the collection. Raises `MissingInput`."""
        run = next((one for one in self.collection if one.run_id == run_id), None)
        made = self.archive.outputs(run) if run and run.status != "failed" else []
        outputs = [output for output in made if output.role in (table, f"table:{table}")]
        if run is None or not outputs:
            raise MissingInput(
                f"no run {run_id} of the collection made {table}",
                "See: ledgerkit query \"SELECT run_id, operation FROM runs WHERE subject = 'collection'\"",
            )
        return Resolved(
            [_output_input(output, f"{output.role}@{run_id}", run) for output in outputs]
        )

    def _made(
        self, found: tuple[operation.Operation, ...], subject: str, parameters: Any, space: str = ""
    ) -> Run:
        """The newest current run of these operations under the present policy that suits the
        parameters, and made vectors of `space` where one is named; else one of nothing to describe.
        """
        names = [one.name for one in found]
        of = getattr(parameters, "of", None)
        empty = None
        for run in self.fitting(found, subject, parameters):
            spaces = self.spaces(run) if space else {""}
            if space in spaces:
                return run
            empty = run if not spaces else empty
        if empty is not None:
            return empty
        listed = any(one.name == "of" for one in found[0].parameters())
        option = f" --of {of}" if of is not None and listed else ""
        option += f" --space {space}" if space and found[0].one_space else ""
        collection = getattr(parameters, "collection", "")
        where = f" of the collection {collection}" if collection else ""
        if collection not in ("", found[0].all_plates):
            option += f" --collection {collection} --plates SELECTION"
        where += f" with vectors in the space {space}" if space else ""
        made = [run for run in self.runs(subject) if run.operation == names[0]]
        made = [run for run in made if of is None or run.parameters.get("of", of) == of]
        if made and (newest := made[-1]).failure is not None:
            where += f": the last one failed ({newest.failure.error}: {newest.failure.message})"
            option += " --retry-failed"
        raise MissingInput(
            f"{subject} has no {' or '.join(names)} run to read{where}",
            f"Make it with: ledgerkit {operation.command(names[0])}{option}",
        )

    def fitting(
        self, found: tuple[operation.Operation, ...], subject: str, parameters: Any
    ) -> Iterator[Run]:
        """Current runs of these operations that suit the policy and the parameters, newest first."""
        policy = self.policy_variant()
        names = [one.name for one in found]
        stated = {name: getattr(parameters, name, None) for name in ("of", "collection")}
        wanted = {name: value for name, value in stated.items() if value}
        for run in reversed(self.current(subject)):
            fits = run.operation in names and policy_part(run.variant) in (None, policy)
            if fits and wanted.items() <= (wanted | run.parameters).items():
                yield run

    def spaces(self, run: Run) -> set[str]:
        """The spaces of the vectors that a run made, or the one that a sweep was of."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        swept = self.swept(run)
        found: set[str] = {swept["space_id"]} if swept else set()
        for table in self._table(run, "embeddings"):
            data = self.archive.tree.read_checked(table.path, table.sha256)
            column = pq.read_table(pa.BufferReader(data), columns=["space_id"])["space_id"]
            found.update(column.unique().to_pylist())
        return found

    def swept(self, run: Run) -> dict[str, Any]:
        """What a sweep says of itself (`sweep.v1`); empty for another run."""
        for output in self.archive.outputs(run):
            if output.role == "sweep":
                data = self.archive.tree.read_checked(output.path, output.sha256)
                found: dict[str, Any] = parse_json(data, output.path)
                return found
        return {}

    def _table(self, run: Run, table: str) -> list[Output]:
        return [output for output in self.archive.outputs(run) if output.role == f"table:{table}"]

    def _images(self, plate: str, kind: str | None, parameters: Any) -> Resolved:
        run = self._made(operation.makers("tiles"), plate, parameters)
        outputs = self.archive.outputs(run)
        tables = self._table(run, "tiles")
        found = Resolved(
            [_output_input(output, output.role, run) for output in tables], [run.variant]
        )
        by_digest = {output.sha256: output for output in outputs if output not in tables}
        for row in self._rows(tables):
            if kind is not None and row.kind != kind:
                continue
            if row.file is None:
                found.inputs.append(self.source(plate))
                continue
            image = by_digest.get(row.image_sha256)
            if image is None:
                raise InvalidRecord(
                    f"{run.folder}: no output has the digest {row.image_sha256} of {row.tile_id}"
                )
            if self.archive.tree.size(image.path) is None:
                raise MissingInput(
                    f"the derived pixels of {plate} are gone: {image.path}",
                    f"Bring them back with: ledgerkit cache restore --plates {plate}",
                )
            found.inputs.append(_output_input(image, "image", run))
        return found

    def _rows(self, tables: list[Output]) -> Iterator[Any]:
        for table in tables:
            data = self.archive.tree.read_checked(table.path, table.sha256)
            yield from schema.decode_rows("tiles", data, table.path)

    def sealed_plates(self) -> list[str]:
        """Plates whose source is sealed, in the order of their numbers, withdrawn ones among them."""
        return layout.sort_plates(list(self._sources))


SEALED = {"source": History.source, "manifest": History.manifest}
"""Tokens of `takes` that mean one sealed file of a plate."""


def _space(token: str, parameters: Any) -> str:
    """The vector space that parameters name; empty where they name none."""
    return str(getattr(parameters, "space", "")) if token in (*VECTORS, *SWEPT) else ""


def _sealed_input(path: str, role: str, sealed: Sealed) -> TaskInput:
    return TaskInput(path, role, sealed.media_type, sealed.bytes, sealed.sha256, sealed.run_id)


def _output_input(output: Output, role: str, run: Run) -> TaskInput:
    return TaskInput(output.path, role, output.media_type, output.bytes, output.sha256, run.run_id)
