"""What exactness costs: tokens per second of the torch trainer at L0, L1 and L2, in alternation.

    python bench/exactness.py                     the demo's shape, two threads
    python bench/exactness.py --steps 2 --rounds 1 --width 64 --layers 2    a quick look

Decisions: one process and one order per round, so that neighbours on the machine meet every level alike; the first
step of a training warms it up and is not counted; medians over rounds, with the processor time of a step beside
them, which neighbours disturb less. The bar: L1 costs at most 15 % of L0's rate.
The exit code is 0 when it holds and 1 otherwise. Rows hold random ids, packed as two documents each.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import attrs
import numpy as np

from codex_core.contracts import Loaded, RowBatch
from codex_core.lock import Lock
from codex_models.decoder import Decoder
from codex_models.gradients import gradients_of
from codex_models.options import DecoderOptions
from codex_models.precision import repeatable
from codex_models.trainer_options import TorchTrainerOptions
from codex_models.training import begin

#: The largest share of L0's rate that L1 may cost.
BAR = 0.15

LEVELS = ("L0", "L1", "L2")


@attrs.frozen(kw_only=True, eq=False)
class RandomRows:
    """Rows of two documents of random ids; a pure function of position."""

    seq_len: int
    vocab_size: int
    num_rows: int = 1 << 30

    def rows(self, start: int, count: int) -> RowBatch:
        """The rows at these positions."""
        shape, half = (count, self.seq_len), self.seq_len // 2
        ids = np.random.default_rng(start).integers(0, self.vocab_size, (count, self.seq_len + 1))
        places = np.arange(self.seq_len)
        return RowBatch(
            inputs=ids[:, :-1],
            targets=ids[:, 1:],
            loss_mask=np.ones(shape, np.bool_),
            positions=np.broadcast_to(np.where(places < half, places, places - half), shape).copy(),
            document_ids=np.broadcast_to(places >= half, shape).astype(np.int64),
        )

    def num_supervised(self, start: int, count: int) -> int:
        """Every target."""
        return count * self.seq_len


def lock_of(asked: argparse.Namespace, level: str) -> Lock:
    """A lock for steps that are taken by hand."""
    return Lock(
        name="bench", config_hash="", seed=0, exactness=level, threads=asked.threads, components={},
        seeds={"model.init": 1, "dropout": 2}, steps=asked.steps, batch_rows=asked.rows, seq_len=asked.seq_len,
        vocab_size=asked.vocab, log_every=0, evaluate_every=0, save_every=0, durations={}, epochs=0.0,
        tokens=0, data={}, environment={},
    )  # fmt: skip


def stepper(asked: argparse.Namespace, level: str) -> Callable[[], tuple[float, float]]:
    """A training at this level; each call takes a sample: tokens per second, processor seconds per step."""
    options = TorchTrainerOptions(batch_rows=asked.rows, precision=asked.precision, compile=asked.compile)
    model = DecoderOptions(layers=asked.layers, width=asked.width, heads=asked.heads)
    lock, rows = lock_of(asked, level), RandomRows(seq_len=asked.seq_len, vocab_size=asked.vocab)
    with repeatable(threads=asked.threads, exact=level != "L0"):
        training = begin(
            lock,
            options,
            load=lambda _: Loaded(id="", target=Decoder, options=model),
            saved=None,
            emit=lambda event: None,
        )

    def steps(count: int) -> None:
        for _ in range(count):
            step = training.step + 1
            batches = training.micro_batches(rows, step)
            outcome = gradients_of(training, lock, batches, step=step, supervised=asked.rows * asked.seq_len)
            training.apply(1e-4, loss_sum=outcome.loss, supervised=1)
            training.advance(lock)

    def sample() -> tuple[float, float]:
        with repeatable(threads=asked.threads, exact=level != "L0"):
            steps(1)
            began, spent = time.perf_counter(), time.process_time()
            steps(asked.steps)
            rate = asked.steps * asked.rows * asked.seq_len / (time.perf_counter() - began)
            return rate, (time.process_time() - spent) / asked.steps

    return sample


def main() -> int:
    """Measure, print, and judge the bar."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in {
        "steps": 4, "rounds": 5, "threads": 2, "layers": 4, "width": 256, "heads": 4, "seq-len": 256,
        "rows": 16, "vocab": 4096,
    }.items():  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--compile", default="off", choices=("off", "on"))
    asked = parser.parse_args()
    samples = {level: stepper(asked, level) for level in LEVELS}
    found: dict[str, list[tuple[float, float]]] = {level: [] for level in LEVELS}
    for number in range(asked.rounds):
        for level in LEVELS[number % 3 :] + LEVELS[: number % 3]:
            found[level].append(samples[level]())
    medians = {level: statistics.median(rate for rate, _ in taken) for level, taken in found.items()}
    for level, taken in found.items():
        rates, spent = zip(*taken, strict=True)
        print(
            f"{level}  {medians[level]:9,.0f} tokens/s [{min(rates):,.0f} to {max(rates):,.0f}]  "
            f"costs {1 - medians[level] / medians['L0']:+.1%} of L0  "
            f"processor {1e3 * statistics.median(spent):,.0f} ms a step"
        )
    holds = 1 - medians["L1"] / medians["L0"] <= BAR
    print(f"L1 costs at most {BAR:.0%}: {'yes' if holds else 'NO'}")
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
