"""The commands that do recorded runs again, with the options of these runs: made to be pasted."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ledgerkit import layout, operation
from ledgerkit.canonical import canonical_bytes
from ledgerkit.operation import Parameter
from ledgerkit.records import Input, Run

MOST_TERMS = 100
"""Terms of a plate selection in one command; once it has run, the next status names the next ones."""


@dataclass
class _Alike:
    """Runs of one operation with the same parameters, and what is the matter with them."""

    run: Run
    plates: list[str] = field(default_factory=list)
    said: Counter[str] = field(default_factory=Counter)


@dataclass
class Again:
    """Runs to be done again, by operation, option (`retry-failed`, `stale`) and parameters."""

    _found: dict[tuple[str, str, bytes], _Alike] = field(default_factory=dict)

    def add(self, run: Run, plates: list[str], option: str, said: str) -> None:
        """A run of `plates` to be done again with `option`, for what is `said` of it."""
        key = (run.operation, option, canonical_bytes(run.parameters))
        alike = self._found.setdefault(key, _Alike(run))
        alike.said[said] += 1
        alike.plates += plates

    def commands(self, name: str, option: str, known: list[str], at_work: set[str]) -> list[str]:
        """One command for each set of parameters, with a remark where something is said of them.

        Plates are named unless they are all that are `at_work`: others would be done as well, which
        nobody asked for. `known` are all plates in their order.
        """
        return [
            _command(alike, option, known, at_work)
            for (of, by, _), alike in self._found.items()
            if (of, by) == (name, option)
        ]


def plates_of(run: Run, inputs: Iterable[Input]) -> list[str]:
    """The plates that a run with these inputs was made of; none where it read of the collection only."""
    if run.subject != layout.COLLECTION:
        return [run.subject]
    parts = [given.path.split("/") for given in inputs]
    return list({part[1]: None for part in parts if part[0] == layout.PLATES})


def _command(alike: _Alike, option: str, known: list[str], at_work: set[str]) -> str:
    remarks = [f"{number} {what}" for what, number in alike.said.items() if what]
    words = ["ledgerkit", *operation.command(alike.run.operation).split(), *options(alike.run)]
    if alike.plates and set(alike.plates) != at_work:
        terms = layout.selection(alike.plates, known)
        words += ["--plates", ",".join(terms[:MOST_TERMS])]
        remarks += ["this names the first of them"] * (len(terms) > MOST_TERMS)
    said = ", ".join(remarks)
    return shlex.join([*words, f"--{option}"]) + (f"    # {said}" if said else "")


def options(run: Run) -> list[str]:
    """The options that give an operation the parameters of a run; defaults of today are left out.

    None for a parameter that the operation no longer has.
    """
    if run.operation not in operation.names():
        return []
    words = []
    for parameter in operation.load(run.operation).parameters():
        value = run.parameters.get(parameter.name, parameter.default)
        if value != parameter.default:
            words += _option(parameter, value)
    return words


def _option(parameter: Parameter, value: Any) -> list[str]:
    flag = operation.flag(parameter.name)
    if parameter.kind is bool:
        return [flag if value else f"--no-{flag[2:]}"]
    return [flag, str(value)]
