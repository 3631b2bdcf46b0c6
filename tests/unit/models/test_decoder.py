"""The decoder: shapes, seeds, isolation of documents, packing, and its files."""

from __future__ import annotations

import json

import attrs
import pytest
import torch
from safetensors.torch import load_file, save_file

from codex_core.contracts import LanguageModel, ModelClass
from codex_core.errors import ArtefactError, CapabilityMissing, UsageError
from codex_models.decoder import Decoder
from codex_models.loss import supervised_cross_entropy
from codex_models.options import DecoderOptions
from codex_models.state import description_writer, model_fingerprint, named_tensors, tensor_writer
from tests.support.decoders import TINY, VOCAB_SIZE, decoder, one_document


def _ids(rows: int = 2, length: int = 12, *, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, VOCAB_SIZE, (rows, length), generator=torch.Generator().manual_seed(seed))


def _logits(model: Decoder, *arguments: torch.Tensor) -> torch.Tensor:
    return model.head(model.hidden(*arguments))


def _saved(model: Decoder, folder):
    description_writer(model)(folder / "model.json")
    tensor_writer(lambda: named_tensors(model))(folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("tied", [True, False])
def test_decoder_has_the_shapes_and_size_that_its_options_say(tied):
    """Logits are (B, T, V) and parameters are as many as the options count."""
    options = attrs.evolve(TINY, tied_embeddings=tied)
    model = decoder(options)
    assert _logits(model, *one_document(_ids())).shape == (2, 12, VOCAB_SIZE)
    assert sum(parameter.numel() for parameter in model.parameters()) == options.num_parameters(VOCAB_SIZE)


def test_decoder_is_a_function_of_its_seed():
    """The same seed gives the same parameters whatever the global generator did; another seed gives others."""
    first = model_fingerprint(Decoder.build(TINY, vocab_size=VOCAB_SIZE, seed=5))
    torch.rand(3)
    assert model_fingerprint(Decoder.build(TINY, vocab_size=VOCAB_SIZE, seed=5)) == first
    assert model_fingerprint(Decoder.build(TINY, vocab_size=VOCAB_SIZE, seed=6)) != first


def test_options_refuse_heads_that_do_not_divide_width():
    """A width that the heads cannot share evenly is refused where the options are made."""
    with pytest.raises(ValueError, match="heads must divide width"):
        DecoderOptions(width=30, heads=4)


def test_scaled_embeddings_are_multiplied_by_the_root_of_width():
    """Scaling in the model equals larger embeddings in one that does not scale; the output matrix is left alone."""
    options = attrs.evolve(TINY, tied_embeddings=False)
    scaled, plain = decoder(options), decoder(attrs.evolve(options, scale_embeddings=False))
    with torch.no_grad():
        plain.embedding.weight.mul_(4.0)  # width 16
    assert torch.equal(_logits(scaled, *one_document(_ids())), _logits(plain, *one_document(_ids())))


def test_later_tokens_change_nothing_before_them():
    """Logits of a prefix are bit-identical whatever follows."""
    model, ids = decoder(), _ids()
    changed = ids.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % VOCAB_SIZE
    before, after = (_logits(model, *one_document(rows)) for rows in (ids, changed))
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.equal(before[:, 7:], after[:, 7:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_documents_of_a_row_cannot_see_each_other(dtype):
    """Changing one document leaves logits and gradients of the other in the row bit-identical."""
    model = decoder()
    model.compute_dtype = dtype
    ids = _ids(2, 140)  # longer than a block of queries
    positions = torch.cat([torch.arange(60), torch.arange(80)]).expand(2, 140)
    documents = torch.cat([torch.zeros(60), torch.ones(80)]).long().expand(2, 140)

    def look(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        embedded = []

        def keep(module: torch.nn.Module, inputs: object, out: torch.Tensor) -> None:
            out.retain_grad()
            embedded.append(out)

        hook = model.embedding.register_forward_hook(keep)
        logits = _logits(model, rows, positions, documents)
        hook.remove()
        logits.square().sum().backward()
        return logits.detach(), embedded[0].grad

    logits, gradients = look(ids)
    changed = ids.clone()
    changed[:, :60] = (changed[:, :60] + 3) % VOCAB_SIZE
    other_logits, other_gradients = look(changed)

    assert torch.equal(logits[:, 60:], other_logits[:, 60:])
    assert torch.equal(gradients[:, 60:], other_gradients[:, 60:])
    assert not torch.equal(logits[:, :60], other_logits[:, :60])


def test_packing_changes_neither_loss_nor_gradients():
    """Three documents in one row have the loss and gradients that they have in rows of their own (float64)."""
    lengths = [5, 9, 2]
    documents = [_ids(1, length + 1, seed=length)[0] for length in lengths]
    packed = decoder(dtype=torch.float64)
    inputs = torch.cat([ids[:-1] for ids in documents])[None]
    targets = torch.cat([ids[1:] for ids in documents])[None]
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    numbers = torch.repeat_interleave(torch.arange(3), torch.tensor(lengths))[None]
    every = torch.ones_like(targets, dtype=torch.bool)
    loss = supervised_cross_entropy(
        packed.hidden(inputs, positions, numbers), packed.head.weight, targets, every
    )
    loss.backward()

    apart = decoder(dtype=torch.float64)
    total = torch.zeros((), dtype=torch.float64)
    for ids in documents:
        hidden = apart.hidden(*one_document(ids[None, :-1]))
        one = supervised_cross_entropy(
            hidden, apart.head.weight, ids[None, 1:], torch.ones(1, len(ids) - 1) > 0
        )
        one.backward()
        total += one.detach()

    assert loss.item() == pytest.approx(total.item(), rel=1e-12)
    for (name, parameter), twin in zip(packed.named_parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, twin.grad, rtol=1e-10, atol=1e-10, msg=name)


@pytest.mark.parametrize("tied", [True, False])
def test_saved_model_opens_with_the_same_numbers(tmp_path, tied):
    """A model opened from its folder gives the logits and the fingerprint of the one that was saved."""
    model = decoder(attrs.evolve(TINY, tied_embeddings=tied))
    model.context_length = 12
    opened = Decoder.open(_saved(model, tmp_path))
    ids = one_document(_ids())
    # fp32: folding gains into matrices rounds once more; observed 4e-6
    torch.testing.assert_close(_logits(opened.model, *ids), _logits(model, *ids), rtol=1e-5, atol=2e-5)
    assert opened.fingerprint() == model_fingerprint(model)
    assert (opened.vocab_size, opened.context_length) == (VOCAB_SIZE, 12)
    assert isinstance(opened, LanguageModel)
    assert isinstance(Decoder, ModelClass)


def test_equal_models_write_equal_bytes(tmp_path):
    """Files are a function of values: two models built from one seed have identical files."""
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        _saved(decoder(seed=4), folder)
    for name in ("model.json", "model.safetensors"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


@pytest.mark.parametrize("damage", ["missing", "extra", "shape", "dtype"])
def test_wrong_tensors_are_refused_naming_both_sides(tmp_path, damage):
    """Missing, extra, misshapen and mistyped tensors are refused with the tensor's name, never filled in."""
    path = _saved(decoder(), tmp_path) / "model.safetensors"
    tensors = load_file(path)
    if damage == "missing":
        del tensors["norm_gain"]
    elif damage == "extra":
        tensors["bias"] = torch.zeros(3)
    elif damage == "shape":
        tensors["norm_gain"] = torch.zeros(3)
    else:
        tensors["norm_gain"] = tensors["norm_gain"].double()
    save_file(tensors, path)
    with pytest.raises(ArtefactError) as caught:
        Decoder.open(tmp_path)
    assert caught.value.code == "MOD-002"
    assert ("bias" if damage == "extra" else "norm_gain") in str(caught.value)


@pytest.mark.parametrize(
    "damage", ["cut", "no tensors", "no description", "foreign format", "unknown option"]
)
def test_unreadable_model_folder_is_refused(tmp_path, damage):
    """A damaged or foreign model folder is refused with its path, whatever is wrong with it."""
    folder = _saved(decoder(), tmp_path)
    description = json.loads((folder / "model.json").read_text())
    if damage == "cut":
        whole = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    elif damage == "no tensors":
        (folder / "model.safetensors").unlink()
    elif damage == "no description":
        (folder / "model.json").unlink()
    elif damage == "foreign format":
        (folder / "model.json").write_text(json.dumps(description | {"format": "other/1"}))
    else:
        description["options"]["experts"] = 8
        (folder / "model.json").write_text(json.dumps(description))
    with pytest.raises(ArtefactError) as caught:
        Decoder.open(folder)
    assert caught.value.code == "MOD-001"
    assert str(folder) in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs an accelerator to be absent")
def test_cuda_is_refused_on_a_machine_without_it(tmp_path):
    """A device that this machine lacks is refused (exit 6), never replaced by the CPU."""
    with pytest.raises(CapabilityMissing) as caught:
        Decoder.open(_saved(decoder(), tmp_path), device="cuda")
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("wrong", [{"device": "abacus"}, {"dtype": "int3"}])
def test_unknown_device_or_dtype_is_a_usage_error(tmp_path, wrong):
    """A misspelt device or dtype is a mistake of the command line."""
    with pytest.raises(UsageError):
        Decoder.open(_saved(decoder(), tmp_path), **wrong)


@pytest.mark.parametrize(("layers", "dropout"), [(2, 0.0), (2, 0.25), (4, 0.25)])
def test_gradients_with_checkpointed_blocks_equal_plain_ones(layers, dropout):
    """Computing blocks again in the backward pass changes no gradient bit, with dropout either."""
    options = attrs.evolve(TINY, layers=layers, dropout=dropout)

    def gradients(*, checkpoint_blocks: bool) -> dict[str, torch.Tensor]:
        model = decoder(options)
        noise = torch.Generator()
        model.set_noise(noise)
        model.checkpoint_blocks = checkpoint_blocks
        for seed in (7, 8):
            noise.manual_seed(seed)
            _logits(model, *one_document(_ids(seed=seed))).square().mean().backward()
        return {name: value.grad for name, value in model.trainable().items()}

    plain, again = gradients(checkpoint_blocks=False), gradients(checkpoint_blocks=True)

    assert all(torch.equal(plain[name], again[name]) for name in plain)
