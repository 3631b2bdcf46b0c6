"""`hf-causal`: models of transformers from local directories, trained, scored and continued as ours are."""

from __future__ import annotations

import json
import re

import attrs
import pytest
import torch

transformers = pytest.importorskip("transformers")

from codex_core.contracts import LanguageModel, Loaded, ModelClass  # noqa: E402 - after the skip
from codex_core.errors import ArtefactError, CapabilityMissing, ConfigError, InputError  # noqa: E402
from codex_core.records import GenerationSettings  # noqa: E402
from codex_models.attention import visibility  # noqa: E402
from codex_models.hf_causal import HfCausal  # noqa: E402
from codex_models.hf_options import HfCausalOptions  # noqa: E402
from codex_models.modules import TrainableModule  # noqa: E402
from codex_models.state import model_fingerprint  # noqa: E402
from tests.support.decoders import CountingRows, FolderCheckpoints, lock_for, options_for  # noqa: E402
from tests.support.hf_directories import (  # noqa: E402
    CONFIGS,
    VOCAB_SIZE,
    causal_model,
    directory,
    edit_config,
    other_architecture,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A directory of each architecture."""
    root = tmp_path_factory.mktemp("directories")
    return {name: directory(root / name, name) for name in CONFIGS}


@pytest.fixture
def llama(folders):
    return folders["llama"]


def built(folder, **changes) -> HfCausal:
    return HfCausal.build(HfCausalOptions(weights=str(folder), **changes), vocab_size=VOCAB_SIZE, seed=1)


def rows(*lengths: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, VOCAB_SIZE, (length,), generator=generator).tolist() for length in lengths]


def test_it_is_what_trainers_and_evaluation_ask_for(llama):
    """The class and its objects offer all members of their contracts."""
    assert isinstance(HfCausal, ModelClass)
    assert isinstance(built(llama), TrainableModule)
    assert isinstance(HfCausal.open(llama), LanguageModel)


@pytest.mark.parametrize("name", CONFIGS)
def test_scores_are_those_of_transformers(name, folders):
    """Log-probabilities equal those of the library's own forward pass, for rows of any company."""
    opened, model = HfCausal.open(folders[name]), causal_model(name)
    given = rows(5, 20, 2, 1)
    found = opened.loglikelihood(given)
    for row, values in zip(given, found, strict=True):
        with torch.no_grad():
            expected = model(input_ids=torch.tensor([row])).logits[0].log_softmax(-1)
        wanted = expected[:-1].gather(-1, torch.tensor(row)[1:, None])[:, 0].tolist()
        assert values == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("name", CONFIGS)
def test_greedy_continuations_are_those_of_transformers(name, folders):
    """Prompts of several lengths in one batch continue as the library continues each of them alone."""
    opened, model = HfCausal.open(folders[name]), causal_model(name)
    given = rows(3, 7, 1)
    found: list[list[int]] = [[], [], []]
    for chunk in opened.generate(given, GenerationSettings(max_new_tokens=6, temperature=0.0)):
        found[chunk.index].extend(chunk.ids)
    for prompt, ids in zip(given, found, strict=True):
        ids_BT = torch.tensor([prompt])
        whole = model.generate(
            ids_BT,
            attention_mask=torch.ones_like(ids_BT),
            max_new_tokens=6,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        assert ids == whole[0, len(prompt) :].tolist()


@pytest.mark.parametrize("name", CONFIGS)
def test_documents_of_a_packed_row_are_kept_apart(name, folders):
    """Two documents in one row have the logits that each has alone."""
    model = built(folders[name])
    (row,) = rows(12)
    ids = torch.tensor([row])
    positions = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6]])
    documents = torch.tensor([[0] * 5 + [1] * 7])
    with torch.no_grad():
        packed = model.head(model.hidden(ids, positions, documents))[0]
        alone = torch.cat([model.inner(input_ids=part).logits[0] for part in (ids[:, :5], ids[:, 5:])])

    torch.testing.assert_close(packed, alone, rtol=1e-4, atol=1e-4)


def test_an_architecture_that_ignores_the_mask_cannot_be_trained(llama):
    """What packed rows would leak is found by trying, before a training begins."""
    model = built(llama)
    forward = model.inner.base_model.forward

    def leaking(**given):
        everything = visibility(torch.zeros_like(given["input_ids"]), torch.float32)
        return forward(**{**given, "attention_mask": everything})

    model.inner.base_model.forward = leaking

    with pytest.raises(CapabilityMissing, match="cannot be trained on packed rows"):
        model.require_packing()


@pytest.mark.parametrize(
    ("model_type", "words"),
    [
        ("bloom", "it does not take a mask: "),
        ("phi", "there is a bias"),
        ("cohere", "logits .* from those that each has alone"),
        ("mamba", "it does not take a mask: "),
    ],
)
def test_architectures_that_cannot_be_packed_are_refused(model_type, words, tmp_path):
    """Positions by distance alone, an output with a bias or a scale, recurrences: each is found by trying."""
    folder = other_architecture(tmp_path, model_type)

    with pytest.raises(CapabilityMissing) as caught:
        built(folder)
    assert caught.value.code == "MOD-016" and re.search(words, caught.value.why)
    scores = HfCausal.open(folder).loglikelihood(rows(5, 3))
    assert [len(values) for values in scores] == [4, 2], "scoring works with it all the same"


def test_a_model_without_a_cache_does_not_generate(tmp_path):
    """A recurrent model keeps no keys and values: continuing is refused, never done without what was read."""
    opened = HfCausal.open(other_architecture(tmp_path, "mamba"))

    with pytest.raises(CapabilityMissing, match="cannot continue prompts"):
        list(opened.generate(rows(3), GenerationSettings(max_new_tokens=2)))


def test_rows_stay_within_a_sliding_window(tmp_path):
    """Where attention slides, rows of a training are as long as the window at most; scoring is not limited by it."""
    folder = other_architecture(tmp_path, "mistral", sliding_window=16)

    assert built(folder).context_length == 16
    assert HfCausal.open(folder).context_length == 32


def test_a_kind_of_model_that_transformers_does_not_know_is_refused(llama, tmp_path):
    """The library's own words are given with the directory."""
    for path in llama.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    edit_config(tmp_path, model_type="nonsense")

    with pytest.raises(InputError, match="transformers cannot open") as caught:
        built(tmp_path)
    assert "nonsense" in caught.value.why


def test_training_is_without_dropout(tmp_path):
    """Dropout of the configuration is off, so that equal runs are equal."""
    folder = directory(tmp_path, "gpt2", embd_pdrop=0.5, attn_pdrop=0.5, resid_pdrop=0.5)
    model = built(folder)
    model.train(True)
    ids = torch.tensor(rows(8))
    arguments = ids, torch.arange(8)[None], torch.zeros_like(ids)

    assert torch.equal(model.hidden(*arguments), model.hidden(*arguments))
    config = json.loads(_written(model, tmp_path / "out", "config.json"))
    assert config["embd_pdrop"] == 0.5, "the directory's own setting is kept in what is written"


def _written(model, folder, name):
    folder.mkdir()
    model.payload(model.trainable())[name](folder / name)
    return (folder / name).read_text()


def train(folder, root, *, steps=4, save_at=frozenset(), parent=None, **changes):
    """Train the tiny llama on counting rows."""
    from codex_models.trainer import TorchTrainer

    chosen = options_for(**changes)
    checkpoints = FolderCheckpoints(root, due=save_at, parent=parent)
    options = HfCausalOptions(weights=str(folder))
    events = []
    TorchTrainer(chosen).fit(
        lock_for(chosen, steps=steps),
        CountingRows(),
        load=lambda section: Loaded(id="codex-models/hf-causal", target=HfCausal, options=options),
        emit=events.append,
        checkpoints=checkpoints,
        evaluate=lambda live, step: {},
        should_stop=lambda: False,
    )
    return checkpoints.saved, events


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_training_resumes_bit_by_bit(optimizer, llama, tmp_path):
    """Saved at step 2 and resumed, a training ends with the files of the unbroken one, and weights have moved."""
    unbroken, _ = train(llama, tmp_path / "a", save_at=frozenset({2, 4}), optimizer=optimizer)
    resumed, _ = train(llama, tmp_path / "b", save_at=frozenset({4}), optimizer=optimizer, parent=unbroken[2])

    names = sorted(path.relative_to(unbroken[4].path) for path in unbroken[4].path.rglob("*.*"))
    assert {str(name) for name in names} >= {"model/model.safetensors", "model/config.json"}
    for name in names:
        assert (resumed[4].path / name).read_bytes() == (unbroken[4].path / name).read_bytes()
    fingerprints = {HfCausal.open(unbroken[step].path / "model").fingerprint() for step in (2, 4)}
    assert len(fingerprints | {HfCausal.open(llama).fingerprint()}) == 3


def test_gradients_with_checkpointed_blocks_equal_plain_ones(llama):
    """Computing blocks again in the backward pass changes no gradient."""
    ids = torch.tensor(rows(10, 10))
    arguments = ids, torch.arange(10).expand_as(ids), torch.zeros_like(ids)

    def gradients(again: bool):
        model = built(llama)
        model.train(True)
        model.checkpoint_blocks = again
        model.head(model.hidden(*arguments)).square().mean().backward()
        return {name: value.grad for name, value in model.trainable().items()}

    plain, again = gradients(False), gradients(True)
    assert all(torch.equal(plain[name], again[name]) for name in plain)


def test_tied_matrices_stay_one(folders, tmp_path):
    """Embedding and output matrix of a tied model are one parameter before and after a file."""
    model = built(folders["qwen2"])
    assert model.head.weight is model.inner.get_input_embeddings().weight
    for name, write in model.payload(model.trainable()).items():
        write(tmp_path / name)

    again = built(tmp_path)
    assert again.head.weight is again.inner.get_input_embeddings().weight
    assert model_fingerprint(again) == model_fingerprint(model)
    assert "lm_head.weight" not in again.trainable()


@pytest.mark.parametrize(("dtype", "expected"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_dtype_is_as_asked(dtype, expected, llama):
    """Parameters have the type that was asked for, in training and for scoring."""
    for model in (built(llama, dtype=dtype), HfCausal.open(llama, dtype=dtype).model):
        assert {value.dtype for value in model.parameters()} == {expected}
        assert model.compute_dtype == expected


def test_stored_dtype_is_kept_when_nothing_is_asked(tmp_path):
    """A directory in bfloat16 opens in bfloat16; trained in float32, its checkpoint says float32."""
    causal_model("llama").to(torch.bfloat16).save_pretrained(tmp_path)

    assert HfCausal.open(tmp_path).model.compute_dtype == torch.bfloat16
    assert built(tmp_path, dtype="auto").compute_dtype == torch.bfloat16
    model = built(tmp_path)
    assert json.loads(_written(model, tmp_path / "out", "config.json"))["dtype"] == "float32"


@pytest.mark.skipif(torch.cuda.is_available(), reason="runs where there is no accelerator")
def test_device_that_is_not_there_is_refused(llama):
    """A device is used as asked or refused, never replaced."""
    with pytest.raises(CapabilityMissing, match="no usable CUDA device"):
        HfCausal.open(llama, device="cuda")


def test_folder_without_a_model_is_refused(tmp_path):
    """An empty folder: of a checkpoint an artefact is missing, of a configuration an input; files are listed."""
    with pytest.raises(ArtefactError, match="description cannot be read"):
        HfCausal.open(tmp_path)
    with pytest.raises(InputError, match="2 files are missing") as caught:
        built(tmp_path)
    assert "config.json missing" in caught.value.why and "model.safetensors missing" in caught.value.why


def test_tensors_that_do_not_fit_are_refused(llama, tmp_path):
    """Another number of layers, in either direction, and another width are refused with the tensors' names."""
    for changes, words in (
        ({"num_hidden_layers": 3}, "missing model.layers.2."),
        ({"num_hidden_layers": 1}, "unexpected model.layers.1."),
        ({"intermediate_size": 20}, ""),
    ):
        folder = tmp_path / f"{changes}"
        folder.mkdir()
        for path in llama.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        edit_config(folder, **changes)
        with pytest.raises(InputError) as caught:
            built(folder)
        assert words in caught.value.why


def test_more_ids_or_a_longer_context_than_the_model_has_are_refused(llama):
    """Both sides are named; a shorter context is taken."""
    with pytest.raises(ConfigError, match=f"{VOCAB_SIZE + 1} ids and the model {VOCAB_SIZE}"):
        HfCausal.build(HfCausalOptions(weights=str(llama)), vocab_size=VOCAB_SIZE + 1, seed=1)
    with pytest.raises(ConfigError, match="33 tokens was asked for and the model has 32"):
        built(llama, context_length=33)
    assert built(llama, context_length=9).context_length == 9


def test_context_is_the_limit_of_rows_and_continuations(llama):
    """A row beyond the context is refused; a continuation ends where the context ends."""
    opened = HfCausal.open(llama)
    assert opened.context_length == 32
    with pytest.raises(InputError, match="33 tokens and the model's context is 32"):
        opened.loglikelihood(rows(33))
    settings = attrs.evolve(GenerationSettings(temperature=0.0), max_new_tokens=99)
    chunks = list(opened.generate(rows(30), settings))
    assert sum(len(chunk.ids) for chunk in chunks) == 3 and chunks[-1].finish_reason == "length"
