"""Algorithms of a sweep are files with agreed names: find them, load one.

`DIMENSIONS` says what it may be set to, `LIBRARIES` whose code makes its labels, `CONTROL` whether it
is there for comparison only, and `label(shared, setting, seed)` gives int64 (n,): 0.. , -1 for rows in
no cluster. `note(shared, setting)`, which it may lack, says what was not done as its name promises. To
add one, put a file beside these.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledgerkit.errors import UsageError
from ledgerkit.sweeping.space import Dimension, Setting, signature

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.sweeping.shared import Shared

AGREED_NAMES = ("DIMENSIONS", "LIBRARIES", "CONTROL", "label")


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A loaded algorithm."""

    name: str
    module: Any

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        return tuple(self.module.DIMENSIONS)

    @property
    def control(self) -> bool:
        """Whether it is there for comparison: never in a consensus, never chosen."""
        return bool(self.module.CONTROL)

    def label(self, shared: Shared, setting: Setting, seed: int) -> NDArray[np.int64]:
        """Clusters of the shared vectors, int64 (n,), 0.. by falling size, -1 for none."""
        from ledgerkit.clustering.partition import by_size

        return by_size(self.module.label(shared, setting, seed))

    def note(self, shared: Shared, setting: Setting) -> str:
        """What was done in another way than the algorithm's name says; empty where nothing was."""
        told = getattr(self.module, "note", None)
        return str(told(shared, setting)) if told else ""

    def signature(self, setting: Setting) -> str:
        """The setting in one line, numbers of a range by their step."""
        return signature(self.name, setting, self.dimensions)

    def check(self, setting: Setting) -> None:
        """Raise `UsageError` for a setting that is not one of its dimensions, each with a value."""
        names = [one.name for one in self.dimensions]
        if sorted(setting) != sorted(names):
            raise UsageError(
                f"a setting of {self.name} has {', '.join(names)}, not {', '.join(sorted(setting))}"
            )
        for one in self.dimensions:
            value = setting[one.name]
            number = isinstance(value, int | float) and not isinstance(value, bool)
            inside = number and one.low <= value <= one.high
            if value not in one.values if one.values else not inside:
                wanted = (
                    ", ".join(map(str, one.values))
                    if one.values
                    else f"{one.low:g} to {one.high:g}"
                )
                raise UsageError(f"{self.name}: {one.name} is {value!r}", f"It may be: {wanted}")


@cache
def names() -> tuple[str, ...]:
    """Names of all algorithms, sorted; `umap_hdbscan.py` is `umap-hdbscan`."""
    files = Path(__file__).parent.glob("*.py")
    return tuple(sorted(f.stem.replace("_", "-") for f in files if not f.stem.startswith("_")))


@cache
def load(name: str) -> Algorithm:
    """The algorithm `name`. Raises `UsageError` when there is none or it lacks an agreed name."""
    if name not in names():
        raise UsageError(f"no algorithm {name!r}", f"There are: {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    missing = [agreed for agreed in AGREED_NAMES if not hasattr(module, agreed)]
    if missing:
        raise UsageError(f"algorithms/{name.replace('-', '_')}.py lacks {', '.join(missing)}")
    return Algorithm(name, module)
