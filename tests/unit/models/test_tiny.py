"""The reference model: equal bytes for equal seeds, usable by every command, in both forms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from codex_core.cli.main import main
from codex_core.data.bytes_tokenizer import BytesTokenizer
from codex_core.errors import InputError
from codex_models import model_places, tiny
from codex_models.cli_model import model
from codex_models.decoder import Decoder
from codex_models.hf_tokenizer_files import byte_alphabet


def made(folder: Path, *, seed: int = 3, layout: str = "codex") -> Path:
    folder.mkdir()
    tiny.fill(folder, seed=seed, layout=layout)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("layout", ["codex", "llama"])
def test_equal_seeds_give_equal_bytes(tmp_path, layout):
    """Every file is a function of the seed; another seed gives other weights."""
    first, again = (contents(made(tmp_path / name, layout=layout)) for name in ("a", "b"))
    other = contents(made(tmp_path / "c", seed=4, layout=layout))

    assert first == again
    assert {Path(name).name for name in first if first[name] != other[name]} >= {"model.safetensors"}


def test_both_forms_hold_one_function(tmp_path):
    """The directory for transformers and the folder of ours score alike, although one does not scale embeddings."""
    row = [256, *b"the same function"]
    ours = Decoder.open(made(tmp_path / "a") / "model").loglikelihood([row])[0]
    theirs = Decoder.from_folder(made(tmp_path / "b", layout="llama")).language_model()

    assert theirs.loglikelihood([row])[0] == pytest.approx(ours, abs=1e-5)
    assert theirs.context_length == 256


def test_the_tokenizer_of_bytes_is_spelt_out(tmp_path):
    """Its `tokenizer.json` gives each byte its own id, through the alphabet that stands for bytes."""
    folder = made(tmp_path / "a", layout="llama")
    held = json.loads((folder / "tokenizer.json").read_text())

    vocabulary = held["model"]["vocab"]
    assert [vocabulary[character] for character in byte_alphabet()] == list(range(256))
    assert len(set(byte_alphabet())) == 256
    roles = BytesTokenizer.special_ids
    assert {token["id"]: token["content"] for token in held["added_tokens"]} == {
        roles["bos"]: "<|bos|>",
        roles["eos"]: "<|eos|>",
    }


@pytest.mark.parametrize("layout", ["codex", "llama"])
def test_command_makes_a_model_that_check_accepts(tmp_path, layout, monkeypatch, capsys):
    """`make-tiny` then `check`: usable; the same place again is refused and left as it was."""
    monkeypatch.chdir(tmp_path)
    assert main(["model", "make-tiny", "--out", "d", "--layout", layout, "--seed", "3"]) == 0
    before = contents(tmp_path / "d")
    assert before == contents(made(tmp_path / "other", layout=layout))

    assert main(["model", "check", "d", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["usable"] is True
    assert main(["model", "make-tiny", "--out", "d"]) == 4
    assert "error[MOD-012]" in capsys.readouterr().err
    assert contents(tmp_path / "d") == before


@pytest.mark.parametrize("damage", ["changed", "missing", "foreign"])
def test_check_finds_what_is_wrong_with_a_folder_of_ours(tmp_path, damage):
    """A file that was changed, went, or came is told, and the answer is exit 4."""
    folder = made(tmp_path / "d")
    weights = folder / "model" / "model.safetensors"
    if damage == "changed":
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    elif damage == "missing":
        weights.unlink()
    else:
        (folder / "model" / "stranger.txt").write_text("x")

    said = CliRunner().invoke(model, ["check", str(folder)])

    assert said.exit_code == 4
    assert {"changed": "refused", "missing": "missing", "foreign": "stranger.txt"}[damage] in said.output


def test_check_sends_runs_to_their_own_command(tmp_path):
    """A run is no model: the answer names the command that verifies runs."""
    (tmp_path / "run.json").write_text("{}")

    with pytest.raises(InputError, match="this is a run") as caught:
        model_places.check(tmp_path)
    assert "codex runs verify" in caught.value.fix


def test_generation_works_from_what_was_made(tmp_path, monkeypatch, capsys):
    """`codex generate --model d`: the same text for the same seed, without any network."""
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "d")
    texts = []
    for _ in range(2):
        assert main(["generate", "--model", "d", "--max-new-tokens", "5", "--seed", "1", "A"]) == 0
        said = capsys.readouterr()
        texts.append(said.out)

    assert texts[0] == texts[1] and texts[0].startswith("A")
    assert "computing on cpu in float32" in said.err


def test_a_prompt_beyond_the_context_is_refused(tmp_path, monkeypatch, capsys):
    """A prompt of as many tokens as the context has leaves no room: exit 4 with both numbers, nothing generated."""
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "d")

    assert main(["generate", "--model", "d", "x" * 300]) == 4
    said = capsys.readouterr()
    assert said.out == "" and "301 tokens and the model's context is 256" in said.err


def test_a_folder_without_a_model_is_told_what_a_model_has(tmp_path, monkeypatch, capsys):
    """An empty folder as a model is exit 4, and all files that a model could have are listed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()

    assert main(["generate", "--model", "empty", "x"]) == 4
    said = capsys.readouterr().err
    assert "error[CKP-001]" in said
    assert all(
        name in said for name in ("MANIFEST.json", "config.json", "model.safetensors", "tokenizer.json")
    )


def test_list_names_models_of_catalogues_and_runs(tmp_path, monkeypatch, capsys):
    """Folders of ours and directories of others in CODEX_MODELS, CODEX_HOME/models and models/ are listed once."""
    for name, layout in (("catalogue/a", "codex"), ("home/models/b", "llama"), ("project/models/c", "codex")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        made(tmp_path / name, layout=layout)
    (tmp_path / "catalogue" / "nothing").mkdir()
    (tmp_path / "project" / ".codex").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("CODEX_MODELS", str(tmp_path / "catalogue"))
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "home"))

    assert main(["model", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["models"]
    assert [(Path(one["path"]).name, one["kind"]) for one in found] == [
        ("a", "codex model"),
        ("b", "hugging face directory"),
        ("c", "codex model"),
    ]
    assert all(one["size_bytes"] > 400_000 for one in found)


@pytest.mark.parametrize(("dtype", "device"), [("float32", "cpu"), ("bfloat16", "auto"), ("float64", "cpu")])
def test_printed_placement_is_that_of_the_parameters(tmp_path, monkeypatch, capsys, dtype, device):
    """The line about device and type says what the parameters have; `auto` takes what the machine offers."""
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "d")
    parameter = next(Decoder.open(tmp_path / "d" / "model", device=device, dtype=dtype).model.parameters())

    words = ["--device", device, "--dtype", dtype, "--max-new-tokens", "1", "A"]
    assert main(["generate", "--model", "d", *words]) == 0
    said = capsys.readouterr().err
    assert f"computing on {parameter.device} in {dtype}" in said and str(parameter.dtype) == f"torch.{dtype}"
    assert main(["-q", "generate", "--model", "d", *words]) == 0
    assert "computing on" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code"), [(["--dtype", "float3"], 2), (["--device", "abacus"], 2), (["--dtype", "int8"], 2)]
)
def test_misspelt_placement_is_refused(tmp_path, monkeypatch, capsys, words, code):
    """A device or type that does not exist is a usage mistake, never replaced by another."""
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "d")

    assert main(["generate", "--model", "d", *words, "A"]) == code
    said = capsys.readouterr()
    assert "error[MOD-004]" in said.err and said.out == ""
