"""What a directory of model files is told to hold, to lack, and never to use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from codex_core.errors import InputError
from codex_models import hf_directory, tiny


@pytest.fixture
def folder(tmp_path):
    """A usable directory."""
    path = tmp_path / "directory"
    path.mkdir()
    tiny.fill(path, seed=1, layout="llama")
    return path


def states(folder: Path) -> dict[str, str]:
    return {row.name: row.state for row in hf_directory.check(folder)}


def why(folder: Path, name: str) -> str:
    return next(row.why for row in hf_directory.check(folder) if row.name == name)


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_whole_directory_is_usable(folder):
    """All files are present, what may be absent is said to be, and weights are counted by their headers."""
    assert states(folder) == {
        "config.json": "present",
        "model.safetensors": "present",
        "tokenizer.json": "present",
        "generation_config.json": "present",
        "tokenizer_config.json": "present",
        "special_tokens_map.json": "absent",
    }
    assert why(folder, "model.safetensors") == "20 tensors"
    assert hf_directory.is_usable(hf_directory.check(folder))
    config, files = hf_directory.require(folder)
    assert config["model_type"] == "llama" and [path.name for path in files] == ["model.safetensors"]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(folder, name):
    """Without a file that is needed the directory is not usable, and the file is listed as missing."""
    (folder / name).unlink()

    assert states(folder)[name] == "missing"
    assert not hf_directory.is_usable(hf_directory.check(folder))


def test_an_empty_directory_lists_all_that_is_needed(tmp_path):
    """Whoever points at an empty directory is told which files a model has."""
    found = [row.name for row in hf_directory.check(tmp_path) if row.state == "missing"]

    assert found == ["config.json", "model.safetensors", "tokenizer.json"]
    with pytest.raises(InputError, match="2 files are missing or refused"):
        hf_directory.require(tmp_path)
    with pytest.raises(InputError, match="no such directory"):
        hf_directory.check(tmp_path / "absent")


def test_a_pickle_is_no_substitute_for_safetensors(folder):
    """Weights in a pickle are refused with the reason; beside safetensors they merely lie there."""
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert states(folder)["pytorch_model.bin"] == "refused"
    assert hf_directory.is_usable(hf_directory.check(folder))

    (folder / "model.safetensors").unlink()
    assert "pickle" in why(folder, "model.safetensors")
    with pytest.raises(InputError) as caught:
        hf_directory.require(folder)
    assert "pickle, which can execute code" in caught.value.why


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_of_a_directory_is_refused(folder, name):
    """`auto_map` asks for the directory's own code: refused wherever it stands."""
    edit(folder / name, auto_map={"AutoModel": "modeling.Model"})
    (folder / "modeling.py").write_text("raise SystemExit('never run')\n")

    assert states(folder)[name] == states(folder)["modeling.py"] == "refused"
    with pytest.raises(InputError, match="files are missing or refused") as caught:
        hf_directory.require(folder)
    assert "auto_map asks for code" in caught.value.why


@pytest.mark.parametrize("damage", ["cut", "grown", "header", "empty"])
def test_damaged_weights_are_refused_by_their_header(folder, damage):
    """A file that is cut short, longer than its header says, or none at all is found without loading a tensor."""
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(
        {"cut": data[:-1], "grown": data + b"x", "header": b"\xff" * 8 + data[8:], "empty": b""}[damage]
    )

    assert states(folder)["model.safetensors"] == "refused"
    assert why(folder, "model.safetensors").startswith("it is damaged: ")


def test_weights_in_several_files_are_found_by_their_index(folder):
    """An index names the files; one that is missing, lacks a tensor or lies elsewhere is refused by name."""
    names = sorted(hf_directory.header(folder / "model.safetensors"))
    (folder / "model.safetensors").rename(folder / "part-1.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(names, "part-1.safetensors")}))
    assert hf_directory.is_usable(hf_directory.check(folder))
    assert [path.name for path in hf_directory.require(folder)[1]] == ["part-1.safetensors"]

    index.write_text(
        json.dumps({"weight_map": {**dict.fromkeys(names, "part-1.safetensors"), "x": "part-2"}})
    )
    assert states(folder)["part-2"] == "missing"
    index.write_text(json.dumps({"weight_map": {"absent.weight": "part-1.safetensors"}}))
    assert "absent.weight" in why(folder, "part-1.safetensors")
    index.write_text(json.dumps({"weight_map": {"a": "../part-1.safetensors"}}))
    assert "out of the directory" in why(folder, index.name)


@pytest.mark.parametrize("text", ["", "[1]", "{", "{}"])
def test_a_configuration_that_is_none_is_refused(folder, text):
    """What is no JSON object, or names no kind of model, is refused with the reason."""
    (folder / "config.json").write_text(text)

    assert states(folder)["config.json"] == "refused"


def test_checking_needs_neither_torch_nor_transformers(folder):
    """A directory is checked in a process in which neither can be imported."""
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from pathlib import Path; from codex_models import hf_directory, model_places\n"
        f"print(hf_directory.is_usable(model_places.check(Path({str(folder)!r}))[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "True\n", done.stderr
