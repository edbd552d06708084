"""Signed notes: text under Ed25519 signatures, and the keys that make and check them.

Sources: the format is C2SP signed-note (https://c2sp.org/signed-note); the written forms of keys,
`name+id+key` and `PRIVATE+KEY+name+id+seed`, are those of the Go module golang.org/x/mod/sumdb/note,
so that a key made here works there and the other way round. Ed25519 is RFC 8032.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ledgerkit.errors import LedgerkitError, UsageError

MAX_SIGNATURES = 100
"""Signatures a note may carry; the specification asks for at least 16."""
MAX_NOTE_BYTES = 1 << 20
ED25519 = b"\1"
"""The byte that stands for Ed25519 in key ids and before keys (signed-note, "Signature types")."""
KEY_BYTES = 32
ID_BYTES = 4
_DASH = "\u2014 "
_PRIVATE = "PRIVATE+KEY+"
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_KEY_ID = re.compile(r"[0-9a-f]{8}", re.ASCII)


class NoteInvalid(LedgerkitError):
    """A note or key that is not in its form, or a signature that does not hold."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: who is said to have signed, and the bytes of the signature."""

    name: str
    key_id: bytes
    value: bytes

    @property
    def signer(self) -> str:
        return f"{self.name}+{self.key_id.hex()}"

    def line(self) -> str:
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.value).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """Text that ends in a line feed, and the signatures under it, none of them checked yet."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> str:
        return self.text + "\n" + "".join(one.line() for one in self.signatures)


@dataclass(frozen=True, slots=True)
class Verifier:
    """What a signature is checked with: a name and an Ed25519 public key of 32 bytes."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """SHA-256(name || 0x0A || 0x01 || public key), its first four bytes."""
        whole = self.name.encode() + b"\n" + ED25519 + self.public
        return hashlib.sha256(whole).digest()[:ID_BYTES]

    def text(self) -> str:
        """`name+id+base64(0x01 || public key)`."""
        key = base64.b64encode(ED25519 + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{key}"

    def holds(self, text: str, signature: bytes) -> bool:
        """Whether `signature` is this key's over `text`."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    """What signs: a name and the Ed25519 seed of 32 bytes. Keep it secret."""

    name: str
    seed: bytes

    def __repr__(self) -> str:
        return f"Signer({self.name!r})"

    @property
    def verifier(self) -> Verifier:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        key = Ed25519PrivateKey.from_private_bytes(self.seed)
        return Verifier(self.name, key.public_key().public_bytes_raw())

    def text(self) -> str:
        """`PRIVATE+KEY+name+id+base64(0x01 || seed)`."""
        key = base64.b64encode(ED25519 + self.seed).decode()
        return f"{_PRIVATE}{self.name}+{self.verifier.key_id.hex()}+{key}"

    def sign(self, text: str) -> Signature:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        value = Ed25519PrivateKey.from_private_bytes(self.seed).sign(text.encode())
        return Signature(self.name, self.verifier.key_id, value)


def new_signer(name: str) -> Signer:
    """A new key from the system's random source. Raises `NoteInvalid` for a name that no key may have."""
    _check_name(name)
    return Signer(name, secrets.token_bytes(KEY_BYTES))


def sign_note(text: str, signer: Signer) -> Note:
    """`text` under one signature. Raises `NoteInvalid` when it cannot be the text of a note."""
    return parse_note(Note(text, (signer.sign(text),)).encode())


def parse_note(data: bytes | str) -> Note:
    """A note as it is written, its signatures unchecked. Raises `NoteInvalid` that says where."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > MAX_NOTE_BYTES:
        raise NoteInvalid(f"a note of {len(raw)} bytes is over the limit of {MAX_NOTE_BYTES}")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteInvalid(f"not a note: its byte {error.start} is no UTF-8") from error
    control = _CONTROL.search(text)
    if control:
        raise NoteInvalid(
            f"not a note: it holds the control character U+{ord(control[0]):04X}",
            "A note has line feeds alone at the ends of its lines: was it sent through a mail program?",
        )
    body, empty_line, lines = text.rpartition("\n\n")
    if not empty_line or not lines.endswith("\n") or not body:
        raise NoteInvalid(
            "not a signed note: expected text, an empty line, and signature lines that each begin "
            "with an em dash"
        )
    listed = lines[:-1].split("\n")
    if len(listed) > MAX_SIGNATURES:
        raise NoteInvalid(
            f"a note with {len(listed)} signatures is over the limit of {MAX_SIGNATURES}",
            "Leave out the signatures of keys that nobody here knows: that changes nothing else.",
        )
    return Note(body + "\n", tuple(_parse_signature(line) for line in listed))


def _parse_signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise NoteInvalid(f"not a signature line: {line[:80]!r}")
    _check_name(name)
    value = decode_base64(encoded, f"the signature of {name}")
    if len(value) <= ID_BYTES:
        raise NoteInvalid(f"the signature of {name} is too short to be one")
    return Signature(name, value[:ID_BYTES], value[ID_BYTES:])


def check_note(note: Note, keys: Iterable[Verifier]) -> list[Signature]:
    """The signatures that hold under `keys`; those of other keys are passed over.

    Raises `NoteInvalid` when no known key signed, or when a signature of a known key does not hold.
    """
    known: dict[tuple[str, bytes], Verifier] = {}
    for key in keys:
        if known.setdefault((key.name, key.key_id), key) != key:
            raise NoteInvalid(f"two different keys are called {key.name}+{key.key_id.hex()}")
    good = []
    for signature in note.signatures:
        verifier = known.get((signature.name, signature.key_id))
        if verifier is None:
            continue
        if not verifier.holds(note.text, signature.value):
            raise NoteInvalid(
                f"the signature of {signature.signer} does not hold: the text was changed, or "
                "somebody without the key wrote it"
            )
        good.append(signature)
    if not good:
        signed = ", ".join(one.signer for one in note.signatures)
        wanted = ", ".join(f"{name}+{key.hex()}" for name, key in known) or "none"
        raise NoteInvalid(
            f"no known key signed this note: it is signed by {signed}, known: {wanted}"
        )
    return good


def parse_verifier(text: str) -> Verifier:
    """A verifier key `name+id+base64(0x01 || public key)`. Raises `NoteInvalid`."""
    name, key_id, key = _parse_key(text.removesuffix("\n"), "verifier key")
    verifier = Verifier(name, key)
    if verifier.key_id.hex() != key_id:
        raise NoteInvalid(
            f"the verifier key of {name} says id {key_id}, but its id is {verifier.key_id.hex()}"
        )
    return verifier


def parse_signer(text: str) -> Signer:
    """A signer key `PRIVATE+KEY+name+id+base64(0x01 || seed)`. Raises `NoteInvalid`; never prints it."""
    line = text.removesuffix("\n")
    if not line.startswith(_PRIVATE):
        raise NoteInvalid(
            f"not a signer key: it must begin with {_PRIVATE}",
            "Make one with: ledgerkit log keygen NAME -o FILE",
        )
    name, key_id, seed = _parse_key(line.removeprefix(_PRIVATE), "signer key")
    signer = Signer(name, seed)
    if signer.verifier.key_id.hex() != key_id:
        raise NoteInvalid(f"the signer key of {name} says id {key_id}, but its id is another")
    return signer


def _parse_key(text: str, what: str) -> tuple[str, str, bytes]:
    """Name, id and the 32 bytes of a key."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    if not _KEY_ID.fullmatch(key_id):
        raise NoteInvalid(f"not a {what}: expected name, id of 8 hex digits and key, joined by +")
    _check_name(name)
    key = decode_base64(encoded, f"the {what} of {name}")
    if key[:1] != ED25519:
        raise NoteInvalid(f"the {what} of {name} is not for Ed25519, the one algorithm known here")
    if len(key) != 1 + KEY_BYTES:
        raise NoteInvalid(f"the {what} of {name} has {len(key) - 1} bytes, expected {KEY_BYTES}")
    return name, key_id, key[1:]


def _check_name(name: str) -> None:
    if not name or "+" in name or any(one.isspace() or ord(one) < 32 for one in name):
        raise NoteInvalid(
            f"no key may be called {name[:80]!r}: a name is not empty and has no space and no plus",
            "Use something like archive.example/plates.",
        )


def decode_base64(text: str, what: str) -> bytes:
    """Standard base64 in its one canonical spelling. Raises `NoteInvalid` that names `what`."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteInvalid(f"{what} is no base64") from error
    if base64.b64encode(data).decode() != text:
        raise NoteInvalid(f"{what} is no canonical base64")
    return data


def write_signer(path: Path, signer: Signer) -> None:
    """Keep a signer key in a new file that only its owner can read. Raises `UsageError`."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{path} exists: a key is never replaced", "Name another file.") from error
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(f"{signer.text()}\n".encode())
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def read_signer(path: Path) -> Signer:
    """The signer key in a file that nobody but its owner may read. Raises `UsageError`, `NoteInvalid`."""
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(1 << 12)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if mode & 0o077:
        raise UsageError(
            f"others can read the signer key {path}: its mode is {mode:04o}",
            f"Close it with: chmod 600 {path}; if others may have read it, make a new one.",
        )
    return parse_signer(data.decode("utf-8", "replace"))
