"""Vectors of texts from a service that is real HTTP on this machine, and misbehaves on purpose."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from ledgerkit import texts
from ledgerkit.api import Repository
from ledgerkit.errors import EndpointRefused, MissingInput, UsageError
from ledgerkit.services import endpoint as service
from ledgerkit.testing.endpoint import EndpointPlan, serving, vector_of
from ledgerkit.texts import TextsView, space_of, text_of

MODEL = "Tiny/Embedding-1"
KEY = "sk-secret-0123456789"
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def plan() -> EndpointPlan:
    return EndpointPlan()


@pytest.fixture
def address(plan: EndpointPlan) -> Iterator[str]:
    with serving(plan) as found:
        yield found


@pytest.fixture
def ask(tiny: Repository, address: str) -> Callable[..., TextsView]:
    """Asks about the three tiny plates; waits cost nothing."""

    def asked(**options: Any) -> TextsView:
        return tiny.embed_texts(address, MODEL, **{"pause": 0.001, **options})

    return asked


def rows(repository: Repository) -> list[dict[str, Any]]:
    repository.consolidate()
    found = repository.query(
        "SELECT * FROM current_embeddings WHERE subject_kind = 'text' ORDER BY subject_id"
    )
    return found.to_dicts()


def test_each_plate_gets_the_unit_vector_of_its_own_text(
    tiny: Repository, plan: EndpointPlan, ask: Callable[..., TextsView]
) -> None:
    view = ask(batch=2)
    assert (view.processed, view.errors, view.skipped, view.sound) == (3, 0, 0, True)
    assert view.tokens == 9
    assert [len(question["input"]) for question in plan.questions] == [2, 1]
    for number, row in enumerate(rows(tiny), 1):
        raw = np.array(vector_of(f"Title: Plate {number}", 16))
        assert row["subject_id"] == row["plate_id"] == f"plate-00{number}"
        assert (row["dim"], row["subject_run_id"]) == (16, None)
        assert row["norm"] == pytest.approx(np.linalg.norm(raw))
        assert row["vector"] == pytest.approx((raw / np.linalg.norm(raw)).tolist(), abs=1e-6)
        assert row["space_id"].startswith("text-tiny-embedding-1-16-")


def test_texts_are_searched_among_texts_by_the_id_of_their_plate(
    tiny: Repository, ask: Callable[..., TextsView]
) -> None:
    tiny.amend({"plate-003": {"title": "Another finch"}}, by="A. Curator", reason="a test")
    ask()
    tiny.consolidate()
    view = tiny.search("plate-001", of="texts")
    assert (view.of, view.searched) == ("texts", 2)
    assert [hit.plate_id for hit in view.hits] == ["plate-002", "plate-003"]
    with pytest.raises(MissingInput, match="plate-001 has no vector") as refused:
        tiny.search("plate-001")
    assert "ledgerkit embed --of plates" in str(refused.value.hint)


def test_the_record_holds_what_was_sent_and_what_was_said(
    tiny: Repository, plan: EndpointPlan, address: str, ask: Callable[..., TextsView]
) -> None:
    (run_id, *_) = ask().run_ids
    run = tiny._archive.run("plate-001", run_id)
    assert run.parameters["model"] == MODEL
    assert run.parameters["endpoint"] == address
    assert run.event_type == "feature extraction"
    assert [given.path for given in run.inputs] == ["plates_structured/plate-001/manifest.json"]
    question = json.loads((tiny.root / run.folder / "outputs" / "question.json").read_bytes())
    assert question["text"] == "Title: Plate 1"
    assert question["reported_model"] == plan.model
    assert question["batch"] == {
        "texts": 3,
        "index": 0,
        "usage": {"prompt_tokens": 9, "total_tokens": 9},
    }
    assert not tiny.verify().findings
    assert not [one for one in tiny.audit().findings if one.severity == "error"]
    with pytest.raises(UsageError, match="what a service answered"):
        tiny.rerun(run_id)


def test_what_was_asked_is_not_asked_again_and_a_corrected_title_is(
    tiny: Repository, plan: EndpointPlan, ask: Callable[..., TextsView]
) -> None:
    ask()
    again = ask()
    assert (again.processed, again.skipped, len(plan.questions)) == (0, 3, 1)
    tiny.amend({"plate-002": {"title": "A Finch"}}, by="A. Curator", reason="a test")
    tiny.withdraw("plate-003", by="A. Curator", reason="a test")
    view = ask()
    assert (view.processed, view.skipped, view.withdrawn) == (1, 1, 1)
    assert plan.questions[-1]["input"] == ["Title: A Finch"]
    found = {row["plate_id"]: row["vector"] for row in rows(tiny)}
    assert set(found) == {"plate-001", "plate-002"}
    assert ask(dimensions=8).processed == 2
    assert {row["dim"] for row in rows(tiny)} == {8, 16}
    assert ask(force=True).processed == 2


def test_texts_are_joined_truncated_and_left_out_where_empty() -> None:
    metadata = {"work": "  Birds ", "year": 1831, "tags": ["red", "", "small"], "none": None}
    assert text_of("Finch", metadata, ("title", "work", "year", "tags", "none")) == (
        "Title: Finch\n\nBirds\n\n1831\n\nred, small"
    )
    assert text_of(" ", metadata, ("title", "none")) == ""


def test_long_texts_and_empty_ones_are_said(
    tiny: Repository, plan: EndpointPlan, ask: Callable[..., TextsView]
) -> None:
    view = ask(truncate=10)
    assert view.truncated == ["plate-001", "plate-002", "plate-003"]
    assert plan.questions[-1]["input"][0] == "Title: Pla..."
    with pytest.raises(UsageError, match="no plate has a field medium") as refused:
        ask(fields=("title", "medium"))
    assert "slug" in str(refused.value.hint)


def spoiled(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    def spoil(answer: dict[str, Any]) -> Any:
        found = change(answer)
        return answer if found is None else found

    return spoil


def first(answer: dict[str, Any], value: Any) -> None:
    answer["data"][0]["embedding"] = value


WRONG = {
    "fewer": (lambda a: a["data"].pop(), "2 vectors came for 3 texts"),
    "none": (lambda a: a.update(data=None), "no vectors came"),
    "twice the same": (lambda a: a["data"][0].update(index=0), "came for the text 0"),
    "no index": (lambda a: a["data"][0].pop("index"), "came for the text None"),
    "shorter": (lambda a: a["data"][0]["embedding"].pop(), "15 numbers came for the text 2"),
    "empty": (lambda a: first(a, []), "0 numbers came"),
    "words": (lambda a: first(a, ["x"] * 16), "no list of numbers"),
    "zero": (lambda a: first(a, [0] * 16), "text 2 is zero or not finite"),
    "NaN": (lambda a: json.dumps(a).replace('"embedding": [', '"embedding": [NaN, '), "no JSON"),
    "infinite": (lambda a: first(a, [1e200] * 16), "zero or not finite"),
    "too large": (lambda a: first(a, [10**400] * 16), "a number came that is too large"),
    "no JSON": (lambda a: "<html>", "no JSON"),
    "a list": (lambda a: "[]", "no JSON object"),
    "nested without end": (lambda a: "[" * 5000 + "]" * 5000, "no JSON"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_makes_no_vector_and_the_next_command_asks_again(
    name: str, tiny: Repository, plan: EndpointPlan, ask: Callable[..., TextsView]
) -> None:
    change, said = WRONG[name]
    plan.spoil = [
        lambda answer: (lambda out: out if isinstance(out, str) else answer)(change(answer))
    ]
    view = ask()
    assert (view.processed, view.errors, view.sound) == (0, 1, False)
    assert [failure.subject for failure in view.failures] == ["plate-001", "plate-002", "plate-003"]
    assert said in view.failures[0].message
    assert not rows(tiny)
    assert ask().processed == 3


def test_vectors_of_another_length_than_before_are_refused(
    plan: EndpointPlan, ask: Callable[..., TextsView]
) -> None:
    def longer(answer: dict[str, Any]) -> None:
        for one in answer["data"]:
            one["embedding"].append(1.0)

    plan.spoil = [None, spoiled(longer)]
    view = ask(batch=1)
    assert (view.processed, view.errors) == (2, 1)
    assert "17 numbers came, 16 before" in view.failures[0].message
    plan.spoil = [spoiled(longer)]
    assert "17 numbers came for the text 0, 16 were" in (
        ask(dimensions=16, batch=1).failures[0].message
    )


def test_a_busy_or_broken_service_is_asked_again_at_its_own_pace(
    plan: EndpointPlan, ask: Callable[..., TextsView], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(service.time, "sleep", waits.append)
    plan.answers = [(429, {"Retry-After": "7"}, "slow down"), (500, {}, "oops"), (503, {}, "")]
    plan.cuts = 1
    view = ask(pause=1.0)
    assert (view.processed, view.errors) == (3, 0)
    assert waits == [7.0, 2.0, 4.0, 8.0]
    assert len(plan.questions) == 5


def test_a_service_that_stays_down_or_asks_for_an_hour_is_told(
    plan: EndpointPlan, ask: Callable[..., TextsView]
) -> None:
    plan.answers = [(500, {}, "oops")] * 5
    view = ask()
    assert (view.processed, view.errors) == (0, 1)
    assert "500, oops); 5 tries" in view.failures[0].message
    plan.answers = [(429, {"Retry-After": "3600"}, "quota")]
    assert "asks to wait 3600 s" in ask().failures[0].message


def test_more_than_five_failed_batches_end_the_command_and_what_came_stays(
    tiny: Repository,
    ask: Callable[..., TextsView],
    monkeypatch: pytest.MonkeyPatch,
    plan: EndpointPlan,
) -> None:
    monkeypatch.setattr(texts, "MOST_ERRORS", 1)
    plan.spoil = [lambda answer: "x"] * 2
    view = ask(batch=1)
    assert (view.processed, view.errors, view.stopped) == (0, 2, True)
    assert len(plan.questions) == 2
    plan.spoil = [None, lambda answer: "x", None]
    view = ask(batch=1)
    assert (view.processed, view.errors, view.stopped) == (2, 1, False)
    assert (ask().processed, len(rows(tiny))) == (1, 3)


def test_a_refusal_ends_the_command_without_another_try(
    plan: EndpointPlan, ask: Callable[..., TextsView]
) -> None:
    plan.answers = [(404, {}, "no such model")]
    with pytest.raises(EndpointRefused, match="404, no such model"):
        ask()
    plan.answers = [(302, {"Location": "http://127.0.0.1:9/"}, "")]
    with pytest.raises(EndpointRefused, match="302"):
        ask()
    assert len(plan.questions) == 2


def test_the_key_is_sent_and_written_nowhere(
    tiny: Repository,
    plan: EndpointPlan,
    address: str,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan.key = KEY
    monkeypatch.setenv("OPENAI_API_KEY", KEY)  # another service's business
    arguments = ("embed-texts", "--endpoint", address, "--model", MODEL, "-C", tiny.root)
    refused = command(*arguments)
    assert refused.returncode == 1
    assert "LEDGERKIT_API_KEY" in refused.stderr
    monkeypatch.setenv("LEDGERKIT_API_KEY", f"{KEY}-wrong")
    wrong = command(*arguments)
    assert "Incorrect API key provided: Bearer ***" in wrong.stderr
    monkeypatch.setenv("LEDGERKIT_API_KEY", KEY)
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Processed: 3, Errors: 0; 9 tokens")
    said = refused.stdout + refused.stderr + wrong.stdout + wrong.stderr + done.stdout + done.stderr
    assert KEY not in said
    for path in tiny.root.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://example.org/v1", "no address of a service"),
        ("https://user:secret@example.org/v1", "holds no name or password"),
        ("example.org", "no address"),
    ],
)
def test_addresses_that_would_give_the_key_away_are_refused(
    tiny: Repository, address: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        tiny.embed_texts(address, MODEL)


def test_a_space_is_that_of_the_model_as_named_and_reported_and_its_length() -> None:
    settings = texts.TextSettings("https://example.org/v1", "text-embedding-3-large")
    space = space_of(settings, "text-embedding-3-large", 3072)
    assert space.startswith("text-text-embedding-3-large-3072-")
    assert space != space_of(settings, "text-embedding-3-large-v2", 3072)
    assert space != space_of(settings, "text-embedding-3-large", 1024)
