"""The report of sweeps: numbers of the ledgers, in a real browser, from the disk."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ledgerkit.api import Repository
from ledgerkit.errors import MissingInput
from ledgerkit.export.swept import load_sweeps
from ledgerkit.pages.chosen import expected, overall_of, trade_offs
from ledgerkit.pages.recommended import recommendation
from ledgerkit.pages.sweep_report import SweepReportView, build
from ledgerkit.testing.swept import put_survey, put_sweep

from .browsing import CONTRAST, UNNAMED, Opened
from .conftest import HOSTILE

Made = tuple[Path, SweepReportView, Repository]


@pytest.fixture(scope="module")
def made(_shown: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The report of a hostile collection with figures and of one without. Do not change it."""
    folder = tmp_path_factory.mktemp("sweeps")
    shutil.copytree(_shown, folder / "archive", symlinks=True)
    repository = Repository.open(folder / "archive")
    put_survey(repository, put_sweep(repository, 3, 40, collection=HOSTILE))
    put_sweep(repository, 2, 40, seed=5, collection="second")
    repository.consolidate()
    view = build(load_sweeps([repository._archive]), folder / "report")
    return folder / "report", view, repository


@pytest.fixture
def opened(browser: Any, made: Made) -> Iterator[Opened]:
    found = Opened(browser, made[0])
    yield found
    found.close()


def test_the_page_opens_from_the_disk_and_can_be_read_by_all(opened: Opened) -> None:
    page = opened.open("index.html")
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate(CONTRAST) == []
    assert page.locator("h1").count() == 1
    images = page.locator("img")
    assert images.count() == 8 + 3 + 2
    for place in range(images.count()):
        images.nth(place).scroll_into_view_if_needed()
        images.nth(place).evaluate("one => one.decode()")
    levels = page.evaluate(
        "() => [...document.querySelectorAll('h1, h2, h3')].map((one) => Number(one.tagName[1]))"
    )
    assert all(after - before <= 1 for before, after in pairwise(levels))
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_hostile_names_are_text(opened: Opened) -> None:
    page = opened.open("index.html")
    assert HOSTILE in page.inner_text("nav")
    assert page.locator("img[src=x]").count() == 0
    target = page.get_attribute("nav a:nth-child(3)", "href")
    page.click("nav a:nth-child(3)")
    assert HOSTILE in page.inner_text(f"{target} h2")
    assert re.fullmatch(r"#[\w.-]+", target)


def test_the_page_says_what_the_ledgers_say(opened: Opened, made: Made) -> None:
    _, view, repository = made
    collections = load_sweeps([repository._archive])
    overall = overall_of(collections)
    page = opened.open("index.html")
    card = page.inner_text("#recommendation")
    assert overall.robust == view.robust
    assert str(view.robust) in card
    for line in trade_offs(collections, overall):
        assert line in card
    best = repository.query(
        "SELECT trial, score, silhouette FROM current_sweep_trials WHERE rank = 1 "
        "AND collection = 'second'"
    ).to_dicts()[0]
    first = page.inner_text("#collection-second table tbody tr:first-child").split("\t")
    assert first[:2] == ["1", str(best["trial"])]
    assert first[3] == f"{best['score']:.2f}"
    record = repository.query("SELECT record_sha256 FROM runs WHERE operation = 'sweep'")[
        "record_sha256"
    ]
    for digest in record:
        assert digest in page.inner_text("main")
    assert "ledgerkit sweep plots --collection second" in page.inner_text("#collection-second")


def test_what_to_expect_is_the_mean_and_the_worst_over_collections(made: Made) -> None:
    collections = load_sweeps([made[2]._archive])
    signature = overall_of(collections).robust
    assert signature is not None
    by_name = {one.name: one for one in expected(collections, signature)}
    values = []
    for one in collections:
        mine = [row["coverage"] for row in one.swept.trials if row["signature"] == signature]
        values += [sum(mine) / len(mine)] if mine else []
    assert by_name["coverage"].worst == pytest.approx(min(values))
    assert by_name["coverage"].mean == pytest.approx(sum(values) / len(values))
    assert by_name["clusters"].worst is None


def test_the_same_ledgers_give_the_same_bytes(made: Made, tmp_path: Path) -> None:
    _, view, repository = made
    collections = load_sweeps([repository._archive])
    again = repository.sweep_report(tmp_path / "again")
    assert (again.sha256, again.files) == (view.sha256, view.files)
    listing = json.loads((tmp_path / "again/export.json").read_bytes())
    assert {one["selection"]["sweep"] for one in listing["ledgerkit"]} == {
        one.run_id for one in collections
    }
    assert view.missing == 0
    assert view.figures_missing == {}


def test_what_is_gone_or_changed_is_said(made: Made, tmp_path: Path) -> None:
    root = tmp_path / "archive"
    shutil.copytree(made[2]._archive.root, root, symlinks=True)
    repository = Repository.open(root)
    collections = load_sweeps([repository._archive])
    with_figures = next(one for one in collections if one.figures)
    spoiled = root / with_figures.figures[0]["stored_path"]
    spoiled.chmod(0o644)
    spoiled.write_bytes(b"no picture")
    shutil.rmtree(root / "plates_structured/plate-003/cache")
    view = build(collections, tmp_path / "report")
    assert list(view.figures_missing) == [
        f"{with_figures.figures[0]['run_id']}/{with_figures.figures[0]['figure_id']}"
    ]
    assert view.missing > 0
    with pytest.raises(MissingInput):
        build([], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_collections_of_one_name_in_several_repositories_stay_apart(
    made: Made, scans: Path, tmp_path: Path
) -> None:
    other = Repository.init(tmp_path / "other")
    other.ingest(scans / "data.json", scans / "images")
    put_sweep(other, 2, 8, collection="second")
    other.consolidate()
    both = made[2].sweep_report(tmp_path / "both", beside=[other])
    assert both.collections == 3
    assert "second (second-2)" in (tmp_path / "both/index.html").read_text("utf-8")


def test_a_recommended_setting_that_was_ranked_down_says_so(made: Made) -> None:
    found = load_sweeps([made[2]._archive])
    assert "ranked down" not in str(recommendation(found, overall_of(found)))
    for one in found:
        for row in one.swept.trials:
            row["ranked_down"] = True
    assert "its trials were ranked down" in str(recommendation(found, overall_of(found)))
