"""Tiny models, rows and checkpoints for the tests of codex-models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch

from codex_core.canonical import readable_json
from codex_core.contracts import Loaded, RowBatch, SavedState, WriteFile
from codex_core.duration import Duration
from codex_core.events import Event
from codex_core.lock import Lock
from codex_core.records import FitResult
from codex_models.decoder import Decoder
from codex_models.decoder_model import DecoderModel
from codex_models.options import DecoderOptions
from codex_models.trainer import TorchTrainer
from codex_models.trainer_options import TorchTrainerOptions

VOCAB_SIZE = 23
TINY = DecoderOptions(layers=2, width=16, heads=2, ffn_width=24)


def decoder(options: DecoderOptions = TINY, *, seed: int = 1, dtype: torch.dtype = torch.float32) -> Decoder:
    """A tiny decoder whose activations have the dtype of its parameters, with parameters large enough to matter."""
    model = Decoder.build(options, vocab_size=VOCAB_SIZE, seed=seed).to(dtype)
    model.compute_dtype = dtype
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8.0)
    return model


def one_document(ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids (B, T) with positions and document ids of rows that hold one document each."""
    return ids, torch.arange(ids.shape[1]).expand_as(ids), torch.zeros_like(ids)


@attrs.frozen(kw_only=True, eq=False)
class CountingRows:
    """Packed rows of a counting language: a pure function of position; each row has two pieces and one pad.

    Rows at positions in `unsupervised` have no target that counts.
    """

    num_rows: int = 10
    seq_len: int = 9
    unsupervised: frozenset[int] = frozenset()

    def rows(self, start: int, count: int) -> RowBatch:
        """The rows at these positions."""
        return RowBatch(
            **{
                name: np.stack([self._row(position)[name] for position in range(start, start + count)])
                for name in ("inputs", "targets", "loss_mask", "positions", "document_ids")
            }
        )

    def num_supervised(self, start: int, count: int) -> int:
        """Supervised tokens in these rows."""
        return int(self.rows(start, count).loss_mask.sum())

    def _row(self, position: int) -> dict[str, np.ndarray]:
        real = self.seq_len - 1
        cut = 2 + position % (real - 3)
        offsets = np.concatenate([np.arange(cut), np.arange(real - cut), [0]])
        pieces = np.repeat([0, 1, -1], [cut, real - cut, 1])
        stride = 1 + np.repeat([position % 3, (position + 1) % 3, 0], [cut, real - cut, 1])
        inputs = (5 * position + offsets * stride) % VOCAB_SIZE
        mask = (pieces >= 0) & (offsets != position % 2) & (position not in self.unsupervised)
        return {
            "inputs": inputs.astype(np.int64),
            "targets": ((inputs + stride) % VOCAB_SIZE).astype(np.int64),
            "loss_mask": mask,
            "positions": offsets.astype(np.int64),
            "document_ids": pieces.astype(np.int64),
        }


class FolderCheckpoints:
    """The simplest `Checkpoints`: folders, no digests; saves at the steps it is told, resumes from `parent`."""

    def __init__(
        self, root: Path, *, due: frozenset[int] = frozenset(), parent: SavedState | None = None
    ) -> None:
        self.root, self.due, self.parent = root, due, parent
        self.asynchronous = False
        self.saved: dict[int, SavedState] = {}

    def resume(self) -> SavedState | None:
        """Where to continue."""
        return self.parent

    def is_due(self, step: int) -> bool:
        """Whether this step was asked for."""
        return step in self.due

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
        """Write files and state at once."""
        folder = self.root / f"step-{step}"
        for name, write in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write(folder / name)
        (folder / "state.json").write_text(readable_json({"step": step, "tokens": tokens, **state}))
        self.saved[step] = SavedState(
            path=folder, step=step, position=position, tokens=tokens, state=dict(state)
        )

    def finish(self) -> None:
        """Nothing is ever in flight here."""


def options_for(**changes: Any) -> TorchTrainerOptions:
    """Trainer options of the tests: fp32, four rows a step."""
    given: dict[str, Any] = {"batch_rows": 4, "lr": 1e-2, "precision": "fp32", "duration": Duration(8)}
    return TorchTrainerOptions(**(given | changes))


def lock_for(options: TorchTrainerOptions, *, steps: int = 8, seq_len: int = 9, **changes: Any) -> Lock:
    """A lock that asks for `steps` steps on one thread."""
    given: dict[str, Any] = {
        "name": "tiny",
        "config_hash": "sha256:0",
        "seed": 0,
        "exactness": "L1",
        "threads": 1,
        "components": {},
        "seeds": {"model.init": 3, "dropout": 4, "data.order": 5},
        "steps": steps,
        "batch_rows": options.batch_rows,
        "seq_len": seq_len,
        "vocab_size": VOCAB_SIZE,
        "log_every": 3,
        "evaluate_every": 0,
        "save_every": 0,
        "durations": {"trainer.warmup": 2},
        "epochs": 1.0,
        "tokens": steps * options.batch_rows * seq_len,
        "data": {},
        "environment": {},
    }
    return Lock(**(given | changes))


@attrs.define(eq=False)
class Trained:
    """What a training left behind."""

    result: FitResult
    events: list[Event]
    checkpoints: FolderCheckpoints

    def of_kind(self, kind: str) -> list[Any]:
        """Events of a kind, in order."""
        return [event for event in self.events if event.kind == kind]


def train(
    root: Path,
    *,
    options: TorchTrainerOptions | None = None,
    model: DecoderOptions = TINY,
    rows: CountingRows | None = None,
    save_at: frozenset[int] = frozenset(),
    parent: SavedState | None = None,
    evaluate: Callable[[Any, int], Mapping[str, float]] = lambda live, step: {},
    should_stop: Callable[[], bool] = lambda: False,
    events: list[Event] | None = None,
    **lock_changes: Any,
) -> Trained:
    """Train a tiny decoder on counting rows."""
    chosen = options or options_for()
    checkpoints = FolderCheckpoints(root, due=save_at, parent=parent)
    told: list[Event] = [] if events is None else events
    result = TorchTrainer(chosen).fit(
        lock_for(chosen, **lock_changes),
        rows or CountingRows(),
        load=lambda section: Loaded(id="codex-models/decoder", target=DecoderModel, options=model),
        emit=told.append,
        checkpoints=checkpoints,
        evaluate=evaluate,
        should_stop=should_stop,
    )
    return Trained(result, told, checkpoints)
