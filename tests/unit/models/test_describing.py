"""What can be known of codex-models without torch: components, options, memory."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import attrs
import pytest

from codex_core.components import Component
from codex_models.estimate import decoder_memory
from codex_models.lora_options import LoraOptions
from codex_models.options import DecoderOptions
from codex_models.plugin import codex_models, codex_trainers
from codex_models.precision import _processor_multiplies_bf16
from tests.support.decoders import lock_for, options_for


@pytest.mark.parametrize(
    "component", [*codex_models(), *codex_trainers()], ids=lambda component: component.name
)
def test_component_targets_exist(component: Component):
    """Everything that a component names can be imported."""
    for target in filter(None, (component.target, component.options, component.estimate)):
        module, _, attribute = target.partition(":")
        assert getattr(import_module(module), attribute)
    assert component.runtime == "torch"
    assert component.requires[0] == "torch"


def test_describing_needs_no_torch():
    """Plugin, options and estimate work in a process in which torch cannot be imported."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import codex_models.plugin, codex_models.options, codex_models.estimate\n"
        "print(codex_models.plugin.codex_models()[0].name, codex_models.options.DecoderOptions().inner_width)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.split() == ["decoder", "704"], done.stderr


def test_every_option_says_what_it_means():
    """All options have a sentence, and defaults are valid."""
    for options in (DecoderOptions(), options_for()):
        assert all(field.metadata["doc"] for field in attrs.fields(type(options)))


def test_memory_is_counted_in_closed_form():
    """What lasts is exact; micro-batches and bf16 shrink what depends on them; the fuller moment is told."""
    options = DecoderOptions(layers=3, width=32, heads=2)
    locked = {"batch_rows": 8, "micro_batch_rows": None, "precision": "fp32"}

    def memory(*, config=None, **changes):
        components = {"trainer": {"options": locked | changes}}
        return decoder_memory(
            options, lock_for(options_for(batch_rows=8), components=components, config=config or {})
        )

    whole, copied = memory(), memory(config={"checkpoint": {"asynchronous": True}})
    assert whole.parameters == whole.moments // 2 == 4 * options.num_parameters(23)
    assert (whole.gradients, whole.staging, copied.staging) == (0, 0, whole.parameters + whole.moments)
    assert memory(ema=0.9).averages == whole.parameters
    assert memory(optimizer="muon").moments == whole.moments - 4 * options.num_hidden_parameters
    halved = memory(micro_batch_rows=4)
    assert (halved.activations, halved.gradients) == (whole.activations // 2, whole.parameters)
    assert memory(precision="bf16").activations == whole.activations // 2
    recomputed = memory(activation_checkpointing="blocks")
    assert recomputed.gradients > 0 and recomputed.total < whole.total


@pytest.mark.parametrize(
    ("cpuinfo", "native"),
    [
        ("flags : fpu avx512_bf16", True),
        ("Features : asimd bf16", True),
        ("flags : fpu avx512f", False),
        ("", False),
    ],
)
def test_auto_precision_follows_the_processor(tmp_path: Path, cpuinfo: str, native: bool):
    """bf16 is chosen where the processor says that it multiplies bf16, on x86 and Arm, and nowhere else."""
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{cpuinfo}\n")
    assert _processor_multiplies_bf16(tmp_path / "cpuinfo") is native
    assert not _processor_multiplies_bf16(tmp_path / "absent")


SHAPES = {
    "plain": {},
    "grouped": {"kv_heads": 1},
    "qwen3": {"qk_norm": True, "kv_heads": 1},
    "gpt2": {
        "positions": "learned",
        "context_length": 256,
        "activation": "gelu",
        "norm": "layer",
        "biases": "all",
    },
    "dropped": {"dropout": 0.25},
}


@pytest.mark.parametrize(
    "lora", [None, LoraOptions(), LoraOptions(dropout=0.1)], ids=["whole", "lora", "noisy"]
)
@pytest.mark.parametrize("shape", SHAPES)
def test_kept_activations_are_those_that_are_counted(shape: str, lora: LoraOptions | None):
    """What autograd keeps of a step is, to a fifth, what the estimate says, for every shape, adapted too."""
    import torch

    from codex_models.decoder import Decoder
    from codex_models.lora import AdaptedDecoder
    from codex_models.lora_files import Binding

    options = DecoderOptions(layers=3, width=64, heads=4, **SHAPES[shape])
    model = Decoder.build(options, vocab_size=23, seed=1)
    if lora is not None:
        model = AdaptedDecoder(model, lora, binding=Binding(base="blake3:0", weights="base"))
        options = attrs.evolve(options, weights="base", lora=lora)
    model.set_noise(torch.Generator())
    ids = torch.zeros((4, 256), dtype=torch.int64)
    parameters = {parameter.data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if tensor.is_floating_point() and storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden = model.hidden(ids, torch.arange(256).expand_as(ids), torch.zeros_like(ids))
    trainer = {"batch_rows": 4, "micro_batch_rows": None, "precision": "fp32"}
    lock = lock_for(options_for(batch_rows=4), seq_len=256, components={"trainer": {"options": trainer}})

    assert hidden.requires_grad
    memory = decoder_memory(options, lock)
    assert memory.activations + memory.casts == pytest.approx(sum(kept.values()), rel=0.2)
