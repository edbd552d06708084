"""The Merkle tree against published vectors, and against itself: every proof holds, no other does.

Sources: the eight leaves, their roots and the proofs with which Certificate Transparency logs have
been tested since its first code base; they stand in transparency-dev/merkle, proof/verify_test.go
(commit 02194e9) and as files in its testdata/. The trees drawn in RFC 6962, section 2.1.3 (the same
as RFC 9162, section 2.1.5), by their names of nodes. tlog-tiles for the sizes and paths of tiles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerkit import merkle
from ledgerkit.merkle import (
    Edge,
    Node,
    ProofInvalid,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
)

LEAVES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    bytes.fromhex(text)
    for text in (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
"""`ROOTS[n - 1]` is the root over the first n leaves."""
INCLUSIONS: dict[tuple[int, int], list[str]] = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
"""By index and size; the indexes of the source count from one, these from zero."""
CONSISTENCIES: dict[tuple[int, int], list[str]] = {
    (1, 1): [],
    (1, 8): INCLUSIONS[0, 8],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): INCLUSIONS[1, 5][1:],
    (6, 7): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}
OTHER = bytes.fromhex("abacaba000000000000000000000000000000000000000000060061e00123456")
"""A hash that belongs to none of the trees; the source uses it for the same."""


def hashes(texts: Sequence[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


def leaves_of(count: int) -> list[bytes]:
    """Leaf hashes of a made-up log: entry n is its number in decimal."""
    return [leaf_hash(str(number).encode()) for number in range(count)]


def node_of(leaves: Sequence[bytes]) -> Node:
    """`node` over leaf hashes that are all at hand."""

    def node(level: int, index: int) -> bytes:
        found = leaves[index << level : (index + 1) << level]
        assert len(found) == 1 << level, "asked for a subtree that is not complete"
        return merkle.complete_root(found)

    return node


LOG = node_of([leaf_hash(leaf) for leaf in LEAVES])


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert hashlib.sha256(b"").digest() == merkle.EMPTY_ROOT == Edge().root()


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_the_reference(size: int) -> None:
    leaves = [leaf_hash(leaf) for leaf in LEAVES[:size]]
    assert merkle.root_of(leaves) == ROOTS[size - 1]
    assert merkle.root_hash(size, LOG) == ROOTS[size - 1]


@pytest.mark.parametrize("case", INCLUSIONS, ids=str)
def test_inclusion_proofs_are_those_of_the_reference(case: tuple[int, int]) -> None:
    index, size = case
    proof = hashes(INCLUSIONS[case])
    assert inclusion_proof(index, size, LOG) == proof
    check_inclusion(index, size, leaf_hash(LEAVES[index]), proof, ROOTS[size - 1])


@pytest.mark.parametrize("case", CONSISTENCIES, ids=str)
def test_consistency_proofs_are_those_of_the_reference(case: tuple[int, int]) -> None:
    old, new = case
    proof = hashes(CONSISTENCIES[case])
    assert consistency_proof(old, new, LOG) == proof
    check_consistency(old, new, proof, ROOTS[old - 1], ROOTS[new - 1])


def wrong_inclusions(case: tuple[int, int]) -> list[tuple[str, tuple[object, ...]]]:
    """What the source makes of a good inclusion proof (corruptInclusionProof), each with its name."""
    index, size = case
    leaf, root, proof = leaf_hash(LEAVES[index]), ROOTS[size - 1], hashes(INCLUSIONS[case])
    found = [
        ("index - 1", (index - 1, size, leaf, proof, root)),
        ("index + 1", (index + 1, size, leaf, proof, root)),
        ("index ^ 2", (index ^ 2, size, leaf, proof, root)),
        ("size * 2", (index, size * 2, leaf, proof, root)),
        ("size / 2", (index, size // 2, leaf, proof, root)),
        ("wrong leaf", (index, size, b"WrongLeaf", proof, root)),
        ("empty root", (index, size, leaf, proof, merkle.EMPTY_ROOT)),
        ("random root", (index, size, leaf, proof, OTHER)),
        ("trailing garbage", (index, size, leaf, [*proof, b""], root)),
        ("trailing root", (index, size, leaf, [*proof, root], root)),
        ("preceding garbage", (index, size, leaf, [b"", *proof], root)),
        ("preceding root", (index, size, leaf, [root, *proof], root)),
    ]
    for place in range(len(proof)):
        changed = [flipped(one, 3) if place == at else one for at, one in enumerate(proof)]
        found.append((f"modified proof[{place}] bit 3", (index, size, leaf, changed, root)))
    if proof:
        found.append(("removed component", (index, size, leaf, proof[:-1], root)))
    if len(proof) > 1:
        more = [proof[0], OTHER, *proof[1:]]
        found.append(("inserted component", (index, size, leaf, more, root)))
    return found


def wrong_consistencies(case: tuple[int, int]) -> list[tuple[str, tuple[object, ...]]]:
    """The same for a consistency proof (corruptConsistencyProof)."""
    old, new = case
    first, second, proof = ROOTS[old - 1], ROOTS[new - 1], hashes(CONSISTENCIES[case])
    found = [
        ("size1 - 1", (old - 1, new, proof, first, second)),
        ("size1 + 1", (old + 1, new, proof, first, second)),
        ("size1 ^ 2", (old ^ 2, new, proof, first, second)),
        ("size2 * 2", (old, new * 2, proof, first, second)),
        ("size2 / 2", (old, new // 2, proof, first, second)),
        ("wrong root1", (old, new, proof, b"WrongRoot", second)),
        ("wrong root2", (old, new, proof, first, b"WrongRoot")),
        ("swapped roots", (old, new, proof, second, first)),
        ("empty proof", (old, new, [], first, second)),
        ("truncated proof", (old, new, proof[:-1], first, second)),
    ]
    for name, extra in (("garbage", b""), ("root1", first), ("root2", second)):
        found.append((f"trailing {name}", (old, new, [*proof, extra], first, second)))
        found.append((f"preceding {name}", (old, new, [extra, *proof], first, second)))
    found.append(("preceding proof[0]", (old, new, [proof[0], *proof], first, second)))
    for place in range(len(proof)):
        changed = [flipped(one, 4) if place == at else one for at, one in enumerate(proof)]
        found.append((f"modified proof[{place}] bit 4", (old, new, changed, first, second)))
    return found


def refused(check: Callable[..., None], arguments: Sequence[object]) -> bool:
    try:
        check(*arguments)
    except ProofInvalid:
        return True
    return False


@pytest.mark.parametrize("case", INCLUSIONS, ids=str)
def test_every_spoilt_inclusion_proof_of_the_reference_is_refused(case: tuple[int, int]) -> None:
    found = wrong_inclusions(case)
    passed = [name for name, arguments in found if not refused(check_inclusion, arguments)]
    assert passed == []


@pytest.mark.parametrize("case", [case for case in CONSISTENCIES if case != (1, 1)], ids=str)
def test_every_spoilt_consistency_proof_of_the_reference_is_refused(case: tuple[int, int]) -> None:
    found = wrong_consistencies(case)
    passed = [name for name, arguments in found if not refused(check_consistency, arguments)]
    assert passed == []


@pytest.mark.parametrize(
    ("old", "new", "first", "second", "proof", "holds"),
    [
        (0, 0, ROOTS[0], ROOTS[1], [], False),
        (1, 1, ROOTS[0], ROOTS[1], [], False),
        (0, 0, merkle.EMPTY_ROOT, merkle.EMPTY_ROOT, [], True),
        (0, 1, merkle.EMPTY_ROOT, ROOTS[0], [], True),
        (1, 1, ROOTS[1], ROOTS[1], [], True),
        (1, 0, ROOTS[0], ROOTS[1], [], False),
        (2, 1, ROOTS[0], ROOTS[1], [], False),
        (1, 2, ROOTS[0], ROOTS[1], [], False),
        (0, 0, merkle.EMPTY_ROOT, ROOTS[1], [], False),
        (0, 1, ROOTS[0], ROOTS[1], [], False),
        (1, 1, merkle.EMPTY_ROOT, ROOTS[1], [], False),
        (0, 0, merkle.EMPTY_ROOT, merkle.EMPTY_ROOT, [merkle.EMPTY_ROOT], False),
        (0, 1, merkle.EMPTY_ROOT, ROOTS[0], [merkle.EMPTY_ROOT], False),
        (1, 1, merkle.EMPTY_ROOT, merkle.EMPTY_ROOT, [merkle.EMPTY_ROOT], False),
    ],
    ids=range(14),
)
def test_consistency_at_the_ends(
    old: int, new: int, first: bytes, second: bytes, proof: list[bytes], holds: bool
) -> None:
    """TestVerifyConsistency of the source; but a tree of 0 has the one root that RFC 6962 gives it."""
    assert refused(check_consistency, (old, new, proof, first, second)) is not holds


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 0), (2, 1), (-1, 1)])
def test_nothing_is_in_a_tree_that_is_too_small(index: int, size: int) -> None:
    assert refused(check_inclusion, (index, size, OTHER, [], merkle.EMPTY_ROOT))
    assert refused(check_inclusion, (index, size, OTHER, [], OTHER))
    with pytest.raises(ProofInvalid, match=f"entry {index} is not in a tree of {size}"):
        inclusion_proof(index, size, LOG)


@pytest.mark.parametrize(
    ("leaf", "root"), [(OTHER, b""), (b"", OTHER), (b"", b"")], ids=["root", "leaf", "both"]
)
def test_hashes_of_a_wrong_length_are_refused(leaf: bytes, root: bytes) -> None:
    """TestVerifyInclusionSingleEntry of the source."""
    check_inclusion(0, 1, OTHER, [], OTHER)
    assert refused(check_inclusion, (0, 1, leaf, [], root))


def test_the_trees_drawn_in_the_rfc() -> None:
    """RFC 6962, section 2.1.3: the seven leaves d0 to d6, and the proofs that it lists."""
    a, b, c, d, e, f, j = leaves_of(7)
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k, second = node_hash(g, h), node_hash(i, j)
    log = node_of([a, b, c, d, e, f, j])
    assert merkle.root_hash(7, log) == node_hash(k, second)
    assert inclusion_proof(0, 7, log) == [b, h, second]
    assert inclusion_proof(3, 7, log) == [c, g, second]
    assert inclusion_proof(4, 7, log) == [f, j, k]
    assert inclusion_proof(6, 7, log) == [i, k]
    assert consistency_proof(3, 7, log) == [c, d, g, second]
    assert consistency_proof(4, 7, log) == [second]
    assert consistency_proof(6, 7, log) == [i, j, k]


def flipped(data: bytes, bit: int) -> bytes:
    """`data` with one bit changed; any number stands for a bit of it."""
    place = bit % (len(data) * 8)
    return bytes(one ^ (1 << place % 8 if at == place // 8 else 0) for at, one in enumerate(data))


ALL = leaves_of(700)
NODES = node_of(ALL)
sizes = st.integers(1, len(ALL))
bits = st.integers(0, 255)


@given(st.data())
def test_every_entry_proves_and_nothing_beside_it_does(data: st.DataObject) -> None:
    size = data.draw(sizes)
    index = data.draw(st.integers(0, size - 1))
    bit = data.draw(bits)
    leaf, root = ALL[index], merkle.root_hash(size, NODES)
    proof = inclusion_proof(index, size, NODES)
    check_inclusion(index, size, leaf, proof, root)
    assert refused(check_inclusion, (index, size, flipped(leaf, bit), proof, root))
    assert refused(check_inclusion, (index, size, leaf, proof, flipped(root, bit)))
    assert refused(check_inclusion, (index, size, leaf, [*proof, OTHER], root))
    for place in range(len(proof)):
        changed = [*proof[:place], flipped(proof[place], bit), *proof[place + 1 :]]
        assert refused(check_inclusion, (index, size, leaf, changed, root))
        assert refused(check_inclusion, (index, size, leaf, proof[:place], root))
    for one in range(size.bit_length() + 1):
        assert refused(check_inclusion, (index ^ 1 << one, size, leaf, proof, root))


def test_an_inclusion_proof_alone_does_not_settle_the_size() -> None:
    """Why a checkpoint states size and root together, and a signature covers both.

    The third leaf of three lies where a subtree of two would: the same hashes lead to the same root.
    """
    leaves = ALL[:3]
    proof, root = inclusion_proof(0, 3, node_of(leaves)), merkle.root_of(leaves)
    check_inclusion(0, 3, leaves[0], proof, root)
    check_inclusion(0, 4, leaves[0], proof, root)
    assert refused(check_inclusion, (0, 5, leaves[0], proof, root))
    assert refused(check_inclusion, (0, 2, leaves[0], proof, root))


@given(st.data())
def test_every_prefix_proves_and_nothing_beside_it_does(data: st.DataObject) -> None:
    new = data.draw(sizes)
    old = data.draw(st.integers(0, new))
    bit = data.draw(bits)
    first, second = merkle.root_hash(old, NODES), merkle.root_hash(new, NODES)
    proof = consistency_proof(old, new, NODES)
    check_consistency(old, new, proof, first, second)
    assert refused(check_consistency, (old, new, proof, flipped(first, bit), second))
    assert refused(check_consistency, (old, new, [*proof, OTHER], first, second))
    if old:
        assert refused(check_consistency, (old, new, proof, first, flipped(second, bit)))
    for place in range(len(proof)):
        changed = [*proof[:place], flipped(proof[place], bit), *proof[place + 1 :]]
        assert refused(check_consistency, (old, new, changed, first, second))
        assert refused(check_consistency, (old, new, proof[:place], first, second))


@given(st.integers(1, 600), st.data())
def test_a_log_with_one_entry_changed_is_no_continuation(old: int, data: st.DataObject) -> None:
    """A keeper who changes entry n cannot prove any checkpoint that was given out after n."""
    changed_at = data.draw(st.integers(0, old - 1))
    other = node_of([*ALL[:changed_at], OTHER, *ALL[changed_at + 1 :]])
    new = data.draw(st.integers(old, len(ALL)))
    proof = consistency_proof(old, new, other)
    first, second = merkle.root_hash(old, NODES), merkle.root_hash(new, other)
    assert refused(check_consistency, (old, new, proof, first, second))


@given(st.lists(st.integers(0, 300), min_size=1, max_size=6))
def test_appending_in_batches_gives_the_tree_of_the_whole(batches: list[int]) -> None:
    edge, tiles, size = Edge(), {}, 0
    every = leaves_of(sum(batches))
    for count in batches:
        for tile in edge.append(every[size : size + count]):
            tiles[tile.path] = tile.hashes
        size += count
        assert edge.root() == merkle.root_hash(size, node_of(every))
        for level, number, width in merkle.edge_tiles(size):
            assert len(tiles[merkle.tile_path(str(level), number, width)]) == width
    for path, found in tiles.items():
        level, _, rest = path.removeprefix("tile/").partition("/")
        number = int(rest.partition(".p/")[0].replace("/", "").replace("x", ""))
        span = 256 ** int(level)
        for at, value in enumerate(found):
            start = (number * 256 + at) * span
            assert value == merkle.complete_root(every[start : start + span])


def test_a_tree_of_70000_has_the_tiles_that_the_specification_counts() -> None:
    """tlog-tiles, "Partial Tiles": 273 full and one of 112, one full and one of 17, one of 1."""
    tiles = Edge().append([OTHER] * 70_000)
    widths = [(tile.level, len(tile.hashes)) for tile in tiles]
    assert widths.count((0, 256)) == 273
    assert widths.count((1, 256)) == 1
    assert [one for one in widths if one[1] != 256] == [(0, 112), (1, 17), (2, 1)]
    assert merkle.edge_tiles(70_000) == [(0, 273, 112), (1, 1, 17), (2, 0, 1)]
    assert merkle.edge_tiles(256) == [(1, 0, 1)]


@pytest.mark.parametrize(
    ("level", "index", "width", "path"),
    [
        ("0", 0, 256, "tile/0/000"),
        ("0", 273, 112, "tile/0/273.p/112"),
        ("3", 1_234_067, 256, "tile/3/x001/x234/067"),
        ("entries", 1_000, 1, "tile/entries/x001/000.p/1"),
    ],
)
def test_tiles_lie_where_the_specification_says(
    level: str, index: int, width: int, path: str
) -> None:
    assert merkle.tile_path(level, index, width) == path


@given(st.lists(st.binary(max_size=300), max_size=40))
def test_entries_come_back_from_their_bundle(entries: list[bytes]) -> None:
    bundle = merkle.pack_entries(entries)
    assert merkle.unpack_entries(bundle) == entries
    if bundle:
        with pytest.raises(ProofInvalid):
            merkle.unpack_entries(bundle[:-1] if entries[-1] else bundle + b"\0")


def test_an_entry_too_long_for_its_length_field_is_refused() -> None:
    assert merkle.unpack_entries(merkle.pack_entries([b"x" * 65_535])) == [b"x" * 65_535]
    with pytest.raises(ProofInvalid, match="65536 bytes"):
        merkle.pack_entries([b"x" * 65_536])


GOOD = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
"""The example of tlog-checkpoint."""


def test_a_checkpoint_is_read_as_the_specification_writes_it() -> None:
    found = merkle.parse_checkpoint(GOOD)
    assert (found.origin, found.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert found.text() == GOOD


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD.rstrip("\n"),
        GOOD.replace("20852163", "020852163"),
        GOOD.replace("20852163", "-1"),
        GOOD.replace("20852163", "٣"),
        GOOD.replace("20852163", "2e3"),
        GOOD.replace("=", ""),
        GOOD.replace("q2I=", "q2J="),
        GOOD.replace("Cs", "C "),
        GOOD.replace("example.com/behind-the-sofa", ""),
        "\n" + GOOD,
        "a\n1\nAAAA\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(ProofInvalid, match="not a checkpoint"):
        merkle.parse_checkpoint(text)
