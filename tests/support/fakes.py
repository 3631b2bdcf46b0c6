"""One small implementation of each contract, for tests of what uses them; the contract tests run over these too.

They are real: the tokenizer encodes, the models give probabilities that sum to one, the trainer resumes.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import attrs

from codex_core.canonical import digest_of
from codex_core.contracts import Loaded, PackedRows, PreparedText, RunInfo
from codex_core.errors import ArtefactError, InputError
from codex_core.events import StepDone
from codex_core.lock import Lock
from codex_core.records import (
    Decision,
    Encoded,
    FitResult,
    GenerationChunk,
    GenerationSettings,
    Match,
    MetricValue,
    Record,
    ScoredText,
    TokenBatch,
    plain_text,
)


@attrs.frozen(kw_only=True)
class NoOptions:
    """Options of a fake that has none."""


class CodePointTokenizer:
    """One id per code point; 0, 1 and 2 are bos, eos and pad. Training learns nothing."""

    lossless = True
    vocab_size = 0x110000 + 3
    special_ids: Mapping[str, int] = {"bos": 0, "eos": 1, "pad": 2}

    @classmethod
    def train(cls, texts: Iterable[str], options: NoOptions, *, seed: int) -> CodePointTokenizer:
        for _ in texts:
            pass
        return cls()

    @classmethod
    def load(cls, folder: Path) -> CodePointTokenizer:
        if not (folder / "code_points").is_file():
            raise ArtefactError(code="TOK-000", what="no code-point tokenizer here", where=str(folder))
        return cls()

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        return [ord(character) + 3 for character in text]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        return self.encode(text), [(place, place + 1) for place in range(len(text))]

    def encode_batch(
        self, texts: Sequence[str], *, max_length: int | None = None, pad_to: int | None = None
    ) -> TokenBatch:
        rows = [self.encode(text)[:max_length] for text in texts]
        width = max(map(len, rows), default=0) if pad_to is None else pad_to
        return TokenBatch(
            ids=tuple((*row, *[2] * (width - len(row))) for row in rows),
            attention_mask=tuple((*[1] * len(row), *[0] * (width - len(row))) for row in rows),
        )

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(chr(token - 3) for token in ids if token > 2)

    def render(self, record: Record, template: str | None = None) -> Encoded:
        text, length = record.text, len(record.text)
        learn = record.turns[0].learn
        return Encoded(
            text=text,
            ids=(0, *self.encode(text), 1),
            loss_mask=(False, *[learn] * (length + 1)),
            offsets=((0, 0), *[(place, place + 1) for place in range(length)], (length, length)),
        )

    def fingerprint(self) -> str:
        return digest_of("code points")

    def save(self, folder: Path) -> None:
        (folder / "code_points").write_text("", encoding="utf-8")


@attrs.frozen(kw_only=True)
class TextsOptions:
    """Options of `TextsDataset`."""

    texts: tuple[str, ...] = ("a cat", "a dog", "two cats")


@attrs.frozen
class TextsDataset:
    """The texts of its options."""

    options: TextsOptions

    def identity(self) -> Mapping[str, Any]:
        return {"texts": digest_of(list(self.options.texts))}

    def records(self) -> Iterator[Record]:
        for number, text in enumerate(self.options.texts, 1):
            yield plain_text(text, id=str(number), source=("options", number))


@attrs.frozen(kw_only=True)
class TablePrepared:
    """A prepared set of texts by split, with the ids of `CodePointTokenizer` unless `encode` says otherwise."""

    splits: Mapping[str, Sequence[str]]
    encode: Callable[[str], Sequence[int]] = CodePointTokenizer().encode
    path: Path = Path("prepared")
    fingerprint: str = "sha256:0"
    manifest: Mapping[str, Any] = attrs.field(factory=dict)
    manifest_digest: str = "sha256:0"
    tokenizer_path: Path = Path("prepared/tokenizer")

    def packed(self, split: str, *, seed: int) -> PackedRows:
        raise InputError(code="DAT-000", what="this set has documents only")

    def texts(self, split: str) -> Iterator[PreparedText]:
        for number, text in enumerate(self.splits[split]):
            ids = (0, *self.encode(text), 1)
            yield PreparedText(id=str(number), text=text, ids=ids, num_bytes=len(text.encode()))

    def summary(self) -> str:
        return f"{sum(map(len, self.splits.values()))} texts"


@attrs.define(kw_only=True)
class GuessingModel:
    """A language model that knows one sequence: it gives `confidence` to the token that follows the last one.

    `after` maps a token to its successor; everything else is uniform, so an empty `after` is a uniform model.
    Calls of `loglikelihood` are kept in `asked`.
    """

    vocab_size: int
    after: Mapping[int, int] = attrs.field(factory=dict)
    confidence: float = 0.9
    context_length: int | None = None
    asked: list[list[list[int]]] = attrs.field(factory=list)

    def probability(self, last: int, token: int) -> float:
        """Of `token` after `last`."""
        if last not in self.after:
            return 1 / self.vocab_size
        rest = (1 - self.confidence) / (self.vocab_size - 1)
        return self.confidence if self.after[last] == token else rest

    def loglikelihood(self, token_rows: Sequence[Sequence[int]]) -> list[list[float]]:
        self.asked.append([list(row) for row in token_rows])
        for row in token_rows:
            if self.context_length is not None and len(row) > self.context_length:
                raise InputError(code="MOD-000", what=f"{len(row)} tokens exceed {self.context_length}")
        return [[_log(self.probability(*pair)) for pair in itertools.pairwise(row)] for row in token_rows]

    def generate(
        self, prompts: Sequence[Sequence[int]], settings: GenerationSettings
    ) -> Iterator[GenerationChunk]:
        for index, prompt in enumerate(prompts):
            chance, last = Random(f"{settings.seed} {index}"), prompt[-1]
            greedy = settings.temperature == 0 or settings.top_k == 1
            reason = "length"
            for _ in range(settings.max_new_tokens):
                last = self.after.get(last, 0) if greedy else chance.randrange(self.vocab_size)
                if last in settings.stop_ids:
                    reason = "stop"
                    break
                yield GenerationChunk(index=index, ids=(last,))
            yield GenerationChunk(index=index, ids=(), finish_reason=reason)

    def fingerprint(self) -> str:
        return digest_of([self.vocab_size, sorted(self.after.items()), str(self.confidence)])


class SuccessorModel:
    """A model class: what was seen last after each token. Builds a dict, opens `model/after.json`."""

    @staticmethod
    def build(options: NoOptions, *, vocab_size: int, seed: int) -> dict[int, int]:
        return {}

    @staticmethod
    def open(path: Path, *, device: str = "cpu", dtype: str | None = None) -> GuessingModel:
        try:
            held = json.loads((path / "after.json").read_text(encoding="utf-8"))
        except OSError as error:
            raise ArtefactError(code="MOD-000", what="no successor model here", where=str(path)) from error
        return GuessingModel(vocab_size=held["vocab_size"], after=dict(held["after"]))


@attrs.frozen(kw_only=True)
class SuccessorOptions:
    """Options of `SuccessorTrainer`."""

    duration: str = "1 epochs"
    batch_rows: int = 2


@attrs.frozen
class SuccessorTrainer:
    """Trains `SuccessorModel`: remembers, row by row, which token came after which."""

    options: SuccessorOptions

    def fit(
        self,
        lock: Lock,
        data: PackedRows,
        *,
        load: Callable[[str], Loaded],
        emit: Callable[[Any], None],
        checkpoints: Any,
        evaluate: Callable[[Any, int], Mapping[str, float]],
        should_stop: Callable[[], bool],
    ) -> FitResult:
        model = load("model")
        after: dict[int, int] = model.target.build(model.options, vocab_size=lock.vocab_size, seed=1)
        step = tokens = 0
        if (saved := checkpoints.resume()) is not None:
            step, tokens = saved.step, saved.tokens
            after.update(json.loads((saved.path / "model/after.json").read_text(encoding="utf-8"))["after"])
        while step < lock.steps:
            rows = data.rows(step * lock.batch_rows, lock.batch_rows)
            pairs = list(
                zip(rows.inputs[rows.loss_mask].tolist(), rows.targets[rows.loss_mask].tolist(), strict=True)
            )
            after.update(pairs)
            step, tokens = step + 1, tokens + len(pairs)
            metrics = {"known": float(len(after))}
            emit(StepDone(step=step, tokens=tokens, metrics=metrics))
            if lock.evaluate_every and step % lock.evaluate_every == 0:
                evaluate(GuessingModel(vocab_size=lock.vocab_size, after=after), step)
            stopping = step < lock.steps and should_stop()
            if stopping or checkpoints.is_due(step):
                held = json.dumps({"vocab_size": lock.vocab_size, "after": sorted(after.items())})
                checkpoints.save(
                    step=step,
                    position=step * lock.batch_rows,
                    tokens=tokens,
                    state={},
                    files={
                        "model/after.json": lambda path, held=held: path.write_text(held, encoding="utf-8")
                    },
                )
            if stopping:
                return FitResult(steps=step, tokens=tokens, reason="signal", metrics=metrics)
        return FitResult(steps=step, tokens=tokens, reason="finished", metrics=metrics)


class CountingMetric:
    """How many texts there were."""

    name = "texts"
    needs = "tokens"
    unit = "texts"
    higher_is_better = True
    reference = "counting"

    def __init__(self, options: NoOptions) -> None:
        self.count = 0

    def signature(self) -> str:
        return "texts"

    def update(self, scored: ScoredText) -> None:
        self.count += 1

    def compute(self) -> MetricValue:
        if not self.count:
            raise InputError(code="EVL-001", what="no text")
        return MetricValue(
            name="texts", value=float(self.count), unit="texts", count=self.count, signature=self.signature()
        )


class ListWriter:
    """Keeps rows in `rows`; `acknowledged` is what the last flush said."""

    capabilities: frozenset[str] = frozenset()

    def __init__(self, options: NoOptions) -> None:
        self.rows: list[Mapping[str, Any]] = []
        self.sequence = 0

    def probe(self) -> str | None:
        return None

    def open(self, run: RunInfo) -> None:
        self.run = run

    def write(self, row: Mapping[str, Any], sequence: int) -> None:
        self.rows.append(dict(row))
        self.sequence = sequence

    def flush(self) -> int:
        return self.sequence

    def close(self) -> None:
        self.run = None


@attrs.frozen(kw_only=True)
class WordOptions:
    """Options of `WordPolicy`."""

    word: str = "hunter2"


@attrs.frozen
class WordPolicy:
    """Replaces one word by stars, at every stage."""

    options: WordOptions

    def inspect(self, text: str, stage: str) -> Decision:
        word = self.options.word
        starts, start = [], text.find(word)
        while start >= 0:
            starts.append(start)
            start = text.find(word, start + len(word))
        matches = tuple(Match(rule="word", start=at, end=at + len(word), action="redact") for at in starts)
        return Decision(allowed=True, text=text.replace(word, "***"), matches=matches)

    def stream(self, stage: str) -> _WholeStream:
        return _WholeStream(self, stage)

    def fingerprint(self) -> str:
        return "sha256:" + hashlib.sha256(self.options.word.encode()).hexdigest()


@attrs.define
class _WholeStream:
    """Shows nothing until the end, which is the simplest way to be right."""

    policy: WordPolicy
    stage: str
    text: str = ""

    def push(self, text: str) -> str:
        self.text += text
        return ""

    def close(self) -> tuple[str, tuple[Match, ...]]:
        decision = self.policy.inspect(self.text, self.stage)
        return decision.text, decision.matches


def _log(probability: float) -> float:
    return math.log(probability) if probability > 0 else -math.inf
