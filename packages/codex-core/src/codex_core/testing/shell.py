"""What a trainer is given, in its smallest real form: a lock, packed rows, and checkpoints in a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from codex_core.contracts import RowBatch, SavedState, WriteFile
from codex_core.lock import Lock

_PADDING = -1


@attrs.define(kw_only=True)
class SmallRows:
    """Packed rows from documents of ids: whole documents where they fit, cut and padded where they do not.

    The order is the same in each epoch.
    """

    documents: Sequence[Sequence[int]]
    seq_len: int
    num_rows: int = attrs.field(init=False)
    _batch: RowBatch = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        rows = [_laid_out(pieces, self.seq_len) for pieces in _rows_of_pieces(self.documents, self.seq_len)]
        inputs, targets, loss_mask, positions, document_ids = (
            np.array(column) for column in zip(*rows, strict=True)
        )
        self.num_rows = len(rows)
        self._batch = RowBatch(
            inputs=inputs,
            targets=targets,
            loss_mask=loss_mask,
            positions=positions,
            document_ids=document_ids,
        )

    def rows(self, start: int, count: int) -> RowBatch:
        """The rows at global positions [start, start + count)."""
        places = np.arange(start, start + count) % self.num_rows
        columns = attrs.asdict(self._batch, recurse=False)
        return RowBatch(**{name: column[places] for name, column in columns.items()})

    def num_supervised(self, start: int, count: int) -> int:
        """Supervised tokens in these rows."""
        return int(self.rows(start, count).loss_mask.sum())


def _rows_of_pieces(documents: Sequence[Sequence[int]], seq_len: int) -> list[list[Sequence[int]]]:
    """Documents cut into pieces of at most seq_len + 1 tokens (borders overlap by one), several to a row."""
    rows: list[list[Sequence[int]]] = []
    room = 0
    for document in documents:
        for start in range(0, len(document) - 1, seq_len):
            piece = document[start : start + seq_len + 1]
            if len(piece) - 1 > room:
                rows.append([])
                room = seq_len
            rows[-1].append(piece)
            room -= len(piece) - 1
    return rows


def _laid_out(pieces: Sequence[Sequence[int]], seq_len: int) -> tuple[list[Any], ...]:
    inputs = [token for piece in pieces for token in piece[:-1]]
    targets = [token for piece in pieces for token in piece[1:]]
    positions = [place for piece in pieces for place in range(len(piece) - 1)]
    document_ids = [number for number, piece in enumerate(pieces) for _ in piece[1:]]
    rest = seq_len - len(inputs)
    return (
        inputs + [0] * rest,
        targets + [0] * rest,
        [True] * len(inputs) + [False] * rest,
        positions + [0] * rest,
        document_ids + [_PADDING] * rest,
    )


def small_documents(count: int, *, seed: int, length: int = 30, vocab_size: int = 12) -> list[list[int]]:
    """Documents of ids that begin with 0 and in which small ids are common, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    return [[0, *np.minimum(rng.geometric(0.3, size=length), vocab_size - 1).tolist()] for _ in range(count)]


def small_lock(
    data: SmallRows,
    *,
    vocab_size: int,
    steps: int,
    batch_rows: int,
    save_every: int = 0,
    evaluate_every: int = 0,
    log_every: int = 1,
    components: Mapping[str, Mapping[str, Any]] | None = None,
) -> Lock:
    """A lock for a short run over `data`."""
    return Lock(
        name="conformance",
        config_hash="sha256:0",
        seed=1,
        exactness="L1",
        threads=1,
        components=components or {},
        seeds=dict.fromkeys(("model.init", "data.order", "tokenizer", "dropout", "sampling"), 1),
        steps=steps,
        batch_rows=batch_rows,
        seq_len=data.seq_len,
        vocab_size=vocab_size,
        log_every=log_every,
        evaluate_every=evaluate_every,
        save_every=save_every,
        durations={},
        epochs=steps * batch_rows / data.num_rows,
        tokens=steps * batch_rows * data.seq_len,
        data={},
        environment={},
    )


@attrs.define(kw_only=True)
class FolderCheckpoints:
    """Checkpoints in plain folders, `step-<n>`; `resume_step` says where to continue, None for the start.

    With `asynchronous`, what is handed over as `detached` is written as late as may be: at the next save, or when
    somebody waits.
    """

    root: Path
    every: int
    last: int
    resume_step: int | None = None
    asynchronous: bool = False
    _late: Callable[[], None] | None = None

    def resume(self) -> SavedState | None:
        """The state saved at `resume_step`."""
        if self.resume_step is None:
            return None
        path = self.path(self.resume_step)
        return SavedState(path=path, **json.loads((path / "state.json").read_text(encoding="utf-8")))

    def is_due(self, step: int) -> bool:
        """Each `every` steps, and at the last one."""
        return step == self.last or (self.every > 0 and step % self.every == 0)

    def save(
        self,
        *,
        step: int,
        position: int,
        tokens: int,
        state: Mapping[str, Any],
        files: Mapping[str, WriteFile],
        detached: bool = False,
    ) -> None:
        """Write the payload and the state; a step is saved once."""
        self.finish()

        def write_all() -> None:
            for name, write in files.items():
                path = self.path(step) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                write(path)
            saved = {"step": step, "position": position, "tokens": tokens, "state": dict(state)}
            (self.path(step) / "state.json").write_text(json.dumps(saved, sort_keys=True), encoding="utf-8")

        if detached and self.asynchronous:
            self._late = write_all
        else:
            write_all()

    def finish(self) -> None:
        """Write what was put off."""
        late, self._late = self._late, None
        if late is not None:
            late()

    def path(self, step: int) -> Path:
        """The folder of a step."""
        return self.root / f"step-{step}"

    def contents(self, step: int) -> dict[str, bytes]:
        """Every file of a step with its bytes."""
        folder = self.path(step)
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
