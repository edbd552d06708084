"""Towers: the documented vector of each family, the same in any batch, from a folder and nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ledgerkit import memory
from ledgerkit.errors import InvalidRecord, LedgerkitError, MissingExtra, UsageError
from ledgerkit.models import loading
from ledgerkit.models.tower import BATCH, batch_size, open_tower
from ledgerkit.models.towers import TorchTower
from ledgerkit.testing.towers import FAMILIES

pytestmark = pytest.mark.usefixtures("offline")


def prepared(tower: Any, count: int, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).integers(0, 256, (count, 40, 50, 3), dtype=np.uint8)
    return np.stack([tower.preprocessing.apply(one) for one in drawn])


def by_the_library(folder: Path, family: str, pixels: np.ndarray) -> np.ndarray:
    """The documented vector, by the library's class and nothing of ours."""
    library, torch = loading.transformers(), loading.torch()
    names = "CLIPModel", "SiglipModel", "Dinov2Model", "DINOv3ViTModel", "ViTModel"
    kind = getattr(library, names[FAMILIES.index(family)])
    told = {"add_pooling_layer": False} if family == "vit" else {}
    model = kind.from_pretrained(folder, local_files_only=True, **told).eval()
    given = torch.from_numpy(pixels)
    with torch.no_grad():
        if family == "clip":
            found = model.visual_projection(model.vision_model(given).pooler_output)
        elif family == "siglip":
            found = model.vision_model(given).pooler_output
        else:
            found = model(given).last_hidden_state[:, 0]
    return np.asarray(found.numpy())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_vector_is_the_one_that_the_librarys_own_class_gives(
    towers: dict[str, Path], tmp_path: Path, family: str
) -> None:
    anywhere = shutil.copytree(towers[family], tmp_path / "Any name")
    tower = open_tower(anywhere)
    pixels = prepared(tower, 3)
    assert tower.family == family
    assert np.abs(tower.images(pixels) - by_the_library(anywhere, family, pixels)).max() < 1e-6


@pytest.mark.parametrize("family", FAMILIES)
def test_neither_the_batch_nor_its_other_pictures_move_a_vector(
    towers: dict[str, Path], family: str
) -> None:
    tower = open_tower(towers[family])
    pixels = prepared(tower, 5)
    alone = np.concatenate([tower.images(pixels[one : one + 1]) for one in range(5)])
    others = prepared(tower, 5, seed=7)
    for made in (
        tower.images(pixels),
        tower.images(pixels[::-1].copy())[::-1],
        tower.images(np.concatenate([others, pixels]))[len(others) :],
    ):
        assert np.abs(made - alone).max() < 1e-5


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_words_are_tokenised_and_padded_as_the_model_was_trained(
    towers: dict[str, Path], family: str
) -> None:
    tower = open_tower(towers[family])
    library, torch = loading.transformers(), loading.torch()
    tokens = library.AutoTokenizer.from_pretrained(towers[family], local_files_only=True)
    # SigLIP was trained with every text padded to the end, and without a mask.
    told = {"padding": "max_length", "max_length": 24} if family == "siglip" else {}
    given = tokens(["a wading bird"], return_tensors="pt", **told)
    kind = {"clip": library.CLIPModel, "siglip": library.SiglipModel}[family]
    model = kind.from_pretrained(towers[family], local_files_only=True).eval()
    mask = given.get("attention_mask") if family == "clip" else None
    with torch.no_grad():
        made = model.get_text_features(given["input_ids"], mask)
    expected = getattr(made, "pooler_output", made).numpy()
    several = tower.texts(["A wading bird", "fish"])
    assert several.shape == (2, tower.images(prepared(tower, 1)).shape[1])
    assert np.abs(several[:1] - expected).max() < 1e-5
    with pytest.raises(UsageError, match="tokens"):
        tower.texts(["very long " * 20])


def test_a_model_of_pictures_alone_says_so(towers: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="no tower of texts"):
        open_tower(towers["dinov2"]).texts(["a bird"])


def without_a_weight(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])


def as_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def of_another_class(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["BertModel"]}))


def without_settings(folder: Path) -> None:
    (folder / "config.json").unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (without_a_weight, "lacks 1 weights"),
        (cut_short, "cannot be loaded"),
        (as_a_pickle, "cannot be loaded"),
        (of_another_class, "BertModel"),
        (without_settings, r"no config\.json"),
    ],
)
def test_a_model_that_is_not_whole_or_not_known_is_refused(
    towers: dict[str, Path], tmp_path: Path, damage: Any, said: str
) -> None:
    folder = shutil.copytree(towers["clip"], tmp_path / "clip")
    damage(folder)
    with pytest.raises(LedgerkitError, match=said) as caught:
        open_tower(folder)
    assert caught.value.hint


def test_preprocessing_that_does_not_fit_the_model_is_named(
    towers: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(towers["vit"], tmp_path / "vit")
    declared = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(declared | {"size": 40}))
    tower = open_tower(folder)
    with pytest.raises(InvalidRecord, match="vit does not take pictures"):
        tower.images(prepared(tower, 1))


def test_a_model_is_loaded_once_while_its_files_stay(
    towers: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(towers["vit"], tmp_path / "vit")
    first = open_tower(folder)
    assert open_tower(folder) is first
    shutil.copy(towers["vit"] / "model.safetensors", folder / "copy")
    (folder / "copy").replace(folder / "model.safetensors")
    assert open_tower(folder) is not first


@pytest.mark.parametrize(
    "said", ["CUDA out of memory", "[enforce fail] DefaultCPUAllocator: can't allocate memory"]
)
def test_a_batch_that_memory_does_not_hold_is_halved_until_it_does(
    towers: dict[str, Path], said: str
) -> None:
    tower = TorchTower(towers["vit"])
    pixels = prepared(tower, 9)
    whole, ask = tower.images(pixels), tower.ask

    def small(model: Any, given: Any) -> Any:
        if len(given) > 2:
            kind = loading.torch().OutOfMemoryError if "CUDA" in said else RuntimeError
            raise kind(said)
        return ask(model, given)

    tower.ask = small
    assert np.abs(tower.images(pixels) - whole).max() < 1e-5
    assert tower.batch() == 2


def test_other_errors_halve_nothing_and_one_picture_too_many_is_said(
    towers: dict[str, Path],
) -> None:
    tower, asked = TorchTower(towers["vit"]), []

    def broken(model: Any, given: Any) -> Any:
        asked.append(len(given))
        raise error

    tower.ask = broken
    error: Exception = RuntimeError("shapes do not fit")
    with pytest.raises(RuntimeError, match="shapes"):
        tower.images(prepared(tower, 4))
    assert asked == [4]
    error = RuntimeError(
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
    )
    with pytest.raises(MemoryError, match="one picture: DefaultCPUAllocator"):
        tower.images(prepared(tower, 4))


def test_on_a_processor_the_batch_is_what_free_memory_holds(
    towers: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def batch(free: int | None, mebibytes: int = 0) -> int:
        """That of a model that takes so much for each picture while it is asked."""
        monkeypatch.setattr(memory, "free", lambda: free)
        tower = TorchTower(towers["vit"])
        ask = tower.ask

        def hungry(model: Any, given: Any) -> Any:
            held = np.ones(len(given) * (mebibytes << 20), dtype=np.uint8)
            time.sleep(0.02 * bool(mebibytes))  # long enough to be seen
            return ask(model, given) + 0 * int(held[:1].sum())

        tower.ask = hungry
        return tower.batch()

    assert batch(None, 64) == 32
    assert batch(64 << 30) == 32
    assert batch(0) == 1
    assert batch(1024 << 20, 64) in (4, 8)
    monkeypatch.setenv(loading.WORKERS, "4")
    assert batch(1024 << 20, 64) in (1, 2)


LIMITED = """
import resource, sys, time
from pathlib import Path
import numpy as np
from ledgerkit.models import loading
from ledgerkit.models.tower import batch_size
from ledgerkit.models.pipeline import encoded
from ledgerkit.models.towers import TorchTower

tower = TorchTower(Path(sys.argv[1]))
torch, ask = loading.torch(), tower.ask
drawn = np.random.default_rng(0).integers(0, 256, (34, 40, 50, 3), dtype=np.uint8)
pictures = [(place, lambda place=place: drawn[place]) for place in range(34)]
before = np.stack([vector for _, vector in encoded(pictures[:1], tower)])

def hungry(model, given):
    held = torch.ones(len(given), 64 << 20, dtype=torch.uint8)
    time.sleep(0.005)
    return ask(model, given)

tower.ask = hungry
size = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (size + (1 << 30), size + (1 << 30)))
for given in (None, 32):
    tower._batch = given
    first = batch_size(tower)
    found = [vector for _, vector in encoded(pictures, tower)]
    assert all(isinstance(vector, np.ndarray) for vector in found), found[0]
    assert np.abs(found[0] - before).max() < 1e-5
    print(first, tower.batch())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells its memory")
def test_where_memory_is_short_every_picture_gets_its_vector(towers: dict[str, Path]) -> None:
    told = [sys.executable, "-c", LIMITED, str(towers["vit"])]
    done = subprocess.run(told, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found, found_last), (given, given_last) = (
        tuple(map(int, line.split())) for line in done.stdout.splitlines()
    )
    assert (given, given_last) in ((32, 8), (32, 4))
    assert found_last <= found <= 8


def test_the_batch_can_be_set_from_outside(
    towers: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tower = open_tower(towers["vit"])
    assert batch_size(tower) == tower.batch() > 1
    monkeypatch.setenv(BATCH, "5")
    assert batch_size(tower) == 5
    monkeypatch.setenv(BATCH, "many")
    with pytest.raises(UsageError, match="many"):
        batch_size(tower)


def test_without_the_extra_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match="torch") as caught:
        loading.place()
    assert "ledgerkit[models]" in str(caught.value.hint)


def test_precision_and_device_are_what_is_asked_or_what_is_there() -> None:
    there = loading.torch().cuda.is_available()
    assert loading.place().precision == ("bfloat16" if there else "float32")
    assert loading.place("cpu") == loading.Placement("cpu", "float32", "cpu")
    assert loading.place("cpu", "bfloat16").dtype is loading.torch().bfloat16
    with pytest.raises(UsageError):
        loading.place("tpu")
    if not there:
        with pytest.raises(UsageError, match="no GPU"):
            loading.place("cuda")


def test_workers_share_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = loading.threads()
    monkeypatch.setenv(loading.WORKERS, str(alone))
    assert loading.threads() == 1
    monkeypatch.setenv(loading.WORKERS, str(1000 * alone))
    assert loading.threads() == 1


def test_bfloat16_lies_near_float32(towers: dict[str, Path]) -> None:
    exact, coarse = open_tower(towers["clip"]), open_tower(towers["clip"], "cpu", "bfloat16")
    first, second = (one.images(prepared(one, 1))[0] for one in (exact, coarse))
    assert first @ second / np.linalg.norm(first) / np.linalg.norm(second) > 0.999
    with pytest.raises(InvalidRecord, match="tokenizer"):
        open_tower(towers["vit"])._tokens()  # type: ignore[attr-defined]
