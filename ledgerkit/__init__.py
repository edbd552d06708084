"""ledgerkit: a provenance-ledger dataset manager for archives of scanned plates.

`Repository` has the verbs of the command line. Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import Any

from ledgerkit.software import VERSION as __version__

__all__ = ["LedgerkitError", "Repository", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Repository":
        from ledgerkit.api import Repository

        return Repository
    if name == "LedgerkitError":
        from ledgerkit.errors import LedgerkitError

        return LedgerkitError
    raise AttributeError(f"module 'ledgerkit' has no attribute {name!r}")
