"""What is most like a plate, tile, segment, outside image or words: exact neighbours by cosine.

The vectors are those of current runs in the ledgers, read in blocks, so that memory is that of a block
and of DuckDB's reader, which `Limits` bounds. An outside image is described by the operation that made the vectors,
with the parameters of its runs, and is not taken in; so are words, where the model that those runs pin
has a tower of texts. Nothing is written.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from ledgerkit import layout, operation
from ledgerkit.clustering.nearest import Nearest
from ledgerkit.errors import InvalidRecord, LedgerkitError, MissingInput, UsageError
from ledgerkit.query import Ledgers, Limits, ask
from ledgerkit.reading import Tree
from ledgerkit.records import Model
from ledgerkit.repository import Archive
from ledgerkit.weights import ModelStore
from ledgerkit.weights.pinned import take_again

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

KINDS = {"plate-": "plates", "tile-": "tiles", "segment-": "segments"}
OF = (*KINDS.values(), "texts")
"""Among what may be searched: subjects, and titles of plates."""
_MADE_WITH = {"texts": "encode --model NAME"}
BLOCK_BYTES = 32 << 20
"""Bytes of vectors that are read at a time."""
MOST = 10_000
"""Neighbours that may be asked for at once: they are kept in memory and compared exactly."""
_OWN = """
    SELECT space_id, vector FROM current_embeddings
    WHERE subject_id = ? AND subject_kind = ? ORDER BY space_id"""
_SPACES = """
    SELECT DISTINCT space_id FROM current_embeddings WHERE subject_kind = ? ORDER BY space_id"""
_OTHERS = """
    SELECT subject_id, plate_id, log_index, vector FROM current_embeddings
    WHERE subject_kind = ? AND space_id = ? AND NOT (subject_id = ? AND subject_kind = ?)"""
_MADE_BY = """
    SELECT r.operation, r.version, r.parameters, r.models FROM runs r
    WHERE r.run_id = (SELECT max(run_id) FROM current_embeddings WHERE space_id = ?)"""
_TITLES = "SELECT plate_id, title FROM plates WHERE plate_id IN (SELECT unnest(?::VARCHAR[]))"
_WITHDRAWN = "SELECT withdrawn_reason FROM plates WHERE plate_id = ? AND withdrawn"

_IN_SQL = (
    "Ask for words in titles and labels in SQL: "
    "ledgerkit query \"SELECT plate_id, title FROM plates WHERE title ILIKE '%finch%'\""
)


@dataclass(frozen=True)
class HitView:
    """One neighbour: its cosine to what was searched with, and where its record lies in the log."""

    subject_id: str
    plate_id: str
    title: str
    similarity: float
    log_index: int | None


@dataclass(frozen=True)
class SearchView:
    """The neighbours of one thing, nearest first, and what they were looked for among.

    `searched` vectors of `of` in the space `space_id`, the query's own left out; `log_size` is the
    number of log entries that the ledgers were built from.
    """

    query: str
    of: str
    space_id: str
    dimension: int
    searched: int
    log_size: int | None
    hits: list[HitView] = field(default_factory=list)


def search(archive: Archive, subject: str, **options: Unpack[SearchOptions]) -> SearchView:
    """The same as `search_tree` of the ledgers of a repository."""
    return search_tree(archive.tree, subject, **options)


class SearchOptions(TypedDict, total=False):
    """What a search may be told; all have defaults."""

    count: int
    of: str | None
    space: str | None
    limits: Limits | None
    block_bytes: int


def search_tree(
    tree: Tree,
    subject: str,
    *,
    count: int = 10,
    of: str | None = None,
    space: str | None = None,
    limits: Limits | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> SearchView:
    """The `count` vectors of `of` (plates, tiles, segments, texts) nearest to `subject` by cosine.

    `subject` is the id of a plate, tile or segment, the path of an image file, or else words. `of` is
    by default what the subject is, and plates for a file or words. Raises `MissingInput` when there
    are no vectors or the model of words is not in the store, `UsageError` for what cannot be searched
    with, `UnreadableImage` for a broken file.
    """
    if not 1 <= count <= MOST:
        raise UsageError(f"expected 1 to {MOST} neighbours, got {count}", "Give it as: -k 10")
    if of is not None and of not in OF:
        raise UsageError(f"no kind of subject {of!r}", f"There are: {', '.join(OF)}")
    own = _kind_of(subject)
    image = None if own else _image_file(subject)
    words = own is None and image is None
    kind = of or own or "plates"

    def question(ledgers: Ledgers) -> SearchView:
        if words:
            chosen, vector = _of_words(ledgers, subject, kind, space)
        elif image is None:
            chosen, vector = _own_vector(ledgers, subject, space)
        else:
            chosen = _only_space(ledgers, kind, space)
            vector = _described(ledgers, image, chosen)
        nearest = _nearest(ledgers, vector, kind, chosen, subject, count, block_bytes)
        if not nearest.seen and not _exists(ledgers, kind, chosen):
            raise _no_vectors(kind, f" in the space {chosen}")
        log_size = ledgers.document["log_size"] if ledgers.document else None
        hits = _hits(ledgers, nearest)
        return SearchView(subject, kind, chosen, len(vector), nearest.seen, log_size, hits)

    return ask(tree, question, limits)


def _kind_of(subject: str) -> str | None:
    """What an id is of; None for what is no id."""
    if layout.is_plate_id(subject):
        return "plates"
    named = next((kind for prefix, kind in KINDS.items() if subject.startswith(prefix)), None)
    return None if named == "plates" or os.path.lexists(subject) else named


def _image_file(subject: str) -> Path | None:
    """The file of that path; None for words. Raises `UsageError` for what looks like an id or a file."""
    path = Path(subject)
    if path.is_file():
        return path
    if not any(letter.isalnum() for letter in subject):
        raise UsageError(f"there are no words in {subject!r}", 'Give some: "a bird with long legs"')
    one_word = not any(letter.isspace() for letter in subject)
    if one_word and (subject.startswith(tuple(KINDS)) or path.suffix or os.sep in subject):
        raise UsageError(
            f"{subject!r} is no id of a plate, tile or segment, and no file lies there",
            _IN_SQL,
        )
    return None


def _own_vector(
    ledgers: Ledgers, subject: str, space: str | None
) -> tuple[str, NDArray[np.float32]]:
    """Space and vector of a subject. Raises `MissingInput`, or `UsageError` for several spaces."""
    import numpy as np

    kind = str(_kind_of(subject)).removesuffix("s")
    rows = ledgers.table(_OWN, [subject, kind]).to_pylist()
    if not rows:
        raise _without_vector(ledgers, subject)
    spaces = [str(row["space_id"]) for row in rows]
    chosen = _choose(spaces, space, f"{subject} has vectors")
    found = rows[spaces.index(chosen)]["vector"]
    return chosen, np.array(found, dtype=np.float32)


def _without_vector(ledgers: Ledgers, subject: str) -> LedgerkitError:
    withdrawn = ledgers.table(_WITHDRAWN, [subject]).to_pylist()
    if withdrawn:
        return MissingInput(
            f"{subject} is withdrawn ({withdrawn[0]['withdrawn_reason']}): "
            "its vectors are not searched with",
            "See: ledgerkit reinstate --help",
        )
    kind = str(_kind_of(subject) or "plates")
    count = ledgers.table("SELECT count(*) AS n FROM current_embeddings")["n"][0].as_py()
    among = f"there are {count} others" if count else "there are none at all"
    return MissingInput(
        f"{subject} has no vector in the ledgers; {among}",
        f"Make them with: ledgerkit embed --of {kind}, then: ledgerkit consolidate",
    )


def _only_space(ledgers: Ledgers, kind: str, space: str | None) -> str:
    rows = ledgers.table(_SPACES, [kind.removesuffix("s")]).to_pylist()
    if not rows:
        raise _no_vectors(kind, "")
    return _choose([str(row["space_id"]) for row in rows], space, f"there are vectors of {kind}")


def _choose(spaces: list[str], wanted: str | None, said: str) -> str:
    if wanted is not None and wanted not in spaces:
        raise UsageError(f"{said} in {', '.join(spaces)}, none in {wanted!r}")
    if wanted is None and len(set(spaces)) > 1:
        raise UsageError(
            f"{said} in {len(set(spaces))} spaces: {', '.join(spaces)}", "Name one with --space ID"
        )
    return wanted or spaces[0]


def _no_vectors(kind: str, where: str) -> MissingInput:
    return MissingInput(
        f"the ledgers have no vectors of {kind}{where}",
        f"Make them with: ledgerkit {_MADE_WITH.get(kind, 'embed')} --of {kind}, "
        "then: ledgerkit consolidate",
    )


def _exists(ledgers: Ledgers, kind: str, space: str) -> bool:
    rows = ledgers.table(_SPACES, [kind.removesuffix("s")])["space_id"].to_pylist()
    return space in rows


@dataclass(frozen=True)
class _Maker:
    """The operation that made the vectors of a space, with its parameters and the models it pins."""

    space: str
    loaded: operation.Operation
    version: str
    parameters: Any
    pins: list[Model]

    def describe(self, function: str, asked: Any) -> NDArray[np.float32]:
        """What the operation's `function` makes of `asked`, with the same weights.

        Raises `UsageError` for another version of the operation, `MissingInput` for weights that are
        not in the store.
        """
        name = self.loaded.name
        if self.version != self.loaded.version:
            raise UsageError(
                f"vectors of the space {self.space} were made by {name} {self.version}; "
                f"here is {self.loaded.version}, whose vectors cannot be compared with them",
                f"Make them again with: ledgerkit {name} --stale, then: ledgerkit consolidate",
            )
        models = take_again(self.loaded.models(self.parameters), self.pins)
        folders = [Path(given.folder) for given in models]
        vector: NDArray[np.float32] = getattr(self.loaded.module, function)(
            asked, self.parameters, *folders
        )
        return vector

    def speaks(self) -> bool:
        """Whether its model takes words; one that is not in the store may."""
        if not hasattr(self.loaded.module, "describe_text"):
            return False
        store = ModelStore()
        names = [store.pinned(pin) for pin in self.pins]
        return all(name is None or self.loaded.module.speaks(store.folder(name)) for name in names)


def _maker(ledgers: Ledgers, space: str) -> _Maker:
    row = ledgers.table(_MADE_BY, [space]).to_pylist()[0]
    loaded = operation.load(str(row["operation"]))
    return _Maker(
        space,
        loaded,
        str(row["version"]),
        loaded.make_parameters(json.loads(row["parameters"])),
        [Model(**pin) for pin in json.loads(row["models"])],
    )


def _described(ledgers: Ledgers, image: Path, space: str) -> NDArray[np.float32]:
    """The vector of an outside image in `space`, made as the vectors there were made."""
    maker = _maker(ledgers, space)
    if not hasattr(maker.loaded.module, "describe_image"):
        raise UsageError(
            f"vectors of the space {space} are made by {maker.loaded.name}, which describes plates "
            "only",
            "Search by the id of a plate, or name another space with --space ID",
        )
    try:
        with image.open("rb") as file:
            return maker.describe("describe_image", file)
    except LedgerkitError as error:
        raise type(error)(f"{image}: {error.message}", error.hint) from error
    except OSError as error:
        raise UsageError(f"{image} cannot be read: {error.strerror or error}") from error


def _of_words(
    ledgers: Ledgers, words: str, kind: str, space: str | None
) -> tuple[str, NDArray[np.float32]]:
    """Space and vector of words, in a space whose model takes words."""
    spaces = [
        str(row["space_id"]) for row in ledgers.table(_SPACES, [kind.removesuffix("s")]).to_pylist()
    ]
    if not spaces:
        raise _no_vectors(kind, "")
    if space is not None:
        spaces = [_choose(spaces, space, f"there are vectors of {kind}")]
    makers = [maker for maker in (_maker(ledgers, one) for one in spaces) if maker.speaks()]
    if not makers:
        raise UsageError(
            f"no model of words and pictures made the vectors of {kind} in {', '.join(spaces)}",
            f"Make some with a CLIP or SigLIP model: ledgerkit encode --model NAME --of {kind}, then: "
            f"ledgerkit consolidate. {_IN_SQL}",
        )
    chosen = _choose([maker.space for maker in makers], space, f"there are vectors of {kind}")
    maker = next(maker for maker in makers if maker.space == chosen)
    return chosen, maker.describe("describe_text", words)


def _nearest(
    ledgers: Ledgers,
    vector: NDArray[np.float32],
    kind: str,
    space: str,
    subject: str,
    count: int,
    block_bytes: int,
) -> Nearest[dict[str, Any]]:
    nearest: Nearest[dict[str, Any]] = Nearest(vector, count)
    own = (_kind_of(subject) or "").removesuffix("s")
    given = [kind.removesuffix("s"), space, subject, own]
    rows = max(1, block_bytes // vector.nbytes)
    for batch in ledgers.batches(_OTHERS, given, rows):
        _feed(nearest, batch, len(vector))
    return nearest


def _feed(nearest: Nearest[dict[str, Any]], batch: pa.RecordBatch, dimension: int) -> None:
    if not batch.num_rows:
        return
    flat = batch.column("vector").flatten().to_numpy(zero_copy_only=False)
    if flat.size != batch.num_rows * dimension:
        raise InvalidRecord(
            f"vectors of one space have other than {dimension} numbers",
            'See which: ledgerkit query "SELECT subject_id, dim FROM current_embeddings"',
        )
    rest = batch.drop_columns(["vector"])

    def name_of(row: int) -> tuple[str, dict[str, Any]]:
        values = rest.slice(row, 1).to_pylist()[0]
        return str(values["subject_id"]), values

    nearest.feed(flat.reshape(batch.num_rows, dimension), name_of)


def _hits(ledgers: Ledgers, nearest: Nearest[dict[str, Any]]) -> list[HitView]:
    found = nearest.found()
    plates = sorted({str(row["plate_id"]) for _, _, row in found})
    titles = {row["plate_id"]: row["title"] for row in ledgers.table(_TITLES, [plates]).to_pylist()}
    return [
        HitView(
            name,
            row["plate_id"],
            titles.get(row["plate_id"], ""),
            similarity,
            row["log_index"],
        )
        for name, similarity, row in found
    ]
