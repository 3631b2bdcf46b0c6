"""The records that travel between datasets, tokenizers, models and metrics.

Decisions: plain text is one turn with role `text`; safety sees turns, never tokens; offsets are half-open code
points of the rendered text; ids and masks are plain tuples here and arrays only inside prepared rows.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class Turn:
    """One piece of a record: who says it, what, and whether a model is to learn to say it."""

    role: str
    text: str
    learn: bool = True


@attrs.frozen(kw_only=True)
class Record:
    """One row of a dataset.

    `source` is the file (relative, with `/`) and the row within it, counted from 1, that it was read from;
    `group` keeps rows together in one split.
    """

    id: str
    turns: tuple[Turn, ...]
    source: tuple[str, int]
    group: str | None = None

    @property
    def text(self) -> str:
        """The texts of all turns, joined by newlines; for plain text the text itself."""
        return "\n".join(turn.text for turn in self.turns)


def plain_text(text: str, *, id: str, source: tuple[str, int], group: str | None = None) -> Record:
    """A record of one turn with role `text`, all of which is learned."""
    return Record(id=id, turns=(Turn("text", text),), source=source, group=group)


@attrs.frozen(kw_only=True)
class Part:
    """A stretch of a dataset's rows that can be read alone, by any process; plain values, so JSON can hold it.

    `start` and `end` are bytes of `file` (relative, as in `Record.source`), borders of rows; `row` is the number of
    the first row in it. The parts of a file lie end to end.
    """

    file: str
    start: int
    end: int
    row: int = 1


@attrs.frozen(kw_only=True)
class Encoded:
    """A rendered record: the one form that training, generation and evaluation share.

    `ids`, `loss_mask` and `offsets` have one entry per token: the id, whether the token is supervised when it is
    a target, and its half-open span of code points in `text` (`(n, n)` for a token that stands for no text).
    """

    text: str
    ids: tuple[int, ...]
    loss_mask: tuple[bool, ...]
    offsets: tuple[tuple[int, int], ...]

    def __attrs_post_init__(self) -> None:
        if not len(self.ids) == len(self.loss_mask) == len(self.offsets):
            raise ValueError("ids, loss_mask and offsets must have one entry per token")


@attrs.frozen(kw_only=True)
class TokenBatch:
    """Encoded texts of one width: `ids[i][t]` and `attention_mask[i][t]` (1 for tokens, 0 for padding)."""

    ids: tuple[tuple[int, ...], ...]
    attention_mask: tuple[tuple[int, ...], ...]


@attrs.frozen(kw_only=True)
class GenerationSettings:
    """How to continue prompts. `temperature` 0 is greedy; `seed` makes sampling repeatable.

    In this order: `repetition_penalty` divides positive and multiplies negative logits of tokens that were read or
    made before; `temperature`; `top_k` keeps the likeliest k, 0 all; `top_p` the likeliest up to this share of
    probability, the one that crosses it included; `min_p` those at least this share as likely as the likeliest.
    """

    max_new_tokens: int = 128
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0
    stop_ids: tuple[int, ...] = ()


@attrs.frozen(kw_only=True)
class GenerationChunk:
    """New token ids for prompt number `index`; `finish_reason` (`stop`, `length`) comes with the last chunk."""

    index: int
    ids: tuple[int, ...]
    finish_reason: str | None = None


@attrs.frozen(kw_only=True)
class Match:
    """Where a safety rule matched: half-open code points of the inspected text; never the matched text itself."""

    rule: str
    start: int
    end: int
    action: str


@attrs.frozen(kw_only=True)
class Decision:
    """What a policy says of a text: whether it may pass, and in which form (`text` has redactions applied)."""

    allowed: bool
    text: str
    matches: tuple[Match, ...] = ()


@attrs.frozen(kw_only=True)
class ScoredText:
    """One evaluated text, as metrics receive it.

    `logprobs` are natural-log probabilities of the scored tokens (for metrics that need `loglikelihood`), `ids`
    those tokens, `num_bytes` the UTF-8 bytes of the original text, `prediction` and `references` texts (for
    metrics that need `generation`).
    """

    id: str
    text: str
    num_bytes: int
    ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    prediction: str | None = None
    references: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class MetricValue:
    """One number with what is needed to compare it: unit, denominator, signature and, where computed, an interval."""

    name: str
    value: float
    unit: str
    count: int
    signature: str
    low: float | None = None
    high: float | None = None


@attrs.frozen(kw_only=True)
class Memory:
    """Predicted peak memory of a training run beyond its imports, in bytes, by what holds it.

    `frozen` are weights that are not trained, `averages` a running average of those that are, `casts` matrices in the
    arithmetic of the run, `staging` copies of what is being saved, `allocator` holes between blocks in use, `runtime`
    what libraries need for themselves.
    """

    parameters: int = 0
    gradients: int = 0
    moments: int = 0
    activations: int = 0
    logits: int = 0
    staging: int = 0
    frozen: int = 0
    averages: int = 0
    casts: int = 0
    allocator: int = 0
    runtime: int = 0

    @property
    def total(self) -> int:
        """The sum of all parts, in bytes."""
        return sum(attrs.astuple(self))


@attrs.frozen(kw_only=True)
class FitResult:
    """How a training ended: steps and tokens done in all, and why it stopped (`finished`, `signal`, `early`)."""

    steps: int
    tokens: int
    reason: str
    metrics: dict[str, float] = attrs.field(factory=dict)
