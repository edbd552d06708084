"""Re-read a repository with its own eyes: log, records, files, each against the others, both ways.

An independent witness: it shares no code with what writes, parses for itself, changes nothing and
repairs nothing. What a depth does not read is counted as not checked, never as sound.
"""

from __future__ import annotations

from ledgerkit.verify.check import verify
from ledgerkit.verify.plan import DEPTHS, FileResult, ReadingOptions, VerifyOptions
from ledgerkit.verify.view import ReadView, VerifyView

__all__ = [
    "DEPTHS",
    "FileResult",
    "ReadView",
    "ReadingOptions",
    "VerifyOptions",
    "VerifyView",
    "verify",
]
