"""What an algorithm may be set to: dimensions, settings, and the signature that settings share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Setting = Mapping[str, Any]
"""A value for each dimension of an algorithm, as plain JSON."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """One parameter of an algorithm: values to choose from, or a range of numbers."""

    name: str
    values: tuple[Any, ...] = ()
    """What it may be; empty for a range."""
    low: float = 0.0
    high: float = 0.0
    bin: float = 0.0
    """Width of the steps in which a signature tells numbers of the range apart."""

    @property
    def steps(self) -> tuple[Any, ...]:
        """The values of a grid: those there are, or the range in steps of `bin`, both ends in it."""
        if self.values:
            return self.values
        count = round((self.high - self.low) / self.bin)
        return tuple(round(self.low + step * self.bin, 9) for step in range(count + 1))

    def binned(self, value: Any) -> Any:
        """The value as it stands in a signature: of a range, the step that is nearest."""
        if self.values:
            return value
        return round(round(float(value) / self.bin) * self.bin, 9)


def signature(algorithm: str, setting: Setting, dimensions: Sequence[Dimension]) -> str:
    """The algorithm and its setting in one line, numbers of a range by their step.

    `leiden|resolution=1.2|temperature=0.8` is that of resolutions from 1.15 to 1.25: without steps
    each continuous setting would be one of a kind and no average over collections could exist.
    """
    parts = [f"{one.name}={text(one.binned(setting[one.name]))}" for one in dimensions]
    return "|".join([algorithm, *parts])


def text(value: Any) -> str:
    """A value as it is written: `none` for None, numbers without trailing zeros."""
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
