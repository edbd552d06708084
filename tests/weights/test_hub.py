"""Download from a hub: the public protocol, spoken by a server on this machine that misbehaves."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from ledgerkit.errors import DigestMismatch, HubRefused, UnsafePath, UsageError
from ledgerkit.services import hub as hub_module
from ledgerkit.services.hub import Hub, parse_id
from ledgerkit.services.partial import Promise
from ledgerkit.testing.hub import COMMIT, HubPlan, serving
from ledgerkit.testing.weights import model_files
from ledgerkit.weights import ModelStore
from ledgerkit.weights.adding import AddView, add
from ledgerkit.weights.checking import verify
from ledgerkit.weights.removing import remove

ORIGIN = "owner/tiny@main"
SIZE = 3_000_000
"""Bytes of weights: more than a connection is read in one go."""


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, token or address from whoever runs the tests."""
    for name in ("LEDGERKIT_HUB", "LEDGERKIT_HUB_TOKEN", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


def plan(**given: Any) -> HubPlan:
    return HubPlan(model_files(b"weights!", SIZE), **given)


def download(store: ModelStore, served: HubPlan, name: str = "tiny", **given: Any) -> AddView:
    with serving(served) as address:
        return add(store, name, ORIGIN, hub=lambda: Hub(address, pause=0.0, **given))


def partials(store: ModelStore) -> list[Path]:
    return sorted((store.root / "partial").iterdir())


def test_a_model_comes_with_its_commit_its_licence_and_its_bytes(store: ModelStore) -> None:
    served = plan()
    view = download(store, served)
    assert view.outcome == "added"
    assert (view.model.id, view.model.revision) == ("owner/tiny", COMMIT)
    assert (view.model.license, view.model.source.kind) == ("mit", "hub")
    assert [left.path for left in view.model.left_out] == [".gitattributes"]
    for path, data in served.files.items():
        assert (store.path("tiny") / path).read_bytes() == data
    assert verify(store).findings == []
    assert partials(store) == []


def test_all_files_are_asked_for_at_the_commit_and_not_at_the_branch(store: ModelStore) -> None:
    served = plan()
    download(store, served)
    files = [path for _, path, _ in served.requests if "/resolve/" in path]
    assert files
    assert all(f"/resolve/{COMMIT}/" in path for path in files)


@pytest.mark.parametrize("cuts", [[0], [1], [SIZE // 2], [100, 200, 1 << 20, 5], [SIZE + 50]])
def test_a_cut_connection_is_taken_up_where_it_ended(store: ModelStore, cuts: list[int]) -> None:
    served = plan(cuts=list(cuts))
    whole = len(served.files["model.safetensors"])
    download(store, served)
    asked = [sent.get("range") for sent in served.asked("GET", "cdn")]
    begins = [sum(cuts[: place + 1]) for place in range(len(cuts))]
    assert asked == [None, *(f"bytes={begin}-" if begin else None for begin in begins)]
    assert max(begins) < whole
    assert verify(store).sound


def test_a_download_that_was_given_up_goes_on_with_the_next_command(store: ModelStore) -> None:
    with pytest.raises(HubRefused, match="cannot be reached") as caught:
        download(store, plan(cuts=[1000] + [0] * 20))
    assert "goes on where it stopped" in str(caught.value.hint)
    assert store.names() == []
    assert 1000 in [path.stat().st_size for path in partials(store)]
    served = plan()
    download(store, served)
    assert [sent.get("range") for sent in served.asked("GET", "cdn")] == ["bytes=1000-"]
    assert verify(store).sound


def test_a_part_with_wrong_bytes_is_found_out_and_thrown_away(store: ModelStore) -> None:
    with pytest.raises(HubRefused):
        download(store, plan(cuts=[1000] + [0] * 20))
    part = next(path for path in partials(store) if path.stat().st_size == 1000)
    part.write_bytes(b"\0" * 1000)
    with pytest.raises(DigestMismatch, match="other bytes than it promised"):
        download(store, plan())
    assert not part.exists()
    assert download(store, plan()).outcome == "added"


def test_a_part_that_is_too_long_is_begun_anew(store: ModelStore) -> None:
    with pytest.raises(HubRefused):
        download(store, plan(cuts=[1000] + [0] * 20))
    part = next(path for path in partials(store) if path.stat().st_size == 1000)
    part.write_bytes(b"\0" * (SIZE + 1000))
    served = plan()
    download(store, served)
    assert [sent.get("range") for sent in served.asked("GET", "cdn")] == [None]
    assert verify(store).sound


def test_a_hub_without_ranges_is_begun_anew_and_not_for_ever(store: ModelStore) -> None:
    assert download(store, plan(cuts=[1000], ranges=False)).outcome == "added"
    remove(store, "tiny")
    served = plan(cuts=[1000] * 50, ranges=False)
    with pytest.raises(HubRefused, match="cannot be reached"):
        download(store, served)
    assert len(served.asked("GET", "cdn")) == hub_module.ATTEMPTS + 1


@pytest.mark.parametrize("change", [lambda data: data[:-1] + b"?", lambda data: data + b"more"])
def test_other_bytes_than_promised_are_refused_and_not_kept(store: ModelStore, change: Any) -> None:
    served = plan()
    served.wrong = change(served.files["model.safetensors"])
    with pytest.raises(DigestMismatch, match="other bytes than it promised"):
        download(store, served)
    assert store.names() == []
    assert all(path.stat().st_size < SIZE for path in partials(store))


def test_a_small_file_is_held_against_its_git_blob_id(tmp_path: Path) -> None:
    served = plan()
    with serving(served) as address:
        hub = Hub(address, pause=0.0)
        snapshot = hub.snapshot("owner/tiny", "main")
        promised = hub.promise(snapshot, "config.json")
        data = served.files["config.json"]
        assert promised.algorithm == "git-sha1"
        found = hub.fetch(snapshot, "config.json", promised, tmp_path / "a")
        assert found.sha256 == hashlib.sha256(data).hexdigest()
        other = Promise(promised.bytes, "git-sha1", "0" * 40)
        with pytest.raises(DigestMismatch):
            hub.fetch(snapshot, "config.json", other, tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_hub_is_asked_again(store: ModelStore, status: int) -> None:
    served = plan(answers=[(status, {"Retry-After": "0"})] * 3)
    assert download(store, served).outcome == "added"
    assert len(served.asked("GET", "/api/")) == 4


def test_a_hub_that_stays_busy_is_an_error_that_names_its_wish(store: ModelStore) -> None:
    served = plan(answers=[(429, {"Retry-After": "0"})] * 100)
    with pytest.raises(HubRefused, match="busy or down \\(429\\)") as caught:
        download(store, served)
    assert "asks to wait 0 s" in str(caught.value.hint)
    assert len(served.requests) == hub_module.ATTEMPTS + 1


def test_a_hub_is_waited_for_a_minute_at_most() -> None:
    class Asking:
        headers = {"Retry-After": "86400"}  # noqa: RUF012

    asking: Any = Asking()
    retries = hub_module.patience(0.0, hub_module.MAX_REDIRECTS)
    assert retries.get_retry_after(asking) == hub_module.MOST_SECONDS


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"token": "needed"}, "does not let this reader in \\(401, GatedRepo\\)"),
        ({"answers": [(403, {})]}, "does not let this reader in \\(403\\)"),
        ({"revisions": ("v1",)}, "no such model, revision or file \\(404, RevisionNotFound\\)"),
        ({"model": "owner/other"}, "no such model"),
        ({"answers": [(418, {})]}, "the hub refuses \\(418\\)"),
        ({"listing": ["no", "hub"]}, "lists no commit and files"),
        ({"listing": {"sha": "main", "siblings": []}}, "is no commit"),
        ({"headers": {"X-Repo-Commit": "f" * 40}}, "answers for the commit ffff"),
        ({"headers": {"X-Linked-Size": ""}}, "states no size"),
        ({"headers": {"X-Linked-Etag": '"strange"'}}, "is no digest"),
        ({"headers": {"X-Linked-Etag": ""}}, "without saying what will come"),
    ],
)
def test_what_a_hub_refuses_or_leaves_unsaid_is_an_error_with_a_way_out(
    store: ModelStore, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(HubRefused, match=said) as caught:
        download(store, plan(**given))
    assert caught.value.hint
    assert store.names() == []


def test_a_model_that_was_renamed_is_followed_on_the_same_host(store: ModelStore) -> None:
    served = plan(answers=[(307, {"Location": f"/api/models/owner/tiny/revision/{COMMIT}"})])
    assert download(store, served).outcome == "added"


def test_the_token_goes_to_the_hub_alone_and_is_kept_nowhere(store: ModelStore) -> None:
    served = plan(token="hf_secret")
    download(store, served, token="hf_secret")
    assert served.asked("GET", "cdn")
    assert not any("authorization" in sent for sent in served.asked("GET", "cdn"))
    kept = [path for path in store.root.rglob("*") if path.is_file()]
    assert not any(b"hf_secret" in path.read_bytes() for path in kept)


def test_a_token_for_the_public_hub_is_sent_to_no_other(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_public")
    served = plan()
    download(store, served)
    assert not any("authorization" in sent for _, _, sent in served.requests)
    monkeypatch.setenv("LEDGERKIT_HUB_TOKEN", "own")
    again = plan()
    download(store, again)
    assert again.asked("GET", "/api/")[0]["authorization"] == "Bearer own"


def test_the_same_commit_again_downloads_no_weights(store: ModelStore) -> None:
    download(store, plan())
    served = plan()
    assert download(store, served).outcome == "unchanged"
    assert served.asked("GET", "cdn") == []


def test_another_commit_under_the_same_name_is_refused_before_a_download(store: ModelStore) -> None:
    download(store, plan())
    served = plan(listing={"sha": "f" * 40, "siblings": [{"rfilename": "model.safetensors"}]})
    with pytest.raises(UsageError, match=f"{COMMIT} -> owner/tiny@{'f' * 40}"):
        download(store, served)
    assert served.asked("GET", "resolve") == []


def test_weights_that_another_model_has_are_not_downloaded_again(store: ModelStore) -> None:
    download(store, plan())
    served = plan()
    assert download(store, served, "twin").outcome == "added"
    assert served.asked("GET", "cdn") == []
    assert verify(store).sound


@pytest.mark.parametrize(
    "name", ["a/../../evil.json", "/etc/evil.json", "../evil.json", "con.json"]
)
def test_a_hub_cannot_place_files_outside_the_folder(store: ModelStore, name: str) -> None:
    names = [{"rfilename": "model.safetensors"}, {"rfilename": name}]
    with pytest.raises(UnsafePath):
        download(store, plan(listing={"sha": COMMIT, "siblings": names}))
    assert store.names() == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("owner/tiny@main", ("owner/tiny", "main")),
        ("tiny@refs/pr/1", ("tiny", "refs/pr/1")),
        ("owner/tiny", None), ("owner/tiny@", None), ("@main", None), ("a/b/c@main", None),
        ("../x@main", None), ("owner/../x@main", None), ("owner/..@main", None),
        ("owner/ti ny@main", None), ("https://h/owner/tiny@main", None),
    ],
)  # fmt: skip
def test_an_id_is_told_from_what_is_none(text: str, found: tuple[str, str] | None) -> None:
    assert parse_id(text) == found


@pytest.mark.parametrize(
    "address", ["http://hub.example", "ftp://hub.example", "hub.example", "https://a:b@hub.example"]
)
def test_an_address_that_would_tell_the_token_is_refused(address: str) -> None:
    with pytest.raises(UsageError):
        Hub(address)


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Hub().endpoint == "https://huggingface.co"
    monkeypatch.setenv("LEDGERKIT_HUB", "https://hub.example/")
    assert Hub().endpoint == "https://hub.example"


def test_nothing_listens_is_an_error_that_names_the_way_without_a_network(
    store: ModelStore,
) -> None:
    with serving(plan()) as address:
        pass
    with pytest.raises(HubRefused, match=re.escape(address)) as caught:
        add(store, "tiny", ORIGIN, hub=lambda: Hub(address, pause=0.0))
    assert "bring the folder over by other means" in str(caught.value.hint)
