"""Adapters on models of transformers: peft's numbers and files under our seeds, noise and bindings."""

from __future__ import annotations

import attrs
import pytest
import torch

transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")

from codex_core.contracts import Loaded  # noqa: E402 - after the skips
from codex_core.errors import ArtefactError, ConfigError, MissingDependency  # noqa: E402
from codex_models import hf_adapted  # noqa: E402
from codex_models.decoder import Decoder  # noqa: E402
from codex_models.decoder_model import DecoderModel  # noqa: E402
from codex_models.hf_causal import HfCausal  # noqa: E402
from codex_models.hf_model import HfModel  # noqa: E402
from codex_models.hf_options import HfCausalOptions  # noqa: E402
from codex_models.lora_files import TENSORS, digest_of_tensors  # noqa: E402
from codex_models.lora_options import LoraOptions  # noqa: E402
from codex_models.modules import TrainableModule  # noqa: E402
from codex_models.trainer import TorchTrainer  # noqa: E402
from tests.support.decoders import CountingRows, FolderCheckpoints, lock_for, options_for  # noqa: E402
from tests.support.hf_directories import VOCAB_SIZE, causal_model, directory  # noqa: E402

pytestmark = pytest.mark.slow

ADAPTED = LoraOptions(r=2, dropout=0.25, targets=("q_proj", "down_proj"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Directories of the layouts that the decoder reads, too."""
    root = tmp_path_factory.mktemp("directories")
    return {name: directory(root / name, name) for name in ("llama", "qwen2", "qwen3", "gpt2")}


def _built(folder, lora=None, *, seed=0):
    options = HfCausalOptions(weights=str(folder), lora=lora or LoraOptions(r=2))
    return HfModel.build(options, vocab_size=VOCAB_SIZE, seed=seed)


def _moved(model, *, seed=0):
    """The model with an adapter that is nowhere zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.trainable().values():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return model


def _write(model, folder):
    folder.mkdir(parents=True)
    for name, write in model.payload({n: p.detach().clone() for n, p in model.trainable().items()}).items():
        write(folder / name)
    return folder


def _one_row():
    ids = torch.randint(0, VOCAB_SIZE, (1, 12), generator=torch.Generator().manual_seed(3))
    return ids, torch.arange(12)[None], torch.zeros_like(ids)


def _train(root, model, *, save_at, parent=None):
    options, events = options_for(precision="bf16"), []
    checkpoints = FolderCheckpoints(root, due=save_at, parent=parent)
    TorchTrainer(options).fit(
        lock_for(options),
        CountingRows(),
        load=lambda section: Loaded(id="codex-models/hf-causal", target=HfModel, options=model),
        emit=events.append,
        checkpoints=checkpoints,
        evaluate=lambda live, step: {},
        should_stop=lambda: False,
    )
    return checkpoints, {event.step: event.metrics for event in events if event.kind == "step"}


def _files(state):
    paths = [path for path in sorted(state.path.rglob("*")) if path.is_file()]
    return {path.relative_to(state.path).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "gpt2"])
def test_the_decoder_computes_what_peft_computes(name, folders, tmp_path):
    """An adapter trained on either loads into the other's base: equal names, logits and gradients (1e-5, fp32)."""
    theirs = _moved(_built(folders[name]))
    base = Decoder.from_folder(folders[name])
    options = attrs.evolve(base.options, weights=str(folders[name]), lora=LoraOptions(r=2))
    ours = DecoderModel.build(options, vocab_size=base.vocab_size, seed=0)
    saved = _write(theirs, tmp_path / "theirs")
    names = {f"base_model.model.{name}": parameter for name, parameter in theirs.trainable().items()}
    views = ours.by_peft_name({name: value.detach() for name, value in ours.trainable().items()})
    assert views.keys() == names.keys()
    for key, view in views.items():
        view.copy_(names[key].detach())

    (wanted, found) = (model.head(model.hidden(*_one_row())) for model in (theirs, ours))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    weight = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(5))
    for logits in (wanted, found):
        (logits * weight).sum().backward()
    gradients = ours.by_peft_name({name: value.grad for name, value in ours.trainable().items()})
    for key, gradient in gradients.items():
        size = float(names[key].grad.abs().max())
        torch.testing.assert_close(gradient, names[key].grad, rtol=1e-4, atol=1e-5 * size, msg=key)
    assert (saved / TENSORS).is_file()


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_saved_adapters_load_in_plain_peft(name, folders, tmp_path):
    """What we save, `PeftModel.from_pretrained` loads over transformers' own model, with our logits."""
    model = _moved(_built(folders[name]))
    saved = _write(model, tmp_path / "adapter")
    plain = peft.PeftModel.from_pretrained(causal_model(name), saved).eval()
    ids, *_ = _one_row()
    with torch.no_grad():
        found = plain(input_ids=ids).logits
        wanted = model.head(model.hidden(*_one_row()))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_new_adapter_is_a_function_of_the_seed(folders):
    """peft draws from the process's generator; ours seeds it and leaves it as it was."""
    torch.manual_seed(7)
    before = torch.get_rng_state()
    digests = [digest_of_tensors(_built(folders["llama"], seed=seed).trainable()) for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]
    assert torch.equal(torch.get_rng_state(), before)


def test_it_is_what_the_trainer_asks_for_and_freezes_the_rest(folders):
    """All members are there, and nothing but the adapter requires gradients."""
    model = _built(folders["llama"])
    assert isinstance(model, TrainableModule)
    assert all("lora_" in name for name in model.trainable())
    assert 0 < len(model.trainable()) < len(list(model.parameters()))


def test_resumed_run_equals_unbroken_run(folders, tmp_path):
    """Adapter, moments, state and rows are bit-identical after a resume, in bf16 and with dropout."""
    options = HfCausalOptions(weights=str(folders["llama"]), lora=ADAPTED)
    before = hf_adapted.directory_digest(folders["llama"])
    whole, rows = _train(tmp_path / "whole", options, save_at=frozenset({3, 8}))
    rest, later = _train(tmp_path / "rest", options, save_at=frozenset({8}), parent=whole.saved[3])
    assert _files(rest.saved[8]) == _files(whole.saved[8])
    assert later == {step: row for step, row in rows.items() if step > 3}
    assert hf_adapted.directory_digest(folders["llama"]) == before


def test_an_opened_adapter_computes_what_was_trained(folders, tmp_path):
    """Scores and fingerprint of the opened model are those of the one in training."""
    model = _moved(_built(folders["llama"]))
    opened, live = HfModel.open(_write(model, tmp_path / "adapter")), model.language_model()
    row = _one_row()[0][0].tolist()
    assert opened.loglikelihood([row]) == live.loglikelihood([row])
    assert opened.fingerprint() == live.fingerprint() != HfModel.open(folders["llama"]).fingerprint()


def test_merged_tensors_are_base_plus_update(folders):
    """A plain model with the merged tensors gives the adapted model's logits (1e-5, fp32)."""
    model, plain = _moved(_built(folders["llama"])), HfCausal.from_directory(folders["llama"], dtype=None)
    merged = model.merged_tensors(plain)
    with torch.no_grad():
        for name, tensor in plain.named_tensors():
            tensor.copy_(merged[name])
        logits = [one.head(one.hidden(*_one_row())) for one in (plain, model)]
    torch.testing.assert_close(*logits, rtol=1e-5, atol=1e-5)


def test_another_base_and_unknown_targets_are_refused(folders, tmp_path):
    """Both digests are named; a target that the model does not have is peft's complaint, as a mistake of the user."""
    saved = _write(_built(folders["llama"]), tmp_path / "adapter")
    with pytest.raises(ArtefactError, match="MOD-031"):
        HfModel.open(saved, base=folders["qwen2"])
    with pytest.raises(ConfigError, match="MOD-032"):
        _built(saved)
    with pytest.raises(ConfigError, match="MOD-038"):
        _built(folders["llama"], LoraOptions(targets=("no_such_matrix",)))


def test_without_peft_the_adapter_is_refused_and_no_plain_model_is_built(folders, monkeypatch):
    """The error names the line that installs it."""
    monkeypatch.setattr(hf_adapted, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency) as caught:
        _built(folders["llama"])
    assert caught.value.fix == "pip install 'codex-models[lora]'"
