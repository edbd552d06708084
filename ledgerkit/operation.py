"""Operations are files with agreed names: find them, load one, make its parameters.

Listing reads file names and docstrings only; loading imports one module and checks that it has what
an operation must have.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from ledgerkit.errors import UsageError
from ledgerkit.layout import COLLECTION

AGREED_NAMES = (
    "VERSION",
    "EVENT_TYPE",
    "SUBJECT",
    "LIBRARIES",
    "MAKES",
    "Parameters",
    "takes",
    "variant",
    "run",
)
PLACED = {
    "propose": "policy propose",
    "sweep": "sweep run",
    "pairs": "sweep pairs",
    "survey": "sweep plots",
}
"""Operations whose command stands in a group, with that command; of others it is their name."""
TOLERANCE_RULES = frozenset({"absolute", "relative", "cosine"})
_FOLDER = Path(__file__).parent / "operations"


@cache
def names() -> tuple[str, ...]:
    """Names of all operations, sorted."""
    return tuple(
        sorted(path.stem for path in _FOLDER.glob("*.py") if not path.stem.startswith("_"))
    )


@cache
def summary(name: str) -> str:
    """The first line of an operation's docstring, without importing it."""
    module = ast.parse((_FOLDER / f"{name}.py").read_text("utf-8"))
    return (ast.get_docstring(module) or "").partition("\n")[0]


def command(name: str) -> str:
    """The command of an operation, as it is given after `ledgerkit`."""
    return PLACED.get(name, name)


def flag(name: str) -> str:
    """The option of a parameter on the command line."""
    return f"--{name.replace('_', '-')}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: what the command line makes an option from."""

    name: str
    kind: type
    default: Any
    help: str
    unit: str | None
    choices: tuple[str, ...] | None
    minimum: float | None
    maximum: float | None


@dataclass(frozen=True)
class Operation:
    """A loaded operation."""

    name: str
    module: ModuleType

    @property
    def version(self) -> str:
        return str(self.module.VERSION)

    @property
    def event_type(self) -> str:
        return str(self.module.EVENT_TYPE)

    @property
    def on_collection(self) -> bool:
        return bool(self.module.SUBJECT == COLLECTION)

    @property
    def one_space(self) -> bool:
        """Whether vectors are read in one space, to be named where several lie side by side: its
        `ONE_SPACE`, if any.
        """
        return bool(getattr(self.module, "ONE_SPACE", False))

    @property
    def all_plates(self) -> str | None:
        """What its parameter `collection` is where all plates are taken, its `ALL_PLATES`; a part has
        another name. None where it names no parts.
        """
        named: str | None = getattr(self.module, "ALL_PLATES", None)
        return named

    @property
    def decided(self) -> tuple[str, ...]:
        """Parameters that a file decides, its `DECIDED`; none where it takes no such file."""
        return tuple(getattr(self.module, "DECIDED", ()))

    @property
    def decided_by(self) -> tuple[str, str]:
        """Option for that file, and the command that writes one: its `DECIDED_BY`."""
        option, command = self.module.DECIDED_BY
        return str(option), str(command)

    @property
    def makes(self) -> tuple[str, ...]:
        return tuple(self.module.MAKES)

    def takes(self, parameters: Any) -> tuple[str, ...]:
        return tuple(self.module.takes(parameters))

    @property
    def loads_models(self) -> bool:
        """Whether it loads models: each worker would hold them, and on a GPU there is room for one."""
        return hasattr(self.module, "models")

    def models(self, parameters: Any) -> tuple[str, ...]:
        """Names in the store of models whose weights it loads; none where it does not say."""
        named = getattr(self.module, "models", None)
        return () if named is None else tuple(named(parameters))

    def check(self, parameters: Any) -> None:
        """Let it refuse what has no meaning in a new task; records of former tasks may have it.

        Raises what its `check` raises; where it has none, nothing.
        """
        check = getattr(self.module, "check", None)
        if check is not None:
            check(parameters)

    def check_models(self, parameters: Any, folders: Mapping[str, Path]) -> None:
        """Let it refuse models, by name, by their settings and installed libraries: in any plan.

        Raises what its `check_models` raises; where it has none, nothing.
        """
        check = getattr(self.module, "check_models", None)
        if check is not None:
            check(parameters, folders)

    def try_models(self, parameters: Any, folders: Mapping[str, Path], *, keep: bool) -> None:
        """Let it load models, by name, and refuse those that it cannot: before its first task runs.

        With `keep` they stay loaded in this process, where the tasks run. Raises what its
        `try_models` raises; where it has none, nothing.
        """
        attempt = getattr(self.module, "try_models", None)
        if attempt is not None:
            attempt(parameters, folders, keep=keep)

    def variant(self, parameters: Any, weights: Iterable[str] = ()) -> str:
        """What tells its results apart; `weights` are digests of its models, whatever they are called."""
        return str(self.module.variant(parameters, *weights))

    def parameters(self) -> list[Parameter]:
        """All parameters in the order of their declaration."""
        hints = get_type_hints(self.module.Parameters)
        return [
            Parameter(
                field.name,
                hints[field.name],
                field.default,
                field.metadata.get("help", ""),
                field.metadata.get("unit"),
                field.metadata.get("choices"),
                field.metadata.get("minimum"),
                field.metadata.get("maximum"),
            )
            for field in fields(self.module.Parameters)
        ]

    def make_parameters(self, given: Mapping[str, Any]) -> Any:
        """The operation's `Parameters`, defaults resolved. Raises `UsageError` for a wrong name or value."""
        known = {parameter.name: parameter for parameter in self.parameters()}
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise UsageError(
                f"{self.name} has no parameter {', '.join(unknown)}", f"It has: {', '.join(known)}"
            )
        for name, value in given.items():
            self._check_value(known[name], value)
        try:
            return self.module.Parameters(**given)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{self.name}: {error}") from error

    def _check_value(self, parameter: Parameter, value: Any) -> None:
        """Raise `UsageError` for a value that is no choice, no number or out of bounds."""
        said = f"{self.name}: {parameter.name} is {value!r}"
        if parameter.choices and value not in parameter.choices:
            raise UsageError(f"{said}, not one of {', '.join(parameter.choices)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{said}, not a number")
        if parameter.minimum is not None and value < parameter.minimum:
            raise UsageError(f"{said}, less than {parameter.minimum:g}")
        if parameter.maximum is not None and value > parameter.maximum:
            raise UsageError(f"{said}, more than {parameter.maximum:g}")

    def tolerance(self) -> dict[str, dict[str, float]]:
        """How far columns of its tables may differ when they are made again: its `TOLERANCE`, if any.

        Raises `UsageError` for a rule other than absolute, relative and cosine.
        """
        stated: dict[str, dict[str, float]] = getattr(self.module, "TOLERANCE", {})
        for column, rule in stated.items():
            if not rule or set(rule) - TOLERANCE_RULES:
                raise UsageError(
                    f"operations/{self.name}.py: TOLERANCE of {column} is {rule!r}",
                    f"Give one or more of: {', '.join(sorted(TOLERANCE_RULES))}",
                )
        return stated

    @property
    def runs_many(self) -> bool:
        """Whether it has `run_many(works, parameters)`, which does several tasks in one call.

        A work has `inputs` and `outputs`. It gives back a list as long: None, or why a task failed.
        """
        return hasattr(self.module, "run_many")

    def together(self, parameters: Any) -> int:
        """How many tasks `run_many` is given at once; 1 for an operation without it."""
        return int(self.module.together(parameters)) if self.runs_many else 1

    @property
    def states_memory(self) -> bool:
        """Whether it says what memory a task takes: then `--memory` bounds it."""
        return hasattr(self.module, "memory")

    def memory(self, inputs: Any, parameters: Any) -> int:
        """Bytes that its `run` takes at most beside the interpreter; 0 where it does not say."""
        return int(self.module.memory(inputs, parameters)) if self.states_memory else 0

    def environment(self) -> dict[str, str]:
        """Versions of the libraries whose code touches the bytes."""
        return {library: _version(library) for library in sorted(self.module.LIBRARIES)}


def resolved(parameters: Any) -> dict[str, Any]:
    """Parameters as plain JSON values, defaults included."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(parameters).items()
    }


@cache
def load(name: str) -> Operation:
    """The operation `name`. Raises `UsageError` when there is none or it lacks an agreed name."""
    if name not in names():
        raise UsageError(f"no operation {name!r}", f"There are: {', '.join(names())}")
    module = importlib.import_module(f"ledgerkit.operations.{name}")
    missing = [agreed for agreed in AGREED_NAMES if not hasattr(module, agreed)]
    if missing:
        raise UsageError(f"operations/{name}.py lacks {', '.join(missing)}")
    if len(inspect.signature(module.run).parameters) != 3:
        raise UsageError(f"operations/{name}.py: run must take inputs, parameters and outputs")
    return Operation(name, module)


@cache
def makers(table: str) -> tuple[Operation, ...]:
    """The operations that make a ledger table, the one to begin with first: it needs no weights.

    Raises `UsageError` when none does.
    """
    found = [load(name) for name in names() if table in load(name).makes]
    if not found:
        raise UsageError(f"no operation makes the table {table}")
    return tuple(sorted(found, key=lambda one: (one.on_collection, hasattr(one.module, "models"))))


def readable(table: str, parameters: Any) -> tuple[Operation, ...]:
    """The operations whose runs may be read for a table: that which the parameter `made_by` names.

    Without it those of each plate; those of the whole collection where there are no others.
    Raises `UsageError`.
    """
    found = makers(table)
    named = getattr(parameters, "made_by", "")
    if named and len(found) > 1:
        chosen = tuple(one for one in found if one.name == named)
        if not chosen:
            names = ", ".join(one.name for one in found)
            raise UsageError(f"{named} makes no {table}", f"These do: {names}")
        return chosen
    return tuple(one for one in found if one.on_collection == found[0].on_collection)


@cache
def _version(library: str) -> str:
    from importlib import metadata

    if library == "libvips":
        import pyvips

        return ".".join(str(pyvips.version(part)) for part in range(3))
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "absent"  # of an extra; records of its operations are read without it
