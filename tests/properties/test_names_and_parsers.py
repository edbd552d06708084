"""Laws of names, paths and parsers: whatever is given, a value or one of our errors, never more."""

from __future__ import annotations

import contextlib
import json
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerkit import layout
from ledgerkit.canonical import canonical_bytes, parse_json, refuse_unsafe_numbers
from ledgerkit.errors import InvalidRecord, LedgerkitError, UnsafePath
from ledgerkit.intent import planned
from ledgerkit.names import check_paths
from ledgerkit.reading import Tree
from ledgerkit.records import decode_inputs, decode_manifest, decode_outputs, decode_run

_text = st.text(st.characters(codec=None), max_size=30)
_odd = st.sampled_from(
    ["con", "NUL.txt", "a.", "a ", "~a", "..", ".", "a/../b", "/a", "a\\b", "e\u0301", "\u00e9",
     "\u1112\u1161\u11ab", "\ud55c", "ß", "ss", "İ", "i", "ı", "I", "\x1b[2J", "\udcff", "\0"]
)  # fmt: skip
_names = st.one_of(_text, _odd, st.tuples(_odd, _text, _odd).map("".join))


@given(_names)
def test_a_name_without_a_problem_is_one_that_every_file_system_keeps(name: str) -> None:
    if not name or layout.name_problem(name):
        return
    assert unicodedata.is_normalized("NFC", name)
    assert len(name.encode()) <= 255
    assert len(name.encode("utf-16-le")) <= 510
    assert not set(name) & set('\\:*?"<>|\0')
    assert name.rstrip(". ") == name
    assert layout.is_ours(f"schemas/{name}") or "/" in name


@given(_names, _names)
def test_names_that_a_file_system_may_take_for_one_another_have_one_key(a: str, b: str) -> None:
    key = layout.name_key
    for form in ("NFC", "NFD"):
        assert key(unicodedata.normalize(form, a)) == key(a)
    assert key(a.casefold()) == key(a)
    if a.casefold() == b.casefold():
        assert key(a) == key(b)
    twins = layout.twins([a, b])
    assert bool(twins) == (key(a) == key(b))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Straße", "STRASSE", True),
        ("caf\u00e9", "cafe\u0301", True),
        ("\ud55c", "\u1112\u1161\u11ab", True),
        ("\u212b", "\u00e5", True),
        ("PLATE", "plate", True),
        ("\u0130", "i\u0307", True),
        ("\u0131", "i", False),
        ("v1", "v10", False),
        ("ﬁ", "fi", True),
    ],
)
def test_known_pairs(one: str, other: str, same: bool) -> None:
    assert (layout.name_key(one) == layout.name_key(other)) is same
    assert layout.shown(one) != layout.shown(other)


def test_endless_combining_marks_take_no_time() -> None:
    """Normalising a run of marks of two classes grows with the square of its length."""
    began = time.process_time()
    for count in (10_000, 1_000_000):
        name = "a" + "\u0301\u0323" * (count // 2)
        assert layout.name_key(name) == name
        assert "255 bytes" in str(layout.name_problem(name))
        with pytest.raises(UnsafePath):
            layout.contained_path(name)
    assert time.process_time() - began < 2


@given(st.lists(_names, max_size=6).map("/".join))
def test_no_path_of_a_record_reads_anything_outside(tmp_path: Path, path: str) -> None:
    (tmp_path / "root").mkdir(exist_ok=True)
    tree = Tree(tmp_path / "root")
    try:
        tree.read(path)
    except (LedgerkitError, OSError):
        return
    raise AssertionError(path)


@given(st.lists(_names, max_size=5))
def test_paths_of_a_record_are_sound_or_findings(paths: list[str]) -> None:
    found = {one.code for one in check_paths("here", paths)}
    assert found <= {"PATH_UNSAFE", "NAME_COLLIDES"}
    for one in check_paths("here", paths):
        assert one.message.isprintable()


def test_a_path_inside_another_is_told() -> None:
    assert layout.inside_another(["a/b", "a/bc", "a"]) == ("a", "a/b")
    assert layout.inside_another(["v1/x", "v10", "v"]) is None


_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _text),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)


@given(st.one_of(st.binary(max_size=60), _json.map(lambda value: json.dumps(value).encode())))
def test_no_bytes_make_a_parser_raise_anything_but_our_errors(data: bytes) -> None:
    for parse in (parse_json, decode_run, decode_manifest, decode_inputs, decode_outputs):
        with contextlib.suppress(LedgerkitError):
            parse(data, "here")
    with contextlib.suppress(LedgerkitError):
        planned(data)


@given(_json)
def test_what_the_parser_takes_can_be_written_or_is_refused(value: object) -> None:
    try:
        taken = parse_json(json.dumps(value).encode(), "here")
        refuse_unsafe_numbers(taken, "here")
        written = canonical_bytes(taken)
    except InvalidRecord:
        return
    assert canonical_bytes(parse_json(written, "here", lone_surrogates=True)) == written
