"""The log's files as it grows: every root, entry and proof from them, and no damage passes unseen."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from ledgerkit import layout, merkle
from ledgerkit.errors import LedgerkitError, LogInvalid
from ledgerkit.log import Entry, Log, LogIndex
from ledgerkit.merkle import ProofInvalid
from ledgerkit.reading import Tree

ORIGIN = "ledgerkit/x"
STEPS = (1, 2, 250, 3, 300, 1, 211, 0, 256, 700)
"""Entries of each commit: up to a full tile, over it, onto it, nothing, many tiles at once."""


def entry(number: int) -> Entry:
    path = (
        f"plates_structured/plate-{number % 7:03d}/runs/run-20260101-000000Z-{number:012x}/run.json"
    )
    return Entry("run", path, hashlib.sha256(str(number).encode()).hexdigest())


def append(root: Path, count: int) -> None:
    """Grow the log as a commit does: new files, the checkpoint, then what they supersede goes."""
    log = Log(Tree(root))
    size = log.index().size
    growth = log.grow(ORIGIN, [entry(size + number) for number in range(count)])
    for path, data in growth.files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        assert not (root / path).exists(), "no file of the log is ever written twice"
        (root / path).write_bytes(data)
    (root / layout.CHECKPOINT).write_text(growth.after)
    for folder in growth.superseded:
        for partial in (root / folder).iterdir():
            partial.unlink()
        (root / folder).rmdir()


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """A log grown step by step, and the sizes that it had."""
    root = tmp_path_factory.mktemp("grown")
    sizes = [0]
    for count in STEPS:
        if count:
            append(root, count)
        sizes.append(sizes[-1] + count)
    return root, sizes


def test_every_earlier_tree_can_be_proved_from_todays_files(grown: tuple[Path, list[int]]) -> None:
    root, sizes = grown
    log, last = Log(Tree(root)), sizes[-1]
    leaves = [merkle.leaf_hash(entry(number).encode()) for number in range(last)]
    stated = log.checkpoint()
    assert stated is not None
    assert (stated.size, stated.root) == (last, merkle.root_of(leaves))
    chance = random.Random(7)
    for size in sizes:
        assert log.root_at(size) == merkle.root_of(leaves[:size])
        growth = log.consistency(size, last)
        merkle.check_consistency(size, last, growth, merkle.root_of(leaves[:size]), stated.root)
        for index in sorted({0, size - 1, *chance.choices(range(size), k=9)}) if size else []:
            found = log.inclusion(index, size)
            merkle.check_inclusion(index, size, leaves[index], found, log.root_at(size))


def test_entries_and_index_are_those_that_were_appended(grown: tuple[Path, list[int]]) -> None:
    root, sizes = grown
    log, last = Log(Tree(root)), sizes[-1]
    every = [entry(number) for number in range(last)]
    assert list(log.entries()) == every
    for start, end in (
        (0, 1),
        (255, 257),
        (256, 512),
        (300, 300),
        (last - 1, last + 9),
        (last, None),
    ):
        assert list(log.entries(start, end)) == every[start:end]
    index = log.index()
    assert index.size == last
    for number in (0, 255, 256, last - 1):
        found = index.find_run(f"run-20260101-000000Z-{number:012x}")
        assert found is not None
        assert found[0] == f"plate-{number % 7:03d}"
        assert (found[1].index, found[1].sha256) == (number, every[number].sha256)


def test_what_was_appended_is_read_on_and_not_anew(tmp_path: Path) -> None:
    append(tmp_path, 200)
    log = Log(Tree(tmp_path))
    index = log.index()
    for count in (100, 300):
        append(tmp_path, count)
        assert log.index() is index
    assert index.size == 600
    assert index.edge.root() == Log(Tree(tmp_path)).root_at(600)


def test_partial_tiles_of_every_checkpoint_lie_there_until_the_full_one_does(
    grown: tuple[Path, list[int]],
) -> None:
    root, sizes = grown
    here = {
        path.relative_to(root / layout.LOG).as_posix() for path in root.rglob("*") if path.is_file()
    }
    wanted = {"checkpoint"}
    for size in sizes:
        for level, number, width in merkle.edge_tiles(size):
            full = merkle.tile_path(str(level), number)
            wanted.add(full if full in here else merkle.tile_path(str(level), number, width))
            if level == 0:
                wanted.add(merkle.tile_path("entries", number, 256 if full in here else width))
    wanted |= {
        merkle.tile_path(name, number)
        for name in ("0", "entries")
        for number in range(sizes[-1] // 256)
    }
    assert here == wanted


def use_all(root: Path, sizes: list[int]) -> None:
    """Read everything that a log can be asked, and hold it against the checkpoint."""
    log = Log(Tree(root))
    stated, leaves = log.checkpoint(), [merkle.leaf_hash(one.encode()) for one in log.entries()]
    assert stated is not None
    assert stated.origin == ORIGIN, "no hash covers it: it is compared with repository.json"
    log.index()
    for index, leaf in enumerate(leaves):
        merkle.check_inclusion(
            index, stated.size, leaf, log.inclusion(index, stated.size), stated.root
        )
    for size in sizes:
        merkle.check_consistency(
            size, stated.size, log.consistency(size, stated.size), log.root_at(size), stated.root
        )


def test_a_flipped_bit_in_any_file_of_todays_tree_is_seen(tmp_path: Path) -> None:
    append(tmp_path, 259)
    use_all(tmp_path, [259])
    chance = random.Random(3)
    for path in [path for path in sorted(tmp_path.rglob("*")) if path.is_file()]:
        good = path.read_bytes()
        for _ in range(3):
            data = bytearray(good)
            data[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
            path.write_bytes(bytes(data))
            with pytest.raises((LedgerkitError, AssertionError)):
                use_all(tmp_path, [259])
        path.write_bytes(good)
    use_all(tmp_path, [259])


def test_an_index_is_never_built_on_other_entries_than_the_checkpoints(tmp_path: Path) -> None:
    append(tmp_path, 5)
    path = tmp_path / layout.LOG / "tile/entries/000.p/5"
    path.write_bytes(path.read_bytes().replace(b"000000000003", b"000000000009"))
    with pytest.raises(LogInvalid, match="do not have the root"):
        Log(Tree(tmp_path)).index()


def test_a_reader_with_the_former_checkpoint_finds_the_full_tile(tmp_path: Path) -> None:
    """A commit replaces the checkpoint and then removes partial tiles; a reader may lie in between."""
    append(tmp_path, 200)
    former = (tmp_path / layout.CHECKPOINT).read_text()
    append(tmp_path, 100)
    assert not (tmp_path / layout.LOG / "tile/entries/000.p").exists()
    (tmp_path / layout.CHECKPOINT).write_text(former)
    use_all(tmp_path, [0, 7, 200])
    assert Log(Tree(tmp_path)).index().size == 200


def test_a_missing_tile_is_named(tmp_path: Path) -> None:
    append(tmp_path, 300)
    for name in ("tile/0/000", "tile/entries/001.p/44", "tile/1/000.p/1"):
        path = tmp_path / layout.LOG / name
        good = path.read_bytes()
        path.unlink()
        with pytest.raises(LogInvalid, match=f"log/{name} is missing"):
            use_all(tmp_path, [300])
        path.write_bytes(good)


def test_more_than_there_is_is_not_proved(tmp_path: Path) -> None:
    append(tmp_path, 5)
    log = Log(Tree(tmp_path))
    for ask in (lambda: log.root_at(6), lambda: log.consistency(3, 6), lambda: log.inclusion(5, 6)):
        with pytest.raises(ProofInvalid, match="the log has 5 entries, 6 are asked for"):
            ask()


def test_a_log_that_went_back_is_refused(tmp_path: Path) -> None:
    append(tmp_path, 5)
    before = (tmp_path / layout.CHECKPOINT).read_text()
    append(tmp_path, 5)
    log = Log(Tree(tmp_path))
    log.index()
    (tmp_path / layout.CHECKPOINT).write_text(before)
    with pytest.raises(LogInvalid, match="went back"):
        log.index()


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b"\xff",
        b'{"\xabind":"run"}',
        entry(1).encode().replace(b'"run"', b'"manifest"'),
        entry(1).encode().replace(b"plates_structured", b"elsewhere"),
        entry(1).encode().replace(b"/runs/", b"/../"),
        entry(0).encode(),
    ],
    ids=range(7),
)
def test_what_is_no_entry_or_stands_there_twice_is_refused(data: bytes) -> None:
    index = LogIndex()
    index.add([entry(0).encode()])
    with pytest.raises(LogInvalid):
        index.add([data])
