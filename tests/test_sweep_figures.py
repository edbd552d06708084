"""Figures of sweeps are legible with 3 and 300 clusters and say what they cannot show."""

from __future__ import annotations

import hashlib
import io
import json
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from ledgerkit import schema
from ledgerkit.clustering.swept import coassociation, front, read_sweep, said_setting, sampled
from ledgerkit.errors import InvalidRecord, MissingInput, UsageError
from ledgerkit.operations import survey
from ledgerkit.plotting.album import Album
from ledgerkit.plotting.canvas import to_picture
from ledgerkit.plotting.dependence import Panel, dependence, in_order
from ledgerkit.plotting.leaderboard import Line, leaderboard
from ledgerkit.plotting.together import together
from ledgerkit.testing.handles import Produced, run_operation
from ledgerkit.testing.swept import document_of, made_up, vectors_table

from .test_plotting import LONG, texts_of

FIGURES = {
    "sweep_leaderboard.png", "sweep_consensus.png", "sweep_silhouettes.png", "sweep_pareto.png",
    "sweep_dependence_agglomerative.png", "sweep_dependence_leiden.png",
    "sweep_dependence_umap_hdbscan.png", "sweep_map.png",
}  # fmt: skip


def tables_of(count: int, clusters: int, trials: int, collection: str = "plates") -> dict[str, Any]:
    subjects = [f"plate-{number:03}" for number in range(1, count + 1)]
    rows, members, vectors = made_up(subjects, clusters, trials, collection=collection)
    return {
        "sweep_trials": rows,
        "sweep_members": members,
        "embeddings": [vectors_table(members, vectors)],
    }


def drawn(tables: dict[str, Any], **parameters: Any) -> Produced:
    return run_operation(survey, plate_id=None, tables=tables, **parameters)


def test_the_made_up_rows_meet_their_schemas() -> None:
    trials, members, _ = made_up(["plate-001", "plate-002"], 2, 8)
    stored = {"run_id": "run-20260101-000000Z-000000000000", "log_index": 0}
    for name, rows in (("sweep_trials", trials), ("sweep_members", members)):
        for row in rows:
            assert schema.problems(f"ledger.{name}.v1", row | stored) == []
    document = document_of(trials, members)
    assert schema.problems("sweep.v1", document) == []
    assert schema.problems("sweep.v1", document | {"winner": None}) == []
    assert schema.problems("sweep.v1", document | {"more": 1})


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The figures that are kept, by name, as matplotlib has them; no picture is made."""
    found: dict[str, Any] = {}

    def keep(self: Album, name: str, title: str, figure: Any, kind: str = "") -> None:
        found[name] = figure

    monkeypatch.setattr(Album, "keep", keep)
    return found


@pytest.mark.parametrize(("count", "clusters", "trials"), [(40, 3, 16), (900, 300, 120)])
def test_no_text_lies_over_another_or_leaves_the_picture(
    count: int, clusters: int, trials: int, figures: dict[str, Any]
) -> None:
    produced = drawn(tables_of(count, clusters, trials, collection=LONG), sample=200)
    assert len(figures) == len(FIGURES)
    named = {text for text, _ in texts_of(figures["sweep-pareto"])}
    best = produced.documents["sweep-report.json"]["leaderboard"][0]["trial"]
    front = set(map(str, produced.documents["sweep-report.json"]["pareto_front"]))
    assert len(front & named) > 1 or front == {str(best)} <= named
    numbers = np.repeat(np.arange(clusters), 2)
    figures["small blocks"] = together(np.eye(len(numbers)), numbers, "x", "y", "z")
    for name, figure in figures.items():
        shown = texts_of(figure)
        assert shown
        for (one, box), (other, beside) in combinations(shown, 2):
            across = min(box.x1, beside.x1) - max(box.x0, beside.x0)
            down = min(box.y1, beside.y1) - max(box.y0, beside.y0)
            assert min(across, down) < 1, f"{name}: {one!r} and {other!r} overlap"
        for text, box in shown:
            assert -1 <= box.x0 < box.x1 <= figure.bbox.x1 + 1, f"{name}: {text!r}"
            assert -1 <= box.y0 < box.y1 <= figure.bbox.y1 + 1, f"{name}: {text!r}"


def test_all_figures_and_the_report_are_made_and_the_same_whatever_the_order() -> None:
    tables = tables_of(40, 3, 16)
    produced = drawn(tables)
    assert set(produced.file_outputs) == FIGURES
    rows = produced.row_tables["figures"]
    assert {row["file"] for row in rows} == FIGURES
    for row in rows:
        data = produced.file_outputs[row["file"]].data
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
        image = Image.open(io.BytesIO(data))
        assert image.size == (row["width"], row["height"])
        assert len(set(image.convert("L").tobytes())) > 20, f"{row['file']} is empty"
    assert all(passed for _, _, passed, _, _ in produced.gates), produced.gates
    report = produced.documents["sweep-report.json"]
    assert [one["rank"] for one in report["leaderboard"]] == list(range(1, 13))
    best = next(row for row in tables["sweep_trials"] if row["rank"] == 1)
    assert report["leaderboard"][0]["parameters"] == json.loads(best["parameters"])
    assert sum(one["size"] for one in report["consensus"]) + report["unclustered"] == 40
    turned = {
        "sweep_trials": tables["sweep_trials"][::-1],
        "sweep_members": tables["sweep_members"][::-1],
        "embeddings": tables["embeddings"],
    }
    again = drawn(turned)
    for name, file in produced.file_outputs.items():
        assert again.file_outputs[name].data == file.data, name


def test_what_cannot_be_drawn_says_why_and_fails_its_gate() -> None:
    tables = tables_of(12, 2, 4)
    del tables["embeddings"]
    tables["sweep_trials"] = [
        row | {"rank": None, "score": None, "silhouette": None, "in_consensus": False}
        for row in tables["sweep_trials"]
    ]
    tables["sweep_members"] = [
        row | {"consensus_lifetime": -1, "labels": [-1] * 4} for row in tables["sweep_members"]
    ]
    produced = drawn(tables)
    assert set(produced.file_outputs) == {one for one in FIGURES if "dependence" not in one}
    failed = {(gate, check) for gate, check, passed, _, _ in produced.gates if not passed}
    assert failed == {("trials", "ranked"), ("consensus", "clusters"), ("vectors", "found")}
    assert produced.documents["sweep-report.json"]["leaderboard"] == []


def test_a_sweep_that_does_not_fit_together_is_refused() -> None:
    tables = tables_of(12, 2, 4)
    with pytest.raises(MissingInput):
        drawn(tables, of="tiles")
    with pytest.raises(MissingInput):
        drawn(tables, collection="other")
    both = tables["sweep_trials"] + [row | {"collection": "b"} for row in tables["sweep_trials"]]
    with pytest.raises(UsageError):
        drawn(tables | {"sweep_trials": both})
    with pytest.raises(InvalidRecord):
        drawn(tables | {"sweep_trials": tables["sweep_trials"][1:]})


def test_co_association_is_the_share_of_the_trials_that_have_both() -> None:
    labels = np.array([[0, 0, -1], [0, 1, 2], [1, 1, -1], [-1, -1, -1]], np.int32)
    shares = coassociation(labels)
    assert shares[0, 1] == 0.5
    assert shares[1, 2] == 0.5
    assert shares[0, 2] == 0
    assert np.isnan(shares[3]).all()
    assert shares[1, 1] == 1


def test_the_front_has_what_no_other_exceeds_in_both() -> None:
    pairs = [(0.9, 0.1), (0.5, 0.5), (0.5, 0.4), (0.1, 0.9), (None, 1.0), (0.5, 0.5)]
    assert front([{"a": a, "b": b} for a, b in pairs], "a", "b") == [0, 1, 5, 3]


def test_the_sample_keeps_the_share_of_those_in_none_and_the_largest_clusters() -> None:
    tables = tables_of(300, 12, 4)
    swept = read_sweep(tables["sweep_trials"], [pa.Table.from_pylist(tables["sweep_members"])])
    rows = sampled(swept, 100, 5)
    numbers = swept.consensus[rows]
    assert len(rows) == 100
    assert (numbers == -1).sum() == 10
    assert set(numbers.tolist()) == {0, 1, 2, 3, 4, -1}
    assert (np.diff(np.where(numbers < 0, 99, numbers)) >= 0).all()


def test_settings_stand_as_they_are_and_words_before_numbers() -> None:
    row = {"trial": 1, "algorithm": "leiden", "parameters": '{"resolution":1.23456,"word":"$a$"}'}
    assert said_setting(row) == "leiden: resolution 1.235, word $a$"
    assert in_order([0.3, "auto", 0.1, 0.3]) == ["auto", 0.1, 0.3]
    hostile = leaderboard([Line("1", "_x $a$ 鳥", (None,))], ["$"], "$", "$", digits=[1])
    assert {"_x $a$ \ufffd", "–"} <= {text for text, _ in texts_of(hostile)}
    to_picture(dependence([Panel("$a$", ("$\\b$", 1.0), (0.0, 0.0))], "$", "$"))
