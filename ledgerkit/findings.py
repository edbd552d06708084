"""What ingest, audit and verification can find: a stable code, a severity, a sentence, a remedy.

Errors mean that something is lost, wrong or cannot be used; warnings that somebody should look;
infos are true and harmless. Codes are never renamed.
"""

from __future__ import annotations

from dataclasses import dataclass

ERROR, WARNING, INFO = "error", "warning", "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a check found."""

    code: str
    severity: str
    subject: str
    message: str
    remedy: str


CODES: dict[str, tuple[str, str, str]] = {
    "ENTRY_INVALID": (
        ERROR,
        "The catalogue entry lacks a field or has a wrong one: {detail}.",
        "Correct the entry in the catalogue.",
    ),
    "ENTRY_CHANGED": (
        WARNING,
        "The catalogue now says something else of this plate: {detail}.",
        "The manifest stays as it was sealed; record a correction as a run of its own.",
    ),
    "SOURCE_MISSING": (
        ERROR,
        "The entry names {detail}, which is not among the images.",
        "Add the file, or leave the entry out with --partial.",
    ),
    "SOURCE_UNREADABLE": (
        ERROR,
        "The image cannot be read: {detail}.",
        "Scan or fetch it again, or leave it out with --partial.",
    ),
    "SOURCE_NAME_UNSAFE": (
        ERROR,
        "The file name {detail}.",
        "Rename the file and its entry to a name that every file system takes.",
    ),
    "PLATE_NUMBER_DUPLICATE": (
        ERROR,
        "The plate number is used {detail} times.",
        "Give each plate a number of its own in the catalogue.",
    ),
    "NAME_COLLISION": (
        ERROR,
        "These names are one on some file systems: {detail}.",
        "Rename all but one of them.",
    ),
    "FILE_WITHOUT_ENTRY": (
        WARNING,
        "No catalogue entry names this file.",
        "Add an entry, or take the file out of the folder.",
    ),
    "PLATE_NUMBER_GAP": (
        WARNING,
        "No entry has the number {detail}.",
        "Check whether the plate is missing from the catalogue.",
    ),
    "SLUG_DUPLICATE": (
        WARNING,
        "The slug is used by the plates {detail}.",
        "Check that these are different plates with one name.",
    ),
    "SLUG_TITLE_DISAGREE": (
        WARNING,
        "The slug does not follow from the title {detail}.",
        "Check the title and the slug against the plate.",
    ),
    "TITLES_SHIFTED": (
        WARNING,
        "The titles of plates {detail}: slug and file name are right, the titles are shifted by "
        "one.",
        "Move the titles by one in the catalogue.",
    ),
    "PLATE_MISSING": (
        ERROR,
        "The plate was sealed and its folder is gone.",
        "Restore it from a replica: ledgerkit restore-source PLATE --from REPLICA",
    ),
    "MANIFEST_MISSING": (
        ERROR,
        "The plate has no manifest.json.",
        "Restore it: ledgerkit restore-source PLATE --from REPLICA; a new plate is ingested again.",
    ),
    "MANIFEST_INVALID": (
        ERROR,
        "The manifest breaks its schema: {detail}.",
        "Restore it: ledgerkit restore-source PLATE --from REPLICA",
    ),
    "MANIFEST_FIELD_UNKNOWN": (
        WARNING,
        "The manifest has fields that its schema does not know: {detail}.",
        "Nothing: they are kept and ignored.",
    ),
    "MANIFEST_IDENTITY": (
        ERROR,
        "The manifest says plate_id {detail}, but lies in another plate's folder.",
        "Put the manifest back where it belongs.",
    ),
    "SOURCE_COUNT": (
        ERROR,
        "source/ must hold exactly one file, it holds {detail}.",
        "Move what is not the source away with ledgerkit quarantine; a missing one comes back with ledgerkit restore-source.",
    ),
    "SOURCE_NAME_DISAGREE": (
        WARNING,
        "The manifest names the source {detail}.",
        "Check that this is the right file.",
    ),
    "SOURCE_CHECKSUM_MISSING": (
        WARNING,
        "The plate has no source.sha256.",
        "Nothing can prove the source older than its seal.",
    ),
    "SOURCE_CHECKSUM_INVALID": (
        ERROR,
        "source.sha256 is not a checksum line for the source: {detail}.",
        "Restore it: ledgerkit restore-source PLATE --from REPLICA",
    ),
    "SOURCE_SIZE_CHANGED": (
        ERROR,
        "The source has {detail}.",
        "Restore it: ledgerkit restore-source PLATE --from REPLICA; a source is never written to.",
    ),
    "PLATE_ID_INVALID": (
        ERROR,
        "The folder's name is no plate id.",
        "Name it plate-NNN, or move it out of plates_structured.",
    ),
    "PLATE_ID_COLLISION": (
        ERROR,
        "Two plate folders have one number: {detail}.",
        "Keep one of them.",
    ),
    "RUN_MISSING": (
        ERROR,
        "The log has this run and its folder is gone.",
        "Restore it: ledgerkit restore-source RUN_FOLDER --from REPLICA; what is logged is never removed.",
    ),
    "UNSEALED_RUN": (
        ERROR,
        "No commit brought this run: the log does not have it.",
        "It is never counted. Find out who put it there; set it aside with: ledgerkit recover",
    ),
    "LOG_MISSING": (
        ERROR,
        "The repository was sealed ({detail}) and has no log.",
        "Copy log/ from a replica: a log never begins anew. Then compare: ledgerkit compare REPLICA",
    ),
    "LOG_INVALID": (
        ERROR,
        "The sealed log is damaged: {detail}.",
        "Copy log/ from a replica, and compare it with a checkpoint that is kept elsewhere; what only lies beyond the checkpoint, ledgerkit recover sets aside.",
    ),
    "RUN_INVALID": (
        ERROR,
        "The run record cannot be read or breaks its schema: {detail}.",
        "Restore it: ledgerkit restore-source RUN_FOLDER --from REPLICA",
    ),
    "RUN_ID_INVALID": (
        WARNING,
        "The folder's name is no run id.",
        "It is not counted. Move it away with: ledgerkit quarantine PATH --by NAME --reason TEXT",
    ),
    "RUN_CHECKSUM_INVALID": (
        ERROR,
        "The record does not have the digest that run.sha256 lists: {detail}.",
        "Restore it: ledgerkit restore-source RUN_FOLDER --from REPLICA",
    ),
    "OUTPUT_MISSING": (
        ERROR,
        "The run lists a file that does not exist: {detail}.",
        "Restore it: ledgerkit restore-source PATH --from REPLICA",
    ),
    "CACHE_MISSING": (
        WARNING,
        "Derived pixels are gone: {detail}.",
        "Bring them back with: ledgerkit cache restore",
    ),
    "UNLISTED_FILE": (
        ERROR,
        "No record lists this file.",
        "Find out who put it there; move it away with: ledgerkit quarantine PATH --by NAME --reason TEXT",
    ),
    "DIGEST_MISMATCH": (
        ERROR,
        "The bytes are not the recorded ones: {detail}.",
        "Restore it: ledgerkit restore-source PATH --from REPLICA",
    ),
    "SIZE_MISMATCH": (
        ERROR,
        "The size is not the recorded one: {detail}.",
        "Restore it: ledgerkit restore-source PATH --from REPLICA",
    ),
    "COMMIT_PENDING": (
        WARNING,
        "A commit waits to be finished: {detail}.",
        "The next writing command finishes it, or: ledgerkit recover",
    ),
    "SEAL_FAILED": (
        ERROR,
        "The plate could not be sealed and every operation leaves it out: {detail}.",
        "Put the file right; the next writing command seals the plate.",
    ),
    "CORRECTION_PLATE_UNKNOWN": (
        ERROR,
        "The repository has no sealed plate of this id.",
        "Correct the id; if the plate is there and not sealed, see: ledgerkit audit",
    ),
    "CORRECTION_INVALID": (
        ERROR,
        "The correction cannot be taken: {detail}.",
        "Correct it, and give all corrections again: nothing was written.",
    ),
    "PLATE_NOT_SEALED": (
        ERROR,
        "The plate is not sealed, so nothing vouches for it.",
        "See why with: ledgerkit audit",
    ),
    "UNSEALED": (
        INFO,
        "The plate is not sealed yet.",
        "The next writing command seals it.",
    ),
    "LINK_FOUND": (
        ERROR,
        "A symbolic link lies here: links are never followed.",
        "Replace it by the file itself.",
    ),
    "SPECIAL_FILE": (
        ERROR,
        "A pipe, socket or device lies here: it is never opened.",
        "Find out who put it there; move it away with: ledgerkit quarantine PATH --by NAME --reason TEXT",
    ),
    "NAME_COLLIDES": (
        ERROR,
        "These names in one folder are one on some file systems: {detail}.",
        "Find out which of them is recorded, and move the others away with ledgerkit quarantine.",
    ),
    "NAME_UNPORTABLE": (
        WARNING,
        "The name {detail}.",
        "Nothing here: the name keeps its bytes, but some file system or store will not take it.",
    ),
    "NAME_NOT_UTF8": (
        ERROR,
        "The name is no UTF-8 and no record can hold it: {detail}.",
        "Rename it: until then its plate cannot be sealed.",
    ),
    "NAME_FORM_DIFFERS": (
        WARNING,
        "It is recorded under a name of another Unicode form or case: {detail}.",
        "Rename it to the recorded bytes; a copy to another file system may have changed them.",
    ),
    "HARD_LINKED": (
        WARNING,
        "The source is one file with another name outside its folder: it has {detail} names.",
        "Put a copy in its place: who writes to the other name changes the source.",
    ),
    "PATH_UNSAFE": (
        ERROR,
        "The record names a path that nothing may be read from: {detail}.",
        "Find out who wrote the record; restore it: ledgerkit restore-source RUN_FOLDER --from REPLICA",
    ),
    "PATH_UNREADABLE": (
        ERROR,
        "It cannot be looked at: {detail}.",
        "Give whoever runs the check the permission to read it, or restore it from a replica.",
    ),
    "PROTECTION_LOST": (
        WARNING,
        "{detail} evidence files are writable.",
        "Take the write permission away: chmod a-w.",
    ),
    "LARGE_IMAGE": (
        WARNING,
        "The image has {detail} megapixels, above the warning line.",
        "Decide in the policy what happens to such plates.",
    ),
    "NOT_STREAMABLE": (
        WARNING,
        "No decoder can stream this image: {detail}.",
        "Operations leave it out until they may hold it: ledgerkit measure --max-decode-bytes BYTES, "
        "and so for the others.",
    ),
    "LEDGER_BEHIND": (
        WARNING,
        "{detail}.",
        "Rebuild them with: ledgerkit consolidate",
    ),
    "LEDGER_INVALID": (
        ERROR,
        "The ledger is not as ledger.json lists it: {detail}.",
        "Rebuild it with: ledgerkit consolidate --rebuild. Where it was built at more entries than the "
        "log has, an older log was put back: compare with a replica first.",
    ),
    "LEDGER_FOREIGN": (
        WARNING,
        "The file is not one of ledgerkit's ledgers.",
        "It is moved aside when the ledgers are rebuilt.",
    ),
    "SCHEMA_INVALID": (
        ERROR,
        "The schema cannot be read: {detail}.",
        "Restore it from a replica.",
    ),
    "SCHEMA_CHANGED": (
        WARNING,
        "The schema is not the published one of this version.",
        "Published versions never change: restore the file.",
    ),
    "MANIFEST_UNLOGGED": (
        ERROR,
        "A seal lists this manifest and the log does not have it.",
        "Restore log/ from a replica, and compare it with a checkpoint that is kept elsewhere.",
    ),
    "ROLLED_BACK": (
        ERROR,
        "The log is shorter than the checkpoint that was given: {detail}.",
        "The repository is an older state of itself: find the newer one, and bring it back.",
    ),
    "CHECKPOINT_DISAGREES": (
        ERROR,
        "The log is no continuation of the checkpoint that was given: {detail}.",
        "Something that was there at that checkpoint was altered: compare with a replica.",
    ),
    "MODEL_DOCUMENT_INVALID": (
        ERROR,
        "The document of this model cannot be used: {detail}.",
        "Take it away with ledgerkit models remove NAME, and add the model again.",
    ),
    "MODEL_FILE_MISSING": (
        ERROR,
        "This file of a model {detail}.",
        "Add the model again from where it came: what is missing is put back.",
    ),
    "MODEL_FILE_CHANGED": (
        ERROR,
        "This file of a model {detail}.",
        "Add the model again from where it came: what changed is put back.",
    ),
    "MODEL_FILE_UNLISTED": (
        ERROR,
        "This file {detail}, though whoever loads the model may read it.",
        "Add the model again from where it came: its folder is made anew.",
    ),
    "MODEL_LEFTOVER": (
        INFO,
        "No model names this: an add was stopped, or its model is gone.",
        "It goes with the next ledgerkit models remove; the same add again makes use of it.",
    ),
}


def finding(code: str, subject: str, detail: object = "") -> Finding:
    """A finding with its sentence filled in, as text that can be written anywhere."""
    severity, sentence, remedy = CODES[code]
    message = sentence.replace("{detail}", str(detail))
    return Finding(code, severity, writable(subject), writable(message), remedy)


def writable(text: str) -> str:
    r"""`text` on one line that can be encoded and cannot steer a terminal.

    Control characters, and the bytes of names that are no UTF-8, are shown as Python writes them:
    an escape as `\x1b`, such a byte as `\udcff`.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def sound(findings: list[Finding]) -> bool:
    """Whether none of them is an error."""
    return all(one.severity != ERROR for one in findings)
