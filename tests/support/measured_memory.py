"""Train a decoder for a few steps in a process of its own and tell what memory that took: `measured(case)`.

Run as a module it is that process: it prints `measured predicted` in bytes. Measured is the highest resident size of
the process less the one after imports, as the kernel counts them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from codex_core.contracts import Loaded
from codex_core.testing.shell import FolderCheckpoints
from codex_models.decoder import Decoder
from codex_models.decoder_model import DecoderModel
from codex_models.estimate import decoder_memory
from codex_models.lora import AdaptedDecoder
from codex_models.lora_options import LoraOptions
from codex_models.options import DecoderOptions
from codex_models.trainer import TorchTrainer
from tests.support.decoders import CountingRows, lock_for, options_for

#: The processes find `tests` from here.
ROOT = Path(__file__).resolve().parents[2]

_STEPS = 2


@attrs.frozen(kw_only=True)
class Case:
    """A training whose memory is measured."""

    model: DecoderOptions
    vocab_size: int
    seq_len: int
    trainer: dict[str, Any]
    is_adapted: bool = False


#: Trainings that take more than 500 MB each.
CASES = MappingProxyType(
    {
        "full": Case(
            model=DecoderOptions(layers=6, width=512, heads=8),
            vocab_size=8192,
            seq_len=256,
            trainer={"batch_rows": 4},
        ),
        "lora": Case(
            model=DecoderOptions(layers=8, width=512, heads=8),
            vocab_size=16384,
            seq_len=256,
            trainer={"batch_rows": 16, "precision": "bf16"},
            is_adapted=True,
        ),
        "checkpointing": Case(
            model=DecoderOptions(layers=8, width=512, heads=8),
            vocab_size=8192,
            seq_len=512,
            trainer={"batch_rows": 8, "activation_checkpointing": "blocks", "precision": "bf16"},
        ),
    }
)


@attrs.frozen(kw_only=True)
class Measured:
    """What a training took beyond its imports, and what was predicted, in bytes."""

    measured: int
    predicted: int

    @property
    def error(self) -> float:
        """How far the prediction is off, as a share of what was measured."""
        return self.predicted / self.measured - 1.0


def measured(name: str, folder: Path) -> Measured:
    """Train the case `name` in a new process, with its files in `folder`."""
    case, base = CASES[name], folder / "base"
    if case.is_adapted:
        base.mkdir(parents=True)
        model = Decoder.build(case.model, vocab_size=case.vocab_size, seed=1)
        for file, write in model.payload({n: p.detach() for n, p in model.named_parameters()}).items():
            write(base / file)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.measured_memory", name, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    taken, predicted = map(int, done.stdout.split())
    return Measured(measured=taken, predicted=predicted)


def _train(case: Case, folder: Path) -> int:
    """The bytes that the plan foresees for a training that has happened in this process."""
    adapted = {"weights": str(folder / "base"), "lora": LoraOptions()} if case.is_adapted else {}
    model, options = attrs.evolve(case.model, **adapted), options_for(**case.trainer)
    lock = lock_for(
        options,
        steps=_STEPS,
        seq_len=case.seq_len,
        vocab_size=case.vocab_size,
        evaluate_every=_STEPS,
        save_every=1,
        components={"trainer": {"options": attrs.asdict(options)}},
        config={"checkpoint": {"asynchronous": True}},
    )
    with tempfile.TemporaryDirectory(dir=folder) as saved:
        TorchTrainer(options).fit(
            lock,
            CountingRows(num_rows=10**6, seq_len=case.seq_len),
            load=lambda section: Loaded(id="codex-models/decoder", target=DecoderModel, options=model),
            emit=lambda event: None,
            checkpoints=FolderCheckpoints(root=Path(saved), every=1, last=_STEPS, asynchronous=True),
            evaluate=lambda live, step: {
                "rows": len(live.loglikelihood([[1, 2] * (case.seq_len // 2)] * 16))
            },
            should_stop=lambda: False,
        )
    return decoder_memory(model, lock).total


def _resident(field: str) -> int:
    """`VmRSS` or `VmHWM` of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    assert AdaptedDecoder, "imported, so that it counts as an import"
    before = _resident("VmRSS")
    predicted = _train(CASES[sys.argv[1]], Path(sys.argv[2]))
    print(_resident("VmHWM") - before, predicted)
