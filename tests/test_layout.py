"""Names and places, without a disk: what is safe, what is an id, what a selection names."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ledgerkit import layout
from ledgerkit.errors import UnsafePath, UsageError

_LEAVE = [
    "", "/", "/etc/passwd", "//a", "a//b", "a/", "./a", "a/./b", "..", "../a", "a/..", "a/../../b",
    "a/b/../..", "\0", "a\0b", "a/\0", ".", "x" * 256, "a/" + "\u00e9" * 128, "\ud800", "a/\udbff",
]  # fmt: skip
"""Paths that leave the folder they are relative to, or that nobody can open."""

_UNWRITABLE = [
    "a\\b", "..\\a", "C:", "C:/a", "c:\\windows", "a:b", "a<b", "a>b", 'a"b', "a|b", "a?b", "a*b",
    "tab\tname", "line\nname", "bell\a", "delete\x7f", "next\x85line", "\x9bcsi", "con", "CON",
    "Con.txt", "nul", "NUL.tar.gz", "aux", "prn.json", "com1", "COM9.txt", "lpt1", "LPT\u00b9", "com\u00b2.x",
    "CONIN$", "conout$", "dot.", "space ", " space", "~", "~root", "folder./file", "folder /file",
    "e\u0301.png", "\u212b", "\u1112\u1161\u11ab", "a/con/b", "a/aux.c",
]  # fmt: skip

_WRITABLE = [
    "a", "a/b/c.txt", ".hidden", "..a", "a..b", "...b", "con1", "console", "com", "com10", "lpt",
    "null", "auxiliary.txt", "\u00e9.png", "\u4e2d\u6587", "\U0001f426.jpg", "a b", "a~b", "x" * 255,
    "Plate 001 (recto).jpg", "50%", "a&b;c", "'quoted'", "$HOME", "-rf", "a+b=c,d",
]  # fmt: skip


@pytest.mark.parametrize("path", _LEAVE)
def test_a_path_that_leaves_its_folder_is_refused(path: str) -> None:
    with pytest.raises(UnsafePath):
        layout.contained_path(path)
    with pytest.raises(UnsafePath):
        layout.written_path(path)


@pytest.mark.parametrize("path", _UNWRITABLE)
def test_a_name_that_some_file_system_refuses_or_aliases_is_not_written(path: str) -> None:
    with pytest.raises(UnsafePath, match="name"):
        layout.written_path(path)


@pytest.mark.parametrize("path", _UNWRITABLE)
def test_what_others_wrote_keeps_its_bytes(path: str) -> None:
    assert layout.contained_path(path) == path


@pytest.mark.parametrize("path", _WRITABLE)
def test_other_names_are_written_as_they_are(path: str) -> None:
    assert layout.written_path(path) == path


def test_names_that_no_encoding_holds_are_read_but_never_written() -> None:
    """As the system gives a name that is not UTF-8: with escapes in place of its bytes."""
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    assert layout.contained_path(name) == name
    with pytest.raises(UnsafePath):
        layout.written_path(name)


@given(st.text(max_size=12))
def test_no_path_that_is_taken_has_an_element_that_leads_up(path: str) -> None:
    try:
        layout.contained_path(path)
    except UnsafePath:
        return
    assert not path.startswith("/")
    assert not {"", ".", ".."} & set(path.split("/"))


@given(st.text(max_size=8), st.sampled_from(["NFC", "NFD", "NFKC"]))
def test_names_that_differ_in_case_or_form_have_one_key(name: str, form: str) -> None:
    same = unicodedata.normalize("NFC", name)
    assert layout.name_key(unicodedata.normalize("NFD", name)) == layout.name_key(same)
    assume(form != "NFKC")
    assert layout.name_key(unicodedata.normalize(form, name).casefold()) == layout.name_key(name)


def test_different_names_have_different_keys() -> None:
    assert layout.name_key("Straße.png") == layout.name_key("STRASSE.PNG")
    assert layout.name_key("cafe\u0301") == layout.name_key("CAFÉ")
    assert layout.name_key("cafe") != layout.name_key("café")


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("plate-001", True),
        ("plate-000", True),
        ("plate-1000", True),
        ("plate-123456", True),
        ("plate-1", False),
        ("plate-01", False),
        ("plate-0100", False),
        ("plate-001\n", False),
        (" plate-001", False),
        ("Plate-001", False),
        ("plate-٠٠١", False),
        ("plate-00a", False),
        ("plate-", False),
    ],
)
def test_plate_ids(text: str, good: bool) -> None:
    assert layout.is_plate_id(text) is good


@given(st.integers(0, 10**6))
def test_every_number_has_a_plate_id(number: int) -> None:
    assert layout.is_plate_id(layout.plate_id(number))
    assert int(layout.plate_id(number)[6:]) == number


def test_a_negative_plate_number_is_refused() -> None:
    with pytest.raises(UsageError):
        layout.plate_id(-1)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("run-20240229-235959Z-0123456789ab", True),
        ("run-20240229-235959Z-0123456789AB", False),
        ("run-20240229-235959Z-0123456789abc", False),
        ("run-20240229-235959Z-0123456789ab\n", False),
        ("run-20240229-235959-0123456789ab", False),
        ("xrun-20240229-235959Z-0123456789ab", False),
    ],
)
def test_run_ids(text: str, good: bool) -> None:
    assert layout.is_run_id(text) is good


@given(st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1)), st.integers(-12, 14))
def test_a_run_id_names_its_second_in_utc(moment: datetime, offset: int) -> None:
    local = moment.replace(tzinfo=timezone(timedelta(hours=offset)))
    found = layout.run_id(local, "ab" * 32)
    assert layout.is_run_id(found)
    assert layout.run_moment(found) == local.astimezone(UTC).replace(microsecond=0)
    later = layout.run_id(local + timedelta(seconds=1), "00" * 32)
    assert found < later


def test_runs_lie_below_their_subject() -> None:
    assert layout.run_folder("plate-001", "run-x") == "plates_structured/plate-001/runs/run-x"
    assert layout.run_folder("collection", "run-x") == "runs/run-x"


_KNOWN = ["plate-001", "plate-002", "plate-010", "plate-011", "plate-020", "plate-1000"]


@pytest.mark.parametrize(
    ("selection", "places"),
    [
        ("plate-001", [0]),
        ("1", [0]),
        ("plate-020,plate-001", [0, 4]),
        ("plate-010..020", [2, 3, 4]),
        ("plate-010..plate-020", [2, 3, 4]),
        ("10..", [2, 3, 4, 5]),
        ("2..2, 1000", [1, 5]),
        ("1..999,1..999", [0, 1, 2, 3, 4]),
        ("plate-1000", [5]),
    ],
)
def test_a_selection_names_plates_in_their_order(selection: str, places: list[int]) -> None:
    assert layout.select_plates(selection, _KNOWN) == [_KNOWN[place] for place in places]


@pytest.mark.parametrize(
    "selection",
    ["", ",", "plate-", "x", "5", "3..9", "20..10", "plate-001,", "-1", "1...3", "..5", "1;2", "²"],
)
def test_a_selection_that_names_nothing_is_refused(selection: str) -> None:
    with pytest.raises(UsageError, match="plate"):
        layout.select_plates(selection, _KNOWN)


@pytest.mark.parametrize(
    ("places", "terms"),
    [
        ([], []),
        ([0, 1, 2, 3, 4, 5], ["plate-001..1000"]),
        ([1, 3, 4], ["plate-002", "plate-011..020"]),
        ([5, 0], ["plate-001", "plate-1000"]),
    ],
)
def test_plates_are_named_by_a_selection_of_just_them(places: list[int], terms: list[str]) -> None:
    assert layout.selection([_KNOWN[place] for place in places], _KNOWN) == terms
    if terms:
        chosen = layout.select_plates(",".join(terms), _KNOWN)
        assert chosen == [_KNOWN[place] for place in sorted(places)]


def test_plates_are_sorted_by_their_numbers() -> None:
    numbers = [1000, 2, 999, 10000, 0, 100]
    found = layout.sort_plates([layout.plate_id(number) for number in numbers])
    assert found == [layout.plate_id(number) for number in sorted(numbers)]
