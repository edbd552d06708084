"""Proof files offline: they come back as written, prove what they claim, and every flipped bit shows.

Source of the form: C2SP tlog-proof, tlog-witness (the body of add-checkpoint), tlog-checkpoint.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerkit import merkle
from ledgerkit.errors import LedgerkitError, UsageError
from ledgerkit.log import Entry
from ledgerkit.merkle import Checkpoint, Node, ProofInvalid
from ledgerkit.note import NoteInvalid, Signer, sign_note
from ledgerkit.proof import (
    Consistency,
    Head,
    Held,
    Proof,
    parse_consistency,
    parse_head,
    parse_proof,
    verify_consistency,
    verify_head,
    verify_inclusion,
)

ORIGIN = "ledgerkit/00000000-0000-4000-8000-000000000000"
SIGNER = Signer("archive.example/plates", b"\7" * 32)
OTHER = Signer("archive.example/plates", b"\x08" * 32)
COUNT = 300


def record(number: int) -> bytes:
    """The bytes of a made-up manifest."""
    return f'{{"plate_number":{number}}}'.encode()


def entry(number: int) -> bytes:
    path = f"plates_structured/plate-{number:03d}/manifest.json"
    return Entry("manifest", path, hashlib.sha256(record(number)).hexdigest()).encode()


ENTRIES = [entry(number) for number in range(COUNT)]
LEAVES = [merkle.leaf_hash(one) for one in ENTRIES]


def node_of(leaves: Sequence[bytes]) -> Node:
    return lambda level, index: merkle.complete_root(leaves[index << level : (index + 1) << level])


NODE = node_of(LEAVES)


def head(size: int, signer: Signer | None = None, origin: str = ORIGIN) -> Head:
    text = Checkpoint(origin, size, merkle.root_of(LEAVES[:size])).text()
    return parse_head(sign_note(text, signer).encode() if signer else text)


def proof(index: int, size: int, signer: Signer | None = None) -> Proof:
    hashes = merkle.inclusion_proof(index, size, NODE)
    return Proof(index, tuple(hashes), ENTRIES[index], head(size, signer))


def growth(old: int, new: int, signer: Signer | None = None) -> Consistency:
    return Consistency(old, tuple(merkle.consistency_proof(old, new, NODE)), head(new, signer))


def test_a_proof_is_written_as_the_specification_says() -> None:
    text = proof(2, 3).encode().decode()
    sibling = base64.b64encode(merkle.node_hash(LEAVES[0], LEAVES[1])).decode()
    extra = base64.b64encode(ENTRIES[2]).decode()
    assert text == (
        f"c2sp.org/tlog-proof@v1\nextra {extra}\nindex 2\n{sibling}\n\n{head(3).checkpoint.text()}"
    )


def test_a_proof_of_consistency_is_what_a_witness_is_sent() -> None:
    lines = growth(3, 5, SIGNER).encode().decode().split("\n")
    assert lines[0] == "old 3"
    assert [base64.b64decode(line) for line in lines[1:5]] == list(growth(3, 5).hashes)
    assert lines[5:9] == ["", ORIGIN, "5", head(5).text.split("\n")[2]]
    assert lines[9:11] == ["", f"— {SIGNER.name} {lines[10].split()[-1]}"]


sizes = st.integers(1, COUNT)


@given(sizes, st.data(), st.sampled_from([None, SIGNER]))
def test_whatever_is_written_is_read_and_holds(
    size: int, data: st.DataObject, signer: Signer | None
) -> None:
    made = proof(data.draw(st.integers(0, size - 1)), size, signer)
    assert parse_proof(made.encode()) == made
    held = Held((SIGNER.verifier,) if signer else (), head(size))
    assert verify_inclusion(made, held, [record(made.index)]).trusted
    grown = growth(data.draw(st.integers(0, size)), size, signer)
    assert parse_consistency(grown.encode()) == grown
    if grown.old:
        assert verify_consistency(grown, Held(held.keys, head(grown.old))).trusted


def test_a_signed_proof_says_what_it_proves_and_what_not() -> None:
    view = verify_inclusion(proof(7, 20, SIGNER), Held((SIGNER.verifier,)), [record(7)])
    assert view.trusted
    assert view.signed_by == [f"{SIGNER.name}+{SIGNER.verifier.key_id.hex()}"]
    assert (view.kind, view.origin, view.size, view.entries) == ("inclusion", ORIGIN, 20, 1)
    assert "plates_structured/plate-007/manifest.json" in view.proved[0]
    assert "the record given is" in view.proved[1]
    assert "signed by" in view.proved[2]
    assert len(view.not_proved) == 1


@pytest.mark.parametrize("signer", [None, SIGNER])
def test_a_proof_that_nothing_held_vouches_for_says_so(signer: Signer | None) -> None:
    view = verify_inclusion(proof(7, 20, signer), Held())
    assert not view.trusted
    assert view.signed_by == []
    assert "anybody can make a log that agrees with itself" in view.not_proved[0]
    assert ("not checked" if signer else "unsigned") in view.not_proved[0]
    assert "--record" in view.not_proved[1]


def test_a_record_that_is_not_the_proved_one_is_refused() -> None:
    with pytest.raises(ProofInvalid, match="the record given has SHA-256"):
        verify_inclusion(proof(7, 20), Held(), [record(8)])


def test_a_key_is_never_satisfied_by_another_key_or_by_none() -> None:
    with pytest.raises(NoteInvalid, match="not signed"):
        verify_inclusion(proof(7, 20), Held((SIGNER.verifier,)))
    with pytest.raises(NoteInvalid, match="no known key"):
        verify_inclusion(proof(7, 20, OTHER), Held((SIGNER.verifier,)))


def flips(data: bytes) -> list[bytes]:
    found = []
    for place in range(len(data) * 8):
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        found.append(bytes(changed))
    return found


def passing(data: list[bytes], verify: object) -> list[bytes]:
    assert callable(verify)
    found = []
    for one in data:
        try:
            verify(one)
        except LedgerkitError:
            continue
        found.append(one)
    return found


def test_every_flipped_bit_of_a_signed_proof_is_refused() -> None:
    held = Held((SIGNER.verifier,))

    def verify(data: bytes) -> None:
        verify_inclusion(parse_proof(data), held)

    whole = proof(5, 13, SIGNER).encode()
    verify(whole)
    assert passing(flips(whole), verify) == []


def test_every_flipped_bit_of_an_unsigned_proof_is_refused_by_a_held_checkpoint() -> None:
    held = Held((), head(13))

    def verify(data: bytes) -> None:
        verify_inclusion(parse_proof(data), held)

    whole = proof(5, 13).encode()
    verify(whole)
    assert passing(flips(whole), verify) == []


def test_every_flipped_bit_of_a_proof_of_consistency_is_refused() -> None:
    held = Held((SIGNER.verifier,), head(6))

    def verify(data: bytes) -> None:
        verify_consistency(parse_consistency(data), held)

    whole = growth(6, 13, SIGNER).encode()
    verify(whole)
    assert passing(flips(whole), verify) == []


def test_a_proof_against_an_older_or_newer_checkpoint_needs_how_the_log_grew() -> None:
    made = proof(5, 20)
    for mine in (13, 29):
        old, new = sorted((20, mine))
        with pytest.raises(ProofInvalid, match="needs a proof of consistency"):
            verify_inclusion(made, Held((), head(mine)))
        view = verify_inclusion(made, Held((), head(mine), growth(old, new)))
        assert view.trusted
        assert f"of {mine} entries" in view.proved[1]
    with pytest.raises(ProofInvalid, match="leads to another checkpoint"):
        verify_inclusion(made, Held((), head(13), growth(13, 21)))
    with pytest.raises(ProofInvalid, match="begins at 12"):
        verify_inclusion(made, Held((), head(13), growth(12, 20)))


def test_a_rewritten_log_is_no_continuation_of_the_checkpoint_held() -> None:
    """The keeper changed entry 3, remade everything after it, and proves from the new log."""
    rewritten = [*LEAVES[:3], merkle.leaf_hash(b"other"), *LEAVES[4:20]]
    root = merkle.root_of(rewritten)
    forged = parse_head(Checkpoint(ORIGIN, 20, root).text())
    hashes = tuple(merkle.inclusion_proof(5, 20, node_of(rewritten)))
    made = Proof(5, hashes, ENTRIES[5], forged)
    assert not verify_inclusion(made, Held()).trusted
    with pytest.raises(ProofInvalid, match="two logs of 20 entries with different roots"):
        verify_inclusion(made, Held((), head(20)))
    grown = Consistency(13, tuple(merkle.consistency_proof(13, 20, node_of(rewritten))), forged)
    with pytest.raises(ProofInvalid, match="leads to other roots"):
        verify_inclusion(made, Held((), head(13), grown))
    with pytest.raises(ProofInvalid, match="leads to other roots"):
        verify_consistency(grown, Held((), head(13)))


def test_checkpoints_of_two_logs_never_agree() -> None:
    other = head(13, origin="ledgerkit/another")
    with pytest.raises(ProofInvalid, match="of another log"):
        verify_inclusion(proof(5, 13), Held((), other))
    with pytest.raises(ProofInvalid, match="two logs"):
        verify_consistency(growth(13, 20), Held((), other))


def test_a_proof_of_consistency_needs_the_old_checkpoint() -> None:
    with pytest.raises(UsageError, match="without the old checkpoint"):
        verify_consistency(growth(13, 20), Held((SIGNER.verifier,)))
    view = verify_consistency(growth(13, 20), Held((), head(13)))
    assert "all 13 entries" in view.proved[0]
    assert "7 more" in view.proved[0]
    assert view.trusted


def test_a_checkpoint_alone_is_compared_with_what_is_held() -> None:
    with pytest.raises(UsageError, match="proves nothing by itself"):
        verify_head(head(13, SIGNER), Held())
    assert verify_head(head(13, SIGNER), Held((SIGNER.verifier,))).signed_by
    assert verify_head(head(13), Held((), head(13, SIGNER))).trusted
    with pytest.raises(ProofInvalid):
        verify_head(head(13), Held((), head(14)))


GOOD = proof(5, 13).encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "expected lines"),
        (b"\xff" + GOOD, "no UTF-8"),
        (GOOD.replace(b"@v1", b"@v2"), "first line"),
        (b"\n".join(GOOD.split(b"\n")[:1] + GOOD.split(b"\n")[2:]), "carries no entry"),
        (GOOD.replace(b"index 5", b"index 05"), "no number"),
        (GOOD.replace(b"index 5", b"index -5"), "no number"),
        (GOOD.replace(b"index 5", b"index x"), "no number"),
        (GOOD.replace(b"index 5\n", b""), "third line"),
        (GOOD.replace(b"\n\n", b"\n!!notbase64!!\n\n"), "no base64"),
        (GOOD.replace(b"\n\n", b"\n" + base64.b64encode(bytes(64)) + b"\n\n"), "32 bytes"),
        (GOOD.replace(b"\n\n", b"\n" + b"\n".join([base64.b64encode(bytes(32))] * 64) + b"\n\n"), "longer"),
        (GOOD.replace(b"\n\n", b"\n"), "expected lines"),
        (GOOD + b"extension\n", "other lines"),
        (GOOD + b"\n", "not a signed note"),
        (GOOD.replace(ORIGIN.encode(), b"a\x1b[2J"), "not printable"),
        (GOOD + b" " * (2 << 20), "over the limit"),
    ],
    ids=range(16),
)  # fmt: skip
def test_what_is_no_proof_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(LedgerkitError, match=reason):
        verify_inclusion(parse_proof(data), Held())


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b'{"kind":"run","path":"/etc/passwd","sha256":"00"}',
        ENTRIES[0].replace(b'"kind"', b' "kind"'),
        ENTRIES[0].replace(b"}", b',"more":1}'),
        ENTRIES[0].replace(b"plate-000", b"plate-\\u001b00"),
        ENTRIES[0].replace(ENTRIES[0][-66:-2], b"00"),
        ENTRIES[0].replace(b"kind", b"\xabind"),
    ],
    ids=range(7),
)
def test_a_proved_leaf_that_is_no_entry_of_ours_is_refused(data: bytes) -> None:
    made = Proof(0, (), data, parse_head(Checkpoint("x", 1, merkle.leaf_hash(data)).text()))
    with pytest.raises(ProofInvalid, match="entry"):
        verify_inclusion(parse_proof(made.encode()), Held())


def test_extension_lines_of_a_signed_checkpoint_are_refused() -> None:
    text = head(5).text + "more\n"
    with pytest.raises(ProofInvalid, match="other lines"):
        parse_head(sign_note(text, SIGNER).encode())
