"""Plots are legible with 3, 30 and 300 clusters, show every row, and come out the same each time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.text import Text

from ledgerkit.clustering.composition import shares
from ledgerkit.plotting.bars import bars
from ledgerkit.plotting.canvas import LONGEST_NAME, fitted, said, to_picture
from ledgerkit.plotting.captions import CAPTIONS
from ledgerkit.plotting.chart import MOST_NAMED, chart, grouped, middles
from ledgerkit.plotting.heatmap import heatmap
from ledgerkit.plotting.histogram import distribution, histogram
from ledgerkit.plotting.trials import Tried, trials_overview

LONG = "Iconografia della Fauna e della Flora delle Isole Lontane, tavola"
COUNTS = (3, 30, 300)


def points(clusters: int) -> tuple[np.ndarray, list[str | None], np.ndarray]:
    """Places on a map, long names of labels with some missing, and numbers with some noise."""
    draw = np.random.default_rng(clusters)
    numbers = np.sort(draw.integers(-1, clusters, 4 * clusters + 20))
    places = draw.uniform(-20, 20, (clusters + 1, 2))[numbers] + draw.normal(size=(len(numbers), 2))
    names = [None if number % 7 == 6 else f"{LONG} {number:,}" for number in numbers]
    return places, names, numbers


def drawings(clusters: int) -> Iterator[tuple[str, Any]]:
    """Every kind of figure that has to do with the number of clusters."""
    places, names, numbers = points(clusters)
    texts = [None if number < 0 else str(number) for number in numbers]
    sizes = np.bincount(numbers + 1)[1:].tolist()
    yield "label", chart(places, grouped(names, "no label"), f"By {LONG * 3}")
    marks = middles(places, numbers)
    yield "cluster", chart(places, grouped(texts, "noise"), "By cluster", marks=marks)
    labels = [f"{LONG} {number}" for number in range(min(clusters, 30))]
    top = sizes[: len(labels)]
    told = [f"{size:,}" for size in top]
    yield "bars", bars(labels, top, f"Most frequent of {LONG * 3}", LONG, told=told)
    table, rows, columns = shares(numbers.tolist(), names, most=15, columns=30)
    yield "heat", heatmap(table, [f"cluster {row}" for row in rows], columns, LONG, "fraction")
    bins = min(30, max(5, clusters))
    yield "sizes", histogram(sizes, "Sizes", "members", "clusters", bins=bins)
    lines = {f"mean {LONG[:30]}": 0.5, "among all plates 0.12": 0.12}
    yield "purity", histogram([0.3], LONG, LONG, "clusters", bins=20, span=(0, 1), lines=lines)
    tried = [
        Tried(place / clusters, None if place % 5 == 0 else place / clusters - 0.2,
              None if place % 7 == 0 else place / 9, place % 3 > 0, place == 1)
        for place in range(clusters)
    ]  # fmt: skip
    yield "trials", trials_overview(tried, f"{clusters} settings tried")
    yield "said", said(LONG * 3, f"Nothing to show of {LONG}.")


def texts_of(figure: Any) -> list[tuple[str, Any]]:
    """Every text that is drawn, with its box in pixels: ticks beyond the ends of an axis are not."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    hidden = {
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
        for label in (tick.label1, tick.label2)
    }
    found = [one for one in figure.findobj(Text) if one.get_visible() and one not in hidden]
    return [
        (one.get_text(), one.get_window_extent(renderer)) for one in found if one.get_text().strip()
    ]


@pytest.mark.parametrize("clusters", COUNTS)
def test_no_text_lies_over_another_or_leaves_the_picture(clusters: int) -> None:
    for name, figure in drawings(clusters):
        shown = texts_of(figure)
        assert shown
        for (one, box), (other, beside) in combinations(shown, 2):
            across = min(box.x1, beside.x1) - max(box.x0, beside.x0)
            down = min(box.y1, beside.y1) - max(box.y0, beside.y0)
            assert min(across, down) < 1, f"{name}: {one!r} and {other!r} overlap"
        for text, box in shown:
            assert -1 <= box.x0 < box.x1 <= figure.bbox.x1 + 1, f"{name}: {text!r}"
            assert -1 <= box.y0 < box.y1 <= figure.bbox.y1 + 1, f"{name}: {text!r}"


@pytest.mark.parametrize("clusters", COUNTS)
def test_the_map_draws_every_row_once_and_names_at_most_thirty(clusters: int) -> None:
    places, names, numbers = points(clusters)
    for categories in (names, [None if number < 0 else str(number) for number in numbers]):
        groups = grouped(categories, "none")
        figure = chart(places, groups, "Map")
        drawn = np.concatenate([one.get_offsets() for one in figure.axes[0].collections])
        assert sorted(map(tuple, drawn)) == sorted(map(tuple, places))
        legend = figure.legends[0].get_texts()
        assert len(legend) == len(groups) <= MOST_NAMED
        assert len({(group.colour, group.marker) for group in groups}) == len(groups)
        different = len({one for one in categories if one is not None})
        others = [group for group in groups if "others" in group.name]
        assert bool(others) == (different > MOST_NAMED - 1)
        assert legend[-1].get_text().startswith("none (")


def test_groups_follow_the_number_of_their_rows_then_the_number_of_the_cluster() -> None:
    given = [str(number) for number in range(12) for _ in range(3)] + ["11", None]
    assert [group.name for group in grouped(given, "noise")] == [
        "11 (4)", *(f"{number} (3)" for number in range(11)), "noise (1)",
    ]  # fmt: skip


def test_names_are_drawn_as_they_are_written() -> None:
    hostile = ["_hidden", "cost $5$ \\frac", "two\nlines", "鳥 plate", "", "x" * 200]
    figure = chart(np.zeros((6, 2)), grouped(hostile, "none"), "$\\notmath$")
    shown = {text.partition(" (")[0] for text, _ in texts_of(figure)}
    assert {"_hidden", "cost $5$ \\frac", "two lines", "\ufffd plate"} <= shown
    assert figure.get_suptitle() == "$\\notmath$"
    to_picture(bars(hostile, range(6), "$", "n", told=["1"] * 6))
    assert fitted("x" * 200) == "x" * 18 + "…" + "x" * 17
    assert len(fitted("x" * 200)) == LONGEST_NAME


def test_the_same_data_give_the_same_bytes_whatever_the_settings_of_the_user() -> None:
    def pictures() -> list[bytes]:
        drawn = [figure for name, figure in drawings(3) if name in ("cluster", "heat", "purity")]
        drawn.append(distribution([1.0, 2.0, 30.0], "Sizes", "megapixels", {"limit": 25.0}))
        return [to_picture(figure).png for figure in drawn]

    first = pictures()
    with mpl.rc_context({"font.size": 22, "axes.facecolor": "red", "savefig.dpi": 40}):
        assert pictures() == first
        assert mpl.rcParams["font.size"] == 22


def test_shares_of_each_row_add_up_to_one_whatever_is_left_out() -> None:
    draw = np.random.default_rng(2)
    clusters = draw.integers(-1, 40, 4000).tolist()
    labels = [None if one == 0 else f"label {one}" for one in draw.integers(0, 90, 4000)]
    table, rows, columns = shares(clusters, labels, most=15, columns=30)
    assert table.shape == (15, 30)
    assert np.allclose(table.sum(axis=1), 1)
    assert columns[-1] == "60 others"
    assert -1 not in rows
    mine = [label for cluster, label in zip(clusters, labels, strict=True) if cluster == rows[0]]
    known = [label for label in mine if label is not None]
    assert table[0, 0] == pytest.approx(known.count(columns[0]) / len(known))


def test_every_caption_has_both_texts_and_tags() -> None:
    for name, caption in CAPTIONS.items():
        assert caption.tags, name
        assert caption.interpretation.endswith(".")
        assert caption.warning_signs.endswith(".")
    assert len({caption.interpretation for caption in CAPTIONS.values()}) == len(CAPTIONS)
