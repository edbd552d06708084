"""Composites by hand, and settings over collections: the traps of workflow W1."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ledgerkit.errors import UsageError
from ledgerkit.sweeping.algorithms import load
from ledgerkit.sweeping.choice import robust, signature_table
from ledgerkit.sweeping.composite import CODE, TEXT, WEIGHTS, score, z_scores
from ledgerkit.sweeping.measures import Measures
from ledgerkit.sweeping.trial import Trial

GOOD = Measures(5, 0.9, 0.1, 0.5, 1.0, 99.0, 0.6, 0.2, "")
POOR = Measures(2, 0.4, 0.6, None, None, None, 0.1, None, "none")


def trial(measures: Measures, number: int = 0, algorithm: str = "leiden") -> Trial:
    return Trial(number, algorithm, {}, algorithm, False, measures, 0.8)


def test_the_code_reading_adds_raw_measures_and_takes_the_z_score_afterwards() -> None:
    found = score([trial(GOOD), trial(POOR)], [0.8, None], CODE)
    first = (
        1.2 * 0.5 - 0.6 * 1.0 + 0.6 * math.log1p(99.0) + 1.0 * 0.8 + 0.5 * 0.9 + 0.5 * 0.6
        - 0.4 * math.log1p(0.1)
    )  # fmt: skip
    second = 1.2 * -1 - 0.6 * 10 + 0 + 0 + 0.5 * 0.4 + 0.5 * 0.1 - 0.4 * math.log1p(0.6) - 5
    assert found.raw.tolist() == pytest.approx([first, second])
    assert found.z.tolist() == pytest.approx([1, -1], abs=1e-6)


def test_the_text_reading_takes_z_scores_first_and_nothing_for_what_is_missing() -> None:
    found = score([trial(GOOD), trial(POOR)], [0.8, None], TEXT)
    # Only coverage, modularity and singletons are known of both: one deviation each way.
    assert found.raw.tolist() == pytest.approx([1.4, -1.4 - 5], abs=1e-5)


def test_z_scores_leave_out_what_is_not_known_and_what_does_not_vary() -> None:
    assert z_scores(np.array([1.0, 3.0, np.nan, np.inf])).tolist() == pytest.approx(
        [-1, 1, 0, 0], abs=1e-6
    )
    assert z_scores(np.array([2.0, 2.0])).tolist() == [0, 0]
    assert z_scores(np.array([np.nan])).tolist() == [0]


def test_weights_are_data_and_wrong_ones_are_refused() -> None:
    trials = [trial(GOOD), trial(POOR)]
    only = dict.fromkeys(WEIGHTS, 0.0) | {"coverage": 1.0}
    assert score(trials, [None, None], CODE, only).raw.tolist() == [0.9, 0.4]
    with pytest.raises(UsageError, match="no formula"):
        score(trials, [None, None], "w2")
    with pytest.raises(UsageError, match="weights are"):
        score(trials, [None, None], CODE, {"coverage": 1.0})


def rows(*given: tuple[str, str, float]) -> list[dict[str, object]]:
    return [
        {"dataset": dataset, "algorithm": "a", "signature": name, "score_raw_z": value}
        for dataset, name, value in given
    ]


def test_a_continuous_setting_is_averaged_by_its_step() -> None:
    leiden = load("leiden")
    same = {
        leiden.signature({"resolution": value, "temperature": 1.0}) for value in (1.16, 1.2, 1.24)
    }
    assert same == {"leiden|resolution=1.2|temperature=1"}


def test_a_setting_tried_once_in_an_easy_collection_does_not_win() -> None:
    table = signature_table(
        rows(
            ("one", "lucky", 3.0), ("one", "steady", 1.0), ("one", "poor", -1.0),
            ("two", "steady", 1.2), ("two", "poor", -1.2),
        )
    )  # fmt: skip
    chosen = robust(table)
    assert chosen is not None
    assert chosen["signature"] == "steady"
    assert (chosen["trials"], chosen["collections"]) == (2, 2)
    assert (chosen["avg_rank"], chosen["worst_z"], chosen["mean_z"]) == (1.5, 1.0, 1.1)


def test_of_one_collection_a_single_trial_is_drawn_towards_the_average() -> None:
    given = [("one", "often", 1.9)] * 4 + [("one", "once", 2.0)]
    given += [("one", f"other {number}", -1.0) for number in range(20)]
    table = signature_table(rows(*given))
    assert [row["signature"] for row in table[:2]] == ["often", "once"]
    assert robust([]) is None


def test_a_setting_ranked_down_in_a_collection_comes_after_those_that_are_not() -> None:
    given = [
        row | {"ranked_down": row["dataset"] == "two" and row["signature"] == "shaky"}
        for row in rows(
            ("one", "shaky", 2.0), ("one", "sound", 1.0), ("one", "poor", -1.0),
            ("two", "shaky", 2.0), ("two", "sound", 1.0), ("two", "poor", -1.0),
            ("one", "local", 3.0),
        )
    ]  # fmt: skip
    table = signature_table(given)
    assert {row["signature"]: row["ranked_down"] for row in table} == {
        "shaky": 1, "sound": 0, "poor": 0, "local": 0,
    }  # fmt: skip
    assert (robust(table) or {})["signature"] == "sound"
    all_down = signature_table([row | {"ranked_down": True} for row in given])
    assert (robust(all_down) or {})["signature"] == "shaky"


def test_few_trials_ranked_down_among_many_of_a_setting_count_for_nothing() -> None:
    given = rows(*[("one", "often", 1.0)] * 3, ("one", "other", -1.0))
    given[0]["ranked_down"] = True
    assert {row["ranked_down"] for row in signature_table(given)} == {0}
    given[1]["ranked_down"] = True
    assert [row["ranked_down"] for row in signature_table(given)] == [1, 0]
