"""Signed notes against the published examples, one flipped bit at a time, and keys in both forms.

Sources: the note of C2SP signed-note (no key is published for it); the keys, note and signatures of
golang.org/x/mod, sumdb/note/note_test.go (commit 02c9913) with the manglings that it tries; the
checkpoint of C2SP tlog-checkpoint.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerkit.errors import UsageError
from ledgerkit.note import (
    MAX_SIGNATURES,
    Note,
    NoteInvalid,
    Signature,
    Signer,
    Verifier,
    check_note,
    new_signer,
    parse_note,
    parse_signer,
    parse_verifier,
    read_signer,
    sign_note,
    write_signer,
)

VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SKEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
OTHER_VKEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
SIGNED = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
OTHER_SIGNED = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
POEM = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
    "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
)
CHECKPOINT = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
PETER, ENOCH = parse_verifier(VKEY), parse_verifier(OTHER_VKEY)


def test_the_note_of_the_specification_is_split_at_its_last_empty_line() -> None:
    note = parse_note(POEM)
    assert note.text.endswith("sole:\n\ned è subito sera.\n")
    (signature,) = note.signatures
    assert signature.name == "quasimodo.example/salvatore"
    assert signature.key_id.hex() == "367ba04b"
    assert len(signature.value) == 64
    assert note.encode() == POEM


def test_the_checkpoint_of_the_specification_is_a_note() -> None:
    note = parse_note(CHECKPOINT.encode())
    assert note.text.count("\n") == 3
    assert note.signatures[0].signer == "example.com/behind-the-sofa+033de0ae"


def test_signing_gives_the_bytes_that_go_gives() -> None:
    signer = parse_signer(SKEY)
    assert sign_note(TEXT, signer).encode() == f"{TEXT}\n{SIGNED}"
    assert signer.text() == SKEY
    assert signer.verifier == PETER
    assert signer.verifier.text() == VKEY
    assert signer.seed.hex() not in repr(signer)


def names(note: Note, *keys: Verifier) -> list[str]:
    return [one.name for one in check_note(note, keys)]


def test_signatures_of_known_keys_are_checked_and_others_passed_over() -> None:
    note = parse_note(f"{TEXT}\n{SIGNED}{OTHER_SIGNED}")
    assert names(note, PETER) == ["PeterNeumann"]
    assert names(note, ENOCH) == ["EnochRoot"]
    assert names(note, ENOCH, PETER) == ["PeterNeumann", "EnochRoot"]
    assert names(note, PETER, PETER) == ["PeterNeumann"]
    with pytest.raises(NoteInvalid, match="known: none"):
        check_note(note, [])


def test_a_bad_signature_of_a_known_key_rejects_the_whole_note() -> None:
    bad = SIGNED.replace("x08go/ZJ", "x08go/ZK")
    both = parse_note(f"{TEXT}\n{bad}{OTHER_SIGNED}")
    assert names(both, ENOCH) == ["EnochRoot"]
    with pytest.raises(NoteInvalid, match=r"PeterNeumann\+c74f20a3 does not hold"):
        check_note(both, [ENOCH, PETER])
    twice = parse_note(f"{TEXT}\n{SIGNED}{bad}")
    with pytest.raises(NoteInvalid, match="does not hold"):
        check_note(twice, [PETER])


@pytest.mark.parametrize(
    "line",
    [SIGNED.replace("PeterNeumann", "CarmenSandiego"), SIGNED.replace("x08g", "xxxx")],
    ids=["name", "id"],
)
def test_a_key_that_shares_only_a_name_or_only_an_id_is_unknown(line: str) -> None:
    with pytest.raises(NoteInvalid, match="no known key signed"):
        check_note(parse_note(f"{TEXT}\n{line}"), [PETER])


@pytest.mark.parametrize("count", [16, MAX_SIGNATURES])
def test_many_signatures_are_taken(count: int) -> None:
    note = parse_note(f"{TEXT}\n{SIGNED}{OTHER_SIGNED * (count - 1)}")
    assert len(note.signatures) == count
    assert names(note, PETER) == ["PeterNeumann"]


def test_too_many_signatures_are_refused_with_their_number() -> None:
    with pytest.raises(NoteInvalid, match=f"{MAX_SIGNATURES + 1} signatures is over the limit"):
        parse_note(f"{TEXT}\n{SIGNED * (MAX_SIGNATURES + 1)}")


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        f"{TEXT}\n".encode(),
        f"{TEXT}\n{SIGNED}".encode()[:-1],
        f"\x01{TEXT}\n{SIGNED}".encode(),
        f"{TEXT}\n{SIGNED}".replace("\n", "\r\n").encode(),
        f"{TEXT}\t\n\n{SIGNED}".encode(),
        b"\xff" + f"{TEXT}\n{SIGNED}".encode(),
        f"{TEXT}\n{SIGNED.replace('PeterNeumann', 'Bad Name')}".encode(),
        f"{TEXT}\n{SIGNED.replace('PeterNeumann', 'Bad+Name')}".encode(),
        f"{TEXT}\n{SIGNED}".replace("PeterNeumann", "Bad\u00a0Name").encode(),
        f"{TEXT}\n{SIGNED.replace('PeterNeumann', '')}".encode(),
        f"{TEXT}\n{SIGNED}Unexpected line.\n".encode(),
        f"{TEXT}\n{SIGNED}\n".encode(),
        f"{TEXT}\n{SIGNED.replace('AM=', 'AN=')}".encode(),
        f"{TEXT}\n{SIGNED.replace('=', '')}".encode(),
        f"{TEXT}\n— PeterNeumann x08gow==\n".encode(),
        f"\n\n{SIGNED}".encode()[1:],
        f"{TEXT}\n{SIGNED.replace('—', '-')}".encode(),
        b"a" * (1 << 20) + f"{TEXT}\n{SIGNED}".encode(),
    ],
    ids=range(19),
)
def test_what_is_no_note_is_refused(data: bytes) -> None:
    with pytest.raises(NoteInvalid):
        parse_note(data)


def test_every_flipped_bit_of_a_signed_note_is_refused() -> None:
    whole = f"{TEXT}\n{SIGNED}".encode()
    check_note(parse_note(whole), [PETER])
    passed = []
    for place in range(len(whole) * 8):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        try:
            check_note(parse_note(bytes(changed)), [PETER])
        except NoteInvalid:
            continue
        passed.append(place)
    assert passed == []


def mangled(key: str) -> list[str]:
    """What TestNewVerifier and TestNewSigner try: every part of the key, every letter one further."""
    length = len(key)
    parts = [key[a:b] for a in range(length + 1) for b in range(a + 1, length + 1)]
    further = [f"{key[:at]}{chr(ord(key[at]) + 1)}{key[at + 1 :]}" for at in range(length)]
    return [one for one in parts if one != key] + further


@pytest.mark.parametrize(("key", "parse"), [(VKEY, parse_verifier), (SKEY, parse_signer)])
def test_every_mangled_key_is_refused(key: str, parse: object) -> None:
    assert callable(parse)
    parse(key)
    parse(key + "\n")
    for one in mangled(key):
        with pytest.raises(NoteInvalid):
            parse(one)


@pytest.mark.parametrize(
    "key",
    [
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        VKEY.replace("c74f20a3", "C74F20A3"),
        f"{VKEY}\n\n",
        SKEY,
    ],
    ids=["long", "algorithm", "upper case", "two lines", "signer"],
)
def test_keys_of_other_kinds_are_refused(key: str) -> None:
    with pytest.raises(NoteInvalid):
        parse_verifier(key)


def test_two_keys_of_one_name_and_id_are_refused() -> None:
    class Alike(Verifier):
        @property
        def key_id(self) -> bytes:
            return PETER.key_id

    with pytest.raises(NoteInvalid, match="two different keys"):
        check_note(parse_note(f"{TEXT}\n{SIGNED}"), [PETER, Alike("PeterNeumann", b"\0" * 32)])


_names = st.text(
    st.characters(exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"], exclude_characters="+"),
    min_size=1,
    max_size=30,
).filter(lambda name: not any(one.isspace() for one in name))
_lines = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60)


@given(_names, st.lists(_lines, min_size=1, max_size=6), st.binary(min_size=32, max_size=32))
def test_whatever_is_signed_is_read_and_holds(name: str, lines: list[str], seed: bytes) -> None:
    signer = Signer(name, seed)
    text = "\n".join(["first", *lines]) + "\n"
    note = parse_note(sign_note(text, signer).encode())
    assert note.text == text
    key = parse_verifier(signer.verifier.text())
    assert names(note, key) == [name]
    assert parse_signer(signer.text()).seed == seed


@pytest.mark.parametrize("text", ["", "no line feed", "a\tb\n", "a\r\n"])
def test_what_no_note_can_hold_is_not_signed(text: str) -> None:
    with pytest.raises(NoteInvalid):
        sign_note(text, parse_signer(SKEY))


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb"])
def test_names_that_no_key_may_have_are_refused(name: str) -> None:
    with pytest.raises(NoteInvalid, match="no key may be called"):
        new_signer(name)


def test_new_keys_differ_and_sign() -> None:
    one, two = new_signer("archive.example/plates"), new_signer("archive.example/plates")
    assert one.seed != two.seed
    note = sign_note(TEXT, one)
    assert names(note, one.verifier) == ["archive.example/plates"]
    with pytest.raises(NoteInvalid, match="no known key signed"):
        check_note(note, [two.verifier])
    forged = Note(TEXT, (Signature(two.name, two.verifier.key_id, note.signatures[0].value),))
    with pytest.raises(NoteInvalid, match="does not hold"):
        check_note(forged, [two.verifier])


def test_a_key_file_is_for_its_owner_alone_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "key"
    before = os.umask(0)
    try:
        write_signer(path, parse_signer(SKEY))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == SKEY + "\n"
    assert read_signer(path).text() == SKEY
    with pytest.raises(UsageError, match="never replaced"):
        write_signer(path, new_signer("other"))
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError):
        write_signer(tmp_path / "link", new_signer("other"))
    assert not (tmp_path / "elsewhere").exists()
    path.chmod(0o640)
    with pytest.raises(UsageError, match="mode is 0640"):
        read_signer(path)
    with pytest.raises(UsageError, match="No such file"):
        read_signer(tmp_path / "none")
