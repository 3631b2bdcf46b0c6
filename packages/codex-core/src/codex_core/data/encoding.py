"""The third stage at work: stretches of texts encoded by several processes, then put together as one prepared set.

Decision: a helper loads the tokenizer from the store, once; so all processes encode with the artefact that training
will use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from codex_core.contracts import Emit
from codex_core.data import crew
from codex_core.data.documents import TextShard
from codex_core.data.jobs import Job, job_path
from codex_core.data.selection import Selection
from codex_core.data.splits import SPLITS
from codex_core.data.text_parts import TextPart
from codex_core.data.texts import open_shard
from codex_core.data.token_parts import (
    FORMAT,
    Batch,
    Renderer,
    Stretch,
    read_batch,
    stretches,
    write_token_part,
)
from codex_core.data.tokenizer_store import StoredTokenizer
from codex_core.data.tokens import TokensPlan
from codex_core.events import ProgressMade
from codex_core.files import Files

MOST_STRETCH_BYTES = 16 << 20
LEAST_STRETCH_BYTES = 1 << 20
_STRETCHES = 32


class Encode:
    """The task of encoding part `number` of a job; gives the number of its documents."""

    def __init__(
        self, job: Job, parts: Sequence[Sequence[tuple[_Texts, Stretch]]], tokenizer: _Tokenizer
    ) -> None:
        self._job = job
        self._parts = parts
        self._tokenizer = tokenizer

    def __call__(self, number: int) -> int:
        """Encode a part unless it was encoded before."""
        stored, _ = self._job.obtain(number, lambda folder: self._fill(folder, self._parts[number]))
        return sum(counts["documents"] for counts in stored.manifest["splits"].values())

    def _fill(self, folder: Path, part: Sequence[tuple[_Texts, Stretch]]) -> dict[str, Any]:
        shards = [(texts.shard(stretch.split), stretch) for texts, stretch in part]
        return write_token_part(folder, shards, self._tokenizer.renderer, files=self._job.files)


class _Tokenizer:
    """A tokenizer by class and folder: another process loads it again."""

    def __init__(self, id: str, target: Any, path: Path, dtype: str, loaded: Any = None) -> None:
        self._fields = (id, target, path, dtype)
        self._loaded = loaded

    def __reduce__(self) -> tuple[Any, ...]:
        return _Tokenizer, self._fields

    @cached_property
    def renderer(self) -> Renderer:
        """The tokenizer, ready to render."""
        id, target, path, dtype = self._fields
        return Renderer(id=id, tokenizer=self._loaded or target.load(path), dtype=dtype)


class _Texts:
    """A folder of texts or a part of one, by path and manifest: opened where it is needed."""

    def __init__(self, path: Path, manifest: Mapping[str, Any], *, is_part: bool) -> None:
        self._path = path
        self._manifest = manifest
        self._is_part = is_part

    def shard(self, split: str) -> TextShard:
        """The documents of a split."""
        if self._is_part:
            return TextPart(self._path, self._manifest).shard(split)
        return open_shard(self._path, self._manifest, split)


class Encoding:
    """The encoded stretches of the texts of a plan, in a job of their own."""

    def __init__(self, plan: TokensPlan, *, store: Path, files: Files) -> None:
        self._plan = plan
        texts = _Texts(plan.texts.path, _needed(plan.texts.manifest), is_part=False)
        total = sum(plan.texts.manifest["splits"][split]["bytes"] for split in SPLITS)
        most = min(MOST_STRETCH_BYTES, max(LEAST_STRETCH_BYTES, total // _STRETCHES))
        self._stretches = [
            stretch for split in SPLITS for stretch in stretches(texts.shard(split), split, most_bytes=most)
        ]
        identity = {"encode": plan.texts.manifest["fingerprint"], **_encoder_identity(plan)}
        self.job = Job(
            path=job_path(store, identity), kind="tokens", format=FORMAT, identity=identity, files=files
        )
        parts = [[(texts, stretch)] for stretch in self._stretches]
        self._task = Encode(self.job, parts, tokenizer_of(plan.tokenizer))

    def encode(self, *, workers: int, on_event: Emit) -> None:
        """Encode all stretches, those that were encoded before excepted."""
        encode_all(self._task, range(len(self._stretches)), workers=workers, on_event=on_event)

    def batches(self) -> dict[str, Iterator[Batch]]:
        """The encoded documents of each split, verified."""
        return {split: self._batches(split) for split in SPLITS}

    def _batches(self, split: str) -> Iterator[Batch]:
        for number, stretch in enumerate(self._stretches):
            if stretch.split == split:
                yield read_batch(self.job.verified(number).path, split, dtype=self._plan.dtype)


def encode_all(
    task: Encode,
    numbers: Sequence[int],
    *,
    workers: int,
    on_event: Emit,
    meanwhile: Callable[[], None] | None = None,
) -> None:
    """Encode these parts, telling of progress."""
    done = 0

    def on_done(documents: int) -> None:
        nonlocal done
        done += documents
        on_event(ProgressMade(phase="tokenize", done=done))

    crew.run(task, numbers, workers=workers, on_done=on_done, on_event=on_event, meanwhile=meanwhile)


def tokenizer_of(held: StoredTokenizer) -> _Tokenizer:
    """A tokenizer as tasks hand it on."""
    return _Tokenizer(held.id, held.target, held.path, held.dtype, held.tokenizer)


def _needed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {"roles": manifest["roles"]}


def _encoder_identity(plan: TokensPlan) -> dict[str, Any]:
    return {"tokenizer": plan.tokenizer.stored.manifest["fingerprint"], "dtype": plan.dtype}


class PartEncoding:
    """The encoded lots of a reading: what machines that share a job make before the texts are put together."""

    def __init__(
        self, job: Job, parts: Sequence[TextPart | None], tokenizer: _Tokenizer, *, name: str
    ) -> None:
        identity = {**job.identity, "tokenizer": name}
        self.job = Job(
            path=job.path, kind=f"tokens-{name[-12:]}", format=FORMAT, identity=identity, files=job.files
        )
        self._task = Encode(self.job, [_stretches_of(part) for part in parts], tokenizer)

    def encode(
        self,
        numbers: Sequence[int],
        *,
        workers: int,
        on_event: Emit,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        """Encode these lots, those that were encoded before excepted; `meanwhile` is done beside it."""
        encode_all(self._task, numbers, workers=workers, on_event=on_event, meanwhile=meanwhile)

    def batches(self, selection: Selection, *, dtype: str) -> dict[str, Iterator[Batch]]:
        """The encoded documents of each split that were selected, verified."""
        return {split: self._batches(selection, split, dtype) for split in SPLITS}

    def _batches(self, selection: Selection, split: str, dtype: str) -> Iterator[Batch]:
        for number in range(len(selection.parts)):
            if runs := selection.runs(number, split):
                path = self.job.verified(number).path
                for run in runs:
                    yield read_batch(path, run.split, dtype=dtype, first=run.first, last=run.last)


def _stretches_of(part: TextPart | None) -> list[tuple[_Texts, Stretch]]:
    if part is None:
        return []
    texts = _Texts(part.folder, part.manifest, is_part=True)
    return [(texts, Stretch(split, 0, len(texts.shard(split)))) for split in SPLITS]
