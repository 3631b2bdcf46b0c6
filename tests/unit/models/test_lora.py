"""Adapters over a frozen decoder: numbers, files, the base they are bound to, resuming and opening."""

from __future__ import annotations

import json
import shutil

import attrs
import pytest
import torch

from codex_core.errors import ArtefactError, ConfigError, InputError, UsageError
from codex_models.decoder import Decoder
from codex_models.decoder_model import DecoderModel
from codex_models.estimate import decoder_memory
from codex_models.lora import AdaptedDecoder, merged, open_adapter
from codex_models.lora_files import BINDING, PEFT_CONFIG, TENSORS, Binding, digest_of_tensors
from codex_models.lora_names import num_adapter_parameters
from codex_models.lora_options import LoraOptions
from codex_models.options import DecoderOptions
from tests.support.decoders import TINY, VOCAB_SIZE, decoder, lock_for, one_document, options_for, train

LLAMA = attrs.evolve(TINY, tied_embeddings=False)
QWEN = attrs.evolve(TINY, heads=4, kv_heads=2, biases="qkv", qk_norm=True)
GPT2 = attrs.evolve(
    TINY, positions="learned", context_length=16, activation="gelu", norm="layer", biases="all", ffn_width=32
)
SHAPES = {
    "llama": (LLAMA, LoraOptions(r=2)),
    "some targets": (
        LLAMA,
        LoraOptions(r=3, alpha=2, targets=("v_proj", "q_proj", "down_proj"), rslora=True),
    ),
    "trained biases": (QWEN, LoraOptions(r=2, targets=("k_proj", "o_proj"), bias="lora_only")),
    "all biases": (QWEN, LoraOptions(r=2, targets=("up_proj",), bias="all")),
    "gpt2": (GPT2, LoraOptions(r=2, bias="lora_only")),
}


@pytest.fixture
def base(tmp_path):
    """Write a base of a shape, whose gains, shifts and biases are not what they begin as; gives its folder."""

    def made(options=LLAMA, *, seed=1):
        model = decoder(options, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
        folder = tmp_path / f"base-{seed}"
        folder.mkdir()
        for name, write in model.payload(model.trainable()).items():
            write(folder / name)
        return folder

    return made


def _adapted(folder, options=LLAMA, lora=None, *, seed=0) -> AdaptedDecoder:
    """A decoder with an adapter whose matrices are both not zero."""
    chosen = attrs.evolve(options, weights=str(folder), lora=lora or LoraOptions(r=2))
    model = DecoderModel.build(chosen, vocab_size=VOCAB_SIZE, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.trainable().values():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return model


def _write(model, folder):
    folder.mkdir(parents=True)
    tensors = {name: value.detach().clone() for name, value in model.trainable().items()}
    for name, write in model.payload(tensors).items():
        write(folder / name)
    return folder


def _ids(rows=2, length=12):
    return torch.randint(0, VOCAB_SIZE, (rows, length), generator=torch.Generator().manual_seed(9))


def _logits(model, ids):
    return model.head(model.hidden(*one_document(ids)))


def _frozen(model):
    return digest_of_tensors({n: p for n, p in model.decoder.named_parameters() if not p.requires_grad})


def _run(root, folder, lora=None, **rest):
    return train(root, model=attrs.evolve(LLAMA, weights=str(folder), lora=lora or LoraOptions(r=2)), **rest)


def _files(state):
    paths = [path for path in sorted(state.path.rglob("*")) if path.is_file()]
    return {path.relative_to(state.path).as_posix(): path.read_bytes() for path in paths}


def test_a_new_adapter_changes_nothing(base):
    """B begins at zero, so the first logits are those of the base, bit by bit."""
    folder = base()
    options = attrs.evolve(LLAMA, weights=str(folder), lora=LoraOptions())
    adapted = DecoderModel.build(options, vocab_size=VOCAB_SIZE, seed=0)
    plain = Decoder.from_folder(folder)
    plain.prepare_for_inference(torch.float32)
    assert torch.equal(_logits(adapted, _ids()), _logits(plain, _ids()))


def test_a_new_adapter_is_a_function_of_the_seed(base):
    """Equal seeds begin with equal adapters, other seeds with others; A is as wide as peft begins it."""
    folder = base()
    options = attrs.evolve(LLAMA, weights=str(folder), lora=LoraOptions(r=2))
    first, twin, other = (
        digest_of_tensors(DecoderModel.build(options, vocab_size=VOCAB_SIZE, seed=seed).trainable())
        for seed in (0, 0, 1)
    )
    assert first == twin != other
    a = DecoderModel.build(options, vocab_size=VOCAB_SIZE, seed=0).matrices()["blocks.0.ffn_out"].update.a
    bound = LLAMA.ffn_width**-0.5
    assert 0.8 * bound < a.abs().max() <= bound


@pytest.mark.parametrize(("options", "lora"), SHAPES.values(), ids=SHAPES)
def test_logits_and_gradients_are_those_of_the_changed_matrices(base, options, lora):
    """W + scale B A in every targeted projection gives the same logits, and the same gradients of A and B."""
    folder = base(options)
    model = _adapted(folder, options, lora)
    ids = _ids()
    logits = _logits(model, ids)
    weight = torch.randn(logits.shape, generator=torch.Generator().manual_seed(3))
    (logits * weight).sum().backward()
    own = {name: parameter.grad for name, parameter in model.trainable().items()}

    plain = Decoder.from_folder(folder)
    leaves = {name: value.detach().clone().requires_grad_() for name, value in model.trainable().items()}
    changed = {name: value.detach() for name, value in plain.named_parameters()}
    for place, matrix in model.matrices().items():
        if matrix.update is not None:
            parts = matrix.update.parts(leaves[f"{place}.update.a"], leaves[f"{place}.update.b"])
            whole = changed[f"{place}.weight"].clone()
            for one, (a, b) in zip(matrix.updated, parts, strict=True):
                whole[slice(*one.rows)] += lora.scale * (b @ a)
            changed[f"{place}.weight"] = whole
        if matrix.bias is not None:
            whole = changed[f"{place}.bias"].clone()
            for one, piece in zip(matrix.biased, matrix.bias_parts(leaves[f"{place}.bias"]), strict=True):
                whole[slice(*one.rows)] = piece
            changed[f"{place}.bias"] = whole
    expected = plain.head(
        torch.func.functional_call(_Hidden(plain), _below("plain", changed), one_document(ids))
    )
    (expected * weight).sum().backward()

    # fp32, 2 layers: observed 1e-6 of the largest
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    for name, gradient in own.items():
        size = leaves[name].grad.abs().max()
        torch.testing.assert_close(gradient, leaves[name].grad, rtol=1e-4, atol=float(1e-5 * size), msg=name)


class _Hidden(torch.nn.Module):
    """A module whose call is `hidden`."""

    def __init__(self, plain):
        super().__init__()
        self.plain = plain

    def forward(self, *rows):
        return self.plain.hidden(*rows)


def _below(name, tensors):
    return {f"{name}.{key}": value for key, value in tensors.items() if key != "head.weight"}


def test_less_than_a_twentieth_of_size_s_is_trained(tmp_path):
    """At size S and rank 8 the adapter is under 5 % of the parameters."""
    size_s = DecoderOptions(size="S")
    model = AdaptedDecoder(
        Decoder(size_s, vocab_size=8192), LoraOptions(), binding=Binding(base="blake3:0", weights="s")
    )
    trained = sum(parameter.numel() for parameter in model.trainable().values())
    assert trained == 245_760  # 6 layers x 8 x (4 x 2 x 256 + 3 x (256 + 768))
    assert trained == num_adapter_parameters(size_s, LoraOptions())
    assert trained < 0.05 * sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("options", "lora"), SHAPES.values(), ids=SHAPES)
def test_the_size_of_an_adapter_is_known_without_torch(base, options, lora):
    """What plans count is what is trained, biases included, and memory is estimated with it."""
    trained = sum(
        parameter.numel() for parameter in _adapted(base(options), options, lora).trainable().values()
    )
    assert num_adapter_parameters(options, lora) == trained
    chosen = attrs.evolve(options, weights="base", lora=lora)
    lock = lock_for(options_for(), components={"trainer": {"options": {"precision": "bf16"}}})
    memory, whole = decoder_memory(chosen, lock), decoder_memory(options, lock)
    assert memory.moments == 8 * trained < whole.moments
    assert memory.logits <= whole.logits * 2 and memory.parameters < whole.parameters


def test_training_tells_how_much_is_trained_and_leaves_the_base_alone(tmp_path, base):
    """The run card holds both counts; the base's files and digest are as before, and the loss went down."""
    folder = base()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    trained = _run(tmp_path / "run", folder, save_at=frozenset({8}), log_every=1)
    (card,) = trained.of_kind("training_prepared")
    assert 0 < card.num_trainable < card.num_parameters
    assert card.objective == "lora"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    losses = [event.metrics["loss"] for event in trained.of_kind("step")]
    assert losses[-1] < losses[0]
    saved = trained.checkpoints.saved[8].path / "model"
    assert {path.name for path in saved.iterdir()} == {TENSORS, PEFT_CONFIG, BINDING, "model.json"}
    assert (
        json.loads((saved / BINDING).read_text())["base"]
        == Decoder.from_folder(folder).language_model().fingerprint()
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_frozen_tensors_are_bit_equal_after_steps(base, precision):
    """Optimizer steps change the adapter and not one bit of the base, in either arithmetic."""
    model = _adapted(base())
    if precision == "bf16":
        model.compute_dtype = torch.bfloat16
    before = _frozen(model)
    optimizer = torch.optim.AdamW(model.trainable().values(), lr=0.1)
    for _ in range(3):
        _logits(model, _ids()).float().square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert _frozen(model) == before
    assert all(parameter.grad is None for parameter in model.parameters() if not parameter.requires_grad)


@pytest.mark.parametrize("at", [1, 4, 7])
@pytest.mark.parametrize("lora", [LoraOptions(r=2), LoraOptions(r=2, dropout=0.25)], ids=["plain", "dropout"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resumed_run_equals_unbroken_run(tmp_path, base, at, lora, precision):
    """Stopped after any step and resumed, adapter, moments, state and rows are bit-identical, dropout included."""
    folder, given = base(), {"log_every": 1, "options": options_for(precision=precision, micro_batch_rows=2)}
    whole = _run(tmp_path / "whole", folder, lora, save_at=frozenset({at, 8}), **given)
    parent = whole.checkpoints.saved[at]
    rest = _run(tmp_path / "rest", folder, lora, save_at=frozenset({8}), parent=parent, **given)
    assert _files(rest.checkpoints.saved[8]) == _files(whole.checkpoints.saved[8])
    rows = {event.step: event.metrics for event in whole.of_kind("step") if event.step > at}
    assert {event.step: event.metrics for event in rest.of_kind("step")} == rows


def test_dropout_touches_training_alone(base):
    """Masks follow the generator; scoring uses none."""
    model = _adapted(base(), lora=LoraOptions(r=2, dropout=0.5))
    noise = torch.Generator()
    model.set_noise(noise)

    def trained(seed):
        noise.manual_seed(seed)
        return _logits(model.train(), _ids())

    assert torch.equal(trained(1), trained(1))
    assert not torch.equal(trained(1), trained(2))
    row = _ids(1)[0].tolist()
    assert model.language_model().loglikelihood([row]) == model.language_model().loglikelihood([row])


def test_recomputed_blocks_draw_the_same_masks(base):
    """With activation checkpointing the gradients under dropout are those of the plain pass, bit by bit."""
    folder, gradients = base(), []
    for recompute in (False, True):
        model = _adapted(folder, lora=LoraOptions(r=2, dropout=0.5))
        model.checkpoint_blocks = recompute
        noise = torch.Generator().manual_seed(5)
        model.set_noise(noise)
        _logits(model.train(), _ids()).square().mean().backward()
        gradients.append({name: parameter.grad for name, parameter in model.trainable().items()})
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])


def test_documents_of_a_row_do_not_touch_each_other(base):
    """Changing one document leaves logits of the other, and its part of the gradients, bit-identical."""
    folder = base()
    documents = torch.tensor([[0] * 5 + [1] * 7])
    positions = torch.cat([torch.arange(5), torch.arange(7)])[None]

    def second(ids):
        model = _adapted(folder)
        logits = model.head(model.hidden(ids, positions, documents))[:, 5:]
        logits.square().mean().backward()
        return logits, [parameter.grad for parameter in model.trainable().values()]

    ids = _ids(1)
    other = ids.clone()
    other[:, :5] = (other[:, :5] + 1) % VOCAB_SIZE
    (logits, gradients), (same, equal) = second(ids), second(other)
    assert torch.equal(logits, same)
    assert all(map(torch.equal, gradients, equal))


def test_an_adapter_of_another_base_is_refused_with_both_digests(tmp_path, base):
    """Neither a resume nor an opening puts an adapter over tensors that it was not trained on."""
    one, two = base(seed=1), base(seed=2)
    saved = _write(_adapted(one), tmp_path / "adapter")
    digests = [Decoder.from_folder(folder).language_model().fingerprint() for folder in (one, two)]
    for attempt in (lambda: _adapted(two).restore(saved), lambda: DecoderModel.open(saved, base=two)):
        with pytest.raises(ArtefactError) as caught:
            attempt()
        assert caught.value.code == "MOD-031"
        assert all(digest in caught.value.why for digest in digests)


@pytest.mark.parametrize("name", [TENSORS, PEFT_CONFIG, BINDING])
def test_damaged_adapter_files_are_refused(tmp_path, base, name):
    """A file that was cut off or changed is named."""
    saved = _write(_adapted(base()), tmp_path / "adapter")
    data = (saved / name).read_bytes()
    (saved / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(ArtefactError) as caught:
        open_adapter(saved, base=None)
    assert caught.value.code in ("MOD-001", "MOD-030")


def test_changed_adapter_tensors_are_refused(tmp_path, base):
    """Tensors that are well-formed and not the ones that were saved are found by their digest."""
    folder = base()
    saved = _write(_adapted(folder), tmp_path / "adapter")
    other = _write(_adapted(folder, seed=1), tmp_path / "other")
    shutil.copy(other / TENSORS, saved / TENSORS)
    with pytest.raises(ArtefactError, match="MOD-030"):
        open_adapter(saved, base=None)


def test_an_adapter_of_another_rank_is_refused(tmp_path, base):
    """Shapes that do not fit are refused naming both sides."""
    folder = base()
    saved = _write(_adapted(folder), tmp_path / "adapter")
    with pytest.raises(ArtefactError, match="MOD-002"):
        _adapted(folder, lora=LoraOptions(r=3)).restore(saved)


def test_adapters_are_not_put_over_adapters(tmp_path, base):
    """Weights that are themselves an adapter are refused with the command that merges them."""
    saved = _write(_adapted(base()), tmp_path / "step-1" / "model")
    for folder in (saved, saved.parent):
        with pytest.raises(ConfigError, match="MOD-032") as caught:
            _adapted(folder)
        assert "codex model merge" in caught.value.fix


def test_muon_is_refused(tmp_path, base):
    """The optimizer for whole matrices has none here."""
    with pytest.raises(ConfigError, match="MOD-034"):
        _run(tmp_path, base(), options=options_for(optimizer="muon"))


@pytest.mark.parametrize(("options", "lora"), SHAPES.values(), ids=SHAPES)
def test_an_opened_adapter_computes_what_was_trained(tmp_path, base, options, lora):
    """The merged model gives the log-probabilities of the one in training (1e-5, fp32), and has its fingerprint."""
    model = _adapted(base(options), options, lora)
    model.context_length = 16
    opened = DecoderModel.open(_write(model, tmp_path / "adapter"))
    live = model.language_model()
    row = _ids(1)[0].tolist()
    torch.testing.assert_close(
        torch.tensor(opened.loglikelihood([row])[0]),
        torch.tensor(live.loglikelihood([row])[0]),
        rtol=0,
        atol=1e-5,
    )
    assert opened.fingerprint() == live.fingerprint()
    assert opened.context_length == 16


def test_restored_adapters_are_bit_equal(tmp_path, base):
    """Written and read again, every trained tensor has the same bits, and files written again the same bytes."""
    folder = base()
    model = _adapted(folder)
    saved = _write(model, tmp_path / "adapter")
    twin = open_adapter(saved, base=None)
    assert digest_of_tensors(twin.trainable()) == digest_of_tensors(model.trainable())
    again = _write(twin, tmp_path / "again")
    assert (again / TENSORS).read_bytes() == (saved / TENSORS).read_bytes()
    assert (again / BINDING).read_bytes() == (saved / BINDING).read_bytes()


def test_a_base_that_was_moved_is_named_or_found_beside_the_adapter(tmp_path, base, monkeypatch):
    """A project moved as a whole finds its base; another place is named; nowhere is an error with the fix."""
    project = tmp_path / "project"
    project.mkdir()
    shutil.move(base(), project / "base")
    monkeypatch.chdir(project)
    saved = _write(_adapted("base"), project / "runs" / "one" / "model")
    monkeypatch.chdir(tmp_path)
    assert open_adapter(saved, base=None).binding.weights == "base"

    shutil.move(project / "base", tmp_path / "elsewhere")
    with pytest.raises(InputError, match="MOD-033") as caught:
        open_adapter(saved, base=None)
    assert "--base DIR" in caught.value.fix
    assert open_adapter(saved, base=tmp_path / "elsewhere").fingerprint()


def test_a_base_for_a_model_without_adapter_is_refused(base):
    """`--base` where nothing needs it is told, never ignored."""
    folder = base()
    with pytest.raises(UsageError, match="MOD-035"):
        DecoderModel.open(folder, base=folder)


def test_a_merged_model_keeps_nothing_of_the_adapter(tmp_path, base):
    """It is a plain decoder of the same shape, and can be adapted again."""
    folder = base()
    plain = merged(_adapted(folder))
    assert plain.options == attrs.evolve(LLAMA, lora=None, weights=None)
    again = _write(plain, tmp_path / "merged")
    assert _adapted(again).binding.base == plain.language_model().fingerprint()
