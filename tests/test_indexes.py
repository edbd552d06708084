"""Approximate indexes: outside of the repository, of one state of the ledgers, and said to be so."""

from __future__ import annotations

import json
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from usearch.index import Index

from ledgerkit import indexes
from ledgerkit.api import Repository
from ledgerkit.errors import InvalidRecord, MissingInput, UsageError
from ledgerkit.vectors import LedgerVectors, Part

EXAMPLE = Path(__file__).parent.parent
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where indexes lie."""
    monkeypatch.setenv("LEDGERKIT_INDEXES", str(tmp_path / "indexes"))
    return tmp_path / "indexes"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The example's ledgers and nothing else: searches read no more."""
    for name in ("ledger", "log"):
        shutil.copytree(EXAMPLE / name, tmp_path / "archive" / name)
    shutil.copy(EXAMPLE / "repository.json", tmp_path / "archive")
    (tmp_path / "archive" / "plates_structured").mkdir()
    return tmp_path / "archive"


def space_of(repository: Repository) -> str:
    return str(repository.query("SELECT DISTINCT space_id FROM current_embeddings").item())


def tree(root: Path) -> dict[Path, tuple[int, int]]:
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(root.rglob("*"))
    }


def test_an_index_finds_what_all_vectors_find_and_says_how_well(
    archive: Path, folder: Path
) -> None:
    repository = Repository.open(archive)
    (numbers,) = set(repository.query("SELECT dim FROM current_embeddings")["dim"])
    before = tree(archive)
    made = repository.index(space_of(repository))
    assert (made.vectors, made.dimension, made.sample) == (56, numbers, 56)
    assert made.recall == 1.0
    assert Path(made.path).parent == folder
    exact = repository.search("plate-003")
    kept = tree(folder)
    found = repository.search("plate-003", approximate=True)
    assert found.hits == exact.hits
    assert found.searched == exact.searched == 55
    assert exact.approximate is None
    assert found.approximate == made
    assert tree(archive) == before
    assert tree(folder) == kept


def test_an_index_of_other_ledgers_is_refused_and_a_deleted_one_made_again(
    worked: Repository, folder: Path
) -> None:
    worked.consolidate()
    space = space_of(worked)
    with pytest.raises(MissingInput, match="no index") as refused:
        worked.search("plate-001", approximate=True)
    assert refused.value.hint == f"Make it with: ledgerkit index --of plates --space {space}"
    worked.index(space)
    worked.withdraw("plate-002", by="A. Curator", reason="a test")
    worked.consolidate()
    with pytest.raises(MissingInput, match="made from other ledgers"):
        worked.search("plate-001", approximate=True)
    worked.index(space)
    assert len(list(folder.iterdir())) == 2
    hits = worked.search("plate-001", approximate=True).hits
    assert {hit.plate_id for hit in hits} == {"plate-003", "plate-004"}
    shutil.rmtree(folder)
    assert worked.search("plate-001").searched == 2


def test_a_damaged_index_is_not_asked(archive: Path, folder: Path) -> None:
    repository = Repository.open(archive)
    path = Path(repository.index(space_of(repository)).path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(InvalidRecord, match="not what was written"):
        repository.search("plate-001", approximate=True)


def test_what_cannot_be_indexed_is_named(
    archive: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Repository.open(archive)
    with pytest.raises(MissingInput, match="no vectors of tiles"):
        repository.index(space_of(repository), of="tiles")
    ledger = archive / "ledger" / "embeddings.parquet"
    data = bytearray(ledger.read_bytes())
    data[len(data) // 2] ^= 1
    ledger.chmod(0o644)
    ledger.write_bytes(data)
    with pytest.raises(InvalidRecord, match=r"not what ledger\.json lists"):
        repository.index(space_of(repository))
    monkeypatch.setenv("LEDGERKIT_INDEXES", str(archive / "indexes"))
    with pytest.raises(UsageError, match="lies inside the repository"):
        repository.index("classical-1")
    for variable in ("LEDGERKIT_INDEXES", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    with pytest.raises(UsageError, match="the user has no home"):
        repository.index("classical-1")


def test_the_command_says_that_an_answer_is_approximate(
    archive: Path, folder: Path, command: Command
) -> None:
    space = space_of(Repository.open(archive))
    made = command("index", "--space", space, "-C", archive)
    assert made.returncode == 0, made.stderr
    assert "56 vectors of plates" in made.stdout
    assert "100.0 % are found" in made.stdout
    said = command("search", "plate-003", "-k", "3", "--approximate", "-C", archive).stdout
    assert said.splitlines()[-1].startswith("approximate, by an index of 56 vectors")
    told = command("search", "plate-003", "--approximate", "--json", "-C", archive).stdout
    assert json.loads(told)["approximate"]["recall"] == 1.0
    assert "approximate" not in command("search", "plate-003", "-C", archive).stdout


def test_vectors_without_groups_are_looked_for_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hardest there are, in a poor graph: a short search misses many, and a longer one is set."""
    matrix = np.random.default_rng(7).standard_normal((3000, 64)).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    places = np.arange(3000) * 2
    wanted = np.zeros(6000, dtype=bool)
    wanted[places] = True

    def parts(chosen: NDArray[np.bool_], dimension: int) -> Iterator[Part]:
        assert dimension == 64
        for begin in range(0, 3000, 1000):
            inside = chosen[places[begin : begin + 1000]]
            some = slice(begin, begin + 1000)
            yield Part(matrix[some][inside], places[some][inside], lambda row: (str(row), {}))

    vectors = cast(LedgerVectors, SimpleNamespace(parts=parts))
    index = Index(ndim=64, metric="cos", dtype="f16", connectivity=4, expansion_add=16)
    index.add(places, matrix, threads=1)
    with monkeypatch.context() as patch:
        patch.setattr(indexes, "EXPANSIONS", indexes.EXPANSIONS[:1])
        short, sample = indexes._tuned(index, vectors, wanted, 64)
    assert sample == 100
    assert short < 0.9
    recall, _ = indexes._tuned(index, vectors, wanted, 64)
    assert recall >= indexes.RECALL
    assert index.expansion_search in indexes.EXPANSIONS[1:]
    asked, others = matrix[1500], {2 * int(one) for one in np.argsort(-matrix @ matrix[1500])[:11]}
    assert len(others & set(index.search(asked, 64).keys.tolist())) >= 10
