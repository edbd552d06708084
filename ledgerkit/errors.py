"""Every error that ledgerkit raises on purpose: what was expected, what was found, and the way out.

The command line prints the message and the hint of a `LedgerkitError` and exits with its code;
anything else is a bug and keeps its traceback. Subclasses carry data and survive pickling, because
workers send them to the parent.
"""

from __future__ import annotations


class LedgerkitError(Exception):
    """Base of all errors a user can meet.

    `message` says what went wrong and where; `hint` says what to do next; `exit_code` is what the
    command line exits with.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class UsageError(LedgerkitError):
    """The request itself cannot be met: a wrong name, a wrong value, a combination that has no meaning."""

    exit_code = 2


class RepositoryNotFound(LedgerkitError):
    """No repository where one was looked for."""

    exit_code = 2


class UnsafePath(LedgerkitError):
    """A path that leaves the repository or that some file system would alias or refuse."""


class InvalidRecord(LedgerkitError):
    """A manifest, record, policy or table breaks its schema."""


class LogInvalid(LedgerkitError):
    """The sealed log is missing or damaged, or the repository disagrees with it."""


class DigestMismatch(LedgerkitError):
    """Bytes do not have the digest that was recorded for them."""


class UnreadableImage(LedgerkitError):
    """A file that cannot be decoded as an image, with the decoder's reason."""


class LimitExceeded(LedgerkitError):
    """Input larger than a named setting allows."""


class MissingInput(LedgerkitError):
    """An operation whose inputs do not exist yet; the hint names the command that makes them."""

    exit_code = 3


class Withdrawn(MissingInput):
    """A plate that was withdrawn is asked for as an input: plans leave it out."""


class MissingExtra(LedgerkitError):
    """Something that needs libraries which are installed with an extra only; the hint says how."""

    exit_code = 3


class RepositoryBusy(LedgerkitError):
    """Another process holds the repository's lock."""

    exit_code = 4


class CommitFailed(LedgerkitError):
    """The disk refused a write, a flush or a rename; what was committed before stays."""

    exit_code = 5


class Frozen(LedgerkitError):
    """An operation of preprocessing, which a freeze has ended; the message names the freeze."""


class LedgerRefused(LedgerkitError):
    """The ledgers cannot be built from what the records say; the former ledgers stay."""


class QueryRefused(LedgerkitError):
    """SQL that is wrong, too large, or not purely reading."""


class HubRefused(LedgerkitError):
    """A model hub cannot be reached, refuses, or answers as no hub does; what came stays for later."""


class EndpointRefused(LedgerkitError):
    """A service says no to what it is asked: asking again is of no use."""


class EndpointFailed(LedgerkitError):
    """A service stays busy, cannot be reached, or answers with what is no answer."""


class ServiceRefused(LedgerkitError):
    """A service cannot be reached, refuses, or answers as none of its kind does.

    `for_good` says that asking again, or for something else, would end the same way.
    """

    def __init__(self, message: str, hint: str | None = None, for_good: bool = False) -> None:
        super().__init__(message, hint)
        self.args = (message, hint, for_good)
        self.for_good = for_good


class GateFailed(LedgerkitError):
    """A check of an operation's input or result failed and the work was to stop there (`--strict`)."""
