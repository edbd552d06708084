"""Which ledgerkit this is, and on what it runs: what every record says of its software."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

VERSION = "0.1.0"
AGENT = f"ledgerkit {VERSION}"


@cache
def commit() -> str | None:
    """The git commit of the checkout that this package lies in; None when installed elsewhere."""
    git = Path(__file__).resolve().parent.parent / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        reference = head.removeprefix("ref: ")
        loose = git / reference
        if loose.is_file():
            return loose.read_text().strip()
        packed = (git / "packed-refs").read_text().splitlines()
        return next((line.split()[0] for line in packed if line.endswith(f" {reference}")), None)
    except OSError:
        return None


@cache
def platform_name() -> str:
    """Operating system and processor, as `Linux x86_64`."""
    return f"{os.uname().sysname} {os.uname().machine}"


@cache
def python_version() -> str:
    return platform.python_version()
