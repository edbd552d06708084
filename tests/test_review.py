"""Answers of people: events, files of answers, and the server that a browser talks to."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from ledgerkit import review
from ledgerkit.api import Repository
from ledgerkit.errors import MissingInput, UsageError
from ledgerkit.imaging.contact import to_jpeg
from ledgerkit.layout import cache_folder
from ledgerkit.pages.desk import PairDesk
from ledgerkit.review import looked_at
from ledgerkit.testing.reviewed import put_pairs
from ledgerkit.verify import verify

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def _asked(tmp_path_factory: pytest.TempPathFactory, _dozen: Path) -> Path:
    root = tmp_path_factory.mktemp("asked") / "archive"
    shutil.copytree(_dozen, root, symlinks=True)
    put_pairs(Repository.open(root), 40)
    return root


@pytest.fixture
def asked(_asked: Path, tmp_path: Path) -> Repository:
    """Twelve plates and forty pairs of them."""
    shutil.copytree(_asked, tmp_path / "asked", symlinks=True)
    return Repository.open(tmp_path / "asked")


@pytest.fixture
def pairs(asked: Repository) -> list[str]:
    return [one.pair_id for one in looked_at(asked._archive).pairs()[1]]


def reviews(repository: Repository) -> int:
    return sum(run.operation == "review" for run in repository._archive.runs("collection"))


def told(repository: Repository, by: str) -> dict[str, str]:
    return {pair: one.answer for pair, one in looked_at(repository._archive).answers(by).items()}


def test_an_answer_is_a_record_of_who_and_when_about_what(
    asked: Repository, pairs: list[str]
) -> None:
    kept = asked.take_answers(
        {"A. Curator": {pairs[3]: "same", pairs[1]: "unsure"}}, question="One artist?"
    )
    assert sorted(kept.answered) == sorted([pairs[3], pairs[1]])
    run = asked._archive.run("collection", kept.run_ids[0])
    assert (run.operation, run.agent.person) == ("review", "A. Curator")
    assert run.parameters == {"answers": 2, "question": "One artist?"}
    assert [one.role for one in run.inputs] == ["table:review_pairs"]
    asked.consolidate()
    rows = asked.query("FROM review_answers ORDER BY pair_id").to_dicts()
    assert {row["pair_id"]: row["answer"] for row in rows} == told(asked, "A. Curator")
    assert {row["by"] for row in rows} == {"A. Curator"}
    assert {row["run_id"] for row in rows} == set(kept.run_ids)
    pair = next(
        one for one in looked_at(asked._archive).pairs()[1] if one.pair_id == rows[0]["pair_id"]
    )
    assert (rows[0]["subject_a"], rows[0]["subject_b"]) == (pair.subject_a, pair.subject_b)
    assert asked.query("FROM review_pairs").height == 40
    assert verify(asked.root).sound


def test_the_newest_answer_of_a_person_counts_and_nothing_is_said_twice(
    asked: Repository, pairs: list[str]
) -> None:
    one, other = pairs[:2]
    asked.take_answers({"A": {one: "same", other: "different"}})
    again = asked.take_answers({" A ": {one: "same"}})
    assert (again.answered, again.unchanged, again.run_ids) == ([], [one], [])
    asked.take_answers({"A": {one: "different"}, "B": {one: "same"}})
    assert told(asked, "A") == {other: "different", one: "different"}
    asked.take_answers({"A": {one: "withdrawn"}})
    assert told(asked, "A") == {other: "different"}
    assert told(asked, "B") == {one: "same"}
    assert asked.take_answers({"A": {one: "withdrawn"}}).unchanged == [one]
    assert reviews(asked) == 4  # the third call was one of two persons


def test_a_second_choice_of_pairs_keeps_the_answers_to_the_same_pairs(
    asked: Repository, pairs: list[str]
) -> None:
    asked.take_answers({"A": {pairs[0]: "same", pairs[39]: "same"}})
    put_pairs(asked, 10)
    view = asked.review_status()
    assert (view.pairs, view.persons[0].answered, view.persons[0].left) == (10, 1, 9)
    put_pairs(asked, 5, collection="other")
    assert asked.review_status("other").pairs == 5
    assert asked.review_status("plates").pairs == 10
    with pytest.raises(MissingInput, match="no pairs were chosen for third yet"):
        asked.review_status("third")


def test_a_file_of_answers_is_taken_and_everything_wrong_is_said_at_once(
    asked: Repository, pairs: list[str], tmp_path: Path, command: Command
) -> None:
    file = tmp_path / "answers.csv"
    file.write_text(f"pair,answer,by\n{pairs[0]},same,\n{pairs[1]},unsure,B. Reader\n")
    done = command("review", "--answers", file, "--by", "A. Curator", "-C", asked.root)
    assert done.stdout.startswith("review: 2 answers kept\n"), done.stderr
    assert told(asked, "A. Curator") == {pairs[0]: "same"}
    assert told(asked, "B. Reader") == {pairs[1]: "unsure"}
    again = command("review", "--answers", file, "--by", "A. Curator", "-C", asked.root)
    assert again.stdout == "review: 0 answers kept, 2 said so already\n"
    before = reviews(asked)
    file.write_text(
        f"pair,answer,by\n{pairs[2]},yes,\n,same,\n{pairs[3]},,\n{pairs[4]},same,\n"
        f"{pairs[4]},same,\n{pairs[5]},same,{'x' * 101}\n"
    )
    refused = command("review", "--answers", file, "--by", "A", "-C", asked.root)
    assert refused.returncode == 2
    assert "entry 1: 'yes' is no answer: same, different, unsure or withdrawn" in refused.stderr
    for problem in ("2: no pair", "3: no answer", f"5: {pairs[4]} stands twice", "6: a name has"):
        assert f"entry {problem}" in refused.stderr
    file.write_text(json.dumps([{"pair": "pair-1", "answer": "same"}, {"pair": 2, "answer": ""}]))
    with pytest.raises(UsageError, match="entry 1: an answer is given by somebody; entry 2: no te"):
        asked.take_answers(file.rename(file.with_suffix(".json")))
    with pytest.raises(
        UsageError, match=r"pair-1: no such pair was chosen; pair-[0-9a-f]+: 'x' is no"
    ):
        asked.take_answers({"A": {"pair-1": "same", pairs[0]: "x"}})
    file.write_text("pair,answer,because\n")
    with pytest.raises(UsageError, match="it holds no answers"):
        asked.take_answers(file, by="A")
    file.write_text(f"pair,answer,because\n{pairs[0]},same,so\n")
    with pytest.raises(UsageError, match="unknown column because"):
        asked.take_answers(file, by="A")
    assert reviews(asked) == before


def test_the_status_says_how_far_everybody_is_and_how_far_they_agree(
    asked: Repository, pairs: list[str], command: Command
) -> None:
    first = {pair: "same" if place % 2 else "different" for place, pair in enumerate(pairs[:30])}
    other = {pair: answer for pair, answer in first.items() if pair != pairs[3]}
    other |= {pairs[0]: "same", pairs[1]: "unsure", pairs[39]: "same"}
    asked.take_answers({"A": first, "B": other})
    view = asked.review_status()
    assert [(one.name, one.answered, one.left) for one in view.persons] == [
        ("A", 30, 10),
        ("B", 30, 10),
    ]
    both = view.agreements[0]
    assert (both.pairs, both.agreed, both.decided) == (29, 27, 28)
    assert both.kappa is not None
    done = command("review", "--status", "-C", asked.root)
    assert "  A  30 answered  10 left  same 15, different 15, unsure 0\n" in done.stdout
    assert f"A and B: 27 of 29 alike, Cohen's kappa {both.kappa:.2f}; " in done.stdout
    shown = json.loads(command("review", "--status", "--json", "-C", asked.root).stdout)
    assert shown["agreements"][0]["kappa"] == both.kappa


def test_without_pairs_it_says_what_to_do(dozen: Repository, command: Command) -> None:
    done = command("review", "-C", dozen.root)
    assert done.returncode == 3
    assert "no pairs were chosen yet" in done.stderr
    assert "ledgerkit sweep pairs" in done.stderr


def test_two_who_answer_at_once_say_nothing_twice(asked: Repository, pairs: list[str]) -> None:
    one, other = review.opened(asked._archive), review.opened(Repository.open(asked.root)._archive)
    commit = other.archive.commit

    def late(*given: Any, **options: Any) -> Any:
        """Another process keeps the same answer just before this one would."""
        other.archive.commit = commit  # type: ignore[method-assign]
        one.give({"A": {pairs[0]: "same"}})
        return commit(*given, **options)

    other.archive.commit = late  # type: ignore[method-assign]
    found = other.give({"A": {pairs[0]: "same", pairs[1]: "same"}})
    assert (found.answered, found.unchanged) == ([pairs[1]], [pairs[0]])
    rows = [run.parameters["answers"] for run in asked._archive.runs("collection")[-2:]]
    assert rows == [1, 1]


class Served:
    """`ledgerkit review` in a process of its own, spoken to over HTTP."""

    def __init__(self, root: Path, *options: str) -> None:
        given = [sys.executable, "-m", "ledgerkit", "review", "-C", str(root), *options]
        self.process = subprocess.Popen(
            given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        words = self.process.stderr.readline().split()
        self.address = next(word for word in words if word.startswith("http://"))
        parts = urlsplit(self.address)
        self.port, self.path = parts.port or 0, parts.path

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer to a request; `path` is taken as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Content-Type": "application/json"} if data is not None else {}
        connection.request(method, path, data, given | (headers or {}))
        answer = connection.getresponse()
        found = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return found

    def say(self, by: str, pair: str, answer: str) -> tuple[int, dict[str, Any]]:
        body = {"by": by, "pair": pair, "answer": answer}
        status, _, data = self.ask("POST", f"{self.path}answer", body)
        return status, json.loads(data)

    def state(self, by: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ask("GET", f"{self.path}state?by={by}")[2])
        return found

    def end(self, how: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(how)
        out, _ = self.process.communicate(timeout=30)
        return self.process.returncode, out


@contextmanager
def served(root: Path, *options: str) -> Iterator[Served]:
    found = Served(root, *options)
    try:
        yield found
    finally:
        if found.process.poll() is None:
            found.process.kill()
            found.process.communicate()


@pytest.fixture(scope="module")
def open_server(_asked: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for the tests that only try to get in."""
    root = tmp_path_factory.mktemp("served") / "archive"
    shutil.copytree(_asked, root, symlinks=True)
    with served(root) as found:
        yield found


def test_the_server_serves_this_machine_alone_under_its_token(open_server: Served) -> None:
    server = open_server
    assert server.address.startswith("http://127.0.0.1:")
    token = server.path.strip("/")
    assert len(token) >= 32
    for path in ("/", "/state", "/wrong/", "//", f"/{token[:-1]}/", f"/{token[:-1]}x/state"):
        assert server.ask("GET", path)[0] == 404, path
    assert server.ask("POST", "/wrong/answer", {"by": "A", "pair": "p", "answer": "same"})[0] == 404
    own = f"127.0.0.1:{server.port}"
    assert server.ask("GET", server.path, headers={"Host": own})[0] == 200
    assert server.ask("GET", server.path, headers={"Host": f"localhost:{server.port}"})[0] == 200
    for host in (
        "evil.example",
        f"evil.example:{server.port}",
        "127.0.0.1",
        f"127.0.0.1:1{server.port}",
    ):
        status, _, data = server.ask("GET", server.path, headers={"Host": host})
        assert status == 421, host
        assert token.encode() not in data


def test_the_server_gives_its_files_and_no_others(open_server: Served) -> None:
    server = open_server
    status, headers, data = server.ask("GET", server.path)
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers
    for name in (part.split(b'"')[0].decode() for part in data.split(b'"assets/')[1:]):
        assert server.ask("GET", f"{server.path}assets/{name}")[0] == 200, name
    for name in ("../../repository.json", "assets/../../api.py", "%2e%2e/%2e%2e/api.py", "review"):
        assert server.ask("GET", server.path + name)[0] == 404, name
    assert server.ask("GET", f"{server.path}pictures/pair-1/left")[0] == 404
    for method in ("PUT", "DELETE", "HEAD", "OPTIONS"):
        assert server.ask(method, server.path)[0] == 501, method


def test_answers_of_other_pages_and_of_no_form_are_refused(open_server: Served) -> None:
    server = open_server
    pair = server.state("A")["pairs"][0]["pair"]
    good = {"by": "A", "pair": pair, "answer": "same"}
    path = f"{server.path}answer"
    assert server.ask("POST", path, good, {"Origin": "http://evil.example"})[0] == 403
    assert server.ask("POST", path, good, {"Origin": "null"})[0] == 403
    assert server.ask("POST", path, good, {"Content-Type": "text/plain"})[0] == 415
    assert server.ask("POST", path, good, {"Content-Length": "nine"})[0] == 411
    assert server.ask("POST", path, b"x" * 20_000)[0] == 413
    for wrong in (b"{", b"[]", b'{"by": "A"}', {**good, "answer": 1}, {**good, "more": ""}):
        assert server.ask("POST", path, wrong)[0] == 400, wrong
    for wrong in ({"answer": "yes"}, {"pair": "pair-1"}, {"by": "  "}, {"by": "a\nb"}):
        status, _, data = server.ask("POST", path, good | wrong)
        assert status == 400, wrong
        assert json.loads(data)["error"]
    assert server.state("A")["answers"] == []


def test_pairs_are_shown_blind_and_pictures_are_those_of_the_plates(open_server: Served) -> None:
    state = open_server.state("A")
    assert len(state["pairs"]) == 40
    pair = state["pairs"][5]
    assert set(pair) == {"pair", "left", "right"}
    assert set(pair["left"]) == {"subject", "title"}
    assert pair["left"]["title"] == f"Plate {int(pair['left']['subject'][-3:])}"
    for side in ("left", "right"):
        status, headers, data = open_server.ask(
            "GET", f"{open_server.path}pictures/{pair['pair']}/{side}"
        )
        assert (status, headers["Content-Type"], data[:2]) == (200, "image/jpeg", b"\xff\xd8")


def test_killed_between_answers_it_loses_nothing_and_says_nothing_twice(
    asked: Repository, pairs: list[str]
) -> None:
    kept: list[tuple[str, str]] = []
    for start in (0, 3):
        with served(asked.root) as server:
            for place in range(start, start + 3):
                answer = ("same", "different", "unsure")[place % 3]
                status, state = server.say("A. Curator", pairs[place], answer)
                assert status == 200
                kept.append((pairs[place], answer))
                assert [tuple(one) for one in state["answers"]] == kept
            if start:
                status, state = server.say("A. Curator", pairs[5], "unsure")
                assert (status, len(state["answers"])) == (200, 6)
                assert server.say("B", pairs[0], "same")[1]["answers"] == [[pairs[0], "same"]]
                code, out = server.end(signal.SIGINT)
                assert code == 0
                assert "A. Curator  6 answered  34 left" in out
            else:
                server.end(signal.SIGKILL)
        assert list(told(asked, "A. Curator").items()) == kept
    assert reviews(asked) == 7
    assert verify(asked.root).sound


def test_killed_while_it_keeps_an_answer_it_has_it_once_or_not_at_all(
    asked: Repository, pairs: list[str]
) -> None:
    for place, delay in enumerate((0.0, 0.03, 0.06, 0.12)):
        with served(asked.root) as server:
            body = json.dumps({"by": "A", "pair": pairs[place], "answer": "same"}).encode()
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            headers = {"Content-Type": "application/json"}
            connection.request("POST", f"{server.path}answer", body, headers)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(delay)
            server.end(signal.SIGKILL)
            connection.close()
    with served(asked.root) as server:  # what was not kept is answered again, what was is not
        for pair in pairs[:4]:
            assert server.say("A", pair, "same")[0] == 200
    assert list(told(asked, "A").values()) == ["same"] * 4
    assert reviews(asked) == 4
    assert verify(asked.root).sound


def test_a_port_that_is_taken_is_said(
    open_server: Served, asked: Repository, command: Command
) -> None:
    done = command("review", "--port", open_server.port, "-C", asked.root)
    assert done.returncode == 2
    assert f"cannot listen on port {open_server.port}" in done.stderr


def test_a_picture_that_is_damaged_is_a_sentence(asked: Repository, pairs: list[str]) -> None:
    pair = looked_at(asked._archive).pairs()[1][0]
    source = asked.root / str(asked.plates()[0].source_path)
    assert pair.plate_a == "plate-001"
    os.chmod(source, 0o644)
    source.write_bytes(b"damaged")
    with served(asked.root, "--by", "A") as server:
        path = f"{server.path}pictures/{pair.pair_id}/left"
        status, _, data = server.ask("GET", path)
        assert status == 500
        assert "is not the file that was recorded" in json.loads(data)["error"]
        assert server.state("")["by"] == "A"


def test_a_segment_is_shown_as_its_crop_and_a_plate_as_the_plate(worked: Repository) -> None:
    worked.consolidate()
    (segment,) = worked.query(
        "FROM current_segments WHERE plate_id = 'plate-001' ORDER BY (x1 - x0) * (y1 - y0) LIMIT 1"
    ).to_dicts()
    name, box = segment["segment_id"], tuple(segment[side] for side in ("x0", "y0", "x1", "y1"))
    lost = f"{name[:-1]}x"
    put_pairs(
        worked,
        0,
        pairs=[
            (name, "plate-001", "plate-001", "plate-001"),
            (lost, "plate-001", "plate-002", "plate-002"),
        ],
    )
    reviewed = looked_at(worked._archive)
    first, second = reviewed.pairs()[1]

    def shown(pair: str, side: str) -> bytes:
        desk = PairDesk(worked._archive, reviewed, "plates", "", "One artist?")
        return desk.picture(pair, side)

    with Image.open(worked.root / str(worked.plates()[0].source_path)) as source:
        assert shown(first.pair_id, "left") == to_jpeg(np.asarray(source.crop(box)))
        (row,) = worked.query(
            "FROM current_tiles WHERE kind = 'whole' AND plate_id = 'plate-001'"
        ).to_dicts()
        normalised = worked.root / cache_folder("plate-001", row["run_id"]) / row["file"]
        with Image.open(normalised) as image:
            assert image.size != source.size
            assert shown(first.pair_id, "right") == to_jpeg(np.asarray(image))
        normalised.parent.chmod(0o755)
        normalised.chmod(0o644)
        normalised.write_bytes(b"damaged")
        assert shown(first.pair_id, "right") == to_jpeg(np.asarray(source))
    with pytest.raises(MissingInput, match=f"no run of plate-001 made {re.escape(lost)}"):
        shown(second.pair_id, "left")
