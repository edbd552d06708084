"""Catalogues: how they are read, and what is odd about their entries."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerkit.catalogue import Entry, agrees, check_entries, read_catalogue, words
from ledgerkit.errors import InvalidRecord, LimitExceeded
from ledgerkit.findings import Finding

BIRDS = [
    "Wild Turkey",
    "Purple Finch",
    "Snowy Owl",
    "Barn Swallow",
    "Great Auk",
    "Sea Side Finch",
    "Black Rail",
    "House Wren",
    "Tree Sparrow",
    "Fish Hawk",
    "Blue Jay",
    "Ruby Crowned Kinglet",
    "Night Heron",
    "Sooty Tern",
    "Marsh Hawk",
]


def entry(number: int, name: str, slug: str | None = None) -> Entry:
    made = "-".join(words(name)) if slug is None else slug
    return Entry(number, name, made, f"{number}-{made}.jpg", None, {})


def collection(names: list[str] = BIRDS) -> list[Entry]:
    return [entry(number, name.strip()) for number, name in enumerate(names, 1)]


def retitled(entries: list[Entry], titles: dict[int, str]) -> list[Entry]:
    """The entries with other titles at some places, slugs and files as they were."""
    return [
        Entry(one.plate, titles.get(place, one.name), one.slug, one.file_name, None, {})
        for place, one in enumerate(entries)
    ]


def shifted(entries: list[Entry], first: int, last: int, step: int) -> list[Entry]:
    """The entries with titles of places `first` to `last` taken from `step` places on."""
    return retitled(
        entries, {place: entries[place + step].name for place in range(first, last + 1)}
    )


def said(entries: list[Entry]) -> list[tuple[str, str]]:
    return [(one.code, one.subject) for one in check_entries(entries)]


def read(value: object) -> tuple[list[Entry], list[Finding]]:
    return read_catalogue(json.dumps(value).encode(), "data.json")


def test_a_sound_catalogue_has_no_findings() -> None:
    assert said(collection()) == []


@pytest.mark.parametrize(("first", "last"), [(1, 3), (2, 9), (1, 13), (11, 13)])
def test_titles_of_the_plate_before_are_found_as_exactly_that_range(first: int, last: int) -> None:
    (found,) = check_entries(shifted(collection(), first, last, -1))
    assert (found.code, found.subject) == (
        "TITLES_SHIFTED",
        f"plate-{first + 1:03d}..plate-{last + 1:03d}",
    )
    assert "those of the plate before" in found.message


@pytest.mark.parametrize(("first", "last"), [(0, 2), (2, 9), (0, 13), (11, 13)])
def test_titles_of_the_plate_after_are_found_as_exactly_that_range(first: int, last: int) -> None:
    (found,) = check_entries(shifted(collection(), first, last, 1))
    assert (found.code, found.subject) == (
        "TITLES_SHIFTED",
        f"plate-{first + 1:03d}..plate-{last + 1:03d}",
    )
    assert "those of the plate after" in found.message


def test_two_shifts_in_both_directions_are_both_found() -> None:
    entries = shifted(shifted(collection(), 1, 4, -1), 8, 11, 1)
    assert said(entries) == [
        ("TITLES_SHIFTED", "plate-002..plate-005"),
        ("TITLES_SHIFTED", "plate-009..plate-012"),
    ]


def test_two_slips_are_no_shift() -> None:
    assert said(shifted(collection(), 4, 5, -1)) == [
        ("SLUG_TITLE_DISAGREE", "plate-005"),
        ("SLUG_TITLE_DISAGREE", "plate-006"),
    ]


def test_a_single_wrong_title_beside_a_shift_stays_a_finding_of_its_own() -> None:
    entries = retitled(shifted(collection(), 5, 9, -1), {12: "Something Else"})
    assert said(entries) == [
        ("TITLES_SHIFTED", "plate-006..plate-010"),
        ("SLUG_TITLE_DISAGREE", "plate-013"),
    ]


def test_the_case_of_the_audubon_catalogue() -> None:
    """A plate was left out, titles moved up by one until another was cut: only in long titles."""
    rows = [
        (357, "American Magpie", "american-magpie"),
        (358, "Pine Grosbeak", "pine-grosbeak"),
        (359, "Arkansaw Flycatcher, Swallow-Tailed Flycatcher", "arkansaw-flycatcher"),
        (361, "Winter Wren and Rock Wren", "long-tailed-or-dusky-grous"),
        (362, "Long-tailed, or Dusky Grous", "yellow-billed-magpie"),
        (363, "Yellow-Billed Magpie, Stellers Jay", "bohemian-chatterer"),
        (364, "Bohemian Chatterer", "white-winged-crossbill"),
        (365, "White-winged Crossbill", "lapland-long-spur"),
        (366, "Lapland Long-spur", "iceland-or-jer-falcon"),
        (367, "Iceland, or Jer Falcon", "band-tailed-pigeon"),
        (368, "Arkansaw Siskin, Mealy Red-poll", "arkansaw-siskin"),
        (369, "Red-breasted Merganser", "red-breasted-merganser"),
    ]
    assert said([entry(*row) for row in rows]) == [
        ("PLATE_NUMBER_GAP", "plate-360"),
        ("TITLES_SHIFTED", "plate-361..plate-367"),
    ]


def test_a_slip_of_the_pen_does_not_break_a_shift() -> None:
    names = collection()
    entries = shifted(names, 3, 9, -1)
    entries = retitled(entries, {6: names[5].name.replace("Finch", "Finsh")})
    assert ("TITLES_SHIFTED", "plate-004..plate-010") in said(entries)


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("The Birds of America", "birds-america"),
        ("Birds of the America", "the-birds-of-america"),
        ("Say's Flycatcher", "says-flycatcher"),
        ("Say’s Flycatcher", "says-flycatcher"),
        ("Clark's Crow, Stellers Jay", "clarks-crow"),
        ("Pétrel de l’Océan", "petrel-de-locean"),
        ("Mærz-Blüte", "maerz-blute"),
        ("Straße", "strasse"),
        ("Snow Bird", "snowbird"),
        ("Snowbird", "snow-bird"),
        ("To the", "to-the"),
        ("Дикая утка", "дикая-утка"),
        ("Wild Turkey", "Wild_Turkey"),
        ("WILD TURKEY 2", "wild-turkey-2"),
    ],
)
def test_slugs_follow_titles_without_small_words_apostrophes_and_accents(
    title: str, slug: str
) -> None:
    assert agrees(title, slug)


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Wild Turkey", "turkey"),
        ("Wild Turkey", ""),
        ("", "wild-turkey"),
        ("Wild", "wild-turkey"),
        ("To the", "the"),
        ("Wild Turkey", "wildt"),
        ("Дикая утка", "белая-сова"),
    ],
)
def test_slugs_that_do_not_follow_are_seen(title: str, slug: str) -> None:
    assert not agrees(title, slug)


def test_numbers_used_twice_gaps_and_slugs_used_twice() -> None:
    entries = [entry(1, "Owl"), entry(2, "Jay"), entry(2, "Wren"), entry(4, "Owl"), entry(9, "Auk")]
    assert [(one.code, one.subject, one.severity) for one in check_entries(entries)] == [
        ("PLATE_NUMBER_DUPLICATE", "plate-002", "error"),
        ("PLATE_NUMBER_GAP", "plate-003", "warning"),
        ("PLATE_NUMBER_GAP", "plate-005", "warning"),
        ("SLUG_DUPLICATE", "owl", "warning"),
    ]


@given(
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from(BIRDS), st.sampled_from(BIRDS))),
    st.randoms(use_true_random=False),
)
def test_the_order_of_entries_makes_no_difference(
    rows: list[tuple[int, str, str]], order: random.Random
) -> None:
    entries = [entry(number, name, "-".join(words(slug))) for number, name, slug in rows]
    mixed = entries.copy()
    order.shuffle(mixed)
    assert check_entries(mixed) == check_entries(entries)


@given(st.integers(1, 11), st.integers(2, 12), st.sampled_from([-1, 1]))
def test_every_shift_of_three_or_more_is_one_finding(first: int, length: int, step: int) -> None:
    last = min(first + length, 13)
    if last - first < 2:
        return
    assert said(shifted(collection(), first, last, step)) == [
        ("TITLES_SHIFTED", f"plate-{first + 1:03d}..plate-{last + 1:03d}")
    ]


GOOD = {"plate": 1, "name": "Wild Turkey", "slug": "wild-turkey", "fileName": "1.jpg"}


def test_reads_json_with_and_without_a_frame_and_keeps_all_fields() -> None:
    row = GOOD | {"download": "https://example.org/1.jpg", "artist": "J.", "year": [1827, 1838]}
    (one,), none = read([row])
    assert none == []
    assert (one.plate, one.name, one.slug, one.file_name, one.download) == (
        1,
        "Wild Turkey",
        "wild-turkey",
        "1.jpg",
        "https://example.org/1.jpg",
    )
    assert one.verbatim == row
    assert read({"version": 2, "plates": [row]})[0] == [one]
    marked = b"\xef\xbb\xbf" + json.dumps([row]).encode()
    assert read_catalogue(marked, "data.json")[0] == [one]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_reads_separated_text(separator: str, mark: bytes, end: str) -> None:
    lines = ["plate_number|title|file|place", '7|"Große ""Möwe"", Adler"|7.tif|Halle']
    text = end.join(line.replace("|", separator) for line in lines) + end
    (one,), none = read_catalogue(mark + text.encode(), "list.csv")
    assert none == []
    assert (one.plate, one.name, one.slug, one.file_name) == (
        7,
        'Große "Möwe", Adler',
        "grosse-mowe-adler",
        "7.tif",
    )
    assert one.verbatim["place"] == "Halle"
    assert list(one.verbatim) == ["plate_number", "title", "file", "place"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"plate": None}, "plate is null"),
        ({"plate": "one"}, 'plate is "one"'),
        ({"plate": -1}, "plate is -1"),
        ({"plate": 1.5}, "plate is 1.5"),
        ({"plate": True}, "plate is true"),
        ({"plate": 2**60}, "plate is larger than"),
        ({"plate": "9" * 400}, "plate is larger than"),
        ({"plate": "9" * 5000}, "plate is larger than"),
        ({"name": None}, "it has no name"),
        ({"name": ""}, "it has no name"),
        ({"name": ["Turkey"]}, "it has no name"),
        ({"slug": 3}, "slug is not text"),
        ({"fileName": {"a": 1}}, "fileName is not text"),
        ({"download": 3}, "download is not text"),
        ({"weight": 2**60}, "canonical JSON"),
        ({"weight": "\ud800"}, "canonical JSON"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named_with_its_place(
    change: dict[str, object], reason: str
) -> None:
    entries, (found,) = read([GOOD | {"plate": 2}, GOOD | change])
    assert [one.plate for one in entries] == [2]
    assert (found.code, found.subject) == ("ENTRY_INVALID", "entry 2")
    assert reason in found.message


@pytest.mark.parametrize("row", ["text", 1, None, []])
def test_an_entry_that_is_no_object_is_a_finding(row: object) -> None:
    entries, (found,) = read([row])
    assert entries == []
    assert found.code == "ENTRY_INVALID"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"{}", "data.json"),
        (b"7", "data.json"),
        (b"[", "data.json"),
        (b"[NaN]", "data.json"),
        (b'[{"plate": 1, "plate": 2}]', "data.json"),
        (b"[" * 100_000, "data.json"),
        ("Möwe".encode("latin-1"), "list.csv"),
        (b"\xff\xfep\x00l\x00", "list.csv"),
        (b'plate,name\n1,"' + b"x" * 200_000 + b'"\n', "list.csv"),
    ],
)
def test_a_file_that_is_no_catalogue_is_refused(data: bytes, name: str) -> None:
    with pytest.raises((InvalidRecord, LimitExceeded), match=name):
        read_catalogue(data, name)


def test_a_catalogue_beyond_all_measure_is_refused() -> None:
    with pytest.raises(LimitExceeded):
        read_catalogue(b"[" + b" " * (65 << 20) + b"]", "data.json")
