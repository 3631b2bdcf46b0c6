"""Export and import: what is written is what the model computes and renders, or nothing is written."""

from __future__ import annotations

import json
import shutil

import attrs
import pytest
import torch
from safetensors.torch import load_file, save_file

transformers = pytest.importorskip("transformers")
pytest.importorskip("codex_tokenizers")

from codex_core.cli.main import main  # noqa: E402 - after the skips
from codex_core.data.bytes_tokenizer import BytesTokenizer  # noqa: E402
from codex_core.errors import InputError, RunFailed, UsageError  # noqa: E402
from codex_core.model_folders import Part  # noqa: E402
from codex_models import exporting, hf_export, hf_loading, model_folder  # noqa: E402
from codex_models.decoder import Decoder  # noqa: E402
from codex_models.hf_layouts import LAYOUTS, fitting_layout, layout_for  # noqa: E402
from codex_models.options import DecoderOptions  # noqa: E402
from codex_models.state import model_fingerprint  # noqa: E402
from tests.support.hf_directories import causal_model, directory, edit_config  # noqa: E402

pytestmark = pytest.mark.slow

SMALL = DecoderOptions(layers=2, width=32, heads=4, ffn_width=48, context_length=64)

#: For each layout decoders that it holds, scaled embeddings included.
MODELS = {
    "llama": SMALL,
    "llama-untied": attrs.evolve(SMALL, kv_heads=2, tied_embeddings=False, rope_theta=100.0),
    "llama-biased": attrs.evolve(SMALL, biases="all"),
    "qwen2": attrs.evolve(SMALL, kv_heads=2, biases="qkv"),
    "qwen3": attrs.evolve(SMALL, kv_heads=1, width_per_head=6, qk_norm=True),
    "gpt2": attrs.evolve(SMALL, positions="learned", activation="gelu_tanh", norm="layer", biases="all"),
    "gpt2-untied": attrs.evolve(
        SMALL, positions="learned", activation="gelu", norm="layer", biases="all", tied_embeddings=False
    ),
}


def decoder(options: DecoderOptions) -> Decoder:
    """A decoder over bytes whose parameters are all random and large enough to matter."""
    model = Decoder.build(options, vocab_size=BytesTokenizer.vocab_size, seed=5)
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(6.0)
            else:
                parameter.add_(torch.randn(parameter.shape, generator=generator) / 4)
    return model


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project as the working directory, with a function that writes a model folder."""
    (tmp_path / ".codex").mkdir()
    monkeypatch.chdir(tmp_path)

    def write(name: str, options: DecoderOptions = SMALL):
        (tmp_path / name).mkdir()
        model_folder.fill(
            tmp_path / name,
            decoder(options),
            tokenizer=Part(id="codex-core/bytes", version="1.0.0"),
            save_tokenizer=BytesTokenizer().save,
            origin={"made": "a test"},
        )
        return tmp_path / name

    tmp_path.joinpath("models").mkdir()
    return attrs.make_class("Project", ["path", "write"])(tmp_path, write)


@pytest.mark.parametrize("name", MODELS)
def test_export_computes_and_renders_what_the_model_does(name, project, capsys):
    """transformers loads the directory offline: logits within the stated bound, the same ids, one tied matrix."""
    project.write("m", MODELS[name])
    layout = name.partition("-")[0]

    assert main(["model", "export", "m", "--out", "out", "--layout", layout, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)

    assert said["layout"] == layout and said["verified"]["logits_by"] == "transformers"
    assert said["verified"]["difference"] <= 1e-5, "fp32: observed 1e-6"
    model = transformers.AutoModelForCausalLM.from_pretrained(project.path / "out")
    tokenizer = transformers.AutoTokenizer.from_pretrained(project.path / "out")
    ids = tokenizer("naïve")["input_ids"]
    assert ids == [256, *"naïve".encode()]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "naïve"
    is_one = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    # Norms of queries and keys see the scale of embeddings, so that scaled and tied cannot stay tied there.
    assert is_one == (MODELS[name].tied_embeddings and layout != "qwen3")
    told = any("one in the model, are two here" in line for line in said["verification"])
    assert told == (MODELS[name].tied_embeddings and not is_one)
    assert model.generation_config.eos_token_id == model.config.eos_token_id == 257


@pytest.mark.parametrize("name", MODELS)
def test_import_gives_back_what_was_exported(name, project):
    """Exported and imported again, a model scores as before; the tokenizer comes along as `hf`."""
    source = project.write("m", MODELS[name])
    assert main(["model", "export", "m", "--out", "out"]) == 0
    assert main(["model", "import", "out", "--out", "again"]) == 0

    row = [256, *b"round and round"]
    before, after = (Decoder.open(path / "model") for path in (source, project.path / "again"))
    assert after.loglikelihood([row])[0] == pytest.approx(before.loglikelihood([row])[0], abs=1e-4)
    manifest = json.loads((project.path / "again" / "MANIFEST.json").read_text())
    assert manifest["components"]["tokenizer"]["id"] == "codex-tokenizers/hf"
    assert manifest["exported_from"]["directory"] == "out"
    assert main(["model", "check", "again"]) == 0


@pytest.mark.parametrize("form", ["m", "out", "again"])
def test_every_form_generates_the_same_greedy_text(form, project, capsys):
    """A model folder, its export opened by transformers and the export's import continue a prompt alike."""
    project.write("m")
    main(["model", "export", "m", "--out", "out"])
    main(["model", "import", "out", "--out", "again"])
    capsys.readouterr()
    texts = {}
    for name in ("m", form):
        assert main(["generate", "--model", name, "--temperature", "0", "--max-new-tokens", "8", "Once"]) == 0
        texts[name] = capsys.readouterr().out

    assert texts[form] == texts["m"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_exports_are_within_their_bound(dtype, project, capsys):
    """Weights are stored in the type that was asked for, and rounding stays within the bound that is stated."""
    project.write("m")
    assert main(["model", "export", "m", "--out", "out", "--dtype", dtype, "--json"]) == 0

    said = json.loads(capsys.readouterr().out)["verified"]
    assert 0 < said["difference"] <= said["bound"] == hf_export.BOUNDS[dtype]
    model = transformers.AutoModelForCausalLM.from_pretrained(project.path / "out")
    assert {str(value.dtype) for value in model.parameters()} == {f"torch.{dtype}"}


def test_an_export_that_computes_something_else_leaves_nothing(project, monkeypatch, capsys):
    """Weights that were written wrong are found by reading them back; no folder of any name remains."""
    project.write("m")
    write = hf_export.to_directory

    def wrong(*given, **named):
        tensors = write(*given, **named)
        tensors["model.norm.weight"] = tensors["model.norm.weight"] * 1.5
        return tensors

    monkeypatch.setattr(hf_export, "to_directory", wrong)
    before = sorted(path.name for path in project.path.iterdir())

    assert main(["model", "export", "m", "--out", "out"]) == 1
    assert "error[MOD-011]" in capsys.readouterr().err
    assert sorted(path.name for path in project.path.iterdir()) == before


def test_an_export_that_renders_other_ids_leaves_nothing(project, monkeypatch, capsys):
    """A tokenizer that lost its BOS is found by rendering the golden prompts; the first difference is told."""
    project.write("m")
    monkeypatch.setattr("codex_models.hf_tokenizer_files._bos_in_front", lambda *given: None)

    assert main(["model", "export", "m", "--out", "out"]) == 1
    assert "renders other ids" in capsys.readouterr().err
    assert not (project.path / "out").exists()


def test_export_without_transformers_is_read_back_by_ours(project, monkeypatch, capsys):
    """Where transformers is not installed, our own reader and the tokenizer `hf` compare, and that is said."""
    project.write("m")
    monkeypatch.setattr(hf_export, "has_transformers", lambda: False)

    assert main(["model", "export", "m", "--out", "out", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["verified"]
    assert said["logits_by"] == "the reader of Codex" and said["ids_by"] == "the tokenizer `hf` of Codex"
    monkeypatch.setattr(exporting, "_own_encode", lambda registry: None)
    assert main(["model", "export", "m", "--out", "other"]) == 3
    assert not (project.path / "other").exists()


def test_a_layout_that_cannot_hold_the_model_is_refused():
    """Both sides are named, and a layout that would fit; one that nothing fits is refused, too."""
    with pytest.raises(UsageError) as caught:
        layout_for(MODELS["qwen3"], "llama")
    assert caught.value.why == "qk_norm is True, llama has False" and caught.value.fix == "--layout qwen3"
    for name, options in MODELS.items():
        assert fitting_layout(options).name == name.partition("-")[0]
    with pytest.raises(UsageError, match="layout llama cannot hold"):
        fitting_layout(attrs.evolve(SMALL, activation="gelu"))
    assert set(LAYOUTS) == {"llama", "qwen2", "qwen3", "gpt2"}


def test_export_into_a_place_that_is_taken_is_refused(project, capsys):
    """A folder that somebody made is never written into."""
    project.write("m")
    (project.path / "out").mkdir()

    assert main(["model", "export", "m", "--out", "out"]) == 4
    assert "error[MOD-012]" in capsys.readouterr().err and list((project.path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "mamba"}, "model_type 'mamba'"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu', the decoder has 'silu'"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4}}, "rope_type is 'llama3'"),
        ({"attention_bias": True}, "attention_bias and mlp_bias differ"),
        ({"hidden_size": None}, "TypeError"),
        ({"num_hidden_layers": 3}, "missing model.layers.2.input_layernorm.weight (16,)"),
        ({"num_hidden_layers": 1}, "unexpected model.layers.1.input_layernorm.weight (16,)"),
        ({"intermediate_size": 20}, "is (24, 16) in the file and (20, 16) by config.json"),
        ({"tie_word_embeddings": True}, "lm_head.weight differs from the embeddings"),
    ],
)
def test_import_refuses_what_does_not_fit(changes, words, project):
    """Another architecture, settings that are not computed, tensors that are missing, left over or misshapen."""
    edit_config(directory(project.path / "d"), **changes)

    with pytest.raises(InputError) as caught:
        Decoder.from_folder(project.path / "d")
    assert words in f"{caught.value.what}; {caught.value.why}"


def test_import_refuses_damaged_weights(project, capsys):
    """A file that was cut is exit 4 with its name, and no folder appears."""
    path = directory(project.path / "d") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])

    assert main(["model", "import", "d", "--out", "m"]) == 4
    assert "model.safetensors refused (it is damaged" in capsys.readouterr().err
    assert not (project.path / "m").exists()


def test_import_that_computes_something_else_is_refused(project, monkeypatch, capsys):
    """Where transformers is installed its logits decide; a difference leaves no folder."""
    directory(project.path / "d")
    monkeypatch.setattr(hf_loading, "load", lambda folder, dtype: causal_model("llama", seed=9))

    assert main(["model", "import", "d", "--out", "m"]) == 1
    assert "error[MOD-011]" in capsys.readouterr().err and not (project.path / "m").exists()


def test_import_without_a_tokenizer_says_so(project, capsys):
    """Weights alone are imported; who wants to generate with them is told what lacks."""
    directory(project.path / "d")
    assert main(["model", "import", "d", "--out", "m"]) == 0
    assert "no tokenizer" in capsys.readouterr().err

    assert main(["generate", "--model", "m", "x"]) == 4
    assert "error[MOD-018]" in capsys.readouterr().err
    assert main(["model", "export", "m", "--out", "out"]) == 4


def test_weights_in_several_files_are_read(project):
    """A directory whose weights are cut into files with an index gives the decoder of the uncut one."""
    model = causal_model("qwen3")
    model.save_pretrained(project.path / "cut", max_shard_size="5KB")
    model.save_pretrained(project.path / "whole")
    assert len(list((project.path / "cut").glob("model-*.safetensors"))) > 2

    cut, whole = (Decoder.from_folder(project.path / name) for name in ("cut", "whole"))
    assert model_fingerprint(cut) == model_fingerprint(whole)


def test_files_of_the_first_gpt2_kind_are_read(project):
    """Names without their prefix, and masks saved beside the parameters, are what GPT-2 was published with."""
    folder = directory(project.path / "d", "gpt2")
    expected = model_fingerprint(Decoder.from_folder(folder))
    tensors = {
        name.removeprefix("transformer."): tensor
        for name, tensor in load_file(folder / "model.safetensors").items()
    }
    tensors["h.0.attn.bias"] = torch.ones(1, 1, 32, 32)
    tensors["lm_head.weight"] = tensors["wte.weight"].clone()
    save_file(tensors, folder / "model.safetensors")

    assert model_fingerprint(Decoder.from_folder(folder)) == expected


def test_weights_of_any_bit_width_become_float32(project):
    """A directory in bfloat16 is held as float32, value by value."""
    causal_model("llama").to(torch.bfloat16).save_pretrained(project.path / "d")
    tensors = dict(Decoder.from_folder(project.path / "d").named_parameters())

    assert {value.dtype for value in tensors.values()} == {torch.float32}
    assert torch.equal(tensors["norm_gain"], tensors["norm_gain"].bfloat16().float())


def test_a_broken_export_of_a_damaged_checkpoint_never_begins(project, capsys):
    """A model folder that does not verify is exit 7; nothing is exported from it."""
    folder = project.write("m")
    shutil.copy(folder / "tokenizer" / "bytes.json", folder / "model" / "stranger.json")

    assert main(["model", "export", "m", "--out", "out"]) == 7
    assert not (project.path / "out").exists()


def test_run_failed_is_what_verification_raises(project):
    """The comparison itself: another model's directory is told from this one's."""
    project.write("m")
    other = decoder(attrs.evolve(SMALL, rope_theta=20.0))
    out = project.path / "out"
    out.mkdir()
    tokenizer = BytesTokenizer()
    hf_export.write(
        out,
        other,
        LAYOUTS["llama"],
        dtype="float32",
        artefact=project.path / "m" / "tokenizer",
        tokenizer=tokenizer,
    )
    with pytest.raises(RunFailed, match="computes something else"):
        hf_export.verify(out, decoder(SMALL), dtype="float32", tokenizer=tokenizer, own_encode=None)
