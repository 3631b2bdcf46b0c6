"""Files that decide numbers beside the data: their digests in the lock, and what happens when they change."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import attrs
import pytest

from codex_core.errors import ArtefactError, InputError
from codex_core.planning import assets


@pytest.fixture
def folder(tmp_path):
    """A folder with weights, a hidden file and a page of text."""
    (tmp_path / "base" / "inner").mkdir(parents=True)
    for name in ("model.safetensors", "inner/extra.json", ".note", "README.md"):
        (tmp_path / "base" / name).write_text(name)
    return tmp_path / "base"


def _lock(asset: assets.Asset):
    return SimpleNamespace(data={"assets": {"model.weights": attrs.asdict(asset)}})


def _digested(folder: Path) -> assets.Asset:
    return assets.digested(folder, written=folder.name, option="model.weights")


def test_a_folder_is_digested_file_by_file(folder):
    """Files count by name and bytes wherever the folder stands; hidden ones and Markdown do not count."""
    asset = _digested(folder)

    assert asset.path == "base"
    assert sorted(asset.files) == ["inner/extra.json", "model.safetensors"]
    moved = folder.rename(folder.with_name("moved"))
    assert _digested(moved).digest == asset.digest
    (moved / ".note").unlink()
    (moved / "README.md").write_text("other words")
    assert _digested(moved).digest == asset.digest
    (moved / "model.safetensors").write_text("other")
    assert _digested(moved).digest != asset.digest


def test_of_a_checkpoint_only_the_model_counts(folder):
    """A folder that holds a model in `model/` is as good as that part of it."""
    before = _digested(folder).digest
    (folder.parent / "checkpoint" / "trainer").mkdir(parents=True)
    (folder.parent / "checkpoint" / "trainer" / "optimizer.safetensors").write_text("moments")
    folder.rename(folder.parent / "checkpoint" / "model")

    assert _digested(folder.parent / "checkpoint").digest == before


def test_weights_beside_a_tokenizer_decide_nothing_of_it(folder):
    """A tokenizer that is taken from the directory of a model does not depend on the model."""
    asset = assets.digested(folder, written="base", option="tokenizer.path")

    assert sorted(asset.files) == ["inner/extra.json"]


def test_a_file_that_is_not_there_is_refused_with_its_option(tmp_path):
    """An absent or empty folder is exit 4 and says which option named it."""
    (tmp_path / "empty").mkdir()
    for name in ("absent", "empty"):
        with pytest.raises(InputError, match="names something that is not there") as caught:
            _digested(tmp_path / name)
        assert caught.value.where == str(tmp_path / name)


def test_what_changed_is_named_with_both_digests(folder):
    """The first file that differs is told, as it was and as it is; files that came or went are differences."""
    lock = _lock(_digested(folder))
    assets.require_same(lock, environ={}, roots=(folder.parent,))
    (folder / "inner" / "extra.json").unlink()

    with pytest.raises(ArtefactError, match="not what the run was started with") as caught:
        assets.require_same(lock, environ={}, roots=(folder.parent,))
    assert lock.data["assets"]["model.weights"]["digest"] in caught.value.why
    assert "inner/extra.json: blake3:" in caught.value.why and "absent now" in caught.value.why


def test_paths_are_looked_for_here_and_in_the_project(folder, tmp_path):
    """A relative path is taken from the first root under which it exists; references are resolved before."""

    def place(written: str, *roots: Path) -> Path:
        return assets.place_of(written, environ={"KEPT": "base"}, roots=roots, option="model.weights")

    elsewhere = tmp_path / "elsewhere"
    assert place("base", elsewhere, tmp_path) == folder
    assert place("${env:KEPT}", tmp_path) == folder
    assert place("absent", elsewhere, tmp_path) == elsewhere / "absent"
    assert place(str(folder), elsewhere) == folder
