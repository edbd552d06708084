"""Refuse options that would change nothing: they would make another task with the same result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from ledgerkit.errors import UsageError


def differing(parameters: Any, names: Iterable[str]) -> list[str]:
    """Of these parameters those that have not their default."""
    usual = {one.name: one.default for one in fields(parameters)}
    return [name for name in names if getattr(parameters, name) != usual[name]]


def refuse(parameters: Any, names: Iterable[str], where: str) -> None:
    """Raise `UsageError` where one of `names`, which have no effect `where`, is not at its default."""
    given = [f"--{name.replace('_', '-')}" for name in differing(parameters, names)]
    if given:
        have = "has" if len(given) == 1 else "have"
        raise UsageError(f"{', '.join(given)} {have} no effect {where}", "Leave it out.")
