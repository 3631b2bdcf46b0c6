"""How much memory training a decoder on a processor takes, in closed form; importing this module loads no torch.

Decisions: what is told is the moment at which most is held, so that parts that are never there together are not added
up: the end of the forward pass (activations and the loss, gradients of earlier micro-batches only), or the end of the
backward pass (all gradients, and the first block once more). Tensors are counted one by one; bf16 halves activations
and the frozen weights under an adapter; `auto` is counted as fp32, the larger. Two parts are no tensors: holes that
the allocator cannot give away again, and the libraries' own memory. `docs/explanation/memory.md` has the measurements.
"""

from __future__ import annotations

import attrs

from codex_core.lock import Lock
from codex_core.records import Memory
from codex_models.lora_names import num_adapter_parameters
from codex_models.options import DecoderOptions

_FP32, _BF16 = 4, 2

#: Rows of logits that are there at once, beside what the loss keeps.
LOGIT_ROWS = 256

#: What libraries load and set up with their first step: measured 98 MB in fp32 and 123 MB in bf16 (torch 2.13, AMX).
RUNTIME_BYTES = 110_000_000

#: Queries of a block of attention, as in `attention.QUERY_BLOCK`.
_QUERY_BLOCK = 128


def decoder_memory(options: DecoderOptions, lock: Lock) -> Memory:
    """Predicted peak of a training run beyond what a process takes after its imports, by what holds it."""
    sizes = _Sizes.of(options, lock)
    ends = (sizes.after_forward(), sizes.after_backward())
    return max(ends, key=lambda memory: memory.total)


@attrs.frozen(kw_only=True)
class _Sizes:
    """What a step is made of: `number` bytes per value of an activation, `rows` of them at once."""

    options: DecoderOptions
    lock: Lock
    rows: int
    number: int
    recomputes: bool
    accumulates: bool
    has_average: bool
    has_copies: bool
    num_frozen: int
    num_trained: int
    num_moments: int

    @classmethod
    def of(cls, options: DecoderOptions, lock: Lock) -> _Sizes:
        """The sizes that options and lock come to."""
        trainer = lock.components["trainer"]["options"]
        rows = 1 if lock.exactness == "L2" else trainer.get("micro_batch_rows") or lock.batch_rows
        parameters = options.num_parameters(lock.vocab_size)
        trained = parameters if options.lora is None else num_adapter_parameters(options, options.lora)
        one_moment = options.num_hidden_parameters if trainer.get("optimizer") == "muon" else 0
        return cls(
            options=options,
            lock=lock,
            rows=rows,
            number=_BF16 if trainer.get("precision") in ("bf16", "fp16") else _FP32,
            recomputes=trainer.get("activation_checkpointing") == "blocks",
            accumulates=rows < lock.batch_rows,
            has_average=trainer.get("ema") is not None,
            has_copies=bool(lock.config.get("checkpoint", {}).get("asynchronous", False)),
            num_frozen=0 if options.lora is None else parameters,
            num_trained=trained,
            num_moments=2 * trained - one_moment,
        )

    @property
    def tokens(self) -> int:
        """Tokens of a micro-batch."""
        return self.rows * self.lock.seq_len

    def after_forward(self) -> Memory:
        """When the loss has been computed: everything that is kept for the backward pass is there."""
        options, blocks = self.options, self.options.layers
        if self.recomputes:
            kept = blocks * options.width
            holes, casts = _dying_per_token(options, self.lock.seq_len), 0
        else:
            kept = blocks * self._kept_per_token()
            holes = blocks * _dying_per_token(options, self.lock.seq_len)
            casts = blocks * self._casts_of_block()
        return self._held(
            gradients=_FP32 * self.num_trained if self.accumulates else 0,
            activations=self.number * self.tokens * (kept + 4 * options.width) + self._mask(),
            casts=casts,
            logits=self._logits(),
            allocator=self.number * self.tokens * holes,
        )

    def after_backward(self) -> Memory:
        """When the backward pass is in the first block: all gradients are there, and that block as a whole."""
        options, seq_len = self.options, self.lock.seq_len
        through = self._kept_per_token() + _backward_per_token(options)
        entering = options.layers * options.width if self.recomputes else 0
        # The gradient of the output matrix arrives as the loss prepared it, and is scaled into another one.
        head = 0 if options.lora else _FP32 * self.lock.vocab_size * options.width
        return self._held(
            gradients=_FP32 * self.num_trained + head,
            activations=self.number * self.tokens * (through + entering) + self._mask(),
            casts=self._casts_of_block(),
            logits=0,
            allocator=self.number * self.tokens * _dying_per_token(options, seq_len),
        )

    def _held(self, *, gradients: int, activations: int, casts: int, logits: int, allocator: int) -> Memory:
        saved = self.num_moments + (2 if self.has_average else 1) * self.num_trained
        return Memory(
            parameters=_FP32 * self.num_trained,
            frozen=self.number * self.num_frozen,
            gradients=gradients,
            moments=_FP32 * self.num_moments,
            averages=_FP32 * self.num_trained if self.has_average else 0,
            activations=activations,
            casts=casts,
            logits=logits,
            staging=_FP32 * saved if self.has_copies else 0,
            allocator=allocator,
            runtime=RUNTIME_BYTES,
        )

    def _kept_per_token(self) -> int:
        inner = 0 if self.options.lora is None else 4 * 3 * self.options.lora.r
        return _kept_per_token(self.options, self.lock.seq_len) + inner

    def _casts_of_block(self) -> int:
        """Matrices of a block as the backward pass wants them: with their gains in them, in the run's arithmetic."""
        options = self.options
        if options.lora is not None:
            return 0
        entering = options.attention_rows + options.ffn_rows
        leaving = options.heads * options.head_width + options.inner_width if self.number < _FP32 else 0
        return self.number * options.width * (entering + leaving)

    def _logits(self) -> int:
        """Errors of all tokens, or of a chunk under a frozen output matrix, and what the loss makes of them."""
        vocab, width = self.lock.vocab_size, self.options.width
        chunk = self.number * min(self.tokens, LOGIT_ROWS) * vocab
        if self.options.lora is not None:
            return 2 * chunk + 2 * self.number * self.tokens * width
        cast = 2 * self.number * vocab * width if self.number < _FP32 else 0
        return self.number * self.tokens * (vocab + width) + cast + _FP32 * vocab * width

    def _mask(self) -> int:
        return self.number * self.tokens * self.lock.seq_len


def _kept_per_token(options: DecoderOptions, seq_len: int) -> int:
    """Numbers of a block kept per token for the backward pass."""
    width, inner = options.width, options.inner_width
    turned = options.heads * options.head_width
    # What enters each of the two normed matrices; LayerNorm keeps its input as well.
    normed = (4 if options.norm == "layer" else 2) * width
    attention = 3 * turned + turned + turned  # rotated heads (keys and values repeated), scaled queries, seen
    if options.qk_norm:
        # Normed queries and keys, the same times their gain, and all heads put together again.
        attention += 2 * (options.heads + options.num_kv_heads) * options.head_width + options.attention_rows
    # Gated: the pair, the opened gate, the product; else what enters and what leaves the activation.
    activated = 4 * inner if options.is_gated else 2 * inner
    masked = 4 * width if options.dropout else 0  # masks, and what they were applied to
    return normed + attention + _scores_per_token(options, seq_len) + activated + masked


def _dying_per_token(options: DecoderOptions, seq_len: int) -> int:
    """Numbers of a block that die inside it, among kept ones: heads, scores, and what both last matrices give.

    glibc gives the hole of an aligned block to no block of the same size (`posix_memalign` asks for more than it
    hands out), so the next block of the model takes fresh memory for each of these.
    """
    return options.attention_rows + _scores_per_token(options, seq_len) + 2 * options.width


def _backward_per_token(options: DecoderOptions) -> int:
    """Numbers per token while the feed-forward layer goes backward: gradients of its pair, product and stream."""
    return options.ffn_rows + 2 * options.inner_width + 2 * options.width


def _scores_per_token(options: DecoderOptions, seq_len: int) -> int:
    """The causal half of attention, in blocks of queries."""
    return options.heads * (seq_len + min(seq_len, _QUERY_BLOCK)) // 2
