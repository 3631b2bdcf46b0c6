"""How much memory training a decoder takes, in closed form; importing this module loads no torch.

Decisions: parameters, gradients and moments are fp32; activations are what autograd keeps of the micro-batch,
counted tensor by tensor below; bf16 halves activations and logits, and the frozen weights under an adapter. `auto` is
counted as fp32, the larger.
"""

from __future__ import annotations

from codex_core.lock import Lock
from codex_core.records import Memory
from codex_models.lora_names import num_adapter_parameters
from codex_models.lora_options import LoraOptions
from codex_models.options import DecoderOptions

_FP32, _BF16 = 4, 2

#: Rows of logits that are there at once under a frozen output matrix; twice, as logits and as their errors.
LOGIT_ROWS = 256


def decoder_memory(options: DecoderOptions, lock: Lock) -> Memory:
    """Predicted peak of a training run, by what holds it."""
    trainer = lock.components["trainer"]["options"]
    rows = trainer.get("micro_batch_rows") or lock.batch_rows
    number = _BF16 if trainer.get("precision") == "bf16" else _FP32
    tokens = rows * lock.seq_len
    parameters = options.num_parameters(lock.vocab_size)
    if options.lora is not None:
        return _adapted(options, options.lora, number=number, parameters=parameters, tokens=tokens, lock=lock)
    with_one_moment = options.num_hidden_parameters if trainer.get("optimizer") == "muon" else 0
    moments = _FP32 * (2 * parameters - with_one_moment)
    return Memory(
        parameters=_FP32 * parameters,
        gradients=_FP32 * parameters,
        moments=moments,
        activations=number * tokens * _kept_per_token(options, lock.seq_len),
        logits=number * tokens * lock.vocab_size,
        staging=moments,
    )


def _adapted(
    options: DecoderOptions, lora: LoraOptions, *, number: int, parameters: int, tokens: int, lock: Lock
) -> Memory:
    """The peak with an adapter: the base in the run's arithmetic, gradients and moments of the adapter alone."""
    trained = num_adapter_parameters(options, lora)
    inner = (
        4 * 3 * lora.r * options.layers
    )  # what lies between A and B of each matrix, at most three per matrix
    return Memory(
        parameters=number * parameters + _FP32 * trained,
        gradients=_FP32 * trained,
        moments=2 * _FP32 * trained,
        activations=number * tokens * (_kept_per_token(options, lock.seq_len) + inner),
        logits=number * min(tokens, LOGIT_ROWS) * lock.vocab_size * 2,
        staging=2 * _FP32 * trained,
    )


def _kept_per_token(options: DecoderOptions, seq_len: int) -> int:
    """Numbers kept per token for the backward pass."""
    width, inner = options.width, options.inner_width
    turned = options.heads * options.head_width
    # What enters each of the two normed matrices; LayerNorm keeps its input as well.
    normed = (4 if options.norm == "layer" else 2) * width
    attention = 3 * turned + turned + turned  # rotated heads (keys and values repeated), scaled queries, seen
    if options.qk_norm:
        # Normed queries and keys, the same times their gain, and all heads put together again.
        attention += 2 * (options.heads + options.num_kv_heads) * options.head_width + options.attention_rows
    probabilities = options.heads * (seq_len + 128) // 2  # causal half, in blocks of 128 queries
    # Gated: the pair, the opened gate, the product; else what enters and what leaves the activation.
    activated = 4 * inner if options.is_gated else 2 * inner
    residual = (
        2 * width if not options.dropout else 6 * width
    )  # sums, and masks with what they were applied to
    return options.layers * (normed + attention + probabilities + activated + residual) + 4 * width
