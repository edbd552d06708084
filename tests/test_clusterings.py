"""The judge of clusterings: known answers, the three ways of noise, levels, the command."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from ledgerkit.testing.clusterings import OWN, REMOVED, SINGLE, judge, levels_of, main
from ledgerkit.testing.engravings import draw
from ledgerkit.testing.handles import Produced

LABELS = ["bird"] * 4 + ["shell"] * 4


def test_groups_that_are_the_labels_under_other_numbers_are_perfect_and_have_one_row() -> None:
    (found,) = judge([7] * 4 + [3] * 4, LABELS)
    assert (found.ari, found.ami, found.purity, found.coverage) == (1.0, 1.0, 1.0, 1.0)


def test_one_cluster_agrees_with_nothing_and_is_as_pure_as_the_greatest_class() -> None:
    (found,) = judge([0] * 8, ["bird"] * 5 + ["shell"] * 3)
    assert found.ari == 0
    assert found.ami == pytest.approx(0, abs=1e-9)
    assert found.purity == 5 / 8


def test_noise_is_counted_in_three_ways_that_differ() -> None:
    by_way = {one.noise_is: one for one in judge([0, 0, 0, -1, 1, 1, 1, -1], LABELS)}
    assert list(by_way) == [OWN, REMOVED, SINGLE]
    own, removed, single = by_way.values()
    assert own.purity == 7 / 8
    assert own.ari is not None
    assert own.ari < 1
    assert (removed.ari, removed.purity, removed.coverage) == (1.0, 1.0, 0.75)
    assert single.purity == 1.0
    # 6 of 12 pairs of a class together; expected 12 * 6 / 28; the greatest possible is 9.
    assert single.ari == pytest.approx((6 - 12 * 6 / 28) / (9 - 12 * 6 / 28))
    assert own.coverage == single.coverage == 1.0


def test_nothing_but_noise_leaves_nothing_to_compare_when_it_is_removed() -> None:
    own, removed, single = judge([-1] * 8, LABELS)
    assert own.ari == 0
    assert (removed.ari, removed.ami, removed.purity, removed.coverage) == (None, None, None, 0.0)
    assert single.purity == 1.0


def test_the_finest_level_gives_the_deepest_cluster_and_noise_only_where_there_is_none() -> None:
    import pyarrow as pa

    rows = [
        {"level": level, "subject_id": name, "cluster_id": home, "label": label}
        for level, name, home, label in [
            (2, "a.png", "cluster-c", 0),
            (2, "b.png", None, -1),
            (2, "c.png", None, -1),
            (1, "a.png", "cluster-p", 0),
            (1, "b.png", "cluster-p", 0),
            (1, "c.png", None, -1),
        ]
    ]
    produced = Produced(arrow_tables={"cluster_members": pa.Table.from_pylist(rows)})
    assert levels_of(produced) == {
        "1": {"a.png": 0, "b.png": 0, "c.png": -1},
        "2": {"a.png": 0, "b.png": -1, "c.png": -1},
        "finest": {"a.png": 1, "b.png": 0, "c.png": -1},
    }


def test_the_command_judges_each_level_by_each_column_and_says_what_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["file\tgroup\thalf"]
    for place, family in enumerate(["bird", "shell"] * 6):
        image = Image.fromarray(draw(family, 300 + place).pixels)
        image.thumbnail((200, 200))
        image.save(tmp_path / f"{place}.png")
        lines.append(f"{place}.png\t{family}\t{'one' if place < 6 else ''}")
    (tmp_path / "labels.tsv").write_text("\n".join(lines))
    main(
        [
            str(tmp_path),
            str(tmp_path / "labels.tsv"),
            "--by",
            "group",
            "half",
            "--set",
            "levels=flat",
        ]
    )
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "12 images: 12 in 2 classes by group; 6 in 1 classes by half"
    assert "failed preflight/rows: 12 rows, at least 100 wanted" in said
    rows = [line.strip("| ").split(" | ") for line in said if line.startswith("| ")][2:]
    assert {(row[0], row[1]) for row in rows} >= {
        (level, column) for level in ("1", "finest") for column in ("group", "half")
    }
    assert {row[0] for row in rows} == {"1", "finest"}, "the parameter that was set"
    assert all(row[5] == "1.000" for row in rows if row[4] != REMOVED)
    by_group = next(row for row in rows if row[:2] == ["finest", "group"])
    assert 0.5 <= float(by_group[8]) <= 1
