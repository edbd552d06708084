"""Nothing leads out of the root, nothing hangs, nothing is taken for what it is not."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from ledgerkit.errors import DigestMismatch, LimitExceeded, MissingInput, UnsafePath
from ledgerkit.reading import RecordedFile, Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """`a/b/file` inside; `secret` and `outside/file` beside the root."""
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").write_bytes(b"inside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"secret")
    (tmp_path / "secret").write_bytes(b"secret")
    return Tree(root)


@pytest.fixture(autouse=True)
def no_hanging() -> Iterator[None]:
    signal.alarm(20)
    yield
    signal.alarm(0)


_READS: list[Callable[[Tree, str], object]] = [
    lambda tree, path: tree.open(path).close(),
    lambda tree, path: tree.read(path),
    lambda tree, path: tree.digest(path),
    lambda tree, path: tree.read_checked(path, hashlib.sha256(b"secret").hexdigest()),
    lambda tree, path: RecordedFile(tree.root, path, "x", 6, "0" * 64).open_header().close(),
    lambda tree, path: list(
        tree.read_each(
            os.path.dirname(os.path.dirname(path)),
            [os.path.basename(os.path.dirname(path))],
            os.path.basename(path),
        )
    ),
]


@pytest.mark.parametrize("read", _READS)
@pytest.mark.parametrize("kind", ["file", "folder", "in the middle", "within the root", "loop"])
def test_links_are_never_followed(tree: Tree, read: Callable[..., object], kind: str) -> None:
    if kind == "file":
        (tree.root / "a/b/link").symlink_to(tree.root.parent / "secret")
        path = "a/b/link"
    elif kind == "folder":
        (tree.root / "a/link").symlink_to(tree.root.parent / "outside")
        path = "a/link/file"
    elif kind == "in the middle":
        (tree.root / "link").symlink_to(tree.root.parent)
        path = "link/outside/file"
    elif kind == "within the root":
        (tree.root / "a/b/link").symlink_to("file")
        path = "a/b/link"
    else:
        (tree.root / "a/b/link").symlink_to("link")
        path = "a/b/link"
    with pytest.raises((UnsafePath, MissingInput)):
        read(tree, path)


def test_a_link_in_the_way_is_named_as_what_it_is(tree: Tree) -> None:
    (tree.root / "link").symlink_to(tree.root.parent / "outside")
    (tree.root / "a/b/link").symlink_to("file")
    for path in ("link/file", "a/b/link"):
        with pytest.raises(UnsafePath, match="symbolic link"):
            tree.open(path)


@pytest.mark.parametrize("path", ["link/file", "link"])
def test_neither_sizes_nor_names_beyond_a_link_are_told(tree: Tree, path: str) -> None:
    (tree.root / "link").symlink_to(tree.root.parent / "outside")
    assert tree.size(path) is None
    assert tree.exists(path) == (path == "link")
    assert list(tree.walk("link")) == []
    assert tree.folders() == ["a"]


@pytest.mark.parametrize("read", _READS)
def test_a_pipe_is_refused_without_hanging(tree: Tree, read: Callable[..., object]) -> None:
    os.mkfifo(tree.root / "a/b/pipe")
    with pytest.raises(UnsafePath, match="regular"):
        read(tree, "a/b/pipe")
    writer = os.open(tree.root / "a/b/pipe", os.O_RDWR | os.O_NONBLOCK)
    with pytest.raises(UnsafePath, match="regular"):
        read(tree, "a/b/pipe")
    os.close(writer)


@pytest.mark.parametrize("read", _READS)
def test_a_folder_is_no_file(tree: Tree, read: Callable[..., object]) -> None:
    with pytest.raises((UnsafePath, MissingInput)):
        read(tree, "a/b")


def test_a_device_is_refused() -> None:
    for path in ("null", "zero"):
        with pytest.raises(UnsafePath, match="regular"):
            Tree(Path("/dev")).read(path)


def test_a_socket_is_refused(tree: Tree) -> None:
    import socket

    where = os.getcwd()
    with socket.socket(socket.AF_UNIX) as one:
        os.chdir(tree.root)
        try:
            one.bind("socket")
        finally:
            os.chdir(where)
        with pytest.raises((UnsafePath, OSError)):
            tree.read("socket")
    assert [entry.kind for entry in tree.entries()] == ["folder", "neither file nor folder"]


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a/../../secret", "", ".", "a//b"])
def test_a_path_that_leaves_the_root_is_refused(tree: Tree, path: str) -> None:
    for read in (tree.open, tree.read, tree.digest, tree.exists, tree.size):
        with pytest.raises(UnsafePath):
            read(path)


def test_what_is_missing_is_said_with_its_path(tree: Tree) -> None:
    for path in ("a/b/none", "none/file", "a/b/file/below"):
        with pytest.raises(MissingInput, match=path):
            tree.read(path)
        assert tree.size(path) is None
        assert not tree.exists(path)
    assert tree.entries("none") == []


def test_more_than_the_limit_is_refused_with_the_name_of_the_setting(tree: Tree) -> None:
    assert tree.read("a/b/file", max_bytes=6) == b"inside"
    with pytest.raises(LimitExceeded, match="max_bytes = 5"):
        tree.read("a/b/file", max_bytes=5)
    with pytest.raises(LimitExceeded, match="max_bytes = 5"):
        list(tree.read_each("a", ["b"], "file", max_bytes=5))


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 1 << 20, (1 << 20) + 65537])
def test_many_files_are_read_as_one_by_one(tree: Tree, size: int) -> None:
    data = os.urandom(size)
    (tree.root / "a/b/big").write_bytes(data)
    assert list(tree.read_each("a", ["b"], "big")) == [("b", data)]
    assert tree.read("a/b/big") == data


def test_changed_bytes_are_a_mismatch(tree: Tree) -> None:
    right = hashlib.sha256(b"inside").hexdigest()
    assert tree.read_checked("a/b/file", right) == b"inside"
    file = RecordedFile(tree.root, "a/b/file", "source", 6, right)
    with file.open() as opened:
        assert (opened.tell(), opened.read()) == (0, b"inside")
    (tree.root / "a/b/file").write_bytes(b"Inside")
    with pytest.raises(DigestMismatch, match=right):
        tree.read_checked("a/b/file", right)
    with pytest.raises(DigestMismatch, match=right):
        file.open()
    with file.open_header() as opened:
        assert opened.read() == b"Inside"
    (tree.root / "a/b/file").write_bytes(b"inside!")
    with pytest.raises(DigestMismatch, match="recorded 6 bytes, found 7"):
        file.open_header()


def test_entries_are_sorted_by_their_bytes(tree: Tree) -> None:
    for name in ("B", "a2", "\u00e9", "Z", "10", "9"):
        (tree.root / "a/b" / name).write_bytes(b"")
    names = [entry.name for entry in tree.entries("a/b")]
    assert names == sorted(names, key=lambda name: name.encode())
    assert list(tree.walk("a")) == [f"a/b/{name}" for name in names]


def test_refused_paths_use_up_no_file_handles(tree: Tree) -> None:
    os.mkfifo(tree.root / "a/b/pipe")
    (tree.root / "link").symlink_to("a")
    file = RecordedFile(tree.root, "a/b/file", "source", 6, "0" * 64)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        for attempt in (
            lambda: tree.read("a/b/pipe"),
            lambda: tree.read("link/b/file"),
            lambda: tree.entries("../up"),
            lambda: tree.read("none/file"),
            lambda: list(tree.read_each("a", ["b"], "none")),
            lambda: list(tree.read_each("../a", ["b"], "none")),
            file.open,
        ):
            with pytest.raises((UnsafePath, MissingInput, DigestMismatch)):
                attempt()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_disk_that_does_not_answer_is_no_proof_that_nothing_is_there(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "stat", fails)
    with pytest.raises(OSError, match="Input/output error: 'a/b/file'"):
        tree.exists("a/b/file")
    monkeypatch.undo()
    monkeypatch.setattr(os, "scandir", fails)
    for ask in (tree.entries, tree.folders, lambda path: list(tree.walk(path))):
        with pytest.raises(OSError, match=r"Input/output error: '\.'"):
            ask("")
