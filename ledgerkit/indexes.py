"""Approximate indexes of vectors: made from the ledgers, kept outside of repositories, disposable.

An index belongs to one state of the ledgers, of which it names the digests: for others it is refused.
Nothing is lost with it. It only proposes rows; how near they are is computed from the ledger's own
vectors. How far a search looks is set when it is made, so that little is missed on a sample, and how much
is missed there is told with every answer.
Source: Malkov & Yashunin 2020 (HNSW graphs), as the library usearch has them.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledgerkit import layout
from ledgerkit.canonical import canonical_bytes, digest_stream, parse_json, sha256_hex
from ledgerkit.errors import InvalidRecord, LedgerkitError, MissingInput, UsageError
from ledgerkit.kept import outside_folder
from ledgerkit.query import Ledgers, Limits, ask
from ledgerkit.repository import Archive
from ledgerkit.vectors import LedgerVectors, Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VARIABLE = "LEDGERKIT_INDEXES"
CONNECTIVITY, EXPANSION_ADD = 16, 128
"""Neighbours of a node, and how many candidates are held when one is added."""
EXPANSIONS = tuple(128 << power for power in range(8))
"""How many candidates are held when one is sought: the least of these at which the recall is `RECALL`."""
RECALL = 0.99
NUMBERS = "f16"
SAMPLE, NEAREST = 100, 10
"""Recall is measured for so many vectors, on so many neighbours of each."""
SEED = 1337
THREADS = 2
_READ = ("embeddings", "runs", "artifacts")
"""Tables that decide which vectors are current."""


@dataclass(frozen=True)
class IndexView:
    """An index that was made, or is used."""

    of: str
    space_id: str
    dimension: int
    vectors: int
    recall: float
    """Share of the true 10 nearest that are among what it proposes for them, 0..1, on the sample."""
    sample: int
    expansion: int
    """Candidates that are held in a search (HNSW's `ef`)."""
    seconds: float
    bytes: int
    library: str
    path: str


def proposed(count: int) -> int:
    """How many rows an index is asked for when `count` neighbours are wanted."""
    return max(64, 4 * count)


def build(
    archive: Archive,
    of: str,
    space: str,
    *,
    limits: Limits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> IndexView:
    """Make the index of the current vectors of `of` (plates, ...) in a space; a former one is replaced.

    Raises `UsageError` without the library, `MissingInput` when there are no such vectors.
    """
    base = _base(archive, of, space)
    library = _library()
    given = limits or Limits(seconds=86_400.0)

    def made(ledgers: Ledgers) -> IndexView:
        key = _key(ledgers)
        _refuse_damaged(ledgers)
        began = time.monotonic()
        rows = ledgers.table(
            "SELECT any_value(dim) AS dim FROM current_embeddings "
            "WHERE subject_kind = ? AND space_id = ?",
            [of.removesuffix("s"), space],
        )
        dimension = rows["dim"][0].as_py()
        if dimension is None:
            raise MissingInput(
                f"the ledgers have no vectors of {of} in the space {space}",
                'See which: ledgerkit query "SELECT DISTINCT subject_kind, space_id '
                'FROM current_embeddings"',
            )
        vectors = LedgerVectors(ledgers)
        wanted = vectors.places(of.removesuffix("s"), space)
        index = _filled(vectors, wanted, dimension, progress)
        recall, sample = _tuned(index, vectors, wanted, dimension)
        seconds = round(time.monotonic() - began, 3)
        size, digest = _save(index, base)
        shown = (of, space, dimension, len(index), recall, sample, index.expansion_search)
        view = IndexView(*shown, seconds, size, library, str(base))
        document = {"key": key, "xxh3_128": digest, "index": asdict(view)}
        _replace(Path(f"{base}.json"), canonical_bytes(document))
        return view

    return ask(archive.tree, made, given)


def look_up(
    archive: Archive, ledgers: Ledgers, of: str, space: str, vector: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], IndexView]:
    """Places in the ledger of the rows that the index proposes for a vector, and the index.

    Raises `MissingInput` where there is none for these ledgers, `InvalidRecord` for a damaged one.
    """
    import numpy as np

    _library()
    view, document = _read(archive, ledgers, of, space)
    path = Path(view.path)
    if (
        not path.is_file()
        or path.stat().st_size != view.bytes
        or _digest(path) != (document["xxh3_128"])
    ):
        raise InvalidRecord(f"the index {path} is not what was written", _again(of, space))
    from usearch.index import Index

    index: Any = Index.restore(path, view=True)
    index.expansion_search = max(view.expansion, proposed(count))
    return np.sort(index.search(vector, proposed(count)).keys.astype(np.int64)), view


def _read(
    archive: Archive, ledgers: Ledgers, of: str, space: str
) -> tuple[IndexView, dict[str, Any]]:
    base = _base(archive, of, space)
    path = Path(f"{base}.json")
    if not path.is_file():
        raise MissingInput(f"there is no index of {of} in the space {space}", _again(of, space))
    try:
        document = parse_json(path.read_bytes(), str(path))
        view = IndexView(**document["index"])
        key = document["key"]
    except (LedgerkitError, KeyError, TypeError) as error:
        raise InvalidRecord(f"{path} describes no index", _again(of, space)) from error
    if key != _key(ledgers):
        raise MissingInput(
            f"the index of {of} in the space {space} was made from other ledgers than these",
            _again(of, space),
        )
    return view, document


def _again(of: str, space: str) -> str:
    return f"Make it with: ledgerkit index --of {of} --space {space}"


def _base(archive: Archive, of: str, space: str) -> Path:
    """The file of an index; one with `.json` behind its name says what it is."""
    folder = outside_folder(VARIABLE, "indexes")
    if folder is None:
        raise UsageError(
            "there is no folder for indexes: the user has no home",
            f"Let {VARIABLE} name a folder outside of the repository.",
        )
    if folder.resolve().is_relative_to(archive.root.resolve()):
        raise UsageError(
            f"{folder} lies inside the repository: indexes are no part of it",
            f"Let {VARIABLE} name a folder outside of it.",
        )
    path = layout.REPOSITORY_FILE
    identity = parse_json(archive.tree.read(path, max_bytes=1 << 16), path)["repository_id"]
    named = sha256_hex(canonical_bytes([identity, of, space]))[:32]
    return folder / f"{named}.usearch"


def _library() -> str:
    """Name and version of the library. Raises `UsageError` where it is not installed."""
    try:
        import usearch
    except ImportError as error:
        raise UsageError(
            "approximate search needs the library usearch, which is not installed",
            "Install it with: pip install 'ledgerkit[index]'",
        ) from error
    return f"usearch {usearch.__version__}"


def _key(ledgers: Ledgers) -> dict[str, str]:
    tables = ledgers.document["tables"] if ledgers.document else {}
    return {name: tables[name]["sha256"] for name in _READ if name in tables}


def _refuse_damaged(ledgers: Ledgers) -> None:
    """Raise `InvalidRecord` unless the tables read are those that `ledger.json` lists."""
    for name, digest in _key(ledgers).items():
        file = ledgers.files[name].file
        file.seek(0)
        if digest_stream(file).sha256 != digest:
            raise InvalidRecord(
                f"ledger/{name}.parquet is not what ledger.json lists",
                "Rebuild the ledgers with: ledgerkit consolidate --rebuild",
            )


def _filled(
    vectors: LedgerVectors,
    wanted: NDArray[np.bool_],
    dimension: int,
    progress: Callable[[int, int], None] | None,
) -> Any:
    from usearch.index import Index

    index = Index(
        ndim=dimension,
        metric="cos",
        dtype=NUMBERS,
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_ADD,
        expansion_search=EXPANSIONS[0],
    )
    total = int(wanted.sum())
    for part in vectors.parts(wanted, dimension):
        index.add(part.places, part.matrix, threads=THREADS)
        if progress is not None:
            progress(len(index), total)
    return index


def _tuned(
    index: Any, vectors: LedgerVectors, wanted: NDArray[np.bool_], dimension: int
) -> tuple[float, int]:
    """Let `index` hold as few candidates as find `RECALL` of the true nearest of a seeded sample.

    The share that is found then, and the size of the sample. More candidates cost time in each search,
    and vectors that lie in no groups need many.
    """
    import numpy as np

    places = np.flatnonzero(wanted)
    generator = np.random.default_rng(SEED)
    sample = np.sort(generator.choice(places, min(SAMPLE, len(places)), replace=False))
    chosen = np.zeros_like(wanted)
    chosen[sample] = True
    asked = np.concatenate([part.matrix for part in vectors.parts(chosen, dimension)])
    count = min(NEAREST, len(places) - 1)
    if count < 1:
        return 1.0, len(sample)
    true = _nearest(asked, vectors.parts(wanted, dimension), count + 1)
    own = [
        [one for one in row if one != place][:count]
        for row, place in zip(true, sample, strict=True)
    ]
    recall = 0.0
    for expansion in EXPANSIONS:
        index.expansion_search = expansion
        given = [set(index.search(vector, proposed(count)).keys.tolist()) for vector in asked]
        found = sum(one in some for row, some in zip(own, given, strict=True) for one in row)
        recall = found / (count * len(sample))
        if recall >= RECALL:
            break
    return recall, len(sample)


def _nearest(asked: NDArray[np.float32], parts: Iterable[Part], count: int) -> list[list[int]]:
    """Places of the `count` vectors of `parts` that are nearest to each of `asked`, nearest first."""
    import numpy as np

    best = np.full((len(asked), count), -np.inf, dtype=np.float32)
    true = np.full((len(asked), count), -1, dtype=np.int64)
    for part in parts:
        near = np.concatenate([best, asked @ part.matrix.T], axis=1)
        held = np.concatenate([true, np.tile(part.places, (len(asked), 1))], axis=1)
        order = np.argsort(-near, axis=1, kind="stable")[:, :count]
        best, true = np.take_along_axis(near, order, 1), np.take_along_axis(held, order, 1)
    return [[int(one) for one in row] for row in true]


def _save(index: Any, base: Path) -> tuple[int, str]:
    """Write the index beside its place, and put it there; its size and digest."""
    base.parent.mkdir(parents=True, exist_ok=True)
    beside = base.with_name(f"{base.name}.{secrets.token_hex(4)}")
    try:
        index.save(str(beside))
        size, digest = beside.stat().st_size, _digest(beside)
        os.replace(beside, base)
    finally:
        beside.unlink(missing_ok=True)
    return size, digest


def _replace(path: Path, data: bytes) -> None:
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    beside.write_bytes(data)
    os.replace(beside, path)


def _digest(path: Path) -> str:
    """XXH3-128: fast enough to be compared before each search; it finds damage, not malice."""
    import xxhash

    hasher = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            hasher.update(chunk)
    return hasher.hexdigest()
