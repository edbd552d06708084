"""Levels of clusters by one setting that was found elsewhere, as by a sweep, in place of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ledgerkit.canonical import parse_json
from ledgerkit.clustering.grid import SAFE, settings_of
from ledgerkit.clustering.grouping import Grouping, How
from ledgerkit.clustering.levels import nested
from ledgerkit.clustering.partition import renumbered
from ledgerkit.clustering.quality import quality
from ledgerkit.clustering.sweep import sweep
from ledgerkit.clustering.tables import other_row
from ledgerkit.errors import LedgerkitError, MissingInput, UsageError
from ledgerkit.sweeping.algorithms import Algorithm, load
from ledgerkit.sweeping.shared import FEWEST, Shared
from ledgerkit.sweeping.space import Setting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GIVEN = "given"


def parse(text: str) -> tuple[Algorithm, Setting]:
    """Algorithm and setting from JSON with `algorithm` and `parameters`. Raises `UsageError`."""
    wanted = 'Give: {"algorithm": "leiden", "parameters": {"resolution": 1.2, "temperature": 1.0}}'
    try:
        told: Any = parse_json(text.encode(), "setting")
        name, setting = told["algorithm"], dict(told["parameters"])
    except (LedgerkitError, KeyError, TypeError, ValueError) as error:
        raise UsageError("setting is no JSON with algorithm and parameters", wanted) from error
    algorithm = load(str(name))
    algorithm.check(setting)
    return algorithm, setting


def group_given(
    unit: NDArray[np.float32], reduced: NDArray[np.float32], text: str, components: int, how: How
) -> Grouping:
    """Clusters of `unit`, float32 (n, d), L2 norm 1, by the setting `text`; a map by W0's one setting.

    `reduced`: float32 (n, e), L2 norm 1, what the map is laid out from. What was not
    done as the algorithm's name says is the reason. Raises `UsageError`, `MissingInput` for fewer than
    `FEWEST` rows.
    """
    import numpy as np

    algorithm, setting = parse(text)
    if len(unit) < FEWEST:
        raise MissingInput(
            f"{len(unit)} are too few to group by a setting of {algorithm.name}",
            f"Give {FEWEST} or more, or leave the setting away.",
        )
    shared = Shared(unit, seed=how.seed, components=components)
    labels = algorithm.label(shared, setting, how.seed)
    count = len(labels)
    persistence: list[float | None] = [None] * (int(labels.max(initial=-1)) + 1)
    first = renumbered(
        labels, (labels >= 0).astype(np.float64), np.full(count, np.nan), persistence, []
    )
    settings = settings_of(SAFE, count, 0)
    swept = sweep(
        unit,
        reduced,
        settings,
        dimensions=how.dimensions,
        selection=how.selection,
        max_noise=how.max_noise,
        seed=how.seed,
    )
    levels = [first]
    if how.levels == "nested":
        levels = nested(
            swept.layout.points,
            unit,
            first,
            settings,
            selection=how.selection,
            max_noise=how.max_noise,
        )
    note = algorithm.note(shared, setting)
    row = other_row(0, algorithm.name, dict(setting), first, quality(unit, labels), note)
    rule = algorithm.signature(setting)
    return Grouping(levels, swept, settings[0], None, rule, GIVEN, note, [row])
