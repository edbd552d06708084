"""What is most like a plate, tile, segment, outside image or words: neighbours by cosine, exact by default.

The vectors are those of current runs in the ledgers. Nothing is written.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from ledgerkit import layout
from ledgerkit.clustering.nearest import Nearest
from ledgerkit.errors import LedgerkitError, MissingInput, UsageError
from ledgerkit.indexes import IndexView, look_up
from ledgerkit.query import Ledgers, Limits, ask
from ledgerkit.reading import Tree
from ledgerkit.repository import Archive
from ledgerkit.spaces import (
    IN_SQL,
    choose,
    command_for,
    described,
    no_vectors,
    of_words,
    only_space,
    spaces_of,
)
from ledgerkit.vectors import BLOCK_BYTES, LedgerVectors, Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KINDS = {"plate-": "plates", "tile-": "tiles", "segment-": "segments"}
OF = (*KINDS.values(), "texts")
"""What may be looked among; the texts of plates have the ids of their plates."""
MOST = 10_000
"""Neighbours that may be asked for at once: they are kept in memory and compared exactly."""
_OWN = """
    SELECT space_id, subject_kind, vector FROM current_embeddings
    WHERE subject_id = ? ORDER BY space_id, subject_kind = 'text'"""
_TITLES = "SELECT plate_id, title FROM plates WHERE plate_id IN (SELECT unnest(?::VARCHAR[]))"
_KNOWN = "SELECT plate_id FROM plates WHERE plate_id = ?"
_WITHDRAWN = "SELECT withdrawn_reason FROM plates WHERE plate_id = ? AND withdrawn"


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
    approximate: IndexView | None = None
    """The index that proposed what was compared; None where every vector was, and the answer is exact."""


def search(archive: Archive, subject: str, **options: Unpack[SearchOptions]) -> SearchView:
    """The `count` vectors of `of` (plates, tiles, segments, texts) nearest to `subject` by cosine.

    `subject` is the id of a plate, tile or segment, the path of an image file, or else words. `of` is
    by default what the subject is, and plates for a file or words. With `approximate` only those are compared
    that the index of the space proposes. Raises `MissingInput` when there are no vectors, no such
    index, or no such model in the store, `UsageError` for what cannot be searched with, `UnreadableImage` for a broken file.
    """
    return _search(archive, archive.tree, subject, **options)


def search_tree(tree: Tree, subject: str, **options: Unpack[SearchOptions]) -> SearchView:
    """The same of the ledgers in `ledger/` below any folder; there are no indexes of them."""
    return _search(None, tree, subject, **options)


class SearchOptions(TypedDict, total=False):
    """What a search may be told; all have defaults."""

    count: int
    of: str | None
    space: str | None
    limits: Limits | None
    block_bytes: int
    approximate: bool


def _search(
    archive: Archive | None,
    tree: Tree,
    subject: str,
    *,
    count: int = 10,
    of: str | None = None,
    space: str | None = None,
    limits: Limits | None = None,
    block_bytes: int = BLOCK_BYTES,
    approximate: bool = False,
) -> SearchView:
    if not 1 <= count <= MOST:
        raise UsageError(f"expected 1 to {MOST} neighbours, got {count}", "Give it as: -k 10")
    if of is not None and of not in OF:
        raise UsageError(f"no kind of subject {of!r}", f"There are: {', '.join(OF)}")
    own = _kind_of(subject)
    image = None if own else _image_file(subject)
    kind = of or own or "plates"
    one = kind.removesuffix("s")

    def question(ledgers: Ledgers) -> SearchView:
        left_out = ""
        if image is not None:
            chosen = only_space(ledgers, kind, space)
            vector = described(ledgers, image, chosen)
        elif own is None:
            chosen, vector = of_words(ledgers, subject, kind, space)
        else:
            chosen, vector, found = _own_vector(ledgers, subject, kind, space)
            left_out = subject if found == one else ""
        index = None
        if approximate:
            if archive is None:
                raise UsageError("ledgers outside of a repository have no index")
            nearest, index = _proposed(archive, ledgers, vector, kind, chosen, left_out, count)
        else:
            nearest = _nearest(ledgers, vector, kind, chosen, left_out, count, block_bytes)
        if not nearest.seen and chosen not in spaces_of(ledgers, kind):
            raise no_vectors(kind, f" in the space {chosen}")
        log_size = ledgers.document["log_size"] if ledgers.document else None
        hits = _hits(ledgers, nearest)
        return SearchView(subject, kind, chosen, len(vector), nearest.seen, log_size, hits, index)

    return ask(tree, question, limits)


def _kind_of(subject: str) -> str | None:
    """What an id is of; None for what is no id."""
    if layout.is_plate_id(subject):
        return "plates"
    named = next((kind for prefix, kind in KINDS.items() if subject.startswith(prefix)), None)
    return None if named == "plates" or _has_blank(subject) or os.path.lexists(subject) else named


def _has_blank(subject: str) -> bool:
    """Whether there is a blank in it: no id has one."""
    return any(letter.isspace() for letter in subject)


def _image_file(subject: str) -> Path | None:
    """The file of that path; None for words. Raises `UsageError` for what looks like an id or a file."""
    path = Path(subject)
    if os.path.isfile(subject):  # Path.is_file raises for what is too long for a name
        return path
    if not any(letter.isalnum() for letter in subject):
        raise UsageError(f"there are no words in {subject!r}", 'Give some: "a bird with long legs"')
    looks_so = subject.startswith(tuple(KINDS)) or path.suffix or os.sep in subject
    if looks_so and not _has_blank(subject):
        raise UsageError(
            f"{subject!r} is no id of a plate, tile or segment, and no file lies there",
            IN_SQL,
        )
    return None


def _own_vector(
    ledgers: Ledgers, subject: str, of: str, space: str | None
) -> tuple[str, NDArray[np.float32], str]:
    """Space and vector of a subject, and whether it is that of the subject itself or of its text.

    Among texts it is searched in a space that has texts, with the vector of the picture where that
    space has one: words and pictures of one model lie in one space. Raises `MissingInput`, or
    `UsageError` for several spaces, and for a plate that there is not.
    """
    import numpy as np

    rows = ledgers.table(_OWN, [subject]).to_pylist()
    written = spaces_of(ledgers, of) if of == "texts" else []
    rows = [
        row
        for row in rows
        if (row["space_id"] in written if of == "texts" else row["subject_kind"] != "text")
    ]
    if not rows:
        raise _without_vector(ledgers, subject, of == "texts")
    chosen = choose(
        list(dict.fromkeys(str(row["space_id"]) for row in rows)), space, f"{subject} has vectors"
    )
    first = next(row for row in rows if row["space_id"] == chosen)
    return chosen, np.array(first["vector"], dtype=np.float32), str(first["subject_kind"])


def _without_vector(ledgers: Ledgers, subject: str, of_text: bool) -> LedgerkitError:
    withdrawn = ledgers.table(_WITHDRAWN, [subject]).to_pylist()
    if withdrawn:
        return MissingInput(
            f"{subject} is withdrawn ({withdrawn[0]['withdrawn_reason']}): "
            "its vectors are not searched with",
            "See: ledgerkit reinstate --help",
        )
    if layout.is_plate_id(subject) and not ledgers.table(_KNOWN, [subject]).num_rows:
        return UsageError(
            f"there is no {subject} in the ledgers",
            'See which there are: ledgerkit query "SELECT plate_id, title FROM plates"',
        )
    kind = "texts" if of_text else str(_kind_of(subject) or "plates")
    count = ledgers.table("SELECT count(*) AS n FROM current_embeddings")["n"][0].as_py()
    among = f"there are {count} others" if count else "there are none at all"
    return MissingInput(
        f"{subject} has no vector in the ledgers; {among}",
        f"Make them with: ledgerkit {command_for(kind)}, then: ledgerkit consolidate",
    )


def _nearest(
    ledgers: Ledgers,
    vector: NDArray[np.float32],
    kind: str,
    space: str,
    subject: str,
    count: int,
    block_bytes: int,
) -> Nearest[dict[str, Any]]:
    """The nearest of all vectors."""
    nearest: Nearest[dict[str, Any]] = Nearest(vector, count)
    if "embeddings" in ledgers.files:
        vectors = LedgerVectors(ledgers)
        wanted = vectors.places(kind.removesuffix("s"), space, subject)
        for part in vectors.parts(wanted, len(vector), block_bytes):
            nearest.feed(part.matrix, part.name_of)
    return nearest


def _proposed(
    archive: Archive,
    ledgers: Ledgers,
    vector: NDArray[np.float32],
    kind: str,
    space: str,
    subject: str,
    count: int,
) -> tuple[Nearest[dict[str, Any]], IndexView]:
    """The nearest of the vectors that the index proposes, compared exactly."""
    import numpy as np

    places, index = look_up(archive, ledgers, kind, space, vector, count + 1)
    vectors = LedgerVectors(ledgers)
    # The index is of these very ledgers: what it proposes is current, and needs no other look.
    wanted = np.zeros(vectors.rows, dtype=np.bool_)
    wanted[places] = True
    nearest: Nearest[dict[str, Any]] = Nearest(vector, count)
    for part in vectors.parts(wanted, len(vector)):
        others = [row for row in range(len(part.matrix)) if part.name_of(row)[0] != subject]
        nearest.feed(part.matrix[others], partial(_named, part, others))
    nearest.seen = index.vectors - bool(subject)
    return nearest, index


def _named(part: Part, rows: list[int], row: int) -> tuple[str, dict[str, Any]]:
    return part.name_of(rows[row])


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
