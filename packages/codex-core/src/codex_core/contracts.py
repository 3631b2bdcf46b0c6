"""What a component's `target` must offer, kind by kind: small protocols, no base classes.

Decisions: tokenizers and models are classes with named constructors; datasets, metrics, writers, policies and
trainers are classes built from one argument, their options; commands are click commands. The conformance suites
in `codex_core.testing` check these protocols on real objects.

Shapes: R rows, L sequence length in tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import attrs

from codex_core.records import (
    Decision,
    Encoded,
    FitResult,
    GenerationChunk,
    GenerationSettings,
    Match,
    MetricValue,
    Part,
    Record,
    ScoredText,
    TokenBatch,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from codex_core.events import Event
    from codex_core.lock import Lock

Json = Any
"""A value that JSON can hold."""


@runtime_checkable
class Tokenizer(Protocol):
    """Text to token ids and back. `decode(encode(text)) == text` whenever `lossless` is true."""

    @property
    def lossless(self) -> bool:
        """Whether decoding an encoding gives the text back, whatever the text."""

    @property
    def vocab_size(self) -> int:
        """Number of ids; every id is in `range(vocab_size)`."""

    @property
    def special_ids(self) -> Mapping[str, int]:
        """Ids by role; `bos` and `eos` always exist (and may be equal), `pad` and `unk` may."""

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """Ids of `text`, without BOS or EOS. Look-alikes of special tokens are plain text unless allowed."""

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids and, per id, its half-open code points of `text`."""

    def encode_batch(
        self, texts: Sequence[str], *, max_length: int | None = None, pad_to: int | None = None
    ) -> TokenBatch:
        """Encode texts to one width: cut to `max_length`, padded at the right to `pad_to` or the longest."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`; special ids stand for nothing."""

    def render(self, record: Record, template: str | None = None) -> Encoded:
        """The one rendering for training, generation and evaluation: BOS, turns, EOS, with what is supervised.

        For a plain-text record: `[bos, *ids, eos]`, BOS not supervised, the rest as the turn's `learn` says.
        """

    def fingerprint(self) -> str:
        """`sha256:<hex>` over everything that changes ids or rendering."""

    def save(self, folder: Path) -> None:
        """Write the artefact into the existing, empty `folder`."""


@runtime_checkable
class TokenizerClass(Protocol):
    """A tokenizer's target."""

    def train(self, texts: Iterable[str], options: Any, *, seed: int) -> Tokenizer:
        """Learn a tokenizer; the same texts, options and seed give the same fingerprint."""

    def load(self, folder: Path) -> Tokenizer:
        """Read what `save` wrote; raises `ArtefactError` for anything else."""


@runtime_checkable
class Dataset(Protocol):
    """Rows of text. Iterating twice yields the same records in the same order."""

    def identity(self) -> Mapping[str, Json]:
        """What the rows depend on, as canonical JSON without floats, absolute paths or times.

        File names are relative, contents are `sha256:<hex>`. Two equal identities promise equal rows.
        """

    def records(self) -> Iterator[Record]:
        """All rows, strictly: the first unreadable row raises `InputError` with file and line."""


@runtime_checkable
class PartedDataset(Protocol):
    """What a dataset may offer beyond `Dataset`: rows in parts, so that several processes can share the reading."""

    def parts(self, part_bytes: int) -> Sequence[Part]:
        """All rows as parts of about `part_bytes`, in reading order: `read` over all of them equals `records`.

        Options, input bytes and `part_bytes` decide alone.
        """

    def read(self, part: Part) -> Iterator[Record]:
        """The rows of one part, with the numbers that they have in the whole."""


@runtime_checkable
class SkippingDataset(Protocol):
    """What a dataset offers that can leave out unreadable rows: an account of them."""

    def skipped(self) -> Mapping[str, int]:
        """Rows skipped by reason in the latest iteration, complete when it has ended."""


@attrs.frozen(kw_only=True, eq=False)
class RowBatch:
    """Packed rows, as trainers take them; all arrays are (R, L).

    `inputs` and `targets` are token ids (int64), `loss_mask` tells which targets are supervised, `positions`
    restart at 0 in each document piece, `document_ids` number the pieces of a row from 0, padding is -1.
    A token may attend to earlier tokens of its own piece only.
    """

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    loss_mask: NDArray[np.bool_]
    positions: NDArray[np.int64]
    document_ids: NDArray[np.int64]


@runtime_checkable
class PackedRows(Protocol):
    """The packed rows of one split, in the order of one seed.

    Global position p counts rows over all epochs: epoch p // num_rows, place p % num_rows in its permutation.
    """

    @property
    def num_rows(self) -> int:
        """Rows of one epoch."""

    @property
    def seq_len(self) -> int:
        """Tokens per row."""

    def rows(self, start: int, count: int) -> RowBatch:
        """The rows at global positions [start, start + count)."""

    def num_supervised(self, start: int, count: int) -> int:
        """Supervised tokens in these rows: the global denominator, known before backward."""


@attrs.frozen(kw_only=True)
class PreparedText:
    """One document of a prepared split, after safety: what evaluation scores.

    `ids` is the rendering (BOS first), `num_bytes` the UTF-8 length of `text`.
    """

    id: str
    text: str
    ids: tuple[int, ...]
    num_bytes: int


@runtime_checkable
class PreparedData(Protocol):
    """A prepared set: immutable, content-addressed, verified when opened."""

    @property
    def path(self) -> Path:
        """The folder of the set."""

    @property
    def fingerprint(self) -> str:
        """`sha256:<hex>` of everything that decides its bytes."""

    @property
    def manifest(self) -> Mapping[str, Json]:
        """What `manifest.json` holds."""

    @property
    def manifest_digest(self) -> str:
        """`sha256:<hex>` of the manifest's bytes."""

    @property
    def tokenizer_path(self) -> Path:
        """The tokenizer's artefact, as `TokenizerClass.load` reads it."""

    def packed(self, split: str, *, seed: int) -> PackedRows:
        """The packed rows of `split`, shuffled by `seed`; raises `InputError` for a split without rows.

        Sets from which documents can be left out (see `LeavingOut`) take a further argument `without`, sets of
        several sources `weights`: rows of each source in turn.
        """

    def texts(self, split: str) -> Iterator[PreparedText]:
        """The documents of `split`, in stored order."""

    def summary(self) -> str:
        """A few readable lines: sources, rows kept and dropped, splits, tokens, digests."""


@runtime_checkable
class LeavingOut(Protocol):
    """A prepared set from which documents can be left out; optional, and what going back and skipping needs."""

    def packed(self, split: str, *, seed: int, without: Mapping[str, int]) -> PackedRows:
        """As `PreparedData.packed`, with documents left out: `without` is the first global position without each.

        Their tokens stay where they are and lose their supervision; nothing else changes.
        """

    def document_ids(self, split: str) -> Iterator[str]:
        """The ids of the documents of `split`, in stored order."""

    def documents_at(self, split: str, *, seed: int, positions: Sequence[int]) -> tuple[str, ...]:
        """The ids of the documents of which something is learned in the rows at these global positions."""


@runtime_checkable
class LanguageModel(Protocol):
    """What evaluation and generation know of a model, nothing else."""

    @property
    def vocab_size(self) -> int:
        """Number of token ids the model distinguishes."""

    @property
    def context_length(self) -> int | None:
        """Longest row in tokens, or None when there is no limit."""

    def loglikelihood(self, token_rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Natural-log probabilities, `len(row) - 1` per row; the first token of a row is context only.

        Raises `InputError` for a row longer than the context.
        """

    def generate(
        self, prompts: Sequence[Sequence[int]], settings: GenerationSettings
    ) -> Iterator[GenerationChunk]:
        """Continue prompts of ids; every prompt ends with exactly one chunk that has a `finish_reason`."""

    def fingerprint(self) -> str:
        """`sha256:<hex>` or `blake3:<hex>` over the parameters."""


@runtime_checkable
class ModelClass(Protocol):
    """A model's target."""

    def build(self, options: Any, *, vocab_size: int, seed: int) -> Any:
        """What trainers of the same `runtime` take, freshly initialised from `seed`."""

    def open(self, path: Path, *, device: str = "cpu", dtype: str | None = None) -> LanguageModel:
        """Open the `model/` folder of a checkpoint for scoring and generation.

        A class with the capability `adapter` also takes `base: Path | None`, the folder of the weights that an
        adapter in this folder was trained over; it refuses a base that the folder does not need (`UsageError`).
        """


@attrs.frozen(kw_only=True)
class Loaded:
    """A component of the lock, imported: its canonical id, what its target resolved to, and its options."""

    id: str
    target: Any
    options: Any


class Loader(Protocol):
    """Gives the lock's components to those who need them."""

    def __call__(self, section: str) -> Loaded:
        """The component of a section: `model`, `tokenizer`, `trainer`, `safety`."""


@attrs.frozen(kw_only=True)
class SavedState:
    """A verified checkpoint to continue from: its folder, step, rows consumed, and the trainer's own JSON state."""

    path: Path
    step: int
    position: int
    tokens: int
    state: Mapping[str, Json]


WriteFile = Callable[[Path], "str | None"]
"""Writes one file at a path. It may return the digest of what it wrote (`blake3:<hex>`), which the shell proves."""


class Checkpoints(Protocol):
    """The checkpoint shell as trainers see it; commit, digests, pointers and pruning are its business."""

    asynchronous: bool
    """Whether it would write beside the training what is handed over as `detached`."""

    def resume(self) -> SavedState | None:
        """Where to continue, verified; None when the run starts at step 0."""

    def is_due(self, step: int) -> bool:
        """Whether a checkpoint is to be saved after `step`."""

    def save(
        self,
        *,
        step: int,
        position: int,
        tokens: int,
        state: Mapping[str, Json],
        files: Mapping[str, WriteFile],
        detached: bool = False,
    ) -> None:
        """Commit a checkpoint. `files` maps relative names to functions that write the file at the given path.

        Names under `model/` are what `ModelClass.open` reads; other names are the trainer's own. `detached` promises
        that the functions and `state` read nothing that the training changes: they may then be called after this
        call has returned. A failure of such a save is raised by the next call of `is_due`, `save` or `finish`.
        """

    def finish(self) -> None:
        """Wait until nothing is being written; raises what the save in flight failed with.

        Trainers need not call it at the end of `fit`; one that reuses the memory of its copies calls it first.
        """


Emit = Callable[["Event"], None]
Evaluate = Callable[[LanguageModel, int], Mapping[str, float]]
ShouldStop = Callable[[], bool]


@runtime_checkable
class Trainer(Protocol):
    """Trains; its options class has at least the fields `duration: Duration` and `batch_rows: int`.

    Global step s (from 1) consumes the rows at positions [(s-1) * batch_rows, s * batch_rows).
    """

    def fit(
        self,
        lock: Lock,
        data: PackedRows,
        *,
        load: Loader,
        emit: Emit,
        checkpoints: Checkpoints,
        evaluate: Evaluate,
        should_stop: ShouldStop,
    ) -> FitResult:
        """Run from `checkpoints.resume()` (or step 0) to `lock.steps`.

        After each step: emit `StepDone` when due (`lock.log_every`), call `evaluate(live, step)` when due
        (`lock.evaluate_every`), save when `checkpoints.is_due(step)`; when `should_stop()` holds, finish the
        step, save and return with reason `signal`.
        """


@runtime_checkable
class Metric(Protocol):
    """Accumulates scored texts into numbers. `needs` is `loglikelihood`, `generation` or `tokens`."""

    @property
    def name(self) -> str:
        """The name under which its value is reported."""

    @property
    def needs(self) -> str:
        """`loglikelihood`, `generation` or `tokens`."""

    @property
    def unit(self) -> str:
        """The unit of its value."""

    @property
    def higher_is_better(self) -> bool:
        """The direction of better."""

    @property
    def reference(self) -> str:
        """Where the definition stands."""

    def signature(self) -> str:
        """Everything that changes the number, in one line."""

    def update(self, scored: ScoredText) -> None:
        """Take one text into account; the order of texts does not matter."""

    def compute(self) -> MetricValue:
        """The number over all texts; raises `InputError` when there was none."""


@attrs.frozen(kw_only=True)
class RunInfo:
    """What a writer is told of a run when it is opened."""

    run_id: str
    name: str
    attempt: int
    path: Path
    tags: Mapping[str, str] = attrs.field(factory=dict)


@runtime_checkable
class Writer(Protocol):
    """A sink for metric rows. It is called on the sink thread only and can never reach the trainer."""

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can hold, e.g. `scalars`."""

    def probe(self) -> str | None:
        """None when usable here, else one sentence why not."""

    def open(self, run: RunInfo) -> None:
        """Start writing for a run's attempt."""

    def write(self, row: Mapping[str, Json], sequence: int) -> None:
        """Take one row: `step`, `split` and numbers. `sequence` rises by one from row to row."""

    def flush(self) -> int:
        """Make rows durable; returns the highest sequence number that is."""

    def close(self) -> None:
        """Flush and release everything; called once."""


class SafetyStream(Protocol):
    """A policy over text that arrives in pieces; any chunking equals the whole text."""

    def push(self, text: str) -> str:
        """Take a piece, return what may be shown already."""

    def close(self) -> tuple[str, tuple[Match, ...]]:
        """What remains to be shown, and all matches (spans in the whole pushed text)."""


@runtime_checkable
class SafetyPolicy(Protocol):
    """Decides on texts. `stage` is `data`, `prompt` or `output`."""

    def inspect(self, text: str, stage: str) -> Decision:
        """Whether the text may pass, in which form, and what matched."""

    def stream(self, stage: str) -> SafetyStream:
        """Inspect text that arrives in pieces."""

    def fingerprint(self) -> str:
        """`sha256:<hex>` over rules and actions."""
