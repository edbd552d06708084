"""The store of models: whole or absent, once each, pinned by what is there, and found out when not."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest

from ledgerkit import schema
from ledgerkit.canonical import canonical_bytes, parse_json
from ledgerkit.disk import lock_file
from ledgerkit.errors import (
    DigestMismatch,
    InvalidRecord,
    LedgerkitError,
    MissingInput,
    RepositoryBusy,
    UnsafePath,
    UsageError,
)
from ledgerkit.findings import CODES
from ledgerkit.testing.weights import (
    PREPROCESSING,
    checkpoint,
    model_files,
    onnx_model,
    safetensors,
    write_model,
)
from ledgerkit.weights import ModelStore
from ledgerkit.weights.adding import AddView, add
from ledgerkit.weights.checking import verify
from ledgerkit.weights.document import ModelDocument, ModelFile, Source
from ledgerkit.weights.removing import remove
from ledgerkit.weights.selection import LeftOut
from ledgerkit.weights.store import default_root


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "tiny-model")


@pytest.fixture
def kept(store: ModelStore, folder: Path) -> ModelStore:
    """A store with the model `tiny`."""
    add(store, "tiny", str(folder), license="MIT")
    return store


def put(store: ModelStore, name: str, folder: Path, **given: Any) -> AddView:
    return add(store, name, str(folder), **given)


def traces(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Mode, time and bytes of everything below a folder."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(folder.rglob("*"))
    }


def spoil(path: Path, data: bytes | None = None) -> None:
    """Change a read-only file in place: by default its last byte."""
    path.chmod(0o644)
    found = path.read_bytes()
    path.write_bytes(found[:-1] + bytes([found[-1] ^ 1]) if data is None else data)


def test_a_model_is_its_bytes_its_facts_and_a_folder_to_load_from(
    store: ModelStore, folder: Path
) -> None:
    view = put(store, "tiny", folder, license="MIT")
    model = view.model
    assert (view.outcome, model.id, model.license) == ("added", "tiny", "MIT")
    assert (model.family, model.architecture) == ("clip", "CLIPModel")
    assert model.preprocessing == PREPROCESSING
    assert model.revision == f"sha256:{model.sha256}"
    assert model.source == Source("folder", "tiny-model")
    for path, data in model_files().items():
        file = store.path("tiny") / path
        assert file.read_bytes() == data
        assert not file.is_symlink()
        assert file.stat().st_mode & 0o222 == 0
    assert {one.path: one.role for one in model.files} == {
        "README.md": "text",
        "config.json": "settings",
        "model.safetensors": "weights",
        "preprocessor_config.json": "settings",
        "tokenizer/vocab.txt": "settings",
    }


def test_its_digest_is_what_sha256sum_prints_digested(kept: ModelStore) -> None:
    counted = [one.path for one in kept.show("tiny").files if one.role != "text"]
    listed = subprocess.run(
        ["sha256sum", *sorted(counted)], cwd=kept.path("tiny"), capture_output=True, check=True
    )
    assert kept.pin("tiny").sha256 == hashlib.sha256(listed.stdout).hexdigest()


def test_a_readme_does_not_alter_the_digest_but_a_setting_does(
    store: ModelStore, folder: Path
) -> None:
    first = put(store, "one", folder).model
    (folder / "README.md").write_text("otherwise")
    assert put(store, "two", folder).model.sha256 == first.sha256
    (folder / "preprocessor_config.json").write_text("{}")
    assert put(store, "three", folder).model.sha256 != first.sha256


def test_the_document_meets_its_schema_and_has_its_fields(kept: ModelStore) -> None:
    data = (kept.root / "models" / "tiny.json").read_bytes()
    value = parse_json(data, "document")
    assert schema.problems("model.v1", value) == []
    assert canonical_bytes(value) == data
    stated = schema.load("model.v1")["properties"]
    assert set(ModelDocument.__struct_fields__) == set(stated)
    assert set(ModelFile.__struct_fields__) == set(stated["files"]["items"]["properties"])
    assert set(LeftOut.__struct_fields__) == set(stated["left_out"]["items"]["properties"])
    assert set(Source.__struct_fields__) == set(stated["source"]["properties"])


def test_the_source_is_only_read_and_its_place_is_told_nowhere(
    store: ModelStore, folder: Path, tmp_path: Path
) -> None:
    before = traces(folder)
    put(store, "tiny", folder)
    assert traces(folder) == before
    assert str(tmp_path).encode() not in (store.root / "models" / "tiny.json").read_bytes()


def test_nothing_but_a_hub_needs_the_network(
    store: ModelStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("the network was asked")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    put(store, "tiny", folder)
    assert store.pin("tiny").id == "tiny"
    assert store.path("tiny").is_dir()
    assert verify(store).sound
    remove(store, "tiny")
    with pytest.raises(AssertionError, match="network"):
        add(store, "tiny", "owner/tiny@main")


def test_the_same_again_changes_nothing_and_says_so(kept: ModelStore, folder: Path) -> None:
    before = traces(kept.root)
    assert put(kept, "tiny", folder).outcome == "unchanged"
    after = traces(kept.root)
    assert after.keys() == before.keys()
    assert {path: found[::2] for path, found in after.items()} == {
        path: found[::2] for path, found in before.items()
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "config.json").write_text("{}"), "config.json differs"),
        (lambda folder: (folder / "merges.txt").write_text("a b"), "merges.txt is new"),
        (lambda folder: (folder / "tokenizer" / "vocab.txt").unlink(), "vocab.txt is gone"),
    ],
)
def test_other_content_under_a_name_that_is_taken_is_refused(
    kept: ModelStore, folder: Path, change: Callable[[Path], object], said: str
) -> None:
    before = kept.pin("tiny")
    change(folder)
    with pytest.raises(UsageError, match=said) as caught:
        put(kept, "tiny", folder)
    assert "models remove tiny" in str(caught.value.hint)
    assert kept.pin("tiny") == before
    assert [one.code for one in verify(kept).findings] == []


def test_a_licence_may_be_stated_later_where_none_was(store: ModelStore, folder: Path) -> None:
    put(store, "tiny", folder)
    before = store.pin("tiny")
    assert before.license is None
    view = put(store, "tiny", folder, license="MIT")
    assert (view.outcome, view.model.license) == ("licensed", "MIT")
    after = store.pin("tiny")
    assert (after.license, after.sha256) == ("MIT", before.sha256)
    assert verify(store).findings == []
    assert put(store, "tiny", folder).outcome == "unchanged"
    (folder / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="family 'clip' -> not stated") as caught:
        put(store, "tiny", folder)
    assert "None" not in caught.value.message


def test_a_licence_is_not_stated_together_with_other_content(
    store: ModelStore, folder: Path
) -> None:
    put(store, "tiny", folder)
    (folder / "README.md").write_text("another")
    with pytest.raises(UsageError, match=r"license not stated -> 'MIT'; README\.md differs"):
        put(store, "tiny", folder, license="MIT")
    assert store.show("tiny").license is None


def test_another_licence_is_other_content(kept: ModelStore, folder: Path) -> None:
    with pytest.raises(UsageError, match="license 'MIT' -> 'GPL'"):
        put(kept, "tiny", folder, license="GPL")


def test_what_two_models_share_is_stored_once_and_goes_with_the_last(
    kept: ModelStore, folder: Path
) -> None:
    (folder / "config.json").write_text('{"model_type": "other"}')
    put(kept, "second", folder)
    weights = kept.path("tiny") / "model.safetensors"
    assert weights.samefile(kept.path("second") / "model.safetensors")
    assert weights.stat().st_nlink == 3
    first = remove(kept, "tiny")
    assert first.removed == 1  # its own config.json
    assert verify(kept).findings == []
    remove(kept, "second")
    assert [path for path in kept.root.rglob("*") if path.is_file()] == [kept.root / "lock"]


def test_what_is_left_out_is_named_with_its_reason(store: ModelStore, folder: Path) -> None:
    (folder / ".git").mkdir()
    for name in (
        ".git/config", ".gitattributes", "modeling.py", "tf_model.h5", "scaler.pkl", "pytorch_model.bin",
    ):  # fmt: skip
        (folder / name).write_text("x")
    view = put(store, "tiny", folder)
    assert {one.path: one.reason.split(",")[0] for one in view.model.left_out} == {
        ".git/": "hidden",
        ".gitattributes": "hidden",
        "modeling.py": "code",
        "pytorch_model.bin": "a pickle",
        "scaler.pkl": "a pickle of any object",
        "tf_model.h5": "weights for another framework",
    }
    assert sorted(os.listdir(store.path("tiny"))) == sorted(os.listdir(write_model(folder / "x")))


@pytest.mark.parametrize("name", ["sam_vit_b.pth", "pytorch_model.bin", "last.ckpt", "model.pt"])
def test_a_checkpoint_alone_is_kept_for_loading_with_weights_only(
    store: ModelStore, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(checkpoint())
    model = add(store, "sam", str(tmp_path / name), license="Apache-2.0").model
    assert [(one.path, one.loads) for one in model.files] == [(name, "weights_only")]
    assert model.source == Source("file", name)


def test_preprocessing_can_be_declared_where_there_is_none(
    store: ModelStore, tmp_path: Path, folder: Path
) -> None:
    (tmp_path / "clip.onnx").write_bytes(onnx_model())
    (tmp_path / "how.json").write_text('{"size": 224}')
    declared = tmp_path / "how.json"
    model = add(store, "onnx", str(tmp_path / "clip.onnx"), preprocessing=declared).model
    assert model.preprocessing == {"size": 224}
    assert (store.path("onnx") / "preprocessor_config.json").read_bytes() == declared.read_bytes()
    plain = add(store, "plain", str(tmp_path / "clip.onnx")).model
    assert plain.preprocessing is None
    assert plain.sha256 != model.sha256
    with pytest.raises(UsageError, match="never replaced"):
        put(store, "tiny", folder, preprocessing=declared)


def link_file(folder: Path) -> None:
    (folder / "link.json").symlink_to("config.json")


def link_out(folder: Path) -> None:
    (folder / "out").symlink_to(folder.parent)


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe.json")


def twins(folder: Path) -> None:
    (folder / "CONFIG.json").write_text("{}")


def device_name(folder: Path) -> None:
    (folder / "con.json").write_text("{}")


def damaged(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(safetensors({"a": b"12"})[:-1])


def no_json(folder: Path) -> None:
    (folder / "config.json").write_text("no")


def no_object(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text("[1]")


def huge_number(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text('{"size": 9007199254740993}')


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("break_it", "kind"),
    [
        (link_file, UnsafePath), (link_out, UnsafePath), (pipe, UnsafePath), (twins, UsageError),
        (device_name, UnsafePath), (damaged, InvalidRecord), (no_json, InvalidRecord),
        (no_object, InvalidRecord), (huge_number, InvalidRecord), (no_weights, UsageError),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_and_leaves_nothing(
    store: ModelStore, folder: Path, break_it: Callable[[Path], None], kind: type[LedgerkitError]
) -> None:
    break_it(folder)
    with pytest.raises(kind):
        put(store, "tiny", folder)
    assert store.names() == []
    assert [path for path in store.root.rglob("*") if path.is_file()] == [store.root / "lock"]


def test_a_link_in_place_of_the_folder_is_refused(
    store: ModelStore, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(UnsafePath, match="link"):
        put(store, "tiny", tmp_path / "link")


@pytest.mark.parametrize("name", ["", "A", "a/b", "../a", ".a", "a" * 65, "con", "a.", "ä"])
def test_a_name_that_is_none_is_refused(store: ModelStore, folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no name"):
        put(store, name, folder)
    with pytest.raises(UsageError, match="no name"):
        store.pin(name)


def test_neither_path_nor_hub_id_is_an_error_that_says_what_to_write(store: ModelStore) -> None:
    with pytest.raises(UsageError, match="no file or folder") as caught:
        add(store, "tiny", "nowhere/at/all")
    assert "owner/model@main" in str(caught.value.hint)


def test_an_unknown_model_is_an_error_that_names_the_known_ones(kept: ModelStore) -> None:
    with pytest.raises(UsageError) as caught:
        kept.pin("big")
    assert "There are: tiny." in str(caught.value.hint)


def drop_file(store: ModelStore) -> None:
    folder = store.folder("tiny")
    folder.chmod(0o755)
    (folder / "model.safetensors").unlink()


def flip_file(store: ModelStore) -> None:
    spoil(store.folder("tiny") / "model.safetensors")


def cut_file(store: ModelStore) -> None:
    spoil(store.folder("tiny") / "model.safetensors", b"")


def other_kind(store: ModelStore) -> None:
    drop_file(store)
    (store.folder("tiny") / "model.safetensors").mkdir()


def more_files(store: ModelStore) -> None:
    folder = store.folder("tiny")
    folder.chmod(0o755)
    (folder / "adapter_config.json").write_text("{}")


def linked_folder(store: ModelStore) -> None:
    folder = store.folder("tiny")
    folder.chmod(0o755)
    (folder / "adapter").symlink_to("/")


DAMAGE: dict[Callable[[ModelStore], None], tuple[type[LedgerkitError], str]] = {
    drop_file: (MissingInput, "MODEL_FILE_MISSING"),
    flip_file: (DigestMismatch, "MODEL_FILE_CHANGED"),
    cut_file: (DigestMismatch, "MODEL_FILE_CHANGED"),
    other_kind: (DigestMismatch, "MODEL_FILE_CHANGED"),
    more_files: (DigestMismatch, "MODEL_FILE_UNLISTED"),
    linked_folder: (DigestMismatch, "MODEL_FILE_UNLISTED"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_an_error_before_any_work_and_adding_again_mends_it(
    kept: ModelStore, folder: Path, damage: Callable[[ModelStore], None]
) -> None:
    kind, code = DAMAGE[damage]
    pin = kept.pin("tiny")
    damage(kept)
    with pytest.raises(kind, match=r"^model tiny: ") as caught:
        kept.pin("tiny")
    assert "models add tiny --from" in str(caught.value.hint)
    if damage is not flip_file:  # sizes alone do not show it
        with pytest.raises(kind):
            kept.path("tiny")
        with pytest.raises(kind):
            kept.pin("tiny", quick=True)
    view = verify(kept)
    assert not view.sound
    assert code in {one.code for one in view.findings}
    assert put(kept, "tiny", folder).outcome == "mended"
    assert kept.pin("tiny") == pin
    assert verify(kept).findings == []


def drop_blob(store: ModelStore) -> None:
    store.blob(store.show("tiny").files[2].sha256).unlink()


def spoil_document(store: ModelStore) -> None:
    path = store.root / "models" / "tiny.json"
    value = json.loads(path.read_bytes())
    value["files"][0]["path"] = "../outside"
    path.chmod(0o644)
    path.write_text(json.dumps(value))


def leave_blob(store: ModelStore) -> None:
    stray = store.blob("ab" * 32)
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"left")


OTHER_DAMAGE = {
    drop_blob: "MODEL_FILE_MISSING",
    spoil_document: "MODEL_DOCUMENT_INVALID",
    leave_blob: "MODEL_LEFTOVER",
}


@pytest.mark.parametrize("damage", OTHER_DAMAGE)
def test_verification_says_what_else_is_wrong_and_changes_nothing(
    kept: ModelStore, damage: Callable[[ModelStore], None]
) -> None:
    damage(kept)
    before = traces(kept.root)
    view = verify(kept)
    assert [one.code for one in view.findings] == [OTHER_DAMAGE[damage]]
    assert traces(kept.root) == before
    remove(kept, "tiny")
    assert verify(kept).findings == []


def test_every_finding_about_models_has_a_bad_store() -> None:
    tested = {code for _, code in DAMAGE.values()} | set(OTHER_DAMAGE.values())
    assert tested == {code for code in CODES if code.startswith("MODEL_")}


def test_a_document_that_cannot_be_read_keeps_everything_from_being_swept(
    kept: ModelStore, folder: Path
) -> None:
    (folder / "config.json").write_text("{}")
    put(kept, "second", folder)
    spoil_document(kept)
    before = traces(kept.root)
    with pytest.raises(LedgerkitError):
        remove(kept, "second")
    assert traces(kept.root) == before


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"}, {"sha256": "0" * 64}, {"surplus": 1}, {"added_at": "yesterday"},
        {"files": []}, {"schema_version": "model.v2"},
    ],
)  # fmt: skip
def test_a_document_that_breaks_its_rules_is_refused(
    kept: ModelStore, change: dict[str, Any]
) -> None:
    path = kept.root / "models" / "tiny.json"
    value = json.loads(path.read_bytes()) | change
    path.chmod(0o644)
    path.write_text(json.dumps(value))
    with pytest.raises(InvalidRecord, match=re.escape("models/tiny.json")) as caught:
        kept.pin("tiny")
    assert "models remove tiny" in str(caught.value.hint)


def test_one_writer_at_a_time(kept: ModelStore, folder: Path) -> None:
    with (
        lock_file(kept.root / "lock", 0.0),
        pytest.raises(RepositoryBusy, match="store of models"),
    ):
        put(kept, "second", folder, wait=0.0)
    assert kept.pin("tiny").license == "MIT"  # readers do not wait


def test_without_hard_links_the_folder_has_relative_links(
    store: ModelStore, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    put(store, "tiny", folder)
    assert put(store, "tiny", folder).outcome == "unchanged"
    assert (store.path("tiny") / "tokenizer" / "vocab.txt").is_symlink()
    assert verify(store).findings == []
    moved = tmp_path / "elsewhere"
    store.root.rename(moved)
    assert ModelStore(moved).pin("tiny").id == "tiny"


def test_the_place_of_the_store_is_the_variable_or_the_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEDGERKIT_MODELS", str(tmp_path / "mine"))
    assert default_root() == tmp_path / "mine"
    monkeypatch.delenv("LEDGERKIT_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert default_root() == tmp_path / "data" / "ledgerkit" / "models"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_root() == tmp_path / ".local" / "share" / "ledgerkit" / "models"


def test_an_empty_or_absent_store_is_no_error(store: ModelStore) -> None:
    assert store.names() == []
    assert verify(store).findings == []
    assert not store.root.exists()


def test_a_pin_is_what_a_record_holds(kept: ModelStore) -> None:
    pin = kept.pin("tiny")
    assert msgspec.to_builtins(pin) == {
        "id": "tiny",
        "revision": f"sha256:{pin.sha256}",
        "sha256": kept.show("tiny").sha256,
        "license": "MIT",
    }
    assert kept.known_as(pin.sha256) == "tiny"
