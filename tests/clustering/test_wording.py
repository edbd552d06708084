"""Words for groups: what tells them apart, in any order, never twice the same."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ledgerkit.clustering.wording import Subject, describe_groups, weigh, words_of
from ledgerkit.imaging.colour_words import colour_word
from ledgerkit.imaging.lab import to_fine_lab

BROWN, CREAM, BLUE = ("brown", 3.0), ("cream", 1.0), ("blue", 1.0)


@pytest.mark.parametrize(
    ("rgb", "word"),
    [
        ((255, 0, 0), "red"),
        ((255, 165, 0), "orange"),
        ((255, 255, 0), "yellow"),
        ((0, 128, 0), "green"),
        ((0, 128, 128), "blue-green"),
        ((0, 0, 255), "blue"),
        ((0, 0, 128), "dark blue"),
        ((238, 130, 238), "purple"),
        ((255, 192, 203), "pink"),
        ((255, 105, 180), "pink"),
        ((139, 69, 19), "brown"),
        ((210, 180, 140), "beige"),
        ((236, 226, 200), "cream"),
        ((128, 128, 0), "olive"),
        ((0, 0, 0), "black"),
        ((128, 128, 128), "grey"),
        ((255, 255, 255), "white"),
    ],
)
def test_colours_have_the_names_that_people_give_them(rgb: tuple[int, ...], word: str) -> None:
    assert colour_word(to_fine_lab(np.array(rgb, np.uint8)).tolist()) == word


def test_words_are_letters_in_lower_case_without_function_words() -> None:
    assert words_of("Le Héron d'Amérique, No. 12 of the river") == {"héron", "amérique", "river"}


def test_a_word_weighs_by_how_much_more_members_have_it_than_others() -> None:
    inside, outside = Counter(heron=8, bird=9, reed=1), Counter(bird=80, reed=1)
    z = weigh(inside, outside, 10, 90)
    assert z["heron"] > 2 > abs(z["bird"])
    assert z["heron"] > z["reed"]
    assert weigh(Counter(bird=3), Counter(), 3, 0)["bird"] > 0  # one group only


def groups() -> dict[str, list[Subject]]:
    herons = ["Great blue Heron", "Heron by the river", "Night heron", "White Heron"]
    owls = ["Barn Owl", "Snowy Owl", "Hawk Owl", "Little owl"]
    return {
        "a": [Subject(f"{t}, male", (BROWN, CREAM), 0.5, 0.5, 0.05, 0.1) for t in herons],
        "b": [Subject(f"{t}, male", (BLUE,), 1.0, 0.95, 0.7, 0.4) for t in owls],
    }


def test_names_say_what_members_share_and_others_do_not() -> None:
    found = describe_groups(groups())
    assert found["a"].name == "Heron: brown and cream, tall, plain"
    assert found["b"].name.startswith("Owl: blue")
    assert "male" not in found["a"].name.casefold()  # a stop word of the collection
    assert "Heron (4 of 4)" in found["a"].description
    assert "brown 75%" in found["a"].description
    words = found["a"].evidence["words"]
    assert isinstance(words, list)
    assert words[0]["word"] == "heron"


def test_the_same_members_in_another_order_give_the_same_words() -> None:
    turned = {key: members[::-1] for key, members in groups().items()}
    assert describe_groups(turned) == describe_groups(groups())


def test_no_two_groups_have_one_name_and_every_group_has_one() -> None:
    same = [Subject("", (BLUE,)) for _ in range(3)]
    found = describe_groups({"a": same, "b": [*same, Subject("", (BROWN,))], "c": same, "d": []})
    names = [one.name for one in found.values()]
    assert names == ["Blue (1)", "Blue and brown", "Blue (2)", "Nothing in common"] or len(
        set(names)
    ) == len(names)
    assert all(names)
